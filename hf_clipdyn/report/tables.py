"""The numbers behind the figures as tables: for the page and the cards."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from hf_clipdyn.report.provenance import origin_rows
from hf_clipdyn.report.sentences import NOT_INTERPRETABLE, estimate_words
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.words import json_words
from hf_clipdyn.statistics.evidence import CONFIDENCE, ArmEffect
from hf_clipdyn.statistics.trajectories import DETAILS, Trajectory, bare, rows_of
from hf_clipdyn.statistics.windows import Endpoint

__all__ = [
    "Table",
    "arms_table",
    "diagnostics_table",
    "origin_table",
    "overview_tables",
    "provenance_table",
    "undefined_table",
]


@dataclass(frozen=True)
class Table:
    """A table of texts with a caption and one heading for each column."""

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def arms_table(study: Study) -> Table:
    """What each arm changes beside the main arm: a row for each arm, a column for each number and window."""
    effects = {(one.arm, one.endpoint, one.window): one for one in study.arm_effects}
    columns = dict.fromkeys((endpoint, window) for _, endpoint, window in effects)
    arms = dict.fromkeys(arm for arm, _, _ in effects)
    titles = {endpoint: _metric_title(study, endpoint) for endpoint, _ in columns}
    return Table(
        f"Arms minus the main arm, by paired seeds: described, not tested ({100 * CONFIDENCE:g} % intervals)",
        ("arm", *(f"{titles[endpoint]}, {window}" for endpoint, window in columns)),
        tuple((arm, *(_effect_words(effects.get((arm, *column))) for column in columns)) for arm in arms),
    )


def _metric_title(study: Study, endpoint: Endpoint) -> str:
    measured = (one for one in endpoint.of(study.trajectories).values() if one.parts)
    return next((one.parts[0].metric_title for one in measured), endpoint.metric)


def _effect_words(one: ArmEffect | None) -> str:
    return "not measured" if one is None else estimate_words(one.effect)


def undefined_table(study: Study) -> Table:
    """Every number that is not defined, with the cause that the metric named."""
    headings = ("run", "benchmark", "metric", "detail", "revisions", "cause")
    found = [
        (
            one.run,
            one.benchmark_title,
            one.metric_title + ("" if one.is_value else f" ({one.reference_terms.title})"),
            _full_detail(one),
            point.revision,
            point.note,
        )
        for one in study.trajectories
        if not one.points["defined"].to_numpy(bool).all()
        for point in rows_of(one.points[~one.points["defined"]])
    ]
    grouped = pd.DataFrame(found, columns=headings).groupby(
        ["run", "benchmark", "metric", "cause"], sort=False
    )
    merged = grouped.agg({"detail": _joined("; "), "revisions": _joined(", ")}).reset_index()
    return Table("Numbers that are not defined", headings, _tuples(merged[list(headings)]))


def diagnostics_table(study: Study) -> Table:
    """What was recorded about the measurement itself, by condition and level; may have no rows."""
    headings = ["benchmark", "quantity", "condition", "value"]
    columns = [name for name in DETAILS if name not in ("probe", "texts", "parameter")]
    found = [
        (one.benchmark_title, one.metric_title, one.detail(columns), value)
        for one in study.trajectories
        if one.role == "diagnostic"
        for value in one.usable["value"]
    ]
    grouped = pd.DataFrame(found, columns=headings).groupby(headings[:3], sort=False)
    merged = grouped["value"].agg(lambda values: _span(values, ".3g")).reset_index()
    return Table("Diagnostics", tuple(headings), _tuples(merged))


def provenance_table(study: Study) -> Table:
    """How each benchmark was measured: data, settings, preprocessing, precision, versions."""
    columns = [
        "run",
        "kind",
        "dataset",
        "split",
        "data_fingerprint",
        "preprocess",
        "settings",
        "dtype",
        "versions",
    ]
    found = []
    for key, members in study.results.rows.groupby(columns, sort=False):
        run, kind, dataset, split, data, preprocess, settings, dtype, versions = map(str, key)
        revisions = f"{members['revision'].nunique():,}"
        n = _span(members.loc[members["role"] == "value", "n"], ",.0f")
        words = bare(json_words(settings)), dtype, json_words(versions)
        found.append((run, f"{kind}/{dataset}", split, revisions, n, data[:12], preprocess, *words))
    headings = (
        *("run", "benchmark", "split", "revisions", "n", "data fingerprint", "preprocess", "settings"),
        *("dtype", "versions"),
    )
    return Table("How it was measured", headings, tuple(found))


def origin_table(study: Study) -> Table:
    """Which package measured the numbers and when, and which claims judge them."""
    whole = study.whole or study
    rows = origin_rows(study.results, whole.evidence, whole.claims_file)
    return Table("Where the numbers come from", ("fact", "value"), tuple(rows))


def overview_tables(study: Study) -> list[Table]:
    """A table for each run: its revisions by the questions of the overview."""
    panels = [panel for world in study.overview for panel in world]
    columns = [(panel.title, line.trajectory) for panel in panels for line in panel.lines]
    tables = []
    for run in sorted({one.run for _, one in columns}):
        own = [(title, one) for title, one in columns if one.run == run]
        tables.append(_revision_table(run, own, _short_cell, [one for _, one in own]))
    return tables


def _revision_table(
    caption: str,
    columns: Sequence[tuple[str, Trajectory]],
    words: Callable[[Any], str],
    ordering: Iterable[Trajectory],
) -> Table:
    """A row for each revision of the trajectories in ``ordering``, a column for each heading and trajectory."""
    points = pd.concat([one.points[["revision", "epoch", "order"]] for one in ordering])
    revisions = points.sort_values(["epoch", "order"])["revision"].unique()
    cells = [{point.revision: words(point) for point in rows_of(one.points)} for _, one in columns]
    rows = tuple((name, *(cell.get(name, "") for cell in cells)) for name in revisions)
    return Table(caption, ("revision", *(heading for heading, _ in columns)), rows)


def _full_detail(one: Trajectory) -> str:
    """The columns that a heading names, without the defaults."""
    silent = {"texts": one.texts == "own", "condition": one.condition in ("", "none")}
    return one.detail(name for name in DETAILS if not silent.get(name))


def _joined(separator: str) -> Callable[["pd.Series[str]"], str]:
    return lambda texts: separator.join(text for text in texts.unique() if text)


def _tuples(frame: pd.DataFrame) -> tuple[tuple[str, ...], ...]:
    return tuple(frame.itertuples(index=False, name=None))


def _span(values: Iterable[float], form: str) -> str:
    """Least and greatest of some numbers."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return ""
    low, high = format(min(known), form), format(max(known), form)
    return low if low == high else f"{low} to {high}"


def _short_cell(point: Any) -> str:
    if not point.usable:
        return NOT_INTERPRETABLE if point.defined else "not defined"
    interval = "" if math.isnan(point.ci_low) else f" [{point.ci_low:.2f}, {point.ci_high:.2f}]"
    return f"{point.value:.2f}{interval}"
