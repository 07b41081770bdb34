"""Read tables of results: one or several Parquet files become measurements that know their run."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hf_clipdyn.errors import ConfigError, EvaluationError

__all__ = ["Measurement", "read_results"]

_REQUIRED = ("repo_id", "revision", "benchmark", "metric", "value", "ci_low", "ci_high", "n")


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
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise ConfigError(f"{path} {what}: expected a Parquet file written by `clipdyn evaluate`.")
    try:
        frame = pd.read_parquet(path)
    except (ValueError, OSError) as error:  # pyarrow's own errors are ValueErrors
        raise ConfigError(
            f"{path} cannot be read as Parquet ({str(error).splitlines()[0].rstrip('.')}): "
            "expected a file written by `clipdyn evaluate`."
        ) from error
    missing = [name for name in _REQUIRED if name not in frame.columns]
    if missing:
        raise ConfigError(
            f"{path} is no table of results: it lacks the columns {', '.join(missing)}; "
            "expected a file written by `clipdyn evaluate`."
        )
    try:
        return [_measurement(row) for row in frame.to_dict("records")]
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path} is no table of results: {error}.") from error


def _measurement(row: dict[Any, Any]) -> Measurement:
    convert: dict[Any, Callable[[Any], Any]] = {
        str: lambda given: "" if given is None else str(given),
        float: lambda given: math.nan if given is None else float(given),
        float | None: lambda given: None if given is None else float(given),
        int | None: lambda given: None if given is None else int(given),
        bool | None: lambda given: None if given is None else bool(given),
    }
    values = {
        field.name: convert[field.type](_or_none(row.get(field.name)))
        for field in fields(Measurement)
        if field.name != "run"
    }
    return Measurement(**values)


def _or_none(given: Any) -> Any:
    """pandas' several absent values as one."""
    if given is None or given is pd.NA or (isinstance(given, float | np.floating) and math.isnan(given)):
        return None
    return given


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
