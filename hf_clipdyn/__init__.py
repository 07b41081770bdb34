"""Train CLIP, publish every epoch as a Hub revision, and track how its perception changes.

The public names are imported when first used: ``import hf_clipdyn`` loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hf_clipdyn.bundled import load_metric, metric_path
    from hf_clipdyn.data import load_dataset
    from hf_clipdyn.evaluation import evaluate_revisions
    from hf_clipdyn.evaluation.compare import compare_revisions
    from hf_clipdyn.revisions import Revision, list_revisions

__version__ = "0.1.0"

_HOME = {
    "Revision": "hf_clipdyn.revisions",
    "compare_revisions": "hf_clipdyn.evaluation.compare",
    "evaluate_revisions": "hf_clipdyn.evaluation",
    "list_revisions": "hf_clipdyn.revisions",
    "load_dataset": "hf_clipdyn.data",
    "load_metric": "hf_clipdyn.bundled",
    "metric_path": "hf_clipdyn.bundled",
}

__all__ = [
    "Revision",
    "__version__",
    "compare_revisions",
    "evaluate_revisions",
    "list_revisions",
    "load_dataset",
    "load_metric",
    "metric_path",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
