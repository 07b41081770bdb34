"""Where the numbers come from, in words: the package that measured them, start times, claims and their registration."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from hf_clipdyn.errors import counted, printable
from hf_clipdyn.report.registration import registration
from hf_clipdyn.results.provenance import DIRTY, RunOrigin
from hf_clipdyn.results.read import Results
from hf_clipdyn.statistics.evidence import Evidence
from hf_clipdyn.statistics.verdicts import provenance

__all__ = ["origin_rows", "origin_words", "registration_words"]

_UNKNOWN = "not recorded"


def origin_rows(
    results: Results, evidence: Evidence | None, claims_file: Path | None = None
) -> list[tuple[str, str]]:
    """Each fact and its value; what the tables did not record is said.

    Args:
        results: of the tables.
        evidence: from these tables; None if they hold no benchmark of a claim.
        claims_file: of a user; None for the package's.
    """
    now = provenance(results, evidence)
    packages = dict.fromkeys(name for one in now.runs for name in one.packages)
    rows = [
        ("measured with hf_clipdyn", "; ".join(map(_package_words, packages or [""]))),
        ("start of the runs (their first revision)", _span([one.began for one in now.runs])),
        ("start of the measurements", _span([one.measured for one in now.runs])),
        ("written with hf_clipdyn", _package_words(now.package)),
    ]
    if evidence is not None:
        rows += [
            ("claims", f"study {now.study}, SHA-256 {now.claims}"),
            ("registration", registration_words(results, evidence, claims_file)),
        ]
    return rows


def origin_words(results: Results, evidence: Evidence | None, claims_file: Path | None = None) -> str:
    """`origin_rows` for the terminal."""
    return "\n".join(
        printable(f"{fact}: {value}") for fact, value in origin_rows(results, evidence, claims_file)
    )


def registration_words(results: Results, evidence: Evidence, claims_file: Path | None = None) -> str:
    """The commit that registered the claims, and whether the runs that count began after it."""
    source = evidence.claims.source
    registered = registration(evidence.claims, evidence.study, claims_file)
    if registered is None:
        return f"Registered in {source}; the commit is unknown."
    words = f"Registered in {source}, commit {registered.commit[:12]} of {_time_words(registered.time)}."
    starts = [min(filter(None, (one.began, one.measured)), default="") for one in _counted(results, evidence)]
    early = sum(bool(one) and one < registered.time for one in starts)
    if early:
        words += f" {early} of {counted(len(starts), 'run')} began before this commit."
    unknown = sum(not one.began for one in _counted(results, evidence))
    if unknown:
        missing = "" if unknown == len(starts) else f" for {unknown} of {counted(len(starts), 'run')}"
        words += f" Start of the runs: {_UNKNOWN}{missing}."
    return words


def _counted(results: Results, evidence: Evidence) -> Sequence[RunOrigin]:
    """The runs that the verdicts count; none if these can give no verdict."""
    if evidence.why_not:
        return ()
    counting = {run for arm in ("", *evidence.arms) for run in evidence.runs(arm)}
    known = {one.run: one for one in results.origins}
    return [known.get(run, RunOrigin(run=run)) for run in sorted(counting)]


def _span(times: Iterable[str]) -> str:
    """The earliest and the latest time."""
    listed = list(times)
    known = sorted(filter(None, listed))
    if not known:
        return _UNKNOWN
    words = " to ".join(dict.fromkeys(map(_time_words, (known[0], known[-1]))))
    missing = len(listed) - len(known)
    return f"{words}; {_UNKNOWN} for {missing} of {counted(len(listed), 'run')}" if missing else words


def _time_words(time: str) -> str:
    return time.replace("T", " ").replace("+00:00", " UTC")


def _package_words(package: str) -> str:
    version, _, commit = package.partition("+")
    if not version:
        return f"commit {_UNKNOWN}"  # the column `versions` may have the version
    if not commit:
        return f"{version}, installed, no commit"
    changed = ", with changes that are not in the commit" if commit.endswith(DIRTY) else ""
    return f"{version}, commit {commit.removesuffix(DIRTY)[:12]}{changed}"
