"""Options: Python, files and flags give the same object, and an error names the option or the file in one line.

tests/test_every_option.py asks the same of every option of every command.
"""

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
        (["--count", "3"], {"count": np.int64(3)}),
        (["--count", "3"], {"count": 3.0}),
        (["-o", "x/y.parquet"], {"output": Path("x/y.parquet")}),
        (["--watch", "true"], {"watch": "yes"}),
        (["--no_json"], {"json": 0}),
        (["--data-dir", "a=b", "--data_dir=c=d"], {"data_dirs": {"a": "b", "c": "d"}}),
        (["--names", "x, y", "--names", "z"], {"names": ["x", "y", "z"]}),
        (["--names", "x"], {"names": "x"}),
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
    with pytest.raises(ConfigError, match=r"a\.yaml: rate is '-1': "):
        read("--config", str(file))


@pytest.mark.parametrize(
    ("values", "words", "message"),
    [
        ({"rate": float("nan")}, ["--rate", "nan"], "rate is 'nan': "),
        ({"count": True}, ["--count", "true"], "count is 'true': "),
        ({"freeze": "visio"}, ["--freeze", "visio"], "freeze is 'visio': "),
        ({"rat": 1}, ["--rat", "1"], "There is no option 'rat'. Did you mean 'rate'?"),
        ({"resamples": 1}, ["--resamples", "1"], "gone since version 0.4: confidence_level alone."),
        ({"names": " , "}, ["--names", ","], "names is empty"),
        ({"names": "nobody"}, ["--names", "nobody"], "no person 'nobody'. Did you mean 'somebody'?"),
        ({"data_dir": ["a"]}, ["--data-dir", "a"], "data_dir is 'a': "),
        ({"data_dir": ["a=b", "a=c"]}, ["--data-dir", "a=b", "--data-dir", "a=c"], "data_dir is 'a=b,a=c': "),
        ({"settings": 1}, ["--settings", "1"], "settings"),
    ],
)
def test_what_python_refuses_a_flag_refuses_by_its_name(
    values: dict[str, Any], words: list[str], message: str
) -> None:
    with pytest.raises(ConfigError) as python:
        Measure(**{"models": "m"} | values)
    with pytest.raises(ConfigError) as flags:
        read("m", *words)
    for error in (python, flags):
        assert message in str(error.value)
        assert "\n" not in str(error.value)


def test_the_help_lists_the_top_or_everything(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read("--help")
    short = capsys.readouterr().out
    assert "Rate at 100%. [above 0; default: 0.001]" in short
    assert "--watch" not in short
    with pytest.raises(SystemExit):
        read("--help-all")
    everything = capsys.readouterr().out
    assert all(part in everything for part in ("--names TEXT,…", "--no_json", "vision|text", "MODELS"))
    assert "settings" not in everything


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2",
        "a: &x 1\nb: *x",
        "a: &x [*x]",
        "a: &x {c: 1}\nb: {<<: [*x, *x]}",
        "a: [hf_secret",
        "a: hf_secret: b",
        "- 1",
        "[" * 5000,
        "a: \x00",
        b"\xff",
        None,
    ],
)
def test_a_wrong_file_is_one_line_with_its_name(text: str | bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as raised:
        read_yaml(file)
    assert str(file) in str(raised.value)
    assert "hf_secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_scalars_of_a_file_are_texts_and_no_tag_is_followed(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("a: 010\nb: no\nc: null\nd: 2024-01-01\ne: 1e-3\nf: ''\ng: [1, {h: true}]")
    values = {"a": "010", "b": "no", "d": "2024-01-01", "e": "1e-3", "f": "", "g": ["1", {"h": "true"}]}
    assert read_yaml(file) == values
    file.write_text("a: !!python/object/apply:os.mkdir [made]")
    assert read_yaml(file) == {"a": ["made"]}
    file.write_text("")
    assert read_yaml(file) == {}
