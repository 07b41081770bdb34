"""Where the numbers come from, in words: the package that measured them, start times, claims and their registration."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hf_clipdyn.errors import counted, printable
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.words import joined, limits
from hf_clipdyn.results.provenance import DIRTY, RunOrigin, git, utc
from hf_clipdyn.statistics.judge import Judge
from hf_clipdyn.statistics.verdicts import provenance

_UNKNOWN = "not recorded"


def origin_rows(study: Study) -> list[tuple[str, str]]:
    """Each fact and its value; what the tables did not record is said."""
    now = provenance(study.results.origins, study.claims)
    packages = dict.fromkeys(name for origin in now.runs for name in origin.packages)
    rows = [
        ("measured with hf_clipdyn", "; ".join(map(_package_words, packages or [""]))),
        ("start of the runs (their first revision)", _span([origin.began for origin in now.runs])),
        ("start of the measurements", _span([origin.measured for origin in now.runs])),
        ("written with hf_clipdyn", _package_words(now.package)),
    ]
    if study.judge and study.claims_file:
        rows.append(("claims", f"{now.study}, SHA-256 {now.claims}"))
        rows.append(("registration", _registration_words(study, study.judge, study.claims_file)))
    return rows


def origin_words(study: Study) -> str:
    """`origin_rows` for the terminal."""
    return "\n".join(printable(f"{fact}: {value}") for fact, value in origin_rows(study))


def methods(study: Study) -> str:
    """A paragraph for the methods of a paper: what was measured on what, with what, and what the intervals mean."""
    cells = study.cells
    packages = dict.fromkeys(name for origin in study.results.origins for name in origin.packages if name)
    with_what = f" ({'; '.join(map(_package_words, packages))})" if packages else ""
    revisions = counted(len(cells[["run", "revision"]].drop_duplicates()), "revision")
    runs = study.runs[0] if len(study.runs) == 1 else counted(len(study.runs), "run")
    planner = study.planner
    counts: dict[str, dict[str, float]] = defaultdict(dict)  # by data set and title of the kind
    for course in (course for course in planner.courses if course.role == "value"):
        largest = counts[planner.place_words(course.kind, course.dataset)]
        title = planner.words.kind(course.kind).title
        largest[title] = max(largest.get(title, 0), *planner.column(course, "n").tolist())
    measured = "; ".join(
        f"on {dataset}, {'; '.join(f'{title.lower()} (n = {n:,.0f})' for title, n in largest.items())}"
        for dataset, largest in counts.items()
    ).replace(" (n = 0)", "")
    precision = joined(sorted(set(cells["dtype"].astype(str)) - {""}))
    return (
        f"We measured {revisions} of {runs} with hf-clipdyn{with_what} {measured}. "
        f"{f'The models ran in {precision}. ' if precision else ''}{limits(study)}"
    )


@dataclass(frozen=True)
class Registration:
    """The commit that registered a file of claims, and its time (UTC, ISO 8601)."""

    commit: str
    time: str


def registration(claims_file: Path) -> Registration | None:
    """The last commit that changed a file of claims.

    None if the file is in no git repository, was changed since, or its history is not complete.
    """
    path, place = claims_file, ("--", claims_file.name)
    unchanged = git(path.parent, "--literal-pathspecs", "status", "--porcelain", *place) == ""
    if not unchanged or git(path.parent, "rev-parse", "--is-shallow-repository") != "false":
        return None
    said = git(path.parent, "--literal-pathspecs", "log", "-1", "--format=%H %cI", *place)
    commit, _, time = (said or "").partition(" ")
    return Registration(commit, utc(time)) if commit else None


def _registration_words(study: Study, judge: Judge, claims_file: Path) -> str:
    """The commit that registered the claims, and whether the runs that count began after it."""
    source = claims_file.name  # its folder is of this machine, and pages are passed on
    if (registered := registration(claims_file)) is None:
        return f"Registered in {source}; the commit is unknown."
    words = [f"Registered in {source}, commit {registered.commit[:12]} of {_time_words(registered.time)}."]
    known = {origin.run: origin for origin in study.results.origins}
    runs = [] if judge.why_not else sorted(judge.counted.index)
    counting = [known.get(run, RunOrigin(run=run)) for run in runs]
    starts = [min(filter(None, (run.began, run.measured)), default="") for run in counting]
    n_runs = counted(len(counting), "run")
    if early := sum(bool(start) and start < registered.time for start in starts):
        words.append(f"{early} of {n_runs} began before this commit.")
    if unknown := sum(not run.began for run in counting):
        part = "" if unknown == len(counting) else f" for {unknown} of {n_runs}"
        words.append(f"Start of the runs: {_UNKNOWN}{part}.")
    return " ".join(words)


def _span(times: Iterable[str]) -> str:
    """The earliest and the latest time."""
    listed = list(times)
    if not (known := sorted(filter(None, listed))):
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
