"""Paired differences between models of one revision each, for the table on the first screen."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.differences import Differences, differences
from hf_clipdyn.report.page.front import form_of
from hf_clipdyn.report.study import Study
from hf_clipdyn.results.row import NUMBER_KEY
from hf_clipdyn.statistics.trajectories import rows_of

_MOST_REFERENCES = 12
_NUMBER = ("kind", "dataset", "texts", *NUMBER_KEY)


class PairedDifferences(Chart):
    """The differences of the numbers of the overview, by the model of comparison; a table of the page shows them."""

    @classmethod
    def payload(cls, study: Study) -> dict[str, Any] | None:
        """The differences of the numbers of the overview, by the model of comparison.

        Returns:
            None if there are not several models, or no trials of two on the same stimuli. Else ``words``, what the
            intervals and p values mean, and ``of``: by model of comparison and other model, for the panels of the
            overview by their number, the difference, the ends of its interval and its corrected p value (null if there
            is none).
        """
        if form_of(study) != "models":
            return None
        panels = [panel for panels in study.overview for panel in panels]
        places = {_key(line.trajectory): at for at, panel in enumerate(panels) for line in panel.lines}
        of: dict[str, dict[str, dict[int, list[float | None]]]] = {}
        words: Sequence[str] = ()
        for reference in study.runs[:_MOST_REFERENCES]:
            try:
                compared = differences(study, reference)
            except EvaluationError:  # no trials: the values stand alone
                continue
            of[reference] = _by_model(compared, places)
            words = compared.sentences()
        return (
            {"words": " ".join(["Paired over the same stimuli.", *words[:1], *words[2:3]]), "of": of}
            if of
            else None
        )


def _key(number: Any) -> tuple[Any, ...]:
    values = (getattr(number, name) for name in _NUMBER)
    return tuple(None if pd.isna(value) else value for value in values)


def _by_model(
    compared: Differences, places: dict[tuple[Any, ...], int]
) -> dict[str, dict[int, list[float | None]]]:
    of_model: dict[str, dict[int, list[float | None]]] = {}
    for row in rows_of(compared.rows):
        place = places.get(_key(row))
        if place is None or not math.isfinite(row.difference):
            continue
        inside = row.outside_family == ""
        ends = (row.ci_low_simultaneous, row.ci_high_simultaneous) if inside else (row.ci_low, row.ci_high)
        numbers = [float(number) for number in (row.difference, *ends, row.p_adjusted)]
        of_model.setdefault(str(row.run_b), {})[place] = [
            float(f"{number:.5g}") if math.isfinite(number) else None for number in numbers
        ]
    return of_model
