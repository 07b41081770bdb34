"""Revisions: publish every epoch, list, verify and repair what was published."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hf_clipdyn.revisions.listing import Revision
    from hf_clipdyn.revisions.names import epoch_name, step_name
    from hf_clipdyn.revisions.opening import list_revisions
    from hf_clipdyn.revisions.publisher import Publisher, RevisionRecord, Summary
    from hf_clipdyn.revisions.resume import resume_publishing

_HOME = {
    "Publisher": "publisher",
    "Revision": "listing",
    "RevisionRecord": "publisher",
    "Summary": "publisher",
    "epoch_name": "names",
    "list_revisions": "opening",
    "resume_publishing": "resume",
    "step_name": "names",
}

__all__ = [
    "Publisher",
    "Revision",
    "RevisionRecord",
    "Summary",
    "epoch_name",
    "list_revisions",
    "resume_publishing",
    "step_name",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
