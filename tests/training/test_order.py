"""The order of the data: what a run records names the samples that its steps showed."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_runs import finished

from hf_clipdyn import list_revisions, samples_between, times_seen
from hf_clipdyn.config import parse_training_config
from hf_clipdyn.errors import ConfigError, RevisionError, UnknownNameError
from hf_clipdyn.schema import parse_json
from hf_clipdyn.training import order as order_module
from hf_clipdyn.training.loop import Training
from hf_clipdyn.training.order import ORDER_FILE, DataOrder
from hf_clipdyn.training.source import Found
from hf_clipdyn.training.stream_order import ROW_BITS, RecordedShards, in_turn

sys.path.insert(0, str(Path(__file__).parent))

from order_worker import Pair, Shown, Stop, pairs_of

Flags = Callable[..., list[str]]
WORKER = Path(__file__).with_name("order_worker.py")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """What the runs of this process show."""
    record = Shown()
    monkeypatch.setattr(Training, "_batches", record.wrap(Training._batches))
    return record


def _recorded(run: Path, last: str, name: Callable[[int, int], Pair]) -> dict[int, list[Pair]]:
    """The pairs of image and caption by step, as the record has them."""
    return {
        samples.first_step + i: [name(int(row), int(caption)) for row, caption in zip(*step, strict=True)]
        for samples in samples_between(run, "epoch-000", last)
        for i, step in enumerate(zip(samples.rows, samples.captions, strict=True))
    }


@pytest.mark.parametrize(
    ("reading", "caption_choice"),
    [
        ("decoded", "one"),
        pytest.param("decoded", "all", marks=pytest.mark.slow),
        pytest.param("cached", "one", marks=pytest.mark.slow),
        pytest.param("cached", "all", marks=pytest.mark.slow),
    ],
)
def test_the_record_names_what_was_shown_with_a_broken_image_and_a_stop_inside_an_epoch(
    flags: Flags, photographs: Path, tmp_path: Path, shown: Shown, reading: str, caption_choice: str
) -> None:
    (photographs / "Images" / "0007.jpg").write_bytes(b"no image")
    run = tmp_path / "run"
    changes = {"num_train_epochs": 2, "reading": reading, "caption_choice": caption_choice, "publish": "3"}
    finished(flags(**changes), Stop(3))
    finished(flags(resume_from_checkpoint="true", **changes))
    name = pairs_of(parse_training_config(flags(**changes)))
    assert _recorded(run, "epoch-002", name) == shown.steps
    steps = len(shown.steps) // 2
    between = list(samples_between(run, "step-00000003", "epoch-002"))
    assert [(s.epoch, s.first_step, len(s.rows)) for s in between] == [(1, 3, steps - 3), (2, steps, steps)]
    for samples in samples_between(run, "epoch-000", "epoch-002"):
        assert samples.captions is not None
        pairs = set(zip(samples.rows.flat, samples.captions.flat, strict=True))
        replaced = int((samples.rows == 7).sum())
        assert replaced == 0
        assert samples.rows.size - len(pairs) <= (reading == "decoded") * 2, "only a substitute is repeated"
    times = times_seen(run, "epoch-002")
    assert times.shape == (120,)
    assert times.sum() == 2 * steps * 24
    assert times_seen(run, "epoch-000").tolist() == [0] * 120


@pytest.mark.slow
def test_two_processes_record_what_they_showed_together(
    flags: Flags, tmp_path: Path, launch: Callable[..., str]
) -> None:
    changes = {"num_train_epochs": 1, "per_device_train_batch_size": 12, "dataloader_num_workers": 0}
    launch(2, WORKER, str(tmp_path / "shown"), "0", *flags(**changes))
    ranks = [json.loads((tmp_path / f"shown-{rank}.json").read_text("utf-8")) for rank in range(2)]
    together = {int(step): [tuple(p) for rank in ranks for p in rank[step]] for step in ranks[0]}
    name = pairs_of(parse_training_config(flags(**changes)))
    assert _recorded(tmp_path / "run", "epoch-001", name) == together


def test_the_record_of_a_stream_names_files_and_rows(
    flags: Flags, streamed: dict[str, Any], tmp_path: Path, shown: Shown
) -> None:
    run = tmp_path / "run"
    changes = streamed | {"num_train_epochs": 2, "publish": "3"}
    finished(flags(**changes), Stop(4))
    finished(flags(resume_from_checkpoint="true", **changes))
    record = _record(run, "epoch-002")
    assert record.streams is not None
    assert record.streams.names == tuple(f"{i}.tar" for i in range(6))
    samples = list(samples_between(run, "epoch-000", "epoch-002"))
    assert [(s.epoch, s.first_step, s.rows.shape) for s in samples] == [
        (1, 0, (5, 24, 2)),
        (2, 5, (5, 24, 2)),
    ]
    assert not any(s.captions.any() for s in samples), "each image has one caption"
    rows = np.concatenate([s.rows for s in samples])
    images: dict[tuple[int, int], str] = {}
    for step, pairs in shown.steps.items():
        for row, (image, _) in zip(rows[step].tolist(), pairs, strict=True):
            assert images.setdefault(tuple(row), image) == image
    assert len(set(images.values())) == len(images), "each row has an image of its own"
    times = times_seen(run, "epoch-002")
    assert times.sum() == 240
    assert times[tuple(rows[0].T)].min() > 0


def test_the_captions_of_a_stream_are_known_where_all_images_have_as_many(
    flags: Flags, tmp_path: Path, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    changes = {
        "num_train_epochs": 1,
        "streaming": True,
        "samples_per_epoch": 120,
        "dataloader_num_workers": 0,
    }
    finished(flags(**changes))
    name = pairs_of(parse_training_config(flags(num_train_epochs=1)))
    (samples,) = samples_between(run, "epoch-000", "epoch-001")
    for step, pairs in shown.steps.items():
        rows = zip(samples.rows[step, :, 1], samples.captions[step], strict=True)
        assert [name(int(row), int(caption)) for row, caption in rows] == pairs
    monkeypatch.setattr(order_module.np, "__version__", "9.0")
    with pytest.raises(RevisionError, match="The captions of epoch 1 were drawn by NumPy"):
        list(samples_between(run, "epoch-000", "epoch-001"))
    monkeypatch.undo()
    varied = replace(_record(run, "epoch-001").streams, caption_numbers=(1, 2))
    _rewrite(run, "epoch-001", lambda record: replace(record, streams=varied))
    assert [samples.captions for samples in samples_between(run, "epoch-000", "epoch-001")] == [None]


@pytest.mark.parametrize("seed", range(8))
def test_shards_of_known_sizes_are_read_as_shards_that_are_read_from_the_disk(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [int(n) for n in rng.integers(0, 30, 5)]
    skipped = {(s << ROW_BITS) | int(r) for s, n in enumerate(rows) for r in rng.permutation(n)[: n // 3]}
    kept = [[i for r in range(n) if (i := (s << ROW_BITS) | r) not in skipped] for s, n in enumerate(rows)]
    group = rng.permutation(5)[: rng.integers(1, 6)].tolist()
    size = int(rng.integers(1, 20))
    found = Found(without_caption=skipped, samples={s: len(kept[s]) for s in range(5)})
    blocks = RecordedShards("x", 5, found).blocks(group, size)
    expected = list(in_turn([iter(kept[shard]) for shard in group]))
    read = [block.tolist() for block in blocks]
    assert [one for block in read for one in block] == expected
    assert all(len(block) == size for block in read[:-1])


def test_the_sizes_of_shards_may_become_known_while_they_are_read() -> None:
    found = Found()
    blocks = RecordedShards("x", 2, found).blocks([0, 1], 4)
    assert next(blocks).tolist() == [0, 1 << ROW_BITS, 1, 1 << ROW_BITS | 1]
    found.add(Found(without_caption={3}, samples={1: 3}))
    assert next(blocks).tolist() == [2, 1 << ROW_BITS | 2, 4, 5]


def _record(run: Path, name: str) -> DataOrder:
    (revision,) = (one for one in list_revisions(run) if one.name == name)
    (path,) = run.glob(f"hub/models--me--run/snapshots/{revision.commit}/{ORDER_FILE}")
    return parse_json(DataOrder, path.read_text("utf-8"), where="it", error=RevisionError)


def _rewrite(run: Path, name: str, change: Callable[[DataOrder], DataOrder]) -> None:
    (revision,) = (one for one in list_revisions(run) if one.name == name)
    (path,) = run.glob(f"hub/models--me--run/snapshots/{revision.commit}/{ORDER_FILE}")
    text = change(_record(run, name)).dumps()
    path.resolve().write_text(text, encoding="utf-8")


def test_an_order_that_cannot_be_computed_again_is_refused(
    flags: Flags, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    finished(flags(num_train_epochs=2, publish="6"))
    with pytest.raises(UnknownNameError):
        samples_between(run, "epoch-000", "epoch-009")
    with pytest.raises(ConfigError, match=r"epoch-001 \(step 5\) is earlier than epoch-002 \(step 10\)"):
        samples_between(run, "epoch-002", "epoch-001")
    record = _record(run, "epoch-002")
    assert [(epoch.epoch, epoch.steps, epoch.numpy) for epoch in record.epochs] == [
        (1, 5, np.__version__),
        (2, 5, np.__version__),
    ]
    assert len(record.dumps()) < 1500
    counts = ((2, 121),)
    _rewrite(
        run, "epoch-001", lambda r: replace(r, dataset=replace(r.dataset, rows=121), caption_counts=counts)
    )
    with pytest.raises(RevisionError, match=r"The order of epoch 1 is not the one that the run recorded"):
        times_seen(run, "epoch-001")
    _rewrite(run, "epoch-002", lambda r: replace(r, epochs=r.epochs[1:]))
    with pytest.raises(RevisionError, match="The order of epoch 1 was not recorded"):
        times_seen(run, "epoch-002")
    assert len(list(samples_between(run, "step-00000006", "epoch-002"))) == 1
    monkeypatch.setattr(
        order_module.np.random, "default_rng", lambda seed: np.random.Generator(np.random.MT19937(seed))
    )
    with pytest.raises(RevisionError, match=rf"Install numpy=={np.__version__}"):
        list(samples_between(run, "step-00000006", "epoch-002"))


@pytest.mark.parametrize(
    "change",
    [
        {"global_batch_size": 0},
        {"steps_per_epoch": 2**30},
        {"caption_counts": [[2, 119]]},
        {"caption_counts": [[0, 120]]},
        {"broken": [120]},
        {"format_version": 2},
        {"epochs": [{"epoch": 1, "steps": 6, "numpy": "2", "rows": "0" * 64, "captions": "0" * 64}]},
    ],
)
def test_a_record_whose_numbers_do_not_fit_is_one_sentence(flags: Flags, change: dict[str, Any]) -> None:
    content = {
        "format_version": 1,
        "dataset": {"name": "x", "config": None, "split": "train", "rows": 120},
        "reading": "cached",
        "order_seed": 0,
        "global_batch_size": 24,
        "steps_per_epoch": 5,
        "caption_counts": [[2, 120]],
    }
    parse_json(DataOrder, json.dumps(content), where="it", error=RevisionError)
    with pytest.raises(RevisionError, match="it cannot be read"):
        parse_json(DataOrder, json.dumps(content | change), where="it", error=RevisionError)


def test_a_checkpoint_is_refused_where_the_order_has_changed(flags: Flags, tmp_path: Path) -> None:
    finished(flags(num_train_epochs=1), Stop(3))
    (path,) = tmp_path.glob(f"run/checkpoints/*/{ORDER_FILE}")
    text = path.read_text("utf-8")
    first = json.loads(text)["epochs"][0]["rows"]
    path.write_text(text.replace(first, first[::-1]), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"has recorded another order of the data in epoch 1"):
        finished(flags(num_train_epochs=1, resume_from_checkpoint="true"))


def test_a_run_that_continues_a_checkpoint_without_a_record_records_the_epochs_that_it_begins(
    flags: Flags, tmp_path: Path
) -> None:
    finished(flags(num_train_epochs=2), Stop(3))
    (path,) = tmp_path.glob(f"run/checkpoints/*/{ORDER_FILE}")
    progress = path.with_name("progress.json")
    content = json.loads(progress.read_text("utf-8"))
    del content["files"][ORDER_FILE]
    progress.write_text(json.dumps(content), encoding="utf-8")
    path.unlink()
    finished(flags(num_train_epochs=2, resume_from_checkpoint="true"))
    run = tmp_path / "run"
    assert [samples.epoch for samples in samples_between(run, "epoch-001", "epoch-002")] == [2]
    with pytest.raises(RevisionError, match="The order of epoch 1 was not recorded"):
        times_seen(run, "epoch-002")
