"""What was recorded beside the values, as tables of the page that are built when they are opened."""

from collections import defaultdict
from typing import Any

from hf_clipdyn.report.study import Study
from hf_clipdyn.statistics.trajectories import DETAILS, Trajectory

_DETAILS = ("variant", "reference", *DETAILS)


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
    for number in study.trajectories:
        if number.role == "diagnostic":
            detail = _detail(number, "probe", "texts", "parameter")
            known = number.usable["value"].tolist()
            values[number.benchmark_title, number.metric_title, detail] += known
    return [[*key, _range_words(known)] for key, known in values.items() if known]


def _range_words(known: list[float]) -> str:
    low, high = f"{min(known):.3g}", f"{max(known):.3g}"
    return low if low == high else f"{low} to {high}"


def _undefined(study: Study) -> list[list[str]]:
    """By run, benchmark, metric and cause: the details and the revisions."""
    found: dict[tuple[str, ...], tuple[dict[str, None], dict[str, None]]] = {}
    for number in study.trajectories:
        for at, defined in enumerate(number.column("defined")):
            if defined:
                continue
            key = number.run, number.benchmark_title, _metric(number), str(number.column("note")[at])
            details, revisions = found.setdefault(key, ({}, {}))
            details[_detail(number)] = None
            revisions[str(number.column("revision")[at])] = None
    return [
        [*key[:3], "; ".join(filter(None, details)), ", ".join(revisions), key[3]]
        for key, (details, revisions) in found.items()
    ]


def _detail(number: Trajectory, *but: str) -> str:
    """What distinguishes a number from the plainest one."""
    plain = (None, "", "none", "own", "projection")
    return number.detail(
        [name for name in _DETAILS if name not in but and getattr(number, name) not in plain]
    )


def _metric(number: Trajectory) -> str:
    beside = "" if number.role in ("value", "diagnostic") else f" ({number.reference_terms.title})"
    return f"{number.metric_title}{beside}"
