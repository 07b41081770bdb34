"""The heads of the scripts: what `uv run` installs before it starts one."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import hf_clipdyn

FOLDER = Path(__file__).resolve().parents[1] / "scripts"
HEADS = {
    script.name: head[1]
    for script in sorted(FOLDER.glob("*.py"))
    if (head := re.match(r"(?ms)# /// script$\n(.+?)^# ///$", script.read_text(encoding="utf-8")))
}


def test_the_scripts_that_people_start_have_a_head() -> None:
    assert {"train.py", "evaluate.py", "prepare.py"} <= set(HEADS)


@pytest.mark.parametrize("name", HEADS)
def test_a_head_asks_for_this_package_from_the_scripts_own_folder(name: str, checkout: Path) -> None:
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    metadata = tomllib.loads(re.sub(r"(?m)^# ?", "", HEADS[name]))
    assert metadata["requires-python"] == project["requires-python"]
    (ours,) = (one for one in map(Requirement, metadata["dependencies"]) if one.name == project["name"])
    assert ours.specifier.contains(hf_clipdyn.__version__, prereleases=True)
    assert metadata["tool"]["uv"]["find-links"] == ["."]
