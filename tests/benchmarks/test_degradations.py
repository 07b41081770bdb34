"""The published degradations: their formulas, written slowly, and the published pictures."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from hf_clipdyn.benchmarks import corruptions, degradations
from hf_clipdyn.benchmarks.corruptions import CORRUPTIONS
from hf_clipdyn.errors import ConfigError, EvaluationError

SHAPES = [(12, 12), (9, 14), (7, 7), (10, 5)]


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


# --- the published pictures ----------------------------------------------------------------------------


@pytest.fixture
def published(real_data):
    """`published("expected/rotation90")`: that picture."""
    folder = real_data("stimulus-transforms")
    return lambda name: np.asarray(Image.open(folder / f"{name}.png").convert("RGB"))


@pytest.fixture
def example(published):
    return published("example_image")


@pytest.mark.parametrize(
    ("condition", "level", "name"),
    [
        ("grey", None, "grayscale"),
        ("contrast", 0.3, "low_contrast"),
        ("low_pass", 3.0, "lowpass"),
        ("high_pass", 3.0, "highpass"),
        ("rotation", 90.0, "rotation90"),
        ("rotation", 180.0, "rotation180"),
        ("rotation", 270.0, "rotation270"),
        ("power_equalisation", None, "power_equalisation"),
        ("false_colour", None, "false-colour"),
    ],
)
def test_a_condition_equals_the_published_picture_in_every_pixel(condition, level, name, example, published):
    corruption = CORRUPTIONS[condition]
    shown = corruption() if level is None else corruption(level)
    assert np.array_equal(shown(example, 0), published(f"expected/{name}"))


def test_the_noises_equal_the_published_pictures_with_the_draws_of_their_generator(
    example, published, monkeypatch
):
    generator = np.random.RandomState(42)
    monkeypatch.setattr(corruptions, "generator", lambda seed, row: generator)
    assert np.array_equal(CORRUPTIONS["uniform_noise"](0.2)(example, 0), published("expected/uniform_noise"))
    pepper = CORRUPTIONS["grey_salt_and_pepper"](0.1)
    assert np.array_equal(pepper(example, 0), published("expected/salt_and_pepper_noise")), (
        "the generator goes on"
    )


def test_phase_scrambling_lowers_the_contrast_as_the_published_rule_does(example, published):
    grey = degradations.luminance(example)

    def extremes(mirrored):
        draws = map(np.random.RandomState, range(40))
        shown = (degradations.phase_scrambling(grey, 90, draw, mirrored=mirrored) for draw in draws)
        contrasts = [(degradations.to_pixels(one)[..., 0] / 255).std() for one in shown]
        return round(min(contrasts), 3), round(max(contrasts), 3)

    assert extremes(mirrored=False) == (0.188, 0.229), "as in the published picture"
    assert (published("expected/phase-scrambling") / 255).std() == pytest.approx(0.203, abs=5e-4)
    assert extremes(mirrored=True) == (0.239, 0.250)


# --- the formulas, written slowly ----------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), SHAPES)
@pytest.mark.parametrize("sigma", [0.7, 20.0, 100.0, 400.0])
def test_a_low_pass_filter_is_a_convolution_in_a_frame_of_the_mean_grey(sigma, height, width):
    values = np.random.default_rng(0).random((height, width))
    scaled = sigma * min(height, width) / 224
    slow = gaussian_filter(values, scaled, mode="constant", cval=0.4423, truncate=4)
    low, high = degradations.low_pass(values, sigma), degradations.high_pass(values, sigma)
    np.testing.assert_allclose(low, slow, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        high - high.mean(), (values - slow) - (values - slow).mean(), rtol=0, atol=1e-12
    )
    assert high.mean() == pytest.approx(0.4423)


def slowly_scrambled(values, width, draws, mirrored):
    """One component after the other."""
    height, breadth = values.shape
    spectrum = np.fft.fftshift(np.fft.fft2(values))
    rows, columns = range(1 - height % 2, height), range(1 - breadth % 2, breadth)
    places = [(row, column) for row in rows for column in columns]
    half = len(places) // 2
    assert len(draws) == half
    assert places[half] == (height // 2, breadth // 2), "the zero frequency is in the middle"
    for k in range(half):
        turn = np.radians(width * (2 * draws[k] - 1))
        partner = places[len(places) - 1 - k if mirrored else half + 1 + k]
        spectrum[places[k]] *= np.exp(1j * turn)
        spectrum[partner] *= np.exp(-1j * turn)
    return np.fft.ifft2(np.fft.ifftshift(spectrum))


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_phases_are_turned_component_by_component(height, width, mirrored):
    values = np.random.default_rng(0).random((height, width))
    paired = (height - 1 + height % 2) * (width - 1 + width % 2)
    slow = slowly_scrambled(values, 90, np.random.default_rng(1).random(paired // 2), mirrored)
    fast = degradations.phase_scrambling(values, 90, np.random.default_rng(1), mirrored=mirrored)
    np.testing.assert_allclose(fast, slow.real, rtol=0, atol=1e-12)
    if mirrored:
        assert np.abs(slow.imag).max() < 1e-12, "a real image stays real"
        np.testing.assert_allclose(np.abs(np.fft.fft2(fast)), np.abs(np.fft.fft2(values)), rtol=0, atol=1e-9)
    assert fast.mean() == pytest.approx(values.mean())


# --- levels, draws and keys ----------------------------------------------------------------------------


def test_all_levels_see_the_same_draw_and_each_image_another():
    pixels = np.full((16, 16, 3), 128, np.uint8)
    weak, strong = (CORRUPTIONS["uniform_noise"](width, 3)(pixels, 5) for width in (0.1, 0.2))
    np.testing.assert_allclose(strong - 128.0, 2 * (weak - 128.0), rtol=0, atol=1.01)
    few, many = (CORRUPTIONS["grey_salt_and_pepper"](share, 3)(pixels, 5) for share in (0.1, 0.5))
    hit = few != 128
    assert (few[hit] == many[hit]).all()
    for name in ("uniform_noise", "grey_salt_and_pepper", "phase_scrambling"):
        one = CORRUPTIONS[name]
        level = one.levels[3]
        textured = picture(16, 16)
        assert np.array_equal(one(level, 3)(textured, 5), one(level, 3)(textured, 5))
        assert not np.array_equal(one(level, 3)(textured, 5), one(level, 3)(textured, 6))
        assert not np.array_equal(one(level, 3)(textured, 5), one(level, 4)(textured, 5))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_levels_begin_with_the_weakest_and_lie_in_their_interval(name):
    one = CORRUPTIONS[name]
    if one.within:
        assert one.in_order(one.levels) == one.levels
        assert one.term.level is not None
    shown = [one(level)(picture(224, 224), 0) for level in one.levels[:2]]
    assert all(pixels.dtype == np.uint8 and pixels.shape == (224, 224, 3) for pixels in shown)
    assert one.term.untouched is None or one.term.untouched not in one.levels


@pytest.mark.parametrize(
    ("name", "level"),
    [("contrast", 0.0), ("contrast", np.nan), ("low_pass", np.inf), ("rotation", 45.0), ("grey", 1.0)],
)
def test_an_impossible_level_is_refused(name, level):
    with pytest.raises(ConfigError, match=name):
        CORRUPTIONS[name](level)


@pytest.mark.parametrize(("name", "level"), [("power_equalisation", None), ("octave_4", 0.04)])
def test_an_image_of_a_size_that_cannot_be_degraded_is_refused(name, level):
    """Power is equalised at 224 pixels only, and a band needs two pixels for each cycle."""
    degrade = CORRUPTIONS[name]() if level is None else CORRUPTIONS[name](level)
    with pytest.raises(EvaluationError, match="image"):
        degrade(picture(30, 40), 7)


@pytest.mark.parametrize("name", ["octave_0", "octave_2", "octave_4"])
def test_the_noise_of_a_band_is_an_octave_around_its_frequency(name):
    frequency = 1.75 * 2 ** int(name[-1])
    noise = degradations.octave(np.zeros((128, 160)), 1.0, np.random.default_rng(0), frequency=frequency)
    assert np.square(noise).mean() == pytest.approx(1)
    assert noise.mean() == pytest.approx(0, abs=1e-12)
    power = np.abs(np.fft.fft2(noise)) ** 2
    radius = 128 * np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(160))
    with np.errstate(divide="ignore"):
        octaves = np.abs(np.log2(radius / frequency))
    assert power[octaves < 0.5].sum() / power.sum() > 0.8
    assert power[octaves > 1.5].sum() / power.sum() < 1e-3
