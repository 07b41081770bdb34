"""Which revisions fail on the same images: error consistency of each with each, and with every person."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.relation import SORT
from hf_clipdyn.benchmarks.relations.error_consistency import ErrorConsistency
from hf_clipdyn.metrics.error_consistency import pair_statistics
from hf_clipdyn.report.answers import RunAnswers, related
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
        panels = list[Panel]()
        for _, run, courses, answers in related(study, ErrorConsistency, "kappa"):
            of_run = [course for course in courses if course.run == run]
            kappa = of_answers(answers) if answers else _of_table(study, of_run)
            if kappa.empty:
                continue
            values, (rows, columns) = kappa.to_numpy(np.float64, copy=True), kappa.shape
            np.fill_diagonal(values, np.nan)
            rules = (columns - 1,) if rows > columns else ()
            panel = study.planner.of_run(
                courses[0],
                run,
                main=courses[0].benchmark not in {panel.benchmark for panel in panels},
                form="map",
                cells=Map(values=values[None], bar="kappa (0: chance)", neutral=0.0, rules=rules),
                x=Scale(title="revision", names=tuple(kappa.columns)),
                y=Scale(names=tuple(kappa.index)),
            )
            panels.append(panel)
        return panels


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


def _of_table(study: Study, courses: Sequence[Course]) -> pd.DataFrame:
    """As `of_answers`, of the pairs that the table has: with the revision before, the last one, and each person."""
    planner = study.planner
    sorts = {course: json.loads(course.settings or "{}").get(SORT, "") for course in courses}
    known = {course.reference for course, sort in sorts.items() if sort == "people"}
    points = {point.revision: point.order for course in courses for point in planner.points(course)}
    names, people = sorted(points, key=points.__getitem__), sorted(known - {_MEAN})
    kappa = np.full((len(names) + len(people) + 1, len(names)), np.nan)  # the last row takes what is no pair
    for course, sort in sorts.items():
        at = pd.Index(names).get_indexer(pd.Index(planner.column(course, "revision")))
        person = len(names) + people.index(course.reference) if course.reference in people else -1
        rows: Any = {"previous": at - 1, "last": len(names) - 1, "people": person}
        kappa[rows.get(sort, -1), at] = planner.column(course, "value")
    of_revisions = kappa[: len(names)]
    kappa[: len(names)] = np.where(np.isnan(of_revisions), of_revisions.T, of_revisions)
    return pd.DataFrame(kappa[:-1], index=[*names, *people], columns=names)
