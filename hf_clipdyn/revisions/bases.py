"""The model on which published adapters were trained: pinned when they are published, read before them."""

import os
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants

from hf_clipdyn.cards import Parent
from hf_clipdyn.errors import ConfigError, RevisionError, shown
from hf_clipdyn.files import cached_snapshot
from hf_clipdyn.models.adapters import adapter_base
from hf_clipdyn.models.snapshots import snapshot_folder
from hf_clipdyn.revisions.folders import ModelFolder
from hf_clipdyn.revisions.names import Name
from hf_clipdyn.schema import is_repo_id

__all__ = ["PinnedModel", "base_folder", "pinned_model"]


@dataclass(frozen=True)
class PinnedModel:
    """One state of a model.

    Attributes:
        name: `owner/name` on the Hub, or the absolute path of a folder.
        commit: of the repository, or a hash of the folder's files in its place.
        folder: with its files.
    """

    name: str
    commit: str
    folder: Path

    @property
    def as_parents(self) -> tuple[Parent, ...]:
        """As a card names it; a folder of this machine is not named."""
        return () if Path(self.name).is_absolute() else (Parent(self.name, commit=self.commit),)


def pinned_model(name: Name, token: str | None = None) -> PinnedModel:
    """The model in a folder, or `owner/name` or `owner/name@revision` on the Hub, as it is now.

    Raises:
        ConfigError: it is neither.
        RevisionNotFoundError: the Hub has no such model.
    """
    text = os.fspath(name)
    path = Path(text).expanduser().absolute()
    if path.is_dir():
        model, cached = ModelFolder.of(path), cached_snapshot(path)
        in_cache = path.resolve().is_relative_to(Path(constants.HF_HUB_CACHE).resolve())
        if model.files and cached is not None and in_cache:  # by this name and commit it is found again
            return PinnedModel(*cached, path)
        if model.files:
            return PinnedModel(str(path), model.commit, path)
    repo_id, _, revision = text.partition("@")
    if path.is_dir() or not is_repo_id(repo_id):
        raise ConfigError(
            f"base_model is {shown(text)}: give owner/name or owner/name@revision of a model on the Hub, or a folder "
            "with config.json and model.safetensors."
        )
    folder = snapshot_folder(repo_id, revision or "main", token=token)
    return PinnedModel(repo_id, folder.name, folder)


def base_folder(adapters: Path, token: str | None = None, *, settings_only: bool = False) -> Path:
    """Folder with the files of the model on which adapters were trained, in the state that they name.

    Raises:
        RevisionError: the folder that they name has other files by now.
        RevisionNotFoundError: the Hub has no such commit.
        ModelError: they name no model with its commit.
    """
    name, commit = adapter_base(adapters)
    if Path(name).is_absolute():
        if ModelFolder.of(Path(name)).commit != commit:
            raise RevisionError(
                f"The adapters were trained on the model in {name}, whose files are not there or have changed: put "
                "them back."
            )
        return Path(name)
    if not is_repo_id(name):
        raise RevisionError(
            f"The adapters name the base model {shown(name)}, which is not a name on the Hub."
        )
    return snapshot_folder(name, commit, token=token, settings_only=settings_only)
