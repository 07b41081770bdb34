"""Write a report: the page with everything in it, and the figures as files beside it."""

import json
import math
import re
import zlib
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from hf_clipdyn import __version__
from hf_clipdyn.errors import counted
from hf_clipdyn.files import check_output, write_atomically
from hf_clipdyn.report import claims as claims_words
from hf_clipdyn.report import plotly, provenance, tables, words
from hf_clipdyn.report.charts import charts
from hf_clipdyn.report.figures import MOST_MARKED, page_figures, write_figures
from hf_clipdyn.report.page import evidence, front
from hf_clipdyn.report.page import stimuli as stimuli_browser
from hf_clipdyn.report.page.payload import anchor, payload, story
from hf_clipdyn.report.page.pictures import StimuliChoice
from hf_clipdyn.report.study import Study, read_study
from hf_clipdyn.report.style import COLOURS

_THEME = {name: COLOURS[name][0] for name in ("paper", "ink", "grey", "grid", "edge", "human")}
_THEME |= {f"hue-{at}": pair for at, pair in enumerate(COLOURS["hue"])}
_ASKED = {
    **{"claims": claims_words, "evidence": evidence, "front": front, "plotly": plotly},
    **{"provenance": provenance, "tables": tables, "words": words, "anchor": anchor, "counted": counted},
}
"""What the template asks for words and tables, by its name there."""
_PROGRAM = ("core.js", "charts.js", "tools.js", "parts.js", "stimuli.js", "start.js")
_TRY_IT = ("model.js", "map.js", "tryit.js")
"""The files of the program and of its part for "Try it", in their order."""

_PATH, _DECIMALS = re.compile(r' d="[^"]*"'), re.compile(r"(\.\d)\d+")
_LINE_BREAK = re.compile(r"\s*\n\s*")
_PLAIN = " =:/;,()!*@$+?-_.~|{}"
"""What may stand in an address of data inside an attribute as it is."""


def write_report(
    results: str | Path | Sequence[str | Path] | pd.DataFrame | Study,
    output: str | Path,
    *,
    claims: str | Path | None = None,
    stimuli: StimuliChoice = "thumbnails",
    data_dirs: Mapping[str, str | Path] | None = None,
    figures: bool = True,
    figure_formats: Sequence[str] = ("png", "pdf"),
    figure_width: str = "auto",
    figure_choice: Mapping[str, Any] | None = None,
    style: str | Path | None = None,
    title: str | None = None,
    try_it: bool = False,
    store: str | Path | None = None,
) -> Path:
    """Write the report: a page that needs no other file and no network, and figures as files.

    Args:
        results: one or several tables of `clipdyn evaluate`, whose runs are overlaid; or the result of `load_results`
            or `read_study`.
        output: folder, created if missing. ``index.html``, which contains the numbers, their charts and the program
            that draws them; ``figures/NAME.png`` and ``NAME.pdf`` for each benchmark, the ``summary``, the control
            ``arms`` and the ``claims``, see `write_figures`.
        claims: a file of claims; without one nothing is judged.
        stimuli: ``thumbnails`` shows small pictures of the stimuli, for data sets whose licence allows it; ``none``
            shows only the answers.
        data_dirs: folders of data sets that are not in ``$CLIPDYN_DATA``, by name.
        figures: whether to draw the figures.
        figure_formats: ``png``, ``svg``, ``pdf``.
        figure_width: ``column`` (3.35 inches), ``page`` (7 inches), or ``auto``: by the number of panels.
        figure_choice: ``benchmarks``, ``metric`` and ``x`` of `write_figures`; default: all figures.
        style: of the figures: name of a style of matplotlib, or a ``.mplstyle`` file.
        title: of the page. Default: the name of the run, or the number of runs.
        try_it: put the image encoder of every revision into the page, which then answers to images of the reader's. The
            table must be of one run of a CLIP; at most 4 MB more, so a large model is left out with a warning.
        store: for ``try_it``, the folder of a local store with the revisions. Default: the run next to the table, or as
            for `list_revisions`.

    Returns:
        The path of ``index.html``.

    Raises:
        ConfigError: a file does not exist, is not a table of results or a file of claims, the style is unknown or
            broken, the folder cannot be written, or there is no such choice of stimuli, format or width.
        EvaluationError: the tables have no rows.

    Examples:
        >>> from hf_clipdyn import write_report
        >>> page = write_report("runs/demo/results.parquet", "report", stimuli="none", figures=False)
        >>> page.as_posix()
        'report/index.html'
    """
    study, output = read_study(results, claims=claims), Path(output)
    page = output / "index.html"
    check_output(page, "a page of hf_clipdyn", _is_page)
    output.mkdir(parents=True, exist_ok=True)
    encoders = None
    if try_it:  # it reads models, which needs torch; what cannot be read stops here, before the figures
        from hf_clipdyn.report.tryit.part import payload as tryit_payload

        encoders = tryit_payload(study, stimuli=stimuli, data_dirs=data_dirs, store=store)
    look: dict[str, Any] = {"style": style, "formats": figure_formats, "width": figure_width}
    look |= figure_choice or {}
    # A wrong style stops here.
    drawn = write_figures(study, output / "figures", **look) if figures else {}
    text = render(study, stimuli=stimuli, data_dirs=data_dirs, title=title, drawn=drawn, try_it=encoders)
    write_atomically(page, text)
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
    drawn: Mapping[str, bytes] | None = None,
    try_it: Mapping[str, Any] | None = None,
) -> str:
    """The page as one text; arguments as of `write_report`.

    ``drawn`` is what `write_figures` returns, ``try_it`` what `tryit.part.payload` does.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    known = charts()
    panels = {name: chart.panels(study) for name, chart in known.items()}
    first_screen = story(study.planner)
    named = {known[name].title: own for name, own in panels.items()}
    data = payload(study.planner, named, first_screen)
    shown = stimuli_browser.payload(study, stimuli=stimuli, data_dirs=data_dirs) or {}
    data["parts"] = {"stimuli": shown} | ({"tryit": try_it} if try_it else {})
    environment = Environment(
        loader=PackageLoader("hf_clipdyn.report.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.globals |= _ASKED
    environment.tests["finite"] = math.isfinite
    runs = study.runs[0] if len(study.runs) == 1 else f"{len(study.runs)} runs"
    several = counted(len(study.runs), "run" if study.over_training else "model")
    metrics = sorted(data["metrics"], key=lambda metric: not metric["main"])
    axes = {name: axis["title"] for name, axis in data["meta"]["axes"].items()}
    pictured = [
        each
        for each in data["benchmarks"]
        if each["name"] in shown or any(view["section"] == "stimuli" for view in each["views"])
    ]
    sources, places = Counter(study.sources).items(), Counter(panel.place for panel in first_screen)
    return environment.get_template("page.html.jinja").render(
        title=title or f"{'Training dynamics' if study.over_training else 'Measurements'} of {runs}",
        name=title or (study.runs[0] if len(study.runs) == 1 else several),
        version=__version__,
        theme=_THEME,
        style=_verbatim(_text("page/page.css") + (_text("tryit/tryit.css") if try_it else "")),
        data_text=_deflated(data),
        library=_verbatim(_script(_text("page/vendor/plotly-cartesian.min.js"))),
        program=_verbatim(_script(_program(try_it=bool(try_it)))),
        study=study,
        data=data,
        axes=axes | {metric["key"]: metric["title"] for metric in metrics if metric["main"]},
        metrics={metric["key"]: metric["title"] for metric in metrics},
        seeds=_seeds(study),
        first_screen=first_screen,
        glance={at: f"{panel.title}, {panel.place}" for at, panel in enumerate(first_screen)},
        place=next((place for place, times in places.most_common(1) if times > 1), ""),
        differences=front.paired(panels.get("differences", ())),
        followed=stimuli_browser.followed(study, shown),
        pictured=pictured,
        titles={each["name"]: each["title"] for each in pictured},
        images=_images(study, drawn or {}),
        overview_tables=_overview_tables(study),
        sources=", ".join(f"{name} ({n} files)" if n > 1 else name for name, n in sources),
    )


def _seeds(study: Study) -> dict[int, list[str]]:
    """The runs of each seed; none where no runs differ in their seed alone."""
    runs = study.results.courses.drop_duplicates("run").dropna(subset="seed")
    if all(len(group.runs) == 1 for group in study.planner.groups):
        return {}
    by_seed = runs.groupby(runs["seed"].astype(int))["run"].agg(list)
    return dict(zip(by_seed.index.tolist(), by_seed.tolist(), strict=True))


def _text(name: str) -> str:
    """A file of the report's folders."""
    return (files("hf_clipdyn.report") / name).read_text(encoding="utf-8")


def _program(*, try_it: bool) -> str:
    """The program's files in the scope of one function. "Try it" has a scope of its own, before the last file."""
    *texts, last = (_text(f"page/program/{name}") for name in _PROGRAM)
    models = "\n".join(_text(f"tryit/{name}") for name in _TRY_IT)
    joined = "\n".join([*texts, f"{{\n{models}\n}}" if try_it else "", last])
    return f'(async () => {{\n"use strict";\n{joined}}})();'


def _deflated(data: Any) -> str:
    """JSON, deflated, in base 64: none of its signs means anything in HTML."""
    packed = zlib.compress(json.dumps(data, allow_nan=False, separators=(",", ":")).encode(), level=4)
    return b64encode(packed).decode()  # level 6 takes twice the time for 8 % less


def _script(text: str) -> str:
    """A program inside a script element: it must not name the end of its element, nor open a comment of HTML."""
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _verbatim(text: str) -> Any:
    from markupsafe import Markup

    # Safe: files of this package.
    return Markup(text)  # noqa: S704


def _images(study: Study, drawn: Mapping[str, bytes]) -> list[tuple[str, str, str]]:
    """The overview and the figure of the claims for browsers without a script: name, address and words."""
    images = page_figures(study, drawn)
    tested = [verdict for verdict in study.verdicts if verdict.is_tested]
    claims = (f"{one.claim.number} {one.claim.title}: {one.word}." for one in tested)
    words = {
        "summary": ["The study at a glance.", *(panel.alt for panel in study.planner.glance)],
        "claims": ["The contrasts of the claims, in units of the smallest effect δ.", *claims],
    }
    return [(name, _address(images[name]), " ".join(words[name])) for name in words if name in images]


def _address(drawn: bytes) -> str:
    """An SVG as the source of an image; a tenth of a point is precise enough for its paths."""
    short = _LINE_BREAK.sub(" ", _PATH.sub(lambda path: _DECIMALS.sub(r"\1", path[0]), drawn.decode()))
    return f"data:image/svg+xml,{quote(short, safe=_PLAIN)}"


def _overview_tables(study: Study) -> list[tables.Table]:
    """The numbers of the overview; of many runs, those of their first and last revision."""
    every = tables.overview_tables(study)
    if len(every) <= MOST_MARKED:
        return every
    return [replace(table, rows=(table.rows[0], *table.rows[1:][-1:])) for table in every]
