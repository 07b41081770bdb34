"""Rows that share images, against a double loop over pairs of rows."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_clipdyn.metrics.shared_images import SharedImages, image_clusters

TRIPLETS = st.lists(st.tuples(*[st.integers(0, 9)] * 3), min_size=2, max_size=40)


def brute_force(influence, rows):
    """A double loop over pairs of rows."""
    sets = [set(row) for row in rows]
    n = len(rows)
    pairs = [(i, j) for i in range(n) for j in range(n) if sets[i] & sets[j]]
    if len(pairs) == n**2:
        return np.nan
    return sum(influence[i] * influence[j] for i, j in pairs) / (1 - len(pairs) / n**2)


@given(TRIPLETS, st.integers(0, 2**32 - 1))
def test_the_variance_is_that_over_all_pairs_of_rows_with_a_common_image(rows, seed):
    influence = np.random.default_rng(seed).normal(size=len(rows))
    found = SharedImages(np.array(rows)).variance(influence[:, None])[0]
    expected = brute_force(influence, rows)
    if expected > 1e-9 or np.isnan(expected):
        assert found == pytest.approx(expected, nan_ok=True)
    else:
        assert found >= 0


@given(st.lists(st.tuples(*[st.integers(0, 25)] * 3), min_size=2, max_size=12))
def test_clusters_are_found_where_no_row_shares_images_with_rows_that_share_none(rows):
    sets = [set(row) for row in rows]
    shares = np.array([[bool(a & b) for b in sets] for a in sets])
    transitive = ((shares @ shares) <= shares).all()
    clusters, n = image_clusters(np.array(rows))
    if clusters is None:
        assert not transitive
        assert n == len({image for row in rows for image in row})
    else:
        assert transitive
        assert (shares == (clusters[:, None] == clusters)).all()
        assert n == len(set(clusters.tolist()))


def test_twenty_thousand_triplets_take_little_memory():
    rng = np.random.default_rng(0)
    images, values = rng.integers(0, 100, (20_000, 3)), rng.random((20_000, 3))
    tracemalloc.start()
    SharedImages(images).variance(values - values.mean(axis=0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 * 2**20  # a table of all pairs would take 400 MB and more
