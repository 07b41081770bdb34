"""Folders of models: a Trainer's output with its checkpoints, one of these, or one model; and adapters' base models."""

import math
import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from hf_clipdyn.errors import RevisionError, RevisionNotFoundError, naming
from hf_clipdyn.hub import valid_repo_name
from hf_clipdyn.models import snapshots
from hf_clipdyn.models.settings import PROCESSOR_FILES
from hf_clipdyn.models.snapshots import model_files
from hf_clipdyn.revisions import records
from hf_clipdyn.revisions.names import MAIN, step_name, training_order
from hf_clipdyn.revisions.series import Revision, Series

_CHECKPOINT = re.compile(r"checkpoint-(\d{1,18})")
_STATE = "trainer_state.json"


# --- what a Trainer writes ---


class Logged(BaseModel):
    """An entry of the `log_history` of a Trainer."""

    step: int = 0
    loss: float | None = None
    eval_loss: float | None = None
    learning_rate: float | None = None


class _TrainerState(BaseModel):
    global_step: int | None = None
    epoch: float | None = None
    log_history: tuple[Logged, ...] = ()


def logged_values(history: Iterable[Logged], step: int | None) -> dict[str, Any]:
    """What a Trainer's log says of a step: the last loss and learning rate, and the validation loss at that step."""
    values: dict[str, Any] = {}
    for entry in history:
        if step is not None and entry.step <= step:
            values |= entry.model_dump(include={"loss", "learning_rate"}, exclude_none=True)
        if entry.step == step and entry.eval_loss is not None:
            values["validation_loss"] = entry.eval_loss
    return {name: value for name, value in values.items() if math.isfinite(value)}


def checkpoint_name(folder: Path) -> str | None:
    """The revision that a folder is as a whole checkpoint of a Trainer; None for any other folder."""
    match = _CHECKPOINT.fullmatch(folder.name)
    return None if match is None or not (folder / _STATE).is_file() else step_name(int(match[1]))


def _state(folder: Path) -> _TrainerState:
    """What the `trainer_state.json` in a folder says; nothing if that is not there."""
    path = folder / _STATE
    if not path.is_file():
        return _TrainerState()
    content = path.read_bytes()  # FileNotFoundError says that a Trainer has just removed the checkpoint
    with naming(path, RevisionError):
        return _TrainerState.model_validate_json(content)


# --- the models ---


def files_of_model(folder: Path, shared: Path) -> dict[str, Path]:
    """The files of the model in a folder by name; none if there is neither a whole model nor adapters alone.

    An image processor or a tokenizer that it lacks may be in the folder ``shared``.
    """
    files, beside = model_files(folder), model_files(shared)
    weights = [name for name in files if records.is_weights(name)]
    is_adapter = snapshots.has_adapter(folder) and weights == [snapshots.ADAPTER_WEIGHTS]
    is_whole = weights and "config.json" in files and not snapshots.has_adapter(folder)
    if not (is_adapter or is_whole):
        return {}
    for group in (PROCESSOR_FILES, {*snapshots.PROCESSOR_NAMES} - {*PROCESSOR_FILES}):
        if files.keys().isdisjoint(group):
            files |= {name: beside[name] for name in group if name in beside}
    return files


class Folder(Series):
    """A Trainer's output folder, one of its checkpoints, or a model.

    A folder has no commits: a hash of its model files takes their place, so that a changed folder is a new state.

    ::

        out/                        what `TrainingArguments(output_dir="out")` leaves
            checkpoint-500/         the revision step-00000500
                config.json, model.safetensors, …
                trainer_state.json  its step, epoch and loss; written after the weights
            config.json, …          `main`, if the model was saved here at the end
            preprocessor_config.json, tokenizer.json, …  also of the checkpoints that lack them
    """

    def __init__(self, folder: Path, token: str | None = None) -> None:
        self._only, self._token = checkpoint_name(folder), token
        self._folder = folder if self._only is None else folder.parent
        self.repo_id, self.where = valid_repo_name(self._folder.name), str(self._folder)

    def models(self) -> dict[str, Path]:
        """The folder of each checkpoint by step, and that of the model that was saved at the end, as `main`."""
        folders = {checkpoint_name(folder): folder for folder in self._folder.iterdir()}
        models = {name: folder for name, folder in folders.items() if name and self._only in (None, name)}
        if self._only is None and self.files(self._folder):
            models[MAIN] = self._folder
        return dict(sorted(models.items(), key=lambda model: training_order(model[0], None)))

    def files(self, folder: Path) -> dict[str, Path]:
        """The files of the model in one of these folders."""
        return files_of_model(folder, self._folder)

    def revisions(self) -> list[Revision]:
        models = self.models()
        if not models:
            raise RevisionNotFoundError(f"{self.where} no longer contains a model.")
        read = [self._revision(*model) for model in models.items()]
        *others, last = [revision for revision, _ in read]
        # The newest state has logged more of a step than the checkpoint of that step.
        history = max((state for _, state in read), key=lambda state: state.global_step or 0).log_history
        is_twice = last.name == MAIN and last.commit in {revision.commit for revision in others}
        listed = others if is_twice else [*others, last]
        return [replace(revision, **logged_values(history, revision.step)) for revision in listed]

    def _revision(self, name: str, folder: Path) -> tuple[Revision, _TrainerState]:
        try:
            files = {path: records.record_of(file) for path, file in self.files(folder).items()}
            commit = records.content_id(files, _base_content(folder) if files else "")
            state = _state(folder)
        except FileNotFoundError as error:  # a Trainer removes its earlier checkpoints
            raise self.changed() from error
        if name not in (MAIN, checkpoint_name(folder)):
            raise self.changed()
        weights, epoch = records.weights_of(files), state.epoch
        whole = int(epoch) if epoch is not None and epoch.is_integer() else None
        of_weights: dict[str, Any] = {"sha256": weights.sha256, "size": weights.size or None}
        return Revision(name, whole, state.global_step, commit=commit, **of_weights), state

    def fetch(self, revision: Revision, *, settings_only: bool = False) -> Path:
        folder = self.models().get(revision.name)
        if folder is None or self._revision(revision.name, folder)[0].commit != revision.commit:
            raise self.changed()
        files = self.files(folder)
        whole = with_base(folder, self._token, settings_only=settings_only, pinned=False) if files else {}
        return self.together(revision, {**whole, **files})


# --- the base models of adapters ---


def with_base(
    folder: Path, token: str | None = None, *, settings_only: bool = False, pinned: bool = True
) -> dict[str, Path]:
    """The model files in a folder; of adapters, with those of the model that they were trained on.

    Version 0.3 published adapters with the commit of that model, or with a hash of its files if it is a folder. What a
    Trainer saves of a `PeftModel` names no commit; it is read with ``pinned=False``.

    Raises:
        RevisionError: the folder that they name has other files by now.
        RevisionNotFoundError: the Hub has no such commit.
        ModelError: they name no model, or not its commit.
    """
    files = model_files(folder)
    if not snapshots.has_adapter(folder):
        return files
    name, commit = snapshots.adapter_base(folder, pinned=pinned)
    if Path(name).is_absolute() or (not pinned and os.path.isdir(name)):  # noqa: PTH112  # for any text
        base = Path(name).absolute()
        if not files_of_model(base, base) or (pinned and records.content_of(base) != commit):
            raise RevisionError(
                f"Put back the base model in {name}, whose files are not there or have changed."
            )
    else:
        base = snapshots.snapshot_folder(name, commit, token=token, settings_only=settings_only)
    return model_files(base) | files


def _base_content(folder: Path) -> str:
    """The content of the folder that adapters name; empty for other models, and for a base model on the Hub."""
    name = snapshots.adapter_base(folder, pinned=False)[0] if snapshots.has_adapter(folder) else ""
    return records.content_of(Path(name)) if os.path.isdir(name) else ""  # noqa: PTH112  # for any text
