"""Texture-shape bias on cue-conflict images (Geirhos et al. 2019, arXiv 1811.12231)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.checks import Floats, names, of_one_length
from hf_clipdyn.metrics.scores import Score, Scores, mean, ratio
from hf_clipdyn.metrics.shape_decisions import GEIRHOS_CLASSES

_CUES = ("shape", "texture", "cue")  # "cue" is either of them
_PERMUTATIONS = 1000
_AT_ONCE = 50  # permutations; the arrays of 1,200 images then stay in the cache
_NO_CONFLICT = "no row has a texture other than its shape"


def shape_bias(
    predictions: Annotated[ArrayLike, "string"],
    shapes: Annotated[ArrayLike, "string"],
    textures: Annotated[ArrayLike, "string"],
    *,
    classes: Sequence[str] | None = None,
    seed: int = 0,
) -> Scores:
    """Shape bias, S / (S + T): the share of shape decisions among all decisions for a cue (Geirhos et al. 2019).

    S and T count the decisions for the class of the shape and for the class of the texture; any other answer counts
    for neither. Rows with shape == texture have no conflict and are excluded. The texture bias is one minus the shape
    bias.

    Images share the pictures that their cues come from: give these as groups in two crossed ways, or the interval is
    too narrow by a factor of 1.1 to 2.3 (the 1,200 images of Geirhos et al. share 160 shapes and 48 textures).

    Args:
        predictions: class name of each decision, shape (n,). A name outside ``classes`` ("na", …) counts for no cue.
        shapes, textures: class names of the two cues, shape (n,).
        classes: all classes that shapes and textures may have. None: the 16 of Geirhos et al. if they contain all
            shapes and textures, else the union of shapes and textures.
        seed: of the permutations behind ``interpretable``.

    Returns:
        - ``shape_bias``: S / (S + T) in [0, 1], 1 where the shape decides; NaN without any decision for a cue.
        - ``cue_accuracy`` (S + T) / n, ``shape_accuracy`` S / n, ``texture_accuracy`` T / n.
        - ``null_cue_accuracy``, ``null_shape_accuracy``, ``null_texture_accuracy``: their means when the decisions are
          shuffled over the images, which keeps the model's preference for some classes; 2, 1 and 1 / (number of
          classes) for a balanced design.
        - ``interpretable``: whether S + T exceeds the 97.5th percentile of its null and no class takes half of the
          decisions. Near chance both cues are hit equally often and the bias of every model tends to 0.5. A flag; it
          changes no value. ``shape_above_null`` and ``texture_above_null``: the same of S and of T.
        - ``top_class``, ``top_class_share``: the class decided for most often (None if no answer is a class) and its
          share of the n decisions.
        - ``n`` (rows with a conflict), ``n_excluded``, ``n_shape`` (S), ``n_texture`` (T).

        Without any conflict all values are NaN. The intervals contain neither the noise of another training seed nor
        the noise of another checkpoint.

    Raises:
        MetricError: different lengths, no rows, a shape or texture outside ``classes``.

    Examples:
        >>> from hf_clipdyn.metrics.shape_bias import shape_bias
        >>> result = shape_bias(["cat", "cat", "dog"], ["cat", "cat", "cat"], ["dog", "car", "dog"])
        >>> result["shape_bias"].value, result.facts["n_shape"], result.facts["n_texture"]
        (0.6666666666666666, 2, 1)

    References:
        geirhos2019imagenettrained
    """
    given = names(predictions=predictions, shapes=shapes, textures=textures)
    predicted, shape, texture = (column.astype(np.str_) for column in given)
    of_one_length(predictions=predicted, shapes=shape, textures=texture)
    conflict = shape != texture
    n = int(conflict.sum())
    s, t = (np.where(conflict, predicted == cue, np.nan) for cue in (shape, texture))
    hits = {"shape": s, "texture": t, "cue": s + t}
    count = {cue: int(np.nansum(column)) for cue, column in hits.items()}
    cause = "no decision was for the shape or the texture" if n else _NO_CONFLICT
    bias = ratio(np.nan_to_num(s), np.nan_to_num(s + t), "count", cause)
    scores = {"shape_bias": replace(bias, n=n)}
    scores |= {f"{cue}_accuracy": mean(column, "count", _NO_CONFLICT) for cue, column in hits.items()}
    nulls, most = _shuffled(predicted[conflict], shape[conflict], texture[conflict], seed)
    for cue, null in nulls.items():
        influence = np.zeros(len(conflict))
        influence[conflict] = null.influence
        scores[f"null_{cue}_accuracy"] = replace(null, influence=influence)
    top_class, top_share = _top_class(predicted[conflict], _classes(classes, shape, texture))
    facts: dict[str, Any] = {
        "interpretable": bool(count["cue"] > most["cue"] and top_share < 0.5),
        **{f"{cue}_above_null": bool(count[cue] > most[cue]) for cue in ("shape", "texture")},
        "top_class": top_class,
        "top_class_share": top_share,
        "n_excluded": len(conflict) - n,
        "n_shape": count["shape"],
        "n_texture": count["texture"],
    }
    return Scores(scores, n=n, **facts)


def _classes(
    classes: Sequence[str] | None, shapes: NDArray[np.str_], textures: NDArray[np.str_]
) -> Sequence[str]:
    used = np.union1d(shapes, textures).tolist()
    if classes is None:
        return GEIRHOS_CLASSES if set(used) <= set(GEIRHOS_CLASSES) else used
    outside = sorted(set(used) - set(classes))
    if outside:
        raise MetricError(
            f"Shapes and textures must be among the {len(classes)} classes, but {outside[0]!r} is not: "
            "name all classes, or leave classes=None."
        )
    return classes


def _top_class(predicted: NDArray[np.str_], classes: Sequence[str]) -> tuple[str | None, float]:
    decided, counts = np.unique(predicted[np.isin(predicted, list(classes))], return_counts=True)
    if not len(decided):
        return None, 0.0 if len(predicted) else float("nan")
    return str(decided[counts.argmax()]), float(counts.max() / len(predicted))


def _shuffled(
    predicted: NDArray[np.str_], shapes: NDArray[np.str_], textures: NDArray[np.str_], seed: int
) -> tuple[dict[str, Score], dict[str, float]]:
    """Decisions shuffled over the images: of each cue the mean share of hits, and the 97.5th percentile of their count.

    The mean has no interval of its own; its influence serves differences of revisions.
    """
    n = len(predicted)
    if not n:
        unknown = Score(float("nan"), np.empty(0), "none", 0, _NO_CONFLICT)
        return dict.fromkeys(_CUES, unknown), dict.fromkeys(_CUES, float("nan"))
    known, codes = np.unique(np.concatenate([predicted, shapes, textures]), return_inverse=True)
    decided, *cues = codes.reshape(3, n)
    times, *of_cues = (np.bincount(column, minlength=len(known)) for column in (decided, *cues))
    # A row is in pairs of a decision and an image as either.
    pairs = [of_cue[decided] + times[cue] for of_cue, cue in zip(of_cues, cues, strict=True)]
    nulls = {
        cue: Score(float(both.sum()) / (2 * n**2), (both - both.sum() / n) / n**2, "none", n)
        for cue, both in zip(_CUES, [*pairs, pairs[0] + pairs[1]], strict=True)
    }
    hits = _hits_of_permutations(decided, cues, seed)
    most = np.quantile([*hits, hits.sum(axis=0)], 0.975, axis=1)
    return nulls, dict(zip(_CUES, most.tolist(), strict=True))


def _hits_of_permutations(decided: NDArray[np.int64], cues: Sequence[NDArray[np.int64]], seed: int) -> Floats:
    """Hits of the shape and of the texture, (2, permutations); the order of the rows changes nothing."""
    order = np.lexsort((cues[1], cues[0]))
    shown, decided = np.stack(cues)[:, order], np.sort(decided)
    rng, parts = np.random.default_rng(seed), []
    for _ in range(0, _PERMUTATIONS, _AT_ONCE):
        shuffled = rng.permuted(np.broadcast_to(decided, (_AT_ONCE, len(decided))), axis=1)
        parts.append(np.count_nonzero(shuffled == shown[:, None], axis=2))
    return np.concatenate(parts, axis=1).astype(np.float64)
