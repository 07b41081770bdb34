"""Planted studies: every verdict is reached where it is true, and false ones are as rare as they should be.

The simulation in memory goes from rows and item errors to verdicts; `test_judge.py` goes from tables with trials. The
truth of each contrast is that of the planted curve in the windows.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_tables import PLAN, Known, judge, plan
from planted import Curve, Noise, constant, peak, ramp, turn
from result_rows import course

from hf_clipdyn.metrics.influence import Influence, Units
from hf_clipdyn.results.row import Row
from hf_clipdyn.statistics.claims import Claims, Part

LEVEL = 0.05
SHARES = np.linspace(0, 1, 19)
ITEMS = 100
UNITS = Units("planted", np.arange(ITEMS)[:, None], ITEMS)
KINDS = {
    "peak": [("rise", 0, {"peak": 1, "start": -1}, 0.05), ("decline", 0, {"peak": 1, "late": -1}, 0.05)],
    "turn": [("texture early", 0.5, {"early": -1}, 0.05), ("turn", 0, {"late": 1, "early": -1}, 0.15)],
    "fall": [("fall", 0, {"early": 1, "late": -1}, 0.05)],
}
WINDOWS = {"start": [0], "early": [2, 3], "peak": [2, 3, 4], "late": [17, 18]}
"""The revisions of each window."""


@dataclass(frozen=True)
class Study:
    """A kind of planted study.

    Attributes:
        name, claim, truth, noise: what is planted.
        verdict: what is true, and what the noise lets most studies reach.
        worst: at a limit of the rule, the false verdict that is next to the truth.
        shared: sd of what items add in all runs alike: at all revisions, and growing with training.
        own: sd of what they add to each revision of each run.
    """

    name: str
    claim: str
    truth: Curve
    verdict: str
    noise: Noise = field(default_factory=lambda: Noise(seed=0.01, checkpoint=0.02))
    worst: str = ""
    shared: float = 0.001
    own: float = 0.01

    def of(self, part: Part) -> float:
        """The contrast of the truth in the windows."""
        means = {name: np.mean([self.truth(SHARES[at]) for at in places]) for name, places in WINDOWS.items()}
        return part.constant + float(sum(weight * means[name] for name, weight in part.weights.items()))


def step(by: float) -> Curve:
    """Falls by so much in the middle of training, so that all of it lies between the windows early and late."""
    return lambda share: 0.4 + (by if share < 0.5 else 0.0)


# With five seeds, the interval of a difference of two revisions reaches 2.8 * sqrt(2 (checkpoint² + own²) / 5) to each
# side: 0.04 by default, below the smallest effect of 0.05; 0.14 with loud checkpoints.
LOUD = Noise(seed=0.01, checkpoint=0.08)
DRIFTING = Noise(seed=0.01, drift=0.3, checkpoint=0.02)  # the seeds' slopes differ by more than any effect
QUIET = Noise(seed=0.01, checkpoint=0.002)
OPEN = "right direction, size open"
# The last four have a truth at each limit of the rule, on its wrong side: nowhere is a false verdict more frequent.
STUDIES = [
    Study("flat", "peak", constant(0.4), "negligible"),
    Study("monotone", "peak", ramp(0.2, 0.6), "contradicted"),
    Study("drifting", "peak", constant(0.4), "undecided", DRIFTING),
    Study("a true peak", "peak", peak(0.2, 0.5, 0.3, at=1 / 6), "holds"),
    Study("a true turn", "turn", turn(0.2, 0.8), "holds"),
    Study("a small turn", "turn", turn(0.4, 0.55), OPEN),
    Study("just below δ", "fall", step(0.05 - 1e-6), OPEN, worst="holds"),
    Study("just above δ", "fall", step(0.05 + 1e-6), OPEN, worst="negligible"),
    Study("just below 0", "fall", step(-1e-6), "undecided", LOUD, worst=OPEN),
    Study("just above -δ", "fall", step(-0.05 + 1e-6), "undecided", worst="contradicted"),
]
ITEMS_DOMINATE = Study(
    "shared items dominate", "fall", ramp(0.6, 0.2), "holds", QUIET, shared=0.02, own=0.002
)


@cache
def claims_of(kind: str) -> Claims:
    parts = [
        {"title": title, "endpoint": "m", "constant": start, "weights": weights, "smallest_effect": effect}
        for title, start, weights, effect in KINDS[kind]
    ]
    return plan(
        tuning_seeds=(0, 1),
        confirmatory_seeds=(10, 11, 12, 13, 14),
        windows=PLAN["windows"] | {"peak": {"shares": (0.1, 0.23)}},
        endpoints={"m": {"kind": "noise", "dataset": "procedural", "metric": "area"}},
        claims=[{"number": 1, "title": kind, "parts": parts}],
    )


def drawn(study: Study, rng: np.random.Generator) -> tuple[list[Row], Known]:
    """Two tuning seeds and five confirmatory ones, all shown the same items, and what these contribute."""
    known: dict[Any, Influence] = {}
    rows: list[Row] = []
    everywhere, later = rng.normal(0, study.shared, size=(2, ITEMS))
    for seed in (0, 1, 10, 11, 12, 13, 14):
        own = rng.normal(0, study.own, size=(len(SHARES), ITEMS))
        added = (everywhere + SHARES[:, None] * later + own) / np.sqrt(ITEMS)
        values = [study.truth(share) for share in SHARES] + study.noise.draw(rng, SHARES) + added.sum(axis=1)
        of_run = course("noise/procedural", "area", values, repo_id=f"me/{seed}", scale="tiny", seed=seed)
        for row, contributions in zip(of_run, added - added.mean(axis=1, keepdims=True), strict=True):
            known[row.key, row.number_key] = Influence(UNITS, contributions)
        rows += of_run
    return rows, Known(known)


def is_false(word: str, truth: float, effect: float) -> bool:
    """Whether the truth contradicts a verdict; at the limits neither side is false."""
    return {
        "holds": truth < effect - 1e-9,
        OPEN: truth < 1e-9,
        "negligible": abs(truth) > effect - 1e-9,
        "contradicted": truth > -effect + 1e-9,
    }.get(word, False)


def simulated(study: Study, n: int) -> pd.DataFrame:
    """Each part of n studies: the verdict, whether the interval has the truth, and whether the word is false."""
    rng, parts = np.random.default_rng([*repr(study.name).encode()]), []
    for _ in range(n):
        rows, errors = drawn(study, rng)
        (verdict,) = judge(rows, claims_of(study.claim), errors).verdicts
        for one in verdict.parts:
            truth = study.of(one.part)
            is_covered = one.estimate.ci_low <= truth <= one.estimate.ci_high
            false = is_false(one.word, truth, one.part.smallest_effect)
            parts.append((one.part.title, verdict.word, is_covered, false))
    return pd.DataFrame(parts, columns=["part", "verdict", "covered", "false"])


def at_most(rate: float, n: int) -> float:
    """A rate with three binomial standard errors of n studies."""
    return float(rate + 3 * np.sqrt(rate * (1 - rate) / n))


@pytest.mark.slow
def test_false_verdicts_are_as_rare_and_intervals_as_wide_as_they_say():
    """A thousand studies in which seeds dominate the error, and a hundred in which the items that they share do."""
    n = 100  # of each kind
    found = pd.concat({one.name: simulated(one, n) for one in STUDIES}, names=["study"])
    assert not (found["covered"] & found["false"]).any(), (
        "a verdict is false only if the interval misses the truth"
    )
    assert found.groupby(["study", "part"])["false"].mean().max() <= at_most(LEVEL, n)
    for one in STUDIES:
        assert (found.loc[one.name, "verdict"] == one.verdict).mean() > 0.5, one.name
    at_limits = [(found.loc[one.name, "verdict"] == one.worst).mean() for one in STUDIES if one.worst]
    assert np.mean(at_limits) <= at_most(LEVEL / 2, n * len(at_limits))  # missed on one side only
    assert 0.93 <= found["covered"].mean() <= 0.97  # more than three standard errors to each side
    assert found["false"].mean() <= LEVEL
    assert 1 - simulated(ITEMS_DOMINATE, n)["covered"].mean() <= at_most(LEVEL, n)
