"""What relations read: the saved trials, numbers and weights of runs."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.kind import Kind
from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.benchmarks.relation import WEIGHTS, KeyedAnswers, Seen, keyed
from hf_clipdyn.benchmarks.sources import DRAWN
from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.plan import OF_REVISION, plain_cell
from hf_clipdyn.models.snapshots import read_weights
from hf_clipdyn.results.cells import CellStore, newest
from hf_clipdyn.results.row import Cell, Number, columns_of
from hf_clipdyn.results.terms import Vocabulary
from hf_clipdyn.results.trials import KeptTrials
from hf_clipdyn.revisions import Revision, Series
from hf_clipdyn.revisions.names import natural_key

_TABLES = 3  # of trials in memory: a revision, the one before, the last one
_ANSWERS = 64  # revisions whose answers are in memory
_OF_SCORING = "score_version", "other", "versions", "seconds"
_OF_RUN = {*OF_REVISION, *_OF_SCORING, "repo_id", "revision", "model_class", "processor_class"}
_OF_NUMBER, _FLOATS = list(columns_of(Number)), ("value", "ci_low", "ci_high")


class SavedRuns:
    """What relations read, and where their cells go.

    Args:
        config: what is related.
        store: of the output.
        of_study: tables of the members of a study, if these are related with each other.

    Attributes:
        config, store, of_study: as given.
        wanted: the repositories whose relations are computed.
        cells: of the output, by their keys.
    """

    def __init__(self, config: EvaluationConfig, store: CellStore, of_study: Sequence[Path] = ()) -> None:
        self.config, self.store, self.of_study = config, store, bool(of_study)
        self.cells = {cell.key: cell for cell in store.cells()}
        tables = [*([] if config.output is None else [config.output]), *of_study]
        for member in () if of_study else config.each:  # the tables beside the runs that are named
            table = Path(str(member.repo_id[0])) / "results.parquet"
            if table.is_file() and table.resolve() not in {path.resolve() for path in tables}:
                tables.append(table)
        self._files = KeptTrials(tables)
        self._stores = [store, *(CellStore(table) for table in tables[1:])]
        of_tables = (cell.repo_id for store in self._stores for cell in store.cells())
        of_call = (member.series.repo_id for member in config.each)
        self.wanted = list(dict.fromkeys(of_tables if of_study else of_call))
        self._arrays: dict[bytes, NDArray[Any]] = {}
        self._series: dict[tuple[str, str], tuple[Series, Revision]] = {}
        self.trials: Callable[[Cell, tuple[str, ...] | None], pd.DataFrame] = lru_cache(_TABLES)(self._trials)
        self.answers: Callable[[Cell], Mapping[str, KeyedAnswers]] = lru_cache(_ANSWERS)(self._answers)

    @cached_property
    def benchmarks(self) -> list[tuple[type[Kind[Any]], list[list[Seen]]]]:
        """The runs of each benchmark, in the order of training; all were shown the same in the same way."""
        known, named = kinds(), None
        if self.config.benchmarks is not None:
            named = {(benchmark.kind.name, benchmark.dataset) for benchmark in self.config.selected}
        groups: dict[tuple[Any, ...], dict[str, dict[str, Cell]]] = defaultdict(lambda: defaultdict(dict))
        for cell in (cell for store in self._stores for cell in newest(store.cells())):
            chosen = cell.kind in known if named is None else (cell.kind, cell.dataset) in named
            has_trials = not self.of_study or self._files.file(cell.key) is not None
            if chosen and has_trials and cell.texts == "own" and not cell.other:
                shown = tuple(value for name, value in vars(cell).items() if name not in _OF_RUN)
                groups[shown][cell.repo_id][cell.revision] = cell
        found = []
        for runs in groups.values():
            seen = [[Seen(cell, self) for cell in sorted(run.values(), key=_when)] for run in runs.values()]
            found.append((known[seen[0][0].cell.kind], seen))
        return found

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words of all tables."""
        return Vocabulary.merged(store.vocabulary for store in self._stores)

    def measured(self, cell: Cell) -> float:
        """When the trials of a cell were measured; 0 for weights."""
        return max(store.measured(cell.key) for store in self._stores)

    def numbers(self, cell: Cell) -> list[Number]:
        """The numbers of a cell, without their influences."""
        tables = (store.rows(cell.key) for store in self._stores)
        rows = next(table for table in tables if table is not None).select(_OF_NUMBER).to_pylist()
        return [Number(**row | {name: math.nan for name in _FLOATS if row[name] is None}) for row in rows]

    def _trials(self, cell: Cell, columns: tuple[str, ...] | None) -> pd.DataFrame:
        trials = self._files.of(cell.key, columns)
        if trials is None:
            raise EvaluationError(
                f"{self.config.output} has no trials of {cell.revision} of {cell.repo_id} on "
                f"{cell.kind}/{cell.dataset}: evaluate it again with --force, or copy the folder of its trials."
            )
        return trials

    def _answers(self, cell: Cell) -> Mapping[str, KeyedAnswers]:
        kind = kinds()[cell.kind]
        return keyed(
            replace(
                answers,
                item=self._once(answers.item),
                label=self._once(answers.label),
                cluster=self._once(answers.cluster),
                counts=None if answers.counts is None else self._once(answers.counts),
                fingerprint=cell.data_fingerprint,
            )
            for answers in kind.answers(self._trials(cell, None))
        )

    def _once(self, values: NDArray[Any]) -> NDArray[Any]:
        """The same array for equal values: all revisions were shown the same items."""
        names = values.dtype == object
        text = "\0".join(map(str, values.reshape(-1))).encode() if names else values.tobytes()
        return self._arrays.setdefault(hashlib.sha256(str(values.shape).encode() + text).digest(), values)

    def weighed(self, series: Series) -> list[Seen]:
        """A run whose weights are read: cells without trials."""
        listed = [revision for revision in series.revisions() if revision.sha256 is not None]
        self._series |= {(series.repo_id, revision.name): (series, revision) for revision in listed}
        return [Seen(plain_cell(series.repo_id, revision, WEIGHTS[0], DRAWN), self) for revision in listed]

    def weights(self, cell: Cell) -> Mapping[str, NDArray[Any]]:
        """The tensors of a revision that `weighed` has listed."""
        series, revision = self._series[cell.repo_id, cell.revision]
        tensors = read_weights(series.fetch(revision))
        if not tensors:
            raise EvaluationError(
                f"{cell.revision} of {cell.repo_id} has no safetensors, from which weights are read: convert it with "
                "save_pretrained, or leave out --relations weights."
            )
        # Older versions of transformers saved buffers such as position_ids, which are not weights.
        return {name: value.float().numpy() for name, value in tensors.items() if value.is_floating_point()}


def _when(cell: Cell) -> tuple[Any, ...]:
    """The place of a cell in the order of training."""
    clocks = (-1 if clock is None else clock for clock in (cell.samples_seen, cell.step, cell.epoch))
    return (*clocks, natural_key(cell.revision))
