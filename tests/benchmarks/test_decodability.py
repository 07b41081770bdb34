"""Planted layers: one contains the texture, the next one the shape as well, the projection nothing."""

import numpy as np
import pytest
from shown import Shown

from hf_clipdyn.benchmarks.kinds.decodability import Decodability
from hf_clipdyn.models.encoder import ImageFeatures

STEP = 60


class Layered(Shown):
    """Red is the shape, green the texture; blue is the exemplars'."""

    reads_text = False

    def embed_images(self, pixels, **_):
        means = pixels.reshape(len(pixels), -1, 3).mean(axis=1)
        shape, texture = (np.eye(4)[np.rint(means[:, at] / STEP).astype(int)] for at in (0, 1))
        both = np.concatenate([shape, texture], axis=1)
        layers = (np.pad(texture, ((0, 0), (0, 4))), both)
        return ImageFeatures(
            np.ones((len(pixels), 3), np.float32),
            tuple(np.repeat(one[:, None], 2, axis=1).astype(np.float32) for one in layers),
        )


@pytest.fixture
def conflicts(source, conflict_rows, colour):
    congruent = {"image": colour(0, 0, 80), "image_id": "bear1-bear1", "shape": "bear", "texture": "bear"}
    exemplars = {"shape_exemplar": "bear1", "texture_exemplar": "bear1"}
    return source("cue_conflict", [*conflict_rows, congruent | exemplars])


def test_each_layer_shows_the_cues_that_it_contains(conflicts, measure):
    found = measure(Decodability, conflicts, Layered())
    values = {
        (cue, layer): found(cue, probe="hidden", layer=layer).value
        for cue in ("shape", "texture")
        for layer in (0, 1)
    }
    assert values[("texture", 0)] == values[("texture", 1)] == values[("shape", 1)] == 1
    assert values[("shape", 0)] <= 1 / 3, "texture tells nothing about shape"
    assert found("shape", probe="", role="chance").value == pytest.approx(1 / 3)
    assert found("shape_minus_texture", probe="hidden", layer=1).value == 0
    assert found("shape_minus_texture", probe="hidden", layer=0).value < -0.6
    assert found("shape", probe="hidden", layer=1).n == 48, "images without a conflict are left out"
    assert found("shape", probe="hidden", layer=1).n_clusters == 8


def test_floors_are_shuffled_images_and_models_without_training(conflicts, measure):
    found = measure(Decodability, conflicts, Layered())
    assert found("shape").value <= 0.5, "equal embeddings contain nothing"
    assert found("shape", probe="", role="null").value <= 0.5
    baselines = {one.reference for one in found if one.role == "baseline"}
    assert baselines == {"pixels", "amplitudes", "colours"}
