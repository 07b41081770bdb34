"""The clock of the `bench_*.py` beside it: what is compared runs in turn, so that a busy machine slows all alike."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
