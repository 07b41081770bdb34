"""Every public name has a docstring with an example, and every example runs as it is printed.

An example begins with its own imports, since it gets no other names. It runs in a folder with a copy of the demo's run,
``runs/demo``. The examples of `hf_clipdyn.metrics` run in tests/metrics/test_imports.py, with NumPy and SciPy alone.
"""

import doctest
import importlib
import inspect
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
from accelerate.state import AcceleratorState
from huggingface_hub import HfApi
from public_names import public_modules

import hf_clipdyn

PACKAGE = Path(hf_clipdyn.__file__).parent
HUB = {"hf_clipdyn.report.cards.push_runs", "hf_clipdyn.report.cards.push_space"}  # they push the demo's run
ELSEWHERE = {"hf_clipdyn.study.run_study"}  # needs a study: tests/test_study.py runs it


def _public() -> dict[str, Any]:
    """Functions and classes by the name under which they are defined; other objects are constants."""
    found = {}
    for module, names in public_modules():
        for member in (getattr(module, name) for name in names):
            if inspect.isfunction(member) or inspect.isclass(member):
                found[f"{member.__module__}.{member.__qualname__}"] = member
    return found


PUBLIC = _public()


def _examples() -> dict[str, doctest.DocTest]:
    """Those of the public names, and all others in modules that have any."""
    find = doctest.DocTestFinder(exclude_empty=True).find
    found = [test for name, member in PUBLIC.items() for test in find(member, name, globs={})]
    for path in sorted(PACKAGE.rglob("*.py")):
        if ">>>" in path.read_text(encoding="utf-8"):
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            module = importlib.import_module(".".join(parts).removesuffix(".__init__"))
            found += find(module, globs={})
    elsewhere = "hf_clipdyn.metrics."
    return {one.name: one for one in found if one.examples and not one.name.startswith(elsewhere)}


EXAMPLES = _examples()


READS_DEMO = {
    name for name, test in EXAMPLES.items() if any("runs/demo" in one.source for one in test.examples)
}


def test_a_public_name_has_a_docstring_with_an_example_and_its_methods_have_one() -> None:
    """An exception or a warning has a sentence only."""
    lacking = []
    for name, member in PUBLIC.items():
        is_error = inspect.isclass(member) and issubclass(member, Exception)
        if not member.__doc__ or not (is_error or "    Examples:\n" in member.__doc__):
            lacking.append(name)
        if inspect.isclass(member):
            methods = {key: getattr(member, key) for key in vars(member) if not key.startswith("_")}
            described = {key: one for key, one in methods.items() if _is_method(one)}
            lacking += [f"{name}.{key}" for key, one in described.items() if not inspect.getdoc(one)]
    assert lacking == []


def _is_method(member: Any) -> bool:
    return inspect.isroutine(member) or isinstance(member, property)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder of an example."""
    monkeypatch.chdir(tmp_path)
    AcceleratorState._reset_state(reset_partial_state=True)  # a Trainer leaves its settings
    yield tmp_path
    AcceleratorState._reset_state(reset_partial_state=True)
    plt.close("all")


def _run(name: str) -> None:
    failed = io.StringIO()
    result = doctest.DocTestRunner(verbose=False).run(EXAMPLES[name], out=failed.write)
    assert result.attempted
    assert not result.failed, failed.getvalue()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", sorted(EXAMPLES.keys() - ELSEWHERE - READS_DEMO))
def test_an_example_runs_as_it_is_printed(name: str) -> None:
    _run(name)


@pytest.mark.parametrize("name", sorted(READS_DEMO))
def test_an_example_with_the_run_of_the_demo_runs_as_it_is_printed(
    name: str, demo: Any, folder: Path, request: pytest.FixtureRequest
) -> None:
    shutil.copytree(demo.folder, folder / "runs/demo", ignore=shutil.ignore_patterns("report", "checkpoints"))
    if name in HUB:
        request.getfixturevalue("hub")
        HfApi().create_repo("local/demo")
    _run(name)
