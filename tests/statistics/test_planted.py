"""Planted studies: every verdict is reached where it is true, and false ones are as rare as they should be.

The simulation in memory goes from trajectories and item errors to verdicts; `test_verdicts.py` goes from tables with
trials. The truth of each contrast is that of the planted curve in the windows that the study used.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planted import Curve, Noise, Planted, Run, constant, peak, ramp, trajectory, turn
from scipy import stats

from hf_clipdyn.statistics.alignment import Window, place
from hf_clipdyn.statistics.claims import Claims, read_claims
from hf_clipdyn.statistics.evidence import Evidence
from hf_clipdyn.statistics.item_errors import Design, ItemError
from hf_clipdyn.statistics.judging import Part, judge_evidence

_SHARES = np.linspace(0, 1, 19)
_ITEMS = 100
_DESIGN = Design("planted", (1,), (_ITEMS,), 0, _ITEMS)
_CLAIMS = """
level: 0.05
windows:
  - {name: untrained, untrained: true}
  - {name: peak, start: 0, end: 0.3}
  - {name: early, start: 0.1, end: 0.2}
  - {name: late, start: 0.9, end: 1}
located: [peak]
studies: {planted: {title: planted, tuning_seeds: [0, 1], confirmatory_seeds: [10, 11, 12, 13, 14]}}
claims:
  - number: 1
    title: CLAIM
    studies:
      planted:
        parts:
PARTS
"""
_PART = """          - contrast:
              title: TITLE
              endpoint: {kind: noise, dataset: procedural, metric: area, condition: gaussian}
              constant: CONSTANT
              weights: WEIGHTS
              smallest_effect: EFFECT
"""
_KINDS = {
    "peak": [("rise", 0, "{peak: 1, untrained: -1}", 0.05), ("decline", 0, "{peak: 1, late: -1}", 0.05)],
    "turn": [("texture early", 0.5, "{early: -1}", 0.05), ("turn", 0, "{late: 1, early: -1}", 0.15)],
    "fall": [("fall", 0, "{early: 1, late: -1}", 0.05)],
}


@cache
def _claims(kind: str, folder: Path) -> Claims:
    parts = "".join(
        _PART.replace("TITLE", title)
        .replace("CONSTANT", str(constant))
        .replace("WEIGHTS", weights)
        .replace("EFFECT", str(effect))
        for title, constant, weights, effect in _KINDS[kind]
    )
    path = folder / f"{kind}.yaml"
    path.write_text(_CLAIMS.replace("CLAIM", kind).replace("PARTS\n", parts), encoding="utf-8")
    return read_claims(path)


class _Errors:
    """What the items contribute, as `ItemErrors` gives it."""

    def __init__(self) -> None:
        self.held: dict[tuple[object, ...], ItemError] = {}

    def of(self, kind: str, wanted: Mapping[str, object]) -> dict[tuple[object, ...], ItemError]:
        return self.held


def _study(claims: Claims, truth: Curve, noise: Noise, rng: np.random.Generator) -> Evidence:
    """Two tuning seeds and five confirmatory ones; items hard in all revisions, at the end, and by chance."""
    errors, found = _Errors(), []
    # Student's t has the seeds' degrees of freedom: where shared items dominate the error, intervals are too wide.
    everywhere, later = rng.normal(size=(2, _ITEMS)) * 0.005
    for seed in (0, 1, 10, 11, 12, 13, 14):
        run = Run(scale="tiny", seed=seed, planted=Planted())
        own = rng.normal(size=(len(_SHARES), _ITEMS)) * 0.01
        items = (everywhere + _SHARES[:, None] * later + own) / np.sqrt(_ITEMS)
        values = [truth(share) for share in _SHARES] + noise.draw(rng, _SHARES) + items.sum(axis=1)
        one = trajectory(run, values, _SHARES, metric="area", condition="gaussian")
        centred = items - items.mean(axis=1, keepdims=True)
        for cell, row in zip(one.points["cell"], centred, strict=True):
            errors.held[cell, one.number_key] = ItemError(_DESIGN, row)
        found.append(one)
    return Evidence(claims=claims, study="planted", trajectories=found, errors=errors)  # type: ignore[arg-type]


def _truth_of(part: Part, windows: Mapping[str, Window], revisions: pd.DataFrame, truth: Curve) -> float:
    """The contrast of the truth in the windows of the study."""
    value = part.contrast.constant
    for name, weight in part.contrast.weights.items():
        for revision, share in place(windows[name], revisions).weights.items():
            value += weight * share * truth(float(revisions.loc[revision, "share"]))
    return value


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
    """Shares of studies with each verdict; for each part whether its 95 % interval has the truth, and is false."""

    verdicts: Mapping[str, float]
    covered: Mapping[str, list[bool]]
    false: Mapping[str, list[bool]]


def _simulate(name: str, n: int, folder: Path) -> _Rates:
    kind, truth, noise, _ = _STUDIES[name]
    rng, claims = np.random.default_rng([*name.encode()]), _claims(kind, folder)
    verdicts: Counter[str] = Counter()
    covered, false = defaultdict(list), defaultdict(list)
    places: dict[str, pd.DataFrame] = {}
    for _ in range(n):
        evidence = _study(claims, truth, noise, rng)
        vars(evidence)["places"] = places = places or evidence.places  # the same in all studies, and slow
        windows = evidence.windows(claims.claims[0].test("planted"))
        (verdict,) = judge_evidence(evidence)
        verdicts[verdict.verdict] += 1
        for part in verdict.parts:
            value = _truth_of(part, windows, next(iter(places.values())), truth)
            found = part.estimate
            half = stats.t.ppf(0.975, found.degrees_of_freedom) * found.standard_error
            covered[part.title].append(abs(found.value - value) <= half)
            false[part.title].append(_is_false(part.verdict, value, part.contrast.smallest_effect))
    return _Rates({word: count / n for word, count in verdicts.items()}, covered, false)


_INDEPENDENT = Noise(seed=0.01, checkpoint=0.02)
_STUDIES = {
    # name: claim, truth, noise, the verdict that is true
    "flat": ("peak", constant(0.4), _INDEPENDENT, "negligible"),
    "monotone": ("peak", ramp(0.2, 0.6), _INDEPENDENT, "contradicted"),
    "falls from the start": ("peak", turn(0.6, 0.2, at=0.02, width=0.02), _INDEPENDENT, "contradicted"),
    "drifting": ("peak", constant(0.4), Noise(seed=0.01, drift=0.3, checkpoint=0.01), "undecided"),
    "autocorrelated": ("peak", constant(0.4), Noise(checkpoint=0.02, autocorrelation=0.8), "negligible"),
    "loud checkpoints": ("peak", constant(0.4), Noise(checkpoint=0.08), "undecided"),
    "a true peak": ("peak", peak(0.2, 0.5, 0.3, at=1 / 6), _INDEPENDENT, "holds"),
    "a peak of the smallest effect": (
        "peak",
        peak(0.35, 0.4, 0.35, at=1 / 6),
        _INDEPENDENT,
        "right direction, size open",
    ),
    "a true turn": ("turn", turn(0.2, 0.8), _INDEPENDENT, "holds"),
    "a small turn": ("turn", turn(0.4, 0.55), _INDEPENDENT, "right direction, size open"),
    "no turn": ("turn", constant(0.5), _INDEPENDENT, "negligible"),
    "a fall": ("fall", ramp(0.6, 0.2), _INDEPENDENT, "holds"),
    "a rise": ("fall", ramp(0.2, 0.6), _INDEPENDENT, "contradicted"),
}
_LEVEL = 0.05


@pytest.mark.parametrize("name", _STUDIES)
def test_the_true_verdict_is_the_most_frequent_one(name: str, tmp_path: Path):
    rates = _simulate(name, 3, tmp_path)
    assert max(rates.verdicts, key=lambda word: rates.verdicts[word]) == _STUDIES[name][3], rates


@pytest.mark.slow
def test_false_verdicts_are_as_rare_and_intervals_as_wide_as_they_say(tmp_path: Path):
    n = 80  # of each kind, 1,040 in all
    found = {name: _simulate(name, n, tmp_path) for name in _STUDIES}
    for name, rates in found.items():
        shares = {part: np.mean(one) for part, one in rates.covered.items()}
        errors = {part: np.mean(one) for part, one in rates.false.items()}
        print(f"{name}: {dict(rates.verdicts)}, covered {shares}, false {errors}")
        assert max(rates.verdicts, key=lambda word: rates.verdicts[word]) == _STUDIES[name][3], name
        assert max(errors.values()) <= _LEVEL + 3 * np.sqrt(_LEVEL * (1 - _LEVEL) / n), name
    covered = np.mean([one for rates in found.values() for part in rates.covered.values() for one in part])
    false = np.mean([one for rates in found.values() for part in rates.false.values() for one in part])
    print(f"covered {covered:.4f}, false {false:.4f}")
    assert 0.93 <= covered <= 0.97
    assert false <= _LEVEL
