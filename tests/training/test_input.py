"""Reading images by row: the same batches with any number of workers and processes, cached or decoded."""

import io
import itertools
import os
import pickle
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import psutil
import pytest
import torch
from accelerate import Accelerator
from PIL import Image

from hf_clipdyn.data.images import decode_image, decode_tensor
from hf_clipdyn.data.pixels import decode_pixels
from hf_clipdyn.errors import TrainingError
from hf_clipdyn.models.sizes import clip_image_processor, model_size
from hf_clipdyn.training import data
from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.training.data import Batch, Captions, Data, Loading, MappedSource, enlarged, open_data
from hf_clipdyn.training.device import torch_threads
from hf_clipdyn.training.images import Augmentation, CachedImages, DecodedImages, Images, fit_of

PROCESSOR = clip_image_processor(model_size("tiny"))
EVERYTHING = Augmentation(crop_scale_min=0.5, flip=True, color_jitter=0.32)
N = 40


def photograph(i: int, width: int = 60, height: int = 50) -> Image.Image:
    rng = np.random.default_rng(i)
    return Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)).resize((width, height))


def content(image: Image.Image, image_format: str = "JPEG", **settings: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **settings)
    return buffer.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def table(files: Sequence[bytes]) -> datasets.Dataset:
    cells = [{"bytes": file, "path": None} for file in files]
    return datasets.Dataset.from_dict({"image": cells}).cast_column("image", datasets.Image())


# From Python 3.12 on every fork beside a thread is said to be risky; torch's DataLoader forks on Linux.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def epoch_of(source: MappedSource, epoch: int = 1, first_step: int = 0) -> Batch:
    """All batches of an epoch, one after the other."""
    batches = list(source.batches(epoch, first_step))
    return Batch(torch.cat([b.pixels for b in batches]), torch.cat([b.input_ids for b in batches]))


def same(one: Batch, other: Batch) -> bool:
    return torch.equal(one.pixels, other.pixels) and torch.equal(one.input_ids, other.input_ids)


@pytest.fixture(scope="module")
def jpegs() -> datasets.Dataset:
    return table([content(photograph(i)) for i in range(N)])


@pytest.fixture(scope="module")
def captions() -> Captions:
    """Two captions an image, whose tokens are 2 i and 2 i + 1."""
    return Captions(np.arange(2 * N, dtype=np.uint16)[:, None], np.arange(0, 2 * N + 1, 2))


@pytest.fixture
def make(jpegs: datasets.Dataset, captions: Captions, tmp_path: Path) -> Callable[..., MappedSource]:
    def source(
        reading: str = "decoded", augmentation: Augmentation = EVERYTHING, size: int = 8, **settings: Any
    ) -> MappedSource:
        images: Images
        if reading == "decoded":
            images = DecodedImages(jpegs, augmentation, PROCESSOR)
        else:
            larger = enlarged(PROCESSOR, augmentation.room)
            images = CachedImages(
                decode_pixels(jpegs, larger, cache_dir=tmp_path, disable_tqdm=True), augmentation, PROCESSOR
            )
        return MappedSource(images, captions, Loading(**{"seed": 5, "batch_size": size, **settings}))

    return source


@pytest.mark.parametrize("reading", ["cached", "decoded"])
def test_workers_change_no_bit(make: Callable[..., MappedSource], reading: str) -> None:
    alone, helped = make(reading), make(reading, workers=2)
    assert same(epoch_of(alone), epoch_of(helped))
    assert same(epoch_of(alone, 2, 3), epoch_of(helped, 2, 3))
    helped.close()


def test_ctrl_c_leaves_the_workers_to_the_training(make: Callable[..., MappedSource]) -> None:
    source = make(workers=1)
    before = set(psutil.Process().children())
    batches = source.batches(1)
    first = next(batches)
    for worker in set(psutil.Process().children()) - before:
        worker.send_signal(signal.SIGINT)
    assert len([first, *batches]) == source.steps_per_epoch
    source.close()
    assert set(psutil.Process().children()) <= before


def test_the_number_of_threads_changes_no_bit(jpegs: datasets.Dataset, captions: Captions) -> None:
    """At 224 pixels torch divides the sum over an image among its threads."""
    images = DecodedImages(jpegs.select(range(8)), EVERYTHING, clip_image_processor(model_size("vit-b-32")))
    source = MappedSource(images, captions, Loading(0, 8))
    with torch_threads(1):
        expected = epoch_of(source)
    with torch_threads(2):
        assert same(epoch_of(source), expected)


def test_two_processes_together_show_the_augmented_batches_of_one(make: Callable[..., MappedSource]) -> None:
    one = make()
    both = [make(size=4, process_index=rank, num_processes=2).batches(1) for rank in (0, 1)]
    for whole, *parts in zip(one.batches(1), *both, strict=True):
        assert torch.equal(whole.pixels, torch.cat([part.pixels for part in parts]))
        assert torch.equal(whole.input_ids, torch.cat([part.input_ids for part in parts]))


def test_an_image_looks_different_in_each_epoch_and_with_each_seed(make: Callable[..., MappedSource]) -> None:
    epochs = [epoch_of(make(), 1), epoch_of(make(), 2), epoch_of(make(seed=6), 1)]
    looks = [shown.pixels[shown.input_ids[:, 0] < 2] for shown in epochs]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(looks, 2))


def test_cached_and_decoded_images_are_equal_without_augmentation(make: Callable[..., MappedSource]) -> None:
    cached, decoded = (epoch_of(make(reading, Augmentation())) for reading in ("cached", "decoded"))
    assert same(cached, decoded)


@pytest.mark.parametrize("size", [(60, 50), (50, 61), (40, 40), (300, 41), (20, 30), (41, 61), (73, 232)])
@pytest.mark.parametrize("kind", ["crop", "squash", "other"])
def test_a_decoded_image_is_fitted_as_the_processor_does(size: tuple[int, int], kind: str) -> None:
    processor = clip_image_processor(model_size("tiny"))
    if kind == "squash":
        processor.do_center_crop = False
        processor.size = type(processor.size)(height=40, width=48)
    elif kind == "other":
        processor.resample = 2
    pixels = decode_tensor(content(photograph(0, *size)))
    expected = processor([pixels], do_rescale=False, do_normalize=False, return_tensors="pt")
    assert torch.equal(fit_of(processor)(pixels), expected["pixel_values"][0])


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(content(photograph(1)), id="jpeg"),
        pytest.param(content(photograph(1).convert("L")), id="grey"),
        pytest.param(content(photograph(1).convert("CMYK")), id="cmyk"),
        pytest.param(content(photograph(1), progressive=True), id="progressive"),
        pytest.param(content(photograph(1), "PNG"), id="png"),
        pytest.param(content(photograph(1), "WEBP"), id="webp"),
        *(
            pytest.param(content(photograph(1), exif=turned(turn)), id=f"turned {turn}")
            for turn in (1, 3, 6, 8)
        ),
    ],
)
def test_a_decoded_tensor_is_the_decoded_image(file: bytes, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(file)
    expected = np.asarray(decode_image(file)).astype(int)
    for source in (file, str(path), {"bytes": None, "path": str(path)}, Image.open(io.BytesIO(file))):
        pixels = decode_tensor(source)
        assert pixels.dtype == torch.uint8
        assert np.abs(pixels.permute(1, 2, 0).numpy() - expected).max() <= 2


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"%!PS-Adobe-3.0 EPSF-3.0",
        content(photograph(1))[:400],
        b"\xff\xd8\xff" + bytes(100),
        # A header of 60,000 x 60,000 pixels.
        content(photograph(1)).replace(b"\x00\x32\x00\x3c\x03", b"\xea\x60\xea\x60\x03"),
    ],
)
def test_what_pillow_may_not_open_torchvision_may_not_either(file: bytes) -> None:
    with pytest.raises(OSError):  # noqa: PT011  (the message is the parser's)
        decode_tensor(file)


def test_a_pipe_is_no_image(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(OSError, match="not a regular file"):
        decode_tensor(str(tmp_path / "pipe.jpg"))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_image_is_replaced_by_the_same_one_each_time_and_counted_once(workers: int) -> None:
    total = 200
    files = [content(photograph(i, 45, 45)) for i in range(total)]
    files[17] = files[17][:300]
    captions = Captions(np.arange(total, dtype=np.uint16)[:, None], np.arange(total + 1))

    def source() -> MappedSource:
        images = DecodedImages(table(files), Augmentation(flip=True), PROCESSOR)
        return MappedSource(images, captions, Loading(0, 50, workers))

    one, other = source(), source()
    assert same(epoch_of(one), epoch_of(other))
    shown = epoch_of(one, 2).input_ids[:, 0].tolist()
    assert len(shown) == total
    assert 17 not in shown
    assert one.skipped == 1
    one.close()
    other.close()


@pytest.mark.parametrize("good", [0, 90])
def test_more_than_a_hundredth_broken_images_stop_the_run(good: int) -> None:
    files = [content(photograph(i, 45, 45)) for i in range(good)] + [b"broken"] * (100 - good)
    images = DecodedImages(table(files), Augmentation(), PROCESSOR)
    captions = Captions(np.zeros((100, 1), np.uint16), np.arange(101))
    source = MappedSource(images, captions, Loading(0, 100))
    with pytest.raises(TrainingError, match=r"of 100 images cannot be decoded or .* more than 1 %"):
        epoch_of(source)


def test_an_unforked_worker_opens_the_cache_and_does_not_receive_it(
    jpegs: datasets.Dataset, tmp_path: Path
) -> None:
    pixels = decode_pixels(jpegs, PROCESSOR, cache_dir=tmp_path, disable_tqdm=True)
    images = CachedImages(pixels, Augmentation(), PROCESSOR)
    sent = pickle.dumps(images)
    assert len(sent) < pixels.array.nbytes / 4
    again = pickle.loads(sent).read_all(np.arange(N))
    assert torch.equal(again, images.read_all(np.arange(N)))


@pytest.fixture
def prepare(flags: Callable[..., list[str]]) -> Callable[..., Data]:
    def prepared(**changes: object) -> Data:
        config = TrainingConfig.read(flags(**changes))
        return open_data(config, Accelerator(cpu=True))

    return prepared


def test_a_small_data_set_is_cached_and_a_large_one_decoded(
    prepare: Callable[..., Data], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare().reading == "cached"
    assert "Decoding 120 images: their pixels take 576.0 kB in" in capsys.readouterr().err
    assert prepare().reading == "cached"
    assert "Decoding" not in capsys.readouterr().err
    monkeypatch.setattr(data, "_LARGEST_CACHE", 575_999)
    assert prepare(dataloader_num_workers=0).reading == "decoded"
    assert prepare(reading="cached").reading == "cached"


def test_a_cache_that_does_not_fit_on_the_disk_is_refused(
    prepare: Callable[..., Data], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=500_000))
    with pytest.raises(OSError, match=r"they take 576.0 kB, and the disk has 500.0 kB free"):
        prepare()
    assert not list((tmp_path / "cache" / "clipdyn-pixels").iterdir())


@pytest.mark.parametrize(("smallest", "side"), [(0.8, 50), (0.48, 67)])
def test_cached_pixels_leave_room_so_that_no_crop_is_enlarged(
    prepare: Callable[..., Data], tmp_path: Path, smallest: float, side: int
) -> None:
    """The shorter side of a crop is 0.8 of the image's at 80 % of the area, and the root of 0.48 x 3/4 at 48 %."""
    batch = next(prepare(crop_scale_min=smallest).source.batches(1))
    assert batch.pixels.shape == (24, 3, 40, 40)
    (cache,) = (tmp_path / "cache" / "clipdyn-pixels").glob("*/pixels.npy")
    assert np.load(cache, mmap_mode="r").shape == (120, side, side, 3)
