"""Text-free cue preference: is a conflict image nearer to its shape or to its texture?

No class name and no text tower takes part, hence it leads where zero-shot classification is weak.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics._validation import (
    Floats,
    Ints,
    as_column,
    as_exemplars,
    as_numbers,
    as_shares,
    check_lengths,
)
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
        shape_exemplars, texture_exemplars: exemplars of the cues ("cat1"), shape (n, 3): those of the anchor,
            of its shape mate and of its texture mate. With both, the rows of one pair of exemplars are one anchor and
            are averaged first. The interval is clustered in two ways by the exemplars of all three images: an
            exemplar affects the preferences of its own anchors and, as a mate, those of other anchors.
            Shape (n,): of the anchor alone; that interval is too narrow where exemplars differ much (coverage
            of 0.80 to 0.86). Without, every row is an anchor of its own and rows are resampled, which is narrower
            still.
        n_resamples, confidence_level, seed: see `bootstrap.Resampling`.

    Returns:
        ``shape_preference`` in [0, 1]: 1 where the shape always decides, 0.5 for no preference;
        ``n`` rows, ``n_ties``; ``shape_preference_ci`` [low, high].

    Raises:
        MetricError: different lengths, no rows, NaN, one kind of exemplar without the other, of the anchors for
            one kind and of all three images for the other.

    Examples:
        >>> from hf_clipdyn.metrics.cue_preference import cue_preference
        >>> result = cue_preference([0.1, 0.4, 0.3, 0.2], [0.2, 0.3, 0.3, 0.5], n_resamples=0)
        >>> result["shape_preference"], result["n_ties"]
        (0.625, 1)
    """
    resampling = Resampling(n_resamples, confidence_level, seed)
    to_shape = as_numbers("distances_shape", distances_shape)
    to_texture = as_numbers("distances_texture", distances_texture)
    check_lengths({"distances_shape": to_shape, "distances_texture": to_texture})
    ties = to_shape == to_texture
    wins = np.where(ties, 0.5, to_shape < to_texture)
    counts = {"n": len(wins), "n_ties": int(ties.sum())}
    codes = as_exemplars(shape_exemplars, texture_exemplars, len(wins), with_mates=True)
    if not codes:
        return {**_over_rows(wins, resampling), **counts}
    if codes[0].shape != codes[1].shape:
        raise MetricError(
            "The shape and the texture exemplars describe different images: give both for the anchors "
            "only, or both for all three images of each triplet."
        )
    cells, images = np.unique(np.stack(codes, axis=-1).reshape(-1, 2), axis=0, return_inverse=True)
    anchor, *mates = images.reshape(len(wins), -1).T
    n_triplets = np.bincount(anchor, minlength=len(cells))
    with np.errstate(invalid="ignore"):
        means = np.bincount(anchor, wins, len(cells)) / n_triplets
    # A triplet shifts its anchor's mean by how far it is from it; both mates have a part in that.
    shift = (wins - means[anchor]) / n_triplets[anchor]
    effects = np.sum(
        [np.zeros(len(cells)), *(np.bincount(mate, shift, len(cells)) for mate in mates)], axis=0
    )
    return {**_over_exemplars(means, effects, cells.T, resampling), **counts}


def anchor_preference(
    preferences: ArrayLike,
    mate_effects: ArrayLike | None = None,
    *,
    shape_exemplars: ArrayLike | None = None,
    texture_exemplars: ArrayLike | None = None,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """The mean of known preferences of anchors, with the interval of `cue_preference`.

    Use it if you count the triplets of each anchor yourself: a set of 1,200 conflict images has millions of triplets.

    Args:
        preferences: shape (n,), in [0, 1]: the share of an anchor's triplets won by the shape. With mate_effects
            NaN marks an image that is mate of others and no anchor itself.
        mate_effects: shape (n,): over all anchors that have the image as a mate the sum of (share of
            these triplets won by the shape - preference of the anchor) / number of the anchor's mates of that kind.
            None leaves out what mates contribute, as exemplars of the anchor alone do in `cue_preference`.
        shape_exemplars, texture_exemplars: of the images themselves, shape (n,).
        n_resamples, confidence_level, seed: see `bootstrap.Resampling`.

    Returns:
        ``shape_preference``, ``n`` and, with resamples, ``shape_preference_ci``.

    Raises:
        MetricError: as for `cue_preference`, a preference outside [0, 1], mate_effects without exemplars.

    Examples:
        >>> from hf_clipdyn.metrics.cue_preference import anchor_preference
        >>> anchor_preference([1.0, 0.5, 0.75, 0.25], n_resamples=0)
        {'shape_preference': 0.625, 'n': 4}
    """
    resampling = Resampling(n_resamples, confidence_level, seed)
    if mate_effects is None:
        values = as_shares("preferences", preferences)
        effects = np.zeros(len(values))
    else:
        effects = as_numbers("mate_effects", mate_effects)
        values = as_column("preferences", preferences)
        check_lengths({"preferences": values, "mate_effects": effects})
        as_shares("preferences", values[~np.isnan(values)])
    is_anchor = ~np.isnan(values)
    n = int(is_anchor.sum())
    codes = as_exemplars(shape_exemplars, texture_exemplars, len(values))
    if not codes and mate_effects is not None:
        raise MetricError(
            "mate_effects require the exemplars of both cues: give shape_exemplars and texture_exemplars."
        )
    if not codes:
        return {**_over_rows(values, resampling), "n": n}
    cells, image = np.unique(np.stack(codes, axis=1), axis=0, return_inverse=True)
    image = image.reshape(-1)
    sizes = np.bincount(image[is_anchor], minlength=len(cells))
    with np.errstate(invalid="ignore"):
        means = np.bincount(image[is_anchor], values[is_anchor], len(cells)) / sizes
    # Images of the same two exemplars are one anchor, hence the effects too are those on fewer anchors.
    shares = np.bincount(image, effects, len(cells)) * (sizes > 0).sum() / n
    return {**_over_exemplars(means, shares, cells.T, resampling), "n": n}


def _over_rows(values: Floats, resampling: Resampling) -> dict[str, Any]:
    result: dict[str, Any] = {"shape_preference": float(values.mean())}
    if resampling:
        (interval,) = mean_intervals(values[:, None], None, ["share"], resampling).tolist()
        result["shape_preference_ci"] = interval
    return result


def _over_exemplars(
    means: Floats, effects: Floats, exemplars: Ints, resampling: Resampling
) -> dict[str, Any]:
    """Mean of the anchors' preferences, NaN for an image that is none, with what each image does as a mate."""
    is_anchor = ~np.isnan(means)
    result: dict[str, Any] = {"shape_preference": float(means[is_anchor].mean())}
    if resampling:
        result["shape_preference_ci"] = clustered_share_interval(
            np.where(is_anchor, means, 0.0),
            is_anchor.astype(np.float64),
            list(exemplars),
            resampling.confidence_level,
            effects,
        )
    return result
