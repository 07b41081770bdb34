"""What can be read out of embeddings by a linear classifier, on items that it has not seen.

The classifier is scikit-learn's ridge classifier on standardised dimensions. It has a closed form, hence a result that
depends on no starting point and no stopping rule; its penalty is the one with the smallest leave-one-out error.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_clipdyn.errors import MetricError

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = ["PENALTIES", "LinearProbe", "decide_crossed", "probe_folds"]

PENALTIES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
"""Penalties that are tried, per training item (scikit-learn's ``alpha`` divided by their number)."""


def probe_folds(classes: ArrayLike, groups: ArrayLike | None = None, most: int = 5) -> NDArray[np.int64]:
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
        classes: class of each item, shape (n,).
        folds: see `probe_folds`; items at -1 take no part.

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
        self._probes = []
        for fold in range(int(self._folds.max(initial=-1)) + 1):
            others = (self._folds >= 0) & (self._folds != fold)
            self._probes.append(_fitted(rows[others], labels[others]))

    def decide(self, features: ArrayLike) -> NDArray[np.int64]:
        """Class of each item by the probe that has not seen it, shape (n,); -1 where it takes no part.

        Args:
            features: shape (n, d): the ones of the fit, or the same items seen otherwise (under noise, say).
        """
        rows = np.asarray(features, dtype=np.float64)
        decided = np.full(len(self._folds), -1, dtype=np.int64)
        for fold, probe in enumerate(self._probes):
            own = self._folds == fold
            decided[own] = probe.predict(rows[own])
        return decided


def decide_crossed(
    features: ArrayLike,
    classes: ArrayLike,
    exemplars: ArrayLike,
    other_classes: ArrayLike,
    other_exemplars: ArrayLike,
) -> NDArray[np.int64]:
    """What a linear probe reads of one cue in items that conflict in another cue.

    Where no item agrees in both cues, the other cue rules out a class, and a plain probe uses that: a code of
    textures alone is then below chance for shapes, and mixes the two in any other code. Here the other cue says
    nothing: the targets (one indicator a class) are centred within each exemplar of the other cue, so that
    what depends on that exemplar alone is uncorrelated with them, however often the cues meet; and the class of
    the other cue is no candidate. Chance is 1 / (number of classes - 1), where the other cue's classes are
    among them.

    Args:
        features: shape (n, d).
        classes: class of each item in the cue that is read, shape (n,), as numbers from 0.
        exemplars: its exemplar, shape (n,), each of one class; none is both fitted and decided.
        other_classes: class in the other cue, shape (n,), in the same numbers; -1 where it is no class of the first.
        other_exemplars: exemplar of the other cue, shape (n,).

    Returns:
        Class of each item by the ridge regression that has not seen its exemplar, shape (n,), the first of equals;
        -1 where none could be fitted.
    """
    rows, labels = np.asarray(features, dtype=np.float64), np.asarray(classes, dtype=np.int64)
    barred = np.asarray(other_classes, dtype=np.int64)
    other = np.unique(np.asarray(other_exemplars), return_inverse=True)[1].reshape(-1)
    folds = probe_folds(labels, exemplars)
    targets = np.eye(int(labels.max(initial=-1)) + 1)[labels]
    unseen = np.setdiff1d(labels, labels[folds >= 0])
    decided = np.full(len(labels), -1, dtype=np.int64)
    for fold in range(int(folds.max(initial=-1)) + 1):
        own, others = np.flatnonzero(folds == fold), np.flatnonzero((folds >= 0) & (folds != fold))
        centred = _centred_within(targets[others], other[others])
        if not centred.any():  # no exemplar of the other cue is seen with two classes
            continue
        # Equal scores must tie, and a matrix product rounds equal rows differently.
        scores = np.round(_fitted(rows[others], centred).predict(rows[own]), 9)
        scores[:, unseen] = -np.inf
        ruled_out = np.flatnonzero(barred[own] >= 0)
        scores[ruled_out, barred[own][ruled_out]] = -np.inf
        decided[own] = scores.argmax(axis=1)
    return decided


def _centred_within(values: NDArray[np.float64], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Values (n, k) minus the mean of their group."""
    sums = np.zeros((int(groups.max()) + 1, values.shape[1]))
    np.add.at(sums, groups, values)
    return np.asarray(values - sums[groups] / np.bincount(groups)[groups, None])


def _fitted(rows: NDArray[np.float64], targets: NDArray[Any]) -> "Pipeline":
    """A ridge regression for targets (n, k), a ridge classifier for classes (n,)."""
    # Imported where it is used: a quarter of a second, which most calls would pay for nothing.
    from sklearn.linear_model import RidgeClassifierCV, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    ridge = RidgeCV if targets.ndim == 2 else RidgeClassifierCV
    return make_pipeline(StandardScaler(), ridge(alphas=len(rows) * np.array(PENALTIES))).fit(rows, targets)
