"""The metrics work where nothing but NumPy and SciPy is installed."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import doctest, importlib, pkgutil, sys

class OnlyNumPyAndSciPy:
    def find_spec(self, name, path=None, target=None):
        root = name.partition(".")[0]
        known = sys.stdlib_module_names | {"numpy", "scipy", "hf_clipdyn"}
        if root not in known and not root.startswith("_"):  # compiled parts of SciPy and of Python itself
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, OnlyNumPyAndSciPy())
import hf_clipdyn.metrics
examples = 0
for found in pkgutil.iter_modules(hf_clipdyn.metrics.__path__):
    module = importlib.import_module(f"hf_clipdyn.metrics.{found.name}")
    for test in doctest.DocTestFinder().find(module, globs={}):
        result = doctest.DocTestRunner().run(test)
        assert not result.failed, test.name
        examples += result.attempted
print(examples)
"""


def test_every_metric_computes_its_examples_with_numpy_and_scipy_alone(checkout: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert int(done.stdout) > 0, "the metrics have examples"
