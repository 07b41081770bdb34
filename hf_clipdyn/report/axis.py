"""The x axis of every figure of a report: epochs, samples, steps, or the names of revisions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.report.style import GREY
from hf_clipdyn.results.terms import Axis as LevelAxis
from hf_clipdyn.statistics.trajectories import Trajectory, points_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MANY_INSIDE = 3
_LABELS = {
    "epoch": "epoch",
    "samples_seen": "samples seen",
    "step": "training step",
    "order": "revision, in natural order",
    "level": "level",
}
_DECADE_AND_HALF = 10**1.5
TICK_STEPS = [1, 2, 5, 10]  # of ticks: two decimals are enough
_LINEAR = (
    0.6  # at most this part of a power of ten is as wide as the way from 0 to the first trained revision
)
_FAR = 3.0  # first trained revisions
_CLOSE = 1.6  # factor between two ticks whose numbers would touch
_BETWEEN = tuple(range(2, 10))  # of each power of ten, where small ticks are
_NAMES = 6  # names of revisions that fit under a panel


@dataclass(frozen=True)
class Axis:
    """The x axis of the figures of a report.

    Attributes:
        kind: epochs if the place of every revision among them is known; else the first of samples seen and steps
            that all revisions have; else the rank of the revision. For curves over levels, the level.
        log: logarithmic, since several revisions lie inside the first epoch, since most steps lie in the first tenth
            of training, or since the levels ask for it.
        descending: of levels, from the largest to the smallest.
        beyond: of logarithmic levels, where 0 and inf are drawn.
        first: of a logarithmic axis over training, the first trained revision.
    """

    kind: Literal["epoch", "samples_seen", "step", "order", "level"]
    log: bool = False
    descending: bool = False
    beyond: float = math.nan
    first: float = math.nan

    @property
    def label(self) -> str:
        """Name of the axis."""
        return _LABELS[self.kind]

    def places(self, points: pd.DataFrame) -> NDArray[np.float64]:
        """The positions of points on the axis; NaN if unknown or infinite."""
        places = points[self.kind].to_numpy(np.float64)
        if self.kind == "level" and self.log:
            return np.where(np.isfinite(places) & (places > 0), places, self.beyond)
        return np.where(np.isfinite(places), places, np.nan)

    def leaves_out(self, places: NDArray[np.float64]) -> bool:
        """Whether a line begins untrained and goes on far behind the break, as if something were known in between."""
        return bool(len(places) > 1 and places[0] <= 0 and places[1] > _FAR * self.first)

    def over(self, levels: LevelAxis, points: pd.DataFrame) -> "Axis":
        """The axis of a panel of curves with these points; 0 and inf lie one step beyond the weakest other level."""
        known = points["level"].to_numpy(np.float64)
        known = known[np.isfinite(known) & (known > 0)]
        if not levels.log or len(known) == 0:
            return replace(self, descending=levels.descending)
        beyond = 2 * known.max() if levels.descending else known.min() / 2
        return replace(self, log=True, descending=levels.descending, beyond=float(beyond))


def choose_axis(trajectories: Sequence[Trajectory]) -> Axis:
    """One axis for the whole report, so that its figures compare.

    Runs of one revision without any place (a public model beside a run) do not count: they are drawn as level lines.
    """
    points = run_revisions(trajectories)
    in_runs = points[points.groupby("run")["revision"].transform("size") > 1]
    points = in_runs if len(in_runs) else points
    known = points[["epoch", "samples_seen", "step"]].notna().all()
    inside = points["epoch"].between(0, 1, inclusive="neither").groupby(points["run"]).sum().max()
    if known["epoch"] and inside < _MANY_INSIDE:
        return Axis("epoch")
    for name in ("samples_seen", "epoch"):
        if known[name]:
            log = bool(inside >= _MANY_INSIDE)
            return Axis(
                name, log=log, first=float(points.loc[points[name] > 0, name].min()) if log else math.nan
            )
    if not known["step"]:
        return Axis("order")
    trained = points.loc[points["step"] > 0, "step"]
    log = bool((trained < trained.max() / 10).mean() > 0.5)  # as when checkpoints are saved at powers of two
    return Axis("step", log=log, first=float(trained.min()) if log else math.nan)


def run_revisions(trajectories: Sequence[Trajectory]) -> pd.DataFrame:
    """A row for each run and revision: its clocks, and its rank in the run."""
    # Most trajectories of a run have the same revisions.
    distinct: dict[tuple[str, bytes], Trajectory] = {}
    for number in trajectories:
        distinct.setdefault((number.run, number.column("order").tobytes()), number)
    columns = ["run", "revision", "epoch", "samples_seen", "step", "order"]
    points = points_of(distinct.values())[columns]
    return points.drop_duplicates(["run", "revision"])


def scale_axes(cell: "Axes", points: pd.DataFrame, axis: Axis) -> None:
    """Set limits and ticks of one pair of axes, undefined points included, so that figures compare."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    places = axis.places(points)
    places = places[~np.isnan(places)]
    if axis.log and axis.kind == "level":
        _use_powers(cell, "x")
        _mark_beyond(cell, points["level"].to_numpy(np.float64), axis.beyond)
    elif axis.log and (places > 0).any():
        _scale_log(cell, points, axis)
    elif axis.kind == "order":
        names = dict(zip(points["order"], points["revision"], strict=True))
        every = -(-len(names) // _NAMES)
        ticks = sorted(names, reverse=True)[::every]  # from the end, so that the last revision is named
        cell.set_xticks(ticks, [names[tick] for tick in ticks], rotation=30, ha="right")
    else:
        if len(set(places)) > 1:
            margin = 0.04 * np.ptp(places)
            cell.set_xlim(places.min() - margin, places.max() + margin)
        is_level = axis.kind == "level"
        locator = MaxNLocator(5, steps=TICK_STEPS) if is_level else MaxNLocator(7, integer=True)
        cell.xaxis.set_major_locator(locator)
        cell.xaxis.set_major_formatter(FuncFormatter(lambda place, _: _short(place)))
    if axis.descending:
        cell.xaxis.set_inverted(True)
    if cell.get_yscale() == "log":
        _use_powers(cell, "y")
    else:
        cell.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=TICK_STEPS))


def _use_powers(cell: "Axes", name: Literal["x", "y"]) -> None:
    """A logarithmic scale with some ticks in each power of ten, in plain numbers, and small ones between them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    cell.set(**{f"{name}scale": "log"})
    side = cell.xaxis if name == "x" else cell.yaxis
    low, high = side.get_view_interval()
    side.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < _DECADE_AND_HALF * low else (1.0, 3.0)))
    side.set_major_formatter(FuncFormatter(lambda place, _: _short(place)))
    side.set_minor_locator(LogLocator(subs=_BETWEEN))
    side.set_minor_formatter(NullFormatter())
    side.set_tick_params(which="major", size=mpl.rcParams["xtick.major.size"])


def _mark_beyond(cell: "Axes", levels: NDArray[np.float64], beyond: float) -> None:
    """Name the place of the levels that a logarithm leaves out, behind a break."""
    known = levels[np.isfinite(levels) & (levels > 0)]
    left_out = levels[~np.isfinite(levels) | (levels <= 0)]
    if len(left_out) == 0 or len(known) == 0:
        return
    low, high = known.min() * 0.99, known.max() * 1.01
    ticks = [tick for tick in cell.get_xticks() if low <= tick <= high]
    names = [*map(_short, ticks), "∞" if math.isinf(left_out[0]) else "0"]
    cell.set_xticks([*ticks, beyond], names)
    cell.set_xticks(_small_ticks(low, high), minor=True)
    _break(cell, math.sqrt(beyond * (known.min() if beyond < known.min() else known.max())))


def _small_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [part * 10.0**power for power in powers for part in _BETWEEN if low <= part * 10.0**power <= high]


def _break(cell: "Axes", place: float) -> None:
    """Interrupt the foot of a panel: left and right of it are different scales."""
    from matplotlib.lines import Line2D

    high = 0.4 * float(mpl.rcParams["font.size"])
    look: dict[str, Any] = {"linestyle": "none", "clip_on": False, "zorder": 4, "markersize": 2 * high}
    look["transform"] = cell.get_xaxis_transform()
    paper, edge = mpl.rcParams["axes.facecolor"], mpl.rcParams["axes.edgecolor"]
    corners: Any = [(-0.3, -1), (0.1, 1), (0.3, 1), (-0.1, -1)]
    gap = Line2D([place], [0], marker=corners, color=paper, **look)
    gap.set_markeredgewidth(0)
    cell.add_artist(gap)  # not plot: its height in the axes must not enter the limits of the data
    for side in (-0.2, 0.2):
        ends: Any = [(side - 0.2, -1), (side + 0.2, 1)]
        slash = Line2D([place], [0], marker=ends, color=edge, **look)
        cell.add_artist(slash)


def _scale_log(cell: "Axes", points: pd.DataFrame, axis: Axis) -> None:
    """Logarithmic from the first trained revision on; the untrained model comes before it, at 0, behind a break."""
    places = axis.places(points)
    first, last = float(places[places > 0].min()), float(np.nanmax(places))
    linear = min(_LINEAR, max(0.3 * math.log10(last / first), 0.1))
    cell.set_xscale("symlog", linthresh=first, linscale=linear)
    cell.set_xlim(-first * 0.35, last * 1.3)
    powers = range(math.ceil(math.log10(first)), math.floor(math.log10(last)) + 1)
    every = -(-len(powers) // 5) or 1
    ticks = [10.0**power for power in powers[::every]]
    if len(ticks) < 2:  # the ends, and what is not too near to them
        ticks = [first, *(tick for tick in ticks if first * _CLOSE < tick < last / _CLOSE), last]
    ticks = [0.0, *ticks]
    cell.set_xticks(ticks, [_short(tick) for tick in ticks])
    cell.set_xticks(_small_ticks(first, last * 1.3), minor=True)
    _break(cell, first / 2)
    at_one = places[(points["epoch"] == 1) & ~np.isnan(places)]
    if len(at_one) and axis.kind != "epoch":
        one = float(at_one[0])
        cell.axvline(one, color=GREY, linewidth=0.8, linestyle=(0, (1, 3)), zorder=1)
        cell.annotate(
            "epoch 1",
            (one, 1),
            (-3, -3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            color=GREY,
            fontsize=mpl.rcParams["legend.fontsize"],
            ha="right",
            va="top",
        )


def _short(number: float) -> str:
    """1,500,000 as 1.5M: what fits under a tick."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"
