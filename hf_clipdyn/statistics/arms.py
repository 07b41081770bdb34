"""Arms beside the main arm: what a control or an ablation changes. It is described, and never tested."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from hf_clipdyn.statistics.contrasts import Contrast, Endpoint, Estimate, RunContrast, combine, minus
from hf_clipdyn.statistics.evidence import Evidence, paired

__all__ = ["CONFIDENCE", "ArmEffect", "arm_effects"]

CONFIDENCE = 0.95
"""Level of the interval of each effect, by itself: a description is not corrected for the number of arms."""


@dataclass(frozen=True, kw_only=True)
class ArmEffect:
    """The mean of an endpoint over a window, in an arm and in the main arm.

    Attributes:
        arm: name of the arm.
        endpoint: what was measured.
        window: name of the window of training.
        main: mean of the main arm, over the runs that have a partner.
        effect: the arm minus the main arm, paired by scale and seed, in units of the endpoint; ``n_seeds`` counts the
            pairs.
    """

    arm: str
    endpoint: Endpoint
    window: str
    main: float
    effect: Estimate


def arm_effects(evidence: Evidence) -> list[ArmEffect]:
    """What each arm changes in the endpoints of the testable claims, over the study's windows of trained revisions.

    A number that is undefined is NaN with its cause. Left out are a window in which it is undefined for every arm, and
    an arm that shares no scale and seed with the main arm.

    Returns:
        By endpoint, window and arm, in the order of the claims' file and of the tables.
    """
    windows = {
        name: one
        for name, one in evidence.claims.windows_of(evidence.study).items()
        if not one.untrained and not evidence.claims.is_located(evidence.study, name)
    }
    tests = [claim.test(evidence.study) for claim in evidence.claims.claims]
    endpoints = dict.fromkeys(
        contrast.endpoint for test in tests if test.testable for contrast in test.contrasts
    )
    found, arms = [], evidence.arms
    for endpoint, window in product(endpoints, windows):
        mean = Contrast(title=window, endpoint=endpoint, weights={window: 1.0}, smallest_effect=math.inf)
        main = evidence.contrasts(mean, windows)
        effects = [_effect(arm, mean, evidence.contrasts(mean, windows, arm), main) for arm in arms]
        if any(math.isfinite(one.effect.value) for one in effects):
            found += [one for one in effects if one.effect.n_seeds]
    return found


def _effect(arm: str, mean: Contrast, own: Sequence[RunContrast], main: Sequence[RunContrast]) -> ArmEffect:
    own, main = paired(own, main)
    return ArmEffect(
        arm=arm,
        endpoint=mean.endpoint,
        window=mean.title,
        main=combine(main, CONFIDENCE).value,
        effect=combine(minus(own, main), CONFIDENCE),
    )
