"""Training: a plain accelerate loop that saves every epoch as a revision."""

from typing import TYPE_CHECKING

from hf_clipdyn.lazy import lazy_names

if TYPE_CHECKING:
    from hf_clipdyn.training.order import Samples, samples_between, times_seen
    from hf_clipdyn.training.run import TrainingSummary, delete_run, output_folder, repository, train

__getattr__ = lazy_names(__name__)  # `clipdyn train --help` reads `config` and loads no torch

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
