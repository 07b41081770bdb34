"""What every metric refuses, and in which words."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.contrastive_geometry import (
    contrastive_geometry,
    neural_collapse,
)
from hf_clipdyn.metrics.cue_preference import anchor_preference, cue_preference
from hf_clipdyn.metrics.error_consistency import error_consistency, observer_consistency
from hf_clipdyn.metrics.fixation_maps import fixations_of_others
from hf_clipdyn.metrics.influence import mean_over_pairs
from hf_clipdyn.metrics.learning_order import (
    cartography,
    learning_order,
    rank_agreement,
    split_half_reliability,
    trivial_and_impossible,
)
from hf_clipdyn.metrics.mutual_knn import mutual_knn
from hf_clipdyn.metrics.noise_robustness import noise_robustness
from hf_clipdyn.metrics.representation import representation_similarity
from hf_clipdyn.metrics.saliency import cc, image_scores, information_gain, kl_divergence, nss, saliency, sim
from hf_clipdyn.metrics.shape_bias import shape_bias
from hf_clipdyn.metrics.shape_decisions import shape_decisions
from hf_clipdyn.metrics.weight_path import weight_path
from hf_clipdyn.metrics.zero_shot_accuracy import zero_shot_accuracy

MAP = np.eye(3)
CORNER = [[0, 0]]

# Valid inputs; each case replaces some of them.
RIGHT: dict[Callable[..., Any], dict[str, Any]] = {
    shape_bias: {"predictions": ["cat", "dog"], "shapes": ["cat", "cat"], "textures": ["dog", "dog"]},
    cue_preference: {"distances_shape": [1.0, 2.0], "distances_texture": [2.0, 1.0]},
    anchor_preference: {"preferences": [0.5, 1.0]},
    error_consistency: {"predictions": [True, False], "references": [True, False]},
    mean_over_pairs: {"values": [0.3, 0.4], "seeds": [[0, 1], [0, 2]]},
    observer_consistency: {"observers": np.ones((3, 2))},
    learning_order: {"right": [[[1, 0], [1, 1]]]},
    trivial_and_impossible: {"right": np.eye(3)},
    split_half_reliability: {"scores": np.eye(3)},
    cartography: {"probabilities": np.eye(2), "right": np.eye(2)},
    rank_agreement: {"order": [1, 2, 3], "reference": [1, 3, 2]},
    noise_robustness: {"predictions": [1, 1], "references": [1, 0], "sigmas": [0.0, 0.1]},
    zero_shot_accuracy: {"predictions": [[0, 1], [1, 0]], "references": [0, 1]},
    shape_decisions: {"scores": np.zeros((2, 16))},
    saliency: {"predictions": [MAP], "fixations": [CORNER]},
    image_scores: {"saliency_map": MAP, "fixations": CORNER},
    nss: {"saliency_map": MAP, "fixations": CORNER},
    cc: {"saliency_map": MAP, "density": MAP},
    kl_divergence: {"saliency_map": MAP, "density": MAP},
    sim: {"saliency_map": MAP, "density": MAP},
    contrastive_geometry: {"images": MAP, "texts": MAP},
    neural_collapse: {"features": MAP, "labels": ["cat", "dog", "dog"]},
    representation_similarity: {"x": np.vander(range(4)), "y": np.vander(range(4))},
    mutual_knn: {"a": MAP, "b": MAP, "k": 1},
    weight_path: {"states": [{"w": [0.0]}, {"w": [1.0]}]},
    information_gain: {"saliency_map": MAP, "fixations": CORNER, "baseline": MAP},
}

WRONG: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (shape_bias, {"predictions": ["cat"]}, "predictions 1, shapes 2, textures 2"),
    (shape_bias, {"classes": ["cat"]}, "'dog' is not"),
    (shape_bias, {"shape_exemplars": ["cat1", "cat2"]}, "give both or neither"),
    (shape_bias, {"shape_exemplars": ["cat1"], "texture_exemplars": ["d1", "d2"]}, "each of the 2 rows"),
    (shape_bias, {"n_resamples": -1}, "n_resamples"),
    (shape_bias, {"confidence_level": 1.0}, "confidence_level"),
    (shape_bias, {"predictions": [], "shapes": [], "textures": []}, "no rows"),
    (cue_preference, {"distances_texture": [1.0]}, "distances_shape 2, distances_texture 1"),
    (cue_preference, {"distances_shape": [np.nan, 1.0]}, "distances_shape must be finite"),
    (cue_preference, {"shape_exemplars": ["a", "b"]}, "give both or neither"),
    (
        cue_preference,
        {"shape_exemplars": [list("abc")] * 2, "texture_exemplars": ["a", "b"]},
        "describe different images",
    ),
    (
        cue_preference,
        {"shape_exemplars": [["a", "b"]] * 2, "texture_exemplars": [["a", "b"]] * 2},
        "3 values for each",
    ),
    (
        cue_preference,
        {"shape_exemplars": ["a", None], "texture_exemplars": ["a", "b"]},
        "shape_exemplars must not have missing values",
    ),
    (anchor_preference, {"mate_effects": [0.0, 0.0]}, "mate_effects require the exemplars"),
    (anchor_preference, {"mate_effects": [0.0]}, "preferences 2, mate_effects 1"),
    (error_consistency, {"predictions": [0.5, 1]}, "True or False"),
    (error_consistency, {"predictions": [True]}, "predictions 1, references 2"),
    (error_consistency, {"labels": ["a", "b"]}, "decisions and labels belong together"),
    (error_consistency, {"labels": ["a", "b"], "decisions": ["a", "b"]}, "2 values for each of the 2 rows"),
    (error_consistency, {"labels": ["a"], "decisions": [["a", "b"]] * 2}, "each of the 2 rows, but has 1"),
    (mean_over_pairs, {"seeds": [[0, 1], [2, 2]]}, "two different seeds"),
    (mean_over_pairs, {"signs": [1]}, r"seeds \(2, 2\), signs \(1,\)"),
    (observer_consistency, {"observers": np.ones((3, 1))}, "At least two observers"),
    (observer_consistency, {"observers": np.ones(3)}, "observers"),
    (observer_consistency, {"observers": np.ones((0, 2))}, "no rows|observers"),
    (learning_order, {"right": [[1, 0]]}, r"\(runs, revisions, items\), but has the shape \(1, 2\)"),
    (learning_order, {"right": [[[1, 0], [1]]]}, "runs, revisions, items"),
    (learning_order, {"right": [[[1, np.nan], [1, 0]]]}, "True or False everywhere"),
    (learning_order, {"clusters": [1]}, "each of the 2 rows"),
    (trivial_and_impossible, {"exceptions": 2}, "3 observers: give at least 5"),
    (split_half_reliability, {"scores": [[1, 0]]}, "two people or more"),
    (cartography, {"right": [[1], [0]]}, r"\(2, 2\) and \(2, 1\)"),
    (rank_agreement, {"given": [1.0]}, "order 3, reference 3, given 1"),
    (rank_agreement, {"reliability": 0}, "reliability must be above 0"),
    (noise_robustness, {"sigmas": [0.1, 0.2]}, r"add their rows, with sigma 0.0 \(smallest given: 0.1\)"),
    (noise_robustness, {"sigmas": [0.0, -0.1]}, "sigmas must be 0 or more"),
    (noise_robustness, {"sigmas": [0.0, np.nan]}, "sigmas must be finite"),
    (noise_robustness, {"predictions": [1]}, "predictions 1, references 2, sigmas 2"),
    (noise_robustness, {"n_classes": 1}, "below n_classes = 1"),
    (noise_robustness, {"n_classes": 0}, "1 or more"),
    (noise_robustness, {"predictions": [1.5, 1]}, "class ids"),
    (zero_shot_accuracy, {"references": [0]}, "predictions 2, references 1"),
    (zero_shot_accuracy, {"predictions": [[0, 0], [1, 0]]}, "row 0 repeats one"),
    (zero_shot_accuracy, {"predictions": [[0, 1], [1]]}, "the same number in each row"),
    (zero_shot_accuracy, {"predictions": [0, 1]}, "shape"),
    (zero_shot_accuracy, {"predictions": [], "references": []}, "no rows"),
    (zero_shot_accuracy, {"references": [5, 0]}, "below n_classes = 2"),
    (zero_shot_accuracy, {"n_classes": 0}, "1 or more"),
    (zero_shot_accuracy, {"predictions": [[0.5, 1], [1, 0]]}, "class ids"),
    (shape_decisions, {"scores": np.zeros((2, 10))}, r"\(n, 16\)"),
    (shape_decisions, {"protocol": "1000-way"}, r"\(n, 1000\)"),
    (shape_decisions, {"protocol": "17-way"}, "protocol"),
    (shape_decisions, {"scores": np.full((2, 16), np.nan)}, "NaN"),
    (saliency, {"predictions": [], "fixations": []}, "at least one image"),
    (saliency, {"fixations": []}, "same number of images"),
    (saliency, {"sigma": 1, "densities": [MAP]}, "Both sigma and densities"),
    (saliency, {"sigma": 0}, "sigma must be a positive number"),
    (image_scores, {"metrics": ["nsss"]}, "'nsss' was given"),
    (image_scores, {"metrics": "nss"}, "must be a list"),
    (nss, {"fixations": [[3.0, 0.0]]}, "outside their map of 3 x 3 pixels, the first at x 3, y 0"),
    (nss, {"fixations": [[-0.1, 0.0]]}, "outside"),
    (nss, {"fixations": [[np.nan, 0.0]]}, "fixations must be finite"),
    (nss, {"fixations": [1.0, 2.0]}, r"list of \[x, y\]"),
    (nss, {"saliency_map": [1.0, 2.0]}, r"shape \(H, W\)"),
    (nss, {"saliency_map": [[1.0, np.nan]]}, "saliency_map must be finite"),
    (cc, {"density": np.eye(2)}, r"shape \(2, 2\), but its map has \(3, 3\)"),
    (kl_divergence, {"density": -MAP}, "must not be negative"),
    (sim, {"convention": "min-max"}, "'mit' or 'shift'"),
    (contrastive_geometry, {"texts": np.eye(2)}, "images 3, texts 2"),
    (contrastive_geometry, {"texts": np.ones((3, 2))}, "dimensions, but have 3 and 2"),
    (contrastive_geometry, {"images": MAP - np.diag([0, 1, 0])}, "Row 1 of images has length 0"),
    (contrastive_geometry, {"images": MAP * np.nan}, r"3 of 3 rows are not \(first: row 0\)"),
    (contrastive_geometry, {"images": [[1], [1, 2]]}, "a row of the same length"),
    (contrastive_geometry, {"groups": ["a"]}, "each of the 3 rows"),
    (neural_collapse, {"labels": [0, 1]}, "each of the 3 rows"),
    (representation_similarity, {"x": MAP, "y": MAP}, "at least 4"),
    (representation_similarity, {"y": MAP}, "x 4, y 3"),
    (representation_similarity, {"x": [1.0, 2.0]}, r"shape \(2,\)"),
    (mutual_knn, {"k": 3}, "from 1 to 2 for 3 items, but is 3"),
    (mutual_knn, {"k": 1.5}, "whole number"),
    (weight_path, {"states": [{"w": [0.0]}]}, "at least two states, but there are 1"),
    (weight_path, {"states": [{"w": [0]}, {"w": [1]}]}, "no floating-point parameter"),
    (weight_path, {"states": [{"w": [0.0]}, {"v": [0.0]}]}, "for example in v"),
    (weight_path, {"states": [{"w": [0.0]}, {"w": [np.inf]}]}, "w has numbers that are not finite"),
    (information_gain, {"baseline": np.eye(2)}, "baseline has the shape"),
]


@pytest.mark.parametrize(("metric", "wrong", "message"), WRONG)
def test_wrong_input_is_refused(metric: Callable[..., Any], wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(MetricError, match=message):
        metric(**{**RIGHT[metric], **wrong})


@pytest.mark.parametrize("metric", RIGHT)
def test_what_the_cases_change_is_right(metric: Callable[..., Any]) -> None:
    metric(**RIGHT[metric])


def test_fixations_of_others_need_a_size_for_each_image() -> None:
    with pytest.raises(MetricError, match="sizes for 0"):
        list(fixations_of_others([CORNER], []))
