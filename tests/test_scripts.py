"""The heads of the scripts: what `uv run` installs before it starts one."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _metadata(script: Path) -> dict[str, Any] | None:
    """The inline metadata of a script, read as its specification says; None without."""
    pattern = r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$"
    match = re.search(pattern, script.read_text(encoding="utf-8"))
    if match is None:
        return None
    lines = match["content"].splitlines()
    return tomllib.loads("\n".join(line[2:] if line.startswith("# ") else line[1:] for line in lines))


METADATA = {
    script.name: metadata
    for script in sorted((CHECKOUT / "scripts").glob("*.py"))
    if (metadata := _metadata(script)) is not None
}


def test_the_scripts_that_people_start_have_a_head() -> None:
    assert {"train.py", "evaluate.py", "prepare.py"} <= set(METADATA)


@pytest.mark.parametrize("name", METADATA)
def test_a_head_asks_for_this_package_from_the_scripts_own_folder(name: str) -> None:
    metadata = METADATA[name]
    assert metadata["requires-python"] == PROJECT["requires-python"]
    assert PROJECT["name"] in metadata["dependencies"]
    assert metadata["tool"]["uv"]["find-links"] == ["."]


@pytest.mark.slow
def test_the_requirement_of_a_head_is_met_by_the_wheel_beside_it(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip"]
    build = [*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, CHECKOUT]
    subprocess.run(build, check=True)
    named = {one for metadata in METADATA.values() for one in metadata["dependencies"]}
    (requirement,) = (one for one in named if one.startswith(PROJECT["name"]))
    target = tmp_path / "installed"
    offline = ["--no-index", "--no-deps", "--find-links", tmp_path, "--target", target]
    subprocess.run([*pip, "install", "--quiet", *offline, requirement], check=True)
    assert (target / "hf_clipdyn" / "cli" / "__init__.py").is_file()
