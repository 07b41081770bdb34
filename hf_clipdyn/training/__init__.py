"""Training: a plain accelerate loop that publishes every epoch."""

from hf_clipdyn.training.loop import TrainingSummary, delete_run, output_folder, repository, train

__all__ = ["TrainingSummary", "delete_run", "output_folder", "repository", "train"]
