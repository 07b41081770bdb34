"""What was found, in sentences: verdicts on the claims, and plain descriptions that judge nothing."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from operator import attrgetter
from pathlib import Path
from typing import Any

from hf_clipdyn.errors import counted
from hf_clipdyn.report.courses import Course, Point, split_by
from hf_clipdyn.report.panel import NOT_DEFINED, NOT_INTERPRETABLE
from hf_clipdyn.report.study import Study, read_study
from hf_clipdyn.statistics.contrasts import Estimate, paired_change
from hf_clipdyn.statistics.judge import NO_VERDICT, JudgedPart, Verdict

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
    questions = split_by(_described(study), lambda course: _question(course, study))
    findings: list[Finding] = []
    for question, courses in questions.items():
        if len(courses) > _MOST_RUNS:
            findings += _over_runs(question, courses, study)
        else:
            findings += [Finding(question, course.run, _description(course, study)) for course in courses]
    return findings


def _described(study: Study) -> list[Course]:
    planner = study.planner
    values = (own for metrics in planner.values.values() for own in metrics.values())
    polar = [own for own in values if planner.term(own[0]).poles]
    of_runs = [course for own in polar for course in sorted(own) if course.texts == "own"]
    described = dict.fromkeys([*of_runs, *chain.from_iterable(planner.overview_numbers())])
    # Numbers without anything to say come last.
    return sorted(described, key=lambda course: not planner.column(course, "usable").any())


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
    found = [f"{one.question}{f', {one.run}' if several else ''}: {one.words}" for one in find(study)]
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
    first = next(iter(_described(study)), None)
    if first is None or not study.planner.column(first, "usable").any():
        return limits(study)
    return f"{_question(first, study)}: {_values(first, study)}."


def verdict_sentences(study: Study) -> list[str]:
    """A sentence for each claim with an estimate, and one for those without; none if no claim has a benchmark here."""
    silent = [verdict for verdict in study.verdicts if not verdict.is_tested]
    if silent and len(silent) == len(study.verdicts):
        return [f"These tables test none of the {len(silent)} claims: {_causes(silent)}."]
    return tested_sentences(study) + ([f"Not testable here: {_causes(silent)}."] if silent else [])


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
    pairs = [pair for pair in study.measured if "/".join(pair) in measured]
    marks = {
        "synthetic images": any(study.planner.is_synthetic(*pair) for pair in pairs),
        "by proxy": any(study.results.words.kind(kind).proxy for kind, _ in pairs),
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
    by_cause = split_by(verdicts, lambda verdict: _clause(verdict.cause))
    numbers = {cause: [verdict.claim.number for verdict in own] for cause, own in by_cause.items()}
    return "; ".join(
        f"{'claim' if len(own) == 1 else 'claims'} {joined(own)}{f' ({cause})' if cause else ''}"
        for cause, own in numbers.items()
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
            "benchmark. They include neither the variation between seeds nor the variation "
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


def _question(course: Course, study: Study) -> str:
    """What was measured on which data, and whatever sets the number apart from others of its benchmark.

    For example ``Shape bias on the embedded world (synthetic)``.
    """
    planner, place = study.planner, study.planner.place_words(course.kind, course.dataset)
    article = "the " if place.endswith(" (synthetic)") else ""
    parts = [f"{planner.title(course)} on {article}{place}", planner.special(course), course.setup]
    return _capital(", ".join(filter(None, parts)))


def _description(course: Course, study: Study) -> str:
    """What was measured of one run, without a judgement."""
    planner, points = study.planner, study.planner.points(course)
    usable = [point for point in points if point.usable]
    if not usable:
        where = "its only revision" if len(points) == 1 else f"any of {len(points)} revisions"
        if any(point.defined for point in points):
            return f"{NOT_INTERPRETABLE} at {where}."
        return f"{NOT_DEFINED} at {where} ({points[-1].cause})."
    hollow = listed([point.revision for point in points if point.defined and not point.usable])
    people = planner.people(course) if points[-1].usable else None
    sentences = [
        f"{_values(course, study)}.",
        _crossing_words(course, study) if len(usable) > 1 else "",
        f"{NOT_INTERPRETABLE.capitalize()}: {hollow}." if hollow else "",
        f"Human observers: {people:g}." if people is not None else "",
    ]
    return " ".join(filter(None, sentences))


def _values(course: Course, study: Study) -> str:
    """The first and the last interpretable value, the paired change between them, and chance."""
    usable = [point for point in study.planner.points(course) if point.usable]
    first, last = usable[0], usable[-1]
    n = f" (n = {last.n:,.0f})" if last.n else ""
    words = f"{_value_words(last)}{n} at {_named(last)}"
    if len(usable) > 1:
        change = _change_words(paired_change(course, first, last, study.influences))
        words = f"from {_value_words(first)} at {_named(first)} to {words}{change}"
    return f"{words}{_chance_words(course, last, study)}"


def _value_words(point: Point) -> str:
    return f"{point.value:.3f}{interval_words(point)}"


def _named(point: Point) -> str:
    return f"{point.revision} (untrained)" if point.step == 0 else point.revision


def _change_words(change: Estimate) -> str:
    """The paired change with its interval; nothing without trials."""
    interval = interval_words(change, "+.3f")
    open_ = ", which is not significant" if change.ci_low <= 0 <= change.ci_high else ""
    return f", a paired change of {change.value:+.3f}{interval}{open_}" if interval else ""


def _chance_words(course: Course, last: Point, study: Study) -> str:
    """Chance beside the last value, and where the interval of that value lies."""
    planner = study.planner
    others = (other for _, other in planner.references_of(course) if other.role == "chance")
    usable = ([point.value for point in planner.points(other) if point.usable] for other in others)
    chance = next((values[-1] for values in usable if values), math.nan)
    where = ""
    if last.ci_high < chance:
        where = ", and the whole interval of the last value is below it"
    elif last.ci_low <= chance:
        where = ", and the last value is indistinguishable from chance"
    return "" if math.isnan(chance) else f"; chance is {chance:.3g}{where}"


def _crossing_words(course: Course, study: Study) -> str:
    """Where a metric between two poles crosses the value between them; nothing without intervals."""
    term, points = study.planner.term(course), study.planner.points(course)
    bounded = any(point.usable and interval_words(point) for point in points)
    if not bounded or term.poles is None or term.neutral is None:
        return ""
    places = [
        f"towards {term.poles[after.value > before.value]} between {before.revision} and {after.revision}"
        for before, after in crossings(points, term.neutral)
    ]
    rule = "two revisions in a row on each side"
    if not places:
        return f"No crossing of {term.neutral:g} is shown: a crossing requires {rule}."
    return f"It crosses {term.neutral:g} {', then '.join(places)} ({rule})."


def crossings(points: Sequence[Point], level: float) -> list[tuple[Point, Point]]:
    """Where a course crosses ``level``, such as one half: a description of one run, not a test.

    A point is on a side if its interval is wholly there. One point alone may be the noise of a checkpoint, so it takes
    two revisions in a row on a side, among those at which the number was measured; one that is undefined or not
    interpretable comes between them. A value without an interval is on no side.

    Returns:
        The last point on the first side that has a neighbour there, and the first of two neighbours on the other side.
    """
    sides = [(point.usable and (point.ci_low > level) - (point.ci_high < level)) for point in points]
    pairs = zip(pairwise(points), pairwise(sides), strict=True)
    confirmed = [(*ends, side) for ends, (side, other) in pairs if side and side == other]
    return [
        (before, after) for (_, before, earlier), (after, _, side) in pairwise(confirmed) if earlier != side
    ]


def _over_runs(question: str, courses: Sequence[Course], study: Study) -> Iterator[Finding]:
    """The last values of many runs, as their range, for each scale and arm."""
    planner = study.planner
    groups = split_by(courses, lambda one: attrgetter("scale", "arm")(planner.group_of[one.run]))
    for (scale, arm), runs in groups.items():
        usable = [[point.value for point in planner.points(one) if point.usable] for one in runs]
        last = [values[-1] for values in usable if values]
        words = " to ".join(dict.fromkeys(f"{end(last):.3f}" for end in (min, max) if last))
        if silent := len(runs) - len(last):
            words += f"; {silent} without an interpretable value"
        of = [counted(len(runs), "run"), f" of scale {scale}" if scale else "", f", arm {arm}" if arm else ""]
        none = f"{NOT_INTERPRETABLE} or {NOT_DEFINED} in any run."
        yield Finding(question, "".join(of), f"last value {words}." if last else none)


# --- texts -----------------------------------------------------------------------------------------------------


def json_words(text: str) -> str:
    """A JSON object in words: ``torch 2.6, transformers 5.0``."""
    values = json.loads(text or "{}").items()
    several = {name: " ".join(map(str, value)) for name, value in values if isinstance(value, list)}
    return ", ".join(f"{name} {several.get(name, value)}" for name, value in values)


def listed(names: Sequence[str], most: int = 6) -> str:
    """Names with commas; of many the first and the number of the others."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def joined(names: Sequence[str]) -> str:
    """``1``, ``1 and 2``, ``1, 2 and 3``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
