"""What this process may use of its machine: cores, GPUs, and memory that it has freed."""

import os
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from signal import SIG_IGN, SIGINT, signal
from typing import BinaryIO, NoReturn, TypeVar
from warnings import catch_warnings, filterwarnings

import numpy as np

__all__ = ["keep_freed_blocks", "share_out", "usable_cores", "visible_gpus"]

_LARGE_BLOCK = 31 * 2**20  # bytes; glibc ignores blocks above 32 MiB here
_MOST_PROCESSES = 4  # each may copy what it changes of this one's memory
_TOKEN = 2  # bytes

T = TypeVar("T")


def usable_cores() -> int:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    import psutil

    return psutil.cpu_count() or 1


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [device for device in visible.split(",") if device]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


@contextmanager
def share_out(tasks: Sequence[Callable[[], T]]) -> Iterator[list[T]]:
    """Do tasks in processes forked from this one while the block runs; at its end, this process takes part.

    A task that fails in another process, or whose process dies, is done again here, which raises its error. On one
    core, or where a process cannot be forked safely (macOS, Windows), this process does all tasks after the block.

    Args:
        tasks: without PyTorch, whose threads do not survive a fork; their results can be pickled.

    Yields:
        A list that has the results after the block, in the order of the tasks.
    """
    results: list[T] = []
    others = min(usable_cores(), _MOST_PROCESSES, len(tasks)) - 1 if sys.platform == "linux" else 0
    waiting, write = os.pipe()
    os.write(write, b"".join(place.to_bytes(_TOKEN, "big") for place in range(len(tasks))))
    os.close(write)
    workers = [_fork(tasks, waiting) for _ in range(others)]
    try:
        yield results
        done = dict(_taken(tasks, waiting))
        for _, answers in workers:
            with suppress(EOFError, pickle.UnpicklingError):
                done |= pickle.load(answers)  # noqa: S301  (from a process that was forked from this one)
        results += [done[place] if place in done else task() for place, task in enumerate(tasks)]
    finally:
        while os.read(waiting, 2**16):  # nobody begins another task
            pass
        os.close(waiting)
        for process, answers in workers:
            answers.close()
            with suppress(ChildProcessError):
                os.waitpid(process, 0)


def _taken(tasks: Sequence[Callable[[], T]], waiting: int) -> Iterator[tuple[int, T]]:
    """Do the tasks that no other process has taken; each with its place."""
    while token := os.read(waiting, _TOKEN):
        place = int.from_bytes(token, "big")
        yield place, tasks[place]()


def _fork(tasks: Sequence[Callable[[], T]], waiting: int) -> tuple[int, BinaryIO]:
    """Another process that does some of the tasks, and the file to which it writes their results."""
    read, write = os.pipe()
    with catch_warnings():
        filterwarnings("ignore", ".* is multi-threaded", DeprecationWarning)
        process = os.fork()
    if not process:
        _work(tasks, waiting, write)
    os.close(write)
    return process, os.fdopen(read, "rb")


def _work(tasks: Sequence[Callable[[], T]], waiting: int, write: int) -> NoReturn:
    """Of the other process: it ends silently, also if a task fails or if nobody waits for its results any more."""
    done: dict[int, T] = {}
    parent = os.getppid()
    with suppress(BaseException):
        signal(SIGINT, SIG_IGN)  # Ctrl-C in a terminal is for the process that waits
        for place, result in _taken(tasks, waiting):
            done[place] = result
            if os.getppid() != parent:
                break
    with suppress(BaseException), os.fdopen(write, "wb") as file:
        pickle.dump(done, file)
    os._exit(0)


def keep_freed_blocks() -> None:
    """Let glibc keep freed blocks below 32 MiB for this process; other C libraries ignore it.

    The first free of a large block raises glibc's thresholds. Without it, each forward pass of a small model and each
    saliency map returns its memory to the system and gets new pages for the next one: a fifth of the time of a pass,
    two thirds of the time of scoring maps.
    """
    np.empty(_LARGE_BLOCK, np.uint8)
