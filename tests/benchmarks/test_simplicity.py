"""Planted models whose decisions a linear model explains, or does not."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pandas as pd
import pytest

from hf_clipdyn.benchmarks.base import Common
from hf_clipdyn.benchmarks.degradations import grey
from hf_clipdyn.benchmarks.kinds.simplicity import Simplicity
from hf_clipdyn.benchmarks.simple_models import Alone
from hf_clipdyn.benchmarks.sources import open_source
from hf_clipdyn.data.sets.procedural import Procedural
from hf_clipdyn.metrics.error_consistency import error_consistency
from hf_clipdyn.metrics.explained_information import explained_information

CLASSES = ("cat", "dog", "car", "ship")
COMMON = Common(n_resamples=1, show_progress=False)


@pytest.fixture
def labelled(source, colour):
    """Red and green tell the classes apart."""
    shades = ((0, 0), (0, 200), (200, 200), (200, 0))
    rows = [
        {"image": colour(*(one + i for one in shades[i % 4]), 10 + i % 5), "label": i % 4} for i in range(40)
    ]
    return source("labels", rows, CLASSES)


def nearest(pixels):
    """The class by its colour."""
    red, green, _ = pixels.mean(axis=(0, 1)) > 150
    return np.eye(4)[2 * int(red) + int(green != red)]


def text(prompt):
    return np.eye(4)[next(i for i, name in enumerate(CLASSES) if name in prompt)]


def test_what_a_linear_model_sees_too_is_explained(labelled, measure, planted):
    found = measure(Simplicity, labelled, planted(nearest, text))
    assert found("accuracy").value == 1
    assert found("information").value == 1
    pixels = found("accuracy", role="baseline", reference="pixels", probe="")
    share = found("explained_share", variant="pixels")
    assert share.value > 0.9 < pixels.value
    assert share.ci_low <= share.value <= share.ci_high
    assert found("explained_share", variant="amplitudes").value < 0.3, "solid colours have no spectrum"


def test_simple_models_are_fitted_on_the_training_split(labelled, source, colour, measure, planted):
    """In which red and green do not tell the classes apart."""
    rows = [{"image": colour(120, 120, 10 + i), "label": i % 4} for i in range(40)]
    training = source("labels", rows, CLASSES).dataset
    found = measure(Simplicity, replace(labelled, training=lambda: training), planted(nearest, text))
    assert found("accuracy", role="baseline", reference="pixels", probe="").value < 0.6
    assert found("accuracy").value == 1


def test_of_amplitudes_or_phases_alone_the_other_half_is_gone():
    rng = np.random.default_rng(0)
    images = rng.integers(60, 200, (12, 16, 16, 3), dtype=np.uint8)
    images[:, 4:12, 4:12] += 40
    alone = Alone(images, np.arange(12))

    def spectra(name):
        return np.fft.fft2([alone.values(name, images[row], row) for row in range(12)])[:, 1:, 1:]

    window = np.hanning(18)[1:-1, None] * np.hanning(18)[None, 1:-1]
    values = np.stack([grey(one) for one in images])
    own = np.fft.fft2((values - values.mean(axis=(1, 2), keepdims=True)) * window)[:, 1:, 1:]
    scaled = [np.abs(one) / np.linalg.norm(one) for one in spectra("amplitude_alone")]
    assert scaled == pytest.approx(np.array([np.abs(one) / np.linalg.norm(one) for one in own]))
    turned = np.angle(spectra("phase_alone") / own)
    assert turned == pytest.approx(np.zeros_like(turned), abs=1e-6)
    assert np.std([np.abs(one) / np.linalg.norm(one) for one in spectra("phase_alone")], axis=0).max() < 1e-9
    for name in ("amplitude_alone", "phase_alone"):
        changed = np.stack([alone.values(name, images[row], row) for row in range(12)])
        assert changed.mean(axis=(1, 2)) == pytest.approx(values.mean(axis=(1, 2)))
        assert changed.std(axis=(1, 2)) == pytest.approx(values.std(axis=(1, 2)))


def test_a_model_of_colours_knows_nothing_of_grey_amplitudes_and_phases(labelled, measure, planted):
    found = measure(Simplicity, labelled, planted(nearest, text))
    for condition in ("amplitude_alone", "phase_alone"):
        assert found("accuracy", condition=condition).value < 0.6
        assert found("accuracy", role="chance", probe="").value == 0.25
        assert found("clipped", role="diagnostic", probe="", condition=condition).value == 0


def test_the_embedded_world_has_labelled_training_images():
    """The same as those with captions, whose class each of them names."""
    labels, captions = (
        list(islice(Procedural(config_name=name).rows("train"), 3))
        for name in ("labels_training", "captions")
    )
    assert [one["image"] for one in labels] == [one["image"] for one in captions]
    assert all(
        one["label"] in text
        for one, other in zip(labels, captions, strict=True)
        for text in other["captions"]
    )
    assert Procedural(config_name="labels_training").splits() == ["train"]
    assert open_source("procedural", ("labels",)).split == "test"


def trials(rng, simple):
    """Decisions of which half are right for a reason of their own; ``simple`` says what the simple model adds."""
    label = rng.choice(CLASSES, 400)
    own = rng.random(400) < 0.75
    wrong = np.roll(CLASSES, 2)[[CLASSES.index(one) for one in label]]
    decision = np.where(own, label, wrong)
    copied = {"equal": decision, "independent": np.where(rng.random(400) < 0.75, label, wrong)}[simple]
    return (
        pd.DataFrame(
            {"item": np.arange(400), "label": label, "decision": decision, "protocol": ""}
            | dict.fromkeys(("pixels", "amplitudes", "colours"), copied)
        )
        .reindex(columns=list(Simplicity.trial_columns))
        .astype(Simplicity.trial_columns)
    )


def test_numbers_are_those_of_the_functions():
    rows = trials(np.random.default_rng(0), "independent")
    found = {(one.metric, one.variant, one.role): one for one in Simplicity.score(rows, COMMON)}
    animals = [rows[name].isin(["cat", "dog"]).to_numpy() for name in ("decision", "pixels", "label")]
    wanted = explained_information(*animals)
    for name in ("explained", "explained_share"):
        assert found[name, "pixels", "value"].value == wanted[name]
    assert found["information", "", "value"].value == wanted["information"]
    assert found["explained_share", "pixels", "value"].interpretable == (wanted["information"] >= 0.05)
    right = [(rows[name] == rows["label"]).to_numpy() for name in ("decision", "pixels")]
    kappa = found["kappa", "pixels", "value"]
    assert kappa.value == pytest.approx(error_consistency(*right, n_resamples=0)["kappa"])
    assert kappa.ci_low < kappa.value < kappa.ci_high
    assert kappa.influence.sum() == pytest.approx(0, abs=1e-12)


def test_equal_decisions_are_explained_wholly_and_independent_ones_in_part():
    rng = np.random.default_rng(1)
    equal, independent = (
        next(one for one in Simplicity.score(trials(rng, simple), COMMON) if one.metric == "explained_share")
        for simple in ("equal", "independent")
    )
    assert equal.value == pytest.approx(1)
    assert 0 < independent.value < 0.6


def test_classes_that_may_be_animals_or_not_have_no_information():
    rows = trials(np.random.default_rng(2), "equal").replace("ship", "kraken")
    found = [one for one in Simplicity.score(rows, COMMON) if one.metric == "explained_share"]
    assert {one.note for one in found} == {"whether kraken is an animal is not known"}
    assert np.isnan([one.value for one in found]).all()


def test_a_single_image_of_each_class_is_no_set_to_fit_on(source, colour, measure, planted):
    rows = [{"image": colour(50 * i, 0), "label": i} for i in range(4)]
    found = measure(Simplicity, source("labels", rows, CLASSES), planted(nearest, text))
    assert "only one" in found("explained_share", variant="pixels").note
