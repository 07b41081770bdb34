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
from hf_clipdyn.metrics.saliency import Target, saliency
from hf_clipdyn.metrics.shape_decisions import shape_decisions

MAP = np.eye(3)
CORNER = [[0, 0]]


def scores(saliency_map: Any, **target: Any) -> dict[str, float]:
    """Those of one map against what is known of its image."""
    return Target(np.shape(saliency_map), **target).scores(saliency_map)


# Valid inputs; each case replaces some of them.
RIGHT: dict[Callable[..., Any], dict[str, Any]] = {
    mean_over_pairs: {"values": [0.3, 0.4], "seeds": [[0, 1], [0, 2]]},
    shape_decisions: {"scores": np.zeros((2, 16))},
    saliency: {"predictions": [MAP], "fixations": [CORNER]},
    scores: {"saliency_map": MAP, "fixations": CORNER, "density": MAP, "baseline": MAP},
    contrastive_geometry: {"images": MAP, "texts": MAP},
    cka: {"x": np.vander(range(4)), "y": np.vander(range(4))},
    mutual_knn: {"a": MAP, "b": MAP, "k": 1},
}

WRONG: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (mean_over_pairs, {"seeds": [[0, 1], [2, 2]]}, "two different seeds"),
    (mean_over_pairs, {"signs": [1]}, r"seeds \(2, 2\), signs \(1,\)"),
    (shape_decisions, {"scores": np.zeros((2, 10))}, r"\(n, 16\)"),
    (shape_decisions, {"protocol": "1000-way"}, r"\(n, 1000\)"),
    (shape_decisions, {"protocol": "17-way"}, "protocol"),
    (shape_decisions, {"scores": np.full((2, 16), np.nan)}, "NaN"),
    (saliency, {"predictions": [], "fixations": []}, "at least one image"),
    (saliency, {"fixations": []}, "an entry for each image"),
    (saliency, {"sigma": 1, "densities": [MAP]}, "Both sigma and densities"),
    (saliency, {"sigma": 0}, "sigma must be a positive number"),
    (saliency, {"metrics": ["nsss"]}, r"\['nsss'\] was given"),
    (saliency, {"metrics": "nss"}, "must be a list"),
    (scores, {"fixations": [[3.0, 0.0]]}, "outside their map of 3 x 3 pixels, the first at x 3, y 0"),
    (scores, {"fixations": [[-0.1, 0.0]]}, "outside"),
    (scores, {"fixations": [[np.nan, 0.0]]}, "the first at x nan, y 0"),
    (scores, {"fixations": [1.0, 2.0]}, r"list of \[x, y\]"),
    (scores, {"saliency_map": [1.0, 2.0]}, r"shape \(H, W\)"),
    (scores, {"saliency_map": [[1.0, np.nan]]}, "The map must be finite"),
    (scores, {"density": np.eye(2)}, r"density has the shape \(2, 2\), but its image has \(3, 3\)"),
    (scores, {"density": -MAP}, "must not be negative"),
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
    (scores, {"baseline": np.eye(2)}, "baseline has the shape"),
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
