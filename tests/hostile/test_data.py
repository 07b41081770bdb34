"""Hostile data sets that `clipdyn prepare` is given: nothing leaves its folder, and nothing runs."""

import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile.harness import Outcome, Victim
from official_trees.images import image_bytes
from official_trees.trees import TREES

PNG = image_bytes(".png")


def tar(path: Path, name: str = "cat/1.png", content: bytes = PNG, **fields: Any) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        for field, value in fields.items():
            setattr(info, field, value)
        archive.addfile(info, io.BytesIO(content))
    return path


def packed(path: Path, name: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), PNG)
    return path


ARCHIVES: dict[str, Callable[[Path], Path]] = {
    "a tar that leads out": lambda at: tar(at / "x.tar.gz", "../../../victim/evil.png"),
    "a tar with a link that leads out": lambda at: tar(
        at / "x.tar.gz", content=b"", type=tarfile.SYMTYPE, linkname="/etc"
    ),
    "a tar with a hard link that leads out": lambda at: tar(
        at / "x.tar.gz", content=b"", type=tarfile.LNKTYPE, linkname="../../../victim/secret.txt"
    ),
    "a tar with a device": lambda at: tar(at / "x.tar.gz", content=b"", type=tarfile.CHRTYPE),
    "a zip that leads out": lambda at: packed(at / "x.zip", "cat/../../../../victim/evil.png"),
    "a zip with an absolute path": lambda at: packed(
        at / "x.zip", str(at.parents[1] / "victim" / "evil.png")
    ),
}


@pytest.mark.parametrize("make", ARCHIVES.values(), ids=[name.replace(" ", "-") for name in ARCHIVES])
def test_an_archive_writes_nothing_outside_of_its_folder(
    make: Callable[[Path], Path], clipdyn: Callable[..., Outcome], tmp_path: Path, victim: Victim
) -> None:
    root = tmp_path / "given" / "cifar10"
    root.mkdir(parents=True)
    path = make(root)
    outcome = clipdyn("prepare", "cifar10", "--data-dir", f"cifar10={path}", "--output", "out")
    if path.suffix == ".zip":  # its paths are cut off, and the picture is found inside
        outcome.assert_decent()
    else:
        assert "x.tar.gz" in outcome.sentence
        assert not (tmp_path / "work" / "out").exists()


def test_nothing_of_a_shard_is_unpacked(
    clipdyn: Callable[..., Outcome], tmp_path: Path, victim: Victim
) -> None:
    root = tmp_path / "given" / "webdataset"
    root.mkdir(parents=True)
    TREES["webdataset"](root)
    with tarfile.open(root / "cc-train-0009.tar", "w") as archive:
        for suffix, content in (("jpg", image_bytes(".jpg")), ("txt", b"a caption")):
            info = tarfile.TarInfo(f"../../../victim/evil.{suffix}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    outcome = clipdyn("prepare", "webdataset", "--data-dir", f"webdataset={root}", "--output", "out")
    outcome.assert_decent()
    assert outcome.code == 0, outcome.err


def test_a_file_name_that_is_no_utf_8_is_one_sentence(
    clipdyn: Callable[..., Outcome], tmp_path: Path
) -> None:
    root = tmp_path / "given" / "osie"
    root.mkdir(parents=True)
    TREES["osie"](root)
    name = os.fsdecode(b"caf\xe9")
    (root / "stimuli").rename(root / name)
    assert (
        "lacks stimuli"
        in clipdyn("prepare", "osie", "--data-dir", f"osie={root}", "--output", "out").sentence
    )


OUTPUTS = {
    "a folder that holds something": ("given", "is not empty"),
    "a file": ("given/file", "Not a directory"),
    "a place below a file": ("given/file/out", "out"),
    "a place that nobody may write": ("/proc/out", "out"),
    "a name of 1,000 letters": ("o" * 1000, "File name too long"),
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
