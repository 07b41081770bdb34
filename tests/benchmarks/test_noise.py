"""Planted observers of corrupted images."""

from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import trapezoid
from transformers import CLIPImageProcessor

from hf_clipdyn.benchmarks.corruptions import CORRUPTIONS, Corrupted
from hf_clipdyn.benchmarks.kind import Common
from hf_clipdyn.benchmarks.kinds.noise import Noise, NoiseSettings
from hf_clipdyn.benchmarks.noise_scores import drop_when_both_right
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.benchmarks.units import scored
from hf_clipdyn.data.prompts import imagenet_names
from hf_clipdyn.errors import ConfigError, EvaluationError
from hf_clipdyn.metrics.shape_decisions import GEIRHOS_CLASSES

PROCESSOR = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
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


def level(name):
    """A level in the middle of the default ones; None if the condition has no levels."""
    levels = CORRUPTIONS[name].levels
    return levels[len(levels) // 2] if CORRUPTIONS[name].within else None


@pytest.mark.parametrize("stage", ["native", "input"])
@pytest.mark.parametrize("name", ["gaussian", "salt_and_pepper", "blur", "low_pass", "rotation", "grey"])
def test_a_noise_blind_encoder_loses_nothing(name, stage, labelled, measure, planted):
    found = measure(Noise, labelled, planted(noise_blind, text), conditions=(name,), stage=stage)
    at = {"condition": name, "level": level(name)}
    for probe in ("projection", "linear_probe"):
        assert found("accuracy", probe=probe).value == 1
        assert found("accuracy", probe=probe, **at).value == 1
        if CORRUPTIONS[name].within and CORRUPTIONS[name].has_order:
            assert found("area", probe=probe, condition=name).value == 1
        for metric in ("relative_drop", "chance_corrected_drop", "drop_when_right"):
            assert found(metric, probe=probe, **at).value == 0
        assert found("accuracy", probe=probe, role="chance", condition="").value == pytest.approx(1 / 3)
    assert {one.condition for one in found} == {"", "none", name}


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
        corruption = CORRUPTIONS[name]
        shown = sigmas if name == "gaussian" else corruption.levels
        curve = [
            one
            for one in found
            if one.metric == "accuracy" and one.condition == name and one.probe == "projection"
        ]
        assert [one.level for one in curve] == [0.0, *shown]
        assert corruption.term.untouched == 0
        clean = replace(found("accuracy"), condition=name, level=0.0)
        assert curve[0] == clean, "with the same interval"
        assert (curve[0].influence.values == clean.influence.values).all()
        drops = [one for one in found if one.metric == "relative_drop" and one.condition == name]
        assert {one.level for one in drops} == set(shown)


def test_one_query_draws_the_noise_curves_of_a_run(labelled, measure, planted):
    encoders = {"epoch-000": fragile, "epoch-001": noise_blind}
    table = pd.concat(
        pd.DataFrame(
            map(
                asdict,
                measure(
                    Noise,
                    labelled,
                    planted(encoder, text),
                    sigmas=(0.1, 0.3),
                    conditions=("gaussian", "blur"),
                ),
            )
        ).assign(kind="noise", texts="own", revision=revision)
        for revision, encoder in encoders.items()
    )
    curves = table.query(
        "kind == 'noise' and metric == 'accuracy' and condition == 'gaussian' and role == 'value' "
        "and probe == 'projection' and texts == 'own'"
    ).pivot(index="level", columns="revision", values="value")
    assert curves.index.tolist() == [0.0, 0.1, 0.3]
    assert curves["epoch-000"].tolist() == pytest.approx([1, 1 / 3, 1 / 3])
    assert curves["epoch-001"].tolist() == [1, 1, 1]


def test_what_salt_and_pepper_breaks_blur_may_leave_alone(labelled, measure, planted):
    found = measure(Noise, labelled, planted(fragile, text), conditions=("salt_and_pepper", "blur"))
    assert found("relative_drop", condition="salt_and_pepper", level=0.05).value == pytest.approx(2 / 3)
    assert found("relative_drop", condition="blur", level=3.0).value == 0


def test_the_probe_of_a_fragile_encoder_loses_what_the_prompts_lose(labelled, measure, planted):
    found = measure(Noise, labelled, planted(fragile, text), sigmas=(0.02,))
    at = {"condition": "gaussian", "level": 0.02}
    for metric in ("accuracy", "relative_drop", "chance_corrected_drop", "drop_when_right"):
        assert found(metric, probe="linear_probe", **at).value == found(metric, **at).value
    assert found("accuracy", probe="linear_probe").value == 1


def test_a_probe_reads_what_the_prompts_do_not_name(labelled, measure, planted):
    found = measure(Noise, labelled, planted(noise_blind, lambda prompt: text("grey")), sigmas=(0.1,))
    assert found("accuracy").value == pytest.approx(1 / 3)
    assert found("accuracy", probe="linear_probe").value == 1
    drop = found("chance_corrected_drop", probe="linear_probe", condition="gaussian", level=0.1)
    assert drop.value == 0


def test_a_class_with_one_image_cannot_be_probed_and_says_so(source, colour, measure, planted):
    rows = [{"image": colour(level, level, level), "label": label} for label, level in enumerate(LEVELS)]
    found = measure(Noise, source("labels", rows, CLASSES), planted(noise_blind, text), sigmas=(0.1,))
    assert found("accuracy").value == 1
    assert "needs two images of a class" in found("accuracy", probe="linear_probe").note


def test_clean_images_alone_have_an_accuracy_and_no_area(labelled, measure, planted):
    found = measure(Noise, labelled, planted(noise_blind, text), sigmas=(0.0,))
    assert {one.metric for one in found} == {"accuracy", "area", "threshold"}
    assert found("accuracy").value == found("accuracy", condition="gaussian", level=0.0).value == 1
    for metric in ("area", "threshold"):
        assert "the only noise level is 0" in found(metric, condition="gaussian").note


def test_rows_without_text_are_not_measured_again_with_other_texts(labelled, planted, tmp_path):
    encoder = planted(noise_blind, text)
    common = Common(cache_dir=tmp_path)
    benchmark = Noise(labelled, PROCESSOR, NoiseSettings(sigmas=(0.1,)), common)
    first = Readout(encoder)
    own = scored(Noise, benchmark.observe(first), common)
    other = scored(Noise, benchmark.observe(first.with_texts(encoder.embed_texts)), common)
    assert {one.probe for one in other} == {"projection"}
    same = [one for one in own if one.probe == "projection"]
    assert list(map(str, same)) == list(map(str, other))


def test_a_fragile_encoder_falls_to_chance(labelled, measure, planted):
    found = measure(Noise, labelled, planted(fragile, text), sigmas=(0.02,))
    at = {"condition": "gaussian", "level": 0.02}
    assert found("accuracy", **at).value == pytest.approx(1 / 3)
    assert found("relative_drop", **at).value == pytest.approx(2 / 3)
    assert found("chance_corrected_drop", **at).value == pytest.approx(1)
    assert found("drop_when_right", **at).value == pytest.approx(2 / 3)


def test_a_constant_encoder_has_no_drop_and_says_why(labelled, measure, planted):
    found = measure(Noise, labelled, planted(lambda pixels: np.ones(3), text), sigmas=(0.1,))
    at = {"condition": "gaussian", "level": 0.1}
    for metric in ("relative_drop", "chance_corrected_drop", "drop_when_right"):
        assert "indistinguishable from" in found(metric, **at).note


def decisions(clean, noisy, labels, n_classes):
    """Trials of prompts alone, at two levels."""
    blocks = [
        pd.DataFrame({"condition": condition, "level": level, "label": labels, "decision": decision})
        for condition, level, decision in (("none", 0.0, clean), ("gaussian", 0.1, noisy))
    ]
    items = [block.assign(item=np.arange(len(labels))) for block in blocks]
    known = {"n_classes": n_classes, "probe_decision": pd.NA, "protocol": "", "human_accuracy": np.nan}
    return pd.concat(items, ignore_index=True).assign(**known).astype({"probe_decision": "Int64"})


def test_guesses_that_change_at_random_have_no_drop():
    """Ten classes, decisions at random: nine of ten lucky hits are lost by any change, which is no loss."""
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 10
    drops = [
        one
        for one, _ in Noise.score(decisions(*rng.integers(0, 10, (2, 200)), labels, 10))
        if "drop" in one.metric
    ]
    assert len(drops) == 3
    for one in drops:
        assert np.isnan(one.value)
        assert "indistinguishable from chance" in one.note


def test_the_drop_over_common_images_leaves_out_what_one_revision_never_knew():
    labels = np.arange(40) % 4
    wrong = (labels + 1) % 4
    a = decisions(np.where(np.arange(40) < 30, labels, wrong), wrong, labels, 4)
    b = decisions(labels, np.where(np.arange(40) < 10, labels, wrong), labels, 4)
    ((first,), (second,)) = drop_when_both_right(a, b)
    assert (first.metric, first.condition, first.level) == ("drop_when_both_right", "gaussian", 0.1)
    assert first.metric in Noise.terms.terms
    assert (first.value, second.value, first.n) == (1, pytest.approx(2 / 3), 30)
    assert drop_when_both_right(a, b[b["item"] >= 25]) == ([], []), "fewer than ten are right in both"


def at_levels(name, accuracies, n=200, n_classes=10):
    """Trials of one condition: its accuracy when clean, then at each level; the same images stay right."""
    labels = np.arange(n) % n_classes
    levels = [("none", 0.0), *((name, one) for one in CORRUPTIONS[name].levels)]
    blocks = []
    for (condition, level), accuracy in zip(levels, accuracies, strict=True):
        block = decisions(labels, labels, labels, n_classes)[:n]
        decided = np.where(np.arange(n) < accuracy * n, labels, (labels + 1) % n_classes)
        blocks.append(block.assign(condition=condition, level=level, decision=decided))
    return pd.concat(blocks, ignore_index=True)


def threshold_of(trials):
    return next(one for one in scored(Noise, trials, Common()) if one.metric == "threshold")


def test_the_threshold_of_the_contrast_is_a_contrast_on_its_logarithmic_axis():
    """From 1 downwards: .9 at a contrast of .1, .2 at .05; halfway from .9 to chance is .5."""
    levels = CORRUPTIONS["contrast"].levels
    trials = at_levels("contrast", [0.9, *(0.9 if level >= 0.1 else 0.2 for level in levels)])
    one = threshold_of(trials)
    assert one.value == pytest.approx(0.1 * 0.5 ** (0.4 / 0.7))
    assert 0.05 < one.ci_low < one.value < one.ci_high < 0.1
    assert (one.condition, one.level, one.n, one.note) == ("contrast", None, 200, "")


def test_an_interval_that_ends_with_the_levels_says_so():
    one = threshold_of(at_levels("gaussian", [0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.8, 0.495]))
    assert one.value < one.ci_high == 0.5
    assert one.note.endswith(
        "the interval is open: it reaches the weakest or the strongest level that was shown"
    )


def test_a_model_that_keeps_half_of_its_accuracy_has_no_threshold_and_says_why():
    one = threshold_of(at_levels("gaussian", [0.9] * 8))
    assert np.isnan([one.value, one.ci_low, one.ci_high]).all()
    assert "does not fall to 0.500, halfway to chance" in one.note


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
        conditions=("contrast", "rotation", "high_pass", "grey"),
    )
    grey = {"condition": "grey", "level": None}
    assert found("accuracy").value == 1
    assert found("accuracy", **grey).value == pytest.approx(1 / 3)
    for condition, level in (("contrast", 1.0), ("rotation", 0.0), ("high_pass", np.inf)):
        for metric in ("accuracy", "relative_drop", "chance_corrected_drop"):
            assert found(metric, condition=condition, level=level).value == found(metric, **grey).value
    assert not [one for one in found if one.metric == "area" and one.condition in ("rotation", "grey")]
    levels = [one.level for one in found if one.metric == "relative_drop" and one.condition == "high_pass"]
    assert levels[:8] == [np.inf, 3, 1.5, 1, 0.7, 0.55, 0.45, 0.4], "from the weakest to the strongest"


def test_false_colour_deceives_whoever_reads_colours(colours, measure, planted):
    found = measure(Noise, colours, planted(coloured, text), conditions=("false_colour",))
    assert found("accuracy", condition="false_colour").value == pytest.approx(1 / 3), "red is green now"
    assert found("drop_when_right", condition="false_colour").value == pytest.approx(2 / 3)


def test_what_looks_alike_goes_through_the_model_once(colours, measure, planted):
    encoder = planted(coloured, text)
    names = ("contrast", "low_pass", "rotation", "grey", "phase_scrambling")
    one_level = ("contrast=1", "low_pass=0", "rotation=0", "phase_scrambling=0")
    for stage in ("native", "input"):
        encoder.seen = 0
        measure(Noise, colours, encoder, conditions=names, levels=one_level, stage=stage)
        assert encoder.seen <= 3 + 3, "clean and grey"


@pytest.mark.parametrize("stage", ["native", "input"])
def test_images_are_corrupted_once_for_all_revisions(stage, labelled, tmp_path, planted, monkeypatch):
    def trials():
        common = Common(cache_dir=tmp_path, show_progress=False)
        kind = Noise(labelled, PROCESSOR, NoiseSettings(conditions=("blur",), stage=stage), common)
        return kind.observe(Readout(planted(noise_blind, text)))

    drawn, draw, levels = [], Corrupted.__call__, CORRUPTIONS["blur"].levels

    def counted(self, pixels, row):
        drawn.append(row)
        return draw(self, pixels, row)

    monkeypatch.setattr(Corrupted, "__call__", counted)
    first, calls = trials(), len(drawn)
    assert calls >= len(labelled.dataset) * len(levels)
    pd.testing.assert_frame_equal(first, trials())
    assert len(drawn) == calls


def test_an_area_is_over_the_axis_as_it_is_drawn(labelled, measure, planted):
    def dim(pixels):
        """Right as long as the contrast is above .07 (and on half of the levels that low-pass filters leave)."""
        return noise_blind(128 + (pixels - 128) * (1 if np.abs(pixels - 128).max() > 255 / 2 * 0.1 else 0))

    found = measure(Noise, labelled, planted(dim, text), conditions=("contrast", "uniform_noise"))
    for condition, scale in (("contrast", np.log10), ("uniform_noise", np.asarray)):
        curve = {
            one.level: one.value
            for one in found
            if (one.metric, one.condition, one.probe, one.role)
            == ("accuracy", condition, "projection", "value")
        }
        levels = list(CORRUPTIONS[condition].levels)
        assert list(curve) == levels
        places = scale(np.array(levels))
        expected = trapezoid([curve[level] for level in levels], places) / (places[-1] - places[0])
        assert found("area", condition=condition).value == pytest.approx(expected)
    assert 0 < found("area", condition="contrast").value < 1


def test_levels_are_chosen_by_condition_and_in_one_order():
    settings = NoiseSettings(
        conditions=("high_pass", "contrast", "grey"), levels=("high_pass=1", "contrast=0.05", "high_pass=inf")
    )
    assert settings.levels == ("contrast=0.05", "high_pass=inf", "high_pass=1")
    assert settings == settings.but()
    assert settings.levels_of("high_pass") == (np.inf, 1.0)
    assert NoiseSettings(conditions=("contrast",)).levels_of("contrast")[0] == 1
    assert "levels" not in NoiseSettings().in_key(), "cells of earlier versions keep their key"


@pytest.mark.parametrize(
    ("level", "says"),
    [
        ("contrast", "give NAME=LEVEL"),
        ("contrast=x", "'contrast=x': give NAME=LEVEL"),
        ("contrast=2", r"contrast has the level 2: it must be in \(0, 1\]"),
        ("gaussian=0.1", "use sigmas for the levels of gaussian"),
    ],
)
def test_a_level_that_cannot_be_shown_is_refused(level, says):
    with pytest.raises(ConfigError, match=says):
        NoiseSettings(conditions=("gaussian", "contrast"), levels=(level,))


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


@pytest.mark.parametrize("stage", ["native", "input"])
def test_power_cannot_be_equalised_at_another_size_and_says_so_at_once(stage, colours, measure, planted):
    with pytest.raises(EvaluationError, match="needs images of 224 x 224 pixels"):
        measure(Noise, colours, planted(coloured, text), conditions=("power_equalisation",), stage=stage)


def test_trials_of_an_earlier_version_are_scored_without_people():
    labels = np.arange(40) % 4
    trials = decisions(labels, labels, labels, 4)
    earlier = trials.drop(columns=["human_accuracy", "protocol"])
    assert list(map(str, Noise.score(trials))) == list(map(str, Noise.score(earlier)))


def test_one_choice_of_settings_is_one_cell():
    settings = NoiseSettings(sigmas=(0.2, 0.0, 0.1, 0.2), conditions=("blur", "gaussian", "blur"))
    assert settings == settings.but() == NoiseSettings(sigmas=(0.1, 0.2), conditions=("gaussian", "blur"))
    assert settings.in_key() == {
        "sigmas": (0.0, 0.1, 0.2),
        "stage": "native",
        "conditions": ("gaussian", "blur"),
    }


@pytest.mark.parametrize("sigmas", [(1.5,), (-0.1, 0.1), (float("nan"),), ()])
def test_sigmas_outside_the_range_of_pixels_are_refused(sigmas):
    with pytest.raises(ConfigError, match="sigmas"):
        NoiseSettings(sigmas=sigmas)


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ({"stage": "retina"}, "'retina': Input should be 'native' or 'input'"),
        ({"conditions": ("gaussian", "fog")}, "'fog'. Known: blur, contrast, false_colour"),
        (
            {"conditions": ("contrast",), "levels": ("blur=1",)},
            "no selected condition 'blur'. Known: contrast",
        ),
    ],
)
def test_unknown_stages_and_conditions_are_refused(given, known):
    with pytest.raises(ConfigError, match=known):
        NoiseSettings(**given)


def test_the_draw_the_stage_and_the_levels_are_part_of_the_fingerprint(labelled, tmp_path):
    def fingerprint(seed=0, **settings):
        common = Common(cache_dir=tmp_path, show_progress=False, seed=seed)
        return Noise(labelled, PROCESSOR, NoiseSettings(**settings), common).fingerprint

    given = [{}, {"seed": 1}, {"stage": "input"}, {"sigmas": (0.1,)}, {"conditions": ("blur",)}]
    assert len({fingerprint(**one) for one in given}) == len(given)
    assert fingerprint(conditions=("blur",)) == fingerprint(seed=1, conditions=("blur",)), "nothing is drawn"


def test_the_same_row_gets_the_same_noise_and_another_row_another():
    pixels = np.full((4, 4, 3), 128, np.uint8)
    noise = CORRUPTIONS["gaussian"](0.1, seed=3)
    assert np.array_equal(noise(pixels, 5), noise(pixels, 5))
    assert not np.array_equal(noise(pixels, 5), noise(pixels, 6))
    assert not np.array_equal(noise(pixels, 5), CORRUPTIONS["gaussian"](0.1, seed=4)(pixels, 5))


def test_noise_has_the_asked_deviation_and_is_clamped():
    pixels = np.full((200, 200, 3), 128, np.uint8)
    noisy = CORRUPTIONS["gaussian"](0.1, seed=0)(pixels, 0).astype(float) / 255
    assert noisy.std() == pytest.approx(0.1, rel=0.02)
    black = CORRUPTIONS["gaussian"](0.5, seed=0)(np.zeros_like(pixels), 0)
    assert (black == 0).mean() == pytest.approx(0.5, abs=0.02)


def test_salt_and_pepper_hits_the_asked_fraction_and_keeps_its_pixels():
    pixels = np.full((200, 200, 3), 128, np.uint8)
    weak, strong = (CORRUPTIONS["salt_and_pepper"](amount, seed=3)(pixels, 5) for amount in (0.05, 0.2))
    assert (weak == 0).mean() == pytest.approx(0.025, abs=0.004)
    assert (strong == 255).mean() == pytest.approx(0.1, abs=0.006)
    hit = (weak != 128).any(axis=2)
    assert (weak[hit] == strong[hit]).all()
    assert (weak == weak[..., :1]).all(), "all channels at once"
    assert np.array_equal(CORRUPTIONS["salt_and_pepper"](0.05, seed=3)(pixels, 5), weak)
    assert not np.array_equal(CORRUPTIONS["salt_and_pepper"](0.05, seed=3)(pixels, 6), weak)


def test_blur_is_a_gaussian_of_that_many_pixels():
    point = np.zeros((41, 41, 3), np.uint8)
    point[20, 20] = 255
    stacked = sum(CORRUPTIONS["blur"](2.0)(point, row).astype(float) for row in (0, 7))
    x = np.arange(41) - 20
    expected = 255 * np.exp(-(x**2) / 8) / (8 * np.pi)
    assert np.abs(stacked[20, :, 0] / 2 - expected).max() < 0.6
    flat = np.full((8, 9, 3), 77, np.uint8)
    assert np.array_equal(CORRUPTIONS["blur"](3.0)(flat, 0), flat)
