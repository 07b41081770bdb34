"""Linear probes: classes decoded from embeddings, always on items that the probe has not seen.

A probe is a ridge classifier on standardised dimensions: one regression for each class, of which the largest decides.
It has a closed form, so its result depends neither on a starting point nor on a stopping rule. Its penalty is the one
with the smallest leave-one-out error. It decides as scikit-learn's RidgeClassifierCV behind a StandardScaler does, in a
tenth of the time: all penalties share the rotated features, and no input is checked more than once.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_clipdyn.errors import MetricError

PENALTIES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
"""Penalties that are tried, per training item (scikit-learn's ``alpha`` divided by their number)."""

Floats = NDArray[np.float64]


def probe_folds(classes: ArrayLike, exemplars: ArrayLike | None = None, most: int = 5) -> NDArray[np.int64]:
    """Folds for a probe: no exemplar is split, and each fold has exemplars of each class.

    Args:
        classes: class of each item, shape (n,).
        exemplars: exemplar of each item, shape (n,), each of one class; None: every item is its own.
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
    """One probe for each fold, fitted on the other folds.

    Args:
        features: shape (n, d).
        classes: class of each item, shape (n,).
        folds: see `probe_folds`; items at -1 are ignored.

    Raises:
        MetricError: other shapes, or NaN.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.benchmarks.linear_probe import LinearProbe
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
        self._probes = [
            (own, _Classifier.of(rows[others], labels[others])) for own, others in _splits(self._folds)
        ]

    def decide(self, features: ArrayLike) -> NDArray[np.int64]:
        """Class of each item by the probe that was not fitted on it, shape (n,); -1 for ignored items.

        Args:
            features: shape (n, d), of the same items: as in the fit, or of another view (for example under noise).
        """
        rows = np.asarray(features, dtype=np.float64)
        decided = np.full(len(self._folds), -1, dtype=np.int64)
        for own, probe in self._probes:
            decided[own] = probe.decide(rows[own])
        return decided


def decide_crossed(
    features: ArrayLike,
    classes: ArrayLike,
    exemplars: ArrayLike,
    other_classes: ArrayLike,
    other_exemplars: ArrayLike,
) -> NDArray[np.int64]:
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
    for own, others in _splits(folds):
        centred = _centred_within(targets[others], other[others])
        if not centred.any():  # no exemplar of the other cue is combined with two classes
            continue
        # Equal scores must tie, and a matrix product rounds equal rows differently.
        scores = np.round(_Ridge.of(rows[others], centred).scores(rows[own]), 9)
        scores[:, unseen] = -np.inf
        conflicting = np.flatnonzero(excluded[own] >= 0)
        scores[conflicting, excluded[own][conflicting]] = -np.inf
        decided[own] = scores.argmax(axis=1)
    return decided


def _splits(folds: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The items of each fold, and those of all other folds."""
    for fold in range(int(folds.max(initial=-1)) + 1):
        yield np.flatnonzero(folds == fold), np.flatnonzero((folds >= 0) & (folds != fold))


def _codes(names: ArrayLike) -> NDArray[np.int64]:
    """Names of any type, shape (n,), as numbers from 0 in sorted order."""
    return np.unique(np.asarray(names), return_inverse=True)[1].reshape(-1).astype(np.int64)


def _centred_within(values: Floats, groups: NDArray[np.int64]) -> Floats:
    """Values (n, k) minus the mean of their group."""
    sums = np.zeros((int(groups.max()) + 1, values.shape[1]))
    np.add.at(sums, groups, values)
    return np.asarray(values - sums[groups] / np.bincount(groups)[groups, None])


@dataclass(frozen=True)
class _Ridge:
    """Ridge regressions of several targets with one penalty.

    Attributes:
        middle, scale: by which features are standardised, (d,).
        weights: (d, k).
        offsets: (k,).
    """

    middle: Floats
    scale: Floats
    weights: Floats
    offsets: Floats

    @classmethod
    def of(cls, features: Floats, targets: Floats) -> "_Ridge":
        """With the penalty of the smallest mean squared leave-one-out error; features (n, d), targets (n, k)."""
        n, d = features.shape
        middle = features.mean(axis=0)
        rows = features - middle
        middle, rows = middle + rows.mean(axis=0), rows - rows.mean(axis=0)  # the first mean was rounded
        variance = np.square(rows).mean(axis=0)
        error = np.finfo(np.float64).eps * n
        is_constant = variance <= error * variance + np.square(error * middle)
        scale = np.where(is_constant, 1.0, np.sqrt(variance))
        rows /= scale
        offsets = targets.mean(axis=0)
        solve = _by_covariance if n > d else _by_gram
        weights = solve(rows, targets - offsets, n * np.array(PENALTIES))
        return cls(middle, scale, weights, offsets)

    def scores(self, features: Floats) -> Floats:
        """(n, d) to (n, k)."""
        return np.asarray((features - self.middle) / self.scale @ self.weights + self.offsets)


def _by_covariance(x: Floats, y: Floats, penalties: Floats) -> Floats:
    """The weights (d, k) for more items than dimensions; x (n, d) and y (n, k) are centred.

    The error of a left-out item is its residual over 1 - h, where h is its diagonal value of the matrix that gives the
    fit from the targets (Golub, Heath and Wahba 1979). With the eigenvectors of x'x as axes, that matrix and the fit
    are sums over dimensions for every penalty.
    """
    sizes, axes = np.linalg.eigh(x.T @ x)
    z = x @ axes
    along = z.T @ y
    shrunk = 1 / (sizes[:, None] + penalties)  # (d, penalties)
    kept = 1 - 1 / len(x) - np.square(z) @ shrunk
    errors = [
        np.square((y - z @ (one[:, None] * along)) / left[:, None]).mean()
        for one, left in zip(shrunk.T, kept.T, strict=True)
    ]
    return np.asarray(axes @ (shrunk[:, [int(np.argmin(errors))]] * along))


def _by_gram(x: Floats, y: Floats, penalties: Floats) -> Floats:
    """The same for at most as many items as dimensions, from the products of the items.

    1 - h would cancel here, where a weak penalty fits every item: residual and 1 - h are taken over the penalty.
    """
    sizes, axes = np.linalg.eigh(x @ x.T)
    along, ones = axes.T @ y, axes.sum(axis=0)
    dual, errors = [], []
    for penalty in penalties:
        shrunk = 1 / (sizes + penalty)
        residual = axes @ (shrunk[:, None] * along)
        kept = np.square(axes) @ shrunk - axes @ (shrunk * ones) / len(x)
        dual.append(residual)
        errors.append(np.square(residual / kept[:, None]).mean())
    return np.asarray(x.T @ dual[int(np.argmin(errors))])


@dataclass(frozen=True)
class _Classifier:
    """A ridge regression of one indicator for each class; the largest score decides, the first of equal ones."""

    classes: NDArray[np.int64]
    ridge: _Ridge

    @classmethod
    def of(cls, features: Floats, labels: NDArray[np.int64]) -> "_Classifier":
        classes, codes = np.unique(labels, return_inverse=True)
        return cls(classes, _Ridge.of(features, np.eye(len(classes))[codes]))

    def decide(self, features: Floats) -> NDArray[np.int64]:
        """(n, d) to (n,)."""
        return np.asarray(self.classes[self.ridge.scores(features).argmax(axis=1)])
