"""Streamed training data: the order, where it continues, and what happens to broken shards and samples."""

import io
import os
import signal
import subprocess
import sys
import tarfile
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import forked
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hub_server.faults import Fault
from huggingface_hub import HfApi
from PIL import Image
from training_runs import finished, hashes, wait_for_log

from hf_clipdyn.data import load_dataset
from hf_clipdyn.errors import ConfigError, DatasetError, TrainingError
from hf_clipdyn.models.sizes import clip_image_processor, model_size
from hf_clipdyn.models.tokenizers import train_tokenizer
from hf_clipdyn.revisions import list_revisions
from hf_clipdyn.training.callbacks import Callback, Training
from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.training.images import Augmentation
from hf_clipdyn.training.source import Batch, Workers
from hf_clipdyn.training.stream_order import Sample, Shuffle
from hf_clipdyn.training.streamed import Shards, StreamedSource, first_captions

PROCESSOR = clip_image_processor(model_size("tiny"))
TOKENIZER = train_tokenizer(["sample 0123456789, seen again"], vocab_size=600, context_length=16)


def _png(number: int) -> bytes:
    """An image in the colour (number, number // 256, 0)."""
    file = io.BytesIO()
    Image.new("RGB", (9, 8), (number % 256, number // 256, 0)).save(file, "PNG")
    return file.getvalue()


def _write_tar(path: Path, numbers: Sequence[int], broken: Sequence[int] = ()) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as shard:
        for number in numbers:
            image = b"no image" if number in broken else _png(number)
            for suffix, content in (("png", image), ("txt", f"sample {number}".encode())):
                info = tarfile.TarInfo(f"{number:06d}.{suffix}")
                info.size = len(content)
                shard.addfile(info, io.BytesIO(content))


def _write_parquet(path: Path, numbers: Sequence[int], captions: Callable[[int], list[str] | None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    schema = pa.schema({"image": image, "captions": pa.list_(pa.string())})
    rows = [{"image": {"bytes": _png(n), "path": None}, "captions": captions(n)} for n in numbers]
    pq.write_table(pa.Table.from_pylist(rows, schema), path)


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


def _source(data: Path, *, count: int = 0, **changes: Any) -> StreamedSource:
    settings: dict[str, Any] = {
        "streams": 2,
        "samples_per_epoch": 77,
        "per_device_batch_size": 5,
        "workers": Workers(count),
    }
    augmentation = changes.pop("augmentation", Augmentation())
    shuffle = Shuffle(0, 2, 10)
    return StreamedSource(_shards(data), augmentation, PROCESSOR, TOKENIZER, shuffle, **(settings | changes))


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
    source = _source(tars, streams=1, samples_per_epoch=77, per_device_batch_size=7)
    first, second = _numbers(source.batches(1)), _numbers(source.batches(2))
    assert source.steps_per_epoch == len(first) == len(second) == 11
    assert sorted(_flat(first)) == sorted(_flat(second)) == list(range(77))
    assert first != second
    assert first == _numbers(source.batches(1))
    assert any(np.ptp(batch) > 14 for batch in first), "a batch mixes shards"


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_the_number_of_workers_changes_nothing(tars: Path, count: int) -> None:
    alone = list(_source(tars, streams=3).batches(1, 1))
    helped = list(_source(tars, streams=3, count=count).batches(1, 1))
    assert len(alone) == len(helped) == 14
    for one, other in zip(alone, helped, strict=True):
        assert torch.equal(one.pixels, other.pixels)
        assert torch.equal(one.input_ids, other.input_ids)


def test_augmentation_follows_from_the_epoch_and_not_from_the_worker_or_the_position(
    photographs: Path,
) -> None:
    settings = {"augmentation": Augmentation(0.5, flip=True, color_jitter=0.3), "samples_per_epoch": 40}
    whole = [batch.pixels for batch in _source(photographs, **settings).batches(1)]
    late = [batch.pixels for batch in _source(photographs, count=1, **settings).batches(1, 5)]
    assert torch.equal(torch.stack(whole[5:]), torch.stack(late))
    plain = next(_source(photographs, samples_per_epoch=40).batches(1)).pixels
    assert not torch.equal(whole[0], plain)


def test_processes_read_different_shards_and_take_the_same_number_of_steps(tars: Path) -> None:
    shown = [
        _numbers(_source(tars, samples_per_epoch=60, process_index=rank, num_processes=3).batches(1))
        for rank in range(3)
    ]
    assert [len(numbers) for numbers in shown] == [4, 4, 4]
    first = [set(numbers[0]) for numbers in shown]
    assert not first[0] & first[1] | first[0] & first[2] | first[1] & first[2]


def test_an_epoch_larger_than_the_set_goes_through_it_again(tars: Path) -> None:
    source = _source(tars, streams=1, samples_per_epoch=154, per_device_batch_size=77)
    first, second = _numbers(source.batches(1))
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


@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize("noted", [True, False])
def test_every_step_continues_with_the_batches_of_an_uninterrupted_epoch(
    tars: Path, tmp_path: Path, noted: bool, count: int
) -> None:
    folder = tmp_path / "shards" if noted else None
    whole = _numbers(_source(tars, samples_per_epoch=160, folder=folder).batches(3))
    assert len(whole) == 32
    for step in (1, 2, 7, 13, 20, 31, 32):
        source = _source(tars, samples_per_epoch=160, folder=folder, count=count if step == 13 else 0)
        assert _numbers(source.batches(3, step)) == whole[step:]


@pytest.mark.slow
def test_what_lies_before_a_position_is_not_read_again(
    tars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    read = Shards.read

    def counting(shards: Shards, shard: int) -> Iterator[Sample]:
        opened.append(shard)
        return read(shards, shard)

    monkeypatch.setattr(Shards, "read", counting)
    source = _source(tars, samples_per_epoch=5000, folder=tmp_path / "shards")
    whole = _numbers(source.batches(1))
    assert len(opened) > 300
    with (tmp_path / "shards" / "process-0.jsonl").open("a") as file:
        file.write('{"shard": 3, "sam')  # killed while writing
    opened.clear()
    late = _source(tars, samples_per_epoch=5000, folder=tmp_path / "shards")
    assert _numbers(late.batches(1, 998)) == whole[998:]
    assert len(opened) <= 8, "two streams read a group of two shards, and the next one where it ends"


# --- what can be wrong ---------------------------------------------------------------------------------


def test_fewer_shards_than_processes_are_an_error(tars: Path) -> None:
    with pytest.raises(TrainingError, match="7 shards for 8 processes"):
        _source(tars, num_processes=8)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_fewer_shards_than_streams_and_workers_are_all_read(tmp_path: Path) -> None:
    _write_tar(tmp_path / "one" / "0.tar", range(20))
    source = _source(tmp_path / "one", streams=8, samples_per_epoch=20, count=4)
    assert sorted(_flat(_numbers(source.batches(1)))) == list(range(20))


def test_an_epoch_below_a_batch_is_an_error(tars: Path) -> None:
    with pytest.raises(TrainingError, match="fewer than one batch of 5"):
        _source(tars, samples_per_epoch=4)


@pytest.mark.parametrize("count", [0, 2])
def test_an_empty_tar_is_an_error_that_names_it(tars: Path, count: int) -> None:
    _write_tar(tars / "00003.tar", [])
    with pytest.raises(DatasetError, match=r"00003\.tar contains no samples") as caught:
        list(_source(tars, count=count).batches(1))
    assert "\n" not in str(caught.value)


def test_an_empty_parquet_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    for i, size in enumerate((10, 0, 10)):
        path = tmp_path / "tables" / f"{i}.parquet"
        _write_parquet(path, range(10 * i, 10 * i + size), lambda n: [f"sample {n}"])
    with pytest.raises(DatasetError, match="Shard 1 of the 3 shards of tables cannot be read"):
        list(_source(tmp_path / "tables", streams=1, samples_per_epoch=40).batches(1))


def test_shards_without_samples_are_an_error_and_no_endless_search(tmp_path: Path) -> None:
    for i in range(2):
        _write_parquet(tmp_path / "tables" / f"{i}.parquet", range(10), lambda n, i=i: [f"sample {n}"] * i)
    with pytest.raises(DatasetError, match="none of their samples has a caption"):
        list(_source(tmp_path / "tables", streams=2, samples_per_epoch=20).batches(1))


def test_a_set_without_captions_is_an_error(tmp_path: Path) -> None:
    for i in range(2):
        _write_parquet(tmp_path / "tables" / f"{i}.parquet", range(10), lambda n: [None, [], [""]][n % 3])  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match="none of their samples has a caption"):
        list(_source(tmp_path / "tables", streams=1).batches(1))
    with pytest.raises(DatasetError, match=r"No row of tables has a caption \(20 rows in 2 shards\)"):
        first_captions(_shards(tmp_path / "tables"), 100)


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
@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_a_shard_that_breaks_in_the_middle_is_an_error_that_names_it(
    tmp_path: Path, kind: str, count: int
) -> None:
    for i in range(4):
        numbers = range(40 * i, 40 * i + 40)
        if kind == "tar":
            _write_tar(tmp_path / "set" / f"{i}.tar", numbers)
        else:
            _write_parquet(tmp_path / "set" / f"{i}.parquet", numbers, lambda n: [f"sample {n}"])
    path = tmp_path / "set" / f"2.{kind}"
    content = path.read_bytes()
    middle = len(content) // 2048 * 1024 + 522  # within a file, not within a header
    hole = content[:middle] if kind == "tar" else content[:1000] + bytes(2000) + content[3000:]
    path.write_bytes(hole)
    source = _source(tmp_path / "set", samples_per_epoch=160, count=count)
    with pytest.raises(DatasetError, match=r"2\.tar is damaged|Shard 2 of the 4 shards of set") as caught:
        list(source.batches(1))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("count", [0, 2])
def test_a_sample_that_cannot_be_decoded_is_counted_and_moves_no_other(tars: Path, count: int) -> None:
    before = _numbers(_source(tars).batches(1))
    _write_tar(tars / "00002.tar", range(17, 27), broken=[20])
    source = _source(tars, count=count)
    after = _numbers(source.batches(1))
    assert source.skipped == 1
    moved = [
        (a, b)
        for one, other in zip(before, after, strict=True)
        for a, b in zip(one, other, strict=True)
        if a != b
    ]
    assert [a for a, _ in moved] == [20]
    assert moved[0][1] in range(77)


def test_a_set_of_broken_images_is_an_error(tmp_path: Path) -> None:
    _write_tar(tmp_path / "broken" / "0.tar", range(20), broken=range(20))
    with pytest.raises(DatasetError, match="None of 10 samples that were read together can be decoded"):
        list(_source(tmp_path / "broken").batches(1))


def test_many_broken_samples_end_the_run(tmp_path: Path) -> None:
    _write_tar(tmp_path / "broken" / "0.tar", range(60), broken=range(0, 60, 5))
    with pytest.raises(DatasetError, match=r"or no whole image, but only 1,000 were shown"):
        list(_source(tmp_path / "broken", samples_per_epoch=1000).batches(1))


def test_a_short_last_block_that_is_broken_costs_its_samples_alone(tmp_path: Path) -> None:
    _write_tar(tmp_path / "set" / "0.tar", range(11), broken=[10])
    source = StreamedSource(
        _shards(tmp_path / "set"),
        Augmentation(),
        PROCESSOR,
        TOKENIZER,
        Shuffle(0, 1, 10),
        streams=1,
        samples_per_epoch=55,
        per_device_batch_size=5,
        workers=Workers(),
    )
    shown = _flat(_numbers(source.batches(1)))
    assert len(shown) == 55
    assert set(shown) <= set(range(11))


def test_a_killed_worker_is_an_error_and_no_hang(tars: Path, tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, signal, sys
            import psutil
            from pathlib import Path
            sys.path[:0] = [sys.argv[1], str(Path(sys.argv[1]).parent)]
            from test_streamed import _source

            batches = _source(Path(sys.argv[2]), samples_per_epoch=10**6, count=1).batches(1)
            next(batches)
            before = {child.pid for child in psutil.Process().children()}
            os.kill(min(before), signal.SIGKILL)
            for batch in batches:
                pass
            """
        )
    )
    command = [sys.executable, str(script), str(Path(__file__).parent), str(tars)]
    done = forked.run(command, timeout=120)
    assert done.returncode == 1
    # torch's signal handler raises its own error where the training process happens to be.
    assert "is killed by signal" in done.stderr or "reads training data was killed" in done.stderr


# --- whole runs ----------------------------------------------------------------------------------------


def _flags(folder: Path, output: Path, **changes: object) -> list[str]:
    fields = {
        "dataset_name": folder,
        "output_dir": output,
        "hub_model_id": "me/run",
        "streaming": True,
        "samples_per_epoch": 40,
        "num_train_epochs": 2,
        "per_device_train_batch_size": 10,
        "warmup_steps": 2,
        "logging_steps": 1,
        "bf16": False,
    }
    return [text for key, value in (fields | changes).items() for text in (f"--{key}", str(value))]


def test_a_streamed_run_gives_the_same_weights_with_and_without_workers(tars: Path, tmp_path: Path) -> None:
    weights = []
    for count in (0, 2):
        output = tmp_path / f"run{count}"
        summary = finished(_flags(tars, output, dataloader_num_workers=count))
        revisions = list_revisions(summary.folder)
        assert [r.samples_seen for r in revisions] == [0, 40, 80]
        weights.append([r.sha256 for r in revisions])
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"streaming": True}, "streaming needs samples_per_epoch"),
        ({"samples_per_epoch": 10}, "only used with streaming"),
        ({"streaming": True, "samples_per_epoch": 10, "validation_size": 1}, "cannot be used with streaming"),
        (
            {"streaming": True, "samples_per_epoch": 10, "max_train_samples": 1},
            "cannot be used with streaming",
        ),
        ({"streaming": True, "samples_per_epoch": 10, "reading": "cached"}, "leave reading out"),
    ],
)
def test_a_contradictory_configuration_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainingConfig(**changes)


def test_the_order_is_part_of_the_recipe_and_the_workers_are_not() -> None:
    first = TrainingConfig(streaming=True, samples_per_epoch=10)
    assert (
        first.recipe_hash()
        == TrainingConfig(streaming=True, samples_per_epoch=10, dataloader_num_workers=3).recipe_hash()
    )


def test_a_run_killed_within_an_epoch_continues_with_the_weights_of_an_uninterrupted_one(
    tars: Path, tmp_path: Path, checkout: Path
) -> None:
    whole = finished(_flags(tars, tmp_path / "whole", num_train_epochs=4))
    flags = _flags(
        tars,
        tmp_path / "killed",
        num_train_epochs=4,
        dataloader_num_workers=1,
        save_steps=3,
    )
    command = [sys.executable, str(checkout / "scripts" / "train.py"), *flags]
    process = forked.start(command)
    wait_for_log(process, tmp_path / "killed", 6)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert any("-step-" in path.name for path in (tmp_path / "killed" / "checkpoints").iterdir())
    resumed = finished([*flags, "--resume_from_checkpoint", "true"])
    weights = [hashes(run.folder) for run in (whole, resumed)]
    assert len(weights[0]) == 5
    assert weights[0] == weights[1]


@pytest.mark.parametrize("kind", ["tar", pytest.param("parquet", marks=pytest.mark.slow)])
def test_a_repository_on_the_hub_is_streamed_and_continued(hub: Any, tmp_path: Path, kind: str) -> None:
    api = HfApi()
    api.create_repo("me/pairs", repo_type="dataset")
    for i in range(4):
        path = tmp_path / "pairs" / f"train-{i}.{kind}"
        numbers = range(10 * i, 10 * i + 10)
        if kind == "tar":
            _write_tar(path, numbers)
        else:
            _write_parquet(path, numbers, lambda n: [f"sample {n}"])
        api.upload_file(
            path_or_fileobj=path, path_in_repo=f"data/{path.name}", repo_id="me/pairs", repo_type="dataset"
        )

    def revisions(name: Path | str, output: str, *callbacks: Callback, **changes: object) -> list[str | None]:
        flags = _flags(name, tmp_path / output, num_train_epochs=2, **changes)  # type: ignore[arg-type]
        return hashes(finished(flags, *callbacks).folder)

    class Stop(Callback):
        def step_ends(self, training: Training) -> None:
            if training.step == 3:
                training.stop()

    whole = revisions("me/pairs", "hub", dataloader_num_workers=1)
    assert len(set(whole)) == 3
    revisions("me/pairs", "stopped", Stop(), dataloader_num_workers=0)
    revisions("me/pairs", "pinned", Stop(), dataloader_num_workers=0)
    assert revisions("me/pairs", "stopped", resume_from_checkpoint=True) == whole
    assert hub.count("resolve-get") > 0
    begun = api.repo_info("me/pairs", repo_type="dataset").sha
    api.delete_file(f"data/train-3.{kind}", "me/pairs", repo_type="dataset")
    with pytest.raises(
        ConfigError, match=f"at commit {begun}, .* go on with `dataset_revision=.{begun}.`, or"
    ):
        revisions("me/pairs", "pinned", resume_from_checkpoint=True)
    assert revisions("me/pairs", "pinned", resume_from_checkpoint=True, dataset_revision=begun) == whole
    with pytest.raises(ConfigError, match="dataset_revision is 'v9'"):
        revisions("me/pairs", "other", dataset_revision="v9")
    hub.plant("resolve-get", Fault(status=404, message="gone"), times=10**6)
    with pytest.raises(DatasetError, match="me/pairs"):
        revisions("me/pairs", "gone")


def test_a_folder_of_captioned_images_is_one_shard(photographs: Path) -> None:
    source = _source(photographs, samples_per_epoch=120, per_device_batch_size=60)
    batches = list(source.batches(1))
    assert len(batches) == 2
    assert source.skipped == 0
    assert len(first_captions(_shards(photographs), 10)) == 10


# --- slow ----------------------------------------------------------------------------------------------

_RUN = """
import sys
from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.errors import ClipDynError
from hf_clipdyn.training import train
try:
    train(TrainingConfig.read(sys.argv[1:]))
except ClipDynError as error:
    sys.exit(f"error: {error}")
"""


@pytest.mark.slow
def test_two_processes_train_with_workers(tars: Path, tmp_path: Path, launch: Callable[..., str]) -> None:
    (tmp_path / "run.py").write_text(_RUN)
    launch(2, tmp_path / "run.py", *_flags(tars, tmp_path / "run", dataloader_num_workers=1))
    revisions = list_revisions(tmp_path / "run")
    assert [r.samples_seen for r in revisions] == [0, 40, 80]


@pytest.mark.slow
def test_a_shard_that_breaks_in_one_of_two_processes_ends_both(tars: Path, tmp_path: Path) -> None:
    content = (tars / "00004.tar").read_bytes()
    (tars / "00004.tar").write_bytes(content[: len(content) // 2048 * 1024 + 522])
    (tmp_path / "run.py").write_text(_RUN)
    flags = _flags(
        tars, tmp_path / "run", scale="vit-b-32", samples_per_epoch=400, per_device_train_batch_size=2
    )
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(tmp_path / "run.py")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(
        [sys.executable, *launcher, *flags], env=environment, capture_output=True, text=True, timeout=400
    )
    assert done.returncode != 0
    assert "00004.tar is damaged" in done.stderr


_MEASURE = """
import resource, sys
from pathlib import Path
sys.path[:0] = [sys.argv[1], str(Path(sys.argv[1]).parent)]
from test_streamed import Augmentation, PROCESSOR, TOKENIZER, Shuffle, StreamedSource, Workers, _shards
source = StreamedSource(
    _shards(Path(sys.argv[2])), Augmentation(), PROCESSOR, TOKENIZER, Shuffle(0, 4, 100), streams=4,
    samples_per_epoch=int(sys.argv[3]), per_device_batch_size=50, workers=Workers(),
)
for batch in source.batches(1):
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_ten_times_the_data_take_at_most_a_twentieth_more_memory(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (200, 200, 3), dtype=np.uint8)).save(file, "JPEG", quality=95)
    parts = {"jpg": file.getvalue(), "txt": b"noise"}
    for name, shards, samples in (("small", 8, 100), ("more", 80, 100), ("longer", 8, 1000)):
        (tmp_path / name).mkdir()
        for i in range(shards):
            with tarfile.open(tmp_path / name / f"{i:03d}.tar", "w") as shard:
                for j in range(samples):
                    for suffix, content in parts.items():
                        info = tarfile.TarInfo(f"{i:03d}{j:05d}.{suffix}")
                        info.size = len(content)
                        shard.addfile(info, io.BytesIO(content))
    (tmp_path / "measure.py").write_text(_MEASURE)
    peak = {}
    for name, samples in (("small", 800), ("more", 8000), ("longer", 8000)):
        command = [
            sys.executable,
            str(tmp_path / "measure.py"),
            str(Path(__file__).parent),
            str(tmp_path / name),
        ]
        done = subprocess.run(
            [*command, str(samples)], capture_output=True, text=True, timeout=300, check=True
        )
        peak[name] = int(done.stdout)
    print(peak)
    assert max(peak["more"], peak["longer"]) <= 1.05 * peak["small"], peak
