"""What can be read out of embeddings by a linear classifier, on items that it has not seen.

The classifier is ridge regression onto the classes: on standardised dimensions, the class with the largest score.
It has a closed form, hence a result that depends on no starting point and no stopping rule, and the sums of the folds
serve all fits at once: each fold is decided by a probe of the others, and the strength of the penalty is chosen by
the same rule within these.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics._validation import Floats, Ints

__all__ = ["PENALTIES", "LinearProbe", "probe_folds"]

PENALTIES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
"""Penalties that are tried, per training item (scikit-learn's ``alpha`` divided by their number)."""

_DEFAULT = 1e-2  # where two folds leave nothing to choose with
_CHOOSING = 1000  # items of a fold on which penalties are compared: of 50,000, more would change nothing
_NO_VARIANCE = 1e-12  # of a dimension, relative to the largest: rounding, not signal


def probe_folds(classes: ArrayLike, groups: ArrayLike | None = None, most: int = 5) -> Ints:
    """Folds for a probe: groups stay whole, and each fold holds groups of each class.

    Args:
        classes: class of each item, shape (n,).
        groups: exemplar of each item, shape (n,), each of one class; None: every item is its own.
        most: folds at most; fewer where a class has fewer groups.

    Returns:
        Fold of each item from 0, shape (n,); -1 for the items of a class with a single group, which a probe cannot
        have seen, and for all where this leaves fewer than two classes.
    """
    kinds = np.unique(np.asarray(classes), return_inverse=True)[1].reshape(-1)
    n = len(kinds)
    own = (
        np.arange(n) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    )
    first = np.unique(own, return_index=True)[1]  # by group, an item of it
    of_group = kinds[first]
    sizes = np.bincount(of_group)
    if np.count_nonzero(sizes > 1) < 2:
        return np.full(n, -1, dtype=np.int64)
    n_folds = min(most, int(sizes[sizes > 1].min()))
    rank = np.zeros(len(first), dtype=np.int64)
    for kind in np.flatnonzero(sizes):
        members = np.flatnonzero(of_group == kind)
        rank[members] = (
            np.arange(len(members)) + kind
        )  # classes begin elsewhere, so that folds are of one size
    folds = np.where(sizes[of_group] > 1, rank % n_folds, -1)
    return np.asarray(folds[own], dtype=np.int64)


class LinearProbe:
    """Probes of all folds, each fitted on the others.

    Args:
        features: shape (n, d).
        classes: class of each item from 0, shape (n,).
        folds: see `probe_folds`; items at -1 take no part.

    Attributes:
        penalties: the one of `PENALTIES` that each fold's probe took: the most accurate one where each other fold is
            decided by a probe of the rest, of equals the largest.

    Raises:
        MetricError: other shapes, or NaN.

    Example:
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
        known = rows[self._folds >= 0]
        # Untrained embeddings are all but equal: without this the sums of squares would cancel.
        self._origin = known.mean(axis=0) if len(known) else np.zeros(rows.shape[1])
        self._n_folds = int(self._folds.max(initial=-1)) + 1
        n_classes = int(labels.max(initial=-1)) + 1
        centred = rows - self._origin
        members = [np.flatnonzero(self._folds == fold) for fold in range(self._n_folds)]
        self._sums = [_Sums.of(centred[own], labels[own], n_classes) for own in members]
        self.penalties = self._choose(centred, labels, members)
        everyone = range(self._n_folds)
        self._probes = [
            self._fit([other for other in everyone if other != fold]).with_penalty(self.penalties[fold])
            for fold in everyone
        ]

    def decide(self, features: ArrayLike) -> Ints:
        """Class of each item by the probe that has not seen it, shape (n,); -1 where it takes no part.

        Args:
            features: shape (n, d): the ones of the fit, or the same items seen otherwise (under noise, say).
        """
        rows = np.asarray(features, dtype=np.float64)
        decided = np.full(len(self._folds), -1, dtype=np.int64)
        for fold, scores in enumerate(self._probes):
            own = np.flatnonzero(self._folds == fold)
            decided[own] = scores(rows[own] - self._origin).argmax(axis=1)
        return decided

    def _fit(self, folds: Sequence[int]) -> "_Fit":
        total = self._sums[folds[0]]
        for fold in folds[1:]:
            total = total + self._sums[fold]
        return _Fit(total)

    def _choose(self, rows: Floats, labels: Ints, members: Sequence[Ints]) -> list[float]:
        if self._n_folds < 3:
            return [_DEFAULT] * self._n_folds
        right = np.zeros((self._n_folds, len(PENALTIES)))
        shown = [own[:: -(-len(own) // _CHOOSING)] for own in members]
        for pair in itertools.combinations(range(self._n_folds), 2):
            fit = self._fit([fold for fold in range(self._n_folds) if fold not in pair])
            for position, penalty in enumerate(PENALTIES):
                scores = fit.with_penalty(penalty)
                for fold, held_out in (pair, pair[::-1]):
                    own = shown[held_out]
                    share = np.mean(scores(rows[own]).argmax(axis=1) == labels[own])
                    right[fold, position] += share
        return [PENALTIES[int(position)] for position in np.round(right, 9).argmax(axis=1)]


@dataclass(frozen=True)
class _Sums:
    """All that a fit needs to know of some items; the sums of several folds add up."""

    n: int
    features: Floats  # (d,)
    squares: Floats  # (d, d)
    counts: Floats  # (classes,)
    by_class: Floats  # (d, classes)

    @classmethod
    def of(cls, rows: Floats, labels: Ints, n_classes: int) -> "_Sums":
        by_class = np.zeros((n_classes, rows.shape[1]))
        np.add.at(by_class, labels, rows)
        counts = np.bincount(labels, minlength=n_classes).astype(np.float64)
        return cls(len(rows), rows.sum(axis=0), rows.T @ rows, counts, by_class.T)

    def __add__(self, other: "_Sums") -> "_Sums":
        return _Sums(
            self.n + other.n,
            self.features + other.features,
            self.squares + other.squares,
            self.counts + other.counts,
            self.by_class + other.by_class,
        )


class _Fit:
    """Ridge regression of the classes' indicators on standardised features, for any penalty."""

    def __init__(self, sums: _Sums) -> None:
        self._mean, self._shares = sums.features / sums.n, sums.counts / sums.n
        covariance = sums.squares / sums.n - np.outer(self._mean, self._mean)
        variance = np.diag(covariance)
        alive = variance > _NO_VARIANCE * variance.max(initial=0.0)
        self._scale = np.sqrt(np.where(alive, variance, np.inf))  # a dead dimension weighs nothing
        target = sums.by_class / sums.n - np.outer(self._mean, self._shares)
        values, self._axes = np.linalg.eigh(covariance / np.outer(self._scale, self._scale))
        self._values = np.maximum(values, 0.0)
        self._target = self._axes.T @ (target / self._scale[:, None])

    def with_penalty(self, penalty: float) -> Callable[[Floats], NDArray[np.float64]]:
        """Features (m, d) -> scores (m, classes)."""
        weights = (self._axes @ (self._target / (self._values + penalty)[:, None])) / self._scale[:, None]
        intercept = self._shares - self._mean @ weights
        return lambda rows: np.asarray(rows @ weights + intercept)
