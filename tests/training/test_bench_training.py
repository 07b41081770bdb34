"""The benchmark of training runs; what it measures is for a quiet machine."""

import subprocess
import sys

import pytest


@pytest.mark.slow
def test_every_part_of_the_benchmark_runs(checkout):
    script = checkout / "scripts" / "bench_training.py"
    done = subprocess.run([sys.executable, script, "--quick"], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()[1:]
    for part in (
        "a step in float32",
        "a Trainer's defaults",
        "decoded, crops",
        "from tars",
        "after a resumption",
    ):
        assert any(part in line for line in lines), part
