"""What the `bench_*.py` beside it share: what is compared runs in turn, and a comparison is a row of a Markdown table.

A ratio is the peer's time over ours in the same round, so that a busy machine slows both; above 1, ours is faster. Of
all rounds the median counts. Its interval has the order statistics that contain the median with 95 %, or the least and
the most if the rounds are too few for that (94 % with five rounds).
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

Taken = NDArray[np.float64]
"""(rounds, 2) seconds by the clock and of the processor; of a process a third column, its peak of memory in MB."""

CLIPDYN = (sys.executable, "-m", "hf_clipdyn")
HEAD = ("work", "compared with", "times as fast", "by processor time", "ours", "the other")

# A process that is started by a large one inherits its peak, so this small one starts the command.
_STARTER = """
import json, os, subprocess, sys, time
start = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
wall = time.perf_counter() - start
print(json.dumps([os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss]))
"""


def in_turn(calls: Mapping[str, Callable[[], object]], rounds: int, warm_up: bool = True) -> dict[str, Taken]:
    """What each call took in each round; a first round that warms up does not count."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(rounds + warm_up):
        for name, call in calls.items():
            start = time.perf_counter(), time.process_time()
            call()
            taken[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return {name: np.array(seconds[warm_up:]) for name, seconds in taken.items()}


def costs(commands: Mapping[str, Sequence[str]], rounds: int, threads: int) -> dict[str, Taken]:
    """The same of commands, each in a process of its own that computes on so many threads.

    Raises:
        SystemExit: one failed.
    """
    taken: dict[str, list[list[float]]] = {name: [] for name in commands}
    unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, kB on Linux
    for _ in range(rounds):
        for name, words in commands.items():
            starter = [sys.executable, "-S", "-c", _STARTER, *words]
            env = os.environ | {"OMP_NUM_THREADS": str(threads)}
            done = subprocess.run(starter, env=env, stdout=subprocess.PIPE, check=True)
            status, wall, processor, peak = json.loads(done.stdout)
            if status:
                raise SystemExit(f"{' '.join(words)} ended with status {status}.")
            taken[name].append([wall, processor, peak / unit])
    return {name: np.array(one) for name, one in taken.items()}


def row(work: str, peer: str, ours: Taken, theirs: Taken) -> str:
    """The row of a comparison."""
    ratios = theirs[:, :2] / ours[:, :2]
    cells = (work, peer, *map(_ratio, ratios.T), _amount(ours), _amount(theirs))
    return f"| {' | '.join(cells)} |"


def _ratio(ratios: NDArray[np.float64]) -> str:
    left_out = max(int(binom.ppf(0.025, len(ratios), 0.5)) - 1, 0)
    ends = np.sort(ratios)[[left_out, -1 - left_out]]
    return f"{np.median(ratios):.2f} [{ends[0]:.2f}, {ends[1]:.2f}]"


def _amount(taken: Taken) -> str:
    seconds, *others = np.median(taken, axis=0)
    return f"{seconds:.3g} s" + "".join(f", {peak:,.0f} MB" for peak in others[1:])


def machine() -> str:
    """The sentence above a table: processor, cores, versions."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if "model name" in line] if info.exists() else []
    processor = names[0].partition(": ")[2] if names else platform.processor()
    versions = ", ".join(f"{name} {version(name)}" for name in ("hf-clipdyn", "torch", "transformers"))
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return f"{processor}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {versions}, commit {commit}; {now}."


def head() -> str:
    """The machine, and the first two lines of the table."""
    return f"{machine()}\n\n| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}"


def quiet(threads: int) -> None:
    """Compute on so many threads, without bars and without warnings of what random weights leave undefined."""
    import datasets
    import torch
    from transformers.utils import logging

    torch.set_num_threads(threads)
    logging.disable_progress_bar()
    datasets.disable_progress_bars()
    warnings.filterwarnings("ignore")


def main(text: str, measure: Callable[[argparse.Namespace], Iterable[str]], **defaults: int | str) -> None:
    """Print the rows of a script; its options are ``defaults``, the rounds, the threads and ``--quick``."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"rounds": 5, "threads": 1, **defaults}.items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help=f"default: {default}")
    parser.add_argument(
        "--quick", action="store_true", help="smallest sizes, one round: only runs everything"
    )
    parser.add_argument("--no_head", action="store_true", help="leave out what is above the rows")
    options = parser.parse_args()
    options.rounds = 1 if options.quick else options.rounds
    if not options.no_head:
        print(head())
    for line in measure(options):
        print(line, flush=True)
