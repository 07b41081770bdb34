"""The notebooks run from nothing, offline, and are stored with what they print."""

import copy
import runpy
from pathlib import Path
from typing import Any

import nbformat
import pytest
from printed_blocks import CHECKOUT

SHORTER = {
    "train[:1024]": "train[:128]",
    "warmup_steps=20": "warmup_steps=20, max_train_samples=256",
    r"\"warmup_steps\": 30": r"\"warmup_steps\": 30, \"max_train_samples\": 256",
}
"""What makes the runs of the notebooks short enough for a test; each is printed once."""

SCRIPT = runpy.run_path(str(CHECKOUT / "scripts" / "run_notebooks.py"))
NOTEBOOKS = sorted(SCRIPT["FOLDER"].glob("*.ipynb"))


def kinds_of_output(notebook: Any) -> list[set[str]]:
    """For each cell of code, what its outputs are: ``stream``, ``text/plain``, ``image/png`` …"""
    return [
        {kind for output in cell.outputs for kind in (output.get("data") or {output.output_type: ""})}
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_in_an_empty_folder_and_prints_what_is_stored(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    monkeypatch.delenv("MPLBACKEND")  # a kernel draws into the notebook
    text = path.read_text("utf-8")
    for printed, shorter in SHORTER.items():
        text = text.replace(printed, shorter)
    (tmp_path / path.name).write_text(text, "utf-8")
    (tmp_path / "empty").mkdir()
    run = SCRIPT["executed"](tmp_path / path.name, tmp_path / "empty")
    assert kinds_of_output(run) == kinds_of_output(nbformat.read(path, as_version=4))
    assert SCRIPT["machine_paths"](run) == []


def test_what_is_made_shorter_here_is_printed_once() -> None:
    printed = "".join(path.read_text("utf-8") for path in NOTEBOOKS)
    assert {one: printed.count(one) for one in SHORTER} == dict.fromkeys(SHORTER, 1)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_with_a_figure_and_without_paths_of_a_machine(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert any("image/png" in kinds for kinds in kinds_of_output(notebook))
    assert SCRIPT["machine_paths"](notebook) == []
    assert SCRIPT["stripped"](copy.deepcopy(notebook)) == notebook
    assert path.stat().st_size < 200_000
