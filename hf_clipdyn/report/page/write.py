"""Write a report: the page with everything in it, and the figures as files beside it."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from hf_clipdyn import __version__
from hf_clipdyn.errors import ConfigError
from hf_clipdyn.files import check_output, write_atomically
from hf_clipdyn.report.axis import choose_axis
from hf_clipdyn.report.charts import Panel
from hf_clipdyn.report.claims_figure import draw_claims
from hf_clipdyn.report.claims_plan import is_tested
from hf_clipdyn.report.figures import draw_panels
from hf_clipdyn.report.page import claims as claims_of
from hf_clipdyn.report.page import decisions, psychometric
from hf_clipdyn.report.page import stimuli as stimuli_browser
from hf_clipdyn.report.page.claims import verdict_rows, verdict_summary
from hf_clipdyn.report.page.payload import payload
from hf_clipdyn.report.page.stimuli import StimuliChoice
from hf_clipdyn.report.panels import average_seeds, groups_of_seeds
from hf_clipdyn.report.papers import write_figures
from hf_clipdyn.report.sentences import Finding, alternative_words, find, limits
from hf_clipdyn.report.study import Study, read_study
from hf_clipdyn.report.style import THEME, figure_style, twins
from hf_clipdyn.report.svg import to_svg
from hf_clipdyn.report.tables import (
    Table,
    arms_table,
    diagnostics_table,
    origin_table,
    overview_tables,
    provenance_table,
    undefined_table,
)
from hf_clipdyn.report.words import listed
from hf_clipdyn.statistics.verdicts import deviation_lines

__all__ = ["write_report"]

Part = Callable[[Study], Mapping[str, Any] | None]
_PARTS: dict[str, Part] = {
    "claims": claims_of.payload,
    "decisions": decisions.payload,
    "psychometric": psychometric.payload,
}
"""What other modules of this package add to the page's data, by the name under which the program finds it."""
_FIRST, _LAST = ("core.js", "chart.js"), ("start.js",)
"""The program's files that come before and after all others."""

_PATH, _DECIMALS = re.compile(r' d="[^"]*"'), re.compile(r"(\.\d)\d+")
_LINE_BREAK = re.compile(r"\s*\n\s*")
_COMMENT = re.compile(r"^ *//.*\n", re.MULTILINE)
"""A line of the program that is a comment; the page leaves it out."""
_PLAIN = " =:/;,()!*@$+?-_.~|{}"
"""What may stand in an address of data inside an attribute as it is."""

_MOST_MARKED = 6
"""Runs up to which the static overview has every run and every number."""


def write_report(
    results: str | Path | Sequence[str | Path] | pd.DataFrame | Study,
    output: str | Path,
    *,
    claims: str | Path | None = None,
    stimuli: StimuliChoice = "thumbnails",
    data_dirs: Mapping[str, str | Path] | None = None,
    figures: bool = True,
    style: str | Path | None = None,
    title: str | None = None,
) -> Path:
    """Write the report: a page that needs no other file and no network, and figures as files.

    Args:
        results: one or several tables of `clipdyn evaluate`, whose runs are overlaid; or the result of `load_results`
            or `read_study`.
        output: folder, created if missing. ``index.html``, which contains the numbers, their charts and the program
            that draws them; ``figures/NAME-column`` and ``NAME-page`` as PNG, SVG and PDF for each benchmark, the
            ``summary`` and the ``claims``, see `write_figures`.
        claims: a file of claims for the verdicts; default: the package's `claims.yaml`.
        stimuli: ``thumbnails`` shows small pictures of the stimuli, for data sets whose licence allows it; ``none``
            shows only the answers.
        data_dirs: folders of data sets that are not in ``$CLIPDYN_DATA``, by name.
        figures: whether to draw the figures, which takes longer than the page.
        style: of the figures: name of a style of matplotlib, or a ``.mplstyle`` file.
        title: of the page. Default: the name of the run, or the number of runs.

    Returns:
        The path of ``index.html``.

    Raises:
        ConfigError: a file does not exist, is not a table of results or a file of claims, the style is unknown or
            broken, the folder cannot be written, or there is no such choice of stimuli.
        EvaluationError: the tables have no rows.

    Examples:
        >>> from hf_clipdyn import write_report
        >>> page = write_report("runs/demo/results.parquet", "report", stimuli="none", figures=False)
        >>> page.as_posix()
        'report/index.html'
    """
    study, output = read_study(results, claims=claims), Path(output)
    page = output / "index.html"
    try:
        check_output(
            page, [*study.results.tables, claims, style], what="a page of hf_clipdyn", is_own=_is_page
        )
        output.mkdir(parents=True, exist_ok=True)
        if figures:
            write_figures(study, output / "figures", style)  # a wrong style stops here
        write_atomically(page, render(study, stimuli=stimuli, data_dirs=data_dirs, title=title))
    except OSError as error:
        raise ConfigError(f"The report cannot be written to {output}: {error.strerror or error}.") from error
    return page


def _is_page(path: Path) -> bool:
    with path.open("rb") as file:
        return b'<meta name="generator" content="hf_clipdyn ' in file.read(2000)


def render(
    study: Study,
    *,
    stimuli: StimuliChoice = "thumbnails",
    data_dirs: Mapping[str, str | Path] | None = None,
    title: str | None = None,
) -> str:
    """The page as one text; arguments as of `write_report`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    parts = {name: part(study) for name, part in _PARTS.items()}
    parts["stimuli"] = stimuli_browser.payload(study, stimuli=stimuli, data_dirs=data_dirs)
    data = {**payload(study), "parts": {name: part for name, part in parts.items() if part is not None}}
    findings: dict[str, list[Finding]] = defaultdict(list)
    for one in find(study):
        findings[one.question].append(one)
    subject = "Training dynamics" if data["meta"]["overTraining"] else "Measurements"
    environment = Environment(
        loader=PackageLoader("hf_clipdyn.report.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    runs = study.runs[0] if len(study.runs) == 1 else f"{len(study.runs)} runs"
    return environment.get_template("page.html.jinja").render(
        title=title or f"{subject} of {runs}",
        verdicts=verdict_rows(study),
        verdict_summary=verdict_summary(study),
        deviations=deviation_lines(study.verdicts),
        arms=arms_table(study),
        curves=bool(parts["claims"] and parts["claims"]["curves"]),
        lead=_lead(study, len(data["benchmarks"])),
        findings=findings,
        runs=study.runs,
        limits=limits(study),
        images=[one for one in (_summary(study), _claims(study)) if one is not None],
        overview_tables=_overview_tables(study),
        benchmarks=data["benchmarks"],
        undefined=undefined_table(study),
        diagnostics=diagnostics_table(study),
        origin=origin_table(study),
        provenance=provenance_table(study),
        synthetic=study.synthetic,
        proxies=list(dict.fromkeys(one["title"] for one in data["benchmarks"] if one["proxy"])),
        confidence=study.confidence,
        sources=", ".join(study.sources),
        version=__version__,
        theme={name: twins(colour) for name, colour in THEME.items()},
        style=_verbatim((files(__package__) / "page.css").read_text(encoding="utf-8")),
        data=_verbatim(_json(data)),
        plotly=_verbatim(_script(get_plotlyjs())),
        program=_verbatim(_script(_program())),
    )


def _program() -> str:
    """The program's files inside the scope of one function, in a fixed order."""
    texts = {
        one.name: _COMMENT.sub("", one.read_text(encoding="utf-8"))
        for one in (files(__package__) / "js").iterdir()
        if one.name.endswith(".js")
    }
    others = sorted(set(texts) - {*_FIRST, *_LAST})
    joined = "\n".join(texts[name] for name in (*_FIRST, *others, *_LAST))
    return f'(() => {{\n"use strict";\n{joined}}})();'


def _json(data: Mapping[str, Any]) -> str:
    """JSON that may stand inside a script element: no sign in it can end the element or a line of a script."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _script(text: str) -> str:
    """A program inside a script element: it must not name the end of its element, nor open a comment of HTML."""
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _verbatim(text: str) -> Any:
    from markupsafe import Markup

    # Safe: files of this package and of plotly, and JSON without the signs of HTML.
    return Markup(text)  # noqa: S704


def _lead(study: Study, n_benchmarks: int) -> str:
    revisions = len(study.results.rows[["run", "revision"]].drop_duplicates())
    named = "" if len(study.runs) == 1 else f"{listed(study.runs)}: "
    return f"{named}{_count(revisions, 'revision')}, {_count(n_benchmarks, 'benchmark')}."


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _summary(study: Study) -> dict[str, str] | None:
    """The overview as an image for browsers without a script: its address and what it shows."""
    if not study.overview:
        return None
    words = " ".join(
        alternative_words(panel.title, panel.lines) for panels in study.overview for panel in panels
    )
    return _image(_draw_summary(study), f"The study at a glance. {words}")


def _claims(study: Study) -> dict[str, str] | None:
    """The figure of the claims for browsers without a script."""
    with figure_style():
        figure = draw_claims(study)
        if figure is None:
            return None
        drawn = to_svg(figure)
    words = [
        f"{one.claim.number} {one.claim.title}: {one.words}." for one in filter(is_tested, study.verdicts)
    ]
    return _image(
        drawn, " ".join(["The endpoints of the claims over training, and their contrasts.", *words])
    )


def _image(drawn: str, words: str) -> dict[str, str]:
    """An SVG as the source of an image; a tenth of a point is precise enough for its paths."""
    short = _LINE_BREAK.sub(" ", _PATH.sub(lambda path: _DECIMALS.sub(r"\1", path[0]), drawn))
    return {"source": f"data:image/svg+xml,{quote(short, safe=_PLAIN)}", "words": words}


def _overview_tables(study: Study) -> list[Table]:
    """The numbers of the overview; of many runs, those of their first and last revision."""
    tables = overview_tables(study)
    if len(tables) <= _MOST_MARKED:
        return tables
    return [replace(one, rows=(one.rows[0], *one.rows[1:][-1:])) for one in tables]


def _draw_summary(study: Study) -> str:
    """The overview; of many runs the means over seeds without marks, which would take a megabyte."""
    bars, panels = not study.charts[0].encoding.over_training, study.overview
    if len(study.runs) > _MOST_MARKED:
        groups = groups_of_seeds(study.trajectories)
        panels = [[_means_alone(average_seeds(one, groups)) for one in of_world] for of_world in panels]
    with figure_style():
        figure = draw_panels(panels, choose_axis(study.trajectories), columns=3, bars=bars)
        if len(study.runs) > _MOST_MARKED:
            for line in (
                line for cell in figure.axes for line in cell.lines if line.get_linestyle() != "None"
            ):
                line.set_marker("")
        return to_svg(figure)


def _means_alone(panel: Panel) -> Panel:
    return replace(panel, lines=tuple(replace(line, members=()) for line in panel.lines))
