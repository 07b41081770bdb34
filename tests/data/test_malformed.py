"""Every way in which an official folder can be broken ends in one sentence that names the file and what to do."""

import io
import json
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from official_trees.captioned import write_shard
from official_trees.images import image_bytes, write_image
from scipy.io import savemat

from hf_clipdyn.errors import DatasetError

Damage = Callable[[Path], Any]
"""Breaks a tree; what it returns, if anything, is loaded in place of the tree."""

CASES: list[tuple[str, str, str, Damage]] = []


def case(name: str, dataset: str, mentions: str) -> Callable[[Damage], Damage]:
    """Register a damage: its name, the data set, and what the message has to mention."""

    def add(damage: Damage) -> Damage:
        CASES.append((name, dataset, mentions, damage))
        return damage

    return add


def edit(name: str, dataset: str, mentions: str, file: str, old: str, new: str) -> None:
    """Register the replacement of the first ``old`` in a text file."""

    def damage(root: Path) -> None:
        path = root / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    CASES.append((name, dataset, mentions, damage))


def cut(path: Path, keep: float = 0.5) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


# --- images ---------------------------------------------------------------------------------------------------


@case("a truncated BMP", "tid2013", "i01_01_1.bmp")
def _(root: Path) -> None:
    cut(root / "distorted_images" / "i01_01_1.bmp")


@case("a truncated PNG", "kadid10k", "I01_01_01.png")
def _(root: Path) -> None:
    cut(root / "images" / "I01_01_01.png", 0.8)


@case("a truncated JPEG", "osie", "1001.jpg")
def _(root: Path) -> None:
    cut(root / "stimuli" / "1001.jpg")


@case("a zero-byte image", "cue_conflict", "cat1-cat3.png")
def _(root: Path) -> None:
    (root / "cat" / "cat1-cat3.png").write_bytes(b"")


@case("a zero-byte reference", "live", "womanhat.bmp")
def _(root: Path) -> None:
    (root / "refimgs" / "womanhat.bmp").write_bytes(b"")


@case("a text that is called an image", "nights", "003_0.png")
def _(root: Path) -> None:
    (root / "distort" / "000" / "003_0.png").write_text("no picture")


@case("an image that declares billions of pixels", "cifar10", "0000.png")
def _(root: Path) -> None:
    path = root / "test" / "airplane" / "0000.png"
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 100_000, 100_000)
    path.write_bytes(bytes(content))


@case("a PNG with a broken header", "bapps", "000001.png")
def _(root: Path) -> None:
    path = root / "2afc" / "val" / "superres" / "p0" / "000001.png"
    path.write_bytes(path.read_bytes()[:12] + b"JUNK" + path.read_bytes()[16:])


# --- folders --------------------------------------------------------------------------------------------------


@case("a folder that does not exist", "tid2013", "nowhere")
def _(root: Path) -> Path:
    return root / "nowhere"


@case("an empty folder", "flickr8k", "is empty")
def _(root: Path) -> Path:
    (root / "empty").mkdir()
    return root / "empty"


@case("a file in place of a folder", "osie", "fixations.mat")
def _(root: Path) -> Path:
    return root / "eye" / "fixations.mat"


@case("a folder that links to itself", "kadid10k", "loop")
def _(root: Path) -> Path:
    (root / "loop").symlink_to(root / "loop")
    return root / "loop"


@case("the folder of another data set", "csiq", "src_imgs")
def _(root: Path) -> Path:
    (root / "csiq.DMOS.xlsx").rename(root / "other.xlsx")
    for folder in ("src_imgs", "dst_imgs"):
        (root / folder).rename(root / f"x{folder}")
    return root


@case("no reference folder", "tid2013", "reference_images")
def _(root: Path) -> None:
    (root / "reference_images").rename(root / "references")


@case("two folders of the same name", "tid2013", "distorted_images")
def _(root: Path) -> None:
    write_image(root / "a" / "x" / "DISTORTED_IMAGES" / "i01_01_1.bmp")
    (root / "distorted_images").rename(root / "a" / "distorted_images")
    (root / "a" / "x" / "DISTORTED_IMAGES").rename(root / "a" / "Distorted_Images")


@case("two images that answer to one name", "kadid10k", "I01_01_01")
def _(root: Path) -> None:
    write_image(root / "images" / "i01_01_01.PNG")


@case("class folders of another data set", "cifar10", "zebra")
def _(root: Path) -> None:
    write_image(root / "test" / "zebra" / "1.png")


@case("no class folders", "cifar100", "class folders")
def _(root: Path) -> Path:
    write_image(root / "flat" / "1.png")
    return root / "flat"


# --- scores ---------------------------------------------------------------------------------------------------

TID = "mos_with_names.txt"
edit("a score that is text", "tid2013", f"{TID}, line 1", TID, "4.6 i01_01_1", "good i01_01_1")
edit("a score that is NaN", "tid2013", f"{TID}, line 1", TID, "4.6 i01_01_1", "nan i01_01_1")
edit("an infinite score", "tid2013", f"{TID}, line 1", TID, "4.6 i01_01_1", "inf i01_01_1")
edit("a score outside the scale", "tid2013", f"{TID}, line 1", TID, "4.6 i01_01_1", "94.6 i01_01_1")
edit("a line without a score", "tid2013", f"{TID}, line 1", TID, "4.6 i01_01_1", "i01_01_1")
edit("a name of another form", "tid2013", f"{TID}, line 1", TID, "i01_01_1.bmp", "lena.bmp")
edit("a distortion that TID2008 lacks", "tid2008", f"{TID}, line 1", TID, "i01_01_1.bmp", "i01_18_1.bmp")
edit("an image rated twice", "tid2013", "i01_01_1.bmp", TID, "i01_01_2.bmp", "i01_01_1.bmp")
edit("a missing score", "kadid10k", "dmos.csv, line 2", "dmos.csv", ",4.4,", ",,")
edit("a line with too few cells", "kadid10k", "dmos.csv, line 2", "dmos.csv", ",4.4,0.496", "")
edit("a wrong reference", "kadid10k", "dmos.csv, line 2", "dmos.csv", "I01.png,4.4", "I02.png,4.4")
edit("other column names", "kadid10k", "dmos.csv", "dmos.csv", "dist_img", "picture")
edit("a path with ..", "nights", "../../etc/passwd", "data.csv", "ref/000/000.png", "../../etc/passwd.png")
edit("an absolute path", "nights", "/etc/passwd", "data.csv", "ref/000/000.png", "/etc/passwd.png")
edit("an unknown split", "nights", "data.csv, line 2", "data.csv", ",train,", ",dev,")
edit("a triplet twice", "nights", "data.csv, line 3", "data.csv", "\n1,1,0", "\n0,1,0")
edit("no votes at all", "nights", "data.csv, line 3", "data.csv", "\n1,1,0", "\n1,0,0")
edit("a vote that is text", "nights", "data.csv, line 3", "data.csv", "\n1,1,0", "\n1,yes,0")


@case("an empty score list", "tid2013", TID)
def _(root: Path) -> None:
    (root / TID).write_text("")


@case("a binary score list", "tid2013", TID)
def _(root: Path) -> None:
    (root / TID).write_bytes(bytes(range(256)))


@case("too few standard deviations", "tid2013", "mos_std.txt")
def _(root: Path) -> None:
    (root / "mos_std.txt").write_text("0.1\n0.2\n")


@case("a missing reference of a present image", "tid2013", "I01.bmp")
def _(root: Path) -> None:
    (root / "reference_images" / "I01.BMP").unlink()


@case("a score list without any present image", "kadid10k", "dmos.csv")
def _(root: Path) -> None:
    for path in (root / "images").glob("*_*.png"):
        path.unlink()


@case("more rows than the data set has", "tid2008", "1,700")
def _(root: Path) -> None:
    names = [
        f"i{r:02d}_{d:02d}_{level}.bmp" for r in range(1, 27) for d in range(1, 18) for level in range(1, 5)
    ]
    for name in names:
        write_image(root / "distorted_images" / name)
        write_image(root / "reference_images" / f"{name[:3]}.bmp")
    for path in (root / "reference_images").glob("*.BMP"):
        path.unlink()
    (root / TID).write_text("".join(f"5.0 {name}\n" for name in names))
    (root / "mos_std.txt").unlink()


# --- workbooks, MATLAB, NumPy, JSON ----------------------------------------------------------------------------


@case("a text that is called a workbook", "csiq", "csiq.DMOS.xlsx")
def _(root: Path) -> None:
    (root / "csiq.DMOS.xlsx").write_text("image,dmos")


@case("a workbook with other columns", "csiq", "csiq.DMOS.xlsx")
def _(root: Path) -> None:
    from openpyxl import Workbook

    book = Workbook()
    book.active.append(["image", "quality"])
    book.save(root / "csiq.DMOS.xlsx")


@case("a workbook with text in place of a score", "csiq", "csiq.DMOS.xlsx, entry 1")
def _(root: Path) -> None:
    from openpyxl import load_workbook

    book = load_workbook(root / "csiq.DMOS.xlsx")
    book["all_by_image"]["I5"] = "n/a"
    book.save(root / "csiq.DMOS.xlsx")


@case("a text that is called a MATLAB file", "live", "dmos.mat")
def _(root: Path) -> None:
    (root / "dmos.mat").write_text("dmos = [1 2 3]")


@case("a truncated MATLAB file", "osie", "fixations.mat")
def _(root: Path) -> None:
    cut(root / "eye" / "fixations.mat")


@case("a MATLAB file without the variable", "live", "refnames_all.mat")
def _(root: Path) -> None:
    savemat(root / "refnames_all.mat", {"names": [1.0]})


@case("a MATLAB file of another length", "live", "dmos.mat")
def _(root: Path) -> None:
    savemat(root / "dmos.mat", {"dmos": np.zeros((1, 779)), "orgs": np.zeros((1, 779))})


@case("a MATLAB file of version 7.3", "osie", "fixations.mat")
def _(root: Path) -> None:
    header = b"MATLAB 7.3 MAT-file".ljust(124, b" ") + b"\x00\x02IM"
    (root / "eye" / "fixations.mat").write_bytes(header.ljust(2048, b"\0"))


@case("a MATLAB file of another structure", "osie", "fixations.mat")
def _(root: Path) -> None:
    savemat(root / "eye" / "fixations.mat", {"fixations": np.zeros((3, 3))})


@case("a recording without gaze", "mit1003", "ajs")
def _(root: Path) -> None:
    for path in (root / "DATA" / "ajs").glob("*.mat"):
        savemat(path, {"x": {"DATA": {"other": 1.0}}})


@case("points of another size than the picture", "cat2000", "001.mat")
def _(root: Path) -> None:
    savemat(root / "trainSet" / "FIXATIONLOCS" / "Art" / "001.mat", {"fixLocs": np.ones((3, 3))})


@case("a map of another size than the photograph", "mit1003", "fixMap.jpg")
def _(root: Path) -> None:
    for path in (root / "ALLFIXATIONMAPS").glob("*_fixMap.jpg"):
        write_image(path, (10, 10))


@case("a photograph without fixations and map", "salicon", "COCO_train2014_000000000001.jpg")
def _(root: Path) -> None:
    write_image(root / "images" / "train" / "COCO_train2014_000000000001.jpg")


@case("gaze of another structure", "salicon", "000000000009.mat")
def _(root: Path) -> None:
    savemat(root / "fixations" / "val" / "COCO_val2014_000000000009.mat", {"gaze": np.zeros(3)})


@case("a judgement that is no array", "bapps", "000000.npy")
def _(root: Path) -> None:
    (root / "2afc" / "val" / "traditional" / "judge" / "000000.npy").write_bytes(b"0.4")


@case("a judgement that is a pickle", "bapps", "000000.npy")
def _(root: Path) -> None:
    path = root / "2afc" / "val" / "traditional" / "judge" / "000000.npy"
    np.save(path, np.array([{"judge": 1}], dtype=object), allow_pickle=True)


@case("a judgement above 1", "bapps", "000000.npy")
def _(root: Path) -> None:
    np.save(root / "2afc" / "val" / "traditional" / "judge" / "000000.npy", np.array([1.5]))


@case("a judged image without its reference", "bapps", "000000.npy")
def _(root: Path) -> None:
    (root / "2afc" / "val" / "traditional" / "ref" / "000000.png").unlink()


ANSWERS = "answers_processed_test.json"


@case("truncated JSON", "material_similarity", ANSWERS)
def _(root: Path) -> None:
    cut(root / "data" / ANSWERS)


@case("an index out of range", "material_similarity", ANSWERS)
def _(root: Path) -> None:
    content = json.loads((root / "data" / ANSWERS).read_text())
    content["answers"][0] = [0, 1, 100]
    (root / "data" / ANSWERS).write_text(json.dumps(content))


@case("an agreement too few", "material_similarity", ANSWERS)
def _(root: Path) -> None:
    content = json.loads((root / "data" / ANSWERS).read_text())
    content["agreement"].pop()
    (root / "data" / ANSWERS).write_text(json.dumps(content))


@case("a material too few", "material_similarity", "havran1_stpeters_256x256_LDR")
def _(root: Path) -> None:
    (root / "data" / "havran1_stpeters_256x256_LDR" / "material-050.png").unlink()


# --- names ----------------------------------------------------------------------------------------------------


@case("a name that is no cue conflict", "cue_conflict", "cat12.png")
def _(root: Path) -> None:
    write_image(root / "cat" / "cat12.png")


@case("a class outside the 16", "cue_conflict", "cat2-zebra1.png")
def _(root: Path) -> None:
    write_image(root / "cat" / "cat2-zebra1.png")


@case("an image in the folder of another shape", "cue_conflict", "cat5-oven1.png")
def _(root: Path) -> None:
    write_image(root / "dog" / "cat5-oven1.png")


@case("an image twice", "cue_conflict", "cat1-cat3")
def _(root: Path) -> None:
    write_image(root / "copy" / "cat" / "cat1-cat3.png")


edit(
    "an answer that the experiment did not offer",
    "cue_conflict",
    "session_1.csv",
    "raw-data/cue-conflict/cue-conflict_subject-01_session_1.csv",
    "cat,cat",
    "zebra,cat",
)


LOW_PASS = Path("low-pass", "dnn", "session-1")
TRIALS = "raw-data/low-pass/low-pass_subject-01_session_1.csv"


@case("a stimulus whose name has too few fields", "model_vs_human", "0004_lp.png' is not named like")
def _(root: Path) -> None:
    write_image(root / LOW_PASS / "0004_lp.png")


@case("a stimulus in a condition that nobody saw", "model_vs_human", "'4' is not a condition of low-pass")
def _(root: Path) -> None:
    write_image(root / LOW_PASS / "0004_lp_dnn_4_cat_10_n02123045_1.png")


@case(
    "a stimulus of a class that is none of the 16", "model_vs_human", "'zebra' is not one of the 16 classes"
)
def _(root: Path) -> None:
    write_image(root / LOW_PASS / "0004_lp_dnn_3_zebra_10_n02123045_1.png")


@case("a stimulus twice", "model_vs_human", "low-pass, condition 3, image n02123045_8")
def _(root: Path) -> None:
    write_image(root / LOW_PASS.with_name("session-2") / "0001_lp_dnn_3.0_cat_10_n02123045_8.png")


@case("an edge image outside of the class folders", "model_vs_human", "is not in the folder of one of the 16")
def _(root: Path) -> None:
    write_image(root / "edge" / "lynx" / "lynx1.png")


@case("an edge image in the folder of another class", "model_vs_human", "is not named like an image of 'dog'")
def _(root: Path) -> None:
    write_image(root / "edge" / "dog" / "cat3.png")


edit("an answer that nobody could give", "model_vs_human", "line 2", TRIALS, "cat,cat", "zebra,cat")
edit("a trial of another class than its image", "model_vs_human", "line 2", TRIALS, "cat,cat,3", "cat,dog,3")
edit("a trial in no condition", "model_vs_human", "'nan' is not a condition", TRIALS, ",3.0,", ",nan,")
edit("a trial of an unnamed image", "model_vs_human", "line 2", TRIALS, "0001_xx_s01", "image")
edit(
    "a trial of another observer", "model_vs_human", "the file belongs to", TRIALS, "subject-01", "subject-9"
)
edit("trials without a class", "model_vs_human", "lacks the columns category", TRIALS, "category", "label")


@case("an answer twice", "model_vs_human", "repeats subject-01 on low-pass, condition 3")
def _(root: Path) -> None:
    path = root / TRIALS
    path.write_text(path.read_text() + path.read_text().splitlines()[1] + "\n")


@case("a validation picture listed twice", "tiny_imagenet", "val_annotations.txt, line 3")
def _(root: Path) -> None:
    path = root / "tiny-imagenet-200" / "val" / "val_annotations.txt"
    path.write_text(path.read_text() + "val_0.JPEG\tn01443537\n")


@case("a binary archive that is cut", "cifar10", "test_batch.bin")
def _(root: Path) -> Path:
    (root / "bin").mkdir()
    (root / "bin" / "test_batch.bin").write_bytes(bytes(3000))
    return root / "bin"


@case("the binary archive of another data set", "cifar10", "test_batch.bin, image 0")
def _(root: Path) -> Path:
    (root / "bin").mkdir()
    (root / "bin" / "test_batch.bin").write_bytes(b"\x63" * 3073)
    return root / "bin"


# --- captions -------------------------------------------------------------------------------------------------


@case("a captions file without its images", "flickr8k", "captions.txt")
def _(root: Path) -> None:
    for path in (root / "Images").iterdir():
        path.unlink()
    write_image(root / "Images" / "other.jpg")


@case("a caption list without captions", "flickr8k", "captions.txt")
def _(root: Path) -> None:
    (root / "captions.txt").write_text("image,caption\n")


@case("a line without a caption", "flickr8k", "captions.txt, line 2")
def _(root: Path) -> None:
    (root / "captions.txt").write_text("image,caption\n0_ab.jpg\n")


@case("annotations of another structure", "coco_captions", "captions_train2017.json")
def _(root: Path) -> None:
    (root / "annotations" / "captions_train2017.json").write_text('{"images": [{"id": 1}]}')


@case("a metadata file without a caption column", "imagefolder", "metadata.csv")
def _(root: Path) -> None:
    (root / "test" / "metadata.csv").write_text("file_name,size\n0.png,3\n")


@case("a metadata line that is no JSON", "imagefolder", "metadata.jsonl, line 1")
def _(root: Path) -> None:
    (root / "train" / "metadata.jsonl").write_text("{'file_name': 1}\n")


@case("two metadata files for one split", "imagefolder", "metadata.csv")
def _(root: Path) -> None:
    (root / "train" / "metadata.csv").write_text("file_name,text\n0.png,a\n")


@case("a shard that is truncated", "webdataset", "cc-train-0001.tar")
def _(root: Path) -> None:
    cut(root / "cc-train-0001.tar", 0.15)


def offsets(path: Path) -> list[int]:
    """Where the headers of a tar begin, and its end marker."""
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        return [*(member.offset for member in members), archive.offset]


@case("a shard that is cut between two members", "webdataset", "cc-train-0001.tar")
def _(root: Path) -> None:
    path = root / "cc-train-0001.tar"
    path.write_bytes(path.read_bytes()[: offsets(path)[3]])  # after a whole sample


@case("a shard that is cut within a header", "webdataset", "cc-train-0001.tar")
def _(root: Path) -> None:
    path = root / "cc-train-0001.tar"
    path.write_bytes(path.read_bytes()[: offsets(path)[3] + 100])


@case("a shard that is cut before its end marker", "webdataset", "cc-train-0001.tar")
def _(root: Path) -> None:
    path = root / "cc-train-0001.tar"
    path.write_bytes(path.read_bytes()[: offsets(path)[-1]])


@case("a shard with a damaged header", "webdataset", "cc-train-0001.tar")
def _(root: Path) -> None:
    path = root / "cc-train-0001.tar"
    content = bytearray(path.read_bytes())
    content[offsets(path)[3]] ^= 255
    path.write_bytes(content)


@case("a shard without texts", "webdataset", "cc-train-0002.tar")
def _(root: Path) -> None:
    write_shard(root / "cc-train-0002.tar", 2, start=20, text=False)


# --- archives -------------------------------------------------------------------------------------------------


def pack_tar(path: Path, member: tarfile.TarInfo, content: bytes = b"") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return path


@case("a tar with a path that leads out", "cifar10", "evil.tar.gz")
def _(root: Path) -> Path:
    return pack_tar(root / "evil.tar.gz", tarfile.TarInfo("../../cat/1.png"), image_bytes(".png"))


@case("a tar with an absolute path", "cifar10", "evil.tar.gz")
def _(root: Path) -> Path:
    return pack_tar(root / "evil.tar.gz", tarfile.TarInfo("/tmp/cat/1.png"), image_bytes(".png"))


@case("a tar with a link", "cifar10", "evil.tar.gz")
def _(root: Path) -> Path:
    link = tarfile.TarInfo("cat/1.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return pack_tar(root / "evil.tar.gz", link)


@case("a tar with a device", "cifar10", "evil.tar.gz")
def _(root: Path) -> Path:
    device = tarfile.TarInfo("cat/1.png")
    device.type = tarfile.CHRTYPE
    return pack_tar(root / "evil.tar.gz", device)


@case("a tar that is a bomb", "cifar10", "bomb.tar.gz")
def _(root: Path) -> Path:
    return pack_tar(root / "bomb.tar.gz", tarfile.TarInfo("cat/1.png"), bytes(70 << 20))


@case("a zip that is a bomb", "cifar10", "bomb.zip")
def _(root: Path) -> Path:
    with zipfile.ZipFile(root / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/1.png", bytes(70 << 20))
    return root / "bomb.zip"


@case("a zip with a path that leads out", "cifar10", "evil.zip")
def _(root: Path) -> Path:
    with zipfile.ZipFile(root / "evil.zip", "w") as archive:
        archive.writestr("..\\..\\cat\\1.png", image_bytes(".png"))
    return root / "evil.zip"


@case("a zip with a link", "cifar10", "evil.zip")
def _(root: Path) -> Path:
    info = zipfile.ZipInfo("cat/1.png")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(root / "evil.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    return root / "evil.zip"


@case("a zip that is encrypted", "cifar10", "locked.zip")
def _(root: Path) -> Path:
    path = root / "locked.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cat/1.png", image_bytes(".png"))
    content = bytearray(path.read_bytes())
    content[6] |= 1  # the flag in the member's own header, and in the central directory
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(content))
    return path


@case("an archive that is truncated", "cifar10", "cut.zip")
def _(root: Path) -> Path:
    with zipfile.ZipFile(root / "cut.zip", "w") as archive:
        archive.writestr("cat/1.png", image_bytes(".png"))
    cut(root / "cut.zip")
    return root / "cut.zip"


@case("a tar that is cut between two members", "cifar10", "cut.tar")
def _(root: Path) -> Path:
    path = root.parent / "cut.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(root, arcname=root.name)
    path.write_bytes(path.read_bytes()[: offsets(path)[-2]])
    return path


@case("an empty archive", "cifar10", "empty.tar")
def _(root: Path) -> Path:
    (root / "empty.tar").write_bytes(b"")
    return root / "empty.tar"


@case("an archive that Python cannot open", "tid2013", "tid2013.rar")
def _(root: Path) -> Path:
    (root / "tid2013.rar").write_bytes(b"Rar!")
    return root / "tid2013.rar"


def test_there_are_at_least_fifty_ways() -> None:
    assert len(CASES) >= 50
    assert len({(name, dataset) for name, dataset, _, _ in CASES}) == len(CASES)


@pytest.mark.parametrize(
    ("name", "dataset", "mentions", "damage"), CASES, ids=[c[0].replace(" ", "-") for c in CASES]
)
def test_a_malformed_data_set_is_named_with_what_to_do(
    name: str,
    dataset: str,
    mentions: str,
    damage: Damage,
    tree: Callable[[str], Path],
    load: Callable[..., Any],
) -> None:
    root = tree(dataset)
    instead = damage(root)
    with pytest.raises(DatasetError) as caught:
        load(dataset, data_dir=instead or root)
    message = str(caught.value)
    assert mentions.lower() in message.lower()
    advice = message.rpartition(": ")[2].rpartition("; ")[2]
    assert any(word in advice for word in ADVICE), message
    assert "Traceback" not in message
    assert "\n" not in message


ADVICE = (
    *(
        "correct",
        "download",
        "get it from",
        "give",
        "leave",
        "move",
        "name",
        "remove",
        "rename",
        "replace",
    ),
    *("save", "unpack", "use", "complete", "keep"),
)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_a_folder_without_read_permission_is_named(
    tree: Callable[[str], Path], load: Callable[..., Any]
) -> None:
    root = tree("osie")
    (root / "stimuli").chmod(0)
    try:
        if os.geteuid() == 0:  # root may read everything: become somebody else for this call
            os.seteuid(65534)
        with pytest.raises(DatasetError, match="cannot be read"):
            load("osie", data_dir=root)
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        (root / "stimuli").chmod(0o755)
