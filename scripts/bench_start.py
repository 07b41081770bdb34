"""How long `import hf_clipdyn` and `clipdyn --help` take beyond a bare interpreter; target: at most 0.5 s.

python scripts/bench_start.py
"""

import subprocess
import sys
from functools import partial

from timing import medians

COMMANDS = {
    "bare interpreter": ["-c", "pass"],
    "import hf_clipdyn": ["-c", "import hf_clipdyn"],
    "clipdyn --help": ["-m", "hf_clipdyn.cli", "--help"],
}


def start(arguments: list[str]) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    seconds = medians({name: partial(start, arguments) for name, arguments in COMMANDS.items()}, rounds=11)
    for name, median in seconds.items():
        print(f"{name:20s} {median:6.3f} s  (+{median - seconds['bare interpreter']:.3f} s)")


if __name__ == "__main__":
    main()
