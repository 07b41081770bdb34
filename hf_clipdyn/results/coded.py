"""The numbers of tables in memory: what is constant in a cell is there once a cell, and each number's name once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from hf_clipdyn.results.arrow import SCHEMA
from hf_clipdyn.results.provenance import RunOrigin
from hf_clipdyn.results.row import NUMBER_KEY, Cell, Row
from hf_clipdyn.results.terms import Vocabulary

DEFAULTS: Mapping[str, Any] = {one.name: one.default for one in fields(Row) if one.default is not MISSING}
"""What a row has in a column that a table lacks."""
_CELL = [one.name for one in fields(Cell)]
VALUES = [name for name in SCHEMA.names if name not in (*_CELL, *NUMBER_KEY)]
"""Columns of a row that are neither constant in its cell nor part of the number's name."""
_TEXTS = [field.name for field in SCHEMA if pa.types.is_string(field.type)]
_FLAGS = [field.name for field in SCHEMA if pa.types.is_boolean(field.type)]


@dataclass(frozen=True, eq=False)
class Coded:
    """A column whose rows share few values, or are in another order: ``values[places]``, computed where it is read."""

    places: NDArray[np.integer[Any]]
    values: "NDArray[Any] | Coded"

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: "slice | NDArray[np.integer[Any]]") -> NDArray[Any]:
        return self.values[self.places[rows]]


@dataclass(frozen=True, eq=False)
class Results:
    """The numbers of one or several tables, and their words.

    Attributes:
        cells: a row for each cell: the columns of `Cell` (texts "" and numbers NaN for nulls); ``cell``, its key; and
            ``run``: the repo_id, with the file's name in brackets if two files have different commits under the same
            names (for example two seeds).
        keys: a row for each number that some cell has: the columns of `NUMBER_KEY`.
        values: a row for each number of each cell, in the order of the tables: the other columns of `Row`, and
            ``at_cell`` and ``at_key``, its places in ``cells`` and ``keys``.
        vocabulary: the words of all tables.
        tables: their files; trials may lie beside them (`KeptTrials`).
        origins: where the numbers of each ``run`` come from, as far as its tables recorded it.
    """

    cells: pd.DataFrame
    keys: pd.DataFrame
    values: pd.DataFrame
    vocabulary: Vocabulary
    tables: tuple[Path, ...] = ()
    origins: tuple[RunOrigin, ...] = ()

    @classmethod
    def of(
        cls,
        rows: pd.DataFrame,
        vocabulary: Vocabulary,
        tables: Sequence[Path] = (),
        origins: Iterable[RunOrigin] = (),
    ) -> "Results":
        """From a frame with the columns of `rows`; those that have a default may be missing."""
        given = {name: _filled(rows[name]) if name in rows else DEFAULTS[name] for name in SCHEMA.names}
        frame = pd.DataFrame({**given, "cell": rows["cell"], "run": rows["run"]}, index=rows.index)
        of_cell, cells = _grouped(frame, [*_CELL, "cell", "run"])
        of_key, keys = _grouped(frame, list(NUMBER_KEY))
        values = frame[VALUES].reset_index(drop=True)
        values = values.astype({"note": "category", **dict.fromkeys(_FLAGS, "boolean")})
        values = values.assign(at_cell=of_cell, at_key=of_key)
        return cls(cells, keys, values, vocabulary, tuple(tables), tuple(origins))

    def with_rows(self, rows: pd.DataFrame) -> "Results":
        """The same tables with other `rows`."""
        return Results.of(rows, self.vocabulary, self.tables, self.origins)

    @property
    def rows(self) -> pd.DataFrame:
        """All in one frame: the columns of `Row`, ``cell`` and ``run``. It takes ten times the memory: ask for few.

        The same text is one object.
        """
        at_cell, at_key = (self.values[name].to_numpy() for name in ("at_cell", "at_key"))
        columns: dict[str, Any] = {}
        for name in (*SCHEMA.names, "cell", "run"):
            if name in self.cells:
                columns[name] = self.cells[name].to_numpy()[at_cell]
            elif name in self.keys:
                columns[name] = self.keys[name].to_numpy()[at_key]
            else:
                columns[name] = _plain(self.values[name])
            if columns[name].dtype == object:
                columns[name] = pd.Series(columns[name], dtype=object)  # pandas would make its own texts
        return pd.DataFrame(columns, copy=False)

    def select(self, chosen: NDArray[np.bool_]) -> "Results":
        """The results with these of the ``values`` only, and with the cells that these have."""
        values = self.values[chosen].reset_index(drop=True)
        used = np.zeros(len(self.cells), bool)
        used[values["at_cell"]] = True
        places = (np.cumsum(used) - 1).astype(np.int32)
        values = values.assign(at_cell=places[values["at_cell"]])
        return replace(self, cells=self.cells[used].reset_index(drop=True), values=values)

    def of_run(self, run: str) -> "Results":
        """The part of one run; the results themselves if they have no other."""
        own = (self.cells["run"] == run).to_numpy()
        return self if own.all() else self.select(own[self.values["at_cell"]])

    def smallest_first(self) -> "Results":
        """The runs of small models first, by their number of parameters; those of one size keep their order."""
        sizes = self.cells["parameters"].fillna(0).groupby(self.cells["run"]).transform("max").to_numpy()
        order = np.argsort(sizes, kind="stable")
        places = np.empty(len(order), np.int32)
        places[order] = np.arange(len(order))
        values = self.values.assign(at_cell=places[self.values["at_cell"]])
        values = values.iloc[np.argsort(sizes[self.values["at_cell"]], kind="stable")].reset_index(drop=True)
        cells = self.cells.iloc[order].reset_index(drop=True)
        ranks = {run: rank for rank, run in enumerate(cells["run"].unique())}
        origins = tuple(sorted(self.origins, key=lambda one: ranks.get(one.run, len(ranks))))
        return replace(self, cells=cells, values=values, origins=origins)

    def of_role(self, role: str) -> NDArray[np.bool_]:
        """Which of the ``values`` have this role."""
        is_role: NDArray[np.bool_] = (self.keys["role"] == role).to_numpy()[self.values["at_key"]]
        return is_role

    @cached_property
    def number_keys(self) -> list[tuple[Any, ...]]:
        """The rows of ``keys`` as values of `NUMBER_KEY`: built-in types, and None for what is missing."""
        columns = self.keys.astype({"layer": "Int64"}).astype(object)
        return list(columns.where(columns.notna(), None).itertuples(index=False, name=None))

    @cached_property
    def confidence(self) -> "pd.Series[float]":
        """The first confidence level of each cell, by its key; NaN without any."""
        levels = self.values.groupby("at_cell", sort=True)["confidence_level"].first()
        return pd.Series(levels.to_numpy(float), self.cells["cell"].to_numpy()[levels.index])


def _filled(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """A column of `Row` as `Results` has it: texts are objects, and their default stands in for missing ones."""
    if column.name not in _TEXTS:
        return column
    texts = column.astype(object)
    return texts.where(texts.notna(), DEFAULTS.get(str(column.name)) or "")


def _grouped(frame: pd.DataFrame, names: list[str]) -> tuple[NDArray[np.int32], pd.DataFrame]:
    """The group of each row, by these columns, and the columns of each group, in order of appearance."""
    of_row = frame.groupby(names, sort=False, dropna=False).ngroup().to_numpy().astype(np.int32)
    first = ~pd.Series(of_row).duplicated().to_numpy()
    return of_row, frame.loc[first, names].reset_index(drop=True)


def _plain(values: "pd.Series[Any]") -> NDArray[Any]:
    """A column of ``values`` as NumPy has it: truth values are objects if some are missing, which are None."""
    if values.name in _FLAGS:
        return (
            values.astype(object).where(values.notna(), None) if values.hasnans else values.astype(bool)
        ).to_numpy()
    if values.name == "note":
        texts = values.cat.categories.to_numpy(object)
        return texts[values.cat.codes]
    return values.to_numpy()
