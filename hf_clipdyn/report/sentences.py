"""What was found, in sentences: verdicts on the claims, and plain descriptions that judge nothing."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hf_clipdyn.report.charts import Line
from hf_clipdyn.report.claims_plan import is_tested, study_words
from hf_clipdyn.report.study import Study, read_study
from hf_clipdyn.report.words import joined, listed
from hf_clipdyn.statistics.contrasts import Estimate, paired_change
from hf_clipdyn.statistics.judging import NO_VERDICT, Part, Verdict, null_notes
from hf_clipdyn.statistics.trajectories import Trajectory, crossings, rows_of
from hf_clipdyn.statistics.verdicts import deviation_lines

__all__ = [
    "NOT_INTERPRETABLE",
    "Finding",
    "alternative_words",
    "estimate_words",
    "find",
    "headline",
    "limits",
    "number_words",
    "part_title",
    "part_word",
    "summarize",
    "tested_sentences",
    "verdict_sentences",
    "verdict_words",
]

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
    for one in _described(study):
        questions[_question(one, study)].append(one)
    return [
        finding
        for question, members in questions.items()
        for finding in (
            [Finding(question, one.run, _description(one, study)) for one in members]
            if len(members) <= _MOST_RUNS
            else _over_runs(question, members)
        )
    ]


def _described(study: Study) -> list[Trajectory]:
    """Which numbers are described."""
    polar = [one for one in study.drawn if one.term.poles and one.texts == "own"]
    lines = [line.trajectory for panels in study.overview for panel in panels for line in panel.lines]
    return [*polar, *(one for one in lines if one not in polar)]


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
        These tables test none of the 8 claims: ...
    """
    study = read_study(results)
    return [*verdict_sentences(study), *_descriptions(study), limits(study)]


def _descriptions(study: Study) -> list[str]:
    several = len(study.runs) > 1
    return [f"{one.question}{f', {one.run}' if several else ''}: {one.words}" for one in find(study)]


def headline(study: Study) -> str:
    """The most important sentence about a study: a verdict if there is one, otherwise a description.

    Args:
        study: from `read_study`.

    Examples:
        >>> from hf_clipdyn.report import headline, read_study
        >>> print(headline(read_study("runs/demo/results.parquet")))  # doctest: +ELLIPSIS
        Shape bias on the synthetic world: ...
    """
    judged = [one for one in study.verdicts if one.verdict not in NO_VERDICT and one.evidence]
    if judged:
        return verdict_words(judged[0], study)
    first = next((one for one in _described(study) if len(one.usable)), None)
    return limits(study) if first is None else f"{_question(first, study)}: {_values(first, study)}."


def verdict_sentences(study: Study) -> list[str]:
    """A sentence for each claim with an estimate, and one for those without; none if no claim has a benchmark here."""
    if not study.verdicts:
        return []
    if not any(map(is_tested, study.verdicts)):
        return [f"These tables test none of the {len(study.verdicts)} claims: {_causes(study.verdicts)}."]
    silent = [one for one in study.verdicts if not is_tested(one)]
    return [*tested_sentences(study), *([f"Not testable here: {_causes(silent)}."] if silent else [])]


def tested_sentences(study: Study) -> list[str]:
    """A sentence for each claim with an estimate, then the deviations from the registered plan."""
    deviations = [f"Deviation from the registered plan. {one}" for one in deviation_lines(study.verdicts)]
    return [*(verdict_words(one, study) for one in study.verdicts if is_tested(one)), *deviations]


def verdict_words(verdict: Verdict, study: Study) -> str:
    """One verdict with its contrasts: ``Claim 5, sensitivity to noise falls: holds. …``"""
    marks = study_words(verdict, study)
    cause = f" ({_clause(verdict.cause)})" if verdict.cause else ""
    said = f" ({', '.join(marks)})" if marks else ""
    head = f"Claim {verdict.claim.number}, {_clause(verdict.claim.title)}{said}"
    parts = [
        f"{_capital(part_title(part))}: {estimate_words(part.estimate)}, δ = {part.contrast.smallest_effect:.3g}"
        for part in verdict.parts
        if math.isfinite(part.estimate.value)
    ]
    told = f"{head}: {verdict.words}{cause}. {'; '.join(parts)}{'.' if parts else ''}".rstrip()
    return " ".join([told, *verdict.claim.test(verdict.study).notes, *null_notes(verdict.parts)])


def part_title(part: Part) -> str:
    """The title of a contrast, with its scale if it is of one only and the title does not end in it."""
    title = part.title or part.contrast.title
    named = not part.scale or title.endswith(f", {part.scale}")
    return title if named else f"{title}, scale {part.scale}"


def part_word(verdict: Verdict, part: Part) -> str:
    """The rule's word for one contrast, where it says more than the verdict; for an untestable claim nothing."""
    return "" if verdict.verdict in NO_VERDICT or part.words == verdict.words else part.words


def estimate_words(one: Estimate, *, runs: bool = True) -> str:
    """Value, interval and, with ``runs``, number of runs: ``0.120 [0.080, 0.160] (5 runs)``."""
    if not math.isfinite(one.value):
        return f"no estimate ({_clause(one.cause)})" if one.cause else "no estimate"
    words = f"{one.value:.3f}"
    if math.isfinite(one.ci_low) and math.isfinite(one.ci_high):
        words += f" [{one.ci_low:.3f}, {one.ci_high:.3f}]"
    else:
        words += " without an interval"
    return f"{words} ({_count(one.n_seeds, 'run')})" if runs and one.n_seeds else words


def _causes(verdicts: Sequence[Verdict]) -> str:
    """Numbers of claims by their cause: ``3 (no people …), 4 and 8 (…)``."""
    by_cause: dict[str, list[str]] = defaultdict(list)
    for one in verdicts:
        by_cause[_clause(one.cause)].append(str(one.claim.number))
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
            f"The {study.confidence} intervals of single revisions are over the items of each benchmark, "
            "resampled by their clusters. They include neither the variation between seeds nor that "
            "between checkpoints. Only the intervals of contrasts over several runs include the variation "
            "between seeds."
        )
    n = len(study.runs)
    return (
        f"{intervals} There is only one run, so the variation between seeds is unknown."
        if n == 1
        else intervals
    )


def number_words(point: Any, *, count: bool = True) -> str:
    """Value, interval and, with ``count``, items of a trajectory's point: ``0.842 [0.811, 0.873] (n = 1,000)``."""
    if not point.defined:
        return "not defined"
    words = f"{point.value:.3f}"
    if _has_interval(point):
        words += f" [{point.ci_low:.3f}, {point.ci_high:.3f}]"
    return f"{words} (n = {point.n:,.0f})" if count and point.n else words


def alternative_words(title: str, lines: Sequence[Line]) -> str:
    """What a screen reader says of a figure: the first and the last value of each line."""
    parts = []
    for line in lines:
        points = rows_of(line.trajectory.usable)
        ends = [
            f"{number_words(end, count=False)} at {end.revision}" for end in (*points[:1], *points[1:][-1:])
        ]
        said = f"from {' to '.join(ends)}" if len(ends) > 1 else "".join(ends) or "nothing interpretable"
        parts.append(f"{line.label}: {said}.")
    return f"{title.replace(chr(10), ', ')}. {' '.join(parts)}"


def _question(one: Trajectory, study: Study) -> str:
    """What was measured on which data: ``Shape bias on the synthetic world``.

    A probe other than the projection is named, and whatever sets the number apart from others of its run.
    """
    place = f"the {one.dataset_title}" if one.dataset_terms.synthetic else one.dataset_title
    parts = [f"{one.metric_title} on {place}", one.special_detail]
    alike = study.alike(one)
    parts += [
        getattr(one, name)
        for name in ("split", "preprocess", "settings", "dtype")
        if len({getattr(other, name) for other in alike}) > 1
    ]
    if len({other.data_fingerprint for other in alike}) > 1:
        parts.append(f"data {one.data_fingerprint[:12]}")
    return _capital(", ".join(filter(None, parts)))


def _description(one: Trajectory, study: Study) -> str:
    """What was measured of one run, without a judgement."""
    points, usable = rows_of(one.points), rows_of(one.usable)
    last = points[-1]
    beside = _beside_words(one, last.revision, study)
    if not usable and not one.points["defined"].any():
        return f"not defined at {_any_of(one)} ({last.note})."
    if not usable:
        return f"{NOT_INTERPRETABLE} at {_any_of(one)}. {_silence(one)}{beside}"
    sentences = [f"{_values(one, study)}.{beside if last.usable else ''}"]
    if len(usable) > 1 and one.term.poles:
        sentences.append(_crossing_words(one))
    silent = [point.revision for point in points if point.defined and not point.usable]
    if silent:
        sentences.append(f"{NOT_INTERPRETABLE.capitalize()}: {listed(silent)}.")
    if not last.usable and beside:
        sentences.append(beside.strip())
    if one.human is not None and last.usable:
        sentences.append(f"Human observers: {one.human:g}.")
    return " ".join(filter(None, sentences))


def _values(one: Trajectory, study: Study) -> str:
    """The first and the last interpretable value, the paired change between them, and chance."""
    usable = rows_of(one.usable)
    first, last = usable[0], usable[-1]
    words = f"{number_words(last)} at {_named(last)}"
    if len(usable) > 1:
        change = _change_words(paired_change(one, first, last, study.influences))
        words = f"from {number_words(first, count=False)} at {_named(first)} to {words}{change}"
    return f"{words}{_chance_words(one, last)}"


def _change_words(change: Estimate) -> str:
    """The paired change with its interval; nothing without trials."""
    if not math.isfinite(change.ci_low):
        return ""
    return f", a paired change of {change.value:+.3f} [{change.ci_low:+.3f}, {change.ci_high:+.3f}]"


def _silence(one: Trajectory) -> str:
    """Why no value of a trajectory says anything."""
    about = f"the values say nothing about {' or '.join(one.term.poles)}" if one.term.poles else ""
    cause = f"The decisions that it rests on are {_AT_CHANCE}, or its precondition fails"
    note = rows_of(one.points)[-1].note
    return f"{': '.join(filter(None, [cause, about or note]))}."


def _any_of(one: Trajectory) -> str:
    n = len(one.points)
    return "its only revision" if n == 1 else f"any of {n} revisions"


def _chance_words(one: Trajectory, last: Any) -> str:
    """Chance beside the last value, and where the interval of that value lies."""
    chances = (scale.usable["value"] for scale in one.references if scale.role == "chance")
    chance = next((float(values.iloc[-1]) for values in chances if len(values)), None)
    if chance is None:
        return ""
    words = f"; chance is {chance:.3g}"
    if last.ci_high < chance:
        return f"{words}, and the whole interval of the last value is below it"
    if last.ci_low <= chance <= last.ci_high:
        return f"{words}, and the last value is {_AT_CHANCE}"
    return words


def _crossing_words(one: Trajectory) -> str:
    """Where a metric between two poles crosses the value between them."""
    assert one.term.poles is not None
    assert one.term.neutral is not None
    if not any(map(_has_interval, rows_of(one.usable))):
        return ""
    found = crossings(one, one.term.neutral)
    if not found:
        return (
            f"No crossing of {one.term.neutral:g} is shown: a crossing requires two revisions in a row on "
            "each side."
        )
    places = [
        f"towards {one.term.poles[after.value > before.value]} between {before.revision} and {after.revision}"
        for before, after in found
    ]
    return f"It crosses {one.term.neutral:g} {', then '.join(places)} (two revisions in a row on each side)."


def _over_runs(question: str, members: Sequence[Trajectory]) -> list[Finding]:
    """The last values of many runs, as their range, for each scale and arm."""
    groups: dict[tuple[str, str], list[Trajectory]] = defaultdict(list)
    for one in members:
        groups[one.scale, one.arm].append(one)
    found = []
    for (scale, arm), runs in groups.items():
        last = [rows_of(one.usable)[-1] for one in runs if len(one.usable)]
        among = f"{_count(len(runs), 'run')}{f' of scale {scale}' if scale else ''}{f', arm {arm}' if arm else ''}"
        found.append(Finding(question, among, f"{_range_words(last, len(runs))}."))
    return found


def _range_words(last: Sequence[Any], n_runs: int) -> str:
    """Least and greatest of the last interpretable values of some runs."""
    if not last:
        return f"{NOT_INTERPRETABLE} or not defined in any run"
    low, high = min(point.value for point in last), max(point.value for point in last)
    words = f"{low:.3f} to {high:.3f}" if len(last) > 1 else f"{low:.3f}"
    silent = n_runs - len(last)
    return f"last value {words}" + (f"; {silent} without an interpretable value" if silent else "")


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _beside_words(one: Trajectory, revision: str, study: Study) -> str:
    """The metric that the number rests on, at the same revision, with its references."""
    wanted = replace(one, metric=one.term.rests_on)
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


def _at(one: Trajectory, revision: str) -> Any:
    return next(iter(rows_of(one.points[one.points["revision"] == revision])), None)


def _has_interval(point: Any) -> bool:
    return math.isfinite(point.ci_low) and math.isfinite(point.ci_high)


def _named(point: Any) -> str:
    return f"{point.revision} (untrained)" if point.step == 0 else str(point.revision)
