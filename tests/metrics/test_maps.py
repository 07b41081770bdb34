"""Maps of fixations and maps that models see, against SciPy's filters and interpolation."""

import numpy as np
import pytest
from scipy import ndimage

from hf_clipdyn.metrics.fixation_maps import KEPT_MAP, fixation_density, fixations_of_others, kept_map
from hf_clipdyn.metrics.seen_maps import SeenPart, centre_gaussian, gradient_energy, upsample_map, whole_view


@pytest.mark.parametrize("n", [1, 3, 40])
@pytest.mark.parametrize("sigma", [0.6, 2.0])
def test_a_density_is_a_gaussian_filter_of_the_counts(n, sigma):
    """Few fixations are products of profiles along the axes; of many the counts are filtered."""
    points = np.random.default_rng(0).random((n, 2)) * [13, 9]
    counts = np.zeros((9, 13))
    np.add.at(counts, (points[:, 1].astype(int), points[:, 0].astype(int)), 1)
    blurred = ndimage.gaussian_filter(counts, sigma, mode="constant")
    np.testing.assert_allclose(fixation_density(points, (9, 13), sigma), blurred / blurred.sum(), atol=1e-12)
    assert not fixation_density([], (9, 13), sigma).any()


def test_the_other_images_fixations_are_rescaled_and_stay_inside():
    points = [np.array([[5.0, 5.0]]), np.array([[199.999, 99.999], [0.0, 0.0]])]
    first, second = fixations_of_others(points, [(10, 10), (200, 100)])
    assert first == pytest.approx(np.array([[9.99995, 9.9999], [0.0, 0.0]]))
    assert second == pytest.approx(np.array([[100.0, 50.0]]))
    assert (first < 10).all()


VIEWS = {"whole": whole_view(12, 8), "a part": SeenPart(2.5, -1.0, 9.5, 6.0, (3, 0), (6, 6))}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_coarse_map_is_interpolated_between_the_centres_of_its_cells(view):
    coarse = np.random.default_rng(0).random((3, 4))
    (x, y), (width, height) = view.first, view.size
    down = (np.arange(y, y + height) + 0.5 - view.top) / (view.bottom - view.top) * 3 - 0.5
    across = (np.arange(x, x + width) + 0.5 - view.left) / (view.right - view.left) * 4 - 0.5
    places = np.meshgrid(down, across, indexing="ij")
    expected = ndimage.map_coordinates(coarse / coarse.max(), places, order=1, mode="nearest")
    np.testing.assert_allclose(upsample_map(coarse, view), expected, atol=1e-6)
    blurred = ndimage.gaussian_filter(expected, 1.5, mode="nearest")
    np.testing.assert_allclose(upsample_map(coarse, view, sigma=1.5), blurred, atol=1e-6)
    assert not upsample_map(0 * coarse, view).any()
    whole = np.arange(96.0).reshape(8, 12)
    assert view.cut(whole).shape == view.shape == (height, width)
    assert view.cut(whole)[0, 0] == whole[y, x]


def test_the_energy_of_gradients_is_averaged_over_eight_by_eight_cells():
    pixels = np.zeros((20, 16, 3), np.uint8)
    pixels[:, 9:] = 200
    found = gradient_energy(pixels)
    assert found.shape == (8, 8)
    # The edge lies between columns 8 and 9, both of the fifth cell; the slope is 100 in each.
    np.testing.assert_allclose(found[:, 4], 100.0**2)
    assert not np.delete(found, 4, axis=1).any()
    assert gradient_energy(np.zeros((4, 30, 3), np.uint8)).shape == (4, 8)


def test_the_centre_gaussian_is_a_quarter_of_the_sides_wide():
    down, across = (np.arange(n) + 0.5 - n / 2 for n in (6, 10))
    expected = np.exp(-0.5 * ((down[:, None] / 1.5) ** 2 + (across / 2.5) ** 2))
    np.testing.assert_allclose(centre_gaussian(whole_view(10, 6)), expected)


def test_a_kept_map_has_the_means_of_its_cells():
    fine = np.random.default_rng(0).random((KEPT_MAP[0] * 3, KEPT_MAP[1] * 2))
    means = fine.reshape(KEPT_MAP[0], 3, KEPT_MAP[1], 2).mean(axis=(1, 3))
    kept = np.frombuffer(kept_map(fine, (0, 0), fine.shape[::-1]), np.uint8).reshape(KEPT_MAP)
    np.testing.assert_allclose(kept, 255 * means / means.max(), atol=0.51)
    assert not any(kept_map(0 * fine, (0, 0), fine.shape[::-1]))
