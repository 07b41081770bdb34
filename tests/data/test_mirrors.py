"""Data sets on a Hub: Parquet under other column names, tar shards, official archives."""

import math
import tarfile

import pytest
from datasets import ClassLabel, Image, Value
from official_trees.captioned import write_shard

from hf_clipdyn.data import SubsetWarning
from hf_clipdyn.data.schemas import features_of
from hf_clipdyn.errors import ConfigError, DatasetError


def test_any_data_set_with_images_and_captions_is_read_by_its_name(mirror, pictures, load):
    columns = {"img": pictures(3), "caption_0": ["a", "b", "c"], "caption_1": ["d", "e", None]}
    features = {"img": Image(), "caption_0": Value("string"), "caption_1": Value("string")}
    mirror("me/captioned", columns, features, split="train")
    dataset = load("me/captioned", split="train")
    assert dataset["captions"][:] == [["a", "d"], ["b", "e"], ["c"]]
    assert dataset["image_id"][:] == ["0", "1", "2"]
    assert dataset[2]["image"].size == (8, 6)
    streamed = load("hub", repo_id="me/captioned", split="train", streaming=True)
    assert [row["captions"] for row in streamed] == dataset["captions"][:]
    assert streamed.features == dataset.features


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("cifar10", ["x", "y"], ["x", "y"]),
        ("tiny_imagenet", ["n01443537", "n02012849"], ["goldfish", "crane bird"]),
        ("tiny_imagenet", ["N03657121", "n99999999"], ["lens cap", "n99999999"]),
        ("tiny_imagenet", ["seal", "n02012849"], ["seal", "n02012849"]),
    ],
)
def test_a_mirror_of_labels_keeps_their_names_and_wordnet_numbers_get_words(
    mirror, pictures, load, name, given, expected
):
    features = {"image": Image(), "label": ClassLabel(names=given)}
    mirror("them/mirror", {"image": pictures(2), "label": [1, 0]}, features)
    dataset = load(name, repo_id="them/mirror", split="test")
    assert dataset.column_names == ["image", "label"]
    assert dataset.features["label"].names == expected
    assert dataset["label"][:] == [1, 0]


def test_a_mirror_with_mere_numbers_gets_the_official_names(mirror, pictures, load):
    features = {"img": Image(), "fine_label": Value("int64")}
    mirror("me/cifar100", {"img": pictures(2), "fine_label": [0, 99]}, features)
    label = load("cifar100", repo_id="me/cifar100", split="test").features["label"]
    assert (label.names[0], label.names[99]) == ("apple", "worm")


def test_tar_shards_on_the_hub_are_streamed(mirror, load, tmp_path):
    for number in range(2):
        write_shard(tmp_path / f"{number}.tar", 2, start=2 * number)
    mirror.files({f"cc3m-train-000{n}.tar": tmp_path / f"{n}.tar" for n in range(2)}, "me/shards")
    rows = list(load("cc3m", repo_id="me/shards", split="train", streaming=True))
    assert [row["captions"] for row in rows] == [[f"caption {n}"] for n in range(4)]
    assert rows[3]["image_id"] == "000000003"


def test_official_archives_on_the_hub_are_fetched_and_unpacked(mirror, load, tree, tmp_path):
    with tarfile.open(tmp_path / "TID2013.tgz", "w:gz") as archive:
        archive.add(tree("tid2013"), arcname="tid2013")
    (tmp_path / "live.tgz").write_bytes(b"the archive of another data set")
    mirror.files({name: tmp_path / name for name in ("TID2013.tgz", "live.tgz")}, "me/quality")
    assert len(load("tid2013", repo_id="me/quality", split="test")) == 8


def test_a_mirror_that_lacks_columns_a_split_or_itself_is_named(mirror, load):
    mirror("me/other", {"picture_of_it": ["a"], "words": ["b"]}, split="train")
    with pytest.raises(DatasetError, match="picture_of_it"):
        load("me/other")
    with pytest.raises(DatasetError, match="quality"):
        load("tid2013", repo_id="me/other")
    with pytest.raises(ConfigError, match="nosplit"):
        load("me/other", split="nosplit")
    with pytest.raises(DatasetError, match="me/absent"):
        load("me/absent")


def test_a_mirror_in_the_columns_of_its_kind_is_read_in_their_types(mirror, pictures, load):
    target = features_of("quality")
    columns = {
        "reference": pictures(2),
        "distorted": pictures(2),
        "reference_id": ["I01", "I01"],
        "distortion": ["noise", "blur"],
        "level": [1, None],
        "score": [1.5, 2.5],
        "score_std": [math.nan, 0.1],
        "higher_is_better": [True, True],
        "more": [1, 2],
    }
    mirror("me/tid", columns, {**target, "score": Value("float32"), "more": Value("int64")})
    with pytest.warns(SubsetWarning, match="2 of the official 3,000"):
        dataset = load("tid2013", repo_id="me/tid")["test"]
    assert dataset.features == target
    assert dataset["score"][:] == [1.5, 2.5]
    streamed = load("tid2013", repo_id="me/tid", split="test", streaming=True)
    assert [(row["score"], row["level"]) for row in streamed] == [(1.5, 1), (2.5, None)]
