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
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hf_clipdyn.errors import ConfigError, ModelError, RevisionError, RevisionNotFoundError
from hf_clipdyn.files import file_git_hash, file_sha256
from hf_clipdyn.models.open_clip import CHECKPOINT_SUFFIXES
from hf_clipdyn.models.settings import PROCESSOR_FILES
from hf_clipdyn.models.snapshots import model_files, weight_files
from hf_clipdyn.revisions.names import epoch_name, epoch_of, natural_key, step_name
from hf_clipdyn.revisions.repository import MAIN, FileRecord, FilesOnDisk
from hf_clipdyn.schema import Count, read_json

__all__ = [
    "FolderRepository",
    "ModelFolder",
    "Progress",
    "checkpoint_name",
    "content_id",
    "models_of",
    "open_clip_models",
    "read_as_open_clip",
]

_CHECKPOINT = re.compile(r"checkpoint-(\d{1,18})")
_STATE = "trainer_state.json"
_ADAPTER = "adapter_config.json"  # transformers would load the adapter's base model, from wherever it says


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
        files: its model files by name; empty where there is no whole model, as in the folder of an adapter.
        read_as: what else decides the model: the architecture of a checkpoint that does not say it.
    """

    path: Path
    files: Mapping[str, Path]
    read_as: str = ""

    @classmethod
    def of(cls, path: Path, shared: Path | None = None) -> "ModelFolder":
        """The model in a folder; the image processor and the tokenizer may be in the folder ``shared``."""
        own = model_files(path)
        if "config.json" not in own or not any(map(_is_weights, own)) or (path / _ADAPTER).exists():
            return cls(path, {})
        beside = {} if shared is None else model_files(shared)
        tokenizer = {name for name in beside if not _is_weights(name)} - {"config.json", *PROCESSOR_FILES}
        lacking = [group for group in (PROCESSOR_FILES, tokenizer) if own.keys().isdisjoint(group)]
        borrowed = {name: beside[name] for group in lacking for name in group if name in beside}
        return cls(path, own | borrowed)

    @property
    def records(self) -> dict[str, FileRecord]:
        """Size and hash of each file; a file is hashed again only after a change."""
        return {name: _record(name, path) for name, path in sorted(self.files.items())}

    @property
    def commit(self) -> str:
        """40 hexadecimal digits made from the content."""
        return content_id(self.records, self.read_as + (str(self.path) if not self.files else ""))

    @property
    def progress(self) -> Progress:
        """From `trainer_state.json`, if it is there.

        Raises:
            RevisionError: it cannot be read, or gives another step than the folder's name.
        """
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
    found = _CHECKPOINT.fullmatch(folder.name)
    return None if found is None or not (folder / _STATE).is_file() else step_name(int(found[1]))


def models_of(folder: Path) -> dict[str, ModelFolder]:
    """The model of a folder as `main`, after the Trainer's checkpoints in it."""
    named = {name: path for path in folder.iterdir() if (name := checkpoint_name(path))}
    found = {name: ModelFolder.of(named[name], folder) for name in sorted(named, key=natural_key)}
    own = ModelFolder.of(folder)
    return found | ({MAIN: own} if own.files else {})


def open_clip_models(path: Path, model: str) -> dict[str, ModelFolder]:
    """One checkpoint of open_clip, or those in a folder that are named by their epoch, `epoch_3.pt`."""
    files = sorted(path.iterdir(), key=lambda file: natural_key(file.name)) if path.is_dir() else [path]
    found = {}
    for file in files:
        epoch = epoch_of(file.stem)
        if file.is_file() and file.suffix in CHECKPOINT_SUFFIXES and (epoch is not None or file == path):
            name = MAIN if epoch is None else epoch_name(epoch)
            if name in found:
                raise ConfigError(f"{path} has two checkpoints of epoch {epoch}: remove one.")
            found[name] = ModelFolder(file.parent, {file.name: file}, read_as=read_as_open_clip(model))
    return found


def read_as_open_clip(model: str) -> str:
    """What decides a model beside its checkpoint: open_clip's name of the architecture."""
    return f"open_clip {model}"


def content_id(records: Mapping[str, FileRecord], read_as: str = "") -> str:
    """40 hexadecimal digits in place of a commit, made from the content of files and what else decides the model."""
    listing = "".join(f"{name}\0{record.blob}\n" for name, record in sorted(records.items()))
    return hashlib.sha256((read_as + listing).encode()).hexdigest()[:40]


class FolderRepository(FilesOnDisk):
    """The models of a folder: a `ReadableRepository`. What is added to the folder later is found.

    Args:
        where: the folder, for messages.
        models: gives the models by the names of their revisions, in order.
    """

    def __init__(self, where: Path, models: Callable[[], dict[str, ModelFolder]]) -> None:
        self.where, self.models = str(where), models

    def model(self, commit: str) -> ModelFolder:
        """The model with that content.

        Raises:
            RevisionNotFoundError: the folder has changed.
        """
        for model in self.models().values():
            if model.commit == commit:
                return model
        raise RevisionNotFoundError(f"{self.where} has changed since it was listed: repeat the command.")

    def checkpoint(self, commit: str) -> Path:
        """The only file of a model: the checkpoint of open_clip that it is read from."""
        (file,) = self.model(commit).files.values()
        return file

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
            if "config.json" in model.files:
                weight_files(model.path)
        except ModelError as error:
            raise RevisionError(str(error)) from error
        return []

    def _file(self, commit: str, path: str) -> Path:
        try:
            return self.model(commit).files[path]
        except KeyError as error:
            raise RevisionNotFoundError(f"{self.where} has no file {path} at commit {commit}.") from error


def _is_weights(name: str) -> bool:
    return any(suffix in name for suffix in (".safetensors", ".bin", ".pt"))  # of an index too


def _record(name: str, path: Path) -> FileRecord:
    status = path.stat()
    return _hashed(path, status.st_size, status.st_mtime_ns, _is_weights(name))


@lru_cache(maxsize=10_000)
def _hashed(path: Path, size: int, changed: int, large: bool) -> FileRecord:  # noqa: ARG001  # part of the key
    sha256 = file_sha256(path) if large else None
    return FileRecord(size, sha256 or file_git_hash(path), sha256, recorded=False)
