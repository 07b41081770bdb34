"""Contrasts: an endpoint's means over windows of training, weighted; per run, then over seeds and scales.

Over the n seeds of a scale the standard error of the mean is

    SE² = s² / n + V_shared

with s² the variance between the seeds. All seeds are shown the same items, so the part of the items' variance that
is common to all seeds does not show between them. Let the contrast of seed i be μ + e_i + d_i, with e_i from
the seed, of variance σ², and d_i from the items, of variance v_i and covariance c_ij with that of seed j. Then

- the expectation of s² is σ² + v - c, with v the mean of the variances v_i and c the mean of the covariances;
- the variance of the items in the mean over seeds is V = v / n + c (n - 1) / n, known from the items' contributions;
- the variance of the mean is σ² / n + V, which is the expectation of s² / n + V - (v - c) / n = s² / n + c.

Hence V_shared = c = (n V - v) / (n - 1), at least 0: what is not shared is in s² / n already. With several
scales k, each with n_k seeds and the weight a_k (1 / the number of scales, for their mean), s² and v - c are pooled
within scales by the degrees of freedom n_k - 1, and the same holds with the sum of a_k² / n_k in place of 1 / n.
Student's t has the sum of the n_k - 1 as its degrees of freedom. That is right where seeds dominate the error and too
wide where items do, whose variance is known better. Intervals of 95 % over 5 seeds covered 94.9 % without an error of
the items, 96.8 % with items of sd 1/5 of that of a seed, 98.6 % with 1/2, and 99.2 % with items only (20,000 simulated
studies each, 70 % of the items' variance shared; `tests/statistics/test_contrasts.py`). With ``separate_errors`` the
items have a quantile of their own (`hf_clipdyn.statistics.power.half_width`).
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from hf_clipdyn.benchmarks.units import Key
from hf_clipdyn.errors import ConfigError, UnknownNameError
from hf_clipdyn.metrics.influence import Influence, weighted_sum
from hf_clipdyn.statistics.influences import KeptInfluences
from hf_clipdyn.statistics.power import Error, half_width
from hf_clipdyn.statistics.trajectories import Trajectory
from hf_clipdyn.statistics.windows import Endpoint, Form, RunValues, Window, place

__all__ = [
    "AgainstNull",
    "Contrast",
    "Endpoint",
    "Estimate",
    "RunContrast",
    "combine",
    "jackknifed",
    "minus",
    "paired_change",
    "run_contrasts",
    "weighted",
]

ONE_SEQUENCE = "one seed: the interval concerns this sequence of checkpoints only"
"""A note of estimates without a second seed."""


@dataclass(frozen=True, kw_only=True)
class Contrast(Form):
    """``constant`` + the sum of weight * m(window); positive favours the claim.

    Attributes:
        title: in words.
        endpoint: m, the number whose means over windows are taken.
        weights: by the name of a window.
        smallest_effect: δ, above 0, in units of the endpoint.
    """

    title: str
    endpoint: Endpoint
    constant: float = 0.0
    weights: Mapping[str, float]
    smallest_effect: float

    def __post_init__(self) -> None:
        if not self.smallest_effect > 0:
            raise ConfigError(
                f"smallest_effect of {self.title!r} is {self.smallest_effect}: give one above 0."
            )
        if not self.weights:
            raise ConfigError(f"weights of {self.title!r} name no window: give at least one.")


@dataclass(frozen=True)
class AgainstNull:
    """The values that a contrast reads, beside the null of their number, such as the error of a flat observer.

    Attributes:
        null: its title and height.
        n: values that have a null.
        n_no_better: those of them that are no better than it.
    """

    null: str
    n: int
    n_no_better: int

    def __add__(self, other: "AgainstNull") -> "AgainstNull":
        return replace(self, n=self.n + other.n, n_no_better=self.n_no_better + other.n_no_better)


@dataclass(frozen=True, kw_only=True)
class RunContrast:
    """A contrast in one run.

    Attributes:
        run: name of the run, of one scale, seed and arm.
        value: NaN if undefined, with the cause.
        n: items.
        n_clusters: clusters of items that the variance comes from.
        cause: of a value that is NaN.
        note: a caution about the value, or why its variance is unknown.
        against_null: how many of the values that it reads are no better than their null; None without a null.
        influence: what each item contributes to the value; its variance is NaN if unknown, with the cause in ``note``.
    """

    run: str
    scale: str
    seed: int | None
    arm: str = ""
    value: float
    n: int = 0
    n_clusters: int = 0
    cause: str = ""
    note: str = ""
    against_null: AgainstNull | None = None
    influence: Influence = field(default=Influence.unknown("no trials were given"), compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A contrast over the seeds of one or several scales.

    Attributes:
        value: mean over the seeds, then over the scales; NaN if undefined, with the cause.
        ci_low, ci_high: Student's interval at ``confidence_level``; NaN if there is none.
        standard_error: its square is s²(seeds) / n + the variance from the items that the seeds share.
        degrees_of_freedom: of Student's t: those of the seeds; with one seed, those of the clusters of items.
        errors: what the standard error consists of, if each part has a quantile of its own: the seeds first.
        n_seeds: runs that count.
        scales: their scales, in the order of the runs.
        n: items.
        n_clusters: clusters of items.
        cause: of a value or an interval that is NaN.
        notes: cautions: what the interval leaves out.
        runs: the contrast of each run, also of those that only the pooled variance between seeds counts.
    """

    value: float
    ci_low: float = math.nan
    ci_high: float = math.nan
    standard_error: float = math.nan
    degrees_of_freedom: float = math.nan
    errors: tuple[Error, ...] = ()
    confidence_level: float = 0.95
    n_seeds: int = 0
    scales: tuple[str, ...] = ()
    n: int = 0
    n_clusters: int = 0
    cause: str = ""
    notes: tuple[str, ...] = ()
    runs: tuple[RunContrast, ...] = ()


def run_contrasts(
    contrast: Contrast,
    windows: Iterable[Window],
    runs: Iterable[RunValues],
    influences: KeptInfluences | None = None,
    *,
    places: Mapping[str, pd.DataFrame],
) -> list[RunContrast]:
    """A contrast in each run.

    A window has the revisions at which the number was measured. One at which it is undefined or not interpretable makes
    the contrast undefined: to leave it out would choose which revisions enter.

    Args:
        contrast: what to estimate.
        windows: those that its weights name, and maybe others.
        runs: the values of its endpoint.
        influences: from the trials beside the tables; without them an interval has the seeds' part only.
        places: of the revisions of the runs, from `align`.

    Raises:
        UnknownNameError: a weight names a window that is not given.
    """
    by_name = {window.name: window for window in windows}
    for name in contrast.weights:
        if name not in by_name:
            raise UnknownNameError("window", name, by_name)
    weights = {by_name[name]: weight for name, weight in contrast.weights.items()}
    drafts = [_draft(contrast, weights, values, places[values.run]) for values in runs]
    return _with_errors(contrast, drafts, influences)


@dataclass(frozen=True)
class _Draft:
    """A contrast in one run, and the weights of the numbers that it is the sum of, by their cell and their key."""

    run: RunContrast
    weights: Mapping[tuple[str, Key], float] = field(default_factory=dict)


def _draft(
    contrast: Contrast, windows: Mapping[Window, float], values: RunValues, revisions: pd.DataFrame
) -> _Draft:
    run = RunContrast(run=values.run, scale=values.scale, seed=values.seed, arm=values.arm, value=math.nan)
    if values.cause:
        return _Draft(replace(run, cause=values.cause))
    weights: Counter[str] = Counter()
    notes = []
    is_measured = [revision in values.readings for revision in revisions.index]
    measured = revisions if all(is_measured) else revisions[is_measured]
    for window, weight in windows.items():
        shares, note = place(window, measured)
        if not shares:
            return _Draft(replace(run, cause=note))
        notes.append(note)
        for revision, share in shares.items():
            weights[revision] += weight * share  # type: ignore[assignment]  # a Counter of floats
    used = {revision: values.readings[revision] for revision in weights}
    for revision, reading in used.items():
        if reading.cause:
            return _Draft(replace(run, cause=f"{revision}: {reading.cause}"))
    estimate = replace(
        run,
        value=contrast.constant + sum(weights[revision] * one.value for revision, one in used.items()),
        n=max(one.n for one in used.values()),
        n_clusters=max(one.n_clusters for one in used.values()),
        note="; ".join(dict.fromkeys(filter(None, notes))),
        against_null=_against_null(values, [one.value for one in used.values()]),
    )
    of_numbers = {
        (cell, part.number_key): weights[revision] / len(values.parts)
        for revision, one in used.items()
        for cell, part in zip(one.cells, values.parts, strict=True)
    }
    return _Draft(estimate, of_numbers)


def _against_null(values: RunValues, read: Sequence[float]) -> AgainstNull | None:
    better = [values.beats_null(one) for one in read]
    if None in better:
        return None
    title, height = values.null
    return AgainstNull(f"{title}, {height:.3f}", len(better), better.count(False))


def _with_errors(
    contrast: Contrast, drafts: Sequence[_Draft], influences: KeptInfluences | None
) -> list[RunContrast]:
    wanted: dict[str, set[Key]] = defaultdict(set)
    for draft in drafts:
        for cell, key in draft.weights:
            wanted[cell].add(key)
    if influences is None:
        return [draft.run for draft in drafts]
    known = influences.of(contrast.endpoint.kind, wanted)
    return [
        _with_error(
            draft.run, weighted_sum([known[one] for one in draft.weights], list(draft.weights.values()))
        )
        if draft.weights
        else draft.run
        for draft in drafts
    ]


def _with_error(run: RunContrast, influence: Influence) -> RunContrast:
    return replace(
        run,
        influence=influence,
        n_clusters=influence.n_clusters or run.n_clusters,
        note="; ".join(filter(None, [run.note, influence.cause])),
    )


def minus(first: Iterable[RunContrast], second: Iterable[RunContrast]) -> list[RunContrast]:
    """The difference of two arms, run by run: the first minus the second one of the same scale and seed."""
    return weighted([list(first), list(second)], [1.0, -1.0])


def weighted(sides: Sequence[Sequence[RunContrast]], weights: Sequence[float]) -> list[RunContrast]:
    """A weighted sum of arms, or of contrasts of one arm, run by run.

    Seeds and items are shared, so what the sides have in common cancels. A run without its partner is undefined.

    Args:
        sides: the runs of each; those of one scale and seed belong together.
        weights: of the sides.

    Returns:
        One for each run of the first side.
    """
    partners: list[dict[tuple[str, int | None], list[RunContrast]]] = []
    for side in sides[1:]:
        of_side = defaultdict(list)
        for run in side:
            of_side[run.scale, run.seed].append(run)
        partners.append(of_side)
    return [_summed(run, [of[run.scale, run.seed] for of in partners], weights) for run in sides[0]]


def _summed(
    one: RunContrast, partners: Sequence[Sequence[RunContrast]], weights: Sequence[float]
) -> RunContrast:
    place = f"scale {one.scale or 'unknown'} and seed {'unknown' if one.seed is None else one.seed}"
    for found in partners:
        if len(found) != 1:
            cause = f"{len(found)} runs of the other arm have {place}; exactly 1 is needed"
            return replace(one, value=math.nan, cause=cause, influence=Influence.unknown(cause))
    members = [one, *(found[0] for found in partners)]
    influence = weighted_sum([run.influence for run in members], weights)
    nulls = [run.against_null for run in members]
    return replace(
        one,
        run=_sum_words([run.run for run in members], weights),
        arm=_sum_words([run.arm or "main" for run in members], weights),
        value=sum(weight * run.value for weight, run in zip(weights, members, strict=True)),
        influence=influence,
        n=max(run.n for run in members),
        n_clusters=influence.n_clusters or min(run.n_clusters for run in members),
        cause=next((run.cause for run in members if run.cause), ""),
        note="; ".join(dict.fromkeys(run.note for run in members if run.note)),
        against_null=None if None in nulls else reduce(add, nulls),
    )


def _sum_words(names: Sequence[str], weights: Sequence[float]) -> str:
    """``a - b`` for weights of 1 and -1, else with the weights: ``0.5 a + 0.5 b - c``."""
    terms = []
    for name, weight in zip(names, weights, strict=True):
        size = "" if abs(weight) == 1 else f"{abs(weight):g} "
        terms += ["-" if weight < 0 else "+", f"{size}{name}"]
    return " ".join(terms[1:] if terms[0] == "+" else terms)


def jackknifed(
    within: Sequence[RunContrast], first: Sequence[RunContrast] = (), second: Sequence[RunContrast] = ()
) -> list[RunContrast]:
    """A mean over pairs of seeds as values of single seeds, whose mean and whose error are those of the jackknife.

    Let θ be the mean over all pairs, θ(s) that over the pairs without seed s, and D the number of seeds. The values are
    θ + (D - 1) (mean of θ(s) - θ(s)), so their mean is θ, and the squared standard error of their mean is the
    jackknife's, as in `hf_clipdyn.metrics.influence.mean_over_pairs`. All of them follow from the means of each seed.

    Args:
        within: of each seed the mean over its pairs with the other seeds of its arm.
        first, second: of each seed of one arm, and of each seed of the other, the mean over its pairs with the unequal
            seeds of the other arm; the mean over these pairs is subtracted. Or nothing. ``first`` has the arm and the
            seeds of ``within``.

    Returns:
        One for each seed; undefined with fewer than three seeds of an arm, of several scales, or of an arm twice.
    """
    runs = [*within, *first, *second]
    own, others = ([run.seed for run in side] for side in (within, second))
    seeds = list(dict.fromkeys([*own, *others]))
    fewest = min(len(set(own)), len(set(others)) if first or second else len(own))
    is_clear = len({run.scale for run in runs}) == 1 and all(
        len({run.seed for run in side}) == len(side) for side in (within, first, second)
    )
    if fewest < 3 or not is_clear or (first and [run.seed for run in first] != own):
        cause = "a mean over pairs needs one scale, and three seeds of each arm"
        return [replace(run, value=math.nan, cause=run.cause or cause) for run in within]
    # Of each seed's mean the number of pairs, and how the sum over the pairs without a seed follows from the means.
    of_pairs = np.full(len(own), len(own) - 1.0)
    of_first = (
        np.array([len(others) - (seed in others) for seed in own], np.float64) if first else np.empty(0)
    )
    of_second = np.array([len(own) - (seed in own) for seed in others], np.float64) if first else np.empty(0)

    def coefficients(without: int | None) -> NDArray[np.float64]:
        """Of the means of each seed, in the mean over the pairs without one."""
        out = np.array([seed == without and without is not None for seed in own])
        column = np.array([seed == without and without is not None for seed in others], bool)
        # Each pair within the arm is in the means of two seeds, and each pair between the arms in one of either side.
        pairs = (0.5 - out) * of_pairs
        terms = [pairs / pairs.sum()]
        if first:
            rows, columns = (1.0 - out) * of_first, -1.0 * column * of_second
            terms += [-one / (rows.sum() + columns.sum()) for one in (rows, columns)]
        return np.concatenate(terms)

    whole, without_each = coefficients(None), np.stack([coefficients(seed) for seed in seeds])
    values = whole + (len(seeds) - 1) * (without_each.mean(axis=0) - without_each)
    labels = {run.seed: run for run in reversed([*within, *second])}
    return [
        replace(
            _summed(runs[0], [[other] for other in runs[1:]], shares.tolist()),
            run=labels[seed].run,
            arm=within[0].arm,
            seed=seed,
        )
        for seed, shares in zip(seeds, values, strict=True)
    ]


def paired_change(
    one: Trajectory, first: Any, last: Any, influences: KeptInfluences, confidence_level: float = 0.95
) -> Estimate:
    """The value at ``last`` minus that at ``first``; what makes an item easy for both revisions cancels.

    Args:
        one: a number of one run.
        first, last: two of its points (rows).
        influences: from the trials; without them there is no interval.
        confidence_level: of the interval, over the items.
    """
    cells = (last.cell, first.cell)
    known = influences.of(one.kind, {cell: {one.number_key} for cell in cells})
    change = RunContrast(
        run=one.run,
        scale=one.scale,
        seed=one.seed,
        arm=one.arm,
        value=last.value - first.value,
        n=max(first.n, last.n),
    )
    influence = weighted_sum([known[cell, one.number_key] for cell in cells], [1, -1])
    return combine([_with_error(change, influence)], confidence_level)


def combine(
    runs: Iterable[RunContrast],
    confidence_level: float = 0.95,
    *,
    scales: Mapping[str, float] | None = None,
    separate_errors: bool = False,
) -> Estimate:
    """A contrast over seeds; scale is a fixed block.

    Args:
        runs: one for each seed of each scale, all of one arm; runs of an unknown seed are not seeds of one training,
            and are a block each.
        confidence_level: of the interval.
        scales: weight of each scale, by default that of the mean over all. ``{"small": 1, "tiny": -1}`` gives
            their difference; runs of other scales then do not count, but for the pooled variance between seeds.
        separate_errors: whether the items have a quantile of Student's t of their own.

    Raises:
        UnknownNameError: a weight is for a scale that no run has.
    """
    listed = [one for one in runs if scales is None or one.scale in scales or not math.isnan(one.value)]
    blocks: dict[str, list[int]] = defaultdict(list)
    for index, one in enumerate(listed):
        blocks[one.scale if one.seed is not None else one.run].append(index)
    for name in scales or {}:
        if name not in blocks:
            raise UnknownNameError("scale among the runs", name, blocks)
    weights = {name: 1 / len(blocks) if scales is None else scales.get(name, 0.0) for name in blocks}
    counted = [listed[index] for name, block in blocks.items() if weights[name] for index in block]
    result = Estimate(
        value=math.nan,
        confidence_level=confidence_level,
        n_seeds=len(counted),
        scales=tuple(dict.fromkeys(one.scale for one in counted)),
        n=max((one.n for one in counted), default=0),
        n_clusters=min((one.n_clusters for one in counted), default=0),
        runs=tuple(listed),
    )
    if cause := _cause(listed):
        return replace(result, cause=cause)
    members = [np.array(index) for index in blocks.values()]
    return _interval(result, members, np.array([weights[name] for name in blocks]), separate_errors)


def _cause(runs: Sequence[RunContrast]) -> str:
    """Why these runs have no common estimate; empty if they have one."""
    if not runs:
        return "there is no run"
    for one in runs:
        if math.isnan(one.value):
            return f"{one.run}: {one.cause or 'no cause was recorded'}"
    arms = list(dict.fromkeys(one.arm or "main" for one in runs))
    if len(arms) > 1:
        return f"the runs are of several arms ({', '.join(arms)})"
    seeds = Counter((one.scale, one.seed) for one in runs if one.seed is not None)
    (scale, seed), most = max(seeds.items(), key=lambda item: item[1], default=(("", None), 1))
    return (
        f"{most} runs have scale {scale or 'unknown'} and seed {seed}: name only one of them"
        if most > 1
        else ""
    )


def _interval(
    result: Estimate,
    blocks: Sequence[NDArray[np.int64]],
    weights: NDArray[np.float64],
    separate_errors: bool,
) -> Estimate:
    """The estimate over blocks of seeds, given by the positions of their runs."""
    runs, notes = result.runs, []
    values = np.array([one.value for one in runs])
    sizes = np.array([len(block) for block in blocks])
    value = float(weights @ [values[block].mean() for block in blocks])
    of_runs = np.empty(len(runs))
    for block, weight in zip(blocks, weights, strict=True):
        of_runs[block] = weight / len(block)
    degrees = int((sizes - 1).sum())
    influences = [one.influence for one in runs]
    items = weighted_sum(influences, of_runs.tolist())
    errors: tuple[Error, ...] = ()
    if degrees == 0:
        variance, degrees = items.variance, items.n_clusters - 1
        notes.append(ONE_SEQUENCE)
        cause = items.cause
    else:
        spread = (
            sum(float(np.square(values[block] - values[block].mean()).sum()) for block in blocks) / degrees
        )
        share = float((np.square(weights) / sizes).sum())
        shared = 0.0
        if items.cause:
            notes.append(
                f"the interval does not include the error over items that all seeds share: {items.cause}"
            )
        else:
            shared = max(0.0, items.variance - share * _not_shared(influences, blocks) / degrees)
        variance, cause = spread * share + shared, ""
        if separate_errors and variance > 0:
            errors = (Error("seeds", spread * share, degrees),)
            if shared > 0:
                errors += (Error("items", shared, items.n_clusters - 1),)
    if variance == 0:
        cause = "the error cannot be estimated: no seed and no item changes the value"
    error = math.sqrt(variance) if variance > 0 else math.nan
    half = (
        half_width(errors, result.confidence_level)
        if errors
        else (
            float(special.stdtrit(degrees, (1 + result.confidence_level) / 2)) * error
            if degrees > 0
            else math.nan
        )
    )
    return replace(
        result,
        value=value,
        ci_low=value - half,
        ci_high=value + half,
        standard_error=error,
        errors=errors,
        degrees_of_freedom=float(degrees) if degrees > 0 else math.nan,
        n_clusters=items.n_clusters or result.n_clusters,
        cause=cause,
        notes=(*notes, *dict.fromkeys(one.note for one in runs if one.note and one.note != items.cause)),
    )


def _not_shared(influences: Sequence[Influence], blocks: Sequence[NDArray[np.int64]]) -> float:
    """The sum over blocks of (n - 1) (v - c): what the items add to the squares between the seeds."""
    variance = 0.0
    for block in blocks:
        n, held = len(block), [influences[index] for index in block]
        if n > 1:
            own = float(np.mean([one.variance for one in held]))
            of_mean = weighted_sum(held, [1 / n] * n).variance
            variance += n * (own - of_mean)  # since V = v / n + c (n - 1) / n
    return variance
