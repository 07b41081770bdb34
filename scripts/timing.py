"""The clock of the `bench_*.py` beside it: what is compared runs in turn, so that a busy machine slows all alike."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray


def finish() -> None:
    """Wait for what a GPU still computes."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@dataclass
class Clock:
    """Wall and processor seconds of what ran inside `running`, and how often that was."""

    wall: float = 0.0
    cpu: float = 0.0
    times: int = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        start = time.perf_counter(), time.process_time()
        yield
        self.wall += time.perf_counter() - start[0]
        self.cpu += time.process_time() - start[1]
        self.times += 1


def interleaved(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, NDArray[np.float64]]:
    """Wall and processor seconds of each call, (rounds, 2), after one round to warm up."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            clock = Clock()
            with clock.running():
                call()
            taken[name].append((clock.wall, clock.cpu))
    return {name: np.array(seconds[1:]) for name, seconds in taken.items()}


@dataclass(frozen=True)
class Cost:
    """What a command took: seconds of processor and wall, and its peak of resident memory in MB."""

    processor: float
    wall: float
    memory: float


# A process that is started by a large one inherits its peak, so this small one starts the command.
_STARTER = """
import json, os, subprocess, sys, time
start = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
wall = time.perf_counter() - start
print(json.dumps([os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss]))
"""


def cost_of(words: Sequence[str], **variables: str) -> Cost:
    """Run a command in a process of its own, with these variables of the environment.

    Raises:
        SystemExit: it failed.
    """
    starter = [sys.executable, "-S", "-c", _STARTER, *words]
    done = subprocess.run(starter, env={**os.environ, **variables}, stdout=subprocess.PIPE, check=True)
    status, processor, wall, peak = json.loads(done.stdout)
    if status:
        raise SystemExit(f"{' '.join(words)} ended with status {status}.")
    return Cost(
        processor, wall, peak / (1e6 if sys.platform == "darwin" else 1e3)
    )  # bytes there, kB on Linux
