"""The examples in the docstrings of the metrics."""

import doctest
import importlib
import pkgutil

import pytest

from hf_clipdyn import metrics


@pytest.mark.parametrize("name", [found.name for found in pkgutil.iter_modules(metrics.__path__)])
def test_the_examples_of_a_metric_import_what_they_use_and_show_what_they_return(name: str) -> None:
    module = importlib.import_module(f"hf_clipdyn.metrics.{name}")
    for test in doctest.DocTestFinder().find(module, globs={}):
        assert not doctest.DocTestRunner().run(test).failed, test.name
