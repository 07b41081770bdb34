"""Planted observers of triplets, and the pixel baseline on real triplets."""

import numpy as np
import pytest

from hf_clipdyn.benchmarks.similarity import Similarity


def red(pixels):
    turn = pixels[..., 0].mean() / 255 * np.pi / 2
    return [np.cos(turn), np.sin(turn)]


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


def test_an_encoder_that_sees_what_people_saw_reaches_the_ceiling(triplets, measure, planted):
    found = measure(Similarity, triplets, planted(red))
    for distance in ("cosine", "euclidean", "normalised_euclidean"):
        for group in ("", "subset=even", "subset=odd", "votes>=6"):
            assert found[f"two_afc/{distance}", group].value == pytest.approx(0.9)
    assert found["ceiling", ""].value == pytest.approx(0.9)
    assert found["human", ""].value == pytest.approx(0.82)
    assert found["two_afc/cosine", ""].n == 40
    assert found["two_afc/cosine", "votes>=6"].n == 30


def test_an_encoder_that_sees_the_contrary_is_wrong_as_often(triplets, measure, planted):
    def contrary(pixels):  # the reference at zero, what is farther in red nearer to it
        turn = 0 if pixels[..., 0].mean() == 0 else (1 - pixels[..., 0].mean() / 255) * np.pi / 2
        return [np.cos(turn), np.sin(turn)]

    assert measure(Similarity, triplets, planted(contrary))["two_afc/cosine", ""].value == pytest.approx(0.1)


def test_a_constant_encoder_guesses(triplets, measure, planted):
    found = measure(Similarity, triplets, planted(lambda pixels: [1.0, 1.0]))
    assert found["two_afc/cosine", ""].value == 0.5


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::hf_clipdyn.data.base.SubsetWarning")
def test_pixel_distance_agrees_with_the_majority_on_real_materials_as_published(real_data, planted, tmp_path):
    from transformers import CLIPImageProcessor

    from hf_clipdyn.benchmarks.base import Settings
    from hf_clipdyn.benchmarks.readout import Readout
    from hf_clipdyn.benchmarks.sources import open_source

    source = open_source("material_similarity", ("triplet",), data_dir=real_data("material-similarity"))
    processor = CLIPImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})
    benchmark = Similarity(source, processor, Settings(cache_dir=tmp_path))
    trials = benchmark.observe(Readout(planted(lambda pixels: pixels.ravel() / 255)))
    rows = trials[(trials["distance"] == "euclidean") & (trials["judgement"] != 0.5)]
    agreement = ((rows["value_1"] < rows["value_0"]) == (rows["judgement"] > 0.5)).mean()
    assert len(rows) == 2738
    assert agreement == pytest.approx(0.746, abs=0.01)
