"""Train CLIP, publish every epoch as a Hub revision, and track how its perception changes.

The public names are imported when first used: ``import hf_clipdyn`` loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hf_clipdyn.bundled import load_metric, metric_path
    from hf_clipdyn.config import TrainingConfig
    from hf_clipdyn.data import load_dataset
    from hf_clipdyn.evaluation import evaluate_model, evaluate_revisions
    from hf_clipdyn.report.notebooks import plot, plot_dissimilarities
    from hf_clipdyn.report.page import write_report
    from hf_clipdyn.results.read import load_results
    from hf_clipdyn.revisions import Publisher, Revision, list_revisions
    from hf_clipdyn.statistics.compare import compare_revisions
    from hf_clipdyn.statistics.verdicts import verdicts
    from hf_clipdyn.study import run_study
    from hf_clipdyn.trainer import EvaluateRevisions, PublishRevisions, snapshot
    from hf_clipdyn.training.run import train

__version__ = "0.2.0"

_HOME = {
    "EvaluateRevisions": "hf_clipdyn.trainer",
    "PublishRevisions": "hf_clipdyn.trainer",
    "Publisher": "hf_clipdyn.revisions",
    "Revision": "hf_clipdyn.revisions",
    "TrainingConfig": "hf_clipdyn.config",
    "compare_revisions": "hf_clipdyn.statistics.compare",
    "evaluate_model": "hf_clipdyn.evaluation",
    "evaluate_revisions": "hf_clipdyn.evaluation",
    "list_revisions": "hf_clipdyn.revisions",
    "load_dataset": "hf_clipdyn.data",
    "load_metric": "hf_clipdyn.bundled",
    "load_results": "hf_clipdyn.results.read",
    "metric_path": "hf_clipdyn.bundled",
    "plot": "hf_clipdyn.report.notebooks",
    "plot_dissimilarities": "hf_clipdyn.report.notebooks",
    "run_study": "hf_clipdyn.study",
    "snapshot": "hf_clipdyn.trainer",
    "train": "hf_clipdyn.training.run",
    "verdicts": "hf_clipdyn.statistics.verdicts",
    "write_report": "hf_clipdyn.report.page",
}

__all__ = [
    "EvaluateRevisions",
    "PublishRevisions",
    "Publisher",
    "Revision",
    "TrainingConfig",
    "__version__",
    "compare_revisions",
    "evaluate_model",
    "evaluate_revisions",
    "list_revisions",
    "load_dataset",
    "load_metric",
    "load_results",
    "metric_path",
    "plot",
    "plot_dissimilarities",
    "run_study",
    "snapshot",
    "train",
    "verdicts",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
