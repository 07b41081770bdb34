"""Models in plain folders as revisions, to be read: one model, or checkpoints of transformers' Trainer or open_clip.

::

    out/                        what `TrainingArguments(output_dir="out")` leaves
        checkpoint-500/         the revision step-00000500
            config.json, model.safetensors, …
            trainer_state.json  its step, epoch and loss; written after the weights
        config.json, …          `main`, if the model was saved here at the end
        preprocessor_config.json, tokenizer.json, …  also of the checkpoints that lack them

A folder has no commits: a hash of its model files takes their place, so that a changed folder is a new state.
"""

import hashlib
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import RepositoryNotFoundError

from hf_clipdyn.errors import ConfigError, ModelError, RevisionError, RevisionNotFoundError, UnknownNameError
from hf_clipdyn.files import file_git_hash, file_sha256
from hf_clipdyn.hub import RetryPolicy, attempt, reason
from hf_clipdyn.models.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS, adapter_base, has_adapter
from hf_clipdyn.models.open_clip import CHECKPOINT_SUFFIXES
from hf_clipdyn.models.settings import PROCESSOR_FILES
from hf_clipdyn.models.snapshots import model_files, weight_files
from hf_clipdyn.revisions.names import epoch_name, epoch_of, natural_key, step_name
from hf_clipdyn.revisions.repository import MAIN, FileRecord, FilesOnDisk
from hf_clipdyn.schema import Count, read_json

_CHECKPOINT = re.compile(r"checkpoint-(\d{1,18})")
_STATE = "trainer_state.json"


@dataclass(frozen=True)
class Progress:
    """How far training was; None if unknown.

    Attributes:
        step: optimiser steps.
        epoch: whole epochs; None inside an epoch.
        loss: the training loss that was logged last.
    """

    step: int | None = None
    epoch: int | None = None
    loss: float | None = None


@dataclass(frozen=True)
class _Logged:
    loss: float | None = None


@dataclass(frozen=True)
class _TrainerState:
    global_step: Count
    epoch: float | None = None
    log_history: tuple[_Logged, ...] = ()


@dataclass(frozen=True)
class ModelFolder:
    """One model on the disk.

    Attributes:
        path: its folder.
        files: its model files by name; empty where there is neither a whole model nor adapters alone.
        read_as: what else decides the model: the architecture of a checkpoint that does not say it, or the files of a
            folder whose model the adapters were trained on.
    """

    path: Path
    files: Mapping[str, Path]
    read_as: str = ""

    @classmethod
    def of(cls, path: Path, shared: Path | None = None) -> "ModelFolder":
        """The model in a folder; the image processor and the tokenizer may be in the folder ``shared``."""
        own = model_files(path)
        weights = list(filter(_is_weights, own))
        is_whole = "config.json" in own and weights and not has_adapter(path)
        if not is_whole and not (has_adapter(path) and weights == [ADAPTER_WEIGHTS]):
            return cls(path, {})
        beside = {} if shared is None else model_files(shared)
        tokenizer = {name for name in beside if not _is_weights(name)} - {"config.json", *PROCESSOR_FILES}
        lacking = [group for group in (PROCESSOR_FILES, tokenizer) if own.keys().isdisjoint(group)]
        shared_files = {name: beside[name] for group in lacking for name in group if name in beside}
        model = cls(path, own | shared_files)
        return replace(model, read_as=_base_of(path)) if model.is_adapter else model

    @property
    def is_adapter(self) -> bool:
        """Whether it needs the model that its adapters were trained on."""
        return {ADAPTER_CONFIG, ADAPTER_WEIGHTS} <= self.files.keys()

    @property
    def records(self) -> dict[str, FileRecord]:
        """Size and hash of each file; a file is hashed again only after a change.

        Raises:
            RevisionNotFoundError: a file is no longer there.
        """
        try:
            return {name: _record(name, path) for name, path in sorted(self.files.items())}
        except FileNotFoundError as error:
            raise _changed(self.path) from error

    @property
    def commit(self) -> str:
        """40 hexadecimal digits made from the content."""
        return content_id(self.records, self.read_as + (str(self.path) if not self.files else ""))

    @property
    def progress(self) -> Progress:
        """From `trainer_state.json`, if it is there."""
        path = self.path / _STATE
        if not path.is_file():
            return Progress()
        state = read_json(_TrainerState, path, error=RevisionError, not_finite=lambda _: None)
        named = checkpoint_name(self.path)
        if named not in (None, step_name(state.global_step)):
            raise RevisionError(
                f"{path} gives the step {state.global_step}, but its folder's name gives another one: correct the "
                "name."
            )
        epoch = None if state.epoch is None else round(state.epoch)
        losses = [entry.loss for entry in state.log_history if entry.loss is not None]
        return Progress(
            state.global_step, epoch if epoch == state.epoch else None, losses[-1] if losses else None
        )


def checkpoint_name(folder: Path) -> str | None:
    """The revision that a folder is as a whole checkpoint of a Trainer; None for any other folder."""
    match = _CHECKPOINT.fullmatch(folder.name)
    return None if match is None or not (folder / _STATE).is_file() else step_name(int(match[1]))


def models_of(folder: Path) -> dict[str, ModelFolder]:
    """The model of a folder as `main`, after the Trainer's checkpoints in it."""
    named = {name: path for path in folder.iterdir() if (name := checkpoint_name(path))}
    checkpoints = {name: ModelFolder.of(named[name], folder) for name in sorted(named, key=natural_key)}
    own = ModelFolder.of(folder)
    return checkpoints | ({MAIN: own} if own.files else {})


def open_clip_models(path: Path, model: str) -> dict[str, ModelFolder]:
    """One checkpoint of open_clip, or those in a folder that are named by their epoch, `epoch_3.pt`."""
    files = sorted(path.iterdir(), key=lambda file: natural_key(file.name)) if path.is_dir() else [path]
    models = {}
    for file in files:
        epoch = epoch_of(file.stem)
        if file.is_file() and file.suffix in CHECKPOINT_SUFFIXES and (epoch is not None or file == path):
            name = MAIN if epoch is None else epoch_name(epoch)
            if name in models:
                raise ConfigError(f"{path} has two checkpoints of epoch {epoch}: remove one.")
            models[name] = ModelFolder(file.parent, {file.name: file}, read_as=read_as_open_clip(model))
    return models


def read_as_open_clip(model: str) -> str:
    """What decides a model beside its checkpoint: open_clip's name of the architecture."""
    return f"open_clip {model}"


def content_id(records: Mapping[str, FileRecord], read_as: str = "") -> str:
    """40 hexadecimal digits in place of a commit, made from the content of files and what else decides the model."""
    listing = "".join(f"{name}\0{record.blob}\n" for name, record in sorted(records.items()))
    return hashlib.sha256((read_as + listing).encode()).hexdigest()[:40]


class FolderRepository(FilesOnDisk):
    """The models of a folder: a `ReadableRepository`. What is added to the folder later is found."""

    def __init__(self, where: Path, models: Callable[[], dict[str, ModelFolder]]) -> None:
        self.where, self.models = str(where), models

    def model(self, commit: str) -> ModelFolder:
        """The model with that content."""
        for model in self.models().values():
            if model.commit == commit:
                return model
        raise _changed(self.where)

    def refs(self) -> dict[str, str]:
        refs = {name: model.commit for name, model in self.models().items()}
        if not refs:
            raise RevisionNotFoundError(f"{self.where} no longer contains a model.")
        return {MAIN: list(refs.values())[-1]} | refs

    def files(self, commit: str) -> dict[str, FileRecord]:
        return self.model(commit).records

    def absent_files(self, commit: str) -> list[str]:
        model = self.model(commit)
        try:
            if "config.json" in model.files and not model.is_adapter:
                weight_files(model.path)
        except ModelError as error:
            raise RevisionError(str(error)) from error
        return []

    def _file(self, commit: str, path: str) -> Path:
        try:
            return self.model(commit).files[path]
        except KeyError as error:
            raise RevisionNotFoundError(f"{self.where} has no file {path} at commit {commit}.") from error


def _base_of(adapters: Path) -> str:
    """The content of the folder with the model that adapters name; the configuration alone says of another place."""
    base, _ = adapter_base(adapters, pinned=False)
    if not os.path.isdir(base):  # noqa: PTH112  # for any text
        return ""
    return content_id({name: _record(name, path) for name, path in model_files(Path(base)).items()})


def _changed(where: object) -> RevisionNotFoundError:
    return RevisionNotFoundError(f"{where} has changed since it was listed: repeat the command.")


def _is_weights(name: str) -> bool:
    return any(suffix in name for suffix in (".safetensors", ".bin", ".pt"))  # of an index too


def _record(name: str, path: Path) -> FileRecord:
    status = path.stat()
    return _hashed(path, status.st_size, status.st_mtime_ns, _is_weights(name))


@lru_cache(maxsize=10_000)
def _hashed(path: Path, size: int, changed: int, large: bool) -> FileRecord:  # noqa: ARG001  # part of the key
    sha256 = file_sha256(path) if large else None
    return FileRecord(size, sha256 or file_git_hash(path), sha256, recorded=False)


# --- checkpoints of open_clip on the Hub ---


_RETRIES = RetryPolicy(patience=120.0)


@dataclass(frozen=True)
class HubRun:
    """The epoch checkpoints of one run, at the newest commit of their repository.

    Attributes:
        repo_id, repo_type: the repository, and whether it is a `model` or a `dataset`.
        commit: of the repository.
        checkpoints: size and hash of each file by its path in the repository, in the order of the epochs.
        licence, datasets: from the repository's card.
    """

    repo_id: str
    repo_type: str
    commit: str
    checkpoints: Mapping[str, FileRecord]
    licence: str | None = None
    datasets: tuple[str, ...] = ()

    @contextmanager
    def downloaded(self, path: str, token: str | None = None) -> Iterator[Path]:
        """One checkpoint on the disk, deleted after the `with` block, unless the Hub client's cache has it."""
        where = {"repo_type": self.repo_type, "revision": self.commit}
        cached = try_to_load_from_cache(self.repo_id, path, **where)
        if isinstance(cached, str) and Path(cached).is_file():
            yield Path(cached)
            return
        with tempfile.TemporaryDirectory(prefix="clipdyn-downloads-") as folder:
            fetch = partial(HfApi(token=token).hf_hub_download, self.repo_id, path, local_dir=folder, **where)
            try:
                file = Path(attempt(fetch, _RETRIES))
            except Exception as error:
                raise RevisionError(f"{path} could not be fetched: {reason(error)}.") from error
            yield file


def find_run(repo_id: str, run: str | None = None, token: str | None = None) -> HubRun:
    """The epoch checkpoints of one run in a model or data-set repository. Nothing is downloaded.

    ``run`` is the folder with its `epoch_N.pt`, or the last part of its path; None if there is only one.
    """
    api = HfApi(token=token)
    info: Any  # ModelInfo or DatasetInfo
    for repo_type in ("model", "dataset"):
        ask = partial(api.repo_info, repo_id, repo_type=repo_type, files_metadata=True)
        try:
            info = attempt(ask, _RETRIES, reached=False)
            break
        except RepositoryNotFoundError:
            continue
        except Exception as error:
            raise RevisionError(f"{repo_id} on the Hub could not be read: {reason(error)}.") from error
    else:
        raise RevisionNotFoundError(f"There is no model or data set {repo_id} on the Hub.")
    runs: dict[str, dict[str, FileRecord]] = defaultdict(dict)
    for file in sorted(info.siblings or [], key=lambda sibling: natural_key(sibling.rfilename)):
        path = PurePosixPath(file.rfilename)
        if path.suffix in CHECKPOINT_SUFFIXES and epoch_of(path.stem) is not None:
            sha256 = file.lfs.sha256 if file.lfs else None
            record = FileRecord(file.size or 0, sha256 or file.blob_id or "", sha256)
            runs[path.parent.as_posix()][str(path)] = record
    datasets = getattr(info.card_data, "datasets", None) or ()
    return HubRun(
        repo_id,
        repo_type,
        str(info.sha),
        runs[_folder(runs, run, repo_id)],
        licence=getattr(info.card_data, "license", None),
        datasets=(datasets,) if isinstance(datasets, str) else tuple(datasets),
    )


def _folder(runs: Iterable[str], run: str | None, repo_id: str) -> str:
    """The folder of the run of that name, or of the only one."""
    named = {folder: PurePosixPath(folder).name for folder in runs}
    folders = [folder for folder, name in named.items() if run in (None, folder, name)]
    if not named:
        raise ConfigError(f"{repo_id} has no epoch checkpoints, which are named like epoch_3.pt.")
    if run is None and len(named) > 1:
        raise ConfigError(
            f"{repo_id} has {len(named)} folders of epoch checkpoints: choose one as {repo_id}/FOLDER "
            f"({', '.join(sorted(named.values())[:8])} …)."
        )
    if not folders:
        raise UnknownNameError(f"run in {repo_id}", str(run), named.values())
    return folders[0]


class HubCheckpoints:
    """The checkpoints of one run on the Hub as revisions: a `ReadableRepository`.

    A commit is made from the content, so that a copy of the same checkpoints on the disk has the same commits.
    """

    on_disk = False

    def __init__(self, repo_id: str, run: str | None, model: str, *, token: str | None = None) -> None:
        self.where = f"{repo_id}{'' if run is None else f'/{run}'} on the Hub"
        self._repo_id, self._name, self._token = repo_id, run, token
        self._read_as = read_as_open_clip(model)
        self._run: HubRun | None = None
        self._paths: dict[str, str] = {}

    def refs(self) -> dict[str, str]:
        """The epochs by the names of their revisions; the Hub is asked again, since a run may go on."""
        try:
            self._run = find_run(self._repo_id, self._name, self._token)
        except RevisionNotFoundError as error:
            raise RevisionNotFoundError(f"{error} There is no folder of that name here either.") from error
        refs: dict[str, str] = {}
        self._paths = {}
        for path, record in self._run.checkpoints.items():
            file = PurePosixPath(path)
            epoch = epoch_of(file.stem)
            assert epoch is not None
            if epoch_name(epoch) in refs:
                raise ConfigError(f"{self.where} has two checkpoints of epoch {epoch}.")
            refs[epoch_name(epoch)] = commit = content_id({file.name: record}, self._read_as)
            self._paths[commit] = path
        return {MAIN: list(refs.values())[-1]} | refs

    def files(self, commit: str) -> dict[str, FileRecord]:
        run, path = self._at(commit)
        return {PurePosixPath(path).name: run.checkpoints[path]}

    @contextmanager
    def fetched(self, commit: str, path: str) -> Iterator[Path]:  # noqa: ARG002 (there is one file)
        run, name = self._at(commit)
        with run.downloaded(name, self._token) as file:
            yield file

    def read(self, commit: str, path: str) -> bytes:
        with self.fetched(commit, path) as file:
            return file.read_bytes()

    def absent_files(self, commit: str) -> list[str]:  # noqa: ARG002
        return []  # the Hub serves what it lists

    def _at(self, commit: str) -> tuple[HubRun, str]:
        """The run and the path of the checkpoint with that commit."""
        if self._run is None:
            self.refs()
        if self._run is None or commit not in self._paths:
            raise RevisionNotFoundError(f"{self.where} has no checkpoint with the commit {commit}.")
        return self._run, self._paths[commit]
