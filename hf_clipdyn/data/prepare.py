"""`clipdyn prepare`: any data set as Parquet with its images inside and a data card, for the Hub or a folder."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from datasets.table import embed_table_storage
from huggingface_hub import HfApi

from hf_clipdyn.cards import dataset_card
from hf_clipdyn.data.facts import DatasetFacts
from hf_clipdyn.data.load import load_dataset
from hf_clipdyn.data.registry import builder_class
from hf_clipdyn.errors import ConfigError, DatasetError
from hf_clipdyn.hub import RetryPolicy, attempt, limit_waiting, reason

__all__ = ["Prepared", "prepare_dataset"]

_ROWS_PER_GROUP = 100  # a reader of one row decodes its group; the Hub's viewer advises this size for images
_BYTES_PER_FILE = 500 << 20


@dataclass(frozen=True)
class Prepared:
    """What was written.

    Attributes:
        folder: a data set for `datasets.load_dataset`.
        rows: number of rows by split.
        url: address on the Hub; None if it was not pushed.
    """

    folder: Path
    rows: Mapping[str, int]
    url: str | None


def prepare_dataset(
    name: str,
    output: Path,
    *,
    config: str | None = None,
    data_dir: Path | None = None,
    repo_id: str | None = None,
    push_to_hub: str | None = None,
    private: bool = False,
    token: str | None = None,
    cache_dir: Path | None = None,
    num_proc: int | None = None,
) -> Prepared:
    """Write a data set as Parquet, images embedded, so that it loads without this package.

    Args:
        name: as in the registry.
        output: a folder that does not exist yet, or is empty.
        config: the configuration; default: the data set's own default.
        data_dir: folder of the official data set, or its archive.
        repo_id: a mirror to read instead.
        push_to_hub: repository to push to, ``owner/name``.
        private: make that repository private. Asked for where the licence forbids redistribution.
        token: of the Hub; default: the stored one.
        cache_dir: as in `load_dataset`.
        num_proc: as in `load_dataset`.

    Raises:
        ConfigError: the folder is not empty, or the licence forbids what is asked for.
        DatasetError: the data set cannot be read, written, or pushed.
    """
    builder = builder_class(name)
    facts = builder.facts
    if push_to_hub is not None and not facts.may_redistribute and not private:
        raise ConfigError(
            f"{facts.title} is not pushed to a public repository: its licence ({facts.licence}) does not let you "
            "pass it on. Add --private to keep it for yourself and your group."
        )
    try:
        taken = output.exists() and (not output.is_dir() or any(output.iterdir()))
    except OSError as error:
        raise ConfigError(f"The output cannot be such a folder ({error.strerror}): name another.") from error
    if taken:
        raise ConfigError(
            f"{output} is not empty: name a new folder, so that nothing of two data sets is mixed."
        )
    splits = load_dataset(
        name, config, data_dir=data_dir, token=token, cache_dir=cache_dir, num_proc=num_proc, repo_id=repo_id
    )
    config = config or builder.DEFAULT_CONFIG_NAME or "default"
    rows = {split: len(dataset) for split, dataset in splits.items()}
    features = next(iter(splits.values())).features
    source = f" --repo-id {repo_id}" if repo_id else " --data-dir <official folder>" if builder.layout else ""
    card = _card(facts, name, config, rows, features, source)
    try:
        output = output.resolve()
        output.parent.mkdir(parents=True, exist_ok=True)
        # Written beside its place and moved there whole: what fails or is killed leaves the place free.
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as staging:
            folder = Path(staging) / "content"
            (folder / "data").mkdir(parents=True)
            for split, dataset in splits.items():
                _write_split(dataset, folder / "data", split)
            (folder / "README.md").write_text(card, encoding="utf-8")
            if not output.exists():
                folder.replace(output)
            else:  # an empty folder, which keeps its permissions and may be the current one
                for part in folder.iterdir():
                    part.replace(output / part.name)
    except OSError as error:
        raise DatasetError(
            f"{output} could not be written ({error}): free the disk, or check the folder's permissions."
        ) from error
    url = None if push_to_hub is None else _push(output, push_to_hub, facts, private, token)
    return Prepared(output, rows, url)


def _write_split(dataset: datasets.Dataset, folder: Path, split: str) -> None:
    schema = dataset.features.arrow_schema  # carries the features, which plain `datasets` reads again
    parts: list[Path] = []
    writer: pq.ParquetWriter | None = None
    for table in _embedded(dataset, schema):
        if writer is None:
            parts.append(folder / f"{split}-{len(parts):05d}.part")
            writer = pq.ParquetWriter(parts[-1], schema)
        writer.write_table(table)
        if parts[-1].stat().st_size > _BYTES_PER_FILE:
            writer.close()
            writer = None
    if writer is not None:
        writer.close()
    for number, part in enumerate(parts):
        part.rename(folder / f"{split}-{number:05d}-of-{len(parts):05d}.parquet")


def _embedded(dataset: datasets.Dataset, schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows in groups, each image's bytes in place of its path."""
    for table in dataset.with_format("arrow").iter(_ROWS_PER_GROUP):
        yield embed_table_storage(table.cast(schema)).cast(schema)


def _card(
    facts: DatasetFacts,
    name: str,
    config: str,
    rows: Mapping[str, int],
    features: Mapping[str, Any],
    source: str,
) -> str:
    return dataset_card(
        title=facts.title,
        name=name,
        config=config,
        kind=facts.kind_of(config),
        licence=facts.licence,
        licence_id=facts.licence_id,
        public=facts.may_redistribute,
        where=facts.where,
        citation=facts.citation,
        rows=rows,
        official_rows={split: facts.official_rows(config, split) for split in rows},
        columns={column: _described(feature) for column, feature in features.items()},
        source=source,
    )


def _described(feature: Any) -> str:
    if isinstance(feature, datasets.ClassLabel):
        return f"class label, {feature.num_classes} classes"
    if isinstance(feature, datasets.Image):
        return "image"
    if isinstance(feature, datasets.List):
        return f"list of {_described(feature.feature)}"
    if isinstance(feature, dict):
        return ", ".join(f"{key} ({_described(value)})" for key, value in feature.items())
    return str(feature.dtype)


def _push(folder: Path, repo_id: str, facts: DatasetFacts, private: bool, token: str | None) -> str:
    """Upload the folder in one commit.

    A repository that exists keeps its visibility whatever one asks for, hence it is looked at before the first byte.
    """
    policy = RetryPolicy()
    limit_waiting(policy.timeout)
    api = HfApi(token=token)
    try:
        created = attempt(
            lambda: api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True), policy
        )
        if not facts.may_redistribute:
            info = attempt(lambda: api.repo_info(created.repo_id, repo_type="dataset"), policy)
            if not info.private:
                raise ConfigError(
                    f"{repo_id} exists and is public, and the licence of {facts.title} ({facts.licence}) does not let "
                    "you pass it on: make it private in its settings, or name another repository."
                )
        attempt(
            lambda: api.upload_folder(
                repo_id=created.repo_id,
                repo_type="dataset",
                folder_path=folder,
                commit_message=f"Add {facts.title}, prepared by hf-clipdyn",
            ),
            policy,
        )
    except ConfigError:
        raise
    except Exception as error:
        raise DatasetError(
            f"{repo_id} could not be pushed ({reason(error)}); {folder} is complete: check token and connection."
        ) from error
    return str(created)
