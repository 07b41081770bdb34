"""Training: a plain accelerate loop that publishes every epoch."""

from hf_clipdyn.training.loop import TrainingSummary, train

__all__ = ["TrainingSummary", "train"]
