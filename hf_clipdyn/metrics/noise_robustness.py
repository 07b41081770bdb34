"""How fast classification accuracy falls when noise of growing strength is added to the pixels."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics._validation import (
    Floats,
    Ints,
    as_class_ids,
    as_codes,
    as_numbers,
    check_classes,
    check_lengths,
)
from hf_clipdyn.metrics.bootstrap import Resampling, Scale, resampled_intervals, wilson_interval
from hf_clipdyn.metrics.influence import mean_influence

__all__ = ["clear_of_chance", "halfway_place", "noise_robustness", "robustness_influences"]

_DROPS = ("relative_drop", "chance_corrected_drop")
_OF_CHANCE = (*_DROPS, "threshold")
_ON_AXIS = ("area", "threshold")


def noise_robustness(
    predictions: ArrayLike,
    references: ArrayLike,
    sigmas: ArrayLike,
    *,
    n_classes: int | None = None,
    groups: ArrayLike | None = None,
    places: ArrayLike | None = None,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Accuracy by noise level, its drop against the clean images, and the area under the curve.

    The decisions of an untrained model are nearly constant, so noise hardly changes them: compare a drop
    with the accuracy and the displacement of the embedding.

    Args:
        predictions, references: class ids, shape (n,): a row for each image at each noise level.
        sigmas: noise of each row as a standard deviation on pixels in [0, 1], shape (n,), >= 0;
            rows at 0.0 are the clean images and are required.
        n_classes: number of classes, for the chance level 1 / n_classes. Without it the clean accuracy
            cannot be compared with chance: ``relative_drop`` is then computed whatever that accuracy is.
        groups: image of each row, shape (n,). With it, images are resampled with all their noise
            levels, so that the drop's interval is paired. Without, rows are resampled, and the
            intervals of the drops are too wide, since an image is right or wrong at all levels.
        places: position of each distinct sigma on the axis of area and threshold, ascending or descending, shape (L,);
            NaN leaves a level out. Default: the sigmas themselves.
        n_resamples, confidence_level, seed: see `bootstrap.Resampling`.

    Returns:
        - ``sigmas``: the distinct noise levels, ascending from 0.0; aligned with it the lists
          ``accuracy``, ``relative_drop`` = (clean - noisy) / clean, ``chance_corrected_drop`` =
          (clean - noisy) / (clean - chance), and ``n_per_sigma``. A drop is 0 for no effect,
          negative where noise helps; 1 is all of the accuracy (above chance) lost.
        - ``area``: under the accuracy from the first to the last place (trapezoids), divided by their
          distance: the mean accuracy from sigma 0 to the largest, in [0, 1].
        - ``threshold``: the place at which the accuracy first falls halfway from clean to chance
          (`halfway_place`). A resample that never falls so far, or does so before the first place, counts
          as that end of the axis: an interval that ends with the axis is open there.
        - ``clean_accuracy``, and ``n``, the number of rows.
        - ``<key>_ci``: [low, high]; for the lists one for each sigma; ``causes``.
        NaN: both drops where the clean accuracy is not clear of chance
        (`clear_of_chance`), since guesses have nothing to lose; relative_drop where the clean
        accuracy is 0; chance_corrected_drop without ``n_classes``; area with fewer than two
        places, as with no noise level but 0; threshold where the drops or the area are, and where the accuracy
        does not reach halfway between the first and the last place.

    Raises:
        MetricError: different lengths, no rows, NaN, a negative sigma, no row at sigma 0, ids that
            are not whole numbers from 0 to n_classes - 1, places in no order.

    Examples:
        >>> from hf_clipdyn.metrics.noise_robustness import noise_robustness
        >>> result = noise_robustness([0, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0.1, 0.1], n_resamples=0,
        ...                           n_classes=1000)
        >>> result["sigmas"], result["accuracy"], result["relative_drop"], result["area"]
        ([0.0, 0.1], [1.0, 0.5], [0.0, 0.5], 0.75)
    """
    resampling = Resampling(n_resamples, confidence_level, seed)
    predicted, truth = as_class_ids("predictions", predictions), as_class_ids("references", references)
    noise = as_numbers("sigmas", sigmas)
    check_lengths({"predictions": predicted, "references": truth, "sigmas": noise})
    n = len(predicted)
    check_classes(n_classes, predicted, truth)
    levels, level_of = _levels(noise)
    correct = predicted == truth
    chance = float("nan") if n_classes is None else 1 / n_classes

    if groups is None:
        units, counts = _outcomes(level_of, correct, len(levels))
    else:
        units, counts = _images(level_of, correct, len(levels), *as_codes("groups", groups, n))
    on_axis = _places(levels, places)
    curve = _Curve(levels, on_axis, chance, *units)
    values = curve(counts[None].astype(np.float64))[0]
    n_per_sigma = np.bincount(level_of)
    clean = float(values[0])
    near_chance = n_classes is not None and not clear_of_chance(
        clean, int(n_per_sigma[0]), n_classes, confidence_level
    )
    causes: dict[str, str] = {}
    if near_chance:
        cause = f"the clean accuracy {clean:.3f} is indistinguishable from chance, {chance:.3f}"
        causes = dict.fromkeys(_OF_CHANCE, cause)
    elif clean == 0:
        causes["relative_drop"] = "no clean image is classified correctly"
    if n_classes is None:
        causes |= dict.fromkeys(("chance_corrected_drop", "threshold"), "n_classes is not given")
    if len(levels) == 1:
        causes |= dict.fromkeys(_ON_AXIS, "the only noise level is 0")
    elif np.isfinite(on_axis).sum() < 2:
        causes |= dict.fromkeys(_ON_AXIS, "fewer than two levels have a place on the axis")
    elif "threshold" not in causes and np.isnan(values[-1]):
        causes["threshold"] = _unreached(clean, chance, values[: len(levels)], on_axis)

    result: dict[str, Any] = {"sigmas": levels.tolist(), **curve.named(values, near_chance)}
    result |= {"n_per_sigma": n_per_sigma.tolist(), "n": n, "causes": causes}
    if resampling:
        # An image that is right at all levels is one trial of the area, not one for each level.
        trials = [*n_per_sigma, *[int(counts.sum())] * (len(values) - len(levels))]
        intervals = resampled_intervals(curve.censored, counts, curve.scales, resampling, trials)
        if np.isnan(values[-1]):
            intervals[-1] = np.nan  # a value beyond the axis has no interval on it
        intervals[-1] = _within(intervals[-1], on_axis)
        result |= {f"{key}_ci": interval for key, interval in curve.named(intervals, near_chance).items()}
    return result


def halfway_place(accuracy: ArrayLike, places: ArrayLike, clean: ArrayLike, chance: float) -> Floats:
    """Where on an axis an accuracy first falls halfway from its clean value to chance, by linear interpolation.

    It is a threshold as in psychophysics: the level that takes half of the accuracy above chance.

    Args:
        accuracy: at each place, from the weakest level on, shape (..., L).
        places: ascending or descending, shape (L,).
        clean: accuracy without noise, shape (...).
        chance: accuracy of guessing.

    Returns:
        Shape (...), between the first and the last place. -inf where the accuracy is at or below halfway at the first
        place already (unless it is exactly halfway), inf where it never falls that far; NaN where clean is not above
        chance.

    Examples:
        >>> from hf_clipdyn.metrics.noise_robustness import halfway_place
        >>> halfway_place([[0.9, 0.7, 0.3], [0.9, 0.8, 0.7]], [0.0, 0.1, 0.3], [0.9, 0.9], 0.1).round(3).tolist()
        [0.2, inf]
    """
    curve, place, start = (np.asarray(one, np.float64) for one in (accuracy, places, clean))
    half = (start + chance) / 2
    reached = curve <= half[..., None]
    after = reached.argmax(axis=-1)
    before = np.maximum(after - 1, 0)
    high, low = (np.take_along_axis(curve, at[..., None], axis=-1)[..., 0] for at in (before, after))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(high > low, (high - half) / (high - low), 0.0)
    crossing = place[before] + share * (place[after] - place[before])
    crossing = np.where((after == 0) & (low < half), -np.inf, crossing)
    crossing = np.where(reached.any(axis=-1), crossing, np.inf)
    return np.asarray(np.where(start > chance, crossing, np.nan))


def clear_of_chance(accuracy: float, n: int, n_classes: int, confidence_level: float = 0.95) -> bool:
    """Whether the whole interval of an accuracy is above the chance level 1 / n_classes.

    Args:
        accuracy: in [0, 1].
        n: number of images.
        n_classes: number of classes.
        confidence_level: of Wilson's interval, in (0, 1).

    Examples:
        >>> from hf_clipdyn.metrics.noise_robustness import clear_of_chance
        >>> clear_of_chance(0.2, n=200, n_classes=10), clear_of_chance(0.2, n=20, n_classes=10)
        (True, False)
    """
    return bool(wilson_interval(accuracy, n, confidence_level)[0] > 1 / n_classes)


def robustness_influences(right: ArrayLike, places: ArrayLike, chance: float) -> dict[str, Floats]:
    """What each image contributes to the numbers of `noise_robustness`, in the first order.

    An accuracy a has the contributions (right - a) / n. The drops (c - a) / (c - g) of a clean accuracy c, with g = 0
    or chance, have the derivatives -1 / (c - g) by a and (a - g) / (c - g)^2 by c. The threshold is where the accuracy
    reaches (c + chance) / 2 between two places; it moves with the clean accuracy and with those at both places.

    Args:
        right: shape (n, L), whether each image is right at each level, the clean ones first.
        places: as for `noise_robustness`, shape (L,).
        chance: accuracy of guessing.

    Returns:
        ``accuracy``, ``relative_drop`` and ``chance_corrected_drop``, shape (L, n); ``area`` and ``threshold``, shape
        (1, n). NaN where a number is undefined.

    Examples:
        >>> from hf_clipdyn.metrics.noise_robustness import robustness_influences
        >>> found = robustness_influences([[1, 1], [1, 0], [1, 0], [0, 0]], [0.0, 0.1], chance=0.1)
        >>> found["relative_drop"][1].round(3).tolist()
        [-0.222, 0.111, 0.111, 0.0]
    """
    table, place = np.asarray(right, np.float64), np.asarray(places, np.float64)
    values, influence = np.nanmean(table, axis=0), mean_influence(table)
    clean = influence[:, :1]
    result = {"accuracy": influence.T}
    with np.errstate(divide="ignore", invalid="ignore"):
        for name, guessed in (("relative_drop", 0.0), ("chance_corrected_drop", chance)):
            above = values[0] - guessed
            result[name] = ((clean * (values - guessed) / above - influence) / above).T
    result |= dict.fromkeys(_ON_AXIS, np.full((1, len(table)), np.nan))
    placed = np.isfinite(place)
    if placed.sum() < 2:
        return result
    at, curve, moved = place[placed], values[placed], influence[:, placed]
    steps = np.diff(at) / (at[-1] - at[0])
    result["area"] = ((moved[:, 1:] + moved[:, :-1]) / 2 @ steps)[None]
    half = (values[0] + chance) / 2
    after = int((curve <= half).argmax())
    if after and values[0] > chance and curve[after] <= half < curve[after - 1]:
        high, low, span = curve[after - 1], curve[after], at[after] - at[after - 1]
        of_high, of_low = moved[:, after - 1], moved[:, after]
        shift = (of_high - clean[:, 0] / 2) * (high - low) - (high - half) * (of_high - of_low)
        result["threshold"] = (span * shift / (high - low) ** 2)[None]
    return result


class _Curve:
    """A statistic (see `bootstrap`): accuracy, relative drop and corrected drop of each level, and the area.

    Args:
        levels: shape (L,), ascending from 0.
        places: shape (L,), where the area has them; NaN for a level that it leaves out.
        chance: accuracy of guessing, or NaN.
        right, rows: shape (K, L): correct decisions, and all decisions, of one unit at each level.
    """

    def __init__(self, levels: Floats, places: Floats, chance: float, right: Floats, rows: Floats) -> None:
        self.levels, self.chance, self.right, self.rows = levels, chance, right, rows
        self.on_axis = np.isfinite(places)
        self.placed = placed = places[self.on_axis]
        self.steps = np.diff(placed) / (placed[-1] - placed[0]) if len(placed) > 1 else None
        accuracies: list[Scale] = ["share"] * len(levels)
        drops: list[Scale] = ["linear"] * (2 * len(levels))
        area: Scale = "share"
        threshold: Scale = "linear"
        self.scales = [*accuracies, *drops, area, threshold]

    def __call__(self, weights: Floats) -> Floats:
        values = self._values(weights)
        values[:, -1] = np.where(np.isfinite(values[:, -1]), values[:, -1], np.nan)
        return values

    def censored(self, weights: Floats) -> Floats:
        """As a call, with a threshold beyond the axis at its end."""
        values = self._values(weights)
        if len(self.placed) > 1:
            first, last = self.placed[0], self.placed[-1]
            beyond = {np.inf: last, -np.inf: first}
            for end, place in beyond.items():
                values[values[:, -1] == end, -1] = place
        return values

    def _values(self, weights: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            accuracy = (weights @ self.right) / (weights @ self.rows)
            clean = accuracy[:, :1]
            relative = np.where(clean > 0, (clean - accuracy) / clean, np.nan)
            corrected = np.where(clean != self.chance, (clean - accuracy) / (clean - self.chance), np.nan)
        area, threshold = np.full((2, len(accuracy)), np.nan)
        if self.steps is not None:
            placed = accuracy[:, self.on_axis]
            area = (placed[:, 1:] + placed[:, :-1]) / 2 @ self.steps
            threshold = halfway_place(placed, self.placed, clean[:, 0], self.chance)
        return np.concatenate([accuracy, relative, corrected, area[:, None], threshold[:, None]], axis=1)

    def named(self, values: Floats, near_chance: bool) -> dict[str, Any]:
        """The values (or their intervals, one a row) as plain numbers under the keys of the result."""
        n = len(self.levels)
        relative, corrected = values[n : 2 * n], values[2 * n : 3 * n]
        if near_chance:
            relative = corrected = np.full_like(relative, np.nan)
        return {
            "accuracy": values[:n].tolist(),
            "relative_drop": relative.tolist(),
            "chance_corrected_drop": corrected.tolist(),
            "area": values[3 * n].tolist(),
            "threshold": (np.full_like(values[-1], np.nan) if near_chance else values[-1]).tolist(),
            "clean_accuracy": values[0].tolist(),
        }


def _unreached(clean: float, chance: float, accuracy: Floats, places: Floats) -> str:
    """Why no place has the accuracy that lies halfway."""
    half = (clean + chance) / 2
    if accuracy[np.isfinite(places)][0] < half:
        return (
            f"the accuracy is already below {half:.3f}, halfway to chance, at the weakest level on the axis"
        )
    return f"the accuracy does not fall to {half:.3f}, halfway to chance, at any level that was shown"


def _within(interval: Floats, places: Floats) -> Floats:
    """An interval cut to the axis."""
    placed = places[np.isfinite(places)]
    return np.clip(interval, placed.min(), placed.max()) if len(placed) else interval


def _outcomes(
    level_of: Ints, correct: NDArray[np.bool_], n_levels: int
) -> tuple[tuple[Floats, Floats], Ints]:
    """Units are rows, of two kinds at each level: wrong and right."""
    rows = np.repeat(np.eye(n_levels), 2, axis=0)
    right = rows * np.tile([0.0, 1.0], n_levels)[:, None]
    return (right, rows), np.bincount(2 * level_of + correct, minlength=2 * n_levels)


def _images(
    level_of: Ints, correct: NDArray[np.bool_], n_levels: int, image_of: Ints, n_images: int
) -> tuple[tuple[Floats, Floats], Ints]:
    """Units are images, each with its decisions at all levels."""
    cells, n_cells = image_of * n_levels + level_of, n_images * n_levels
    rows = np.bincount(cells, minlength=n_cells).astype(np.float64)
    right = np.bincount(cells[correct], minlength=n_cells).astype(np.float64)
    units = right.reshape(n_images, n_levels), rows.reshape(n_images, n_levels)
    return units, np.ones(n_images, dtype=np.int64)


def _levels(sigmas: Floats) -> tuple[Floats, Ints]:
    """The distinct noise levels, ascending from 0, and the number of each row's level."""
    if sigmas.min() < 0:
        raise MetricError(f"sigmas must be 0 or more, but one is {sigmas.min()}.")
    levels, level_of = np.unique(sigmas, return_inverse=True)
    if levels[0] != 0:
        raise MetricError(
            f"A drop needs clean images: add their rows, with sigma 0.0 (smallest given: {levels[0]})."
        )
    return levels, level_of.reshape(-1).astype(np.int64)


def _places(levels: Floats, places: ArrayLike | None) -> Floats:
    """Where the area has each level."""
    if places is None:
        return levels
    positions = np.asarray(places, np.float64)
    if positions.shape != levels.shape:
        raise MetricError(
            f"places has the shape {positions.shape}: give one for each of the {len(levels)} sigmas."
        )
    steps = np.diff(positions[np.isfinite(positions)])
    if not ((steps > 0).all() or (steps < 0).all()):
        raise MetricError(
            "The places of the sigmas are not in order: sort them in ascending or descending order."
        )
    return positions
