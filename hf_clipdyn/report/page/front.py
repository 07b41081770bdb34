"""The first lines of the page in words: what was measured, the answer in one sentence, and what a reader must know."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hf_clipdyn.errors import counted
from hf_clipdyn.report.panel import Panel, Row, interval_words
from hf_clipdyn.report.plotly import row_words
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.words import find, headline, joined, limits, listed
from hf_clipdyn.results.terms import bare
from hf_clipdyn.statistics.judge import NO_VERDICT

_LAST = "last value "  # how `find` begins the words about many runs
_SYNTHETIC = (
    "Some benchmarks use synthetic images, not photographs; human reference values do not apply to them."
)
_PROXY = "They compare the model with formulas. No human judged these images."
_WIDTH = 220  # pixels of a row's picture


def facts(study: Study, n_benchmarks: int) -> list[str]:
    """Size, revisions and benchmarks, and seeds, as far as the table knows them."""
    runs = study.results.courses.drop_duplicates("run")
    sizes, seeds = list(dict.fromkeys(filter(None, runs["scale"]))), set(runs["seed"].dropna())
    revisions = len(study.cells[["run", "revision"]].drop_duplicates())
    measured = f"{counted(revisions, 'revision')}, {counted(n_benchmarks, 'benchmark')}"
    return [*filter(None, [listed(sizes), measured, counted(len(seeds), "seed") if seeds else ""])]


def answer(study: Study) -> str:
    """The result in one sentence with its numbers."""
    if not study.over_training and len(study.runs) > 1:
        return _range_of_models(study) or headline(study)
    ends = [one for one in find(study) if one.words.startswith(_LAST) and ", arm " not in one.run]
    alike = [one for one in ends if one.question == ends[0].question]
    if not alike:
        return headline(study)
    words = [f"{one.words.removeprefix(_LAST).rstrip('.')} ({one.run})" for one in alike]
    return f"{alike[0].question} at the end of training: {', '.join(words)}."


def _range_of_models(study: Study) -> str:
    """The least and the greatest value of the first panel of the overview."""
    for panel in study.planner.glance:
        rows = [row for row in panel.rows if row.usable and math.isfinite(row.value)]
        if len(rows) > 1:
            ends = (choose(rows, key=lambda row: row.value) for choose in (min, max))
            said = (f"{interval_words(row.value, row.low, row.high)} ({row.label})" for row in ends)
            return f"{panel.title[:1].upper()}{panel.title[1:]} on {panel.place}: from {' to '.join(said)}."
    return ""


def strip(study: Study) -> dict[str, str]:
    """The verdicts of a study by claim, those without one together; empty if no claim is decided."""
    decided = [verdict for verdict in study.verdicts if verdict.word not in NO_VERDICT]
    if not decided or not _is_study(study):
        return {}
    words: dict[str, str] = {f"{one.claim.number} {one.claim.title}": one.word for one in decided}
    others = [verdict.claim.number for verdict in study.verdicts if verdict not in decided]
    return words | ({joined(others): "not testable here"} if others else {})


def _is_study(study: Study) -> bool:
    return study.over_training and len(study.runs) > 1


def chips(study: Study) -> Iterator[tuple[str, str]]:
    """What a reader must know of the numbers: a short name, and the words."""
    if study.synthetic:
        cautions = (f"{title}: {more}" if more else f"{title}." for title, more in study.synthetic.items())
        yield "synthetic", " ".join([_SYNTHETIC, *cautions])
    words = study.results.words
    proxies = [pair for pair in study.measured if words.kind(pair[0]).proxy]
    if proxies:
        named = (
            f"{words.kind(kind).title}: {study.planner.place_words(kind, dataset)}"
            for kind, dataset in proxies
        )
        yield "proxy", f"Some benchmarks are proxies: {'; '.join(named)}. {_PROXY}"
    if study.over_training and len(study.runs) == 1:
        yield "1 seed", limits(study)
    tested = [verdict.claim for verdict in study.verdicts if verdict.is_tested]
    controls = [f"{claim.number} {bare(claim.title)}" for claim in tested if not claim.evidence]
    if controls and _is_study(study):
        yield "positive control", f"Built into the images, so not evidence: claim {', '.join(controls)}."


# ---------------------------------------------------------------- models of one revision each, as a table


def row_of(panel: Panel, model: str) -> Row | None:
    """The value of a model in a panel; None if it was not measured."""
    return next((row for row in panel.rows if row.label == model), None)


def dots(axis: Mapping[str, Any], row: Row) -> list[float | None]:
    """Where the value of a row and the ends of its interval are on an axis of Plotly, in pixels."""
    low, high = axis["range"]
    numbers = np.array([row.value, row.low, row.high], float)
    with np.errstate(divide="ignore", invalid="ignore"):
        places = np.log10(numbers) if axis["type"] == "log" else numbers
    places = np.clip(6 + (_WIDTH - 12) * (places - low) / ((high - low) or 1.0), 0, _WIDTH)
    return [None if math.isnan(place) else round(place, 1) for place in places.tolist()]


def paired(panels: Sequence[Panel]) -> Mapping[str, Mapping[tuple[str, str, str], str]]:
    """By model of comparison the paired differences from it in words, by benchmark, metric and model."""
    return {
        minus: {
            (panel.benchmark, panel.choices["metric"], row.label): f"{row_words(row)} minus {minus}"
            for panel in panels
            if panel.choices["minus"] == minus
            for row in panel.rows
        }
        for minus in dict.fromkeys(panel.choices["minus"] for panel in panels)
    }
