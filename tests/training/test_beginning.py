"""What a run says of itself, where, and when it is silent."""

import contextlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import datasets
import pytest
import transformers
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from training_runs import finished

from hf_clipdyn.errors import TrainingError
from hf_clipdyn.progress import draws_bars
from hf_clipdyn.training.run import continuation

Flags = Callable[..., list[str]]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _said(flags: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    finished(flags)
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_a_run_says_what_it_is_about_to_do_and_names_the_next_command(
    flags: Flags, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    err = _said(
        flags(
            num_train_epochs=2,
            per_device_train_batch_size=50,
            warmup_steps=100,
            publish="log2",
            ema_decay=0.9,
            logging_steps=2,
        ),
        capsys,
    )
    run = tmp_path / "run"
    lines = [line for line in err.splitlines() if not line.startswith("Decoding ")]
    assert "120 images with 240 captions an epoch; 20 images that fill no batch are left out" in lines[0]
    assert "tiny, 307," in lines[1]
    assert "cpu in fp32, sdpa attention, 1 process, 1 thread." in lines[1]
    assert lines[2] == "Run: 2 epochs of 2 steps of 50 images, 4 steps in all."
    assert lines[3].startswith(
        "Revisions: 4 as me/run, and as many of the averaged weights as me/run-ema; 8 revisions take 9."
    )
    assert lines[3].endswith(f" MB in {run / 'revisions'}.")
    assert lines[4].startswith("Warning: warmup_steps is 100 and the run has 4 steps")
    assert lines[5].startswith("epoch 1/2: loss ")
    assert lines[6].startswith("epoch 2/2: loss ")
    assert lines[7] == f"Next: clipdyn evaluate {run}"
    assert len(lines) == 8
    assert "\r" not in err
    (_, line) = map(json.loads, (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines())
    assert list(line) == [
        "step",
        "epoch",
        "loss",
        "learning_rate",
        "logit_scale",
        "gradient_norm",
        "images_per_second",
        "waiting_for_data",
        "memory_gib",
        "revisions_waiting",
    ]
    assert line["gradient_norm"] > 0
    assert line["images_per_second"] > 0
    assert 0 <= line["waiting_for_data"] < 1
    assert 0.05 < line["memory_gib"] < 100


def test_a_quiet_run_says_nothing(flags: Flags, capsys: pytest.CaptureFixture[str]) -> None:
    assert _said(flags(num_train_epochs=1, quiet=True), capsys) == ""


def test_on_a_terminal_a_bar_is_drawn_and_the_epochs_lines_stay(flags: Flags) -> None:
    terminal = _Terminal()
    with contextlib.redirect_stderr(terminal):
        finished(flags(num_train_epochs=1))
    assert "training: 100%" in terminal.getvalue()
    assert "\nepoch 1/1: loss " in terminal.getvalue().replace("\r", "\n")


def _bars() -> tuple[bool, ...]:
    """Whether `datasets`, `transformers` and the Hub's client draw bars."""
    return (
        datasets.utils.logging.is_progress_bar_enabled(),
        transformers.utils.logging.is_progress_bar_enabled(),
        not are_progress_bars_disabled(),
    )


@pytest.mark.parametrize("of_client", [True, False])
def test_after_a_run_the_bars_of_other_libraries_are_as_they_were_also_after_an_error(
    flags: Flags, of_client: bool
) -> None:
    before = _bars()
    try:
        datasets.enable_progress_bars()
        transformers.utils.logging.enable_progress_bar()
        if not of_client:
            disable_progress_bars()
        mine = _bars()
        assert mine == (True, True, of_client)
        finished(flags(num_train_epochs=1))
        assert _bars() == mine
        with pytest.raises(TrainingError, match="learning_rate"):
            finished(flags("diverging", learning_rate=1e30, warmup_steps=0))
        assert _bars() == mine
    finally:
        for library, on in zip((datasets, transformers), before, strict=False):
            switch = library.utils.logging
            (switch.enable_progress_bar if on else switch.disable_progress_bar)()
        (enable_progress_bars if before[2] else disable_progress_bars)()


@pytest.mark.parametrize(
    ("environment", "drawn"),
    [({}, True), ({"TQDM_DISABLE": "0"}, True), ({"TQDM_DISABLE": "1"}, False)],
)
def test_bars_are_drawn_on_a_terminal_unless_they_are_switched_off(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], drawn: bool
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with contextlib.redirect_stderr(_Terminal()):
        assert draws_bars() is drawn
    with contextlib.redirect_stderr(io.StringIO()):
        assert not draws_bars()


@pytest.mark.parametrize("runs", [False, True])
def test_bars_are_drawn_where_a_kernel_runs_the_process_and_not_where_it_is_only_imported(
    monkeypatch: pytest.MonkeyPatch, runs: bool
) -> None:
    kernel = SimpleNamespace(IPKernelApp=SimpleNamespace(initialized=lambda: runs))
    monkeypatch.setitem(sys.modules, "ipykernel.kernelapp", kernel)
    with contextlib.redirect_stderr(io.StringIO()):
        assert draws_bars() is runs


def test_the_switch_of_the_hub_switches_bars_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_PROGRESS_BARS", True)  # read at its import
    with contextlib.redirect_stderr(_Terminal()):
        assert sys.stderr.isatty()
        assert not draws_bars()


def test_the_command_that_continues_a_run_can_be_pasted_into_a_shell() -> None:
    assert continuation(Path("my run"), 1) == (
        "clipdyn train --config 'my run/config.yaml' --resume_from_checkpoint true"
    )
    assert continuation(Path("run"), 2).startswith(
        "torchrun --nproc_per_node 2 scripts/train.py --config run/"
    )
