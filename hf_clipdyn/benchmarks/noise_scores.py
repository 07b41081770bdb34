"""The numbers of `Noise`, from its trials alone."""

from collections.abc import Iterator, Sequence, Set
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from hf_clipdyn.benchmarks.base import NO_INTERVAL, Common, by_item, mean_by_item, number
from hf_clipdyn.benchmarks.classes import protocol_in
from hf_clipdyn.benchmarks.corruptions import CORRUPTIONS, Corruption, GaussianNoise
from hf_clipdyn.benchmarks.heads import at_head
from hf_clipdyn.metrics.bootstrap import wilson_interval
from hf_clipdyn.metrics.influence import mean_influence
from hf_clipdyn.metrics.noise_robustness import clear_of_chance, noise_robustness, robustness_influences
from hf_clipdyn.results.row import Number

_FEWEST_IN_COMMON = 10  # images; a rate over fewer says nothing
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
    positions = np.array(levels, np.float64)
    with np.errstate(divide="ignore"):
        positions = np.log10(positions) if axis.log else positions
    return np.where(np.isfinite(positions), positions, np.nan)


def right_when_clean(trials: pd.DataFrame) -> set[Any]:
    """Items that are classified correctly when clean."""
    right = (trials["condition"] == CLEAN) & (trials["decision"] == trials["label"])
    return set(trials.loc[right, "item"])


def noise_numbers(trials: pd.DataFrame, common: Common) -> list[Number]:
    """Accuracies and drops by condition and level, of prompts and probe; displacement; RMS of the change."""
    numbers = at_head(_score_decisions(trials, common, "projection"), protocol_in(trials))
    if trials["probe_decision"].notna().any():
        probed = trials.assign(decision=trials["probe_decision"])
        numbers += _score_decisions(probed[probed["decision"] >= 0], common, "linear_probe")
    if trials["distance"].notna().any():
        for at, rows in by_level(trials):
            rms = float(rows["rms"].iloc[0])
            note = "rotated images have another shape" if np.isnan(rms) else ""
            numbers += [
                _displacement(rows, common, at),
                Number(metric="noise_rms", role="diagnostic", probe="", value=rms, note=note, **at),
            ]
    return numbers + _people(trials)


def noise_numbers_together(a: pd.DataFrame, b: pd.DataFrame) -> tuple[list[Number], list[Number]]:
    """Share of the images that both revisions classify correctly when clean that each corruption makes wrong.

    `drop_when_right` is over each revision's own images: a better revision has more of them, and harder ones. NaN
    if the clean accuracy of either is indistinguishable from chance: one side is then right by luck.
    """
    right = [right_when_clean(side) for side in (a, b)]
    above_chance = all(
        clear_of_chance(len(one) / n, n, int(side["n_classes"].iloc[0]))
        for one, side in zip(right, (a, b), strict=True)
        if (n := side["item"].nunique())
    )
    first, second = (
        at_head(_drops_when_both_right(side, right[0] & right[1], above_chance), protocol_in(side))
        for side in (a, b)
    )
    return first, second


def _people(trials: pd.DataFrame) -> list[Number]:
    """What people answer in the same conditions, if that is known."""
    if "human_accuracy" not in trials:  # of an earlier version
        return []
    key: dict[str, Any] = {"metric": "accuracy", "role": "human", "probe": ""}
    clean = {"condition": CLEAN, "level": None}, trials[trials["condition"] == CLEAN]
    return [
        Number(value=float(value), **key, **at)
        for at, rows in [clean, *by_level(trials)]
        if np.isfinite(value := rows["human_accuracy"].iloc[0])
    ]


def _score_decisions(trials: pd.DataFrame, common: Common, probe: str) -> list[Number]:
    """All numbers that follow from decisions, whether prompts or a probe made them."""
    if trials.empty:
        note = "a linear probe needs two images of a class, and every class has only one"
        return [Number(metric="accuracy", value=float("nan"), probe=probe, note=note)]
    n, n_classes = trials["item"].nunique(), int(trials["n_classes"].iloc[0])
    is_clean = trials["condition"] == CLEAN
    clean, corrupted = trials[is_clean], trials[~is_clean]
    right, items = right_when_clean(trials), pd.Index(clean["item"])
    columns: dict[str, Any] = {"probe": probe, "n": n, "n_clusters": n}
    numbers: list[Number] = []
    for condition in list(corrupted["condition"].unique()) or [GaussianNoise.name]:
        part, kind = corrupted[corrupted["condition"] == condition], CORRUPTIONS[condition]
        levels = [kind.term.untouched, *kind.in_order(part["level"].unique())]
        descending = kind.term.level is not None and kind.term.level.descending
        ranks = part.groupby("level", dropna=False).ngroup(ascending=not descending) + 1
        shown = pd.concat([clean.assign(rank=0), part.assign(rank=ranks)])
        places = on_axis(kind, levels)
        result = noise_robustness(
            shown["decision"].to_numpy(np.int64),
            shown["label"],
            shown["rank"],
            n_classes=n_classes,
            groups=shown["item"],
            places=places,
            **common.resampling,
        )
        hits = np.full((n, len(levels)), np.nan)
        at_ranks = items.get_indexer(shown["item"]), shown["rank"].to_numpy(np.int64)
        hits[at_ranks] = shown["decision"] == shown["label"]
        known = {
            key: [by_item(one, items) for one in contributions]
            for key, contributions in robustness_influences(hits, places, 1 / n_classes).items()
        }
        if not numbers:
            of_clean = known["accuracy"][0]
            numbers += [
                number(result, "clean_accuracy", metric="accuracy", influence=of_clean, **columns),
                Number(metric="accuracy", role="chance", condition="", value=1 / n_classes, **columns),
            ]
        if part.empty or np.isfinite(places).sum() > 1:
            named = columns | {"condition": condition}
            numbers.append(number(result, "area", influence=known["area"][0], **named))
            numbers.append(_threshold(result, kind, places, known["threshold"][0], **named))
        for place, level in enumerate(levels):
            if level is None:
                continue  # the condition has no level that leaves the image untouched
            at = {"condition": condition, "level": number_level(level)}
            drops = ("relative_drop", "chance_corrected_drop") if place else ()
            numbers += [
                number(_at_level(result, key, place), key, influence=known[key][place], **columns, **at)
                for key in ("accuracy", *drops)
            ]
            if place:
                rows = shown[(shown["rank"] == place) & shown["item"].isin(right)]
                cause = result["causes"].get("relative_drop", "")
                numbers.append(_drop_when_right(rows, items, cause, common, {"probe": probe} | at))
    return numbers


def _threshold(
    result: dict[str, Any],
    kind: type[Corruption],
    places: NDArray[np.float64],
    influence: "pd.Series[float]",
    **columns: Any,
) -> Number:
    """The threshold as a level; where its interval reaches the end of the levels that were shown, a note says so."""
    axis = kind.term.level
    ends = result.get("threshold_ci") or NO_INTERVAL
    note = result["causes"].get("threshold", "")
    if not note and {*ends} & {np.nanmin(places), np.nanmax(places)}:
        note = "the interval is open: it reaches the weakest or the strongest level that was shown"
    is_log = axis is not None and axis.log
    value, low, high = ((10**one if is_log else one) for one in (result["threshold"], *ends))
    columns |= {"influence": influence * (np.log(10) * value if is_log else 1.0)}
    return Number(metric="threshold", value=value, ci_low=low, ci_high=high, note=note, **columns)


def _at_level(result: dict[str, Any], key: str, position: int) -> dict[str, Any]:
    """One level of a list in the result, with its interval."""
    keys = (one for one in (key, f"{key}_ci") if one in result)
    return {"n": result["n"], "causes": result["causes"]} | {one: result[one][position] for one in keys}


def _displacement(rows: pd.DataFrame, common: Common, at: dict[str, Any]) -> Number:
    """Mean distance to the clean embedding, in units of the mean distance between clean images.

    Student's interval over the images; the unit is taken as exact.
    """
    n, scale = len(rows), float(rows["mean_pairwise_distance"].iloc[0])
    columns: dict[str, Any] = {"metric": "displacement", "n": n, "n_clusters": n, **at}
    if not scale > ALL_ALIKE:
        note = "all clean images have the same embedding" if n > 1 else "there is only one image"
        return Number(value=float("nan"), note=note, **columns)
    values = rows["distance"].to_numpy() / scale
    columns["influence"] = mean_by_item(values, rows["item"])
    low, high = NO_INTERVAL
    if common.n_resamples and n > 1:
        half = special.stdtrit(n - 1, (1 + common.confidence_level) / 2) * values.std(ddof=1) / np.sqrt(n)
        low, high = values.mean() - half, values.mean() + half
    return Number(value=float(values.mean()), ci_low=low, ci_high=high, **columns)


def _drop_when_right(
    rows: pd.DataFrame, items: pd.Index, cause: str, common: Common, at: dict[str, Any]
) -> Number:
    """Share of these images, which are right when clean, that a corruption makes wrong; Wilson's interval.

    Near chance these images are lucky guesses, and almost any change of the decisions makes them wrong. The number is
    then undefined, for the same cause as the drops.
    """
    wrong = np.asarray(rows["decision"] != rows["label"], np.float64)
    columns: dict[str, Any] = {"metric": "drop_when_right", "n": len(rows), **at}
    if cause:
        return Number(value=float("nan"), note=cause, **columns)
    value, (low, high) = float(wrong.mean()), NO_INTERVAL
    if common.n_resamples:
        low, high = wilson_interval(value, len(rows), common.confidence_level)
    contributions = pd.Series(0.0, index=pd.Index(items, name="item"))
    contributions[rows["item"]] = mean_influence(wrong)
    columns |= {"n_clusters": len(rows), "influence": contributions}
    return Number(value=value, ci_low=low, ci_high=high, **columns)


def _drops_when_both_right(trials: pd.DataFrame, items: Set[Any], above_chance: bool) -> list[Number]:
    """The drop over items that both revisions classify correctly when clean; none if these are too few."""
    if len(items) < _FEWEST_IN_COMMON:
        return []
    note = "" if above_chance else "a clean accuracy is indistinguishable from chance"
    return [
        Number(
            metric="drop_when_both_right",
            value=float((rows["decision"] != rows["label"]).mean()) if above_chance else float("nan"),
            n=len(items),
            note=note,
            influence=mean_by_item(rows["decision"] != rows["label"], rows["item"]),
            **at,
        )
        for at, rows in by_level(trials[trials["item"].isin(items)])
    ]
