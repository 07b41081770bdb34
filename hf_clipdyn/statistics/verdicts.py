"""Verdicts: judged from tables of results, as a frame with a row for each part of each claim, and in the terminal."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import groupby
from pathlib import Path
from typing import Any, get_type_hints

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hf_clipdyn.errors import EvaluationError, counted, printable
from hf_clipdyn.files import check_output, write_atomically
from hf_clipdyn.results.parquet import schema_of
from hf_clipdyn.results.provenance import PROVENANCE_KEY, Provenance, package
from hf_clipdyn.results.read import read_results
from hf_clipdyn.statistics.arms import CONFIDENCE, ArmEffect
from hf_clipdyn.statistics.claims import read_claims
from hf_clipdyn.statistics.contrasts import Estimate
from hf_clipdyn.statistics.gates import Gate
from hf_clipdyn.statistics.judging import (
    Part,
    Verdict,
    Word,
    judge,
    minimum_detectable_effect,
    word_of,
)

__all__ = [
    "SCHEMA",
    "Gate",
    "Part",
    "Verdict",
    "VerdictRow",
    "Word",
    "check_verdicts",
    "deviation_lines",
    "judge",
    "minimum_detectable_effect",
    "render",
    "verdict_columns",
    "verdict_table",
    "verdicts",
    "word_of",
    "write_verdicts",
]


def _column(meaning: str, default: Any) -> Any:
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, kw_only=True)
class VerdictRow:
    """One part of a claim; a claim without parts has one row."""

    claim: int = field(metadata={"meaning": "Number of the claim."})
    title: str = field(metadata={"meaning": "The claim in words."})
    study: str = field(metadata={"meaning": "Study whose tests were applied, from the claims' file."})
    verdict: str = field(metadata={"meaning": "Verdict on the whole claim."})
    cause: str = _column(
        "Reason for the verdict, if a gate failed, the claim is not testable, or a part decides against it.",
        "",
    )
    evidence: bool = _column("False for a positive control, which holds by construction.", True)
    gate: bool | None = _column(
        "Whether all gates and control arms passed; null if one was not measured, or if there are none.", None
    )
    gates: str = _column("JSON list of the gates and control arms: title, passed, words.", "[]")
    part: int = _column("Number of the part, from 1; 0 for a claim without parts.", 0)
    part_title: str = _column("The part in words.", "")
    part_verdict: str = _column("Verdict on the part.", "")
    scale: str = _column("The only scale of the part; empty for all scales together.", "")
    value: float = _column("The contrast, positive in favour of the claim; NaN if undefined.", math.nan)
    ci_low: float = _column("Lower end of the contrast's interval.", math.nan)
    ci_high: float = _column("Upper end of the contrast's interval.", math.nan)
    confidence_level: float = _column(
        "Confidence level of the interval: 1 - α/k for the k claims that the study tests.", math.nan
    )
    standard_error: float = _column("Standard error of the contrast.", math.nan)
    degrees_of_freedom: float = _column("Degrees of freedom of Student's t.", math.nan)
    smallest_effect: float = _column("δ, the smallest effect of interest.", math.nan)
    sign: int | None = _column(
        "1 if the interval lies above 0 (in favour of the claim), -1 if it lies below 0, 0 if it includes 0; null "
        "without an interval.",
        None,
    )
    excludes_delta: str = _column(
        "On which side the interval excludes effects of δ or more: `favourable` (upper end below δ), `unfavourable` "
        "(lower end above -δ), `both` or `neither`; empty without an interval.",
        "",
    )
    minimum_detectable_effect: float = _column(
        "Smallest true effect whose interval lies above 0 with a power of about 80 %. With few degrees of freedom the "
        "power is lower: in 99 % intervals 70 % at 2, 75 % at 4, 79 % at 12.",
        math.nan,
    )
    n_seeds: int = _column("Number of runs, or of pairs of runs, that count.", 0)
    scales: tuple[str, ...] = _column("Scales of these runs.", ())
    n: int = _column("Items.", 0)
    n_clusters: int = _column("Number of clusters of items.", 0)
    part_cause: str = _column("Why the value or its interval is undefined.", "")
    notes: str = _column("JSON list of cautions that a reader must know beside the verdict.", "[]")
    deviations: str = _column("JSON list of deviations from the registered plan.", "[]")


_ARROW: dict[Any, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    int | None: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    bool | None: pa.bool_(),
    tuple[str, ...]: pa.list_(pa.string()),
}
SCHEMA = pa.schema([(one.name, _ARROW[get_type_hints(VerdictRow)[one.name]]) for one in fields(VerdictRow)])
"""Arrow schema of the table of verdicts."""


def verdict_columns() -> list[tuple[str, str, str]]:
    """Name, Arrow type and meaning of every column, for the docs."""
    return [
        (one.name, str(SCHEMA.field(one.name).type), one.metadata["meaning"]) for one in fields(VerdictRow)
    ]


def verdicts(
    results: str | Path | Sequence[str | Path],
    claims: str | Path | None = None,
    *,
    study: str | None = None,
    show_progress: bool = True,
) -> pd.DataFrame:
    """The verdict on each registered claim, from tables of results.

    Args:
        results: tables of `clipdyn evaluate`, or folders with a `results.parquet`, of all seeds, scales and arms. The
            trials beside the tables are read, since the intervals also contain the variance over items.
        claims: file of claims; None for the package's own.
        study: name of a study in that file; None for the study with the most benchmarks in the tables.
        show_progress: draw a progress bar if the item errors take longer than two seconds.

    Returns:
        A row for each part of each claim, with the columns of `VerdictRow`. ``verdict`` is one of holds; right
        direction, size open; negligible; contradicted; undecided; gate failed; not testable here.

    Raises:
        ConfigError: a file cannot be read, or the tables contain no benchmark of a claim.
        UnknownNameError: there is no study of that name.

    Examples:
        >>> from hf_clipdyn import verdicts
        >>> table = verdicts("runs/demo/results.parquet", show_progress=False)
        >>> sorted(table["verdict"].unique())
        ['not testable here']
    """
    paths = [results] if isinstance(results, str | Path) else list(results)
    read = read_results([Path(one) for one in paths])
    return verdict_table(judge(read, read_claims(claims), study=study, show_progress=show_progress))


def verdict_table(judged: Iterable[Verdict]) -> pd.DataFrame:
    """Verdicts as a frame with the columns of `VerdictRow`."""
    rows = [asdict(row) for one in judged for row in _rows(one)]
    frame: pd.DataFrame = pa.Table.from_pylist(rows, schema=SCHEMA).to_pandas()
    return frame


def check_verdicts(output: Path, reads: Iterable[str | Path | None] = ()) -> None:
    """Raise ConfigError if a table of verdicts at ``output`` would replace another file, or one that is read."""
    columns = {"claim", "verdict", "evidence", "part_verdict"}
    check_output(
        output, reads, what="a table of verdicts", is_own=lambda path: columns <= set(schema_of(path).names)
    )


def write_verdicts(table: pd.DataFrame, output: Path, provenance: Provenance | None = None) -> None:
    """Write a frame of `verdict_table` as Parquet.

    Args:
        table: the frame.
        output: the file.
        provenance: of the verdicts, for the metadata.

    Raises:
        EvaluationError: the file cannot be written.
    """
    facts = provenance or Provenance(package=package())
    content = pa.Table.from_pandas(table, schema=SCHEMA, preserve_index=False)
    content = content.replace_schema_metadata({PROVENANCE_KEY: facts.dumps()})
    try:
        write_atomically(output, lambda staging: pq.write_table(content, staging))
    except OSError as error:
        raise EvaluationError(
            f"{output} cannot be written ({error.strerror or error}): name another file with --output."
        ) from error


def _rows(one: Verdict) -> list[VerdictRow]:
    whole = VerdictRow(
        claim=one.claim.number,
        title=one.claim.title,
        study=one.study,
        verdict=one.verdict,
        cause=one.cause,
        evidence=one.evidence,
        gate=_all_passed(one.gates),
        gates=json.dumps([asdict(gate) for gate in one.gates], ensure_ascii=False),
        notes=json.dumps(one.notes, ensure_ascii=False),
        deviations=json.dumps(one.deviations, ensure_ascii=False),
    )
    return [_with_part(whole, number, part) for number, part in enumerate(one.parts, 1)] or [whole]


def _with_part(whole: VerdictRow, number: int, part: Part) -> VerdictRow:
    found = part.estimate
    same = (
        *("value", "ci_low", "ci_high", "confidence_level", "standard_error", "degrees_of_freedom"),
        *("n_seeds", "scales", "n", "n_clusters"),
    )
    own = {name: getattr(found, name) for name in same} | {
        "part": number,
        "part_title": part.title,
        "part_verdict": part.verdict,
        "scale": part.scale,
        "smallest_effect": part.contrast.smallest_effect,
        "sign": part.sign,
        "excludes_delta": part.excludes_delta,
        "minimum_detectable_effect": part.minimum_detectable_effect,
        "part_cause": found.cause,
    }
    return VerdictRow(**(vars(whole) | own))


def _all_passed(gates: Sequence[Gate]) -> bool | None:
    passed = [one.passed for one in gates]
    if False in passed:
        return False
    return True if passed and None not in passed else None


_HEAD = ("claim, verdict", "value and interval", "δ", "detectable", "seeds", "scales")
_GATE = {True: "; gates passed", False: "", None: "; a gate or control was not measured"}


def render(judged: Sequence[Verdict], effects: Sequence[ArmEffect] = ()) -> str:
    """Verdicts as a table for the terminal; causes, gates that did not pass, notes; deviations; the effects of arms.

    ``detectable`` is the minimum detectable effect.
    """
    parts = {id(part): _cells(part, one.words) for one in judged for part in one.parts}
    widths = [max(map(len, column)) for column in zip(_HEAD, *parts.values(), strict=True)]
    lines = [_line(_HEAD, widths)]
    for one in judged:
        word = one.words if one.evidence else f"{one.words} (a positive control, not evidence)"
        gates = _GATE[_all_passed(one.gates)] if one.gates else ""
        lines.append(f"{one.claim.number} {one.claim.title}: {word}{gates}")
        lines += [_line(parts[id(part)], widths) for part in one.parts]
    deviations = deviation_lines(judged)
    said = ["", "Deviations from the registered plan", *deviations] if deviations else []
    return "\n".join(printable(line) for line in (*lines, "", *_remarks(judged), *said, *_arm_lines(effects)))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _cells(part: Part, of_claim: str) -> tuple[str, ...]:
    found, effect = part.estimate, part.minimum_detectable_effect
    return (
        f"    {part.title}" + (f": {part.words}" if part.words != of_claim else ""),
        _value(found),
        f"{part.contrast.smallest_effect:.3g}",
        "-" if math.isnan(effect) else f"{effect:.3f}",
        str(found.n_seeds),
        str(len(found.scales)),
    )


def _value(found: Estimate) -> str:
    value = "not defined" if math.isnan(found.value) else f"{found.value:+.3f}"
    return value if math.isnan(found.ci_low) else f"{value} [{found.ci_low:+.3f}, {found.ci_high:+.3f}]"


def _arm_lines(effects: Sequence[ArmEffect]) -> list[str]:
    """A heading for each endpoint and window, and under it a line for each arm."""
    if not effects:
        return []
    lines = [
        "",
        f"Arms minus the main arm, by paired seeds: described, not tested ({100 * CONFIDENCE:g} % intervals)",
    ]
    width = max(len(one.arm) for one in effects)
    for (endpoint, window), members in groupby(effects, lambda one: (one.endpoint, one.window)):
        lines.append(f"{endpoint.benchmark} {endpoint.metric}, {window}")
        lines += [
            f"    {one.arm.ljust(width)}  "
            + (_value(one.effect) if math.isfinite(one.effect.value) else f"not defined: {one.effect.cause}")
            + f"  ({counted(one.effect.n_seeds, 'pair')}; main {one.main:.3f})"
            for one in members
        ]
    return lines


def _remarks(judged: Sequence[Verdict]) -> list[str]:
    """By the number of the claim: causes, gates that did not pass, notes; the same words once for all claims."""
    remarks: list[tuple[Verdict, str]] = []
    for one in judged:
        gates = [f"{gate.title}: {gate.words}" for gate in one.gates if not gate.passed]
        causes = [part.estimate.cause for part in one.parts]
        remarks += [(one, words) for words in [one.cause, *gates, *causes, *one.notes] if words]
    return [f"{', '.join(numbers)}: {words}" for words, numbers in _by_words(remarks).items()]


def deviation_lines(judged: Sequence[Verdict]) -> list[str]:
    """The deviations from the registered plan, each once with the numbers of its claims: ``Claims 2, 5: …``"""
    found = _by_words([(one, words) for one in judged for words in one.deviations])
    return [
        f"{'Claim' if len(of) == 1 else 'Claims'} {', '.join(of)}: {words}" for words, of in found.items()
    ]


def _by_words(said: Iterable[tuple[Verdict, str]]) -> dict[str, list[str]]:
    """The numbers of the claims that the same words are about."""
    numbers: dict[str, list[str]] = {}
    for number, words in dict.fromkeys((one.claim.number, words) for one, words in said):
        numbers.setdefault(words, []).append(str(number))
    return numbers
