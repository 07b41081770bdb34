"""Planted observers of triplets of objects."""

from itertools import combinations

import numpy as np
import pytest

from hf_clipdyn.benchmarks.kinds.odd_one_out import OddOneOut

N = 12
GROUP = [number % 3 for number in range(N)]


def of_group(pixels):
    """One direction for each group of objects, told by the red of their photographs."""
    turn = 2 * np.pi * round(pixels[..., 0].mean() / 60) / 3
    return [np.cos(turn), np.sin(turn)]


@pytest.fixture
def objects(source, colour):
    """People leave out the object that is of another group; a triplet of two persons who disagree in part."""
    judged = [[] for _ in range(N)]
    for three in combinations(range(N), 3):
        groups = [GROUP[one] for one in three]
        if len(set(groups)) == 2:
            (odd,) = (one for one in three if groups.count(GROUP[one]) == 1)
            pair = [f"object{one}" for one in three if one != odd]
            judged[odd].append({"other_0": pair[0], "other_1": pair[1], "only_repeated": False})
    for odd, pair in ((3, (0, 6)), (3, (6, 0)), (6, (3, 0))):  # three of one group
        names = [f"object{one}" for one in pair]
        judged[odd].append({"other_0": names[0], "other_1": names[1], "only_repeated": True})
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
    for variant in ("cosine", "dot_product"):
        assert found("accuracy", variant=variant).value == 1
        for subset in ("reference_photographs", "other_photographs"):
            assert found("accuracy", variant=variant, subset=subset).value == 1
    one = found("accuracy", variant="cosine")
    assert (one.n, one.n_clusters) == (3 * 6 * 8, N)
    parts = [
        found("accuracy", variant="cosine", subset=name).n
        for name in ("reference_photographs", "other_photographs")
    ]
    assert sum(parts) == one.n
    assert found("accuracy", probe="", role="chance").value == pytest.approx(1 / 3)


def test_a_constant_encoder_gets_a_third(objects, measure, planted):
    found = measure(OddOneOut, objects, planted(lambda pixels: [1.0, 1.0]))
    assert found("accuracy", variant="cosine").value == pytest.approx(1 / 3)
    # Red, which tells the groups apart, is a small part of the pixels: green differs more.
    assert found("accuracy", probe="", role="baseline", reference="pixels", variant="euclidean").value < 1


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
    for three in combinations(range(N), 3):
        groups = [GROUP[one] for one in three]
        if len(set(groups)) == 2:
            first, second, odd = sorted(three, key=lambda one: groups.count(GROUP[one]), reverse=True)
            pairs = ((first, second), (first, odd), (second, odd))
            distances = [np.square(pixels[a] - pixels[b]).sum() for a, b in pairs]
            nearest = np.flatnonzero(np.array(distances) == min(distances))
            scores.append((0 in nearest) / len(nearest))
    one = found("accuracy", probe="", role="baseline", reference="pixels", variant="euclidean")
    assert one.value == pytest.approx(np.mean(scores))
    assert one.n_clusters == N
    assert one.ci_low < one.value < one.ci_high
