"""The right and wrong answers of each run, from the kept trials, for the charts of relations.

The rows of a relation say which numbers it has; the answers behind them come from the trials, without a model.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.answers import right_of, stack
from hf_clipdyn.benchmarks.kind import Kind
from hf_clipdyn.benchmarks.registry import kinds_read, related_kind
from hf_clipdyn.benchmarks.relation import Relation, keyed
from hf_clipdyn.report.courses import Course
from hf_clipdyn.report.page.views import kind_cells, spread_cells
from hf_clipdyn.report.study import Study
from hf_clipdyn.results.row import NumberKey

_NUMBER = tuple(one.name for one in fields(NumberKey) if one.name not in ("metric", "role", "reference"))

MOST_RUNS = 3  # of one benchmark
_MOST_NUMBERS = 4

Numbers: TypeAlias = Mapping[NumberKey, Course]


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


Related: TypeAlias = tuple[type[Kind[Any]], Numbers, dict[str, dict[NumberKey, RunAnswers]]]


def related(study: Study, relation: type[Relation], metric: str) -> Iterator[Related]:
    """What a chart of a relation reads: for each kind and data set its main number and the next ones.

    Yields:
        The kind whose trials the relation reads; an example of each number by its key (`key_of`); and by run the
        answers behind the numbers, as far as there are trials.
    """
    for kind in kinds_read(relation).values():
        for courses in study.planner.numbers(related_kind(relation, kind), metric):
            by_key: dict[NumberKey, Course] = {}
            for course in courses:
                by_key.setdefault(key_of(course), course)
            numbers = dict(list(by_key.items())[:_MOST_NUMBERS])
            yield kind, numbers, dict(_by_run(study, kind, numbers))


def key_of(number: Course) -> NumberKey:
    """The key of the answers behind a number of a relation, as `hf_clipdyn.benchmarks.relation.keyed` names it."""
    return NumberKey(metric="", **{name: getattr(number, name) for name in _NUMBER})


def _by_run(
    study: Study, kind: type[Kind[Any]], numbers: Numbers
) -> Iterator[tuple[str, dict[NumberKey, RunAnswers]]]:
    """What several charts ask for is read once."""
    dataset = next(iter(numbers.values())).dataset
    found = [
        cells for known, cells in kind_cells(study) if known is kind and cells["dataset"].iloc[0] == dataset
    ]
    for cells in found:
        shown = spread_cells(cells[cells["run"].isin(list(dict.fromkeys(cells["run"]))[:MOST_RUNS])])
        for run, own in shown.groupby("run", sort=False, observed=True):
            same = own[own["data_fingerprint"] == own["data_fingerprint"].iloc[-1]]
            known = study.answers.setdefault(tuple(same["cell"]), {})
            if not set(numbers) <= set(known):
                known |= dict.fromkeys(numbers) | _answered(study, kind, same, numbers)
            if answers := {key: known[key] for key in numbers if known[key] is not None}:
                yield str(run), answers


def _answered(
    study: Study, kind: type[Kind[Any]], same: pd.DataFrame, numbers: Numbers
) -> dict[NumberKey, RunAnswers]:
    trials = ((str(cell.revision), study.trials.of(str(cell.cell))) for cell in same.itertuples(index=False))
    read = [(name, keyed(kind.answers(rows))) for name, rows in trials if rows is not None and len(rows)]
    answered = [(name, people) for name, people in read if people]
    found = {}
    for key in numbers:
        own = {revision: people[""][key] for revision, people in answered if key in people.get("", {})}
        if own:
            table = stack(list(own.values()))
            persons = {name: of[key] for name, of in answered[-1][1].items() if name and key in of}
            right = dict(zip(persons, right_of(list(persons.values()), table.item), strict=True))
            people_right = dict(sorted(right.items()))
            found[key] = RunAnswers(list(own), table.item, table.label, table.right, people_right)
    return found
