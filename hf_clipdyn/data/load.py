"""`load_dataset`: a `datasets.Dataset` from a folder, an archive or a mirror on the Hub."""

import os
import re
from functools import partial
from pathlib import Path
from typing import Any

from datasets.exceptions import DatasetGenerationError
from huggingface_hub import resolve_revision
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RevisionResolutionError

from hf_clipdyn.data.archives import is_archive
from hf_clipdyn.data.base import DataBuilder
from hf_clipdyn.data.caches import touch
from hf_clipdyn.data.files import index_folder, missing_from, plain
from hf_clipdyn.data.images import safe_images
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.mirrors import download_archives, open_tables
from hf_clipdyn.data.registry import builder_class, dataset_metadata, dataset_names
from hf_clipdyn.errors import ConfigError, DatasetError, UnknownNameError

_REPO_ID = re.compile(r"[\w.-]+/[\w.-]+")
_BY_LAYOUT = ("flickr8k", "imagefolder", "webdataset")


def load_dataset(
    path: str,
    name: str | None = None,
    data_dir: str | Path | None = None,
    split: str | None = None,
    revision: str | None = None,
    token: str | None = None,
    streaming: bool = False,
    cache_dir: str | Path | None = None,
    num_proc: int | None = None,
    repo_id: str | None = None,
    image_column: str | None = None,
    caption_column: str | None = None,
) -> Any:
    """A data set of the registry, with the columns of its kind (`hf_clipdyn.data.schemas`).

    The arguments are called as in `datasets.load_dataset`.

    Args:
        path: a name of the registry; or ``owner/name`` of any captioned data set on the Hub; or a folder with a known
            layout (a caption list, ``metadata.csv|jsonl``, tar shards, Parquet).
        name: the configuration, if the data set has several.
        data_dir: folder of the official data set, or its archive, or a folder that `clipdyn prepare` wrote. By default
            the folder is searched in ``$CLIPDYN_DATA``; if it is not there, the known mirror is read.
        split: a split, or a slice of one (``train[:10%]``); None gives all splits in a dictionary.
        revision: branch, tag or commit of the mirror.
        token: for private mirrors; default: the token that the Hub client has stored.
        streaming: give iterable data sets that read files during iteration and prepare no tables.
        cache_dir: folder of prepared tables and unpacked archives; default: the cache of `datasets`.
        num_proc: number of processes that prepare tables, for data sets in several shards.
        repo_id: a mirror on the Hub, in Parquet or as official archives.
        image_column, caption_column: the columns of captioned images, if they are not found by type and name; only for
            tables (the Hub, Parquet, an imagefolder).

    Returns:
        `datasets.Dataset`, or `datasets.DatasetDict` for ``split=None``; the iterable ones when streaming. Images
        are decoded when a row is read.

    Raises:
        DatasetError: files are missing, broken or contradictory; the message names the file and what to do.
        UnknownNameError: there is no such data set or configuration.
        ConfigError: there is no such split, or the arguments cannot be combined.

    Warns:
        SubsetWarning: fewer rows than the official data set has.

    Examples:
        >>> from hf_clipdyn import load_dataset
        >>> conflicts = load_dataset("procedural", "cue_conflict", split="test")
        >>> conflicts[0]["shape"], conflicts[0]["texture"], conflicts[0]["image"].size
        ('cat', 'car', (40, 40))
    """
    builder, folder, repo_id = _resolve(path, data_dir, repo_id)
    _check_config(path, builder, name)

    tables = partial(
        open_tables,
        builder,
        name=name,
        columns=(image_column, caption_column),
        split=split,
        streaming=streaming,
        cache_dir=None if cache_dir is None else str(cache_dir),
        num_proc=None if streaming else num_proc,
    )
    if image_column is not None or caption_column is not None:
        return tables(_tables(path, builder, folder, repo_id), revision=revision, token=token)
    if repo_id is not None:
        folder = download_archives(builder, repo_id, revision, token)
        if folder is None:
            return tables(repo_id, revision=revision, token=token)
    if folder is not None and _has_tables(builder, folder):
        return tables(str(folder))
    return _from_files(builder, name, folder, split, streaming, cache_dir, num_proc)


def hub_commit(
    path: str, data_dir: str | Path | None = None, revision: str | None = None, token: str | None = None
) -> str | None:
    """The commit of the data set on the Hub that `load_dataset` would read.

    Returns:
        None if it would read files on this machine, or if the Hub does not answer: then `load_dataset` says so, or
        finds the data in its cache.
    """
    _, _, repo_id = _resolve(path, data_dir, None)
    if repo_id is None:
        return None
    try:
        found = resolve_revision(repo_id, repo_type="dataset", revision=revision, token=token)
    except (HfHubHTTPError, HFValidationError, RevisionResolutionError, OSError):
        return None
    return str(found.resolved)


def _tables(path: str, builder: type[DataBuilder], folder: Path | None, repo_id: str | None) -> str:
    """Folder or repository of the tables whose columns the user names."""
    if builder.metadata.kind == "captions":
        if repo_id is not None:
            return repo_id
        if folder is not None and (_has_tables(builder, folder) or builder is builder_class("imagefolder")):
            return str(folder)
    raise ConfigError(
        f"image_column and caption_column are only for tables of captioned images (the Hub, Parquet, an imagefolder), "
        f"not for {path!r}: omit them."
    )


def lacks_files(name: str) -> bool:
    """Whether a data set needs a folder that `find_locally` does not find, and the Hub has no known mirror of it."""
    builder = builder_class(name)
    return bool(builder.layout) and builder.metadata.mirror is None and find_locally(name) is None


def find_locally(name: str) -> Path | None:
    """The folder in ``$CLIPDYN_DATA`` with the name of the data set (``cue-conflict``) and its layout.

    A data set that declares a `distinctive` layout is also found under a name that no other data set has.
    """
    root = os.environ.get("CLIPDYN_DATA")
    layout = builder_class(name).layout
    if not root or not layout:
        return None
    if not Path(root).is_dir():
        raise ConfigError(
            f"CLIPDYN_DATA is {root!r}, which is not a folder: correct the variable, or unset it."
        )
    folders = [folder for folder in sorted(Path(root).iterdir()) if folder.is_dir()]
    for folder in folders:
        if plain(folder.name) == plain(name) and not missing_from(index_folder(folder)[0], layout):
            return folder
    distinctive = builder_class(name).distinctive
    others = {plain(one) for one in dataset_names()}
    fitting = [
        folder
        for folder in (folders if distinctive else ())
        if plain(folder.name) not in others
        and not missing_from(index_folder(folder)[0], (*layout, *distinctive))
    ]
    if len(fitting) > 1:
        raise ConfigError(
            f"CLIPDYN_DATA contains several folders with the layout of {name}: "
            f"{', '.join(map(str, fitting))}. Rename the right one to {name}."
        )
    return fitting[0] if fitting else None


def datasets_table() -> list[dict[str, str]]:
    """One row for each data set, as `clipdyn datasets` prints them.

    A data set is found in a folder of its name in ``$CLIPDYN_DATA`` (``cue-conflict`` or ``cue_conflict``).
    """
    rows = []
    for name in dataset_names():
        metadata = dataset_metadata(name)
        if builder_class(name).layout:
            folder = find_locally(name)
            place = "no" if folder is None else str(folder)
        else:
            place = "needs no files" if not metadata.where.startswith("the Hub") else "on the Hub"
        kinds = ", ".join(dict.fromkeys((metadata.kind, *metadata.config_kinds.values())))
        rows.append(
            {
                "name": name,
                "kind": kinds,
                "rows": _rows(metadata),
                "licence": metadata.licence,
                "where to get it": metadata.where,
                "found here": place,
            }
        )
    return rows


def _rows(metadata: DatasetMetadata) -> str:
    if not metadata.rows:
        return "any"
    parts = [
        f"{count:,}" if split == "total" else f"{split} {count:,}" for split, count in metadata.rows.items()
    ]
    return ", ".join(parts)


def _resolve(
    path: str, data_dir: str | Path | None, repo_id: str | None
) -> tuple[type[DataBuilder], Path | None, str | None]:
    """The builder, and either a folder or a repository to read it from (neither for data without files)."""
    if data_dir is not None and repo_id is not None:
        raise ConfigError(
            f"data_dir {str(data_dir)!r} and repo_id {repo_id!r} cannot be combined: give only one."
        )
    if path in dataset_names():
        builder = builder_class(path)
        if data_dir is None and repo_id is None and builder.layout:
            data_dir = find_locally(path)
            repo_id = builder.metadata.mirror if data_dir is None else None
        if path == "hub" and data_dir is None and repo_id is None:
            raise ConfigError("The data set 'hub' needs repo_id, as owner/name.")
        return builder, None if data_dir is None else Path(data_dir), repo_id
    if data_dir is None and repo_id is None:
        if Path(path).is_dir() or (Path(path).is_file() and is_archive(path)):
            return builder_class(_recognise(Path(path))), Path(path), None
        if _is_path(path):
            hint = " For the Hub's data set of that name, call this from another folder." * bool(
                _REPO_ID.fullmatch(path)
            )
            raise ConfigError(
                f"There is no folder or archive {path}: correct the path of your captioned images.{hint}"
            )
        if _REPO_ID.fullmatch(path):
            return builder_class("hub"), None, path
    raise UnknownNameError("data set", path, dataset_names())


def _is_path(name: str) -> bool:
    """Whether a name means a path, although no such folder exists, and not a data set on the Hub.

    ``data/flickr9k`` could be both: if there is a folder ``data``, it is a path.
    """
    parts = name.split("/")
    beside = len(parts) == 2 and Path(parts[0]).is_dir()
    return (
        beside or len(parts) > 2 or is_archive(name) or name.startswith((".", "~", "/")) or name.endswith("/")
    )


def _recognise(folder: Path) -> str:
    """Name of the data set whose loader reads this folder of captioned images."""
    if folder.is_file():
        return "webdataset" if folder.name.lower().endswith(".tar") else "flickr8k"
    files, _ = index_folder(folder)
    for name in _BY_LAYOUT:
        if not missing_from(files, builder_class(name).layout) and not _has_tables(
            builder_class(name), folder
        ):
            return name
    if _is_parquet(folder):
        return "hub"
    raise DatasetError(
        f"{folder} is not a folder of captioned images: it needs captions.txt, or metadata.csv or metadata.jsonl, or "
        "tar shards, or Parquet. For any other data set give its name, and this folder as data_dir."
    )


def _check_config(path: str, builder: type[DataBuilder], name: str | None) -> None:
    known = [config.name for config in builder.BUILDER_CONFIGS]
    if name is not None and known and name not in known:
        raise UnknownNameError(f"configuration of {path!r}", name, known)
    if name is not None and not known and builder.layout:
        raise ConfigError(f"The data set {path!r} has no configurations: omit the name {name!r}.")


def _from_files(
    builder: type[DataBuilder],
    name: str | None,
    data_dir: Path | None,
    split: str | None,
    streaming: bool,
    cache_dir: str | Path | None,
    num_proc: int | None,
) -> Any:
    try:
        instance = builder(data_dir=data_dir, config_name=name, cache_dir=cache_dir)
        if streaming:
            instance.streams = True
            return safe_images(instance.as_streaming_dataset(split))
        instance.download_and_prepare(num_proc=num_proc)
        touch(Path(instance.cache_dir))
        if builder.exact_rows:
            counts = {known: info.num_examples for known, info in instance.info.splits.items()}
            counts["total"] = sum(counts.values())
            builder.metadata.check_counts(instance.config.name, counts, instance.files.root)
        return safe_images(instance.as_dataset(split))
    except DatasetGenerationError as error:
        cause = error.__cause__
        if isinstance(cause, DatasetError):
            raise cause from None
        raise DatasetError(
            f"{data_dir or builder.metadata.title} could not be read: {cause or error}"
        ) from error
    except ValueError as error:  # from `datasets`, for an unknown split or a wrong slice
        raise ConfigError(f"{builder.metadata.title}: {error}") from error
    except OSError as error:
        raise DatasetError(
            f"{data_dir or builder.metadata.title} could not be prepared ({error}): free some disk space, "
            "or check the folder's permissions."
        ) from error


def _has_tables(builder: type[DataBuilder], folder: Path) -> bool:
    """Whether a folder is read as Parquet. If it has the official layout too, that is read instead.

    A layout that any image satisfies (``*.png``) only counts if there are more such files than Parquet files: results
    may lie beside a data set, and an image beside Parquet.
    """
    if not _is_parquet(folder):
        return False
    files, _ = index_folder(folder)
    if not builder.layout or (
        missing_from(files, builder.layout) and not any(is_archive(f.name) for f in files.files)
    ):
        return True
    suffixes = [name[1:] for entry in builder.layout for name in entry.split("|") if name.startswith("*")]
    if any(not name.startswith("*") for entry in builder.layout for name in entry.split("|")):
        return False
    official = sum(file.name.lower().endswith(tuple(suffixes)) for file in files.files)
    return official <= sum(file.suffix == ".parquet" for file in files.files)


def _is_parquet(folder: Path) -> bool:
    try:
        return any(any(folder.glob(pattern)) for pattern in ("*.parquet", "*/*.parquet"))
    except OSError:  # the loader says what is wrong with the folder
        return False
