"""Write a report: the figures as files, and one page that contains them all."""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hf_clipdyn import __version__
from hf_clipdyn.errors import ConfigError
from hf_clipdyn.report.axis import Axis, choose_axis
from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.figures import draw_chart, draw_panels
from hf_clipdyn.report.sentences import Finding, alternative_words, find, limits
from hf_clipdyn.report.study import Study, read_study
from hf_clipdyn.report.style import GREY, INK, PAPER, TWINS, figure_style
from hf_clipdyn.report.svg import FigureFolder, inline_svg, to_svg
from hf_clipdyn.report.tables import chart_table, diagnostics_table, provenance_table, undefined_table
from hf_clipdyn.report.words import listed
from hf_clipdyn.statistics.trajectories import Trajectory

__all__ = ["write_report"]


def write_report(
    results: str | Path | Sequence[str | Path] | pd.DataFrame | Study, output: str | Path
) -> Path:
    """Draw every trajectory and write a page that needs no other file.

    Args:
        results: one or several tables of `clipdyn evaluate`, whose runs are overlaid; or what `load_results` or
            `read_study` returned.
        output: folder, created if missing. ``figures/NAME.png`` and ``.svg`` for each metric of each benchmark,
            ``figures/summary.png`` and ``.svg``, and ``index.html``, which contains the figures itself and loads
            nothing.

    Returns:
        The path of ``index.html``.

    Raises:
        ConfigError: a file does not exist or is no table of results, or the folder cannot be written.
        EvaluationError: the tables hold no row.
    """
    study, output = read_study(results), Path(output)
    page = output / "index.html"
    try:
        folder = FigureFolder(output / "figures")
        page.write_text(_render(study, folder), encoding="utf-8")
        folder.sweep()
    except OSError as error:
        raise ConfigError(f"The report cannot be written to {output}: {error.strerror or error}.") from error
    return page


def _render(study: Study, folder: FigureFolder) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    axis = choose_axis(study.trajectories)
    sections: dict[str, list[Chart]] = defaultdict(list)
    for chart in study.charts:
        sections["/".join(chart.first.benchmark)].append(chart)
    findings: dict[str, list[Finding]] = defaultdict(list)
    for one in find(study):
        findings[one.question].append(one)
    drawn = study.drawn
    subject = (
        "Training dynamics" if any(len(one.points) > 1 for one in study.trajectories) else "Measurements"
    )
    environment = Environment(
        loader=PackageLoader("hf_clipdyn.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    with figure_style():
        return environment.get_template("page.html.jinja").render(
            title=f"{subject} of {study.runs[0] if len(study.runs) == 1 else f'{len(study.runs)} runs'}",
            lead=_lead(study, len(sections)),
            findings=findings,
            runs=study.runs,
            limits=limits(study),
            summary=_summary(study, axis, folder),
            sections=[_section(name, charts, axis, folder) for name, charts in sections.items()],
            undefined=undefined_table(study),
            diagnostics=diagnostics_table(study),
            provenance=provenance_table(study),
            synthetic=study.synthetic,
            proxies=list(dict.fromkeys(one.terms.title for one in drawn if one.terms.proxy)),
            confidence=study.confidence,
            marks={
                "hollow": any(map(_is_hollow, drawn)),
                "human": any(
                    one.human is not None or any(other.role == "human" for other in one.references)
                    for one in drawn
                ),
            },
            sources=", ".join(study.sources),
            version=__version__,
            twins=TWINS,
            paper=PAPER,
            ink=INK,
            grey=GREY,
        )


def _lead(study: Study, n_benchmarks: int) -> str:
    revisions = len(study.results.rows[["run", "revision"]].drop_duplicates())
    named = "" if len(study.runs) == 1 else f"{listed(study.runs)}: "
    return f"{named}{_count(revisions, 'revision')}, {_count(n_benchmarks, 'benchmark')}."


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _is_hollow(one: Trajectory) -> bool:
    hollow = (one.points["defined"] & ~one.points["usable"]).any()
    return bool(hollow) and not one.term.hide_not_interpretable


def _summary(study: Study, axis: Axis, folder: FigureFolder) -> dict[str, Any]:
    """The overview twice: in rows of three, which is also saved, and in one column for narrow screens."""
    worlds = study.overview
    if not worlds:
        return {"wide": "", "narrow": ""}
    text = "The study at a glance. " + " ".join(
        alternative_words(panel.title, panel.lines) for panels in worlds for panel in panels
    )
    bars = not study.charts[0].encoding.over_training
    wide = folder.save(draw_panels(worlds, axis, columns=3, bars=bars), "summary")
    narrow = to_svg(draw_panels(worlds, axis, columns=1, bars=bars))
    return {
        "wide": _markup(wide, "summary", text, "broad"),
        "narrow": _markup(narrow, "summary-narrow", text, "narrow"),
    }


def _section(benchmark: str, charts: Sequence[Chart], axis: Axis, folder: FigureFolder) -> dict[str, Any]:
    title = charts[0].first.benchmark_title
    figures = []
    for chart in charts:
        if not any(one.points["defined"].any() for one in chart.trajectories):
            continue  # a table names these, with the cause
        document = folder.save(draw_chart(chart, axis), chart.name)
        lines = [line for panel in chart.panels for line in panel.lines]
        figures.append(
            {
                "name": chart.name,
                "svg": _markup(document, chart.name, alternative_words(f"{chart.title}, {title}", lines)),
                "caption": _caption(chart),
                "table": chart_table(chart),
                "panels": len(chart.panels),
                "open": not chart.encoding.over_training,
            }
        )
    anchor = re.sub(r"[^a-z0-9]+", "-", benchmark.lower())
    return {"anchor": anchor, "title": title, "benchmark": benchmark, "figures": figures}


def _caption(chart: Chart) -> str:
    """Meaning, number of items and caveats of a chart."""
    first = chart.first
    counts = sorted({int(n) for one in chart.trajectories for n in one.points["n"] if n})
    sentences = [first.term.meaning] if len({one.metric for one in chart.trajectories}) == 1 else []
    if counts:
        sentences.append(
            f"n = {counts[0]:,}." if len(counts) == 1 else f"n = {counts[0]:,} to {counts[-1]:,}."
        )
    if any(map(_is_hollow, chart.trajectories)):
        sentences.append("Hollow and grey: not interpretable.")
    if first.dataset_terms.synthetic:
        sentences.append("Synthetic world.")
    if first.terms.proxy:
        sentences.append("Proxy: no human judged these images.")
    return " ".join(filter(None, sentences))


def _markup(document: str, name: str, alternative: str, css_class: str = "") -> Any:
    from markupsafe import Markup

    # Safe: matplotlib escapes every text that it writes into an SVG.
    return Markup(inline_svg(document, name, alternative, css_class))  # noqa: S704
