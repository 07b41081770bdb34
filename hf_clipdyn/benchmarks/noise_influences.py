"""What each image contributes to the error of the numbers of `Noise`, and the parts of its trials."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import Influence
from hf_clipdyn.benchmarks.corruptions import CORRUPTIONS, Corruption

__all__ = [
    "ALL_ALIKE",
    "CLEAN",
    "by_level",
    "noise_influences",
    "number_level",
    "on_axis",
    "right_when_clean",
]

CLEAN = "none"
"""Condition of the clean images."""
ALL_ALIKE = 1e-20
"""Mean pairwise distance of embeddings that are all alike.

Equal float32 embeddings give 1e-32, since their mean is rounded; the smallest true distance is 1e-15.
"""


def by_level(trials: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """The trials of each condition and level, with these two columns of their numbers; the clean ones are left out."""
    corrupted = trials[trials["condition"] != CLEAN]
    for (condition, level), rows in corrupted.groupby(["condition", "level"], sort=False, dropna=False):
        yield {"condition": condition, "level": number_level(level)}, rows


def number_level(level: Any) -> float | None:
    """A level as numbers have it: None instead of NaN."""
    return None if np.isnan(level) else float(level)


def on_axis(corruption: type[Corruption], levels: Sequence[float | None]) -> NDArray[np.float64]:
    """Where the axis that is drawn has these levels; NaN if it has no place."""
    axis = corruption.term.level
    if axis is None or not corruption.has_order:
        return np.full(len(levels), np.nan)
    found = np.array(levels, np.float64)
    with np.errstate(divide="ignore"):
        found = np.log10(found) if axis.log else found
    return np.where(np.isfinite(found), found, np.nan)


def right_when_clean(trials: pd.DataFrame) -> set[Any]:
    """Items that are classified correctly when clean."""
    right = (trials["condition"] == CLEAN) & (trials["decision"] == trials["label"])
    return set(trials.loc[right, "item"])


def noise_influences(trials: pd.DataFrame) -> Iterator[Influence]:
    """All numbers are smooth functions of means over images; the delta method gives what each image contributes.

    An accuracy a contributes (right - a) / n. The drops (c - a) / (c - g) of a clean accuracy c, with g = 0 or chance,
    have the derivatives -1 / (c - g) by a and (a - g) / (c - g)^2 by c.
    """
    yield from _of_decisions(trials, "projection")
    if trials["probe_decision"].notna().any():
        probed = trials.assign(decision=trials["probe_decision"])
        yield from _of_decisions(probed[probed["decision"] >= 0], "linear_probe")
    constant = pd.Series(0.0, index=pd.Index(trials["item"].unique(), name="item"))
    if trials["distance"].notna().any():
        for at, rows in by_level(trials):
            scale = float(rows["mean_pairwise_distance"].iloc[0])
            distances = rows.set_index("item")["distance"] / (scale if scale > ALL_ALIKE else np.nan)
            yield Influence(metric="displacement", values=_of_mean(distances), **at)
    if "human_accuracy" in trials:
        clean: dict[str, Any] = {"condition": CLEAN, "level": None}
        for at in (clean, *(at for at, _ in by_level(trials))):
            yield Influence(metric="accuracy", role="human", probe="", values=constant, **at)


def _of_mean(values: pd.Series) -> pd.Series:
    return (values - values.mean()) / len(values)


def _of_decisions(trials: pd.DataFrame, probe: str) -> Iterator[Influence]:
    """The influences of what `hf_clipdyn.benchmarks.kinds.noise` scores from decisions."""
    if trials.empty:
        return
    shown = trials.assign(right=(trials["decision"] == trials["label"]).astype(np.float64))
    clean = shown[shown["condition"] == CLEAN].set_index("item")["right"]
    of_clean, accuracy, chance = _of_mean(clean), float(clean.mean()), 1 / int(trials["n_classes"].iloc[0])
    yield Influence(metric="accuracy", probe=probe, values=of_clean)
    yield Influence(metric="accuracy", probe=probe, role="chance", condition="", values=0 * clean)
    curves: dict[str, dict[float | None, pd.Series]] = {}
    for at, rows in by_level(shown):
        right = rows.set_index("item")["right"].reindex(clean.index)
        columns: dict[str, Any] = {"probe": probe, **at}
        found = curves.setdefault(at["condition"], {})[at["level"]] = _of_mean(right)
        yield Influence(metric="accuracy", values=found, **columns)
        for metric, guessed in (("relative_drop", 0.0), ("chance_corrected_drop", chance)):
            with np.errstate(divide="ignore", invalid="ignore"):
                left, above = np.float64(right.mean() - guessed), np.float64(accuracy - guessed)
                values = (of_clean * left / above - found) / above
            yield Influence(metric=metric, values=values, **columns)
        wrong, n = 1 - right, clean.sum()
        lost = clean * (wrong - (wrong * clean).sum() / n) / n if n else clean * np.nan
        yield Influence(metric="drop_when_right", values=lost, **columns)
    for condition, of_levels in curves.items():
        untouched = CORRUPTIONS[condition].term.untouched
        if untouched is not None:
            at = {"condition": condition, "level": number_level(untouched)}
            yield Influence(metric="accuracy", probe=probe, values=of_clean, **at)
        yield from _of_area(condition, {untouched: of_clean} | of_levels, probe)


def _of_area(condition: str, of_levels: dict[float | None, pd.Series], probe: str) -> Iterator[Influence]:
    """Of the area under the curve by trapezoids, if at least two levels have a place on the axis."""
    kind = CORRUPTIONS[condition]
    levels = [kind.term.untouched, *kind.in_order([level for level in of_levels if level is not None])]
    places = on_axis(kind, levels)
    placed = [(at, level) for at, level in zip(places, levels, strict=True) if np.isfinite(at)]
    if len(placed) < 2:
        return
    steps = np.diff([at for at, _ in placed]) / (placed[-1][0] - placed[0][0])
    weights = (np.append(steps, 0) + np.append(0, steps)) / 2
    values = sum(weight * of_levels[level] for weight, (_, level) in zip(weights, placed, strict=True))
    yield Influence(metric="area", probe=probe, condition=condition, values=values)
