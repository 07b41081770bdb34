"""Verdicts made up for the tests of what the report draws and says about them. Nothing here was measured or judged."""

import math
from collections.abc import Sequence
from typing import Any

from hf_clipdyn.report.study import Study
from hf_clipdyn.statistics.contrasts import Estimate, RunContrast
from hf_clipdyn.statistics.judging import Gate, Part, Verdict, Word, word_of


def judged(study: Study, *verdicts: Verdict) -> Study:
    """The study with these verdicts, as if it had judged them."""
    study.__dict__["verdicts"] = list(verdicts)
    return study


def made(
    study: Study,
    number: int,
    *values: tuple[float, float],
    word: Word = "holds",
    cause: str = "",
    gates: Sequence[tuple[str, bool | None, str]] = (),
    name: str = "world",
    runs: int = 5,
    **more: Any,
) -> Verdict:
    """A verdict on a claim of the package.

    Args:
        study: gives the claims.
        number: of the claim.
        values: of each contrast its value and half the width of its interval.
        gates: title, passed, words.
        name: of the study in the claims' file.
        runs: that each contrast has.
        more: other fields of the verdict.
    """
    (claim,) = [one for one in study.claims.claims if one.number == number]
    test = claim.test(name)
    parts = tuple(
        Part(
            contrast=plan.contrast,
            estimate=_estimate(value, half, runs),
            verdict=word_of(value - half, value + half, plan.contrast.smallest_effect),
            title=plan.contrast.title,
        )
        for plan, (value, half) in zip(test.parts, values, strict=False)
    )
    made_gates = tuple(Gate(title=title, passed=passed, words=words) for title, passed, words in gates)
    fields = {"evidence": test.evidence, "notes": test.notes} | more
    return Verdict(
        claim=claim, study=name, verdict=word, cause=cause, parts=parts, gates=made_gates, **fields
    )


def _estimate(value: float, half: float, runs: int) -> Estimate:
    if math.isnan(value):
        return Estimate(value=value, cause="nothing was measured")
    return Estimate(
        value=value,
        ci_low=value - half,
        ci_high=value + half,
        standard_error=half / 2,
        degrees_of_freedom=float(max(runs - 1, 1)),
        confidence_level=0.99,
        n_seeds=runs,
        scales=("tiny",),
        n=1000,
        n_clusters=64,
        runs=tuple(
            RunContrast(run=f"me/tiny-{seed}", scale="tiny", seed=seed, value=value + 0.001 * seed)
            for seed in range(runs)
        ),
    )
