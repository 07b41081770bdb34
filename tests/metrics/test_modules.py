"""Every folder of metrics/ is found, loaded offline and held to the same demands."""

import doctest
import importlib
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from hf_clipdyn.bundled import load_metric, metric_names, metric_path
from hf_clipdyn.metric_module import UndefinedMetricWarning
from hf_clipdyn.metrics.jnd_map import jnd_map
from hf_clipdyn.metrics.two_afc import two_afc

evaluate = pytest.importorskip("evaluate")

CHECKOUT = Path(__file__).resolve().parents[2]
FOLDERS = sorted(
    path for path in (CHECKOUT / "metrics").iterdir() if path.is_dir() and path.name != "__pycache__"
)
NAMES = [folder.name for folder in FOLDERS]
FUNCTIONS = {"representation_similarity": "cka"}  # of modules that are not called like their function


def pure(name: str):
    """The function behind a module."""
    function = FUNCTIONS.get(name, name)
    return getattr(importlib.import_module(f"hf_clipdyn.metrics.{function}"), function)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A folder of its own for the rows that `evaluate` writes down; the checkout as the current folder."""
    monkeypatch.chdir(CHECKOUT)
    return str(tmp_path)


def test_the_package_finds_the_modules():
    assert metric_names() == NAMES
    assert [metric_path(name) for name in NAMES] == FOLDERS


@pytest.mark.parametrize("name", NAMES)
def test_the_module_gives_the_number_of_the_pure_function_in_plain_python(name, example, cache, agree):
    result = load_metric(name, cache_dir=cache).compute(**example(name))
    agree(result, pure(name)(**example(name)))
    for value in result.values():
        json.dumps(value)  # no NumPy scalar passes
        assert type(value) in (bool, int, float, str, list)
        assert not isinstance(value, float) or math.isfinite(value)


def test_a_module_warns_of_what_is_undefined_once_for_each_cause(cache):
    with pytest.warns(UndefinedMetricWarning) as caught:
        result = load_metric("noise_robustness", cache_dir=cache).compute(
            predictions=[1, 0], references=[0, 0], sigmas=[0.0, 0.0], n_classes=2
        )
    assert np.isnan(result["area"])
    assert "causes" not in result
    assert [warning.message.names for warning in caught] == [("area", "threshold")]
    assert caught[0].filename == __file__


def test_what_rows_have_in_common_reaches_the_intervals_and_what_resampled_once_warns(cache, agree):
    rng, rows = np.random.default_rng(0), np.arange(24)
    columns = {name: rng.random(24).tolist() for name in ("distances_0", "distances_1", "judgements")}
    shared = {"images": np.stack([rows % 8, (rows + 1) % 8], axis=1).tolist(), "level": 0.9}
    metric = load_metric("two_afc", cache_dir=cache)
    agree(metric.compute(**columns, **shared), two_afc(**columns).report(**shared))
    with pytest.warns(FutureWarning) as caught:
        found = metric.compute(**columns, n_resamples=0, confidence_level=0.9)
    agree(found, two_afc(**columns))
    assert [str(one.message).split()[0] for one in caught] == ["n_resamples", "confidence_level"]
    distances, same = columns["distances_0"], columns["judgements"]
    groups = (rows // 2).tolist()
    in_pairs = load_metric("jnd_map", cache_dir=cache).compute(distances=distances, same=same, groups=groups)
    agree(in_pairs, jnd_map(distances, same, groups=groups).report(groups))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore::hf_clipdyn.metric_module.UndefinedMetricWarning")
def test_the_form_opens_with_the_example_of_the_card_which_computes(name, cache, monkeypatch):
    monkeypatch.syspath_prepend(str(CHECKOUT / "metrics"))
    widget = importlib.import_module("widget")
    metric = load_metric(name, cache_dir=cache)
    card = (CHECKOUT / "metrics" / name / "README.md").read_text(encoding="utf-8")
    rows = widget.opening_rows(metric, card)
    table = pd.DataFrame(rows, columns=list(metric.features))
    result = widget.computed(metric, table)
    assert result["n"] + result.get("n_excluded", 0) == len(rows) > 0
    values = [value for value in result.values() if isinstance(value, float)]
    assert any(math.isfinite(value) for value in values)


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_the_folder_holds_what_a_space_needs(folder):
    files = {path.name for path in folder.iterdir() if path.name != "__pycache__"}
    assert files == {f"{folder.name}.py", "README.md", "app.py", "requirements.txt"}
    front, body = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)[1:]
    facts = yaml.safe_load(front)
    assert (facts["sdk"], facts["app_file"], facts["tags"]) == ("gradio", "app.py", ["evaluate", "metric"])
    assert "```bibtex" in body
    requirements = (folder / "requirements.txt").read_text().split()
    assert [line.split(">")[0] for line in requirements] == ["evaluate", "numpy", "scipy"]
    source = (folder / "app.py").read_text(encoding="utf-8")
    assert f'with_name("{folder.name}.py")' in source
    assert "from widget import interface" in source


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_of_the_module_and_of_its_card_show_what_they_return(name, cache):
    module = importlib.import_module(type(evaluate.load(f"metrics/{name}", cache_dir=cache)).__module__)
    card = CHECKOUT / "metrics" / name / "README.md"
    of_card = doctest.testfile(str(card), module_relative=False, encoding="utf-8")
    for outcome, fewest in ((doctest.testmod(module), 2), (of_card, 3)):
        assert outcome.attempted >= fewest
        assert outcome.failed == 0
