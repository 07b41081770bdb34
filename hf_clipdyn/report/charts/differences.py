"""Paired differences between models of one revision each, for the numbers of the overview."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.differences import differences
from hf_clipdyn.report.panel import Level, Panel, Row, Scale
from hf_clipdyn.report.study import Study
from hf_clipdyn.results.row import NUMBER_KEY

_MOST_REFERENCES = 12
_NUMBER = ("kind", "dataset", "texts", *NUMBER_KEY)


class PairedDifferences(Chart):
    """The differences of the numbers of the overview from each model, paired over the same stimuli."""

    title = "Paired differences"

    @classmethod
    def panels(cls, study: Study) -> Sequence[Panel]:
        """A panel for each number and model of comparison; none without several models, or trials of two."""
        planner = study.planner
        if planner.over_training or len(study.runs) < 2:
            return []
        shown = {_key(courses[0]): courses[0] for courses in planner.overview_numbers()}
        found = []
        for reference in study.runs[:_MOST_REFERENCES]:
            try:
                rows: list[Any] = list(differences(study, [reference]).itertuples(index=False))
            except EvaluationError:  # no trials: the values stand alone
                continue
            for key, course in shown.items():
                term, own = planner.term(course), [row for row in rows if _key(row) == key]
                panel = Panel(
                    title=f"{term.title}, minus {reference}",
                    place="paired over the same stimuli",
                    form="rows",
                    rows=tuple(_row(row, planner.group_of[str(row.run_b)].place) for row in own),
                    x=Scale(title="difference", unit=term.unit),
                    levels=(Level(title="no difference", height=0.0, role="neutral"),),
                    benchmark=course.benchmark,
                    choices={"metric": term.title, "minus": reference},
                )
                found += [panel] if own else []
        return found


def _key(number: Any) -> tuple[Any, ...]:
    values = (getattr(number, name) for name in _NUMBER)
    return tuple(None if pd.isna(value) else value for value in values)


def _row(row: Any, place: int) -> Row:
    """A difference with its interval; both corrected if it belongs to the family."""
    inside = row.outside_family == ""
    low, high = (row.ci_low_simultaneous, row.ci_high_simultaneous) if inside else (row.ci_low, row.ci_high)
    words = f"{row.difference:+.3f} [{low:+.3f}, {high:+.3f}], p = {row.p_adjusted:.3g}"
    return Row(label=str(row.run_b), value=row.difference, low=low, high=high, place=place, words=words)
