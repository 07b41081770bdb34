"""Specification curves: a registered contrast under every defensible choice that the tables allow.

The registered choice is one point among them; it alone gives the verdict. The others show how much the answer depends
on what was chosen: the metric, the distance or prompts, the place where the number is read out, whose texts are used,
the noise levels, the windows, and the axis on which windows are shares.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pandas as pd

from hf_clipdyn.statistics.alignment import Window, align
from hf_clipdyn.statistics.claims import ClaimTest, PartPlan
from hf_clipdyn.statistics.contrasts import Estimate, combine, minus, run_contrasts
from hf_clipdyn.statistics.endpoints import Endpoint
from hf_clipdyn.statistics.evidence import Evidence, paired
from hf_clipdyn.statistics.judging import Part, Verdict
from hf_clipdyn.statistics.trajectories import Trajectory

__all__ = ["Specification", "specifications"]

_SAME = ("kind", "dataset", "subset", "condition", "parameter", "role", "reference")
_CHOSEN = ("metric", "variant", "probe", "layer", "texts")
_REGISTERED = "registered"
_LEVELS = "mean of the registered levels"


@dataclass(frozen=True, kw_only=True)
class Specification:
    """A contrast under one combination of choices.

    Attributes:
        choices: in words, by what was chosen: metric, variant, probe, layer, texts, level, window, axis. All
            specifications of one curve have the same keys; only what varies is there.
        estimate: of the contrast.
        registered: whether it is the one that gives the verdict.
    """

    choices: Mapping[str, str]
    estimate: Estimate
    registered: bool


def specifications(
    evidence: Evidence, verdict: Verdict, part: Part, *, most: int = 100
) -> list[Specification]:
    """One part of a verdict under all combinations of choices, the registered one first, then from low to high.

    Combinations without an estimate, such as a window without a revision, are left out. If there are more than
    ``most``, one choice is changed at a time.

    Args:
        evidence: from `read_evidence`; the verdict is from it.
        verdict: from `judge_evidence`.
        part: one of its parts.
        most: number of combinations.

    Returns:
        Empty for a part that is not a registered contrast: one scale of several, or the difference of two.
    """
    test = verdict.claim.test(verdict.study)
    plan = next((one for one in test.parts if one.contrast == part.contrast), None)
    if plan is None or (test.rule == "every scale" and part.scale):
        return []
    runs = {arm: _runs(evidence, arm, part.scale) for arm in (plan.arm, plan.minus_arm) if arm is not None}
    options: list[Sequence[tuple[str, object]]] = [
        _endpoints(plan, [held for of_arm in runs.values() for held in of_arm]),
        _levels(plan.contrast.endpoint),
        _windows(evidence.windows(test))
        if plan.equal == "samples"
        else [(_REGISTERED, evidence.windows(test))],
        _axes(test, evidence),
    ]
    found = []
    for place, chosen in _combinations(options, most):
        (_, endpoint), (level, levels), (window, windows), (axis, places) = chosen
        assert isinstance(endpoint, Endpoint)
        asked = replace(endpoint, levels=levels)  # type: ignore[arg-type]  # of `_levels`
        estimate = _estimate(plan, asked, windows, places, evidence, runs)  # type: ignore[arg-type]
        if not math.isnan(estimate.value):
            choices = _endpoint_words(asked, evidence) | {"level": level, "window": window, "axis": axis}
            found.append(Specification(choices=choices, estimate=estimate, registered=not any(place)))
    varying = _varying(found)
    shown = [replace(one, choices={name: one.choices[name] for name in varying}) for one in found]
    return sorted(shown, key=lambda one: (not one.registered, one.estimate.value))


_Options = Sequence[Sequence[tuple[str, object]]]


def _combinations(
    options: _Options, most: int
) -> Iterator[tuple[tuple[int, ...], tuple[tuple[str, object], ...]]]:
    """Positions and values; position 0 is the registered choice."""
    sizes = [range(len(one)) for one in options]
    for place in product(*sizes):
        if math.prod(map(len, options)) <= most or sum(at > 0 for at in place) <= 1:
            yield place, tuple(one[at] for one, at in zip(options, place, strict=True))


def _runs(evidence: Evidence, arm: str, scale: str) -> list[list[Trajectory]]:
    return [held for held in evidence.runs(arm).values() if scale in ("", held[0].scale)]


def _endpoints(plan: PartPlan, runs: Sequence[Sequence[Trajectory]]) -> list[tuple[str, object]]:
    """The registered endpoint, then those that differ in metric, distance, layer, probe or texts, of all runs."""
    registered = plan.contrast.endpoint
    metrics = (registered.metric, *plan.alternatives)
    per_run = [
        dict.fromkeys(_key(one) for one in held if one.metric in metrics and _is_alike(registered, one))
        for held in runs
    ]
    first = tuple(getattr(registered, name) for name in _CHOSEN)
    common = [key for key in (per_run[0] if per_run else {}) if all(key in keys for keys in per_run)]
    keys = [first, *(key for key in common if key != first)]
    return [("", replace(registered, **dict(zip(_CHOSEN, key, strict=True)))) for key in keys]


def _key(one: Trajectory) -> tuple[object, ...]:
    return tuple(getattr(one, name) for name in _CHOSEN)


def _is_alike(registered: Endpoint, one: Trajectory) -> bool:
    level = one.level in registered.levels if registered.levels else one.level is None
    return level and all(getattr(one, name) == getattr(registered, name) for name in _SAME)


def _levels(registered: Endpoint) -> list[tuple[str, object]]:
    levels = registered.levels
    single = [(f"{level:g}", (level,)) for level in levels] if len(levels) > 1 else []
    return [(_LEVELS if len(levels) > 1 else "", levels), *single]


def _windows(registered: Mapping[str, Window]) -> list[tuple[str, object]]:
    """The registered windows; each 5 % of training longer at both ends; its middle half."""
    return [
        (_REGISTERED, registered),
        ("wider", {name: _resized(one, -0.05) for name, one in registered.items()}),
        ("narrower", {name: _resized(one, None) for name, one in registered.items()}),
    ]


def _resized(window: Window, by: float | None) -> Window:
    if window.start is None or window.end is None:
        return window
    inwards = (window.end - window.start) / 4 if by is None else by
    # A window of trained revisions never gets the untrained one.
    lowest = 1e-6 if window.start > 0 else 0.0
    return replace(window, start=max(window.start + inwards, lowest), end=min(window.end - inwards, 1.0))


def _axes(test: ClaimTest, evidence: Evidence) -> list[tuple[str, object]]:
    """Shares of the samples, of the logarithm of the samples, and of the way to the final accuracy."""
    registered = evidence.places
    found: list[tuple[str, object]] = [
        ("samples", registered),
        ("log samples", {run: _with_share(table, table["log_samples"]) for run, table in registered.items()}),
    ]
    accuracy = next((one.endpoint for one in test.gates if one.rule == "above chance"), None)
    if accuracy is not None:
        aligned = align(evidence.trajectories, accuracy=accuracy)
        by_accuracy = {run: _with_share(table, table["monotone_accuracy"]) for run, table in aligned.items()}
        found.append(("accuracy", by_accuracy))
    return found


def _with_share(table: pd.DataFrame, clock: "pd.Series[float]") -> pd.DataFrame:
    """A run with its shares counted on another clock; before its first reading they are 0."""
    start, end = float(clock.min()), float(clock.max())
    share = (clock - start) / (end - start) if end > start else clock * np.nan
    return table.assign(share=share.fillna(0.0) if end > start else share)


def _estimate(
    plan: PartPlan,
    endpoint: Endpoint,
    windows: Mapping[str, Window],
    places: Mapping[str, pd.DataFrame],
    evidence: Evidence,
    runs: Mapping[str, Sequence[Sequence[Trajectory]]],
) -> Estimate:
    asked = replace(plan, contrast=replace(plan.contrast, endpoint=endpoint))
    if plan.equal == "accuracy":
        scale = next((held[0].scale for of_arm in runs.values() for held in of_arm), None)
        contrasts = evidence.part(asked, windows, scale)
    else:
        sides = [
            run_contrasts(
                asked.contrast,
                windows.values(),
                _of_benchmark(held, endpoint),
                evidence.errors,
                places=places,
            )
            for held in runs.values()
        ]
        contrasts = minus(*paired(*sides)) if len(sides) == 2 else sides[0]
    if not contrasts:
        return Estimate(value=math.nan, cause="no run counts")
    return combine(contrasts, evidence.confidence)


def _of_benchmark(runs: Iterable[Sequence[Trajectory]], endpoint: Endpoint) -> list[Trajectory]:
    return [one for held in runs for one in held if f"{one.kind}/{one.dataset}" == endpoint.benchmark]


def _endpoint_words(endpoint: Endpoint, evidence: Evidence) -> dict[str, str]:
    """Metric, variant, probe, layer and texts in words, from the tables' vocabulary."""
    values = {name: "" if (value := getattr(endpoint, name)) is None else str(value) for name in _CHOSEN}
    for one in evidence.trajectories:
        if one.kind == endpoint.kind:
            metrics = {name: term.title for name, term in one.terms.terms.items()}
            titles = {"metric": metrics, "variant": one.terms.variants, "probe": one.terms.probes}
            return {name: titles.get(name, {}).get(value, value) for name, value in values.items()}
    return values


def _varying(found: Sequence[Specification]) -> list[str]:
    """The names of what was chosen in more than one way."""
    names = found[0].choices if found else {}
    return [name for name in names if len({one.choices[name] for one in found}) > 1]
