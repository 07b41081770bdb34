"""Write a report: the figures as files, and one page that holds them all."""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hf_clipdyn import __version__
from hf_clipdyn.errors import ConfigError
from hf_clipdyn.report.axis import Axis, choose_axis
from hf_clipdyn.report.card import card_name, run_card
from hf_clipdyn.report.figures import draw_chart, draw_overview
from hf_clipdyn.report.folder import FigureFolder
from hf_clipdyn.report.gather import read_trajectories
from hf_clipdyn.report.overview import overview_panels
from hf_clipdyn.report.plan import Chart, Panel, plan_charts
from hf_clipdyn.report.results import Measurement, read_results
from hf_clipdyn.report.sentences import Finding, alternative_words, find, limits
from hf_clipdyn.report.style import GREY, INK, PAPER, TWINS, figure_style
from hf_clipdyn.report.svg import inline_svg, to_svg
from hf_clipdyn.report.tables import chart_table, noise_table, provenance_table, undefined_table
from hf_clipdyn.report.trajectories import Trajectory
from hf_clipdyn.report.vocabulary import benchmark_words, is_synthetic, term

__all__ = ["write_report"]


def write_report(results: Path | Sequence[Path], output: Path) -> Path:
    """Draw every trajectory and write a page that stands alone.

    Args:
        results: one or several tables of `clipdyn evaluate`; their runs are overlaid.
        output: folder, made if need be. ``figures/NAME.png`` and ``.svg`` for each metric of each
            benchmark, ``figures/summary.png`` and ``.svg``, and ``index.html``, which holds the
            figures itself and loads nothing; ``card-OWNER--NAME.md``, a model card for each run.

    Returns:
        The path of ``index.html``.

    Raises:
        ConfigError: a table is missing or is none, or the folder cannot be written.
        EvaluationError: the tables hold no row.
    """
    paths = [results] if isinstance(results, Path) else list(results)
    rows = read_results(paths)
    page = output / "index.html"
    trajectories = read_trajectories(rows)
    try:
        folder = FigureFolder(output / "figures")
        page.write_text(_render(rows, trajectories, paths, folder), encoding="utf-8")
        folder.sweep()
        for run in dict.fromkeys(one.run for one in trajectories):
            run_card(trajectories, rows, run).save(output / card_name(run))
    except OSError as error:
        raise ConfigError(f"The report cannot be written to {output}: {error.strerror or error}.") from error
    return page


def _render(
    rows: Sequence[Measurement],
    trajectories: Sequence[Trajectory],
    paths: Sequence[Path],
    folder: FigureFolder,
) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    axis = choose_axis(trajectories)
    charts = plan_charts(trajectories)
    runs = list(dict.fromkeys(one.run for one in trajectories))
    benchmarks = list(dict.fromkeys(chart.benchmark for chart in charts))
    findings: dict[str, list[Finding]] = defaultdict(list)
    for one in find(trajectories):
        findings[one.question].append(one)
    with figure_style():
        summary = _summary(overview_panels(charts), axis, folder)
        sections = [_section(name, charts, axis, folder) for name in benchmarks]
    environment = Environment(
        loader=PackageLoader("hf_clipdyn.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template("page.html.jinja").render(
        title=f"Training dynamics of {runs[0] if len(runs) == 1 else f'{len(runs)} runs'}",
        lead=_lead(trajectories, runs, benchmarks),
        findings=findings,
        runs=runs,
        limits=limits(trajectories),
        summary=summary,
        sections=sections,
        undefined=undefined_table(trajectories),
        noise=noise_table(trajectories),
        provenance=provenance_table(rows),
        synthetic=any(is_synthetic(name) for name in benchmarks),
        proxies=any(name.startswith("distortion/") for name in benchmarks),
        marks={
            "hollow": any(point.defined and not point.usable for one in trajectories for point in one.points),
            "human": "shape_bias/cue_conflict" in benchmarks,
        },
        sources=", ".join(path.name for path in paths),
        version=__version__,
        twins=TWINS,
        paper=PAPER,
        ink=INK,
        grey=GREY,
    )


def _lead(trajectories: Sequence[Trajectory], runs: Sequence[str], benchmarks: Sequence[str]) -> str:
    revisions = {(one.run, point.revision) for one in trajectories for point in one.points}
    named = "" if len(runs) == 1 else f"{', '.join(runs)}: "
    return f"{named}{_count(len(revisions), 'revision')}, {_count(len(benchmarks), 'benchmark')}."


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _summary(worlds: Sequence[Sequence[Panel]], axis: Axis, folder: FigureFolder) -> dict[str, Any]:
    """The overview twice: in rows of three, which is also saved, and in one column for narrow screens."""
    if not worlds:
        return {"wide": "", "narrow": ""}
    told = "The study at a glance. " + " ".join(
        alternative_words(panel.title, panel.lines) for panels in worlds for panel in panels
    )
    wide = folder.save(draw_overview(worlds, axis, columns=3), "summary")
    narrow = to_svg(draw_overview(worlds, axis, columns=1))
    return {
        "wide": _markup(wide, "summary", told, "broad"),
        "narrow": _markup(narrow, "summary-narrow", told, "narrow"),
    }


def _section(benchmark: str, charts: Sequence[Chart], axis: Axis, folder: FigureFolder) -> dict[str, Any]:
    figures = []
    for chart in charts:
        if chart.benchmark == benchmark and chart.defined:  # a table names the others, with the cause
            document = folder.save(draw_chart(chart, axis), chart.name)
            lines = [line for panel in chart.panels for line in panel.lines]
            table = chart_table(chart)
            told = alternative_words(f"{chart.title}, {benchmark_words(benchmark)}", lines)
            figures.append(
                {
                    "name": chart.name,
                    "svg": _markup(document, chart.name, told),
                    "caption": _caption(chart),
                    "table": table,
                    "panels": len(chart.panels),
                }
            )
    return {
        "anchor": re.sub(r"[^a-z0-9]+", "-", benchmark.lower()),
        "title": benchmark_words(benchmark),
        "benchmark": benchmark,
        "figures": figures,
    }


def _caption(chart: Chart) -> str:
    """Meaning, number of items and caveats of a chart."""
    points = [point for one in chart.trajectories for point in one.points]
    items = sorted({int(point.n) for point in points if point.n == point.n})
    words = [term(chart.metric).meaning]
    if items:
        words.append(f"n = {items[0]:,}." if len(items) == 1 else f"n = {items[0]:,} to {items[-1]:,}.")
    if any(point.defined and not point.interpretable for point in points):
        words.append("Hollow and grey: not interpretable near chance.")
    if is_synthetic(chart.benchmark):
        words.append("Synthetic world.")
    return " ".join(filter(None, words))


def _markup(document: str, name: str, alternative: str, css_class: str = "") -> Any:
    from markupsafe import Markup

    # Safe: matplotlib escapes every text that it writes into an SVG.
    return Markup(inline_svg(document, name, alternative, css_class))  # noqa: S704
