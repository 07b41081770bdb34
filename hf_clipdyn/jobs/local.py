"""Jobs as processes on this machine."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from hf_clipdyn.errors import ConfigError, counted, redact, shown
from hf_clipdyn.interrupts import catch_signals, leave
from hf_clipdyn.jobs.base import Job, Scheduler, Work
from hf_clipdyn.machine import usable_cores, visible_gpus

__all__ = ["LocalProcesses"]

_SECONDS_BETWEEN_LOOKS = 0.1
_SECONDS_TO_END = 60.0
_log = logging.getLogger(__name__)


class LocalProcesses(Scheduler):
    """``--submit local``: a process a job on this machine.

    Each has its share of the cores, and one of the GPUs in turn if there are several. Their logs are appended to
    ``<logs>/<job>.log``. Ctrl-C and SIGTERM end all of them; a further one changes nothing.

    Setting: ``parallel``, how many run at a time (default: one a GPU, or one a core without GPUs).

    Args:
        in_turn: run one job after the other, with all cores and GPUs; they print here, and there are no logs.
    """

    name = "local"
    known = ("parallel",)
    waits = True

    def __init__(self, work: Work, settings: Mapping[str, str], *, in_turn: bool = False) -> None:
        super().__init__(work, settings)
        self._in_turn = in_turn
        self._devices = visible_gpus() if work.gpus and not in_turn else []
        text = "1" if in_turn else settings.get("parallel", str(len(self._devices) or usable_cores()))
        if not (text.isdecimal() and 1 <= int(text[:9]) <= 1000):
            raise ConfigError(f"parallel is {shown(text)}: it must be in [1, 1000].")
        self.parallel = int(text)

    def log(self, job: Job) -> Path:
        """The file with what the job prints."""
        return self.work.logs / f"{job.name}.log"

    def start(self, jobs: Sequence[Job]) -> str:
        """Run the jobs until all have ended; a signal that ends this process ends them first."""
        if not self._in_turn:
            self.work.make_folders()
        running: dict[int, tuple[Job, subprocess.Popen[bytes]]] = {}  # by place
        places = min(self.parallel, len(jobs))
        waiting, failed = list(jobs), []
        received: list[int] = []
        # A signal raises nothing here: an exception could fall between two lines that start or end a job.
        with catch_signals(received.append):
            try:
                while (waiting or running) and not received:
                    for place in [place for place in range(places) if place not in running][: len(waiting)]:
                        job = waiting.pop(0)
                        running[place] = job, self._start(job, place, places)
                    time.sleep(_SECONDS_BETWEEN_LOOKS)
                    ended = [place for place, (_, process) in running.items() if process.poll() is not None]
                    for place in ended:
                        failed += self._ended(*running.pop(place), len(waiting) + len(running))
            finally:
                if running:
                    _log.info(f"Ending {counted(len(running), self.work.noun)}.")
                _end([process for _, process in running.values()])
        if received:
            leave(received[0])
        return " ".join(failed)

    def _start(self, job: Job, place: int, places: int) -> "subprocess.Popen[bytes]":
        environment = dict(os.environ)
        environment.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // places)))
        if self.work.token is not None:
            environment["HF_TOKEN"] = self.work.token
        if len(self._devices) > 1:
            environment["CUDA_VISIBLE_DEVICES"] = self._devices[place % len(self._devices)]
        _log.info(f"{self.work.noun.capitalize()} {job.name} begins.")
        with nullcontext() if self._in_turn else self.log(job).open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "hf_clipdyn", *job.words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,  # a second signal would end a run before its checkpoint is written
            )

    def _ended(self, job: Job, process: "subprocess.Popen[bytes]", left: int) -> list[str]:
        """A sentence if the job failed."""
        code, noun = process.returncode, self.work.noun.capitalize()
        if not code:
            _log.info(f"{noun} {job.name} is done, {left} to go.")
            return []
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        said = f"{noun} {job.name} {how}{self._last_error(job)}."
        _log.warning(said)
        return [said]

    def _last_error(self, job: Job) -> str:
        """The error at the end of a job's log, and where the log is."""
        if self._in_turn:
            return ""
        log, mark = self.log(job), "clipdyn: error: "
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = file.read().decode(errors="replace").strip().splitlines()
        said = lines[-1].removeprefix(mark) if lines and lines[-1].startswith(mark) else ""
        return f"{': ' * bool(said)}{redact(said).rstrip('.')} (its log is {log})"


def _end(processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    """End the jobs: they have a minute to write their checkpoints, then they are killed with all that they started."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + _SECONDS_TO_END
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its own session, so its own group
            process.wait()
