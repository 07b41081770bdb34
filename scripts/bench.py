"""Measure how fast everything is beside other programs, as one Markdown table. `make bench` calls it.

python scripts/bench.py [PART …] [--quick]

A part is one of the `bench_*.py` beside it, which has options of its own; all of them take 20 minutes. ``--quick``
shows in minutes that everything runs, and measures nothing.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from timing import head

PARTS = ("step", "epoch", "resume", "evaluation", "metrics", "growth", "start")


def main() -> None:
    """Each part in a process of its own; one that fails leaves the others their rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", choices=[*PARTS, []], help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    print(head(), flush=True)
    failed = []
    for part in options.parts or PARTS:
        script = Path(__file__).with_name(f"bench_{part}.py")
        quick = ["--quick"] if options.quick else []
        if subprocess.run([sys.executable, script, "--no_head", *quick], check=False).returncode:
            failed.append(part)
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
