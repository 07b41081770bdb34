"""Planted observers of pairs that look the same or not."""

import numpy as np
import pytest

from hf_clipdyn.benchmarks.kinds.jnd import Jnd


@pytest.fixture
def judged(source, colour):
    rng = np.random.default_rng(0)
    rows = []
    for index in range(30):
        same = index % 2 == 0
        step = rng.integers(1, 20) if same else rng.integers(60, 200)
        rows.append(
            {
                "image_0": colour(0, index),
                "image_1": colour(int(step), index),
                "same": float(same),
                "subset": "odd" if index % 3 else "even",
            }
        )
    return source("same_different", rows)


def test_an_encoder_that_sees_what_people_saw_is_perfectly_precise(judged, measure, sees_red):
    found = measure(Jnd, judged, sees_red)
    for distance in ("cosine", "euclidean", "normalised_euclidean"):
        for subset, n in (("", 30), ("even", 10), ("odd", 20)):
            one = found("jnd_map", variant=distance, subset=subset)
            assert (one.value, one.n) == (pytest.approx(1), n)
    pixels = {"probe": "", "role": "baseline", "reference": "pixels", "variant": "euclidean"}
    assert found("jnd_map", **pixels).value == pytest.approx(1)
    assert found("jnd_map", probe="", role="chance").value == pytest.approx(1 / 2)


def test_an_encoder_that_tells_nothing_apart_scores_the_share_of_same_answers(judged, measure, planted):
    found = measure(Jnd, judged, planted(lambda pixels: [1.0, 1.0]))
    for subset in ("", "even", "odd"):
        chance = found("jnd_map", probe="", role="chance", subset=subset)
        one = found("jnd_map", variant="cosine", subset=subset)
        assert (one.value, one.n) == (pytest.approx(chance.value), chance.n)


def test_pairs_that_show_a_common_image_are_one_cluster(source, colour, measure, sees_red):
    rows = [
        {
            "image_0": colour(0, index // 3),
            "image_1": colour(20 * index + 5, 99),
            "same": index % 2,
            "subset": "one",
        }
        for index in range(12)
    ]
    one = measure(Jnd, source("same_different", rows), sees_red)("jnd_map", variant="cosine")
    assert (one.n, one.n_clusters) == (12, 4)
