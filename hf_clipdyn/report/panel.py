"""What a chart is, before anybody draws it: numbers, names and places. `mpl` and `plotly` draw the same panels."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

Form = Literal["lines", "rows", "map"]
"""``lines`` run over training, levels or another number; ``rows`` have an interval each, for models, contrasts or
classes; a ``map`` has a colour for each pair of layers, revisions, items or classes."""
Role = Literal["value", "chance", "human", "neutral", "baseline"]
"""What a line or a level is: of the model, of guessing, of people, between two poles, or of anything else."""

NOT_INTERPRETABLE, NOT_DEFINED = "not interpretable", "not defined"
_LONG_GAP, _UNUSUAL_GAP = 0.15, 3.0  # share of the axis; multiples of the median gap


@dataclass(frozen=True, kw_only=True)
class Scale:
    """One axis of a panel.

    Attributes:
        title: what is along it, with its unit in `label`.
        log: logarithmic. What has no logarithm, 0 or infinity, lies at ``beyond``, behind a break.
        descending: from the largest to the smallest number.
        limits: of the axis; None follows the data.
        names: of the places 0, 1, ...: revisions, layers, models, classes. Empty if the places are numbers.
        beyond: where 0 or infinity is drawn; NaN if nothing is.
        beyond_name: what is written there.
    """

    title: str = ""
    unit: str = ""
    log: bool = False
    descending: bool = False
    limits: tuple[float, float] | None = None
    names: tuple[str, ...] = ()
    beyond: float = math.nan
    beyond_name: str = "0"

    @property
    def label(self) -> str:
        """The title with the unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def places(self, numbers: Floats) -> Floats:
        """Where numbers are drawn; NaN without a place."""
        finite = np.isfinite(numbers)
        if self.log or math.isfinite(self.beyond):
            fits = finite & ((numbers > 0) | (not self.log))
            return np.where(fits, numbers, np.where(np.isnan(numbers), np.nan, self.beyond))
        return np.where(finite, numbers, np.nan)

    def words(self, number: float) -> str:
        """A place in words: ``epoch 3``, ``noise level 0.1``, or its name."""
        if self.names:
            return self.names[int(number)] if 0 <= number < len(self.names) else ""
        shown = "∞" if math.isinf(number) else f"{float(f'{number:.6g}'):,.12g}"
        return f"{self.title} {shown} {self.unit}".rstrip()


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """Points of one line, in the order of training or of the axis, all arrays of one length.

    Attributes:
        label: its name in legends, beside its end, and in the words of its points.
        run: name of the run; empty for a mean over seeds and for what belongs to no run.
        group: title of the runs that differ in their seed only, see `hf_clipdyn.report.courses.Group`.
        x: places on the default clock of the study, levels, or values of another metric; NaN without a place.
        y: NaN where the number is undefined: a cross at the foot.
        low, high: ends of the intervals; NaN if there are none.
        usable: whether the number is defined and interpretable; else it is hollow and interrupts the line.
        at: the stop of the slider at which each point was measured, -1 without one. Other clocks and metrics are looked
            up by run (or group) and stop, see `hf_clipdyn.report.courses.Courses.clocks`.
        n, n_clusters: items behind each number, and clusters of items; of a mean, seeds and 0.
        notes: causes and cautions, empty for most; either one for each point or none at all.
        place: of its colour, stroke and marker in the palette; its step if the panel is a ramp; negative for grey,
            behind the others.
        frame: the only stop of the slider at which the line is shown; -1 for a line that is always shown.
        seeds: of a mean, the lines of its runs. "One line each" shows these, "mean" them thin behind it.
    """

    label: str
    run: str = ""
    group: str = ""
    x: Floats
    y: Floats
    low: Floats
    high: Floats
    usable: Bools
    at: Ints
    n: Ints
    n_clusters: Ints
    notes: tuple[str, ...] = ()
    place: int = 0
    role: Role = "value"
    frame: int = -1
    seeds: tuple["Line", ...] = ()

    @classmethod
    def plain(cls, x: Floats, y: Floats, **given: Any) -> "Line":
        """A line without intervals, stops and counts, except for what is given."""
        unknown, none = np.full(len(y), np.nan), np.zeros(len(y), np.int64)
        rest = {"low": unknown, "high": unknown, "usable": np.isfinite(y)}
        rest |= {"at": none - 1, "n": none, "n_clusters": none}
        return cls(x=x, y=y, **(rest | given))

    @property
    def drawn(self) -> Floats:
        """The values; NaN, a gap, where a point says nothing."""
        return np.where(self.usable, self.y, np.nan)

    @property
    def hollow(self) -> Bools:
        """Points that are defined, but not interpretable."""
        return ~self.usable & np.isfinite(self.y)

    @property
    def undefined(self) -> Bools:
        """Points without a number."""
        return np.isnan(self.y)

    def note(self, at: int) -> str:
        """Cause or caution of a point."""
        return self.notes[at] if self.notes else ""

    def words(self, at: int) -> str:
        """One point for readers: value, interval, n, clusters, and what is wrong with it."""
        if np.isnan(self.y[at]):
            return f"{NOT_DEFINED}: {self.note(at) or 'no cause was recorded'}"
        n, clusters = int(self.n[at]), int(self.n_clusters[at])
        counted = f"{n} seeds" if self.seeds else f"n = {n:,}" if n else ""
        counted += f" in {clusters:,} clusters" if clusters not in (0, n) else ""
        silent = "" if self.usable[at] else NOT_INTERPRETABLE
        words = interval_words(self.y[at], self.low[at], self.high[at])
        return ", ".join(filter(None, [words, counted, silent, self.note(at)]))

    def path(self, scale: Scale) -> Ints:
        """The points in order; -1 in a gap so long that a line across it would show what nobody measured."""
        places = scale.places(self.x)
        if scale.log:
            places = np.log10(np.where(places > 0, places, np.nan))
        known = np.flatnonzero(np.isfinite(places))
        gaps, points = np.diff(places[known]), np.arange(len(places))
        if len(gaps) > 1 and self.frame < 0 and (gaps > 0).all():  # else the axis is not time
            long = (gaps > _LONG_GAP * np.ptp(places[known])) & (gaps > _UNUSUAL_GAP * np.median(gaps))
            points = np.insert(points, known[1:][long], -1)
        return points


@dataclass(frozen=True, kw_only=True)
class Level:
    """A value that gives a panel its scale: a horizontal line, in ``rows`` a vertical one."""

    title: str
    height: float
    role: Role


@dataclass(frozen=True, kw_only=True)
class Row:
    """One interval with its name.

    Attributes:
        label: at the left; rows with one label belong together, and differ in ``series``.
        series: name in the legend, such as the model; empty if the label says it.
        low, high: NaN without an interval.
        usable: else it is hollow; an undefined value is a cross.
        beside: what gives this row alone its scale, such as chance for its metric.
        place: in the palette, as that of a line.
        words: what a reader sees of it at the pointer; empty for value and interval.
    """

    label: str
    value: float
    low: float = math.nan
    high: float = math.nan
    usable: bool = True
    series: str = ""
    n: int = 0
    beside: tuple[Level, ...] = ()
    place: int = 0
    words: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Map:
    """Values in rows and columns, whose names are those of the panel's y and x scale.

    Attributes:
        values: (frames, rows, columns); NaN is grey.
        frames: the stop of the slider of each frame; empty if the only one is always shown.
        bar: title of the bar of colours.
        neutral: value in the middle of two colours; None for colours from the least to the greatest value.
        states: titles of the values 0, 1, ... if these are states and no quantity.
        rules: rows behind which a line is drawn.
        margin: a share for each row, drawn beside it; None for none. ``margin_title`` says whose.
        first_up: whether the first row is the lowest.
        causes: why cells have no value, by row and column.
    """

    values: Floats
    frames: tuple[int, ...] = ()
    bar: str = ""
    neutral: float | None = None
    states: tuple[str, ...] = ()
    rules: tuple[int, ...] = ()
    margin: Floats | None = None
    margin_title: str = "human observers"
    first_up: bool = False
    causes: Mapping[tuple[int, int], str] = field(default_factory=dict)

    @property
    def ends(self) -> tuple[float, float]:
        """The values of the first and the last colour, for all frames."""
        if self.states:
            return -0.5, len(self.states) - 0.5
        known = self.values[np.isfinite(self.values)]
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
        if self.neutral is not None:
            half = max(high - self.neutral, self.neutral - low) or 1.0
            return self.neutral - half, self.neutral + half
        return low, high if high > low else low + 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """One pair of axes.

    Attributes:
        title: which number it is, complete on its own; unique in its benchmark together with ``choices``.
        place: where it was measured, as a second line.
        x, y: of ``rows``, x has the values and y the labels.
        lines: of values first; those of other roles are references.
        levels: values that give the panel its scale.
        ramp: the lines are steps of one quantity, dark to light, instead of runs.
        hide: whether what is not interpretable is drawn nowhere instead of hollow.
        benchmark: ``kind/dataset``; empty for a panel of no benchmark.
        metric: its name in the table.
        choices: its value in each select of its benchmark, in words, in the order of the selects: ``metric``, ``over``
            (training, levels, layers), ``variant``, ``reference``, ``texts``, ``probe``, ``layer``, ``subset``,
            ``condition``, ``level``, ``parameter``, ``setup``, ``run``. A select without a choice here has no value.
        main: whether figures and the first screen show it.
    """

    title: str
    place: str = ""
    x: Scale = field(default_factory=Scale)
    y: Scale = field(default_factory=Scale)
    form: Form = "lines"
    lines: tuple[Line, ...] = ()
    rows: tuple[Row, ...] = ()
    cells: Map | None = None
    levels: tuple[Level, ...] = ()
    ramp: bool = False
    hide: bool = False
    benchmark: str = ""
    metric: str = ""
    choices: Mapping[str, str] = field(default_factory=dict)
    main: bool = False

    @property
    def values(self) -> tuple[Line, ...]:
        """The lines of the model, without references."""
        return tuple(line for line in self.lines if line.role == "value")

    @cached_property
    def defined(self) -> bool:
        """Whether it shows any number of the model."""
        if self.form == "rows":
            return any(math.isfinite(row.value) for row in self.rows)
        if self.cells is not None:
            return bool(np.isfinite(self.cells.values).any())
        return any(np.isfinite(line.y).any() for line in self.values)

    @property
    def alt(self) -> str:
        """What a screen reader says: the ends of each line, each row, or the ends of a map."""
        return f"{', '.join(filter(None, [self.title, self.place]))}. {' '.join(self._said())}".rstrip()

    def _said(self) -> Sequence[str]:
        if self.form == "rows":
            named = ((", ".join(filter(None, [row.label, row.series])), row) for row in self.rows)
            return [f"{name}: {interval_words(row.value, row.low, row.high)}." for name, row in named]
        if self.cells is not None:
            known = self.cells.values[np.isfinite(self.cells.values)]
            ends = f"values from {known.min():.3g} to {known.max():.3g}" if len(known) else "nothing defined"
            rows, columns = self.cells.values.shape[-2:]
            return [f"{rows} rows, {columns} columns: {'states' if self.cells.states else ends}."]
        last = max((line.frame for line in self.values), default=-1)
        return [self._ends(line) for line in self.values if line.frame in (-1, last)]

    def _ends(self, line: Line) -> str:
        known = np.flatnonzero(line.usable)
        ends = [
            f"{interval_words(line.y[at], line.low[at], line.high[at])} at {self.x.words(line.x[at])}"
            for at in dict.fromkeys([*known[:1], *known[-1:]])
        ]
        return (
            f"{line.label}: {'from ' if len(ends) > 1 else ''}{' to '.join(ends) or 'nothing interpretable'}."
        )


def interval_words(value: float, low: float = math.nan, high: float = math.nan) -> str:
    """A value with its interval: ``0.842 [0.811, 0.873]``."""
    if not math.isfinite(value):
        return NOT_DEFINED
    ends = f" [{low:.3f}, {high:.3f}]" if math.isfinite(low) and math.isfinite(high) else ""
    return f"{value:.3f}{ends}"


def brief(number: float) -> str:
    """1,500,000 as 1.5M: what fits under a tick."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"


def log_ticks(first: float, last: float) -> list[float]:
    """1, 2 and 5 of each power of ten between two positive numbers; only 1 over more than three powers."""
    low, high = math.log10(first), math.log10(last)
    steps = (1, 2, 5) if high - low <= 3 else (1,)
    ticks = [step * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for step in steps]
    return [tick for tick in ticks if first <= tick <= last]
