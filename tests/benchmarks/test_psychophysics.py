"""Gratings as their definition draws them, and an observer of their pixels."""

import numpy as np
import pandas as pd
import pytest
import torch
from shown import Shown
from tiny_models import VISION, vision_model
from transformers import CLIPImageProcessor

from hf_clipdyn.benchmarks.gratings import LOOKS, Field, Grating
from hf_clipdyn.benchmarks.kind import Common, KindSettings
from hf_clipdyn.benchmarks.kinds.psychophysics import Psychophysics
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.benchmarks.sources import drawn_source
from hf_clipdyn.models.encoder import Encoder, ImageFeatures

TESTS = ("masking_contrast", "csf_achromatic")
SOURCE = drawn_source(Psychophysics.items())


class Pixels(Shown):
    """Every third code, so that distances are those of the pixels."""

    def embed_images(self, codes, **_):
        return ImageFeatures(codes.reshape(len(codes), -1)[:, ::3].copy())


def processor(side):
    return CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})


def drawn(side, cache_dir):
    """The kind for models of that input size."""
    common = Common(cache_dir=cache_dir, show_progress=False)
    return Psychophysics(SOURCE, processor(side), KindSettings(), common)


def mean_distance(pairs):
    field = Field(224, 224)
    return np.mean([np.sqrt(np.square(field.draw(a) - field.draw(b)).mean()) for a, b in pairs])


def test_distances_of_the_drawn_codes_are_those_of_the_definition():
    """Spot values of the documented protocol at 224 pixels, to the last digit given."""
    seen = [((Grating(4, 0.02, *look),), ()) for look in LOOKS]
    assert mean_distance(seen) == pytest.approx(0.00082824, abs=6e-9)
    masked = []
    for look in LOOKS:
        mask = Grating(2, 0.20305, *look, windowed=False)
        masked.append(((mask, Grating(2, 0.16, *look)), (mask,)))
    assert mean_distance(masked) == pytest.approx(0.0068469, abs=5e-8)


def test_a_grating_is_drawn_as_its_formula_says():
    field = Field(30, 40)
    look = {"frequency": 2.0, "contrast": 0.3, "orientation": 30.0, "phase": 70.0}
    ppd = 30 / (224 / 60)
    x, y = np.meshgrid((np.arange(40) + 0.5 - 20) / ppd, (15 - np.arange(30) - 0.5) / ppd)
    along = x * np.cos(np.deg2rad(30)) + y * np.sin(np.deg2rad(30))
    wave = np.cos(2 * np.pi * 2 * along + np.deg2rad(70))
    window = np.exp(-(x**2 + y**2) / (2 * 0.5**2))
    for windowed, pattern in ((False, wave), (True, wave * window)):
        light = 0.25 * (1 + 0.3 * pattern)
        code = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
        drawn = field.draw((Grating(**look, windowed=windowed),))
        np.testing.assert_allclose(drawn[..., 0], code, atol=1e-7)


def test_few_pixels_leave_one_test_and_the_cause_of_the_other(measure):
    found = measure(Psychophysics, SOURCE, Pixels(), side=40)
    flat = found("log_rmse", condition="masking_contrast", role="null", probe="").value
    assert round(flat, 3) == 0.355
    assert np.isnan(found("log_rmse", condition="csf_achromatic").value)
    assert "3.2 cycles per degree" in found("log_rmse", condition="csf_achromatic").note


@pytest.mark.slow
def test_at_224_pixels_the_measured_values_come_out(measure):
    """The table of the documented protocol: pixels to the last digit, people among themselves."""
    found = measure(Psychophysics, SOURCE, Pixels(), side=224)
    pixels = {"role": "baseline", "reference": "pixels", "probe": "", "variant": "rmse"}
    errors = {name: round(found("log_rmse", condition=name, **pixels).value, 3) for name in TESTS}
    assert errors == dict(zip(TESTS, (0.361, 0.251), strict=True))
    flat = {name: round(found("log_rmse", condition=name, role="null", probe="").value, 3) for name in TESTS}
    assert flat == dict(zip(TESTS, (0.355, 0.251), strict=True))
    contrasts = {name: [] for name in TESTS}
    for one in found:
        if one.metric == "contrast" and one.role == "baseline":
            contrasts[one.condition].append((one.level, one.value))
    masked = [round(value, 4) for _, value in contrasts["masking_contrast"]]
    assert masked[5:] == [0.0335, 0.0334, 0.0332, 0.0328, 0.0317]
    assert all(0.03345 < value < 0.0336 for value in masked[:5])
    assert [round(1 / value, 1) for _, value in contrasts["csf_achromatic"]] == [50.0] * 8
    ceiling = {"condition": "csf_achromatic", "role": "ceiling", "probe": ""}
    assert round(found("log_rmse", **ceiling).value, 3) == 0.097
    assert round(found("alignment", **ceiling).value, 2) == 0.61
    assert np.isnan(found("alignment", condition="masking_contrast", role="ceiling", probe="").value)


def test_the_models_contrasts_of_pixels_are_those_of_the_baseline(measure):
    """Euclidean distance and RMSE differ by a factor, which no score sees."""
    found = measure(Psychophysics, SOURCE, Pixels(), side=40)
    pixels = {"role": "baseline", "reference": "pixels", "probe": "", "variant": "rmse"}
    at = {"condition": "masking_contrast"}
    for metric in ("log_rmse", "alignment"):
        model, baseline = found(metric, variant="euclidean", **at), found(metric, **at, **pixels)
        assert model.value == pytest.approx(baseline.value, rel=1e-4)
        assert (model.n, model.n_clusters) == (baseline.n, 8)


def test_codes_reach_the_model_unrounded_and_once_and_every_place_is_read_in_that_pass(tmp_path, monkeypatch):
    model = vision_model("CLIPVision", VISION | {"image_size": 40})
    encoder = Encoder(model, processor(40), None, device=torch.device("cpu"), dtype=torch.float32)
    show, shown = encoder.show_images, []
    monkeypatch.setattr(
        encoder, "show_images", lambda codes, **given: shown.append(codes) or show(codes, **given)
    )
    table = drawn(40, tmp_path).observe(Readout(encoder))
    codes = np.concatenate(shown)
    assert codes.dtype == np.float32
    assert len(codes) == len(np.unique(codes.reshape(len(codes), -1), axis=0))
    places = table[["probe", "layer", "distance"]].drop_duplicates()
    assert sorted(places["layer"].dropna().unique()) == [0, 1, 2]
    assert len(places) == 4 * 3 + 1
    hidden = {(one.metric, one.layer) for one, _ in Psychophysics.score(table) if one.probe == "hidden"}
    assert hidden >= {(metric, layer) for metric in ("log_rmse", "alignment") for layer in (0, 1, 2)}


def test_stimuli_are_drawn_once(monkeypatch, tmp_path):
    first, smaller = (drawn(side, tmp_path).fingerprint for side in (40, 16))
    monkeypatch.setattr(Field, "draw", lambda *_: pytest.fail("they are in the cache"))
    assert drawn(40, tmp_path).fingerprint == first != smaller


def test_the_table_of_people_is_that_of_the_source(real_data):
    folder = real_data("psychophysics")
    items = pd.DataFrame(Psychophysics.items())
    own = items[~items["is_criterion"]].set_index("test")
    masked = pd.read_csv(folder / "contrast_masking.csv").query("mask == 'grating'")
    np.testing.assert_array_equal(own.loc["masking_contrast", "human"], masked["threshold_contrast"])
    np.testing.assert_array_equal(own.loc["masking_contrast", "level"], masked["mask_contrast"])
    seen = pd.read_csv(folder / "csf_human.csv").query("dataset == 'modelfest'")
    seen = seen.set_index("frequency_cpd")["log10_sensitivity_mean"]
    people = own.loc["csf_achromatic"].set_index("level")["human"]
    expected = 0.02 * 10 ** (seen[4.0] - seen[people.index])
    np.testing.assert_allclose(people, expected, rtol=0.005)
