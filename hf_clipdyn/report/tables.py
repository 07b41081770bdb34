"""The numbers behind the figures as tables: for the page and the cards."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hf_clipdyn.report.provenance import origin_rows
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.words import NOT_INTERPRETABLE, estimate_words, interval_words, json_words
from hf_clipdyn.statistics.evidence import CONFIDENCE, ArmEffect
from hf_clipdyn.statistics.trajectories import Trajectory, bare, points_of, rows_of
from hf_clipdyn.statistics.windows import Endpoint


@dataclass(frozen=True)
class Table:
    """A table of texts with a caption and one heading for each column."""

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def arms_table(study: Study) -> Table:
    """What each arm changes beside the main arm: a row for each arm, a column for each number and window."""
    effects = {(effect.arm, effect.endpoint, effect.window): effect for effect in study.arm_effects}
    columns = dict.fromkeys((endpoint, window) for _, endpoint, window in effects)
    arms = dict.fromkeys(arm for arm, _, _ in effects)
    titles = {endpoint: _metric_title(study, endpoint) for endpoint, _ in columns}
    return Table(
        f"Arms minus the main arm, by paired seeds: described, not tested ({100 * CONFIDENCE:g} % intervals)",
        ("arm", *(f"{titles[endpoint]}, {window}" for endpoint, window in columns)),
        tuple((arm, *(_effect_words(effects.get((arm, *column))) for column in columns)) for arm in arms),
    )


def _metric_title(study: Study, endpoint: Endpoint) -> str:
    measured = (values for values in endpoint.of(study.trajectories).values() if values.parts)
    return next((values.parts[0].metric_title for values in measured), endpoint.metric)


def _effect_words(effect: ArmEffect | None) -> str:
    return "not measured" if effect is None else estimate_words(effect.effect)


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
    values, rows = study.results.rows[study.results.rows["role"] == "value"], []
    n_of_cell = values.groupby("cell", observed=True)["n"]
    cells = study.cells.join(n_of_cell.agg(least="min", most="max"), on="cell")
    for key, members in cells.groupby(columns, sort=False):
        run, kind, dataset, split, data, preprocess, settings, dtype, versions = map(str, key)
        revisions = f"{members['revision'].nunique():,}"
        n = _span([*members["least"], *members["most"]], ",.0f")
        words = bare(json_words(settings)), dtype, json_words(versions)
        rows.append((run, f"{kind}/{dataset}", split, revisions, n, data[:12], preprocess, *words))
    headings = (
        *("run", "benchmark", "split", "revisions", "n", "data fingerprint", "preprocess", "settings"),
        *("dtype", "versions"),
    )
    return Table("How it was measured", headings, tuple(rows))


def origin_table(study: Study) -> Table:
    """Which package measured the numbers and when, and which claims judge them."""
    whole = study.whole or study
    rows = origin_rows(study.results, whole.evidence, whole.claims_file)
    return Table("Where the numbers come from", ("fact", "value"), tuple(rows))


def overview_tables(study: Study) -> list[Table]:
    """A table for each run: its revisions by the questions of the overview."""
    lines = [
        (panel.title, line.trajectory) for world in study.overview for panel in world for line in panel.lines
    ]
    return [
        _revision_table(run, [(title, number) for title, number in lines if number.run == run])
        for run in sorted({number.run for _, number in lines})
    ]


def _revision_table(run: str, columns: Sequence[tuple[str, Trajectory]]) -> Table:
    """A row for each revision of a run, a column for each heading and trajectory."""
    points = points_of(number for _, number in columns)
    revisions = points.sort_values(["epoch", "order"])["revision"].unique()
    cells = [
        {point.revision: _short_cell(point) for point in rows_of(number.points)} for _, number in columns
    ]
    rows = tuple((name, *(cell.get(name, "") for cell in cells)) for name in revisions)
    return Table(run, ("revision", *(heading for heading, _ in columns)), rows)


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
    return f"{point.value:.2f}{interval_words(point, '.2f')}"
