"""The data sets: official layouts and mirrors, with one set of columns per kind.

`hf_clipdyn.data.base` shows how to add one; `hf_clipdyn.data.schemas` lists the columns.
"""

from typing import TYPE_CHECKING

from hf_clipdyn.lazy import lazy_names

if TYPE_CHECKING:
    from hf_clipdyn.data.load import load_dataset
    from hf_clipdyn.data.metadata import DatasetMetadata, SubsetWarning
    from hf_clipdyn.data.registry import dataset_metadata, dataset_names

__all__ = ["DatasetMetadata", "SubsetWarning", "dataset_metadata", "dataset_names", "load_dataset"]

__getattr__ = lazy_names(__name__)


def __dir__() -> list[str]:
    return sorted(__all__)
