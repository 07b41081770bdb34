"""Planted layers: one contains the texture, the next one the shape as well, the projection nothing."""

import numpy as np
import pytest
from shown import Shown

from hf_clipdyn.benchmarks.kinds.decodability import Decodability
from hf_clipdyn.models.encoder import ImageFeatures

CLASSES = ("bear", "bird", "boat", "bottle")
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
def conflicts(source, colour):
    rows = [
        {
            "image": colour(s * STEP, t * STEP, 20 * i + 60 * j),
            "image_id": f"{shape}{i}-{texture}{j}",
            "shape": shape,
            "texture": texture,
            "shape_exemplar": f"{shape}{i}",
            "texture_exemplar": f"{texture}{j}",
        }
        for s, shape in enumerate(CLASSES)
        for t, texture in enumerate(CLASSES)
        for i, j in ((1, 1), (1, 2), (2, 1), (2, 2))
    ]
    return source("cue_conflict", rows)


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


def test_influences_are_those_of_the_balanced_accuracy(conflicts, measure):
    found = measure(Decodability, conflicts, Layered())
    one = found("shape", probe="hidden", layer=0)
    assert one.influence.values.sum() == pytest.approx(0, abs=1e-12)
    assert one.ci_low <= one.value <= one.ci_high


def test_cues_without_a_second_exemplar_are_not_decodable(source, colour, measure):
    rows = [
        {
            "image": colour(s * STEP, t * STEP),
            "image_id": f"{s}{t}",
            "shape": CLASSES[s],
            "texture": CLASSES[t],
        }
        | {"shape_exemplar": CLASSES[s], "texture_exemplar": CLASSES[t]}
        for s in range(3)
        for t in range(3)
        if s != t
    ]
    found = measure(Decodability, source("cue_conflict", rows), Layered())
    assert "second exemplar" in found("shape").note
