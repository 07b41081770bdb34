"""The clock of the `bench_*.py` beside it: what is compared runs in turn, so that a busy machine slows all alike."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass


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


def medians(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each call over interleaved rounds, after one round to warm up."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken[1:]) for name, taken in times.items()}
