"""Planted observers of cue-conflict images: red says the shape, green the texture."""

import numpy as np
import pytest
from transformers import CLIPImageProcessor

from hf_clipdyn.benchmarks.kinds.shape_bias import ShapeBias
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.data import dataset_metadata, load_dataset
from hf_clipdyn.data.pixels import decode_pixels
from hf_clipdyn.metrics.shape_decisions import GEIRHOS_CLASSES

CLASSES = ("bear", "bird", "boat", "bottle")
STEP = 60
PROCESSOR = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})


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


def exemplars(pixels):
    """Numbers of the exemplars of shape and texture, from the blue of `conflict_rows`."""
    blue = round(pixels[..., 2].mean())
    return next((i, j) for i in (1, 2) for j in (1, 2) if 20 * i + 60 * j == blue)


@pytest.fixture
def conflicts(source, conflict_rows):
    return source("cue_conflict", conflict_rows)


def test_an_encoder_that_sees_only_the_silhouette_has_a_shape_bias_of_one(conflicts, measure, planted):
    found = measure(ShapeBias, conflicts, planted(lambda pixels: one_hot(read(pixels, 0)), text))
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


def test_an_encoder_that_sees_only_the_texture_has_a_shape_bias_of_zero(conflicts, measure, planted):
    found = measure(ShapeBias, conflicts, planted(lambda pixels: one_hot(read(pixels, 1)), text))
    assert found("shape_bias").value == 0
    assert found("texture_accuracy").value == 1
    assert found("shape_preference").value == 0
    assert found("texture_accuracy", probe="linear_probe").value == 1
    assert found("shape_accuracy", probe="linear_probe").value == pytest.approx(1 / 3)


def test_an_encoder_of_the_mean_colour_alone_is_not_interpretable(conflicts, measure, planted):
    found = measure(ShapeBias, conflicts, planted(lambda pixels: one_hot(0), text))
    assert found("shape_bias").interpretable is False
    assert found("cue_accuracy").interpretable is None
    assert found("shape_accuracy").interpretable is False
    assert found("shape_preference").value == 0.5
    assert found("shape_accuracy", probe="linear_probe").value == pytest.approx(1 / 3)


def test_an_encoder_of_both_cues_is_probed_for_both_whatever_it_decides(conflicts, measure, planted):
    def both(pixels):
        return [*one_hot(read(pixels, 0)), *(0.1 * one_hot(read(pixels, 1)))]

    found = measure(ShapeBias, conflicts, planted(both, lambda prompt: [*text(prompt), 0, 0, 0, 0]))
    assert found("shape_bias").value == 1
    for cue in ("shape", "texture"):
        accuracy = found(f"{cue}_accuracy", probe="linear_probe")
        assert (accuracy.value, accuracy.n, accuracy.n_clusters) == (1, 48, 8)
        assert accuracy.ci_low < 1


def test_a_probe_has_not_seen_the_exemplar_that_it_decides_on(source, conflict_rows, measure, planted):
    """Each exemplar has a dimension of its own: known by heart, no class can be read from it."""

    def by_heart(pixels):
        return np.eye(8)[2 * read(pixels, 0) + exemplars(pixels)[0] - 1]

    found = measure(ShapeBias, source("cue_conflict", conflict_rows), planted(by_heart))
    assert {one.metric for one in found if one.probe == "projection"} == {"shape_preference"}, (
        "it has no texts"
    )
    assert found("shape_accuracy", probe="linear_probe").value <= 1 / 3
    rows = [row for row in conflict_rows if row["shape_exemplar"].endswith("1")]
    found = measure(ShapeBias, source("cue_conflict", rows), planted(lambda pixels: np.ones(4), text))
    assert "held out" in found("shape_accuracy", probe="linear_probe").note
    assert found("texture_accuracy", probe="linear_probe").n == 24


def test_a_data_set_with_templates_of_its_own_is_asked_with_these_alone(
    source, conflict_rows, measure, planted
):
    prompts = []

    def remembering(prompt):
        prompts.append(prompt)
        return text(prompt)

    encoder = planted(lambda pixels: one_hot(read(pixels, 0)), remembering)
    rows = conflict_rows
    measure(ShapeBias, source("cue_conflict", rows), encoder)
    assert len(prompts) == len(set(prompts)) == 2 * 16
    assert {"a photo of a bear.", "bear"} <= set(prompts)
    prompts.clear()
    own = measure(ShapeBias, source("cue_conflict", rows, templates=("a photo of a {}",)), encoder)
    assert {one.variant for one in own} == {""}
    assert len(prompts) == 16


def test_a_standard_network_is_a_reference_on_photographs(conflicts, measure, planted):
    found = measure(ShapeBias, conflicts, planted(lambda pixels: one_hot(read(pixels, 0)), text))
    place = {"probe": "", "role": "baseline", "reference": "resnet50"}
    assert found("shape_bias", **place).value == pytest.approx(0.2207, abs=5e-5)
    assert found("cue_accuracy", **place).value == pytest.approx(0.6117, abs=5e-5)


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


@pytest.fixture
def erring(planted, judged):
    """A model that says the texture wherever the observers a and b err, else the shape."""
    odd = set(judged.dataset["image_id"][::5])

    def sees(pixels):
        shape, texture = read(pixels, 0), read(pixels, 1)
        i, j = exemplars(pixels)
        return one_hot(texture if f"{CLASSES[shape]}{i}-{CLASSES[texture]}{j}" in odd else shape)

    return planted(sees, text)


def test_the_mean_person_has_an_interval_over_images_and_one_over_people(judged, measure, erring):
    found = measure(ShapeBias, judged, erring)
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


def test_with_some_classes_only_their_images_and_answers_count(judged, measure, erring):
    chosen = CLASSES[:3]
    found = measure(ShapeBias, judged, erring, classes=chosen)
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


def test_in_grey_the_colour_says_nothing(conflicts, measure, planted):
    found = measure(ShapeBias, conflicts, planted(lambda p: one_hot(read(p, 0) % 4), text), grey=True)
    assert found("shape_bias").value == 1
    assert found("shape_accuracy", condition="grey").value < found("shape_accuracy").value


def test_the_rows_that_use_no_text_are_not_observed_again_with_other_texts(conflicts, planted, prepared):
    encoder = planted(lambda pixels: one_hot(read(pixels, 0)), text)
    readout = Readout(encoder).with_texts(encoder.embed_texts)
    assert set(prepared(ShapeBias, conflicts).observe(readout)["protocol"]) == {"", "name"}


def test_no_decision_for_a_cue_and_no_conflict_are_undefined_with_a_cause(
    conflicts, source, conflict_rows, measure, planted
):
    def other(prompt):
        return np.ones(4) if "oven" in prompt else -np.ones(4)

    found = measure(ShapeBias, conflicts, planted(lambda pixels: np.ones(4), other))
    assert np.isnan(found("shape_bias").value)
    assert "no decision" in found("shape_bias").note
    assert found("cue_accuracy").value == 0
    cue = {"texture": "bird", "texture_exemplar": "bird1"}
    rows = [row | cue for row in conflict_rows if row["shape_exemplar"] == "bird1"]
    found = measure(ShapeBias, source("cue_conflict", rows), planted(lambda pixels: np.ones(4), text))
    assert found("shape_bias").n == 0
    assert np.isnan(found("shape_bias").value)
    assert np.isnan(found("shape_preference").value)


@pytest.fixture
def real(real_data):
    """The real images with the answers of their observers."""
    folder = real_data("cue-conflict")
    real_data("cue-conflict-human-trials")
    dataset = load_dataset("cue_conflict", data_dir=folder, split="test")
    return Source("cue_conflict", dataset, "test", dataset_metadata("cue_conflict"))


def category_of(prompt):
    """One-hot among the 16 for a category's own name."""
    name = prompt.removeprefix("a photo of a ").removesuffix(".")
    return np.eye(16)[GEIRHOS_CLASSES.index(name)]


@pytest.mark.parametrize("cue", ["shape", "texture"])
def test_real_images_seen_by_one_cue_have_a_bias_of_one_or_zero(cue, real, measure, planted):
    pixels = decode_pixels(real.dataset, PROCESSOR).array
    seen = {
        one.tobytes(): GEIRHOS_CLASSES.index(name)
        for one, name in zip(pixels, real.dataset[cue], strict=True)
    }
    assert len(seen) == len(real.dataset)
    encoder = planted(lambda one: np.eye(16)[seen[one.astype(np.uint8).tobytes()]], category_of)
    found = measure(ShapeBias, real, encoder)
    bias = float(cue == "shape")
    row = found("shape_bias")
    assert (row.value, row.interpretable) == (bias, True)
    assert found("shape_preference").value == bias
    assert found(f"{cue}_accuracy", probe="linear_probe").value == 1
    human = found("shape_bias", probe="", role="human", reference="people by image")
    assert human.n_clusters == 48
    assert human.ci_low < human.value < human.ci_high
