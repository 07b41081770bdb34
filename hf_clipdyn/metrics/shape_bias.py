"""Texture-shape bias on cue-conflict images (Geirhos et al. 2019, arXiv 1811.12231)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics._validation import Floats, Ints, as_exemplars, as_strings, check_lengths
from hf_clipdyn.metrics.bootstrap import (
    Resampling,
    clustered_share_interval,
    goodman_intervals,
    resampled_intervals,
)
from hf_clipdyn.metrics.influence import Influence, Units, mean_influence
from hf_clipdyn.metrics.shape_decisions import GEIRHOS_CLASSES

__all__ = ["GEIRHOS_CLASSES", "answer_shares", "decision_influences", "shape_bias"]

_BIASES = ("shape_bias", "texture_bias")
_VALUES = (*_BIASES, "cue_accuracy", "shape_accuracy", "texture_accuracy")
_CUES = ("cue", "shape", "texture")
_NULL_PERMUTATIONS = 1000
_SHUFFLED_AT_ONCE = 50  # permutations; the arrays of 1,200 images then stay in the cache
_NULL_QUANTILE = 0.975
_DOMINANT_SHARE = 0.5


def shape_bias(
    predictions: ArrayLike,
    shapes: ArrayLike,
    textures: ArrayLike,
    *,
    classes: Sequence[str] | None = None,
    shape_exemplars: ArrayLike | None = None,
    texture_exemplars: ArrayLike | None = None,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Shape bias, S / (S + T): the share of shape decisions among all decisions for a cue (Geirhos et al. 2019).

    S and T count the decisions for the class of the shape and for the class of the texture; any other answer counts
    for neither. Rows with shape == texture have no conflict and are excluded.

    Args:
        predictions: class name of each decision, shape (n,). A name outside ``classes`` ("na", …)
            counts for no cue.
        shapes, textures: class names of the two cues, shape (n,).
        classes: all classes that shapes and textures may have. None: the 16 of Geirhos et al. if
            they contain all shapes and textures, else the union of shapes and textures.
        shape_exemplars, texture_exemplars: which picture the cue was taken from ("cat1"), shape
            (n,). With both, the intervals are clustered in two ways (see `bootstrap`) and nothing
            is resampled. Without, rows are resampled; such an interval is too narrow by a factor
            of 1.1 to 2.3 on the images of Geirhos et al., since 1,200 images share 160 shapes and
            48 textures.
        n_resamples, confidence_level, seed: see `bootstrap.Resampling`. The seed also draws the permutations behind
            ``interpretable``.

    Returns:
        - ``shape_bias``: S / (S + T) in [0, 1], 1 where the shape decides; NaN
          without any decision for a cue. ``texture_bias`` = 1 - shape_bias.
        - ``cue_accuracy`` (S + T) / n, ``shape_accuracy`` S / n, ``texture_accuracy`` T / n.
        - ``interpretable``: whether S + T exceeds the 97.5th percentile of its permutation null
          (the decisions shuffled over the images, which keeps the model's preference for some
          classes) and no class takes half of the decisions. Near chance both cues are hit equally
          often and the bias of every model tends to 0.5. A flag; it changes no value.
        - ``null_cue_accuracy``: mean of that null; 2 / (number of classes) for a balanced design.
          ``null_shape_accuracy`` and ``null_texture_accuracy``: the same of each cue, 1 / (number of classes) for a
          balanced design. ``shape_above_null`` and ``texture_above_null``: whether S or T exceeds its 97.5th
          percentile.
        - ``top_class``, ``top_class_share``: the class decided for most often (None if no answer is
          a class) and its share of the n decisions.
          Without any conflict all of these are NaN, and ``interpretable`` is False.
        - ``n`` (rows scored), ``n_excluded``, ``n_shape`` (S), ``n_texture`` (T), ``causes``.
        - ``shape_bias_ci`` and likewise for the bias and accuracies: [low, high]. They contain
          neither the noise of another training seed nor that of another checkpoint.

    Raises:
        MetricError: different lengths, no rows, a shape or texture outside ``classes``, one kind
            of exemplar without the other.

    Examples:
        >>> from hf_clipdyn.metrics.shape_bias import shape_bias
        >>> result = shape_bias(["cat", "cat", "dog"], ["cat", "cat", "cat"], ["dog", "car", "dog"])
        >>> result["shape_bias"], result["n_shape"], result["n_texture"]
        (0.6666666666666666, 2, 1)
    """
    resampling = Resampling(n_resamples, confidence_level, seed)
    predicted, shape, texture, conflict, known = _in_conflict(predictions, shapes, textures, classes)
    exemplars = as_exemplars(shape_exemplars, texture_exemplars, len(conflict))
    n = len(predicted)
    hits_shape, hits_texture = predicted == shape, predicted == texture
    n_shape, n_texture = int(hits_shape.sum()), int(hits_texture.sum())
    decided = n_shape + n_texture
    bias = _share(n_shape, decided)
    causes: dict[str, str] = {}
    if n == 0:
        names = (*_VALUES, *(f"null_{cue}_accuracy" for cue in _CUES), "top_class_share")
        causes = dict.fromkeys(names, "no row has a texture other than its shape")
    elif decided == 0:
        causes = dict.fromkeys(_BIASES, "no decision was for the shape or the texture")

    nulls = _cue_nulls(predicted, shape, texture, seed)
    top_class, top_share = _top_class(predicted, known)
    result: dict[str, Any] = {
        "shape_bias": bias,
        "texture_bias": 1 - bias,
        "cue_accuracy": _share(decided, n),
        "shape_accuracy": _share(n_shape, n),
        "texture_accuracy": _share(n_texture, n),
        "interpretable": bool(decided > nulls["cue"].most and top_share < _DOMINANT_SHARE),
        **{f"null_{cue}_accuracy": null.mean for cue, null in nulls.items()},
        **{
            f"{cue}_above_null": bool(count > nulls[cue].most)
            for cue, count in (("shape", n_shape), ("texture", n_texture))
        },
        "top_class": top_class,
        "top_class_share": top_share,
        "n": n,
        "n_excluded": len(conflict) - n,
        "n_shape": n_shape,
        "n_texture": n_texture,
        "causes": causes,
    }
    if resampling:
        scored = [codes[conflict] for codes in exemplars]
        intervals = (
            _clustered_intervals(hits_shape, hits_texture, scored, confidence_level)
            if scored
            else _resampled_intervals(n_shape, n_texture, n, resampling)
        )
        result |= {f"{name}_ci": interval for name, interval in zip(_VALUES, intervals, strict=True)}
    return result


def decision_influences(predictions: ArrayLike, shapes: ArrayLike, textures: ArrayLike) -> dict[str, Floats]:
    """What each row contributes to the error of the numbers of `shape_bias`, in the first order.

    Args:
        predictions, shapes, textures: as for `shape_bias`, with ``classes=None``.

    Returns:
        For the bias, the accuracies, their nulls and ``top_class_share`` an array of shape (n,) that sums
        to zero; 0 for a row without conflict, NaN where the number is undefined.

    Raises:
        MetricError: as for `shape_bias`.

    Examples:
        >>> from hf_clipdyn.metrics.shape_bias import decision_influences
        >>> influences = decision_influences(["cat", "cat", "dog"], ["cat", "cat", "cat"], ["dog", "car", "dog"])
        >>> influences["shape_bias"].round(4).tolist()
        [0.1111, 0.1111, -0.2222]
    """
    predicted, shape, texture, conflict, known = _in_conflict(predictions, shapes, textures, None)
    s, t = (np.asarray(predicted == cue, np.float64) for cue in (shape, texture))
    top_class, _ = _top_class(predicted, known)
    top = np.asarray(predicted == (top_class or ""), np.float64)
    names, codes = np.unique(np.concatenate([predicted, shape, texture]), return_inverse=True)
    of = codes.reshape(3, len(predicted))
    decided, *cues = (np.bincount(column, minlength=len(names)) for column in of)
    # Each cue's null counts pairs of a decision and an image; a row is in pairs as either.
    hits = {
        cue: counts[of[0]] + decided[own]
        for cue, counts, own in zip(("shape", "texture"), cues, of[1:], strict=True)
    }
    hits["cue"] = hits["shape"] + hits["texture"]
    with np.errstate(invalid="ignore", divide="ignore"):
        n, both = np.float64(len(predicted)), s + t
        bias = (s - s.sum() / both.sum() * both) / both.sum()
        influences = {
            "shape_bias": bias,
            "texture_bias": -bias,
            **{f"null_{cue}_accuracy": (hits[cue] - hits[cue].sum() / n) / n**2 for cue in _CUES},
        }
        shares = {"cue_accuracy": both, "shape_accuracy": s, "texture_accuracy": t, "top_class_share": top}
        influences |= {name: (column - column.sum() / n) / n for name, column in shares.items()}
    placed = np.zeros((len(influences), len(conflict)))
    placed[:, conflict] = list(influences.values())
    return dict(zip(influences, placed, strict=True))


def answer_shares(
    predictions: ArrayLike,
    shapes: ArrayLike,
    textures: ArrayLike,
    *,
    classes: Sequence[str] | None = None,
    shape_exemplars: ArrayLike | None = None,
    texture_exemplars: ArrayLike | None = None,
    confidence_level: float = 0.95,
) -> dict[str, Any]:
    """The shares of answers for the shape, for the texture and for anything else, which the shape bias hides.

    Args:
        predictions, shapes, textures, classes, shape_exemplars, texture_exemplars: as for `shape_bias`. With the
            exemplars the intervals are widened by the largest design effect of the three shares.
        confidence_level: that the three intervals together cover.

    Returns:
        - ``shape``, ``texture``, ``other`` in [0, 1], which sum to 1; ``unclassified``, the part of ``other`` outside
          the classes (``na``); NaN without any conflict;
        - ``<name>_ci`` of the first three, see `goodman_intervals`; ``<name>_chance``, the share for the same answers
          in random order: 1 / K, 1 / K and 1 - 2 / K for K balanced classes;
        - ``n``, ``design_effect`` (at least 1), ``causes``.

    Raises:
        MetricError: as for `shape_bias`.

    Examples:
        >>> from hf_clipdyn.metrics.shape_bias import answer_shares
        >>> answers, shapes = ["cat", "dog", "na", "dog"], ["cat", "cat", "cat", "dog"]
        >>> shares = answer_shares(answers, shapes, ["dog", "car", "dog", "cat"])
        >>> [shares[name] for name in ("shape", "texture", "other", "unclassified")]
        [0.5, 0.0, 0.5, 0.25]
    """
    predicted, shape, texture, conflict, known = _in_conflict(predictions, shapes, textures, classes)
    exemplars = [one[conflict] for one in as_exemplars(shape_exemplars, texture_exemplars, len(conflict))]
    n = len(predicted)
    hits = [predicted == shape, predicted == texture]
    by_name = dict(zip(("shape", "texture", "other"), [*hits, ~(hits[0] | hits[1])], strict=True))
    counts = {name: int(column.sum()) for name, column in by_name.items()}
    effect = 1.0
    if exemplars and n:
        starts = [0, int(exemplars[0].max()) + 1]
        codes = np.stack(exemplars, axis=1) + starts
        units = Units("rows", codes, min(len(np.unique(column)) for column in codes.T))
        for name, column in by_name.items():
            independent = counts[name] * (n - counts[name]) / n**3
            variance = Influence.on(units, mean_influence(column)).variance
            effect = max(effect, variance / independent) if independent else effect
    names = np.unique(predicted)
    decided = np.array([(predicted == name).sum() for name in names])
    chances = [
        float(decided @ [(cue == name).sum() for name in names]) / n**2 if n else float("nan")
        for cue in (shape, texture)
    ]
    intervals = goodman_intervals(
        list(counts.values()), design_effect=effect, confidence_level=confidence_level
    )
    result = {name: _share(count, n) for name, count in counts.items()}
    result["unclassified"] = _share(int(np.isin(predicted, list(known), invert=True).sum()), n)
    return {
        **result,
        **{f"{name}_ci": interval for name, interval in zip(counts, intervals, strict=True)},
        **dict(zip((f"{name}_chance" for name in counts), [*chances, 1 - sum(chances)], strict=True)),
        "n": n,
        "design_effect": effect,
        "causes": {} if n else dict.fromkeys(result, "no row has a texture other than its shape"),
    }


def _share(count: int, n: int) -> float:
    return count / n if n else float("nan")


def _in_conflict(
    predictions: ArrayLike, shapes: ArrayLike, textures: ArrayLike, classes: Sequence[str] | None
) -> tuple[NDArray[np.str_], NDArray[np.str_], NDArray[np.str_], NDArray[np.bool_], frozenset[str]]:
    """Predictions, shapes and textures of the rows in conflict, which of all rows these are, and the classes."""
    given = {"predictions": predictions, "shapes": shapes, "textures": textures}
    columns = {name: as_strings(name, column) for name, column in given.items()}
    check_lengths(columns)
    predicted, shape, texture = columns.values()
    conflict = shape != texture
    return (
        predicted[conflict],
        shape[conflict],
        texture[conflict],
        conflict,
        _classes(classes, shape, texture),
    )


def _classes(
    classes: Sequence[str] | None, shapes: NDArray[np.str_], textures: NDArray[np.str_]
) -> frozenset[str]:
    used = {str(name) for name in np.union1d(shapes, textures)}
    if classes is None:
        return frozenset(GEIRHOS_CLASSES) if used <= set(GEIRHOS_CLASSES) else frozenset(used)
    outside = sorted(used - set(classes))
    if outside:
        raise MetricError(
            f"Shapes and textures must be among the {len(classes)} classes, but {outside[0]!r} is not: "
            "name all classes, or leave classes=None."
        )
    return frozenset(classes)


def _top_class(predictions: NDArray[np.str_], classes: frozenset[str]) -> tuple[str | None, float]:
    names, counts = np.unique(predictions, return_counts=True)
    decisions = {str(name): int(count) for name, count in zip(names, counts, strict=True) if name in classes}
    if not decisions:
        return None, 0.0 if len(predictions) else float("nan")
    top = max(decisions, key=lambda name: decisions[name])
    return top, decisions[top] / len(predictions)


class _Null(NamedTuple):
    """Decisions shuffled over the images: the mean share of hits, and the 97.5th percentile of their number."""

    mean: float = float("nan")
    most: float = float("nan")


def _cue_nulls(
    predictions: NDArray[np.str_], shapes: NDArray[np.str_], textures: NDArray[np.str_], seed: int
) -> dict[str, _Null]:
    """S + T, S and T when the decisions are shuffled, by `_CUES`."""
    n = len(predictions)
    if n == 0:
        return dict.fromkeys(_CUES, _Null())
    names, codes = np.unique(np.concatenate([predictions, shapes, textures]), return_inverse=True)
    decided, *cues = codes.reshape(3, n)
    times = np.stack([np.bincount(cue, minlength=len(names)) for cue in (decided, *cues)]).astype(np.float64)
    means = times[1:] @ times[0] / n**2
    # Sorted first, so that the order of the rows changes nothing.
    order = np.lexsort((cues[1], cues[0]))
    shown = np.stack(cues)[:, order]
    decided = np.sort(decided)
    rng = np.random.default_rng(seed)
    hits = []
    for _ in range(0, _NULL_PERMUTATIONS, _SHUFFLED_AT_ONCE):
        shuffled = rng.permuted(np.broadcast_to(decided, (_SHUFFLED_AT_ONCE, n)), axis=1)
        hits.append(np.count_nonzero(shuffled == shown[:, None], axis=2))
    of_each = np.concatenate(hits, axis=1)
    counts = dict(zip(_CUES, [of_each.sum(axis=0), *of_each], strict=True))
    shares = dict(zip(_CUES, [means.sum(), *means], strict=True))
    return {cue: _Null(float(shares[cue]), float(np.quantile(counts[cue], _NULL_QUANTILE))) for cue in _CUES}


def _clustered_intervals(
    hits_shape: NDArray[np.bool_], hits_texture: NDArray[np.bool_], exemplars: list[Ints], level: float
) -> list[list[float]]:
    s, t = hits_shape.astype(np.float64), hits_texture.astype(np.float64)
    ones = np.ones(len(s))
    if len(s) == 0:
        return [[float("nan")] * 2 for _ in _VALUES]
    low, high = clustered_share_interval(s, s + t, exemplars, level)
    accuracies = [clustered_share_interval(hits, ones, exemplars, level) for hits in (s + t, s, t)]
    return [[low, high], [1 - high, 1 - low], *accuracies]


def _resampled_intervals(n_shape: int, n_texture: int, n: int, resampling: Resampling) -> list[list[float]]:
    """Rows resampled: the counts of the three outcomes of a row are all that the values depend on."""

    def values(weights: Floats) -> Floats:
        s, t = weights[:, 0], weights[:, 1]
        with np.errstate(invalid="ignore"):
            bias = s / (s + t)
        total = weights.sum(axis=1)
        return np.stack([bias, 1 - bias, (s + t) / total, s / total, t / total], axis=1)

    if n == 0:
        return [[float("nan")] * 2 for _ in _VALUES]
    counts = np.array([n_shape, n_texture, n - n_shape - n_texture])
    trials = [n_shape + n_texture] * 2 + [n] * 3
    return resampled_intervals(values, counts, ["share"] * 5, resampling, trials).tolist()  # type: ignore[no-any-return]
