"""CIFAR-10, CIFAR-100, ImageNet, Tiny ImageNet, cue conflict, and prompt templates."""

import numpy as np
import pytest
from official_trees.images import write_image

from hf_clipdyn.data import dataset_metadata
from hf_clipdyn.data.prompts import CIFAR, IMAGENET, imagenet_names, prompt_name


def test_the_thousand_classes_of_imagenet_have_names_without_a_list_and_a_part_has_the_same(load, tmp_path):
    for wnid in imagenet_names():
        write_image(tmp_path / "imagenet" / wnid / "a.JPEG")
    names = load("imagenet", data_dir=tmp_path / "imagenet", split="validation").features["label"].names
    assert (names[0], names[999]) == ("tench", "toilet paper")
    assert len(set(names)) == 1000
    assert [prompt_name(name) for name in names] == list(imagenet_names().values())
    for wnid in ("n03126707", "n03777568", "n99999999"):
        write_image(tmp_path / "part" / "val" / wnid / "a.JPEG")
    names = load("imagenet", data_dir=tmp_path / "part", split="validation").features["label"].names
    assert names == ["construction crane", "ford model t", "n99999999"]


def test_the_names_of_imagenet_came_with_clip_and_the_numbers_are_those_of_ilsvrc():
    metadata = pytest.importorskip("open_clip.zero_shot_metadata")
    assert list(imagenet_names().values()) == list(metadata.IMAGENET_CLASSNAMES)
    assert list(imagenet_names()) == sorted(imagenet_names())
    info = pytest.importorskip("timm.data").ImageNetInfo("imagenet-1k")
    assert list(imagenet_names()) == [info.index_to_label_name(index) for index in range(1000)]


def test_classes_beyond_imagenet_are_named_by_the_list_of_words(load, tmp_path):
    root = tmp_path / "tiny"
    for wnid in ("n00000001", "n00000002", "n00000003"):
        write_image(root / "val" / wnid / "a.JPEG")
    (root / "words.txt").write_text("n00000001\tseal, of wax\nn00000002\tseal\n")
    names = load("tiny_imagenet", data_dir=root, split="valid").features["label"].names
    assert names == ["seal (n00000001)", "seal (n00000002)", "n00000003"]
    assert prompt_name(names[0]) == "seal"


def test_the_prompt_templates_are_those_that_came_with_clip():
    open_clip = pytest.importorskip("open_clip")
    assert [template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES] == list(IMAGENET)
    assert len(CIFAR) == 18
    assert CIFAR[0] == "a photo of a {}."
    assert CIFAR[-1] == "a photo of the big {}."
    assert dataset_metadata("imagenet").templates == IMAGENET


def test_the_binary_archives_of_cifar_are_read_without_a_pickle(load, tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
    for folder, name, labels in (
        ("cifar-10-batches-bin", "data_batch_1.bin", [[9], [0]]),
        ("cifar-10-batches-bin", "test_batch.bin", [[3]]),
        ("cifar-100-binary", "test.bin", [[4, 99]]),
    ):
        (tmp_path / folder).mkdir(exist_ok=True)
        records = [bytes(label) + pixels[n].tobytes() for n, label in enumerate(labels)]
        (tmp_path / folder / name).write_bytes(b"".join(records))
    splits = load("cifar10", data_dir=tmp_path / "cifar-10-batches-bin")
    assert {name: dataset["label"][:] for name, dataset in splits.items()} == {"train": [9, 0], "test": [3]}
    assert (np.asarray(splits["train"][1]["image"]) == pixels[1].transpose(1, 2, 0)).all()
    fine = load("cifar100", data_dir=tmp_path / "cifar-100-binary", split="test")
    assert fine.features["label"].int2str(fine["label"][0]) == "worm"
    assert (np.asarray(fine[0]["image"]) == pixels[0].transpose(1, 2, 0)).all()
