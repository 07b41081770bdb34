"""Training: a plain accelerate loop that saves every epoch as a revision."""

from hf_clipdyn.training.folder import delete_run, output_folder, repository
from hf_clipdyn.training.order import Samples, samples_between, times_seen
from hf_clipdyn.training.run import TrainingSummary, train

__all__ = [
    "Samples",
    "TrainingSummary",
    "delete_run",
    "output_folder",
    "repository",
    "samples_between",
    "times_seen",
    "train",
]
