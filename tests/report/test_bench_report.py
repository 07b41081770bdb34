"""The benchmark of the report runs, and a page of many runs keeps its size."""

import re
import subprocess
import sys

import pytest
from in_browser import chromium


@pytest.mark.slow
def test_the_page_of_a_large_study_is_small_enough(checkout):
    chromium()
    script = checkout / "scripts" / "bench_report.py"
    done = subprocess.run(
        [sys.executable, script, "opening", "--rounds", "1"], capture_output=True, text=True, check=True
    )
    assert "38,400 rows" in done.stdout
    size = float(re.search(r"size of the page, MB +([\d.]+)", done.stdout)[1])
    assert 1 < size < 6


@pytest.mark.slow
def test_each_case_has_seconds_memory_and_size_beside_its_targets(checkout):
    script, small = checkout / "scripts" / "bench_report.py", checkout / "tests" / "goldens"
    done = subprocess.run(
        [sys.executable, script, "cases", "--demo", small, "--study", small, "--rounds", "1"],
        capture_output=True,
        text=True,
        check=True,
    )
    heading, *lines = done.stdout.splitlines()
    assert heading.split() == [
        "processor",
        "s",
        "wall",
        "s",
        "target",
        "memory",
        "MB",
        "target",
        "page",
        "MB",
    ]
    costs = {line[:14].strip(): line[14:].split() for line in lines}
    assert {name: (cost[2], cost[4]) for name, cost in costs.items()} == {
        "demo": ("6", "500"),
        "one revision": ("3", "500"),
        "study": ("20", "500"),
    }
    assert all(float(number) > 0 for cost in costs.values() for number in cost)
