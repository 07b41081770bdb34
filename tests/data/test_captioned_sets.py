"""Flickr8k, Flickr30k, COCO, image folders, tar shards."""

import pytest
from official_trees.captioned import flickr8k
from official_trees.images import write_image

from hf_clipdyn.data import SubsetWarning
from hf_clipdyn.errors import DatasetError


def test_the_forms_of_a_caption_list_are_told_apart(load, tmp_path):
    forms = {
        "a": ("image,caption\nimage1.jpg,2, 3, go \u2028 now\n", "2, 3, go \u2028 now"),
        "b": ("image1.jpg,no header\n", "no header"),
        "c": ("image_name,comment_number,comment\nimage1.jpg,0,a dog, running\n", "a dog, running"),
    }
    for folder, (text, caption) in forms.items():
        write_image(tmp_path / folder / "Images" / "image1.jpg")
        (tmp_path / folder / "captions.txt").write_text(text, encoding="utf-8")
        assert load("flickr8k", data_dir=tmp_path / folder, split="train")["captions"][:] == [[caption]]
    write_image(tmp_path / "f" / "Flicker8k_Dataset" / "1_a.jpg")
    (tmp_path / "f" / "Flickr8k.token.txt").write_text("1_a.jpg#0\tOne .\n1_a.jpg#1\tTwo .\n")
    assert load("flickr8k", data_dir=tmp_path / "f", split="train")["captions"] == [["One .", "Two ."]]


def test_a_few_absent_images_are_left_out_with_a_warning_and_more_are_an_error(load, tmp_path):
    flickr8k(tmp_path / "f", images=200)
    (tmp_path / "f" / "Images" / "7_ab.jpg").unlink()
    with pytest.warns(SubsetWarning, match="1 of the 200"):
        assert len(load("flickr8k", data_dir=tmp_path / "f", split="train")) == 199
    for number in (1, 2):
        (tmp_path / "f" / "Images" / f"{number}_ab.jpg").unlink()
    with pytest.raises(DatasetError, match="3 of the 200"):
        load("flickr8k", data_dir=tmp_path / "f", split="train")


def test_shards_are_prepared_by_several_processes_and_streamed_in_parts(load, tree):
    root = tree("webdataset")
    dataset = load("webdataset", data_dir=root, split="train", num_proc=2)
    assert sorted(dataset["image_id"]) == [f"{n:09d}" for n in range(5)]
    assert load("webdataset", data_dir=root, split="train", streaming=True).num_shards == 2


@pytest.mark.parametrize("name", ["flickr8k", "imagefolder", "webdataset"])
def test_a_folder_is_recognised_by_its_layout(name, load, tree):
    root = tree(name)
    by_path, by_name = load(str(root)), load(name, data_dir=root)
    assert {s: d["captions"][:] for s, d in by_path.items()} == {
        s: d["captions"][:] for s, d in by_name.items()
    }
    if name == "webdataset":
        assert len(load(str(root / "cc-train-0000.tar"), split="train")) == 3
