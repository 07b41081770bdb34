"""Whole runs, in real processes where they are killed or launched."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import forked
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from accelerate import Accelerator
from training_runs import finished, hashes, log, wait_for_log
from waits import counted

from hf_clipdyn.errors import ConfigError, PublishError, TrainingError
from hf_clipdyn.revisions import list_revisions
from hf_clipdyn.revisions.store import Store
from hf_clipdyn.training import delete_run
from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.training.losses import Contrastive, Features
from hf_clipdyn.training.model import TrainedModel

Flags = Callable[..., list[str]]


def _script(checkout: Path, flags: list[str], *launcher: str) -> list[str]:
    return [sys.executable, *launcher, str(checkout / "scripts" / "train.py"), *flags]


def test_a_run_on_photographs_publishes_every_epoch_and_learns_and_stores_no_token(
    flags: Flags, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its revisions load in a new process without this package and without the Hub."""
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecretsecret")
    summary = finished(flags(num_train_epochs=6, arm="noise"))
    assert summary.published == [f"epoch-{epoch:03d}" for epoch in range(7)]
    losses = [loss for _, loss in log(tmp_path / "run")]
    assert len(losses) == 30
    assert sum(losses[-5:]) < sum(losses[:5])
    revisions = list_revisions(summary.folder)
    assert [r.samples_seen for r in revisions] == [120 * epoch for epoch in range(7)]
    assert len({r.sha256 for r in revisions}) == 7
    assert {(r.scale, r.seed, r.arm) for r in revisions} == {("tiny", 0, "noise")}
    files = [path for path in summary.folder.rglob("*") if path.is_file()]
    assert summary.folder / "config.yaml" in files
    assert not [path for path in files if b"hf_secret" in path.read_bytes()]
    program = f"""
import sys, torch
from transformers import CLIPModel, CLIPProcessor
for name in ("epoch-000", "epoch-006"):
    folder = {str(summary.folder / "revisions")!r} + "/" + name
    model, processor = CLIPModel.from_pretrained(folder).eval(), CLIPProcessor.from_pretrained(folder)
    image = torch.zeros(3, 50, 60, dtype=torch.uint8)
    inputs = processor(text=["a red picture", "noise in blue"], images=image, return_tensors="pt", padding=True)
    with torch.no_grad():
        print(model.num_parameters(), float(model(**inputs).logits_per_image.sum()))
assert not any(name.startswith("hf_clipdyn") for name in sys.modules)
"""
    command = [sys.executable, "-W", "error::DeprecationWarning", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (size, first), (same, last) = (line.split() for line in done.stdout.splitlines())
    assert {r.parameters for r in revisions} == {int(size)} == {int(same)}
    assert first != last


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(flags: Flags) -> None:
    weights = [
        hashes(finished(flags(output, **seeds)).folder)
        for output, seeds in (("a", {}), ("b", {"seed": 0}), ("c", {"seed": 1}), ("d", {"data_seed": 1}))
    ]
    assert weights[0] == weights[1]
    assert not set(weights[0]) & set(weights[2])
    assert set(weights[0]) & set(weights[3]) == {weights[0][0]}, (
        "data_seed changes the order, not the beginning"
    )


def test_a_killed_run_continues_with_the_weights_and_losses_of_an_uninterrupted_one(
    flags: Flags, checkout: Path, tmp_path: Path
) -> None:
    """Killed inside epoch 3 and resumed there: the order of batches after a late resume went wrong elsewhere."""
    whole = finished(flags("whole", num_train_epochs=4))
    killed = tmp_path / "killed"
    process = forked.start(_script(checkout, flags("killed", num_train_epochs=4, save_steps=2)))
    wait_for_log(process, killed, 12)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (killed / "checkpoints" / "epoch-004").exists(), "it was killed too late to test anything"
    with pytest.raises(ConfigError, match="resume_from_checkpoint"):
        finished(flags("killed", num_train_epochs=4))
    resumed = finished(flags("killed", num_train_epochs=4, resume_from_checkpoint="true"))
    assert log(killed) == log(tmp_path / "whole")
    expected, found = (list_revisions(s.folder) for s in (whole, resumed))
    assert [(r.name, r.sha256, r.loss) for r in found] == [(r.name, r.sha256, r.loss) for r in expected]


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_with_a_checkpoint_and_the_next_command(
    flags: Flags, checkout: Path, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    run = tmp_path / "my run"
    command = _script(checkout, flags("my run", num_train_epochs=500))
    with (tmp_path / "error").open("w+") as file:
        process = forked.start(command, stderr=file.fileno())
        forked.wait_until(lambda: any(run.glob("checkpoints/epoch-*")), process)
        os.kill(process.pid, sent)
        assert process.wait() == code
        error = (tmp_path / "error").read_text()
    assert "clipdyn: interrupted after step" in error
    (words,) = re.findall("Continue with `clipdyn train (.*)`", error)
    assert TrainingConfig.read(shlex.split(words)).output_dir == str(run)
    (checkpoint,) = run.glob("checkpoints/epoch-*")
    assert json.loads((checkpoint / "progress.json").read_text())["step"] == log(run)[-1][0]
    assert "Traceback" not in error
    names = [r.name for r in list_revisions(run)]
    assert names[:2] == ["epoch-000", "epoch-001"]


def test_deleting_a_run_deletes_nothing_else_in_its_folder(flags: Flags, tmp_path: Path) -> None:
    run = finished(flags(num_train_epochs=1)).folder
    with Store(run).locked(), pytest.raises(PublishError, match="Another process writes"):
        delete_run(run)
    for name in ("revisions", "checkpoints"):
        mine = run / name / "notes.txt"
        mine.write_text("mine", encoding="utf-8")
        with pytest.raises(ConfigError, match=r"notes\.txt is among the files of a run"):
            delete_run(run)
        mine = mine.rename(run / "notes.txt")
    assert [one.name for one in list_revisions(run)] == ["epoch-000", "epoch-001"]
    delete_run(run)
    assert [path for path in run.rglob("*") if path.is_file()] == [mine]


def test_a_loss_that_is_not_finite_stops_the_run_which_keeps_what_was_published(
    flags: Flags, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = Contrastive.__call__, []

    def explode(loss: Contrastive, features: Features) -> torch.Tensor:
        calls.append(1)
        return real(loss, features) * (float("nan") if len(calls) == 8 else 1.0)

    with monkeypatch.context() as patched:
        patched.setattr(Contrastive, "__call__", explode)
        with pytest.raises(TrainingError, match="nan in step 8,"):
            finished(flags())
    with pytest.raises(ConfigError, match="already contains a run"):
        finished(flags())
    assert finished(flags(resume_from_checkpoint="true")).published[-1] == "epoch-003"


def test_temperature_stays_within_its_bounds(flags: Flags, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = TrainedModel.clamp_scale

    def clamp(model: TrainedModel) -> None:
        model.encoder.logit_scale.data += 10 if len(seen) % 2 else -10  # an optimiser gone wild
        real(model)
        seen.append(float(model.encoder.logit_scale.exp().detach()))

    monkeypatch.setattr(TrainedModel, "clamp_scale", clamp)
    finished(flags(num_train_epochs=1))
    assert min(seen) == pytest.approx(1)
    assert max(seen) == pytest.approx(100)


@pytest.mark.parametrize("norm", ["0", "inf"])
def test_without_a_norm_gradients_are_not_clipped(
    flags: Flags, norm: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Accelerator, "clip_grad_norm_", None)  # a call would fail
    finished(flags(num_train_epochs=1, max_grad_norm=norm))
    losses = [loss for _, loss in log(tmp_path / "run")]
    assert losses[-1] < losses[0]


def test_a_launcher_that_starts_one_process_of_several_or_shards_on_cpus_is_an_error(
    flags: Flags, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`accelerate launch --cpu --num_processes 2` sets these variables, starts one process and says nothing."""
    with monkeypatch.context() as launched:
        launched.setenv("ACCELERATE_MIXED_PRECISION", "no")
        launched.setenv("MASTER_PORT", "29500")
        with pytest.raises(TrainingError, match="Several processes were requested and 1 started"):
            finished(flags())
    monkeypatch.setattr(Accelerator, "num_processes", 2)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ConfigError, match="FSDP was requested on cpu, where accelerate does not shard"):
        finished(flags())
    assert not (tmp_path / "run" / "log.jsonl").exists()


def test_columns_that_are_not_found_can_be_named(flags: Flags, photographs: Path, tmp_path: Path) -> None:
    image = (photographs / "Images" / "0000.jpg").read_bytes()
    rows = [{"bild": image, "worte": f"a picture {i}", "caption": None} for i in range(60)]
    (tmp_path / "folder").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "folder" / "train.parquet")
    named = {"dataset_name": tmp_path / "folder", "image_column": "bild", "caption_column": "worte"}
    assert finished(flags(num_train_epochs=1, **named)).published[-1] == "epoch-001"
    with pytest.raises(ConfigError, match=r"caption_column is 'wrote', but the columns are bild, worte"):
        finished(flags("other", **(named | {"caption_column": "wrote"})))


@pytest.mark.parametrize("more", [{}, {"ema_decay": 0.9}], ids=str)
def test_more_steps_between_two_log_lines_are_no_more_waits_for_the_device(
    flags: Flags, tmp_path: Path, more: dict[str, float]
) -> None:
    waits = []
    for name, batch in (("long", 12), ("short", 24)):  # 10 and 5 steps an epoch, one log line in each
        given = {"per_device_train_batch_size": batch, "logging_steps": 120 // batch, "num_train_epochs": 2}
        with counted("training") as found:
            finished(flags(name, **given, **more))
        assert len(log(tmp_path / name)) == 2
        waits.append(found)
    assert waits[0] == waits[1]
    assert waits[0]
