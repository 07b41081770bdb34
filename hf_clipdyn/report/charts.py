"""Charts as plain data: which numbers share a figure and a panel, planned by the columns in which they differ."""

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

from hf_clipdyn.report.trajectories import Trajectory
from hf_clipdyn.report.words import DETAILS, Words, bare, json_object, json_words

__all__ = ["Chart", "Encoding", "Line", "Panel", "References", "plan_charts"]

_MOST_LINES = 8
_MOST_NAMED = 3  # lines that the name of a reference can list
_LONGEST_NAME = 120  # letters of a file's name
_RAMPS = (
    "level",
    "layer",
    "parameter",
)  # columns of numbers: lines that differ in one take a ramp of colours


@dataclass(frozen=True)
class Line:
    """A trajectory with its name in the legend and its place in the palette."""

    label: str
    trajectory: Trajectory
    colour: int


@dataclass(frozen=True)
class Panel:
    """One pair of axes: the lines to compare, and the references that give them a scale."""

    title: str
    lines: tuple[Line, ...]
    references: tuple[Line, ...] = ()


@dataclass(frozen=True)
class Encoding:
    """Which columns of the table a chart shows as what.

    Attributes:
        x: ``training`` (epochs, steps or samples), or ``value`` for horizontal bars.
        colour: columns that set the lines of a panel apart.
        panel: columns that set the panels apart.
        ramp: the lines are steps of one quantity (a level, a layer) and take a ramp of colours.
    """

    x: Literal["training", "value"]
    colour: tuple[str, ...]
    panel: tuple[str, ...]
    ramp: bool = False


@dataclass(frozen=True)
class Chart:
    """One figure.

    Attributes:
        name: file name without its suffix; unique in a report.
        first: a trajectory of the chart; all have its kind, data set and settings, and, unless they are bars, its
            metric.
    """

    name: str
    title: str
    encoding: Encoding
    panels: tuple[Panel, ...]

    @property
    def trajectories(self) -> list[Trajectory]:
        """All trajectories drawn as lines, references left out."""
        return [line.trajectory for panel in self.panels for line in panel.lines]

    @property
    def first(self) -> Trajectory:
        """One of the trajectories: all share its kind and data set, and in a chart of lines its metric."""
        return self.panels[0].lines[0].trajectory

    @property
    def defined(self) -> bool:
        """Whether there is any number to draw."""
        return any(one.points["defined"].any() for one in self.trajectories)


def plan_charts(trajectories: Sequence[Trajectory], words: Words) -> list[Chart]:
    """A chart for each benchmark and metric, in the order of the vocabulary.

    Never in one chart: two preprocessings, settings or variants, two states of the data or two precisions of one run,
    and two conditions with levels. All layers of a metric share a chart, and all parts of its data (sub-sets,
    distortions). Several runs: a panel for each variant, the runs overlaid. One run: its variants overlaid if they are
    few or ordered, else a panel each. If each run has one revision, a benchmark has one chart of bars, with a panel for
    each metric.
    """
    apart = _Apart(trajectories, words)
    drawn = [one for one in trajectories if one.is_value and not words.term(one).mirrors]
    groups: dict[tuple[Hashable, ...], list[Trajectory]] = defaultdict(list)
    bars = all(len(one.points) == 1 for one in drawn)
    for one in drawn:
        groups[(*apart.cell(one), *(() if bars else apart.number(one)))].append(one)
    references = References(trajectories, words)
    runs = list(dict.fromkeys(one.run for one in trajectories))
    charts, names = [], Counter[str]()
    for members in _in_order(list(groups.values()), words):
        first = members[0]
        details = apart.words(members)
        if bars:
            encoding, panels = _bars(members, apart, references, runs, words)
            title = ", ".join([words.benchmark(first), *details])
            parts = [first.kind, first.dataset, *details]
        else:
            encoding, panels = _lines(members, references, runs, words)
            details = [*apart.number_words(members), *details]
            title = ", ".join([words.metric(first), *details])
            parts = [first.kind, first.dataset, first.metric, first.variant, *details]
        name = re.sub(r"[^a-z0-9.]+", "-", " ".join(parts).lower())[:_LONGEST_NAME].strip("-.") or "chart"
        names[name] += 1
        unique = name if names[name] == 1 else f"{name}-{names[name]}"
        charts.append(Chart(unique, title, encoding, panels))
    return charts


class References:
    """The references of trajectories: chance, bounds, baselines, people."""

    def __init__(self, trajectories: Sequence[Trajectory], words: Words) -> None:
        self._words = words
        self._by_cell: dict[tuple[str, ...], list[Trajectory]] = defaultdict(list)
        for one in trajectories:
            if not one.is_value and one.role != "diagnostic":
                self._by_cell[one.cell].append(one)

    def of(self, one: Trajectory) -> list[Trajectory]:
        """The references that scale a trajectory: of its cells, and equal to it in the columns that they join."""
        return [
            other
            for other in self._by_cell[one.cell]
            if all(getattr(other, name) == getattr(one, name) for name in self._words.reference(other).joins)
        ]

    def lines(self, members: Sequence[Trajectory]) -> tuple[Line, ...]:
        """The references of a panel, constants once; one that scales only some of the lines names these."""
        found: dict[tuple[object, ...], tuple[Trajectory, list[Trajectory]]] = {}
        for one in members:
            for other in self.of(one):
                title, usable = self._words.reference(other).title, other.usable["value"]
                alike = round(usable.iloc[0], 9) if other.is_constant and len(usable) else other
                found.setdefault((title, alike), (other, []))[1].append(one)
        varying = _varying(members)
        lines = []
        for other, scaled in found.values():
            joined = {"texts", *self._words.reference(other).joins}.intersection(varying)
            names = list(dict.fromkeys(self._words.detail(one, joined) for one in scaled))
            everywhere = len(names) == len({self._words.detail(one, joined) for one in members})
            several = len(names) > _MOST_NAMED
            which = "" if everywhere else f"{len(names)} of the lines" if several else " and ".join(names)
            label = ", ".join(filter(None, [self._words.reference(other).title, which]))
            lines.append(Line(label, other, 0))
        return tuple(lines)


class _Apart:
    """What must not share a chart."""

    def __init__(self, trajectories: Sequence[Trajectory], words: Words) -> None:
        self._words = words
        self._layers: dict[tuple[object, ...], set[int | None]] = defaultdict(set)
        self._data: dict[tuple[str, ...], list[str]] = defaultdict(list)
        self._dtypes: dict[tuple[str, ...], set[str]] = defaultdict(set)
        self._alike: dict[tuple[str, str], list[Trajectory]] = defaultdict(list)
        for one in trajectories:
            if not one.is_value:
                continue
            self._layers[self._place(one)].add(one.layer)
            known = self._data[one.run, *one.benchmark, one.texts]
            if one.data_fingerprint not in known:
                known.append(one.data_fingerprint)
            self._dtypes[one.run, *one.benchmark].add(one.dtype)
            self._alike[one.benchmark].append(one)
        self._precise = {key[1:] for key, dtypes in self._dtypes.items() if len(dtypes) > 1}

    @staticmethod
    def _place(one: Trajectory) -> tuple[object, ...]:
        return (one.run, *one.benchmark, one.metric, one.variant, one.subset, one.condition, one.probe)

    def cell(self, one: Trajectory) -> tuple[Hashable, ...]:
        """Columns of the cell.

        The fingerprint contains the pixels at the model's resolution, so that two scales may differ in it and still
        belong in one chart. Two fingerprints within one run do not.
        """
        edition = self._data[one.run, *one.benchmark, one.texts].index(one.data_fingerprint)
        dtype = one.dtype if one.benchmark in self._precise else ""
        return (*one.benchmark, one.split, one.preprocess, one.settings, dtype, edition)

    def number(self, one: Trajectory) -> tuple[Hashable, ...]:
        """Columns of the number."""
        levelled = one.condition if one.level is not None else ""
        return (one.metric, one.variant, levelled, *self._parts(one))

    def number_words(self, members: Sequence[Trajectory]) -> list[str]:
        """What `number` adds to the title of the metric; a single part of the data is named."""
        one = members[0]
        levelled = [self._words.detail(one, ["condition"])] if one.level is not None and one.condition else []
        parts = [part for part in self._parts(one) if part]
        single = [len({getattr(other, part) for other in members}) == 1 for part in parts]
        return [
            *levelled,
            *(
                self._words.detail(one, [part]) if alone else f"by {part}"
                for part, alone in zip(parts, single, strict=True)
            ),
        ]

    def words(self, members: Sequence[Trajectory]) -> list[str]:
        """What sets the cells of these members apart from others of the benchmark."""
        one, others = members[0], self._alike[members[0].benchmark]
        names = ("split", "preprocess")
        found = [str(getattr(one, n)) for n in names if len({getattr(other, n) for other in others}) > 1]
        settings = list(dict.fromkeys(other.settings for other in others))
        if len(settings) > 1:
            held = [json_object(text) or {} for text in settings]
            shared = {
                name: value for name, value in held[0].items() if all(h.get(name) == value for h in held)
            }
            found.append(bare(json_words(one.settings, shared)))
        if one.benchmark in self._precise:
            found.append(one.dtype)
        return [part for part in found if part]

    def _parts(self, one: Trajectory) -> tuple[str, ...]:
        """Which parts of the data and of the model share the chart."""
        return (
            "layer" if one.layer is not None and len(self._layers[self._place(one)]) > 1 else "",
            "subset" if one.subset else "",
            "condition" if one.condition not in ("", "none") and one.level is None else "",
        )


def _in_order(groups: list[list[Trajectory]], words: Words) -> list[list[Trajectory]]:
    """By kind and metric as the vocabulary orders them, real images before synthetic ones, else as in the table."""
    kinds = list(dict.fromkeys(members[0].kind for members in groups))
    datasets = list(dict.fromkeys(members[0].dataset for members in groups))

    def rank(members: list[Trajectory]) -> tuple[int, int, bool, int, int]:
        one = members[0]
        return (
            words.kind(one).rank,
            kinds.index(one.kind),
            words.is_synthetic(one),
            datasets.index(one.dataset),
            words.metric_rank(one),
        )

    return sorted(groups, key=rank)


def _lines(
    members: Sequence[Trajectory], references: References, runs: Sequence[str], words: Words
) -> tuple[Encoding, tuple[Panel, ...]]:
    varying = _varying(members)
    ramp = next(
        (name for name in _RAMPS if name in varying and all(getattr(m, name) is not None for m in members)),
        None,
    )
    if len({one.run for one in members}) > 1:
        encoding = Encoding("training", ("run",), varying)
    elif ramp is not None:
        encoding = Encoding("training", (ramp,), tuple(name for name in varying if name != ramp), ramp=True)
        members = sorted(members, key=lambda one: float(getattr(one, str(ramp))))
    elif len({words.detail(one, varying) for one in members}) <= _MOST_LINES:
        encoding = Encoding("training", varying, ())
    else:
        encoding = Encoding("training", (), varying)
    return encoding, _panels(members, encoding, references, runs, words)


def _panels(
    members: Sequence[Trajectory],
    encoding: Encoding,
    references: References,
    runs: Sequence[str],
    words: Words,
) -> tuple[Panel, ...]:
    panels: dict[tuple[object, ...], list[Trajectory]] = defaultdict(list)
    for one in members:
        panels[tuple(getattr(one, name) for name in encoding.panel)].append(one)
    return tuple(
        Panel(
            words.detail(group[0], encoding.panel),
            tuple(
                Line(_run_label(one, group), one, runs.index(one.run))
                if encoding.colour in ((), ("run",))
                else Line(words.detail(one, encoding.colour), one, index)
                for index, one in enumerate(group)
            ),
            references.lines(group),
        )
        for group in panels.values()
    )


def _bars(
    members: Sequence[Trajectory], apart: _Apart, references: References, runs: Sequence[str], words: Words
) -> tuple[Encoding, tuple[Panel, ...]]:
    panels: dict[tuple[Hashable, ...], list[Trajectory]] = defaultdict(list)
    for one in members:
        panels[apart.number(one)].append(one)
    found = []
    for group in _in_order(list(panels.values()), words):
        varying = _varying(group)
        bars = tuple(Line(words.detail(one, varying) or one.run, one, runs.index(one.run)) for one in group)
        title = ", ".join([words.metric(group[0]), *apart.number_words(group)])
        found.append(Panel(title, bars, references.lines(group)))
    return Encoding("value", ("run",), ("metric", "variant")), tuple(found)


def _run_label(one: Trajectory, group: Sequence[Trajectory]) -> str:
    return f"{one.run}, {one.dtype}" if len({other.dtype for other in group}) > 1 else one.run


def _varying(members: Sequence[Trajectory]) -> tuple[str, ...]:
    """The columns in which trajectories differ, beside their run."""
    return tuple(name for name in DETAILS if len({getattr(one, name) for one in members}) > 1)
