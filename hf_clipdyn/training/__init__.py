"""Training: a plain accelerate loop that publishes every epoch."""

from hf_clipdyn.training.loop import TrainingSummary, output_folder, train

__all__ = ["TrainingSummary", "output_folder", "train"]
