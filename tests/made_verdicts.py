"""Verdicts made up for the tests of what the report draws and says about them. Nothing here was measured or judged."""

import math
from collections.abc import Sequence
from typing import Any

from hf_clipdyn.report.study import Study
from hf_clipdyn.statistics.claims import EMBEDDED, Claim, read_claims
from hf_clipdyn.statistics.contrasts import Error, Estimate, RunValue
from hf_clipdyn.statistics.judge import GateResult, JudgedPart, Verdict, Word, word_of


def judged(study: Study, *verdicts: Verdict) -> Study:
    """The study with these verdicts on the package's claims, as if it had judged them."""
    study.__dict__["verdicts"] = list(verdicts)
    study.__dict__["claims"] = read_claims(EMBEDDED)
    return study


def made(
    study: Study,
    number: int,
    *values: tuple[float, float],
    word: Word = "holds",
    cause: str = "",
    gates: Sequence[tuple[str, bool | None, str]] = (),
    runs: int = 5,
    **more: Any,
) -> Verdict:
    """A verdict on a claim of the package, by prompts; or on one without contrasts.

    Args:
        study: that it is about.
        number: of the claim.
        values: of each contrast its value and half the width of its interval.
        gates: title, passed, words.
        runs: that each contrast has.
        more: other fields of the verdict.
    """
    known = {one.number.removesuffix(" by prompts"): one for one in read_claims(EMBEDDED).claims}
    absent = Claim(number=str(number), title="Another claim", cause=cause or "nobody asked")
    claim = known.get(str(number), absent)
    parts = tuple(
        JudgedPart(
            part=part,
            estimate=_estimate(value, half, runs),
            word=word_of(value - half, value + half, part.smallest_effect),
        )
        for part, (value, half) in zip(claim.parts, values, strict=False)
    )
    made_gates = tuple(GateResult(title=title, passed=passed, words=words) for title, passed, words in gates)
    fields: dict[str, Any] = {"notes": claim.notes} | more
    return Verdict(claim=claim, word=word, cause=cause, parts=parts, gates=made_gates, **fields)


def _estimate(value: float, half: float, runs: int) -> Estimate:
    if math.isnan(value):
        return Estimate(value=value, cause="nothing was measured")
    return Estimate(
        value=value,
        ci_low=value - half,
        ci_high=value + half,
        errors=(Error((half / 2) ** 2, float(max(runs - 1, 1))),),
        confidence=0.99,
        n=1000,
        n_clusters=64,
        runs=tuple(
            RunValue(run=f"me/tiny-{seed}", scale="tiny", seed=seed, value=value + 0.001 * seed)
            for seed in range(runs)
        ),
    )
