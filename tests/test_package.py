"""The package as a whole: what it exports, how light it is, where its folders are."""

import subprocess
import sys
from pathlib import Path

import pytest

import hf_clipdyn
from hf_clipdyn import errors
from hf_clipdyn.bundled import load_metric, metric_names, metric_path
from hf_clipdyn.errors import ClipDynError, UnknownNameError, closest_name

HEAVY = ("torch", "transformers", "accelerate", "datasets", "evaluate", "pandas", "matplotlib", "scipy")


def _loaded_by(code: str) -> set[str]:
    program = (
        f"import sys\n{code}\nprint([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name for name in HEAVY if f"'{name}'" in done.stderr.splitlines()[-1]}


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert _loaded_by("import hf_clipdyn; dir(hf_clipdyn)") == set()


def test_naming_all_benchmarks_and_data_sets_loads_no_torch() -> None:
    code = (
        "from hf_clipdyn.benchmarks.registry import kinds, parse_benchmark, suite, suite_names, vocabulary\n"
        "from hf_clipdyn.data.registry import dataset_metadata, dataset_names\n"
        "[dataset_metadata(name) for name in dataset_names()]\n"
        "vocabulary(parse_benchmark(one) for name in suite_names() for one in suite(name))\n"
        "assert kinds()"
    )
    assert not _loaded_by(code) & {"torch", "transformers", "accelerate"}


def test_every_public_name_is_there() -> None:
    assert sorted(hf_clipdyn.__all__) == list(hf_clipdyn.__all__)
    assert all(hasattr(hf_clipdyn, name) for name in hf_clipdyn.__all__)
    assert set(dir(hf_clipdyn)) == set(hf_clipdyn.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        hf_clipdyn.nonsense  # noqa: B018


def test_every_error_is_drawn_in_the_tree() -> None:
    classes = {
        name
        for name, member in vars(errors).items()
        if isinstance(member, type) and issubclass(member, ClipDynError)
    }
    assert errors.__doc__ is not None
    assert all(name in errors.__doc__ for name in classes)


def test_a_misspelt_name_is_answered_with_the_closest_one() -> None:
    error = UnknownNameError("scale", "smal", ["tiny", "small"])
    assert str(error) == "There is no scale 'smal'. Did you mean 'small'? Known: small, tiny."
    assert error.exit_code == 2


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("batch_size", "per_device_train_batch_size"),  # its words, in a longer name
        ("epochs", "num_train_epochs"),
        ("validation-sise", "validation_size"),
        ("zzz", None),
    ],
)
def test_a_name_that_contains_the_given_words_comes_before_a_similar_one(
    name: str, meant: str | None
) -> None:
    known = ["validation_size", "per_device_train_batch_size", "num_train_epochs", "shuffle_samples"]
    assert closest_name(name, known) == meant


def test_metrics_load_from_whatever_folder_one_stands_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert metric_path("shape_bias").is_dir()
    metric = load_metric("shape_bias", experiment_id="anywhere", cache_dir=str(tmp_path))
    result = metric.compute(predictions=["cat", "cat", "dog"], shapes=["cat"] * 3, textures=["dog"] * 3)
    assert (result["n_shape"], result["n_texture"]) == (2, 1)


def test_twelve_metrics_are_bundled() -> None:
    assert metric_names() == [
        "contrastive_geometry",
        "cue_preference",
        "error_consistency",
        "iqa_correlation",
        "jnd_map",
        "learning_order",
        "noise_robustness",
        "representation_similarity",
        "saliency",
        "shape_bias",
        "two_afc",
        "zero_shot_accuracy",
    ]


def test_an_unknown_metric_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="shape_bias"):
        metric_path("shape")
