"""The options of `clipdyn evaluate`: those of the configuration, and the settings of the kinds."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hf_clipdyn.benchmarks.corruptions import CORRUPTIONS
from hf_clipdyn.benchmarks.kinds.noise import Noise, NoiseSettings
from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.cli.evaluate import Evaluate
from hf_clipdyn.evaluation.config import EvaluationConfig

Clipdyn = Callable[..., tuple[int, str, str]]


def read(*words: str) -> Evaluate:
    return Evaluate.read(words, "clipdyn evaluate")


def test_every_setting_of_a_kind_is_an_option_once() -> None:
    names = list(EvaluationConfig.option_fields())
    assert len(set(names)) == len(names)
    of_kinds = {f"{name}_{key}" for name, kind in kinds().items() for key in kind.settings.option_fields()}
    assert of_kinds < set(names)
    assert {"noise_sigmas", "shape_bias_gray", "retrieval_held_out", "quality_preprocess"} < of_kinds


def test_what_is_not_given_has_the_defaults_of_python() -> None:
    given, default = read("me/run"), EvaluationConfig(repo_id="me/run")
    assert given.settings == {}, "a suite may have settings of its own"
    assert given.output == Path("results.parquet").absolute()
    for name in EvaluationConfig.model_fields.keys() - {"output"}:
        assert getattr(given, name) == getattr(default, name)


def test_settings_of_kinds_are_options_in_python_files_and_flags(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(
        "repo_id: me/run\nnoise_sigmas: [0.1, 2e-1]\nretrieval_held_out: 500\nshape_bias_gray: yes\n"
    )
    flags = read(
        *("me/run", "--noise-sigmas", "0.1", "--noise_sigmas=0.2", "--retrieval-held-out", "500"),
        "--shape-bias-gray",
    )
    python = EvaluationConfig(
        repo_id="me/run", noise_sigmas=(0.1, 0.2), retrieval_held_out=500, shape_bias_gray=True
    )
    assert read("--config", str(file)) == flags
    assert flags.settings == python.settings
    assert flags.settings["noise"] == NoiseSettings(sigmas=(0.1, 0.2))
    assert EvaluationConfig(
        repo_id="me/run", settings={"noise": NoiseSettings(sigmas=(0.1, 0.2))}
    ).settings == {"noise": python.settings["noise"]}
    over = read("--config", str(file), "--noise-sigmas", "0.3", "--noise-stage", "input")
    assert over.settings["noise"] == NoiseSettings(sigmas=(0.3,), stage="input")


def test_a_benchmark_may_be_an_object_and_a_name_may_be_alone() -> None:
    config = EvaluationConfig(repo_id=Path("runs/demo"), benchmarks=Noise.on("cifar10", stage="input"))
    assert config.repo_id == ("runs/demo",)
    assert [one.name for one in config.selected] == ["noise/cifar10"]
    assert EvaluationConfig(repo_id="me/run", revisions="main", suite="full").suite == ("full",)


def test_folders_of_data_sets_are_given_by_name() -> None:
    given = read("me/run", "--data-dir", "osie=a,b", "--data_dir", "nights=c=d")
    assert given.data_dirs == {"osie": Path("a,b"), "nights": Path("c=d")}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("noise_sigma: 0.1", "There is no option 'noise_sigma'. Did you mean 'noise_sigmas'?"),
        ("config: other.yaml", "There is no option 'config'."),
        ("settings: x", "There is no option 'settings'."),
        ("token: x", "There is no option 'token'."),
        ("hub_token: x", "set HF_TOKEN"),
        ("batch_size: many", "study.yaml: batch_size is 'many': "),
        ("batch_size: 0", "study.yaml: batch_size is '0': "),
        ("batch_size: [1, 2]", "study.yaml: batch_size: Input should be a valid integer"),
        ("noise_sigmas: [0.1, two]", "noise_sigmas is 'two': Input should be a valid number"),
        ("noise_sigmas: []", "study.yaml: noise_sigmas: "),
        ("noise_sigmas: {a: 1}", "study.yaml: noise_sigmas: "),
        ("noise_stage: inptu", "Input should be 'native' or 'input'"),
        ("data_dir: osie", "data_dir is 'osie': give NAME=PATH"),
        ("plugin: none.py", "The plug-in none.py is not a Python file"),
        ("- noise", "study.yaml is not a mapping"),
    ],
)
def test_a_wrong_file_is_one_sentence(
    clipdyn: Clipdyn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(text)
    code, _, error = clipdyn("evaluate", "me/run", "--config", "study.yaml")
    assert (code, error.count("\n")) == (2, 1)
    assert says in error


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("--noise-sigmas", "2"), "noise_sigmas is '2': Input should be less than or equal to 1."),
        (("--noise-sigmas", "nan"), "noise_sigmas is 'nan': "),
        (("--noise-sigmas", ""), "noise_sigmas is empty"),
        (("--noise-conditions", "fog"), "There is no condition of noise 'fog'."),
        (("--noise-levels", "blur=1"), "There is no selected condition 'blur'"),
        (("--shape-bias-classes", "cat"), "give at least two names"),
        (("--retrieval-held-out", "0"), "retrieval_held_out is '0'"),
        (("--seed", "-1"), "seed is '-1'"),
        (("--confidence-level", "1"), "confidence_level is '1'"),
        (("--watch-patience", "nan"), "watch_patience is 'nan'"),
        (("--data-dir", "osie=x", "--data-dir", "osie=y"), "data_dir is 'osie=x,osie=y'"),
        (("--sigmas", "0.1"), "There is no option 'sigmas'."),
        (("--noise-kinds", "blur"), "Did you mean"),
        (("--config", "none.yaml"), "none.yaml: No such file or directory."),
        (("--hub-private-repo",), "`private` and `hub_model_id` require `push_to_hub`."),
        (("--rescore", "--force"), "leave out `force` and `watch`"),
        (("--output", "table.csv"), "name a Parquet file"),
        (("--retrieval-held-out", "5"), "retrieval_held_out only affects retrieval benchmarks, and none is"),
    ],
)
def test_a_wrong_option_is_one_sentence(
    clipdyn: Clipdyn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, argv: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, error = clipdyn("evaluate", "me/run", "--store", "none", *argv)
    assert (code, error.count("\n")) == (2, 1)
    assert says in error


def test_the_help_groups_the_settings_by_kind_and_names_the_conditions(clipdyn: Clipdyn) -> None:
    printed = clipdyn("evaluate", "--help-all")[1]
    for name, kind in kinds().items():
        part = printed.partition(f"\nSettings of {name}:\n")[2].partition("\n\n")[0]
        assert {f"--{name}_{key}" for key in kind.settings.option_fields()} == {
            word for word in part.split() if word.startswith("--")
        }
    conditions = " ".join(str(NoiseSettings.model_fields["conditions"].description).split())
    assert all(name in conditions for name in CORRUPTIONS if not name.startswith("octave"))
    assert [name for name in CORRUPTIONS if name.startswith("octave")][-1] == "octave_6"
