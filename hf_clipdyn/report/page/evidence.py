"""What was recorded beside the values, as tables of the page."""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from hf_clipdyn.report.courses import FACETS
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.tables import Table

_DETAILS = FACETS[3:]
_CONSTANT = ("probe", "texts", "parameter")


def evidence(study: Study) -> list[tuple[str, str, Table]]:
    """Diagnostics, and numbers without a value by their cause: the id, the title and the table of each."""
    measured = "Diagnostics: quantities that describe the measurement"
    lacking = "Not defined: numbers without a value, with their causes"
    words = ("benchmark", "quantity", "condition", "value")
    causes = ("run", "benchmark", "metric", "detail", "revisions", "cause")
    return [
        ("diagnostics", measured, Table("Diagnostics", words, tuple(_diagnostics(study)))),
        ("undefined", lacking, Table("Numbers that are not defined", causes, tuple(_undefined(study)))),
    ]


def _diagnostics(study: Study) -> Iterator[tuple[str, ...]]:
    values: dict[tuple[str, ...], list[float]] = defaultdict(list)
    planner = study.planner
    for course in (course for course in planner.courses if course.role == "diagnostic"):
        detail = planner.detail(course, [name for name in _DETAILS if name not in _CONSTANT])
        known = planner.column(course, "value")[planner.column(course, "usable")]
        values[planner.benchmark_words(course), planner.title(course), detail] += known.tolist()
    for key, known in values.items():
        ends = [f"{end:.3g}" for end in (min(known), max(known))] if known else []
        if ends:
            yield *key, " to ".join(dict.fromkeys(ends))


def _undefined(study: Study) -> Iterator[tuple[str, ...]]:
    """By run, benchmark, metric and cause: the details and the revisions."""
    planner = study.planner
    found: dict[tuple[str, ...], tuple[dict[str, None], dict[str, None]]] = {}
    for course in planner.courses:
        if np.isfinite(planner.column(course, "value")).all():
            continue
        beside = "" if course.role in ("value", "diagnostic") else f" ({planner.declared(course).title})"
        key = course.run, planner.benchmark_words(course), f"{planner.title(course)}{beside}"
        for point in (point for point in planner.points(course) if not point.defined):
            details, revisions = found.setdefault((*key, point.cause), ({}, {}))
            details[planner.detail(course, _DETAILS)] = None
            revisions[point.revision] = None
    for (*number, cause), (details, revisions) in found.items():
        yield *number, "; ".join(filter(None, details)), ", ".join(revisions), cause
