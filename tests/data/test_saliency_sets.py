"""OSIE, MIT1003, CAT2000, SALICON, and fixations from the samples of an eye tracker."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from official_trees.saliency import OSIE_FIXATIONS, gaze_with_fixations, mit1003
from scipy.io import savemat

from hf_clipdyn.benchmarks.kinds.saliency import _viewed
from hf_clipdyn.data.sets.mit1003 import detect_fixations

Load = Callable[..., Any]
Tree = Callable[[str], Path]


def test_osie_keeps_order_durations_and_subjects_and_what_is_outside(load: Load, tree: Tree) -> None:
    row = load("osie", data_dir=tree("osie"), split="test")[0]
    assert (row["width"], row["height"], row["image_id"]) == (800, 600, "1001")
    assert row["fixation_map"] is None
    of_first = [(f["x"], f["y"], f["duration"]) for f in row["fixations"] if f["subject"] == "1"]
    assert of_first == OSIE_FIXATIONS
    assert [f["x"] for f in row["fixations"] if f["subject"] == "2"] == [810.0, 10.0]


def test_mit1003_detects_the_fixations_of_each_observer(load: Load, tree: Tree) -> None:
    dataset = load("mit1003", data_dir=tree("mit1003"), split="test")
    assert len(dataset) == 2
    for row in dataset:
        assert row["fixation_map"].size == (100, 80)
        for subject in ("CNG", "ajs"):
            points = [(f["x"], f["y"]) for f in row["fixations"] if f["subject"] == subject]
            assert np.allclose(points, [(50, 40), (5, 4), (95, 70)], atol=1.5)


def test_the_first_fixation_is_dropped_where_it_lies_outside_the_image(load: Load, tmp_path: Path) -> None:
    """Dropped by the loader, it left the second one to be taken for the first."""
    mit1003(tmp_path / "mit")
    for path in (tmp_path / "mit" / "DATA" / "ajs").glob("*.mat"):
        gaze = gaze_with_fixations([(300.0, 300.0), (5.0, 4.0), (95.0, 70.0)])
        savemat(path, {"recording": {"DATA": {"eyeData": gaze}}})
    row = load("mit1003", data_dir=tmp_path / "mit", split="test")[0]
    kept = _viewed(0, row, None, drop_first=True)
    assert np.allclose(kept.points, [(5, 4), (95, 70)] * 2, atol=1.5)


def test_mit1003_without_recordings_has_maps_and_no_fixations(load: Load, tmp_path: Path) -> None:
    mit1003(tmp_path / "maps", recordings=False)
    row = load("mit1003", data_dir=tmp_path / "maps", split="test")[0]
    assert row["fixations"] == []
    assert row["fixation_map"] is not None


def test_cat2000_reads_points_by_category_and_no_output_folders(load: Load, tree: Tree) -> None:
    dataset = load("cat2000", data_dir=tree("cat2000"), split="train")
    assert dataset["image_id"] == ["Action/001", "Art/001"]
    points = [(f["x"], f["y"], f["subject"]) for f in dataset[0]["fixations"]]
    assert points == [(20.0, 10.0, ""), (60.0, 50.0, "")]
    assert all(math.isnan(f["duration"]) for f in dataset[0]["fixations"])


def test_salicon_counts_pixels_from_zero_and_has_no_test_rows(load: Load, tree: Tree) -> None:
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


def test_fixations_are_found_with_their_durations() -> None:
    places = [(500.0, 400.0), (200.0, 100.0), (800.0, 650.0)]
    found = detect_fixations(gaze_with_fixations(places, samples=96))
    assert np.allclose([(x, y) for x, y, _ in found], places, atol=1.0)
    assert all(300 < duration < 450 for _, _, duration in found)  # 96 samples at 240 Hz are 400 ms


def test_a_steady_eye_makes_one_fixation() -> None:
    ((x, y, duration),) = detect_fixations(np.full((240, 2), 100.0))
    assert (x, y, duration) == (100.0, 100.0, 1000.0)


def test_a_lost_eye_makes_none() -> None:
    assert detect_fixations(np.full((240, 2), np.nan)) == []
    assert detect_fixations(np.zeros((0, 2))) == []


def test_a_stop_of_less_than_50_ms_is_part_of_the_flight() -> None:
    short = np.concatenate(
        [
            gaze_with_fixations([(100.0, 100.0), (400.0, 100.0)], samples=80)[
                :89
            ],  # arrives, and stays for 3 samples
            gaze_with_fixations([(400.0, 100.0), (700.0, 100.0)], samples=80)[77:],
        ]
    )
    found = detect_fixations(short)
    assert [round(x) for x, _, _ in found] == [100, 700]


@pytest.mark.parametrize("threshold", [2.0, 6.0, 12.0])
def test_a_large_saccade_is_found_at_any_sensible_threshold(threshold: float) -> None:
    gaze = gaze_with_fixations([(100.0, 100.0), (700.0, 500.0)])
    assert len(detect_fixations(gaze, threshold)) == 2
