"""Made-up rows of results; `pick` finds rows by their columns, `trials_of` reads trials."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hf_clipdyn.benchmarks import registry
from hf_clipdyn.results.arrow import SCHEMA
from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.results.row import CELL_KEY, NUMBER_KEY, Cell, NumberKey, Row
from hf_clipdyn.results.terms import VOCABULARY_KEY, Vocabulary

VOCABULARY = registry.vocabulary(
    registry.parse_benchmark(one)
    for one in (
        *("shape_bias/procedural", "shape_bias/cue_conflict", "zero_shot/cifar10", "noise/procedural"),
        *("quality/tid2013", "distortion/procedural", "similarity/nights", "saliency/osie"),
    )
)
"""The package's own words on some benchmarks."""


_USUAL: dict[str, Any] = {
    "split": "test",
    "observe_version": 1,
    "score_version": 1,
    "preprocess": "processor",
    "dtype": "float32",
    "texts": "own",
}


def row(
    benchmark: str,
    metric: str,
    value: float,
    half: float = 0.0,
    *,
    epoch: int | None = 0,
    repo_id: str = "me/fixture",
    revision: str | None = None,
    **more: Any,
) -> Row:
    """One made-up row; every column can be overridden.

    Args:
        benchmark: kind and data set with a slash.
        half: half the width of the interval.
    """
    kind, _, dataset = benchmark.partition("/")
    name = revision or f"epoch-{epoch:03d}"
    defaults: dict[str, Any] = _USUAL | {
        "repo_id": repo_id,
        "revision": name,
        "commit": f"{repo_id}@{name}".encode().hex()[:40],
        "epoch": epoch,
        "step": None if epoch is None else epoch * 100,
        "samples_seen": None if epoch is None else epoch * 6400,
        "kind": kind,
        "dataset": dataset,
        "data_fingerprint": "fixture0123",
        "versions": '{"hf_clipdyn": "0.1.0", "torch": "2.6"}',
        "metric": metric,
        "value": value,
        "ci_low": value - half,
        "ci_high": value + half,
        "confidence_level": 0.95,
        "n": 1000,
        "n_clusters": 64,
    }
    return Row(**{**defaults, **more})


def course(
    benchmark: str, metric: str, values: Iterable[float], half: float = 0.0, **columns: Any
) -> list[Row]:
    """The rows of one made-up run: a value for each epoch, from 0."""
    return [row(benchmark, metric, value, half, epoch=epoch, **columns) for epoch, value in enumerate(values)]


def write_rows(rows: Sequence[Row], path: Path, vocabulary: Vocabulary | None = VOCABULARY) -> Path:
    """Write rows as the Parquet file that `clipdyn evaluate` would leave."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist([asdict(one) for one in rows], schema=SCHEMA)
    if vocabulary is not None:
        table = table.replace_schema_metadata({VOCABULARY_KEY: vocabulary.dumps()})
    pq.write_table(table, path)
    return path


def pick(table: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    """The rows of a table whose columns have these values; None finds nulls."""
    for name, wanted in columns.items():
        table = table[table[name].isna() if wanted is None else table[name] == wanted]
    return table


def value(table: pd.DataFrame, metric: str, **columns: Any) -> float:
    """The one number of that name of epoch-001; columns that are not given have the default of a number."""
    defaults = {one.name: one.default for one in fields(NumberKey)}
    wanted = defaults | {"revision": "epoch-001", "texts": "own", "metric": metric} | columns
    rows = pick(table, **wanted)
    assert len(rows) == 1, wanted
    return float(rows["value"].iloc[0])


def cell(revision: str = "epoch-001", benchmark: str = "zero_shot/cifar10", **columns: Any) -> Cell:
    """One made-up cell; every column can be overridden."""
    kind, _, dataset = benchmark.partition("/")
    given: dict[str, Any] = _USUAL | {
        "repo_id": "me/run",
        "revision": revision,
        "commit": revision[-1] * 40,
        "kind": kind,
        "dataset": dataset,
        "data_fingerprint": "f" * 64,
        "seconds": 1.0,
    }
    return Cell(**(given | columns))


def sorted_rows(table: pd.DataFrame) -> pd.DataFrame:
    """The rows by their key, without what differs from process to process."""
    key = [*CELL_KEY, *NUMBER_KEY]
    assert not table.duplicated(key).any()
    return table.drop(columns=["seconds", "versions"]).set_index(key).sort_index()


def trials_of(output: Path, benchmark: str, *, texts: str = "own") -> pd.DataFrame:
    """The trials of one benchmark, of all its cells beside the table, with each cell's revision and text commit."""
    store = CellStore(output)
    cells = [one for one in store.cells() if (f"{one.kind}/{one.dataset}", one.texts) == (benchmark, texts)]
    frames = [
        trials.assign(revision=one.revision, text_commit=one.text_commit)
        for one in cells
        if (trials := store.trials(one.key)) is not None
    ]
    return pd.concat(frames, ignore_index=True)
