"""Fields of configurations: values of a call are checked, texts of flags are read by their types, help follows."""

from collections.abc import Sequence
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hf_clipdyn.command_line import CommandLine
from hf_clipdyn.errors import ConfigError, UnknownNameError
from hf_clipdyn.fields import check_options, flags_of, option


@dataclass(frozen=True)
class Config:
    """One field of each sort."""

    gain: float = option(1.0, "A number.", within="(0, 4]")
    count: int | None = option(None, "A whole number.", within="[1, 10]")
    levels: tuple[float, ...] = option((0.1,), "Numbers.", within="[0, 1]")
    stage: str = option("native", "A name.", choices=("native", "input"))
    probes: tuple[str, ...] | None = option(None, "Names.", choices=lambda: ["rollout", "grad_cam"])
    switch: bool = option(False, "Yes or no.")
    file: str | Path | None = option(None, "A file.")

    def __post_init__(self) -> None:
        check_options(self)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"gain": "high"}, "gain is 'high': it must be a number."),
        ({"gain": True}, "gain is True: it must be a number."),
        ({"gain": 0}, "gain is 0: it must be in (0, 4]."),
        ({"gain": float("nan")}, "gain is nan: it must be in (0, 4]."),
        ({"gain": None}, "gain is None: it must be a number."),
        ({"count": 1.5}, "count is 1.5: it must be a whole number or None."),
        ({"count": 11}, "count is 11: it must be in [1, 10]."),
        ({"levels": 0.1}, "levels is 0.1: it must be a tuple (a number each)."),
        ({"levels": (0.1, "b")}, "levels is (0.1, 'b'): it must be a tuple (a number each)."),
        ({"levels": (0.1, 2.0)}, "levels is 2.0: it must be in [0, 1]."),
        ({"levels": ()}, "levels is empty: give at least one."),
        ({"probes": ()}, "probes is empty: give at least one of rollout, grad_cam."),
        ({"stage": 3}, "stage is 3: it must be a text."),
        ({"stage": "a\nb"}, "stage contains a control character"),
        ({"stage": "x" * 5000}, "stage has 5000 characters"),
        ({"switch": "no"}, "switch is 'no': it must be true or false."),
        ({"file": 3}, "file is 3: it must be a text or a Path or None."),
    ],
)
def test_a_wrong_value_is_one_sentence(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        Config(**given)
    assert str(error.value).startswith(says)


def test_an_unknown_name_is_answered_with_the_closest_one() -> None:
    for given in ({"stage": "imput"}, {"probes": ("rolout",)}):
        with pytest.raises(UnknownNameError, match=r"Did you mean '(input|rollout)'"):
            Config(**given)


def test_lists_arrays_and_numbers_of_numpy_become_pythons_own() -> None:
    given: dict[str, Any] = {"gain": np.float32(2), "count": np.int64(3), "probes": ["rollout"]}
    config = Config(**given, levels=np.array([0, 0.5]))  # type: ignore[arg-type]
    assert config == Config(gain=2.0, count=3, levels=(0.0, 0.5), probes=("rollout",))
    assert type(config.gain) is float
    hash(config)


@dataclass(frozen=True)
class _Drawing:
    place: str | Sequence[str] = option(MISSING, "Where to draw.")
    colour: str = option("red", "Colour of the line.", choices=("red", "blue"), top=True)
    width: float | None = option(None, "Width of the line.", within="(0, 10]", short="w")
    dashes: tuple[int, ...] = option((3, 1), "Lengths of the dashes.", group="Dashes")
    closed: bool = option(True, "Close the line.")
    filled: bool = option(False, "Fill the area.")
    token: str | None = option(None, "Token.", secret=True)


@pytest.fixture
def line() -> CommandLine:
    return CommandLine("draw", "Draw a line.", flags_of(_Drawing))


def _values(line: CommandLine, *argv: str) -> dict[str, Any]:
    given = line.read(argv)
    return {key: flag.value(given.get(key)) for key, flag in line.flags.items() if key in given}


@pytest.mark.parametrize(
    ("argv", "values"),
    [
        (("here",), {"place": "here"}),
        (("here", "--colour", "blue", "there"), {"place": ("here", "there"), "colour": "blue"}),
        (("-w", "2", "--", "--colour"), {"width": 2.0, "place": "--colour"}),
        (("--width=1e-3", "--width=3"), {"width": 3.0}),
        (("--dashes", "1,2", "--dashes=4"), {"dashes": (1, 2, 4)}),
        (("--filled", "here"), {"filled": True, "place": "here"}),
        (("--filled", "true", "--no-closed"), {"filled": True, "closed": False}),
        (("--filled=no", "--no_closed"), {"filled": False, "closed": False}),
        (("--token= hf_x\r\n",), {"token": "hf_x"}),
    ],
)
def test_words_are_read_by_the_types_of_the_fields(
    line: CommandLine, argv: tuple[str, ...], values: dict[str, Any]
) -> None:
    assert _values(line, *argv) == values


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("--color", "blue"), "There is no option --color. Did you mean --colour? See `draw --help`."),
        (("--tokn=hf_secret",), "There is no option --tokn. Did you mean --token? See `draw --help`."),
        (("--width",), "--width has no value: give one. See `draw --help`."),
        (("--width", "--filled"), "--width has no value: give one. See `draw --help`."),
        (("--width", "wide"), "--width is 'wide', which is not a number."),
        (("--width", "11"), "--width is 11.0: it must be in (0, 10]."),
        (("--dashes", ","), "--dashes is empty: give at least one value; separate several by commas."),
        (("--filled=perhaps",), "--filled is 'perhaps': give true or false."),
        (("--colour", "rde"), "There is no --colour 'rde'. Did you mean 'red'? Known: blue, red."),
        (("--no-width",), "There is no option --no-width. Did you mean --width? See `draw --help`."),
    ],
)
def test_a_wrong_word_is_one_sentence(line: CommandLine, argv: tuple[str, ...], says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        line.read(argv)
    assert str(refused.value) == says


def test_a_word_without_a_place_is_one_sentence() -> None:
    line = CommandLine("draw", "Draw.", [flag for flag in flags_of(_Drawing) if flag.is_option])
    with pytest.raises(ConfigError, match="There is no place for 'here': every value follows its option"):
        line.read(["here"])


@pytest.mark.parametrize("width", [60, 100])
def test_the_help_fits_the_terminal_and_names_the_most_used_options_first(
    line: CommandLine, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    short, whole = line.help(everything=False), line.help()
    assert max(map(len, whole.splitlines())) <= width
    assert "--dashes" not in short
    assert "`draw --help-all` lists all options:\n  Options; Dashes\n" in short
    assert (
        whole.index("Arguments:")
        < whole.index("--colour")
        < whole.index("--width, -w")
        < whole.index("Dashes:")
    )
    assert "[default: 3,1]" in " ".join(whole.split())
    assert "--closed/--no-closed" in whole
