"""Text-free cue preference: is a conflict image nearer to its shape or to its texture?

No class name and no text tower takes part, hence it leads where zero-shot classification is weak. A triplet is an
anchor (a conflict image), a shape mate (same class of shape; another exemplar of it, another class and exemplar of
texture) and a texture mate (the converse).
"""

from dataclasses import replace
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_clipdyn.metrics.checks import Floats, columns, names, of_one_length, within
from hf_clipdyn.metrics.scores import Scores, mean, ratio


def cue_preference(
    distances_shape: Annotated[ArrayLike, "float64"],
    distances_texture: Annotated[ArrayLike, "float64"],
    *,
    anchors: ArrayLike | None = None,
) -> Scores:
    """Share of triplets in which the shape mate is nearer than the texture mate; a tie counts one half.

    A triplet is an anchor (a conflict image), a shape mate (same class of shape; another exemplar of it, another class
    and exemplar of texture) and a texture mate (the converse). For the interval, give as images the exemplars of both
    cues of all three images: an exemplar affects the preferences of its own anchors and, as a mate, of others.

    Args:
        distances_shape: of the anchor to its shape mate, shape (n,); smaller is nearer.
        distances_texture: of the anchor to its texture mate, shape (n,), in the same unit.
        anchors: name of the anchor of each triplet, shape (n,): its triplets are averaged first. None: every row counts
            alike.

    Returns:
        ``shape_preference`` in [0, 1]: 1 where the shape always decides, 0.5 for no preference; ``n`` rows,
        ``n_ties``.

    Raises:
        MetricError: different lengths, no rows, NaN.

    Examples:
        >>> from hf_clipdyn.metrics.cue_preference import cue_preference
        >>> result = cue_preference([0.1, 0.4, 0.3, 0.2], [0.2, 0.3, 0.3, 0.5])
        >>> result["shape_preference"].value, result.facts["n_ties"]
        (0.625, 1)

    References:
        geirhos2019imagenettrained
    """
    to_shape, to_texture = columns(distances_shape=distances_shape, distances_texture=distances_texture)
    n, ties = len(to_shape), to_shape == to_texture
    wins = np.where(ties, 0.5, to_shape < to_texture)
    (anchor,) = names(anchors=np.arange(n) if anchors is None else anchors)
    of_one_length(distances_shape=wins, anchors=anchor)
    anchor = np.unique(anchor, return_inverse=True)[1]
    weights = 1 / np.bincount(anchor)[anchor]
    return Scores({"shape_preference": ratio(wins * weights, weights)}, n=n, n_ties=int(ties.sum()))


def anchor_preference(preferences: ArrayLike, mate_effects: ArrayLike | None = None) -> Scores:
    """The preference of `cue_preference` from what is known of each image.

    Use it if you count the triplets of each anchor yourself (`triplet_preferences`): a set of 1,200 conflict images has
    millions of triplets.

    Args:
        preferences: shape (n,), in [0, 1]: the share of an anchor's triplets won by the shape. NaN marks an image that
            no triplet begins with.
        mate_effects: shape (n,): over all anchors that have the image as a mate the sum of (share of these triplets won
            by the shape - preference of the anchor) / number of the anchor's mates of that kind. None leaves out what
            mates contribute to the error.

    Returns:
        ``shape_preference``, the mean over the anchors; NaN without any. ``n`` anchors.

    Raises:
        MetricError: different lengths, a preference outside [0, 1].

    Examples:
        >>> from hf_clipdyn.metrics.cue_preference import anchor_preference
        >>> anchor_preference([1.0, 0.5, 0.75, 0.25])["shape_preference"].value
        0.625
    """
    rows = np.asarray(preferences, np.float64)
    (effects,) = columns(mate_effects=np.zeros(len(rows)) if mate_effects is None else mate_effects)
    of_one_length(preferences=rows, mate_effects=effects)
    within(0, 1, preferences=np.nan_to_num(rows))
    score = mean(rows, "share", "no image has both a shape and a texture mate")
    if score.n and score.influence is not None:
        score = replace(score, influence=score.influence + effects / score.n)
    return Scores({"shape_preference": score}, n=score.n)


def triplet_preferences(
    embeddings: NDArray[np.floating[Any]],
    shapes: ArrayLike,
    textures: ArrayLike,
    shape_exemplars: ArrayLike,
    texture_exemplars: ArrayLike,
) -> tuple[Floats, Floats]:
    """Preferences and mate effects of images, for `anchor_preference`, from all valid triplets; ties count one half.

    Args:
        embeddings: unit vectors of the images, shape (n, d).
        shapes, textures: classes of the cues, shape (n,).
        shape_exemplars, texture_exemplars: exemplars of the cues, shape (n,).

    Returns:
        Preferences, (n,): NaN where shape and texture agree, or where a mate does not exist. Mate effects, (n,).

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.cue_preference import triplet_preferences
        >>> rows = np.eye(2)[[0, 0, 1]]
        >>> preferences, _ = triplet_preferences(
        ...     rows, ["a", "a", "b"], ["x", "y", "x"], ["a1", "a2", "b1"], ["x1", "y1", "x2"]
        ... )
        >>> preferences.tolist()
        [1.0, nan, nan]
    """
    given = names(
        shapes=shapes,
        textures=textures,
        shape_exemplars=shape_exemplars,
        texture_exemplars=texture_exemplars,
    )
    conflict = np.asarray(given[0] != given[1])
    preferences, effects = np.full(len(conflict), np.nan), np.zeros(len(conflict))
    codes = [np.unique(column, return_inverse=True)[1] for column in given]
    for anchor, shape_mates, texture_mates in _mates(*(one.tobytes() for one in (conflict, *codes))):
        # Half the squared distance of unit vectors: 1 - cos without its cancellation.
        moved = embeddings[anchor] - embeddings[np.concatenate([shape_mates, texture_mates])]
        to_shape, to_texture = np.split(0.5 * np.square(moved).sum(axis=-1), [len(shape_mates)])
        nearer = to_shape[:, None] < to_texture
        wins = np.where(to_shape[:, None] == to_texture, 0.5, nearer)
        # The share of triplets that the shape wins, with each of the mates.
        by_mate = wins.mean(axis=1), wins.mean(axis=0)
        preferences[anchor] = by_mate[0].mean()
        for mates, won in zip((shape_mates, texture_mates), by_mate, strict=True):
            effects[mates] += (won - preferences[anchor]) / len(won)
    return preferences, effects


@lru_cache(maxsize=2)  # all revisions are shown the same images
def _mates(of_conflict: bytes, *codes: bytes) -> list[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """Each conflict image that has mates of both kinds, with its shape mates and its texture mates.

    Args:
        of_conflict: bytes of the (n,) booleans.
        codes: bytes of the (n,) integers that name shape, texture and the exemplars of both.
    """
    conflict, found = np.frombuffer(of_conflict, bool), []
    shape, texture, shape_exemplar, texture_exemplar = (np.frombuffer(one, np.intp) for one in codes)
    for anchor in np.flatnonzero(conflict).tolist():
        same_shape, same_texture = shape == shape[anchor], texture == texture[anchor]
        shape_mates = conflict & same_shape & ~same_texture & (shape_exemplar != shape_exemplar[anchor])
        texture_mates = conflict & same_texture & ~same_shape & (texture_exemplar != texture_exemplar[anchor])
        if shape_mates.any() and texture_mates.any():
            found.append((anchor, np.flatnonzero(shape_mates), np.flatnonzero(texture_mates)))
    return found
