"""The right and wrong answers of each run, from the kept trials, for the charts of relations.

The rows of a relation say which numbers it has; the answers behind them come from the trials, without a model.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.answers import right_of, stack
from hf_clipdyn.benchmarks.kind import Kind
from hf_clipdyn.benchmarks.registry import kinds_read, related_kind
from hf_clipdyn.benchmarks.relation import Relation, keyed
from hf_clipdyn.report.courses import Course, split_by
from hf_clipdyn.report.page.views import kind_cells, spread_cells
from hf_clipdyn.report.study import Study
from hf_clipdyn.results.row import NumberKey

_NUMBER = tuple(one.name for one in fields(NumberKey) if one.name not in ("metric", "role", "reference"))
_MOST_RUNS = 3  # of one benchmark
_MOST_NUMBERS = 4


@dataclass(frozen=True, eq=False)
class RunAnswers:
    """The answers of one run to the items that all its revisions answered.

    Attributes:
        revisions: their names, in the order of training.
        item, label: names of the items and their right answers, (items,).
        right: whether each revision is right, (revisions, items).
        people: whether each person is right, by name: 1 or 0, NaN where there is no answer.
    """

    revisions: list[str]
    item: NDArray[Any]
    label: NDArray[Any]
    right: NDArray[np.bool_]
    people: dict[str, NDArray[np.float64]]


def related(
    study: Study, relation: type[Relation], metric: str
) -> Iterator[tuple[type[Kind[Any]], str, list[Course], RunAnswers | None]]:
    """What a chart of a relation reads: the main number and the next ones of each kind and data set, of each run.

    Yields:
        The kind whose trials the relation reads, the run, the courses of all runs that share the answers (`key_of`),
        and the answers behind them, as far as there are trials.
    """
    for kind in kinds_read(relation).values():
        for courses in study.planner.numbers(related_kind(relation, kind), metric):
            numbers = dict(islice(split_by(courses, key_of).items(), _MOST_NUMBERS))
            for run in list(dict.fromkeys(course.run for course in sorted(courses)))[:_MOST_RUNS]:
                answers = _answers(study, kind, courses[0].dataset, run, numbers)
                for key, alike in numbers.items():
                    yield kind, run, alike, answers[key]


def key_of(number: Course) -> NumberKey:
    """The key of the answers behind a number of a relation, as `hf_clipdyn.benchmarks.relation.keyed` names it."""
    return NumberKey(metric="", **{name: getattr(number, name) for name in _NUMBER})


def _answers(
    study: Study, kind: type[Kind[Any]], dataset: str, run: str, numbers: Collection[NumberKey]
) -> dict[NumberKey, RunAnswers | None]:
    """The answers of a run; what several charts ask for is read once."""
    known = study.answers.setdefault((run, kind.name, dataset), {})
    if not set(numbers) <= set(known):
        known |= dict.fromkeys(numbers) | dict(_read(study, kind, dataset, run, numbers))
    return known


def _read(
    study: Study, kind: type[Kind[Any]], dataset: str, run: str, numbers: Collection[NumberKey]
) -> Iterator[tuple[NumberKey, RunAnswers]]:
    every = [cells[cells["run"] == run] for of, cells in kind_cells(study) if of is kind]
    for cells in (cells for cells in every if len(cells) and cells["dataset"].iloc[0] == dataset):
        same = spread_cells(cells)
        same = same[same["data_fingerprint"] == same["data_fingerprint"].iloc[-1]]
        trials = (
            (str(cell.revision), study.trials.of(str(cell.cell))) for cell in same.itertuples(index=False)
        )
        read = [(name, keyed(kind.answers(rows))) for name, rows in trials if rows is not None and len(rows)]
        for key in numbers:
            own = {revision: people[""][key] for revision, people in read if key in people.get("", {})}
            if own:
                table = stack(list(own.values()))
                persons = {name: of[key] for name, of in sorted(read[-1][1].items()) if name and key in of}
                right = right_of(list(persons.values()), table.item)
                people = dict(zip(persons, right, strict=True))
                yield key, RunAnswers(list(own), table.item, table.label, table.right, people)
