"""Checkpoints of open_clip's training, on the disk or in a repository on the Hub: read in place, or imported."""

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from huggingface_hub import try_to_load_from_cache

from hf_clipdyn.cards import CardFacts, CardSource
from hf_clipdyn.errors import ConfigError, UnknownNameError, shown
from hf_clipdyn.files import delete
from hf_clipdyn.hub import is_repo_id, valid_repo_name
from hf_clipdyn.models.open_clip import CHECKPOINT_SUFFIXES, Converter, checkpoint_epoch
from hf_clipdyn.revisions.manifest import IMPORTED, Row
from hf_clipdyn.revisions.names import MAIN, epoch_name, epoch_of
from hf_clipdyn.revisions.published import HubRun, ask
from hf_clipdyn.revisions.records import FileRecord, content_id, record_of
from hf_clipdyn.revisions.series import Revision, Series
from hf_clipdyn.revisions.upload import Publisher, Summary


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint.

    Attributes:
        name: its name for the card, without a path of this machine.
        epoch: whole epochs trained, as the source counts them; None if unknown.
        file: gives the file for one `with` block; a download is deleted afterwards.
        record: gives the size and the hash of the file.
    """

    name: str
    epoch: int | None
    file: Callable[[], AbstractContextManager[Path]]
    record: Callable[[], FileRecord]


class OpenClipSeries(Series):
    """Checkpoints of open_clip's training, each converted to a CLIPModel when it is fetched.

    Two converted models at most are in a temporary folder: that of the revision in work, and the one used before it.

    Args:
        model: open_clip's name of the architecture.
        places: files; or one folder of `epoch_N.pt`: a path here, else `owner/name/FOLDER` on the Hub, where the last
            part of the folder's path is enough, and none is needed if there is only one.
        token: of the Hub.
        per_epoch: images of an epoch, if known.

    Attributes:
        source, datasets, licence: for the card; the repository's card names the last two.
    """

    licence: str | None = None
    datasets: tuple[str, ...] = ()

    def __init__(
        self, model: str, places: Sequence[str], token: str | None = None, per_epoch: int | None = None
    ) -> None:
        self._paths = [Path(os.path.expanduser(place)).absolute() for place in places]  # noqa: PTH111
        existing = [os.path.exists(path) for path in self._paths]  # noqa: PTH110  # for any text
        missing = [place for place, exists in zip(places, existing, strict=True) if not (place and exists)]
        first, *others = self._paths
        owner, repo, self._inside = [*places[0].rstrip("/").split("/", 2), "", ""][:3]
        is_file = bool(others) or first.suffix in CHECKPOINT_SUFFIXES
        if missing and (is_file or not is_repo_id(f"{owner}/{repo}")):
            raise ConfigError(
                f"{shown(missing[0])} is neither a file nor a folder here: give checkpoints of open_clip as files, as "
                "a folder of epoch_N.pt (open_clip:ViT-B-32@run/checkpoints), or as owner/name/FOLDER on the Hub."
            )
        self._hub = HubRun(f"{owner}/{repo}", token)
        self._hub.patience *= 4  # for gigabytes
        self.on_disk = not missing
        self.where, name = f"{places[0]} on the Hub", PurePosixPath(self._inside or repo).name
        if self.on_disk:
            folder = first if first.is_dir() else first.parent
            # As open_clip names a run.
            self.where, name = str(first), (folder.parent if folder.name == "checkpoints" else folder).name
        self.repo_id = valid_repo_name(name)
        self.source, self.converter = CardSource(None, None, model), Converter(model)
        self._per_epoch = per_epoch
        self._by_commit: dict[str, Checkpoint] = {}
        self._converted: list[Path] = []  # the folder that was used last is at the end

    def check(self) -> None:
        self.checkpoints()

    def checkpoints(self) -> list[Checkpoint]:
        """The checkpoints that are there now, in the order of their epochs; one alone may lack an epoch."""
        found = self._here() if self.on_disk else self._on_hub()
        return found if len(found) == 1 else ordered(found)

    def _here(self) -> list[Checkpoint]:
        paths = self._paths
        if paths[0].is_dir():
            paths = [path for path in paths[0].iterdir() if _is_of_epoch(path)]
        if not paths:
            raise ConfigError(f"{self.where} contains no checkpoints of open_clip: expected epoch_N.pt.")
        return list(map(_on_disk, paths))

    def _on_hub(self) -> list[Checkpoint]:
        """The checkpoints of one run in a repository of models, or else of data, at its newest commit.

        Each is downloaded when it is read.
        """
        hub, repo_id = self._hub, self._hub.repo_id
        if not ask(partial(hub.api.repo_exists, repo_id), hub.where):
            hub.repo_type = "dataset"
        info: Any = ask(partial(hub.api.repo_info, repo_id, repo_type=hub.repo_type), hub.where)
        files = hub.files(info.sha)
        runs: dict[PurePosixPath, list[Checkpoint]] = defaultdict(list)
        for path in filter(_is_of_epoch, map(PurePosixPath, files)):
            name = path.as_posix()
            of_file = partial(_file, hub, info.sha, name), partial(files.__getitem__, name)
            runs[path.parent].append(Checkpoint(name, epoch_of(path.stem), *of_file))
        chosen = [folder for folder in runs if self._inside in ("", folder.as_posix(), folder.name)]
        if len(chosen) != 1:
            known = [folder.as_posix() for folder in runs]
            raise UnknownNameError(f"single folder of epoch_N.pt in {repo_id}", self._inside, known)
        self.source = CardSource(repo_id, info.sha, self.source.model, hub.repo_type)
        card = info.card_data or {}
        datasets = card.get("datasets") or ()
        self.datasets = (datasets,) if isinstance(datasets, str) else tuple(datasets)
        self.licence = card.get("license")
        return runs[chosen[0]]

    def facts(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """Name, epoch and samples of a checkpoint's revision."""
        epoch = checkpoint.epoch
        seen = None if self._per_epoch is None or epoch is None else self._per_epoch * epoch
        return {"name": MAIN if epoch is None else epoch_name(epoch), "epoch": epoch, "samples_seen": seen}

    def convert(self, checkpoint: Checkpoint, folder: Path) -> None:
        """Write the CLIPModel into a folder."""
        with checkpoint.file() as path:
            self.converter(path, folder)

    def revisions(self) -> list[Revision]:
        return [self._revision(checkpoint) for checkpoint in self.checkpoints()]

    def _revision(self, checkpoint: Checkpoint) -> Revision:
        record, model = checkpoint.record(), self.source.model
        # From the content, so that a copy of the same checkpoints elsewhere has the same commits.
        commit = content_id({PurePosixPath(checkpoint.name).name: record}, f"open_clip {model}")
        self._by_commit[commit] = checkpoint
        return Revision(
            **self.facts(checkpoint),
            commit=commit,
            sha256=record.sha256,
            size=record.size,
            scale=model,
            parameters=self.converter.parameters,
        )

    def fetch(self, revision: Revision, *, settings_only: bool = False) -> Path:
        """Folder with a converted checkpoint, until those of two others are fetched."""
        if settings_only:  # the files beside the weights, which all checkpoints share
            self.converter.save_settings(self.temporary / "settings")
            return self.temporary / "settings"
        if revision.commit not in self._by_commit:  # another process has listed it
            self.revisions()
        if revision.commit not in self._by_commit:
            raise self.changed()
        folder = self.temporary / revision.commit
        if folder in self._converted:
            self._converted.remove(folder)
        else:
            while len(self._converted) > 1:
                delete(self._converted.pop(0))
            self.convert(self._by_commit[revision.commit], folder)
        self._converted.append(folder)
        return folder


def _is_of_epoch(path: PurePath) -> bool:
    return path.suffix in CHECKPOINT_SUFFIXES and epoch_of(path.stem) is not None


def ordered(checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Checkpoints in the order of their epochs, which must differ."""
    of_epoch: dict[int, Checkpoint] = {}
    for checkpoint in checkpoints:
        if checkpoint.epoch is None:
            raise ConfigError(f"{checkpoint.name} has no epoch in it or in its name: rename it to epoch_N.")
        other = of_epoch.setdefault(checkpoint.epoch, checkpoint)
        if other is not checkpoint:
            names = f"{other.name} and {checkpoint.name}"
            raise ConfigError(f"{names} are both of epoch {checkpoint.epoch}: leave out one.")
    return [of_epoch[epoch] for epoch in sorted(of_epoch)]


def _on_disk(path: Path) -> Checkpoint:
    epoch = epoch_of(path.stem)
    epoch = checkpoint_epoch(path) if epoch is None else epoch
    return Checkpoint(path.name, epoch, lambda: nullcontext(path), partial(record_of, path))


def _file(place: HubRun, commit: str, path: str) -> AbstractContextManager[Path]:
    """One checkpoint on the disk, deleted after the `with` block, unless the Hub client's cache has it."""
    cached = try_to_load_from_cache(place.repo_id, path, revision=commit, repo_type=place.repo_type)
    if isinstance(cached, str) and Path(cached).is_file():
        return nullcontext(Path(cached))
    return place.file(commit, path)


def import_open_clip(
    series: OpenClipSeries, repo_id: str, *, output_dir: Path, licence: str | None = None, **publishing: Any
) -> Summary:
    """Save open_clip checkpoints as revisions of a CLIPModel; those that are there are not read again.

    Args:
        series: the checkpoints.
        repo_id: name of the run, and its repository if it is pushed.
        output_dir: folder of the run.
        licence: of checkpoints whose repository names none.
        publishing: for `Publisher`: ``push_to_hub``, ``private``, ``token``.
    """
    checkpoints, source = ordered(series.checkpoints()), series.source
    files = {series.facts(checkpoint)["name"]: checkpoint.name for checkpoint in checkpoints}
    card = CardFacts(
        repo_id,
        datasets=series.datasets,
        licence=series.licence or licence,
        scale=source.model,
        parameters=series.converter.parameters,
        tags=("open_clip",),
        source=replace(source, files=files),
    )
    publishing["recipe_hash"] = f"{IMPORTED}{source.model}:{source.repo_id or 'files'}"
    with Publisher(output_dir, repo_id, card=card, planned=tuple(files), **publishing) as publisher:
        for checkpoint in checkpoints:
            publisher.submit(Row(**series.facts(checkpoint)), partial(series.convert, checkpoint))
        return publisher.finish()
