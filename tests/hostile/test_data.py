"""Hostile data sets: images, archives, tables and folders that `clipdyn prepare` is given end in one sentence.

Where the fragment is a number of rows, the damage bears on nothing that is needed, and the command succeeds.
"""

import gzip
import io
import lzma
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
from scipy.io import savemat

from hf_clipdyn.benchmarks.captions import first_captions
from hf_clipdyn.data.tables import read_csv, read_whole_numbers, read_xlsx
from hf_clipdyn.errors import ConfigError, DatasetError

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
    "a text": (b"no picture", NO_FORMAT),
    "a web page": (b"<!DOCTYPE html><html><body>404</body></html>", NO_FORMAT),
    "a vector graphic": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', NO_FORMAT),
    "a PDF": (b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n%%EOF", NO_FORMAT),
    "a Photoshop file": (b"8BPS\0\1" + bytes(60), NO_FORMAT),
    "an icon": (b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0\x68\4\0\0\x16\0\0\0" + bytes(1200), NO_FORMAT),
    "a FITS file": (b"SIMPLE  =                    T" + b" " * 5000, NO_FORMAT),
    "a pickle": (b"cos\nsystem\n(S'touch ran'\ntR.", NO_FORMAT),
    "noise": (np.random.default_rng(0).bytes(10_000), NO_FORMAT),
    "a PNG of 169 million pixels": (png(13_000, 13_000), "more than 89,478,485"),
    "a PNG of four billion pixels": (png(65_535, 65_535), "pixels"),
    "a PNG without width": (png(0, 9), "unpack this file"),
    "a PNG whose text unpacks to 100 MB": (
        png(8, 8, chunk(b"zTXt", b"a\0\0" + compressed(100 << 20)), rows=8),
        "unpack this file",
    ),
    "a PNG with a wrong checksum": (png(8, 8, rows=8).replace(b"IHDR", b"IHDX"), NO_FORMAT),
    "a PNG without an end": (png(8, 8, rows=8)[:-12], "its last chunk is missing"),
    "a JPEG of four billion pixels": (
        b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\3\1\x11\0\2\x11\0\3\x11\0\xff\xd9",
        "unpack this file",
    ),
    "a cut JPEG": (image_bytes(".jpg", (64, 64))[:300], "unpack this file"),
    "a GIF of four billion pixels": (b"GIF89a\xff\xff\xff\xff\0\0\0;", "unpack this file"),
    "a cut GIF": (b"GIF89a\x08\0\x08\0\0\0\0,\0\0\0\0\x08\0\x08\0\0\2", "unpack this file"),
    "a TIFF that refers to itself": (tiff((256, 4, 1, 8), (257, 4, 1, 8), following=8), "unpack this file"),
    "a TIFF of a huge side": (
        tiff((256, 4, 1, 2**31), (257, 4, 1, 2**31), (258, 3, 1, 8)),
        "unpack this file",
    ),
    "a TIFF with a value of 4 GB": (
        tiff((256, 4, 1, 8), (257, 4, 1, 8), (270, 2, 2**32 - 1, 9)),
        "unpack this file",
    ),
    "a BMP of a huge side": (
        b"BM" + struct.pack("<IIIIiiHH", 54, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 24) + bytes(24),
        "pixels",
    ),
    "a BMP of a negative side": (
        b"BM" + struct.pack("<IIIIiiHH", 54, 0, 54, 40, -8, 8, 1, 24) + bytes(24),
        "unpack this file",
    ),
    "a PPM of a huge side": (b"P6 99999999999999999999 9 255\n", "unpack this file"),
    "a WebP of nothing": (b"RIFF\x0c\0\0\0WEBPVP8 \0\0\0\0", "unpack this file"),
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


@case("a pipe in place of a reference", "tid2013", "unpack the reference images too")
def _(root: Path) -> None:
    (root / "reference_images" / "I01.BMP").unlink()
    os.mkfifo(root / "reference_images" / "I01.BMP")


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


def header_bomb(path: Path, size: int) -> Path:
    """A gzipped tar whose extended header is that long."""
    info = tarfile.TarInfo("header")
    info.type, info.size = tarfile.XHDTYPE, size
    with gzip.open(path, "wb", 1) as file:
        file.write(info.tobuf())
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))
    return path


def sparse(path: Path, name: str, size: int) -> Path:
    """A tar of a few blocks that holds a file of that size, all hole but its end (GNU's old form)."""
    info = tarfile.TarInfo(name)
    info.type = tarfile.GNUTYPE_SPARSE
    head = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    head[124:136] = b"%011o\0" % 512
    head[386:398] = b"\x80" + (size - 512).to_bytes(11, "big")
    head[398:410] = b"%011o\0" % 512
    head[482] = 0
    head[483:495] = b"\x80" + size.to_bytes(11, "big")
    head[148:156] = b"%06o\0 " % (256 + sum(head[:148]) + sum(head[156:512]))
    path.write_bytes(bytes(head) + b"a" * 512 + bytes(1024))
    return path


def posix_sparse(path: Path, name: str, size: int) -> Path:
    """The same in the form of POSIX."""
    form = {"major": "1", "minor": "0", "name": name, "realsize": str(size)}
    headers = {f"GNU.sparse.{key}": value for key, value in form.items()}
    stored = f"1\n{size - 512}\n512\n".encode().ljust(512, b"\0") + b"a" * 512
    return tar(path, name, stored, mode="w", pax_headers=headers)


def huge(path: Path, name: str, size: int) -> Path:
    """A tar of one block that announces a file of that size."""
    info = tarfile.TarInfo(name)
    info.size = size
    return written(path, info.tobuf() + bytes(512))


BOMB = "looks like a decompression bomb"
SPARSE = "contains a sparse file"
LEADS_OUT = "a path that leads out of it"
ARCHIVES: dict[str, tuple[str, Damage]] = {
    "a gzipped tar of zeros": (BOMB, lambda at: tar(at / "x.tar.gz", content=bytes(70 << 20))),
    "a tar with a header of 2 MB": (
        "a header of 2,097,152 bytes",
        lambda at: header_bomb(at / "x.tgz", 2 << 20),
    ),
    "a tar with a sparse file of 10 GB": (SPARSE, lambda at: sparse(at / "x.tar", "cat/1.png", 10 << 30)),
    "a tar with a sparse file of 10 GB in the form of POSIX": (
        SPARSE,
        lambda at: posix_sparse(at / "x.tar", "cat/1.png", 10 << 30),
    ),
    "a zip of zeros": (BOMB, lambda at: packed(at / "x.zip", content=bytes(70 << 20))),
    "a tar that leads out": (LEADS_OUT, lambda at: tar(at / "x.tar.gz", "../../../victim/evil.png")),
    "a tar with an absolute path": (
        LEADS_OUT,
        lambda at: tar(at / "x.tar.gz", str(at.parents[1] / "victim" / "e.png")),
    ),
    "a tar with a path of Windows": (LEADS_OUT, lambda at: tar(at / "x.tar.gz", "C:\\victim\\evil.png")),
    "a zip that leads out": (LEADS_OUT, lambda at: packed(at / "x.zip", "cat/../../../../victim/evil.png")),
    "a zip that leads out backwards": (
        LEADS_OUT,
        lambda at: packed(at / "x.zip", "..\\..\\..\\victim\\evil.png"),
    ),
    "a tar with a link": (
        "a link or a device",
        lambda at: tar(at / "x.tar", type=tarfile.SYMTYPE, linkname="/etc"),
    ),
    "a tar with a hard link": (
        "a link or a device",
        lambda at: tar(at / "x.tar", type=tarfile.LNKTYPE, linkname="/etc/passwd"),
    ),
    "a tar with a device": ("a link or a device", lambda at: tar(at / "x.tar", type=tarfile.CHRTYPE)),
    "a tar with a pipe": ("a link or a device", lambda at: tar(at / "x.tar", type=tarfile.FIFOTYPE)),
    "a zip with a link": (
        "contains a link",
        lambda at: packed(at / "x.zip", content=b"/etc", create_system=3, external_attr=0o120777 << 16),
    ),
    "a tar with a name of 100,000 characters": (
        "a path of 100,000 characters",
        lambda at: tar(at / "x.tar.gz", "a" * 100_000),
    ),
    "a tar with 10,000 nested folders": (
        "a path of 20,005 characters",
        lambda at: tar(at / "x.tar.gz", "a/" * 10_000 + "1.png"),
    ),
    "a tar with a nameless file": ("could not be unpacked", lambda at: tar(at / "x.tar.gz", "./.")),
    "a tar with a name in Latin-1": (
        "is not UTF-8",
        lambda at: tar(at / "x.tar.gz", "cat/caf\udce9.png", image_bytes(".png")),
    ),
    "an empty tar": ("is empty", lambda at: written(at / "x.tar", b"")),
    "a tar of noise": ("is damaged", lambda at: written(at / "x.tar", bytes(range(256)) * 8)),
    "a tar that is a zip": ("is damaged", lambda at: packed(at / "x.zip", content=b"1").rename(at / "x.tar")),
    "a zip that is a tar": ("is damaged", lambda at: tar(at / "x.tar", content=b"1").rename(at / "x.zip")),
    "a cut gzipped tar": (
        "is damaged",
        lambda at: cut(tar(at / "x.tar.gz", content=np.random.default_rng(0).bytes(9999))),
    ),
    "a cut xz tar": (
        "is damaged",
        lambda at: cut(tar(at / "x.tar.xz", content=np.random.default_rng(0).bytes(9999), mode="w:xz")),
    ),
    "a cut bz2 tar": (
        "is damaged",
        lambda at: cut(tar(at / "x.tar.bz2", content=np.random.default_rng(0).bytes(9999), mode="w:bz2")),
    ),
    "a cut zip": ("is damaged", lambda at: cut(packed(at / "x.zip", content=b"1" * 999))),
    "an xz tar that wants 4 GB of memory": ("is damaged", lambda at: hungry(at / "x.tar.xz")),
    "a 7z archive": ("Python cannot open", lambda at: written(at / "x.7z", b"7z\xbc\xaf")),
    "a zip in a zip": (
        NO_FORMAT,
        lambda at: packed(at / "x.zip", "inner.zip", packed(at / "i.zip", content=b"1").read_bytes()),
    ),
    "a zip with a file that is a folder too": ("could not be unpacked", lambda at: doubled(at / "x.zip")),
    "a pipe that is called an archive": ("not a folder", lambda at: pipe(at / "x.zip")),
}


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def cut(path: Path) -> Path:
    return written(path, path.read_bytes()[: path.stat().st_size // 2])


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def hungry(path: Path) -> Path:
    """An xz file whose header asks for a dictionary of 4 GB."""
    content = bytearray(lzma.compress(bytes(100_000), preset=0))
    header = content.index(b"\x21\x01", 12)
    content[header + 2] = 40
    length = (content[12] + 1) * 4
    content[12 + length - 4 : 12 + length] = struct.pack(
        "<I", zlib.crc32(bytes(content[12 : 12 + length - 4]))
    )
    return written(path, bytes(content))


def doubled(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cat", b"1")
        archive.writestr("cat/1.png", b"1")
    return path


for name, (said, damage) in ARCHIVES.items():
    CASES.append(
        Case(f"{name} in place of a folder", "cifar10", said, damage, name == "a tar that leads out")
    )


@case("a shard with a sparse file of 10 MB", "webdataset", SPARSE, fast=True)
def _(root: Path) -> None:
    sparse(root / "cc-train-0001.tar", "000000009.jpg", 10 << 20)


@case("a shard with a sparse file in the form of POSIX", "webdataset", SPARSE)
def _(root: Path) -> None:
    posix_sparse(root / "cc-train-0001.tar", "000000009.jpg", 10 << 20)


@case("a shard with an image of 257 MiB", "webdataset", "has more than 268,435,455 bytes")
def _(root: Path) -> None:
    huge(root / "cc-train-0001.tar", "000000009.jpg", 257 << 20)


@case("a gzipped shard of zeros", "webdataset", BOMB)
def _(root: Path) -> None:
    tar(root / "cc-train-0001.tar", "000000009.jpg", bytes(70 << 20))


@case("a gzipped shard with a header of 2 MB", "webdataset", "a header of 2,097,152 bytes")
def _(root: Path) -> None:
    header_bomb(root / "cc-train-0001.tar", 2 << 20)


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


@case("an endless device in place of a table", "kadid10k", "lacks dmos.csv")
def _(root: Path) -> None:
    (root / "dmos.csv").unlink()
    (root / "dmos.csv").symlink_to("/dev/zero")


@case("a MATLAB file that unpacks to 3 GB", "osie", "it unpacks to more than")
def _(root: Path) -> None:
    packer = zlib.compressobj(1)
    body = b"".join(packer.compress(bytes(1 << 24)) for _ in range(192)) + packer.flush()
    (root / FIXATIONS).write_bytes(MATLAB + struct.pack("<II", 15, len(body)) + body)


@case("fixations that are words", "osie", "fixations.mat")
def _(root: Path) -> None:
    savemat(root / FIXATIONS, {"fixations": np.array(["a", "b"], dtype=object)})


@case("an archive of arrays in place of one", "bapps", "is not a NumPy array")
def _(root: Path) -> None:
    with (root / JUDGEMENT).open("wb") as file:
        np.savez(file, a=np.ones(1))


def workbook(root: Path, sheet: bytes) -> None:
    """CSIQ's workbook, its first sheet replaced."""
    path = root / "csiq.DMOS.xlsx"
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    name = next(name for name in sorted(parts) if name.startswith("xl/worksheets/"))
    parts[name] = sheet
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        for name, content in parts.items():
            book.writestr(name, content)


SHEET = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>%b</sheetData></worksheet>'


@case("a workbook with one cell at the far end", "csiq", "more than 4,194,304 cells")
def _(root: Path) -> None:
    pytest.importorskip("openpyxl")
    declared = SHEET.replace(b"<sheetData>", b'<dimension ref="A1:XFD1048576"/><sheetData>')
    workbook(root, declared % b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>')


@case("a workbook that unpacks to 300 MB", "csiq", "it unpacks to")
def _(root: Path) -> None:
    pytest.importorskip("openpyxl")
    workbook(root, SHEET % (b" " * (300 << 20)))


@case("a workbook of entities", "csiq", "is not an Excel workbook")
def _(root: Path) -> None:
    pytest.importorskip("openpyxl")
    entities = b"".join(b'<!ENTITY e%d "%b">' % (n, b"&e%d;" % (n - 1) * 10) for n in range(1, 10))
    cell = b"<row><c><v>&e9;</v></c></row>"
    workbook(root, b'<!DOCTYPE x [<!ENTITY e0 "aaaaaaaaaa">%b]>' % entities + SHEET % cell)


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


@case("a list of captions with a number", "imagefolder", "line 1 needs file_name and caption")
def _(root: Path) -> None:
    (root / "train" / "metadata.jsonl").unlink(missing_ok=True)
    write_image(root / "1.png")
    (root / "metadata.jsonl").write_text('{"file_name": "1.png", "caption": ["a", 7]}\n')


@case("a stray table", "osie", "test 3 rows", fast=True)
def _(root: Path) -> None:
    datasets.Dataset.from_dict({"metric": ["srcc"]}).to_parquet(root / "results.parquet")


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


@case("a pipe in place of a folder", "osie", "not a folder")
def _(root: Path) -> Path:
    return pipe(root / "pipe")


@case("a folder that links to itself", "osie", "loop")
def _(root: Path) -> Path:
    (root / "loop").symlink_to(root / "loop")
    return root / "loop"


@case("a folder that holds itself", "osie", "test 3 rows")
def _(root: Path) -> None:
    (root / "again").symlink_to(root)


@case("a folder 400 levels deep", "osie", "test 3 rows")
def _(root: Path) -> None:
    folder = root.joinpath(*["d"] * 400)
    folder.mkdir(parents=True)
    write_image(folder / "1.jpg")


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


def test_columns_without_a_name_may_repeat(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(",,image1\n1,2,3\n")
    assert [row["image1"] for _, row in read_csv(str(path), ["image1"])] == ["3"]
    assert read_whole_numbers(str(path), ["image1"], delimiter=",").tolist() == [[3]]


def test_a_workbook_with_a_required_column_twice_is_one_sentence(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book, path = openpyxl.Workbook(), tmp_path / "scores.xlsx"
    for line in (["image", "dmos", "DMOS"], ["a", 1, 2]):
        book.active.append(line)
    book.save(path)
    with pytest.raises(DatasetError, match="2 columns of one name"):
        read_xlsx(str(path), ["image", "dmos"])


@pytest.mark.parametrize("header", ["image,caption,caption", "image,image,caption"])
def test_captions_with_a_column_twice_are_one_sentence(header: str, tmp_path: Path) -> None:
    path = tmp_path / "captions.csv"
    path.write_text(f"{header}\na,b,c\n")
    with pytest.raises(ConfigError, match="each once"):
        first_captions(path, ["a"])


def test_there_are_at_least_sixty() -> None:
    assert len(CASES) >= 60
    assert len({one.name for one in CASES}) == len(CASES)


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
    outcome = clipdyn("prepare", one.dataset, "--data-dir", given, "--output", "out")
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
    outcome = clipdyn("prepare", "procedural", "--config", "distortion", "--output", output)
    assert said in outcome.sentence
    assert (tmp_path / "work" / "given" / "file").read_text() == "precious"


CACHE_CALLS = {
    "an unknown kind": (("--delete", "pixel"), "There is no kind of cache 'pixel'"),
    "a path as a kind": (("--delete", "../../victim"), "There is no kind of cache"),
    "negative days": (("--delete", "all", "--older-than", "-1"), "0 days or more"),
    "no number of days": (("--delete", "all", "--older-than", "nan"), "0 days or more"),
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
