"""Processor time of the import and of each help beyond a bare interpreter; target: at most 0.3 s each.

python scripts/bench_start.py
"""

import resource
import statistics
import subprocess
import sys

COMMANDS = {
    "bare interpreter": ["-c", "pass"],
    "import hf_clipdyn": ["-c", "import hf_clipdyn"],
    "clipdyn --help": ["-m", "hf_clipdyn.cli", "--help"],
    "train --help": ["-m", "hf_clipdyn.cli", "train", "--help"],
    "evaluate --help": ["-m", "hf_clipdyn.cli", "evaluate", "--help"],
}
ROUNDS = 11


def processor_seconds(arguments: list[str]) -> float:
    """User and system time of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS + 1):
        for name, arguments in COMMANDS.items():  # in turn, so that a busy machine slows all alike
            taken[name].append(processor_seconds(arguments))
    medians = {name: statistics.median(seconds[1:]) for name, seconds in taken.items()}
    for name, median in medians.items():
        print(f"{name:20s} {median:6.3f} s  (+{median - medians['bare interpreter']:.3f} s)")


if __name__ == "__main__":
    main()
