"""The data sets: official layouts and mirrors, with one set of columns per kind.

`hf_clipdyn.data.base` shows how to add one; `hf_clipdyn.data.schemas` lists the columns.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hf_clipdyn.data.load import load_dataset
    from hf_clipdyn.data.metadata import DatasetMetadata, SubsetWarning
    from hf_clipdyn.data.registry import dataset_metadata, dataset_names

__all__ = ["DatasetMetadata", "SubsetWarning", "dataset_metadata", "dataset_names", "load_dataset"]

_HOME = {
    "DatasetMetadata": "metadata",
    "SubsetWarning": "metadata",
    "dataset_metadata": "registry",
    "dataset_names": "registry",
    "load_dataset": "load",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
