"""Item errors kept on disk beside the table: a second report costs no jackknife.

::

    results.errors/<key>.parquet     the contributions to the numbers of one cell that were asked for

The key is that of the cell. A file counts as long as its trials are unchanged, and this package and the kind's scoring
have their versions; else it is computed again and replaced whole. So is a broken one.
"""

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from hf_clipdyn import __version__
from hf_clipdyn.benchmarks.base import Kind, check_columns
from hf_clipdyn.benchmarks.registry import kind_named
from hf_clipdyn.errors import EvaluationError, UnknownNameError, shown
from hf_clipdyn.files import write_atomically
from hf_clipdyn.progress import draws_bars
from hf_clipdyn.results.parquet import read_parquet
from hf_clipdyn.results.trials import KeptTrials
from hf_clipdyn.schema import parse_json
from hf_clipdyn.statistics.item_errors import Design, ItemError, Key, item_errors

__all__ = ["NO_TRIALS", "ItemErrors", "errors_folder"]

NO_TRIALS = "no trials beside the table"
"""The cause of an unknown item variance without trials."""

_log = logging.getLogger(__name__)
_VERSION = 2  # to be raised if the same trials would give other contributions
_HEADER_KEY = b"hf_clipdyn.errors"


@dataclass(frozen=True)
class _Kept:
    """One number: its key, its place among the designs (None if its error is unknown), and the cause."""

    key: tuple[Any, ...]
    design: int | None
    cause: str = ""


@dataclass(frozen=True)
class _Header:
    """The metadata of a file: what it depends on, then what it holds.

    ``trials`` has the modification time (ns) and the size (bytes) of the trials.
    """

    version: int
    package: str
    score_version: int
    trials: tuple[int, ...]
    designs: tuple[Design, ...] = ()
    numbers: tuple[_Kept, ...] = ()

    def is_of(self, other: "_Header") -> bool:
        """Whether both depend on the same."""
        names = ("version", "package", "score_version", "trials")
        return all(getattr(self, name) == getattr(other, name) for name in names)


def errors_folder(table: Path) -> Path:
    """Folder of the item errors beside a table."""
    return table.with_suffix(".errors")


class ItemErrors:
    """What items contribute to the errors of the numbers in tables, from the trials beside them.

    Args:
        tables: files of `clipdyn evaluate`.
        keep: write what was computed beside the table, if the folder can be written.
        show_progress: draw a progress bar if it takes longer than two seconds.
    """

    def __init__(self, tables: Sequence[Path], *, keep: bool = True, show_progress: bool = True) -> None:
        self._trials = KeptTrials(tables)
        self._keep, self._show_progress = keep, show_progress
        self._held: dict[str, dict[Key, ItemError]] = {}

    def of(self, kind: str, wanted: Mapping[str, Collection[Key]]) -> dict[tuple[str, Key], ItemError]:
        """The errors of the numbers of one kind.

        Args:
            kind: name of the kind.
            wanted: keys of numbers, by the key of their cell.

        Returns:
            By cell and number; an unknown error has its cause.
        """
        missing = [cell for cell, keys in wanted.items() if not set(keys) <= self._held.get(cell, {}).keys()]
        cells = tqdm(
            missing,
            desc=f"item errors of {kind}",
            unit="cell",
            delay=2,
            leave=False,
            disable=not (self._show_progress and draws_bars()),
        )
        for cell in cells:
            held = self._held.setdefault(cell, {})
            held |= self._of_cell(kind, cell, set(wanted[cell]))
        return {(cell, key): self._held[cell][key] for cell, keys in wanted.items() for key in keys}

    def _of_cell(self, kind_name: str, cell: str, wanted: set[Key]) -> dict[Key, ItemError]:
        trials = self._trials.file(cell)
        if trials is None:
            return dict.fromkeys(wanted, ItemError.unknown(NO_TRIALS))
        try:
            kind = kind_named(kind_name)
            status = trials.stat()
            header = _Header(_VERSION, __version__, kind.score_version, (status.st_mtime_ns, status.st_size))
            file = _file_beside(trials, cell)
            held = _read(file, header)
            if rest := wanted - held.keys():
                held |= _computed(kind, self._trials.of(cell), rest)
                if self._keep:
                    _write(file, header, held)
        except (UnknownNameError, EvaluationError) as error:
            return dict.fromkeys(wanted, ItemError.unknown(str(error)))
        return held


def _file_beside(trials: Path, cell: str) -> Path:
    """The file of a cell; trials lie in the folder beside the table, or in one below it for each benchmark."""
    folder = next(one for one in trials.parents if one.suffix == ".trials")
    return folder.with_suffix(".errors") / f"{cell}.parquet"


def _computed(kind: type[Kind[Any]], trials: pd.DataFrame | None, keys: set[Key]) -> dict[Key, ItemError]:
    if trials is None:  # deleted meanwhile
        return dict.fromkeys(keys, ItemError.unknown(NO_TRIALS))
    check_columns(kind, trials, (name for name in kind.trial_columns if name not in kind.later_columns))
    unknown = ItemError.unknown("the number has no error over items")
    try:
        return dict.fromkeys(keys, unknown) | item_errors(kind, trials, keys)
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:
        # Scoring expects the trials of `observe`, such as each item with all exemplars; those of a file may be others.
        _log.info("trials of %s cannot be scored", kind.name, exc_info=True)
        raise EvaluationError(
            f"The trials of this {kind.name} benchmark cannot be scored ({shown(str(error), 120)}): "
            "evaluate it again with --force."
        ) from error


def _read(file: Path, header: _Header) -> dict[Key, ItemError]:
    """What a file holds; nothing if there is none, or if it is broken or depends on something else."""
    if not file.exists():
        return {}
    try:
        table = read_parquet(file)
        metadata = (table.schema.metadata or {}).get(_HEADER_KEY, b"")
        held = parse_json(_Header, metadata, where=str(file), error=EvaluationError)
        if not held.is_of(header):
            return {}
        return _unpacked(held, np.asarray(table["value"], np.float64))
    except (ValueError, KeyError, IndexError, EvaluationError) as error:
        _log.info("%s is computed again (%s)", file.name, error)
        return {}


def _unpacked(header: _Header, values: np.ndarray) -> dict[Key, ItemError]:
    found: dict[Key, ItemError] = {}
    start = 0
    _check(header)
    for one in header.numbers:
        if one.design is None:
            found[one.key] = ItemError.unknown(one.cause)
            continue
        design = header.designs[one.design]
        end = start + sum(design.sizes)
        found[one.key] = ItemError(design, values[start:end])
        start = end
    if start != len(values) or not np.isfinite(values).all():
        raise ValueError("contains other numbers than its header says")
    return found


def _check(header: _Header) -> None:
    for one in header.designs:
        fits = len(one.signs) == len(one.sizes) > one.fallback >= 0
        if not (fits and min(one.sizes) > 0 and set(one.signs) <= {-1, 1}):
            raise ValueError("has an invalid design")
    for number in header.numbers:
        if any(isinstance(part, list | dict) for part in number.key):
            raise ValueError("has a number with an invalid key")
        if number.design is not None and not 0 <= number.design < len(header.designs):
            raise ValueError("has a number without a design")


def _write(file: Path, header: _Header, held: Mapping[Key, ItemError]) -> None:
    """Keep what was computed; a folder that cannot be written costs the time of the next report, no more."""
    designs = list(dict.fromkeys(one.design for one in held.values() if one.design))
    numbers = [
        {
            "key": key,
            "design": designs.index(one.design) if one.design and not one.cause else None,
            "cause": one.cause,
        }
        for key, one in held.items()
    ]
    content = asdict(header) | {"designs": [asdict(one) for one in designs], "numbers": numbers}
    values = np.concatenate([np.empty(0), *(one.values for one in held.values() if not one.cause)])
    table = pa.table({"value": values}).replace_schema_metadata({_HEADER_KEY: json.dumps(content)})
    try:
        write_atomically(file, lambda staging: pq.write_table(table, staging))
    except OSError as error:
        _log.info("%s cannot be written (%s): item errors are computed again next time", file, error.strerror)
