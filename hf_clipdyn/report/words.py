"""What was found, in sentences: verdicts on the claims, and plain descriptions that judge nothing."""

import json
import math
from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_clipdyn.errors import counted
from hf_clipdyn.report.overview import ordered, overview_numbers
from hf_clipdyn.report.study import Study, read_study
from hf_clipdyn.statistics.contrasts import Estimate, paired_change
from hf_clipdyn.statistics.judge import NO_VERDICT, JudgedPart, Verdict
from hf_clipdyn.statistics.trajectories import Trajectory, crossings, rows_of

NOT_INTERPRETABLE = "not interpretable"
NOT_DEFINED = "not defined"
_MOST_RUNS = 6  # that are described one by one


@dataclass(frozen=True)
class Finding:
    """What was found on one question for one run, as a phrase to follow a colon."""

    question: str
    run: str
    words: str


def find(study: Study) -> list[Finding]:
    """A row for each question and run; metrics with poles (texture, shape) first, those without a usable value last.

    First and last interpretable value with their paired change, chance and people. A value that is not interpretable is
    never given, and no phase or peak is read off the intervals of single revisions.
    """
    questions: dict[str, list[Trajectory]] = defaultdict(list)
    for number in _described(study):
        questions[_question(number, study)].append(number)
    findings: list[Finding] = []
    for question, numbers in questions.items():
        if len(numbers) > _MOST_RUNS:
            findings += _over_runs(question, numbers)
        else:
            findings += [Finding(question, number.run, _description(number, study)) for number in numbers]
    return findings


def _described(study: Study) -> list[Trajectory]:
    polar = [number for number in ordered(study.trajectories) if number.term.poles and number.texts == "own"]
    main = [number for numbers in overview_numbers(study.trajectories) for number in numbers]
    described = [*polar, *(number for number in main if number not in polar)]
    return sorted(
        described, key=lambda number: not number.column("usable").any()
    )  # nothing to say comes last


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
    several = len(study.runs) > 1
    found = [
        f"{finding.question}{f', {finding.run}' if several else ''}: {finding.words}"
        for finding in find(study)
    ]
    return [*verdict_sentences(study), *found, limits(study)]


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
        + (f": {word}" if (word := part_word(verdict, part)) else "")
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
    """The rule's word for one contrast, where it says more than the verdict; for an untestable claim nothing."""
    return "" if verdict.word in NO_VERDICT or part.words == verdict.word else part.words


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
    words = "No intervals of single revisions were computed."
    if study.confidence:
        words = (
            f"The {study.confidence} intervals of single revisions are over the clusters of items of each "
            "benchmark. They include neither the variation between seeds nor that "
            "between checkpoints. Only the intervals of contrasts over several runs include the variation "
            "between seeds."
        )
    alone = " There is only one run, so the variation between seeds is unknown."
    return words + alone * (len(study.runs) == 1)


# --- numbers ---------------------------------------------------------------------------------------------------


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
        return NOT_DEFINED
    words = f"{point.value:.3f}{interval_words(point)}"
    return f"{words} (n = {point.n:,.0f})" if count and point.n else words


def _question(number: Trajectory, study: Study) -> str:
    """What was measured on which data, and whatever sets the number apart from others of its run.

    For example ``Shape bias on the embedded world (synthetic)``.
    """
    place = f"the {number.dataset_title}" if number.dataset_terms.synthetic else number.dataset_title
    parts = [f"{number.metric_title} on {place}", number.special_detail]
    alike = study.alike(number)
    for name in ("split", "preprocess", "settings", "dtype", "data_fingerprint"):
        if len({getattr(other, name) for other in alike}) > 1:
            value = getattr(number, name)
            parts.append(f"data {value[:12]}" if name == "data_fingerprint" else value)
    return _capital(", ".join(filter(None, parts)))


def _description(number: Trajectory, study: Study) -> str:
    """What was measured of one run, without a judgement."""
    points, usable = rows_of(number.points), rows_of(number.usable)
    if not usable:
        n = len(points)
        where = "its only revision" if n == 1 else f"any of {n} revisions"
        if not any(point.defined for point in points):
            return f"{NOT_DEFINED} at {where} ({points[-1].note})."
        return f"{NOT_INTERPRETABLE} at {where}."
    sentences = [f"{_values(number, study)}."]
    if len(usable) > 1 and number.term.poles:
        sentences.append(_crossing_words(number))
    silent = [point.revision for point in points if point.defined and not point.usable]
    if silent:
        sentences.append(f"{NOT_INTERPRETABLE.capitalize()}: {listed(silent)}.")
    if number.human is not None and points[-1].usable:
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


def _named(point: Any) -> str:
    return f"{point.revision} (untrained)" if point.step == 0 else str(point.revision)


def _change_words(change: Estimate) -> str:
    """The paired change with its interval; nothing without trials."""
    interval = interval_words(change, "+.3f")
    if not interval:
        return ""
    open_ = ", which is not significant" if change.ci_low <= 0 <= change.ci_high else ""
    return f", a paired change of {change.value:+.3f}{interval}{open_}"


def _chance_words(number: Trajectory, last: Any) -> str:
    """Chance beside the last value, and where the interval of that value lies."""
    chances = (scale.usable["value"] for scale in number.references if scale.role == "chance")
    chance = next((float(values.iloc[-1]) for values in chances if len(values)), None)
    if chance is None:
        return ""
    where = ""
    if last.ci_high < chance:
        where = ", and the whole interval of the last value is below it"
    elif last.ci_low <= chance:
        where = ", and the last value is indistinguishable from chance"
    return f"; chance is {chance:.3g}{where}"


def _crossing_words(number: Trajectory) -> str:
    """Where a metric between two poles crosses the value between them; nothing without intervals."""
    if number.term.poles is None or number.term.neutral is None:
        return ""
    if not any(map(interval_words, rows_of(number.usable))):
        return ""
    crossed = crossings(number, number.term.neutral)
    places = [
        f"towards {number.term.poles[after.value > before.value]} between {before.revision} and {after.revision}"
        for before, after in crossed
    ]
    rule = "two revisions in a row on each side"
    if not places:
        return f"No crossing of {number.term.neutral:g} is shown: a crossing requires {rule}."
    return f"It crosses {number.term.neutral:g} {', then '.join(places)} ({rule})."


def _over_runs(question: str, numbers: Sequence[Trajectory]) -> Iterator[Finding]:
    """The last values of many runs, as their range, for each scale and arm."""
    groups: dict[tuple[str, str], list[Trajectory]] = defaultdict(list)
    for number in numbers:
        groups[number.scale, number.arm].append(number)
    for (scale, arm), runs in groups.items():
        values = [float(number.usable["value"].iloc[-1]) for number in runs if len(number.usable)]
        words = " to ".join(dict.fromkeys(f"{end(values):.3f}" for end in (min, max) if values))
        silent = len(runs) - len(values)
        if silent:
            words += f"; {silent} without an interpretable value"
        among = f"{counted(len(runs), 'run')}{f' of scale {scale}' if scale else ''}{f', arm {arm}' if arm else ''}"
        none = f"{NOT_INTERPRETABLE} or {NOT_DEFINED} in any run."
        yield Finding(question, among, f"last value {words}." if values else none)


# --- texts -----------------------------------------------------------------------------------------------------


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
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def joined(names: Sequence[str]) -> str:
    """``1``, ``1 and 2``, ``1, 2 and 3``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
