"""The models: named sizes, tokenizers, and one adapter over the transformers dual encoders."""
