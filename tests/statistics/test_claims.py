"""Files of claims: the form, what a wrong one says, and what is registered."""

import re
from pathlib import Path

import pytest

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.statistics.claims import EMBEDDED, parse_claims, read_claims, registered_hash

TEXT = EMBEDDED.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("level: 0.05", "levle: 0.05", "'levle'. Did you mean 'level'?"),
        ("shares: [0.1, 0.2]", "shares: [0.2, 0.1]", "windows.early: shares"),
        ("shares: [0.1, 0.2]", "shares: [0.1, 0.2], untrained: true", "windows.early: give exactly one"),
        ("shares: [0.1, 0.2]", "reached: 0.5", "endpoint `accuracy`"),
        ("weights: {early: 1, late: -1}", "weights: {soon: 1}", "no window (claim 5 by prompts) 'soon'"),
        ("smallest_effect: 0.15", "smallest_effect: .nan", "finite number"),
        ("number: 5 by prompts", "number: 1", "claim 1 is defined twice"),
        ("tuning_seeds: [0, 1]", "tuning_seeds: [0, 10]", "seed 10 is both"),
        (
            "    family: control\n",
            "    family: control\n    cause: no people\n",
            "claims.0: give parts, or the cause",
        ),
        ("title: embedded world", "title: [", "not valid YAML"),
    ],
)
def test_a_wrong_file_is_named_with_its_key(old: str, new: str, says: str, tmp_path: Path) -> None:
    assert old in TEXT
    file = tmp_path / "claims.yaml"
    file.write_text(TEXT.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(says)) as raised:
        read_claims(file)
    assert str(raised.value).startswith(str(file))
    assert "\n" not in str(raised.value)


def test_words_register_nothing_and_everything_else_does() -> None:
    registered = registered_hash(parse_claims(TEXT, "claims.yaml"))

    def with_change(old: str, new: str) -> str:
        assert old in TEXT
        return registered_hash(parse_claims(TEXT.replace(old, new, 1), "claims.yaml"))

    for old in (
        "title: embedded world",
        "title: Texture first",
        "title: shift to shape",
        "A positive control",
    ):
        assert with_change(old, f"{old} in other words") == registered
    for old, new in (
        ("level: 0.05", "level: 0.01"),
        ("tuning_seeds: [0, 1]", "tuning_seeds: [0]"),
        ("shares: [0.1, 0.2]", "shares: [0.1, 0.3]"),
        ("smallest_effect: 0.15", "smallest_effect: 0.1"),
        ("times: 2", "times: 3"),
        ("evidence: false", "evidence: true"),
        ("constant: 0.5", "constant: 0.4"),
    ):
        assert with_change(old, new) != registered
