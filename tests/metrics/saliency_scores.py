"""Each score of one map alone, as the tests ask for it."""

from typing import Any

import numpy as np

from hf_clipdyn.metrics.saliency import Target


def _score(name: str, saliency_map: Any, fixations: Any = (), **about: Any) -> float:
    return Target(np.shape(saliency_map), fixations, **about).scores(saliency_map).get(name, float("nan"))


def nss(saliency_map: Any, fixations: Any) -> float:
    return _score("nss", saliency_map, fixations)


def auc(saliency_map: Any, fixations: Any) -> float:
    return _score("auc", saliency_map, fixations)


def shuffled_auc(saliency_map: Any, fixations: Any, others: Any) -> float:
    return _score("sauc", saliency_map, fixations, other_fixations=others)


def cc(saliency_map: Any, density: Any) -> float:
    return _score("cc", saliency_map, density=density)


def kl_divergence(saliency_map: Any, density: Any) -> float:
    return _score("kl", saliency_map, density=density)


def information_gain(saliency_map: Any, fixations: Any, baseline: Any) -> float:
    return _score("ig", saliency_map, fixations, baseline=baseline)
