"""The numbers of `Noise`, from its trials alone."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.classes import probe_in
from hf_clipdyn.benchmarks.corruptions import CORRUPTIONS
from hf_clipdyn.benchmarks.kind import number
from hf_clipdyn.metrics.checks import Floats
from hf_clipdyn.metrics.noise_robustness import accuracy_curve, clear_of_chance, drop_when_right
from hf_clipdyn.metrics.scores import Scale, Score, interval, mean, over
from hf_clipdyn.results.row import Number

Scored = tuple[Number, Scale]

CLEAN = "none"
"""Condition of the clean images."""
_FEWEST_IN_COMMON = 10  # images; a rate over fewer says nothing
_OPEN = "the interval is open: it reaches the weakest or the strongest level that was shown"


def by_level(trials: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """The trials of each condition and level, with these two columns of their numbers; the clean ones are left out."""
    corrupted = trials[trials["condition"] != CLEAN]
    groups = corrupted.groupby(["condition", "level"], sort=False, dropna=False)
    at: tuple[Any, Any]
    for at, rows in groups:  # type: ignore[assignment]
        condition, level = at
        yield {"condition": condition, "level": None if np.isnan(level) else float(level)}, rows


def noise_numbers(trials: pd.DataFrame) -> Iterator[Scored]:
    """Accuracies and drops by condition and level, of prompts (or the own head) and of the probe; people's accuracy."""
    yield from _of_decisions(trials, probe_in(trials))
    if trials["probe_decision"].notna().any():
        probed = trials.assign(decision=trials["probe_decision"])
        yield from _of_decisions(probed[probed["decision"] >= 0], "linear_probe")
    if "human_accuracy" in trials:  # earlier versions had no such column
        clean = {"condition": CLEAN, "level": None}, trials[trials["condition"] == CLEAN]
        for at, rows in [clean, *by_level(trials)]:
            accuracy = float(rows["human_accuracy"].iloc[0])
            if np.isfinite(accuracy):
                yield number("accuracy", Score(accuracy), role="human", probe="", **at)


def drop_when_both_right(a: pd.DataFrame, b: pd.DataFrame) -> tuple[list[Number], list[Number]]:
    """Share of the images that both revisions classify correctly when clean that each corruption makes wrong.

    `drop_when_right` is over each revision's own images: a better revision has more of them, and harder ones. None if
    fewer than ten images are right in both; NaN if the clean accuracy of either is indistinguishable from chance: one
    side is then right by luck.
    """
    clean = [side[side["condition"] == CLEAN] for side in (a, b)]
    right = [set(side.loc[side["decision"] == side["label"], "item"]) for side in clean]
    both = right[0] & right[1]
    if len(both) < _FEWEST_IN_COMMON:
        return [], []
    clear = all(
        clear_of_chance(len(items) / len(side), len(side), int(side["n_classes"].iloc[0]))
        for items, side in zip(right, clean, strict=True)
    )
    first, second = (_drops(side[side["item"].isin(both)], is_clear=clear) for side in (a, b))
    return first, second


def _drops(trials: pd.DataFrame, *, is_clear: bool) -> list[Number]:
    found = []
    for at, rows in by_level(trials):
        score = mean(rows["decision"] != rows["label"], "count")
        if not is_clear:
            score = replace(score, value=np.nan, cause="a clean accuracy is indistinguishable from chance")
        found.append(number("drop_when_both_right", score, rows["item"], probe=probe_in(trials), **at)[0])
    return found


def _of_decisions(trials: pd.DataFrame, probe: str) -> Iterator[Scored]:
    """All numbers that follow from decisions, whether prompts or a probe made them."""
    if trials.empty:
        cause = "a linear probe needs two images of a class, and every class has only one"
        yield number("accuracy", Score(np.nan, cause=cause), probe=probe)
        return
    n_classes = int(trials["n_classes"].iloc[0])
    clean = trials[trials["condition"] == CLEAN]
    items = pd.Index(clean["item"], name="item")
    right = {str(name): rows for name, rows in trials.groupby("condition", sort=False) if name != CLEAN}
    (whole,), _ = accuracy_curve(_right(clean, items)[:, None], [0.0], n_classes=n_classes)
    yield number("accuracy", whole["accuracy"], items, probe=probe)
    chance = Score(1 / n_classes, n=len(items))
    yield number("accuracy", chance, probe=probe, role="chance", condition="")
    for condition, rows in (right or {"gaussian": trials[:0]}).items():
        yield from _of_condition(condition, clean, rows, items, n_classes, probe)


def _of_condition(
    condition: str, clean: pd.DataFrame, rows: pd.DataFrame, items: pd.Index, n_classes: int, probe: str
) -> Iterator[Scored]:
    kind = CORRUPTIONS[condition]
    untouched, axis = kind.term.untouched, kind.term.level
    levels = kind.in_order(rows["level"].unique())
    shown = [clean, *(rows if np.isnan(level) else rows[rows["level"] == level] for level in levels)]
    right = np.stack([_right(one, items) for one in shown], axis=1)
    places = [np.nan if untouched is None else untouched, *levels]
    if not kind.has_order:
        places = [np.nan] * len(places)
    log = axis is not None and axis.log
    curve, whole = accuracy_curve(right, places, log=log, n_classes=n_classes)
    named: dict[str, Any] = {"probe": probe, "condition": condition}
    if rows.empty or not np.isnan(whole["area"].value):
        yield number("area", whole["area"], items, **named)
        on_axis = [place for place in places if np.isfinite(place) and (place > 0 or not log)]
        yield number("threshold", _with_note(whole["threshold"], on_axis), items, **named)
    if untouched is not None:
        yield number("accuracy", curve[0]["accuracy"], items, **named, level=untouched)
    for level, hits, scores in zip(levels, right.T[1:], curve[1:], strict=True):
        at = named | {"level": None if np.isnan(level) else float(level)}
        lost = drop_when_right(right[:, 0], hits, scores["relative_drop"].cause)
        for metric, score in (scores | {"drop_when_right": lost}).items():
            yield number(metric, score, items, **at)


def _right(rows: pd.DataFrame, items: pd.Index) -> Floats:
    """Whether the decision about each item is right; NaN for one that is not among the rows."""
    found = np.full(len(items), np.nan)
    found[items.get_indexer(pd.Index(rows["item"]))] = rows["decision"] == rows["label"]
    return found


def _with_note(threshold: Score, on_axis: list[float]) -> Score:
    """The threshold; where its 95 % interval reaches the end of the levels that were shown, a note says so."""
    if threshold.influence is None:
        return threshold
    ends = interval(threshold.value, over(threshold.influence), threshold.scale)
    is_open = np.isclose(ends, [min(on_axis), max(on_axis)], rtol=1e-12).any()
    cause = "; ".join(filter(None, [threshold.cause, _OPEN]))
    return replace(threshold, cause=cause) if is_open else threshold
