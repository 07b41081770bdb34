"""Train CLIP, publish every epoch as a Hub revision, and track how its perception changes.

The public names are imported when first used: ``import hf_clipdyn`` loads no torch.
"""

from typing import TYPE_CHECKING

from hf_clipdyn.lazy import lazy_names

if TYPE_CHECKING:
    from hf_clipdyn.bundled import load_metric, metric_path
    from hf_clipdyn.data import load_dataset
    from hf_clipdyn.evaluation import evaluate_model, evaluate_revisions
    from hf_clipdyn.report.figures import plot
    from hf_clipdyn.report.page import write_report
    from hf_clipdyn.results.read import load_results
    from hf_clipdyn.revisions import Publisher, Revision, Row, list_revisions, load_revision
    from hf_clipdyn.statistics.compare import compare_revisions
    from hf_clipdyn.statistics.verdicts import verdicts
    from hf_clipdyn.study import run_study
    from hf_clipdyn.trainer import EvaluateRevisions, PublishRevisions, snapshot
    from hf_clipdyn.training.config import TrainingConfig
    from hf_clipdyn.training.order import samples_between, times_seen
    from hf_clipdyn.training.run import train

__version__ = "0.3.1"

__getattr__ = lazy_names(
    __name__,
    {
        "bundled": ["load_metric", "metric_path"],
        "data": ["load_dataset"],
        "evaluation": ["evaluate_model", "evaluate_revisions"],
        "report.figures": ["plot"],
        "report.page": ["write_report"],
        "results.read": ["load_results"],
        "revisions": ["Publisher", "Revision", "Row", "list_revisions", "load_revision"],
        "statistics.compare": ["compare_revisions"],
        "statistics.verdicts": ["verdicts"],
        "study": ["run_study"],
        "trainer": ["EvaluateRevisions", "PublishRevisions", "snapshot"],
        "training.config": ["TrainingConfig"],
        "training.order": ["samples_between", "times_seen"],
        "training.run": ["train"],
    },
)

__all__ = [
    "EvaluateRevisions",
    "PublishRevisions",
    "Publisher",
    "Revision",
    "Row",
    "TrainingConfig",
    "__version__",
    "compare_revisions",
    "evaluate_model",
    "evaluate_revisions",
    "list_revisions",
    "load_dataset",
    "load_metric",
    "load_results",
    "load_revision",
    "metric_path",
    "plot",
    "run_study",
    "samples_between",
    "snapshot",
    "times_seen",
    "train",
    "verdicts",
    "write_report",
]


def __dir__() -> list[str]:
    return sorted(__all__)
