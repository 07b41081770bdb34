"""Hostile tables of results as input of `clipdyn report`; test_cells.py has those that `clipdyn evaluate` continues."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hostile.harness import Outcome

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.results.table import load

Write = Callable[..., Path]


def _truncated(path: Path, write: Write) -> None:
    content = write(path).read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _flipped(path: Path, write: Write) -> None:
    content = bytearray(write(path).read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(content)


def _footer(path: Path, write: Write) -> None:
    content = write(path).read_bytes()
    path.write_bytes(content[:-8] + b"\xff\xff\xff\x7fPAR1")


FILES: dict[str, tuple[Callable[[Path, Write], Any], str]] = {
    "folder": (lambda path, _: path.mkdir(), "."),
    "pipe": (lambda path, _: os.mkfifo(path), "."),
    "device": (lambda path, _: path.symlink_to("/dev/zero"), "."),
    "empty": (lambda path, _: path.write_bytes(b""), "."),
    "text": (lambda path, _: path.write_text("repo_id,value\n"), "."),
    "magic": (lambda path, _: path.write_bytes(b"PAR1PAR1"), "."),
    "truncated": (_truncated, "."),
    "flipped": (_flipped, "."),
    "footer": (_footer, "."),
    "other columns": (lambda path, _: pd.DataFrame({"a": [1]}).to_parquet(path), "columns"),
    "lists": (lambda path, write: write(path, metric=[["a"]] * 3), "."),
    "structs": (lambda path, write: write(path, repo_id=[{"a": 1}] * 3), "."),
    "words": (lambda path, write: write(path, value="high"), "."),
    "dates": (lambda path, write: write(path, value=pd.Timestamp("2026-01-01")), "."),
}


@pytest.mark.parametrize(("make", "says"), FILES.values(), ids=FILES)
def test_a_file_that_is_no_table_is_said_in_one_sentence(
    make: Callable[[Path, Write], Any], says: str, tmp_path: Path, write_table: Write
) -> None:
    path = tmp_path / "results.parquet"
    make(path, write_table)
    with pytest.raises(ConfigError, match=says) as read:
        load([path])
    assert str(path) in str(read.value)
    assert "\n" not in str(read.value)


VALUES: dict[str, dict[str, Any]] = {
    "nan": {"value": float("nan"), "ci_low": float("nan"), "ci_high": float("nan")},
    "huge": {"value": 1e300, "ci_low": -1e300, "ci_high": 1e300},
    "infinite": {"value": float("inf")},
    "negative": {"value": -5.0, "ci_low": -6.0, "ci_high": -4.0},
    "turned interval": {"ci_low": 0.9, "ci_high": 0.1},
    "no epoch": {"epoch": pd.array([None] * 3, dtype="Int64")},
    "far epoch": {"epoch": [0, 1, 2**62]},
    "no slash": {"benchmark": "nothing"},
    "slashes": {"benchmark": "a/b/../../c"},
    "unknown kind": {"benchmark": "../../victim/x"},
    "odd sigma": {"benchmark": "noise/cifar10", "group": "sigma=x"},
    "versions": {"versions": "[" * 5000},
    "rows twice": {"revision": "epoch-000", "commit": "a"},
    "revision": {"revision": ["../../victim", "a\nb", "c" * 300]},
    "repo": {"repo_id": "../../victim"},
    "long repo": {"repo_id": "r" * 5000},
}


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param(value, id=key, marks=() if key in ("nan", "repo") else pytest.mark.slow)
        for key, value in VALUES.items()
    ],
)
def test_a_report_on_odd_values_is_whole_or_one_sentence(
    columns: dict[str, Any], clipdyn: Callable[..., Outcome], tmp_path: Path, write_table: Write
) -> None:
    write_table(tmp_path / "work" / "results.parquet", **columns)
    outcome = clipdyn("report", "results.parquet", "--output", "out")
    outcome.assert_decent()
    if outcome.code:
        assert outcome.sentence
    else:
        assert (tmp_path / "work" / "out" / "index.html").is_file()
