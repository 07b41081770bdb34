"""An evaluation beside the training: a process of its own that measures each revision when it is published.

It only reads the store, so the training computes the same weights with it and without it. Nothing waits in a queue,
since revisions stay; the process measures what is there, and a slow one falls behind. If it dies, the run says so and
goes on, and a later `clipdyn evaluate` measures what is missing. If the run dies, the process ends at once.
"""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from hf_clipdyn.config import TrainingConfig
from hf_clipdyn.errors import ConfigError, counted
from hf_clipdyn.machine import visible_gpus
from hf_clipdyn.progress import duration, say
from hf_clipdyn.training.loop import Callback, Training

__all__ = ["Watcher", "check_evaluation"]

_CHILD = """
from hf_clipdyn.cli import main
from hf_clipdyn.interrupts import end_with_standard_input
end_with_standard_input()
main()
"""
_PATIENCE = 86_400  # seconds for which an epoch may last
_SECONDS_TO_END = 60.0
_OF_LAUNCHERS = (
    "RANK",
    "WORLD_SIZE",
    "LOCAL_",
    "GROUP_",
    "ROLE_",
    "MASTER_",
    "TORCHELASTIC_",
    "ACCELERATE_",
    "FSDP_",
)
"""How the names of the variables begin that make a process one of several."""


def check_evaluation(config: TrainingConfig) -> None:
    """Before anything is written: could the evaluation start?

    Raises:
        UnknownNameError: there is no such suite.
        ConfigError: there is no such device.
    """
    if config.evaluate is not None:
        from hf_clipdyn.benchmarks.registry import suite

        for name in config.evaluate.split(","):
            suite(name)
        _device(config.evaluate_device)


class Watcher(Callback):
    """Starts `clipdyn evaluate … --watch` beside a run, says if it dies, and completes its table at the end.

    As a context manager, it ends what it has started.

    Args:
        config: of the run; ``evaluate`` is set, and `check_evaluation` has passed.
        folder: of the run; the table is ``results.parquet`` in it, the log ``evaluate.log``.
        repo_id: repository of the revisions.
        store: where they are.
    """

    def __init__(self, config: TrainingConfig, folder: Path, repo_id: str, store: Path) -> None:
        assert config.evaluate is not None
        device, self._environment = _device(config.evaluate_device)
        self._quiet, self._limit, self.log = config.quiet, config.evaluate_timeout, folder / "evaluate.log"
        self._output = folder / "results.parquet"
        self._words = ["evaluate", repo_id, "--store", str(store), "--suite", config.evaluate]
        self._words += ["--output", str(self._output), "--device", device, "--quiet"]
        for path in filter(None, map(str.strip, (config.plugin or "").split(","))):
            self._words += ["--plugin", path]
        if config.hub_token is not None:
            self._environment["HF_TOKEN"] = config.hub_token
        # This package as this process found it; the current folder may hold a file with the name of a package.
        paths = [str(Path(__file__).resolve().parents[2]), self._environment.get("PYTHONPATH", "")]
        self._environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        self._process: subprocess.Popen[bytes] | None = None
        self._died = False

    def __enter__(self) -> Self:
        self._process = self._start("--watch", f"--watch-patience={_PATIENCE}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def step_ends(self, training: Training) -> None:
        """Say once if the process has died."""
        del training
        self._check()

    def finish(self, *, published: bool) -> bool:
        """Wait until the table is complete.

        Args:
            published: whether the store has all revisions. Otherwise the process, which waits for them, ends, and
                another one measures what is there.

        Returns:
            Whether the table is complete.
        """
        self._check()
        if self._died or self._process is None:
            return False
        if not published:
            self._end()
            self._process = self._start()
        if not self._quiet:
            say(f"The evaluation completes {self._output}.")
        try:
            self._process.wait(self._limit)
        except subprocess.TimeoutExpired:
            self._end()
            say(f"The evaluation is not complete after {duration(self._limit)}. {self._remedy}")
            return False
        self._check()
        return not self._died

    def _start(self, *words: str) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-P", "-c", _CHILD, *self._words, *words],
                stdin=subprocess.PIPE,  # which ends with this process, however that ends
                stdout=output,
                stderr=output,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is the run's, which ends this process after its last checkpoint
            )

    def _check(self) -> None:
        code = None if self._process is None else self._process.poll()
        if not code or self._died:
            return
        self._died = True
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        say(f"Warning: the evaluation {how}; the training goes on. Its log is {self.log}. {self._remedy}")

    @property
    def _remedy(self) -> str:
        return f"To measure what is missing: `{shlex.join(['clipdyn', *self._words])}`."

    def _end(self) -> None:
        """End the process: it loses the cell in work, and is killed with all that it started if it does not end."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)  # its own session, so its own group
            self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()


def _device(asked: str) -> tuple[str, dict[str, str]]:
    """The device of the process as `clipdyn evaluate` takes it, and the variables of the process."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OF_LAUNCHERS)}
    if asked == "cpu":
        environment.setdefault("OMP_NUM_THREADS", "1")
        return "cpu", environment | {"CUDA_VISIBLE_DEVICES": ""}
    gpus = visible_gpus()
    if not (asked.isdecimal() and int(asked[:9]) < len(gpus)):
        raise ConfigError(
            f"evaluate_device is {asked}, and this machine has {counted(len(gpus), 'GPU')}: give cpu, or the number of "
            "a GPU, from 0."
        )
    return "cuda", environment | {"CUDA_VISIBLE_DEVICES": gpus[int(asked)]}
