"""The arguments of `load_dataset`, and a cache that follows the content of the files."""

import os
import shutil
from pathlib import Path

import datasets
import pytest
from official_trees.captioned import flickr8k
from official_trees.images import image_bytes, write_image

from hf_clipdyn.data.archives import unpack
from hf_clipdyn.data.files import FileIndex
from hf_clipdyn.errors import ConfigError, DatasetError


def paths(dataset, column="image"):
    return [row["path"] for row in dataset.cast_column(column, datasets.Image(decode=False))[column]]


# --- the cache ------------------------------------------------------------------------------------------------


def test_a_changed_score_gives_a_new_cache_even_if_size_and_time_stay(load, tree):
    root = tree("tid2013")
    before = load("tid2013", data_dir=root, split="test")
    path = root / "mos_with_names.txt"
    status = path.stat()
    path.write_text(path.read_text().replace("4.6 ", "4.7 ", 1))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    after = load("tid2013", data_dir=root, split="test")
    assert (before["score"][0], after["score"][0]) == (4.6, 4.7)


def test_a_changed_image_and_an_added_one_are_found(load, tree, tmp_path):
    root = tree("cue_conflict")
    before = load("cue_conflict", data_dir=root, split="test")
    (root / "cat" / "cat1-cat3.png").write_bytes(image_bytes(".png", (24, 24), colour=5))
    assert load("cue_conflict", data_dir=root, split="test")._fingerprint != before._fingerprint
    for count in (2, 3):
        flickr8k(tmp_path / "f", images=count)
        assert len(load("flickr8k", data_dir=tmp_path / "f", split="train")) == count


def test_a_writing_in_the_same_clock_tick_is_seen(tmp_path):
    fingerprints = set()
    for number in range(20):
        (tmp_path / "a.txt").write_bytes(b"%04d" % number)
        fingerprints.add(FileIndex.below(tmp_path).fingerprint)
    assert len(fingerprints) == 20


def test_paths_in_the_cache_do_not_depend_on_the_current_folder(load, tree, tmp_path, monkeypatch):
    root = tree("cue_conflict")
    monkeypatch.chdir(root.parent)
    relative = load("cue_conflict", data_dir=root.name, split="test")
    monkeypatch.chdir("/")
    assert all(Path(path).is_absolute() for path in paths(relative))
    assert relative[0]["image"].size == (24, 24)
    (tmp_path / "link").symlink_to(root)
    assert paths(load("cue_conflict", data_dir=tmp_path / "link", split="test")) == paths(relative)


# --- the arguments --------------------------------------------------------------------------------------------


def test_a_data_set_is_found_in_the_folder_of_all_data_which_must_exist(load, tree, monkeypatch):
    root = tree("cue_conflict")
    root.rename(root.parent / "Cue-Conflict")
    monkeypatch.setenv("CLIPDYN_DATA", str(root.parent))
    assert len(load("cue_conflict", split="test")) == 4
    monkeypatch.setenv("CLIPDYN_DATA", "/nowhere/at/all")
    with pytest.raises(ConfigError, match="/nowhere/at/all"):
        load("cifar10")


# Name or path, configuration, the tree that is its folder, other arguments, and what the message names.
REFUSED = [
    ("tid2031", None, None, {}, "tid2013"),
    ("bapps", "2afc", "bapps", {}, "twoafc"),
    ("osie", "large", "osie", {}, "osie"),
    ("cue_conflict", None, "cue_conflict", {"split": "tset"}, "tset"),
    ("osie", None, "osie", {"repo_id": "a/b"}, "repo_id"),
    ("tid2013", None, None, {}, r"ponomarenko\.info"),
    ("procedural", None, "osie", {}, "data_dir"),
    ("cifar100", None, "cue_conflict", {}, "<class>/"),
    ("./photos", None, None, {}, "no folder or archive"),
    ("photos.zip", None, None, {}, "no folder or archive"),
    ("data/photos", None, None, {}, "no folder or archive"),
]


@pytest.mark.parametrize(("path", "config", "given", "arguments", "subject"), REFUSED)
def test_what_cannot_be_found_is_told_with_what_is_known_and_without_asking_the_hub(
    path, config, given, arguments, subject, load, tree, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    folder = None if given is None else tree(given)
    monkeypatch.setattr("hf_clipdyn.data.load.open_tables", None)
    with pytest.raises((ConfigError, DatasetError), match=subject):
        load(path, config, data_dir=folder, **arguments)


def test_the_folder_of_another_sort_of_data_set_is_not_anybodys_pictures(load, tree):
    with pytest.raises(DatasetError, match="data_dir"):
        load(str(tree("osie")))


# --- archives -------------------------------------------------------------------------------------------------


def test_an_archive_is_unpacked_once_and_leaves_nothing_half(tmp_path):
    for number in range(3):
        write_image(tmp_path / "tree" / "cat" / f"{number}.png")
    archive = Path(shutil.make_archive(str(tmp_path / "tree"), "zip", tmp_path / "tree"))
    first = unpack(archive, tmp_path / "cache")
    assert len(list(first.rglob("*.png"))) == 3
    assert unpack(archive, tmp_path / "cache") == first
    archive.write_bytes(archive.read_bytes()[:-30])
    with pytest.raises(DatasetError, match=r"tree\.zip"):
        unpack(archive, tmp_path / "other")
    assert list((tmp_path / "other" / "clipdyn-unpacked").iterdir()) == []


# --- official layouts beside Parquet ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["flickr8k", "osie", "webdataset"])
def test_a_table_that_an_evaluation_left_hijacks_no_loader(load, tree, name):
    root = tree(name)
    before = {split: len(rows) for split, rows in load(name, data_dir=root).items()}
    (root / "sub").mkdir()
    datasets.Dataset.from_dict({"metric": ["srcc"], "value": [0.5]}).to_parquet(
        root / "sub" / "results.parquet"
    )
    assert {split: len(rows) for split, rows in load(name, data_dir=root).items()} == before
    if name != "osie":  # they are recognised
        assert {split: len(rows) for split, rows in load(str(root)).items()} == before


def test_a_picture_beside_parquet_does_not_make_it_class_folders(load, tmp_path):
    rows = {"img": [{"bytes": image_bytes(".png"), "path": None}] * 3, "label": [0, 1, 2]}
    (tmp_path / "mirror").mkdir()
    datasets.Dataset.from_dict(rows).to_parquet(tmp_path / "mirror" / "test-00000-of-00001.parquet")
    write_image(tmp_path / "mirror" / "logo.png")
    assert load("cifar10", data_dir=tmp_path / "mirror", split="test")["label"][:] == [0, 1, 2]
