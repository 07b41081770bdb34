"""When the claims were registered: the commit that last changed their file."""

import subprocess
from importlib.resources import files
from pathlib import Path

__all__ = ["registered_commit"]

_SECONDS = 10


def registered_commit(claims_file: Path | None) -> str:
    """The commit that registered a file of claims; empty if it is in no git repository, or was changed since.

    Args:
        claims_file: of a user; None for the package's own, which is in a repository in a checkout only.
    """
    path = claims_file or Path(str(files("hf_clipdyn.statistics").joinpath("claims.yaml")))
    commit = _git(path, "log", "-1", "--format=%H", "--", path.name)
    changed = _git(path, "status", "--porcelain", "--", path.name)
    return "" if commit is None or changed is None or changed else commit


def _git(path: Path, *arguments: str) -> str | None:
    """What git says in the folder of a file; None if it cannot."""
    # No hook and no monitor that the folder's own settings name is started.
    command = ["git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", *arguments]
    try:
        done = subprocess.run(
            command, cwd=path.resolve().parent, capture_output=True, text=True, timeout=_SECONDS, check=True
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
