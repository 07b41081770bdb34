"""Planted observers of cue-conflict images: red says the shape, green the texture."""

import numpy as np
import pytest

from hf_clipdyn.benchmarks.kinds.shape_bias import ShapeBias

CLASSES = ("bear", "bird", "boat", "bottle")
STEP = 60


def one_hot(index):
    return np.eye(len(CLASSES))[int(index)]


def read(pixels, channel):
    return round(pixels[..., channel].mean() / STEP)


def text(prompt):
    named = [index for index, name in enumerate(CLASSES) if name in prompt]
    return one_hot(named[0]) if named else -np.ones(4)


@pytest.fixture
def sees_shape(planted):
    return planted(lambda pixels: one_hot(read(pixels, 0)), text)


@pytest.fixture
def conflicts(source, conflict_rows):
    return source("cue_conflict", conflict_rows)


def test_an_encoder_that_sees_only_the_silhouette_has_a_shape_bias_of_one_beside_a_standard_network(
    conflicts, measure, sees_shape
):
    found = measure(ShapeBias, conflicts, sees_shape)
    for prompts in ("", "name"):
        assert found("shape_bias", variant=prompts).value == 1
        assert found("texture_accuracy", variant=prompts).value == 0
        assert found("shape_bias", variant=prompts).interpretable is True
        assert found("cue_accuracy", variant=prompts, role="null").value == pytest.approx(0.5)
    for cue in ("shape", "texture"):
        assert found(f"{cue}_accuracy", role="null").value == pytest.approx(1 / 4)
    assert (found("shape_accuracy").interpretable, found("texture_accuracy").interpretable) == (True, False)
    assert found("shape_preference").value == 1
    assert found("shape_bias").n == 48
    assert found("shape_bias").n_clusters == 8
    assert found("shape_accuracy", probe="linear_probe").value == 1
    assert found("texture_accuracy", probe="linear_probe").value == pytest.approx(1 / 3)
    for cue in ("shape", "texture"):
        chance = found(f"{cue}_accuracy", probe="linear_probe", role="chance")
        assert (chance.value, chance.n) == (pytest.approx(1 / 3), 48)
    network = {"probe": "", "role": "baseline", "reference": "resnet50"}
    assert found("shape_bias", **network).value == pytest.approx(0.2207, abs=5e-5)
    assert found("cue_accuracy", **network).value == pytest.approx(0.6117, abs=5e-5)


def test_a_data_set_with_templates_of_its_own_is_asked_with_these_alone(
    source, conflict_rows, measure, planted
):
    prompts = []

    def remembering(prompt):
        prompts.append(prompt)
        return text(prompt)

    encoder = planted(lambda pixels: one_hot(read(pixels, 0)), remembering)
    measure(ShapeBias, source("cue_conflict", conflict_rows), encoder)
    assert len(prompts) == len(set(prompts)) == 2 * 16
    assert {"a photo of a bear.", "bear"} <= set(prompts)
    prompts.clear()
    own = measure(ShapeBias, source("cue_conflict", conflict_rows, templates=("a photo of a {}",)), encoder)
    assert {one.variant for one in own} == {""}
    assert len(prompts) == 16


@pytest.fixture
def judged(source, conflict_rows):
    """The images with the answers of three observers; a and b err on every fifth image, c never."""
    rows = conflict_rows
    for index, row in enumerate(rows):
        err = index % 5 == 0
        answers = [("a", row["texture"] if err else row["shape"]), ("b", "na" if err else row["shape"])]
        if index % 2:
            answers.append(("c", row["shape"]))
        row["human_responses"] = [{"subject": one, "response": what} for one, what in answers]
    return source("cue_conflict", rows)


def test_the_mean_person_has_an_interval_over_images_and_one_over_people(judged, measure, sees_shape):
    found = measure(ShapeBias, judged, sees_shape)
    errors = np.arange(48) % 5 == 0
    own = [1 - errors.mean(), 1.0, 1.0]  # of b, an error is no answer for a cue
    by_image, by_person = (
        found("shape_bias", probe="", role="human", reference=f"people by {one}")
        for one in ("image", "person")
    )
    assert by_image.value == by_person.value == pytest.approx(np.mean(own))
    assert (by_image.n_clusters, by_person.n_clusters) == (8, 3)
    np.testing.assert_allclose(by_person.influence.values, (own - np.mean(own)) / 3)
    assert by_image.ci_low < by_image.value < by_image.ci_high


def test_with_some_classes_only_their_images_and_answers_count(judged, measure, sees_shape):
    chosen = CLASSES[:3]
    found = measure(ShapeBias, judged, sees_shape, classes=chosen)
    assert found("shape_bias").n == 24  # six ordered pairs with four images each
    assert found("cue_accuracy", role="null").value == pytest.approx(2 / 3)
    assert (found("shape_preference").n, found("shape_preference", subset="all_classes").n) == (24, 48)
    people = {
        name: found(name, probe="", role="human", reference="observers")
        for name in ("shape_bias", "shape_accuracy", "texture_accuracy")
    }
    answers = judged.dataset.to_pandas()
    own = answers[answers["shape"].isin(chosen) & answers["texture"].isin(chosen)]
    said = [
        (one["response"] == row.shape, one["response"] == row.texture)
        for row in own.itertuples()
        for one in row.human_responses
    ]
    assert {one.n for one in people.values()} == {len(said)}
    shape, texture = np.mean(said, axis=0)
    assert people["shape_accuracy"].value == pytest.approx(shape)
    assert people["texture_accuracy"].value == pytest.approx(texture)
    assert people["shape_bias"].value == pytest.approx(shape / (shape + texture))


def test_in_grey_the_colour_says_nothing(conflicts, measure, sees_shape):
    found = measure(ShapeBias, conflicts, sees_shape, grey=True)
    assert found("shape_bias").value == 1
    assert found("shape_accuracy", condition="grey").value < found("shape_accuracy").value
