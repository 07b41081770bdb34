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
from hf_clipdyn.benchmarks.relation import KeyedAnswers, Relation, keyed
from hf_clipdyn.report.page.views import kind_cells, spread_cells
from hf_clipdyn.report.plan import main_number
from hf_clipdyn.report.study import Study
from hf_clipdyn.results.row import NumberKey
from hf_clipdyn.statistics.trajectories import DETAILS, Trajectory

_DETAILS = tuple(name for name in DETAILS if name != "texts")
_NUMBER = tuple(one.name for one in fields(NumberKey) if one.name not in ("metric", "role", "reference"))

Numbers = Mapping[NumberKey, Trajectory]


@dataclass(frozen=True)
class Related:
    """A benchmark of a relation, and the kind whose trials it reads.

    Attributes:
        benchmark: kind and data set of the relation's numbers.
        kind: of the trials.
    """

    benchmark: tuple[str, str]
    kind: type[Kind[Any]]

    @property
    def dataset(self) -> str:
        return self.benchmark[1]

    @property
    def name(self) -> str:
        """Of the benchmark, as the page has it."""
        return "/".join(self.benchmark)


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
    study: Study, relation: type[Relation], metric: str, most: int | None = None
) -> dict[Related, Numbers]:
    """By benchmark of a relation, its main number and the next ones, at most ``most``.

    Returns:
        By benchmark, an example of each number by its key (`key_of`).
    """
    read = {related_kind(relation, kind): kind for kind in kinds_read(relation).values()}
    by_benchmark: dict[Related, list[Trajectory]] = {}
    for number in study.trajectories:
        if number.kind in read and number.metric == metric and number.is_value:
            by_benchmark.setdefault(Related(number.benchmark, read[number.kind]), []).append(number)
    chosen: dict[Related, Numbers] = {}
    for related, numbers in by_benchmark.items():
        first = main_number(numbers)
        by_key: dict[NumberKey, Trajectory] = {key_of(first): first}
        for number in numbers:
            by_key.setdefault(key_of(number), number)
        chosen[related] = dict(list(by_key.items())[:most])
    return chosen


def key_of(number: Trajectory) -> NumberKey:
    """The key of the answers behind a number of a relation, as `hf_clipdyn.benchmarks.relation.keyed` names it."""
    return NumberKey(metric="", **{name: getattr(number, name) for name in _NUMBER})


def number_words(number: Trajectory) -> str:
    """Which answers they are, in words."""
    variant = number.terms.variants.get(number.variant, number.variant)
    return ", ".join(filter(None, [variant, number.detail(_DETAILS)])) or "all items"


def place_words(study: Study, number: Trajectory) -> str:
    """The data set, and the run if there are several, for the title of a figure of one run."""
    return ", ".join([number.dataset_title, *([number.run] if len(study.runs) > 1 else [])])


def run_answers(
    study: Study, related: Related, numbers: Numbers, runs: int | None = None
) -> dict[str, dict[NumberKey, RunAnswers]]:
    """The answers behind numbers of a relation, by run; what has no trials is left out.

    Args:
        related: the benchmark of the relation.
        numbers: of `related_numbers`.
        runs: only the first of them.
    """
    for kind, cells in kind_cells(study):
        if kind is related.kind and cells["dataset"].iloc[0] == related.dataset:
            shown = list(dict.fromkeys(cells["run"]))[:runs]
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
        known |= dict.fromkeys(numbers) | dict(_answered(study, kind, same, numbers))
    return {key: answers for key in numbers if (answers := known[key]) is not None}


def _answered(
    study: Study, kind: type[Kind[Any]], same: pd.DataFrame, numbers: Numbers
) -> dict[NumberKey, RunAnswers]:
    read = [(str(cell.revision), _read(study, kind, str(cell.cell))) for cell in same.itertuples(index=False)]
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


def _read(study: Study, kind: type[Kind[Any]], cell: str) -> Mapping[str, KeyedAnswers]:
    return keyed(cell_answers(study, kind, cell))


def cell_answers(study: Study, kind: type[Kind[Any]], cell: str) -> Iterable[Answers]:
    """The answers in the trials of a cell, of the model and of people; none without trials that contain them."""
    trials = study.trials.of(cell)
    return () if trials is None or trials.empty else kind.answers(trials)
