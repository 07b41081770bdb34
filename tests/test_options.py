"""Options: Python, files and flags give the same object, and an error is one sentence."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import Field, field_validator

from hf_clipdyn.errors import ConfigError, no_such
from hf_clipdyn.options import Options, read_yaml


class Measure(Options):
    """Measure something.

    It takes models.
    """

    positional = ("models",)
    most_used = ("rate",)
    letters = {"output": "o"}  # noqa: RUF012
    former = {"resamples": "confidence_level alone"}  # noqa: RUF012
    python_only = ("settings",)
    file_help = "YAML file of these options."

    models: tuple[str, ...]
    """Models to measure."""

    rate: float = Field(1e-3, gt=0, allow_inf_nan=False)
    """Rate at 100%."""

    count: int | None = Field(None, ge=1)
    """How many."""

    output: Path | None = None
    """A file."""

    freeze: Literal["vision", "text"] | None = Field(None, title="Model")
    """A tower."""

    watch: bool = False
    """Follow."""

    as_json: bool = Field(True, validation_alias="json")
    """Print JSON."""

    data_dirs: Mapping[str, Path] = Field({}, validation_alias="data_dir")
    """Folders of data sets."""

    names: tuple[str, ...] = ()
    """Some names."""

    sigmas: tuple[float, ...] = Field((0.1, 0.2), min_length=1)
    """Standard deviations."""

    settings: Mapping[str, float] = Field({})

    @field_validator("names")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if "nobody" in names:
            raise ConfigError(no_such("person", "nobody", ["somebody"]))
        return names


def read(*words: str) -> Measure:
    return Measure.read(words, "prog")


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["--rate", "3e-3"], {"rate": 0.003}),
        (["--rate=1"], {"rate": 1}),
        (["--count", "3"], {"count": np.int64(3)}),
        (["--count", "3"], {"count": 3.0}),
        (["-o", "x/y.parquet"], {"output": Path("x/y.parquet")}),
        (["--watch"], {"watch": True}),
        (["--watch", "true"], {"watch": "yes"}),
        (["--no-json"], {"as_json": False}),
        (["--no_json"], {"json": 0}),
        (["--json", "false"], {"json": "false"}),
        (["--data-dir", "a=b", "--data_dir=c=d"], {"data_dirs": {"a": "b", "c": "d"}}),
        (["--names", "x, y", "--names", "z"], {"names": ["x", "y", "z"]}),
        (["--names", "x"], {"names": "x"}),
        (["--freeze", "text"], {"freeze": "text"}),
    ],
)
def test_flags_and_python_give_the_same_object(words: list[str], values: dict[str, Any]) -> None:
    assert read("m", *words) == read(*words, "--", "m") == Measure(models=("m",), **values)


def test_the_values_between_options_and_after_dashes_are_positional() -> None:
    assert read("a", "--watch", "b", "--count", "2", "c").models == ("a", "b", "c")
    assert read("--watch", "--", "-a").models == ("-a",)


def test_a_file_gives_what_the_flags_leave_out(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("models: [a, 7]\nrate: 5e-4\ncount: 010\nnames: x,y\ndata_dir: {osie: /o}\nfreeze:\n")
    expected = Measure(models=("a", "7"), rate=5e-4, count=10, names="x,y", data_dirs={"osie": "/o"})
    assert read("--config", str(file)) == expected
    assert read("--config", str(file), "b", "--rate", "1") == expected.but(models="b", rate=1)
    file.write_text("models: a\nrate: -1")
    assert read("--config", str(file), "--rate", "1").rate == 1
    with pytest.raises(ConfigError, match=r"a\.yaml: rate is '-1': Input should be greater than 0\."):
        read("--config", str(file))


@pytest.mark.parametrize(
    ("values", "words", "message"),
    [
        ({"rate": -1}, ["--rate", "-1"], "rate is '-1': Input should be greater than 0."),
        ({"rate": float("nan")}, ["--rate", "nan"], "rate is 'nan': "),
        ({"rate": float("inf")}, ["--rate", "inf"], "rate is 'inf': "),
        ({"count": True}, ["--count", "true"], "count is 'true': "),
        ({"count": 1.5}, ["--count", "1.5"], "count is '1.5': "),
        (
            {"freeze": "visio"},
            ["--freeze", "visio"],
            "freeze is 'visio': Input should be 'vision' or 'text'.",
        ),
        ({"rat": 1}, ["--rat", "1"], "There is no option 'rat'. Did you mean 'rate'?"),
        ({"resamples": 1}, ["--resamples", "1"], "gone since version 0.4: confidence_level alone."),
        ({"names": " , "}, ["--names", ","], "names is empty: give at least one value"),
        ({"names": "nobody"}, ["--names", "nobody"], "There is no person 'nobody'. Did you mean 'somebody'?"),
        ({"data_dir": ["a"]}, ["--data-dir", "a"], "data_dir is 'a': give NAME=PATH"),
        (
            {"data_dir": ["a=b", "a=c"]},
            ["--data-dir", "a=b", "--data-dir", "a=c"],
            "data_dir is 'a=b,a=c': give NAME=PATH once for each name.",
        ),
        ({"models": ()} | {}, ["--rate"], ""),
    ],
)
def test_what_python_refuses_a_flag_refuses(values: dict[str, Any], words: list[str], message: str) -> None:
    if message:
        with pytest.raises(ConfigError) as python:
            Measure(**{"models": "m"} | values)
        assert message in str(python.value)
    with pytest.raises(ConfigError) as flags:
        read("m", *words)
    assert message in str(flags.value)
    assert "\n" not in str(flags.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "models is missing. See `prog --help`."),
        (["m", "--rate"], "Argument --rate: expected one argument. See `prog --help`."),
        (["m", "-x"], "Unrecognized arguments: -x. See `prog --help`."),
        (["m", "--no-rate"], "There is no option 'no_rate'."),
        (["m", "--noise-sigma", "1"], "There is no option 'noise_sigma'."),
    ],
)
def test_a_wrong_command_line_is_one_sentence(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(*words)
    assert str(raised.value).startswith(message)


def test_the_help_lists_the_top_or_everything(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read("--help")
    short = capsys.readouterr().out
    assert "Rate at 100%. [above 0; default: 0.001]" in short
    assert "MODELS" in short
    assert "--watch" not in short
    assert "`prog --help-all` lists all options: Options; Model." in short
    with pytest.raises(SystemExit):
        read("--help-all")
    everything = capsys.readouterr().out
    assert "--sigmas X,…" in everything
    assert "--no_json" in everything
    assert "[default: 0.1,0.2]" in everything
    assert "vision|text" in everything


def test_a_copy_is_checked_and_the_original_frozen() -> None:
    config = Measure(models="m", rate=0.1)
    assert config.but(count=2) == Measure(models="m", rate=0.1, count=2)
    with pytest.raises(ConfigError, match="count is '0'"):
        config.but(count=0)
    with pytest.raises(ValueError, match="frozen"):
        config.rate = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "is not valid YAML in line 2: a is there twice."),
        ("a: {b: 1, b: 2}", "b is there twice."),
        ("a: &x 1\nb: *x", "is not valid YAML in line 1: an alias; write it out."),
        ("a: [hf_secret", "is not valid YAML in line 1: "),
        ("- 1", "is not a mapping of options to values."),
        ("a: &x [*x]", "an alias"),
        ("[" * 5000, "is not valid YAML"),
        ("a: \x00", "is not valid YAML"),
        (b"a: \xff", "codec can't decode"),
        (None, "No such file or directory."),
    ],
)
def test_a_wrong_file_is_one_sentence_with_its_name(
    text: str | bytes | None, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "a.yaml"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as raised:
        read_yaml(file)
    assert str(file) in str(raised.value)
    assert message in str(raised.value)
    assert "hf_secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_scalars_of_a_file_are_texts(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("a: 010\nb: no\nc: null\nd: 2024-01-01\ne: 1e-3\nf: ''\ng: [1, {h: true}]")
    values = {"a": "010", "b": "no", "d": "2024-01-01", "e": "1e-3", "f": "", "g": ["1", {"h": "true"}]}
    assert read_yaml(file) == values
    file.write_text("a: !!python/object/apply:os.mkdir [made]")
    assert read_yaml(file) == {"a": ["made"]}, "no tag is followed"
    file.write_text("")
    assert read_yaml(file) == {}


def test_the_module_loads_only_pydantic_argparse_and_yaml() -> None:
    code = (
        "import sys, hf_clipdyn.options; print(*{'numpy', 'torch', 'huggingface_hub'} & sys.modules.keys())"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == ""
