"""The package as a whole: how light it is, where its folders are, what it answers to a wrong name."""

import subprocess
import sys
from pathlib import Path

import pytest

import hf_clipdyn
from hf_clipdyn.bundled import load_metric, metric_names, metric_path
from hf_clipdyn.errors import UnknownNameError

NAMES = """
from hf_clipdyn.benchmarks.registry import kinds, parse_benchmark, suite, suite_names, vocabulary
from hf_clipdyn.data.registry import dataset_metadata, dataset_names
[dataset_metadata(name) for name in dataset_names()]
vocabulary(parse_benchmark(one) for name in suite_names() for one in suite(name))
assert kinds()
"""
HEAVY = {"torch", "transformers", "accelerate"}


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        (
            "import hf_clipdyn; dir(hf_clipdyn)",
            HEAVY | {"datasets", "evaluate", "matplotlib", "pandas", "scipy"},
        ),
        ("import hf_clipdyn.preprocess", {"torch", "transformers"}),
        (NAMES, HEAVY),
    ],
    ids=["the package", "preprocess", "names of all benchmarks and data sets"],
)
def test_importing_loads_nothing_heavy(code: str, heavy: set[str]) -> None:
    program = f"{code}\nimport sys\nprint(*{heavy!r} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_every_public_name_is_there_and_no_other() -> None:
    assert all(hasattr(hf_clipdyn, name) for name in hf_clipdyn.__all__)
    assert set(dir(hf_clipdyn)) == set(hf_clipdyn.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        hf_clipdyn.nonsense  # noqa: B018


def test_metrics_load_from_whatever_folder_one_stands_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert {"shape_bias", "two_afc"} < set(metric_names())
    metric = load_metric("shape_bias", experiment_id="anywhere", cache_dir=str(tmp_path))
    result = metric.compute(predictions=["cat", "cat", "dog"], shapes=["cat"] * 3, textures=["dog"] * 3)
    assert (result["n_shape"], result["n_texture"]) == (2, 1)
    with pytest.raises(UnknownNameError, match="shape_bias"):
        metric_path("shape")
