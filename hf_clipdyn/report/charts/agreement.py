"""Which revisions fail on the same images: error consistency of each with each, and with every person."""

import json
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.relation import SORT
from hf_clipdyn.benchmarks.relations.error_consistency import ErrorConsistency
from hf_clipdyn.metrics.error_consistency import pair_statistics
from hf_clipdyn.report.answers import MOST_RUNS, RunAnswers, key_of, related
from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.courses import Course, evenly
from hf_clipdyn.report.panel import Map, Panel, Scale
from hf_clipdyn.report.study import Study

_MOST_REVISIONS = 40  # of a run
_MEAN = "people"  # the reference that is all people together


class Agreement(Chart):
    """The matrix of error consistency of a run: revisions, and people as its last rows."""

    title = "Which revisions fail on the same images"

    @classmethod
    def panels(cls, study: Study) -> Sequence[Panel]:
        """A map for each number and run: from the trials, or what the table alone says."""
        return list(_panels(study))


def _panels(study: Study) -> Iterator[Panel]:
    for _, numbers, answered in related(study, ErrorConsistency, "kappa"):
        for run in study.runs[:MOST_RUNS]:
            for key, course in numbers.items():
                answers = answered.get(run, {}).get(key)
                kappa = of_answers(answers) if answers else _of_table(study, run, course)
                if kappa.empty:
                    continue
                values, (rows, columns) = kappa.to_numpy(np.float64, copy=True), kappa.shape
                np.fill_diagonal(values, np.nan)
                rules = (columns - 1,) if rows > columns else ()
                yield study.planner.of_run(
                    course,
                    run,
                    main=run == study.runs[0] and key == next(iter(numbers)),
                    form="map",
                    cells=Map(values=values[None], bar="kappa (0: chance)", neutral=0.0, rules=rules),
                    x=Scale(title="revision", names=tuple(kappa.columns)),
                    y=Scale(names=tuple(kappa.index)),
                )


def of_answers(answers: RunAnswers) -> pd.DataFrame:
    """Kappa of the answers of each revision, a column, with each revision and person, a row; NaN if undefined."""
    kept = evenly(len(answers.revisions), _MOST_REVISIONS)
    right = answers.right[kept].astype(np.float64)
    others = np.stack([*right, *answers.people.values()]).T
    columns = [
        pair_statistics(np.repeat(own[:, None], others.shape[1], axis=1), others)[0][0] for own in right
    ]
    names = [answers.revisions[place] for place in kept]
    return pd.DataFrame(np.stack(columns, axis=1), index=[*names, *answers.people], columns=names)


def _of_table(study: Study, run: str, course: Course) -> pd.DataFrame:
    """As `of_answers`, of the pairs that the table has: with the revision before, the last one, and each person."""
    planner, same = study.planner, key_of(course)
    alike = planner.values[course.benchmark][course.metric]
    members = [one for one in alike if one.run == run and key_of(one) == same]
    points = {one: planner.points(one) for one in members}
    every = sorted((point for own in points.values() for point in own), key=lambda point: point.order)
    names = list(dict.fromkeys(point.revision for point in every))
    sorts = {one: json.loads(one.settings or "{}").get(SORT, "") for one in members}
    people = sorted(one.reference for one in members if sorts[one] == "people" and one.reference != _MEAN)
    kappa = pd.DataFrame(np.nan, index=[*names, *people], columns=names)
    for one, own in points.items():
        for point in own:
            before = names[: names.index(point.revision)][-1:]
            others = {"previous": before, "last": names[-1:], "people": {one.reference}.intersection(people)}
            for other in others.get(sorts[one], ()):
                kappa.loc[other, point.revision] = point.value
                if other in names:
                    kappa.loc[point.revision, other] = point.value
    return kappa
