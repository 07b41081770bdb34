"""What the metrics refuse, with the name of what is wrong; and what they cannot say, with its cause."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.checks import columns, names, within
from hf_clipdyn.metrics.cka import cka
from hf_clipdyn.metrics.contrastive_geometry import contrastive_geometry
from hf_clipdyn.metrics.cue_preference import anchor_preference
from hf_clipdyn.metrics.error_consistency import error_consistency, observer_consistency
from hf_clipdyn.metrics.fixation_maps import fixations_of_others
from hf_clipdyn.metrics.influence import mean_over_pairs
from hf_clipdyn.metrics.iqa_correlation import iqa_correlation
from hf_clipdyn.metrics.jnd_map import jnd_map
from hf_clipdyn.metrics.label_distribution import label_distribution
from hf_clipdyn.metrics.learning_order import learning_order, rank_agreement
from hf_clipdyn.metrics.linear_probe import LinearProbe
from hf_clipdyn.metrics.mutual_knn import mutual_knn
from hf_clipdyn.metrics.noise_robustness import drop_when_right, noise_robustness
from hf_clipdyn.metrics.observer_agreement import observer_agreement
from hf_clipdyn.metrics.odd_one_out import leave_one_out_ceiling, odd_one_out_scores
from hf_clipdyn.metrics.phases import half_rise
from hf_clipdyn.metrics.recall_at_k import recall_at_k
from hf_clipdyn.metrics.rsa import noise_ceiling, rsa
from hf_clipdyn.metrics.saliency import Target, saliency
from hf_clipdyn.metrics.scores import Scores, interval, over
from hf_clipdyn.metrics.shape_bias import shape_bias
from hf_clipdyn.metrics.shape_decisions import shape_decisions
from hf_clipdyn.metrics.two_afc import two_afc
from hf_clipdyn.metrics.zero_shot_accuracy import zero_shot_accuracy

NAN, MAP, FLAT, CORNER = float("nan"), np.eye(3), np.ones((3, 3)), [[0, 0]]


def scores(saliency_map: Any, **target: Any) -> dict[str, float]:
    """Those of one map against what is known of its image."""
    return Target((3, 3), **target).scores(saliency_map)


# Valid inputs; each case replaces some of them.
RIGHT: dict[Callable[..., Any], dict[str, Any]] = {
    columns: {"a": [1.0, 2.0], "b": [1.0, 2.0]},
    names: {"people": ["a", "b"], "images": [3, 4]},
    cka: {"x": np.vander(range(4)), "y": np.vander(range(4))},
    contrastive_geometry: {"images": MAP, "texts": MAP},
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
    (anchor_preference, {"preferences": [0.5, 1.5]}, "preferences"),
    (anchor_preference, {"mate_effects": [0.0]}, r"mate_effects \(1,\)"),
    (error_consistency, {"predictions": [0.5, 1]}, "True or False"),
    (observer_consistency, {"observers": np.ones((3, 1))}, "observers"),
    (observer_agreement, {"conditions": ["a"]}, "conditions"),
    (iqa_correlation, {"predictions_are": "similarity"}, "'distance' or 'score'"),
    (iqa_correlation, {"logistic": 5}, "None or 4"),
    (iqa_correlation, {"groups": [1, 2]}, "groups"),
    (jnd_map, {"same": [2.0, 0.0]}, "same"),
    (jnd_map, {"groups": ["a"]}, "groups"),
    (label_distribution, {"predictions": np.ones((3, 3))}, "sum to 1"),
    (label_distribution, {"counts": np.zeros((3, 3))}, "at least one answer for each image"),
    (label_distribution, {"labels": [0, 1, 3]}, "labels"),
    (learning_order, {"right": [[[0.5]]]}, "right"),
    (learning_order, {"right": "abc"}, "right"),
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
    (saliency, {"fixations": ["abc"]}, r"\[x, y\]"),
    (saliency, {"predictions": 3.0}, "an entry for each image"),
    (saliency, {"predictions": ["abc"]}, "rows of equal length"),
    (saliency, {"sigma": 1, "densities": [MAP]}, "Both sigma and densities"),
    (saliency, {"metrics": ["nsss"]}, "nsss"),
    (scores, {"fixations": [[3.0, 0.0]]}, "at x 3, y 0"),
    (scores, {"fixations": [[-0.1, 0.0]]}, "outside"),
    (scores, {"saliency_map": np.ones((2, 3))}, r"\(2, 3\).*\(3, 3\)"),
    (scores, {"saliency_map": MAP * NAN}, "map"),
    (scores, {"density": -MAP}, "negative"),
    (scores, {"baseline": np.eye(2)}, "baseline"),
    (shape_bias, {"classes": ["cat"]}, "'dog'"),
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


def test_sizes_and_limits_are_named() -> None:
    with pytest.raises(MetricError, match="sizes"):
        list(fixations_of_others([CORNER], []))
    with pytest.raises(MetricError, match=r"shares must be in \[0, 1\], but has 0.5 to 1.5"):
        within(0, 1, shares=np.array([0.5, 1.5]))


# --- what they cannot say ------------------------------------------------------------------------------------------


def noise(accuracies: Sequence[float], **given: Any) -> Scores:
    """Of 200 images at three levels: hard images fail first."""
    rng = np.random.default_rng(0)
    truth, ease = rng.integers(0, 10, 200), rng.random(200)
    predictions = np.concatenate([np.where(ease < one, truth, (truth + 1) % 10) for one in accuracies])
    levels = np.repeat([0.0, 0.1, 0.3], 200)
    return noise_robustness(predictions, np.tile(truth, 3), levels, **{"n_classes": 10} | given)


def half(values: Any) -> Scores:
    return Scores({"half": half_rise(values, [1, 2, 4, 8], [1, 0, 0, 0], [0, 0, 0, 1])})


def drop(*right: Any) -> Scores:
    return Scores({"drop": drop_when_right(*right)})


X, ALIKE, LOW = np.vander(range(6), 4) / 99, np.tile([1.0, 2, 2], (8, 1)), [0.14, 0.12, 0.1]
NO_PRODUCTS = "the inner products of different items are all alike"
NO_KAPPA = "both observers are right, or both are wrong, on all images"
SRCC = "srcc krcc plcc alignment plcc_logistic rmse_logistic"
KAPPAS = "kappa kappa_unbiased kappa_min kappa_max"
CENTRED = "effective_rank_centred_text participation_ratio_image participation_ratio_debiased_text"
FEW_ROWS = "a logistic function of 4 parameters cannot be fitted to 4 rows"
UNDEFINED: list[tuple[Callable[..., Scores], list[Any], dict[str, Any], str, str]] = [
    (cka, [np.full((6, 2), 0.1), X], {}, "cka_debiased", NO_PRODUCTS),
    (cka, [np.eye(6), X], {}, "cka_debiased", NO_PRODUCTS),
    (contrastive_geometry, [ALIKE, ALIKE], {}, CENTRED, ""),
    (contrastive_geometry, [[[1.0, 0.0]], [[0.0, 1.0]]], {}, "uniformity_text", "there is only one pair"),
    (contrastive_geometry, [MAP + 1, MAP + 1], {}, "participation_ratio_debiased_image", "fewer than four"),
    (anchor_preference, [[NAN] * 3], {}, "shape_preference", "no image has both a shape and a texture mate"),
    (error_consistency, [[True] * 60, [True] * 60], {}, KAPPAS, NO_KAPPA),
    (error_consistency, [[True] * 4, [True, True, False, True]], {}, "kappa_unbiased", "one observer is right"),
    (observer_consistency, [np.ones((3, 2)), [1, 1, 1]], {}, "kappa", ""),
    (observer_agreement, [np.ones((20, 2))], {}, "kappa kappa_min kappa_max", "in each pair, both are right"),
    (iqa_correlation, [[1, 1, 1], [1, 2, 3]], {"logistic": 4}, SRCC, "the predictions are constant"),
    (iqa_correlation, [[1, 2, 3], [2, 2, 2]], {"logistic": 4}, SRCC, "the references are constant"),
    (iqa_correlation, [[1, 1], [2, 2]], {}, "srcc", "the predictions and the references are constant"),
    (iqa_correlation, [[1], [2]], {}, "srcc", "only one row"),
    (iqa_correlation, [[1, 2, 3, 4], [1, 3, 2, 4]], {"logistic": 4}, "plcc_logistic rmse_logistic", FEW_ROWS),
    (jnd_map, [[1.0, 2.0], [0.0, 0.0]], {}, "jnd_map", "nobody judged any pair to be the same"),
    (label_distribution, [np.full((3, 3), 1 / 3), MAP + 1, [0, 1, 2]], {}, "entropy_spearman", "constant"),
    (rank_agreement, [[1, 1, 1], [1, 2, 3]], {}, "spearman", "constant"),
    (mutual_knn, [X[1:, :1] * [1, 2], X[1:], 2], {}, "mutual_knn", "all embeddings have the same direction in a"),
    (noise, [LOW], {}, "relative_drop_at_0.1", "indistinguishable from chance, 0.100"),
    (noise, [LOW], {}, "chance_corrected_drop_at_0.3", "indistinguishable from chance"),
    (noise, [[0.0, 0.2, 0.1]], {"n_classes": None}, "relative_drop_at_0.1", "no clean image is classified correctly"),
    (noise, [[0.9, 0.7, 0.3]], {"n_classes": None}, "chance_corrected_drop_at_0.1", "n_classes is not given"),
    (noise, [[0.9, 0.85, 0.7]], {}, "threshold", "at any level that was shown"),
    (noise, [[0.9, 0.2, 0.15]], {"places": [NAN, -2, -1]}, "threshold", "already below 0."),
    (noise, [[0.9, 0.7, 0.3]], {"places": [NAN, NAN, 1]}, "threshold", "fewer than two levels have a place"),
    (noise_robustness, [[1] * 60, [1] * 60, [0.0] * 60], {}, "area threshold", "the only noise level is 0"),
    (drop, [[0, 0], [1, 0]], {}, "drop", ""),
    (leave_one_out_ceiling, [[[0, 1, 2], [0, 1, 3]], [0, 1]], {}, "ceiling", "no triplet was judged twice"),
    (half, [[3, 2, 1, 0]], {}, "half", "the number does not rise from the early window to the late one"),
    (half, [[0, NAN, 1, 2]], {}, "half", "the number is undefined at a revision"),
    (rsa, [np.ones(36), np.arange(72.0).reshape(2, 36)], {}, "alignment", "the dissimilarities are constant"),
    (shape_bias, [["cat"]] * 3, {}, "shape_bias cue_accuracy null_cue_accuracy", "no row has a texture other"),
    (shape_bias, [["na"], ["cat"], ["dog"]], {}, "shape_bias", "no decision"),
    (zero_shot_accuracy, [[[9, 1, 2, 3, 4]], [9]], {}, "chance top5_chance", "n_classes is not given"),
    (zero_shot_accuracy, [[[9, 1]] * 2, [9] * 2], {"n_classes": 10}, "top5", "only the best 2 classes are given"),
    (saliency, [[MAP], [[]]], {"densities": [MAP]}, "nss auc sauc ig", "there is no fixation point"),
    (saliency, [[MAP], [CORNER]], {"other_fixations": [[]]}, "sauc", "no fixations on other images"),
    (saliency, [[MAP], [CORNER]], {"densities": [FLAT]}, "cc", "the density is constant"),
    (saliency, [[FLAT], [CORNER]], {"densities": [MAP]}, "sim", "the map is constant"),
    (saliency, [[0 * MAP], [CORNER]], {"densities": [MAP]}, "kl", "the map is constant"),
    (saliency, [[-MAP], [CORNER]], {"baseline": [MAP]}, "ig", "the map has no positive value"),
]  # fmt: skip


@pytest.mark.parametrize(("metric", "given", "options", "undefined", "cause"), UNDEFINED)
def test_what_is_undefined_is_nan_without_an_interval_and_has_a_cause(
    metric: Callable[..., Scores], given: list[Any], options: dict[str, Any], undefined: str, cause: str
) -> None:
    found = metric(*given, **options)
    for name in undefined.split():
        score = found[name]
        assert np.isnan(score.value)
        assert score.cause
        assert cause in score.cause
        if score.influence is not None and len(score.influence):
            assert np.isnan(interval(score.value, over(score.influence), score.scale)).all()
