"""What the machine offers: whether a training on the CPU would have it for itself."""

import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest
import torch

from hf_clipdyn.training.device import CrowdedWarning, warn_if_crowded


@pytest.fixture
def busy() -> Iterator[None]:
    """As many other programs as there are cores, each of which computes all the time."""
    with ExitStack() as stack:
        for _ in range(psutil.cpu_count() or 1):
            other = subprocess.Popen(
                [sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE
            )
            stack.callback(other.wait)
            stack.callback(other.kill)
            assert other.stdout is not None
            stack.enter_context(other.stdout)
            other.stdout.readline()
        yield


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("busy", "two_threads")
def test_threads_without_a_core_of_their_own_are_told_with_the_remedy() -> None:
    with pytest.warns(CrowdedWarning, match=r"cores busy, and training takes 2 threads.*OMP_NUM_THREADS=1 "):
        warn_if_crowded(torch.device("cpu"))


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize(("device", "threads"), [("meta", 2), ("cpu", 1)])
def test_one_thread_and_other_devices_wait_for_nobody(device: str, threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warn_if_crowded(torch.device(device))
    finally:
        torch.set_num_threads(before)
