"""The intervals of 0.3 on the draws of tests/metrics/coverage_designs.py: bootstraps of 300 resamples, jackknives.

It runs with the package of the commit that it belongs to, and goes with the bootstrap.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from coverage_designs import Data
from coverage_embeddings import of_contrasts
from coverage_observers import LEVELS
from coverage_observers import of_people as people_now

from hf_clipdyn.metrics.bootstrap import (
    Resampling,
    clustered_share_interval,
    influence_interval,
    mean_intervals,
    student_interval,
)
from hf_clipdyn.metrics.contrastive_geometry import contrastive_geometry
from hf_clipdyn.metrics.error_consistency import error_consistency, observer_consistency
from hf_clipdyn.metrics.iqa_correlation import iqa_correlation
from hf_clipdyn.metrics.jnd_map import jnd_map
from hf_clipdyn.metrics.label_distribution import label_distribution
from hf_clipdyn.metrics.learning_order import rank_agreement
from hf_clipdyn.metrics.mutual_knn import mutual_knn
from hf_clipdyn.metrics.noise_robustness import noise_robustness
from hf_clipdyn.metrics.odd_one_out import odd_one_out, odd_one_out_scores
from hf_clipdyn.metrics.recall_at_k import recall_at_k
from hf_clipdyn.metrics.representation import representation_similarity
from hf_clipdyn.metrics.representational_similarity import similarities_with_people
from hf_clipdyn.metrics.two_afc import two_afc

Ends = Mapping[str, tuple[float, float]]
DRAWN = {"n_resamples": 300}


def ends_of(result: Mapping[str, Any]) -> Ends:
    return {name.removesuffix("_ci"): ends for name, ends in result.items() if name.endswith("_ci")}


def of_shares(data: Data) -> Ends:
    rows, groups = data
    values = np.asarray(rows["share"], float)
    if groups is None:
        return {"share": mean_intervals(values[:, None], None, ["share"], Resampling(300))[0]}
    influence = (values - values.mean()) / len(values)
    return {"share": influence_interval(values.mean(), influence, [groups], "share")}


def of_images(data: Data) -> Ends:
    rows, _ = data
    scales = ["share" if name.startswith("auc") else "linear" for name in rows]
    values = np.stack(list(rows.values()), axis=1)
    ends = mean_intervals(values, np.arange(len(values)), scales, Resampling(300))
    return dict(zip(rows, ends, strict=True))


def of_two_afc(data: Data) -> Ends:
    *columns, shown = data
    shared = {"groups": shown} if shown.ndim == 1 else {"images": shown}
    return ends_of(two_afc(*columns, **shared, **DRAWN))


def of_pair(data: Data) -> Ends:
    return ends_of(error_consistency(*data[0].T, **DRAWN))


def of_people(data: Data) -> Ends:
    right, groups = data
    found = {
        "model": observer_consistency(right[:, 1:], right[:, 0]),
        "people": observer_consistency(right[:, 1:]),
    }
    one = people_now(data)["accuracy_difference"]
    low, high = influence_interval(one.value, one.influence.values, [groups], "linear")
    kappas = {name: result["kappa_ci"] for name, result in found.items()}
    return {**kappas, "accuracy_difference": (max(low, 0.0), high)}


def of_cues(data: Data) -> Ends:
    shape, texture, cells = data
    both, ones = (shape | texture).astype(float), np.ones(len(shape))
    ratios = {
        "shape_bias": (shape * 1.0, both),
        "cue_accuracy": (both, ones),
        "shape_accuracy": (shape * 1.0, ones),
    }
    return {name: clustered_share_interval(*pair, list(cells.T)) for name, pair in ratios.items()}


def of_noise(data: Data) -> Ends:
    (right,) = data
    n = len(right)
    found = noise_robustness(
        right.T.ravel().astype(int),
        np.ones(right.size, int),
        np.repeat(LEVELS, n),
        groups=np.tile(np.arange(n), 3),
        n_classes=10,
        **DRAWN,
    )
    lists = {name: found[f"{name}_ci"][2] for name in ("accuracy", "chance_corrected_drop")}
    return {**lists, "area": found["area_ci"], "threshold": found["threshold_ci"]}


def of_odd_ones(data: Data) -> Ends:
    scores, _ = odd_one_out_scores(*data[:2])
    return ends_of(odd_one_out(scores, data[2], **DRAWN))


def of_exemplars(data: Data) -> Ends:
    return {
        name: student_interval(
            one.value, one.influence.variance, "linear", 0.95, one.influence.n_clusters - 1
        )
        for name, one in of_contrasts(data).items()
    }


BEFORE: dict[str, Callable[[Data], Ends]] = {
    "zero_shot_accuracy": of_shares,
    "observer_agreement": of_shares,
    "two_afc": of_two_afc,
    "jnd_map": lambda data: ends_of(jnd_map(*data, **DRAWN)),
    "recall_at_k": lambda data: ends_of(recall_at_k(*data, ks=(1, 5), **DRAWN)),
    "iqa_correlation": lambda data: ends_of(iqa_correlation(*data[:2], groups=data[2], **DRAWN)),
    "error_consistency": lambda data: of_pair(data) if data[0].shape[1] == 2 else of_people(data),
    "learning_order": lambda data: ends_of(rank_agreement(*data)),
    "shape_bias": of_cues,
    "noise_robustness": of_noise,
    "saliency": of_images,
    "label_distribution": lambda data: ends_of(label_distribution(*data, **DRAWN)),
    "odd_one_out": of_odd_ones,
    "psychophysics": of_exemplars,
    "cka": lambda data: ends_of(representation_similarity(*data)),
    "mutual_knn": lambda data: ends_of(mutual_knn(*data, k=5)),
    "rsa": lambda data: ends_of(similarities_with_people(data[0][None], data[1], **DRAWN)[0]),
    "contrastive_geometry": lambda data: ends_of(contrastive_geometry(*data)),
}
