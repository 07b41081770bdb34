"""A revision, and the revisions of one model wherever they are."""

import shutil
import weakref
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp

from hf_clipdyn.errors import RevisionError, RevisionNotFoundError
from hf_clipdyn.models.settings import PROCESSOR_FILES


@dataclass(frozen=True)
class Revision:
    """One state of a model.

    Attributes:
        name: the branch or the folder.
        epoch: from the manifest; in foreign suites from the name; None if unknown.
        step: optimiser steps, from the manifest; None in foreign suites, which order by the number in the name.
        samples_seen: images shown so far, repetitions counted; None if unknown.
        commit: the commit that the branch points at, 40 hexadecimal digits; of a folder a hash of its model files.
        sha256: SHA-256 of the weights; for sharded weights, of the list of hashes; None if no hash is recorded.
        size: bytes of the weights.
        loss: training loss; None if unknown.
        validation_loss, learning_rate, logit_scale: see `Row`; None if unknown.
        time: when it was taken, UTC, ISO 8601; None if unknown.
        scale: name of the model's size, from the manifest; None if unknown.
        seed: seed of the run, from the manifest; None if unknown.
        arm: name of the control or ablation that the run belongs to, from the manifest; empty for the main arm.
        parameters: number of the model's parameters, from the manifest; None if unknown.

    Examples:
        >>> from hf_clipdyn import list_revisions
        >>> last = list_revisions("runs/demo")[-1]
        >>> last.name, last.epoch, last.step, last.samples_seen, last.scale
        ('epoch-003', 3, 138, 8832, 'tiny')
    """

    name: str
    epoch: int | None = None
    step: int | None = None
    samples_seen: int | None = None
    commit: str = ""
    sha256: str | None = None
    size: int | None = None
    loss: float | None = None
    validation_loss: float | None = None
    learning_rate: float | None = None
    logit_scale: float | None = None
    time: str | None = None
    scale: str | None = None
    seed: int | None = None
    arm: str = ""
    parameters: int | None = None


class Series(ABC):
    """The revisions of one model, wherever they are.

    Attributes:
        repo_id: its name in tables of results.
        former: the names that it had before, which tables may have.
        where: name and location, for messages.
        on_disk: whether the files are on this machine, so that reading them needs no download.
        processor: the files of a processor for revisions that have none.
        planned: names of all revisions that the run will have, as the last `revisions` saw them; empty if unknown.

    Examples:
        >>> from hf_clipdyn.revisions import open_series
        >>> series = open_series("runs/demo")
        >>> last = series.revisions()[-1]
        >>> series.repo_id, last.name, (series.fetch(last) / "model.safetensors").is_file()
        ('local/demo', 'epoch-003', True)
    """

    repo_id: str
    where: str
    former: tuple[str, ...] = ()
    on_disk: bool = True
    processor: Mapping[str, Path] = {}
    planned: tuple[str, ...] = ()

    @abstractmethod
    def revisions(self) -> list[Revision]:
        """The revisions in training order, from one look: names, rows and commits fit each other.

        Raises:
            RevisionNotFoundError: there is none of that name, or it is no longer there.
            RevisionError: it cannot be read.
        """

    def check(self) -> None:
        """Look whether a repository is there, at the cost of one request.

        Raises:
            RevisionNotFoundError: there is none.
            RevisionError: it cannot be read.
        """
        return

    @abstractmethod
    def fetch(self, revision: Revision, *, settings_only: bool = False) -> Path:
        """Folder with the model files of a revision, downloaded if needed.

        Args:
            revision: one of `revisions`.
            settings_only: do not download the weights.

        Raises:
            RevisionNotFoundError: it is no longer there.
            RevisionError: it cannot be fetched, or contains no model.
        """

    def together(self, revision: Revision, files: Mapping[str, Path]) -> Path:
        """One folder with these files of a revision and a processor; of links to them if they lie in several."""
        if not files:
            raise RevisionError(
                f"{revision.name} of {self.where} has no whole model: expected config.json beside model.safetensors "
                "(merge an adapter into its model first)."
            )
        if files.keys().isdisjoint(PROCESSOR_FILES):
            files = {**self.processor, **files}
        folders = {file.parent for file in files.values()}
        if len(folders) == 1:
            return folders.pop()
        folder = self.temporary / revision.commit
        folder.mkdir(exist_ok=True)
        for name, file in files.items():
            (folder / name).unlink(missing_ok=True)  # the file may lie elsewhere by now
            (folder / name).symlink_to(file)
        return folder

    def changed(self) -> RevisionNotFoundError:
        """What to raise for a revision that is no longer there, or has other files."""
        return RevisionNotFoundError(f"{self.where} has changed since it was listed: repeat the command.")

    @cached_property
    def temporary(self) -> Path:
        """A folder that is there as long as this object."""
        folder = Path(mkdtemp(prefix="clipdyn-checkpoints-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder
