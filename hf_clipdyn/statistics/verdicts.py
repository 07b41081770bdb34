"""Verdicts: what the tables say about each claim, by the rule that was registered before the runs.

Contrasts are oriented so that positive favours the claim. With [L, U] the interval at level 1 - α/k for the k testable
claims, and δ the smallest effect of interest:

=========================== =================================
holds                       L >= δ
right direction, size open  0 < L < δ <= U
negligible                  the interval lies inside (-δ, δ)
contradicted                U <= -δ
undecided                   else
=========================== =================================

Gates decide whether a claim is testable, over fixed windows; they never choose which revisions enter. Seeds that tuned
the world never enter. Correlations of two trajectories within a run are never tested: trends always correlate.
"""

import math
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from hf_clipdyn.statistics.claims import Claim
from hf_clipdyn.statistics.contrasts import Contrast, Estimate

__all__ = ["Gate", "Part", "Verdict", "Word", "minimum_detectable_effect", "word_of"]

Word = Literal[
    "holds",
    "right direction, size open",
    "negligible",
    "contradicted",
    "undecided",
    "gate failed",
    "not testable here",
]

_POWER = 0.8


@dataclass(frozen=True, kw_only=True)
class Part:
    """One contrast of a claim, and what the rule says about it.

    Attributes:
        contrast: with δ in ``smallest_effect``; positive favours the claim.
        estimate: of the contrast, with its interval.
        verdict: by the rule above.
        minimum_detectable_effect: see the function of that name; NaN without a standard error.
        title: in words.
        scale: the only scale of the estimate; empty for all scales together.
    """

    contrast: Contrast
    estimate: Estimate
    verdict: Word
    minimum_detectable_effect: float
    title: str = ""
    scale: str = ""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A condition for a claim to be testable, or a control arm.

    Attributes:
        title: in words.
        passed: None if it was not measured.
        words: what was found.
    """

    title: str
    passed: bool | None
    words: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one study says about one claim.

    Attributes:
        claim: number, title and tests.
        study: its name in the claims' file.
        verdict: of all parts together.
        cause: why, if a gate failed, if it is not testable here, or if it is undecided; may be empty.
        parts: its contrasts; also where the verdict does not use them, such as from tuning seeds.
        gates: gates and control arms.
        evidence: False for a positive control, which holds by construction.
        notes: what a reader must know beside the verdict.
    """

    claim: Claim
    study: str
    verdict: Word
    cause: str = ""
    parts: tuple[Part, ...] = ()
    gates: tuple[Gate, ...] = ()
    evidence: bool = True
    notes: tuple[str, ...] = ()


def word_of(low: float, high: float, smallest_effect: float) -> Word:
    """The verdict of the rule for one interval; undecided for NaN.

    Args:
        low, high: the ends of the interval, oriented so that positive favours the claim.
        smallest_effect: δ, above 0.

    Example:
        >>> word_of(0.01, 0.09, 0.05)
        'right direction, size open'
    """
    if low >= smallest_effect:
        return "holds"
    if high <= -smallest_effect:
        return "contradicted"
    if -smallest_effect < low and high < smallest_effect:
        return "negligible"
    if 0 < low and smallest_effect <= high:
        return "right direction, size open"
    return "undecided"


def minimum_detectable_effect(standard_error: float, degrees_of_freedom: float, confidence: float) -> float:
    """The true effect that reaches L > 0 with a power of 80 %: (t_{1-α/2} + t_{.8}) SE.

    L > 0 shows the direction; to reach L >= δ ("holds") with that power, the true effect must be δ larger. The sum of
    quantiles is an approximation: with four degrees of freedom the power is 79 % at a level of 95 %, 75 % at 99 %.

    Args:
        standard_error: of the contrast.
        degrees_of_freedom: of Student's t.
        confidence: level of the interval, 1 - α.

    Returns:
        In units of the contrast; NaN without a standard error.
    """
    if not (math.isfinite(standard_error) and degrees_of_freedom > 0):
        return math.nan
    quantiles = stats.t.ppf([(1 + confidence) / 2, _POWER], degrees_of_freedom)
    return float(quantiles.sum() * standard_error)
