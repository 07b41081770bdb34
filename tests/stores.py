"""Runs whose revisions any function writes."""

from collections.abc import Callable, Iterable
from pathlib import Path

from hf_clipdyn.cards import CardFacts
from hf_clipdyn.revisions import Publisher, Row, epoch_name

Save = Callable[[Path], object]


def publish_epochs(
    folder: Path,
    epochs: Iterable[int],
    save: Callable[[int], Save],
    repo_id: str = "me/run",
    *,
    push_to_hub: bool = False,
    planned: tuple[str, ...] = (),
) -> Path:
    """Publish what ``save(epoch)(folder)`` writes of epochs of 10 steps of 4 images; returns the folder of the run."""
    with Publisher(
        folder,
        repo_id,
        push_to_hub=push_to_hub,
        card=CardFacts(repo_id),
        recipe_hash="0" * 64,
        planned=planned,
    ) as publisher:
        for epoch in epochs:
            row = Row(name=epoch_name(epoch), epoch=epoch, step=10 * epoch, samples_seen=40 * epoch)
            publisher.submit(row, save(epoch))
        summary = publisher.finish()
    assert not summary.missing, summary.message
    return folder
