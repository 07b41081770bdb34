"""What items contribute to the numbers of tables: as kept beside them, else from their trials, once."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import pandas as pd
from tqdm.auto import tqdm

from hf_clipdyn.benchmarks.kind import Common, Kind
from hf_clipdyn.benchmarks.registry import kind_named, kinds
from hf_clipdyn.benchmarks.units import Key, influences, scored
from hf_clipdyn.errors import EvaluationError, UnknownNameError, shown
from hf_clipdyn.metrics.influence import Influence
from hf_clipdyn.progress import draws_bars
from hf_clipdyn.results.influences import (
    combined_influences,
    influences_folder,
    read_influences,
    stamp_of,
    write_influences,
)
from hf_clipdyn.results.trials import KeptTrials

NO_TRIALS = "no trials beside the table"
"""The cause of an unknown influence without trials."""
_NO_ERROR = Influence.unknown("the number has no error over items")
_MOST_CELLS = 64

_T = TypeVar("_T")
_Cell: TypeAlias = Mapping[Key, Influence]

_log = logging.getLogger(__name__)


class Errors:
    """What items contribute to the numbers of tables.

    Args:
        tables: files of `clipdyn evaluate`.
        keep: write what had to be computed beside the table, if the folder can be written.
        show_progress: draw a progress bar if it takes longer than two seconds.

    Attributes:
        trials: beside the tables.
        of_cell: from the name of a kind and the key of a cell, the influences on all its numbers, or why they are
            unknown.
    """

    def __init__(self, tables: Sequence[Path], *, keep: bool = True, show_progress: bool = True) -> None:
        self._tables, self.trials = tables, KeptTrials(tables)
        self._keep, self._show_progress = keep, show_progress
        self._asked: dict[tuple[str, Key], Influence] = {}
        # In memory with all their numbers; what was asked for stays.
        self.of_cell = lru_cache(_MOST_CELLS)(self._of_cell)

    def progress(self, members: Iterable[_T], title: str) -> Iterable[_T]:
        """The members of a loop, with a progress bar if that is wanted and they take longer than two seconds."""
        hidden = not (self._show_progress and draws_bars())
        return tqdm(members, desc=f"errors of {title}", delay=2, leave=False, disable=hidden)

    def of(self, kind: str, cell: str, number: Key) -> Influence:
        """The influence on a number of a cell, by their keys; an unknown one has its cause."""
        if (cell, number) not in self._asked:
            known = self.of_cell(kind, cell)
            self._asked[cell, number] = (
                Influence.unknown(known) if isinstance(known, str) else known.get(number, _NO_ERROR)
            )
        return self._asked[cell, number]

    def write(self, table: Path) -> None:
        """Keep what was asked for beside another table with the same cells, whose readers then need no trials."""
        cells: dict[str, dict[Key, Influence]] = {}
        for (cell, key), one in self._asked.items():
            cells.setdefault(cell, {})[key] = one
        write_influences(combined_influences(table), cells)

    def _of_cell(self, kind: str, cell: str) -> _Cell | str:
        file = self.trials.file(cell)
        try:
            return self._without_trials(cell) if file is None else self._read(file, kind, cell)
        except (UnknownNameError, EvaluationError) as error:
            return str(error)

    def _read(self, file: Path, kind_name: str, cell: str) -> _Cell:
        # Trials lie in the folder beside the table, or in one below it for each benchmark.
        table = next(one for one in file.parents if one.suffix == ".trials")
        kept = influences_folder(table) / f"{cell}.parquet"
        if kind_name not in kinds() and (of_kept := read_influences(kept, None).get(cell)):
            return of_kept  # of a kind that left: nobody can score its trials again
        kind = kind_named(kind_name)
        stamp = stamp_of(file, kind.score_version)
        if known := read_influences(kept, stamp).get(cell):
            return known
        computed = _computed(kind, self.trials.of(cell))
        if self._keep:
            write_influences(kept, {cell: computed}, stamp)
        return computed

    def _without_trials(self, cell: str) -> _Cell | str:
        # A relation has no trials of its own.
        files = [influences_folder(table) / f"{cell}.parquet" for table in self._tables]
        own = (read_influences(file).get(cell) for file in files)
        return next(filter(None, own), self._combined.get(cell, NO_TRIALS))

    @cached_property
    def _combined(self) -> dict[str, _Cell]:
        files = map(combined_influences, self._tables)
        return {cell: known for file in files for cell, known in read_influences(file).items()}


def _computed(kind: type[Kind[Any]], trials: pd.DataFrame | None) -> dict[Key, Influence]:
    if trials is None:  # deleted meanwhile
        raise EvaluationError(NO_TRIALS)
    try:
        return influences(kind, trials, scored(kind, trials, Common()))
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:
        # Scoring expects the trials of `observe`, such as each item with all exemplars; those of a file may be others.
        _log.info("trials of %s cannot be scored", kind.name, exc_info=True)
        cause = f"they lack a column: {error}" if isinstance(error, KeyError) else shown(str(error), 120)
        raise EvaluationError(
            f"The trials of this {kind.name} benchmark cannot be scored ({cause}): "
            "evaluate it again with --force."
        ) from error
