"""A broken file of a data set ends in one line that names it: where numbers, rows or samples would be wrong or lost."""

import json
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from official_trees.captioned import write_shard
from official_trees.images import write_image
from scipy.io import savemat

from hf_clipdyn.errors import DatasetError

Damage = Callable[[Path], Any]
"""Breaks a tree; a path that it returns is loaded in place of the tree."""

CASES: dict[str, tuple[str, str, Damage]] = {}


def case(name: str, dataset: str, said: str) -> Callable[[Damage], Damage]:
    """Register a damage: its name, the data set, and what the message has to mention."""

    def add(damage: Damage) -> Damage:
        CASES[name] = dataset, said, damage
        return damage

    return add


def edit(name: str, dataset: str, said: str, file: str, old: str, new: str) -> None:
    """Register the replacement of the first ``old`` in a text file."""

    @case(name, dataset, said)
    def _(root: Path) -> None:
        text = (root / file).read_text()
        assert old in text
        (root / file).write_text(text.replace(old, new, 1))


def replaced(name: str, dataset: str, file: str, content: bytes | str, said: str = "") -> None:
    """Register another content of a file; the message has to name it, or to mention what is given."""

    @case(name, dataset, said or Path(file).name)
    def _(root: Path) -> None:
        (root / file).parent.mkdir(exist_ok=True)
        (root / file).write_bytes(content if isinstance(content, bytes) else content.encode())


def cut(name: str, dataset: str, file: str, keep: float = 0.5) -> None:
    """Register a file of which a part is left; the message has to name it."""

    @case(name, dataset, Path(file).name)
    def _(root: Path) -> None:
        content = (root / file).read_bytes()
        (root / file).write_bytes(content[: int(len(content) * keep)])


def picture(name: str, dataset: str, file: str, said: str = "") -> None:
    """Register an image where none belongs; the message has to name it, or to mention what is given."""

    @case(name, dataset, said or Path(file).name)
    def _(root: Path) -> None:
        write_image(root / file)


def matlab(name: str, dataset: str, file: str, **variables: Any) -> None:
    """Register a MATLAB file with other variables; the message has to name it."""

    @case(name, dataset, Path(file).name)
    def _(root: Path) -> None:
        savemat(root / file, variables)


# --- folders ----------------------------------------------------------------------------------------------------


@case("a folder that does not exist", "tid2013", "nowhere")
def _(root: Path) -> Path:
    return root / "nowhere"


@case("an empty folder", "flickr8k", "lacks")
def _(root: Path) -> Path:
    (root / "empty").mkdir()
    return root / "empty"


@case("no reference folder", "tid2013", "reference_images")
def _(root: Path) -> None:
    (root / "reference_images").rename(root / "references")


@case("two folders of the same name", "tid2013", "distorted_images")
def _(root: Path) -> None:
    write_image(root / "a" / "DISTORTED_IMAGES" / "i01_01_1.bmp")
    (root / "distorted_images").rename(root / "a" / "distorted_images")


picture("two images that answer to one name", "kadid10k", "images/i01_01_01.PNG", "I01_01_01")
picture("class folders of another data set", "cifar10", "test/zebra/1.png", "zebra")

# --- scores -----------------------------------------------------------------------------------------------------

TID = "mos_with_names.txt"
for name, new in (
    ("a score that is text", "good i01_01_1"),
    ("a score that is NaN", "nan i01_01_1"),
    ("an infinite score", "inf i01_01_1"),
    ("a score outside the scale", "94.6 i01_01_1"),
):
    edit(name, "tid2013", "i01_01_1.bmp", TID, "4.6 i01_01_1", new)
edit("a line without a score", "tid2013", TID, TID, "4.6 i01_01_1", "i01_01_1")
edit("a name of another form", "tid2013", "lena.bmp", TID, "i01_01_1.bmp", "lena.bmp")
edit("a distortion that TID2008 lacks", "tid2008", "i01_18_1", TID, "i01_01_1.bmp", "i01_18_1.bmp")
edit("an image rated twice", "tid2013", "i01_01_1.bmp", TID, "i01_01_2.bmp", "i01_01_1.bmp")
edit("a missing score", "kadid10k", "I01_01", "dmos.csv", ",4.4,", ",,")
edit("a line with too few cells", "kadid10k", "dmos.csv, line 2", "dmos.csv", ",4.4,0.496", "")
edit("a wrong reference", "kadid10k", "dmos.csv, line 2", "dmos.csv", "I01.png,4.4", "I02.png,4.4")
edit("other column names", "kadid10k", "dmos.csv", "dmos.csv", "dist_img", "picture")
edit("two columns of one name", "kadid10k", "dmos.csv", "dmos.csv", "var", "dmos")
edit("no votes at all", "nights", "nights", "data.csv", "\n1,1,0", "\n1,0,0")
edit("a vote that is text", "nights", "data.csv, line 3", "data.csv", "\n1,1,0", "\n1,yes,0")
replaced("an empty score list", "tid2013", TID, b"")
replaced("too few standard deviations", "tid2013", "mos_std.txt", b"0.1\n0.2\n", TID)


@case("a missing reference of a present image", "tid2013", "I01.bmp")
def _(root: Path) -> None:
    (root / "reference_images" / "I01.BMP").unlink()


@case("a score list without any present image", "kadid10k", "no image")
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


@case("a workbook with other columns", "csiq", "csiq.DMOS.xlsx")
def _(root: Path) -> None:
    from openpyxl import Workbook

    book = Workbook()
    book.active.append(["image", "quality"])
    book.save(root / "csiq.DMOS.xlsx")


@case("a workbook with text in place of a score", "csiq", "1600.")
def _(root: Path) -> None:
    from openpyxl import load_workbook

    book = load_workbook(root / "csiq.DMOS.xlsx")
    book["all_by_image"]["I5"] = "n/a"
    book.save(root / "csiq.DMOS.xlsx")


# --- recordings and answers ---------------------------------------------------------------------------------------

FIXATIONS = "eye/fixations.mat"
cut("a truncated MATLAB file", "osie", FIXATIONS)
replaced(
    "a MATLAB file of version 7.3",
    "osie",
    FIXATIONS,
    b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + bytes(1920),
)
matlab("a MATLAB file of another structure", "osie", FIXATIONS, fixations=np.zeros((3, 3)))
matlab("a MATLAB file without the variable", "live", "refnames_all.mat", names=[1.0])
matlab(
    "a MATLAB file of another length", "live", "dmos.mat", dmos=np.zeros((1, 779)), orgs=np.zeros((1, 779))
)
POINTS = "trainSet/FIXATIONLOCS/Art/001.mat"
matlab("points of another size than the picture", "cat2000", POINTS, fixLocs=np.ones((3, 3)))
matlab(
    "gaze of another structure", "salicon", "fixations/val/COCO_val2014_000000000009.mat", gaze=np.zeros(3)
)
picture("a photograph without fixations and map", "salicon", "images/train/COCO_train2014_000000000001.jpg")


@case("a map of another size than the photograph", "mit1003", "fixMap.jpg")
def _(root: Path) -> None:
    for path in (root / "ALLFIXATIONMAPS").glob("*_fixMap.jpg"):
        write_image(path, (10, 10))


JUDGEMENT = "2afc/val/traditional/judge/000000.npy"


@case("a judgement that is a pickle", "bapps", "000000.npy")
def _(root: Path) -> None:
    np.save(root / JUDGEMENT, np.array([{"judge": 1}], dtype=object), allow_pickle=True)


@case("a judgement above 1", "bapps", "000000.npy")
def _(root: Path) -> None:
    np.save(root / JUDGEMENT, np.array([1.5]))


ANSWERS = "data/answers_processed_test.json"
cut("truncated JSON", "material_similarity", ANSWERS)


@case("an index out of range", "material_similarity", "index")
def _(root: Path) -> None:
    content = json.loads((root / ANSWERS).read_text())
    content["answers"][0] = [0, 1, 100]
    (root / ANSWERS).write_text(json.dumps(content))


@case("an agreement too few", "material_similarity", Path(ANSWERS).name)
def _(root: Path) -> None:
    content = json.loads((root / ANSWERS).read_text())
    content["agreement"].pop()
    (root / ANSWERS).write_text(json.dumps(content))


@case("a material too few", "material_similarity", "havran1_stpeters_256x256_LDR")
def _(root: Path) -> None:
    (root / "data" / "havran1_stpeters_256x256_LDR" / "material-050.png").unlink()


# --- names and people's trials ------------------------------------------------------------------------------------

picture("a name that is no cue conflict", "cue_conflict", "cat/cat12.png")
picture("a class outside the 16", "cue_conflict", "cat/cat2-zebra1.png")
picture("an image in the folder of another shape", "cue_conflict", "dog/cat5-oven1.png")
TRIALS = "raw-data/low-pass/low-pass_subject-01_session_1.csv"
for name, file, said in (
    ("a stimulus whose name has too few fields", "low-pass/dnn/session-1/0004_lp.png", "0004_lp.png"),
    (
        "a stimulus in a condition that nobody saw",
        "low-pass/dnn/session-1/0004_lp_dnn_4_cat_10_n02123045_1.png",
        "condition of low-pass",
    ),
    (
        "a stimulus of a class that is none of the 16",
        "low-pass/dnn/session-1/0004_lp_dnn_3_zebra_10_n02123045_1.png",
        "one of the 16 classes",
    ),
    ("an edge image outside of the class folders", "edge/lynx/lynx1.png", "one of the 16 classes"),
    ("an edge image in the folder of another class", "edge/dog/cat3.png", "not named like"),
):
    picture(name, "model_vs_human", file, said)
edit("an answer that nobody could give", "model_vs_human", "line 2", TRIALS, "cat,cat", "zebra,cat")
edit(
    "a trial of another class than its image",
    "model_vs_human",
    "another class",
    TRIALS,
    "cat,cat,3",
    "cat,dog,3",
)
edit("a trial in no condition", "model_vs_human", "line 2", TRIALS, ",3.0,", ",nan,")
edit("trials without a class", "model_vs_human", "category", TRIALS, "category", "label")


@case("an answer twice", "model_vs_human", "twice")
def _(root: Path) -> None:
    path = root / TRIALS
    path.write_text(path.read_text() + path.read_text().splitlines()[1] + "\n")


@case("a binary archive that is cut", "cifar10", "test_batch.bin")
def _(root: Path) -> Path:
    (root / "bin").mkdir()
    (root / "bin" / "test_batch.bin").write_bytes(bytes(3000))
    return root / "bin"


# --- captions and archives ----------------------------------------------------------------------------------------

replaced("a caption list without captions", "flickr8k", "captions.txt", "image,caption\n")
replaced("a line without a caption", "flickr8k", "captions.txt", "image,caption\n0_ab.jpg\n", "line 2")
ANNOTATIONS = "annotations/captions_train2017.json"
replaced("annotations of another structure", "coco_captions", ANNOTATIONS, '{"images": [{"id": 1}]}')
replaced(
    "a metadata file without a caption column",
    "imagefolder",
    "test/metadata.csv",
    "file_name,size\n0.png,3\n",
)
replaced(
    "a metadata line that is no JSON", "imagefolder", "train/metadata.jsonl", "{'file_name': 1}\n", "line 1"
)
replaced("two metadata files for one split", "imagefolder", "train/metadata.csv", "file_name,text\n0.png,a\n")


@case("a captions file without its images", "flickr8k", "captions.txt")
def _(root: Path) -> None:
    for path in (root / "Images").iterdir():
        path.unlink()
    write_image(root / "Images" / "other.jpg")


def offsets(path: Path) -> list[int]:
    """Where the headers of a tar begin, and its end marker."""
    with tarfile.open(path) as archive:
        return [*(member.offset for member in archive.getmembers()), archive.offset]


SHARD = "cc-train-0001.tar"
for name, end in (
    ("a shard that is cut between two members", lambda starts: starts[3]),  # after a whole sample
    ("a shard that is cut within a header", lambda starts: starts[3] + 100),
    ("a shard that is cut before its end marker", lambda starts: starts[-1]),
):

    @case(name, "webdataset", SHARD)
    def _(root: Path, end: Callable[[list[int]], int] = end) -> None:
        (root / SHARD).write_bytes((root / SHARD).read_bytes()[: end(offsets(root / SHARD))])


@case("a shard with a damaged header", "webdataset", SHARD)
def _(root: Path) -> None:
    content = bytearray((root / SHARD).read_bytes())
    content[offsets(root / SHARD)[3]] ^= 255
    (root / SHARD).write_bytes(content)


@case("a shard without texts", "webdataset", "cc-train-0002.tar")
def _(root: Path) -> None:
    write_shard(root / "cc-train-0002.tar", 2, start=20, text=False)


@case("a tar that is cut between two members", "cifar10", "cut.tar")
def _(root: Path) -> Path:
    path = root.parent / "cut.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(root, arcname=root.name)
    path.write_bytes(path.read_bytes()[: offsets(path)[-2]])
    return path


@case("a zip that is cut", "cifar10", "cut.zip")
def _(root: Path) -> Path:
    path = root.parent / "cut.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cat/1.png", bytes(999))
    path.write_bytes(path.read_bytes()[:500])
    return path


@pytest.mark.parametrize(
    ("dataset", "said", "damage"), CASES.values(), ids=[name.replace(" ", "-") for name in CASES]
)
def test_a_malformed_data_set_is_one_line(
    dataset: str, said: str, damage: Damage, tree: Callable[[str], Path], load: Callable[..., Any]
) -> None:
    root = tree(dataset)
    instead = damage(root)
    with pytest.raises(DatasetError) as caught:
        load(dataset, data_dir=instead or root)
    assert said.lower() in str(caught.value).lower()
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_a_folder_without_read_permission_is_named(
    tree: Callable[[str], Path], load: Callable[..., Any]
) -> None:
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
