"""Specification curves: a registered contrast under every defensible choice that the tables allow.

The registered choice is one point among them; it alone gives the verdict. The others show how much the answer depends
on what was chosen: the metric, the distance or prompts, the place where the number is read out, whose texts are used,
the noise levels, the windows, and the axis on which windows are shares.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from hf_clipdyn.statistics.claims import ClaimTest, PartPlan
from hf_clipdyn.statistics.contrasts import Estimate
from hf_clipdyn.statistics.evidence import Evidence
from hf_clipdyn.statistics.judging import Part, Verdict
from hf_clipdyn.statistics.trajectories import Trajectory
from hf_clipdyn.statistics.windows import Endpoint, Window

_CHOSEN = ("metric", "variant", "probe", "layer", "texts")
_REGISTERED = "registered"
_LEVELS = "mean of the registered levels"

_Choices: TypeAlias = Sequence[tuple[str, Any]]
"""Values with their words, the registered one first."""


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
        verdict: from `judge`.
        part: one of its parts.
        most: number of combinations.

    Returns:
        Empty for a part that is not a registered contrast: one scale of several, or the difference of two.
    """
    test, scale = verdict.claim.test(verdict.study), part.scale or None
    plan = next((plan for plan in test.parts if plan.contrast == part.contrast), None)
    if plan is None or (test.rule == "every scale" and scale):
        return []
    runs = [run for arm in plan.arm_weights for run in evidence.runs(arm, scale=scale).values()]
    windows = evidence.windows(test)
    choices = [
        _endpoints(plan, runs),
        _levels(plan.contrast.endpoint),
        _windows(windows) if plan.equal == "samples" else [(_REGISTERED, windows)],
        _axes(test, evidence),
    ]
    curve = []
    for is_registered, combination in _combinations(choices, most):
        (_, endpoint), (level, levels), (window, windows), (axis, places) = combination
        endpoint = replace(endpoint, levels=levels)
        chosen = replace(plan, contrast=replace(plan.contrast, endpoint=endpoint))
        contrasts = evidence.part(chosen, windows, scale, places)
        estimate = evidence.combined(contrasts, evidence.confidence(test))
        if not math.isnan(estimate.value):
            words = _endpoint_words(endpoint, evidence) | {"level": level, "window": window, "axis": axis}
            curve.append(Specification(choices=words, estimate=estimate, registered=is_registered))
    names = curve[0].choices if curve else {}
    varying = [name for name in names if len({one.choices[name] for one in curve}) > 1]
    shown = [replace(one, choices={name: one.choices[name] for name in varying}) for one in curve]
    return sorted(shown, key=lambda one: (not one.registered, one.estimate.value))


def _combinations(
    choices: Sequence[_Choices], most: int
) -> Iterator[tuple[bool, tuple[tuple[str, Any], ...]]]:
    """Whether a combination is the registered one, and its values with their words."""
    is_small = math.prod(map(len, choices)) <= most
    for numbered in product(*map(enumerate, choices)):
        changed = sum(number > 0 for number, _ in numbered)
        if is_small or changed <= 1:
            yield not changed, tuple(choice for _, choice in numbered)


def _endpoints(plan: PartPlan, runs: Sequence[Sequence[Trajectory]]) -> _Choices:
    """The registered endpoint, then those that differ in metric, distance, layer, probe or texts, of all runs."""
    registered = plan.contrast.endpoint
    metrics = (registered.metric, *plan.alternatives)
    by_run = [
        dict.fromkeys(
            _key(one)
            for one in run
            if one.metric in metrics
            and registered.has_level(one.level)
            and registered.names(one, but=_CHOSEN)
        )
        for run in runs
    ]
    common = [key for key in (by_run[0] if by_run else ()) if all(key in keys for keys in by_run)]
    keys = dict.fromkeys([_key(registered), *common])
    return [("", replace(registered, **dict(zip(_CHOSEN, key, strict=True)))) for key in keys]


def _key(number: Endpoint | Trajectory) -> tuple[Any, ...]:
    return tuple(getattr(number, name) for name in _CHOSEN)


def _levels(registered: Endpoint) -> _Choices:
    levels = registered.levels
    if len(levels) < 2:
        return [("", levels)]
    return [(_LEVELS, levels), *((f"{level:g}", (level,)) for level in levels)]


def _windows(registered: Mapping[str, Window]) -> _Choices:
    """The registered windows; each 5 % of training longer at both ends; its middle half."""
    return [
        (_REGISTERED, registered),
        ("wider", {name: _resized(window, -0.05) for name, window in registered.items()}),
        ("narrower", {name: _resized(window, None) for name, window in registered.items()}),
    ]


def _resized(window: Window, by: float | None) -> Window:
    if window.start is None or window.end is None:
        return window
    inwards = (window.end - window.start) / 4 if by is None else by
    # A window of trained revisions never gets the untrained one.
    lowest = 1e-6 if window.start > 0 else 0.0
    return replace(window, start=max(window.start + inwards, lowest), end=min(window.end - inwards, 1.0))


def _axes(test: ClaimTest, evidence: Evidence) -> _Choices:
    """Shares of the samples, of the logarithm of the samples, and of the way to the final accuracy."""
    axes = [("samples", evidence.places), ("log samples", _on_clock("log_samples", evidence.places))]
    accuracy = next((gate.endpoint for gate in test.gates if gate.rule == "above chance"), None)
    if accuracy is not None:
        axes.append(("accuracy", _on_clock("monotone_accuracy", evidence.places_at(accuracy))))
    return axes


def _on_clock(name: str, places: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The revisions of runs with shares counted on another clock; before its first reading they are 0."""

    def share(table: pd.DataFrame) -> "pd.Series[float]":
        clock, start, end = table[name], float(table[name].min()), float(table[name].max())
        return ((clock - start) / (end - start)).fillna(0.0) if end > start else clock * np.nan

    return {run: table.assign(share=share(table)) for run, table in places.items()}


def _endpoint_words(endpoint: Endpoint, evidence: Evidence) -> dict[str, str]:
    """Metric, variant, probe, layer and texts in words, from the tables' vocabulary."""
    values = {name: "" if (value := getattr(endpoint, name)) is None else str(value) for name in _CHOSEN}
    terms = next((one.terms for one in evidence.trajectories if one.kind == endpoint.kind), None)
    if terms is None:
        return values
    metrics = {name: term.title for name, term in terms.terms.items()}
    titles = {"metric": metrics, "variant": terms.variants, "probe": terms.probes}
    return {name: titles.get(name, {}).get(value, value) for name, value in values.items()}
