"""The panels that a reader of the page can choose: every number of a benchmark, in the order of preference.

    numbers, shared by the runs -> panels (training, levels, curves, layers) -> selects -> chart

`js/explorer.js` filters the panels by the selects and draws the first that is left. Figures and page show the same
number first: both ask `main_number`.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import pandas as pd

from hf_clipdyn.report.axis import Axis
from hf_clipdyn.report.plan import RAMPS, Line, Panel, main_number
from hf_clipdyn.results.terms import Axis as AxisTerm
from hf_clipdyn.statistics.trajectories import DETAILS, Trajectory, bare

__all__ = ["FACETS", "Choice", "Number", "facet_words", "panel_data", "plan_choices", "short", "step_words"]

FACETS = ("metric", "variant", *DETAILS, "setup")
"""What can differ between the numbers of a benchmark, in the order of the selects."""
_SPLITS = FACETS[FACETS.index("probe") :]
_WORDS = {
    "texts": {"own": "of each revision", "last": "of the last revision"},
    "condition": {"": "all conditions", "none": "untouched images"},
    "variant": {"": "default"},
    "subset": {"": "all items"},
    "probe": {"": "none"},
    "setup": {"": "usual"},
}
_LONGEST_UNIT = 4  # letters that fit into a select

Form = Literal["training", "levels", "curves", "layers"]


@dataclass(frozen=True, eq=False)
class Number:
    """A number of a benchmark, whatever the run.

    Attributes:
        place: among the page's numbers.
        setup: what distinguishes its cells from others of the benchmark, in words.
        runs: its trajectories.
    """

    place: int
    setup: str
    runs: list[Trajectory] = field(default_factory=list)

    @property
    def example(self) -> Trajectory:
        """Its first trajectory: all share what it is."""
        return self.runs[0]

    @cached_property
    def defined(self) -> bool:
        """Whether it has a value in any run."""
        return any(run.points["defined"].any() for run in self.runs)

    @cached_property
    def facets(self) -> dict[str, Any]:
        """Its values of `FACETS`."""
        return {name: getattr(self.example, name) for name in FACETS[:-1]} | {"setup": self.setup}


@dataclass(frozen=True)
class Choice:
    """A panel over all runs that the selects can choose.

    Attributes:
        form: lines over training; lines over the levels at one revision; a curve over the levels for each revision; a
            map of layers by revisions.
        lines: its numbers by what can distinguish its lines, ``run`` or a facet; the selects show the facets of the
            first number.
        split: which of these is usual.
        axis: of levels: title, unit, log, descending, and ``beyond``, the place of 0 and inf on it.
        thresholds: of curves, the levels at which they reach a criterion.
    """

    form: Form
    lines: Mapping[str, Sequence[Number]]
    split: str = "run"
    axis: Mapping[str, Any] | None = None
    thresholds: Sequence[Number] = ()


def plan_choices(numbers: Sequence[Number], *, several_runs: bool) -> list[Choice]:
    """The panels of a benchmark, of each form the usual one first.

    With one run, lines show what else varies; with several, the runs.
    """
    splits = ("run",) if several_runs else (*RAMPS, "subset", "condition", "run")
    by_metric = _grouped(numbers, lambda number: number.example.metric)
    mains = {
        metric: main_number([number.example for number in members]) for metric, members in by_metric.items()
    }

    def panels(form: Form, joined: str = "", least: int = 1) -> Iterator[Choice]:
        own = [number for number in numbers if not joined or number.facets[joined] is not None]
        names = [name for name in FACETS if name != joined]
        alike = {
            split: _grouped(own, _facets_but(names, split))
            for split in (_SPLITS if form in ("training", "levels") else ())
            if split != joined
        }
        for members in _grouped(_by_preference(own, names, mains), _facets_but(names)).values():
            if len({number.facets[joined or "metric"] for number in members}) < least:
                continue
            lines = {"run": _in_order(members, joined)}
            for split, groups in alike.items():
                group = groups[_facets_but(names, split)(members[0])]
                if joined:  # two conditions may have two axes
                    group = [
                        number
                        for number in group
                        if number.example.level_axis == members[0].example.level_axis
                    ]
                by_value = _grouped(_in_order(group, split), _facets_but([split]))
                if len(by_value) > 1:
                    lines[split] = [
                        number for part in by_value.values() for number in _in_order(part, joined)
                    ]
            levels = [number.facets["level"] for number in members] if joined == "level" else ()
            yield Choice(
                form,
                lines,
                next((split for split in splits if split in lines), "run"),
                _axis(members[0].example.level_axis, levels) if levels else None,
                [number for number in numbers if _is_threshold(number, members[0])] if levels else (),
            )

    return [
        *panels("training"),
        *panels("levels", "level", 2),
        *panels("curves", "level", 3),
        *panels("layers", "layer", 2),
    ]


def _facets_but(names: Iterable[str], left_out: str = "") -> Callable[[Number], Hashable]:
    kept = [name for name in names if name != left_out]
    return lambda number: tuple(number.facets[name] for name in kept)


def _grouped(numbers: Iterable[Number], key: Callable[[Number], Hashable]) -> dict[Hashable, list[Number]]:
    """The numbers by a key, in the order of the first of each."""
    groups = defaultdict[Hashable, list[Number]](list)
    for number in numbers:
        groups[key(number)].append(number)
    return groups


def _in_order(numbers: Sequence[Number], facet: str) -> list[Number]:
    """By the steps of a ramp; what has no order stays."""
    if facet not in RAMPS:
        return list(numbers)
    return sorted(
        numbers, key=lambda number: -math.inf if number.facets[facet] is None else number.facets[facet]
    )


def _by_preference(
    numbers: Sequence[Number], names: Sequence[str], mains: Mapping[Hashable, Trajectory]
) -> list[Number]:
    """Facet by facet, as the selects narrow them: what has values and is nearest to the main number comes first."""
    if not names:
        return list(numbers)
    name, *others = names

    def rank(members: Sequence[Number]) -> tuple[Any, ...]:
        first, undefined = members[0], not any(number.defined for number in members)
        if name == "metric":
            overview, known = first.example.term.overview, [*first.example.terms.terms, first.example.metric]
            return undefined, overview.rank if overview else math.inf, known.index(first.example.metric)
        value, main = (
            first.facets[name],
            "" if name == "setup" else getattr(mains[first.example.metric], name),
        )
        apart = abs(value - main) if isinstance(value, int | float) and isinstance(main, int | float) else 0
        return value != main or undefined, undefined, apart

    groups = _grouped(_in_order(numbers, name), lambda number: number.facets[name])
    return [
        number
        for group in sorted(groups.values(), key=rank)
        for number in _by_preference(group, others, mains)
    ]


def _is_threshold(number: Number, curve: Number) -> bool:
    same = ("texts", "condition", "probe", "layer", "subset", "setup")
    return number.example.term.is_level and all(number.facets[name] == curve.facets[name] for name in same)


def _axis(term: AxisTerm | None, levels: Sequence[float]) -> dict[str, Any]:
    term = term or AxisTerm(title="level")
    axis = Axis("level").over(term, pd.DataFrame({"level": levels}))
    finite = [level for level in levels if math.isfinite(level)] or [0.0]
    beyond = axis.beyond if axis.log else max(finite) + (max(finite) - min(finite)) / 6
    return {
        "title": f"{term.title} ({term.unit})" if term.unit else term.title,
        "log": axis.log,
        "descending": axis.descending,
        "beyond": beyond,
    }


def panel_data(panel: Panel) -> dict[str, Any]:
    """A planned panel for `js/panel.js`, with the points of its lines: built-in types, without NaN."""
    title, _, place = panel.title.partition("\n")
    first, dataset = panel.first, panel.first.dataset_title
    levels = [level for line in panel.lines if panel.over_levels for level in line.trajectory.points["level"]]
    return {
        # On the page a title alone must say which number it is.
        "title": ", ".join(filter(None, [title, place.removeprefix(dataset).lstrip(", ")])),
        "place": dataset,
        "benchmark": "/".join(first.benchmark),
        "metric": first.metric,
        "ramp": panel.ramp,
        "axis": _axis(first.level_axis, levels) if levels else None,
        "courses": list(map(_course, panel.lines)),
        "levels": [
            {"title": level.title, "v": short(level.height), "role": level.role} for level in panel.levels
        ],
        "spans": [[span.window, short(span.start), short(span.end), span.scale] for span in panel.spans],
    }


def _course(line: Line) -> dict[str, Any]:
    run, points = line.trajectory.run, line.trajectory.points
    return {
        "run": run,
        "label": "" if line.label == run else line.label,
        "level": [short(level) for level in points["level"]] if "level" in points else None,
        "r": [int(order) for order in points["order"]],
        "v": list(map(short, points["value"])),
        "lo": list(map(short, points["ci_low"])),
        "hi": list(map(short, points["ci_high"])),
        "n": [int(n) for n in points["n"]],
        "ok": [bool(usable) for usable in points["usable"]],
    }


def short(number: float) -> float | None:
    """Five significant digits; None for NaN, which JSON does not have."""
    value = float(number)
    return float(f"{value:.5g}") if math.isfinite(value) else None


def facet_words(number: Number, name: str) -> str:
    """The value of a facet, as a select offers it and titles say it."""
    example, value = number.example, number.facets[name]
    terms = example.terms
    if name == "metric":
        return example.term.title
    if name not in RAMPS:
        known: Mapping[str, str] = {
            "variant": terms.variants,
            "subset": terms.subsets,
            "probe": terms.probes,
            "condition": {condition: term.title for condition, term in terms.conditions.items()},
        }.get(name, {})
        return known.get(value) or _WORDS[name].get(value) or bare(value)
    axis = {"level": example.level_axis, "parameter": terms.parameter}.get(name) or AxisTerm(title=name)
    if value is None:
        return f"no {axis.title}"
    return step_words(axis if len(axis.unit) <= _LONGEST_UNIT else replace(axis, unit=""), value)


def step_words(axis: AxisTerm, value: float) -> str:
    """One step of a quantity, with no more than the four digits that it needs."""
    number = "∞" if math.isinf(value) else f"{float(f'{value:.4g}'):.12g}"
    return f"{axis.title} {number} {axis.unit}".rstrip()
