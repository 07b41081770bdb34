"""Linear probes: classes decoded from embeddings, always on items that the probe has not seen.

A probe is a ridge classifier on standardised dimensions: one regression for each class, of which the largest decides.
It has a closed form, so its result depends neither on a starting point nor on a stopping rule. It decides as
scikit-learn's RidgeClassifierCV behind a StandardScaler does, which takes two to six times as long.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.checks import Floats, Ints

PENALTIES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
"""Penalties that are tried, per training item (scikit-learn's ``alpha`` divided by their number)."""


def ridge(features: Floats, targets: Floats) -> Callable[[Floats], Floats]:
    """Ridge regressions on standardised dimensions, with the one penalty of the smallest mean leave-one-out error.

    The error of a left-out item is its residual over 1 - h, where h is its diagonal value of the matrix that gives the
    fit from the targets (Golub, Heath and Wahba 1979). One decomposition serves all penalties: of the covariance, or of
    the products of the items where these are fewer than the dimensions.

    Args:
        features: shape (n, d).
        targets: shape (n, k).

    Returns:
        The predictions for features of any items, (m, d) to (m, k).
    """
    n, d = features.shape
    middle, offsets = features.mean(axis=0), targets.mean(axis=0)
    x, y = features - middle, targets - offsets
    middle, x = middle + x.mean(axis=0), x - x.mean(axis=0)  # the first mean was rounded
    variance, error = np.square(x).mean(axis=0), np.finfo(np.float64).eps * n
    scale = np.where(variance <= error * variance + np.square(error * middle), 1.0, np.sqrt(variance))
    x /= scale
    is_long = n > d
    sizes, axes = np.linalg.eigh(x.T @ x if is_long else x @ x.T)
    z = x @ axes if is_long else axes
    along, ones, squares = z.T @ y, axes.sum(axis=0), np.square(z)
    best, least = np.empty(0), np.inf
    for penalty in n * np.array(PENALTIES):
        shrunk = 1 / (sizes + penalty)
        fit = z @ (shrunk[:, None] * along)
        if is_long:
            residual, left = y - fit, 1 - 1 / n - squares @ shrunk
        else:  # both over the penalty: 1 - h would cancel where a weak penalty fits every item
            residual, left = fit, squares @ shrunk - z @ (shrunk * ones) / n
        mean_error = float(np.square(residual / left[:, None]).mean())
        if mean_error < least:
            best, least = axes @ (shrunk[:, None] * along) if is_long else fit, mean_error
    weights = best if is_long else x.T @ best
    return lambda rows: (rows - middle) / scale @ weights + offsets


def probe_folds(classes: ArrayLike, exemplars: ArrayLike | None = None, most: int = 5) -> Ints:
    """Folds for a probe: no exemplar is split, and each fold has exemplars of each class.

    Args:
        classes: class of each item, shape (n,).
        exemplars: exemplar of each item, shape (n,), each of one class; None: each item is alone.
        most: largest number of folds; fewer if a class has fewer exemplars.

    Returns:
        Fold of each item from 0, shape (n,). -1 for the items of a class with a single exemplar, which no probe could
        be fitted on and tested on; -1 for all items if fewer than two classes remain.
    """
    labels, n = _codes(classes), np.shape(classes)[0]
    exemplar_of = np.arange(n) if exemplars is None else _codes(exemplars)
    class_of = labels[np.unique(exemplar_of, return_index=True)[1]]  # of each exemplar
    sizes = np.bincount(class_of)
    if np.count_nonzero(sizes > 1) < 2:
        return np.full(n, -1, dtype=np.int64)
    n_folds = min(most, int(sizes[sizes > 1].min()))
    rank = np.zeros(len(class_of), dtype=np.int64)
    for label in np.flatnonzero(sizes):
        members = np.flatnonzero(class_of == label)
        # Each class begins at another fold, so that the folds are equally large.
        rank[members] = np.arange(len(members)) + label
    folds = np.where(sizes[class_of] > 1, rank % n_folds, -1)
    return np.asarray(folds[exemplar_of], dtype=np.int64)


class LinearProbe:
    """One probe for each fold, fitted on the other folds; the largest score decides, the first of equal ones.

    Args:
        features: shape (n, d).
        classes: class of each item, shape (n,).
        folds: see `probe_folds`; items at -1 are ignored.

    Raises:
        MetricError: other shapes, or NaN.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.metrics.linear_probe import LinearProbe
        >>> features = np.array([[0.0, 1], [0, 2], [0, 3], [1, 1], [1, 2], [1, 3]])
        >>> probe = LinearProbe(features, [0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2])
        >>> probe.decide(features).tolist()
        [0, 0, 0, 1, 1, 1]
    """

    def __init__(self, features: ArrayLike, classes: ArrayLike, folds: ArrayLike) -> None:
        rows = np.asarray(features, dtype=np.float64)
        labels, self._folds = np.asarray(classes, dtype=np.int64), np.asarray(folds, dtype=np.int64)
        if rows.ndim != 2 or labels.shape != rows.shape[:1] or self._folds.shape != rows.shape[:1]:
            raise MetricError(
                f"A probe needs features (n, d), classes (n,) and folds (n,), given: {rows.shape}, {labels.shape}, "
                f"{self._folds.shape}."
            )
        if not np.isfinite(rows).all():
            raise MetricError("features must be finite numbers.")
        self._probes = []
        for inside, outside in _splits(self._folds):
            known, codes = np.unique(labels[outside], return_inverse=True)
            self._probes.append((inside, known, ridge(rows[outside], np.eye(len(known))[codes])))

    def decide(self, features: ArrayLike) -> Ints:
        """Class of each item by the probe that was not fitted on it, shape (n,); -1 for ignored items.

        Args:
            features: shape (n, d), of the same items: as in the fit, or of another view (for example under noise).
        """
        rows = np.asarray(features, dtype=np.float64)
        decided = np.full(len(self._folds), -1, dtype=np.int64)
        for inside, known, scores in self._probes:
            decided[inside] = known[scores(rows[inside]).argmax(axis=1)]
        return decided


def decide_crossed(
    features: ArrayLike,
    classes: ArrayLike,
    exemplars: ArrayLike,
    other_classes: ArrayLike,
    other_exemplars: ArrayLike,
) -> Ints:
    """Decode one cue with a linear probe from items whose two cues conflict.

    If no item has the same class in both cues, the other cue rules out a class, and a plain probe uses that: it decodes
    shapes below chance from embeddings that code textures alone, and mixes the two cues in any other embedding. Here
    the other cue carries no information. First, the targets (one indicator a class) are centred within each exemplar of
    the other cue. What depends on that exemplar alone is then uncorrelated with them, in any combination of the cues.
    Second, the class of the other cue is not a candidate. Chance is 1 / (number of classes - 1) if both cues have the
    same classes.

    Args:
        features: shape (n, d).
        classes: class of each item in the decoded cue, shape (n,), as numbers from 0.
        exemplars: its exemplar, shape (n,), each of one class; no probe is fitted and tested on the same one.
        other_classes: class in the other cue, shape (n,), in the same numbers; -1 if the decoded cue
            has no such class.
        other_exemplars: exemplar of the other cue, shape (n,).

    Returns:
        Class of each item by the ridge regression that was not fitted on its exemplar, shape (n,); the first of equal
        ones; -1 if none could be fitted.
    """
    rows, labels = np.asarray(features, dtype=np.float64), np.asarray(classes, dtype=np.int64)
    excluded, other = np.asarray(other_classes, dtype=np.int64), _codes(other_exemplars)
    folds = probe_folds(labels, exemplars)
    targets = np.eye(int(labels.max(initial=-1)) + 1)[labels]
    unseen = np.setdiff1d(labels, labels[folds >= 0])
    decided = np.full(len(labels), -1, dtype=np.int64)
    for inside, outside in _splits(folds):
        centred = _centred_within(targets[outside], other[outside])
        if not centred.any():  # no exemplar of the other cue is combined with two classes
            continue
        # Equal scores must tie, and a matrix product rounds equal rows differently.
        scores = np.round(ridge(rows[outside], centred)(rows[inside]), 9)
        scores[:, unseen] = -np.inf
        conflicting = np.flatnonzero(excluded[inside] >= 0)
        scores[conflicting, excluded[inside][conflicting]] = -np.inf
        decided[inside] = scores.argmax(axis=1)
    return decided


def _splits(folds: Ints) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """The items of each fold, and those of all other folds."""
    for fold in range(int(folds.max(initial=-1)) + 1):
        yield np.flatnonzero(folds == fold), np.flatnonzero((folds >= 0) & (folds != fold))


def _codes(names: ArrayLike) -> Ints:
    """Names of any type, shape (n,), as numbers from 0 in sorted order."""
    return np.unique(np.asarray(names), return_inverse=True)[1].reshape(-1).astype(np.int64)


def _centred_within(values: Floats, groups: Ints) -> Floats:
    """Values (n, k) minus the mean of their group."""
    sums = np.zeros((int(groups.max()) + 1, values.shape[1]))
    np.add.at(sums, groups, values)
    return np.asarray(values - sums[groups] / np.bincount(groups)[groups, None])
