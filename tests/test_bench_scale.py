"""The benchmark of growth runs on small sizes and prints a slope for each command."""

import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "sizes", "commands"),
    [
        ("rows", "600,1200", ["store", "numbers", "report"]),
        ("repositories", "3,6", ["revisions", "verify"]),
        ("revisions", "1,2", ["evaluate", "again"]),
    ],
)
def test_every_command_has_costs_and_slopes(checkout, tmp_path, part, sizes, commands):
    script = checkout / "scripts" / "bench_scale.py"
    words = [sys.executable, script, part, "--sizes", sizes, "--folder", tmp_path]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines if " slope " in line] == commands
    assert sum(line.endswith(" MB") for line in lines) == 2 * len(commands)
    assert not list(tmp_path.iterdir())
