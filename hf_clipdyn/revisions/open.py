"""What a user names becomes revisions: the folder of a run or of models, a repository on the Hub, or a kept store."""

import hashlib
import json
import math
import os
import re
import shutil
import weakref
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import TYPE_CHECKING, Any, TypeVar

from huggingface_hub import HfApi, constants, get_session, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError
from huggingface_hub.errors import RevisionNotFoundError as NoRevisionOnHubError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # public, but not marked as re-exported
    build_hf_headers,
    hf_raise_for_status,
)
from pydantic import BaseModel

from hf_clipdyn.errors import (
    ClipDynError,
    ConfigError,
    RevisionError,
    RevisionNotFoundError,
    naming,
    render_table,
    shown,
)
from hf_clipdyn.files import file_git_hash, file_sha256
from hf_clipdyn.hub import is_repo_id, persistently, reason, valid_repo_name
from hf_clipdyn.models.settings import PROCESSOR_FILES
from hf_clipdyn.models.snapshots import (
    ADAPTER_WEIGHTS,
    PROCESSOR_NAMES,
    adapter_base,
    has_adapter,
    model_files,
    snapshot_folder,
)
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, Manifest
from hf_clipdyn.revisions.names import MAIN, OPEN_CLIP, Name, epoch_of, step_name, step_of, training_order
from hf_clipdyn.revisions.series import Revision, Series
from hf_clipdyn.revisions.store import WEIGHTS_FILE, FileRecord, Store

if TYPE_CHECKING:
    from transformers import PreTrainedModel

T = TypeVar("T")

PARALLEL_REQUESTS = 8  # a suite may have over a hundred branches, and each costs a request
_MOST_NAMED = 5
_CHECKPOINT = re.compile(r"checkpoint-(\d{1,18})")
_STATE = "trainer_state.json"

# The names under which public suites keep weights, best first; a suite may have several forms at once.
_WEIGHTS = [
    re.compile(r"model(-\d+-of-\d+)?\.safetensors"),
    re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin"),
    re.compile(r"open_clip_(model|pytorch_model)\.(safetensors|bin)"),
    re.compile(
        r"(?!training_args|optimizer|scheduler|rng_state|random_states|scaler)[^/]+\.(safetensors|bin|pt|pth)"
    ),
]


_OF_ROW = ("step", "samples_seen", "time", "loss", "validation_loss", "learning_rate", "logit_scale")
_OF_RUN = ("scale", "seed", "arm", "parameters")


class Published(Series):
    """A series with branches and a manifest: a run on the disk, on the Hub or in a kept store of version 0.3."""

    _planned: tuple[str, ...] | None = None

    @abstractmethod
    def refs(self) -> dict[str, str]:
        """Branch or tag to commit, `main` included; of folders their names."""

    @abstractmethod
    def files(self, commit: str) -> dict[str, FileRecord]:
        """The files of a commit, from metadata: nothing is downloaded."""

    @abstractmethod
    def fetched(self, commit: str, path: str) -> AbstractContextManager[Path]:
        """A file of a commit on the disk; what must be downloaded is removed afterwards."""

    def read(self, commit: str, path: str) -> bytes:
        """The content of a small file."""
        with self.fetched(commit, path) as file:
            return file.read_bytes()

    def branches(self, refs: dict[str, str]) -> dict[str, str]:
        """Those of the refs that are branches."""
        return refs

    def manifest(
        self, refs: dict[str, str], files: Mapping[str, Mapping[str, FileRecord]]
    ) -> Manifest | None:
        """The manifest on `main`; None if there is none."""
        if MAIN not in refs or MANIFEST_FILE not in files[MAIN]:
            return None
        return Manifest.loads(self.read(refs[MAIN], MANIFEST_FILE), self.where)

    def revisions(self) -> list[Revision]:
        """The revisions in training order; without a manifest, by the numbers in their names.

        `main` is listed, as the last one, only if no other branch has its commit and there is no manifest. Tags of
        other suites count as branches. Those of a run of this package keep what `repair` has replaced.
        """
        refs = self.refs()
        with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
            commits = list(dict.fromkeys(refs.values()))
            listings = dict(zip(commits, pool.map(self.files, commits), strict=True))
        files = {name: listings[commit] for name, commit in refs.items()}
        manifest = self.manifest(refs, files)
        self._planned = manifest.planned if manifest is not None else ()
        rows = {row.name: row for row in manifest.revisions} if manifest is not None else {}
        facts: dict[str, Any] = (
            {name: getattr(manifest, name) for name in _OF_RUN} if manifest is not None else {}
        )
        refs = self.branches(refs) if rows else refs
        if rows or refs.get(MAIN) in [commit for name, commit in refs.items() if name != MAIN]:
            refs.pop(MAIN, None)
        found = []
        for name, commit in refs.items():
            weights, row = weights_of(files[name]), rows.get(name)
            of_row: dict[str, Any] = {field: getattr(row, field, None) for field in _OF_ROW}
            found.append(
                Revision(
                    name=name,
                    epoch=row.epoch if row is not None else epoch_of(name),
                    commit=commit,
                    sha256=weights.sha256 if weights is not None else None,
                    size=weights.size if weights is not None else None,
                    **of_row,
                    **facts,
                )
            )

        def order(one: Revision) -> tuple[bool, tuple[Any, ...]]:
            return one.name == MAIN, training_order(
                one.name, step_of(one.name) if one.step is None else one.step
            )

        return sorted(found, key=order)

    def planned(self) -> tuple[str, ...]:
        if self._planned is None:
            self.revisions()
        return self._planned or ()


class RunFolder(Published):
    """The folders below `revisions` of a run, and what others add to them later."""

    def __init__(self, run: Path, *, tolerant: bool = False) -> None:
        self.store = Store(run, tolerant=tolerant)
        self.where = shown_path(self.store.folder)
        self._name()

    def _name(self) -> None:
        """The run has its name from its first revision on, and may be watched before."""
        manifest = self.store.manifest()
        named = manifest.repo_id if manifest is not None else None
        self.repo_id = named or f"local/{valid_repo_name(self.store.run.name)}"

    def refs(self) -> dict[str, str]:
        self._name()
        names = {name: name for name in self.store.names()}
        if not names:
            raise RevisionNotFoundError(f"{self.where} has no revisions.")
        return names

    def files(self, commit: str) -> dict[str, FileRecord]:
        folder = self.store.folder / commit
        paths = sorted(path for path in folder.rglob("*") if is_inside(path, folder))
        return self._records(folder, {path.relative_to(folder).as_posix(): path for path in paths})

    def _records(self, folder: Path, files: Mapping[str, Path]) -> dict[str, FileRecord]:
        row = self.store.row(folder.name)  # it has the hash of the weights, which take long to read
        records = {path: record_of(file) for path, file in files.items() if path != WEIGHTS_FILE}
        if WEIGHTS_FILE in files:
            size = files[WEIGHTS_FILE].stat().st_size
            records[WEIGHTS_FILE] = FileRecord(size, row.sha256, row.sha256)
        return records

    def manifest(self, refs: Any = None, files: Any = None) -> Manifest | None:  # noqa: ARG002
        return self.store.manifest()

    @contextmanager
    def fetched(self, commit: str, path: str) -> Iterator[Path]:
        yield self.store.folder / commit / path

    def revisions(self) -> list[Revision]:
        return [replace(one, commit=self._commit(one.name)) for one in super().revisions()]

    def _commit(self, name: str) -> str:
        folder = self.store.folder / name
        return content_id(self._records(folder, model_files(folder)))

    def fetch(self, revision: Revision, *, settings_only: bool = False) -> Path:  # noqa: ARG002  (all is here)
        if revision.name not in self.store.names() or self._commit(revision.name) != revision.commit:
            raise _changed(self.where)
        return self.store.folder / revision.name


def shown_path(path: Path) -> str:
    """A path as it is short to type where the reader is."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path is a file of a folder, not a link that leads elsewhere."""
    try:
        return path.is_file() and path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a loop of links
        return False


def _changed(where: str) -> RevisionNotFoundError:
    return RevisionNotFoundError(f"{where} has changed since it was listed: repeat the command.")


# --- repositories ---


class Repository(Published):
    """A repository, whose files the client fetches from the Hub or finds in its ``cache``."""

    def __init__(self, repo_id: str, cache: Path | None = None, token: str | None = None) -> None:
        self.repo_id, self._cache, self._token = repo_id, cache, token
        self._views = _Views()

    def fetch(self, revision: Revision, *, settings_only: bool = False) -> Path:
        """Folder with the files of a revision; of adapters, with those of their base model too."""
        where: dict[str, Any] = {"cache_dir": self._cache, "local_files_only": self._cache is not None}
        where |= {"token": self._token, "settings_only": settings_only}
        folder = snapshot_folder(self.repo_id, revision.commit, **where)
        if not has_adapter(folder):
            return folder
        base = model_files(base_folder(folder, self._token, settings_only=settings_only))
        return self._views(revision.commit, base | model_files(folder))


class HubRun(Repository):
    """A repository on the Hub."""

    on_disk = False

    def __init__(self, repo_id: str, token: str | None = None) -> None:
        super().__init__(repo_id, token=token)
        self.where, self.api = f"{repo_id} on the Hub", HfApi(token=token)
        self._tags: set[str] = set()

    def check(self) -> None:
        self.refs()

    def refs(self) -> dict[str, str]:
        found = self._ask(lambda: self.api.list_repo_refs(self.repo_id))
        self._tags = {ref.name for ref in found.tags}
        return {ref.name: ref.target_commit for ref in [*found.tags, *found.branches]}

    def branches(self, refs: dict[str, str]) -> dict[str, str]:
        return {name: commit for name, commit in refs.items() if name not in self._tags}

    def files(self, commit: str) -> dict[str, FileRecord]:
        list_tree = partial(self.api.list_repo_tree, self.repo_id, recursive=True, revision=commit)
        return {
            item.path: FileRecord(item.size, item.blob_id, item.lfs.sha256 if item.lfs else None)
            for item in self._ask(lambda: list(list_tree()))
            if isinstance(item, RepoFile)
        }

    @contextmanager
    def fetched(self, commit: str, path: str) -> Iterator[Path]:
        # Not from the user's cache: it may hold what the Hub no longer serves.
        with TemporaryDirectory() as folder:
            download = partial(self.api.hf_hub_download, self.repo_id, path, revision=commit)
            yield Path(self._ask(lambda: str(download(cache_dir=folder))))

    def read(self, commit: str, path: str) -> bytes:
        """The content of a small file, in one request."""
        url = hf_hub_url(self.repo_id, path, revision=commit, endpoint=self.api.endpoint)

        def get() -> bytes:
            response = get_session().get(url, headers=build_hf_headers(token=self.api.token))
            hf_raise_for_status(response)
            return bytes(response.content)

        return self._ask(get)

    def _ask(self, call: Callable[[], T]) -> T:
        try:
            return persistently(call)
        except ClipDynError:
            raise
        except (RepositoryNotFoundError, NoRevisionOnHubError, EntryNotFoundError) as error:
            raise RevisionNotFoundError(
                f"{self.where} does not exist, lacks this revision or file, or the token may not read it "
                f"({reason(error)})."
            ) from error
        except Exception as error:
            raise RevisionError(f"{self.where} could not be read: {reason(error)}.") from error


class CachedRun(Repository):
    """A repository in a cache of the Hub's client: offline, and the stores of version 0.3 (`--store runs/x/hub`)."""

    def __init__(self, repo_id: str, cache: Path) -> None:
        super().__init__(repo_id, cache)
        self.folder = cache / "--".join(["models", *repo_id.split("/")])
        self.where = f"{repo_id} in {shown_path(cache)}"

    def refs(self) -> dict[str, str]:
        root = self.folder / "refs"
        paths = [path for path in sorted(root.rglob("[!.]*")) if path.is_file()]
        refs = {path.relative_to(root).as_posix(): path.read_text(errors="replace")[:50] for path in paths}
        for name, commit in refs.items():
            if not re.fullmatch(r"[0-9a-f]{40}\n?", commit):
                raise RevisionError(f"{root / name} does not contain a commit: delete it.")
        if not refs:
            raise RevisionNotFoundError(f"There is no {self.where}. {runs_here()}")
        return {name: commit.strip() for name, commit in refs.items()}

    def files(self, commit: str) -> dict[str, FileRecord]:
        root = self.folder / "snapshots" / commit
        if not root.is_dir():
            raise RevisionNotFoundError(f"{self.where} has no snapshot of commit {commit}.")
        paths = [path for path in sorted(root.rglob("*")) if is_inside(path, self.folder)]
        return {path.relative_to(root).as_posix(): _linked(path) for path in paths}

    @contextmanager
    def fetched(self, commit: str, path: str) -> Iterator[Path]:
        yield self.folder / "snapshots" / commit / path


def _linked(path: Path) -> FileRecord:
    """A link of a snapshot has the hash in the name of its blob."""
    if not path.is_symlink():
        return record_of(path)
    blob = path.readlink().name
    return FileRecord(path.stat().st_size, blob, blob if len(blob) == 64 else None)


# --- the weights among files ---


@dataclass(frozen=True)
class Weights:
    """The weights of one revision.

    Attributes:
        paths: their file, or several (shards).
        content: names the content: the SHA-256 of the file, or git's object id of a file outside the large
            storage (in mirrors); the hash over these of several files. Only ids of one kind can be compared.
        sha256: the same, where each file has a SHA-256; else None.
        size: in bytes, all files together.
    """

    paths: tuple[str, ...]
    content: str
    sha256: str | None
    size: int


def weights_of(files: Mapping[str, FileRecord]) -> Weights | None:
    """The weights among the files of a commit; None if there are none.

    Files in the large storage come first: a small `.bin` beside the weights does not belong to them.
    """
    large = {path: record for path, record in files.items() if record.sha256}
    for among in (large, files):
        for pattern in _WEIGHTS:
            paths = sorted(path for path in among if pattern.fullmatch(path))
            if paths:
                content = of_shards([files[path].sha256 or files[path].blob for path in paths])
                is_hashed = all(files[path].sha256 for path in paths)
                size = sum(files[path].size for path in paths)
                return Weights(tuple(paths), content, content if is_hashed else None, size)
    return None


def of_shards(ids: Sequence[str]) -> str:
    """The id of weights: that of their only file, or the hash over those of all files."""
    return ids[0] if len(ids) == 1 else hashlib.sha256("".join(ids).encode()).hexdigest()


# --- folders of models ---


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
        if step is None or entry.step > step:
            continue
        of_entry = {"loss": entry.loss, "learning_rate": entry.learning_rate}
        of_entry |= {"validation_loss": entry.eval_loss} if entry.step == step else {}
        values |= {name: value for name, value in of_entry.items() if value is not None}
    return {name: value for name, value in values.items() if math.isfinite(value)}


@dataclass(frozen=True)
class ModelFolder:
    """One model on the disk.

    Attributes:
        path: its folder.
        files: its model files by name; empty where there is neither a whole model nor adapters alone.
        is_adapter: whether it needs the model that its adapters were trained on.
    """

    path: Path
    files: Mapping[str, Path]
    is_adapter: bool = False

    @classmethod
    def of(cls, path: Path, shared: Path | None = None) -> "ModelFolder":
        """The model in a folder; the image processor and the tokenizer may be in the folder ``shared``."""
        own, is_adapter = model_files(path), has_adapter(path)
        weights = [name for name in own if _is_weights(name)]
        if not (weights == [ADAPTER_WEIGHTS] if is_adapter else weights and "config.json" in own):
            return cls(path, {})
        beside = {} if shared is None else model_files(shared)
        tokenizer = {name for name in beside if not _is_weights(name)} - {"config.json", *PROCESSOR_FILES}
        lacking = [group for group in (PROCESSOR_FILES, tokenizer) if own.keys().isdisjoint(group)]
        added = {name: beside[name] for group in lacking for name in group if name in beside}
        return cls(path, own | added, is_adapter)

    def revision(self, name: str) -> Revision:
        """The revision of that name.

        Raises:
            RevisionNotFoundError: a file is no longer there: a Trainer removes its earlier checkpoints.
        """
        try:
            records = {path: record_of(file) for path, file in sorted(self.files.items())}
            read_as, state = _base_of(self.path) if self.is_adapter else "", self.state()
        except FileNotFoundError as error:
            raise _changed(str(self.path)) from error
        weights = weights_of(records)
        is_whole = state.epoch is not None and state.epoch.is_integer()
        return Revision(
            name=name,
            epoch=int(state.epoch or 0) if is_whole else None,
            step=state.global_step,
            samples_seen=None,
            commit=content_id(records, read_as),
            sha256=weights.sha256 if weights is not None else None,
            size=weights.size if weights is not None else None,
        )

    def state(self) -> _TrainerState:
        """What its `trainer_state.json` says; nothing if that is not there."""
        path = self.path / _STATE
        if not path.is_file():
            return _TrainerState()
        with naming(path, RevisionError):
            state = _TrainerState.model_validate_json(path.read_bytes())
        if checkpoint_name(self.path) not in (None, step_name(state.global_step or 0)):
            raise RevisionError(
                f"{path} gives the step {state.global_step}, its folder another: correct the name."
            )
        return state


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

    def __init__(self, folder: Path, token: str | None = None, only: str | None = None) -> None:
        self.repo_id, self.where = valid_repo_name(folder.name), str(folder)
        self._folder, self._token, self._only = folder, token, only
        self._views = _Views()

    def models(self) -> dict[str, ModelFolder]:
        """The model of the folder as `main`, after the Trainer's checkpoints in it."""
        named = {name: path for path in self._folder.iterdir() if (name := checkpoint_name(path))}
        models = {name: ModelFolder.of(named[name], self._folder) for name in sorted(named)}
        own = ModelFolder.of(self._folder)
        models |= {MAIN: own} if own.files else {}
        return {name: model for name, model in models.items() if self._only in (None, name)}

    def revisions(self) -> list[Revision]:
        models = self.models()
        listed = [model.revision(name) for name, model in models.items()]
        if not listed:
            raise RevisionNotFoundError(f"{self.where} no longer contains a model.")
        # The newest state has logged more of a step than the checkpoint of that step.
        history = max((model.state().log_history for model in models.values()), key=len)
        others = {one.commit for one in listed if one.name != MAIN}
        listed = [one for one in listed if one.name != MAIN or one.commit not in others]
        return [replace(one, **logged_values(history, one.step)) for one in listed]

    def fetch(self, revision: Revision, *, settings_only: bool = False) -> Path:
        """Folder with the files of a model; of adapters, with those of their base model too."""
        model = self.models().get(revision.name)
        if model is None or model.revision(revision.name).commit != revision.commit:
            raise _changed(self.where)
        if not model.files:
            raise RevisionError(
                f"{model.path} does not contain a complete model: expected config.json and model.safetensors. "
                "Merge an adapter into its model, and save that."
            )
        if not model.is_adapter and all(file.parent == model.path for file in model.files.values()):
            return model.path
        base: Mapping[str, Path] = {}
        if model.is_adapter:
            base = model_files(
                base_folder(model.path, self._token, settings_only=settings_only, pinned=False)
            )
        return self._views(revision.commit, {**base, **model.files})


def checkpoint_name(folder: Path) -> str | None:
    """The revision that a folder is as a whole checkpoint of a Trainer; None for any other folder."""
    match = _CHECKPOINT.fullmatch(folder.name)
    return None if match is None or not (folder / _STATE).is_file() else step_name(int(match[1]))


def content_id(records: Mapping[str, FileRecord], read_as: str = "") -> str:
    """40 hexadecimal digits in place of a commit, made from the content of files and what else decides the model."""
    listing = "".join(f"{name}\0{record.blob}\n" for name, record in sorted(records.items()))
    return hashlib.sha256((read_as + listing).encode()).hexdigest()[:40]


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
        if not base.files or (pinned and base.revision(MAIN).commit != commit):
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


def _base_of(adapters: Path) -> str:
    """The content of the folder with the model that adapters name; the configuration alone says of another place."""
    base, _ = adapter_base(adapters, pinned=False)
    if not os.path.isdir(base):  # noqa: PTH112  # for any text
        return ""
    return content_id({name: record_of(path) for name, path in model_files(Path(base)).items()})


def _is_weights(name: str) -> bool:
    return any(suffix in name for suffix in (".safetensors", ".bin", ".pt"))  # of an index too


def record_of(path: Path) -> FileRecord:
    """The size and the hash of a file; it is read again only after a change."""
    status = path.stat()
    return _hashed(path, status.st_size, status.st_mtime_ns, _is_weights(path.name))


@lru_cache(maxsize=10_000)
def _hashed(path: Path, size: int, changed: int, large: bool) -> FileRecord:  # noqa: ARG001  # part of the key
    sha256 = file_sha256(path) if large else None
    return FileRecord(size, sha256 or file_git_hash(path), sha256, recorded=False)


# --- views ---


class WithProcessor(Series):
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
        self.repo_id, self.where, self.on_disk = series.repo_id, series.where, series.on_disk
        folder = Path(processor).expanduser().absolute()  # links lead to it
        if not folder.is_dir():
            folder = snapshot_folder(os.fspath(processor), MAIN, token=token, settings_only=True)
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

    def planned(self) -> tuple[str, ...]:
        return self._series.planned()


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
        return temporary(self)


def temporary(owner: object) -> Path:
    """A temporary folder for as long as the object lives."""
    root = Path(mkdtemp(prefix="clipdyn-checkpoints-"))
    weakref.finalize(owner, shutil.rmtree, root, ignore_errors=True)
    return root


# --- names ---


def open_series(
    name: Name,
    store: Name | None = None,
    token: str | None = None,
    *,
    samples_per_epoch: int | None = None,
) -> Series:
    """The revisions that a name means. The Hub is not asked yet.

    A folder is, in this order: a run of this package; a Trainer's output folder with its `checkpoint-*`, or one of
    these; a model. `open_clip:ViT-B-32@PLACE` is a checkpoint file of open_clip's training, or a folder of
    `epoch_N.pt`: a path here, else `owner/name/FOLDER` in a repository on the Hub. `local/NAME` is a run below
    `./runs`. Any other name is a repository on the Hub or, with ``store``, in a store of version 0.3.

    Raises:
        ConfigError: it means none of these.
        RevisionNotFoundError: HF_HUB_OFFLINE is set, and the client's cache has no such repository.
    """
    text = os.fspath(name)
    if text.startswith(OPEN_CLIP):
        from hf_clipdyn.revisions.importing import open_checkpoints

        return open_checkpoints(text, token, samples_per_epoch)
    folder = Path(os.path.expanduser(text))  # noqa: PTH111  # Path's own raises for an unknown user
    stored = CachedRun(text, Path(store).absolute()) if store is not None and is_repo_id(text) else None
    if stored is not None and (stored.folder.is_dir() or not folder.is_dir()):
        return stored
    if text and os.path.isdir(folder):  # noqa: PTH112  # nor does this, for any text
        return _open_folder(folder.absolute(), token)
    if not is_repo_id(text) or os.path.isfile(folder):  # noqa: PTH113
        raise ConfigError(
            f"{shown(text)} is neither a folder here nor a name that the Hub accepts: give owner/name "
            "(allowed: letters, digits, _ and single - and ., at most 96 characters), or a folder with "
            "a model, with a Trainer's checkpoints or with a run."
        )
    if text.startswith("local/") or "/" not in text:
        run = run_here(text)
        if run is not None:
            return RunFolder(Path(run).absolute())
    if not constants.HF_HUB_OFFLINE:
        return HubRun(text, token)
    cached = CachedRun(text, Path(constants.HF_HUB_CACHE))
    if not cached.folder.is_dir():
        raise RevisionNotFoundError(
            f"There is no {cached.where}, which alone is read while HF_HUB_OFFLINE is set. {runs_here()}"
        )
    return cached


def _open_folder(folder: Path, token: str | None) -> Series:
    if (folder / "publishing").is_dir() or any((folder / "hub").glob("models--*")):
        stored = [path.name[8:].replace("--", "/", 1) for path in sorted((folder / "hub").glob("models--*"))]
        raise ConfigError(
            f"{folder} contains a run of version 0.3: give {' or '.join(stored[:3]) or 'its repository'} with "
            f"--store {folder / 'hub'}."
        )
    if (folder / "revisions").is_dir():
        return RunFolder(folder)
    checkpoint = checkpoint_name(folder)
    series = Folder(folder, token) if checkpoint is None else Folder(folder.parent, token, checkpoint)
    if not any(model.files for model in series.models().values()):
        raise ConfigError(f"The folder {folder} contains no model. {_hint(folder)}")
    return series


def _hint(folder: Path) -> str:
    """What to give instead of a folder without a model."""
    stored = sorted(path.name[8:].replace("--", "/") for path in folder.glob("models--*"))
    if stored:
        return f"It is a store: give {', '.join(stored[:3])} with --store {folder}."
    if runs := _runs_below(folder):
        return f"It contains runs: give one or several of them, for example {runs[0]}."
    places = [place for place in (folder, folder / "checkpoints") if any(place.glob("epoch_*.pt"))]
    if places:
        return f"It contains checkpoints of open_clip: give {OPEN_CLIP}MODEL@{places[0]}."
    return (
        "Expected config.json beside model.safetensors (merge an adapter into its model first), a Trainer's "
        "checkpoint-* folders, or the output_dir of `clipdyn train`."
    )


def _runs_below(folder: Path) -> list[Path]:
    """The folders of runs in a folder, and those of studies in it."""
    manifests = [
        *folder.glob(f"*/revisions/*/{MANIFEST_FILE}"),
        *folder.glob(f"*/*/revisions/*/{MANIFEST_FILE}"),
    ]
    return sorted({path.parents[2] for path in manifests})


def run_here(repo_id: str) -> str | None:
    """The folder of the run of that name below `./runs`; None if there is none."""
    found = []
    for run in _runs_below(Path("runs").absolute()):
        with suppress(RevisionError):  # a broken run must not keep others from the Hub
            if RunFolder(run).repo_id == repo_id:
                found.append(shown_path(run))
    if len(found) > 1:
        raise ConfigError(f"Several runs are called {repo_id}: give a folder, {' or '.join(found[:4])}.")
    return found[0] if found else None


def runs_here() -> str:
    """A sentence on the folders of runs below `./runs`."""
    folders = [shown_path(path) for path in _runs_below(Path("runs").absolute())]
    if not folders:
        return "No folder below ./runs has a run."
    more = f" and {len(folders) - _MOST_NAMED} more" if len(folders) > _MOST_NAMED else ""
    return f"Runs are in {', '.join(folders[:_MOST_NAMED])}{more}: give such a folder."


def run_beside(repo_id: str, tables: Sequence[Path]) -> RunFolder | None:
    """The run of that name beside one of these tables of results; None if there is none."""
    for folder in dict.fromkeys(table.absolute().parent for table in tables):
        if (folder / "revisions").is_dir():
            series = RunFolder(folder)
            if series.repo_id == repo_id:
                return series
    return None


def open_measured(
    repo_id: str, tables: Sequence[Path], store: Name | None = None, token: str | None = None
) -> Series:
    """The revisions of a run in tables of results: of the run beside a table, or as for `open_series`.

    ``store`` is the folder of the run, if it is elsewhere, or a store of version 0.3.
    """
    if store is not None and (Path(store) / "revisions").is_dir():
        return RunFolder(Path(store).absolute())
    beside = run_beside(repo_id, tables) if store is None else None
    return beside or open_series(repo_id, store, token)


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
        >>> [one.name for one in list_revisions("runs/demo")]
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
    found = [one for one in listed if one.name == name] or (listed[-1:] if name == MAIN else [])
    if not found:
        names = ", ".join(one.name for one in listed[:_MOST_NAMED])
        raise RevisionNotFoundError(f"{series.repo_id} has no revision {shown(name)}, but {names} …")
    folder = series.fetch(found[0])
    return read_model(folder, read_config(folder), **kwargs)


def render(revisions: Sequence[Revision], *, as_json: bool = False) -> str:
    """The revisions as a table for the terminal, or as a JSON list with whole hashes."""
    if as_json:
        return json.dumps([asdict(revision) for revision in revisions], indent=1)
    table = []
    for one in revisions:
        numbers = {"epoch": one.epoch, "step": one.step, "samples seen": one.samples_seen}
        loss = "-" if one.loss is None else f"{one.loss:.4f}"
        shown_numbers = {title: "-" if value is None else f"{value:,}" for title, value in numbers.items()}
        hashes = {"commit": one.commit[:12], "sha256": (one.sha256 or "-")[:12]}
        table.append({"revision": one.name, **shown_numbers, "loss": loss, **hashes})
    return render_table(table) if table else "There are no revisions."
