"""An attacked folder, a victim beside it, and the command line in a child process."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hostile.harness import Outcome, Run, Victim, Write, command
from result_rows import course

from hf_clipdyn.results.arrow import SCHEMA


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
    """`write_table(path, value=[…])`: a small table of results, with columns replaced."""

    def write(path: Path, **columns: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = course("zero_shot/cifar10", "top1", [0.1, 0.4, 0.6], 0.05, repo_id="me/run")
        pd.DataFrame(map(vars, rows), columns=SCHEMA.names).assign(**columns).to_parquet(path, index=False)
        return path

    return write
