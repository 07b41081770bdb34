"""A local store that holds one revision of any model."""

from collections.abc import Callable
from pathlib import Path

from hf_clipdyn.cards import CardFacts
from hf_clipdyn.revisions import Publisher, RevisionRecord

__all__ = ["publish_one"]


def publish_one(folder: Path, save: Callable[[Path], None], repo_id: str = "me/run") -> Path:
    """Publish what ``save(folder)`` writes as epoch-000 of a run in ``folder``; returns the store."""
    with Publisher(
        repo_id,
        output_dir=folder,
        store=folder / "hub",
        push_to_hub=False,
        card=CardFacts(repo_id),
        recipe_hash="0" * 64,
    ) as publisher:
        publisher.submit(RevisionRecord("epoch-000", 0, 0, 0, None), save)
        assert not publisher.finish().missing
    return folder / "hub"
