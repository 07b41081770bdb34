"""What the small trees in their official layout say, as rows: names, labels, scores and answers by hand."""

from typing import Any

import datasets
import pytest
from official_trees.saliency import OSIE_FIXATIONS, mit1003

from hf_clipdyn.data import SubsetWarning

# Data set, configuration and split; its columns, or the fields of a list in a column.
OFFICIAL: list[tuple[str, str | None, str, dict[str, list[Any]]]] = [
    ("bapps", None, "val", {"judgement": [0, 0.4, 1] * 2, "subset": ["traditional"] * 3 + ["superres"] * 3}),
    ("bapps", "jnd", "val", {"same": [0, 1 / 3] * 2, "subset": ["traditional"] * 2 + ["cnn"] * 2}),
    (
        *("cat2000", None, "train"),
        {
            "image_id": ["Action/001", "Art/001"],
            "fixations.x": [[20, 60]] * 2,
            "fixations.y": [[10, 50]] * 2,
            "fixations.subject": [["", ""]] * 2,
        },
    ),
    ("cifar10", None, "test", {"label": [0, 9]}),
    ("cifar100", None, "test", {"label": [1, 0]}),  # of a folder without splits
    ("cifar10h", None, "test", {"label": [0] * 3 + [9] * 3, "counts": [[40, *[1] * 9]]}),
    (
        *("cue_conflict", None, "test"),
        {
            "image_id": ["cat1-airplane2"],
            "shape": ["cat"],
            "texture": ["airplane"],
            "shape_exemplar": ["cat1"],
            "texture_exemplar": ["airplane2", "cat3", "oven1", "truck10"],
            "human_responses.response": [["cat", "airplane"], ["cat", "cat"], ["na", "oven"], []],
            "human_responses.subject": [["subject-01", "subject-02"]],
        },
    ),
    ("flickr30k", None, "train", {"captions": [["Two men , outside .", "Men ."], ["A dog runs across the grass ."]]}),
    ("flickr8k", None, "train", {"image_id": ["0_ab"], "captions": [["A dog , running .", 'He said "sit", twice .']]}),
    ("imagefolder", None, "test", {"captions": [["a, b", "c"], ["d"]]}),
    ("imagefolder", None, "train", {"captions": [["one", "two"], ["three"]]}),
    ("imagenet", None, "validation", {"label": [0, 1]}),
    ("kadid10k", None, "test", {"higher_is_better": [True], "score_std": [0.496]}),
    (
        *("mit1003", None, "test"),
        {"fixations.x": [[5, 50, 95]] * 2, "fixations.y": [[4, 40, 70]] * 2, "fixations.subject": [[""] * 3] * 2},
    ),
    (
        *("nights", None, "test"),
        {
            "judgement": [0.0, 1.0, 0.6],
            "votes": [9, 10, 5],
            "subset": ["no_imagenet", "imagenet", "no_imagenet"],
        },
    ),
    (
        *("osie", None, "test"),
        {
            "image_id": ["1001"],
            "width": [800],
            "height": [600],
            "fixations.x": [[x for x, *_ in OSIE_FIXATIONS] + [810.0, 10.0]],
            "fixations.duration": [[duration for *_, duration in OSIE_FIXATIONS]],
        },
    ),
    (
        *("salicon", None, "val"),
        {
            "fixations.x": [[0, 29, 0, 30]],
            "fixations.y": [[0, 19, 0, 19]],
            "fixations.subject": [["1", "1", "2", "2"]],
        },
    ),
    (
        *("raid", None, "test"),
        {
            "distortion": ["rotation"] * 18 + ["translation"],
            "level": [*range(2, 11)] * 2,
            "score": [1 / 0.6744898],  # in JOD
            "higher_is_better": [False],
        },
    ),
    ("tid2013", None, "test", {"reference_id": ["I01"] * 4, "level": [1, 2, 1, 2], "score_std": [0.1]}),
    ("tiny_imagenet", None, "valid", {"label": [1, 0]}),
]  # fmt: skip
NAMES = {
    "cifar10": ["airplane", "automobile", "bird", "cat", "deer"],
    "cifar100": ["apple", "aquarium_fish"],
    "imagenet": ["tench", "goldfish"],
    "tiny_imagenet": ["goldfish", "crane bird", "construction crane"],
}
SPLITS = {
    "coco_captions": {"train": 2, "val": 1},
    "nights": {"train": 2, "val": 1, "test": 3},
    "raid": {"test": 2 * 4 * 9},
    "salicon": {"train": 1, "val": 1},
    "tiny_imagenet": {"train": 3, "valid": 2},
}


@pytest.mark.parametrize(
    ("name", "config", "split", "columns"), OFFICIAL, ids=lambda one: one if isinstance(one, str) else ""
)
def test_rows_are_those_of_the_official_files(name, config, split, columns, load, tree):
    dataset = load(name, config, data_dir=tree(name), split=split)
    for column, expected in columns.items():
        head, _, field = column.partition(".")
        found = dataset[head][: len(expected)]
        if field:  # of the first rows, as far as they are given
            for row, wanted in zip(found, expected, strict=True):
                assert [one[field] for one in row][: len(wanted)] == wanted, column
        elif isinstance(expected[0], int | float):
            assert found == pytest.approx(expected), column
        else:
            assert found == expected, column
    if name in NAMES:
        assert dataset.features["label"].names[: len(NAMES[name])] == NAMES[name]


@pytest.mark.parametrize("name", SPLITS)
def test_splits_are_those_of_the_official_files(name, load, tree):
    splits = load(name, data_dir=tree(name))
    assert {split: len(rows) for split, rows in splits.items()} == SPLITS[name]


def test_one_warning_tells_how_much_of_all_splits_together_is_there(load, tree):
    with pytest.warns(SubsetWarning, match="6 of the official 20,019"):
        load("nights", data_dir=tree("nights"))


def test_photographs_of_one_name_are_those_of_their_split(load, tree):
    photographs = load("coco_captions", data_dir=tree("coco_captions"), split="val")
    assert "val2017" in photographs.cast_column("image", datasets.Image(decode=False))["image"][0]["path"]


@pytest.mark.parametrize(
    ("name", "split", "size"), [("mit1003", "test", (100, 80)), ("salicon", "val", (64, 48))]
)
def test_a_released_map_of_fixations_comes_with_its_photograph(name, split, size, load, tree):
    assert load(name, data_dir=tree(name), split=split)[0]["fixation_map"].size == size


def test_mit1003_without_points_has_maps_and_no_fixations(load, tmp_path):
    mit1003(tmp_path / "maps", points=False)
    row = load("mit1003", data_dir=tmp_path / "maps", split="test")[0]
    assert row["fixations"] == []
    assert row["fixation_map"] is not None
