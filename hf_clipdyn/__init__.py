"""Train CLIP, publish every epoch as a Hub revision, and track how its perception changes.

The public names are imported when first used: ``import hf_clipdyn`` loads no torch.
"""

from typing import TYPE_CHECKING

from hf_clipdyn.lazy import homes_of, lazy_names

if TYPE_CHECKING:
    from hf_clipdyn.bundled import load_metric as load_metric
    from hf_clipdyn.bundled import metric_path as metric_path
    from hf_clipdyn.data import load_dataset as load_dataset
    from hf_clipdyn.evaluation import evaluate_model as evaluate_model
    from hf_clipdyn.evaluation import evaluate_revisions as evaluate_revisions
    from hf_clipdyn.report.figures import plot as plot
    from hf_clipdyn.report.page import write_report as write_report
    from hf_clipdyn.results.table import load_results as load_results
    from hf_clipdyn.revisions import Publisher as Publisher
    from hf_clipdyn.revisions import Revision as Revision
    from hf_clipdyn.revisions import Row as Row
    from hf_clipdyn.revisions import list_revisions as list_revisions
    from hf_clipdyn.revisions import load_revision as load_revision
    from hf_clipdyn.statistics.compare import compare_revisions as compare_revisions
    from hf_clipdyn.statistics.verdicts import verdicts as verdicts
    from hf_clipdyn.study import run_study as run_study
    from hf_clipdyn.trainer import EvaluateRevisions as EvaluateRevisions
    from hf_clipdyn.trainer import PublishRevisions as PublishRevisions
    from hf_clipdyn.trainer import snapshot as snapshot
    from hf_clipdyn.training.config import TrainingConfig as TrainingConfig
    from hf_clipdyn.training.order import samples_between as samples_between
    from hf_clipdyn.training.order import times_seen as times_seen
    from hf_clipdyn.training.run import train as train

__version__ = "0.4.0"

__getattr__ = lazy_names(__name__)
__all__ = sorted(["__version__", *homes_of(__name__)])


def __dir__() -> list[str]:
    return __all__
