"""The cache's key follows the content of the files and the version of the loader; `clipdyn cache` lists and deletes."""

import hashlib
import io
import itertools
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from official_trees.trees import TREES
from PIL import Image
from transformers import CLIPImageProcessor

from hf_clipdyn.data.cache import cached, delete
from hf_clipdyn.data.pixels import decode_pixels
from hf_clipdyn.data.registry import builder_class
from hf_clipdyn.files import STAGING

# Of the rows that each version of a loader makes of its small tree in tests/official_trees. Where this changes and the
# tree did not, raise `rows_version` of the loader (or of the class that several share), and write both down here.
ROWS = {
    "bapps": (1, "0c593a03c20d"),
    "cat2000": (2, "0513c09d1d7e"),
    "cc12m": (1, "876d0c58464d"),
    "cc3m": (1, "876d0c58464d"),
    "cifar10": (1, "791a8a4e5e29"),
    "cifar100": (1, "7a41c46998a3"),
    "cifar10h": (1, "3c5a1c86df64"),
    "coco_captions": (1, "437d125cacd3"),
    "csiq": (1, "a4d4fe139472"),
    "cue_conflict": (1, "5cede6ceaed3"),
    "flickr30k": (1, "14d41c4e9bea"),
    "flickr8k": (1, "4124d77c44b5"),
    "imagefolder": (1, "9da2771d545d"),
    "imagenet": (1, "63142458d647"),
    "kadid10k": (1, "53a5e0ae8aed"),
    "live": (1, "44bebd2edefb"),
    "material_similarity": (1, "0eb708b65f52"),
    "mit1003": (3, "fc93a170acb0"),
    "model_vs_human": (1, "1dcb2f449b07"),
    "nights": (1, "ef7594c64050"),
    "objects92": (1, "18d672b4e8d7"),
    "osie": (2, "cbeaf00de8f0"),
    "raid": (1, "66098d1bf360"),
    "salicon": (2, "df2a6cf50f62"),
    "things": (2, "84cfe397d064"),
    "tid2008": (1, "b716b7ebd1a4"),
    "tid2013": (1, "b716b7ebd1a4"),
    "tiny_imagenet": (1, "5ee82cc3b1b7"),
    "webdataset": (1, "876d0c58464d"),
    "procedural": (1, "ef2f9f78caaf"),
}

PROCESSOR = CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})


def _rows_of(name, root, cache):
    builder = builder_class(name)
    digest = hashlib.sha256()
    for config in [config.name for config in builder.BUILDER_CONFIGS] or [None]:
        made = builder(data_dir=root, config_name=config, cache_dir=cache)
        digest.update(json.dumps(list(made.class_names())).encode())
        for split in made.splits():
            (generator,) = [one for one in made._split_generators(None) if one.name == split]
            for key, row in itertools.islice(made._generate_examples(**generator.gen_kwargs), 60):
                digest.update(f"{config} {split} {Path(str(key)).name}".encode())
                plain = {column: _plain(value, root) for column, value in row.items()}
                digest.update(json.dumps(plain, sort_keys=True).encode())
    return digest.hexdigest()[:12]


def _plain(value, root):
    """A cell without what depends on the machine: the folder, and how its libraries compress pictures."""
    if isinstance(value, str) and root is not None and value.startswith(str(root)):
        return str(Path(value).relative_to(root))
    if isinstance(value, dict) and isinstance(value.get("bytes"), bytes):
        image = Image.open(io.BytesIO(value["bytes"]))
        return image.size if root is not None else [*image.size, f"{np.asarray(image).mean():.0f}"]
    if isinstance(value, dict):
        return {key: _plain(one, root) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, root) for one in value]
    if isinstance(value, float | np.floating):
        return f"{value:.4f}"
    return value.item() if isinstance(value, np.generic) else value


@pytest.mark.parametrize("name", sorted({*TREES, "procedural"}))
def test_other_rows_of_the_same_files_are_another_version(name, tree, cache):
    root = tree(name) if name in TREES else None
    assert (builder_class(name).rows_version, _rows_of(name, root, cache)) == ROWS[name]


def test_the_version_of_the_rows_is_part_of_the_key(load, tree, monkeypatch):
    root = tree("osie")
    before = load("osie", data_dir=root, split="test")
    assert load("osie", data_dir=root, split="test")._fingerprint == before._fingerprint
    monkeypatch.setattr(builder_class("osie"), "rows_version", 99)
    assert load("osie", data_dir=root, split="test")._fingerprint != before._fingerprint


@pytest.fixture
def filled(load, tree, cache):
    """A cache with a table, its pixels, and what a killed process left an hour and a half ago."""
    dataset = load("osie", data_dir=tree("osie"), split="test")
    decode_pixels(dataset, PROCESSOR, cache_dir=cache, disable_tqdm=True)
    left = cache / "clipdyn-pixels" / "staging-abc"
    left.mkdir()
    (left / "pixels.npy").write_bytes(bytes(5000))
    for path in (left / "pixels.npy", left):
        os.utime(path, times=(time.time() - 5400,) * 2)
    (cache / "others").mkdir()
    (cache / "others" / "file").write_text("not ours")
    return cache


def test_the_cache_is_listed_and_kinds_are_deleted_and_nothing_else(filled, clipdyn):
    entries = {entry.kind: entry for entry in cached(filled)}
    assert set(entries) == {"tables", "pixels", "unfinished"}
    assert entries["unfinished"].size == 5000
    assert entries["pixels"].origin == "osie test image"
    assert entries["tables"].origin.startswith("osie/")
    words = ("cache", "--cache-dir", filled)
    assert "Cached: 3 entries" in clipdyn(*words)[1]
    assert "Deleted: 1 entries" in clipdyn(*words, "--delete", "pixels")[1]
    assert {entry.kind for entry in cached(filled)} == {"tables", "unfinished"}
    assert len(delete(["all"], filled)) == 2
    assert "Cached: 0 entries" in clipdyn(*words)[1]
    assert (filled / "others" / "file").read_text() == "not ours"
    assert [path.name for path in filled.rglob("*") if path.suffix in (".arrow", ".npy")] == []


def test_what_was_used_lately_or_may_be_in_work_is_kept(filled, load, tmp_path):
    for entry in cached(filled):
        for path in (entry.path, *entry.path.iterdir()):
            os.utime(path, times=(1e9, 1e9))
    dataset = load("osie", data_dir=tmp_path / "osie-official", split="test")
    decode_pixels(dataset, PROCESSOR, cache_dir=filled, disable_tqdm=True)
    assert {entry.kind for entry in delete(["all"], filled, older_than=1)} == {"unfinished"}
    (filled / "clipdyn-pixels" / "staging-abc").mkdir()
    (filled / "clipdyn-pixels" / "staging-abc" / "pixels.npy").touch()  # still being written
    assert {entry.kind for entry in delete(["all"], filled)} == {"tables", "pixels"}


def test_scores_of_baselines_are_files_that_are_listed_and_deleted(tmp_path, clipdyn):
    folder = tmp_path / "clipdyn-baselines"
    folder.mkdir()
    (folder / f"saliency_osie-{'0' * 32}.parquet").write_bytes(bytes(70))
    (folder / f"{'1' * 32}.npy").write_bytes(bytes(30))  # of an earlier version
    (folder / f".x.parquet.00000000{STAGING}").write_bytes(bytes(10))
    (folder / "link.parquet").symlink_to(tmp_path / "outside")
    found = {(entry.kind, entry.origin, entry.size) for entry in cached(tmp_path)}
    baselines = {("baselines", "saliency osie", 70), ("baselines", "unknown", 30)}
    assert found == baselines | {("unfinished", "baselines", 10)}
    said = clipdyn("cache", "--cache_dir", tmp_path, "--delete", "baselines")[1]
    assert "Deleted: 2 entries, 100 bytes." in said
    assert [entry.kind for entry in cached(tmp_path)] == ["unfinished"]


def test_deleting_follows_no_link_out_of_the_cache(filled, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("precious")
    (filled / "clipdyn-pixels" / "link").symlink_to(outside)
    (filled / "clipdyn-pixels" / "staging-abc" / "link").symlink_to(outside)
    os.utime(filled / "clipdyn-pixels" / "staging-abc" / "link", times=(1e9, 1e9), follow_symlinks=False)
    os.utime(filled / "clipdyn-pixels" / "staging-abc", times=(1e9, 1e9))
    assert len(delete(["all"], filled)) == 3
    assert (outside / "file").read_text() == "precious"
