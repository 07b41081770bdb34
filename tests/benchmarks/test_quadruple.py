"""Planted observers of RAID's quadruples, and what its published scale says of its own answers."""

import csv

import numpy as np
import pytest

from hf_clipdyn.benchmarks.kinds.quadruple import Quadruple


def red(pixels):
    return [pixels[..., 0].mean(), 0.0]


@pytest.fixture
def ladders(source, colour):
    """Red grows with the square of the level, and so do the differences that two people see."""
    rows = []
    for reference in range(3):
        for distortion in ("rotation", "scaling"):
            for level in range(1, 6):
                quadruples = [
                    {"other": level + 1, "pair_0": 4, "pair_1": 5, "answers": 2, "second_larger": said}
                    for said in ([2] if level < 3 else [1] if level == 3 else [])
                ]
                rows.append(
                    {
                        "image": colour(5 * level**2, 40 * reference, 9 if distortion == "scaling" else 0),
                        "reference_id": f"img_{reference}",
                        "distortion": distortion,
                        "level": level,
                        "scale": float(level),
                        "quadruples": quadruples,
                    }
                )
    return source("quadruple", rows)


def test_an_encoder_that_sees_the_differences_answers_as_people_do(ladders, measure, planted):
    found = measure(Quadruple, ladders, planted(red))
    one = found("agreement", variant="euclidean", condition="")
    # Two of three comparisons are unanimous, one is even.
    assert one.value == pytest.approx((1 + 1 + 0.5) / 3)
    assert (one.n, one.n_clusters) == (18, 3)
    assert found("agreement", variant="euclidean", condition="scaling").n == 9


def test_an_encoder_that_sees_no_difference_gets_one_half(ladders, measure, planted):
    found = measure(Quadruple, ladders, planted(lambda pixels: [1.0, 2.0]))
    assert found("agreement", variant="euclidean", condition="").value == 0.5


def test_the_levels_alone_and_the_published_scale_cannot_tell_neighbours_apart(ladders, measure, planted):
    found = measure(Quadruple, ladders, planted(red))
    for role, name in (("baseline", "level"), ("upper_bound", "published_scale")):
        assert found("agreement", probe="", role=role, reference=name, condition="").value == 0.5
    pixels = found(
        "agreement", probe="", role="baseline", reference="pixels", variant="euclidean", condition=""
    )
    assert pixels.value == pytest.approx(2.5 / 3)


def test_two_people_agree_where_both_said_the_same(ladders, measure, planted):
    found = measure(Quadruple, ladders, planted(red))
    people = found("agreement", probe="", role="human", reference="observers", condition="")
    assert people.value == pytest.approx(2 / 3)
    assert people.n == 18


def test_the_answers_of_raid_are_predicted_as_well_as_was_published(
    real_data, source, measure, planted, colour
):
    folder = real_data("published")
    names = {"scaling": "scaling", "additive_gaussian_noise": "Gaussian noise"}
    quadruples = {}
    with (folder / "raid_quadruples.csv").open() as file:
        for row in csv.DictReader(file):
            key = f"img_{int(row['image']):02d}", row["distortion_type"], int(row["low_a"])
            said = {"other": "low_b", "pair_0": "high_a", "pair_1": "high_b"}
            said |= {"answers": "answers", "second_larger": "high_larger"}
            quadruples.setdefault(key, []).append({name: int(row[column]) for name, column in said.items()})
    rows = []
    with (folder / "raid_jod.csv").open() as file:
        for number, row in enumerate(csv.DictReader(file)):
            reference = row["reference_file"].removesuffix(".png")
            level, distortion = int(row["distortion_level"]), row["distortion_type"]
            rows.append(
                {
                    "image": colour(number % 250, 25 * level),  # a stand-in: the images are not here
                    "reference_id": reference,
                    "distortion": names.get(distortion, distortion),
                    "level": level,
                    "scale": float(row["percept_scale"]),
                    "quadruples": quadruples.get((reference, distortion, level), []),
                }
            )
    found = measure(Quadruple, source("quadruple", rows), planted(red))
    expected = {
        "": (0.672, 0.721),
        "rotation": (0.688, 0.713),
        "translation": (0.713, 0.728),
        "scaling": (0.679, 0.695),
        "Gaussian noise": (0.610, 0.748),
    }
    for condition, values in expected.items():
        for (role, name), value in zip(
            (("baseline", "level"), ("upper_bound", "published_scale")), values, strict=True
        ):
            one = found("agreement", probe="", role=role, reference=name, condition=condition)
            assert np.round(one.value, 3) == pytest.approx(value, abs=1e-9), (condition, name)
    people = found("agreement", probe="", role="human", reference="observers", condition="")
    assert round(people.value, 3) == 0.637
    assert (people.n, people.n_clusters) == (20_160, 24)
