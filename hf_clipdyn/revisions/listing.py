"""Which revisions a repository has; suites of others are listed too."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from hf_clipdyn.errors import RevisionError
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, OF_RUN, Manifest, sort_key
from hf_clipdyn.revisions.names import epoch_of, step_of
from hf_clipdyn.revisions.repository import MAIN, ReadableRepository, read_manifest, weights_of

__all__ = ["PARALLEL_REQUESTS", "Revision", "render", "revisions_of"]


PARALLEL_REQUESTS = 8  # a suite may have over a hundred branches, and each costs a request


@dataclass(frozen=True)
class Revision:
    """One state of a model that `from_pretrained(revision=name)` loads.

    Attributes:
        name: the branch.
        epoch: from the manifest; in foreign suites as the name says; None if unknown.
        step: optimiser steps, from the manifest; None in foreign suites, which order by the number in the name.
        samples_seen: images shown so far, repetitions counted; None if unknown.
        commit: the commit that the branch points at, 40 hexadecimal digits.
        sha256: SHA-256 of the weights as served; for sharded weights that of the list of hashes; None if the repository
            has no hash.
        size: bytes of the weights.
        loss: training loss; None if unknown.
        time: when the snapshot was taken, UTC, ISO 8601; None if unknown.
        scale: name of the model's size, from the manifest; None if unknown.
        seed: seed of the run, from the manifest; None if unknown.
        arm: name of the control or ablation that the run belongs to, from the manifest; empty for the main arm.
        parameters: number of the model's parameters, from the manifest; None if unknown.

    Examples:
        >>> from hf_clipdyn import list_revisions
        >>> last = list_revisions("local/demo", "runs/demo/hub")[-1]
        >>> last.name, last.epoch, last.step, last.samples_seen, last.scale
        ('epoch-003', 3, 138, 8832, 'tiny')
    """

    name: str
    epoch: int | None
    step: int | None
    samples_seen: int | None
    commit: str
    sha256: str | None
    size: int | None
    loss: float | None = None
    time: str | None = None
    scale: str | None = None
    seed: int | None = None
    arm: str = ""
    parameters: int | None = None


def revisions_of(repository: ReadableRepository) -> list[Revision]:
    """The revisions of a repository in training order; without a manifest, by the numbers in their names.

    `main` is listed, as the last one, only if no other branch has its commit and there is no manifest.

    The branch of a revision appears a moment before `main` has its row. Until then the row in its own commit counts.
    """
    refs = repository.refs()
    manifest = read_manifest(repository, refs.get(MAIN))
    others = {commit for name, commit in refs.items() if name != MAIN}
    if refs.get(MAIN) in others or (manifest is not None and manifest.rows):
        refs.pop(MAIN, None)
    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        listings = list(pool.map(repository.files, refs.values()))
    revisions = []
    for (name, commit), files in zip(refs.items(), listings, strict=True):
        held = weights_of(files)
        known = manifest
        if MANIFEST_FILE in files and (manifest is None or manifest.row(name) is None):
            known = _own_manifest(repository, commit, manifest)
        row = known.row(name) if known is not None else None
        revisions.append(
            Revision(
                name=name,
                epoch=row.epoch if row else epoch_of(name),
                step=row.step if row else None,
                samples_seen=row.samples_seen if row else None,
                commit=commit,
                sha256=held.sha256 if held else None,
                size=held.size if held else None,
                loss=row.loss if row else None,
                time=row.time if row else None,
                **({field: getattr(known, field) for field in OF_RUN} if known is not None else {}),
            )
        )

    # In suites of others, main is the newest state.
    def order(revision: Revision) -> tuple[bool, tuple[Any, ...]]:
        step = step_of(revision.name) if revision.step is None else revision.step
        return revision.name == MAIN, sort_key(revision.name, step)

    return sorted(revisions, key=order)


def _own_manifest(repository: ReadableRepository, commit: str, manifest: Manifest | None) -> Manifest | None:
    """The manifest in a revision's own commit; that of `main` if it cannot be read or is of another run."""
    try:
        own = read_manifest(repository, commit)
    except RevisionError:  # `verify` reports it
        return manifest
    is_of_run = own is not None and (manifest is None or own.run_id == manifest.run_id)
    return own if is_of_run else manifest


def render(revisions: Sequence[Revision], *, as_json: bool = False) -> str:
    """The revisions as a table for the terminal, or as a JSON list with whole hashes."""
    if as_json:
        return json.dumps([asdict(revision) for revision in revisions], indent=1)
    head = ("revision", "epoch", "step", "samples seen", "loss", "commit", "sha256")
    lines: list[tuple[str, ...]] = [head]
    for revision in revisions:
        known = (revision.epoch, revision.step, revision.samples_seen)
        lines.append(
            (
                revision.name,
                *("-" if value is None else f"{value:,}" for value in known),
                "-" if revision.loss is None else f"{revision.loss:.4f}",
                revision.commit[:12],
                (revision.sha256 or "-")[:12],
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
