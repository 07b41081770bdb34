"""A run that ends at any moment continues to the same bits."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from training_runs import Stop, finished, log, wait_for_log

from hf_clipdyn.errors import ConfigError, TrainingError, TrainingInterrupted
from hf_clipdyn.revisions import list_revisions
from hf_clipdyn.training import device
from hf_clipdyn.training.callbacks import Callback, Training
from hf_clipdyn.training.config import TrainingConfig

Flags = Callable[..., list[str]]
HERE = Path(__file__).parent
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
ON_CPU = {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}


class _At(Callback):
    """Does something once, after a step."""

    def __init__(self, step: int, action: Callable[[Training], None]) -> None:
        self._step, self._action = step, action

    def step_ends(self, training: Training) -> None:
        if training.step == self._step:
            self._action(training)


def _result(folder: Path) -> tuple[list[tuple[int, float]], list[tuple[str, str, float | None]]]:
    """Steps and losses of the log; names, weights and losses of all revisions, those of the average too."""
    revisions = [
        (f"{name} {one.name}", one.sha256, one.loss)
        for name, run in {"run": folder, "run-ema": folder / "ema"}.items()
        if run.exists()
        for one in list_revisions(run)
    ]
    return log(folder), revisions


def _checkpoints(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("checkpoints/*"))


@pytest.mark.parametrize("step", [3, pytest.param(5, marks=pytest.mark.slow)])
def test_a_run_that_was_told_to_stop_continues_to_the_same_bits(
    flags: Flags, tmp_path: Path, step: int
) -> None:
    """Inside an epoch and at its end; the average of the weights and the epoch's mean loss continue too."""
    changes = {"num_train_epochs": 2, "ema_decay": 0.7, "publish": "log2"}
    finished(flags("whole", **changes))
    stopped = finished(flags("stopped", **changes), Stop(step))
    assert "epoch-002" not in stopped.published
    assert _checkpoints(tmp_path / "stopped") == ["epoch-000-step-00000003" if step == 3 else "epoch-001"]
    finished(flags("stopped", resume_from_checkpoint="true", **changes))
    assert _result(tmp_path / "stopped") == _result(tmp_path / "whole")
    epochs, steps = range(3), [2**k for k in range(4)]
    names = [f"epoch-{n:03d}" for n in epochs] + [f"step-{n:08d}" for n in steps]
    published = {name for name, *_ in _result(tmp_path / "whole")[1]}
    assert published == {f"{series} {name}" for series in ("run", "run-ema") for name in names}


def test_a_checkpoint_has_what_callbacks_add_and_their_error_leaves_the_one_before(
    flags: Flags, tmp_path: Path
) -> None:
    class Count(Callback):
        def __init__(self, steps: int, fails_at: int = 0) -> None:
            self.steps, self._fails_at = steps, fails_at

        def step_ends(self, _: Training) -> None:
            self.steps += 1

        def save_state(self, _: Training, folder: Path) -> None:
            if self.steps == self._fails_at:
                raise OSError(28, "No space left on device")
            (folder / "count.txt").write_text(str(self.steps), encoding="utf-8")

        def load_state(self, _: Training, folder: Path) -> None:
            self.steps = int((folder / "count.txt").read_text(encoding="utf-8"))

    words = flags(num_train_epochs=1, save_steps=1)
    with pytest.raises(TrainingError, match=r"The checkpoint of step 4 in .* No space left on device"):
        finished(words, Count(10, fails_at=14))
    resumed = Count(0)
    finished([*words, "--resume_from_checkpoint", "true"], resumed)
    assert resumed.steps == 15
    assert _checkpoints(tmp_path / "run") == ["epoch-001"], "what was half written is gone"


@pytest.mark.filterwarnings("ignore::hf_clipdyn.training.device.CrowdedWarning")
def test_another_recipe_machine_or_other_data_do_not_continue_a_run(
    flags: Flags, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the machine decided at the beginning is kept: on another one it would be decided otherwise."""
    begun = flags(num_train_epochs=1, ema_decay=0.8)
    del begun[(place := begun.index("--bf16")) : place + 2]
    monkeypatch.setattr(device, "has_bf16", lambda: False)
    finished(begun, Stop(3))
    written = TrainingConfig.read(["--config", str(tmp_path / "run" / "config.yaml")])
    assert (written.bf16, written.attn_implementation, written.num_threads) == (False, "sdpa", 1)
    monkeypatch.setattr(device, "has_bf16", lambda: True)
    resuming = [*begun, "--resume_from_checkpoint", "true"]

    def refuses(there: str, now: str, **changes: object) -> None:
        words = [word for key, value in changes.items() for word in (f"--{key}", str(value))]
        with pytest.raises(ConfigError, match=f"{there} there, {now} now"):
            finished([*resuming, *words])

    refuses(r"learning_rate=0\.001", r"0\.01", learning_rate=0.01)
    refuses("attn_implementation='sdpa'", "'eager'", attn_implementation="eager")
    refuses("num_threads=1", "2", num_threads=2)
    (progress,) = tmp_path.glob("run/checkpoints/*/progress.json")
    one_process = progress.read_text("utf-8")
    progress.write_text(one_process.replace('"num_processes":1', '"num_processes":2'), "utf-8")
    refuses("processes=2", "1")
    progress.write_text(one_process, "utf-8")
    captions = photographs / "captions.txt"
    text = captions.read_text("utf-8")
    captions.write_text("".join(text.splitlines(keepends=True)[:150]), "utf-8")
    refuses("steps_per_epoch=5", "3")
    captions.write_text(text, "utf-8")
    assert finished(resuming).published == ["epoch-000", "epoch-001"]
    before = log(tmp_path / "run")
    assert finished(resuming).published == ["epoch-000", "epoch-001"], "it was finished"
    assert log(tmp_path / "run") == before


def test_a_signal_in_a_python_call_is_an_exception_that_names_the_next_command(
    flags: Flags, tmp_path: Path
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(
        TrainingInterrupted, match=r"clipdyn train --config .*config\.yaml --resume"
    ) as caught:
        finished(flags(num_train_epochs=1), _At(2, lambda _: os.kill(os.getpid(), signal.SIGTERM)))
    assert caught.value.exit_code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before
    assert _checkpoints(tmp_path / "run") == ["epoch-000-step-00000003"]


def test_a_second_signal_ends_the_run_at_once(flags: Flags, tmp_path: Path) -> None:
    def twice(_: Training) -> None:
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)  # in this thread: two of one kind would join on their way

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for a background job
    with pytest.raises(KeyboardInterrupt):
        finished(flags(num_train_epochs=1), _At(2, twice))
    assert _checkpoints(tmp_path / "run") == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_continues_to_the_same_bits(
    flags: Flags, tmp_path: Path
) -> None:
    """At each change in the folder of checkpoints, each line of the log and each step: some 50 kills."""
    changes = {"save_steps": 2, "ema_decay": 0.7, "publish": "log2"}
    finished(flags("whole", **changes))
    command = [sys.executable, str(HERE / "killed_worker.py")]
    done = subprocess.run(
        [*command, *flags("killed", resume_from_checkpoint="true", quiet=True, **changes)],
        capture_output=True,
        text=True,
        env=os.environ,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    assert int(done.stdout.split()[-1]) > 20, "too few kills to test anything"
    assert _result(tmp_path / "killed") == _result(tmp_path / "whole")


def _ranks(launcher: subprocess.Popen[str]) -> Iterator[psutil.Process]:
    for process in psutil.Process(launcher.pid).children(recursive=True):
        if "RANK" in process.environ():
            yield process


@pytest.mark.slow
@pytest.mark.parametrize("way", ["killed", "terminated"])
def test_two_processes_stop_after_the_same_step_and_continue_to_the_same_bits(
    flags: Flags,
    checkout: Path,
    launch: Callable[..., str],
    tmp_path: Path,
    way: str,
) -> None:
    """All are killed, or one of them gets SIGTERM."""
    script = checkout / "scripts" / "train.py"
    changes = {
        "per_device_train_batch_size": 12,
        "num_train_epochs": 8,
        "save_steps": 3,
        "ema_decay": 0.7,
        "quiet": True,
    }
    launch(2, script, *flags("whole", **changes))
    folder = tmp_path / way
    with subprocess.Popen(
        [sys.executable, *TORCHRUN, str(script), *flags(way, **changes)],
        env=os.environ | ON_CPU,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for_log(process, folder, 7)
        ranks = list(_ranks(process))
        assert len(ranks) == 2
        if way == "killed":
            for one in [psutil.Process(process.pid), *ranks]:
                one.kill()
        else:
            ranks[1].send_signal(signal.SIGTERM)
        error = process.communicate(timeout=300)[1]
    assert not (folder / "checkpoints" / "epoch-008").exists(), "it was stopped too late to test anything"
    if way == "terminated":
        assert "Continue with `torchrun --nproc_per_node 2 scripts/train.py --config" in error
        (stopped,) = _checkpoints(folder)
        logged = _result(folder)[0][-1][0]
        assert stopped in (f"epoch-{logged // 5:03d}", f"epoch-{logged // 5:03d}-step-{logged:08d}")
    launch(2, script, *flags(way, resume_from_checkpoint="true", **changes))
    assert _result(folder) == _result(tmp_path / "whole")
