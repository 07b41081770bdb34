"""Training: a plain accelerate loop that publishes every epoch."""

from hf_clipdyn.training.dry_run import DryRun, dry_run
from hf_clipdyn.training.folder import delete_run, output_folder, repository
from hf_clipdyn.training.run import TrainingSummary, train

__all__ = ["DryRun", "TrainingSummary", "delete_run", "dry_run", "output_folder", "repository", "train"]
