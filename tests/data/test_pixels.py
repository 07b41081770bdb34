"""The cache of decoded pixels."""

import io

import datasets
import numpy as np
import pytest
from PIL import Image
from transformers import CLIPImageProcessor, CLIPImageProcessorPil, Siglip2ImageProcessor

from hf_clipdyn.data.pixels import decode_pixels
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.preprocess import input_size, resize_and_crop, squashing_processor

PROCESSOR = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})


def _png(seed, size=(24, 20)):
    rng = np.random.default_rng(seed)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _jpeg(seed, size):
    rng = np.random.default_rng(seed)
    buffer = io.BytesIO()
    noise = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8))
    noise.resize(size).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def _dataset(files):
    rows = {"image": [{"bytes": data, "path": None} for data in files]}
    return datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())


@pytest.mark.parametrize("kind", ["clip", "squash", "bilinear", "pillow"])
@pytest.mark.parametrize("distorts", [False, True])
def test_each_way_to_resize_gives_the_pixels_of_the_processor(kind, distorts, tmp_path):
    settings = {"size": {"shortest_edge": 18}, "crop_size": {"height": 17, "width": 16}}
    if kind == "squash":
        settings = {"size": {"height": 18, "width": 15}, "do_center_crop": False}
    elif kind == "bilinear":
        settings |= {"resample": 2}
    processor = (CLIPImageProcessorPil if kind == "pillow" else CLIPImageProcessor)(**settings)
    images = [Image.open(io.BytesIO(_jpeg(i, (30 + 7 * i, 61 - 3 * i)))).convert("RGB") for i in range(6)]
    given = {"distort": lambda pixels, i: 255 - pixels // (i + 1), "distort_key": "x"} if distorts else {}
    files = [_jpeg(i, image.size) for i, image in enumerate(images)]
    pixels = decode_pixels(_dataset(files), processor, cache_dir=tmp_path, **given)
    for i, image in enumerate(images):
        shown = 255 - np.array(image) // (i + 1) if distorts else np.array(image)
        assert np.array_equal(pixels.array[i], resize_and_crop(processor, [shown])[0])


def test_broken_images_are_marked_and_move_no_row(tmp_path):
    files = [_png(0)[:40], *[b""] * 130, *(_png(i) for i in range(70)), b"not an image"]  # more than a batch
    pixels = decode_pixels(_dataset(files), PROCESSOR, cache_dir=tmp_path)
    assert (~pixels.broken).nonzero()[0].tolist() == list(range(131, 201))
    assert not pixels.array[pixels.broken].any()
    alone = decode_pixels(_dataset(files[131:201]), PROCESSOR, cache_dir=tmp_path)
    np.testing.assert_array_equal(pixels.array[131:201], alone.array)


def test_only_broken_images_are_an_error(tmp_path):
    with pytest.raises(DatasetError, match="None of the 3 images"):
        decode_pixels(_dataset([b""] * 3), PROCESSOR, cache_dir=tmp_path)


def test_a_second_call_reads_the_cache_and_the_key_follows_content_and_processor(tmp_path):
    dataset, place = _dataset([_png(0), _png(1)]), {"cache_dir": tmp_path / "a"}
    whole = CLIPImageProcessor(size={"height": 16, "width": 16}, do_center_crop=False)
    first = decode_pixels(dataset, PROCESSOR, **place)
    alike = [decode_pixels(dataset, PROCESSOR, cache_dir=tmp_path / name) for name in "ab"]
    assert {one.fingerprint for one in alike} == {first.fingerprint}
    assert len(list((tmp_path / "a" / "clipdyn-pixels").iterdir())) == 1
    others = [(dataset, whole), (_dataset([_png(0), _png(2)]), PROCESSOR)]
    prints = {decode_pixels(rows, processor, **place).fingerprint for rows, processor in others}
    assert len(prints | {first.fingerprint}) == 3


@pytest.mark.parametrize("budget", [4, 11])
def test_a_processor_of_patches_is_given_the_square_of_its_budget(tmp_path, budget):
    processor = Siglip2ImageProcessor(patch_size=8, max_num_patches=budget)
    side = 8 * int(budget**0.5)
    assert input_size(processor) == (side, side)
    files = [_png(0, (20, 20)), _png(1, (40, 40)), _png(2, (20, 50))]
    pixels = decode_pixels(_dataset(files), processor, cache_dir=tmp_path).array
    assert pixels.shape == (3, side, side, 3)
    for row, data in enumerate(files[:2]):  # the square ones
        shown = processor(
            Image.open(io.BytesIO(data)), return_tensors="np", do_rescale=False, do_normalize=False
        )
        rows, columns = shown["spatial_shapes"][0]
        grid = shown["pixel_values"][0, : rows * columns].reshape(rows, columns, 8, 8, 3)
        expected = grid.transpose(0, 2, 1, 3, 4).reshape(side, side, 3)
        np.testing.assert_array_equal(pixels[row], expected)
    squashed = decode_pixels(_dataset(files), squashing_processor(processor), cache_dir=tmp_path)
    np.testing.assert_array_equal(squashed.array, pixels)
