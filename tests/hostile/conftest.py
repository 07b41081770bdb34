"""An attacked folder, a victim beside it, and the command line in a child process."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hostile.harness import Outcome, Victim, command


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Victim]:
    """A folder beside the attacked one; the test fails if anything in it was changed."""
    files = Victim(tmp_path / "victim")
    yield files
    files.assert_untouched()


@pytest.fixture
def clipdyn(tmp_path: Path, victim: Victim) -> Callable[..., Outcome]:
    """`clipdyn("verify", "me/run")` in the folder ``tmp_path / "work"``, under limits; beside a victim."""
    work, printed = tmp_path / "work", tmp_path / "printed"
    work.mkdir()
    printed.mkdir()

    def run(*argv: str | Path, **limits: float) -> Outcome:
        return command(*argv, cwd=work, printed=printed, **limits)

    return run
