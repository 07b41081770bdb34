"""The data set behind a benchmark: found by kind, opened with one message for anything that is missing."""

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import datasets

from hf_clipdyn.data import load_dataset
from hf_clipdyn.data.load import find_locally
from hf_clipdyn.data.metadata import DatasetMetadata, SubsetWarning
from hf_clipdyn.data.registry import builder_class, dataset_metadata, dataset_names, is_anybodys
from hf_clipdyn.errors import ConfigError, DatasetError, naming

K = TypeVar("K")

DRAWN = "procedural"
"""Data set of the kinds that draw what they show."""

# A study measures on what was not trained on; the training split is the last resort.
_SPLITS = ("test", "valid", "validation", "val", "train")


@dataclass(frozen=True)
class Source:
    """A data set that fits the kind. The constructor of a `Kind` gets one.

    Attributes:
        name: as in the registry of data sets.
        dataset: its rows.
        split: name of the split that these rows are.
        metadata: licence, size and origin.
        absent: how many rows of the official data set its files lack.

    Examples:
        >>> from hf_clipdyn.benchmarks.sources import drawn_source
        >>> source = drawn_source({"frequency": [1.0, 2.0, 4.0]})
        >>> source.name, source.dataset[0]
        ('procedural', {'frequency': 1.0})
    """

    name: str
    dataset: datasets.Dataset
    split: str
    metadata: DatasetMetadata
    absent: int = 0

    def incomplete(self, shown: int) -> dict[str, str]:
        """``{"incomplete": "n/N"}`` if only n of the N official rows are shown, else empty: for `Kind.facts`."""
        whole = len(self.dataset) + self.absent
        return {"incomplete": f"{shown}/{whole}"} if shown < whole else {}


def fitting_datasets(schemas: tuple[str, ...]) -> list[str]:
    """Names of all data sets that have rows of one of these kinds; without any, that of what is drawn."""
    if not schemas:
        return [DRAWN]
    return [name for name in dataset_names() if _fitting_configs(dataset_metadata(name), schemas)]


def fits(name: str, schemas: tuple[str, ...]) -> bool:
    """Whether a data set has rows of one of these kinds, also one that is named as on the Hub, owner/name@revision."""
    return name in fitting_datasets(schemas) or (
        is_anybodys(name) and bool(_fitting_configs(dataset_metadata(name), schemas))
    )


def _fitting_configs(metadata: DatasetMetadata, schemas: tuple[str, ...]) -> list[str | None]:
    """Configurations (None: the default one) with rows of one of these kinds, the preferred kind first."""
    kinds = [(None, metadata.kind), *metadata.config_kinds.items()]
    return [config for schema in schemas for config, kind in kinds if kind == schema]


def open_source(
    name: str, schemas: tuple[str, ...], *, data_dir: Path | None = None, token: str | None = None
) -> Source:
    """Open a data set.

    Args:
        name: as in the registry of data sets, or owner/name or owner/name@revision on the Hub.
        schemas: kinds of rows that will do, the preferred one first.
        data_dir: its folder, where it needs one.
        token: for a private mirror.

    Raises:
        UnknownNameError: there is no data set of that name.
        DatasetError: it is of another kind, or its files are missing or broken.
    """
    metadata = dataset_metadata(name)
    configs = _fitting_configs(metadata, schemas)
    if not configs:
        known = ", ".join(fitting_datasets(schemas))
        raise DatasetError(
            f"{name} is a data set of the kind {metadata.kind}, but the benchmark needs {' or '.join(schemas)}: "
            f"choose one of {known}."
        )
    splits = None
    if is_anybodys(name):  # captions where there are some, else labels
        configs = sorted(configs, key=lambda config: config is not None)
        for config in configs[:-1]:
            with suppress(DatasetError):
                splits = splits or load_dataset(name, config, data_dir=data_dir, token=token)
    splits = splits or load_dataset(
        name, configs[-1 if is_anybodys(name) else 0], data_dir=data_dir, token=token
    )
    split = next((split for split in _SPLITS if split in splits), next(iter(splits)))
    return Source(name, splits[split], split, metadata, _absent(splits, split, metadata))


def under_names(
    sources: Mapping[K, Source], names: Mapping[str, str] | None, templates: Sequence[str]
) -> dict[K, Source]:
    """The sources; labelled pictures that are anybody's with other names of classes and other prompts.

    Args:
        sources: by benchmark.
        names: of the classes, by label or by index; None keeps them.
        templates: of the prompts, each with ``{}`` for the class; without any, those of the data set stay.

    Raises:
        ConfigError: none of the sources has such pictures.
        DatasetError: two classes of a data set would have one name.
    """
    if names is None and not templates:
        return dict(sources)
    mine = {
        key: _under_names(source, names or {}, tuple(templates))
        for key, source in sources.items()
        if is_anybodys(source.name) and "label" in source.dataset.features
    }
    if not mine:
        raise ConfigError(
            "label_names and templates are for labelled pictures of your own (imagefolder, or owner/name on the Hub), "
            "and none of the benchmarks shows any: leave them out."
        )
    return {**sources, **mine}


def _under_names(source: Source, names: Mapping[str, str], templates: tuple[str, ...]) -> Source:
    given = enumerate(source.dataset.features["label"].names)
    labels = [names.get(label, names.get(str(index), label)) for index, label in given]
    with naming(source.name, DatasetError):
        named = source.dataset.cast_column("label", datasets.ClassLabel(names=labels))
    metadata = replace(source.metadata, templates=templates or source.metadata.templates)
    return replace(source, dataset=named, metadata=metadata)


def is_local(dataset: str, folder: Path | None = None) -> bool:
    """Whether a data set can be opened without a download: it has a loader, and files here or none at all."""
    if dataset not in dataset_names():
        return False
    builder = builder_class(dataset)
    is_drawn = builder.metadata.synthetic and not builder.layout
    return is_drawn or folder is not None or find_locally(dataset) is not None


def local_source(dataset: str, schemas: tuple[str, ...], folder: Path | None = None) -> Source | None:
    """A data set of this machine; None if it is not there, or has no loader (any more). Nothing is downloaded."""
    if not is_local(dataset, folder):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SubsetWarning)  # it was said when the set was evaluated
        return open_source(dataset, schemas, data_dir=folder or find_locally(dataset))


def drawn_source(items: Mapping[str, Sequence[Any]]) -> Source:
    """The source of a kind that draws what it shows: its `items` as rows, without images."""
    return Source(DRAWN, datasets.Dataset.from_dict(dict(items)), "test", dataset_metadata(DRAWN))


def _absent(splits: datasets.DatasetDict, split: str, metadata: DatasetMetadata) -> int:
    config = splits[split].info.config_name
    official, counted = metadata.official_rows(config, split), len(splits[split])
    if official is None:  # NIGHTS' shares of the splits are not published, its total is
        official, counted = metadata.official_rows(config, "total"), sum(map(len, splits.values()))
    return max(0, official - counted) if official is not None else 0
