"""Verdicts as a frame with a row for each part of each claim, as a Parquet file, and as text for the terminal."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hf_clipdyn.errors import counted, printable
from hf_clipdyn.files import check_output, write_atomically
from hf_clipdyn.results.arrow import arrow_schema, schema_of
from hf_clipdyn.results.provenance import PROVENANCE_KEY, Provenance, RunOrigin, package
from hf_clipdyn.results.row import column
from hf_clipdyn.results.table import load
from hf_clipdyn.statistics.claims import Claims, read_claims, registered_hash
from hf_clipdyn.statistics.contrasts import Error, Estimate
from hf_clipdyn.statistics.errors import Errors
from hf_clipdyn.statistics.judge import GateResult, Judge, JudgedPart, Verdict


@dataclass(frozen=True, kw_only=True)
class VerdictRow:
    """One part of a claim; a claim without parts has one row."""

    claim: str = column("Number of the claim.")
    title: str = column("The claim in words.")
    verdict: str = column("Verdict on the whole claim.")
    cause: str = column(
        "Reason for the verdict, if a gate failed, the claim is not testable, or a part decides against it.",
        default="",
    )
    evidence: bool = column("False for what holds by construction, such as a positive control.", default=True)
    gate: bool | None = column(
        "Whether all gates passed; null if one was not measured, or if there are none.", default=None
    )
    gates: str = column("JSON list of the gates: title, passed, words.", default="[]")
    part: int = column("Number of the part, from 1; 0 for a claim without parts.", default=0)
    part_title: str = column("The part in words.", default="")
    part_verdict: str = column("Verdict on the part.", default="")
    value: float = column(
        "The contrast, positive in favour of the claim; NaN if undefined.", default=math.nan
    )
    ci_low: float = column("Lower end of the contrast's interval.", default=math.nan)
    ci_high: float = column("Upper end of the contrast's interval.", default=math.nan)
    confidence_level: float = column(
        "Confidence level of the interval: 1 - α/k for the k testable claims of its family.", default=math.nan
    )
    standard_error: float = column("Standard error of the contrast.", default=math.nan)
    degrees_of_freedom: float = column(
        "Degrees of freedom of the seeds' Student's t; with one seed, of its items.", default=math.nan
    )
    item_error: float = column(
        "Part of the standard error that comes from the items which all seeds share, if it has a quantile of its own.",
        default=math.nan,
    )
    item_degrees_of_freedom: float = column("Degrees of freedom of that quantile.", default=math.nan)
    smallest_effect: float = column("δ, the smallest effect of interest.", default=math.nan)
    sign: int | None = column(
        "1 if the interval lies above 0 (in favour of the claim), -1 if it lies below 0, 0 if it includes 0; null "
        "without an interval.",
        default=None,
    )
    minimum_detectable_effect: float = column(
        "Smallest true effect whose interval lies above 0 with a power of 80 %.", default=math.nan
    )
    n_seeds: int = column("Number of runs, or of pairs of runs, that count.", default=0)
    scales: tuple[str, ...] = column("Scales of these runs.", default=())
    n: int = column("Items.", default=0)
    n_clusters: int = column("Number of clusters of items.", default=0)
    part_cause: str = column("Why the value or its interval is undefined.", default="")
    notes: str = column("JSON list of what a reader must know in addition to the verdict.", default="[]")


_OF_ESTIMATE = (
    "value",
    "ci_low",
    "ci_high",
    "standard_error",
    "sign",
    "n_seeds",
    "scales",
    "n",
    "n_clusters",
)
SCHEMA = arrow_schema(VerdictRow)
"""Arrow schema of the table of verdicts."""


def verdicts(
    results: str | Path | Sequence[str | Path], claims: str | Path, *, show_progress: bool = True
) -> pd.DataFrame:
    """The verdict on each claim of a file, from tables of results.

    Args:
        results: tables of `clipdyn evaluate`, or folders with a `results.parquet`, of all seeds, scales and arms. What
            the items contribute is read from the files next to them, since the intervals also contain their variance.
        claims: file of claims.
        show_progress: draw a progress bar if the item errors take longer than two seconds.

    Returns:
        A row for each part of each claim, with the columns of `VerdictRow`. ``verdict`` is one of holds; right
        direction, size open; negligible; contradicted; undecided; gate failed; not testable here.

    Raises:
        ConfigError: a file cannot be read.

    Examples:
        >>> from hf_clipdyn import verdicts
        >>> from hf_clipdyn.statistics.claims import EMBEDDED
        >>> table = verdicts("runs/demo/results.parquet", EMBEDDED, show_progress=False)
        >>> sorted(table["verdict"].unique())
        ['not testable here']
    """
    asked = read_claims(claims)
    table = load(results)
    return verdict_table(Judge(table, asked, Errors(table.files, show_progress=show_progress)).verdicts())


def verdict_table(judged: Iterable[Verdict]) -> pd.DataFrame:
    """Verdicts as a frame with the columns of `VerdictRow`."""
    rows = [asdict(row) for verdict in judged for row in _rows(verdict)]
    frame: pd.DataFrame = pa.Table.from_pylist(rows, schema=SCHEMA).to_pandas()
    return frame


def check_verdicts(output: Path) -> None:
    """Raise ConfigError if a table of verdicts at ``output`` would replace another file."""
    columns = {"claim", "verdict", "evidence", "part_verdict"}
    check_output(output, "a table of verdicts", lambda path: columns <= set(schema_of(path).names))


def write_verdicts(table: pd.DataFrame, output: Path, provenance: Provenance | None = None) -> None:
    """Write a frame of `verdict_table` as Parquet.

    Args:
        table: the frame.
        output: the file.
        provenance: of the verdicts, for the metadata.

    Raises:
        OSError: the file cannot be written.
    """
    facts = provenance or Provenance(package=package())
    content = pa.Table.from_pandas(table, schema=SCHEMA, preserve_index=False)
    content = content.replace_schema_metadata({PROVENANCE_KEY: facts.dumps()})
    write_atomically(output, lambda staging: pq.write_table(content, staging))


def provenance(origins: tuple[RunOrigin, ...], claims: Claims | None) -> Provenance:
    """Of a table that is written now from these runs, and judged by these claims."""
    facts = Provenance(package=package(), runs=origins)
    return facts if claims is None else replace(facts, study=claims.title, claims=registered_hash(claims))


def _rows(verdict: Verdict) -> list[VerdictRow]:
    whole = VerdictRow(
        claim=verdict.claim.number,
        title=verdict.claim.title,
        verdict=verdict.word,
        cause=verdict.cause,
        evidence=verdict.claim.evidence,
        gate=all_passed(verdict.gates),
        gates=json.dumps(list(map(asdict, verdict.gates)), ensure_ascii=False),
        notes=json.dumps(verdict.notes, ensure_ascii=False),
    )
    return [_with_part(whole, number, part) for number, part in enumerate(verdict.parts, 1)] or [whole]


def _with_part(whole: VerdictRow, number: int, part: JudgedPart) -> VerdictRow:
    estimate, nothing = part.estimate, Error(math.nan, math.nan)
    seeds, items = (*estimate.errors, nothing, nothing)[:2]
    return replace(
        whole,
        part=number,
        part_title=part.part.title,
        part_verdict=part.word,
        confidence_level=estimate.confidence,
        degrees_of_freedom=float(seeds.degrees_of_freedom),
        item_error=math.sqrt(items.variance),
        item_degrees_of_freedom=float(items.degrees_of_freedom),
        smallest_effect=part.part.smallest_effect,
        minimum_detectable_effect=estimate.detectable,
        part_cause=estimate.cause,
        **{name: getattr(estimate, name) for name in _OF_ESTIMATE},
    )


def all_passed(gates: Sequence[GateResult]) -> bool | None:
    """Whether all gates passed; None if one was not measured, or if there are none."""
    passed = [gate.passed for gate in gates]
    return False if False in passed else True if passed and None not in passed else None


def render(judged: Sequence[Verdict]) -> str:
    """Verdicts for the terminal, with contrasts, gates and notes."""
    return "\n".join(printable(line) for verdict in judged for line in _claim_lines(verdict))


def _claim_lines(verdict: Verdict) -> Iterator[str]:
    word = verdict.word if verdict.claim.evidence else f"{verdict.word} (by construction, not evidence)"
    cause = f" ({verdict.cause})" if verdict.cause else ""
    yield f"{verdict.claim.number} {verdict.claim.title}: {word}{cause}"
    for part in verdict.parts:
        yield f"    {part.part.title}: {_part_words(part)}"
    yield from (f"    {gate.title}: {gate.words}" for gate in verdict.gates)
    yield from (f"    {note}" for note in verdict.notes)


def _part_words(part: JudgedPart) -> str:
    """Word, value, interval, δ, what would have been found, and the runs."""
    estimate, scales = part.estimate, ", ".join(filter(None, part.estimate.scales)) or "no scale"
    if math.isnan(estimate.value):
        return f"not defined ({estimate.cause})"
    power = f"{estimate.detectable:.3f} would be found with a power of 80 %; "
    return (
        f"{part.words}, {_value(estimate)} at {100 * estimate.confidence:.4g} %; δ = {part.part.smallest_effect:.3g}; "
        f"{'' if math.isnan(estimate.detectable) else power}{counted(estimate.n_seeds, 'run')} of {scales}"
    )


def _value(estimate: Estimate) -> str:
    interval = "" if math.isnan(estimate.ci_low) else f" [{estimate.ci_low:+.3f}, {estimate.ci_high:+.3f}]"
    return f"{estimate.value:+.3f}{interval}"
