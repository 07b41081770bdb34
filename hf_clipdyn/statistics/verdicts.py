"""Verdicts: judged from tables of results, as a frame with a row for each part of each claim, and in the terminal."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hf_clipdyn.errors import counted, printable
from hf_clipdyn.files import check_output, write_atomically
from hf_clipdyn.results.arrow import arrow_schema, schema_of
from hf_clipdyn.results.provenance import PROVENANCE_KEY, Provenance, package
from hf_clipdyn.results.row import column
from hf_clipdyn.results.table import Table, load
from hf_clipdyn.statistics.claims import read_claims, registered_hash
from hf_clipdyn.statistics.contrasts import Estimate
from hf_clipdyn.statistics.evidence import CONFIDENCE, ArmEffect, Evidence, read_evidence
from hf_clipdyn.statistics.judging import (
    Difference,
    Gate,
    Part,
    Verdict,
    judge,
    minimum_detectable_effect,
    word_of,
)

__all__ = [
    "SCHEMA",
    "VerdictRow",
    "check_verdicts",
    "deviation_lines",
    "judge",
    "minimum_detectable_effect",
    "provenance",
    "render",
    "verdict_table",
    "verdicts",
    "word_of",
    "write_verdicts",
]


@dataclass(frozen=True, kw_only=True)
class VerdictRow:
    """One part of a claim; a claim without parts has one row."""

    claim: int = column("Number of the claim.")
    title: str = column("The claim in words.")
    study: str = column("Study whose tests were applied, from the claims' file.")
    verdict: str = column(
        "Verdict on the whole claim; with two readouts, of which one decides nothing, also which one does."
    )
    cause: str = column(
        "Reason for the verdict, if a gate failed, the claim is not testable, or a part decides against it.",
        default="",
    )
    evidence: bool = column("False for a positive control, which holds by construction.", default=True)
    gate: bool | None = column(
        "Whether all gates and control arms passed; null if one was not measured, or if there are none.",
        default=None,
    )
    gates: str = column(
        "JSON list of the gates and control arms: title, passed, words; readout, if it concerns one.",
        default="[]",
    )
    part: int = column(
        "Number of the part, from 1; 0 for a claim without parts. Differences of readouts and sensitivities go on.",
        default=0,
    )
    role: str = column(
        "`contrast`: a registered part. `difference`: the same part by the first readout minus by the second. "
        "`sensitivity`: a part computed in another registered way. Only a `contrast` decides.",
        default="contrast",
    )
    part_title: str = column("The part in words.", default="")
    part_verdict: str = column("Verdict on the part; empty for a difference of readouts.", default="")
    readout: str = column("Readout that the part belongs to; empty if the claim has one.", default="")
    readout_verdict: str = column("Verdict on all parts of this readout.", default="")
    scale: str = column("The only scale of the part; empty for all scales together.", default="")
    value: float = column(
        "The contrast, positive in favour of the claim; NaN if undefined.", default=math.nan
    )
    ci_low: float = column("Lower end of the contrast's interval.", default=math.nan)
    ci_high: float = column("Upper end of the contrast's interval.", default=math.nan)
    confidence_level: float = column(
        "Confidence level of the interval: 1 - α/k for the k claims of its family that the study tests.",
        default=math.nan,
    )
    standard_error: float = column("Standard error of the contrast.", default=math.nan)
    degrees_of_freedom: float = column("Degrees of freedom of Student's t, of the seeds.", default=math.nan)
    item_error: float = column(
        "Part of the standard error that comes from the items, if it has a quantile of its own.",
        default=math.nan,
    )
    item_degrees_of_freedom: float = column("Degrees of freedom of that quantile.", default=math.nan)
    smallest_effect: float = column("δ, the smallest effect of interest.", default=math.nan)
    sign: int | None = column(
        "1 if the interval lies above 0 (in favour of the claim), -1 if it lies below 0, 0 if it includes 0; null "
        "without an interval.",
        default=None,
    )
    excludes_delta: str = column(
        "On which side the interval excludes effects of δ or more: `favourable` (upper end below δ), `unfavourable` "
        "(lower end above -δ), `both` or `neither`; empty without an interval.",
        default="",
    )
    minimum_detectable_effect: float = column(
        "Smallest true effect whose interval lies above 0 with a power of 80 %. If all errors share one quantile, it "
        "is approximate: with few degrees of freedom the power is lower, in 99 % intervals 70 % at 2, 75 % at 4, 79 % "
        "at 12.",
        default=math.nan,
    )
    n_seeds: int = column("Number of runs, or of pairs of runs, that count.", default=0)
    scales: tuple[str, ...] = column("Scales of these runs.", default=())
    n: int = column("Items.", default=0)
    n_clusters: int = column("Number of clusters of items.", default=0)
    part_cause: str = column("Why the value or its interval is undefined.", default="")
    notes: str = column("JSON list of cautions that a reader must know beside the verdict.", default="[]")
    deviations: str = column("JSON list of deviations from the registered plan.", default="[]")


SCHEMA = arrow_schema(VerdictRow)
"""Arrow schema of the table of verdicts."""


def verdicts(
    results: str | Path | Sequence[str | Path],
    claims: str | Path | None = None,
    *,
    show_progress: bool = True,
) -> pd.DataFrame:
    """The verdict on each registered claim, from tables of results.

    Args:
        results: tables of `clipdyn evaluate`, or folders with a `results.parquet`, of all seeds, scales and arms. The
            trials beside the tables are read, since the intervals also contain the variance over items.
        claims: file of claims; None for the package's own. Of its studies, the one with the most benchmarks in the
            tables is judged.
        show_progress: draw a progress bar if the item errors take longer than two seconds.

    Returns:
        A row for each part of each claim, with the columns of `VerdictRow`. ``verdict`` is a word of the rule that
        the file of claims names (`hf_clipdyn.statistics.rules`), by default one of holds; right direction, size open;
        negligible; contradicted; undecided; gate failed; not testable here.

    Raises:
        ConfigError: a file cannot be read, or the tables contain no benchmark of a claim.

    Examples:
        >>> from hf_clipdyn import verdicts
        >>> table = verdicts("runs/demo/results.parquet", show_progress=False)
        >>> sorted(table["verdict"].unique())
        ['not testable here']
    """
    paths = [results] if isinstance(results, str | Path) else list(results)
    evidence = read_evidence(load(paths), read_claims(claims), show_progress=show_progress)
    return verdict_table(judge(evidence))


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


def provenance(results: Table, evidence: Evidence | None) -> Provenance:
    """Of a table that is written now from these results, and judged with this evidence."""
    facts = Provenance(package=package(), runs=results.origins)
    if evidence is None:
        return facts
    return replace(facts, study=evidence.study, claims=registered_hash(evidence.claims, evidence.study))


def _rows(verdict: Verdict) -> list[VerdictRow]:
    whole = VerdictRow(
        claim=verdict.claim.number,
        title=verdict.claim.title,
        study=verdict.study,
        verdict=verdict.decision,
        cause=verdict.cause,
        evidence=verdict.evidence,
        gate=_all_passed(verdict.gates),
        gates=json.dumps([_as_json(gate) for gate in verdict.gates], ensure_ascii=False),
        notes=json.dumps(verdict.notes, ensure_ascii=False),
        deviations=json.dumps(verdict.deviations, ensure_ascii=False),
    )
    by_readout = {one.name: one.verdict for one in verdict.readouts}
    rows = [
        *(_with_part(whole, part, "contrast", by_readout) for part in verdict.parts),
        *(
            replace(whole, role="difference", part_title=one.title, **_of_estimate(one.estimate))
            for one in verdict.differences
        ),
        *(_with_part(whole, part, "sensitivity", by_readout) for part in verdict.sensitivities),
    ]
    return [replace(row, part=number) for number, row in enumerate(rows, 1)] or [whole]


def _as_json(gate: Gate) -> dict[str, Any]:
    """A gate as in tables; one of the whole claim names no readout, as in tables of the first study."""
    return {name: value for name, value in asdict(gate).items() if name != "readout" or value}


_OF_ESTIMATE = (
    *("value", "ci_low", "ci_high", "confidence_level", "standard_error", "degrees_of_freedom"),
    *("n_seeds", "scales", "n", "n_clusters"),
)


def _of_estimate(estimate: Estimate) -> dict[str, Any]:
    """The columns of an estimate."""
    columns = {name: getattr(estimate, name) for name in _OF_ESTIMATE} | {"part_cause": estimate.cause}
    items = next((error for error in estimate.errors if error.source == "items"), None)
    if items is not None:
        columns |= {
            "item_error": math.sqrt(items.variance),
            "item_degrees_of_freedom": float(items.degrees_of_freedom),
        }
    return columns


def _with_part(whole: VerdictRow, part: Part, role: str, readouts: Mapping[str, str]) -> VerdictRow:
    return replace(
        whole,
        role=role,
        part_title=part.title,
        part_verdict=part.verdict,
        readout=part.readout,
        readout_verdict=readouts.get(part.readout, ""),
        scale=part.scale,
        smallest_effect=part.contrast.smallest_effect,
        sign=part.sign,
        excludes_delta=part.excludes_delta,
        minimum_detectable_effect=part.minimum_detectable_effect,
        **_of_estimate(part.estimate),
    )


def _all_passed(gates: Sequence[Gate]) -> bool | None:
    passed = [gate.passed for gate in gates]
    if False in passed:
        return False
    return True if passed and None not in passed else None


_HEAD = ("claim, verdict", "value and interval", "δ", "detectable", "seeds", "scales")
_GATE = {True: "; gates passed", False: "", None: "; a gate or control was not measured"}


def render(judged: Sequence[Verdict], effects: Sequence[ArmEffect] = ()) -> str:
    """Verdicts as a table for the terminal; causes, gates that did not pass, notes; deviations; the effects of arms.

    ``detectable`` is the minimum detectable effect.
    """
    cells: dict[int, tuple[str, ...]] = {}
    for one in judged:
        rows: list[Part | Difference] = [*one.parts, *one.differences, *one.sensitivities]
        cells |= {id(row): _cells(row, one.words) for row in rows}
    widths = [max(map(len, texts)) for texts in zip(_HEAD, *cells.values(), strict=True)]
    lines = [_line(_HEAD, widths)]
    for verdict in judged:
        word = verdict.words if verdict.evidence else f"{verdict.words} (a positive control, not evidence)"
        gates = _GATE[_all_passed(verdict.gates)] if verdict.gates else ""
        lines.append(f"{verdict.claim.number} {verdict.claim.title}: {word}{gates}")
        lines += [_line(cells[id(part)], widths) for part in (*verdict.parts, *verdict.differences)]
        if known := [part for part in verdict.sensitivities if math.isfinite(part.estimate.value)]:
            lines += ["  computed in other ways, which decide nothing"]
            lines += [_line(cells[id(part)], widths) for part in known]
    lines += ["", *_remarks(judged)]
    if deviations := deviation_lines(judged):
        lines += ["", "Deviations from the registered plan", *deviations]
    return "\n".join(map(printable, (*lines, *_arm_lines(effects))))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _cells(part: Part | Difference, words_of_claim: str) -> tuple[str, ...]:
    if isinstance(part, Difference):
        estimate = part.estimate
        sizes = str(estimate.n_seeds), str(len(estimate.scales))
        return f"    {part.title}", _value(estimate), "-", "-", *sizes
    effect = part.minimum_detectable_effect
    return (
        f"    {part.title}" + (f": {part.words}" if part.words != words_of_claim else ""),
        _value(part.estimate),
        f"{part.contrast.smallest_effect:.3g}",
        "-" if math.isnan(effect) else f"{effect:.3f}",
        str(part.estimate.n_seeds),
        str(len(part.estimate.scales)),
    )


def _value(estimate: Estimate) -> str:
    value = "not defined" if math.isnan(estimate.value) else f"{estimate.value:+.3f}"
    has_interval = not math.isnan(estimate.ci_low)
    return f"{value} [{estimate.ci_low:+.3f}, {estimate.ci_high:+.3f}]" if has_interval else value


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
    for verdict in judged:
        gates = [f"{gate.title}: {gate.words}" for gate in verdict.gates if not gate.passed]
        causes = [part.estimate.cause for part in verdict.parts]
        remarks += [(verdict, words) for words in (verdict.cause, *gates, *causes, *verdict.notes) if words]
    return [f"{', '.join(numbers)}: {words}" for words, numbers in _by_words(remarks).items()]


def deviation_lines(judged: Sequence[Verdict]) -> list[str]:
    """The deviations from the registered plan, each once with the numbers of its claims: ``Claims 2, 5: …``"""
    by_words = _by_words((verdict, words) for verdict in judged for words in verdict.deviations)
    return [
        f"Claim{'s' * (len(numbers) > 1)} {', '.join(numbers)}: {words}"
        for words, numbers in by_words.items()
    ]


def _by_words(remarks: Iterable[tuple[Verdict, str]]) -> dict[str, list[str]]:
    """The numbers of the claims that the same words are about."""
    numbers: dict[str, list[str]] = {}
    for number, words in dict.fromkeys((verdict.claim.number, words) for verdict, words in remarks):
        numbers.setdefault(words, []).append(str(number))
    return numbers
