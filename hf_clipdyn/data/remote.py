"""Mirrors on the Hub: tables that `datasets` can read, or official archives."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
from huggingface_hub import HfApi, snapshot_download

from hf_clipdyn.data.archives import is_archive
from hf_clipdyn.data.base import DataBuilder
from hf_clipdyn.data.images import safe_images
from hf_clipdyn.data.layout import plain
from hf_clipdyn.data.mirrors import conform
from hf_clipdyn.errors import ClipDynError, ConfigError, DatasetError
from hf_clipdyn.hub import reason

__all__ = ["download_archives", "open_tables"]

_TABLES = (".parquet", ".arrow", ".csv", ".jsonl")


def open_tables(
    builder: type[DataBuilder],
    where: str,
    *,
    name: str | None,
    split: str | None,
    revision: str | None = None,
    token: str | None = None,
    streaming: bool,
    cache_dir: str | Path | None,
    num_proc: int | None,
    image_column: str | None,
    caption_column: str | None,
) -> Any:
    """A mirror, or a folder of Parquet, with the columns of the builder's kind.

    Raises:
        DatasetError: it cannot be read, or lacks columns.
        ConfigError: it has no such split.
    """
    with _explained(where):
        dataset = datasets.load_dataset(
            where,
            name,
            split=split,
            revision=revision,
            token=token,
            streaming=streaming,
            cache_dir=None if cache_dir is None else str(cache_dir),
            num_proc=None if streaming else num_proc,
        )
        conformed = conform(
            dataset, builder, builder.metadata.kind_of(name), where, image_column, caption_column
        )
    if builder.exact_rows and not streaming and split is None:
        counts = {known: len(part) for known, part in conformed.items()}
        builder.metadata.check_counts(name or builder.DEFAULT_CONFIG_NAME, counts, where)
    return safe_images(conformed)


def download_archives(
    builder: type[DataBuilder], repo_id: str, revision: str | None, token: str | None
) -> Path | None:
    """Download the official archives of a repository that contains no tables; otherwise None.

    Tar shards count as tables, since `datasets` reads them. If several data sets are in the repository, only archives
    called like this one are downloaded. If the Hub does not answer, the result is None.

    Raises:
        DatasetError: they cannot be downloaded.
    """
    if not builder.layout or "*.tar" in builder.layout:
        return None
    try:
        files = HfApi().list_repo_files(repo_id, repo_type="dataset", revision=revision, token=token)
    except Exception:  # `open_tables` meets the same error, or finds the data set in the cache
        return None
    if not any(map(is_archive, files)) or any(file.endswith(_TABLES) for file in files):
        return None
    wanted = [file for file in files if plain(builder.name) in plain(file)]
    with _explained(repo_id):
        folder = snapshot_download(
            repo_id, repo_type="dataset", revision=revision, token=token, allow_patterns=wanted or None
        )
    return Path(folder)


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """Convert errors of the Hub client, of `datasets` and of file systems to one sentence."""
    try:
        yield
    except ClipDynError:
        raise
    except Exception as error:
        if isinstance(error, ValueError) and "split" in str(error).lower():
            raise ConfigError(f"{where}: {error}") from error
        raise DatasetError(
            f"{where} could not be read ({reason(error)}): check the name, the token and the connection, or give "
            "the official folder as data_dir."
        ) from error
