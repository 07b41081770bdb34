"""The benchmark of the report runs, and a page of many runs keeps its size."""

import re
import shutil
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium on the PATH")
def test_the_page_of_a_large_study_is_small_enough(checkout):
    script = checkout / "scripts" / "bench_report.py"
    done = subprocess.run(
        [sys.executable, script, "opening", "--rounds", "1"], capture_output=True, text=True, check=True
    )
    assert "38,400 rows" in done.stdout
    size = float(re.search(r"size of the page, MB +([\d.]+)", done.stdout)[1])
    assert 4.8 < size < 6
