"""The cache of decoded pixels."""

import io
import resource
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image
from transformers import CLIPImageProcessor, CLIPImageProcessorPil, Siglip2ImageProcessor, ViTImageProcessor

from hf_clipdyn.data.pixels import decode_pixels
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.preprocess import input_size, resize_and_crop, squashing_processor

PROCESSOR = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})


def _png(seed: int, size: tuple[int, int] = (24, 20)) -> bytes:
    rng = np.random.default_rng(seed)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _jpeg(seed: int, size: tuple[int, int]) -> bytes:
    rng = np.random.default_rng(seed)
    buffer = io.BytesIO()
    noise = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8))
    noise.resize(size).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def _dataset(files: list[bytes]) -> datasets.Dataset:
    rows = {"image": [{"bytes": data, "path": None} for data in files]}
    return datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())


def test_pixels_are_those_of_the_processor_before_it_normalises(tmp_path: Path) -> None:
    files = [_png(0), _png(1, (17, 40)), _png(2)]
    pixels = decode_pixels(_dataset(files), PROCESSOR, cache_dir=tmp_path)
    assert pixels.array.shape == (3, 16, 16, 3)
    for row, data in enumerate(files):
        expected = PROCESSOR(Image.open(io.BytesIO(data)), return_tensors="np")["pixel_values"][0]
        mine = (pixels.array[row] / 255 - PROCESSOR.image_mean) / PROCESSOR.image_std
        np.testing.assert_allclose(mine.transpose(2, 0, 1), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["clip", "squash", "bilinear", "pillow"])
@pytest.mark.parametrize("distorts", [False, True])
def test_each_way_to_resize_gives_the_pixels_of_the_processor(
    kind: str, distorts: bool, tmp_path: Path
) -> None:
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


def test_broken_images_are_marked_and_do_not_stop(tmp_path: Path) -> None:
    files = [b"", _png(0)[:40], *(_png(i) for i in range(70)), b"not an image"]
    pixels = decode_pixels(_dataset(files), PROCESSOR, cache_dir=tmp_path)
    assert pixels.broken.nonzero()[0].tolist() == [0, 1, 72]
    assert not pixels.array[pixels.broken].any()
    assert pixels.array[2:72].any(axis=(1, 2, 3)).all()


def test_a_first_batch_of_broken_images_moves_no_row(tmp_path: Path) -> None:
    pixels = decode_pixels(_dataset([b""] * 130 + [_png(5)]), PROCESSOR, cache_dir=tmp_path)
    alone = decode_pixels(_dataset([_png(5)]), PROCESSOR, cache_dir=tmp_path)
    assert len(pixels) == 131
    np.testing.assert_array_equal(pixels.array[130], alone.array[0])


def test_only_broken_images_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="None of the 3 images"):
        decode_pixels(_dataset([b""] * 3), PROCESSOR, cache_dir=tmp_path)
    empty = datasets.Dataset.from_dict({"image": [None] * 3}).cast_column("image", datasets.Image())
    with pytest.raises(DatasetError, match="None of the 3 images"):
        decode_pixels(empty, PROCESSOR, cache_dir=tmp_path)


def test_a_second_call_reads_the_cache_and_another_processor_does_not(tmp_path: Path) -> None:
    dataset = _dataset([_png(0)])
    first = decode_pixels(dataset, PROCESSOR, cache_dir=tmp_path)
    again = decode_pixels(dataset, PROCESSOR, cache_dir=tmp_path)
    other = decode_pixels(
        dataset,
        CLIPImageProcessor(size={"height": 16, "width": 16}, do_center_crop=False),
        cache_dir=tmp_path,
    )
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert len(list((tmp_path / "clipdyn-pixels").iterdir())) == 2


def test_the_fingerprint_follows_the_content_and_not_the_place(tmp_path: Path) -> None:
    one = decode_pixels(_dataset([_png(0), _png(1)]), PROCESSOR, cache_dir=tmp_path / "a")
    same = decode_pixels(_dataset([_png(0), _png(1)]), PROCESSOR, cache_dir=tmp_path / "b")
    changed = decode_pixels(_dataset([_png(0), _png(2)]), PROCESSOR, cache_dir=tmp_path / "a")
    assert one.fingerprint == same.fingerprint != changed.fingerprint


def test_a_distortion_is_applied_to_native_pixels_and_named_in_the_cache(tmp_path: Path) -> None:
    dataset = _dataset([_png(0), _png(1)])

    def darken(image: np.ndarray, row: int) -> np.ndarray:
        assert image.shape == (20, 24, 3)
        return image * np.uint8(row)

    pixels = decode_pixels(
        dataset, PROCESSOR, cache_dir=tmp_path, distort=darken, distort_key="times the row"
    )
    clean = decode_pixels(dataset, PROCESSOR, cache_dir=tmp_path)
    assert not pixels.array[0].any()
    np.testing.assert_array_equal(pixels.array[1], clean.array[1])


def test_a_missing_column_is_named_with_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no column 'picture', only image"):
        decode_pixels(_dataset([_png(0)]), PROCESSOR, "picture", cache_dir=tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="file size limits as on Linux")
def test_a_full_disk_is_named_and_leaves_nothing_half(tmp_path: Path) -> None:
    program = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_pixels import PROCESSOR, _dataset, _png
from hf_clipdyn.data.images import decode_tensor
from hf_clipdyn.data.pixels import decode_pixels, has_pixels
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
dataset = _dataset([_png(i) for i in range(200)])
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    decode_pixels(dataset, PROCESSOR, cache_dir={str(tmp_path)!r})
except OSError as error:
    print(error)
"""
    import forked  # the program above imports this module without the other tests' path

    done = forked.run([sys.executable, "-c", program])
    assert done.returncode == 0, done.stderr
    assert f"File too large: '{tmp_path}" in done.stdout
    assert list((tmp_path / "clipdyn-pixels").iterdir()) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 50_000


def test_squashing_shows_the_whole_image_at_the_size_of_the_processor(tmp_path: Path) -> None:
    squashing = squashing_processor(PROCESSOR)
    assert input_size(squashing) == input_size(PROCESSOR) == (16, 16)
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, :12] = 255  # outside the centre crop
    buffer = io.BytesIO()
    Image.fromarray(wide).save(buffer, "PNG")
    rows = _dataset([buffer.getvalue()])
    assert decode_pixels(rows, PROCESSOR, cache_dir=tmp_path).array.max() == 0
    seen = decode_pixels(rows, squashing, cache_dir=tmp_path).array[0]
    expected = np.asarray(Image.fromarray(wide).resize((16, 16), Image.Resampling.BICUBIC))
    assert np.abs(seen.astype(int) - expected).max() <= 2  # torchvision against PIL
    square = _dataset([_png(0, (16, 16))])
    both = [decode_pixels(square, one, cache_dir=tmp_path).array for one in (PROCESSOR, squashing)]
    np.testing.assert_array_equal(*both)


def test_a_processor_whose_output_follows_the_image_is_named() -> None:
    processor = ViTImageProcessor(size={"longest_edge": 32})
    with pytest.raises(DatasetError, match="images of no fixed size"):
        input_size(processor)


@pytest.mark.parametrize("budget", [4, 11])
def test_a_processor_of_patches_is_given_the_square_of_its_budget(tmp_path: Path, budget: int) -> None:
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
