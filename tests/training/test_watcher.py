"""`--evaluate`: an evaluation beside the training, whose death is a message, and which changes no weight."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import psutil
import pytest
from training_runs import finished, hashes

from hf_clipdyn.errors import ConfigError, UnknownNameError
from hf_clipdyn.machine import visible_gpus
from hf_clipdyn.training import watcher
from hf_clipdyn.training.loop import Callback, Training

Flags = Callable[..., list[str]]


def _evaluations() -> list[psutil.Process]:
    """The evaluations that this process has started and that have not ended."""
    return [one for one in psutil.Process().children() if "evaluate" in one.cmdline()]


class Kill(Callback):
    """Kills the evaluation after the second step."""

    def step_ends(self, training: Training) -> None:
        if training.step == 2:
            (evaluation,) = _evaluations()
            self.words, self.variables = evaluation.cmdline(), evaluation.environ()
            os.kill(evaluation.pid, signal.SIGKILL)
            while evaluation.status() != psutil.STATUS_ZOMBIE:  # its parent is to see how it ended
                time.sleep(0.01)


def test_a_killed_evaluation_is_a_message_and_the_weights_are_those_without_it(
    flags: Flags, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = finished(flags("alone"))
    monkeypatch.setenv("MASTER_PORT", "1")  # as a launcher sets it; the evaluation is no part of its group
    kill = Kill()
    beside = finished(flags("beside", evaluate="embedded", hub_token="hf_token"), kill)
    assert hashes(beside.store) == hashes(alone.store)
    assert not _evaluations()
    message, *others = [line for line in capfd.readouterr().err.splitlines() if "the evaluation" in line]
    folder = tmp_path / "beside"
    again = f"clipdyn evaluate me/run --store {folder / 'hub'} --suite embedded"
    assert message.startswith(
        "Warning: the evaluation was killed by signal 9; the training goes on. Its log is "
        f"{folder / 'evaluate.log'}. To measure what is missing: `{again}"
    )
    assert others == []
    assert {"--watch", "--device", "cpu"} <= set(kill.words)
    assert "hf_token" not in " ".join(kill.words)
    assert (kill.variables["HF_TOKEN"], kill.variables["CUDA_VISIBLE_DEVICES"]) == ("hf_token", "")
    assert "MASTER_PORT" not in kill.variables


@pytest.mark.slow
def test_the_table_has_every_revision_when_the_run_ends_and_the_weights_are_those_without_it(
    flags: Flags, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    alone = finished(flags("alone", num_train_epochs=1))
    beside = finished(flags("beside", num_train_epochs=1, evaluate="embedded"))
    assert hashes(beside.store) == hashes(alone.store)
    error = capfd.readouterr().err
    assert "the evaluation" not in error
    assert f"Next: clipdyn report {tmp_path / 'beside'}" in error
    table = pd.read_parquet(tmp_path / "beside" / "results.parquet")
    assert set(table["revision"]) == {"epoch-000", "epoch-001"}
    assert set(table["texts"]) == {"own", "last"}
    assert not _evaluations()


def test_the_evaluation_of_a_run_that_was_killed_ends(tmp_path: Path) -> None:
    """Its standard input ends with the run; it would wait for a day otherwise."""
    words = ["evaluate", "me/run", "--store", str(tmp_path), "--output", str(tmp_path / "results.parquet")]
    with subprocess.Popen(
        [sys.executable, "-c", watcher._CHILD, *words, "--watch"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        time.sleep(0.5)
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(timeout=60) == 1


def test_an_evaluation_that_does_not_end_in_time_is_ended(
    flags: Flags, capfd: pytest.CaptureFixture[str]
) -> None:
    finished(flags(num_train_epochs=1, evaluate="embedded", evaluate_timeout=0.1))
    assert "The evaluation is not complete after 0.1 s. To measure what is missing:" in capfd.readouterr().err
    assert not _evaluations()


def test_an_interrupted_run_ends_its_evaluation(flags: Flags) -> None:
    class Broken(Callback):
        def step_ends(self, training: Training) -> None:
            assert _evaluations()
            raise ConfigError("broken")

    with pytest.raises(ConfigError, match="broken"):
        finished(flags(evaluate="embedded"), Broken())
    assert not _evaluations()


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"evaluate": "embeded"}, UnknownNameError, "There is no suite 'embeded'"),
        (
            {"evaluate": "embedded", "evaluate_device": "2"},
            ConfigError,
            "this machine has 2 GPUs: give cpu, or",
        ),
        ({"evaluate": "embedded", "evaluate_device": "gpu"}, ConfigError, "evaluate_device is gpu"),
        ({"evaluate_device": "1"}, ConfigError, "evaluate_device and evaluate_timeout need evaluate"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_anything_is_written(
    flags: Flags,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, str],
    error: type,
    says: str,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    with pytest.raises(error, match=says):
        finished(flags(**given))
    assert not (tmp_path / "run").exists()


def test_the_number_of_a_gpu_counts_those_that_the_run_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert visible_gpus() == ["4", "7"]
    device, variables = watcher._device("1")
    assert (device, variables["CUDA_VISIBLE_DEVICES"]) == ("cuda", "7")
