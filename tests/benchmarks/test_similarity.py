"""Planted observers of triplets, and the pixel baseline on real triplets."""

from dataclasses import replace

import numpy as np
import pytest

from hf_clipdyn.benchmarks.kinds.similarity import Similarity
from hf_clipdyn.benchmarks.sources import open_source


@pytest.fixture
def triplets(source, colour):
    rng = np.random.default_rng(0)
    rows = []
    for index in range(40):
        near, far = sorted(rng.choice(np.arange(10, 200), 2, replace=False).tolist())
        first = index % 2 == 0
        rows.append(
            {
                "reference": colour(0, index),
                "image_0": colour(near if first else far, index),
                "image_1": colour(far if first else near, index),
                "judgement": 0.1 if first else 0.9,
                "votes": 6 if index < 30 else 4,
                "subset": "even" if first else "odd",
            }
        )
    return source("triplet", rows)


def test_an_encoder_that_sees_what_people_saw_reaches_the_ceiling(triplets, measure, sees_red):
    found = measure(Similarity, triplets, sees_red)
    for distance in ("cosine", "euclidean", "normalised_euclidean"):
        for part in ({}, {"subset": "even"}, {"subset": "odd"}, {"level": 6.0}):
            assert found("two_afc", variant=distance, **part).value == pytest.approx(0.9)
            people = {"probe": "", "role": "human", "reference": "observers", **part}
            assert found("two_afc", **people).value == pytest.approx(0.82)
            assert found("two_afc", probe="", role="ceiling", **part).value == pytest.approx(0.9)
    parts = {"": 40, "even": 20, "odd": 20}
    assert {name: found("two_afc", variant="cosine", subset=name).n for name in parts} == parts
    assert found("two_afc", variant="cosine", level=6.0).n == 30


def test_an_encoder_that_sees_the_contrary_is_wrong_as_often(triplets, measure, planted):
    def contrary(pixels):
        """What is farther from no red is nearer to it."""
        red = pixels[..., 0].mean()
        turn = (255 - red if red else 0) / 255 * np.pi / 2
        return [np.cos(turn), np.sin(turn)]

    found = measure(Similarity, triplets, planted(contrary))
    assert found("two_afc", variant="cosine").value == pytest.approx(0.1)


def test_a_constant_encoder_guesses_and_the_pixel_baseline_does_not(triplets, measure, planted):
    found = measure(Similarity, triplets, planted(lambda pixels: [1.0, 1.0]))
    # Red is all that differs, hence plain pixels see what people saw.
    pixels = {"probe": "", "role": "baseline", "reference": "pixels", "variant": "euclidean"}
    assert found("two_afc", **pixels).value == pytest.approx(0.9)
    assert found("two_afc", variant="euclidean").value == 0.5
    assert found("two_afc", subset="odd", **pixels).n == 20


def test_triplets_of_one_reference_are_one_cluster(source, colour, measure, sees_red):
    rows = [
        {
            "reference": colour(0, 20 * reference),
            "image_0": colour(near, 20 * reference),
            "image_1": colour(250, 20 * reference),
            "judgement": 0.5 + reference / 40,
            "votes": None,  # some data sets do not tell their number
            "subset": "one",
        }
        for reference in range(8)
        for near in (60, 120, 180)
    ]
    one = measure(Similarity, source("triplet", rows), sees_red)("two_afc", variant="cosine")
    assert (one.n, one.n_clusters) == (24, 8)
    assert one.value == pytest.approx(0.5 - 3.5 / 40)
    assert one.ci_high - one.ci_low > 0.05, "wider than over 24 rows"


def test_a_part_of_the_data_is_recorded(triplets, prepared):
    facts = [prepared(Similarity, one).facts for one in (triplets, replace(triplets, absent=10))]
    assert facts == [{}, {"incomplete": "40/50"}]


def test_materials_are_shown_as_the_suite_means_them(real_data):
    source = open_source("material_similarity", ("triplet",), data_dir=real_data("material-similarity"))
    assert (source.split, len(source.dataset), source.absent) == ("test", 3000, 0)
    assert set(source.dataset["subset"]) == {"havran1_stpeters_256x256_LDR"}
