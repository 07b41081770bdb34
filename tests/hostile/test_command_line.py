"""Hostile calls of the command line: one sentence each, and no secret in it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hostile.harness import SECRET, Outcome

TOKENS = [
    ("train", f"--hub_tokn={SECRET}"),
    ("train", "--hub_tokn", SECRET),
    ("train", f"--{SECRET}"),
    ("train", "--config", SECRET),
    ("verify", "me/run", f"--{SECRET}"),
    ("verify", "me/run", "--store", SECRET),
    ("report", SECRET, "--output", "out"),
    ("prepare", SECRET, "--output", "out"),
    ("evaluate", "me/run", "--suite", SECRET),
    (SECRET,),
]


@pytest.mark.parametrize("argv", TOKENS)
def test_a_token_in_any_argument_is_not_printed(
    clipdyn: Callable[..., Outcome], argv: tuple[str, ...]
) -> None:
    outcome = clipdyn(*argv)
    outcome.assert_decent()
    assert outcome.code in (1, 2)
    assert SECRET[3:19] not in outcome.out + outcome.err


@pytest.mark.xfail(
    reason="config.py prints a clipped excerpt of the YAML, so that the prefix of the token is gone"
)
def test_a_token_in_malformed_yaml_is_not_printed(clipdyn: Callable[..., Outcome], tmp_path: Path) -> None:
    (tmp_path / "work" / "bad.yaml").write_text(f"hub_token: {SECRET}: [\n")
    assert SECRET[3:19] not in clipdyn("train", "--config", "bad.yaml").sentence
