"""Where numbers come from: the package that measured them, the claims that judge them, when runs began.

Every table has these facts in its metadata, under `PROVENANCE_KEY`. A fact that was not recorded is empty.
"""

import json
import os
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field

from hf_clipdyn import __version__
from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.files import from_json

PROVENANCE_KEY = b"hf_clipdyn.provenance"
"""Key of a `Provenance` in the metadata of a Parquet file."""

_SECONDS = 10.0
DIRTY = ".dirty"
"""Ends a `Package` whose checkout had changes that were not committed."""

Time = Annotated[str, Field(pattern=r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00)?$")]
"""UTC, ISO 8601, to the second, so that texts sort by time; empty if it was not recorded."""

Package = Annotated[str, Field(pattern=r"^([\w.!-]{1,40}(\+[0-9a-f]{40,64}(\.dirty)?)?)?$")]
"""``version+commit`` of hf_clipdyn, perhaps with `DIRTY`; the version alone if it was installed from a wheel.

Empty if it was not recorded.
"""

_Sha256 = Annotated[str, Field(pattern="^([0-9a-f]{64})?$")]


@dataclass(frozen=True)
class RunOrigin:
    """Where the numbers of one run come from.

    Attributes:
        run: its repository; in `Results`, its name.
        packages: hf_clipdyn that measured it, in order of first use.
        began: when its first revision was saved: the start of a training run, or of an import.
        measured: start of the first measurement.
    """

    run: str
    packages: tuple[Package, ...] = ()
    began: Time = ""
    measured: Time = ""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where the numbers of a table come from.

    Attributes:
        package: hf_clipdyn that wrote the table.
        study: the study in the claims that judged it; empty if none did.
        claims: SHA-256 of what that study registers, see `hf_clipdyn.statistics.claims`.
        runs: each run.
    """

    package: Package = ""
    study: str = ""
    claims: _Sha256 = ""
    runs: tuple[RunOrigin, ...] = ()

    def dumps(self) -> str:
        """As JSON, for the metadata of a Parquet file."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def loads(cls, text: str | bytes, where: str) -> Self:
        """Read what `dumps` wrote.

        Raises:
            EvaluationError: it is something else.
        """
        return from_json(cls, text, f"The provenance of {where}", EvaluationError)


def merged(origins: Iterable[RunOrigin]) -> tuple[RunOrigin, ...]:
    """One origin for each run: all packages, and the earliest times. A time that one lacks may have been earlier.

    When a run began is the same in all of its tables, so it needs to be recorded in one of them only.
    """
    by_run: dict[str, RunOrigin] = {}
    for one in origins:
        known = by_run.setdefault(one.run, one)
        by_run[one.run] = replace(
            known,
            packages=tuple(dict.fromkeys((*(known.packages or ("",)), *(one.packages or ("",))))),
            began=min(filter(None, (known.began, one.began)), default=""),
            measured=min(known.measured, one.measured),
        )
    return tuple(by_run.values())


def utc(text: str | None) -> str:
    """A time from a file as `Time`; without a zone it is UTC. Empty if it is not a time."""
    try:
        time = datetime.fromisoformat(text or "")
        zoned = time if time.tzinfo else time.replace(tzinfo=UTC)
        return zoned.astimezone(UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError):
        return ""


def utc_of(seconds: float) -> str:
    """Seconds since 1970 as `Time`; empty if they are not a time after that."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds > 0 else ""
    except (ValueError, OverflowError, OSError):
        return ""


@cache
def package() -> str:
    """This hf_clipdyn, as `Package`; the commit is that of the checkout when it is first asked for."""
    root = Path(__file__).resolve().parents[2]
    commit = git(root, "rev-parse", "HEAD") if (root / ".git").exists() else None
    if not commit:
        return __version__
    changed = git(root, "status", "--porcelain", "--", "hf_clipdyn")
    return f"{__version__}+{commit}{'' if changed == '' else DIRTY}"


def git(folder: Path, *arguments: str) -> str | None:
    """What git says in a folder; None if it cannot."""
    # No hook and no monitor that the folder's own settings name is started, and nothing is fetched.
    command = ["git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", *arguments]
    quiet = {**os.environ, "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0"}
    try:
        return subprocess.check_output(
            command, cwd=folder, env=quiet, timeout=_SECONDS, encoding="utf-8", stderr=subprocess.DEVNULL
        ).strip()
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
