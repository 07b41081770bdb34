"""NIGHTS, BAPPS, material similarity."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from PIL import Image

from hf_clipdyn.data import SubsetWarning

Load = Callable[..., Any]
Tree = Callable[[str], Path]


def test_nights_gives_all_splits_with_votes_and_parts(load: Load, tree: Tree) -> None:
    splits = load("nights", data_dir=tree("nights"))
    assert {name: len(dataset) for name, dataset in splits.items()} == {"train": 2, "val": 1, "test": 3}
    assert splits["test"]["judgement"] == [0.0, 1.0, 0.6]
    assert splits["test"]["votes"] == [9, 10, 5]
    assert splits["test"]["subset"] == ["no_imagenet", "imagenet", "no_imagenet"]


def test_nights_counts_all_its_splits_together(load: Load, tree: Tree) -> None:
    with pytest.warns(SubsetWarning, match="6 of the official 20,019"):
        load("nights", data_dir=tree("nights"))


def test_image_1_is_the_right_one_of_nights(load: Load, tree: Tree) -> None:
    root = tree("nights")
    row = load("nights", data_dir=root, split="val")[0]
    with Image.open(root / "distort" / "000" / "002_1.png") as right:
        assert row["image_1"].tobytes() == right.tobytes()
    assert row["image_0"].tobytes() != row["image_1"].tobytes()


def test_bapps_has_a_choice_between_two_and_same_or_different(load: Load, tree: Tree) -> None:
    root = tree("bapps")
    twoafc = load("bapps", data_dir=root, split="val")
    assert twoafc["subset"] == ["traditional"] * 3 + ["superres"] * 3
    assert twoafc["judgement"] == pytest.approx([0, 0.4, 1] * 2)
    jnd = load("bapps", "jnd", data_dir=root, split="val")
    assert jnd["subset"] == ["traditional"] * 2 + ["cnn"] * 2
    assert jnd["same"] == pytest.approx([0, 1 / 3] * 2)


def test_material_similarity_does_not_reward_a_constant_answer(load: Load, tree: Tree) -> None:
    dataset = load("material_similarity", data_dir=tree("material_similarity"), split="train")
    assert set(dataset["judgement"]) == {0.25, 0.5, 0.75}  # the preferred one occurs on both sides
    assert dataset["judgement"][0] == 0.5  # ties are rows
    assert set(dataset["votes"]) == {4}


def test_the_side_of_the_preferred_material_is_the_same_in_every_run(load: Load, tree: Tree) -> None:
    root = tree("material_similarity")
    first = load("material_similarity", data_dir=root, split="test")
    other = load("material_similarity", "havran1_ennis_298x298_LDR", data_dir=root, split="test")
    assert first["judgement"] == other["judgement"]
    assert first["subset"][0] != other["subset"][0]


def test_the_judgement_follows_the_sides(load: Load, tree: Tree) -> None:
    root = tree("material_similarity")
    content = json.loads((root / "data" / "answers_processed_test.json").read_text())
    dataset = load("material_similarity", data_dir=root, split="test")
    names = sorted(path.name for path in (root / "data" / "havran1_stpeters_256x256_LDR").iterdir())
    for column in ("reference", "image_0", "image_1"):
        dataset = dataset.cast_column(column, datasets.Image(decode=False))
    for row, (reference, preferred, _), votes in zip(
        dataset, content["answers"], content["agreement"], strict=True
    ):
        assert Path(row["reference"]["path"]).name == names[reference]
        share = votes[0] / sum(votes)
        preferred_is_1 = Path(row["image_1"]["path"]).name == names[preferred]
        assert row["judgement"] == (share if preferred_is_1 else 1 - share)


def test_judgements_without_images_are_told_where_no_official_count_is_known(load: Load, tree: Tree) -> None:
    root = tree("bapps")
    (root / "2afc" / "val").rename(root / "2afc" / "train")
    for name in ("p0", "p1"):
        (root / "2afc" / "train" / "superres" / name / "000001.png").unlink()
    with pytest.warns(SubsetWarning, match="1 of the 3 judgements"):
        assert len(load("bapps", data_dir=root, split="train")) == 5
