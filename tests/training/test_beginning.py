"""What a run says of itself, where, and when it is silent."""

import contextlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from training_runs import finished

from hf_clipdyn.cli import main
from hf_clipdyn.progress import draws_bars

Flags = Callable[..., list[str]]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_run_says_what_it_is_about_to_do_and_names_the_next_command(
    flags: Flags, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batches = {"per_device_train_batch_size": 50, "logging_steps": 2}
    words = flags(num_train_epochs=2, warmup_steps=100, publish="log2", ema_decay=0.9, **batches)
    with pytest.raises(SystemExit, match="0"):
        main(["train", *words])
    out, err = capsys.readouterr()
    assert out.startswith("me/run: 4 of 4 revisions are saved")
    assert "\r" not in err
    lines = [line for line in err.splitlines() if not line.startswith("Decoding ")]
    begins = ("Data: ", "Model: tiny, 307,", "Run: 2 epochs of 2 steps of 50 images, 4 steps in all.")
    begins += ("Revisions: 4 as me/run, and as many", "Warning: warmup_steps is 100 and the run has 4 steps")
    begins += ("epoch 1/2: loss ", "epoch 2/2: loss ", f"Next: clipdyn evaluate {tmp_path / 'run'}")
    assert [line[: len(begin)] for line, begin in zip(lines, begins, strict=True)] == list(begins)
    assert "120 images with 240 captions an epoch; 20 images that fill no batch are left out" in lines[0]
    assert "cpu in fp32, sdpa attention, 1 process, 1 thread." in lines[1]
    _, logged = map(json.loads, (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines())
    assert {"step", "epoch", "loss", "learning_rate", "logit_scale", "revisions_waiting"} < set(logged)
    assert min(logged["gradient_norm"], logged["images_per_second"]) > 0
    assert 0 <= logged["waiting_for_data"] < 1
    assert 0.05 < logged["memory_gib"] < 100


def test_a_quiet_run_says_nothing(flags: Flags, capsys: pytest.CaptureFixture[str]) -> None:
    finished(flags(num_train_epochs=1, quiet=True))
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_a_bar_is_drawn_and_the_epochs_lines_stay(flags: Flags) -> None:
    terminal = _Terminal()
    with contextlib.redirect_stderr(terminal):
        finished(flags(num_train_epochs=1))
    assert "training: 100%" in terminal.getvalue()
    assert "\nepoch 1/1: loss " in terminal.getvalue().replace("\r", "\n")
    assert "Next: " not in terminal.getvalue(), "the demo and a study go on by themselves"


def test_in_a_kernel_that_runs_bars_are_drawn_unless_they_are_switched_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = SimpleNamespace(IPKernelApp=SimpleNamespace(initialized=lambda: is_running))
    monkeypatch.setitem(sys.modules, "ipykernel.kernelapp", app)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    for is_running in (False, True):
        assert draws_bars() is is_running
    for switch, is_drawn in (("0", True), ("1", False)):
        monkeypatch.setenv("TQDM_DISABLE", switch)
        assert draws_bars() is is_drawn
