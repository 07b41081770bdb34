"""Streamed training data: the order, where it continues, and what happens to broken shards and samples."""

import io
import itertools
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import forked
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hub_server.faults import Fault
from huggingface_hub import HfApi
from PIL import Image
from training_runs import Stop, finished, hashes, log, wait_for_log
from transformers import CLIPProcessor

from hf_clipdyn import samples_between
from hf_clipdyn.data import load_dataset
from hf_clipdyn.errors import ConfigError, DatasetError, TrainingError
from hf_clipdyn.models.sizes import clip_image_processor, model_size
from hf_clipdyn.models.tokenizers import train_tokenizer
from hf_clipdyn.revisions import list_revisions
from hf_clipdyn.training import streamed
from hf_clipdyn.training.callbacks import Callback
from hf_clipdyn.training.data import Batch, Loading
from hf_clipdyn.training.images import Augmentation
from hf_clipdyn.training.order import RECORD_FILE
from hf_clipdyn.training.streamed import Shards, StreamedSource

Flags = Callable[..., list[str]]
TOKENIZER = train_tokenizer(["sample 0123456789, seen again"], vocab_size=600, context_length=16)
PROCESSOR = CLIPProcessor(image_processor=clip_image_processor(model_size("tiny")), tokenizer=TOKENIZER)


def _png(number: int) -> bytes:
    """An image in the colour (number, number // 256, 0)."""
    file = io.BytesIO()
    Image.new("RGB", (9, 8), (number % 256, number // 256, 0)).save(file, "PNG")
    return file.getvalue()


def _write_tar(
    path: Path, numbers: Sequence[int], broken: Sequence[int] = (), image: bytes | None = None
) -> None:
    """A shard of numbered samples, whose images have the colours of their numbers or are all the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as shard:
        for number in numbers:
            shown = b"no image" if number in broken else image or _png(number)
            for suffix, content in (("png", shown), ("txt", f"sample {number}".encode())):
                info = tarfile.TarInfo(f"{number:06d}.{suffix}")
                info.size = len(content)
                shard.addfile(info, io.BytesIO(content))


def _write_parquet(path: Path, numbers: Sequence[int], captions: Callable[[int], list[str] | None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    schema = pa.schema({"image": image, "captions": pa.list_(pa.string())})
    rows = [{"image": {"bytes": _png(n), "path": None}, "captions": captions(n)} for n in numbers]
    pq.write_table(pa.Table.from_pylist(rows, schema), path)


def _write_shards(folder: Path, kind: str, *, count: int, samples: int) -> None:
    """Shards of numbered samples, as tar or parquet."""
    for i in range(count):
        numbers = range(samples * i, samples * (i + 1))
        if kind == "tar":
            _write_tar(folder / f"{i}.tar", numbers)
        else:
            _write_parquet(folder / f"{i}.parquet", numbers, lambda n: [f"sample {n}"])


@pytest.fixture(autouse=True)
def _no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """`datasets` sleeps for five seconds after it has read Parquet in threads (apache/arrow#45214)."""
    monkeypatch.setattr(datasets.config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", 0, raising=False)


@pytest.fixture
def tars(tmp_path: Path) -> Path:
    """Seven shards of 8 to 14 samples, 77 in all."""
    first = 0
    for i in range(7):
        _write_tar(tmp_path / "tars" / f"{i:05d}.tar", range(first, first + 8 + i))
        first += 8 + i
    return tmp_path / "tars"


def _shards(folder: Path) -> Shards:
    return Shards(load_dataset(str(folder), split="train", streaming=True), folder.name)


def _source(data: Path, *, samples_per_epoch: int = 77, count: int = 0, **changes: Any) -> StreamedSource:
    settings: dict[str, Any] = {"seed": 0, "batch_size": 5, "workers": count} | changes
    augmentation = settings.pop("augmentation", Augmentation())
    return StreamedSource(_shards(data), augmentation, PROCESSOR, Loading(**settings), samples_per_epoch)


def _numbers(batches: Iterator[Batch]) -> list[list[int]]:
    """The numbers of the samples of each batch; each must have a caption of its own."""
    found = []
    for batch in batches:
        assert batch.pixels.dtype == torch.uint8
        assert batch.pixels.shape[1:] == (3, 40, 40)
        numbers = (batch.pixels[:, 0, 0, 0].int() + 256 * batch.pixels[:, 1, 0, 0].int()).tolist()
        texts = TOKENIZER.batch_decode(batch.input_ids, skip_special_tokens=True)
        assert [int("".join(filter(str.isdigit, text))) for text in texts] == numbers
        found.append(numbers)
    return found


def _flat(batches: list[list[int]]) -> list[int]:
    return [number for batch in batches for number in batch]


# --- the order -----------------------------------------------------------------------------------------


def test_an_epoch_shuffles_over_shards_and_another_epoch_differs(tars: Path) -> None:
    source = _source(tars, batch_size=7)
    first, second = _numbers(source.batches(1)), _numbers(source.batches(2))
    assert source.steps_per_epoch == len(first) == len(second) == 11
    assert sorted(_flat(first)) == sorted(_flat(second)) == list(range(77))
    assert first != second
    assert first == _numbers(source.batches(1))
    assert first != _numbers(_source(tars, batch_size=7, seed=1).batches(1))
    assert any(np.ptp(batch) > 14 for batch in first), "a batch mixes shards"


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores
@pytest.mark.parametrize("count", [0, 1, 3])
def test_as_many_workers_show_the_same_and_together_each_sample_once(tars: Path, count: int) -> None:
    settings = {"augmentation": Augmentation(0.5, flip=True, color_jitter=0.3), "count": count}
    one, other = (list(_source(tars, samples_per_epoch=60, **settings).batches(1)) for _ in range(2))
    assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(one, other, strict=True))
    shown = _flat(_numbers(_source(tars, samples_per_epoch=60, count=count).batches(1)))
    assert len(set(shown)) == len(shown) == 60
    plain = next(_source(tars, count=count).batches(1)).pixels
    assert not torch.equal(one[0].pixels, plain)


def test_processes_read_different_shards_and_take_the_same_number_of_steps(tars: Path) -> None:
    shown = [
        _numbers(_source(tars, samples_per_epoch=60, process_index=rank, num_processes=3).batches(1))
        for rank in range(3)
    ]
    assert [len(numbers) for numbers in shown] == [4, 4, 4]
    assert len(set(_flat(_flat(shown)))) == 60


def test_an_epoch_larger_than_the_set_goes_through_it_again(tars: Path) -> None:
    first, second = _numbers(_source(tars, samples_per_epoch=154, batch_size=77).batches(1))
    assert sorted(first) == sorted(second) == list(range(77))
    assert first != second


def test_a_caption_is_drawn_by_epoch_and_all_captions_get_their_turn(tmp_path: Path) -> None:
    for i in range(2):
        texts = lambda n: [f"sample {n}", f"sample {n} seen again", "  "]  # noqa: E731
        _write_parquet(tmp_path / "tables" / f"train-{i}.parquet", range(10 * i, 10 * i + 10), texts)
    source = _source(tmp_path / "tables", samples_per_epoch=20)
    assert len(_numbers(source.batches(1))) == 4
    lengths = [
        torch.cat([b.input_ids for b in source.batches(e)]).ne(TOKENIZER.eos_token_id).sum()
        for e in (1, 1, 2)
    ]
    assert lengths[0] == lengths[1] != lengths[2]


# --- continuing ----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("kind", ["tar", pytest.param("parquet", marks=pytest.mark.slow)])
@pytest.mark.parametrize("count", [0, 2])
def test_nothing_is_shown_twice_after_resuming_and_at_most_a_buffer_a_worker_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, kind: str
) -> None:
    monkeypatch.setattr(streamed, "_BUFFER", 10)
    monkeypatch.setattr(streamed, "_ROWS_AT_ONCE", 2)
    _write_shards(tmp_path / "set", kind, count=6, samples=20)
    for step in (1, 5, 8):
        stopped = _source(tmp_path / "set", samples_per_epoch=120, count=count)
        before = _flat(_numbers(itertools.islice(stopped.batches(2), step)))
        stopped.save_state(tmp_path, 0)
        resumed = _source(tmp_path / "set", samples_per_epoch=120, count=count)
        resumed.load_state(tmp_path, 0)
        rest = _numbers(resumed.batches(2, step))
        assert len(rest) == 24 - step
        # Workers give batches in turn, and one may begin its next pass before the other has ended this one.
        workers, shown = max(1, count), set(before)
        for worker in range(workers):
            shown |= _until_repeated(rest[worker::workers], before)
        assert 120 - len(shown) <= (10 + 2 * 2) * workers


def _until_repeated(rest: list[list[int]], before: list[int]) -> set[int]:
    """What a worker shows until a sample comes again: then its next pass has begun."""
    shown = set(before)
    for number in _flat(rest):
        if number in shown:
            break
        shown.add(number)
    return shown


def test_a_stream_resumes_with_the_workers_of_its_checkpoint(tars: Path, tmp_path: Path) -> None:
    stopped = _source(tars, count=2)
    next(batches := stopped.batches(1))
    batches.close()
    stopped.save_state(tmp_path, 0)
    resumed = _source(tars, count=0)
    resumed.load_state(tmp_path, 0)
    assert len(_numbers(resumed.batches(1, 1))) == 14
    assert len(json.loads((tmp_path / "stream-0.json").read_text())) == 2
    (tmp_path / "stream-0.json").write_text("{")
    with pytest.raises(TrainingError, match=r"stream-0\.json"):
        resumed.load_state(tmp_path, 0)


# --- what can be wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "count", "names"),
    [
        ("empty", 0, r"1\.tar contains no samples"),
        ("empty", 2, r"1\.tar contains no samples"),
        ("truncated", 0, "A shard of set cannot be read"),
        ("no captions", 0, "None of the samples in stream 0 of 1 of set has a caption"),
        ("no captions in a shard", 2, "None of the samples in stream . of 2 of set has a caption"),
        ("broken images", 0, "or no whole image, but only"),
    ],
)
def test_a_set_that_cannot_be_read_is_an_error_that_names_it_and_no_endless_search(
    tmp_path: Path, damage: str, count: int, names: str
) -> None:
    folder = tmp_path / "set"
    _write_shards(folder, "tar" if damage in ("empty", "broken images") else "parquet", count=2, samples=40)
    if damage == "empty":
        _write_tar(folder / "1.tar", [])
    elif damage == "broken images":
        _write_tar(folder / "1.tar", range(40), broken=range(0, 40, 3))
    elif damage == "truncated":
        content = (folder / "1.parquet").read_bytes()
        (folder / "1.parquet").write_bytes(content[:1000] + bytes(2000) + content[3000:])
    else:
        for i in range(1 if damage.endswith("shard") else 0, 2):
            _write_parquet(folder / f"{i}.parquet", range(40), lambda n: (None, [], [""])[n % 3])
    with pytest.raises(DatasetError, match=names) as caught:
        list(_source(folder, samples_per_epoch=1600, count=count).batches(1))
    assert "\n" not in str(caught.value)
    if damage == "no captions":
        with pytest.raises(DatasetError, match="No row of set has a caption"):
            _shards(folder).first_captions(100)


def test_fewer_shards_than_processes_and_an_epoch_below_a_batch_are_errors(tars: Path) -> None:
    with pytest.raises(TrainingError, match="7 shards for 8 processes"):
        _source(tars, num_processes=8)
    with pytest.raises(TrainingError, match="fewer than one batch of 5"):
        _source(tars, samples_per_epoch=4)


@pytest.mark.parametrize("caption", [None, ["sample 7", "a" * 100_001]], ids=["absent", "overlong"])
def test_rows_without_a_caption_or_with_an_overlong_one_are_skipped_and_counted(
    tmp_path: Path, caption: list[str] | None
) -> None:
    texts: Callable[[int], list[str] | None] = lambda n: caption if n == 7 else [f"sample {n}"]  # noqa: E731
    _write_parquet(tmp_path / "tables" / "0.parquet", range(21), texts)
    source = _source(tmp_path / "tables", samples_per_epoch=20)
    assert sorted(_flat(_numbers(source.batches(1)))) == sorted({*range(21)} - {7})
    assert source.skipped == 1


@pytest.mark.parametrize("count", [0, 2])
def test_a_sample_that_cannot_be_decoded_is_counted_and_another_one_is_shown(tars: Path, count: int) -> None:
    _write_tar(tars / "00002.tar", range(17, 27), broken=[20])
    source = _source(tars, count=count, samples_per_epoch=160)  # each worker reads its shards at least once
    shown = _flat(_numbers(source.batches(1)))
    assert len(shown) == 160
    assert set(shown) == {*range(77)} - {20}
    assert source.skipped >= 1


# --- whole runs ----------------------------------------------------------------------------------------


STREAM = {
    "streaming": True,
    "samples_per_epoch": 40,
    "num_train_epochs": 2,
    "per_device_train_batch_size": 10,
}


def test_a_run_killed_within_an_epoch_continues_where_it_was(
    flags: Flags, tars: Path, tmp_path: Path, checkout: Path
) -> None:
    run = tmp_path / "run"
    changes = STREAM | {"num_train_epochs": 4, "dataloader_num_workers": 1, "save_steps": 3}
    words = flags(dataset_name=tars, **changes)
    process = forked.start([sys.executable, str(checkout / "scripts" / "train.py"), *words])
    wait_for_log(process, run, 6)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    before = log(run)
    (checkpoint,) = (run / "checkpoints").glob("epoch-*")
    resumed = finished([*words, "--resume_from_checkpoint", "true"])
    assert [r.samples_seen for r in list_revisions(resumed.folder)] == [0, 40, 80, 120, 160]
    step = json.loads((checkpoint / "progress.json").read_text())["step"] if checkpoint.exists() else 3
    assert log(run)[: min(step, len(before))] == before[: min(step, len(before))]
    assert [step for step, _ in log(run)] == list(range(1, 17))
    with pytest.raises(ConfigError, match="a stream, whose order is not replayed"):
        samples_between(run, "epoch-000", "epoch-001")


@pytest.mark.parametrize("streaming", [True, False])
def test_a_run_on_a_set_of_the_hub_goes_on_with_its_commit_or_not_at_all(
    flags: Flags, hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streaming: bool
) -> None:
    HfApi().create_repo("me/pairs", repo_type="dataset")

    def upload(shard: int, first: int) -> str:
        path = tmp_path / f"train-{shard}.{'tar' if streaming else 'parquet'}"
        if streaming:
            _write_tar(path, range(first, first + 20))
        else:
            _write_parquet(path, range(first, first + 20), lambda n: [f"sample {n}"])
        where = {"path_in_repo": f"data/{path.name}", "repo_id": "me/pairs", "repo_type": "dataset"}
        return str(HfApi().upload_file(path_or_fileobj=path, **where).oid)

    def run(name: str, *callbacks: Callback, output: str = "run", **changes: object) -> Path:
        read = STREAM if streaming else {"per_device_train_batch_size": 10, "num_train_epochs": 2}
        words = flags(output, dataset_name=name, dataloader_num_workers=0, **read, **changes)
        return finished(words, *callbacks).folder

    def resumed_offline(*callbacks: Callback) -> Path:
        with monkeypatch.context() as patch:
            for library in ("huggingface_hub.constants", "datasets.config"):
                patch.setattr(f"{library}.HF_HUB_OFFLINE", True)
            return run("me/pairs", *callbacks, resume_from_checkpoint=True)

    begun = [upload(0, 0), upload(1, 20)][-1]
    config = run("me/pairs", Stop()) / "config.yaml"
    pinned = f"dataset_name: me/pairs@{begun}\n"
    assert pinned in config.read_text("utf-8")
    if not streaming:  # a stream is not kept
        assert [step for step, _ in log(resumed_offline(Stop(2)))] == [1, 2]
    other = upload(1, 40)
    with pytest.raises(ConfigError, match=f"continue with --dataset_name me/pairs@{begun}"):
        run(f"me/pairs@{other}", resume_from_checkpoint=True)
    assert pinned in config.read_text("utf-8"), "what is refused writes nothing"
    if not streaming:  # without the Hub, `datasets` takes the commit that was read last
        with pytest.raises(DatasetError, match=f"at commit {other}, not {begun}"):
            resumed_offline()
    assert len(hashes(run("me/pairs", resume_from_checkpoint=True))) == 3
    assert json.loads((tmp_path / "run" / RECORD_FILE).read_text("utf-8"))["commit"] == begun
    with pytest.raises(ConfigError, match="v9"):
        run("me/pairs@v9", output="other")
    if streaming:
        hub.plant("resolve-get", Fault(status=404, message="gone"), times=10**6)
        with pytest.raises(DatasetError, match="me/pairs"):
            run("me/pairs", output="gone")


def test_a_folder_of_captioned_images_is_one_shard(photographs: Path) -> None:
    source = _source(photographs, samples_per_epoch=120, batch_size=60)
    batches = list(source.batches(1))
    assert len(batches) == 2
    assert source.skipped == 0
    assert len(_shards(photographs).first_captions(10)) == 10


# --- slow ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_processes_train_with_workers(
    flags: Flags, tars: Path, tmp_path: Path, launch: Callable[..., str], checkout: Path
) -> None:
    words = flags(dataset_name=tars, dataloader_num_workers=1, **STREAM)
    launch(2, checkout / "scripts" / "train.py", *words)
    assert [r.samples_seen for r in list_revisions(tmp_path / "run")] == [0, 40, 80]


_MEASURE = """
import resource, sys
from pathlib import Path
sys.path[:0] = [sys.argv[1], str(Path(sys.argv[1]).parent)]
from test_streamed import _source, streamed
streamed._BUFFER = 100
for batch in _source(Path(sys.argv[2]), samples_per_epoch=int(sys.argv[3]), batch_size=50).batches(1):
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_ten_times_the_data_take_at_most_a_twentieth_more_memory(tmp_path: Path) -> None:
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, "JPEG", quality=95)
    peaks = []
    for shards in (8, 80):
        folder = tmp_path / str(shards)
        for i in range(shards):
            _write_tar(folder / f"{i:02d}.tar", range(100 * i, 100 * i + 100), image=file.getvalue())
        words = ["-c", _MEASURE, str(Path(__file__).parent), str(folder), str(100 * shards)]
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
    assert peaks[1] <= 1.05 * peaks[0], peaks
