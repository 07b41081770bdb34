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
from hf_clipdyn.data.sets.osie import Osie
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


def test_the_same_files_are_prepared_once(load, tree, cache):
    root = tree("osie")
    first = load("osie", data_dir=root, split="test")
    tables = {path: path.stat().st_mtime_ns for path in cache.rglob("*.arrow")}
    second = load("osie", data_dir=root, split="test")
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.arrow")} == tables
    assert first._fingerprint == second._fingerprint


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


def test_images_are_not_decoded_by_loading(load, tree):
    root = tree("cifar10")
    dataset = load("cifar10", data_dir=root, split="test")
    first = Path(paths(dataset)[0])
    first.unlink()
    assert dataset[1]["image"].size == (32, 32)
    with pytest.raises(FileNotFoundError):
        dataset[0]["image"]


# --- the arguments --------------------------------------------------------------------------------------------


def test_one_split_a_slice_and_all_splits(load, tree):
    root = tree("nights")
    assert isinstance(load("nights", data_dir=root), datasets.DatasetDict)
    assert len(load("nights", data_dir=root, split="test[:2]")) == 2
    assert len(load("nights", data_dir=root, split="train+val")) == 3


@pytest.mark.parametrize(
    ("arguments", "given", "subject"),
    [
        (("tid2031",), {}, "tid2013"),
        (("bapps", "2afc"), {"data_dir": "bapps"}, "twoafc"),
        (("osie", "large"), {"data_dir": "osie"}, "osie"),
        (("cue_conflict",), {"data_dir": "cue_conflict", "split": "tset"}, "tset"),
        (("cue_conflict",), {"data_dir": "cue_conflict", "split": "tset", "streaming": True}, "tset"),
        (("osie",), {"data_dir": "osie", "repo_id": "a/b"}, "repo_id"),
    ],
)
def test_a_wrong_name_is_told_with_what_is_known(load, tree, arguments, given, subject):
    if "data_dir" in given:
        given = given | {"data_dir": tree(given["data_dir"])}
    with pytest.raises(ConfigError, match=subject):
        load(*arguments, **given)


def test_a_folder_that_is_missing_superfluous_or_of_another_sort_is_explained(load, tree, tmp_path):
    with pytest.raises(DatasetError, match=r"ponomarenko\.info"):
        load("tid2013")
    with pytest.raises(DatasetError, match="data_dir"):
        load("procedural", data_dir=tmp_path)
    with pytest.raises(DatasetError, match="data_dir"):
        load(str(tree("osie")))


def test_a_data_set_is_found_in_the_folder_of_all_data(load, tree, monkeypatch):
    root = tree("cue_conflict")
    root.rename(root.parent / "Cue-Conflict")
    monkeypatch.setenv("CLIPDYN_DATA", str(root.parent))
    assert len(load("cue_conflict", split="test")) == 4


def test_a_loader_is_a_builder_of_datasets_by_itself(tree, cache):
    builder = Osie(data_dir=tree("osie"), cache_dir=cache)
    builder.download_and_prepare()
    assert len(builder.as_dataset(split="test")) == len(list(builder.as_streaming_dataset(split="test"))) == 3
    assert builder.info.license == "MIT"


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


def test_an_archive_beside_its_own_folder_is_not_unpacked_again(load, tree, cache):
    root = tree("osie")
    shutil.make_archive(str(root / "stimuli"), "zip", root / "stimuli")
    load("osie", data_dir=root)
    assert not (cache / "clipdyn-unpacked").exists()


# --- official layouts beside Parquet ----------------------------------------------------------------------------


def stray(folder, name="results.parquet"):
    """A table that is no data set, as an evaluation or a user leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_dict({"metric": ["srcc"], "value": [0.5]}).to_parquet(folder / name)


@pytest.mark.parametrize(
    "name", ["flickr8k", "osie", "cue_conflict", "cifar10", "tid2013", "imagefolder", "webdataset"]
)
@pytest.mark.parametrize("where", ["", "sub"])
def test_a_stray_table_hijacks_no_loader(load, tree, name, where):
    root = tree(name)
    before = {split: len(rows) for split, rows in load(name, data_dir=root).items()}
    stray(root / where)
    assert {split: len(rows) for split, rows in load(name, data_dir=root).items()} == before
    if name in ("flickr8k", "imagefolder", "webdataset"):  # they are recognised
        assert {split: len(rows) for split, rows in load(str(root)).items()} == before


def test_a_stray_table_beside_an_archive_hijacks_nothing(load, tree, tmp_path):
    packed = tmp_path / "packed"
    packed.mkdir()
    shutil.make_archive(str(packed / "osie"), "zip", tree("osie"))
    stray(packed)
    assert len(load("osie", data_dir=packed, split="test")) == 3


def test_a_picture_beside_parquet_does_not_make_it_class_folders(load, tmp_path):
    rows = {"img": [{"bytes": image_bytes(".png"), "path": None}] * 3, "label": [0, 1, 2]}
    (tmp_path / "mirror" / "data").mkdir(parents=True)
    datasets.Dataset.from_dict(rows).to_parquet(tmp_path / "mirror" / "data" / "test-00000-of-00001.parquet")
    write_image(tmp_path / "mirror" / "logo.png")
    assert load("cifar10", data_dir=tmp_path / "mirror", split="test")["label"][:] == [0, 1, 2]


# --- paths that do not exist ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["./photos", "~/photos", "/photos", "data/photos", "a/b/c", "photos.zip", "photos/", "data/x.tar.gz"],
)
def test_a_mistyped_path_is_told_without_asking_the_hub(load, tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    monkeypatch.setattr("hf_clipdyn.data.load.open_tables", None)
    with pytest.raises(ConfigError, match=r"There is no folder or archive"):
        load(path)


def test_a_folder_of_all_data_that_does_not_exist_is_told(load, monkeypatch):
    monkeypatch.setenv("CLIPDYN_DATA", "/nowhere/at/all")
    with pytest.raises(ConfigError, match="CLIPDYN_DATA is '/nowhere/at/all', which is not a folder"):
        load("cifar10")


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [("cue_conflict", "cifar10", "<shape>N-<texture>M"), ("cifar100", "cue_conflict", "<class>/*.jpg")],
)
def test_the_folder_of_another_data_set_has_not_the_layout(load, tree, name, given, expected):
    with pytest.raises(DatasetError, match="does not have the layout") as caught:
        load(name, data_dir=tree(given))
    assert expected in str(caught.value)
