"""Revisions: save and publish every epoch, list, load, verify and repair what was saved."""

from typing import TYPE_CHECKING

from hf_clipdyn.lazy import lazy_names

if TYPE_CHECKING:
    from hf_clipdyn.revisions.manifest import Row
    from hf_clipdyn.revisions.names import epoch_name, step_name
    from hf_clipdyn.revisions.open import list_revisions, load_revision, open_series
    from hf_clipdyn.revisions.series import Revision, Series
    from hf_clipdyn.revisions.upload import Publisher, Summary

__all__ = [
    "Publisher",
    "Revision",
    "Row",
    "Series",
    "Summary",
    "epoch_name",
    "list_revisions",
    "load_revision",
    "open_series",
    "step_name",
]


__getattr__ = lazy_names(__name__)
