"""The panels that a reader of the page can choose: every number of a benchmark, in the order of preference.

    numbers, shared by the runs -> panels (training, levels, curves, layers) -> selects -> chart

`js/explorer.js` filters the panels by the selects and draws the first that is left. Figures and page show the same
number first: both ask `main_number`.
"""

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pandas as pd

from hf_clipdyn.report.axis import Axis
from hf_clipdyn.report.plan import RAMPS, Line, Panel, main_number
from hf_clipdyn.results.terms import Axis as AxisTerm
from hf_clipdyn.statistics.trajectories import DETAILS, Trajectory, bare

FACETS = ("metric", "variant", "reference", *DETAILS, "setup")
"""What can differ between the numbers of a benchmark, in the order of the selects."""
_SPLITS = ("reference", *FACETS[FACETS.index("probe") :])
_WORDS = {
    "texts": {"own": "of each revision", "last": "of the last revision"},
    "condition": {"": "all conditions", "none": "untouched images"},
    "variant": {"": "default"},
    "reference": {"": "none"},
    "subset": {"": "all items"},
    "probe": {"": "none"},
    "setup": {"": "usual"},
}
_MOST_LINES = 8  # of what has no order, unless a reader asks for more
_LONGEST_UNIT = 4  # letters that fit into a select


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
        return any(run.column("defined").any() for run in self.runs)

    @cached_property
    def facets(self) -> dict[str, Any]:
        """Its values of `FACETS`."""
        return {name: getattr(self.example, name) for name in FACETS[:-1]} | {"setup": self.setup}


Groups = dict[Hashable, list[Number]]


def plan_choices(numbers: Sequence[Number], *, several_runs: bool) -> list[dict[str, Any]]:
    """The panels of a benchmark for JSON, of each form the usual one first.

    With one run, lines show what else varies; with several, the runs.

    Returns:
        For each panel ``form``: ``training``, lines over training; ``levels``, lines over the levels at one revision;
        ``curves``, a curve over the levels for each revision; ``layers``, a map of layers by revisions. ``lines``: the
        places of its numbers, by what distinguishes its lines, ``run`` or a facet; ``split``: which of these is usual.
        Of levels and curves, ``axis`` (see `level_axis`), and ``thresholds``: numbers that are levels, at which the
        curves reach a criterion.
    """
    usual = ("run",) if several_runs else (*RAMPS, "subset", "condition", "run")
    by_metric = _grouped(numbers, ["metric"])
    mains = {members[0].facets["metric"]: _main(members) for members in by_metric.values()}

    def panels(form: str, joined: str = "", least: int = 1) -> Iterator[dict[str, Any]]:
        names = [name for name in FACETS if name != joined]
        own = [number for number in numbers if not joined or number.facets[joined] is not None]
        splits = [name for name in _SPLITS if name != joined and form in ("training", "levels")]
        alike = {split: _grouped(own, names, split) for split in splits}
        ordered = _by_preference(own, names, mains)
        if form == "layers":
            ordered.sort(key=lambda number: not number.example.term.by_layer)
        for members in _grouped(ordered, names).values():
            if joined and len({number.facets[joined] for number in members}) < least:
                continue
            if form == "layers" and all(
                len(run.column("order")) < 2 for number in members for run in number.runs
            ):
                continue
            first = members[0]
            lines, sizes = {"run": _in_order(members, joined)}, {"run": 1}
            for split, groups in alike.items():
                group = groups[_key(first, names, split)]
                if joined:  # two conditions may have two axes
                    group = [other for other in group if other.example.level_axis == first.example.level_axis]
                parts = _grouped(_in_order(group, split), [split])
                if len(parts) > 1:
                    sizes[split] = 1 if split in RAMPS else len(parts)
                    lines[split] = [number for part in parts.values() for number in _in_order(part, joined)]
            split = next(name for name in usual if sizes.get(name, math.inf) <= _MOST_LINES)
            panel: dict[str, Any] = {"form": form, "split": split}
            panel["lines"] = {split: [number.place for number in line] for split, line in lines.items()}
            if joined == "level":
                panel["axis"] = level_axis(
                    first.example.level_axis, [number.facets["level"] for number in members]
                )
                panel["thresholds"] = [number.place for number in numbers if _is_threshold(number, first)]
            yield panel

    forms = ("training",), ("levels", "level", 2), ("curves", "level", 3), ("layers", "layer", 2)
    return [panel for form in forms for panel in panels(*form)]


def _main(members: Sequence[Number]) -> Mapping[str, Any]:
    main = main_number([number.example for number in members])
    return {name: getattr(main, name) for name in FACETS[:-1]} | {"setup": ""}


def _key(number: Number, names: Iterable[str], left_out: str = "") -> Hashable:
    return tuple(number.facets[name] for name in names if name != left_out)


def _grouped(numbers: Iterable[Number], names: Sequence[str], left_out: str = "") -> Groups:
    """The numbers that are equal in these facets, but one, in the order of the first of each."""
    groups: Groups = defaultdict(list)
    for number in numbers:
        groups[_key(number, names, left_out)].append(number)
    return groups


def _in_order(numbers: Sequence[Number], facet: str) -> list[Number]:
    """By the steps of a ramp; what has no order stays."""
    steps = {number: number.facets[facet] for number in numbers if facet in RAMPS}
    return sorted(numbers, key=lambda number: -math.inf if steps.get(number) is None else steps[number])


def _by_preference(
    numbers: Sequence[Number], names: Sequence[str], mains: Mapping[str, Mapping[str, Any]]
) -> list[Number]:
    """Facet by facet, as the selects narrow them: what has values and is nearest to the main number comes first."""
    if not names:
        return list(numbers)
    name, *others = names

    def rank(members: Sequence[Number]) -> tuple[Any, ...]:
        first, undefined = members[0], not any(number.defined for number in members)
        term, value, main = first.example.term, first.facets[name], mains[first.example.metric][name]
        if name == "metric":
            known = [*first.example.terms.terms, value]
            return undefined, term.overview.rank if term.overview else math.inf, known.index(value)
        apart = abs(value - main) if None not in (value, main) and name in RAMPS else 0
        return value != main or undefined, undefined, apart

    groups = sorted(_grouped(_in_order(numbers, name), [name]).values(), key=rank)
    return [number for group in groups for number in _by_preference(group, others, mains)]


def _is_threshold(number: Number, curve: Number) -> bool:
    same = ("texts", "condition", "probe", "layer", "subset", "setup")
    return number.example.term.is_level and all(number.facets[name] == curve.facets[name] for name in same)


def level_axis(term: AxisTerm | None, levels: Sequence[float]) -> dict[str, Any]:
    """Title, ``log``, ``descending``, and ``beyond``, the place of 0 and inf on a logarithm, or of inf on a line."""
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
        "axis": level_axis(first.level_axis, levels) if levels else None,
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
    if name == "reference" and value:
        return example.reference_terms.title
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
