"""What was found, in sentences: verdicts on the claims, and plain descriptions that judge nothing."""

import json
import math
from collections import defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hf_clipdyn.errors import counted
from hf_clipdyn.report.plan import Panel
from hf_clipdyn.report.study import Study, read_study
from hf_clipdyn.statistics.contrasts import Estimate, paired_change
from hf_clipdyn.statistics.judge import NO_VERDICT, JudgedPart, Verdict
from hf_clipdyn.statistics.trajectories import Trajectory, crossings, rows_of

NOT_INTERPRETABLE = "not interpretable"
_AT_CHANCE = "indistinguishable from chance"
_MOST_RUNS = 6  # that are described one by one


@dataclass(frozen=True)
class Finding:
    """What was found on one question for one run, as a phrase to follow a colon."""

    question: str
    run: str
    words: str


def find(study: Study) -> list[Finding]:
    """Plain descriptions, one for each question and run; metrics with poles (texture, shape) first.

    First and last interpretable value, intervals and n, with chance or people beside them. A value that is not
    interpretable is never given. No change, phase or peak is read off the intervals of single revisions: changes are
    contrasts (`verdict_sentences`).
    """
    questions: dict[str, list[Trajectory]] = defaultdict(list)
    for number in _described(study):
        questions[_question(number, study)].append(number)
    return [
        finding
        for question, members in questions.items()
        for finding in (
            [Finding(question, number.run, _description(number, study)) for number in members]
            if len(members) <= _MOST_RUNS
            else _over_runs(question, members)
        )
    ]


def _described(study: Study) -> list[Trajectory]:
    """Which numbers are described."""
    polar = [number for number in study.drawn if number.term.poles and number.texts == "own"]
    lines = [line.trajectory for panels in study.overview for panel in panels for line in panel.lines]
    return [*polar, *(number for number in lines if number not in polar)]


def summarize(results: Path | Sequence[Path] | Study) -> list[str]:
    """Sentences about the results: verdicts, or descriptions if there are none.

    Args:
        results: tables of `clipdyn evaluate`, or the result of `read_study`.

    Raises:
        ConfigError: a file does not exist or is not a table of results.
        EvaluationError: the tables have no rows.

    Examples:
        >>> from pathlib import Path
        >>> from hf_clipdyn.report import summarize
        >>> sentences = summarize(Path("runs/demo/results.parquet"))
        >>> print(sentences[0])  # doctest: +ELLIPSIS
        Shape bias on the embedded world (synthetic): ...
    """
    study = read_study(results)
    return [*verdict_sentences(study), *_descriptions(study), limits(study)]


def _descriptions(study: Study) -> list[str]:
    several = len(study.runs) > 1
    return [
        f"{finding.question}{f', {finding.run}' if several else ''}: {finding.words}"
        for finding in find(study)
    ]


def headline(study: Study) -> str:
    """The most important sentence about a study: a verdict if there is one, otherwise a description.

    Args:
        study: from `read_study`.

    Examples:
        >>> from hf_clipdyn.report import headline, read_study
        >>> print(headline(read_study("runs/demo/results.parquet")))  # doctest: +ELLIPSIS
        Shape bias on the embedded world (synthetic): ...
    """
    judged = [one for one in study.verdicts if one.word not in NO_VERDICT and one.claim.evidence]
    if judged:
        return verdict_words(judged[0], study)
    first = next((number for number in _described(study) if len(number.usable)), None)
    return limits(study) if first is None else f"{_question(first, study)}: {_values(first, study)}."


def verdict_sentences(study: Study) -> list[str]:
    """A sentence for each claim with an estimate, and one for those without; none if no claim has a benchmark here."""
    if not study.verdicts:
        return []
    if not any(verdict.is_tested for verdict in study.verdicts):
        return [f"These tables test none of the {len(study.verdicts)} claims: {_causes(study.verdicts)}."]
    silent = [verdict for verdict in study.verdicts if not verdict.is_tested]
    return [*tested_sentences(study), *([f"Not testable here: {_causes(silent)}."] if silent else [])]


def tested_sentences(study: Study) -> list[str]:
    """A sentence for each claim with an estimate."""
    return [verdict_words(verdict, study) for verdict in study.verdicts if verdict.is_tested]


def verdict_words(verdict: Verdict, study: Study) -> str:
    """One verdict with its contrasts: ``Claim 5, sensitivity to noise falls: holds. …``"""
    marks = study_words(verdict, study)
    cause = f" ({_clause(verdict.cause)})" if verdict.cause else ""
    said = f" ({', '.join(marks)})" if marks else ""
    head = f"Claim {verdict.claim.number}, {_clause(verdict.claim.title)}{said}"
    parts = [
        f"{_capital(part.part.title)}: {estimate_words(part.estimate)}, δ = {part.part.smallest_effect:.3g}"
        for part in verdict.parts
        if math.isfinite(part.estimate.value)
    ]
    words = f"{head}: {verdict.word}{cause}. {'; '.join(parts)}{'.' if parts else ''}".rstrip()
    return " ".join([words, *verdict.claim.notes])


def study_words(verdict: Verdict, study: Study) -> list[str]:
    """What a reader must know of the data of a verdict: synthetic, a positive control, a proxy."""
    endpoints = study.claims.endpoints if study.claims else {}
    measured = {endpoints[part.part.endpoint].benchmark for part in verdict.parts}
    numbers = [number for number in study.trajectories if "/".join(number.benchmark) in measured]
    marks = {
        "synthetic images": any(number.dataset_terms.synthetic or number.terms.draws for number in numbers),
        "by proxy": any(number.terms.proxy for number in numbers),
        "positive control": not verdict.claim.evidence,
    }
    return [words for words, applies in marks.items() if applies]


def part_word(verdict: Verdict, part: JudgedPart) -> str:
    """The rule's word for one contrast, where it says more than the verdict; for an untestable claim nothing.

    An interval below 0 that no word says so of is named.
    """
    if verdict.word in NO_VERDICT:
        return ""
    below = ", below 0" if part.estimate.sign == -1 and part.word == "undecided" else ""
    return "" if part.word == verdict.word and not below else f"{part.word}{below}"


def estimate_words(estimate: Estimate, *, runs: bool = True) -> str:
    """Value, interval and, with ``runs``, number of runs: ``0.120 [0.080, 0.160] (5 runs)``."""
    if not math.isfinite(estimate.value):
        return f"no estimate ({_clause(estimate.cause)})" if estimate.cause else "no estimate"
    words = f"{estimate.value:.3f}{interval_words(estimate) or ' without an interval'}"
    return f"{words} ({counted(estimate.n_seeds, 'run')})" if runs and estimate.n_seeds else words


def _causes(verdicts: Sequence[Verdict]) -> str:
    """Numbers of claims by their cause: ``3 (no people …), 4 and 8 (…)``."""
    by_cause: dict[str, list[str]] = defaultdict(list)
    for verdict in verdicts:
        by_cause[_clause(verdict.cause)].append(verdict.claim.number)
    return "; ".join(
        f"{'claim' if len(numbers) == 1 else 'claims'} {joined(numbers)}{f' ({cause})' if cause else ''}"
        for cause, numbers in by_cause.items()
    )


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _clause(sentence: str) -> str:
    """A sentence as it stands inside another one."""
    return sentence.rstrip(". ")


def limits(study: Study) -> str:
    """What the intervals of a report do not contain."""
    if not study.confidence:
        intervals = "No intervals of single revisions were computed."
    else:
        intervals = (
            f"The {study.confidence} intervals of single revisions are over the clusters of items of each "
            "benchmark. They include neither the variation between seeds nor that "
            "between checkpoints. Only the intervals of contrasts over several runs include the variation "
            "between seeds."
        )
    n = len(study.runs)
    return (
        f"{intervals} There is only one run, so the variation between seeds is unknown."
        if n == 1
        else intervals
    )


def interval_words(number: Any, form: str = ".3f") -> str:
    """The interval of a point or an estimate, after a space: `` [0.811, 0.873]``; empty if there is none."""
    ends = number.ci_low, number.ci_high
    return f" [{', '.join(format(end, form) for end in ends)}]" if all(map(math.isfinite, ends)) else ""


def metric_words(number: Trajectory) -> str:
    """What a row of a table is about: metric, variant and what is special: ``accuracy, linear probe``."""
    texts = "" if number.texts == "own" else number.detail(["texts"])
    return ", ".join(filter(None, [number.metric_title, number.special_detail, texts]))


def number_words(point: Any, *, count: bool = True) -> str:
    """Value, interval and, with ``count``, items of a trajectory's point: ``0.842 [0.811, 0.873] (n = 1,000)``."""
    if not point.defined:
        return "not defined"
    words = f"{point.value:.3f}{interval_words(point)}"
    return f"{words} (n = {point.n:,.0f})" if count and point.n else words


def alternative_words(panel: Panel) -> str:
    """What a screen reader says of a panel: the first and the last value of each line."""
    parts = []
    for line in panel.lines:
        points = rows_of(line.trajectory.usable)
        ends = [
            f"{number_words(end, count=False)} at {end.revision}" for end in (*points[:1], *points[1:][-1:])
        ]
        said = f"from {' to '.join(ends)}" if len(ends) > 1 else "".join(ends) or "nothing interpretable"
        parts.append(f"{line.label}: {said}.")
    return f"{panel.title.replace(chr(10), ', ')}. {' '.join(parts)}"


def _question(number: Trajectory, study: Study) -> str:
    """What was measured on which data: ``Shape bias on the embedded world (synthetic)``.

    A probe other than the projection is named, and whatever sets the number apart from others of its run.
    """
    place = f"the {number.dataset_title}" if number.dataset_terms.synthetic else number.dataset_title
    parts = [f"{number.metric_title} on {place}", number.special_detail]
    alike = study.alike(number)
    parts += [
        getattr(number, name)
        for name in ("split", "preprocess", "settings", "dtype")
        if len({getattr(other, name) for other in alike}) > 1
    ]
    if len({other.data_fingerprint for other in alike}) > 1:
        parts.append(f"data {number.data_fingerprint[:12]}")
    return _capital(", ".join(filter(None, parts)))


def _description(number: Trajectory, study: Study) -> str:
    """What was measured of one run, without a judgement."""
    points, usable = rows_of(number.points), rows_of(number.usable)
    last = points[-1]
    beside = _beside_words(number, last.revision, study)
    if not usable and not number.points["defined"].any():
        return f"not defined at {_any_of(number)} ({last.note})."
    if not usable:
        return f"{NOT_INTERPRETABLE} at {_any_of(number)}. {_silence(number)}{beside}"
    sentences = [f"{_values(number, study)}.{beside if last.usable else ''}"]
    if len(usable) > 1 and number.term.poles:
        sentences.append(_crossing_words(number))
    silent = [point.revision for point in points if point.defined and not point.usable]
    if silent:
        sentences.append(f"{NOT_INTERPRETABLE.capitalize()}: {listed(silent)}.")
    if not last.usable and beside:
        sentences.append(beside.strip())
    if number.human is not None and last.usable:
        sentences.append(f"Human observers: {number.human:g}.")
    return " ".join(filter(None, sentences))


def _values(number: Trajectory, study: Study) -> str:
    """The first and the last interpretable value, the paired change between them, and chance."""
    usable = rows_of(number.usable)
    first, last = usable[0], usable[-1]
    words = f"{number_words(last)} at {_named(last)}"
    if len(usable) > 1:
        change = _change_words(paired_change(number, first, last, study.influences))
        words = f"from {number_words(first, count=False)} at {_named(first)} to {words}{change}"
    return f"{words}{_chance_words(number, last)}"


def _change_words(change: Estimate) -> str:
    """The paired change with its interval; nothing without trials."""
    interval = interval_words(change, "+.3f")
    return f", a paired change of {change.value:+.3f}{interval}" if interval else ""


def _silence(number: Trajectory) -> str:
    """Why no value of a trajectory says anything."""
    about = f"the values say nothing about {' or '.join(number.term.poles)}" if number.term.poles else ""
    cause = f"The decisions that it rests on are {_AT_CHANCE}, or its precondition fails"
    note = rows_of(number.points)[-1].note
    return f"{': '.join(filter(None, [cause, about or note]))}."


def _any_of(number: Trajectory) -> str:
    n = len(number.points)
    return "its only revision" if n == 1 else f"any of {n} revisions"


def _chance_words(number: Trajectory, last: Any) -> str:
    """Chance beside the last value, and where the interval of that value lies."""
    chances = (scale.usable["value"] for scale in number.references if scale.role == "chance")
    chance = next((float(values.iloc[-1]) for values in chances if len(values)), None)
    if chance is None:
        return ""
    words = f"; chance is {chance:.3g}"
    if last.ci_high < chance:
        return f"{words}, and the whole interval of the last value is below it"
    if last.ci_low <= chance <= last.ci_high:
        return f"{words}, and the last value is {_AT_CHANCE}"
    return words


def _crossing_words(number: Trajectory) -> str:
    """Where a metric between two poles crosses the value between them."""
    assert number.term.poles is not None
    assert number.term.neutral is not None
    if not any(map(interval_words, rows_of(number.usable))):
        return ""
    crossed = crossings(number, number.term.neutral)
    if not crossed:
        rule = "a crossing requires two revisions in a row on each side"
        return f"No crossing of {number.term.neutral:g} is shown: {rule}."
    places = [
        f"towards {number.term.poles[after.value > before.value]} between {before.revision} and {after.revision}"
        for before, after in crossed
    ]
    return (
        f"It crosses {number.term.neutral:g} {', then '.join(places)} (two revisions in a row on each side)."
    )


def _over_runs(question: str, members: Sequence[Trajectory]) -> list[Finding]:
    """The last values of many runs, as their range, for each scale and arm."""
    groups: dict[tuple[str, str], list[Trajectory]] = defaultdict(list)
    for number in members:
        groups[number.scale, number.arm].append(number)
    findings = []
    for (scale, arm), runs in groups.items():
        last = [rows_of(number.usable)[-1] for number in runs if len(number.usable)]
        among = f"{counted(len(runs), 'run')}{f' of scale {scale}' if scale else ''}{f', arm {arm}' if arm else ''}"
        findings.append(Finding(question, among, f"{_range_words(last, len(runs))}."))
    return findings


def _range_words(last: Sequence[Any], n_runs: int) -> str:
    """Least and greatest of the last interpretable values of some runs."""
    if not last:
        return f"{NOT_INTERPRETABLE} or not defined in any run"
    low, high = min(point.value for point in last), max(point.value for point in last)
    words = f"{low:.3f} to {high:.3f}" if len(last) > 1 else f"{low:.3f}"
    silent = n_runs - len(last)
    return f"last value {words}" + (f"; {silent} without an interpretable value" if silent else "")


def _beside_words(number: Trajectory, revision: str, study: Study) -> str:
    """The metric that the number rests on, at the same revision, with its references."""
    wanted = replace(number, metric=number.term.rests_on)
    other = next((other for other in study.alike(wanted) if other == wanted), None)
    if other is None:
        return ""
    point = _at(other, revision)
    if point is None or not point.defined:
        return ""
    beside = [
        f"{scale.reference_terms.title} {at.value:.3f}"
        for scale in other.references
        if (at := _at(scale, revision)) is not None and at.defined
    ]
    title = other.term.title
    scales = f"; {', '.join(beside)}" if beside else ""
    return f" {title[0].upper()}{title[1:]} there: {number_words(point)}{scales}."


def _at(number: Trajectory, revision: str) -> Any:
    return next(iter(rows_of(number.points[number.points["revision"] == revision])), None)


def _named(point: Any) -> str:
    return f"{point.revision} (untrained)" if point.step == 0 else str(point.revision)


def json_words(text: str, hidden: Container[str] = ()) -> str:
    """``torch 2.6, transformers 5.0`` without the hidden keys; a text that is not a JSON object stays as it is."""
    values = json_object(text)
    if values is None:
        return text
    shown = {
        name: " ".join(map(str, value)) if isinstance(value, list) else value
        for name, value in values.items()
    }
    return ", ".join(f"{name} {value}" for name, value in shown.items() if name not in hidden)


def json_object(text: str) -> dict[str, Any] | None:
    """The JSON object in a text; None if it holds none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def listed(names: Sequence[str], most: int = 6) -> str:
    """Names with commas; of many the first and the number of the others."""
    return (
        ", ".join(names) if len(names) <= most else f"{', '.join(names[:most])} and {len(names) - most} more"
    )


def joined(names: Sequence[str]) -> str:
    """``1``, ``1 and 2``, ``1, 2 and 3``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
