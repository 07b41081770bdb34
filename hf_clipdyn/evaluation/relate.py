"""The fourth stage: relate revisions with each other, from their saved trials; no model runs.

Each cell of a relation is written when it is done, and is computed again only if one of its revisions, or what was
measured of it, has changed.
"""

import hashlib
import json
import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.logging import get_logger
from tqdm.auto import tqdm

from hf_clipdyn.benchmarks.base import Common, Kind
from hf_clipdyn.benchmarks.registry import kinds_read, related_kind, relation_named, relation_vocabulary
from hf_clipdyn.benchmarks.relation import SORT, WEIGHTS, WITHIN_ARM, Relation, Seen, with_arm
from hf_clipdyn.benchmarks.shape_scores import OBSERVERS
from hf_clipdyn.benchmarks.units import UnitsOf
from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.crossed import FEWEST_SEEDS, brief, by_arm, crossed, mean_of_others, named
from hf_clipdyn.evaluation.saved_runs import SavedRuns
from hf_clipdyn.evaluation.score import check_names, rows_of, versions
from hf_clipdyn.metrics.bootstrap import Scale, student_interval
from hf_clipdyn.metrics.influence import Influence
from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.results.influences import Influences
from hf_clipdyn.results.row import Cell, Number
from hf_clipdyn.results.terms import Vocabulary

_log = get_logger(__name__)
_WAITING = 8  # cells that are computed and not yet written


def relate(config: EvaluationConfig, store: CellStore, tables: Sequence[Path] = ()) -> list[str]:
    """Compute the relations of the selected runs and write their cells.

    Trials are read beside the output, and beside the tables in the folders that are named; the runs there are the seeds
    with which a run is related. Only weights need the repository.

    Args:
        config: what to relate.
        store: of the output.
        tables: of the members of a study. Their runs are then related with each other, and each by itself is left to
            its own evaluation; a member without trials is left out.

    Returns:
        The keys of the cells, also of those that were done before.

    Raises:
        UnknownNameError: there is no such relation.
        EvaluationError: there are no trials that the relations read, or the output cannot be written.
    """
    return [key for one in _works(SavedRuns(config, store, tables)) for key in one.run()]


def planned(config: EvaluationConfig, store: CellStore) -> list[tuple[str, int, int]]:
    """What `relate` would compute: of each relation its name, the number of its pairs and runs, and how many are new.

    Raises:
        UnknownNameError, EvaluationError: as for `relate`.
    """
    return [(one.name, *one.count()) for one in _works(SavedRuns(config, store))]


def _works(room: SavedRuns) -> list["_Work"]:
    works: list[_Work] = []
    config = room.config
    for relation in map(relation_named, config.related):
        if room.of_study and not _is_between_runs(relation):
            continue
        if relation.reads == WEIGHTS:
            own = [_Work(relation, None, [room.weighed(one) for one in config.each], room)]
        else:
            read = kinds_read(relation)
            own = [_Work(relation, kind, runs, room) for kind, runs in room.benchmarks if kind.name in read]
        works += (of_relation := [one for one in own if one.chosen])
        if not of_relation and not room.of_study:
            _log.info(
                f"{relation.name} is left out: no trials of {' or '.join(kinds_read(relation))} are there."
            )
    if not works and not room.of_study:
        raise EvaluationError(
            f"{config.output} contains no trials of {', '.join(room.wanted)} that {', '.join(config.related)} read: "
            "evaluate first, without --relations."
        )
    return works


def _is_between_runs(relation: type[Relation]) -> bool:
    return "seeds" in relation.pairs or relation.over_seeds is not Relation.over_seeds


@dataclass(frozen=True)
class _Planned:
    """One cell of a relation, or those of a whole run.

    Attributes:
        sort: of the pair: one of `PAIRS`, ``run`` or ``runs``.
        others: the revisions that it relates with ``a``.
        numbers: computes them.
    """

    sort: str
    a: Seen
    others: Sequence[Seen]
    numbers: Callable[[], list[Number]]


class _Work:
    """One relation on one benchmark.

    Args:
        relation, kind: kind is None for weights.
        runs: of the benchmark, each in the order of training.
        room: of the trials and the cells.
    """

    def __init__(
        self,
        relation: type[Relation],
        kind: type[Kind[Any]] | None,
        runs: Sequence[Sequence[Seen]],
        room: SavedRuns,
    ) -> None:
        self._relation, self._kind, self._room = relation, kind, room
        self._runs = [run for run in runs if run]
        self.name = related_kind(relation, kind)
        self._common: Common = room.config
        self._pairs: dict[frozenset[str], list[Number]] = {}
        self._pairs_at: int | None = None

    @property
    def chosen(self) -> list[Sequence[Seen]]:
        """The runs whose relations are wanted."""
        return [run for run in self._runs if run[0].cell.repo_id in self._room.wanted]

    def count(self) -> tuple[int, int]:
        """The number of pairs and runs, and of those that are not done."""
        done = [self._is_done(one, self._cell(one, one.a).key) for one in self._planned()]
        return len(done), done.count(False)

    def run(self) -> list[str]:
        """Compute what is not done yet; returns the keys of all cells."""
        keys: list[str] = []
        written: deque[Future[None]] = deque()
        bar = tqdm(
            list(self._planned()),
            desc=self.name,
            unit="cell",
            delay=2,
            disable=not self._common.show_progress,
        )
        # Two files of each cell are flushed to the disk, which takes longer than to compute it.
        with ThreadPoolExecutor(1) as writer:
            for planned in bar:
                of_last = self._cell(planned, planned.a)
                if self._is_done(planned, of_last.key):
                    keys += [cell.key for cell in self._cells_at(planned) if cell.key in self._room.cells]
                    continue
                for key, write in self._writes(planned):
                    keys.append(key)
                    written.append(writer.submit(write))
                while len(written) > _WAITING:
                    written.popleft().result()
            for one in written:
                one.result()
        return keys

    def _is_done(self, planned: _Planned, key: str) -> bool:
        config, known = self._room.config, self._room.cells.get(key)
        if known is None or config.force or config.rescore:
            return False
        measured = max(self._room.measured(one.cell) for one in (planned.a, *planned.others))
        return (
            known.score_version == self._relation.score_version and self._room.store.measured(key) >= measured
        )

    def _cells_at(self, planned: _Planned) -> Iterator[Cell]:
        """Where the numbers may be, the last place at the end."""
        whole_run = planned.sort in ("run", "runs")
        places = (
            [one for one in planned.others if one.cell.repo_id == planned.a.cell.repo_id] if whole_run else []
        )
        for one in [*(one for one in places if one is not planned.a), planned.a]:
            yield self._cell(planned, one)

    def _writes(self, planned: _Planned) -> Iterator[tuple[str, Callable[[], None]]]:
        """The key of each cell, and what writes it."""
        start = time.perf_counter()
        numbers = planned.numbers()
        seconds = time.perf_counter() - start
        by_place: dict[str, list[Number]] = defaultdict(list)
        for one in numbers:
            by_place[one.at or planned.a.cell.revision].append(one)
        for cell in self._cells_at(planned):
            own = by_place[cell.revision]
            if not own:
                continue
            check_names(self._relation, own)
            known = self._influences(own)
            own = [self._with_interval(one, known.get(one.number_key)) for one in own]
            cell = replace(cell, versions=versions(), seconds=seconds)
            rows, words = rows_of(cell, self._relation, own, self._common), self._words(cell.dataset)
            write = self._room.store.write
            yield cell.key, partial(write, cell, rows, None, words, influences=known, is_new=True)

    def _cell(self, planned: _Planned, at: Seen) -> Cell:
        settings = json.loads(at.cell.settings) | {SORT: planned.sort}
        commits = [one.cell.commit for one in planned.others]
        if planned.sort not in ("previous", "last") and commits:
            commits = [hashlib.sha256("".join(sorted(commits)).encode()).hexdigest()[:40]]
        return replace(
            at.cell,
            kind=self.name,
            settings=json.dumps(settings, sort_keys=True),
            other="".join(commits),
            score_version=self._relation.score_version,
        )

    # --- what is related with what -----------------------------------------------------------------------

    def _planned(self) -> Iterator[_Planned]:
        relation = self._relation
        for run in () if self._room.of_study else self.chosen:
            for at, one in enumerate(run):
                yield from self._within(run, at, one)
            if relation.trace is not Relation.trace and len(run) > 1:
                yield _Planned("run", run[-1], run, partial(self._listed, relation.trace, run))
        if "seeds" in relation.pairs:
            yield from self._with_seeds()
        if relation.over_seeds is not Relation.over_seeds:
            yield from self._over_seeds()

    def _listed(self, hook: Callable[..., Iterable[Number]], seen: Any) -> list[Number]:
        return list(hook(seen, self._common))

    def _within(self, run: Sequence[Seen], at: int, one: Seen) -> Iterator[_Planned]:
        pairs, wanted = self._relation.pairs, self._room.config.revisions
        if wanted is not None and one.cell.revision not in wanted:
            return
        if "previous" in pairs and at:
            yield _Planned("previous", one, [run[at - 1]], partial(self._one, one, run[at - 1], "previous"))
        if "last" in pairs and one is not run[-1]:
            yield _Planned("last", one, [run[-1]], partial(self._one, one, run[-1], "last"))
        if "people" in pairs and self._kind and "observer" in self._kind.trial_columns and run[0].people:
            yield _Planned("people", one, [], partial(self._people, one))
        if "all" in pairs:
            rest = {other.cell.revision: other for other in run if other is not one}
            yield _Planned("all", one, list(rest.values()), partial(self._each, one, rest))

    def _with_seeds(self) -> Iterator[_Planned]:
        """At equal samples, so that the answers of few revisions are needed at a time."""
        at_samples: dict[int, list[Seen]] = defaultdict(list)
        for run in self._runs:
            for one in run:
                if one.cell.samples_seen is not None:
                    at_samples[one.cell.samples_seen].append(one)
        wanted = self._room.config.revisions
        for _, seen in sorted(at_samples.items()):
            for one in seen:
                own = one.cell
                if own.repo_id not in self._room.wanted or (
                    wanted is not None and own.revision not in wanted
                ):
                    continue
                partners = [
                    other
                    for other in seen
                    if other.cell.scale == own.scale
                    and other.cell.seed not in (None, own.seed)
                    and (other.cell.arm == own.arm or self._compares_arms(own.arm, other.cell.arm))
                ]
                if partners:
                    yield _Planned("seeds", one, partners, partial(self._seeds, one, partners))
            yield from self._over_pairs(seen)

    def _over_pairs(self, seen: Sequence[Seen]) -> Iterator[_Planned]:
        """In the first run of each arm at these samples: all pairs of its seeds, and those with other arms."""
        wanted = self._room.config.revisions
        for arms in by_arm(seen).values():
            for arm, own in arms.items():
                compared = [name for name in arms if name != arm and self._compares_arms(arm, name)]
                others = {name: arms[name] for name in compared}
                enough = len({one.cell.seed for one in own}) >= FEWEST_SEEDS
                chosen = any(one.cell.repo_id in self._room.wanted for one in own)
                if enough and chosen and (wanted is None or own[0].cell.revision in wanted):
                    everyone = [*own[1:], *chain(*others.values())]
                    yield _Planned("pairs", own[0], everyone, partial(self._crossed, own, others))

    def _crossed(self, own: Sequence[Seen], others: Mapping[str, Sequence[Seen]]) -> list[Number]:
        return list(crossed(own, others, self._related, self._units, self._common))

    def _compares_arms(self, *arms: str) -> bool:
        """Two other arms meet in the main one, so that the pairs grow with the arms and not with their square."""
        return bool(self._relation.between_arms) and "" in arms

    def _over_seeds(self) -> Iterator[_Planned]:
        groups: dict[tuple[str | None, str], list[Sequence[Seen]]] = defaultdict(list)
        for run in self._runs:
            groups[run[0].cell.scale, run[0].cell.arm].append(run)
        for runs in groups.values():
            if len(runs) < 2 or not any(run in self.chosen for run in runs):
                continue
            runs = sorted(
                runs, key=lambda run: (run[0].cell.seed is None, run[0].cell.seed, run[0].cell.repo_id)
            )
            shared = set.intersection(*({one.cell.samples_seen for one in run} for run in runs)) - {None}
            if not shared:
                continue
            aligned = [
                list({one.cell.samples_seen: one for one in run if one.cell.samples_seen in shared}.values())
                for run in runs
            ]
            everyone = [one for run in aligned for one in run]
            yield _Planned(
                "runs", aligned[0][-1], everyone, partial(self._listed, self._relation.over_seeds, aligned)
            )

    # --- numbers -----------------------------------------------------------------------------------------

    def _related(self, a: Seen, b: Seen) -> list[Number]:
        key = frozenset((a.cell.key + a.person, b.cell.key + b.person))
        if not self._relation.symmetric:
            return list(self._relation.relate(a, b, self._common))
        at = a.cell.samples_seen
        if at == b.cell.samples_seen != self._pairs_at:  # all pairs of seeds there follow each other
            self._pairs.clear()
            self._pairs_at = at
        if key not in self._pairs:
            self._pairs[key] = list(self._relation.relate(a, b, self._common))
        return self._pairs[key]

    def _one(self, a: Seen, b: Seen, reference: str) -> list[Number]:
        return named(self._relation.relate(a, b, self._common), reference)

    def _each(self, a: Seen, others: Mapping[str, Seen]) -> list[Number]:
        return self._singly({name: self._related(a, b) for name, b in others.items()})

    def _singly(self, each: Mapping[str, Sequence[Number]]) -> list[Number]:
        return [one for name, of in each.items() for one in brief(of, name, self._relation.terms.terms)]

    def _people(self, a: Seen) -> list[Number]:
        people = a.people
        each = {one.person: list(self._relation.relate(a, one, self._common)) for one in people}
        numbers = mean_of_others(list(each.values()), "people") + self._singly(each)
        between = [self._related(one, other) for one, other in combinations(people, 2)]
        return numbers + [
            replace(one, role="human", probe="")
            for one in mean_of_others(between, OBSERVERS)
            if one.role == "value"
        ]

    def _seeds(self, a: Seen, partners: Sequence[Seen]) -> list[Number]:
        by_arm: dict[str, dict[str, list[Number]]] = defaultdict(dict)
        for other in partners:
            by_arm[other.cell.arm][f"seed {other.cell.seed}"] = self._related(a, other)
        own = by_arm.pop(a.cell.arm, {})
        numbers = mean_of_others(list(own.values()), WITHIN_ARM)
        for arm, each in by_arm.items():
            numbers += mean_of_others([self._between_arms(of) for of in each.values()], with_arm(arm))
        return numbers + self._singly(own)

    def _between_arms(self, numbers: Sequence[Number]) -> list[Number]:
        metrics = self._relation.between_arms
        return [one for one in numbers if one.role == "value" and one.metric in metrics]

    # --- errors and words --------------------------------------------------------------------------------

    def _influences(self, numbers: Sequence[Number]) -> Influences:
        if self._kind is None:
            return {}
        # Two forms of kappa share what the items contribute, and so its variance.
        made: dict[int, Influence] = {}
        found = {}
        for one in numbers:
            if one.influence is not None:
                if id(one.influence) not in made:
                    made[id(one.influence)] = self._units.influence(one.influence)
                found[one.number_key] = made[id(one.influence)]
        return found

    @cached_property
    def _units(self) -> UnitsOf:
        assert self._kind is not None
        columns = list(dict.fromkeys(["item", *self._kind.clusters]))
        return UnitsOf(self._kind, self._runs[0][0].trials(columns))

    def _with_interval(self, one: Number, influence: Influence | None) -> Number:
        """The number with Student's interval, on the scale of its limits."""
        if influence is None or influence.units is None or not math.isfinite(one.value):
            return one
        clusters = influence.n_clusters
        if not self._common.n_resamples or not math.isnan(one.ci_low):
            return replace(one, n_clusters=clusters)
        limits, level = self._relation.terms.terms[one.metric].limits, self._common.confidence_level
        if limits == (-1.0, 1.0) and abs(one.value) < 1:
            variance = influence.variance / (1 - one.value**2) ** 2
            ends = np.tanh(student_interval(math.atanh(one.value), variance, "linear", level, clusters - 1))
        else:
            scale: Scale = "share" if limits == (0.0, 1.0) else "linear"
            ends = np.array(student_interval(one.value, influence.variance, scale, level, clusters - 1))
        return replace(one, ci_low=float(ends[0]), ci_high=float(ends[1]), n_clusters=clusters)

    @cache  # noqa: B019  # lives as long as the work
    def _words(self, dataset: str) -> Vocabulary:
        return relation_vocabulary(self._relation, self._kind, dataset, self._room.vocabulary)
