"""Text-free cue preference: is a conflict image nearer to its shape or to its texture?

No class name and no text tower takes part, hence it leads where zero-shot classification is weak.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics._validation import as_codes, as_numbers, as_shares, check_lengths
from hf_clipdyn.metrics.bootstrap import Resampling, clustered_share_interval, mean_intervals

__all__ = ["anchor_preference", "cue_preference"]


def cue_preference(
    distances_shape: ArrayLike,
    distances_texture: ArrayLike,
    *,
    shape_exemplars: ArrayLike | None = None,
    texture_exemplars: ArrayLike | None = None,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Share of triplets in which the shape mate is nearer than the texture mate; a tie counts one half.

    A triplet is an anchor (a conflict image), a shape mate (same class of shape; another exemplar
    of it, another class and exemplar of texture) and a texture mate (the converse).

    Args:
        distances_shape: of the anchor to its shape mate, shape (n,); smaller is nearer.
        distances_texture: of the anchor to its texture mate, shape (n,), in the same unit.
        shape_exemplars, texture_exemplars: exemplars of the anchor's cues ("cat1"), shape (n,).
            With both, the rows of one pair of exemplars are one anchor and are averaged first, and
            the interval is clustered in two ways. Without, every row is an anchor of its own and
            rows are resampled; that interval is too narrow, since anchors share their exemplars.
        n_resamples: 0 skips the interval.
        confidence_level: of the interval.
        seed: of the resamples.

    Returns:
        ``shape_preference`` in [0, 1]: 1 where the shape always decides, 0.5 for no preference;
        ``n`` rows, ``n_ties``; ``shape_preference_ci`` [low, high].

    Raises:
        MetricError: different lengths, no rows, NaN, one kind of exemplar without the other.

    Example:
        >>> result = cue_preference([0.1, 0.4, 0.3, 0.2], [0.2, 0.3, 0.3, 0.5], n_resamples=0)
        >>> result["shape_preference"], result["n_ties"]
        (0.625, 1)
    """
    to_shape = as_numbers("distances_shape", distances_shape)
    to_texture = as_numbers("distances_texture", distances_texture)
    check_lengths({"distances_shape": to_shape, "distances_texture": to_texture})
    ties = to_shape == to_texture
    result = anchor_preference(
        np.where(ties, 0.5, to_shape < to_texture),
        shape_exemplars=shape_exemplars,
        texture_exemplars=texture_exemplars,
        n_resamples=n_resamples,
        confidence_level=confidence_level,
        seed=seed,
    )
    return {**result, "n_ties": int(ties.sum())}


def anchor_preference(
    preferences: ArrayLike,
    *,
    shape_exemplars: ArrayLike | None = None,
    texture_exemplars: ArrayLike | None = None,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """The mean of preferences that are known already, with the interval of `cue_preference`.

    For a caller that counts the triplets of each anchor itself, since a set of 1,200 conflict
    images has millions of them.

    Args:
        preferences: shape (n,), in [0, 1]: the share of an anchor's triplets won by the shape.
        shape_exemplars, texture_exemplars: as for `cue_preference`.
        n_resamples: 0 skips the interval.
        confidence_level: of the interval.
        seed: of the resamples.

    Returns:
        ``shape_preference``, ``n`` and, with resamples, ``shape_preference_ci``.

    Raises:
        MetricError: as for `cue_preference`, or a preference outside [0, 1].
    """
    resampling = Resampling(n_resamples, confidence_level, seed)
    values = as_shares("preferences", preferences)
    n = len(values)
    if (shape_exemplars is None) != (texture_exemplars is None):
        raise MetricError("shape_exemplars and texture_exemplars go together: give both or neither.")
    if shape_exemplars is None or texture_exemplars is None:
        result: dict[str, Any] = {"shape_preference": float(values.mean()), "n": n}
        if resampling:
            interval = mean_intervals(values[:, None], None, ["share"], resampling)
            result["shape_preference_ci"] = interval[0].tolist()
        return result

    shape, _ = as_codes("shape_exemplars", shape_exemplars, n)
    texture, n_textures = as_codes("texture_exemplars", texture_exemplars, n)
    pairs, anchors = np.unique(shape * n_textures + texture, return_inverse=True)
    anchors = anchors.reshape(-1)
    means = np.bincount(anchors, weights=values) / np.bincount(anchors)
    result = {"shape_preference": float(means.mean()), "n": n}
    if resampling:
        clusters = [pairs // n_textures, pairs % n_textures]
        result["shape_preference_ci"] = clustered_share_interval(
            means, np.ones(len(means)), clusters, confidence_level
        )
    return result
