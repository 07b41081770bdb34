"""Which revisions fail on the same images: error consistency of each with each, and with every person."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.relation import SORT
from hf_clipdyn.benchmarks.relations.error_consistency import ErrorConsistency
from hf_clipdyn.metrics.error_consistency import pair_statistics
from hf_clipdyn.report.answers import (
    Numbers,
    Related,
    RunAnswers,
    key_of,
    number_words,
    place_words,
    related_numbers,
    run_answers,
)
from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.maps import Map, draw_maps
from hf_clipdyn.report.plan import evenly
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.words import json_object
from hf_clipdyn.results.row import NumberKey
from hf_clipdyn.statistics.trajectories import Trajectory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_NUMBERS = 8  # of one benchmark
_MOST_FIGURES = 6
_MOST_REVISIONS = 40  # of a run
_MOST_CELLS = 60_000  # of all matrices of one benchmark
_IN = 1000  # kappas are whole numbers of this fraction
_MEAN = "people"  # the row of all people together


@dataclass(frozen=True, eq=False)
class _Matrix:
    """Kappa of each pair.

    Attributes:
        revisions, people: names; people follow the revisions.
        kappa: (names, names), symmetric; NaN if undefined or unknown.
        accuracy: of each; empty if unknown.
        n: images; 0 if the numbers are those of the table, since there are no trials.
    """

    revisions: list[str]
    people: list[str]
    kappa: NDArray[np.float64]
    accuracy: list[float]
    n: int

    @property
    def names(self) -> list[str]:
        return [*self.revisions, *self.people]


class Agreement(Chart):
    """The matrix of error consistency of a run: revisions, and people as its last rows."""

    @classmethod
    def draw(cls, study: Study, width: float) -> "Figure | None":
        """The main number of each benchmark, of the first run."""
        maps = []
        for related, numbers in related_numbers(study, ErrorConsistency, "kappa", _MOST_NUMBERS).items():
            by_run = _matrices(study, related, numbers, 1)
            for key, matrix in list(next(iter(by_run.values()), {}).items())[:1]:
                n, example, shown = len(matrix.revisions), numbers[key], matrix.kappa.copy()
                np.fill_diagonal(shown, np.nan)
                maps.append(
                    Map(
                        title=f"{example.terms.title}\n{place_words(study, example)}",
                        values=shown[:, :n],
                        rows=matrix.names,
                        columns=matrix.revisions,
                        across="revision",
                        bar="kappa (0: chance)",
                        neutral=0.0,
                        lines=[n - 1] if matrix.people else [],
                    )
                )
        return draw_maps(maps[:_MOST_FIGURES], width)

    @classmethod
    def payload(cls, study: Study) -> dict[str, Any] | None:
        """The matrices by benchmark of the relation, for JSON.

        Returns:
            None if no table has error consistency. Else by benchmark ``ways``, in words; ``of``, the number of ways in
            the table; and ``runs``: by run and way null, or names of ``revisions`` and ``people``, ``n`` images (0: no
            trials, so that only the pairs of the table are known), ``accuracy`` of each, and ``kappa``: the lower
            triangle with its diagonal, row by row in thousandths, as a text with commas; what is undefined is empty.
        """
        parts = {}
        for related, every in related_numbers(study, ErrorConsistency, "kappa").items():
            numbers = dict(list(every.items())[:_MOST_NUMBERS])
            by_run = _matrices(study, related, numbers)
            size = sum(len(one.names) ** 2 // 2 for of_run in by_run.values() for one in of_run.values())
            kept = list(numbers)[: max(1, len(numbers) * _MOST_CELLS // max(size, 1))]
            runs = {run: [_packed(of_run.get(key)) for key in kept] for run, of_run in by_run.items()}
            ways = [number_words(numbers[key]) for key in kept]
            parts[related.name] = {"ways": ways, "of": len(every), "runs": runs}
        return parts or None


def _matrices(
    study: Study, related: Related, numbers: Numbers, most: int | None = None
) -> dict[str, dict[NumberKey, _Matrix]]:
    """By run and number: from the trials, or what the table alone says."""
    answered = run_answers(study, related, numbers, most)
    runs = dict.fromkeys(number.run for number in study.trajectories if number.benchmark == related.benchmark)
    found = {}
    for run in list(runs)[:most]:
        if run in answered:
            found[run] = {key: _of_answers(one) for key, one in answered[run].items()}
        else:
            found[run] = _of_rows(study, related, run, numbers)
    return found


def _of_answers(answers: RunAnswers) -> _Matrix:
    kept = evenly(len(answers.revisions), _MOST_REVISIONS)
    right = np.stack([*answers.right[kept].astype(np.float64), *answers.people.values()])
    kappa = np.full((len(right), len(right)), np.nan)
    for at, row in enumerate(right):
        others = right[at:].T
        own = np.repeat(row[:, None], others.shape[1], axis=1)
        kappa[at, at:] = kappa[at:, at] = pair_statistics(own, others)[0][0]
    names = [answers.revisions[place] for place in kept]
    accuracy = np.nanmean(right, axis=1).tolist()
    return _Matrix(names, list(answers.people), kappa, accuracy, right.shape[1])


def _of_rows(study: Study, related: Related, run: str, numbers: Numbers) -> dict[NumberKey, _Matrix]:
    """The pairs that the table has: with the revision before, the last one, and each person."""
    by_key: dict[NumberKey, list[Trajectory]] = {key: [] for key in numbers}
    for number in study.trajectories:
        own = number.run == run and number.benchmark == related.benchmark
        if own and number.metric == "kappa" and number.is_value and key_of(number) in numbers:
            by_key[key_of(number)].append(number)
    return {key: _of_pairs(members) for key, members in by_key.items() if members}


def _of_pairs(members: list[Trajectory]) -> _Matrix:
    by_sort: dict[str, dict[str, pd.DataFrame]] = defaultdict(dict)
    for number in members:
        by_sort[(json_object(number.settings) or {}).get(SORT, "")][number.reference] = number.points
    every = pd.concat([number.points for number in members]).drop_duplicates("order").sort_values("order")
    orders, revisions = every["order"].tolist(), every["revision"].astype(str).tolist()
    persons = {name: each for name, each in sorted(by_sort["people"].items()) if name != _MEAN}
    n, places = len(orders), range(len(orders))
    kappa = np.full((n + len(persons),) * 2, np.nan)
    others = [
        *((each, [place - 1 for place in places]) for each in by_sort["previous"].values()),
        *((each, [n - 1] * n) for each in by_sort["last"].values()),
        *((each, [n + at] * n) for at, each in enumerate(persons.values())),
    ]
    for each, other in others:
        for order, value in zip(each["order"], each["value"], strict=True):
            at = orders.index(order)
            if other[at] >= 0:
                kappa[at, other[at]] = kappa[other[at], at] = value
    return _Matrix(revisions, list(persons), kappa, [], 0)


def _packed(matrix: _Matrix | None) -> Mapping[str, Any] | None:
    if matrix is None:
        return None
    lower = matrix.kappa[np.tril_indices(len(matrix.kappa))]
    texts = ("" if np.isnan(value) else str(round(_IN * value)) for value in lower)
    return {
        "revisions": matrix.revisions,
        "people": matrix.people,
        "n": matrix.n,
        "accuracy": [round(_IN * value) / _IN for value in matrix.accuracy],
        "kappa": ",".join(texts),
    }
