"""A broken file of a data set ends in one line that names it: where numbers, rows or samples would be wrong or lost."""

import json
import os
import tarfile
import zipfile
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


TID, NIGHTS, KADID = "mos_with_names.txt", "data.csv", "dmos.csv"
TRIALS = "raw-data/low-pass/low-pass_subject-01_session_1.csv"
EDITS = {
    "a score that is text": ("tid2013", TID, "4.6 i01_01_1", "good i01_01_1", "i01_01_1.bmp"),
    "a score that is NaN": ("tid2013", TID, "4.6 i01_01_1", "nan i01_01_1", "i01_01_1.bmp"),
    "an infinite score": ("tid2013", TID, "4.6 i01_01_1", "inf i01_01_1", "i01_01_1.bmp"),
    "a score outside the scale": ("tid2013", TID, "4.6 i01_01_1", "94.6 i01_01_1", "i01_01_1.bmp"),
    "a line without a score": ("tid2013", TID, "4.6 i01_01_1", "i01_01_1", TID),
    "a name of another form": ("tid2013", TID, "i01_01_1.bmp", "lena.bmp", "lena.bmp"),
    "a distortion that TID2008 lacks": ("tid2008", TID, "i01_01_1.bmp", "i01_18_1.bmp", "i01_18_1"),
    "an image rated twice": ("tid2013", TID, "i01_01_2.bmp", "i01_01_1.bmp", "i01_01_1.bmp"),
    "a missing score": ("kadid10k", KADID, ",4.4,", ",,", "I01_01"),
    "a line with too few cells": ("kadid10k", KADID, ",4.4,0.496", "", "dmos.csv, line 2"),
    "a wrong reference": ("kadid10k", KADID, "I01.png,4.4", "I02.png,4.4", "dmos.csv, line 2"),
    "other column names": ("kadid10k", KADID, "dist_img", "picture", KADID),
    "two columns of one name": ("kadid10k", KADID, "var", "dmos", KADID),
    "no votes at all": ("nights", NIGHTS, "\n1,1,0", "\n1,0,0", "nights"),
    "a vote that is text": ("nights", NIGHTS, "\n1,1,0", "\n1,yes,0", "data.csv, line 3"),
    "a name of another level": ("raid", "responses.csv", "01_level_02.png", "01_level_12.png", "rot_img_01"),
    "an answer that nobody could give": ("model_vs_human", TRIALS, "cat,cat", "zebra,cat", "line 2"),
    "another class than the image's": ("model_vs_human", TRIALS, "cat,cat,3", "cat,dog,3", "another class"),
    "a trial in no condition": ("model_vs_human", TRIALS, ",3.0,", ",nan,", "line 2"),
    "trials without a class": ("model_vs_human", TRIALS, "category", "label", "category"),
}


@pytest.mark.parametrize(("dataset", "file", "old", "new", "named"), EDITS.values(), ids=EDITS)
def test_a_value_that_cannot_be_is_refused_with_its_place(dataset, file, old, new, named, tree, load):
    root = tree(dataset)
    text = (root / file).read_text()
    assert old in text
    (root / file).write_text(text.replace(old, new, 1))
    refused(load, dataset, root, named)


OBJECTS = "data/triplet_dataset/validationset.txt"
CONTENTS = {
    "an empty score list": ("tid2013", TID, "", TID),
    "too few standard deviations": ("tid2013", "mos_std.txt", "0.1\n0.2\n", TID),
    "a caption list without captions": ("flickr8k", "captions.txt", "image,caption\n", "captions.txt"),
    "a line without a caption": ("flickr8k", "captions.txt", "image,caption\n0_ab.jpg\n", "line 2"),
    "other annotations": (
        "coco_captions",
        "annotations/captions_train2017.json",
        '{"images": []}',
        "train2017",
    ),
    "no caption column": ("imagefolder", "test/metadata.csv", "file_name,size\n0.png,3\n", "metadata.csv"),
    "a line that is no JSON": ("imagefolder", "train/metadata.jsonl", "{'file_name': 1}\n", "line 1"),
    "two lists for one split": (
        "imagefolder",
        "train/metadata.csv",
        "file_name,text\n0.png,a\n",
        "metadata.csv",
    ),
    "an unknown object": ("things", OBJECTS, "0 1 9\n", "validationset.txt"),
    "an object twice": ("things", OBJECTS, "0 1 1\n", "validationset.txt"),
    "two of three objects": ("things", OBJECTS, "0 1\n", "validationset.txt"),
    "no triplet": ("things", OBJECTS, "", "validationset.txt"),
}


@pytest.mark.parametrize(("dataset", "file", "content", "named"), CONTENTS.values(), ids=CONTENTS)
def test_a_list_of_another_content_is_named(dataset, file, content, named, tree, load):
    root = tree(dataset)
    (root / file).write_text(content)
    refused(load, dataset, root, named)


LOW_PASS = "low-pass/dnn/session-1"
PICTURES = {
    "two images that answer to one name": ("kadid10k", "images/i01_01_01.PNG", "I01_01_01"),
    "a class of another data set": ("cifar10", "test/zebra/1.png", "zebra"),
    "no fixations and no map": ("salicon", "images/train/COCO_train2014_000000000001.jpg", "000000000001"),
    "a name that is no cue conflict": ("cue_conflict", "cat/cat12.png", "cat12"),
    "a class outside the 16": ("cue_conflict", "cat/cat2-zebra1.png", "cat2-zebra1"),
    "the folder of another shape": ("cue_conflict", "dog/cat5-oven1.png", "cat5-oven1"),
    "too few fields": ("model_vs_human", f"{LOW_PASS}/0004_lp.png", "0004_lp.png"),
    "a condition that nobody saw": (
        *("model_vs_human", f"{LOW_PASS}/0004_lp_dnn_4_cat_10_n02123045_1.png"),
        "condition of low-pass",
    ),
    "a stimulus of none of the 16": (
        *("model_vs_human", f"{LOW_PASS}/0004_lp_dnn_3_zebra_10_n02123045_1.png"),
        "one of the 16 classes",
    ),
    "an edge image outside of the folders": ("model_vs_human", "edge/lynx/lynx1.png", "lynx1"),
    "an edge image of another class": ("model_vs_human", "edge/dog/cat3.png", "cat3"),
}


@pytest.mark.parametrize(("dataset", "file", "named"), PICTURES.values(), ids=PICTURES)
def test_an_image_that_does_not_belong_is_named(dataset, file, named, tree, load):
    root = tree(dataset)
    write_image(root / file)
    refused(load, dataset, root, named)


FIXATIONS = "eye/fixations.mat"
MATLAB = {
    "another structure": ("osie", FIXATIONS, {"fixations": np.zeros((3, 3))}),
    "without the variable": ("live", "refnames_all.mat", {"names": [1.0]}),
    "another length": ("live", "dmos.mat", {"dmos": np.zeros((1, 779)), "orgs": np.zeros((1, 779))}),
    "another size than the picture": (
        *("cat2000", "trainSet/FIXATIONLOCS/Art/001.mat"),
        {"fixLocs": np.ones((3, 3))},
    ),
    "gaze of another structure": (
        *("salicon", "fixations/val/COCO_val2014_000000000009.mat"),
        {"gaze": np.zeros(3)},
    ),
}


@pytest.mark.parametrize(("dataset", "file", "variables"), MATLAB.values(), ids=MATLAB)
def test_a_matlab_file_of_another_form_is_named(dataset, file, variables, tree, load):
    root = tree(dataset)
    savemat(root / file, variables)
    refused(load, dataset, root, Path(file).name)


RDMS = {
    "no people": {"behaviour": None},
    "another length": {"behaviour": np.zeros((3, 65))},
    "no numbers": {"model_hmax": np.full(66, np.nan)},
    "texts": {"model_hmax": np.array(["a"] * 66)},
    "pickled objects": {"model_hmax": np.array([{}], dtype=object)},
}


@pytest.mark.parametrize("arrays", RDMS.values(), ids=RDMS)
def test_matrices_of_another_form_are_named(arrays, tree, load):
    root = tree("objects92")
    held = dict(np.load(root / "rdms.npz")) | arrays
    np.savez(root / "rdms.npz", **{name: one for name, one in held.items() if one is not None})
    refused(load, "objects92", root, "rdms.npz")


@pytest.mark.parametrize("judgement", [np.array([{"judge": 1}], dtype=object), np.array([1.5])])
def test_a_judgement_that_is_a_pickle_or_above_1_is_named(judgement, tree, load):
    root = tree("bapps")
    np.save(root / "2afc" / "val" / "traditional" / "judge" / "000000.npy", judgement, allow_pickle=True)
    refused(load, "bapps", root, "000000.npy")


ANSWERS = "data/answers_processed_test.json"


@pytest.mark.parametrize(("key", "value"), [("answers", [[0, 1, 100]]), ("agreement", [])])
def test_answers_that_do_not_fit_the_materials_are_named(key, value, tree, load):
    root = tree("material_similarity")
    content = json.loads((root / ANSWERS).read_text())
    content[key] = value + content[key][1:]
    (root / ANSWERS).write_text(json.dumps(content))
    refused(load, "material_similarity", root, "index" if key == "answers" else Path(ANSWERS).name)


def removed(*patterns):
    def damage(root):
        for pattern in patterns:
            for path in root.glob(pattern):
                path.unlink()

    return damage


ABSENT = {
    "a folder that does not exist": ("tid2013", lambda root: root / "nowhere", "nowhere"),
    "no reference": ("tid2013", removed("reference_images/*"), "reference_images"),
    "no distorted image": ("kadid10k", removed("images/*_*.png"), "no image"),
    "no captioned image": ("flickr8k", removed("Images/*"), "flickr8k"),
    "a material too few": ("material_similarity", removed("data/havran1*/material-050.png"), "havran1"),
}


@pytest.mark.parametrize(("dataset", "damage", "named"), ABSENT.values(), ids=ABSENT)
def test_what_is_absent_is_named(dataset, damage, named, tree, load):
    root = tree(dataset)
    refused(load, dataset, damage(root) or root, named)


def test_more_rows_than_the_data_set_has_are_another_data_set(tree, load, monkeypatch):
    builder = builder_class("osie")
    monkeypatch.setattr(builder, "metadata", replace(builder.metadata, rows={"test": 2}))
    refused(load, "osie", tree("osie"), "contains 3 rows")


def test_an_answer_twice_is_refused(tree, load):
    root = tree("model_vs_human")
    text = (root / TRIALS).read_text()
    (root / TRIALS).write_text(text + text.splitlines()[1] + "\n")
    refused(load, "model_vs_human", root, "twice")


def test_a_map_of_another_size_than_the_photograph_is_named(tree, load):
    root = tree("mit1003")
    for path in (root / "ALLFIXATIONMAPS").glob("*_fixMap.jpg"):
        write_image(path, (10, 10))
    refused(load, "mit1003", root, "fixMap.jpg")


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


def test_a_shard_with_a_damaged_header_or_without_texts_is_named(tree, load):
    root = tree("webdataset")
    write_shard(root / "cc-train-0002.tar", 2, start=20, text=False)
    refused(load, "webdataset", root, "cc-train-0002.tar")
    content = bytearray((root / SHARD).read_bytes())
    content[offsets(root / SHARD)[3]] ^= 255
    (root / SHARD).write_bytes(content)
    refused(load, "webdataset", root, SHARD)


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_an_archive_that_was_cut_is_named(kind, tree, load):
    root = tree("cifar10")
    path = root.parent / f"cut.{kind}"
    if kind == "tar":
        with tarfile.open(path, "w") as archive:
            archive.add(root, arcname=root.name)
        path.write_bytes(path.read_bytes()[: offsets(path)[-2]])
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("cat/1.png", bytes(999))
        path.write_bytes(path.read_bytes()[:500])
    refused(load, "cifar10", path, path.name)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_a_folder_without_read_permission_is_named(tree, load):
    root = tree("osie")
    (root / "stimuli").chmod(0)
    try:
        if os.geteuid() == 0:  # root may read everything: become somebody else for this call
            os.seteuid(65534)
        with pytest.raises(DatasetError, match="osie"):
            load("osie", data_dir=root)
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        (root / "stimuli").chmod(0o755)
