"""The claims in words: what came out, why nothing did, and how many runs tell it."""

from collections import Counter
from collections.abc import Sequence
from typing import get_args

from hf_clipdyn.report.study import Study
from hf_clipdyn.report.words import joined
from hf_clipdyn.statistics.judge import JudgedPart, Verdict, Word


def verdict_summary(study: Study) -> str:
    """How many claims the data can test, and what came out; the cause where all share one."""
    verdicts, order = study.verdicts, get_args(Word)
    counts = Counter(verdict.word for verdict in verdicts)
    n_silent = counts.pop("not testable here", 0)
    if n_silent == len(verdicts):
        return _undecided_summary(study)
    outcomes = [
        f"{counts[word]} {'hold' if word == 'holds' and counts[word] > 1 else word}"
        for word in sorted(counts, key=order.index)
    ]
    words = f"These data can test {len(verdicts) - n_silent} of {len(verdicts)} claims: {joined(outcomes)}."
    controls = [one.claim.number for one in verdicts if one.is_tested and not one.claim.evidence]
    if controls:
        words += f" Claim {joined(controls)} is a positive control, not evidence."
    return f"{words} They cannot decide the other {n_silent}." if n_silent else words


def _undecided_summary(study: Study) -> str:
    """Why no claim is decided, and what a reader sees instead."""
    cause = shared_cause(study.verdicts)
    words = (
        f"These data cannot decide any of the {len(study.verdicts)} claims{f': {cause}' if cause else ''}."
    )
    if study.claims is None or not any(verdict.is_tested for verdict in study.verdicts):
        return words
    seeds = ", ".join(map(str, study.claims.confirmatory_seeds))
    needed = f" A verdict requires runs of the registered seeds ({seeds})." if seeds else ""
    return f"{words}{needed} The estimates below come from the available runs; they decide nothing."


def shared_cause(verdicts: Sequence[Verdict]) -> str:
    """Why none of the claims with an estimate is decided, if that is one cause; else nothing."""
    causes = {verdict.cause for verdict in verdicts if verdict.is_tested}
    alone = len(causes) == 1 and all(verdict.word == "not testable here" for verdict in verdicts)
    return causes.pop().rstrip(". ") if alone else ""


def seed_words(parts: Sequence[JudgedPart]) -> str:
    """``5 runs; scales tiny, small``; counts of parts that differ, from least to most."""
    known = [part.estimate for part in parts]
    counts = sorted({estimate.n_seeds for estimate in known})
    scales = list(dict.fromkeys(scale for estimate in known for scale in estimate.scales if scale))
    runs = f"{' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} run{'s' * (counts != [1])}"
    return f"{runs}; scale{'s' * (len(scales) > 1)} {', '.join(scales)}" if scales else runs
