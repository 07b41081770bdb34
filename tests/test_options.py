"""Fields of configurations are checked once, by what they declare."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hf_clipdyn.errors import ConfigError, UnknownNameError
from hf_clipdyn.fields import check_options, option


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
