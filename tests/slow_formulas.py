"""Formulas of metrics, written out again with SciPy and scikit-learn; the package has none of this code."""

from collections.abc import Sequence

import numpy as np
from scipy import stats
from sklearn.linear_model import RidgeClassifierCV
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def average_precision(distances: Sequence[float], same: Sequence[float]) -> float:
    """Of distinct distances, by PASCAL VOC's envelope: at each recall the best precision there or later."""
    ranked = [share for _, share in sorted(zip(distances, same, strict=True))]
    points = [(sum(ranked[:n]) / sum(ranked), sum(ranked[:n]) / n) for n in range(1, len(ranked) + 1)]
    area, before = 0.0, 0.0
    for at, (recall, _) in enumerate(points):
        area += (recall - before) * max(precision for _, precision in points[at:])
        before = recall
    return area


def probed(
    images: Sequence[np.ndarray], classes: Sequence[str], folds: np.ndarray, *views: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """What a ridge classifier says of each item, fitted on the other folds, for each view of them."""
    features, labels = np.array(images), np.array(classes)
    answers = [np.empty(len(labels), object) for _ in (images, *views)]
    for fold in set(folds):
        train = folds != fold
        penalties = train.sum() * np.array([1.0, 0.1, 0.01, 0.001, 0.0001, 0.00001])
        model = make_pipeline(StandardScaler(), RidgeClassifierCV(alphas=penalties))
        model.fit(features[train], labels[train])
        for answer, view in zip(answers, (images, *views), strict=True):
            answer[~train] = model.predict(np.array(view)[~train])
    return answers


def point_scores(
    saliency: np.ndarray, points: np.ndarray, others: np.ndarray, baseline: np.ndarray
) -> dict[str, float]:
    """The scores of a map at fixations; the shuffled area compares them with those on other images."""

    def at(values: np.ndarray, places: np.ndarray) -> np.ndarray:
        return np.array([values[int(y), int(x)] for x, y, *_ in places])

    def area(negative: np.ndarray) -> float:
        labels = np.r_[np.ones(len(points)), np.zeros(len(negative))]
        return float(roc_auc_score(labels, np.r_[at(saliency, points), negative]))

    def bits(values: np.ndarray) -> float:
        return float(np.log2(0.99 * at(values, points) / values.sum() + 0.01 / values.size).mean())

    return {
        "nss": float(at(stats.zscore(saliency, axis=None), points).mean()),
        "auc": area(saliency.ravel()),
        "sauc": area(at(saliency, others)),
        "ig": bits(saliency) - bits(baseline),
    }


def density_scores(saliency: np.ndarray, density: np.ndarray) -> dict[str, float]:
    """The scores of a map against the density of the fixations."""
    unit = [(one - one.min()) / (one - one.min()).sum() for one in (saliency, density)]
    p, g = saliency / saliency.sum(), density / density.sum()
    return {
        "cc": float(stats.pearsonr(saliency.ravel(), density.ravel()).statistic),
        "sim": float(np.minimum(*unit).sum()),
        "kl": float((g * np.log(2.2204e-16 + g / (p + 2.2204e-16))).sum()),
    }
