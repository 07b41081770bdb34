"""Images are opened in one place, which runs no program and decodes no bomb."""

import io
import os
import re

import datasets
import numpy as np
import pytest
from hostile.harness import GIB, call
from PIL import Image
from transformers import CLIPImageProcessor

from hf_clipdyn import load_dataset
from hf_clipdyn.data.images import SafeImage, decode, open_image, size_of
from hf_clipdyn.data.pixels import decode_pixels

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) show\n%%EOF\n"
PROCESSOR = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})


def one_colour(side):
    buffer = io.BytesIO()
    Image.new("L", (side, side)).save(buffer, "PNG")
    return buffer.getvalue()


def turned(form, orientation):
    """A picture whose four corners differ, with an EXIF orientation."""
    pixels = np.zeros((48, 32, 3), np.uint8)
    pixels[:24, :16], pixels[24:, :16], pixels[24:, 16:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, exif=exif)
    return buffer.getvalue()


def column(cells):
    return datasets.Dataset.from_dict({"image": cells}).cast_column("image", datasets.Image())


@pytest.fixture
def ghostscript(tmp_path, monkeypatch):
    """A program of that name, first in the path; the file appears when it is run."""
    ran = tmp_path / "it-ran"
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "gs").write_text(f"#!/bin/sh\ntouch '{ran}'\n")
    (folder / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)  # it remembers where it is
    return ran


def test_postscript_that_is_named_jpg_never_starts_ghostscript(ghostscript, tmp_path, tree, load):
    with pytest.raises(OSError, match="cannot identify image file"):  # what the trap leaves cannot be read
        Image.open(io.BytesIO(EPS)).load()
    assert ghostscript.exists(), "the trap does not work"
    ghostscript.unlink()
    root = tree("flickr8k")
    (root / "Images" / "0_ab.jpg").write_bytes(EPS)
    loaded = load("flickr8k", data_dir=root, split="train")
    rows = {"image": [{"bytes": EPS, "path": "000.jpg"}], "caption": ["a dog"]}
    (tmp_path / "mirror").mkdir()
    datasets.Dataset.from_dict(rows).to_parquet(tmp_path / "mirror" / "train.parquet")
    mirror = load(str(tmp_path / "mirror"), split="train")
    for broken in (
        lambda: mirror[0]["image"],
        lambda: loaded[0]["image"],
        lambda: loaded["image"][0],
        lambda: next(iter(load("flickr8k", data_dir=root, split="train", streaming=True))),
        lambda: decode(open_image(EPS)),
        lambda: size_of(EPS),
    ):
        with pytest.raises(OSError, match="cannot identify image file"):
            broken()
    assert decode_pixels(loaded, PROCESSOR, cache_dir=tmp_path).broken.tolist() == [True, False, False]
    assert not ghostscript.exists()


def test_no_other_module_opens_images(checkout):
    sources = [path for path in (checkout / "hf_clipdyn").rglob("*.py") if path.name != "images.py"]
    opening = re.compile(r"Image\.open\(|load_image\(|imread\(|decode_image\(.*torchvision|read_image\(")
    assert [path.name for path in sources if opening.search(path.read_text(encoding="utf-8"))] == []


def test_the_feature_is_that_of_datasets_to_all_others(tmp_path):
    dataset = load_dataset("procedural", "labels", split="test", cache_dir=tmp_path)
    feature = dataset.features["image"]
    assert type(feature) is SafeImage
    assert feature == datasets.Image()
    assert datasets.Image() == feature
    assert feature != datasets.Image(mode="L")
    assert dataset.features.to_dict()["image"] == {"_type": "Image"}
    copy = datasets.concatenate_datasets([dataset, dataset.map(lambda row: row)])
    assert copy[0]["image"].size == copy[len(dataset)]["image"].size


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_read_as_datasets_reads_it(tmp_path, form, orientation):
    content = turned(form, orientation)
    theirs = datasets.Image().decode_example({"bytes": content, "path": None})
    ours = decode(open_image(content))
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    assert size_of(content) == theirs.size
    pixels = decode_pixels(column([{"bytes": content, "path": None}]), PROCESSOR, cache_dir=tmp_path)
    expected = PROCESSOR(theirs, do_rescale=False, do_normalize=False, return_tensors="np")["pixel_values"][0]
    np.testing.assert_array_equal(pixels.array[0], expected.transpose(1, 2, 0).astype(np.uint8))


def test_an_image_of_too_many_pixels_is_never_decoded():
    with pytest.raises(OSError, match="exceeds limit"):
        open_image(one_colour(14_000))


def _decode_many(folder, side, count):
    cells = [{"bytes": one_colour(side), "path": None}] * count
    pixels = decode_pixels(column(cells), PROCESSOR, cache_dir=folder, disable_tqdm=True)
    print(int(pixels.broken.sum()), "broken")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("side", "count", "memory", "broken"), [(5000, 8, GIB, 0), (9000, 12, 2 * GIB, 0), (14_000, 64, GIB, 64)]
)
def test_large_images_exhaust_no_memory(tmp_path, side, count, memory, broken):
    outcome = call(_decode_many, tmp_path / "cache", side, count, printed=tmp_path, memory=memory)
    if broken:
        assert "None of the 64 images" in outcome.err
    else:
        assert outcome.out.strip() == "0 broken"
