"""What the metrics refuse, with the name of what is wrong."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.checks import columns, names, within
from hf_clipdyn.metrics.cka import cka
from hf_clipdyn.metrics.contrastive_geometry import contrastive_geometry
from hf_clipdyn.metrics.cue_preference import anchor_preference, cue_preference
from hf_clipdyn.metrics.error_consistency import error_consistency, observer_consistency
from hf_clipdyn.metrics.fixation_maps import fixations_of_others
from hf_clipdyn.metrics.influence import mean_over_pairs
from hf_clipdyn.metrics.iqa_correlation import iqa_correlation
from hf_clipdyn.metrics.jnd_map import jnd_map
from hf_clipdyn.metrics.label_distribution import label_distribution
from hf_clipdyn.metrics.learning_order import learning_order
from hf_clipdyn.metrics.linear_probe import LinearProbe
from hf_clipdyn.metrics.mutual_knn import mutual_knn
from hf_clipdyn.metrics.noise_robustness import noise_robustness
from hf_clipdyn.metrics.observer_agreement import observer_agreement
from hf_clipdyn.metrics.odd_one_out import leave_one_out_ceiling, odd_one_out_scores
from hf_clipdyn.metrics.phases import half_rise
from hf_clipdyn.metrics.recall_at_k import recall_at_k
from hf_clipdyn.metrics.rsa import noise_ceiling, rsa
from hf_clipdyn.metrics.saliency import Target, saliency
from hf_clipdyn.metrics.shape_bias import shape_bias
from hf_clipdyn.metrics.shape_decisions import shape_decisions
from hf_clipdyn.metrics.two_afc import two_afc
from hf_clipdyn.metrics.zero_shot_accuracy import zero_shot_accuracy

NAN, MAP, CORNER = float("nan"), np.eye(3), [[0, 0]]


def scores(saliency_map: Any, **target: Any) -> dict[str, float]:
    """Those of one map against what is known of its image."""
    return Target((3, 3), **target).scores(saliency_map)


# Valid inputs; each case replaces some of them.
RIGHT: dict[Callable[..., Any], dict[str, Any]] = {
    columns: {"a": [1.0, 2.0], "b": [1.0, 2.0]},
    names: {"people": ["a", "b"], "images": [3, 4]},
    cka: {"x": np.vander(range(4)), "y": np.vander(range(4))},
    contrastive_geometry: {"images": MAP, "texts": MAP},
    cue_preference: {"distances_shape": [1.0, 2.0], "distances_texture": [2.0, 1.0]},
    anchor_preference: {"preferences": [0.5, 1.0]},
    error_consistency: {"predictions": [True, False], "references": [True, False]},
    observer_consistency: {"observers": [[1, 0], [0, 1]]},
    observer_agreement: {"observers": [[1, 0], [0, 1]]},
    iqa_correlation: {"predictions": [1.0, 2.0, 3.0], "references": [1.0, 3.0, 2.0]},
    jnd_map: {"distances": [1.0, 2.0], "same": [1.0, 0.0]},
    label_distribution: {"predictions": np.ones((3, 3)) / 3, "counts": MAP + 1, "labels": [0, 1, 2]},
    learning_order: {"right": [[[1, 0], [1, 1]]]},
    LinearProbe: {"features": np.eye(4), "classes": [0, 1, 0, 1], "folds": [0, 0, 1, 1]},
    mean_over_pairs: {"values": [0.3, 0.4], "seeds": [[0, 1], [0, 2]]},
    mutual_knn: {"a": MAP, "b": MAP, "k": 1},
    noise_robustness: {"predictions": [1, 1], "references": [1, 0], "sigmas": [0.0, 0.1]},
    odd_one_out_scores: {"similarities": [[0, 1, 2]], "odd": [1]},
    leave_one_out_ceiling: {"objects": [[0, 1, 2]], "odd": [1]},
    half_rise: {"values": [1, 2], "samples": [1, 2], "early": [1, 0], "late": [0, 1]},
    recall_at_k: {"similarities": MAP, "caption_images": [0, 1, 2]},
    rsa: {"predictions": np.arange(36.0), "references": np.arange(72.0).reshape(2, 36)},
    noise_ceiling: {"references": np.arange(72.0).reshape(2, 36)},
    saliency: {"predictions": [MAP], "fixations": [CORNER]},
    scores: {"saliency_map": MAP, "fixations": CORNER, "density": MAP, "baseline": MAP},
    shape_bias: {"predictions": ["cat"], "shapes": ["cat"], "textures": ["dog"]},
    shape_decisions: {"scores": np.zeros((2, 16))},
    two_afc: {"distances_0": [1, 2], "distances_1": [2, 1], "judgements": [0.5, 1.0]},
    zero_shot_accuracy: {"predictions": [[0, 1], [1, 0]], "references": [0, 1]},
}
WRONG: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (columns, {"a": ["a"]}, "a must be numbers"),
    (columns, {"a": [1.0, NAN]}, "a must be finite"),
    (columns, {"b": [1.0]}, r"a \(2,\), b \(1,\)"),
    (columns, {"a": [], "b": []}, r"a \(0,\)"),
    (names, {"people": ["a", None]}, "people"),
    (names, {"people": ["a"]}, r"people \(1,\), images \(2,\)"),
    (cka, {"x": MAP, "y": MAP}, "at least 4"),
    (cka, {"x": [1.0, 2.0, 3.0, 4.0]}, r"\(4,\)"),
    (cka, {"y": MAP}, r"x \(4, 4\), y \(3, 3\)"),
    (contrastive_geometry, {"texts": np.ones((3, 2))}, "3 and 2"),
    (contrastive_geometry, {"images": MAP - np.diag([0, 1, 0])}, "Row 1 of images"),
    (cue_preference, {"distances_shape": [NAN, 1.0]}, "distances_shape"),
    (anchor_preference, {"preferences": [0.5, 1.5]}, "preferences"),
    (anchor_preference, {"mate_effects": [0.0]}, r"mate_effects \(1,\)"),
    (error_consistency, {"predictions": [0.5, 1]}, "True or False"),
    (observer_consistency, {"observers": np.ones((3, 1))}, "observers"),
    (observer_consistency, {"observers": np.ones(3)}, "observers"),
    (observer_agreement, {"conditions": ["a"]}, "conditions"),
    (iqa_correlation, {"predictions_are": "similarity"}, "'distance' or 'score'"),
    (iqa_correlation, {"logistic": 5}, "None or 4"),
    (iqa_correlation, {"groups": [1, 2]}, "groups"),
    (jnd_map, {"same": [2.0, 0.0]}, "same"),
    (jnd_map, {"groups": ["a"]}, "groups"),
    (label_distribution, {"predictions": np.ones((3, 3))}, "sum to 1"),
    (label_distribution, {"predictions": np.ones((3, 2)) / 2}, "shape"),
    (label_distribution, {"counts": np.zeros((3, 3))}, "at least one answer for each image"),
    (label_distribution, {"labels": [0, 1, 3]}, "labels"),
    (learning_order, {"right": [[1, 0]]}, "right"),
    (learning_order, {"right": [[[0.5]]]}, "right"),
    (LinearProbe, {"classes": [0]}, "classes"),
    (LinearProbe, {"features": MAP * NAN}, "features"),
    (mean_over_pairs, {"seeds": [[0, 1], [2, 2]]}, "seeds"),
    (mean_over_pairs, {"signs": [1]}, "signs"),
    (mutual_knn, {"k": 3}, "from 1 to 2"),
    (mutual_knn, {"k": 1.5}, "whole number"),
    (noise_robustness, {"sigmas": [0.1, 0.2]}, "the smallest is 0.1"),
    (noise_robustness, {"sigmas": [0.0, -0.1]}, "sigmas"),
    (noise_robustness, {"n_classes": 1}, "predictions"),
    (noise_robustness, {"places": [1.0, 1.0]}, "ascending or descending"),
    (odd_one_out_scores, {"similarities": [[0, 1]]}, "three numbers per triplet"),
    (odd_one_out_scores, {"odd": [3]}, "odd"),
    (leave_one_out_ceiling, {"objects": [[0, 1]]}, "three names per triplet"),
    (half_rise, {"samples": [0, 1]}, "above 0"),
    (half_rise, {"early": [0, 0]}, "at least one"),
    (half_rise, {"early": [0, 1], "late": [1, 0]}, "late must not come before early"),
    (recall_at_k, {"caption_images": [0, 0, 1]}, "caption_images"),
    (recall_at_k, {"caption_images": [-1, 0, 1]}, "caption_images"),
    (rsa, {"predictions": np.ones(35), "references": np.ones((2, 35))}, "upper triangle"),
    (rsa, {"references": np.ones((2, 28))}, "the same pairs"),
    (noise_ceiling, {"references": np.arange(36.0)[None]}, "at least two"),
    (saliency, {"fixations": []}, "an entry for each image"),
    (saliency, {"sigma": 1, "densities": [MAP]}, "Both sigma and densities"),
    (saliency, {"metrics": ["nsss"]}, "nsss"),
    (scores, {"fixations": [[3.0, 0.0]]}, "at x 3, y 0"),
    (scores, {"fixations": [[-0.1, 0.0]]}, "outside"),
    (scores, {"saliency_map": np.ones((2, 3))}, r"\(2, 3\).*\(3, 3\)"),
    (scores, {"saliency_map": MAP * NAN}, "map"),
    (scores, {"density": -MAP}, "negative"),
    (scores, {"baseline": np.eye(2)}, "baseline"),
    (shape_bias, {"classes": ["cat"]}, "'dog'"),
    (shape_bias, {"predictions": ["cat", "cat"]}, "predictions"),
    (shape_decisions, {"scores": np.zeros((2, 10))}, "16"),
    (shape_decisions, {"protocol": "1000-way"}, "1000"),
    (shape_decisions, {"protocol": "17-way"}, "protocol"),
    (two_afc, {"judgements": [0.5, 1.5]}, "judgements"),
    (zero_shot_accuracy, {"predictions": [[0, 0], [1, 0]]}, "once in a row"),
    (zero_shot_accuracy, {"predictions": [[0.9, 0.1], [0.2, 0.8]]}, "class ids"),
    (zero_shot_accuracy, {"references": [5, 0]}, "references"),
]


@pytest.mark.parametrize(("metric", "wrong", "message"), WRONG)
def test_wrong_input_is_refused(metric: Callable[..., Any], wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(MetricError, match=message):
        metric(**{**RIGHT[metric], **wrong})


@pytest.mark.parametrize("metric", RIGHT)
def test_what_the_cases_change_is_right(metric: Callable[..., Any]) -> None:
    metric(**RIGHT[metric])


def test_sizes_and_limits_are_named() -> None:
    with pytest.raises(MetricError, match="sizes"):
        list(fixations_of_others([CORNER], []))
    with pytest.raises(MetricError, match=r"shares must be in \[0, 1\], but has 0.5 to 1.5"):
        within(0, 1, shares=np.array([0.5, 1.5]))
