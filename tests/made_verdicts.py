"""Verdicts made up for the tests of what the report draws and says about them. Nothing here was measured or judged."""

import math

from hf_clipdyn.report.study import Study
from hf_clipdyn.statistics.claims import EMBEDDED, read_claims
from hf_clipdyn.statistics.contrasts import Error, Estimate, RunValue
from hf_clipdyn.statistics.judge import JudgedPart, Verdict, Word, word_of


def judged(study: Study, *verdicts: Verdict) -> Study:
    """The study with these verdicts on the package's claims, as if it had judged them."""
    study.__dict__["verdicts"] = list(verdicts)
    study.__dict__["claims"] = read_claims(EMBEDDED)
    return study


def made(number: int, *values: tuple[float, float], word: Word = "holds", cause: str = "") -> Verdict:
    """A verdict on a claim of the package, by prompts.

    Args:
        values: of each contrast its value and half the width of its interval.
    """
    known = {one.number.removesuffix(" by prompts"): one for one in read_claims(EMBEDDED).claims}
    claim = known[str(number)]
    parts = tuple(
        JudgedPart(
            part=part,
            estimate=_estimate(value, half),
            word=word_of(value - half, value + half, part.smallest_effect),
        )
        for part, (value, half) in zip(claim.parts, values, strict=False)
    )
    return Verdict(claim=claim, word=word, cause=cause, parts=parts, notes=claim.notes)


def _estimate(value: float, half: float) -> Estimate:
    if math.isnan(value):
        return Estimate(value=value, cause="nothing was measured")
    runs = tuple(RunValue(run=f"me/tiny-{seed}", scale="tiny", seed=seed, value=value) for seed in range(5))
    return Estimate(
        value=value,
        ci_low=value - half,
        ci_high=value + half,
        errors=(Error((half / 2) ** 2, 4.0),),
        confidence=0.99,
        n=1000,
        n_clusters=64,
        runs=runs,
    )
