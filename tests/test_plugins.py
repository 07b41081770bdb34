"""Kinds that others add: of a file, and of an installed package."""

import json
import sys
from pathlib import Path
from typing import Any

import forked
import pytest
from printed_blocks import CHECKOUT, blocks_of

(_BLOCK,) = (one for one in blocks_of(CHECKOUT / "docs/how-to/add-a-kind.md") if one.file == "brightness.py")
KIND = _BLOCK.text
"""The kind that the guide prints; its option `brightness_gains` is above 1 and at most 10."""
BASE = "class Base(Kind[BrightnessSettings]):\n    settings = BrightnessSettings\n\n\nclass Brightness("


def _run(code: str, *paths: Path) -> Any:
    """What the code prints as JSON in a process of its own, with these folders in front of ``sys.path``."""
    program = f"import sys, json; sys.path[:0] = {[str(path) for path in paths]!r}\n{code}"
    done = forked.run([sys.executable, "-c", program])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _clipdyn(folder: Path, *argv: str) -> tuple[int, str, str]:
    done = forked.run([sys.executable, "-m", "hf_clipdyn", *argv], cwd=folder)
    return done.returncode, done.stdout, done.stderr


def _package(folder: Path, module: str, text: str) -> Path:
    """An installed package as pip leaves it: a module, and a dist-info folder that names it."""
    (folder / f"{module}.py").write_text(text)
    declared = folder / "bright_package-1.0.dist-info"
    declared.mkdir()
    (declared / "METADATA").write_text("Metadata-Version: 2.1\nName: bright-package\nVersion: 1.0\n")
    (declared / "entry_points.txt").write_text(f"[hf_clipdyn.kinds]\nbright = {module}\n")
    return folder


FOUND = """
from hf_clipdyn.benchmarks.registry import select_benchmarks
from hf_clipdyn.evaluation.config import EvaluationConfig
names = [one.name for one in select_benchmarks("embedded", ["brightness/cifar10"])]
settings = [one for one in EvaluationConfig.option_fields() if one.startswith("brightness")]
print(json.dumps([names, settings]))
"""


def test_an_installed_package_adds_a_kind_by_an_entry_point(tmp_path: Path) -> None:
    folder = _package(tmp_path, "bright_kinds", KIND)
    assert _run(FOUND, folder) == [["brightness/cifar10"], ["brightness_gains"]]


def test_a_file_adds_a_kind_once_and_its_abstract_base_is_none(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        KIND.replace("Kind[BrightnessSettings])", "Base)").replace("class Brightness(", BASE)
    )
    code = f"""
from hf_clipdyn.plugins import load_plugin
assert load_plugin({str(tmp_path / "mine.py")!r}) is load_plugin({str(tmp_path / ".." / tmp_path.name / "mine.py")!r})
"""
    assert _run(code + FOUND) == [["brightness/cifar10"], ["brightness_gains"]]


def test_the_flags_of_a_kind_in_a_file_are_known_to_the_call_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(KIND)
    (tmp_path / "study.yaml").write_text("plugin: mine.py\nbrightness_gains: 99\n")
    code, printed, _ = _clipdyn(tmp_path, "evaluate", "--help-all", "--plugin", "mine.py")
    assert code == 0
    assert "--brightness_gains X,… Factors on the pixels. [default: 1.25,1.5,2.0]" in " ".join(
        printed.split()
    )
    for argv in (["--brightness_gains=99", "--plugin=mine.py"], ["--config", "study.yaml"]):
        code, _, error = _clipdyn(tmp_path, "evaluate", "me/run", *argv)
        assert code == 2
        assert "brightness_gains is '99': " in error
    code, _, error = _clipdyn(tmp_path, "evaluate", "me/run", "--brightness-gains", "2")
    assert (code, "There is no option 'brightness_gains'." in error) == (2, True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import nothing_of_that_name", "The plug-in mine.py fails on import: ModuleNotFoundError: "),
        ("import sys; sys.exit('no')", "The plug-in mine.py fails on import: SystemExit: no."),
        (KIND.replace('name = "brightness"', 'name = "noise"'), "Two kinds are called noise: "),
        (
            KIND.replace("def observe", "def ask"),
            "'brightness' of clipdyn_plugin_mine does not define observe",
        ),
        (
            KIND.replace('"brightness"', '"data"').replace("gains: tuple", "dir: tuple"),
            "Two options are called data_dir: ",
        ),
        (None, "none.py is not a Python file: "),
    ],
    ids=["absent module", "exit", "taken name", "a method lacks", "taken option", "no file"],
)
def test_a_wrong_plug_in_is_one_line_with_its_name(tmp_path: Path, text: str | None, says: str) -> None:
    (tmp_path / "mine.py").write_text(text or "")
    name = "none.py" if text is None else "mine.py"
    code, _, error = _clipdyn(tmp_path, "evaluate", "me/run", "--plugin", name)
    assert code == 2
    assert says in error
    assert len(error.splitlines()) == 1


def test_an_installed_package_that_fails_on_import_is_named(tmp_path: Path) -> None:
    folder = _package(tmp_path, "bright_kinds", "1 / 0")
    code = """
from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.errors import ConfigError
try:
    kinds()
except ConfigError as error:
    print(json.dumps(str(error)))
"""
    assert _run(code, folder).startswith("The plug-in bright of bright-package fails on import: ")


def test_what_a_plug_in_prints_is_not_part_of_the_result(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("print('hello')")
    code, out, error = _clipdyn(tmp_path, "datasets", "--json", "--plugin", "mine.py")
    assert (code, error) == (0, "hello\n")
    assert json.loads(out)
