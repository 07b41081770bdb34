"""What items contribute to the numbers of a table, kept beside it: no report and no comparison scores trials again.

::

    results.influences/<key>.parquet    of the numbers of one cell, written when its trials are scored
    results.influences.parquet          of the numbers of several cells, for a table without trials

Both have a row for each number (``cell``, ``number``: the JSON of its `NUMBER_KEY`, ``cause``, ``units``,
``contributions``) and one for each set of units that these name (``units``, ``clusters``: the numbers of the clusters
of each unit, ``ways`` of them). The influences of a cell count as long as its trials are unchanged, and this package
and the scoring of its kind have their versions; else they are computed again. Those of several cells count as they are.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hf_clipdyn import __version__
from hf_clipdyn.files import write_atomically
from hf_clipdyn.metrics.influence import Influence, Units

_log = logging.getLogger(__name__)

Influences: TypeAlias = Mapping[tuple[Any, ...], Influence]
"""By the values of `NUMBER_KEY`."""

_VERSION = 2  # to be raised if the same trials would give other influences
_STAMP = b"hf_clipdyn.influences"
_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("cell", "number", "cause", "units")),
        ("contributions", pa.list_(pa.float64())),
        ("clusters", pa.list_(pa.int32())),
        *((name, pa.int32()) for name in ("ways", "n_clusters")),
    ]
)


def stamp_of(trials: Path, score_version: int) -> str:
    """What the influences of a cell depend on: the file of its trials, the scoring of its kind, this package."""
    status = trials.stat()
    parts = (_VERSION, __version__, score_version, status.st_mtime_ns, status.st_size)
    return " ".join(map(str, parts))


def influences_folder(table: Path) -> Path:
    """Folder of the influences beside a table."""
    return table.with_suffix(".influences")


def combined_influences(table: Path) -> Path:
    """File of the influences beside a table without trials."""
    return table.with_suffix(".influences.parquet")


def write_influences(file: Path, cells: Mapping[str, Influences], stamp: str = "") -> None:
    """Write influences; a folder that cannot be written costs the time of the next report, no more.

    Args:
        file: replaced whole.
        cells: influences by the key of the cell.
        stamp: of a single cell (`stamp_of`).
    """
    numbers = [(cell, key, one) for cell, known in cells.items() for key, one in known.items()]
    units = {one.units.names: one.units for *_, one in numbers if one.units is not None}
    rows: list[dict[str, Any]] = [
        {"cell": cell, "number": json.dumps(key), "cause": one.cause}
        | ({"units": one.units.names, "contributions": one.values} if one.units is not None else {})
        for cell, key, one in numbers
    ]
    for name, of in units.items():
        clusters, ways = of.clusters.reshape(-1), of.clusters.shape[1]
        rows.append({"units": name, "clusters": clusters, "ways": ways, "n_clusters": of.n_clusters})
    table = pa.Table.from_pylist(rows, _SCHEMA).replace_schema_metadata({_STAMP: stamp})
    try:
        write_atomically(file, lambda staging: pq.write_table(table, staging, compression="zstd"))
    except OSError as error:
        _log.info("%s cannot be written (%s): influences are computed again", file, error.strerror)


def read_influences(file: Path, stamp: str | None = "") -> dict[str, dict[tuple[Any, ...], Influence]]:
    """Influences by the key of their cell; nothing if the file is absent or broken, or depends on something else.

    Args:
        file: that `write_influences` wrote.
        stamp: what the influences of a single cell must depend on; None for anything.
    """
    if not file.exists():
        return {}
    try:
        table = pq.ParquetFile(file).read()
        if stamp is not None and (table.schema.metadata or {}).get(_STAMP, b"").decode() != stamp:
            return {}
        return _unpacked(table.select(_SCHEMA.names).cast(_SCHEMA))
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        _log.info("%s is not read (%s)", file.name, error)
        return {}


def _unpacked(table: pa.Table) -> dict[str, dict[tuple[Any, ...], Influence]]:
    """Checked: a file may come from anywhere."""
    contributions = table["contributions"].combine_chunks()
    values, ends = contributions.values.to_numpy(), contributions.offsets.to_numpy()
    rows = table.drop_columns("contributions").to_pylist()
    units = {row["units"]: _units(row) for row in rows if row["number"] is None}
    by_cell: dict[str, dict[tuple[Any, ...], Influence]] = {}
    for row, start, end in zip(rows, ends[:-1], ends[1:], strict=True):
        if row["number"] is None:
            continue
        key, one = json.loads(row["number"]), Influence.unknown(row["cause"] or "")
        if not isinstance(key, list) or any(isinstance(part, list | dict) for part in key):
            raise ValueError("has a number with an invalid key")
        if row["units"] is not None:
            one = Influence(units[row["units"]], np.array(values[start:end], np.float64))
            if len(one.values) != len(units[row["units"]].clusters) or not np.isfinite(one.values).all():
                raise ValueError("has other contributions than its units need")
        by_cell.setdefault(row["cell"], {})[tuple(key)] = one
    return by_cell


def _units(row: Mapping[str, Any]) -> Units:
    codes = np.array(row["clusters"], np.int64).reshape(-1, max(row["ways"], 1))
    if not len(codes) or codes.min() < 0 or row["n_clusters"] < 2:
        raise ValueError("has invalid units")
    return Units(row["units"], codes, row["n_clusters"])
