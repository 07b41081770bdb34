"""Anybody's labelled pictures: class folders, their archives, and tables on the Hub."""

import datasets
import pytest
from official_trees.images import write_image

from hf_clipdyn.benchmarks.registry import parse_benchmark
from hf_clipdyn.benchmarks.sources import open_source, under_names
from hf_clipdyn.data import dataset_metadata
from hf_clipdyn.errors import ConfigError, DatasetError, UnknownNameError


@pytest.fixture
def folder(tmp_path):
    """Two classes, three pictures, and one outside of all folders."""
    for name in ("dog/1.png", "dog/2.png", "Siamese cat/1.jpg", "readme.png"):
        write_image(tmp_path / "pictures" / name)
    return tmp_path / "pictures"


@pytest.fixture
def on_hub(mirror, pictures):
    """Uploads a table of three pictures with these labels as `me/pictures`."""

    def upload(labels, feature):
        features = {"img": datasets.Image(), "class": feature}
        return mirror("me/pictures", {"img": pictures(3), "class": labels}, features)

    return upload


def test_class_folders_are_labels(load, folder):
    dataset = load("imagefolder", "labels", data_dir=folder, split="test")
    assert dataset.features["label"].names == ["Siamese cat", "dog"]
    assert dataset["label"][:] == [0, 1, 1]
    assert load(str(folder), split="test")["label"][:] == dataset["label"][:]
    with pytest.raises(DatasetError, match=r"metadata\.csv"):
        load("imagefolder", data_dir=folder)


def test_folders_above_the_classes_are_splits(load, tmp_path):
    for name in ("train/dog/1.png", "train/cat/1.png", "val/dog/2.png"):
        write_image(tmp_path / "pictures" / name)
    splits = load("imagefolder", "labels", data_dir=tmp_path / "pictures")
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 2, "val": 1}
    assert splits["val"].features["label"].names == ["cat", "dog"]


@pytest.mark.parametrize(
    ("labels", "feature"),
    [
        ([1, 0, 1], datasets.ClassLabel(names=["cat", "dog"])),
        (["dog", "cat", "dog"], datasets.Value("string")),
    ],
)
def test_labels_on_the_hub_are_classes_or_texts_in_the_order_of_the_alphabet(load, on_hub, labels, feature):
    name = on_hub(labels, feature)
    for repository in (name, f"{name}@main"):
        dataset = load(repository, "labels", split="test")
        assert dataset.column_names == ["image", "label"]
        assert dataset.features["label"].names == ["cat", "dog"]
        assert dataset["label"][:] == [1, 0, 1]


def test_numbers_without_names_are_no_classes(load, on_hub):
    with pytest.raises(DatasetError, match="numbers without names"):
        load(on_hub([1, 0, 1], datasets.Value("int64")), "labels", split="test")


def test_a_name_on_the_hub_is_a_benchmark_of_its_kinds(on_hub):
    name = on_hub([1, 0, 1], datasets.ClassLabel(names=["cat", "dog"]))
    benchmark = parse_benchmark(f"zero_shot/{name}@main")
    assert (benchmark.kind.name, benchmark.dataset) == ("zero_shot", "me/pictures@main")
    source = open_source(benchmark.dataset, benchmark.kind.schemas)
    assert (source.split, len(source.dataset)) == ("test", 3)
    assert not dataset_metadata(benchmark.dataset).may_redistribute
    # Geometry takes captions or labels: here there are labels alone.
    assert "label" in open_source(name, ("labels", "captions")).dataset.features
    with pytest.raises(UnknownNameError):
        parse_benchmark(f"similarity/{name}")


def test_classes_and_prompts_are_named_by_option(folder):
    source = open_source("imagefolder", ("labels",), data_dir=folder)
    sources = under_names({"mine": source}, {"Siamese cat": "cat", "1": "hound"}, ["a {} at home."])
    assert sources["mine"].dataset.features["label"].names == ["cat", "hound"]
    assert sources["mine"].dataset["label"][:] == [0, 1, 1]
    assert sources["mine"].metadata.templates == ("a {} at home.",)
    with pytest.raises(DatasetError, match="imagefolder"):
        under_names({"mine": source}, {"Siamese cat": "dog"}, [])
    with pytest.raises(ConfigError, match="pictures of your own"):
        under_names({}, {"0": "cat"}, [])
