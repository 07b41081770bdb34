"""What was recorded beside the values, as tables of the page that are built when they are opened."""

from collections import defaultdict
from typing import Any

import numpy as np

from hf_clipdyn.report.courses import FACETS, Course
from hf_clipdyn.report.study import Study

_DETAILS = FACETS[3:]
_CONSTANT = ("probe", "texts", "parameter")


def evidence(study: Study) -> list[dict[str, Any]]:
    """Diagnostics, and numbers without a value by their cause.

    Returns:
        For each table ``id``, ``title``, ``caption``, ``headings`` and ``rows``, all of them texts.
    """
    tables = [
        {
            "id": "diagnostics",
            "title": "Diagnostics: quantities that describe the measurement",
            "caption": "Diagnostics",
            "headings": ["benchmark", "quantity", "condition", "value"],
            "rows": _diagnostics(study),
        },
        {
            "id": "undefined",
            "title": "Not defined: numbers without a value, with their causes",
            "caption": "Numbers that are not defined",
            "headings": ["run", "benchmark", "metric", "detail", "revisions", "cause"],
            "rows": _undefined(study),
        },
    ]
    return [table for table in tables if table["rows"]]


def _diagnostics(study: Study) -> list[list[str]]:
    values: dict[tuple[str, ...], list[float]] = defaultdict(list)
    planner = study.planner
    for course in (course for course in planner.courses if course.role == "diagnostic"):
        detail = planner.detail(course, [name for name in _DETAILS if name not in _CONSTANT])
        known = planner.column(course, "value")[planner.column(course, "usable")]
        values[planner.benchmark_words(course), planner.title(course), detail] += known.tolist()
    return [[*key, _range_words(known)] for key, known in values.items() if known]


def _range_words(known: list[float]) -> str:
    low, high = f"{min(known):.3g}", f"{max(known):.3g}"
    return low if low == high else f"{low} to {high}"


def _undefined(study: Study) -> list[list[str]]:
    """By run, benchmark, metric and cause: the details and the revisions."""
    planner = study.planner
    found: dict[tuple[str, ...], tuple[dict[str, None], dict[str, None]]] = {}
    for course in planner.courses:
        if np.isfinite(planner.column(course, "value")).all():
            continue
        key = course.run, planner.benchmark_words(course), _metric(study, course)
        for point in (point for point in planner.points(course) if not point.defined):
            details, revisions = found.setdefault((*key, point.cause), ({}, {}))
            details[planner.detail(course, _DETAILS)] = None
            revisions[point.revision] = None
    return [
        [*key[:3], "; ".join(filter(None, details)), ", ".join(revisions), key[3]]
        for key, (details, revisions) in found.items()
    ]


def _metric(study: Study, course: Course) -> str:
    planner = study.planner
    beside = "" if course.role in ("value", "diagnostic") else f" ({planner.declared(course).title})"
    return f"{planner.title(course)}{beside}"
