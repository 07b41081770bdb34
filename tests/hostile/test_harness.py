"""The harness itself sees a hang, a crash, a traceback, a secret and a lost file."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile.harness import SECRET, Outcome, Victim, call


def _hang() -> None:
    time.sleep(60)


def _crash() -> None:
    os.abort()


def _raise() -> None:
    raise ValueError("a bug")


def _tell() -> None:
    print(SECRET)


def _eat() -> None:
    bytearray(4 * 2**30)


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (_hang, "it hung"),
        (_crash, "died of signal 6"),
        (_raise, "a bug"),
        (_tell, "secret"),
        (_eat, "MemoryError"),
    ],
)
def test_the_harness_sees_what_a_call_does_wrong(
    tmp_path: Path, function: Callable[[], None], complaint: str
) -> None:
    with pytest.raises(AssertionError, match=complaint):
        call(function, printed=tmp_path, seconds=2 if function is _hang else 60).assert_decent()


def test_the_harness_sees_a_changed_victim(tmp_path: Path) -> None:
    victim = Victim(tmp_path / "victim")
    victim.assert_untouched()
    (victim.folder / "secret.txt").unlink()
    with pytest.raises(AssertionError, match="was changed"):
        victim.assert_untouched()


def test_a_wrong_call_of_the_command_line_gives_one_sentence(clipdyn: Callable[..., Outcome]) -> None:
    outcome = clipdyn("verify", "me/run", "--store", "nowhere")
    assert "nowhere" in outcome.sentence
    assert outcome.code == 2
