"""Revisions: save and publish every epoch, list, load, verify and repair what was saved."""

from typing import TYPE_CHECKING

from hf_clipdyn.lazy import homes_of, lazy_names

if TYPE_CHECKING:
    from hf_clipdyn.revisions.manifest import Row as Row
    from hf_clipdyn.revisions.names import epoch_name as epoch_name
    from hf_clipdyn.revisions.names import step_name as step_name
    from hf_clipdyn.revisions.open import list_revisions as list_revisions
    from hf_clipdyn.revisions.open import load_revision as load_revision
    from hf_clipdyn.revisions.open import open_series as open_series
    from hf_clipdyn.revisions.series import Revision as Revision
    from hf_clipdyn.revisions.series import Series as Series
    from hf_clipdyn.revisions.upload import Publisher as Publisher
    from hf_clipdyn.revisions.upload import Summary as Summary

__all__ = sorted(homes_of(__name__))
__getattr__ = lazy_names(__name__)
