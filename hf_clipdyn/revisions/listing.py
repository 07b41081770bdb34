"""What a user names becomes revisions: a repository on the Hub or in a store, or the folder of a run or of models."""

import json
import os
import shutil
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from huggingface_hub import constants

from hf_clipdyn.errors import (
    ClipDynError,
    ConfigError,
    RevisionError,
    RevisionNotFoundError,
    render_table,
    shown,
)
from hf_clipdyn.files import delete
from hf_clipdyn.hub import RetryPolicy
from hf_clipdyn.models.adapters import has_adapter
from hf_clipdyn.models.open_clip import Converter
from hf_clipdyn.models.settings import PROCESSOR_FILES
from hf_clipdyn.models.snapshots import PROCESSOR_NAMES, model_files, snapshot_folder
from hf_clipdyn.revisions.bases import base_folder
from hf_clipdyn.revisions.folders import (
    FolderRepository,
    HubCheckpoints,
    ModelFolder,
    Progress,
    checkpoint_name,
    models_of,
    open_clip_models,
)
from hf_clipdyn.revisions.journal import Journal
from hf_clipdyn.revisions.local import LocalStore
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, OF_RUN, Manifest, sort_key
from hf_clipdyn.revisions.names import OPEN_CLIP, Name, Series, epoch_of, step_of
from hf_clipdyn.revisions.repository import MAIN, ReadableRepository, read_manifest, weights_of
from hf_clipdyn.schema import is_repo_id, valid_repo_name

_MOST_NAMED = 5
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
    if refs.get(MAIN) in others or (manifest is not None and manifest.revisions):
        refs.pop(MAIN, None)
    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        listings = list(pool.map(repository.files, refs.values()))
    revisions = []
    for (name, commit), files in zip(refs.items(), listings, strict=True):
        weights, known = weights_of(files), manifest
        if MANIFEST_FILE in files and (manifest is None or manifest.row(name) is None):
            known = _own_manifest(repository, commit, manifest)
        row = known.row(name) if known is not None else None
        of_row: dict[str, Any] = {
            field: getattr(row, field, None) for field in ("step", "samples_seen", "loss", "time")
        }
        revisions.append(
            Revision(
                name=name,
                epoch=row.epoch if row else epoch_of(name),
                commit=commit,
                sha256=weights.sha256 if weights else None,
                size=weights.size if weights else None,
                **of_row,
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
    if not revisions:
        return "There are no revisions."
    return render_table(
        [
            {
                "revision": revision.name,
                "epoch": _number(revision.epoch),
                "step": _number(revision.step),
                "samples seen": _number(revision.samples_seen),
                "loss": "-" if revision.loss is None else f"{revision.loss:.4f}",
                "commit": revision.commit[:12],
                "sha256": (revision.sha256 or "-")[:12],
            }
            for revision in revisions
        ]
    )


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def open_series(
    name: Name,
    store: Name | None = None,
    token: str | None = None,
    *,
    samples_per_epoch: int | None = None,
) -> Series:
    """The revisions that a name means. The Hub is not asked yet.

    A folder is, in this order: a run of this package, which knows its repository and its store; a Trainer's output
    folder with its `checkpoint-*`, or one of these; a model. `open_clip:ViT-B-32@PLACE` is a checkpoint file of
    open_clip's training, or a folder of `epoch_N.pt`: a path here, else `owner/name/FOLDER` in a repository on the Hub.
    Any other name is a repository in ``store``. Without ``store`` it is the repository of a run below `./runs` that was
    not pushed, else a repository on the Hub.

    Raises:
        ConfigError: it means none of these.
        RevisionNotFoundError: HF_HUB_OFFLINE is set, and the client's cache has no such repository.
    """
    text = os.fspath(name)
    if text.startswith(OPEN_CLIP):
        return _open_clip(text, token, samples_per_epoch)
    folder = Path(os.path.expanduser(text))  # noqa: PTH111  # Path's own raises for an unknown user
    if text and os.path.isdir(folder) and not _holds(store, text):  # noqa: PTH112  # nor does this, for any text
        return _open_folder(folder.absolute(), token)
    if not is_repo_id(text) or os.path.isfile(folder):  # noqa: PTH113
        raise ConfigError(
            f"{shown(text)} is neither a folder here nor a name that the Hub accepts: give owner/name "
            "(allowed: letters, digits, _ and single - and ., at most 96 characters), or a folder with "
            "a model, with a Trainer's checkpoints or with a run."
        )
    own = _store_of_run(text) if store is None else Path(store).absolute()
    if own is None and constants.HF_HUB_OFFLINE and not _holds(constants.HF_HUB_CACHE, text):
        raise RevisionNotFoundError(
            f"There is no {text} in {constants.HF_HUB_CACHE}, which alone is read while HF_HUB_OFFLINE is set. "
            f"{runs_here()}"
        )
    return _Stored(text, own, token)


def open_measured(
    repo_id: str, tables: Sequence[Path], store: Name | None = None, token: str | None = None
) -> Series:
    """The revisions of a run in tables of results: in ``store``, of a run beside a table, or as for `open_series`."""
    for folder in dict.fromkeys(table.absolute().parent for table in tables) if store is None else ():
        run = Journal.of_run(folder).run()
        if run is not None and run.repo_id == repo_id:
            return open_series(folder, token=token)
    return open_series(repo_id, store, token)


def local_store(repo_id: str, tables: Sequence[Path]) -> Path | None:
    """The store of a run beside a table of results; None if there is none, or if the run is on the Hub too."""
    for folder in (table.parent for table in tables):
        run = Journal.of_run(folder).run()
        if run is not None and run.repo_id == repo_id and run.store is not None and not run.push_to_hub:
            return folder / run.store
    return None


def list_revisions(repo_id: Name, store: Name | None = None, token: str | None = None) -> list[Revision]:
    """The revisions of a repository or a folder, in training order.

    Without a manifest, the numbers in the names give the order; `main` is then listed last, if no other branch has its
    commit.

    Args:
        repo_id: `owner/name`; or a folder with a run, with a Trainer's checkpoints or with one model; or
            `open_clip:MODEL@PLACE`.
        store: folder of a local store; None asks the Hub, or a run below `./runs` that was not pushed.
        token: token of the Hub; None for the stored one.

    Returns:
        A `Revision` for each, the initialisation first.

    Raises:
        ConfigError: the folder contains none of these, or the Hub could have no such repository.
        RevisionNotFoundError: there is no such repository.
        RevisionError: its manifest or a `trainer_state.json` cannot be read.

    Examples:
        >>> from hf_clipdyn import list_revisions
        >>> [one.name for one in list_revisions("local/demo", "runs/demo/hub")]
        ['epoch-000', 'epoch-001', 'epoch-002', 'epoch-003']
    """
    return open_series(repo_id, store, token).revisions()


@dataclass(frozen=True)
class _Stored:
    """A repository in a local store, or on the Hub if ``store`` is None."""

    repo_id: str
    store: Path | None
    token: str | None

    @cached_property
    def _views(self) -> "_Views":
        return _Views()

    @cached_property
    def repository(self) -> ReadableRepository:
        # Offline the client's own cache is read, which has the layout of a store.
        offline = Path(constants.HF_HUB_CACHE) if constants.HF_HUB_OFFLINE else None
        store = self.store or offline
        if store is not None:
            return LocalStore(store.absolute(), self.repo_id)
        from hf_clipdyn.revisions.remote import HubRepository

        # Without a network nobody waits long for the advice.
        return HubRepository(self.repo_id, token=self.token, retries=RetryPolicy(patience=60.0, first=2.0))

    def revisions(self) -> list[Revision]:
        return revisions_of(self.repository)

    def fetch(self, revision: Revision, *, settings_only: bool = False) -> Path:
        """Folder with the files of a revision; of adapters, with those of their base model too."""
        folder = snapshot_folder(
            self.repo_id,
            revision.commit,
            cache_dir=self.store,
            local_files_only=self.store is not None,
            token=self.token,
            settings_only=settings_only,
        )
        if not has_adapter(folder):
            return folder
        base = model_files(base_folder(folder, self.token, settings_only=settings_only))
        return self._views(revision.commit, base | model_files(folder))


class _Folder:
    """A Trainer's output folder, one of its checkpoints, or a model."""

    def __init__(self, folder: Path, token: str | None, only: str | None = None) -> None:
        self.repo_id, self._token = valid_repo_name(folder.name), token
        self.repository = FolderRepository(folder, partial(_selected, folder, only))
        self._views = _Views()

    def revisions(self) -> list[Revision]:
        models = self.repository.models()  # once: a training may add and remove checkpoints
        listed = revisions_of(FolderRepository(Path(self.repository.where), lambda: models))
        return [_trained(one, models[one.name].progress) for one in listed]

    def fetch(self, revision: Revision, *, settings_only: bool = False) -> Path:
        """Folder with the files of a model; of adapters, with those of their base model too."""
        model = self.repository.model(revision.commit)
        if not model.files:
            raise RevisionError(
                f"{model.path} does not contain a complete model: expected config.json and model.safetensors. "
                "Merge an adapter into its model, and save that."
            )
        if model.is_adapter:
            base = base_folder(model.path, self._token, settings_only=settings_only, pinned=False)
            return self._views(revision.commit, {**model_files(base), **model.files})
        if all(file.parent == model.path for file in model.files.values()):
            return model.path
        return self._views(revision.commit, model.files)


class _OpenClip:
    """Checkpoints of open_clip's training, each converted to a CLIPModel when it is fetched.

    Two converted models at most are in a temporary folder: that of the revision in work, and the one used before it.
    """

    def __init__(
        self, model: str, name: str, repository: ReadableRepository, samples_per_epoch: int | None
    ) -> None:
        self.repo_id, self.repository = valid_repo_name(name), repository
        self._model, self._samples_per_epoch = model, samples_per_epoch
        self._converter = Converter(model)
        self._converted: dict[str, Path] = {}  # folders by commit, the one that was used last at the end

    def revisions(self) -> list[Revision]:
        return [
            replace(
                revision,
                scale=self._model,
                parameters=self._converter.parameters,
                samples_seen=self._samples_seen(revision.epoch),
            )
            for revision in revisions_of(self.repository)
        ]

    def fetch(self, revision: Revision, *, settings_only: bool = False) -> Path:
        """Folder with a converted checkpoint, until those of two others are fetched."""
        if settings_only:
            return self._settings
        commit = revision.commit
        folder = self._converted.pop(commit, None)
        if folder is None:
            for old in list(self._converted)[:-1]:
                delete(self._converted.pop(old))
            folder = self._root / commit
            (name,) = self.repository.files(commit)
            with self.repository.fetched(commit, name) as checkpoint:
                self._converter(checkpoint, folder)
        self._converted[commit] = folder
        return folder

    def _samples_seen(self, epoch: int | None) -> int | None:
        return None if epoch is None or self._samples_per_epoch is None else epoch * self._samples_per_epoch

    @cached_property
    def _root(self) -> Path:
        return _temporary(self)

    @cached_property
    def _settings(self) -> Path:
        """Folder with the files beside the weights, which all checkpoints share."""
        folder = self._root / "settings"
        self._converter.save_settings(folder)
        return folder


class WithProcessor:
    """Revisions of which those without a processor are read with this one.

    Args:
        series: the revisions.
        processor: folder of a processor, or the name of a repository that has one.
        token: of the Hub.

    Raises:
        ConfigError: there is no processor.
        RevisionNotFoundError: there is no such repository.
    """

    def __init__(self, series: Series, processor: Name, token: str | None = None) -> None:
        self._series, self._views = series, _Views()
        self.repo_id, self.repository = series.repo_id, series.repository
        folder = Path(processor).expanduser().absolute()  # links lead to it
        if not folder.is_dir():
            folder = snapshot_folder(os.fspath(processor), "main", token=token, settings_only=True)
        self._files = {name: path for name, path in model_files(folder).items() if name in PROCESSOR_NAMES}
        if not self._files.keys() & set(PROCESSOR_FILES):
            raise ConfigError(
                f"{processor} contains no processor: expected {' or '.join(PROCESSOR_FILES)}, as "
                "`processor.save_pretrained` writes."
            )

    def revisions(self) -> list[Revision]:
        return self._series.revisions()

    def fetch(self, revision: Revision, *, settings_only: bool = False) -> Path:
        """Folder with the model files of a revision and, if it has no processor, links to this one."""
        folder = self._series.fetch(revision, settings_only=settings_only)
        if any((folder / name).exists() for name in PROCESSOR_FILES):
            return folder
        return self._views(revision.commit, self._files | model_files(folder))


class _Views:
    """Folders of links to files that lie elsewhere, for as long as the object lives."""

    def __call__(self, name: str, files: Mapping[str, Path]) -> Path:
        """A folder of links to these files. Links that lead elsewhere by now are replaced."""
        view = self.root / name
        view.mkdir(exist_ok=True)
        for link, file in files.items():
            if not (view / link).is_symlink() or (view / link).readlink() != file:
                (view / link).unlink(missing_ok=True)
                (view / link).symlink_to(file)
        return view

    @cached_property
    def root(self) -> Path:
        """Folder of the folders."""
        return _temporary(self)


def _temporary(owner: object) -> Path:
    """A temporary folder for as long as the object lives."""
    root = Path(mkdtemp(prefix="clipdyn-checkpoints-"))
    weakref.finalize(owner, shutil.rmtree, root, ignore_errors=True)
    return root


def _trained(revision: Revision, progress: Progress) -> Revision:
    return replace(revision, **{name: value for name, value in asdict(progress).items() if value is not None})


def _selected(folder: Path, only: str | None) -> dict[str, ModelFolder]:
    return {name: model for name, model in models_of(folder).items() if only in (None, name)}


def _open_clip(text: str, token: str | None, samples_per_epoch: int | None) -> Series:
    model, at, name = text.removeprefix(OPEN_CLIP).partition("@")
    if not (model and at and name):
        raise ConfigError(
            f"{shown(text)} names no checkpoints: give {OPEN_CLIP}MODEL@PLACE, for example "
            f"{OPEN_CLIP}ViT-B-32@run/checkpoints, with the path of a checkpoint file or of a folder of epoch_N.pt, or "
            "with owner/name/FOLDER on the Hub."
        )
    path = Path(os.path.expanduser(name)).absolute()  # noqa: PTH111
    if not os.path.exists(path):  # noqa: PTH110
        repo_id, folder = _on_hub(name)
        if "/" not in repo_id or not is_repo_id(repo_id):
            raise ConfigError(f"{shown(text)} names no checkpoints: there is no file or folder {path}.")
        repository = HubCheckpoints(repo_id, folder, model, token=token)
        return _OpenClip(model, (folder or repo_id).rpartition("/")[2], repository, samples_per_epoch)
    if not open_clip_models(path, model):
        raise ConfigError(
            f"{path} contains no checkpoints of open_clip: expected a .pt file, or files called epoch_N.pt."
        )
    parent = path if path.is_dir() else path.parent
    run = parent.parent if parent.name == "checkpoints" else parent  # as open_clip's training names it
    here = FolderRepository(path, partial(open_clip_models, path, model))
    return _OpenClip(model, run.name, here, samples_per_epoch)


def _on_hub(name: str) -> tuple[str, str | None]:
    """`owner/name/FOLDER` as the repository and the folder; None if there is no folder."""
    parts = name.rstrip("/").split("/")
    return "/".join(parts[:2]), "/".join(parts[2:]) or None


def _open_folder(folder: Path, token: str | None) -> Series:
    run = Journal.of_run(folder)
    if run.run() is not None:
        facts = run.required_run()
        return _Stored(facts.repo_id, None if facts.store is None else folder / facts.store, token)
    checkpoint = checkpoint_name(folder)
    series = _Folder(folder, token) if checkpoint is None else _Folder(folder.parent, token, checkpoint)
    if not any(model.files for model in series.repository.models().values()):
        raise ConfigError(f"The folder {folder} contains no model. {_hint(folder)}")
    return series


def _hint(folder: Path) -> str:
    """What to give instead of a folder without a model."""
    stored = sorted(path.name[8:].replace("--", "/") for path in folder.glob("models--*"))
    if stored:
        return f"It is a store: give {', '.join(stored[:3])} with --store {folder}."
    if runs := _runs_below(folder):
        return f"It contains runs: give one or several of them, for example {runs[0]}."
    epochs = next(
        (place for place in (folder, folder / "checkpoints") if any(place.glob("epoch_*.pt"))), None
    )
    if epochs is not None:
        return f"It contains checkpoints of open_clip: give {OPEN_CLIP}MODEL@{epochs}, as {OPEN_CLIP}ViT-B-32@{epochs}."
    return (
        "Expected config.json beside model.safetensors (merge an adapter into its model first), a Trainer's "
        "checkpoint-* folders, or the output_dir of `clipdyn train`."
    )


def _runs_below(folder: Path) -> list[Path]:
    """The folders of runs in a folder, and those of grids of runs in it."""
    journals = [*folder.glob("*/publishing/run.json"), *folder.glob("*/*/publishing/run.json")]
    return sorted(path.parents[1] for path in journals)


def runs_here() -> str:
    """A sentence on the folders of runs below `./runs`."""
    folders = [os.path.relpath(path) for path in _runs_below(Path("runs").absolute())]
    if not folders:
        return "No folder below ./runs has a run."
    more = f" and {len(folders) - _MOST_NAMED} more" if len(folders) > _MOST_NAMED else ""
    return f"Runs are in {', '.join(folders[:_MOST_NAMED])}{more}: give such a folder."


def _holds(store: Name | None, repo_id: str) -> bool:
    return store is not None and is_repo_id(repo_id) and LocalStore(Path(store), repo_id).folder.is_dir()


def _store_of_run(repo_id: str) -> Path | None:
    """The store of the run below `./runs` that has this repository and was not pushed; None if there is none."""
    stores = []
    for folder in _runs_below(Path("runs").absolute()):
        try:
            facts = Journal.of_run(folder).required_run()
        except ClipDynError:
            continue  # a broken run must not keep others from the Hub
        if facts.repo_id == repo_id and facts.store is not None and not facts.push_to_hub:
            stores.append(folder / facts.store)
    if len(stores) > 1:
        raise ConfigError(
            f"Several runs below ./runs are called {repo_id}: choose one with --store "
            f"({', '.join(map(str, stores[:4]))})."
        )
    return stores[0] if stores else None
