"""Hostile data sets: images, archives, tables and folders that `clipdyn prepare` is given end in one sentence.

Where the fragment is a number of rows, the damage bears on nothing that is needed, and the command succeeds.
"""

import io
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from hostile.harness import Outcome, Victim
from official_trees.images import image_bytes, write_image
from official_trees.trees import TREES

from hf_clipdyn.data.tables import read_csv, read_whole_numbers
from hf_clipdyn.errors import DatasetError

Damage = Callable[[Path], Path | None]
"""Breaks a tree; what it returns, if anything, is given in place of the tree."""


@dataclass(frozen=True)
class Case:
    """One hostile data set, and a part of what must be said of it."""

    name: str
    dataset: str
    said: str
    damage: Damage
    fast: bool = False


CASES: list[Case] = []


def case(name: str, dataset: str, said: str, fast: bool = False) -> Callable[[Damage], Damage]:
    def add(damage: Damage) -> Damage:
        CASES.append(Case(name, dataset, said, damage, fast))
        return damage

    return add


# --- images ---------------------------------------------------------------------------------------------------

IMAGE = "0000.png"
AT = Path("test") / "airplane" / IMAGE


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *chunks: bytes, rows: int = 0) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(rows * (width + 1)), 9))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + body + chunk(b"IEND", b"")


def tiff(*entries: tuple[int, int, int, int], following: int = 0) -> bytes:
    """A TIFF of one directory with these entries: tag, type, number and value."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return (
        struct.pack("<2sHI", b"II", 42, 8)
        + struct.pack("<H", len(entries))
        + body
        + struct.pack("<I", following)
    )


def compressed(size: int) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()


NO_FORMAT = "is not an image in any of the formats"
IMAGES: dict[str, tuple[bytes, str]] = {
    "PostScript": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) show\n%%EOF\n",
        NO_FORMAT,
    ),
    "nothing": (b"", "is empty"),
    "a vector graphic": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', NO_FORMAT),
    "a pickle": (b"cos\nsystem\n(S'touch ran'\ntR.", NO_FORMAT),
    "a PNG of 169 million pixels": (png(13_000, 13_000), "more than 89,478,485"),
    "a PNG whose text unpacks to 100 MB": (
        png(8, 8, chunk(b"zTXt", b"a\0\0" + compressed(100 << 20)), rows=8),
        "unpack this file",
    ),
    "a PNG with a wrong checksum": (png(8, 8, rows=8).replace(b"IHDR", b"IHDX"), NO_FORMAT),
    "a cut JPEG": (image_bytes(".jpg", (64, 64))[:300], "unpack this file"),
    "a TIFF with a value of 4 GB": (
        tiff((256, 4, 1, 8), (257, 4, 1, 8), (270, 2, 2**32 - 1, 9)),
        "unpack this file",
    ),
}


def replaced(content: bytes) -> Damage:
    def damage(root: Path) -> None:
        (root / AT).write_bytes(content)

    return damage


for name, (content, said) in IMAGES.items():
    fast = name in ("PostScript", "a PNG of 169 million pixels")
    CASES.append(Case(f"{name} in place of an image", "cifar10", said, replaced(content), fast))


@case("a pipe in place of an image", "cifar10", "rows", fast=True)
def _(root: Path) -> None:
    (root / AT).unlink()
    os.mkfifo(root / AT)


@case("a link to an endless device in place of an image", "cifar10", "rows")
def _(root: Path) -> None:
    (root / AT).unlink()
    (root / AT).symlink_to("/dev/zero")


@case("a link to nothing in place of an image", "cifar10", "0000.png does not exist")
def _(root: Path) -> None:
    (root / AT).unlink()
    (root / AT).symlink_to(root / "nowhere")


@case("a link to a secret in place of an image", "cifar10", NO_FORMAT)
def _(root: Path) -> None:
    (root / AT).unlink()
    (root / AT).symlink_to(root.parents[1] / "victim" / "secret.txt")


@case("a folder in place of an image", "cifar10", "rows")
def _(root: Path) -> None:
    (root / AT).unlink()
    (root / AT).mkdir()


# --- archives -------------------------------------------------------------------------------------------------


def tar(path: Path, name: str = "cat/1.png", content: bytes = b"", mode: str = "w:gz", **fields: Any) -> Path:
    with tarfile.open(path, mode) as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        for field, value in fields.items():
            setattr(info, field, value)
        archive.addfile(info, io.BytesIO(content))
    return path


def packed(path: Path, name: str = "cat/1.png", content: bytes = b"", **fields: Any) -> Path:
    info = zipfile.ZipInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(info, content, compress_type=zipfile.ZIP_DEFLATED)
    return path


BOMB = "looks like a decompression bomb"
LEADS_OUT = "a path that leads out of it"
ARCHIVES: dict[str, tuple[str, Damage]] = {
    "a gzipped tar of zeros": (BOMB, lambda at: tar(at / "x.tar.gz", content=bytes(70 << 20))),
    "a zip of zeros": (BOMB, lambda at: packed(at / "x.zip", content=bytes(70 << 20))),
    "a tar that leads out": (LEADS_OUT, lambda at: tar(at / "x.tar.gz", "../../../victim/evil.png")),
    "a tar with an absolute path": (
        LEADS_OUT,
        lambda at: tar(at / "x.tar.gz", str(at.parents[1] / "victim" / "e.png")),
    ),
    "a zip that leads out": (LEADS_OUT, lambda at: packed(at / "x.zip", "cat/../../../../victim/evil.png")),
    "a tar with a link": (
        "a link or a device",
        lambda at: tar(at / "x.tar", type=tarfile.SYMTYPE, linkname="/etc"),
    ),
    "a tar with a hard link": (
        "a link or a device",
        lambda at: tar(at / "x.tar", type=tarfile.LNKTYPE, linkname="/etc/passwd"),
    ),
    "a tar with a device": ("a link or a device", lambda at: tar(at / "x.tar", type=tarfile.CHRTYPE)),
    "a zip with a link": (
        "contains a link",
        lambda at: packed(at / "x.zip", content=b"/etc", create_system=3, external_attr=0o120777 << 16),
    ),
    "an empty tar": ("is empty", lambda at: written(at / "x.tar", b"")),
    "a tar that is a zip": ("is damaged", lambda at: packed(at / "x.zip", content=b"1").rename(at / "x.tar")),
    "a cut gzipped tar": (
        "is damaged",
        lambda at: cut(tar(at / "x.tar.gz", content=np.random.default_rng(0).bytes(9999))),
    ),
    "a cut zip": ("is damaged", lambda at: cut(packed(at / "x.zip", content=b"1" * 999))),
    "a zip in a zip": (
        NO_FORMAT,
        lambda at: packed(at / "x.zip", "inner.zip", packed(at / "i.zip", content=b"1").read_bytes()),
    ),
}


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def cut(path: Path) -> Path:
    return written(path, path.read_bytes()[: path.stat().st_size // 2])


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


for name, (said, damage) in ARCHIVES.items():
    CASES.append(
        Case(f"{name} in place of a folder", "cifar10", said, damage, name == "a tar that leads out")
    )


@case("a gzipped shard of zeros", "webdataset", BOMB)
def _(root: Path) -> None:
    tar(root / "cc-train-0001.tar", "000000009.jpg", bytes(70 << 20))


@case("a shard that leads out", "webdataset", "rows")  # nothing of a shard is unpacked
def _(root: Path) -> None:
    with tarfile.open(root / "cc-train-0009.tar", "w") as archive:
        for suffix, content in (("jpg", image_bytes(".jpg")), ("txt", b"a caption")):
            info = tarfile.TarInfo(f"../../../victim/evil.{suffix}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


# --- tables ---------------------------------------------------------------------------------------------------

MOS = "mos_with_names.txt"
DMOS = "dist_img,ref_img,dmos,var\n"
ANSWERS = "data/answers_processed_test.json"
CAPTIONS = "annotations/captions_train2017.json"
METADATA = "train/metadata.jsonl"
FIXATIONS = "eye/fixations.mat"
MATLAB = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"
JUDGEMENT = "2afc/val/traditional/judge/000000.npy"
NO_ARRAY, NO_JSON = "is not a NumPy array", "is not JSON"
NO_TEXT, NOT_FINITE = "is not text", "is not a finite number"


def numpy_file(header: bytes) -> bytes:
    return b"\x93NUMPY\1\0\x76\0" + header.ljust(117) + b"\n"


def shape_of(numbers: int) -> bytes:
    return b"{'descr': '<f8', 'fortran_order': False, 'shape': (%d,), }" % numbers


NIGHTS = b"id,left_vote,right_vote,votes,ref_path,left_path,right_path,split,is_imagenet\n"
TEXTS: dict[tuple[str, str], dict[str, tuple[bytes, str]]] = {
    ("tid2013", MOS): {
        "a number of 5,000 digits": (b"9" * 5000 + b" i01_01_1.bmp\n", NOT_FINITE),
        "an infinite score": (b"1e999 i01_01_1.bmp\n", NOT_FINITE),
        "one line of 10 MB": (b"a" * (10 << 20), MOS),
        "a name that leads out": (b"5.0 ../../../victim/secret.txt\n", MOS),
        "zeros": (bytes(5000), NO_TEXT),
    },
    ("kadid10k", "dmos.csv"): {
        "a table in UTF-16": (DMOS.encode("utf-16"), NO_TEXT),
        "a cell of 200,000 letters": (DMOS.encode() + b"a" * 200_000, "field larger"),
        "a quote that does not end": (DMOS.encode() + b'"I01', "line 2"),
        "only a header": (DMOS.encode(), "kadid10k"),
        "a column twice": (b"dist_img,dist_img\na,b\n", "has 2 columns of one name"),
    },
    ("material_similarity", ANSWERS): {
        "JSON 100,000 deep": (b"[" * 100_000, NO_JSON),
        "JSON of a number of 10,000 digits": (b"9" * 10_000, NO_JSON),
        "JSON of nothing": (b"null", "answers_processed_test.json"),
    },
    ("coco_captions", CAPTIONS): {
        "JSON of a list": (b"[]", "captions_train2017.json"),
        "JSON of another kind of captions": (b'{"images": 3, "annotations": 3}', "captions_train2017.json"),
        "JSON with lists for keys": (
            b'{"images": [{"id": [], "file_name": 1}], "annotations": []}',
            "captions_train2017.json",
        ),
    },
    ("imagefolder", METADATA): {
        "JSON lines 100,000 deep": (b'{"file_name": ' + b"[" * 100_000, NO_JSON),
        "JSON lines of numbers": (b"1\n2\n", "is not a JSON object"),
        "an image name that leads out": (
            b'{"file_name": "../../../victim/secret.txt", "text": "x"}',
            "leads out",
        ),
        "a caption that is a number": (b'{"file_name": "0.png", "text": 3}', "line 1"),
    },
    ("flickr8k", "captions.txt"): {
        "captions without images": (b"image,caption\nnone.jpg,a\n", "captions.txt")
    },
    ("nights", "data.csv"): {
        "votes that are formulas": (
            NIGHTS + b"0,=1+1,0,1,a,b,c,train,True\n",
            "contains no image of the split",
        )
    },
    ("osie", FIXATIONS): {
        "MATLAB of noise": (bytes(range(256)) * 50, "fixations.mat"),
        "MATLAB that is cut in its tag": (MATLAB + b"\x0e\0", "fixations.mat"),
        "MATLAB with a variable of 4 GB": (MATLAB + struct.pack("<II", 14, 2**32 - 1), "fixations.mat"),
    },
    ("bapps", JUDGEMENT): {
        "an array of 10^15 numbers": (numpy_file(shape_of(10**15)), NO_ARRAY),
        "an array whose header is code": (numpy_file(b"__import__('os').system('touch ran')"), NO_ARRAY),
        "an array of no numbers": (numpy_file(shape_of(0)), "000000.npy"),
    },
}


def text(file: str, content: bytes) -> Damage:
    def damage(root: Path) -> None:
        assert (root / file).is_file()
        (root / file).write_bytes(content)
        (root / "mos_std.txt").unlink(missing_ok=True)  # its length is compared first

    return damage


for (dataset, file), contents in TEXTS.items():
    for name, (content, said) in contents.items():
        fast = name in ("JSON 100,000 deep", "a cell of 200,000 letters")
        CASES.append(Case(f"{name} in {file}", dataset, said, text(file, content), fast))


@case("a pipe in place of a table", "flickr8k", "lacks captions.txt")
def _(root: Path) -> None:
    (root / "captions.txt").unlink()
    os.mkfifo(root / "captions.txt")


@case("a MATLAB file that unpacks to 3 GB", "osie", "it unpacks to more than")
def _(root: Path) -> None:
    packer = zlib.compressobj(1)
    body = b"".join(packer.compress(bytes(1 << 24)) for _ in range(192)) + packer.flush()
    (root / FIXATIONS).write_bytes(MATLAB + struct.pack("<II", 15, len(body)) + body)


@case("Parquet of noise", "hub", "could not be read")
def _(root: Path) -> None:
    (root / "train.parquet").write_bytes(b"PAR1" + bytes(range(256)) + b"PAR1")


@case("Parquet without captions", "hub", "none for the caption")
def _(root: Path) -> None:
    rows = {"image": [{"bytes": image_bytes(".png"), "path": None}], "size": [3]}
    datasets.Dataset.from_dict(rows).to_parquet(root / "train.parquet")


@case("Parquet without rows", "hub", "hub")
def _(root: Path) -> None:
    datasets.Dataset.from_dict({"image": [], "caption": []}).to_parquet(root / "train.parquet")


@case("Parquet with PostScript", "hub", "1 rows")  # written as it is; whoever decodes it is protected
def _(root: Path) -> None:
    rows = {"image": [{"bytes": IMAGES["PostScript"][0], "path": "0.jpg"}], "caption": ["x"]}
    datasets.Dataset.from_dict(rows).to_parquet(root / "train.parquet")


@case("Parquet that names a file outside", "hub", "1 rows")
def _(root: Path) -> None:
    rows = {"image": [{"bytes": image_bytes(".png"), "path": "../../../victim/secret.txt"}], "caption": ["x"]}
    datasets.Dataset.from_dict(rows).to_parquet(root / "train.parquet")


@case("Parquet whose images are null", "hub", "1 rows")  # training counts it as broken
def _(root: Path) -> None:
    datasets.Dataset.from_dict({"image": [None], "caption": ["x"]}).to_parquet(root / "train.parquet")


for name, columns, said in (
    ("captions of numbers", {"caption": [7]}, "Row 0 of the column 'caption'"),
    ("captions of lists of lists", {"caption": [[["a"]]]}, "holds a list of 1: expected a caption as a text"),
    ("images of lists", {"image": [[[1, 2], [3, 4]]]}, "The column 'image'"),
    ("images of numbers", {"image": [7]}, "expected images, their bytes or their paths"),
):

    def write(root: Path, columns: dict[str, Any] = columns) -> None:
        rows = {"image": [{"bytes": image_bytes(".png"), "path": None}], "caption": ["x"]} | columns
        datasets.Dataset.from_dict(rows).to_parquet(root / "train.parquet")

    CASES.append(Case(name, "hub", said, write))


# --- folders --------------------------------------------------------------------------------------------------


@case("a folder that does not exist", "osie", "does not exist", fast=True)
def _(root: Path) -> Path:
    return root / "nowhere"


@case("an empty folder", "osie", "is empty")
def _(root: Path) -> Path:
    (root / "none").mkdir()
    return root / "none"


@case("a device in place of a folder", "osie", "not a folder")
def _(root: Path) -> Path:
    return Path("/dev/zero")


@case("a folder that links to itself", "osie", "loop")
def _(root: Path) -> Path:
    (root / "loop").symlink_to(root / "loop")
    return root / "loop"


@case("a file name that is no UTF-8", "osie", "is not UTF-8")
def _(root: Path) -> None:
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.jpg")).write_bytes(image_bytes(".jpg"))


@case("a file name with a line break", "cue_conflict", "a control character")
def _(root: Path) -> None:
    write_image(root / "cat" / "a\nclipdyn: error: forged\n.png")


@case("the folder of another data set", "cue_conflict", "lacks")
def _(root: Path) -> Path:
    TREES["osie"](root / "other")
    return root / "other"


@case("class folders of another data set", "cifar100", "does not have the layout")
def _(root: Path) -> Path:
    TREES["cue_conflict"](root / "other")
    return root / "other"


TWICE = {
    "a column twice": "image1,image2,choice,choice\n1,2,3,4\n",
    "a column in two cases": "image1,IMAGE1,image2,choice\n1,9,2,3\n",
    "a column in two widths": "image1,image2 ,image2,choice\n1,2,3,4\n",
    "a column that is not read": "image1,image2,choice,note,note\n1,2,3,4,5\n",
}


@pytest.mark.parametrize("text", TWICE.values(), ids=TWICE)
def test_a_table_with_two_columns_of_one_name_is_one_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    for read in (read_csv, read_whole_numbers):
        with pytest.raises(DatasetError, match=r"2 columns of one name .*: remove or") as said:
            read(str(path), ["image1", "image2", "choice"], delimiter=",")
        assert "\n" not in str(said.value)


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(one, id=one.name.replace(" ", "-"), marks=[] if one.fast else [pytest.mark.slow])
        for one in CASES
    ],
)
def test_a_hostile_data_set_is_one_sentence(
    one: Case, clipdyn: Callable[..., Outcome], tmp_path: Path, victim: Victim
) -> None:
    root = tmp_path / "given" / one.dataset
    root.mkdir(parents=True)
    TREES.get(one.dataset, lambda _: None)(root)
    given = one.damage(root) or root
    outcome = clipdyn("prepare", one.dataset, "--data-dir", f"{one.dataset}={given}", "--output", "out")
    if "rows" in one.said:
        outcome.assert_decent()
        assert outcome.code == 0, outcome.err
        assert one.said in outcome.out
    else:
        assert one.said in outcome.sentence
        assert not (tmp_path / "work" / "out").exists()
    assert not (tmp_path / "work" / "ran").exists()


OUTPUTS = {
    "a folder that holds something": ("given", "is not empty"),
    "a file": ("given/file", "is not empty"),
    "a place below a file": ("given/file/out", "could not be written"),
    "a place that nobody may write": ("/proc/out", "could not be written"),
    "a name of 1,000 letters": ("o" * 1000, "cannot be used"),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("output", "said"), OUTPUTS.values(), ids=[name.replace(" ", "-") for name in OUTPUTS]
)
def test_a_hostile_output_is_one_sentence(
    output: str, said: str, clipdyn: Callable[..., Outcome], tmp_path: Path
) -> None:
    (tmp_path / "work" / "given").mkdir()
    (tmp_path / "work" / "given" / "file").write_text("precious")
    outcome = clipdyn("prepare", "procedural", "--dataset-config-name", "distortion", "--output", output)
    assert said in outcome.sentence
    assert (tmp_path / "work" / "given" / "file").read_text() == "precious"


CACHE_CALLS = {
    "an unknown kind": (("--delete", "pixel"), "There is no kind of cache 'pixel'"),
    "a path as a kind": (("--delete", "../../victim"), "There is no kind of cache"),
    "negative days": (("--delete", "all", "--older-than", "-1"), "older_than is"),
    "no number of days": (("--delete", "all", "--older-than", "nan"), "older_than is"),
}


@pytest.mark.parametrize(
    ("options", "said"), CACHE_CALLS.values(), ids=[name.replace(" ", "-") for name in CACHE_CALLS]
)
def test_a_hostile_call_of_cache_deletes_nothing(
    options: tuple[str, ...], said: str, clipdyn: Callable[..., Outcome], tmp_path: Path
) -> None:
    kept = tmp_path / "work" / "caches" / "clipdyn-pixels" / "key" / "pixels.npy"
    kept.parent.mkdir(parents=True)
    kept.write_text("precious")
    assert said in clipdyn("cache", "--cache-dir", "caches", *options).sentence
    assert kept.read_text() == "precious"
