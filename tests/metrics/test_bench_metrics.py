"""The benchmark of the metrics runs and finds them faster than what people use today."""

import subprocess
import sys

import pytest


@pytest.mark.slow
def test_every_metric_is_faster_than_its_peer(checkout):
    script = checkout / "scripts" / "bench_metrics.py"
    done = subprocess.run(
        [sys.executable, script, "--repeats", "3"], capture_output=True, text=True, check=True
    )
    ratios = [float(line.split()[2]) for line in done.stdout.splitlines()[1:]]
    assert len(ratios) == 6
    assert min(ratios) > 1
