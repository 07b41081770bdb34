"""`load_dataset`: a `datasets.Dataset` from a folder, an archive or the Hub."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datasets.exceptions import DatasetGenerationError
from huggingface_hub import resolve_revision
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RevisionResolutionError

from hf_clipdyn.data.archives import archive_stem, is_archive
from hf_clipdyn.data.base import DataBuilder
from hf_clipdyn.data.cache import touch
from hf_clipdyn.data.files import FileIndex, open_layout, plain
from hf_clipdyn.data.images import IMAGE_SUFFIXES, safe_images
from hf_clipdyn.data.mirrors import download_archives, open_tables
from hf_clipdyn.data.registry import HUB_NAME, builder_class, dataset_metadata, dataset_names
from hf_clipdyn.errors import ConfigError, DatasetError, UnknownNameError, naming


@dataclass(frozen=True)
class Place:
    """Where the rows of a data set come from: a folder or archive, a repository on the Hub, or a drawing.

    Attributes:
        builder: reads them.
        config: the configuration.
        folder: or the archive.
        repo_id: on the Hub.
        revision: branch, tag or commit there.
    """

    builder: type[DataBuilder]
    config: str | None
    folder: Path | None = None
    repo_id: str | None = None
    revision: str | None = None


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
        path: a name of the registry; or ``owner/name`` or ``owner/name@revision`` of any data set on the Hub with
            images and captions or labels; or a folder with a known layout (a caption list, ``metadata.csv|jsonl``,
            class folders, tar shards, Parquet).
        name: the configuration, if the data set has several; for anybody's pictures ``captions`` or ``labels``.
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
        DatasetError: files are missing, broken or contradictory; the message names the file.
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
    place = place_of(path, name, data_dir, repo_id, cache_dir)
    revision = revision or place.revision
    builder, columns = place.builder, (image_column, caption_column)
    is_named = any(columns)
    has_tables = place.folder is not None and _has_tables(builder, place.folder)
    is_table = place.repo_id is not None or has_tables or (is_named and builder.name == "imagefolder")
    if is_named and not (is_table and builder.metadata.kind == "captions"):
        raise ConfigError(
            f"image_column and caption_column are only for tables of captioned images (the Hub, Parquet, an "
            f"imagefolder), not for {path!r}: omit them."
        )
    if place.repo_id is not None and not is_named:
        archives = download_archives(builder, place.repo_id, revision, token)
        is_table = archives is None
        place = replace(place, folder=archives)
    if not is_table:
        return _from_files(place, split, streaming, cache_dir, num_proc)
    return open_tables(
        builder,
        place.repo_id or str(place.folder),
        name=place.config,
        columns=columns,
        split=split,
        streaming=streaming,
        cache_dir=None if cache_dir is None else str(cache_dir),
        num_proc=None if streaming else num_proc,
        **({"revision": revision, "token": token} if place.repo_id else {}),
    )


def hub_commit(
    path: str, data_dir: str | Path | None = None, revision: str | None = None, token: str | None = None
) -> str | None:
    """The commit of the data set on the Hub that `load_dataset` would read.

    Returns:
        None if it would read files on this machine, or if the Hub does not answer: then `load_dataset` says so, or
        finds the data in its cache.
    """
    place = place_of(path, data_dir=data_dir)
    if place.repo_id is None:
        return None
    revision = revision or place.revision
    try:
        found = resolve_revision(place.repo_id, repo_type="dataset", revision=revision, token=token)
    except (HfHubHTTPError, HFValidationError, RevisionResolutionError, OSError):
        return None
    return str(found.resolved)


def place_of(
    path: str,
    name: str | None = None,
    data_dir: str | Path | None = None,
    repo_id: str | None = None,
    cache_dir: str | Path | None = None,
) -> Place:
    """The one resolution of a name: see the arguments of `load_dataset`."""
    if data_dir is not None and repo_id is not None:
        raise ConfigError(
            f"data_dir {str(data_dir)!r} and repo_id {repo_id!r} cannot be combined: give only one."
        )
    folder = None if data_dir is None else Path(data_dir)
    if path in dataset_names():
        builder = builder_class(path)
        _check_config(path, builder, name)
        if path == "hub" and folder is None and repo_id is None:
            raise ConfigError("The data set 'hub' needs repo_id, as owner/name.")
        if builder.layout and folder is None and repo_id is None:
            folder = find_locally(path)
            repo_id = builder.metadata.mirror if folder is None else None
        return Place(builder, name, folder, repo_id)
    if folder is not None or repo_id is not None:
        raise UnknownNameError("data set", path, dataset_names())
    folder, match = Path(path), HUB_NAME.fullmatch(path)
    if folder.is_dir() or (folder.is_file() and is_archive(folder)):
        recognised, config = _recognised(folder, None if cache_dir is None else Path(cache_dir))
        return Place(builder_class(recognised), name or config, folder)
    if match is not None and not Path(match["repo_id"]).parent.is_dir():
        return Place(builder_class(path), name, None, match["repo_id"], match["revision"])
    if "/" in path or is_archive(path):
        hint = "" if match is None else " For the Hub's data set of that name, call this from another folder."
        raise ConfigError(f"There is no folder or archive {path}: correct the path of your images.{hint}")
    raise UnknownNameError("data set", path, dataset_names())


def _check_config(path: str, builder: type[DataBuilder], name: str | None) -> None:
    known = [config.name for config in builder.BUILDER_CONFIGS]
    if name is not None and known and name not in known:
        raise UnknownNameError(f"configuration of {path!r}", name, known)
    if name is not None and not known and builder.layout:
        raise ConfigError(f"The data set {path!r} has no configurations: omit the name {name!r}.")


def _recognised(path: Path, cache_dir: Path | None) -> tuple[str, str | None]:
    """Name and configuration of the data set whose loader reads this folder or archive of anybody's pictures."""
    if path.is_file() and path.suffix.lower() == ".tar":
        return "webdataset", None
    files = open_layout(path, (), cache_dir)
    if files.named("metadata.csv", "metadata.jsonl"):
        return "imagefolder", "captions"
    for name in ("flickr8k", "webdataset"):
        if not files.lacks(builder_class(name).layout) and not _has_tables(builder_class(name), path):
            return name, None
    if any(key.endswith(".parquet") for key in files):
        return "hub", None
    if len({key.split("/")[-2] for key in files.images() if "/" in key}) > 1:
        return "imagefolder", "labels"
    raise DatasetError(
        f"{path} is not a folder of captioned or labelled images: it needs captions.txt, metadata.csv or "
        "metadata.jsonl, class folders, tar shards, or Parquet. For any other data set give its name, and this folder "
        "as data_dir."
    )


def find_locally(name: str) -> Path | None:
    """The folder or archive of a data set in ``$CLIPDYN_DATA``: of its name, in any case and with any separators.

    Raises:
        ConfigError: ``$CLIPDYN_DATA`` is not a folder.
    """
    root = os.environ.get("CLIPDYN_DATA")
    builder = builder_class(name)
    if not root or not builder.layout:
        return None
    if not Path(root).is_dir():
        raise ConfigError(
            f"CLIPDYN_DATA is {root!r}, which is not a folder: name the parent of the data sets."
        )
    there = {
        plain(path.name if path.is_dir() else archive_stem(path.name)): path
        for path in sorted(Path(root).iterdir(), reverse=True)
        if path.is_dir() or is_archive(path)
    }
    names = map(plain, (name, *builder.also_called))
    return next((there[plain_name] for plain_name in names if plain_name in there), None)


def lacks_files(name: str) -> bool:
    """Whether a data set needs a folder that `find_locally` does not find, and the Hub has no known mirror of it."""
    builder = builder_class(name)
    return bool(builder.layout) and builder.metadata.mirror is None and find_locally(name) is None


def datasets_table() -> list[dict[str, str]]:
    """One row for each data set, as `clipdyn datasets` prints them."""
    rows = []
    for name in dataset_names():
        metadata = dataset_metadata(name)
        place = str(find_locally(name) or "no") if builder_class(name).layout else "needs no files"
        counts = [
            f"{count:,}" if split == "total" else f"{split} {count:,}"
            for split, count in metadata.rows.items()
        ]
        rows.append(
            {
                "name": name,
                "kind": ", ".join(dict.fromkeys((metadata.kind, *metadata.config_kinds.values()))),
                "rows": ", ".join(counts) or "any",
                "licence": metadata.licence,
                "where to get it": metadata.where,
                "found here": "on the Hub" if name == "hub" else place,
            }
        )
    return rows


def _has_tables(builder: type[DataBuilder], folder: Path) -> bool:
    """Whether a folder is read as Parquet, not in the official layout.

    Results may lie beside a data set, and an image beside Parquet: the more frequent files count.
    """
    with naming(folder, DatasetError):
        if folder.is_file() or not any(any(folder.glob(pattern)) for pattern in ("*.parquet", "*/*.parquet")):
            return False
    files = FileIndex.below(folder)
    if not builder.layout:
        return True
    if files.lacks(builder.layout):
        return not any(map(is_archive, files))
    if not all(part.startswith("*") for entry in builder.layout for part in entry.split("|")):
        return False
    suffixes = (*IMAGE_SUFFIXES, ".tar", ".bin")
    official = sum(key.lower().endswith(suffixes) for key in files)
    return official <= sum(key.endswith(".parquet") for key in files)


def _from_files(
    place: Place, split: str | None, streaming: bool, cache_dir: str | Path | None, num_proc: int | None
) -> Any:
    builder, title = place.builder, place.builder.metadata.title
    with naming(place.folder or title, DatasetError):
        try:
            instance = builder(data_dir=place.folder, config_name=place.config, cache_dir=cache_dir)
            if streaming:
                instance.streams = True
                return safe_images(instance.as_streaming_dataset(split))
            instance.download_and_prepare(num_proc=num_proc)
            touch(Path(instance.cache_dir))
            if builder.exact_rows:
                counts = {known: info.num_examples for known, info in instance.info.splits.items()}
                counts["total"] = sum(counts.values())
                builder.metadata.check_counts(instance.config.name, counts, str(instance.files.root))
            return safe_images(instance.as_dataset(split))
        except DatasetGenerationError as error:
            raise (error.__cause__ or error) from None
        except ValueError as error:  # from `datasets`, for an unknown split or a wrong slice
            raise ConfigError(f"{title}: {error}") from error
