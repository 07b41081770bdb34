"""Every way in which an official folder can be broken ends in one sentence that names the file and what to do."""

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


def changed(name: str, dataset: str, mentions: str, change: Callable[[Path], Any]) -> None:
    """Register a change of the tree itself, whatever the change returns."""

    def damage(root: Path) -> None:
        change(root)

    CASES.append((name, dataset, mentions, damage))


def edit(name: str, dataset: str, mentions: str, file: str, old: str, new: str) -> None:
    """Register the replacement of the first ``old`` in a text file."""

    def change(root: Path) -> None:
        text = (root / file).read_text()
        assert old in text
        (root / file).write_text(text.replace(old, new, 1))

    changed(name, dataset, mentions, change)


def cut(path: Path, keep: float = 0.5) -> Path:
    return written(path, path.read_bytes()[: int(path.stat().st_size * keep)])


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def truncated(name: str, dataset: str, file: str, keep: float = 0.5) -> None:
    """Register a file of which a part is left; the message has to name it."""
    changed(name, dataset, Path(file).name, lambda root: cut(root / file, keep))


def replaced(name: str, dataset: str, file: str, content: bytes, mentions: str = "") -> None:
    """Register another content of a file; the message has to name it, or to mention what is given."""
    changed(name, dataset, mentions or Path(file).name, lambda root: written(root / file, content))


def picture(name: str, dataset: str, file: str, mentions: str = "") -> None:
    """Register an image where none belongs; the message has to name it, or to mention what is given."""
    changed(name, dataset, mentions or Path(file).name, lambda root: write_image(root / file))


def instead(name: str, dataset: str, mentions: str, make: Callable[[Path], Path]) -> None:
    """Register a path that is loaded in place of the tree."""
    case(name, dataset, mentions)(make)


def matlab(name: str, dataset: str, file: str, **variables: Any) -> None:
    """Register a MATLAB file with other variables; the message has to name it."""
    changed(name, dataset, Path(file).name, lambda root: savemat(root / file, variables))


# --- images ---------------------------------------------------------------------------------------------------


truncated("a truncated BMP", "tid2013", "distorted_images/i01_01_1.bmp")
truncated("a truncated PNG", "kadid10k", "images/I01_01_01.png", 0.8)
truncated("a truncated JPEG", "osie", "stimuli/1001.jpg")
replaced("a zero-byte image", "cue_conflict", "cat/cat1-cat3.png", b"")
replaced("a zero-byte reference", "live", "refimgs/womanhat.bmp", b"")
replaced("a text that is called an image", "nights", "distort/000/003_0.png", b"no picture")


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


instead("a folder that does not exist", "tid2013", "nowhere", lambda root: root / "nowhere")
instead("a file in place of a folder", "osie", "fixations.mat", lambda root: root / "eye" / "fixations.mat")


@case("an empty folder", "flickr8k", "is empty")
def _(root: Path) -> Path:
    (root / "empty").mkdir()
    return root / "empty"


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


picture("two images that answer to one name", "kadid10k", "images/i01_01_01.PNG", "I01_01_01")
picture("class folders of another data set", "cifar10", "test/zebra/1.png", "zebra")


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


replaced("an empty score list", "tid2013", TID, b"")
replaced("a binary score list", "tid2013", TID, bytes(range(256)))
replaced("too few standard deviations", "tid2013", "mos_std.txt", b"0.1\n0.2\n")


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


replaced("a text that is called a workbook", "csiq", "csiq.DMOS.xlsx", b"image,dmos")


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


FIXATIONS = "eye/fixations.mat"
VERSION = b"MATLAB 7.3 MAT-file".ljust(124, b" ") + b"\x00\x02IM"
replaced("a text that is called a MATLAB file", "live", "dmos.mat", b"dmos = [1 2 3]")
truncated("a truncated MATLAB file", "osie", FIXATIONS)
matlab("a MATLAB file without the variable", "live", "refnames_all.mat", names=[1.0])
matlab(
    "a MATLAB file of another length", "live", "dmos.mat", dmos=np.zeros((1, 779)), orgs=np.zeros((1, 779))
)
replaced("a MATLAB file of version 7.3", "osie", FIXATIONS, VERSION.ljust(2048, b"\0"))
matlab("a MATLAB file of another structure", "osie", FIXATIONS, fixations=np.zeros((3, 3)))
matlab(
    "points of another size than the picture",
    "cat2000",
    "trainSet/FIXATIONLOCS/Art/001.mat",
    fixLocs=np.ones((3, 3)),
)
matlab(
    "gaze of another structure", "salicon", "fixations/val/COCO_val2014_000000000009.mat", gaze=np.zeros(3)
)
picture("a photograph without fixations and map", "salicon", "images/train/COCO_train2014_000000000001.jpg")


@case("a recording without gaze", "mit1003", "ajs")
def _(root: Path) -> None:
    for path in (root / "DATA" / "ajs").glob("*.mat"):
        savemat(path, {"x": {"DATA": {"other": 1.0}}})


@case("a map of another size than the photograph", "mit1003", "fixMap.jpg")
def _(root: Path) -> None:
    for path in (root / "ALLFIXATIONMAPS").glob("*_fixMap.jpg"):
        write_image(path, (10, 10))


JUDGEMENT = "2afc/val/traditional/judge/000000.npy"
replaced("a judgement that is no array", "bapps", JUDGEMENT, b"0.4")


@case("a judgement that is a pickle", "bapps", "000000.npy")
def _(root: Path) -> None:
    np.save(root / JUDGEMENT, np.array([{"judge": 1}], dtype=object), allow_pickle=True)


@case("a judgement above 1", "bapps", "000000.npy")
def _(root: Path) -> None:
    np.save(root / JUDGEMENT, np.array([1.5]))


@case("a judged image without its reference", "bapps", "000000.npy")
def _(root: Path) -> None:
    (root / "2afc" / "val" / "traditional" / "ref" / "000000.png").unlink()


ANSWERS = "answers_processed_test.json"
truncated("truncated JSON", "material_similarity", f"data/{ANSWERS}")


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


picture("a name that is no cue conflict", "cue_conflict", "cat/cat12.png")
picture("a class outside the 16", "cue_conflict", "cat/cat2-zebra1.png")
picture("an image in the folder of another shape", "cue_conflict", "dog/cat5-oven1.png")
picture("an image twice", "cue_conflict", "copy/cat/cat1-cat3.png", "cat1-cat3")
edit(
    "an answer that the experiment did not offer",
    "cue_conflict",
    "session_1.csv",
    "raw-data/cue-conflict/cue-conflict_subject-01_session_1.csv",
    "cat,cat",
    "zebra,cat",
)


TRIALS = "raw-data/low-pass/low-pass_subject-01_session_1.csv"
for damaged, file, said in (
    ("whose name has too few fields", "session-1/0004_lp.png", "0004_lp.png' is not named like"),
    (
        "in a condition that nobody saw",
        "session-1/0004_lp_dnn_4_cat_10_n02123045_1.png",
        "'4' is not a condition of low-pass",
    ),
    (
        "of a class that is none of the 16",
        "session-1/0004_lp_dnn_3_zebra_10_n02123045_1.png",
        "'zebra' is not one of the 16 classes",
    ),
    ("twice", "session-2/0001_lp_dnn_3.0_cat_10_n02123045_8.png", "low-pass, condition 3, image n02123045_8"),
):
    picture(f"a stimulus {damaged}", "model_vs_human", f"low-pass/dnn/{file}", said)
for damaged, file, said in (
    ("outside of the class folders", "lynx/lynx1.png", "is not in the folder of one of the 16"),
    ("in the folder of another class", "dog/cat3.png", "is not named like an image of 'dog'"),
):
    picture(f"an edge image {damaged}", "model_vs_human", f"edge/{file}", said)

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


BINARY = "bin/test_batch.bin"
instead(
    "a binary archive that is cut",
    "cifar10",
    "test_batch.bin",
    lambda root: written(root / BINARY, bytes(3000)).parent,
)
instead(
    "the binary archive of another data set",
    "cifar10",
    "test_batch.bin, image 0",
    lambda root: written(root / BINARY, b"\x63" * 3073).parent,
)


# --- captions -------------------------------------------------------------------------------------------------


@case("a captions file without its images", "flickr8k", "captions.txt")
def _(root: Path) -> None:
    for path in (root / "Images").iterdir():
        path.unlink()
    write_image(root / "Images" / "other.jpg")


CAPTIONS, ANNOTATIONS = "captions.txt", "annotations/captions_train2017.json"
replaced("a caption list without captions", "flickr8k", CAPTIONS, b"image,caption\n")
replaced(
    "a line without a caption", "flickr8k", CAPTIONS, b"image,caption\n0_ab.jpg\n", "captions.txt, line 2"
)
replaced("annotations of another structure", "coco_captions", ANNOTATIONS, b'{"images": [{"id": 1}]}')
for name, file, content, said in (
    ("a metadata file without a caption column", "test/metadata.csv", b"file_name,size\n0.png,3\n", ""),
    (
        "a metadata line that is no JSON",
        "train/metadata.jsonl",
        b"{'file_name': 1}\n",
        "metadata.jsonl, line 1",
    ),
    ("two metadata files for one split", "train/metadata.csv", b"file_name,text\n0.png,a\n", ""),
):
    replaced(name, "imagefolder", file, content, said)
truncated("a shard that is truncated", "webdataset", "cc-train-0001.tar", 0.15)


def offsets(path: Path) -> list[int]:
    """Where the headers of a tar begin, and its end marker."""
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        return [*(member.offset for member in members), archive.offset]


def shard_until(name: str, end: Callable[[list[int]], int]) -> None:
    """Register a shard that ends at a byte, told from the offsets of its headers."""

    def damage(root: Path) -> None:
        path = root / "cc-train-0001.tar"
        written(path, path.read_bytes()[: end(offsets(path))])

    CASES.append((name, "webdataset", "cc-train-0001.tar", damage))


shard_until("a shard that is cut between two members", lambda starts: starts[3])  # after a whole sample
shard_until("a shard that is cut within a header", lambda starts: starts[3] + 100)
shard_until("a shard that is cut before its end marker", lambda starts: starts[-1])


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


PNG = image_bytes(".png")


def pack_zip(path: Path, name: str = "cat/1.png", content: bytes = PNG, **fields: Any) -> Path:
    member = zipfile.ZipInfo(name)
    for field, value in fields.items():
        setattr(member, field, value)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content, zipfile.ZIP_DEFLATED)
    return path


@case("a zip that is encrypted", "cifar10", "locked.zip")
def _(root: Path) -> Path:
    path = pack_zip(root / "locked.zip")
    content = bytearray(path.read_bytes())
    content[6] |= 1  # the flag in the member's own header, and in the central directory
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(content))
    return path


@case("a tar that is cut between two members", "cifar10", "cut.tar")
def _(root: Path) -> Path:
    path = root.parent / "cut.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(root, arcname=root.name)
    path.write_bytes(path.read_bytes()[: offsets(path)[-2]])
    return path


instead(
    "an archive that Python cannot open", "tid2013", "x.rar", lambda root: written(root / "x.rar", b"Rar!")
)


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


ADVICE = {
    *("complete", "correct", "download", "get it from", "give", "keep", "leave", "move", "name", "remove"),
    *("rename", "replace", "save", "unpack", "use"),
}


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
