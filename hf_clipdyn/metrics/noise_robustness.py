"""How fast classification accuracy falls when noise of growing strength is added to the pixels."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.checks import Floats, columns, of_one_length, within
from hf_clipdyn.metrics.influence import Influence
from hf_clipdyn.metrics.scores import Score, Scores, interval, mean, over


def noise_robustness(
    predictions: Annotated[ArrayLike, "float64"],
    references: Annotated[ArrayLike, "float64"],
    sigmas: Annotated[ArrayLike, "float64"],
    *,
    n_classes: int | None = None,
    places: ArrayLike | None = None,
) -> Scores:
    """Accuracy by noise level, its drop against the clean images, and the area under the curve.

    The decisions of an untrained model are nearly constant, so noise hardly changes them: compare a drop with the
    accuracy.

    Args:
        predictions, references: class ids, shape (n,): a row for each image at each noise level. An image is right or
            wrong at all levels together, so give the images as groups of the intervals; intervals of drops are too
            wide without.
        sigmas: noise of each row as a standard deviation on pixels in [0, 1], shape (n,), >= 0; rows at 0.0 are the
            clean images and are required.
        n_classes: number of classes, for the chance level 1 / n_classes. Without it the clean accuracy cannot be
            compared with chance: the relative drop is then computed whatever that accuracy is.
        places: position of each distinct sigma on the axis of area and threshold, ascending or descending, shape (L,);
            NaN leaves a level out. Default: the sigmas themselves.

    Returns:
        - ``accuracy_at_<sigma>`` for each sigma, such as ``accuracy_at_0.0``; for each but 0
          ``relative_drop_at_<sigma>`` = (clean - noisy) / clean and ``chance_corrected_drop_at_<sigma>`` =
          (clean - noisy) / (clean - chance). A drop is 0 for no effect, negative where noise helps; 1 is all of the
          accuracy (above chance) lost.
        - ``area``: under the accuracy from the first to the last place (trapezoids), divided by their distance: the
          mean accuracy from sigma 0 to the largest, in [0, 1].
        - ``threshold``: the place at which the accuracy first falls halfway from clean to chance, by linear
          interpolation. Its interval is cut to the axis: one that ends with the axis is open there.
        - the facts ``sigmas`` (ascending from 0.0), ``n_per_sigma``, ``n`` rows.

        NaN: drops and threshold where the clean accuracy is not clear of chance (`clear_of_chance`), since guesses
        have nothing to lose; the relative drop where the clean accuracy is 0; corrected drop and threshold without
        ``n_classes``; area and threshold with fewer than two places, as with no noise level but 0; the threshold where
        the accuracy does not reach halfway between the first and the last place.

    Raises:
        MetricError: different lengths, no rows, NaN, no row at sigma 0 or one below, ids below 0 or above
            n_classes - 1, places in no order.

    Examples:
        >>> from hf_clipdyn.metrics.noise_robustness import noise_robustness
        >>> result = noise_robustness([0, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0.1, 0.1], n_classes=1000)
        >>> result.facts["sigmas"], result["accuracy_at_0.1"].value, result["area"].value
        ([0.0, 0.1], 0.5, 0.75)

    References:
        hendrycks2019robustness
    """
    predicted, truth, noise = columns(predictions=predictions, references=references, sigmas=sigmas)
    within(
        0,
        math.inf if n_classes is None else n_classes - 1,
        predictions=predicted,
        references=truth,
    )
    if not predicted.ndim == truth.ndim == noise.ndim == 1:
        raise MetricError("predictions, references and sigmas must have one number in each row.")
    levels, level_of = np.unique(noise, return_inverse=True)
    if levels[0] != 0:
        raise MetricError(
            f"sigmas must be 0 or more, with rows at 0.0, the clean images: the smallest is {levels[0]:g}."
        )
    positions = levels if places is None else np.asarray(places, np.float64)
    of_one_length(sigmas=levels, places=positions)
    steps = np.diff(positions[np.isfinite(positions)])
    if not ((steps > 0).all() or (steps < 0).all()):
        raise MetricError("places must be in ascending or descending order.")
    right = np.full((len(noise), len(levels)), np.nan)
    right[np.arange(len(noise)), level_of] = predicted == truth
    by_level, of_curve = accuracy_curve(right, positions, n_classes=n_classes)
    named = {
        f"{name}_at_{sigma}": score
        for sigma, scores in zip(levels.tolist(), by_level, strict=True)
        for name, score in scores.items()
    }
    counts = [scores["accuracy"].n for scores in by_level]
    return Scores(named | of_curve, sigmas=levels.tolist(), n_per_sigma=counts, n=len(noise))


def accuracy_curve(
    right: ArrayLike, levels: Sequence[float] | Floats, *, log: bool = False, n_classes: int | None = None
) -> tuple[list[dict[str, Score]], dict[str, Score]]:
    """The numbers of `noise_robustness` from a table of right and wrong decisions.

    Args:
        right: whether each image is right at each level, shape (n, L), the clean ones first; NaN for one not shown.
        levels: shape (L,), ascending or descending; one that is not finite has no place on the axis.
        log: whether area and threshold are taken on a logarithmic axis; 0 then has no place either.
        n_classes: for the chance level 1 / n_classes.

    Returns:
        For each level its ``accuracy`` and, but for the first, ``relative_drop`` and ``chance_corrected_drop``; and
        ``area`` and ``threshold``, a level. Each influence has an entry for each image.

    Examples:
        >>> from hf_clipdyn.metrics.noise_robustness import accuracy_curve
        >>> by_level, _ = accuracy_curve([[1, 1], [1, 0], [1, 0], [0, 0]], [0, 0.1])
        >>> by_level[1]["relative_drop"].influence.round(3).tolist()
        [-0.222, 0.111, 0.111, 0.0]
    """
    accuracies = [mean(column, "count") for column in np.asarray(right, np.float64).T]
    clean = accuracies[0]
    chance = math.nan if n_classes is None else 1 / n_classes
    undefined = "" if n_classes else "n_classes is not given"
    of_relative = "" if clean.value else "no clean image is classified correctly"
    if n_classes and not clear_of_chance(clean.value, clean.n, n_classes):
        undefined = f"the clean accuracy {clean.value:.3f} is indistinguishable from chance, {chance:.3f}"
        of_relative = undefined
    by_level = [{"accuracy": clean}]
    for noisy in accuracies[1:]:
        drops = {
            "relative_drop": _drop(clean, noisy, 0.0, of_relative),
            "chance_corrected_drop": _drop(clean, noisy, chance, undefined),
        }
        by_level.append({"accuracy": noisy} | drops)
    with np.errstate(divide="ignore"):
        places = np.log10(levels) if log else np.asarray(levels, np.float64)
    on_axis = np.flatnonzero(np.isfinite(places))
    if len(on_axis) < 2:
        cause = "fewer than two levels have a place on the axis"
        cause = cause if len(accuracies) > 1 else "the only noise level is 0"
        missing = Score(math.nan, n=clean.n, cause=cause)
        return by_level, {"area": missing, "threshold": missing}
    shown = [accuracies[at] for at in on_axis]
    return by_level, {
        "area": _area(shown, places[on_axis]),
        "threshold": _threshold(shown, places[on_axis], clean, chance, undefined, log),
    }


def clear_of_chance(accuracy: float, n: int, n_classes: int) -> bool:
    """Whether an accuracy is above 1 / n_classes in a test at 5 %: whether Wilson's 95 % interval is.

    Args:
        accuracy: in [0, 1].
        n: number of images.
        n_classes: number of classes.

    Examples:
        >>> from hf_clipdyn.metrics.noise_robustness import clear_of_chance
        >>> clear_of_chance(0.2, n=200, n_classes=10), clear_of_chance(0.2, n=20, n_classes=10)
        (True, False)
    """
    chance = 1 / n_classes
    return bool(accuracy - chance > ndtri(0.975) * math.sqrt(chance * (1 - chance) / n))


def drop_when_right(clean: ArrayLike, noisy: ArrayLike, cause: str = "") -> Score:
    """Share of the images that noise makes wrong, among the images that are right when clean.

    Args:
        clean, noisy: whether each image is right, shape (n,).
        cause: why it is undefined, such as a clean accuracy at chance: these images are then lucky guesses, and almost
            any change of the decisions makes them wrong.

    Returns:
        The share in [0, 1], with ``n`` images that are right when clean. The influence has an entry for each image, 0
        for the others; the interval counts those alone.

    Examples:
        >>> from hf_clipdyn.metrics.noise_robustness import drop_when_right
        >>> drop_when_right([1, 1, 0, 1], [1, 0, 0, 1]).value.__round__(3)
        0.333
    """
    known = np.asarray(clean) == 1
    found = mean(np.where(known, 1 - np.asarray(noisy, np.float64), np.nan), "count")
    if cause or found.influence is None:
        return Score(math.nan, n=found.n, cause=cause)
    counted = over(found.influence[known]) if found.n else Influence.unknown(found.cause)
    return Score(found.value, found.influence, partial(_of_these, counted), found.n, found.cause)


def _of_these(counted: Influence, value: float, influence: Influence, level: float) -> tuple[float, float]:
    """The interval of a share of some images; the influence has zeros for the others."""
    del influence
    return interval(value, counted, "count", level)


def _drop(clean: Score, noisy: Score, guessed: float, cause: str) -> Score:
    """(clean - noisy) / (clean - guessed): its derivative is -1 / (c - g) by noisy, (a - g) / (c - g)² by clean."""
    above = clean.value - guessed
    if cause or clean.influence is None or noisy.influence is None:
        return Score(math.nan, n=noisy.n, cause=cause)
    influence = (clean.influence * (noisy.value - guessed) / above - noisy.influence) / above
    return Score((clean.value - noisy.value) / above, influence, "linear", noisy.n, noisy.cause)


def _area(shown: Sequence[Score], places: Floats) -> Score:
    steps = np.diff(places) / (places[-1] - places[0])
    curve = np.array([one.value for one in shown])
    moved = np.stack([np.asarray(one.influence) for one in shown], axis=1)
    value = float((curve[1:] + curve[:-1]) / 2 @ steps)
    return Score(value, (moved[:, 1:] + moved[:, :-1]) / 2 @ steps, "share", shown[0].n)


def _threshold(
    shown: Sequence[Score], places: Floats, clean: Score, chance: float, cause: str, log: bool
) -> Score:
    """Where the accuracies first fall halfway from the clean one to chance; it moves with three of them."""
    half = (clean.value + chance) / 2
    curve = np.array([one.value for one in shown])
    after = int((curve <= half).argmax())
    if not cause and not (curve <= half).any():
        cause = f"the accuracy does not fall to {half:.3f}, halfway to chance, at any level that was shown"
    if not cause and curve[0] < half:
        cause = (
            f"the accuracy is already below {half:.3f}, halfway to chance, at the weakest level on the axis"
        )
    if cause:
        return Score(math.nan, n=clean.n, cause=cause)
    before = max(after - 1, 0)
    fall, span = curve[before] - curve[after], places[after] - places[before]
    place = places[before] + (span * (curve[before] - half) / fall if after else 0.0)
    level = float(10**place if log else place)
    influence = None
    if after and clean.influence is not None:
        of_high, of_low = (np.asarray(shown[at].influence) for at in (before, after))
        moved = (of_high - clean.influence / 2) * fall - (curve[before] - half) * (of_high - of_low)
        influence = span * moved / fall**2 * (math.log(10) * level if log else 1.0)
        below = clean.influence / 2 - np.asarray(shown[-1].influence)
        if half - curve[-1] < 2 * math.sqrt(over(below).variance):
            cause = "other images may not fall halfway: the interval may be too narrow"
    ends = sorted(10 ** places[[0, -1]] if log else places[[0, -1]])
    return Score(level, influence, partial(_cut_to, (ends[0], ends[1]), log), clean.n, cause)


def _cut_to(
    axis: tuple[float, float], log: bool, value: float, influence: Influence, level: float
) -> tuple[float, float]:
    """The interval of a level, symmetric on the axis and cut to it."""
    low, high = interval(value, influence, "linear", level)
    if log:
        factor = math.exp(min((high - value) / value, 700))
        low, high = value / factor, value * factor
    return max(low, axis[0]), min(high, axis[1])
