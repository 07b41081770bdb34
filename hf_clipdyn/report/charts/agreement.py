"""Which revisions fail on the same images: error consistency of each with each, and with every person."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hf_clipdyn.benchmarks.relation import SORT
from hf_clipdyn.benchmarks.relations.error_consistency import ErrorConsistency
from hf_clipdyn.metrics.error_consistency import pair_statistics
from hf_clipdyn.report.answers import MOST_RUNS, RunAnswers, key_of, related
from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.courses import Course, evenly
from hf_clipdyn.report.panel import Floats, Map, Panel, Scale
from hf_clipdyn.report.study import Study

_MOST_REVISIONS = 40  # of a run
_MEAN = "people"  # the reference that is all people together


@dataclass(frozen=True, eq=False)
class Matrix:
    """Kappa of each pair, symmetric; NaN if undefined or unknown. People follow the revisions."""

    revisions: list[str]
    people: list[str]
    kappa: Floats


class Agreement(Chart):
    """The matrix of error consistency of a run: revisions, and people as its last rows."""

    title = "Which revisions fail on the same images"

    @classmethod
    def panels(cls, study: Study) -> Sequence[Panel]:
        """A map for each number and run: from the trials, or what the table alone says."""
        return list(_panels(study))


def _panels(study: Study) -> Iterator[Panel]:
    for _, numbers, answered in related(study, ErrorConsistency, "kappa"):
        for at, run in enumerate(study.runs[:MOST_RUNS]):
            for key, course in numbers.items():
                answers = answered.get(run, {}).get(key)
                matrix = of_answers(answers) if answers else _of_table(study, run, course)
                if matrix.revisions:
                    yield _panel(study, matrix, run, course, main=at == 0 and key == next(iter(numbers)))


def _panel(study: Study, matrix: Matrix, run: str, course: Course, *, main: bool) -> Panel:
    n, shown = len(matrix.revisions), matrix.kappa.copy()
    np.fill_diagonal(shown, np.nan)
    rules = (n - 1,) if matrix.people else ()
    return study.planner.of_run(
        course,
        run,
        main=main,
        form="map",
        cells=Map(values=shown[None, :, :n], bar="kappa (0: chance)", neutral=0.0, rules=rules),
        x=Scale(title="revision", names=tuple(matrix.revisions)),
        y=Scale(names=(*matrix.revisions, *matrix.people)),
    )


def of_answers(answers: RunAnswers) -> Matrix:
    """Kappa of the answers of each pair of revisions and people."""
    kept = evenly(len(answers.revisions), _MOST_REVISIONS)
    right = np.stack([*answers.right[kept].astype(np.float64), *answers.people.values()])
    kappa = np.full((len(right), len(right)), np.nan)
    for at, row in enumerate(right):
        others = right[at:].T
        own = np.repeat(row[:, None], others.shape[1], axis=1)
        kappa[at, at:] = kappa[at:, at] = pair_statistics(own, others)[0][0]
    return Matrix([answers.revisions[place] for place in kept], list(answers.people), kappa)


def _of_table(study: Study, run: str, course: Course) -> Matrix:
    """The pairs that the table has: with the revision before, the last one, and each person."""
    planner, same = study.planner, key_of(course)
    members = [
        one
        for one in planner.values[f"{course.kind}/{course.dataset}"]
        if one.run == run and one.metric == course.metric and key_of(one) == same
    ]
    lines = [(planner.line(one), _sort_of(one), one.reference) for one in members]
    stops = sorted({stop for line, *_ in lines for stop in line.at.tolist() if stop >= 0})
    people = sorted(name for _, sort, name in lines if sort == "people" and name != _MEAN)
    n = len(stops)
    kappa = np.full((n + len(people),) * 2, np.nan)
    for line, sort, name in lines:
        for stop, value in zip(line.at.tolist(), line.y, strict=True):
            at = stops.index(stop) if stop in stops else -1
            person = n + people.index(name) if sort == "people" and name in people else -1
            other = {"previous": at - 1, "last": n - 1}.get(sort, person)
            if at >= 0 and other >= 0:
                kappa[at, other] = kappa[other, at] = value
    return Matrix([planner.stop_names[stop] for stop in stops], people, kappa)


def _sort_of(course: Course) -> str:
    """With which revisions or people a number relates its revision."""
    return str(json.loads(course.settings or "{}").get(SORT, ""))
