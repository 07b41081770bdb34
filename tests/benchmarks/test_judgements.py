"""Planted observers of triplets, pairs and objects; the slow evaluator in tests/evaluation has two kinds' values."""

from itertools import combinations

import numpy as np
import pytest

from hf_clipdyn.benchmarks.kinds.jnd import Jnd
from hf_clipdyn.benchmarks.kinds.odd_one_out import OddOneOut
from hf_clipdyn.benchmarks.kinds.similarity import Similarity

N = 12
GROUP = [number % 3 for number in range(N)]


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


# --- the odd one of three objects ----------------------------------------------------------------------------


def of_group(pixels):
    """One direction for each group of objects, told by the red of their photographs."""
    turn = 2 * np.pi * round(pixels[..., 0].mean() / 60) / 3
    return [np.cos(turn), np.sin(turn)]


def with_an_odd_one():
    """Triplets whose last object is of another group."""
    for three in combinations(range(N), 3):
        groups = [GROUP[one] for one in three]
        if len(set(groups)) == 2:
            yield sorted(three, key=lambda one, groups=groups: -groups.count(GROUP[one]))


@pytest.fixture
def objects(source, colour):
    """People leave out the object that is of another group; a triplet of two persons who disagree in part."""
    judged = [[] for _ in range(N)]
    asked = [(*three, False) for three in with_an_odd_one()]
    repeated = [(0, 6, 3, True), (6, 0, 3, True), (3, 0, 6, True)]  # three of one group
    for first, second, odd, only_repeated in asked + repeated:
        names = {"other_0": f"object{first}", "other_1": f"object{second}"}
        judged[odd].append(names | {"only_repeated": only_repeated})
    rows = [
        {
            "image": colour(60 * GROUP[number], 20 * number),
            "image_id": f"object{number}",
            "is_reference": number > 0,
            "odd_in": judged[number],
        }
        for number in range(N)
    ]
    return source("odd_one_out", rows)


def test_an_encoder_that_sees_the_groups_chooses_as_people_do(objects, measure, planted):
    found = measure(OddOneOut, objects, planted(of_group))
    parts = ("reference_photographs", "other_photographs")
    for variant in ("cosine", "dot_product"):
        for subset in ("", *parts):
            assert found("accuracy", variant=variant, subset=subset).value == 1
    one = found("accuracy", variant="cosine")
    assert (one.n, one.n_clusters) == (3 * 6 * 8, N)
    assert sum(found("accuracy", variant="cosine", subset=name).n for name in parts) == one.n
    assert found("accuracy", probe="", role="chance").value == pytest.approx(1 / 3)


def test_repeated_triplets_give_the_ceiling_and_are_not_asked(objects, measure, planted):
    found = measure(OddOneOut, objects, planted(of_group))
    ceiling = found("accuracy", probe="", role="ceiling")
    # Each of two who said 3 is told by one more 3 and one 6: a tie; the third meets two who said 3.
    assert ceiling.value == pytest.approx((0.5 + 0.5 + 0) / 3)
    assert (ceiling.n, ceiling.n_clusters) == (3, 1)


def test_the_baseline_is_the_distance_of_the_pixels_and_its_interval_is_over_objects(
    objects, measure, planted
):
    found = measure(OddOneOut, objects, planted(of_group))
    pixels = np.array([(60 * GROUP[number], 20 * number) for number in range(N)], float)
    scores = []
    for first, second, odd in with_an_odd_one():
        pairs = ((first, second), (first, odd), (second, odd))
        distances = [np.square(pixels[a] - pixels[b]).sum() for a, b in pairs]
        nearest = np.flatnonzero(np.array(distances) == min(distances))
        scores.append((0 in nearest) / len(nearest))
    one = found("accuracy", probe="", role="baseline", reference="pixels", variant="euclidean")
    assert one.value == pytest.approx(np.mean(scores))
    assert one.n_clusters == N
    assert one.ci_low < one.value < one.ci_high
