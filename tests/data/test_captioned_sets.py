"""Flickr8k, Flickr30k, COCO, image folders, tar shards."""

import json
import tarfile

import pytest
from official_trees.captioned import flickr8k, write_shard
from official_trees.images import write_image

from hf_clipdyn.data import SubsetWarning
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.training.streamed import Shards


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


def test_a_truncated_image_does_not_stop_a_captioned_set(load, tree):
    root = tree("flickr8k")
    path = root / "Images" / "1_ab.jpg"
    path.write_bytes(path.read_bytes()[:100])
    dataset = load("flickr8k", data_dir=root, split="train")
    assert len(dataset) == 3
    assert dataset[0]["image"].size == (8, 6)
    with pytest.raises(OSError, match=r"(?i)truncated"):
        dataset[1]["image"]


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
    assert dataset[0]["captions"][0].startswith("caption ")
    streamed = load("webdataset", data_dir=root, split="train", streaming=True)
    assert streamed.num_shards == 2
    assert [row["image"].size for row in streamed] == [(8, 6)] * 5


def test_an_error_in_a_worker_process_is_as_clear(load, tmp_path):
    write_shard(tmp_path / "w" / "a.tar", 2)
    write_shard(tmp_path / "w" / "b.tar", 2, text=False)
    with pytest.raises(DatasetError, match=r"b\.tar"):
        load("webdataset", data_dir=tmp_path / "w", split="train", num_proc=2)


def test_a_stream_does_not_end_silently_where_a_download_ended(load, tmp_path):
    path = tmp_path / "w" / "a.tar"
    write_shard(path, 3)
    with tarfile.open(path) as shard:
        border = shard.getmember("000000002.jpg").offset
    path.write_bytes(path.read_bytes()[:border])
    stream = load("webdataset", data_dir=path.parent, split="train", streaming=True)
    with pytest.raises(DatasetError, match=rf"a\.tar.* {border:,}"):
        list(stream.select_columns("image_id"))
    with pytest.raises(DatasetError, match=r"a\.tar"):
        list(Shards(stream, "mine").rows(stream))  # as training reads it


@pytest.mark.parametrize("name", ["flickr8k", "imagefolder", "webdataset"])
def test_a_folder_is_recognised_by_its_layout(name, load, tree):
    root = tree(name)
    by_path, by_name = load(str(root)), load(name, data_dir=root)
    assert {s: d["captions"][:] for s, d in by_path.items()} == {
        s: d["captions"][:] for s, d in by_name.items()
    }
    if name == "webdataset":
        assert len(load(str(root / "cc-train-0000.tar"), split="train")) == 3


def test_json_lines_may_give_a_split_no_folder(load, tmp_path):
    write_image(tmp_path / "f" / "sub" / "a.jpg")
    (tmp_path / "f" / "metadata.jsonl").write_text(json.dumps({"file_name": "sub/a.jpg", "text": "hello"}))
    assert load("imagefolder", data_dir=tmp_path / "f")["train"]["captions"] == [["hello"]]
