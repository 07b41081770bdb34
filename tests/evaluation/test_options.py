"""The command line of `evaluate` is made of the configuration and of the kinds' settings."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest

import hf_clipdyn.evaluation
from hf_clipdyn.benchmarks.base import KindSettings
from hf_clipdyn.benchmarks.kinds.noise import NoiseSettings
from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.cli import main
from hf_clipdyn.errors import ConfigError, remedies_in_flags
from hf_clipdyn.evaluation.config import EvaluationConfig, in_python
from hf_clipdyn.evaluation.options import command_line, flags
from hf_clipdyn.fields import Flag, Given, option

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """`called("me/run", "--force")`: the arguments with which the command calls `evaluate_revisions`."""
    found: dict[str, Any] = {}

    def evaluate_revisions(**arguments: Any) -> dict[str, list[str]]:
        found.update(arguments)
        return {"repo_id": [], "revision": [], "kind": [], "dataset": []}

    monkeypatch.setattr(hf_clipdyn.evaluation, "evaluate_revisions", evaluate_revisions)
    monkeypatch.chdir(tmp_path)

    def call(*argv: str) -> dict[str, Any]:
        found.clear()
        with pytest.raises(SystemExit) as stopped:
            main(["evaluate", *argv])
        assert not stopped.value.code
        EvaluationConfig(**found)
        return dict(found)

    return call


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The sentence with which the command refuses these arguments."""
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", *argv])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("clipdyn: error: ")


def test_every_field_and_every_setting_is_an_option() -> None:
    keys = [one.key for one in flags()]
    assert len(set(keys)) == len(keys)
    spelt = {
        "data_dirs": "data_dir",
        "plugins": "plugin",
        "private": "hub_private_repo",
        "token": "hub_token",
    }
    general = {spelt.get(one.name, one.name) for one in fields(EvaluationConfig)} - {"settings"}
    of_kinds = {
        f"{name}_{one.metadata.get('flag') or one.name}"  # American spelling in options: gray
        for name, kind in kinds().items()
        for one in fields(kind.settings_class)
    }
    assert set(keys) == general | of_kinds
    assert {"noise_sigmas", "retrieval_held_out", "saliency_probes", "quality_preprocess"} <= of_kinds


def test_no_option_is_written_a_second_time() -> None:
    """The command and the module that makes the flags name only those that they read or change themselves."""
    sources = [CHECKOUT / "hf_clipdyn" / name for name in ("cli/main_path.py", "evaluation/options.py")]
    command = sources[0].read_text(encoding="utf-8").partition("class Evaluate(")[2].partition("\n\n\n")[0]
    text = command + sources[1].read_text(encoding="utf-8")
    written = {one.key for one in flags() if f'"{one.key}"' in text or f'"{one.spelling}"' in text}
    assert written <= {"plugin", "repo_id", "store", "output", "show_progress"}


def test_what_is_not_given_has_the_defaults_of_python(called: Callable[..., dict[str, Any]]) -> None:
    given, default = called("me/run"), EvaluationConfig(repo_id="me/run")
    assert given.pop("settings") == {}, "a suite may have settings of its own"
    assert given.pop("output") == Path("results.parquet")
    assert given == {name: one for name, one in vars(default).items() if name in given}


@pytest.mark.parametrize(
    "argv",
    [
        ("--noise-sigmas", "0.1,0.2", "--benchmarks", "noise,similarity/nights"),
        (
            "--noise_sigmas",
            "0.1",
            "--noise-sigmas=0.2",
            "--benchmarks",
            "noise",
            "--benchmarks=similarity/nights",
        ),
    ],
)
def test_several_values_are_separated_by_commas_or_the_option_is_repeated(
    called: Callable[..., dict[str, Any]], argv: tuple[str, ...]
) -> None:
    given = called("me/run", *argv)
    assert given["settings"]["noise"] == NoiseSettings(sigmas=(0.1, 0.2))
    assert given["benchmarks"] == ("noise", "similarity/nights")


def test_folders_of_data_sets_are_given_by_name(called: Callable[..., dict[str, Any]]) -> None:
    given = called("me/run", "--data-dir", "osie=a,b", "--data_dir", "nights=c=d")
    assert given["data_dirs"] == {"osie": Path("a,b"), "nights": Path("c=d")}


def test_a_file_gives_the_same_as_flags_and_flags_win(
    called: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "study.yaml").write_text(
        "repo_id: me/run\nbenchmarks: noise, retrieval\nnoise_sigmas: [0.1, 2e-1]\ndata_dir:\n  - osie=x\n"
        "force: true\nfinal_texts: no\nwatch_patience: 1e3\nbatch_size: 16\nseed:\nretrieval_held_out: 500\n"
    )
    by_file = called("--config", "study.yaml")
    by_flags = called(
        *("me/run", "--benchmarks", "noise,retrieval", "--noise-sigmas", "0.1,0.2", "--data-dir", "osie=x"),
        *("--force", "--no-final-texts", "--watch-patience", "1000", "--batch-size", "16"),
        *("--retrieval-held-out", "500"),
    )
    assert by_file == by_flags
    flags_win = called(
        "me/other", "--config=study.yaml", "--noise-sigmas", "0.3", "--batch-size", "8", "--final-texts"
    )
    assert flags_win["settings"]["noise"] == NoiseSettings(sigmas=(0.3,))
    assert (flags_win["repo_id"], flags_win["batch_size"], flags_win["final_texts"]) == ("me/other", 8, True)
    assert flags_win["benchmarks"] == ("noise", "retrieval")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("noise_sigma: 0.1", "Did you mean 'noise_sigmas'?"),
        ("noise-sigmas: 0.1", "Did you mean 'noise_sigmas'?"),
        ("config: other.yaml", "There is no field in study.yaml: 'config'."),
        ("settings: x", "There is no field in study.yaml: 'settings'."),
        ("batch_size: many", "batch_size in study.yaml is 'many', which is not a whole number."),
        ("batch_size: 0", "batch_size in study.yaml is 0: it must be in [1, 1000000]."),
        ("batch_size: [1, 2]", "batch_size in study.yaml is a list of 2: give it one value."),
        ("noise_sigmas: [0.1, two]", "noise_sigmas in study.yaml contains 'two', which is not a number"),
        ("noise_sigmas: []", "noise_sigmas in study.yaml has 0 values: give at least one."),
        ("noise_sigmas: {a: 1}", "There is a collection in line 1 of study.yaml"),
        ("noise_sigmas: [[0.1]]", "There is a collection in line 1 of study.yaml"),
        ("noise_stage: inptu", "Did you mean 'input'?"),
        ("data_dir: osie", "data_dir in study.yaml is 'osie': give NAME=PATH"),
        ("plugin: none.py", "The plug-in none.py is not a Python file"),
        ("- noise", "study.yaml contains list"),
    ],
)
def test_a_wrong_file_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(text)
    assert says in refused(capsys, "me/run", "--config", "study.yaml")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("--noise-sigmas", "2"), "--noise-sigmas is 2.0: it must be in [0, 1]."),
        (("--noise-sigmas", "a"), "--noise-sigmas contains 'a', which is not a number"),
        (("--noise-sigmas", ""), "--noise-sigmas is empty"),
        (("--noise-conditions", "fog"), "There is no --noise-conditions 'fog'."),
        (("--retrieval-held-out", "0"), "--retrieval-held-out is 0: it must be in [1, "),
        (("--n-resamples", "-1"), "--n-resamples is -1: it must be in [0, 1000000]."),
        (("--confidence-level", "1"), "--confidence-level is 1.0: it must be in (0, 1)."),
        (("--watch-patience", "nan"), "--watch-patience is nan: it must be in [0, inf]."),
        (
            ("--data-dir", "osie=x", "--data-dir", "osie=y"),
            "--data-dir gives two folders for 'osie': give one.",
        ),
        (("--sigmas", "0.1"), "There is no option --sigmas."),
        (("--keep-trials",), "There is no option --keep-trials."),
        (("--noise-kinds", "blur"), "Did you mean"),
        (("--config", "none.yaml"), "none.yaml cannot be read: No such file or directory."),
        (("--hub-private-repo",), "`private` and `hub_model_id` require `push_to_hub`."),
        (("--rescore", "--force"), "leave out `force` and `watch`"),
        (("--output", "table.csv"), "name a Parquet file"),
        (
            ("--retrieval-held-out", "5"),
            "retrieval_held_out only affects retrieval benchmarks, and none is selected",
        ),
    ],
)
def test_a_wrong_option_is_one_sentence(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    argv: tuple[str, ...],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert says in refused(capsys, "me/run", "--store", "none", *argv)


def test_help_groups_the_options_by_kind_and_names_defaults_ranges_and_choices(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", "--help-all"])
    printed = capsys.readouterr().out
    titles = [line for line in printed.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles[:3] == ["Arguments:", "Most used options:", "Options:"]
    assert {line.removesuffix(":") for line in titles[3:]} == {
        f"Settings of {name}" for name, kind in kinds().items() if fields(kind.settings_class)
    }
    for kind in (one for one in kinds().values() if fields(one.settings_class)):
        part = printed.partition(f"\nSettings of {kind.name}:\n")[2].partition("\n\n")[0]
        names = [one.metadata.get("flag") or one.name for one in fields(kind.settings_class)]
        assert {f"--{kind.name}-{name}".replace("_", "-") for name in names} == {
            word for word in part.split() if word.startswith("--")
        }
    words = " ".join(printed.split())
    assert "In [0, 1]. [default: 0,0.02," in words
    assert "salt_and_pepper" in words


def test_a_setting_of_a_type_that_no_option_can_hold_is_one_sentence() -> None:
    @dataclass(frozen=True)
    class WrongSettings(KindSettings):
        table: dict[str, int] | None = option(None, "A table.")
        switches: tuple[bool, ...] = option((), "Switches.")

    for one in fields(WrongSettings):
        with pytest.raises(
            ConfigError, match=rf"{one.name} of WrongSettings has the type .* declare it as bool"
        ):
            Flag.of(WrongSettings, one)


def test_every_type_of_a_setting_is_read_from_text() -> None:
    @dataclass(frozen=True)
    class ManySettings(KindSettings):
        switch: bool = option(True, "Yes or no.")
        count: int | None = option(None, "A count.")
        file: Path | None = option(None, "A file.")
        counts: tuple[int, ...] | None = option(None, "Counts.")
        files: tuple[Path, ...] = option((), "Files.")

    made = {one.name: Flag.of(ManySettings, one) for one in fields(ManySettings)}
    assert made["counts"].value(Given(("1,2", "3"), "--counts")) == (1, 2, 3)
    assert made["files"].value(Given(("a,b",), "--files")) == (Path("a"), Path("b"))
    assert made["counts"].value(None) is None
    assert made["files"].value(None) == ()
    assert {name: one.item for name, one in made.items()} == {
        "switch": bool,
        "count": int,
        "file": Path,
        "counts": int,
        "files": Path,
    }


@pytest.mark.parametrize(
    ("flags", "python"),
    [
        (
            "give each with --data-dir NAME=PATH, or add --skip-missing.",
            'give each with `data_dirs={"NAME": "PATH"}`, or add `skip_missing=True`.',
        ),
        ("repeat with --force --revisions epoch-000.", 'repeat with `force=True` `revisions="epoch-000"`.'),
        (
            "leave its texts out with --no-final-texts: `clipdyn report x --output y`",
            "leave its texts out with `final_texts=False`: `clipdyn report x --output y`",
        ),
        (
            "another `--output`. See --unknown and --noise-sigmas 1.",
            "another `output`. See --unknown and `sigmas` of the settings of noise (1).",
        ),
    ],
)
def test_a_remedy_for_the_command_line_becomes_one_for_python(flags: str, python: str) -> None:
    assert command_line().in_python(flags) == python


def test_a_call_in_python_gets_arguments_and_the_command_line_gets_flags() -> None:
    with pytest.raises(ConfigError, match="read another `output`"), in_python():
        raise ConfigError("read another --output")
    with pytest.raises(ConfigError, match="read another --output"), remedies_in_flags(), in_python():
        raise ConfigError("read another --output")
