"""The data set behind a benchmark: found by kind, opened with one message for anything that is missing."""

import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import datasets
import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from hf_clipdyn.data import load_dataset
from hf_clipdyn.data.load import find_locally, lacks_files
from hf_clipdyn.data.metadata import DatasetMetadata, SubsetWarning
from hf_clipdyn.data.registry import builder_class, dataset_metadata, dataset_names, is_anybodys
from hf_clipdyn.errors import ConfigError, DatasetError, EvaluationError, naming

if TYPE_CHECKING:
    from hf_clipdyn.benchmarks.kind import Benchmark

K = TypeVar("K")

DRAWN = "procedural"
"""Data set of the kinds that draw what they show."""

_said: set[str] = set()
"""What the current call has said of missing data: several models and a watched run lack the same."""
_STIMULUS = ("image", "distorted")  # columns of the image that a row is about, before those of its partners

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

    @property
    def class_names(self) -> list[str]:
        """Names of the classes of the column label, by their ids; empty without such a column."""
        label = self.dataset.features.get("label")
        return [] if label is None else list(label.names)

    def incomplete(self, shown: int) -> dict[str, str]:
        """``{"incomplete": "n/N"}`` if only n of the N official rows are shown, else empty: for `Kind.facts`."""
        whole = len(self.dataset) + self.absent
        return {"incomplete": f"{shown}/{whole}"} if shown < whole else {}

    def count_images(self, rows: range) -> int:
        """How many different images these rows have, by the path and the size of their files; at least one."""
        columns = self.images
        if not columns:
            return max(1, len(rows))
        table: Any = self.dataset.select_columns(columns).select(rows).with_format("arrow")[:]
        seen: set[Any] = set()
        for name in columns:
            paths = pc.struct_field(table[name], "path").to_pylist()
            sizes = pc.binary_length(pc.struct_field(table[name], "bytes")).to_pylist()
            stored = enumerate(zip(paths, sizes, strict=True))
            # An image without a path counts as another one.
            seen |= {(path, size) if path else (name, at) for at, (path, size) in stored}
        return len(seen)

    def file_names(self) -> NDArray[np.object_]:
        """Name of the file of each row's image, "" if unknown."""
        columns = self.images
        if not columns:
            return np.full(len(self.dataset), "", object)
        column = next((name for name in _STIMULUS if name in columns), columns[0])
        table: Any = self.dataset.select_columns([column]).with_format("arrow")[:]
        paths = pc.struct_field(table[column], "path").to_pylist()
        return np.array([(path or "").rpartition("/")[2] for path in paths], object)

    @property
    def images(self) -> list[str]:
        """Names of the columns of images."""
        features = self.dataset.features.items()
        return [name for name, feature in features if isinstance(feature, datasets.Image)]


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
    # Of anybody's: captions where there are some, else labels.
    *others, last = (
        sorted(configs, key=lambda config: config is not None) if is_anybodys(name) else configs[:1]
    )
    splits, load = None, partial(load_dataset, name, data_dir=data_dir, token=token)
    for config in others:
        with suppress(DatasetError):
            splits = splits or load(config)
    splits = splits or load(last)
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
    labels = [names.get(label, names.get(str(at), label)) for at, label in enumerate(source.class_names)]
    with naming(source.name, DatasetError):
        named = source.dataset.cast_column("label", datasets.ClassLabel(names=labels))
    metadata = replace(source.metadata, templates=templates or source.metadata.templates)
    return replace(source, dataset=named, metadata=metadata)


def begin_call() -> None:
    """Say again what is left out, in a new call."""
    _said.clear()


def open_sources(
    benchmarks: "Sequence[Benchmark]",
    data_dirs: Mapping[str, Path],
    *,
    skip_missing: bool = False,
    token: str | None = None,
) -> "dict[Benchmark, Source]":
    """The data set of each benchmark. One error names all that are missing, and where to get them.

    The Hub is asked for mirrors only if all data sets without one are there, or if missing data are skipped.

    Args:
        benchmarks: each is opened with its kind's schemas.
        data_dirs: folders of data sets, by name.
        skip_missing: leave out what is missing, and say so once a call.
        token: for private mirrors.

    Raises:
        EvaluationError: some are missing and must not be skipped, or none is there.
    """
    missing: dict[Benchmark, str] = {}
    for benchmark in benchmarks:
        if benchmark.dataset not in data_dirs and lacks_files(benchmark.dataset):
            missing[benchmark] = "its files are not on this machine."
    is_refused = missing and not skip_missing
    rest = [] if is_refused else [benchmark for benchmark in benchmarks if benchmark not in missing]
    # Each is opened once, though several benchmarks show it.
    found: dict[tuple[str, tuple[str, ...]], Source | str] = {}
    with_files = [benchmark for benchmark in rest if benchmark.kind.schemas]
    for shown in dict.fromkeys((benchmark.dataset, benchmark.kind.schemas) for benchmark in with_files):
        folder = data_dirs.get(shown[0])
        try:
            found[shown] = open_source(*shown, data_dir=folder and Path(folder), token=token)
        except DatasetError as error:
            found[shown] = str(error)
    sources: dict[Benchmark, Source] = {}
    for benchmark in rest:
        source = (
            found[benchmark.dataset, benchmark.kind.schemas]
            if benchmark.kind.schemas
            else drawn_source(benchmark.kind.items())
        )
        if isinstance(source, Source):
            sources[benchmark] = source
        else:
            missing[benchmark] = source
    if missing:
        table = _missing_table(missing, len(benchmarks))
        if not skip_missing:
            raise EvaluationError(table)
        if table not in _said:
            _said.add(table)
            from accelerate.logging import get_logger  # loads torch

            get_logger(__name__).info(f"Left out: {table}")
    if not sources:
        raise EvaluationError("No benchmark can run: nothing was evaluated.")
    return sources


def _missing_table(missing: "Mapping[Benchmark, str]", asked: int) -> str:
    """A line for each benchmark whose data are missing, then what to do."""
    width, root = max(len(benchmark.name) for benchmark in missing), os.environ.get("CLIPDYN_DATA")
    lines = [f"{len(missing)} of {asked} benchmarks cannot run, since their data are missing:"]
    for benchmark, cause in missing.items():
        where = dataset_metadata(benchmark.dataset).where
        lines.append(
            f"  {benchmark.name:<{width}}  {cause}{'' if where in cause else f' Get it at {where}.'}"
        )
    names = ", ".join(sorted({benchmark.dataset for benchmark in missing}))
    lines.append(
        f"Put the folders into one parent folder, under the names {names}, and set CLIPDYN_DATA to the parent "
        f"({f'now {root}' if root else 'not set now'}). Or give each folder with --data_dir NAME=PATH, or run the "
        "other benchmarks with --skip_missing."
    )
    return "\n".join(lines)


def cues(dataset: datasets.Dataset) -> tuple[list[str], dict[str, list[str]]]:
    """The names of a data set's classes, and the class of each row by cue: ``shape``, ``texture``, ``label``."""
    names, by_cue = list[str](), dict[str, list[str]]()
    for cue in ("shape", "texture", "label"):
        if cue in dataset.column_names:
            values = dataset.select_columns([cue])[:][cue]
            known = getattr(dataset.features[cue], "names", None)
            by_cue[cue] = [str(known[value] if known else value) for value in values]
            names = names or list(known or sorted(set(by_cue[cue])))
    return names, by_cue


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
