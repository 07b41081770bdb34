"""Draw the verdicts of the second study: the interval of each registered contrast in units of its δ, and the words.

python scripts/draw_verdicts.py model_cards/second-study docs/images/second-study.svg

It reads the tables of verdicts in the folder; `docs/reference/verdicts.md` has the numbers of the committed ones.
"""

import argparse
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.figure import Figure

from hf_clipdyn.report.figures import saved
from hf_clipdyn.report.labels import lay_out
from hf_clipdyn.report.style import GREY, INK, figure_style, hue

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TABLES = {
    "Photographs": "photographs-verdicts.parquet",
    "Worlds, which are synthetic": "worlds-verdicts.parquet",
}
WIDTH, LINE = 7.0, 0.165  # inches
REACH = 6.0  # multiples of δ that are shown; an interval that goes on has an arrow
FOR, AGAINST, OPEN = hue(2), hue(1), GREY


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


def draw(tables: Mapping[str, pd.DataFrame]) -> Figure:
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
    colour = FOR if low > 0 else AGAINST if high < 0 else OPEN
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
    parser.add_argument("folder", type=Path, help="of the tables of verdicts")
    parser.add_argument("output", type=Path, help="file of the figure")
    arguments = parser.parse_args()
    output: Path = arguments.output
    with figure_style():
        figure = draw({title: pd.read_parquet(arguments.folder / name) for title, name in TABLES.items()})
        output.write_bytes(saved(figure, output.suffix.removeprefix(".")))
