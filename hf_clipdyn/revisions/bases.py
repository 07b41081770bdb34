"""The model on which adapters were trained, which is read before them."""

import os
from pathlib import Path

from hf_clipdyn.errors import RevisionError, shown
from hf_clipdyn.models.adapters import adapter_base
from hf_clipdyn.models.snapshots import snapshot_folder
from hf_clipdyn.revisions.folders import ModelFolder
from hf_clipdyn.schema import is_repo_id


def base_folder(
    adapters: Path, token: str | None = None, *, settings_only: bool = False, pinned: bool = True
) -> Path:
    """Folder with the files of the model on which adapters were trained.

    Version 0.3 published adapters with the commit of that model, or with a hash of its files if it is a folder. What a
    Trainer saves of a `PeftModel` names no commit; it is read with ``pinned=False``.

    Raises:
        RevisionError: the folder that they name has other files by now.
        RevisionNotFoundError: the Hub has no such commit.
        ModelError: they name no model, or not its commit.
    """
    name, commit = adapter_base(adapters, pinned=pinned)
    if Path(name).is_absolute() or (not pinned and os.path.isdir(name)):  # noqa: PTH112  # for any text
        base = ModelFolder.of(Path(name))
        if not base.files or (pinned and base.commit != commit):
            raise RevisionError(
                f"The adapters were trained on the model in {name}, whose files are not there or have changed: put "
                "them back."
            )
        return Path(name).absolute()
    if not is_repo_id(name):
        raise RevisionError(
            f"The adapters name the base model {shown(name)}, which is not a name on the Hub."
        )
    return snapshot_folder(name, commit, token=token, settings_only=settings_only)
