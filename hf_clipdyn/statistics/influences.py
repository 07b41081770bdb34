"""What items contribute to the numbers of tables: as kept beside them, else from their trials, once."""

import logging
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

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
_MOST_CELLS = 64  # in memory with all their numbers; what was asked for stays

_log = logging.getLogger(__name__)


class KeptInfluences:
    """What items contribute to the numbers in tables, from the files beside them (`hf_clipdyn.results.influences`).

    Args:
        tables: files of `clipdyn evaluate`.
        keep: write what had to be computed beside the table, if the folder can be written.
        show_progress: draw a progress bar if it takes longer than two seconds.

    Attributes:
        trials: beside the tables.
    """

    def __init__(self, tables: Sequence[Path], *, keep: bool = True, show_progress: bool = True) -> None:
        self._tables, self.trials = tables, KeptTrials(tables)
        self._keep, self._show_progress = keep, show_progress
        self._asked: dict[tuple[str, Key], Influence] = {}
        self._cells: OrderedDict[str, Mapping[Key, Influence] | str] = OrderedDict()
        self._combined: dict[str, dict[Key, Influence]] | None = None

    def of(self, kind: str, wanted: Mapping[str, Collection[Key]]) -> dict[tuple[str, Key], Influence]:
        """The influences on numbers of one kind.

        Args:
            kind: name of the kind.
            wanted: keys of numbers, by the key of their cell.

        Returns:
            By cell and number; an unknown influence has its cause.
        """
        missing = [
            cell for cell, keys in wanted.items() if any((cell, key) not in self._asked for key in keys)
        ]
        cells = tqdm(
            missing,
            desc=f"influences on {kind}",
            unit="cell",
            delay=2,
            leave=False,
            disable=not (self._show_progress and draws_bars()),
        )
        for cell in cells:
            known = self.of_cell(kind, cell)
            for key in wanted[cell]:
                self._asked[cell, key] = (
                    Influence.unknown(known) if isinstance(known, str) else known.get(key, _NO_ERROR)
                )
        return {(cell, key): self._asked[cell, key] for cell, keys in wanted.items() for key in keys}

    def write(self, table: Path) -> None:
        """Keep what was asked for beside another table, whose readers then need no trials.

        Args:
            table: with the same cells, such as that of a whole study.
        """
        cells: dict[str, dict[Key, Influence]] = {}
        for (cell, key), one in self._asked.items():
            cells.setdefault(cell, {})[key] = one
        write_influences(combined_influences(table), cells)

    def of_cell(self, kind: str, cell: str) -> Mapping[Key, Influence] | str:
        """The influences on all numbers of a cell, or why they are unknown."""
        if cell not in self._cells:
            try:
                self._cells[cell] = self._read(kind, cell)
            except (UnknownNameError, EvaluationError) as error:
                self._cells[cell] = str(error)
            if len(self._cells) > _MOST_CELLS:
                self._cells.popitem(last=False)
        self._cells.move_to_end(cell)
        return self._cells[cell]

    def _read(self, kind_name: str, cell: str) -> Mapping[Key, Influence] | str:
        file = self.trials.file(cell)
        if file is None:
            for table in self._tables:  # of a relation, which has no trials of its own
                if own := read_influences(influences_folder(table) / f"{cell}.parquet").get(cell):
                    return own
            if self._combined is None:
                self._combined = {}
                for table in self._tables:
                    self._combined |= read_influences(combined_influences(table))
            return self._combined.get(cell, NO_TRIALS)
        # Trials lie in the folder beside the table, or in one below it for each benchmark.
        table = next(one for one in file.parents if one.suffix == ".trials")
        kept = influences_folder(table) / f"{cell}.parquet"
        if kind_name not in kinds() and (of_kept := read_influences(kept, None).get(cell)):
            return of_kept  # of a kind that left: nobody can score its trials again
        kind = kind_named(kind_name)
        stamp = stamp_of(file, kind.score_version)
        known: Mapping[Key, Influence] = read_influences(kept, stamp).get(cell, {})
        if not known:
            known = _computed(kind, self.trials.of(cell))
            if self._keep:
                write_influences(kept, {cell: known}, stamp)
        return known


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
