"""Every folder of metrics/ is found, loaded offline and held to the same demands."""

import doctest
import importlib
import inspect
import json
import math
import sys
from collections import defaultdict
from pathlib import Path

import forked
import numpy as np
import pandas as pd
import pytest
import yaml
from module_examples import N, example, examples

from hf_clipdyn.bundled import load_metric, metric_names, metric_path
from hf_clipdyn.metric_module import UndefinedMetricWarning

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


def of_function(name: str, keywords: dict) -> dict:
    """The keywords that the function takes; the others are for the intervals."""
    return {key: value for key, value in keywords.items() if key in inspect.signature(pure(name)).parameters}


def in_two(inputs: dict) -> list[dict]:
    """The rows in two unequal parts."""
    return [{key: rows[part] for key, rows in inputs.items()} for part in (slice(0, 10), slice(10, None))]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A folder of its own for the rows that `evaluate` writes down; the checkout as the current folder."""
    monkeypatch.chdir(CHECKOUT)
    return str(tmp_path)


def test_the_package_finds_the_modules_that_have_an_example():
    assert metric_names() == NAMES == sorted(examples())
    assert [metric_path(name) for name in NAMES] == FOLDERS


@pytest.mark.parametrize("name", NAMES)
def test_the_doctests_of_the_module_pass(name, cache):
    module = importlib.import_module(type(evaluate.load(f"metrics/{name}", cache_dir=cache)).__module__)
    outcome = doctest.testmod(module)
    assert outcome.attempted >= 2
    assert outcome.failed == 0


@pytest.mark.parametrize("name", NAMES)
def test_the_module_gives_the_number_of_the_pure_function_in_plain_python(name, cache, agree):
    inputs, keywords = example(name)
    result = load_metric(name, cache_dir=cache).compute(**inputs, **keywords)
    found = pure(name)(**inputs, **of_function(name, keywords))
    shared = {key: value for key, value in keywords.items() if key in ("groups", "images")}
    agree(result, found.report(**shared) if hasattr(found, "report") else found)
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


@pytest.mark.parametrize("name", NAMES)
def test_rows_added_in_batches_or_one_by_one_give_the_same_as_one_call(name, cache, agree):
    inputs, keywords = example(name)
    expected = load_metric(name, cache_dir=cache).compute(**inputs, **keywords)
    batches = load_metric(name, cache_dir=cache)
    for batch in in_two(inputs):
        batches.add_batch(**batch)
    agree(batches.compute(**keywords), expected)
    rows = load_metric(name, cache_dir=cache)
    # `add` calls the usual two inputs by their singular.
    singular = {"predictions": "prediction", "references": "reference"}
    for i in range(N):
        rows.add(**{singular.get(key, key): column[i] for key, column in inputs.items()})
    agree(rows.compute(**keywords), expected)


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name != "learning_order"]
)  # whose facts name each run
def test_the_order_of_the_rows_changes_nothing(name, agree):
    inputs, keywords = example(name)
    order = np.random.default_rng(1).permutation(N).tolist()

    def report(rows):
        columns = {
            key: [column[row] for row in rows] if isinstance(column, list) and len(column) == N else column
            for key, column in (inputs | keywords).items()
        }
        shared = {key: column for key, column in columns.items() if key in ("groups", "images")}
        return pure(name)(**of_function(name, columns)).report(**shared)

    agree(report(order), report(range(N)))


def test_what_resampled_once_is_ignored_with_a_warning(cache, agree):
    inputs, keywords = example("two_afc")
    former = {"n_resamples": 0, "confidence_level": 0.9}
    metric = load_metric("two_afc", cache_dir=cache)
    with pytest.warns(FutureWarning) as caught:
        found = metric.compute(**inputs, **keywords, **former)
    agree(found, metric.compute(**inputs, **keywords))
    assert [str(one.message).split()[0] for one in caught] == list(former)


SECOND_RANK = """
import json, sys, evaluate
for path, rows, cache in json.loads(sys.argv[1]):
    metric = evaluate.load(path, num_process=2, process_id=1, experiment_id="two", cache_dir=cache)
    assert metric.compute(**rows) is None
"""


def test_two_processes_give_the_same_as_one(cache, agree):
    """The second rank is another process; both go through all modules in the same order."""
    work = [(str(folder), in_two(example(folder.name)[0])[1], cache) for folder in FOLDERS]
    second = forked.start([sys.executable, "-c", SECOND_RANK, json.dumps(work)])
    results = {}
    for folder in FOLDERS:
        inputs, keywords = example(folder.name)
        metric = evaluate.load(
            str(folder), num_process=2, process_id=0, experiment_id="two", cache_dir=cache, timeout=300
        )
        results[folder.name] = metric.compute(**in_two(inputs)[0], **keywords)
    assert second.wait(300) == 0
    for name, result in results.items():
        inputs, keywords = example(name)
        agree(result, load_metric(name, cache_dir=cache).compute(**inputs, **keywords))


def test_modules_of_the_same_inputs_can_be_combined(cache, agree):
    by_inputs = defaultdict(list)
    for name in NAMES:
        by_inputs[str(load_metric(name, cache_dir=cache).features)].append(name)
    for names in by_inputs.values():
        # A module is also combined with itself, since few have the inputs of another.
        names = names if len(names) > 1 else [*names, *names]
        inputs, keywords = example(names[0])
        combined = evaluate.combine([load_metric(name, cache_dir=cache) for name in names])
        result = combined.compute(**inputs, **keywords)
        for i, name in enumerate(names):
            alone = load_metric(name, cache_dir=cache).compute(**inputs, **keywords)
            prefix = f"{name}_{i}_" if names.count(name) > 1 else f"{name}_"
            picked = {key: result[f"{prefix}{key}" if f"{prefix}{key}" in result else key] for key in alone}
            agree(picked, alone)


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
def test_the_example_of_the_card_runs_and_shows_what_it_returns(name, cache):
    card = CHECKOUT / "metrics" / name / "README.md"
    outcome = doctest.testfile(str(card), module_relative=False, encoding="utf-8")
    assert outcome.attempted >= 3
    assert outcome.failed == 0
