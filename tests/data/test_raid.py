"""RAID: names, levels and answers, from stand-ins for its images."""

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


def test_answers_to_the_same_two_pairs_are_counted_together(load: Load, tree: Tree) -> None:
    rows = load("raid", "quadruples", data_dir=tree("raid"), split="test")
    assert len(rows) == 2 * 4 * 10
    listed = [(row["level"], one) for row in rows for one in row["quadruples"]]
    assert len(listed) == 8
    said = {"other": 2, "pair_0": 3, "pair_1": 5, "answers": 2, "second_larger": 1}
    assert all(level == 1 and one == said for level, one in listed)


def test_the_tables_of_sums_give_the_same_rows(load: Load, tree: Tree, tmp_path: Path) -> None:
    root = tree("raid")
    raw = load("raid", "quadruples", data_dir=root, split="test").remove_columns("image").to_list()
    (root / "answers.csv").unlink()
    lines = ["distortion_type,image,low_a,low_b,high_a,high_b,answers,high_larger"]
    words = ("rotation", "translation", "scaling", "additive_gaussian_noise")
    lines += [f"{word},{image},1,2,3,5,2,1" for word in words for image in (1, 2)]
    (root / "raid_quadruples.csv").write_text("\n".join(lines) + "\n")
    assert load("raid", "quadruples", data_dir=root, split="test").remove_columns("image").to_list() == raw


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("answers.csv", "rotation,1,1,2,3,5", "rotation,1,1,1,3,5", "does not compare two pairs of levels"),
        ("answers.csv", "rotation,1,1,2,3,5", "rotation,1,1,2,3,11", "does not compare two pairs of levels"),
        ("answers.csv", "18-30,rotation", "18-30,shear", "'shear' is not a distortion of RAID"),
        ("answers.csv", "900,2", "900,3", "2 of 1 answers is not a count"),
        ("responses.csv", "rot_img_01_level_02.png", "rot_img_02_level_02.png", "is not a name like"),
        ("responses.csv", "rot_img_01_level_02.png", "rot_img_01_level_12.png", "the level 12 is outside"),
    ],
)
def test_tables_that_cannot_be_are_refused(
    load: Load, tree: Tree, file: str, old: str, new: str, message: str
) -> None:
    root = tree("raid")
    text = (root / file).read_text()
    assert old in text
    (root / file).write_text(text.replace(old, new, 1))
    with pytest.raises(DatasetError, match=message):
        load("raid", "quadruples", data_dir=root)
