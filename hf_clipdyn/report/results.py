"""Read tables of results: one or several Parquet files become measurements that know their run."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from hf_clipdyn.errors import ConfigError, EvaluationError
from hf_clipdyn.evaluation.store import read_parquet

__all__ = ["Measurement", "read_results"]

_NAMES = ("repo_id", "revision", "benchmark", "metric")
_REQUIRED = (*_NAMES, "value", "ci_low", "ci_high", "n")


@dataclass(frozen=True)
class Measurement:
    """One row of a table of results: texts "" and numbers NaN where absent, counters None.

    ``run`` is the repo_id, followed by the name of the file in brackets where two files hold
    different commits under the same names (two seeds, say).
    """

    repo_id: str
    revision: str
    commit: str
    epoch: float | None
    step: float | None
    samples_seen: float | None
    benchmark: str
    data_fingerprint: str
    preprocess: str
    probe: str
    layer: int | None
    metric: str
    group: str
    higher_is_better: bool | None
    value: float
    ci_low: float
    ci_high: float
    n: float
    n_groups: float
    dtype: str
    versions: str
    seconds: float
    note: str
    run: str = ""

    @property
    def identity(self) -> tuple[object, ...]:
        """What names a trajectory within a run."""
        return (
            self.benchmark,
            self.data_fingerprint,
            self.preprocess,
            self.dtype,
            self.probe,
            self.layer,
            self.metric,
            self.group,
        )


def read_results(paths: Sequence[Path]) -> list[Measurement]:
    """Read tables of results and tell their runs apart.

    Args:
        paths: Parquet files as ``clipdyn evaluate`` writes them. Columns beyond the required ones
            (repo_id, revision, benchmark, metric, value, ci_low, ci_high, n) may be absent.

    Returns:
        The rows in the order of the files; of a row measured twice on the same commit the later one.

    Raises:
        ConfigError: no path given, a file is missing, is no Parquet file, lacks columns or holds
            something else than numbers where numbers belong.
        EvaluationError: the files hold no row.
    """
    if not paths:
        raise ConfigError("No results were given: name at least one Parquet file of `clipdyn evaluate`.")
    found: dict[tuple[object, ...], tuple[Measurement, str]] = {}
    for path, source in zip(paths, _short_names(paths), strict=True):
        for row in _read(path):
            key = (row.repo_id, row.revision, row.commit, *row.identity)
            found.pop(key, None)  # the later measurement also takes the later place
            found[key] = (row, source)
    if not found:
        names = ", ".join(str(path) for path in paths)
        raise EvaluationError(f"{names} holds no row: nothing was evaluated, so there is nothing to report.")
    return _name_runs(list(found.values()))


def _read(path: Path) -> list[Measurement]:
    try:
        table = read_parquet(path)
        missing = [name for name in _REQUIRED if name not in table.column_names]
        if missing:
            raise ValueError(f"lacks the columns {', '.join(missing)}")
        columns = {name: _column(table, name) for name in _TYPES if name in table.column_names}
    except ValueError as error:
        raise ConfigError(f"{path} {error}: expected a table that `clipdyn evaluate` wrote.") from error
    absent: dict[str, Any] = {name: _ABSENT.get(kind) for name, kind in _TYPES.items() if name not in columns}
    return [
        Measurement(**absent, **dict(zip(columns, row, strict=True)))
        for row in zip(*columns.values(), strict=True)
    ]


_TYPES = {field.name: field.type for field in fields(Measurement) if field.name != "run"}
_ABSENT: dict[Any, Any] = {str: "", float: math.nan}
_ARROW: dict[Any, pa.DataType] = {
    str: pa.string(),
    float: pa.float64(),
    float | None: pa.float64(),
    int | None: pa.int64(),
    bool | None: pa.bool_(),
}
_SIGNED = {"value", "ci_low", "ci_high"}


def _column(table: pa.Table, name: str) -> list[Any]:
    """The values of a column as `Measurement` has them.

    Raises:
        ValueError: it has values of another type, or none where a row needs one.
    """
    if table.column_names.count(name) > 1:
        raise ValueError(f"has two columns {name}")
    kind = _TYPES[name]
    try:
        values = table[name].cast(_ARROW[kind]).to_pylist()
    except (pa.ArrowException, ValueError) as error:
        raise ValueError(
            f"has values in its column {name} that are not of the type {_ARROW[kind]}"
        ) from error
    if name in _NAMES and not all(values):
        raise ValueError(f"has rows without their {name}")
    if name not in _SIGNED and any(isinstance(one, float) and (one < 0 or one == math.inf) for one in values):
        raise ValueError(f"has negative or infinite numbers in its column {name}")
    absent = _ABSENT.get(kind)
    return [absent if one is None or one != one else one for one in values]


def _short_names(paths: Sequence[Path]) -> list[str]:
    """The shortest names that tell the files apart: stem, folder/stem, or the whole path."""
    stems = [path.stem for path in paths]
    with_folder = [f"{path.resolve().parent.name}/{path.stem}" for path in paths]
    for names in (stems, with_folder):
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _name_runs(rows: Sequence[tuple[Measurement, str]]) -> list[Measurement]:
    # Within one file a revision of a second commit is a run that was trained anew under its old
    # name: the store appends, so the later commit is the state that exists now.
    newest = {(source, row.repo_id, row.revision): row.commit for row, source in rows}
    current = [
        (row, source) for row, source in rows if newest[source, row.repo_id, row.revision] == row.commit
    ]
    commits: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row, _ in current:
        commits[row.repo_id, row.revision].add(row.commit)
    ambiguous = {repo_id for (repo_id, _), seen in commits.items() if len(seen) > 1}
    return [
        replace(row, run=f"{row.repo_id} ({source})" if row.repo_id in ambiguous else row.repo_id)
        for row, source in current
    ]
