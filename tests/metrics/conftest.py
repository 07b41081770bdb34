"""Human trials on the cue-conflict images, and what several tests of the metrics ask."""

import ast
import doctest
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

from hf_clipdyn.bundled import metric_path
from hf_clipdyn.metrics.scores import Scores

sys.path.insert(0, str(Path(__file__).parent))  # tests/metrics/recipes.py

# The same examples in every run, and no time limit for one of them: the machines are shared.
settings.register_profile("metrics", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("metrics")

# 0001_s5n_s01_0_bird_00_bird3-bird2.png: a prefix of six parts, then the name of the image.
PREFIX = r"^\d+_[^_]+_[^_]+_[^_]+_[^_]+_[^_]+_"


@pytest.fixture(scope="session")
def human_trials(real_data: Callable[[str], Path]) -> pd.DataFrame:
    """All trials of the ten people on all 1,280 images."""
    files = sorted(real_data("cue-conflict-human-trials").glob("*.csv"))
    trials = pd.concat([pd.read_csv(file, keep_default_na=False) for file in files], ignore_index=True)
    trials["image"] = trials["imagename"].str.replace(PREFIX, "", regex=True)
    exemplars = trials["image"].str.extract(r"^(?P<shape>\w+)-(?P<texture>\w+)\.png$")
    classes = exemplars.replace(r"\d+$", "", regex=True)
    return trials.join(exemplars.add_suffix("_exemplar")).join(classes)


@pytest.fixture(scope="session")
def agree() -> Callable[[Scores | dict, Scores | dict], None]:
    """`agree(first, second)`: two results have the same keys and, up to rounding, the same values.

    The modules of `evaluate` warn of the causes that the functions return, and leave out the influences.
    """
    hidden = {"causes", "influences"}

    def check(*results: Scores | dict) -> None:
        first, second = (one.report() if isinstance(one, Scores) else one for one in results)
        assert first.keys() | hidden == second.keys() | hidden
        for key in first.keys() & second.keys():
            value = first[key]
            if isinstance(value, str | dict | None):
                assert value == second[key], key
            else:
                np.testing.assert_allclose(value, second[key], rtol=1e-9, atol=1e-9, err_msg=key)

    return check


@pytest.fixture(scope="session")
def example() -> Callable[[str], dict[str, Any]]:
    """`example("two_afc")`: the inputs of the module in the example of its card."""

    def read(name: str) -> dict[str, Any]:
        card = (metric_path(name) / "README.md").read_text(encoding="utf-8")
        trees = [ast.parse(one.source) for one in doctest.DocTestParser().get_examples(card)]
        calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
        call = next(one for one in calls if getattr(one.func, "attr", "") == "compute")
        return {word.arg: ast.literal_eval(word.value) for word in call.keywords}

    return read
