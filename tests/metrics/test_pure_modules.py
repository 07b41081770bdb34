"""The modules of hf_clipdyn.metrics as such: their examples, their public names, what they import."""

import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import hf_clipdyn.metrics

NAMES = [module.name for module in pkgutil.iter_modules(hf_clipdyn.metrics.__path__)]


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_in_the_docstrings_run(name):
    outcome = doctest.testmod(importlib.import_module(f"hf_clipdyn.metrics.{name}"))
    assert outcome.failed == 0


@pytest.mark.parametrize("name", NAMES)
def test_everything_public_is_in_all_and_has_a_docstring(name):
    module = importlib.import_module(f"hf_clipdyn.metrics.{name}")
    assert len(module.__all__) == len(set(module.__all__))
    own = {
        key: value
        for key, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__ and not key.startswith("_")
    }
    assert {key for key in own if inspect.isfunction(own[key]) or inspect.isclass(own[key])} <= set(
        module.__all__
    )
    for key in module.__all__:
        if inspect.isfunction(getattr(module, key)) or inspect.isclass(getattr(module, key)):
            assert getattr(module, key).__doc__, key


def test_no_module_loads_torch_or_evaluate():
    code = "import sys, importlib\n"
    code += f"for name in {NAMES!r}: importlib.import_module('hf_clipdyn.metrics.' + name)\n"
    code += "heavy = {'torch', 'transformers', 'datasets', 'evaluate', 'pandas', 'huggingface_hub'}\n"
    code += "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    subprocess.run([sys.executable, "-c", code], check=True)
