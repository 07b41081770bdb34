"""Training: a plain accelerate loop that publishes every epoch."""

from hf_clipdyn.training.folder import delete_run, output_folder, repository
from hf_clipdyn.training.run import TrainingSummary, train

__all__ = ["TrainingSummary", "delete_run", "output_folder", "repository", "train"]
