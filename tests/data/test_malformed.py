"""A broken file of a data set ends in one line that names it: where numbers, rows or samples would be wrong or lost."""

import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from official_trees.captioned import write_shard
from official_trees.images import write_image
from official_trees.trees import TREES
from scipy.io import savemat

from hf_clipdyn.data.registry import builder_class
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.training.streamed import Shards


def refused(load, dataset, root, named, config=None):
    """The data set is not loaded, and the one line of the error mentions this."""
    with pytest.raises(DatasetError) as caught:
        load(dataset, config, data_dir=root)
    assert named.lower() in str(caught.value).lower()
    assert "\n" not in str(caught.value)


STRUCTURED = (".bin", ".json", ".mat", ".npy", ".xlsx")
OF_CONFIG = {"jnd": "jnd", "dmos_realigned.mat": "realigned"}
"""Configurations that alone read a file, by a part of its path."""


@pytest.mark.parametrize("dataset", TREES)
def test_a_truncated_file_is_named(dataset, tree, load):
    root = tree(dataset)
    for file in sorted(root.rglob("*")):
        if file.suffix in STRUCTURED:
            content = file.read_bytes()
            file.write_bytes(content[: len(content) // 2])
            config = next((one for part, one in OF_CONFIG.items() if part in file.parts), None)
            refused(load, dataset, root, file.name, config)
            file.write_bytes(content)


Damage = Callable[[Path], object]
"""What is done to the folder of a data set."""


def edit(file: str, old: str, new: str) -> Damage:
    def damage(root: Path) -> None:
        text = (root / file).read_text()
        assert old in text
        (root / file).write_text(text.replace(old, new, 1))

    return damage


def written(file: str, content: str) -> Damage:
    return lambda root: (root / file).write_text(content)


def picture(file: str, size: tuple[int, int] = (8, 6)) -> Damage:
    """At each place that the pattern fits, or at the place itself."""
    return lambda root: [write_image(one, size) for one in [*root.glob(file)] or [root / file]]


def matlab(file: str, **variables: object) -> Damage:
    return lambda root: savemat(root / file, variables)


def matrices(**arrays: object) -> Damage:
    return lambda root: np.savez(root / "rdms.npz", **(dict(np.load(root / "rdms.npz")) | arrays))


def judged(answer: object) -> Damage:
    file = "2afc/val/traditional/judge/000000.npy"
    return lambda root: np.save(root / file, np.array([answer]), allow_pickle=True)


def removed(pattern: str) -> Damage:
    return lambda root: [path.unlink() for path in root.glob(pattern)]


def repeated(file: str) -> Damage:
    def damage(root: Path) -> None:
        text = (root / file).read_text()
        (root / file).write_text(text + text.splitlines()[1] + "\n")

    return damage


TID, NIGHTS, KADID, ANSWERS = "mos_with_names.txt", "data.csv", "dmos.csv", "data/answers_processed_test.json"
TRIALS = "raw-data/low-pass/low-pass_subject-01_session_1.csv"
OBJECTS = "data/triplet_dataset/validationset.txt"
LOW_PASS = "low-pass/dnn/session-1/0004_lp_dnn"
MANY = np.zeros((1, 779))
WRONG: dict[str, tuple[str, Damage, str]] = {
    "a score that is NaN": ("tid2013", edit(TID, "4.6 i01_01_1", "nan i01_01_1"), "i01_01_1.bmp"),
    "a score outside the scale": ("tid2013", edit(TID, "4.6 i01_01_1", "94.6 i01_01_1"), "i01_01_1.bmp"),
    "a distortion that TID2008 lacks": ("tid2008", edit(TID, "i01_01_1.bmp", "i01_18_1.bmp"), "i01_18_1"),
    "an image rated twice": ("tid2013", edit(TID, "i01_01_2.bmp", "i01_01_1.bmp"), "i01_01_1.bmp"),
    "too few standard deviations": ("tid2013", written("mos_std.txt", "0.1\n0.2\n"), TID),
    "no reference": ("tid2013", removed("reference_images/*"), "reference_images"),
    "a line with too few cells": ("kadid10k", edit(KADID, ",4.4,0.496", ""), "dmos.csv, line 2"),
    "a wrong reference": ("kadid10k", edit(KADID, "I01.png,4.4", "I02.png,4.4"), "dmos.csv, line 2"),
    "two columns of one name": ("kadid10k", edit(KADID, "var", "dmos"), KADID),
    "two images that answer to one name": ("kadid10k", picture("images/i01_01_01.PNG"), "I01_01_01"),
    "another length": ("live", matlab("dmos.mat", dmos=MANY, orgs=MANY), "dmos.mat"),
    "no votes at all": ("nights", edit(NIGHTS, "\n1,1,0", "\n1,0,0"), "nights"),
    "a judgement that is a pickle": ("bapps", judged({"judge": 1}), "000000.npy"),
    "a judgement above 1": ("bapps", judged(1.5), "000000.npy"),
    "a material twice": ("material_similarity", edit(ANSWERS, "[0, 20, 40]", "[0, 20, 20]"), "three materials"),
    "a material too few": ("material_similarity", removed("data/havran1*/material-050.png"), "havran1"),
    "a name of another level": ("raid", edit("responses.csv", "01_level_02", "01_level_12"), "rot_img_01"),
    "an unknown object": ("things", written(OBJECTS, "0 1 9\n"), "validationset.txt"),
    "an object twice": ("things", written(OBJECTS, "0 1 1\n"), "validationset.txt"),
    "a matrix of no numbers": ("objects92", matrices(model_hmax=np.full(66, np.nan)), "rdms.npz"),
    "a matrix of pickled objects": ("objects92", matrices(model_hmax=np.array([{}], object)), "rdms.npz"),
    "points of another size than the picture": (
        "cat2000", matlab("trainSet/FIXATIONLOCS/Art/001.mat", fixLocs=np.ones((3, 3))), "001.mat"
    ),
    "no fixations and no map": (
        "salicon", picture("images/train/COCO_train2014_000000000001.jpg"), "000000000001"
    ),
    "a map of another size than the photograph": (
        "mit1003", picture("ALLFIXATIONMAPS/*_fixMap.jpg", (10, 10)), "fixMap.jpg"
    ),
    "a class of another data set": ("cifar10", picture("test/zebra/1.png"), "zebra"),
    "a class outside the 16": ("cue_conflict", picture("cat/cat2-zebra1.png"), "cat2-zebra1"),
    "the folder of another shape": ("cue_conflict", picture("dog/cat5-oven1.png"), "cat5-oven1"),
    "an answer that nobody could give": ("model_vs_human", edit(TRIALS, "cat,cat", "zebra,cat"), "line 2"),
    "another class than the image's": ("model_vs_human", edit(TRIALS, "cat,cat,3", "cat,dog,3"), "another class"),
    "a trial in no condition": ("model_vs_human", edit(TRIALS, ",3.0,", ",nan,"), "line 2"),
    "an answer twice": ("model_vs_human", repeated(TRIALS), "twice"),
    "a condition that nobody saw": (
        "model_vs_human", picture(f"{LOW_PASS}_4_cat_10_n02123045_1.png"), "condition of low-pass"
    ),
    "a stimulus of none of the 16": (
        "model_vs_human", picture(f"{LOW_PASS}_3_zebra_10_n02123045_1.png"), "one of the 16 classes"
    ),
    "an edge image outside of the folders": ("model_vs_human", picture("edge/lynx/lynx1.png"), "lynx1"),
    "an edge image of another class": ("model_vs_human", picture("edge/dog/cat3.png"), "cat3"),
    "captions without a caption": ("flickr8k", written("captions.txt", "image,caption\n"), "captions.txt"),
    "a line without a caption": ("flickr8k", written("captions.txt", "image,caption\n0_ab.jpg\n"), "line 2"),
    "no captioned image": ("flickr8k", removed("Images/*"), "flickr8k"),
    "no caption column": ("imagefolder", written("test/metadata.csv", "file_name,size\n0.png,3\n"), "metadata.csv"),
    "two lists for one split": (
        "imagefolder", written("train/metadata.csv", "file_name,text\n0.png,a\n"), "metadata.csv"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("dataset", "damage", "named"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_refused_with_its_place(dataset, damage, named, tree, load):
    root = tree(dataset)
    damage(root)
    refused(load, dataset, root, named)


def test_more_rows_than_the_data_set_has_are_another_data_set(tree, load, monkeypatch):
    builder = builder_class("osie")
    monkeypatch.setattr(builder, "metadata", replace(builder.metadata, rows={"test": 2}))
    refused(load, "osie", tree("osie"), "contains 3 rows")


def offsets(path):
    """Where the headers of a tar begin, and its end marker."""
    with tarfile.open(path) as archive:
        return [*(member.offset for member in archive.getmembers()), archive.offset]


SHARD = "cc-train-0001.tar"


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda starts: starts[3], id="between two members, after a whole sample"),
        pytest.param(lambda starts: starts[3] + 100, id="within a header"),
        pytest.param(lambda starts: starts[-1], id="before its end marker"),
    ],
)
def test_a_shard_that_was_cut_loses_no_sample_silently(end, tree, load):
    root = tree("webdataset")
    (root / SHARD).write_bytes((root / SHARD).read_bytes()[: end(offsets(root / SHARD))])
    refused(load, "webdataset", root, SHARD)
    stream = load("webdataset", data_dir=root, split="train", streaming=True)
    with pytest.raises(DatasetError, match=SHARD):
        list(Shards(stream, "mine").rows(stream))  # as training reads it


def test_a_shard_with_a_damaged_header_or_without_texts_is_named(tree, load):
    root = tree("webdataset")
    write_shard(root / "cc-train-0002.tar", 2, start=20, text=False)
    refused(load, "webdataset", root, "cc-train-0002.tar")
    content = bytearray((root / SHARD).read_bytes())
    content[offsets(root / SHARD)[3]] ^= 255
    (root / SHARD).write_bytes(content)
    refused(load, "webdataset", root, SHARD)


def test_an_archive_that_was_cut_is_named(tree, load):
    root = tree("cifar10")
    path = root.parent / "cut.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(root, arcname=root.name)
    path.write_bytes(path.read_bytes()[: offsets(path)[-2]])
    refused(load, "cifar10", path, path.name)
