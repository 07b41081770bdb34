"""The wheel, installed in an environment of its own, away from the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

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


def test_the_wheel_carries_metrics_templates_recipes_and_types(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in (
        "hf_clipdyn/_bundled/metrics/shape_bias/shape_bias.py",
        "hf_clipdyn/_bundled/metrics/shape_bias/README.md",
        "hf_clipdyn/_bundled/model_cards/revision.md.jinja",
        "hf_clipdyn/benchmarks/degradations.npz",
        "hf_clipdyn/benchmarks/suites.yaml",
        "hf_clipdyn/data/human_accuracies.csv",
        "hf_clipdyn/recipes/demo.yaml",
        "hf_clipdyn/recipes/studies/study.yaml",
        "hf_clipdyn/report/page/js/core.js",
        "hf_clipdyn/report/page/page.css",
        "hf_clipdyn/report/page/page.html.jinja",
        "hf_clipdyn/py.typed",
    ):
        assert name in names
    assert not [name for name in names if "__pycache__" in name or name.startswith(("tests/", "scripts/"))]
    assert not [name for name in names if name.endswith(".parquet")], "results of our own runs"


def test_an_installed_wheel_runs_the_quick_demo_and_loads_its_metrics(wheel: Path, tmp_path: Path) -> None:
    _run(sys.executable, "-m", "venv", tmp_path / "env", cwd=tmp_path)
    python = tmp_path / "env" / "bin" / "python"
    _run(python, "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)
    lines = _run(tmp_path / "env" / "bin" / "clipdyn", "demo", "--quick", cwd=tmp_path).strip().splitlines()
    assert lines[-3] == "Page:  runs/quick/report/index.html"
    assert (tmp_path / "runs" / "quick" / "report" / "index.html").is_file()
    program = (
        "import hf_clipdyn; print(hf_clipdyn.metric_path('shape_bias'));"
        "print(hf_clipdyn.load_metric('shape_bias').compute("
        "predictions=['cat', 'dog'], shapes=['cat', 'cat'], textures=['dog', 'dog'], n_resamples=0)['shape_bias'])"
    )
    path, value = _run(python, "-c", program, cwd=tmp_path).strip().splitlines()[-2:]
    assert "_bundled" in path
    assert value == "0.5"
