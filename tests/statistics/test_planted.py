"""Planted studies: every verdict is reached where it is true, and false ones are as rare as they should be.

The simulation in memory goes from rows and item errors to verdicts; `test_judge.py` goes from tables with trials. The
truth of each contrast is that of the planted curve in the windows.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest
from made_tables import PLAN, Known, judge, plan
from numpy.typing import NDArray
from planted import Curve, Noise, constant, peak, ramp, turn
from result_rows import course

from hf_clipdyn.metrics.influence import Influence, Units
from hf_clipdyn.results.row import Row
from hf_clipdyn.statistics.claims import Claims, Part

_SHARES = np.linspace(0, 1, 19)
_ITEMS = 100
_UNITS = Units("planted", np.arange(_ITEMS)[:, None], _ITEMS)
_KINDS = {
    "peak": [("rise", 0, {"peak": 1, "start": -1}, 0.05), ("decline", 0, {"peak": 1, "late": -1}, 0.05)],
    "turn": [("texture early", 0.5, {"early": -1}, 0.05), ("turn", 0, {"late": 1, "early": -1}, 0.15)],
    "fall": [("fall", 0, {"early": 1, "late": -1}, 0.05)],
}
_WINDOWS = {"start": [0], "early": [2, 3], "peak": [2, 3, 4], "late": [17, 18]}
"""The revisions of each window."""


@cache
def _claims(kind: str) -> Claims:
    parts = [
        {"title": title, "endpoint": "m", "constant": start, "weights": weights, "smallest_effect": effect}
        for title, start, weights, effect in _KINDS[kind]
    ]
    return plan(
        tuning_seeds=(0, 1),
        confirmatory_seeds=(10, 11, 12, 13, 14),
        windows=PLAN["windows"] | {"peak": {"shares": (0.1, 0.23)}},
        endpoints={"m": {"kind": "noise", "dataset": "procedural", "metric": "area"}},
        claims=[{"number": 1, "title": kind, "parts": parts}],
    )


@dataclass(frozen=True, kw_only=True)
class _Items:
    """What the items add to the values, as sd.

    Attributes:
        shared: in all runs alike: at all revisions, and growing with training.
        own: of each revision of each run.
    """

    shared: float = 0.001
    own: float = 0.01


def _study(truth: Curve, noise: Noise, items: _Items, rng: np.random.Generator) -> tuple[list[Row], Known]:
    """Two tuning seeds and five confirmatory ones, all shown the same items, and what these contribute."""
    known: dict[Any, Influence] = {}
    rows: list[Row] = []
    everywhere, later = rng.normal(0, items.shared, size=(2, _ITEMS))
    for seed in (0, 1, 10, 11, 12, 13, 14):
        own = rng.normal(0, items.own, size=(len(_SHARES), _ITEMS))
        added = (everywhere + _SHARES[:, None] * later + own) / np.sqrt(_ITEMS)
        values = [truth(share) for share in _SHARES] + noise.draw(rng, _SHARES) + added.sum(axis=1)
        run = {"repo_id": f"me/{seed}", "scale": "tiny", "seed": seed}
        of_run = course("noise/procedural", "area", values, **run)
        for row, contributions in zip(of_run, added - added.mean(axis=1, keepdims=True), strict=True):
            known[row.key, row.number_key] = Influence(_UNITS, contributions)
        rows += of_run
    return rows, Known(known)


def _truth_of(part: Part, truth: Curve) -> float:
    """The contrast of the truth in the windows."""
    means = {name: np.mean([truth(_SHARES[at]) for at in places]) for name, places in _WINDOWS.items()}
    return part.constant + float(sum(weight * means[name] for name, weight in part.weights.items()))


def _is_false(word: str, truth: float, effect: float) -> bool:
    """Whether the truth contradicts a verdict; at the limits neither side is false."""
    return {
        "holds": truth < effect - 1e-9,
        "right direction, size open": truth < 1e-9,
        "negligible": abs(truth) > effect - 1e-9,
        "contradicted": truth > -effect + 1e-9,
    }.get(word, False)


@dataclass(frozen=True)
class _Rates:
    """Of n simulated studies.

    Attributes:
        verdicts: share of studies with each verdict.
        covered: whether the interval of each part has the truth, (n, parts).
        false: whether the truth contradicts the verdict of each part, (n, parts).
    """

    verdicts: Mapping[str, float]
    covered: NDArray[np.bool_]
    false: NDArray[np.bool_]


def _simulate(study: "_Study", n: int) -> _Rates:
    rng, claims = np.random.default_rng([*repr(study.name).encode()]), _claims(study.claim)
    verdicts: Counter[str] = Counter()
    covered, false = [], []
    for _ in range(n):
        rows, errors = _study(study.truth, study.noise, study.items, rng)
        (verdict,) = judge(rows, claims, errors).verdicts()
        verdicts[verdict.word] += 1
        parts = [(part, part.estimate, _truth_of(part.part, study.truth)) for part in verdict.parts]
        covered.append([estimate.ci_low <= truth <= estimate.ci_high for _, estimate, truth in parts])
        false.append([_is_false(part.word, truth, part.part.smallest_effect) for part, _, truth in parts])
    return _Rates({word: count / n for word, count in verdicts.items()}, np.array(covered), np.array(false))


def _step(by: float) -> Curve:
    """Falls by so much in the middle of training, so that all of it lies between the windows early and late."""
    return lambda share: 0.4 + (by if share < 0.5 else 0.0)


@dataclass(frozen=True)
class _Study:
    """A kind of planted study.

    Attributes:
        name, claim, truth, noise, items: what is planted.
        verdict: what is true, and what the noise lets most studies reach.
        worst: at a limit of the rule, the false verdict that is next to the truth.
    """

    name: str
    claim: str
    truth: Curve
    verdict: str
    noise: Noise = field(default_factory=lambda: Noise(seed=0.01, checkpoint=0.02))
    worst: str = ""
    items: _Items = field(default_factory=_Items)


# With five seeds, the interval of a difference of two revisions reaches 2.8 * sqrt(2 (checkpoint² + own²) / 5) to each
# side: 0.04 by default, below the smallest effect of 0.05; 0.14 with loud checkpoints.
_LOUD = Noise(seed=0.01, checkpoint=0.08)
_DRIFTING = Noise(seed=0.01, drift=0.3, checkpoint=0.02)  # the seeds' slopes differ by more than any effect
_OPEN = "right direction, size open"
# The last ones have a truth at each limit of the rule, on its wrong side: nowhere is a false verdict more frequent.
_STUDIES = [
    _Study("flat", "peak", constant(0.4), "negligible"),
    _Study("monotone", "peak", ramp(0.2, 0.6), "contradicted"),
    _Study("drifting", "peak", constant(0.4), "undecided", _DRIFTING),
    _Study("a true peak", "peak", peak(0.2, 0.5, 0.3, at=1 / 6), "holds"),
    _Study("a true turn", "turn", turn(0.2, 0.8), "holds"),
    _Study("a small turn", "turn", turn(0.4, 0.55), _OPEN),
    _Study("a fall", "fall", ramp(0.6, 0.2), "holds"),
    _Study("just below δ", "fall", _step(0.05 - 1e-6), _OPEN, worst="holds"),
    _Study("just above δ", "fall", _step(0.05 + 1e-6), _OPEN, worst="negligible"),
    _Study("just below 0", "fall", _step(-1e-6), "undecided", _LOUD, worst=_OPEN),
    _Study("just above -δ", "fall", _step(-0.05 + 1e-6), "undecided", worst="contradicted"),
]
_QUIET = Noise(seed=0.01, checkpoint=0.002)
_SHARED = _Study("shared", "fall", ramp(0.6, 0.2), "holds", _QUIET, items=_Items(shared=0.02, own=0.002))


@pytest.mark.parametrize("study", [*_STUDIES, _SHARED], ids=lambda one: one.name)
def test_the_true_verdict_is_the_most_frequent_one(study: _Study):
    rates = _simulate(study, 3)
    assert rates.verdicts.get(study.verdict, 0) > 0.5, rates


@pytest.mark.slow
def test_false_verdicts_are_as_rare_and_intervals_as_wide_as_they_say():
    """A thousand studies in which seeds dominate the error; and where shared items do, intervals are too wide."""
    n = 90  # of each kind
    found = {one.name: _simulate(one, n) for one in _STUDIES}
    for one in _STUDIES:
        rates = found[one.name]
        print(one.name, rates.verdicts, "covered", rates.covered.mean(0), "false", rates.false.mean(0))
        assert rates.verdicts.get(one.verdict, 0) > 0.5, one.name
        # a verdict is false only if the interval misses the truth
        assert not (rates.covered & rates.false).any()
        assert rates.false.mean(0).max() <= _at_most(_LEVEL, n), one.name
    at_limits = [found[one.name].verdicts.get(one.worst, 0) for one in _STUDIES if one.worst]
    assert np.mean(at_limits) <= _at_most(_LEVEL / 2, n * len(at_limits))  # missed on one side only
    covered = np.concatenate([rates.covered.ravel() for rates in found.values()]).mean()
    assert 0.93 <= covered <= 0.97  # more than three standard errors to each side
    assert np.concatenate([rates.false.ravel() for rates in found.values()]).mean() <= _LEVEL
    assert _simulate(_SHARED, n).covered.mean() >= 1 - _LEVEL


_LEVEL = 0.05


def _at_most(rate: float, n: int) -> float:
    """A rate with three binomial standard errors of n studies."""
    return float(rate + 3 * np.sqrt(rate * (1 - rate) / n))
