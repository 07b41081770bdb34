"""Planted observers of cue-conflict images: red says the shape, green the texture."""

import numpy as np
import pytest

from hf_clipdyn.benchmarks.shape_bias import ShapeBias

CLASSES = ("bear", "bird", "boat", "bottle")
STEP = 60


def one_hot(index):
    return np.eye(len(CLASSES))[int(index)]


def read(pixels, channel):
    return round(pixels[..., channel].mean() / STEP)


def text(prompt):
    return (
        one_hot(next(i for i, name in enumerate(CLASSES) if name in prompt))
        if _known(prompt)
        else np.ones(4) * -1
    )


def _known(prompt):
    return any(name in prompt for name in CLASSES)


@pytest.fixture
def conflicts(source, colour):
    """Four shapes by three other textures, two exemplars each; blue tells the exemplars apart."""
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
        if s != t
    ]
    return source("cue_conflict", rows)


def test_an_encoder_that_sees_only_the_silhouette_has_a_shape_bias_of_one(conflicts, measure, planted):
    found = measure(ShapeBias, conflicts, planted(lambda pixels: one_hot(read(pixels, 0)), text))
    for suffix in ("", "/imagenet_80", "/name"):
        assert found["shape_bias" + suffix, ""].value == 1
        assert found["texture_accuracy" + suffix, ""].value == 0
        assert found["interpretable" + suffix, ""].value == 1
    assert found["shape_preference", ""].value == 1
    assert found["shape_bias", ""].n == 48
    assert found["shape_bias", ""].n_groups == 8


def test_an_encoder_that_sees_only_the_texture_has_a_shape_bias_of_zero(conflicts, measure, planted):
    found = measure(ShapeBias, conflicts, planted(lambda pixels: one_hot(read(pixels, 1)), text))
    assert found["shape_bias", ""].value == 0
    assert found["texture_bias", ""].value == 1
    assert found["shape_preference", ""].value == 0


def test_an_encoder_of_the_mean_colour_alone_is_not_interpretable(conflicts, measure, planted):
    found = measure(ShapeBias, conflicts, planted(lambda pixels: one_hot(0), text))
    assert found["interpretable", ""].value == 0
    assert found["top_class_share", ""].value == 1
    assert found["shape_preference", ""].value == 0.5


def test_a_vision_model_answers_the_triplets_alone(conflicts, measure, planted):
    found = measure(ShapeBias, conflicts, planted(lambda pixels: one_hot(read(pixels, 0))))
    assert set(found) == {("shape_preference", "")}


def test_an_encoder_that_decides_for_neither_cue_is_undefined_with_a_cause(conflicts, measure, planted):
    def other(prompt):
        return np.ones(4) if "oven" in prompt else -np.ones(4)

    found = measure(ShapeBias, conflicts, planted(lambda pixels: np.ones(4), other))
    assert np.isnan(found["shape_bias", ""].value)
    assert "no decision" in found["shape_bias", ""].note
    assert found["cue_accuracy", ""].value == 0


def test_congruent_images_are_no_conflict(source, colour, measure, planted):
    rows = [
        {
            "image": colour(60, 60),
            "image_id": str(i),
            "shape": "bird",
            "texture": "bird",
            "shape_exemplar": f"bird{i}",
            "texture_exemplar": f"bird{i}",
        }
        for i in range(3)
    ]
    found = measure(ShapeBias, source("cue_conflict", rows), planted(lambda pixels: np.ones(4), text))
    assert found["shape_bias", ""].n == 0
    assert np.isnan(found["shape_bias", ""].value)
    assert found["shape_preference", ""].note == "no image has both a shape and a texture mate"
