"""The real files: a part of each data set in its official layout."""

import csv
from collections import Counter

import numpy as np
import pytest


def test_cue_conflict_has_its_classes_and_all_trials_of_the_observers(load, real_data):
    dataset = load("cue_conflict", data_dir=real_data("cue-conflict"), split="test")
    assert len(dataset) == 320
    assert set(Counter(dataset["shape"]).values()) == {20}
    assert len(set(dataset["texture"])) == 16
    assert dataset[0]["image"].size == (224, 224)
    real_data("cue-conflict-human-trials")
    answers = [answer for row in dataset["human_responses"] for answer in row]
    assert len(answers) == 320 * 10
    assert len({answer["subject"] for answer in answers}) == 10


def test_flickr8k_has_five_captions_an_image(load, real_data):
    dataset = load("flickr8k", data_dir=real_data("flickr8k"), split="train")
    assert len(dataset) == 3000
    assert {len(captions) for captions in dataset["captions"]} == {5}
    assert not any(
        '"' == caption[0] == caption[-1] for captions in dataset["captions"] for caption in captions
    )
    assert load(str(real_data("flickr8k")), split="train")["image_id"][:] == dataset["image_id"][:]


def test_osie_agrees_with_the_table_of_its_fixations(load, real_data):
    root = real_data("osie")
    dataset = load("osie", data_dir=root, split="test")
    assert len(dataset) == 120
    expected: dict[str, list[tuple[float, ...]]] = {}
    with (root / "fixations.csv").open() as file:
        for row in csv.DictReader(file):
            values = (int(row["subject"]), float(row["x"]), float(row["y"]), float(row["duration_ms"]))
            expected.setdefault(row["image"].removesuffix(".jpg"), []).append(values)
    for row in dataset.select_columns(["image_id", "width", "height", "fixations"]):
        assert (row["width"], row["height"]) == (800, 600)
        found = [(int(f["subject"]), f["x"], f["y"], f["duration"]) for f in row["fixations"]]
        assert np.allclose(found, expected[row["image_id"]], atol=0.006)


def test_material_similarity_has_all_answers(load, real_data):
    data = load("material_similarity", data_dir=real_data("material-similarity"), split="test")
    judgements = data["judgement"][:]
    assert (len(judgements), sum(judgement != 0.5 for judgement in judgements)) == (3000, 2738)
    # Neither side is favoured, and the mean share of the majority is the known .87 where there is one.
    assert 0.47 < sum(judgement > 0.5 for judgement in judgements) / 2738 < 0.53
    assert sum(max(j, 1 - j) for j in judgements if j != 0.5) / 2738 == pytest.approx(0.87, abs=0.005)
