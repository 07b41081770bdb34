"""What a user names becomes revisions: the folder of a run or of models, a repository on the Hub, or a kept store."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import constants

from hf_clipdyn.errors import ConfigError, RevisionNotFoundError, render_table, shorten, shown
from hf_clipdyn.hub import is_repo_id
from hf_clipdyn.models.settings import PROCESSOR_FILES
from hf_clipdyn.models.snapshots import PROCESSOR_NAMES, model_files, snapshot_folder
from hf_clipdyn.revisions.folders import Folder
from hf_clipdyn.revisions.manifest import MANIFEST_FILE
from hf_clipdyn.revisions.names import MAIN, OPEN_CLIP, Name
from hf_clipdyn.revisions.published import CachedRun, HubRun, shown_path
from hf_clipdyn.revisions.series import Revision, Series
from hf_clipdyn.revisions.store import Store, check_version

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# What is printed of a revision beside its name, and in which form.
_PRINTED = {"epoch": ",", "step": ",", "samples_seen": ",", "loss": ".4f", "commit": ".12", "sha256": ".12"}


def open_series(
    name: Name,
    store: Name | None = None,
    token: str | None = None,
    *,
    samples_per_epoch: int | None = None,
    processor: Name | None = None,
) -> Series:
    """The revisions that a name means. No request goes to the Hub yet.

    A folder is, in this order: a run of this package; a Trainer's output folder with its `checkpoint-*`, or one of
    these; a model. `open_clip:ViT-B-32@PLACE` is a checkpoint file of open_clip's training, or a folder of
    `epoch_N.pt`: a path here, else `owner/name/FOLDER` in a repository on the Hub. `local/NAME` is a run below
    `./runs`. Any other name is a repository on the Hub or, with ``store``, in a store of version 0.3.

    Args:
        name: of the revisions.
        store: folder of a store that version 0.3 wrote.
        token: of the Hub.
        samples_per_epoch: images of an epoch of open_clip's training, if known.
        processor: folder of a processor, or the name of a repository that has one, for revisions that have none.

    Raises:
        ConfigError: it means none of these, or there is no processor.
        RevisionNotFoundError: there is no such `local/NAME`, or HF_HUB_OFFLINE is set and the client's cache has no
            such repository.

    Examples:
        >>> from hf_clipdyn.revisions import open_series
        >>> open_series("runs/demo").revisions()[-1].name
        'epoch-003'
    """
    text = os.fspath(name)
    if text.startswith(OPEN_CLIP):
        from hf_clipdyn.revisions.importing import OpenClipSeries

        model, _, place = text.removeprefix(OPEN_CLIP).partition("@")
        series: Series = OpenClipSeries(model, [place], token, samples_per_epoch)
    else:
        series = _named(text, store, token)
    if processor is not None:
        series.processor = _processor_files(processor, token)
    return series


def _processor_files(processor: Name, token: str | None) -> dict[str, Path]:
    folder = Path(processor).expanduser().absolute()  # links lead to it
    if not folder.is_dir():
        folder = snapshot_folder(os.fspath(processor), MAIN, token=token, settings_only=True)
    files = {name: path for name, path in model_files(folder).items() if name in PROCESSOR_NAMES}
    if files.keys().isdisjoint(PROCESSOR_FILES):
        raise ConfigError(f"{processor} contains no processor: expected {' or '.join(PROCESSOR_FILES)}.")
    return files


def _named(text: str, store: Name | None, token: str | None) -> Series:
    folder = Path(os.path.expanduser(text))  # noqa: PTH111  # Path's own raises for an unknown user
    is_folder = bool(text) and os.path.isdir(folder)  # noqa: PTH112  # nor does this, for any text
    if store is not None and is_repo_id(text):
        stored = CachedRun(text, Path(store).absolute(), token)
        if stored.folder.is_dir() or not is_folder:
            return stored
    if is_folder:
        return _in_folder(folder.absolute(), token)
    if not is_repo_id(text) or os.path.isfile(folder):  # noqa: PTH113
        raise ConfigError(
            f"{shown(text)} is neither a folder here nor a name that the Hub accepts: give owner/name, or a folder "
            "with a run, a Trainer's checkpoints or a model."
        )
    run = run_here(text) if text.startswith("local/") or "/" not in text else None
    if run is not None:
        return run
    if text.startswith("local/"):
        raise RevisionNotFoundError(f"There is no run {text} below ./runs. {runs_here()}")
    if not constants.HF_HUB_OFFLINE:
        return HubRun(text, token)
    cached = CachedRun(text, Path(constants.HF_HUB_CACHE), token)
    if cached.folder.is_dir():
        return cached
    raise RevisionNotFoundError(f"There is no {cached.where}, and HF_HUB_OFFLINE is set. {runs_here()}")


def _in_folder(folder: Path, token: str | None) -> Series:
    check_version(folder)
    if (folder / "revisions").is_dir():
        return Store(folder)
    series = Folder(folder, token)
    if any(map(series.files, series.models().values())):
        return series
    if runs := _runs_below(folder):
        hint = f"It contains runs: give one or several of them, for example {runs[0]}."
    elif epochs := [*folder.glob("epoch_*.pt"), *folder.glob("checkpoints/epoch_*.pt")]:
        hint = f"It contains checkpoints of open_clip: give {OPEN_CLIP}MODEL@{epochs[0].parent}."
    else:
        hint = (
            "Expected config.json beside model.safetensors (merge an adapter into its model first), a Trainer's "
            "checkpoint-* folders, or the output_dir of `clipdyn train`."
        )
    raise ConfigError(f"The folder {folder} contains no model. {hint}")


# --- runs on this machine ---


def _runs_below(folder: Path) -> list[Path]:
    """The folders of runs in a folder, and those of studies in it."""
    patterns = [f"{depth}/revisions/*/{MANIFEST_FILE}" for depth in ("*", "*/*")]
    return sorted({path.parents[2] for pattern in patterns for path in folder.glob(pattern)})


def run_here(repo_id: str) -> Store | None:
    """The run of that name below `./runs`; None if there is none."""
    found = _runs_called(repo_id, _runs_below(Path("runs").absolute()))
    if len(found) > 1:
        folders = " or ".join(shown_path(run.run) for run in found[:4])
        raise ConfigError(f"Several runs are called {repo_id}: give a folder, {folders}.")
    return found[0] if found else None


def runs_here() -> str:
    """A sentence on the folders of runs below `./runs`."""
    folders = shorten(", ".join(map(shown_path, _runs_below(Path("runs").absolute()))))
    return f"Runs are in {folders}: give such a folder." if folders else "No folder below ./runs has a run."


def run_beside(repo_id: str, tables: Sequence[Path]) -> Store | None:
    """The run of that name beside one of these tables of results; None if there is none."""
    folders = dict.fromkeys(table.absolute().parent for table in tables)
    return next(iter(_runs_called(repo_id, folders)), None)


def _runs_called(repo_id: str, folders: Iterable[Path]) -> list[Store]:
    runs = (Store(folder) for folder in folders if (folder / "revisions").is_dir())
    return [run for run in runs if run.repo_id == repo_id]


def open_measured(repo_id: str, tables: Sequence[Path], store: Name | None = None) -> Series:
    """The revisions of a run in tables of results: of the run beside a table, or as for `open_series`.

    ``store`` is the folder of the run, if it is elsewhere, or a store of version 0.3.
    """
    if store is not None and (Path(store) / "revisions").is_dir():
        return Store(Path(store).absolute())
    beside = run_beside(repo_id, tables) if store is None else None
    return beside or open_series(repo_id, store)


# --- lists and models ---


def list_revisions(repo_id: Name, store: Name | None = None, token: str | None = None) -> list[Revision]:
    """The revisions of a run, a repository or a folder of models, in training order.

    Without a manifest, the numbers in the names give the order; `main` is then listed last, if no other branch has its
    commit.

    Args:
        repo_id: a folder with a run, with a Trainer's checkpoints or with one model; or `owner/name`; or
            `open_clip:MODEL@PLACE`.
        store: a store of version 0.3, which is read instead of the Hub.
        token: token of the Hub; None for the stored one.

    Returns:
        A `Revision` for each, the initialisation first.

    Raises:
        ConfigError: the folder contains none of these, or the Hub could have no such repository.
        RevisionNotFoundError: there is no such repository.
        RevisionError: its manifest or a `trainer_state.json` cannot be read.

    Examples:
        >>> from hf_clipdyn import list_revisions
        >>> [revision.name for revision in list_revisions("runs/demo")]
        ['epoch-000', 'epoch-001', 'epoch-002', 'epoch-003']
    """
    return open_series(repo_id, store, token).revisions()


def load_revision(
    run: Name, name: str = MAIN, *, store: Name | None = None, token: str | None = None, **kwargs: Any
) -> "PreTrainedModel":
    """The model of a revision as `AutoModel` reads it, adapters merged, without running any code of others.

    Args:
        run: as for `list_revisions`; `owner/name@revision` names a revision as well.
        name: the revision; `main` is the newest one.
        store: a store of version 0.3, which is read instead of the Hub.
        token: token of the Hub; None for the stored one.
        kwargs: for `from_pretrained`, such as ``dtype``.

    Raises:
        RevisionNotFoundError: there is no such revision.

    Examples:
        >>> from hf_clipdyn import load_revision
        >>> type(load_revision("runs/demo", "epoch-003")).__name__
        'CLIPModel'
    """
    from hf_clipdyn.models.encoder import read_config, read_model

    text = os.fspath(run)
    if "@" in text and not text.startswith(OPEN_CLIP) and not Path(text).exists():
        text, _, name = text.rpartition("@")
    series = open_series(text, store, token)
    listed = series.revisions()
    by_name = {known: revision for revision in listed for known in (MAIN, revision.name)}
    if name not in by_name:
        names = shorten(", ".join(by_name)) or "none at all"
        raise RevisionNotFoundError(f"{series.repo_id} has no revision {shown(name)}, but {names}.")
    folder = series.fetch(by_name[name])
    return read_model(folder, read_config(folder), **kwargs)


def render(revisions: Sequence[Revision], *, as_json: bool = False) -> str:
    """The revisions as a table for the terminal, or as a JSON list with whole hashes."""
    if as_json:
        return json.dumps([asdict(revision) for revision in revisions], indent=1)
    rows = [
        {"revision": values["name"]}
        | {
            name.replace("_", " "): "-" if values[name] is None else format(values[name], form)
            for name, form in _PRINTED.items()
        }
        for values in map(vars, revisions)
    ]
    return render_table(rows) if rows else "There are no revisions."
