"""The study at a glance: the panels that the terms of the metrics put into the overview."""

from collections.abc import Sequence
from itertools import groupby

from hf_clipdyn.report.charts import Chart, Line, Panel, References
from hf_clipdyn.report.trajectories import Trajectory
from hf_clipdyn.report.words import DEFAULT_PROBE, DETAILS, Words
from hf_clipdyn.results.terms import Overview

__all__ = ["overview_panels"]


def overview_panels(charts: Sequence[Chart], references: References, words: Words) -> list[list[Panel]]:
    """One panel for each rank of the overview that the charts answer: first on real images, then synthetic.

    A metric that was measured on several data sets, layers or conditions is shown on one of them: the first data set,
    all items, no layer, the level and the condition that its term names. A world without any answer is left out.
    """
    runs = list(dict.fromkeys(one.run for chart in charts for one in chart.trajectories))
    kinds = list(dict.fromkeys(chart.first.kind for chart in charts))
    offered = [
        (place, one) for chart in charts for one in chart.trajectories if (place := words.term(one).overview)
    ]
    worlds = []
    for synthetic in (False, True):
        here = [found for found in offered if words.is_synthetic(found[1]) == synthetic]
        here.sort(key=lambda found: (found[0].rank, kinds.index(found[1].kind), words.metric_rank(found[1])))
        panels = [
            _panel(list(of_rank), references, runs, words)
            for _, of_rank in groupby(here, key=lambda found: found[0].rank)
        ]
        worlds += [panels] if panels else []
    return worlds


def _panel(
    offered: Sequence[tuple[Overview, Trajectory]], references: References, runs: Sequence[str], words: Words
) -> Panel:
    """All runs on the most telling probe, layer, condition and level."""
    first = next((one for _, one in offered if one.points["defined"].any()), offered[0][1])
    alike = [(place, one) for place, one in offered if _question(one) == _question(first)]
    best = min(alike, key=lambda found: _remoteness(*found))[1]
    details = ["level", "parameter"]
    if best.probe != DEFAULT_PROBE or best.layer is not None:
        details += ["probe", "layer"]
    if best.condition not in ("", "none"):
        details.append("condition")
    if best.subset:
        details.append("subset")
    title = (
        f"{words.metric(best)}\n{', '.join(filter(None, [words.dataset(best), words.detail(best, details)]))}"
    )
    drawn = {one.run: one for _, one in reversed(alike) if _same_number(one, best)}
    return Panel(
        title,
        tuple(Line(run, drawn[run], index) for index, run in enumerate(runs) if run in drawn),
        references.lines(list(drawn.values())),
    )


def _question(one: Trajectory) -> tuple[str, ...]:
    return (*one.benchmark, one.metric, one.variant)


def _same_number(one: Trajectory, other: Trajectory) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in DETAILS)


def _remoteness(place: Overview, one: Trajectory) -> tuple[bool, bool, bool, float, bool]:
    level = 0.0 if place.level is None or one.level is None else abs(one.level - place.level)
    return (
        one.texts != "own",
        one.condition != place.condition if place.condition else one.condition not in ("", "none"),
        bool(one.subset),
        level,
        one.layer is not None,
    )
