"""The page of planned panels, beside the one that plans in its program; it takes its place when the charts of relations
are panels, too."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from hf_clipdyn import __version__
from hf_clipdyn.report.charts import charts
from hf_clipdyn.report.claims import verdict_rows, verdict_summary
from hf_clipdyn.report.page import front
from hf_clipdyn.report.page import stimuli as stimuli_browser
from hf_clipdyn.report.page.drawn import payload
from hf_clipdyn.report.page.evidence import evidence
from hf_clipdyn.report.page.stimuli import StimuliChoice
from hf_clipdyn.report.page.write import (
    _COMMENT,
    _images,
    _json,
    _overview_tables,
    _script,
    _text,
    _verbatim,
)
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.style import THEME, twins
from hf_clipdyn.report.tables import arms_table, origin_table, provenance_table
from hf_clipdyn.report.words import Finding, find, limits

_FILES = ("core.js", "charts.js", "tools.js", "parts.js", "stimuli.js", "start.js")
"""The program's files in their order."""


def render(
    study: Study,
    *,
    stimuli: StimuliChoice = "thumbnails",
    data_dirs: Mapping[str, str | Path] | None = None,
    title: str | None = None,
    drawn: Mapping[str, bytes] | None = None,
    try_it: Mapping[str, Any] | None = None,
) -> str:
    """The page as one text; arguments as of `write.render`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    planner = study.planner
    first = {number.run: number for number in reversed(study.trajectories)}
    seeds = pd.DataFrame([{"run": run, "seed": first[run].seed} for run in study.runs])
    parts: dict[str, Any] = {
        "stimuli": stimuli_browser.payload(study, stimuli=stimuli, data_dirs=data_dirs),
        "tryit": try_it,
    }
    known = charts()
    parts |= {name: chart.payload(study) for name, chart in known.items()}
    shown = {chart.title: list(chart.panels(study)) for chart in known.values()}
    data = {
        **payload(planner, study.results.words, seeds, shown),
        "tables": evidence(study),
        "parts": {name: part for name, part in parts.items() if part is not None},
    }
    findings: dict[str, list[Finding]] = defaultdict(list)
    for finding in find(study):
        findings[finding.question].append(finding)
    tested = any(verdict.is_tested for verdict in study.verdicts)  # claims without an estimate are not shown
    verdicts = verdict_rows(study) if tested else []
    environment = Environment(
        loader=PackageLoader("hf_clipdyn.report.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    subject = "Training dynamics" if study.over_training else "Measurements"
    runs = study.runs[0] if len(study.runs) == 1 else f"{len(study.runs)} runs"
    return environment.get_template("page.html.jinja").render(
        title=title or f"{subject} of {runs}",
        name=title or front.name_of(study),
        facts=front.facts(study, len(data["benchmarks"])),
        answer=front.answer(study),
        chips=front.chips(study),
        strip=front.strip(study),
        verdicts=verdicts,
        verdict_summary=verdict_summary(study) if tested else "",
        arms=arms_table(study),
        findings=findings,
        runs=study.runs,
        limits=limits(study),
        images=list(_images(study, drawn or {})),
        overview_tables=_overview_tables(study),
        origin=origin_table(study),
        provenance=provenance_table(study),
        confidence=study.confidence,
        sources=", ".join(
            f"{name} ({n} files)" if n > 1 else name for name, n in Counter(study.sources).items()
        ),
        version=__version__,
        theme={name: twins(colour) for name, colour in THEME.items()},
        style=_verbatim("".join(map(_text, ("page.css",)))),
        data=_verbatim(_json(data)),
        plotly=_verbatim(_script(_text("vendor/plotly-cartesian.min.js"))),
        program=_verbatim(_script(_program())),
    )


def _program() -> str:
    """The program's files inside the scope of one function."""
    folder = files(__package__) / "program"
    joined = "\n".join((folder / name).read_text(encoding="utf-8") for name in _FILES)
    return f'(() => {{\n"use strict";\n{_COMMENT.sub("", joined)}}})();'
