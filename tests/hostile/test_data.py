"""Hostile data sets that `clipdyn prepare` is given: nothing leaves its folder, and nothing runs."""

import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile.harness import Run, victim_beside
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


def _shard_that_leads_out(at: Path) -> Path:
    TREES["webdataset"](at)
    with tarfile.open(at / "cc-train-0009.tar", "w") as archive:
        for suffix, content in (("jpg", image_bytes(".jpg")), ("txt", b"a caption")):
            info = tarfile.TarInfo(f"../../../victim/evil.{suffix}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return at


def _name_that_is_no_text(at: Path) -> Path:
    TREES["osie"](at)
    (at / "stimuli").rename(at / os.fsdecode(b"caf\xe9"))
    return at


def _secret(name: str, file: str) -> Callable[[Path], Path]:
    """A data set one of whose files is a link to somebody's secret."""

    def make(at: Path) -> Path:
        TREES[name](at)
        (at / file).unlink()
        (at / file).symlink_to(victim_beside(at / file))
        return at

    return make


SECRETS = {
    "flickr8k": "captions.txt",
    "kadid10k": "dmos.csv",
    "model_vs_human": "raw-data/low-pass/low-pass_subject-01_session_1.csv",
    "nights": "data.csv",
    "objects92": "rdms.npz",
    "tid2013": "mos_with_names.txt",
}
DATA: dict[str, tuple[str, Callable[[Path], Path], str]] = {
    **{
        name: ("cifar10", make, "x.tar.gz" if " tar " in f" {name} " else "")
        for name, make in ARCHIVES.items()
    },
    "a shard that leads out": ("webdataset", _shard_that_leads_out, ""),
    "a name that is no UTF-8": ("osie", _name_that_is_no_text, "lacks stimuli"),
    **{f"a secret in {name}": (name, _secret(name, file), Path(file).name) for name, file in SECRETS.items()},
}


@pytest.mark.parametrize(
    ("name", "make", "says"), DATA.values(), ids=[name.replace(" ", "-") for name in DATA]
)
def test_data_write_nothing_outside_of_their_folder_and_are_read_inside_or_refused(
    name: str, make: Callable[[Path], Path], says: str, clipdyn: Run, tmp_path: Path
) -> None:
    """Paths of a zip are cut off and a shard is not unpacked, so what they hold is found inside."""
    root = tmp_path / "given" / name
    root.mkdir(parents=True)
    outcome = clipdyn("prepare", name, "--data-dir", f"{name}={make(root)}", "--output", "out")
    if says:
        assert says in outcome.sentence
        assert not (tmp_path / "work" / "out").exists()
    else:
        outcome.assert_decent()
