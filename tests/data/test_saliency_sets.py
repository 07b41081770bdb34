"""OSIE, MIT1003, CAT2000 and SALICON."""

import math

from official_trees.saliency import OSIE_FIXATIONS, mit1003

from hf_clipdyn.benchmarks.kinds.saliency import _viewed


def test_osie_keeps_order_durations_and_subjects_and_what_is_outside(load, tree):
    row = load("osie", data_dir=tree("osie"), split="test")[0]
    assert (row["width"], row["height"], row["image_id"]) == (800, 600, "1001")
    assert row["fixation_map"] is None
    of_first = [(f["x"], f["y"], f["duration"]) for f in row["fixations"] if f["subject"] == "1"]
    assert of_first == OSIE_FIXATIONS
    assert [f["x"] for f in row["fixations"] if f["subject"] == "2"] == [810.0, 10.0]


def test_mit1003_reads_the_released_maps_of_its_fixations(load, tree):
    dataset = load("mit1003", data_dir=tree("mit1003"), split="test")
    assert len(dataset) == 2
    for row in dataset:
        assert row["fixation_map"].size == (100, 80)
        assert [(f["x"], f["y"], f["subject"]) for f in row["fixations"]] == [
            (5, 4, ""),
            (50, 40, ""),
            (95, 70, ""),
        ]


def test_the_first_fixation_of_an_unknown_subject_stays(load, tree):
    row = load("mit1003", data_dir=tree("mit1003"), split="test")[0]
    assert len(_viewed(0, row, None, drop_first=True).points) == 3


def test_mit1003_without_points_has_maps_and_no_fixations(load, tmp_path):
    mit1003(tmp_path / "maps", points=False)
    row = load("mit1003", data_dir=tmp_path / "maps", split="test")[0]
    assert row["fixations"] == []
    assert row["fixation_map"] is not None


def test_cat2000_reads_points_by_category_and_no_output_folders(load, tree):
    dataset = load("cat2000", data_dir=tree("cat2000"), split="train")
    assert dataset["image_id"] == ["Action/001", "Art/001"]
    points = [(f["x"], f["y"], f["subject"]) for f in dataset[0]["fixations"]]
    assert points == [(20.0, 10.0, ""), (60.0, 50.0, "")]
    assert all(math.isnan(f["duration"]) for f in dataset[0]["fixations"])


def test_salicon_counts_pixels_from_zero_and_has_no_test_rows(load, tree):
    splits = load("salicon", data_dir=tree("salicon"))
    assert set(splits) == {"train", "val"}
    row = splits["val"][0]
    assert [(f["x"], f["y"], f["subject"]) for f in row["fixations"]] == [
        (0.0, 0.0, "1"),
        (29.0, 19.0, "1"),
        (0.0, 0.0, "2"),
        (30.0, 19.0, "2"),
    ]
    assert row["fixation_map"].size == (64, 48)
