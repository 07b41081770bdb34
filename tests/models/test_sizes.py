"""The sizes of the models."""

import pytest
import torch
from transformers import CLIPModel

from hf_clipdyn.models.sizes import MODEL_SIZES, clip_config, model_size
from hf_clipdyn.models.tokenizers import clip_tokenizer, train_tokenizer


@pytest.mark.parametrize("name", ["vit-b-32", "vit-b-16", "vit-l-14"])
def test_the_large_scales_have_the_parameters_of_openai(name: str) -> None:
    with torch.device("meta"):
        model = CLIPModel(clip_config(model_size(name), clip_tokenizer()))
    assert sum(p.numel() for p in model.parameters()) == MODEL_SIZES[name].parameters


@pytest.mark.parametrize("name", ["micro", "tiny", "mini", "small"])
def test_the_small_scales_run_and_tell_captions_apart(name: str) -> None:
    size = model_size(name)
    tokenizer = train_tokenizer(
        ["a red cat", "a blue car"], vocab_size=600, context_length=size.context_length
    )
    model = CLIPModel(clip_config(size, tokenizer)).eval()
    ids = tokenizer(["a red cat", "a blue car"], padding=True, return_tensors="pt")
    pixels = torch.zeros(1, 3, size.image_size, size.image_size)
    with torch.no_grad():
        texts = model.get_text_features(**ids).pooler_output
        assert model.get_image_features(pixel_values=pixels).pooler_output.shape == (1, size.projection)
    assert not torch.allclose(texts[0], texts[1])
