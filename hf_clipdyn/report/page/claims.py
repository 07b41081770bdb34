"""The claims on the page: the table of verdicts, the figure of the claims, and a specification curve for each claim."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, get_args

from hf_clipdyn.report.claims_plan import ClaimPanel, Course, is_tested, plan_claims, study_words
from hf_clipdyn.report.provenance import registration_words
from hf_clipdyn.report.sentences import estimate_words, part_title, part_word
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.words import joined
from hf_clipdyn.statistics.judging import Gate, Part, Verdict, Word
from hf_clipdyn.statistics.specifications import Specification

__all__ = ["payload", "verdict_rows", "verdict_summary"]

_ORDER: tuple[Word, ...] = get_args(Word)
_GATE_WORDS = {True: "passed", False: "failed", None: "not measured"}


def payload(study: Study) -> dict[str, Any] | None:
    """What `js/claims.js` and `js/specification.js` draw.

    Returns:
        ``panels`` of `plan_claims` with their courses, lines, windows and contrasts; ``curves``, one for each claim
        with an estimate; None if no endpoint of the claims was measured. Built-in types, without NaN.
    """
    panels = plan_claims(study)
    if not panels:
        return None
    return {
        "panels": [_panel(panel) for panel in panels],
        "curves": [_curve(verdict, study) for verdict in study.verdicts if is_tested(verdict)],
        "registration": registration_words(study.results, study.evidence, study.claims_file)
        if study.evidence
        else "",
    }


def verdict_summary(study: Study) -> str:
    """How many claims the data can test, and what came out; the cause where all share one."""
    counts = Counter[str](one.verdict for one in study.verdicts)
    n_silent = counts.pop("not testable here", 0)
    n = len(study.verdicts)
    if n_silent == n:
        return _undecided_summary(study)
    found = [
        f"{counts[word]} {'hold' if word == 'holds' and counts[word] > 1 else word}"
        for word in _ORDER
        if counts[word]
    ]
    words = f"These data can test {n - n_silent} of {n} claims: {joined(found)}."
    controls = [str(one.claim.number) for one in study.verdicts if not one.evidence and is_tested(one)]
    if controls:
        words += f" Claim {joined(controls)} is a positive control, not evidence."
    return f"{words} They cannot decide the other {n_silent}." if n_silent else words


def _undecided_summary(study: Study) -> str:
    """Why no claim is decided, and what a reader sees instead."""
    cause = _shared_cause(study)
    words = (
        f"These data cannot decide any of the {len(study.verdicts)} claims{f': {cause}' if cause else ''}."
    )
    if not any(map(is_tested, study.verdicts)):
        return words
    seeds = study.claims.studies[study.verdicts[0].study].confirmatory_seeds
    needed = (
        f" A verdict requires runs of the registered seeds ({', '.join(map(str, seeds))})." if seeds else ""
    )
    return f"{words}{needed} The estimates below come from the available runs; they decide nothing."


def _shared_cause(study: Study) -> str:
    """Why none of the claims with an estimate is decided, if that is one cause; else nothing."""
    causes = {one.cause for one in study.verdicts if is_tested(one)}
    alone = len(causes) == 1 and all(one.verdict == "not testable here" for one in study.verdicts)
    return causes.pop().rstrip(". ") if alone else ""


def verdict_rows(study: Study) -> list[dict[str, Any]]:
    """The table of verdicts in words, for the template: claims with an estimate first."""
    shared = _shared_cause(study)
    rows = [_verdict_row(one, study) for one in study.verdicts]
    for row in rows:
        if shared and row["cause"].rstrip(". ") == shared:
            row["cause"] = ""  # the summary above the table says it once
    return sorted(rows, key=lambda row: not row["parts"])


def _verdict_row(verdict: Verdict, study: Study) -> dict[str, Any]:
    known = [part for part in verdict.parts if math.isfinite(part.estimate.value)]
    return {
        "number": verdict.claim.number,
        "title": verdict.claim.title,
        "statement": verdict.claim.statement,
        "verdict": verdict.words,
        "cause": verdict.cause,
        "study": study.claims.studies[verdict.study].title
        if verdict.study in study.claims.studies
        else verdict.study,
        "marks": study_words(verdict, study),
        "parts": [_part_row(verdict, part) for part in known],
        "gates": [_gate(gate) for gate in verdict.gates],
        "seeds": _seed_words(known),
        "notes": list(verdict.notes),
    }


def _part_row(verdict: Verdict, part: Part) -> dict[str, str]:
    one = part.estimate
    effect = part.minimum_detectable_effect
    return {
        "title": part_title(part),
        "estimate": estimate_words(one, runs=False),
        "level": f"{100 * one.confidence_level:.4g} %" if math.isfinite(one.ci_low) else "",
        "delta": f"{part.contrast.smallest_effect:.3g}",
        "word": part_word(verdict, part),
        "detectable": f"{effect:.3f}" if math.isfinite(effect) else "",
        "cause": one.cause,
    }


def _gate(gate: Gate) -> dict[str, str]:
    state = _GATE_WORDS[gate.passed]
    return {"title": gate.title, "state": state, "words": gate.words.removeprefix(state).lstrip(": ")}


def _seed_words(parts: Sequence[Part]) -> str:
    """``5 seeds; scales tiny, small``; counts of parts that differ, from least to most."""
    counts = sorted({part.estimate.n_seeds for part in parts if part.estimate.n_seeds})
    scales = list(dict.fromkeys(scale for part in parts for scale in part.estimate.scales if scale))
    if not counts:
        return ""
    words = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    words += " run" if counts == [1] else " runs"
    return f"{words}; scale{'s' if len(scales) > 1 else ''} {', '.join(scales)}" if scales else words


def _panel(panel: ClaimPanel) -> dict[str, Any]:
    title, _, place = panel.title.partition("\n")
    term = panel.term
    return {
        "title": title,
        "place": place,
        "unit": term.unit,
        "log": term.log,
        "limits": list(term.limits) if term.limits else None,
        "courses": [_course(course) for course in panel.courses],
        "levels": [{"title": one.title, "v": _short(one.height), "role": one.role} for one in panel.levels],
        "spans": [[one.window, _short(one.start), _short(one.end), one.scale] for one in panel.spans],
        "contrasts": [
            {
                "number": verdict.claim.number,
                "title": verdict.claim.title,
                "verdict": verdict.words,
                "parts": [_part(verdict, part) for part in parts],
            }
            for verdict, parts in panel.contrasts
        ],
    }


def _course(course: Course) -> dict[str, Any]:
    points = course.points
    return {
        "run": course.run,
        "r": [int(one) for one in points["order"]],
        **{
            name: [_short(one) for one in points[column]]
            for name, column in (("v", "value"), ("lo", "ci_low"), ("hi", "ci_high"))
        },
        "n": [int(one) for one in points["n"]],
        "ok": [bool(one) for one in points["usable"]],
    }


def _part(verdict: Verdict, part: Part) -> dict[str, Any]:
    one = part.estimate
    return {
        "title": part_title(part),
        "v": _short(one.value),
        "lo": _short(one.ci_low),
        "hi": _short(one.ci_high),
        "delta": float(f"{part.contrast.smallest_effect:.3g}"),
        "word": part_word(verdict, part),
        "words": estimate_words(one),
        "runs": [[run.run, _short(run.value)] for run in one.runs],
    }


def _curve(verdict: Verdict, study: Study) -> dict[str, Any]:
    return {
        "number": verdict.claim.number,
        "title": verdict.claim.title,
        "verdict": verdict.words,
        "cause": verdict.cause,
        "gates": [_gate(gate) for gate in verdict.gates],
        "notes": list(verdict.notes),
        "parts": list(_specified_parts(verdict, study)),
    }


def _specified_parts(verdict: Verdict, study: Study) -> Iterable[dict[str, Any]]:
    """The curve of each registered contrast that has an estimate."""
    for part in verdict.parts:
        found = study.specifications(verdict, part) if math.isfinite(part.estimate.value) else []
        if found:
            yield {
                "title": part_title(part),
                "delta": float(f"{part.contrast.smallest_effect:.3g}"),
                "detectable": _short(part.minimum_detectable_effect),
                **_specified(found),
            }


def _specified(found: Sequence[Specification]) -> dict[str, Any]:
    """Sorted by value; the choices by name, each specification's as places in them."""
    known = sorted(found, key=lambda one: one.estimate.value)
    names = list(dict.fromkeys(name for one in known for name in one.choices))
    options = {name: _options(name, known) for name in names}
    return {
        "choices": [[name, options[name]] for name in names],
        "rows": [
            {
                "v": _short(one.estimate.value),
                "lo": _short(one.estimate.ci_low),
                "hi": _short(one.estimate.ci_high),
                "seeds": one.estimate.n_seeds,
                "registered": one.registered,
                "c": [
                    options[name].index(one.choices[name]) if name in one.choices else -1 for name in names
                ],
            }
            for one in known
        ],
    }


def _options(name: str, found: Sequence[Specification]) -> list[str]:
    """The values of a choice, the registered one first."""
    registered = [one.choices[name] for one in found if one.registered and name in one.choices]
    return list(dict.fromkeys([*registered, *(one.choices[name] for one in found if name in one.choices)]))


def _short(number: float) -> float | None:
    """Five significant digits; None for NaN, which JSON does not have."""
    value = float(number)
    return float(f"{value:.5g}") if math.isfinite(value) else None
