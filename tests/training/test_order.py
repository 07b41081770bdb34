"""The order of the data: what is replayed from a run's folder and its data names the samples that its steps showed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from order_worker import Pair, Shown, pairs_of
from training_runs import Stop, finished, log

from hf_clipdyn import samples_between, times_seen
from hf_clipdyn.errors import ConfigError, RevisionError, UnknownNameError
from hf_clipdyn.training import run as loop
from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.training.order import RECORD_FILE

Flags = Callable[..., list[str]]
WORKER = Path(__file__).with_name("order_worker.py")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """What the runs of this process show."""
    record = Shown()
    monkeypatch.setattr(loop, "_timed", record.wrap(loop._timed))
    return record


def _replayed(run: Path, last: str, name: Callable[[int, int], Pair]) -> dict[int, list[Pair]]:
    """The pairs of image and caption by step."""
    return {
        samples.first_step + i: [name(int(row), int(caption)) for row, caption in zip(*step, strict=True)]
        for samples in samples_between(run, "epoch-000", last)
        for i, step in enumerate(zip(samples.rows, samples.captions, strict=True))
    }


@pytest.mark.parametrize("reading", ["decoded", pytest.param("cached", marks=pytest.mark.slow)])
def test_what_is_replayed_was_shown_with_a_broken_image_and_a_stop_inside_an_epoch(
    flags: Flags, photographs: Path, tmp_path: Path, shown: Shown, reading: str
) -> None:
    (photographs / "Images" / "0007.jpg").write_bytes(b"no image")
    run = tmp_path / "run"
    changes = {"num_train_epochs": 2, "reading": reading, "publish": "3"}
    finished(flags(**changes), Stop(3))
    finished(flags(resume_from_checkpoint="true", **changes))
    name = pairs_of(TrainingConfig.read(flags(**changes)))
    assert _replayed(run, "epoch-002", name) == shown.steps
    steps = len(shown.steps) // 2
    between = list(samples_between(run, "step-00000003", "epoch-002"))
    assert [(s.epoch, s.first_step, len(s.rows)) for s in between] == [(1, 3, steps - 3), (2, steps, steps)]
    assert all(7 not in samples.rows for samples in samples_between(run, "epoch-000", "epoch-002"))
    times = times_seen(run, "epoch-002")
    assert times.shape == (120,)
    assert times.sum() == 2 * steps * 24
    assert times_seen(run, "epoch-000").tolist() == [0] * 120
    assert (run / RECORD_FILE).stat().st_size < 300


@pytest.mark.slow
def test_what_is_replayed_two_processes_showed_together(
    flags: Flags, tmp_path: Path, launch: Callable[..., str]
) -> None:
    changes = {"num_train_epochs": 1, "per_device_train_batch_size": 12, "dataloader_num_workers": 0}
    launch(2, WORKER, str(tmp_path / "shown"), *flags(**changes))
    ranks = [json.loads((tmp_path / f"shown-{rank}.json").read_text("utf-8")) for rank in range(2)]
    together = {int(step): [tuple(p) for rank in ranks for p in rank[step]] for step in ranks[0]}
    name = pairs_of(TrainingConfig.read(flags(**changes)))
    assert _replayed(tmp_path / "run", "epoch-001", name) == together


def test_what_cannot_be_replayed_is_refused_in_a_sentence(
    flags: Flags, streamed: dict[str, Any], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    finished(flags(num_train_epochs=2))
    with pytest.raises(UnknownNameError):
        samples_between(run, "epoch-000", "epoch-009")
    with pytest.raises(ConfigError, match=r"epoch-001 \(step 5\) is earlier than epoch-002 \(step 10\)"):
        samples_between(run, "epoch-002", "epoch-001")
    with pytest.raises(ConfigError, match="neither a folder here nor"):
        times_seen(tmp_path / "nowhere", "epoch-001")
    (run / RECORD_FILE).write_text("{}", encoding="utf-8")
    with pytest.raises(RevisionError, match=RECORD_FILE):
        times_seen(run, "epoch-000")
    finished(flags("stream", num_train_epochs=1, **streamed))
    with pytest.raises(ConfigError, match="stream"):
        samples_between(tmp_path / "stream", "epoch-000", "epoch-001")


def test_changed_data_are_neither_replayed_nor_trained_on_and_data_elsewhere_are(
    flags: Flags, photographs: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    finished(flags(num_train_epochs=1), Stop(3))
    again = flags(num_train_epochs=1, resume_from_checkpoint="true")
    captions = photographs / "captions.txt"
    text = captions.read_text("utf-8")
    changed = text.replace("red", "?").replace("blue", "red").replace("?", "blue")  # the same vocabulary
    captions.write_text(changed, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"The training data have changed since the run of .* began"):
        finished(again)
    captions.write_text(text, encoding="utf-8")
    finished(again)
    before = times_seen(run, "epoch-001")
    captions.write_text(changed, encoding="utf-8")
    with pytest.raises(RevisionError, match=r"The training data of .* have changed since the run began"):
        times_seen(run, "epoch-001")
    captions.write_text(text, encoding="utf-8")
    shutil.move(photographs, tmp_path / "elsewhere")
    config = run / "config.yaml"
    config.write_text(
        config.read_text("utf-8").replace(str(photographs), str(tmp_path / "elsewhere")), "utf-8"
    )
    assert times_seen(run, "epoch-001").tolist() == before.tolist()
    assert len(log(run)) == 5
