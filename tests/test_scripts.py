"""The scripts: each one explains itself and runs at its smallest size, and `uv run` finds what it must install."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from packaging.requirements import Requirement
from PIL import Image

import hf_clipdyn

FOLDER = Path(__file__).resolve().parents[1] / "scripts"
HEADS = {
    script.name: head[1]
    for script in sorted(FOLDER.glob("*.py"))
    if (head := re.match(r"(?ms)# /// script$\n(.+?)^# ///$", script.read_text(encoding="utf-8")))
}
IMPORTED = {"docs_docstrings.py", "docs_site.py", "timing.py", "write_reference.py"}


def _run(name: str, *words: object) -> str:
    """What a script prints."""
    environment = os.environ | {"PYTHONPATH": str(FOLDER.parent), "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, FOLDER / name, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _module(name: str) -> ModuleType:
    """A script that is imported."""
    found = spec_from_file_location(f"script_{name.removesuffix('.py')}", FOLDER / name)
    assert found is not None
    assert found.loader is not None
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", HEADS)
def test_a_head_asks_for_this_package_from_the_scripts_own_folder(name: str, checkout: Path) -> None:
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    metadata = tomllib.loads(re.sub(r"(?m)^# ?", "", HEADS[name]))
    assert metadata["requires-python"] == project["requires-python"]
    (ours,) = (one for one in map(Requirement, metadata["dependencies"]) if one.name == project["name"])
    assert ours.specifier.contains(hf_clipdyn.__version__, prereleases=True)
    assert metadata["tool"]["uv"]["find-links"] == ["."]


def test_a_ratio_is_the_median_of_the_rounds_with_the_order_statistics_around_it() -> None:
    timing = _module("timing.py")
    ours = np.ones((9, 2))
    theirs = np.c_[[5, 1, 2, 9, 3, 4, 6, 8, 7], np.full(9, 2.0)]
    line = timing.row("work", "peer", ours, theirs)
    # The second and the eighth of nine contain the median with 1 - 2 (1 + 9) / 2^9 = 96 %.
    assert line == "| work | peer | 5.00 [2.00, 8.00] | 2.00 [2.00, 2.00] | 1 s | 5 s |"
    line = timing.row("work", "peer", ours[:5], theirs[:5])
    assert "3.00 [1.00, 9.00]" in line


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({path.name for path in FOLDER.glob("*.py")} - IMPORTED))
def test_a_script_says_what_it_does(name: str) -> None:
    assert "usage: " in _run(name, "--help")


@pytest.mark.slow
def test_the_quick_bench_is_one_table_of_all_parts() -> None:
    machine, _, head, rule, *rows = _run("bench.py", "--quick").splitlines()
    assert "torch" in machine
    assert head.startswith("| work | compared with | times as fast |")
    assert {line.count("|") for line in (head, rule, *rows)} == {7}
    compared = " ".join(line.split(" | ")[1] for line in rows)
    for peer in (
        *("open_clip", "a Trainer's defaults", "one by one", "in batches", "bare forward passes"),
        *("SciPy", "scikit-learn", "pandas", "a bare interpreter", "at sample 10^3", "what they read"),
    ):
        assert peer in compared


@pytest.mark.slow
def test_a_picture_of_the_gallery_is_drawn_from_a_committed_table(tmp_path: Path) -> None:
    _run("draw_gallery.py", tmp_path, "retrieval-flickr8k")
    with Image.open(tmp_path / "retrieval-flickr8k.webp") as image:
        assert image.width > 300
