"""What every metric refuses, and in which words."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.cka import cka
from hf_clipdyn.metrics.contrastive_geometry import contrastive_geometry
from hf_clipdyn.metrics.fixation_maps import fixations_of_others
from hf_clipdyn.metrics.influence import mean_over_pairs
from hf_clipdyn.metrics.mutual_knn import mutual_knn
from hf_clipdyn.metrics.saliency import cc, image_scores, information_gain, kl_divergence, nss, saliency, sim
from hf_clipdyn.metrics.shape_decisions import shape_decisions

MAP = np.eye(3)
CORNER = [[0, 0]]

# Valid inputs; each case replaces some of them.
RIGHT: dict[Callable[..., Any], dict[str, Any]] = {
    mean_over_pairs: {"values": [0.3, 0.4], "seeds": [[0, 1], [0, 2]]},
    shape_decisions: {"scores": np.zeros((2, 16))},
    saliency: {"predictions": [MAP], "fixations": [CORNER]},
    image_scores: {"saliency_map": MAP, "fixations": CORNER},
    nss: {"saliency_map": MAP, "fixations": CORNER},
    cc: {"saliency_map": MAP, "density": MAP},
    kl_divergence: {"saliency_map": MAP, "density": MAP},
    sim: {"saliency_map": MAP, "density": MAP},
    contrastive_geometry: {"images": MAP, "texts": MAP},
    cka: {"x": np.vander(range(4)), "y": np.vander(range(4))},
    mutual_knn: {"a": MAP, "b": MAP, "k": 1},
    information_gain: {"saliency_map": MAP, "fixations": CORNER, "baseline": MAP},
}

WRONG: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (mean_over_pairs, {"seeds": [[0, 1], [2, 2]]}, "two different seeds"),
    (mean_over_pairs, {"signs": [1]}, r"seeds \(2, 2\), signs \(1,\)"),
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
    (contrastive_geometry, {"texts": np.eye(2)}, r"images \(3, 3\), texts \(2, 2\)"),
    (contrastive_geometry, {"texts": np.ones((3, 2))}, "dimensions, but have 3 and 2"),
    (contrastive_geometry, {"images": MAP - np.diag([0, 1, 0])}, "Row 1 of images has length 0"),
    (contrastive_geometry, {"images": MAP * np.nan}, "images must be finite"),
    (contrastive_geometry, {"images": [[1], [1, 2]]}, "images must be numbers"),
    (cka, {"x": MAP, "y": MAP}, "at least 4"),
    (cka, {"y": MAP}, r"x \(4, 4\), y \(3, 3\)"),
    (cka, {"x": [1.0, 2.0, 3.0, 4.0]}, r"shape \(4,\)"),
    (mutual_knn, {"k": 3}, "from 1 to 2 for 3 items, but is 3"),
    (mutual_knn, {"k": 1.5}, "whole number"),
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
