"""Which trajectories share a figure and a panel."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hf_clipdyn.report.trajectories import Trajectory, sibling, stem
from hf_clipdyn.report.vocabulary import (
    BASELINES,
    FINAL_TEXT,
    group_words,
    is_known,
    metric_words,
    probe_words,
    rank,
)

__all__ = ["Chart", "Line", "Panel", "is_constant", "ordered_value", "plan_charts"]

_MOST_LINES = 8
_RANGE = {"_min": "least possible", "_max": "most possible"}
_UNDRAWN = {"interpretable", "dropped_dimensions", "error_consistency_min", "error_consistency_max"}
_PARTS = {"distortion", "subset"}  # keys of groups that are parts of one data set
_SCALED_BY_CHANCE = {"accuracy", "clean_accuracy", "top1", "shape_accuracy", "texture_accuracy"}


@dataclass(frozen=True)
class Line:
    """A trajectory with its name in the legend and its place in the palette."""

    label: str
    trajectory: Trajectory
    colour: int


@dataclass(frozen=True)
class Panel:
    """One pair of axes: the lines to compare, and what gives them a scale (chance, null, baselines)."""

    title: str
    lines: tuple[Line, ...]
    references: tuple[Line, ...] = ()


@dataclass(frozen=True)
class Chart:
    """One figure.

    Attributes:
        name: file name without its suffix; unique in a report.
        ordered: the lines are steps of one quantity (sigma, layer) and take a ramp of colours.
    """

    name: str
    title: str
    benchmark: str
    metric: str
    panels: tuple[Panel, ...]
    ordered: bool = False

    @property
    def trajectories(self) -> list[Trajectory]:
        """All trajectories drawn as lines, references left out."""
        return [line.trajectory for panel in self.panels for line in panel.lines]

    @property
    def defined(self) -> bool:
        """Whether there is any number to draw."""
        return any(point.defined for one in self.trajectories for point in one.points)


def is_constant(one: Trajectory) -> bool:
    """Whether a reference is one number (chance) and not a trajectory of its own (a null)."""
    return len({round(point.value, 9) for point in one.points if point.defined}) <= 1


def plan_charts(trajectories: Sequence[Trajectory]) -> list[Chart]:
    """A chart per benchmark and metric, in the order of the vocabulary.

    Preprocessing, noise stage and kind of noise are never mixed in one, nor the precisions that one run was
    measured in.

    All layers of one metric share a chart, and all parts of its data (distortions, sub-sets). Several runs: a
    panel for each variant, the runs overlaid. One run: its variants overlaid where they are few or
    ordered, else a panel each. Rows that are only a scale for others (chance, null, interpretable,
    baselines) are drawn within those; a metric asked with the last revision's texts stands beside itself.
    """
    runs = list(dict.fromkeys(one.run for one in trajectories))
    editions = _editions(trajectories)
    precise = _several_precisions(trajectories)
    metrics = {(one.benchmark, one.metric) for one in trajectories}
    layers: dict[tuple[str, ...], set[int]] = defaultdict(set)
    for one in trajectories:
        if one.layer is not None:
            layers[one.benchmark, one.metric, one.group, one.probe].add(one.layer)
    found: dict[tuple[str, ...], list[Trajectory]] = defaultdict(list)
    for one in trajectories:
        if not _is_reference(one) and stem(one.metric) not in _UNDRAWN:
            metric = one.metric
            home = metric.removesuffix(FINAL_TEXT)
            if not one.group and (one.benchmark, home) in metrics:
                metric = home
            several_layers = len(layers[one.benchmark, one.metric, one.group, one.probe]) > 1
            fixed, spread = _apart(one, several_layers=several_layers)
            precision = one.dtype if (one.benchmark, home) in precise else ""
            apart = (fixed, spread, precision)
            found[one.benchmark, metric, *apart, one.preprocess, str(editions[one])].append(one)
    charts = []
    names: Counter[str] = Counter()
    for (benchmark, metric, *details, preprocess, _), members in found.items():
        name = re.sub(r"[^a-z0-9.]+", "-", " ".join([benchmark, metric, *details]).lower()).strip("-")
        names[name] += 1
        alike = {key[-2] for key in found if key[:2] == (benchmark, metric)}
        words = [metric_words(metric), *filter(None, details), *([preprocess] if len(alike) > 1 else [])]
        title = ", ".join(words).replace("_", " ").replace("=", " ")
        unique = name if names[name] == 1 else f"{name}-{names[name]}"
        panels, ordered = _panels(members, runs, trajectories)
        charts.append(Chart(unique, title, benchmark, metric, panels, ordered))
    return sorted(charts, key=lambda chart: rank(chart.benchmark, chart.metric))


def _editions(trajectories: Sequence[Trajectory]) -> dict[Trajectory, int]:
    """Which of its run's versions of a benchmark's data a trajectory was measured on, from 0.

    The fingerprint contains the pixels at the model's resolution, so that two scales may differ in
    it and still belong into one chart; two fingerprints within one run do not.
    """
    seen: dict[tuple[str, str, bool], list[str]] = defaultdict(list)
    editions = {}
    for one in trajectories:
        known = seen[one.run, one.benchmark, one.metric.endswith(FINAL_TEXT)]
        if one.data_fingerprint not in known:
            known.append(one.data_fingerprint)
        editions[one] = known.index(one.data_fingerprint)
    return editions


def _several_precisions(trajectories: Sequence[Trajectory]) -> set[tuple[str, str]]:
    """The benchmarks and metrics that a run was measured on in several precisions."""
    seen: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for one in trajectories:
        seen[one.run, one.benchmark, one.metric.removesuffix(FINAL_TEXT)].add(one.dtype)
    return {(benchmark, metric) for (_, benchmark, metric), dtypes in seen.items() if len(dtypes) > 1}


def _apart(one: Trajectory, *, several_layers: bool) -> tuple[str, str]:
    """What sets a trajectory's chart apart: what must not be mixed, and layers or sub-groups."""
    fixed, compared = _split_group(one.group)
    if several_layers:
        return fixed, "layers"
    if compared and one.probe == "linear_probe":  # else the levels of prompts and of the probe were one ramp
        fixed = ", ".join(filter(None, ["linear probe", fixed]))
    if not compared or ordered_value(one) is not None:
        return fixed, ""
    part = compared.partition("=")[0]
    return fixed, f"by {part if part in _PARTS else 'group'}"


def _panels(
    members: Sequence[Trajectory], runs: Sequence[str], everything: Sequence[Trajectory]
) -> tuple[tuple[Panel, ...], bool]:
    variants: dict[str, list[Trajectory]] = {}
    for one in members:
        variants.setdefault(group_words(one), []).append(one)
    shared = _shared_words(list(variants))
    several_runs = len({one.run for one in members}) > 1
    ordered = len(variants) > 1 and all(ordered_value(group[0]) is not None for group in variants.values())
    if ordered:
        variants = dict(sorted(variants.items(), key=lambda item: ordered_value(item[1][0]) or 0.0))
    overlay = not several_runs and (len(variants) <= _MOST_LINES or ordered)
    unnamed = "text of each revision" if any(FINAL_TEXT in one.metric for one in members) else ""
    if overlay:
        lines = tuple(
            Line((_without(shared, words) or unnamed) if len(variants) > 1 else group[0].run, group[0], index)
            for index, (words, group) in enumerate(variants.items())
        )
        return (Panel("", lines, _references(members, everything)),), ordered and len(lines) > 1
    panels = tuple(
        Panel(
            _without(shared, words) or unnamed,
            tuple(Line(_run_label(one, group), one, runs.index(one.run)) for one in group),
            _references(group, everything),
        )
        for words, group in variants.items()
    )
    return panels, False


def _run_label(one: Trajectory, group: Sequence[Trajectory]) -> str:
    return f"{one.run}, {one.dtype}" if len({other.dtype for other in group}) > 1 else one.run


def _references(members: Sequence[Trajectory], everything: Sequence[Trajectory]) -> tuple[Line, ...]:
    """Chance, null and baselines of the members' metric, one for each run, constants once.

    A chance level that applies to only some of the probes in the panel names them.
    """
    lines: dict[tuple[str, object], Line] = {}
    probes: dict[tuple[str, object], set[str]] = defaultdict(set)
    scales = [other for other in everything if _is_reference(other)]
    for one in members:
        for other in scales:
            if _setting(other) != _setting(one) or not _scales(other, one):
                continue
            label = _reference_label(other)
            constant = is_constant(other) and bool(other.usable)
            key = (label, round(other.usable[0].value, 9) if constant else other.run)
            lines.setdefault(key, Line(label, other, 0))
            probes[key].add(one.probe)
    drawn = {one.probe for one in members}
    return tuple(
        replace(line, label=f"chance, {probe_words(line.trajectory)}")
        if line.label == "chance" and probes[key] < drawn
        else line
        for key, line in lines.items()
    )


def _reference_label(one: Trajectory) -> str:
    for suffix, words in _RANGE.items():
        if stem(one.metric).endswith(suffix):
            return words
    if one.probe not in BASELINES:
        return "chance" if "chance" in one.metric else "null"
    if stem(one.metric) == "ceiling":
        return "ceiling"
    formula = one.metric.rpartition("/")[2]
    if formula in ("psnr", "ssim"):
        return formula.upper() if one.probe == "pixels" else f"{formula.upper()}, {probe_words(one)}"
    return probe_words(one)


def _setting(one: Trajectory) -> tuple[str, ...]:
    return (one.run, one.benchmark, one.data_fingerprint, one.preprocess, one.dtype)


def _is_reference(one: Trajectory) -> bool:
    """Whether a trajectory is only the scale of others: chance, a null, a range, what reads no model."""
    if one.probe in BASELINES:
        return True
    parts = stem(one.metric).split("_")
    return not {"chance", "null", "min", "max"}.isdisjoint(parts) and not is_known(one.metric)


def _scales(reference: Trajectory, one: Trajectory) -> bool:
    """Whether a reference row is the scale of a trajectory."""
    name, metric = stem(reference.metric), stem(one.metric)
    if reference.probe in BASELINES:
        if reference.group != one.group:
            return False
        if name in ("human", "ceiling"):
            return metric == "two_afc"
        # A distance of pixels is none of the model's distances; a map is raw or smoothed like the model's.
        a_distance = reference.probe in ("pixels", "full_resolution") and reference.kind != "saliency"
        return name == metric if a_distance else reference.metric == one.metric
    if reference.group not in ("", one.group) or reference.probe not in ("", one.probe):
        return False
    if name == "chance":
        return metric in _SCALED_BY_CHANCE
    # `image_to_text_chance_at_1` is the scale of `image_to_text_recall_at_1`.
    scaled = {f"chance_{metric}", f"null_{metric}", metric.replace("_recall_", "_chance_")}
    scaled |= {metric + suffix for suffix in _RANGE}
    return name in scaled and reference.metric == sibling(one.metric, name)


def _split_group(group: str) -> tuple[str, str]:
    """A group as what must not be mixed (noise stage, kind of noise) and what is compared (sigma, sub-sets)."""
    pairs = [part.strip() for part in re.split(r"[,;]", group) if part.strip()]
    fixed = []
    for part in pairs:
        name, equals, value = part.partition("=")
        if equals and name not in _PARTS and _number(value) is None:
            fixed.append(part)
    return ", ".join(fixed), ", ".join(part for part in pairs if part not in fixed)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def ordered_value(one: Trajectory) -> float | None:
    """Layer or level by which a trajectory is ordered among its siblings."""
    _, compared = _split_group(one.group)
    if compared:
        return _number(compared.rpartition("=")[2])
    return None if one.layer is None else float(one.layer)


def _shared_words(names: Sequence[str]) -> set[str]:
    parts = [set(name.split(", ")) for name in names]
    return set.intersection(*parts) if len(parts) > 1 else set()


def _without(shared: set[str], words: str) -> str:
    return ", ".join(part for part in words.split(", ") if part not in shared)
