"""What relations read: the saved trials, numbers and weights of runs, as long as they are needed."""

import hashlib
import math
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import Kind
from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.benchmarks.relation import WEIGHTS, Kept, KeyedAnswers, Seen, keyed
from hf_clipdyn.benchmarks.sources import DRAWN
from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.plan import OF_REVISION
from hf_clipdyn.results.cells import CellStore, newest
from hf_clipdyn.results.row import Cell, Number, columns_of
from hf_clipdyn.results.terms import Vocabulary
from hf_clipdyn.results.trials import KeptTrials
from hf_clipdyn.revisions.names import natural_key

T = TypeVar("T")

_KEPT = 2**28  # bytes in memory of what is made of revisions
_SMALL = 2**20  # bytes; what is larger leaves first
_FEWEST = 2  # large things in any case: a pair of revisions
_TABLES = 3  # of trials in memory: a revision, the one before, the last one
_OF_RUN = (
    *OF_REVISION,
    "repo_id",
    "revision",
    "model_class",
    "processor_class",
    "score_version",
    "other",
    "versions",
    "seconds",
)
_OF_NUMBER, _FLOATS = list(columns_of(Number)), ("value", "ci_low", "ci_high")
_TABLE = "results.parquet"


class SavedRuns:
    """What relations read, and where their cells go.

    Attributes:
        of_study: whether several runs are related with each other, and each by itself is left out.
        wanted: the repositories whose relations are computed.
        cells: of the output, by their keys.
    """

    def __init__(self, config: EvaluationConfig, store: CellStore, of_study: Sequence[Path] = ()) -> None:
        self.config, self.store, self.of_study = config, store, bool(of_study)
        self.cells = {cell.key: cell for cell in store.cells()}
        tables = [*([] if config.output is None else [config.output]), *of_study]
        for one in () if of_study else config.each:
            folder = Path(str(one.repo_id[0]))
            table = folder / _TABLE
            if (
                folder.is_dir()
                and table.is_file()
                and table.resolve() not in {path.resolve() for path in tables}
            ):
                tables.append(table)
        self._trials = KeptTrials(tables)
        self._stores = [store, *(CellStore(table) for table in tables[1:])]
        if of_study:
            self.wanted = list(dict.fromkeys(cell.repo_id for one in self._stores for cell in one.cells()))
        else:
            self.wanted = [one.series.repo_id for one in config.each]
        self._names: dict[bytes, NDArray[Any]] = {}
        self._kept: OrderedDict[tuple[Any, Any], tuple[Any, int]] = OrderedDict()
        self._folders: dict[tuple[str, str], Callable[[], Path]] = {}
        self._read = lru_cache(_TABLES)(self._read_trials)

    @cached_property
    def benchmarks(self) -> list[tuple[type[Kind[Any]], list[list[Seen]]]]:
        """The runs of each benchmark, in the order of training; all were shown the same in the same way."""
        known, named = kinds(), None
        if self.config.benchmarks is not None:
            named = {(one.kind.name, one.dataset) for one in self.config.selected}
        groups: dict[tuple[Any, ...], dict[str, dict[str, Cell]]] = defaultdict(lambda: defaultdict(dict))
        for store in self._stores:
            for cell in newest(store.cells()):
                chosen = named is None or (cell.kind, cell.dataset) in named
                if self.of_study and self._trials.file(cell.key) is None:
                    continue
                if chosen and cell.kind in known and cell.texts == "own" and not cell.other:
                    shown = tuple(value for name, value in vars(cell).items() if name not in _OF_RUN)
                    groups[shown][cell.repo_id][cell.revision] = cell
        found = []
        for runs in groups.values():
            seen = [[self.seen(cell) for cell in sorted(run.values(), key=_when)] for run in runs.values()]
            found.append((known[seen[0][0].cell.kind], seen))
        return found

    def seen(self, cell: Cell) -> Seen:
        def read(one: Cell, columns: Sequence[str] | None) -> pd.DataFrame:
            return self._read(one, None if columns is None else tuple(columns))

        return Seen(cell, read, self._read_answers, self._weights, self._read_numbers, self._keep)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words of all tables."""
        return Vocabulary.merged(one.vocabulary for one in self._stores)

    def measured(self, cell: Cell) -> float:
        """When the trials of a cell were measured; 0 for weights."""
        return max(one.measured(cell.key) for one in self._stores)

    def _read_trials(self, cell: Cell, columns: tuple[str, ...] | None) -> pd.DataFrame:
        trials = self._trials.of(cell.key, columns)
        if trials is None:
            raise EvaluationError(
                f"{self.config.output} has no trials of {cell.revision} of {cell.repo_id} on "
                f"{cell.kind}/{cell.dataset}: evaluate it again with --force, or copy the folder of its trials."
            )
        return trials

    def _read_answers(self, cell: Cell) -> Mapping[str, KeyedAnswers]:
        return self._remembered((cell.key, "answers"), lambda: self._keyed_answers(cell), _size)

    def _keep(self, make: Callable[..., Kept], seen: Sequence[Seen]) -> Kept:
        names = tuple(one.cell.key + one.person for one in seen)
        return self._remembered((names, make), lambda: make(*seen), lambda made: made.nbytes)

    def _remembered(self, key: tuple[Any, Any], make: Callable[[], T], size: Callable[[T], int]) -> T:
        """In memory as long as the newest ones leave room."""
        if key not in self._kept:
            made = make()
            self._kept[key] = made, size(made)
            self._make_room()
        self._kept.move_to_end(key)
        remembered: T = self._kept[key][0]
        return remembered

    def _make_room(self) -> None:
        """Two large ones stay in any case, and small ones as long as there is room for them alone.

        What follows from several revisions is small, and takes long to compute again.
        """
        if sum(size for _, size in self._kept.values()) <= _KEPT:
            return
        sizes = {key: size for key, (_, size) in self._kept.items()}  # the oldest first
        large = [key for key, size in sizes.items() if size > _SMALL]
        small = [key for key in sizes if sizes[key] <= _SMALL]
        while sum(sizes.values()) > _KEPT and len(large) > _FEWEST:
            sizes.pop(large.pop(0))
        while sum(sizes[key] for key in small) > _KEPT:
            sizes.pop(small.pop(0))
        for key in self._kept.keys() - sizes.keys():
            del self._kept[key]

    def _read_numbers(self, cell: Cell) -> list[Number]:
        tables = (one.rows(cell.key) for one in self._stores)
        rows = next(one for one in tables if one is not None).select(_OF_NUMBER).to_pylist()
        return [Number(**row | {name: math.nan for name in _FLOATS if row[name] is None}) for row in rows]

    def _keyed_answers(self, cell: Cell) -> Mapping[str, KeyedAnswers]:
        kind = kinds()[cell.kind]
        return keyed(
            replace(
                one,
                item=self._once(one.item),
                label=self._once(one.label),
                cluster=self._once(one.cluster),
                counts=None if one.counts is None else self._once(one.counts),
                fingerprint=cell.data_fingerprint,
            )
            for one in kind.answers(self._read(cell, kind.answers_from or None))
        )

    def _once(self, values: NDArray[Any]) -> NDArray[Any]:
        """The same array for equal values: all revisions were shown the same items."""
        text = (
            values.tobytes() if values.dtype != object else "\0".join(map(str, values.reshape(-1))).encode()
        )
        return self._names.setdefault(hashlib.sha256(str(values.shape).encode() + text).digest(), values)

    def weighed(self, config: EvaluationConfig) -> list[Seen]:
        """A run whose weights are read: cells without trials."""
        listed = [one for one in config.series.revisions() if one.sha256 is not None]
        self._folders |= {
            (config.series.repo_id, one.name): partial(config.series.fetch, one) for one in listed
        }
        return [
            self.seen(
                Cell(
                    repo_id=config.series.repo_id,
                    revision=one.name,
                    **{name: getattr(one, name) for name in OF_REVISION},
                    kind=WEIGHTS[0],
                    dataset=DRAWN,
                    split="",
                    data_fingerprint="",
                    observe_version=1,
                    score_version=1,
                    preprocess="",
                    dtype="float32",
                    texts="own",
                )
            )
            for one in listed
        ]

    def _weights(self, cell: Cell) -> Mapping[str, NDArray[Any]]:
        from safetensors.torch import load_file

        files = sorted(self._folders[cell.repo_id, cell.revision]().glob("*.safetensors"))
        if not files:
            raise EvaluationError(
                f"{cell.revision} of {cell.repo_id} has no safetensors, from which weights are read: convert it with "
                "save_pretrained, or leave out --relations weights."
            )
        tensors = {name: value for file in files for name, value in load_file(file).items()}
        # Older versions of transformers saved buffers such as position_ids, which are not weights.
        return {name: value.float().numpy() for name, value in tensors.items() if value.is_floating_point()}


def _size(answers: Mapping[str, KeyedAnswers]) -> int:
    """Bytes; labels and items are shared by all revisions."""
    return sum(one.decision.nbytes for of_person in answers.values() for one in of_person.values())


def _when(cell: Cell) -> tuple[Any, ...]:
    """The place of a cell in the order of training."""
    clocks = (-1 if clock is None else clock for clock in (cell.samples_seen, cell.step, cell.epoch))
    return (*clocks, natural_key(cell.revision))
