"""Planted observers of corrupted images."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from hf_clipdyn.benchmarks.corruptions import CORRUPTIONS
from hf_clipdyn.benchmarks.kind import Common
from hf_clipdyn.benchmarks.kinds.noise import Noise, NoiseSettings
from hf_clipdyn.benchmarks.units import scored
from hf_clipdyn.data.prompts import imagenet_names
from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.metrics.shape_decisions import GEIRHOS_CLASSES

CLASSES = ("dark", "bright", "grey")
LEVELS = (20, 230, 128)


def text(prompt):
    return np.eye(3)[next(i for i, name in enumerate(CLASSES) if name in prompt)]


@pytest.fixture
def labelled(source, colour):
    rows = [
        {"image": colour(level, level, level, side=20), "label": label}
        for label, level in enumerate(LEVELS)
        for _ in range(12)
    ]
    return source("labels", rows, CLASSES)


def noise_blind(pixels):
    """Noise moves the mean of a square little: dark and bright stay on their sides."""
    mean = pixels.mean()
    return np.eye(3)[0 if mean < 90 else 1 if mean > 165 else 2]


def fragile(pixels):
    """Right on a flat square, and always the class "dark" on any other."""
    return noise_blind(pixels) if pixels.std() == 0 else np.eye(3)[0]


def test_a_curve_is_complete_by_its_condition_and_begins_with_the_clean_images(labelled, measure, planted):
    sigmas = (0.001, 0.002, 0.125)
    found = measure(
        Noise,
        labelled,
        planted(fragile, text),
        sigmas=sigmas,
        conditions=("blur", "gaussian", "salt_and_pepper"),
    )
    for name in ("gaussian", "salt_and_pepper", "blur"):
        shown = sigmas if name == "gaussian" else CORRUPTIONS[name].levels
        of_prompts = [one for one in found if (one.condition, one.probe) == (name, "projection")]
        curve = [one for one in of_prompts if one.metric == "accuracy"]
        assert [one.level for one in curve] == [0.0, *shown]
        clean = replace(found("accuracy"), condition=name, level=0.0)
        assert curve[0] == clean, "with the same interval"
        assert (curve[0].influence.values == clean.influence.values).all()
        assert {one.level for one in of_prompts if one.metric == "relative_drop"} == set(shown)


def test_a_class_with_one_image_cannot_be_probed(source, colour, measure, planted):
    rows = [{"image": colour(level, level, level), "label": label} for label, level in enumerate(LEVELS)]
    found = measure(Noise, source("labels", rows, CLASSES), planted(noise_blind, text), sigmas=(0.1,))
    assert found("accuracy").value == 1
    assert np.isnan(found("accuracy", probe="linear_probe").value)


def at_levels(name, accuracies, n=200, n_classes=10):
    """Trials of prompts: the accuracy on clean images, then at each level; the same images stay right."""
    labels = np.arange(n) % n_classes
    levels = [("none", 0.0), *((name, one) for one in CORRUPTIONS[name].levels)]
    blocks = []
    for (condition, level), accuracy in zip(levels, accuracies, strict=True):
        decision = np.where(np.arange(n) < accuracy * n, labels, (labels + 1) % n_classes)
        columns = {"item": np.arange(n), "label": labels, "condition": condition, "level": level}
        blocks.append(pd.DataFrame(columns | {"decision": decision}))
    known = {"n_classes": n_classes, "probe_decision": pd.NA, "protocol": "", "human_accuracy": np.nan}
    return pd.concat(blocks, ignore_index=True).assign(**known).astype({"probe_decision": "Int64"})


def test_the_threshold_of_the_contrast_is_a_contrast_on_its_logarithmic_axis():
    """From 1 downwards: .9 at a contrast of .1, .2 at .05; halfway from .9 to chance is .5."""
    levels = CORRUPTIONS["contrast"].levels
    trials = at_levels("contrast", [0.9, *(0.9 if level >= 0.1 else 0.2 for level in levels)])
    one = next(one for one in scored(Noise, trials, Common()) if one.metric == "threshold")
    assert one.value == pytest.approx(0.1 * 0.5 ** (0.4 / 0.7))
    assert 0.05 < one.ci_low < one.value < one.ci_high < 0.1
    assert (one.condition, one.level, one.n, one.note) == ("contrast", None, 200, "")


def coloured(pixels):
    """The class is the colour: reddish, greenish, else none of them."""
    red, green, _ = pixels.mean(axis=(0, 1))
    return np.eye(3)[0 if red > green + 20 else 1 if green > red + 20 else 2]


@pytest.fixture
def colours(source, colour):
    shades = [(200, 60, 60), (60, 200, 60), (60, 60, 60)]
    rows = [
        {"image": colour(*shades[label], side=16), "label": label} for label in range(3) for _ in range(12)
    ]
    return source("labels", rows, CLASSES)


def test_the_weakest_level_of_a_degradation_is_the_grey_picture_and_is_measured(colours, measure, planted):
    """A picture in colour has another grey picture, so contrast 1 is a loss to whoever reads colours."""
    found = measure(
        Noise,
        colours,
        planted(coloured, text),
        conditions=("contrast", "rotation", "high_pass", "grey", "false_colour"),
    )
    assert found("accuracy", condition="false_colour").value == pytest.approx(1 / 3), "red is green now"
    grey = {"condition": "grey", "level": None}
    assert found("accuracy").value == 1
    assert found("accuracy", **grey).value == pytest.approx(1 / 3)
    for condition, level in (("contrast", 1.0), ("rotation", 0.0), ("high_pass", np.inf)):
        for metric in ("accuracy", "relative_drop", "chance_corrected_drop"):
            assert found(metric, condition=condition, level=level).value == found(metric, **grey).value
    assert not [one for one in found if one.metric == "area" and one.condition in ("rotation", "grey")]
    levels = [one.level for one in found if one.metric == "relative_drop" and one.condition == "high_pass"]
    assert levels[:8] == [np.inf, 3, 1.5, 1, 0.7, 0.55, 0.45, 0.4], "from the weakest to the strongest"


def test_levels_are_chosen_by_condition_and_one_choice_in_any_order_is_one_cell():
    settings = NoiseSettings(
        conditions=("high_pass", "contrast", "grey"), levels=("high_pass=1", "contrast=0.05", "high_pass=inf")
    )
    assert settings.levels == ("contrast=0.05", "high_pass=inf", "high_pass=1")
    assert settings == settings.but()
    assert settings.levels_of("high_pass") == (np.inf, 1.0)
    assert NoiseSettings(conditions=("contrast",)).levels_of("contrast")[0] == 1
    assert "levels" not in NoiseSettings().in_key(), "cells of earlier versions keep their key"
    settings = NoiseSettings(sigmas=(0.2, 0.0, 0.1, 0.2), conditions=("blur", "gaussian", "blur"))
    assert settings == settings.but() == NoiseSettings(sigmas=(0.1, 0.2), conditions=("gaussian", "blur"))
    key = {"sigmas": (0.0, 0.1, 0.2), "stage": "native", "conditions": ("gaussian", "blur")}
    assert settings.in_key() == key


def sixteen_classes(source, colour, classes, **facts):
    rows = [{"image": colour(10 * label, 100, 100, side=16), "label": label} for label in range(len(classes))]
    return source("labels", rows * 2, classes, **facts)


def test_people_are_drawn_where_the_classes_are_theirs(source, colour, measure, planted):
    def people(classes, conditions=("grey",), **facts):
        data = sixteen_classes(source, colour, classes, **facts)
        encoder = planted(lambda pixels: np.ones(4), lambda prompt: np.ones(4))
        found = measure(Noise, data, encoder, conditions=conditions)
        return {(one.condition, one.level): one.value for one in found if one.role == "human"}

    known = people(sorted(GEIRHOS_CLASSES, reverse=True), ("contrast", "high_pass", "grey", "blur"))
    assert known["none", None] == pytest.approx(0.9086)
    assert known["grey", None] == pytest.approx(0.8867)
    assert known["contrast", 0.05] == pytest.approx(0.3531)
    assert known["high_pass", np.inf] == pytest.approx(0.8828)
    assert len(known) == 2 + 8 + 8, "of blur nothing is known"
    assert people(GEIRHOS_CLASSES[1:]) == {}
    assert people(GEIRHOS_CLASSES, synthetic=True) == {}


def test_images_of_imagenet_can_be_asked_for_the_sixteen_categories(source, colour, measure, planted):
    names = ["tench", "Persian Cat", "wall clock", "Siamese cat"]
    ordered = list(imagenet_names().values())
    names[1], names[3] = ordered[283], ordered[284]
    data = sixteen_classes(source, colour, names)

    def seen(pixels):
        return np.eye(4)[min(int(pixels[..., 0].mean() // 10), 3)]

    def asked(prompt):
        return np.array([0, "cat" in prompt, "clock" in prompt, "cat" in prompt], float) + 1e-3

    found = measure(Noise, data, planted(seen, asked), conditions=("false_colour",), classes="sixteen")
    assert found("accuracy").value == 1
    assert found("accuracy").n == 6, "a tench is none of the categories"
    assert found("accuracy", role="chance", condition="").value == 1 / 16
    assert found("accuracy", role="human", probe="").value == pytest.approx(0.9086)
    with pytest.raises(EvaluationError, match="planted has none of ImageNet's classes"):
        measure(Noise, sixteen_classes(source, colour, CLASSES), planted(seen, asked), classes="sixteen")


def test_the_draw_the_stage_and_the_levels_are_part_of_the_fingerprint(labelled, prepared):
    def fingerprint(**options):
        return prepared(Noise, labelled, **options).fingerprint

    given = [{}, {"seed": 1}, {"stage": "input"}, {"sigmas": (0.1,)}, {"conditions": ("blur",)}]
    assert len({fingerprint(**one) for one in given}) == len(given)
    assert fingerprint(conditions=("blur",)) == fingerprint(seed=1, conditions=("blur",)), "nothing is drawn"
