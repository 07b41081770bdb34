"""Revisions: publish every epoch, list, verify and repair what was published."""

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
