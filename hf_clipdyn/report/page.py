"""Write a report: the figures as files, and one page that contains them all."""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hf_clipdyn import __version__
from hf_clipdyn.errors import ConfigError
from hf_clipdyn.report.axis import Axis, choose_axis
from hf_clipdyn.report.card import card_name, run_card
from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.figures import draw_chart, draw_overview
from hf_clipdyn.report.folder import FigureFolder
from hf_clipdyn.report.sentences import Finding, alternative_words, find, limits
from hf_clipdyn.report.study import Study, read_study
from hf_clipdyn.report.style import GREY, INK, PAPER, TWINS, figure_style
from hf_clipdyn.report.svg import inline_svg, to_svg
from hf_clipdyn.report.tables import chart_table, diagnostics_table, provenance_table, undefined_table
from hf_clipdyn.report.words import listed

__all__ = ["write_report"]


def write_report(results: Path | Sequence[Path] | Study, output: Path) -> Path:
    """Draw every trajectory and write a page that needs no other file.

    Args:
        results: one or several tables of `clipdyn evaluate`, whose runs are overlaid; or what `read_study` read.
        output: folder, made if need be. ``figures/NAME.png`` and ``.svg`` for each metric of each benchmark,
            ``figures/summary.png`` and ``.svg``, and ``index.html``, which contains the figures itself and loads
            nothing; ``card-OWNER--NAME.md``, a model card for each run.

    Returns:
        The path of ``index.html``.

    Raises:
        ConfigError: a file does not exist or is no table of results, or the folder cannot be written.
        EvaluationError: the tables hold no row.
    """
    study = read_study(results)
    page = output / "index.html"
    try:
        folder = FigureFolder(output / "figures")
        page.write_text(_render(study, folder), encoding="utf-8")
        folder.sweep()
        for run in study.runs:
            run_card(study, run).save(output / card_name(run))
    except OSError as error:
        raise ConfigError(f"The report cannot be written to {output}: {error.strerror or error}.") from error
    return page


def _render(study: Study, folder: FigureFolder) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    axis = choose_axis(study.trajectories)
    sections: dict[tuple[str, str], list[Chart]] = defaultdict(list)
    for chart in study.charts:
        sections[chart.first.benchmark].append(chart)
    findings: dict[str, list[Finding]] = defaultdict(list)
    for one in find(study):
        findings[one.question].append(one)
    drawn = [one for chart in study.charts for one in chart.trajectories]
    words = study.words
    with figure_style():
        summary = _summary(study, axis, folder)
        drawn_sections = [_section(charts, study, axis, folder) for charts in sections.values()]
    environment = Environment(
        loader=PackageLoader("hf_clipdyn.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template("page.html.jinja").render(
        title=f"{_subject(study)} of {study.runs[0] if len(study.runs) == 1 else f'{len(study.runs)} runs'}",
        lead=_lead(study, len(sections)),
        findings=findings,
        runs=study.runs,
        limits=limits(study),
        summary=summary,
        sections=drawn_sections,
        undefined=undefined_table(study),
        diagnostics=diagnostics_table(study),
        provenance=provenance_table(study),
        synthetic=list(dict.fromkeys(words.benchmark(one) for one in drawn if words.is_synthetic(one))),
        proxies=list(dict.fromkeys(words.kind(one).title for one in drawn if words.kind(one).proxy)),
        confidence=study.confidence,
        marks={
            "hollow": any((one.points["defined"] & ~one.points["usable"]).any() for one in drawn),
            "human": any(words.human(one) is not None for one in drawn),
        },
        sources=", ".join(study.sources),
        version=__version__,
        twins=TWINS,
        paper=PAPER,
        ink=INK,
        grey=GREY,
    )


def _subject(study: Study) -> str:
    trained = any(len(one.points) > 1 for one in study.trajectories)
    return "Training dynamics" if trained else "Measurements"


def _lead(study: Study, n_benchmarks: int) -> str:
    revisions = len(study.results.rows[["run", "revision"]].drop_duplicates())
    named = "" if len(study.runs) == 1 else f"{listed(study.runs)}: "
    return f"{named}{_count(revisions, 'revision')}, {_count(n_benchmarks, 'benchmark')}."


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _summary(study: Study, axis: Axis, folder: FigureFolder) -> dict[str, Any]:
    """The overview twice: in rows of three, which is also saved, and in one column for narrow screens."""
    worlds = study.overview
    if not worlds:
        return {"wide": "", "narrow": ""}
    text = "The study at a glance. " + " ".join(
        alternative_words(panel.title, panel.lines) for panels in worlds for panel in panels
    )
    encoding = study.overview_encoding
    wide = folder.save(draw_overview(worlds, encoding, axis, study.words, columns=3), "summary")
    narrow = to_svg(draw_overview(worlds, encoding, axis, study.words, columns=1))
    return {
        "wide": _markup(wide, "summary", text, "broad"),
        "narrow": _markup(narrow, "summary-narrow", text, "narrow"),
    }


def _section(charts: Sequence[Chart], study: Study, axis: Axis, folder: FigureFolder) -> dict[str, Any]:
    figures = []
    first = charts[0].first
    for chart in charts:
        if not chart.defined:  # a table names these, with the cause
            continue
        document = folder.save(draw_chart(chart, axis, study.words), chart.name)
        lines = [line for panel in chart.panels for line in panel.lines]
        table = chart_table(chart, study.words)
        text = alternative_words(f"{chart.title}, {study.words.benchmark(first)}", lines)
        figures.append(
            {
                "name": chart.name,
                "svg": _markup(document, chart.name, text),
                "caption": _caption(chart, study),
                "table": table,
                "panels": len(chart.panels),
                "open": chart.encoding.x == "value",
            }
        )
    return {
        "anchor": re.sub(r"[^a-z0-9]+", "-", "-".join(first.benchmark).lower()),
        "title": study.words.benchmark(first),
        "benchmark": "/".join(first.benchmark),
        "figures": figures,
    }


def _caption(chart: Chart, study: Study) -> str:
    """Meaning, number of items and caveats of a chart."""
    counts = sorted({int(n) for one in chart.trajectories for n in one.points["n"] if n})
    terms = {one.metric: study.words.term(one) for one in chart.trajectories}
    sentences = [next(iter(terms.values())).meaning] if len(terms) == 1 else []
    if counts:
        sentences.append(
            f"n = {counts[0]:,}." if len(counts) == 1 else f"n = {counts[0]:,} to {counts[-1]:,}."
        )
    if any((one.points["defined"] & ~one.points["usable"]).any() for one in chart.trajectories):
        sentences.append("Hollow and grey: not interpretable.")
    if study.words.is_synthetic(chart.first):
        sentences.append("Synthetic world.")
    if study.words.kind(chart.first).proxy:
        sentences.append("Proxy: no human judged these images.")
    return " ".join(filter(None, sentences))


def _markup(document: str, name: str, alternative: str, css_class: str = "") -> Any:
    from markupsafe import Markup

    # Safe: matplotlib escapes every text that it writes into an SVG.
    return Markup(inline_svg(document, name, alternative, css_class))  # noqa: S704
