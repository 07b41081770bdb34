"""RAID: names and levels, from stand-ins for its images."""

import pytest


def test_levels_above_the_first_are_pairs_with_their_distance_in_jod(load, tree):
    rows = load("raid", data_dir=tree("raid"), split="test")
    assert len(rows) == 2 * 4 * 9
    assert set(rows["distortion"]) == {"rotation", "translation", "scaling", "Gaussian noise"}
    assert set(rows["level"]) == set(range(2, 11))
    assert rows["score"][0] == pytest.approx(1 / 0.6744898)
    assert not any(rows["higher_is_better"])
