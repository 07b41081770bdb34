"""An attacked folder, a victim beside it, and the command line in a child process."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hostile.harness import Outcome, Run, Victim, Write, command
from result_rows import row


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Victim]:
    """A folder beside the attacked one; the test fails if anything in it was changed."""
    files = Victim(tmp_path / "victim")
    yield files
    files.assert_untouched()


@pytest.fixture
def clipdyn(tmp_path: Path, victim: Victim) -> Run:
    """`clipdyn("verify", "me/run")` in the folder ``tmp_path / "work"``, under limits; beside a victim."""
    work, printed = tmp_path / "work", tmp_path / "printed"
    work.mkdir()
    printed.mkdir()

    def run(*argv: str | Path, **limits: float) -> Outcome:
        return command(*argv, cwd=work, printed=printed, **limits)

    return run


@pytest.fixture
def write_table() -> Write:
    """`write_table(path, value=[…])`: a small table of results, with columns replaced (None: left out)."""

    def write(path: Path, **columns: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        defaults: dict[str, Any] = asdict(row("zero_shot/cifar10", "top1", 0.4, repo_id="me/run"))
        rows = defaults | {
            "revision": [f"epoch-{epoch:03d}" for epoch in range(3)],
            "commit": [str(epoch) * 40 for epoch in range(3)],
            "epoch": [0, 1, 2],
            "step": [0, 10, 20],
            "samples_seen": [0, 640, 1280],
            "value": [0.1, 0.4, 0.6],
            "ci_low": [0.05, 0.35, 0.55],
            "ci_high": [0.15, 0.45, 0.65],
        }
        given = {
            name: value
            for name, value in (rows | columns).items()
            if name not in columns or value is not None
        }
        pd.DataFrame(given).to_parquet(path, index=False)
        return path

    return write
