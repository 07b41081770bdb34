"""The comparison with another commit: what it reads, how it names options, and what it notices."""

import argparse
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

NAMES = {"split": "test", "metric": "top1", "texts": "own"}
REMOVED = {"the kind simplicity": lambda rows: rows["kind"] == "simplicity"}


@pytest.fixture
def script(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    found = spec_from_file_location("compare_with", checkout / "scripts" / "compare_with.py")
    assert found is not None
    assert found.loader is not None
    module = module_from_spec(found)
    monkeypatch.setitem(sys.modules, "compare_with", module)  # where its dataclasses look for their module
    found.loader.exec_module(module)
    return module


def _weights(folder: Path, last: float = 1.0, **options: Any) -> None:
    folder.mkdir(parents=True)
    tensors = {"a": np.ones(3, np.float32), "b": np.asarray([[0.5, last]], np.float32)}
    save_file(tensors, folder / "model.safetensors", **options)


def _old_run(output: Path) -> Path:
    """Two revisions and an average in the layout of the Hub's cache, as 0.3 writes it."""
    for name, refs in {"run": ("epoch-000", "epoch-001", "main"), "run-ema": ("epoch-001",)}.items():
        repository = output / "hub" / f"models--me--{name}"
        for number, ref in enumerate(refs):
            (repository / "refs").mkdir(parents=True, exist_ok=True)
            (repository / "refs" / ref).write_text(f"{number:040x}", encoding="utf-8")
            if ref != "main":
                _weights(repository / "snapshots" / f"{number:040x}")
    return output


def _new_run(output: Path, last: float = 1.0) -> Path:
    """The same revisions in plain folders, as 0.4 writes them; one value of one is ``last``."""
    _weights(output / "revisions" / "epoch-000", metadata={"format": "pt"})
    _weights(output / "revisions" / "epoch-001", last)
    _weights(output / "ema" / "revisions" / "epoch-001")
    (output / "revisions" / ".epoch-002.1f2a.staging").mkdir()
    return output


def _table(file: Path, repo_id: str, **values: float) -> Path:
    """A table of one number for each kind, with columns that are no part of its name."""
    rows = [
        NAMES | {"repo_id": repo_id, "revision": "epoch-001", "kind": kind, "dataset": "d", "value": value}
        for kind, value in values.items()
    ]
    pd.DataFrame(rows).assign(level=np.nan, commit=repo_id, seconds=len(repo_id)).to_parquet(file)
    return file


def _states(script: ModuleType, tmp_path: Path, last: float = 1.0, **values: float) -> dict[str, str]:
    was = {"noise": 0.25, "geometry": np.nan, "simplicity": 0.5}
    old = script.rows_of(
        {"run": _old_run(tmp_path / "old")}, [_table(tmp_path / "old.parquet", "me/run", **was)]
    )
    new = script.rows_of(
        {"run": _new_run(tmp_path / "new", last)}, [_table(tmp_path / "new.parquet", "run", **values)]
    )
    both = script.compared(old, new, REMOVED)
    states = dict(
        zip(both["kind"] + both["revision"].where(both["kind"] == "", ""), both["state"], strict=True)
    )
    wrong = {"different", "missing"} & set(states.values())
    assert script.report(both, REMOVED) == int(bool(wrong))
    return states


def test_two_layouts_and_tables_with_the_same_content_are_equal(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    states = _states(script, tmp_path, noise=0.25 + 1e-12, geometry=np.nan, simplicity=0.5)
    assert len(states) == 6
    assert set(states.values()) == {"equal"}
    summary = "3 revisions and 3 numbers: 6 equal, 0 different, 0 missing, 0 new."
    assert summary in capsys.readouterr().out


def test_a_different_bit_is_noticed(script: ModuleType, tmp_path: Path) -> None:
    changed = float(np.nextafter(np.float32(1), np.float32(2)))
    states = _states(script, tmp_path, changed, noise=0.25, geometry=np.nan, simplicity=0.5)
    assert {name: state for name, state in states.items() if state != "equal"} == {"epoch-001": "different"}


@pytest.mark.parametrize("value", [0.25 + 1e-8, np.nan])
def test_a_changed_value_is_noticed(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], value: float
) -> None:
    states = _states(script, tmp_path, noise=value, geometry=np.nan, simplicity=0.5)
    assert {name: state for name, state in states.items() if state != "equal"} == {"noise": "different"}
    assert "DIFFERENT run=run revision=epoch-001 kind=noise dataset=d" in capsys.readouterr().out


def test_a_missing_value_is_wrong_unless_it_was_removed_and_a_new_one_is_only_counted(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    states = _states(script, tmp_path, geometry=np.nan, decodability=0.5)
    assert states["noise"] == "missing"
    assert states["simplicity"] == "removed: the kind simplicity"
    assert states["decodability"] == "new"
    printed = capsys.readouterr().out
    assert "1 missing, 1 new." in printed
    assert "Removed, the kind simplicity: 1." in printed


def test_a_missing_revision_is_wrong(script: ModuleType, tmp_path: Path) -> None:
    old = script.rows_of({"run": _old_run(tmp_path / "old")}, [])
    missing = script.compared(old, old[old["revision"] != "ema epoch-001"], REMOVED)
    assert missing["state"].value_counts().to_dict() == {"equal": 2, "missing": 1}
    assert script.report(missing, REMOVED) == 1


def test_two_rows_of_one_name_end_the_comparison(script: ModuleType, tmp_path: Path) -> None:
    table = _table(tmp_path / "table.parquet", "me/run", noise=0.5)
    with pytest.raises(SystemExit, match="1 rows have the name of another one"):
        script.rows_of({}, [table, table])


def test_options_are_renamed_only_where_the_tree_has_the_new_name(script: ModuleType) -> None:
    renamed = {
        "random_resized_crop": ("crop_scale_min", lambda on: 0.9 if on else None),
        "optim": (None, lambda value: value),
    }
    options = {"seed": 1, "random_resized_crop": True, "optim": "adamw_torch"}
    assert script.translated(options, set(options), renamed) == options
    known = {"seed", "crop_scale_min"}
    assert script.translated(options, known, renamed) == {"seed": 1, "crop_scale_min": 0.9}
    for lacking in (
        {"crop_scale_min"},
        {"seed"},
    ):  # a name that no entry explains, an entry with a wrong name
        with pytest.raises(SystemExit, match="has no option"):
            script.translated(options, lacking, renamed)


def test_the_options_of_a_tree_are_read_from_either_sort_of_help(script: ModuleType) -> None:
    parser = argparse.ArgumentParser(description="--like other commands,\n  --and so on", allow_abbrev=False)
    parser.add_argument("--crop_scale_min", help="Without --streaming.")
    parser.add_argument("-o", "--output", metavar="FILE")
    assert script.listed(parser.format_help()) == {"help", "crop_scale_min", "output"}
    words = [sys.executable, "-m", "hf_clipdyn", "train", "--help-all"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    used = set(script.COMMON).union(*(run.options for run in script.TRAININGS.values()))
    assert used - script.RENAMED.keys() <= script.listed(done.stdout)


def test_only_requirements_that_are_not_met_are_installed(script: ModuleType, tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    needs = ["torch>=99", "numpy>=1.26", "pandas>=99", "no-such-package>=2", "tomli; python_version<'3'"]
    project.write_text(f"[project]\ndependencies = {needs!r}\n", encoding="utf-8")
    assert script.lacking(project) == ["pandas>=99", "no-such-package>=2"]


@pytest.mark.slow
def test_a_tree_equals_its_own_commit(checkout: Path, tmp_path: Path) -> None:
    words = [sys.executable, checkout / "scripts" / "compare_with.py", "HEAD", "--only", "sigmoid"]
    done = subprocess.run([*words, "--keep", tmp_path / "kept"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 different, 0 missing, 0 new." in done.stdout
    listed = ["git", "-C", checkout, "worktree", "list"]
    assert "compare-with-" not in subprocess.run(listed, capture_output=True, text=True, check=True).stdout
