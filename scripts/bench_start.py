"""Start of the package and of each help, compared with a bare interpreter. Their difference is what the package costs.

python scripts/bench_start.py
"""

import argparse
import sys
from collections.abc import Iterator

from timing import CLIPDYN, costs, main, row

BARE = "a bare interpreter"
COMMANDS = {
    BARE: [sys.executable, "-c", "pass"],
    "`import hf_clipdyn`": [sys.executable, "-c", "import hf_clipdyn"],
    "`clipdyn --help`": [*CLIPDYN, "--help"],
    "`clipdyn train --help`": [*CLIPDYN, "train", "--help"],
    "`clipdyn evaluate --help`": [*CLIPDYN, "evaluate", "--help"],
}


def measure(options: argparse.Namespace) -> Iterator[str]:
    """A row for each command."""
    costs(COMMANDS, 1, options.threads)  # the system's cache of files is warm afterwards
    taken = costs(COMMANDS, options.rounds, options.threads)
    yield from (row(name, BARE, one, taken[BARE]) for name, one in taken.items() if name != BARE)


if __name__ == "__main__":
    main(__doc__, measure, rounds=11)
