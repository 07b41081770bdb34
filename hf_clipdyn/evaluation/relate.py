"""The fourth stage: relate revisions with each other, from their saved trials; no model runs.

Each cell of a relation is written when it is done, and is computed again only if one of its revisions, or what was
measured of it, has changed.
"""

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.logging import get_logger
from tqdm.auto import tqdm

from hf_clipdyn.benchmarks.kind import Kind
from hf_clipdyn.benchmarks.registry import kinds_read, related_kind, relation_named, relation_vocabulary
from hf_clipdyn.benchmarks.relation import (
    SORT,
    WEIGHTS,
    WITHIN_ARM,
    Relation,
    Scored,
    Seen,
    mean_influence,
    mean_of_others,
    named,
    with_arm,
)
from hf_clipdyn.benchmarks.shape_scores import OBSERVERS
from hf_clipdyn.benchmarks.units import UnitsOf, ways_of, with_interval
from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.saved_runs import SavedRuns
from hf_clipdyn.evaluation.score import check_names, rows_of, versions
from hf_clipdyn.metrics.influence import mean_over_pairs
from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.results.row import Cell, Number

_log = get_logger(__name__)

FEWEST_SEEDS = 3
"""Without one of two seeds there is no pair, so that the error of seeds is unknown."""


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
    keys: list[str] = []
    for work in _works(SavedRuns(config, store, tables)):
        quiet = not config.show_progress
        for pair in tqdm(work.pairs(), desc=work.name, unit="cell", delay=2, disable=quiet):
            keys += work.kept(pair) if work.is_done(pair) else work.write(pair)
    return keys


def planned(config: EvaluationConfig, store: CellStore) -> list[tuple[str, int, int]]:
    """What `relate` would compute: of each relation its name, the number of its pairs and runs, and how many are new.

    Raises:
        UnknownNameError, EvaluationError: as for `relate`.
    """
    works = _works(SavedRuns(config, store))
    done = [(work.name, [work.is_done(pair) for pair in work.pairs()]) for work in works]
    return [(name, len(each), each.count(False)) for name, each in done]


def _works(saved: SavedRuns) -> list["_Work"]:
    config, works = saved.config, list[_Work]()
    for relation in map(relation_named, config.related):
        between_runs = "seeds" in relation.pairs or _has(relation, "over_seeds")
        if saved.of_study and not between_runs:
            continue
        read = kinds_read(relation)
        if relation.reads == WEIGHTS:
            found = [_Work(relation, None, [saved.weighed(member.series) for member in config.each], saved)]
        else:
            benchmarks = [(kind, runs) for kind, runs in saved.benchmarks if kind.name in read]
            found = [_Work(relation, kind, runs, saved) for kind, runs in benchmarks]
        works += (chosen := [work for work in found if work.chosen])
        if not chosen and not saved.of_study:
            _log.info(f"{relation.name} is left out: there are no trials of {' or '.join(read)}.")
    if not works and not saved.of_study:
        raise EvaluationError(
            f"{config.output} contains no trials of {', '.join(saved.wanted)} that {', '.join(config.related)} read: "
            "evaluate first, without --relations."
        )
    return works


def _has(relation: type[Relation], hook: str) -> bool:
    return getattr(relation, hook).__func__ is not getattr(Relation, hook).__func__


@dataclass(frozen=True)
class _Pair:
    """One cell of a relation, or those of a whole run.

    Attributes:
        sort: one of `PAIRS`, ``pairs`` of all seeds, ``run`` or ``runs``.
        a: the revision to which the numbers belong.
        others: the revisions with which it is related.
        numbers: computes them.
    """

    sort: str
    a: Seen
    others: Sequence[Seen]
    numbers: Callable[[], Iterable[Scored]]


class _Work:
    """One relation on one benchmark.

    Args:
        relation, kind: kind is None for weights.
        runs: of the benchmark, each in the order of training.
        saved: the trials and the cells.
    """

    def __init__(
        self,
        relation: type[Relation],
        kind: type[Kind[Any]] | None,
        runs: Sequence[Sequence[Seen]],
        saved: SavedRuns,
    ) -> None:
        self._relation, self._kind, self._saved = relation, kind, saved
        self._runs = [run for run in runs if run]
        self.name = related_kind(relation, kind)
        self.chosen = [run for run in self._runs if self._is_wanted(run[0])]
        # The numbers of pairs that were related, until another revision or other samples are their turn.
        self._known: dict[frozenset[Seen], list[Scored]] = {}

    def _is_wanted(self, seen: Seen) -> bool:
        return seen.cell.repo_id in self._saved.wanted

    # --- what is related with what -----------------------------------------------------------------------

    def pairs(self) -> Iterator[_Pair]:
        """All pairs and runs: those within each run first."""
        relation, seed = self._relation, self._saved.config.seed
        for run in () if self._saved.of_study else self.chosen:
            for at, revision in enumerate(run):
                yield from self._within(run, at, revision)
            if _has(relation, "trace") and len(run) > 1:
                yield _Pair("run", run[-1], run, partial(relation.trace, run, seed))
        if "seeds" in relation.pairs:
            yield from self._between_seeds()
        if _has(relation, "over_seeds"):
            yield from self._over_seeds()

    def _is_named(self, seen: Seen) -> bool:
        revisions = self._saved.config.revisions
        return revisions is None or seen.cell.revision in revisions

    def _within(self, run: Sequence[Seen], at: int, revision: Seen) -> Iterator[_Pair]:
        if not self._is_named(revision):
            return
        self._known.clear()
        for sort, other in (("previous", run[:at]), ("last", run[at + 1 :])):
            if sort in self._relation.pairs and other:
                yield _Pair(sort, revision, other[-1:], partial(self._with_one, revision, other[-1], sort))
        if "people" in self._relation.pairs and run[0].people:
            yield _Pair("people", revision, [], partial(self._people, revision))

    def _between_seeds(self) -> Iterator[_Pair]:
        """At equal samples, so that the answers of few revisions are needed at a time."""
        at_samples: dict[int, list[Seen]] = defaultdict(list)
        for revision in chain(*self._runs):
            if revision.cell.samples_seen is not None:
                at_samples[revision.cell.samples_seen].append(revision)
        for _, seen in sorted(at_samples.items()):
            self._known.clear()
            for revision in filter(self._is_wanted, filter(self._is_named, seen)):
                own = revision.cell
                unequal = [other for other in seen if other.cell.seed not in (None, own.seed)]
                alike = [other for other in unequal if other.cell.scale == own.scale]
                if partners := [other for other in alike if self._compares(own.arm, other.cell.arm)]:
                    yield _Pair("seeds", revision, partners, partial(self._seeds, revision, partners))
            yield from self._over_pairs(seen)

    def _over_pairs(self, seen: Sequence[Seen]) -> Iterator[_Pair]:
        """In the first run of each arm at these samples: all pairs of its seeds."""
        arms: dict[tuple[Any, ...], list[Seen]] = defaultdict(list)
        with_seed = (revision for revision in seen if revision.cell.seed is not None)
        for revision in sorted(with_seed, key=lambda revision: (revision.cell.seed, revision.cell.repo_id)):
            arms[revision.cell.scale, revision.cell.arm].append(revision)
        for (scale, arm), runs in arms.items():
            # The key of these cells also names the other arms, as when their pairs were in them.
            names = [name for at, name in arms if at == scale and name != arm and self._compares(arm, name)]
            everyone = [*runs[1:], *chain(*(arms[scale, name] for name in names))]
            enough = len({revision.cell.seed for revision in runs}) >= FEWEST_SEEDS
            if enough and any(map(self._is_wanted, runs)) and self._is_named(runs[0]):
                yield _Pair("pairs", runs[0], everyone, partial(self._all_pairs, runs))

    def _compares(self, *arms: str) -> bool:
        """One arm with itself, and any with the main one: pairs grow with the arms and not with their square."""
        return len(set(arms)) == 1 or (bool(self._relation.between_arms) and "" in arms)

    def _over_seeds(self) -> Iterator[_Pair]:
        groups: dict[tuple[str | None, str], list[Sequence[Seen]]] = defaultdict(list)
        for run in self._runs:
            groups[run[0].cell.scale, run[0].cell.arm].append(run)
        for runs in groups.values():
            runs.sort(key=lambda run: (run[0].cell.seed is None, run[0].cell.seed, run[0].cell.repo_id))
            by_samples = [{revision.cell.samples_seen: revision for revision in run} for run in runs]
            shared = set.intersection(*map(set, by_samples)) - {None}
            if len(runs) > 1 and shared and any(run in self.chosen for run in runs):
                aligned = [[revision for at, revision in run.items() if at in shared] for run in by_samples]
                numbers = partial(self._relation.over_seeds, aligned, self._saved.config.seed)
                yield _Pair("runs", aligned[0][-1], list(chain(*aligned)), numbers)

    # --- numbers -----------------------------------------------------------------------------------------

    def _related(self, a: Seen, b: Seen) -> list[Scored]:
        pair = frozenset((a, b))
        if pair not in self._known:
            self._known[pair] = list(self._relation.relate(a, b, self._saved.config.seed))
        return self._known[pair]

    def _with_one(self, a: Seen, b: Seen, sort: str) -> list[Scored]:
        return named(self._related(a, b), sort)

    def _people(self, a: Seen) -> list[Scored]:
        each = {person.person: self._related(a, person) for person in a.people}
        between = [self._related(person, other) for person, other in combinations(a.people, 2)]
        of_people = [
            (replace(number, role="human", probe=""), scale)
            for number, scale in mean_of_others(between, OBSERVERS)
            if number.role == "value"
        ]
        return mean_of_others(list(each.values()), "people") + self._singly(each) + of_people

    def _seeds(self, a: Seen, partners: Sequence[Seen]) -> list[Scored]:
        by_arm: dict[str, dict[str, list[Scored]]] = defaultdict(dict)
        for other in partners:
            by_arm[other.cell.arm][f"seed {other.cell.seed}"] = self._related(a, other)
        within = by_arm.pop(a.cell.arm, {})
        numbers = mean_of_others(list(within.values()), WITHIN_ARM)
        metrics = self._relation.between_arms
        for arm, each in by_arm.items():
            means = mean_of_others(list(each.values()), with_arm(arm))
            numbers += [one for one in means if one[0].role == "value" and one[0].metric in metrics]
        return numbers + self._singly(within)

    def _singly(self, each: Mapping[str, Sequence[Scored]]) -> list[Scored]:
        """Of each other only the values with an error, without their influence: the mean over the others has it.

        What mirrors another metric is left out: of a single pair it follows from that one.
        """
        return [
            (replace(number, reference=name, influence=None), scale)
            for name, found in each.items()
            for number, scale in found
            if number.role == "value"
            and number.influence is not None
            and not self._relation.terms.terms[number.metric].mirrors
        ]

    def _all_pairs(self, runs: Sequence[Seen]) -> Iterator[Scored]:
        """Means over all pairs of seeds, with an interval crossed over seeds and items."""
        pairs = [(a, b) for a, b in combinations(runs, 2) if a.cell.seed != b.cell.seed]
        by_key: dict[tuple[Any, ...], list[tuple[tuple[Any, Any], Number]]] = defaultdict(list)
        for a, b in pairs:
            for number, _ in self._related(a, b):
                if number.role == "value" and number.influence is not None:
                    by_key[number.number_key].append(((a.cell.seed, b.cell.seed), number))
        for found in by_key.values():
            seeds, numbers = [pair for pair, _ in found], [number for _, number in found]
            influence = mean_influence([number.influence for number in numbers])
            if influence is None or len(np.unique(seeds)) < FEWEST_SEEDS:
                continue
            level, of_items = self._saved.config.confidence_level, self._units.influence(influence)
            values = [number.value for number in numbers]
            result = mean_over_pairs(values, seeds, of_items, confidence_level=level)
            low, high = result["ci"]
            note = "" if len(found) == len(pairs) else f"the mean of {len(found)} of {len(pairs)} pairs"
            mean = replace(numbers[0], value=result["value"], ci_low=low, ci_high=high, influence=influence)
            yield replace(mean, reference="pairs", note=note), "none"

    # --- cells -------------------------------------------------------------------------------------------

    def is_done(self, pair: _Pair) -> bool:
        """Whether the table has it, of the same trials and by the same scoring."""
        saved, key = self._saved, self._cell(pair, pair.a).key
        known = saved.cells.get(key)
        if known is None or saved.config.force or saved.config.rescore:
            return False
        measured = max(saved.measured(revision.cell) for revision in (pair.a, *pair.others))
        return known.score_version == self._relation.score_version and saved.store.measured(key) >= measured

    def kept(self, pair: _Pair) -> list[str]:
        """The keys of its cells."""
        return [cell.key for cell in self._cells(pair) if cell.key in self._saved.cells]

    def write(self, pair: _Pair) -> Iterator[str]:
        """Compute its numbers and write its cells; their keys."""
        start, config = time.perf_counter(), self._saved.config
        by_place: dict[str, list[Scored]] = defaultdict(list)
        for number, scale in pair.numbers():
            by_place[number.at or pair.a.cell.revision].append((number, scale))
        seconds = time.perf_counter() - start
        for cell in self._cells(pair):
            if not (found := by_place[cell.revision]):
                continue
            check_names(self._relation, [number for number, _ in found])
            given = [number for number, _ in found if number.influence is not None]
            # Two forms of kappa share what the items contribute, and so its variance.
            shared = {id(number.influence): self._units.of(number) for number in given}
            known = {number.number_key: made for number in given if (made := shared[id(number.influence)])}
            numbers = [
                with_interval(number, scale, known.get(number.number_key), config.confidence_level)
                for number, scale in found
            ]
            cell = replace(cell, versions=versions(), seconds=seconds)
            rows = rows_of(cell, self._relation.terms, numbers, config.confidence_level)
            words = relation_vocabulary(self._relation, self._kind, cell.dataset, self._saved.vocabulary)
            self._saved.store.write(cell, rows, None, words, influences=known, is_new=True)
            yield cell.key

    def _cells(self, pair: _Pair) -> list[Cell]:
        """Where the numbers may be, the last place at the end."""
        others = pair.others if pair.sort in ("run", "runs") else ()
        of_run = [revision for revision in others if revision.cell.repo_id == pair.a.cell.repo_id]
        places = [*(revision for revision in of_run if revision is not pair.a), pair.a]
        return [self._cell(pair, revision) for revision in places]

    def _cell(self, pair: _Pair, at: Seen) -> Cell:
        settings = json.loads(at.cell.settings) | {SORT: pair.sort}
        commits = [revision.cell.commit for revision in pair.others]
        if pair.sort not in ("previous", "last") and commits:
            commits = [hashlib.sha256("".join(sorted(commits)).encode()).hexdigest()[:40]]
        return replace(
            at.cell,
            kind=self.name,
            settings=json.dumps(settings, sort_keys=True),
            other="".join(commits),
            score_version=self._relation.score_version,
        )

    @cached_property
    def _units(self) -> UnitsOf:
        assert self._kind is not None
        columns = dict.fromkeys(["item", *chain(*ways_of(self._kind))])
        return UnitsOf(self._kind, self._runs[0][0].trials(list(columns)))
