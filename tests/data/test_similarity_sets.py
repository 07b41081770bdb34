"""NIGHTS, BAPPS, material similarity."""

import json
import shutil
from pathlib import Path

import datasets
import pytest
from official_trees.similarity import things_2020, things_prepared, things_table

from hf_clipdyn.data import SubsetWarning


def test_the_judgement_follows_the_sides_of_which_neither_is_preferred(load, tree):
    root = tree("material_similarity")
    content = json.loads((root / "data" / "answers_processed_test.json").read_text())
    dataset = load("material_similarity", data_dir=root, split="test")
    other = load("material_similarity", "havran1_ennis_298x298_LDR", data_dir=root, split="test")
    assert dataset["judgement"] == other["judgement"], "the same sides in every run"
    assert set(dataset["judgement"]) == {0.25, 0.5, 0.75}
    assert set(dataset["votes"]) == {4}
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


def test_judgements_without_images_are_told_where_no_official_count_is_known(load, tree):
    root = tree("bapps")
    (root / "2afc" / "val").rename(root / "2afc" / "train")
    for name in ("p0", "p1"):
        (root / "2afc" / "train" / "superres" / name / "000001.png").unlink()
    with pytest.warns(SubsetWarning, match="1 of the 3 judgements"):
        assert len(load("bapps", data_dir=root, split="train")) == 5


def judged(dataset):
    """The judgements of all rows: two partners, the odd one, and whether it only serves the ceiling."""
    return {
        (one["other_0"], one["other_1"], row["image_id"], one["only_repeated"])
        for row in dataset
        for one in row["odd_in"]
    }


def test_the_last_of_three_objects_is_the_odd_one(load, tree):
    splits = load("things", data_dir=tree("things"))
    assert set(splits) == {"train", "validation", "testset1"}
    asked = {("aardvark", "abacus", "zebra", False), ("anchor", "aardvark", "bat1", False)}
    repeated = {
        ("anchor", "bat1", "bat2", True),
        ("bat1", "anchor", "bat2", True),
        ("anchor", "bat2", "bat1", True),
    }
    assert judged(splits["train"]) == asked | repeated
    assert judged(splits["testset1"]) == {(*names, False) for *names, _ in repeated}
    assert splits["validation"]["image_id"] == ["aardvark", "abacus", "zebra", "anchor", "bat1", "bat2"]
    assert splits["validation"]["is_reference"] == [True, True, False, True, True, True]


def test_an_object_without_its_reference_photograph_shows_its_first_one_in_the_alphabet(load, tree):
    root = tree("things")
    folder = root / "images" / "abacus"
    for name in ("abacus_04s", "abacus_02n", "abacus_03s"):
        shutil.copy(folder / "abacus_01b.jpg", folder / f"{name}.jpg")
    (folder / "abacus_01b.jpg").unlink()
    dataset = load("things", data_dir=root)["validation"].cast_column("image", datasets.Image(decode=False))
    assert dataset["image_id"] == ["aardvark", "abacus", "zebra", "anchor", "bat1", "bat2"]
    assert dataset["is_reference"] == [True, False, False, True, True, True]
    assert Path(dataset[1]["image"]["path"]).name == "abacus_02n.jpg"


OTHER_LAYOUTS = [
    # The first of a person's answers to one triplet counts.
    (things_table, "complete", ["aardvark abacus zebra", "aardvark bat1 anchor", "aardvark zebra abacus"]),
    (things_prepared, "validation", ["aardvark zebra abacus"]),
    (things_2020, "validation", ["aardvark abacus zebra", "anchor aardvark bat1", "zebra bat2 abacus"]),
]


@pytest.mark.parametrize(("make", "split", "expected"), OTHER_LAYOUTS)
def test_the_table_of_all_judgements_and_the_files_of_two_papers_are_read(
    make, split, expected, load, tmp_path
):
    make(tmp_path)
    dataset = load("things", data_dir=tmp_path)[split]
    assert judged(dataset) == {(*names.split(), False) for names in expected}
    assert sum(map(len, dataset["odd_in"])) == len(expected)
    assert any(dataset["is_reference"]) == (make is not things_prepared)
