"""RAID: names and levels, from stand-ins for its images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hf_clipdyn.errors import DatasetError

Load = Callable[..., Any]
Tree = Callable[[str], Path]


def test_levels_above_the_first_are_pairs_with_their_distance_in_jod(load: Load, tree: Tree) -> None:
    rows = load("raid", data_dir=tree("raid"), split="test")
    assert len(rows) == 2 * 4 * 9
    assert set(rows["distortion"]) == {"rotation", "translation", "scaling", "Gaussian noise"}
    assert set(rows["level"]) == set(range(2, 11))
    assert rows["score"][0] == pytest.approx(1 / 0.6744898)
    assert not any(rows["higher_is_better"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rot_img_01_level_02.png", "rot_img_02_level_02.png", "is not named like"),
        ("rot_img_01_level_02.png", "rot_img_01_level_12.png", "is not named like"),
    ],
)
def test_tables_that_cannot_be_are_refused(load: Load, tree: Tree, old: str, new: str, message: str) -> None:
    root = tree("raid")
    text = (root / "responses.csv").read_text()
    assert old in text
    (root / "responses.csv").write_text(text.replace(old, new, 1))
    with pytest.raises(DatasetError, match=message):
        load("raid", data_dir=root)
