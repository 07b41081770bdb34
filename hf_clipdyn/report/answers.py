"""The right and wrong answers of each run, from the kept trials, for the charts of relations.

The rows of a relation say which numbers it has; the answers behind them come from the trials, without a model.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.answers import Answers, right_of, stack
from hf_clipdyn.benchmarks.kind import Kind
from hf_clipdyn.benchmarks.registry import kinds_read, related_kind
from hf_clipdyn.benchmarks.relation import Relation, keyed
from hf_clipdyn.report.courses import Course
from hf_clipdyn.report.page.views import kind_cells, spread_cells
from hf_clipdyn.report.study import Study
from hf_clipdyn.results.row import NumberKey

_NUMBER = tuple(one.name for one in fields(NumberKey) if one.name not in ("metric", "role", "reference"))

Numbers = Mapping[NumberKey, Course]


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


def related_numbers(
    study: Study, relation: type[Relation], metric: str, most: int
) -> dict[type[Kind[Any]], list[Numbers]]:
    """By the kind whose trials a relation reads, for each data set its main number and the next ones.

    Returns:
        An example of each number by its key (`key_of`), at most ``most`` for each data set.
    """
    found: dict[type[Kind[Any]], list[Numbers]] = {}
    for kind in kinds_read(relation).values():
        for courses in study.planner.numbers(related_kind(relation, kind), metric):
            by_key = {key_of(course): course for course in reversed(courses)}
            nearest = dict.fromkeys(key_of(course) for course in courses)
            found.setdefault(kind, []).append({key: by_key[key] for key in list(nearest)[:most]})
    return found


def key_of(number: Course) -> NumberKey:
    """The key of the answers behind a number of a relation, as `hf_clipdyn.benchmarks.relation.keyed` names it."""
    return NumberKey(metric="", **{name: getattr(number, name) for name in _NUMBER})


def run_answers(
    study: Study, kind: type[Kind[Any]], numbers: Numbers, most_runs: int
) -> dict[str, dict[NumberKey, RunAnswers]]:
    """The answers behind numbers of a relation, by run; what has no trials is left out."""
    dataset = next(iter(numbers.values())).dataset
    for known, cells in kind_cells(study):
        if known is kind and cells["dataset"].iloc[0] == dataset:
            shown = list(dict.fromkeys(cells["run"]))[:most_runs]
            cells = spread_cells(cells[cells["run"].isin(shown)])
            by_run = cells.groupby("run", sort=False, observed=True)
            of_runs = {str(run): _of_run(study, kind, of_run, numbers) for run, of_run in by_run}
            return {run: answers for run, answers in of_runs.items() if answers}
    return {}


def _of_run(
    study: Study, kind: type[Kind[Any]], cells: pd.DataFrame, numbers: Numbers
) -> dict[NumberKey, RunAnswers]:
    """What several charts ask for is read once."""
    same = cells[cells["data_fingerprint"] == cells["data_fingerprint"].iloc[-1]]
    known = study.answers.setdefault(tuple(same["cell"]), {})
    if not set(numbers) <= set(known):
        known |= dict.fromkeys(numbers) | _answered(study, kind, same, numbers)
    return {key: answers for key in numbers if (answers := known[key]) is not None}


def _answered(
    study: Study, kind: type[Kind[Any]], same: pd.DataFrame, numbers: Numbers
) -> dict[NumberKey, RunAnswers]:
    cells = same.itertuples(index=False)
    read = [(str(cell.revision), keyed(cell_answers(study, kind, str(cell.cell)))) for cell in cells]
    answered = [(revision, people) for revision, people in read if people]
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


def cell_answers(study: Study, kind: type[Kind[Any]], cell: str) -> Iterable[Answers]:
    """The answers in the trials of a cell, of the model and of people; none without trials that contain them."""
    trials = study.trials.of(cell)
    return () if trials is None or trials.empty else kind.answers(trials)
