"""Revisions: publish every epoch, list, verify and repair what was published."""

from typing import TYPE_CHECKING

from hf_clipdyn.lazy import lazy_names

if TYPE_CHECKING:
    from hf_clipdyn.revisions.listing import Revision, list_revisions
    from hf_clipdyn.revisions.names import epoch_name, step_name
    from hf_clipdyn.revisions.publisher import Publisher, RevisionRecord, Summary
    from hf_clipdyn.revisions.repair import resume_publishing

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


__getattr__ = lazy_names(
    __name__,
    {
        "listing": ["Revision", "list_revisions"],
        "names": ["epoch_name", "step_name"],
        "publisher": ["Publisher", "RevisionRecord", "Summary"],
        "repair": ["resume_publishing"],
    },
)
