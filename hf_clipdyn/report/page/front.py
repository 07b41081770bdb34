"""The first lines of the page in words: what was measured, the answer in one sentence, and what a reader must know."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from hf_clipdyn.errors import counted
from hf_clipdyn.report.courses import place_words
from hf_clipdyn.report.page.payload import anchor
from hf_clipdyn.report.panel import Panel, Row, interval_words
from hf_clipdyn.report.plotly import figure, level_words, row_hue, row_words
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.words import find, headline, joined, limits, listed
from hf_clipdyn.results.terms import bare
from hf_clipdyn.statistics.judge import NO_VERDICT

Form = Literal["run", "revision", "study", "models"]
"""What the page compares: epochs of one run, one revision alone, runs over training, or models of one revision each."""

_LAST = "last value "  # how `find` begins the words about many runs
_SYNTHETIC = (
    "Some benchmarks use synthetic images, not photographs; human reference values do not apply to them."
)
_PROXY = "They compare the model with formulas. No human judged these images."


def form_of(study: Study) -> Form:
    """Which of its forms the page takes."""
    if study.over_training:
        return "run" if len(study.runs) == 1 else "study"
    return "revision" if len(study.runs) == 1 else "models"


def name_of(study: Study) -> str:
    """The name of the only run, or how many there are."""
    several = counted(len(study.runs), "run" if study.over_training else "model")
    return study.runs[0] if len(study.runs) == 1 else several


def facts(study: Study, n_benchmarks: int) -> list[str]:
    """Size, revisions and benchmarks, and seeds, as far as the table knows them."""
    runs = study.results.courses.drop_duplicates("run")
    sizes, seeds = list(dict.fromkeys(filter(None, runs["scale"]))), set(runs["seed"].dropna())
    revisions = len(study.cells[["run", "revision"]].drop_duplicates())
    measured = f"{counted(revisions, 'revision')}, {counted(n_benchmarks, 'benchmark')}"
    words = [listed(sizes), measured, counted(len(seeds), "seed") if seeds else ""]
    return [fact for fact in words if fact]


def answer(study: Study) -> str:
    """The result in one sentence with its numbers."""
    if form_of(study) == "models":
        return _range_of_models(study) or headline(study)
    described = list(find(study))
    ends = [
        finding for finding in described if finding.words.startswith(_LAST) and ", arm " not in finding.run
    ]
    alike = [finding for finding in ends if finding.question == ends[0].question]
    if not alike:
        return headline(study)
    words = [f"{finding.words.removeprefix(_LAST).rstrip('.')} ({finding.run})" for finding in alike]
    return f"{alike[0].question} at the end of training: {', '.join(words)}."


def strip(study: Study) -> dict[str, str]:
    """The verdicts of a study by claim, those without one together; empty if no claim is decided."""
    decided = [verdict for verdict in study.verdicts if verdict.word not in NO_VERDICT]
    if form_of(study) != "study" or not decided:
        return {}
    words: dict[str, str] = {
        f"{verdict.claim.number} {verdict.claim.title}": verdict.word for verdict in decided
    }
    others = [verdict.claim.number for verdict in study.verdicts if verdict not in decided]
    return words | ({joined(others): "not testable here"} if others else {})


def _range_of_models(study: Study) -> str:
    """The least and the greatest value of the first panel of the overview."""
    for panel in study.planner.glance:
        rows = [row for row in panel.rows if row.usable and math.isfinite(row.value)]
        if len(rows) > 1:
            ends = (choose(rows, key=lambda row: row.value) for choose in (min, max))
            said = (f"{interval_words(row.value, row.low, row.high)} ({row.label})" for row in ends)
            return f"{panel.title[:1].upper()}{panel.title[1:]} on {panel.place}: from {' to '.join(said)}."
    return ""


def chips(study: Study) -> dict[str, str]:
    """What a reader must know of the numbers, by a short name."""
    return dict(_chips(study))


def _chips(study: Study) -> Iterator[tuple[str, str]]:
    if study.synthetic:
        cautions = [
            f"{title}: {caution}" if caution else f"{title}." for title, caution in study.synthetic.items()
        ]
        yield "synthetic", " ".join([_SYNTHETIC, *cautions])
    words = study.results.words
    proxies = [
        f"{words.kind(kind).title}: {place_words(words, kind, dataset)}"
        for kind, dataset in study.measured
        if words.kind(kind).proxy
    ]
    if proxies:
        yield "proxy", f"Some benchmarks are proxies: {'; '.join(proxies)}. {_PROXY}"
    if len(study.runs) == 1 and study.over_training:
        yield "1 seed", limits(study)
    tested = [verdict for verdict in study.verdicts if verdict.is_tested]
    controls = [
        f"{verdict.claim.number} {bare(verdict.claim.title)}"
        for verdict in tested
        if not verdict.claim.evidence
    ]
    if controls and form_of(study) == "study":
        yield "positive control", f"Built into the images, so not evidence: claim {', '.join(controls)}."


# ---------------------------------------------------------------- the overview as a reader's browser has it


def glance(panels: Sequence[Panel], groups: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The small charts: title, place and link of each; of many groups of runs, a chart each for a chosen metric.

    Args:
        panels: of the first screen.
        groups: of the payload.

    Returns:
        ``place``: what most charts were measured on, said once; ``panels``; ``metrics``, for a select; ``groups``,
        those without an arm first, with their ``words`` and place ``at``.
    """
    places = Counter(panel.place for panel in panels)
    most, times = places.most_common(1)[0] if places else ("", 0)
    seeds = [counted(len(group["runs"]), "seed") for group in groups]
    behind = [f"; grey: {group['behind']}" if group["behind"] else "" for group in groups]
    shown = [
        {**group, "at": at, "words": seeds[at] + behind[at]}
        for at, group in enumerate(groups)
        if group["title"]
    ]
    return {
        "place": most if times > 1 else "",
        "panels": [
            {"title": panel.title, "place": panel.place, "anchor": anchor(panel.benchmark)}
            for panel in panels
        ],
        "metrics": [(str(at), f"{panel.title}, {panel.place}") for at, panel in enumerate(panels)],
        "groups": sorted(shown, key=lambda group: bool(group["arm"])),
    }


def models(panels: Sequence[Panel], runs: Sequence[str], differences: Sequence[Panel]) -> dict[str, Any]:
    """Models of one revision each as a table: a row each, or, of one model, a row for each metric.

    Args:
        panels: of the first screen, with a row for each model.
        runs: names of the models.
        differences: panels with the paired differences from a model, which their choice ``minus`` names.

    Returns:
        ``several``; ``columns``: title and place of the panels; ``rows``: name of a model and a cell or None for each
        panel; ``against``: models from which there are differences, for a select.
    """
    paired: dict[tuple[str, str, str, str], str] = {}
    for panel in differences:
        for row in panel.rows:
            key = panel.benchmark, panel.choices["metric"], row.label, panel.choices["minus"]
            paired[key] = row_words(row)
    against = list(dict.fromkeys(panel.choices["minus"] for panel in differences))
    rows = []
    for name in runs:
        cells: list[dict[str, Any] | None] = []
        for panel in panels:
            found = next((row for row in panel.rows if row.label == name), None)
            keys = {other: (panel.benchmark, panel.choices["metric"], name, other) for other in against}
            words = {other: f"{paired[key]} minus {other}" for other, key in keys.items() if key in paired}
            cells.append(None if found is None else {**_cell(panel, found), "differences": words})
        rows.append((name, cells))
    titles = [(panel.title, panel.place) for panel in panels]
    choices = [(name, name) for name in against]
    return {"several": len(runs) > 1, "columns": titles, "rows": rows, "against": choices}


_WIDTH = 220  # pixels of a row's picture


def _cell(panel: Panel, row: Row) -> dict[str, Any]:
    """One value in words, and where its dot and its line stand on the scale of its panel."""
    axis = figure(panel)["layout"]["xaxis"]
    low, high = axis["range"]
    numbers = np.array([row.value, row.low, row.high], float)
    with np.errstate(divide="ignore", invalid="ignore"):
        places = np.log10(numbers) if axis["type"] == "log" else numbers
    places = np.clip(6 + (_WIDTH - 12) * (places - low) / ((high - low) or 1.0), 0, _WIDTH)
    value, left, right = (None if np.isnan(place) else round(float(place), 1) for place in places)
    known = left is not None and right is not None
    colour = row_hue(row) if row.usable else "grey"
    return {
        "title": panel.title,
        "place": panel.place,
        "value": row.value if np.isfinite(row.value) else "",
        "words": row_words(row),
        "beside": " ".join(map(level_words, (*row.beside, *panel.levels))),
        "at": value,
        "low": left if known else None,
        "high": right if known else None,
        "colour": colour,
        "fill": colour if row.usable else "paper",
    }
