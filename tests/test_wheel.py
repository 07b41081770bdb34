"""The wheel, installed in an environment of its own, away from the checkout."""

import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from tutorial import follow

pytestmark = pytest.mark.slow


def _run(*command: object, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, checkout, cwd=folder)
    (built,) = folder.glob("hf_clipdyn-*.whl")
    return built


def test_the_wheel_carries_every_file_of_the_package_and_nothing_else(wheel: Path, checkout: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    bundled = [*(checkout / "metrics").glob("*/*"), *(checkout / "model_cards").glob("*.jinja")]
    places = {f"hf_clipdyn/_bundled/{path.relative_to(checkout)}" for path in bundled if path.is_file()}
    package = (path for path in (checkout / "hf_clipdyn").rglob("*") if path.suffix != ".pyc")
    places |= {str(path.relative_to(checkout)) for path in package if path.is_file()}
    assert places <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith(("tests/", "scripts/"))]
    assert not [name for name in names if name.endswith(".parquet")], "results of our own runs"


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel, and the folder in which a reader of the tutorial works."""

    environment: Path
    root: Path

    @property
    def python(self) -> Path:
        return self.environment / "bin" / "python"

    @property
    def clipdyn(self) -> Path:
        return self.environment / "bin" / "clipdyn"

    def run(self, *command: object) -> str:
        return _run(*command, cwd=self.root)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    found = Installed(tmp_path_factory.mktemp("env"), tmp_path_factory.mktemp("reader"))
    found.run(sys.executable, "-m", "venv", found.environment)
    found.run(found.python, "-m", "pip", "install", "--quiet", wheel)
    return found


def test_an_installed_wheel_runs_the_quick_demo_and_the_tutorial(installed: Installed) -> None:
    printed = installed.run(installed.clipdyn, "demo", "--quick", "--output-dir", "runs/demo")
    assert printed.strip().splitlines()[-3] == "Page:  runs/demo/report/index.html"
    assert (installed.root / "runs" / "demo" / "report" / "index.html").is_file()
    follow(installed.root, [installed.python, "-c"], [installed.clipdyn], installed.run)
    assert (installed.root / "shape-bias.png").is_file()
    assert (installed.root / "verdict.parquet").is_file()


def test_an_installed_wheel_loads_its_metrics(installed: Installed) -> None:
    program = (
        "import hf_clipdyn; print(hf_clipdyn.metric_path('shape_bias'));"
        "print(hf_clipdyn.load_metric('shape_bias').compute("
        "predictions=['cat', 'dog'], shapes=['cat', 'cat'], textures=['dog', 'dog'])['shape_bias'])"
    )
    path, value = installed.run(installed.python, "-c", program).strip().splitlines()[-2:]
    assert "_bundled" in path
    assert value == "0.5"
