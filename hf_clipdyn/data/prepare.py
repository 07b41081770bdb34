"""`clipdyn prepare`: write any data set as Parquet with embedded images and a data card, and push it to the Hub."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
from datasets.table import embed_table_storage

from hf_clipdyn.cards import dataset_card
from hf_clipdyn.data.load import load_dataset
from hf_clipdyn.data.registry import builder_class
from hf_clipdyn.errors import ConfigError, DatasetError, naming
from hf_clipdyn.hub import checked_repo_id, push_folder

_ROWS_PER_GROUP = 100  # reading one row reads its group; the Hub's viewer recommends this size for images
_BYTES_PER_FILE = 500 << 20


@dataclass(frozen=True)
class Prepared:
    """A data set that was written.

    Attributes:
        folder: of the data set, for `datasets.load_dataset`.
        rows: number of rows by split.
        url: address on the Hub; None if it was not pushed.
    """

    folder: Path
    rows: Mapping[str, int]
    url: str | None

    @property
    def message(self) -> str:
        """What was written, and how to load it."""
        counts = ", ".join(f"{split} {rows:,}" for split, rows in self.rows.items())
        said = f"{self.folder}: {counts} rows. Load it with datasets.load_dataset({str(self.folder)!r})."
        return said if self.url is None else f"{said}\nPushed to {self.url}."


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
    """Write a data set as Parquet with embedded images, so that it loads without this package."""
    builder = builder_class(name)
    metadata = builder.metadata
    if push_to_hub is not None:
        checked_repo_id(push_to_hub, what="hub_model_id")
        if not (metadata.may_redistribute or private):
            raise ConfigError(
                f"{metadata.title} cannot be pushed to a public repository: its licence ({metadata.licence}) does not "
                "allow redistribution. Add --hub_private_repo to share it only within your group."
            )
    with naming(output, DatasetError):
        if output.exists() and any(output.iterdir()):
            raise ConfigError(
                f"{output} is not empty: give a new folder, so that two data sets are not mixed."
            )
    splits = load_dataset(
        name, config, data_dir=data_dir, token=token, cache_dir=cache_dir, num_proc=num_proc, repo_id=repo_id
    )
    config = config or builder.DEFAULT_CONFIG_NAME or "default"
    rows = {split: len(dataset) for split, dataset in splits.items()}
    features = next(iter(splits.values())).features
    folder_option = f" --data_dir {name}=<official folder>" if builder.layout else ""
    card = dataset_card(
        title=metadata.description,
        name=name,
        config=config,
        kind=metadata.kind_of(config),
        licence=metadata.licence,
        licence_id=metadata.licence_id,
        public=metadata.may_redistribute,
        where=metadata.where,
        citation=metadata.citation,
        rows=rows,
        official_rows={split: metadata.official_rows(config, split) for split in rows},
        columns={column: _described(feature) for column, feature in features.items()},
        source=f" --repo_id {repo_id}" if repo_id else folder_option,
    )
    output = output.resolve()
    with naming(output, DatasetError):
        output.parent.mkdir(parents=True, exist_ok=True)
        # Written to a staging folder and moved to its place, so that a failure leaves nothing behind.
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
    if push_to_hub is None:
        return Prepared(output, rows, None)

    with naming(f"{output} is complete"):
        commit, _ = push_folder(
            output,
            push_to_hub,
            f"Add {metadata.title}, prepared by hf-clipdyn",
            repo_type="dataset",
            private=private,
            token=token,
        )
    return Prepared(output, rows, str(commit.repo_url))


def _write_split(dataset: datasets.Dataset, folder: Path, split: str) -> None:
    """Write files of about `_BYTES_PER_FILE`, each image with its bytes instead of its path."""
    schema = dataset.features.arrow_schema  # contains the features, for `datasets`
    batches = dataset.with_format("arrow").iter(_ROWS_PER_GROUP)
    parts: list[Path] = []
    for first in batches:
        parts.append(folder / f"{split}-{len(parts):05d}.part")
        with pq.ParquetWriter(parts[-1], schema) as writer:
            for rows in chain([first], batches):
                writer.write_table(embed_table_storage(rows.cast(schema)).cast(schema))
                if parts[-1].stat().st_size > _BYTES_PER_FILE:
                    break
    for number, part in enumerate(parts):
        part.rename(folder / f"{split}-{number:05d}-of-{len(parts):05d}.parquet")


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
