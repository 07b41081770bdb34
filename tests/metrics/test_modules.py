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

from hf_clipdyn.bundled import load_metric, metric_names, metric_path
from hf_clipdyn.metric_module import UndefinedMetricWarning

evaluate = pytest.importorskip("evaluate")

CHECKOUT = Path(__file__).resolve().parents[2]
FOLDERS = sorted(
    path for path in (CHECKOUT / "metrics").iterdir() if path.is_dir() and path.name != "__pycache__"
)
NAMES = [folder.name for folder in FOLDERS]
FEATURES = ("predictions", "references")
FILES = {
    "representation_similarity": "representation"
}  # of pure functions that are not called like their file
N = 24


def example(name: str) -> tuple[dict, dict]:
    """Inputs of a module, N rows each, and the keywords that go once with all rows, in their order."""
    rng = np.random.default_rng(0)
    labels = ["cat", "dog", "car"]
    exemplars = {
        "shape_exemplars": [f"cat{i % 6}" for i in range(N)],
        "texture_exemplars": [f"dog{i // 6}" for i in range(N)],
    }
    shapes = [labels[i % 3] for i in range(N)]
    points = (rng.random((N, 5, 2)) * [5, 4]).tolist()
    examples = {
        "shape_bias": (
            {
                "predictions": [labels[i] for i in rng.integers(0, 3, N)],
                "shapes": shapes,
                "textures": [labels[(i // 3 + i) % 3] for i in range(N)],
            },
            {"classes": labels, **exemplars},
        ),
        "cue_preference": (
            {"distances_shape": rng.random(N).tolist(), "distances_texture": rng.random(N).tolist()},
            {
                "shape_exemplars": [[f"cat{i % 6}", f"cat{(i + 1) % 6}", f"dog{i % 3}"] for i in range(N)],
                "texture_exemplars": [
                    [f"dog{i // 6}", f"cat{i % 4}", f"dog{(i // 6 + 1) % 4}"] for i in range(N)
                ],
            },
        ),
        "error_consistency": ({name: (rng.random(N) < 0.7).tolist() for name in FEATURES}, {}),
        "iqa_correlation": (
            {"predictions": rng.random(N).tolist(), "references": rng.random(N).tolist()},
            {"groups": [f"I{i % 8:02d}" for i in range(N)], "logistic": 4},
        ),
        "two_afc": (
            {name: rng.random(N).tolist() for name in ("distances_0", "distances_1", "judgements")},
            {"images": [[f"m{i % 8}", f"m{(i + 1) % 8}", f"m{(3 * i + 2) % 8}"] for i in range(N)]},
        ),
        "jnd_map": (
            {"distances": rng.random(N).tolist(), "same": rng.random(N).tolist()},
            {"groups": [i // 2 for i in range(N)]},
        ),
        "saliency": (
            {"predictions": rng.random((N, 4, 5)).tolist(), "fixations": points},
            {
                "densities": rng.random((N, 4, 5)).tolist(),
                "other_fixations": points[::-1],
                "baseline": rng.random((4, 5)).tolist(),
            },
        ),
        "noise_robustness": (
            {
                "predictions": [0] * 8 + rng.integers(0, 2, 16).tolist(),
                "references": [0] * 8 * 3,
                "sigmas": [0.0] * 8 + [0.2] * 8 + [0.1] * 8,
            },
            {"groups": list(range(8)) * 3, "n_classes": 10},
        ),
        "learning_order": (
            {"right": (rng.random((N, 4, 9)) < 0.6).tolist()},
            {"clusters": [f"image{i // 2}" for i in range(9)]},
        ),
        "zero_shot_accuracy": (
            {
                "predictions": [rng.permutation(7).tolist() for _ in range(N)],
                "references": rng.integers(0, 7, N).tolist(),
            },
            {"n_classes": 7},
        ),
        "contrastive_geometry": (
            {side: rng.normal(size=(N, 4)).tolist() for side in ("images", "texts")},
            {"groups": [f"image{i // 2}" for i in range(N)]},
        ),
        "representation_similarity": (
            {"x": rng.normal(size=(N, 3)).tolist(), "y": rng.normal(size=(N, 5)).tolist()},
            {"groups": [i // 2 for i in range(N)]},
        ),
    }
    return examples[name]


def pure(name: str):
    """The function behind a module."""
    return getattr(importlib.import_module(f"hf_clipdyn.metrics.{FILES.get(name, name)}"), name)


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


def test_the_package_finds_the_twelve_modules():
    assert metric_names() == NAMES
    assert len(NAMES) == 12
    assert [metric_path(name) for name in NAMES] == FOLDERS


@pytest.mark.parametrize("name", NAMES)
def test_the_doctests_of_the_module_pass(name, cache):
    module = importlib.import_module(type(evaluate.load(f"metrics/{name}", cache_dir=cache)).__module__)
    outcome = doctest.testmod(module)
    assert outcome.attempted >= 2
    assert outcome.failed == 0


@pytest.mark.parametrize("name", NAMES)
def test_every_number_of_the_features_is_a_float64(name, cache):
    def leaves(feature):
        inner = getattr(feature, "feature", None)
        return [feature.dtype] if inner is None else leaves(inner)

    types = {t for feature in load_metric(name, cache_dir=cache).features.values() for t in leaves(feature)}
    assert types <= {"float64", "string", "bool"}


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
    assert [warning.message.names for warning in caught] == [
        ("relative_drop", "chance_corrected_drop"),
        ("threshold", "area"),
    ]
    assert str(caught[1].message) == "threshold, area undefined (NaN): the only noise level is 0."
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


@pytest.mark.parametrize("name", NAMES)
def test_what_resampled_once_is_ignored_with_a_warning(name, cache, agree):
    inputs, keywords = example(name)
    former = {"n_resamples": 0, "confidence_level": 0.9}
    metric = load_metric(name, cache_dir=cache)
    expected = metric.compute(**inputs, **keywords)
    if not hasattr(pure(name)(**inputs, **of_function(name, keywords)), "report"):
        pytest.skip("this metric still resamples")
    with pytest.warns(FutureWarning) as caught:
        found = metric.compute(**inputs, **keywords, **former)
    agree(found, expected)
    assert [str(one.message).split()[0] for one in caught] == list(former)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("name", NAMES)
def test_the_module_says_what_the_function_says(name, cache):
    metric = load_metric(name, cache_dir=cache)
    text = inspect.getdoc(pure(name))
    assert metric.description == text.split("\nArgs:")[0]
    assert "Returns:" in metric.inputs_description
    assert metric.citation.startswith("@")
    card = (CHECKOUT / "metrics" / name / "README.md").read_text(encoding="utf-8")
    key = metric.citation.split("{")[1].split(",")[0]
    assert key in card.split("## Citation")[1]


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


@pytest.mark.filterwarnings("ignore::hf_clipdyn.metric_module.UndefinedMetricWarning")
def test_each_card_names_the_modules_that_it_combines_with_and_no_others_combine(cache):
    features = {name: load_metric(name, cache_dir=cache).features for name in NAMES}
    for name, own in features.items():
        card = (CHECKOUT / "metrics" / name / "README.md").read_text(encoding="utf-8")
        words = card.split("with the inputs of this one: ")[1].split(".")[0]
        alike = [other for other in NAMES if other != name and features[other] == own]
        assert words == (", ".join(f"`{other}`" for other in alike) or "none")
        other = next(one for one in NAMES if set(features[one]) != set(own))
        combined = evaluate.combine([load_metric(one, cache_dir=cache) for one in (name, other)])
        with pytest.raises((KeyError, TypeError, ValueError)):
            combined.compute(**example(name)[0])


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
def test_the_folder_holds_a_card_with_front_matter_an_app_and_requirements(folder):
    files = {path.name for path in folder.iterdir() if path.name != "__pycache__"}
    assert files == {f"{folder.name}.py", "README.md", "app.py", "requirements.txt"}
    card = (folder / "README.md").read_text(encoding="utf-8")
    _, front, body = card.split("---\n", 2)
    facts = yaml.safe_load(front)
    assert facts["sdk"] == "gradio"
    assert str(facts["sdk_version"]).count(".") == 2
    assert facts["app_file"] == "app.py"
    assert facts["tags"] == ["evaluate", "metric"]
    assert facts["title"]
    assert 20 < len(facts["description"]) < 400
    for section in (
        "Formula",
        "How to use",
        "Inputs",
        "Combining",
        "Output values",
        "Range and sign",
        "Edge cases",
        "Published values",
        "Limitations",
        "Citation",
    ):
        assert f"\n## {section}\n" in body, section
    assert "```bibtex" in body
    requirements = (folder / "requirements.txt").read_text().split()
    assert [line.split(">")[0] for line in requirements] == ["evaluate", "numpy", "scipy"]


@pytest.mark.parametrize("name", NAMES)
def test_the_card_names_every_input_and_every_output(name, cache):
    card = (CHECKOUT / "metrics" / name / "README.md").read_text(encoding="utf-8")
    inputs, keywords = example(name)
    result = load_metric(name, cache_dir=cache).compute(**inputs, **keywords)
    parameters = inspect.signature(pure(name)).parameters
    former = {"n_resamples", "confidence_level", "seed"}
    named = [key for key in (*parameters, *result) if key not in former and not key.endswith("_ci")]
    missing = [key for key in named if f"`{key}`" not in card]
    assert not missing


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_the_card_runs_and_shows_what_it_returns(name, cache):
    card = CHECKOUT / "metrics" / name / "README.md"
    outcome = doctest.testfile(str(card), module_relative=False, encoding="utf-8")
    assert outcome.attempted >= 3
    assert outcome.failed == 0


@pytest.mark.parametrize("name", NAMES)
def test_the_app_is_the_common_widget_for_the_module_beside_it(name):
    source = (CHECKOUT / "metrics" / name / "app.py").read_text(encoding="utf-8")
    compile(source, "app.py", "exec")
    assert f'with_name("{name}.py")' in source
    assert "from widget import interface" in source
