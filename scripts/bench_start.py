"""How long `import hf_clipdyn` and `clipdyn --help` take beyond a bare interpreter; target: at most 0.5 s.

python scripts/bench_start.py
"""

import statistics
import subprocess
import sys
import time

REPEATS = 11
COMMANDS = {
    "bare interpreter": ["-c", "pass"],
    "import hf_clipdyn": ["-c", "import hf_clipdyn"],
    "clipdyn --help": ["-m", "hf_clipdyn.cli", "--help"],
}


def main() -> None:
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(REPEATS):  # interleaved, so that a busy moment meets all alike
        for name, arguments in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            times[name].append(time.perf_counter() - start)
    bare = statistics.median(times["bare interpreter"])
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:20s} {median:6.3f} s  (+{median - bare:.3f} s)")


if __name__ == "__main__":
    main()
