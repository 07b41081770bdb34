"""Odd one out of three: does a similarity leave out the image that people leave out?"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics._validation import Floats, Ints, as_class_ids, as_code_table, check_lengths
from hf_clipdyn.metrics.bootstrap import Resampling, bootstrap_weights, mean_intervals, wilson_interval

__all__ = ["leave_one_out_ceiling", "odd_one_out", "odd_one_out_scores"]

_DRAWS_AT_ONCE = 16


def odd_one_out(
    scores: ArrayLike,
    objects: ArrayLike,
    *,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Mean score of triplets, with the intervals over triplets and over objects (Hebart et al. 2020).

    Objects occur in many triplets. The interval over triplets is valid for these objects; the one over objects, drawn
    with replacement, for objects like these: a triplet counts as often as its three objects were drawn together.

    Args:
        scores: of each judgement, as of `odd_one_out_scores`, shape (n,), in [0, 1].
        objects: of each judgement, shape (n, 3), strings or numbers.
        n_resamples, confidence_level, seed: see `bootstrap.Resampling`.

    Returns:
        ``accuracy`` in [0, 1], 1/3 for guessing; ``same_objects``, the same value; ``n`` judgements, ``n_objects``;
        ``accuracy_ci`` over objects and ``same_objects_ci`` over triplets, [low, high].

    Raises:
        MetricError: no rows, different lengths, a score outside [0, 1].

    Examples:
        >>> from hf_clipdyn.metrics.odd_one_out import odd_one_out
        >>> result = odd_one_out([1.0, 0.0], [["cat", "dog", "car"], ["cat", "car", "bus"]], n_resamples=0)
        >>> result["accuracy"], result["n_objects"]
        (0.5, 4)
    """
    resampling = Resampling(n_resamples, confidence_level, seed)
    values = _as_scores(scores)
    codes = as_code_table("objects", objects, len(values), 3)
    n_objects = int(codes.max()) + 1
    accuracy = float(values.mean())
    result: dict[str, Any] = {
        "accuracy": accuracy,
        "same_objects": accuracy,
        "n": len(values),
        "n_objects": n_objects,
    }
    if resampling:
        over_triplets = mean_intervals(values[:, None], None, ["share"], resampling)[0].tolist()
        result["same_objects_ci"] = over_triplets
        result["accuracy_ci"] = _interval_over_objects(values, codes, n_objects, resampling)
    return result


def _as_scores(scores: ArrayLike) -> Floats:
    values = np.asarray(scores, np.float64)
    if values.ndim != 1 or not len(values):
        raise MetricError(f"scores must have one number per judgement, but have the shape {values.shape}.")
    bad = ~((values >= 0) & (values <= 1))
    if bad.any():
        row = int(bad.argmax())
        raise MetricError(f"scores must be in [0, 1], but row {row} is {values[row]}.")
    return values


def _interval_over_objects(
    values: Floats, codes: Ints, n_objects: int, resampling: Resampling
) -> list[float]:
    """Percentiles of the mean over triplets whose three objects were drawn, weighted by how often."""
    if n_objects < 4:  # all triplets are the same one
        return [float("nan"), float("nan")]
    if values.min() == values.max() and values[0] in (0, 1):
        return wilson_interval(float(values[0]), n_objects, resampling.confidence_level, n_objects - 1)
    rng, means = np.random.default_rng(resampling.seed), []
    for start in range(0, resampling.n_resamples, _DRAWS_AT_ONCE):
        draws = min(_DRAWS_AT_ONCE, resampling.n_resamples - start)
        for counts in bootstrap_weights(np.ones(n_objects, np.int64), draws, rng):
            weights = counts[codes[:, 0]]
            weights *= counts[codes[:, 1]]
            weights *= counts[codes[:, 2]]
            total = weights.sum()
            means.append(weights @ values / total if total else np.nan)
    low, high = np.nanquantile(means, resampling.quantiles).tolist()
    return [low, high]


def odd_one_out_scores(similarities: ArrayLike, odd: ArrayLike) -> tuple[Floats, Ints]:
    """The score of a similarity in each triplet: 1 if it leaves out the same image as people.

    The odd one is the image outside the most similar pair. If several pairs are equally similar, each is chosen with
    the same probability.

    Args:
        similarities: shape (n, 3); column k is the similarity of the pair without image k.
        odd: position of the image that people left out, 0, 1 or 2, shape (n,).

    Returns:
        Scores (n,) in {0, 1/3, 1/2, 1}, and the position of the odd one (n,), -1 for a tie.

    Raises:
        MetricError: another shape, NaN, or a position outside 0 to 2.

    Examples:
        >>> from hf_clipdyn.metrics.odd_one_out import odd_one_out_scores
        >>> scores, chosen = odd_one_out_scores([[0.1, 0.2, 0.9], [0.5, 0.5, 0.1]], [2, 0])
        >>> scores.tolist(), chosen.tolist()
        ([1.0, 0.5], [2, -1])
    """
    pairs = np.asarray(similarities, np.float64)
    if pairs.ndim != 2 or pairs.shape[1] != 3:
        raise MetricError(
            f"similarities must have three numbers per triplet, but have the shape {pairs.shape}."
        )
    if np.isnan(pairs).any():
        raise MetricError("similarities must be numbers, but some are NaN: leave those triplets out.")
    positions = as_class_ids("odd", odd)
    check_lengths({"similarities": pairs, "odd": positions})
    if positions.max() > 2:
        raise MetricError(f"odd must be 0, 1 or 2, but one is {positions.max()}.")
    best = pairs == pairs.max(axis=1, keepdims=True)
    n_best = best.sum(axis=1)
    scores = best[np.arange(len(pairs)), positions] / n_best
    return scores, np.where(n_best == 1, best.argmax(axis=1), -1)


def leave_one_out_ceiling(
    objects: ArrayLike,
    odd: ArrayLike,
    *,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """How often people choose what most of the others chose: triplets that were judged at least twice.

    Each answer is compared with the most frequent one of the others, ties shared. The share of the most frequent
    answer itself, which papers report, contains the answer that it predicts and is too high.

    Args:
        objects: of each judgement, shape (n, 3), in any order.
        odd: position of the image that was left out, 0, 1 or 2, shape (n,).
        n_resamples, confidence_level, seed: see `bootstrap.Resampling`; triplets are resampled.

    Returns:
        ``ceiling`` in [0, 1], NaN without a repeated triplet; ``most_frequent``, the share of the most frequent
        answer; ``n`` answers to ``n_triplets`` repeated triplets; ``ceiling_ci`` [low, high].

    Raises:
        MetricError: no rows, different lengths, or a position outside 0 to 2.

    Examples:
        >>> from hf_clipdyn.metrics.odd_one_out import leave_one_out_ceiling
        >>> result = leave_one_out_ceiling([["cat", "dog", "car"]] * 3, [2, 2, 0], n_resamples=0)
        >>> round(result["ceiling"], 4), round(result["most_frequent"], 4)
        (0.3333, 0.6667)
    """
    resampling = Resampling(n_resamples, confidence_level, seed)
    positions = as_class_ids("odd", odd)
    codes = as_code_table("objects", objects, len(positions), 3)
    if positions.max() > 2:
        raise MetricError(f"odd must be 0, 1 or 2, but one is {positions.max()}.")
    ordered = np.sort(codes, axis=1)
    chosen = codes[np.arange(len(codes)), positions]
    answers = (ordered == chosen[:, None]).argmax(axis=1)
    size = int(codes.max()) + 1
    _, triplets = np.unique(
        (ordered[:, 0] * size + ordered[:, 1]) * size + ordered[:, 2], return_inverse=True
    )
    triplets = triplets.reshape(-1)
    counts = np.zeros((int(triplets.max()) + 1, 3))
    np.add.at(counts, (triplets, answers), 1)
    repeated = counts.sum(axis=1)[triplets] > 1
    if not repeated.any():
        causes = {"ceiling": "no triplet was judged twice"}
        nan = float("nan")
        return {"ceiling": nan, "most_frequent": nan, "n": 0, "n_triplets": 0, "causes": causes}
    triplets, answers = triplets[repeated], answers[repeated]
    rows = np.arange(len(answers))
    others = counts[triplets]
    others[rows, answers] -= 1
    modes = others == others.max(axis=1, keepdims=True)
    scores = modes[rows, answers] / modes.sum(axis=1)
    _, clusters = np.unique(triplets, return_inverse=True)
    several = counts[counts.sum(axis=1) > 1]
    result: dict[str, Any] = {
        "ceiling": float(scores.mean()),
        "most_frequent": float((several.max(axis=1) / several.sum(axis=1)).mean()),
        "n": len(scores),
        "n_triplets": len(several),
    }
    if resampling:
        values = scores[:, None]
        result["ceiling_ci"] = mean_intervals(values, clusters.reshape(-1), ["share"], resampling)[0].tolist()
    return result
