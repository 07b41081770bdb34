"""Draw the second study: the courses of its runs, and the intervals of its registered contrasts.

python scripts/draw_second_study.py model_cards/second-study docs/images

It reads the tables of results and of verdicts in the folder and writes ``second-study-courses.svg`` and
``second-study-verdicts.svg``. `docs/reference/verdicts.md` has the numbers of the committed tables.
"""

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, NullFormatter

from hf_clipdyn.report.figures import saved
from hf_clipdyn.report.labels import lay_out
from hf_clipdyn.report.study import Study, read_study
from hf_clipdyn.report.style import GREY, HUES, HUMAN, INK, STROKES, figure_style, hue, look
from hf_clipdyn.statistics.windows import RunValues, align, place

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

CLAIMS = Path(__file__).resolve().parents[1] / "model_cards" / "second-study" / "claims-2.yaml"
WIDTH, LINE = 7.0, 0.165  # inches
MEAN = 1.8  # points, the line of a mean
REACH = 6.0  # multiples of δ that are shown; an interval that goes on has an arrow
FOR, AGAINST, OPEN = hue(2), hue(1), GREY


@dataclass(frozen=True)
class Part:
    """A part of the study, a row in the figure of courses.

    Attributes:
        title: of its row, and of its lines in the figure of verdicts.
        study: as the claims name it.
        arms: names of the arms.
        cue_arms: the arms whose shape preference and shape bias are drawn.
        noise_arms: those whose loss to noise is drawn.
    """

    title: str
    study: str
    arms: Mapping[str, str]
    cue_arms: tuple[str, ...]
    noise_arms: tuple[str, ...]


PARTS = {
    "photographs": Part(
        "Photographs",
        "photographs",
        {"": "CLIP", "classes": "class cross-entropy"},
        ("", "classes"),
        ("", "classes"),
    ),
    "worlds": Part(
        "Worlds, which are synthetic",
        "world",
        {
            "": "texture easy, right in 80 %",
            "easy-100": "easy, always right",
            "hard-80": "hard, right in 80 %",
            "hard-100": "hard, always right",
            "noise": "as the first, trained with noise",
        },
        ("", "easy-100", "hard-80", "hard-100"),
        ("", "noise"),
    ),
}
PANELS = {
    "preference": "text-free shape preference",
    "bias": "shape bias by prompts",
    "drop": "accuracy lost to noise",
}
"""Registered endpoints of both parts, and their titles."""


def draw_courses(folder: Path) -> Figure:
    """Three endpoints over the samples seen, a row for each part: each seed, and the mean of all seeds."""
    figure = Figure(figsize=(WIDTH, 5.2))
    cells = figure.subfigures(len(PARTS), 1)
    for (name, part), cell in zip(PARTS.items(), cells, strict=True):
        study = read_study(sorted((folder / name).rglob("results.parquet")), claims=CLAIMS)
        draw_row(cell, part, study)
    lay_out(figure)
    return figure


def draw_row(cell: "SubFigure", part: Part, study: Study) -> None:
    """The panels of a part, with one legend below them."""
    panels = dict(zip(PANELS, cell.subplots(1, len(PANELS), sharex=True), strict=True))
    cell.suptitle(part.title, x=0, ha="left", fontweight="bold")
    windows, places = study.claims.windows_of(part.study), align(study.trajectories)
    for name, panel in panels.items():
        runs = study.claims.studies[part.study].endpoints[name].of(study.trajectories)
        arms = part.noise_arms if name == "drop" else part.cue_arms
        for at, arm in enumerate(part.arms):
            if arm in arms:
                draw_arm(panel, at, [run for run in runs.values() if run.arm == arm], places)
        for window in (windows["early"], windows["late"]):
            revisions = places[next(iter(runs))]
            inside = revisions.loc[list(place(window, revisions)[0]), "samples_seen"]
            panel.axvspan(inside.min(), inside.max(), color=GREY, alpha=0.12, linewidth=0)
        if name != "drop":
            panel.axhline(0.5, color=GREY, linewidth=0.8, zorder=1)
        draw_people(panel, next(iter(runs.values())))
        panel.set(title=PANELS[name], xscale="log", ylim=(0, 1), yticks=(0, 0.25, 0.5, 0.75, 1))
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
        panel.xaxis.set_minor_formatter(NullFormatter())
    panels["bias"].set_xlabel("samples seen")
    lines = [Line2D([], [], **stroke(at), linewidth=MEAN) for at in range(len(part.arms))]
    cell.legend(lines, list(part.arms.values()), loc="outside lower left", ncols=3)


def draw_arm(panel: "Axes", at: int, runs: Sequence[RunValues], places: Mapping[str, pd.DataFrame]) -> None:
    """Each seed as a thin line, their mean as a thick one; a gap where a number of a seed is not interpretable."""
    seeds = pd.DataFrame(
        {run.run: run.values.rename(places[run.run]["samples_seen"].to_dict()) for run in runs}
    )
    seeds = seeds[seeds.index > 0].sort_index()
    panel.plot(seeds.index, seeds, **stroke(at), linewidth=0.5, alpha=0.5)
    panel.plot(seeds.index, seeds.mean(axis=1, skipna=False), **stroke(at), linewidth=MEAN)


def draw_people(panel: "Axes", run: RunValues) -> None:
    """The same number of people, if they saw the same images."""
    people = [one for part in run.parts for one in part.references if one.role == "human"]
    for height in (float(one.points["value"].mean()) for one in people):
        panel.axhline(height, color=HUMAN, linewidth=1)
        below = {"xytext": (0, -3), "textcoords": "offset points", "va": "top"}
        panel.annotate("people", (0.02, height), xycoords=("axes fraction", "data"), color=HUMAN, **below)


def stroke(at: int) -> dict[str, Any]:
    """Colour and dashes of an arm."""
    chosen = look(at)
    return {"color": HUES[chosen.hue], "linestyle": (0, STROKES[chosen.stroke])}


@dataclass(frozen=True)
class Line:
    """A line of the figure: the name of a study, a claim with its verdict, or a contrast."""

    text: str
    indent: float = 0.0
    contrast: Any = None


def lines(title: str, verdicts: pd.DataFrame) -> Iterator[Line]:
    """The study, and its claims that are asked, each with the contrasts that decide."""
    yield Line(title)
    asked = verdicts[(verdicts["part"] > 0) & (verdicts["role"] == "contrast")]
    for (number, claim), parts in asked.groupby(["claim", "title"], sort=False):
        control = not parts["evidence"].iloc[0]
        verdict = f"a control, {parts['verdict'].iloc[0]}" if control else parts["verdict"].iloc[0]
        yield Line(f"{number}  {claim}: {verdict}", 0.02)
        for part in parts.itertuples():
            yield Line(str(part.part_title), 0.06, part)


def draw_verdicts(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """All studies below each other."""
    drawn = [line for title, table in tables.items() for line in (Line(""), *lines(title, table))][1:]
    figure = Figure(figsize=(WIDTH, LINE * len(drawn) + 0.6))
    names, panel = figure.subplots(1, 2, width_ratios=(0.95, 1))
    names.set(xlim=(0, 1), ylim=(len(drawn) - 0.5, -0.5))
    names.set_axis_off()
    names.set_zorder(panel.get_zorder() + 1)  # what is longer than its axes lies over the others
    panel.axvspan(-1, 1, color=GREY, alpha=0.15, linewidth=0)
    panel.axvline(0, color=GREY, linewidth=1)
    for y, line in enumerate(drawn):
        is_title = line.contrast is None
        look = {"color": INK if is_title else GREY, "weight": "bold" if is_title else "normal"}
        text = names.text(line.indent, y, line.text, va="center", fontsize="small", **look)
        text.set_in_layout(not is_title)  # nothing is drawn beside a title, so it may be longer than its axes
        if line.contrast is not None:
            draw_interval(panel, y, line.contrast)
    ticks = (-REACH, -3, -1, 0, 1, 3, REACH)
    panel.set_xticks(ticks, ["0" if tick == 0 else f"{tick:g}δ".replace("1δ", "δ") for tick in ticks])
    panel.set(
        xlim=(-REACH, REACH),
        ylim=(len(drawn) - 0.5, -0.5),
        xlabel="contrast, positive in favour of the claim",
    )
    panel.set_yticks([])
    panel.grid(visible=False)
    for side in ("left", "top", "right"):
        panel.spines[side].set_visible(False)
    lay_out(figure)
    return figure


def draw_interval(panel: "Axes", y: int, contrast: Any) -> None:
    """The value and its interval, in units of δ; an arrow where they leave the figure."""
    value, low, high = (
        number / contrast.smallest_effect for number in (contrast.value, contrast.ci_low, contrast.ci_high)
    )
    if math.isnan(value):
        panel.text(0, y, "undefined", ha="center", va="center", color=GREY)
        return
    # A part that asks for no opposite effect holds with an interval below 0.
    colour = FOR if low > 0 or contrast.part_verdict == "holds" else AGAINST if high < 0 else OPEN
    ends = [min(max(end, -REACH), REACH) for end in (low, high)]
    panel.plot(ends, [y, y], color=colour, linewidth=2, solid_capstyle="butt")
    if abs(value) <= REACH:
        panel.plot(value, y, "o", color=colour, markersize=4)
    for end, mark in ((low, "<"), (high, ">")):
        if abs(end) > REACH:
            panel.plot(math.copysign(REACH * 0.99, end), y, mark, color=colour, markersize=4, clip_on=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of the study's tables")
    parser.add_argument("images", type=Path, help="folder of the figures")
    arguments = parser.parse_args()
    verdicts = {
        part.title: pd.read_parquet(arguments.folder / f"{name}-verdicts.parquet")
        for name, part in PARTS.items()
    }
    with figure_style():
        for name, figure in (
            ("courses", draw_courses(arguments.folder)),
            ("verdicts", draw_verdicts(verdicts)),
        ):
            (arguments.images / f"second-study-{name}.svg").write_bytes(saved(figure, "svg"))
