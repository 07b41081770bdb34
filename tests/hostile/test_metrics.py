"""Columns that are no data, given to every metric: a number, or one sentence, and never another exception."""

import importlib
from typing import Any

import pytest

from hf_clipdyn.errors import MetricError

NAMES = {"shape_bias": {"predictions": "cdc", "shapes": "ccd", "textures": "ddc"}}
NUMBERS: dict[str, dict[str, list[Any]]] = {
    "cue_preference": {"distances_shape": [0.1, 0.2, 0.3], "distances_texture": [0.2, 0.1, 0.5]},
    "contrastive_geometry": {"images": [[1.0, 2], [3, 4], [5, 7]], "texts": [[1.0, 0], [1, 1], [2, 1]]},
    "error_consistency": {"predictions": [True, False, True], "references": [True, True, False]},
    "representation_similarity": {"x": [[1.0, 2], [3, 4], [5, 7], [0, 1]], "y": [[1.0], [0], [2], [5]]},
    "learning_order": {"right": [[[True, False], [True, True]]] * 3},
    "noise_robustness": {"predictions": [0, 1, 0], "references": [0, 1, 1], "sigmas": [0, 0, 0.1]},
    "zero_shot_accuracy": {"predictions": [[0, 1, 2], [1, 0, 2], [2, 1, 0]], "references": [0, 0, 2]},
    "saliency": {"predictions": [[[0.0, 1], [0, 0]]] * 3, "fixations": [[[1.0, 0]]] * 3},
}
FILES = {"representation_similarity": "representation"}  # of functions that are not called like their file
VALID = NUMBERS | {name: {key: list(text) for key, text in rows.items()} for name, rows in NAMES.items()}
HOSTILE: dict[str, Any] = {
    "no rows": [],
    "none": None,
    "a text": "abc",
    "bytes": b"abc",
    "a number": 3.0,
    "a mapping": {},
    "missing values": [None] * 3,
    "nan": [float("nan")] * 3,
    "infinity": [float("-inf")] * 3,
    "the largest": [1e308] * 3,
    "the smallest": [5e-324] * 3,
    "negative": [-1] * 3,
    "beyond 64 bits": [10**30] * 3,
    "complex": [1j] * 3,
    "names": ["x", "y", "z"],
    "objects": [object()] * 3,
    "a table": [[1, 2], [3, 4], [5, 6]],
    "deep": [[[[1]]]] * 3,
    "another length": [1] * 4,
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("name", VALID)
def test_a_metric_refuses_in_one_sentence_what_it_cannot_score(name, kind):
    metric = getattr(importlib.import_module(f"hf_clipdyn.metrics.{FILES.get(name, name)}"), name)
    for column in VALID[name]:
        said = ""
        try:
            result = metric(**{**VALID[name], column: HOSTILE[kind]}, n_resamples=0)
        except MetricError as error:
            said = str(error)
        if said:
            assert 20 < len(said) < 400
            assert said.endswith(".")
            assert "\n" not in said
        else:
            assert result["n"] > 0
