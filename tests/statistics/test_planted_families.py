"""Planted families of claims with two readouts: false verdicts are rare, true effects found as often as stated.

Each study has a family of three claims, each by two readouts, and five seeds (or three) that are shown the same items.
It goes from trajectories and the items' contributions to the verdicts of the rule of ten words. The truths are planted.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from planted import Planted, Run, trajectory

from hf_clipdyn.metrics.influence import Influence, Units
from hf_clipdyn.statistics.claims import Claims, PartPlan, parse_claims
from hf_clipdyn.statistics.contrasts import RunContrast
from hf_clipdyn.statistics.evidence import Evidence
from hf_clipdyn.statistics.judging import Verdict, judge
from hf_clipdyn.statistics.power import Error, detectable_effect
from hf_clipdyn.statistics.rules import UNDECIDED
from hf_clipdyn.statistics.trajectories import Trajectory

_EFFECT = 0.05
_SHARES = (0.0, 0.15, 1.0)
_CLUSTERS = 36  # of the items, as the texture exemplars of the photographs
_UNITS = Units("planted", np.arange(_CLUSTERS)[:, None], _CLUSTERS)
_READOUTS = {"first": "projection", "second": "linear_probe"}
_N_CLAIMS = 3
_SEEDS = tuple(range(20, 36))

_CLAIMS = """
level: 0.05
rule: ten words
windows:
  - {name: early, start: 0.1, end: 0.2}
  - {name: late, start: 0.9, end: 1}
studies: {planted: {title: planted, tuning_seeds: [0, 1], confirmatory_seeds: SEEDS}}
claims:
"""
_CLAIM = """
  - number: NUMBER
    title: planted
    studies:
      planted:
        family: A
        parts:
PARTS        gates:
          - title: accurate
            rule: at least
            at_least: 0.2
            endpoint: {kind: noise, dataset: procedural, metric: accuracy}
            windows: [late]
"""
_PART = """          - readout: READOUT
            contrast:
              title: it rises
              endpoint: {kind: noise, dataset: procedural, metric: area, subset: NUMBER, probe: PROBE}
              weights: {late: 1, early: -1}
              smallest_effect: 0.05
"""


@cache
def _claims(readouts_count: bool = False) -> Claims:
    text = _CLAIMS.replace("SEEDS", f"{[*_SEEDS]}")
    if readouts_count:
        text = text.replace("rule:", "readouts_count: true\nrule:")
    for number in range(1, _N_CLAIMS + 1):
        parts = "".join(
            _PART.replace("READOUT", name).replace("PROBE", probe) for name, probe in _READOUTS.items()
        )
        text += _CLAIM.replace("PARTS", parts).replace("NUMBER", f"{number}")
    return parse_claims(text.replace("subset: ", "subset: c"), "planted.yaml")


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """A kind of planted study.

    Attributes:
        truths: the change from early to late by the first readout and by the second, of every claim.
        seed, items: sd of the errors of one seed, and of the items, in either readout.
        alike: correlation of a seed's errors, and of the items', in the two readouts.
        n_seeds: runs.
        accuracy: late accuracy of the last seed; the gate asks for .2.
        readouts_count: whether each readout counts in the k that share the level.
    """

    truths: tuple[float, float] = (0.0, 0.0)
    seed: tuple[float, float] = (0.03, 0.03)
    items: tuple[float, float] = (0.01, 0.01)
    alike: float = 0.5
    n_seeds: int = 5
    accuracy: float = 0.9
    readouts_count: bool = False

    def errors(self, readout: int) -> list[Error]:
        """What the standard error of a claim by one readout consists of."""
        seeds = Error("seeds", self.seed[readout] ** 2 / self.n_seeds, self.n_seeds - 1)
        return [seeds, Error("items", self.items[readout] ** 2, _CLUSTERS - 1)]


class _Errors:
    """What the items contribute, as `KeptInfluences` gives it."""

    def __init__(self) -> None:
        self.held: dict[tuple[object, ...], Influence] = {}

    def of(self, kind: str, wanted: Mapping[str, object]) -> dict[tuple[object, ...], Influence]:
        return self.held


@cache
def _template(seed: int, metric: str, subset: str, probe: str) -> Trajectory:
    run = Run(scale="tiny", seed=seed, planted=Planted())
    one = trajectory(run, [0.5] * len(_SHARES), _SHARES, metric=metric, subset=subset, probe=probe)
    # A cell of its own, so that each number has its own items.
    return one.with_points(one.points.assign(cell=one.points["cell"] + f"/{metric}{subset}{probe}"))


def _numbers(one: Trajectory, late: float) -> Trajectory:
    values = np.full(len(_SHARES), 0.5)
    values[-1] += late
    return one.with_points(one.points.assign(value=values))


def _pair(rng: np.random.Generator, sds: Sequence[float], alike: float, n: int) -> NDArray[np.float64]:
    """(2, n) errors of two readouts with this correlation."""
    common, own = rng.normal(size=n), rng.normal(size=(2, n))
    return np.asarray(sds)[:, None] * (np.sqrt(alike) * common + np.sqrt(1 - alike) * own)


@dataclass(frozen=True)
class _Drawn:
    """What one study measured: of each claim and readout the change of each seed, and what each item contributes."""

    changes: NDArray[np.float64]  # (claims, 2, seeds)
    items: NDArray[np.float64]  # (claims, 2, items)

    @classmethod
    def of(cls, kind: _Kind, rng: np.random.Generator) -> "_Drawn":
        errors = [
            (
                _pair(rng, kind.seed, kind.alike, kind.n_seeds),
                _pair(rng, kind.items, kind.alike, _CLUSTERS) / np.sqrt(_CLUSTERS),
            )
            for _ in range(_N_CLAIMS)
        ]
        seeds, items = (np.stack(one) for one in zip(*errors, strict=True))
        truths = np.array(kind.truths)[:, None]
        return cls(truths + seeds + items.sum(axis=2, keepdims=True), items)

    def influence(self, claim: int, readout: int) -> Influence:
        """On the late value, which is on the change: the early one is known."""
        items = self.items[claim, readout]
        return Influence(_UNITS, items - items.mean())


def _accuracies(kind: _Kind) -> list[Trajectory]:
    accuracies = [*[0.9] * (kind.n_seeds - 1), kind.accuracy]
    return [
        _numbers(_template(seed, "accuracy", "", "projection"), accuracy - 0.5)
        for seed, accuracy in zip(_SEEDS, accuracies, strict=False)
    ]


def _study(kind: _Kind, drawn: _Drawn) -> Evidence:
    """The study from its trajectories and its items' contributions."""
    errors, found = _Errors(), _accuracies(kind)
    for claim, (readout, probe) in product(range(_N_CLAIMS), enumerate(_READOUTS.values())):
        for seed, change in zip(_SEEDS, drawn.changes[claim, readout], strict=False):
            one = _numbers(_template(seed, "area", f"c{claim + 1}", probe), change)
            *others, last = one.points["cell"]
            errors.held[last, one.number_key] = drawn.influence(claim, readout)
            for cell in others:
                errors.held[cell, one.number_key] = Influence(_UNITS, np.zeros(_CLUSTERS))
            found.append(one)
    return Evidence(claims=_claims(kind.readouts_count), study="planted", trajectories=found, errors=errors)  # type: ignore[arg-type]


class _Short(Evidence):
    """The same study from the contrasts of its runs, in an eighth of the time; gates read the accuracies as ever."""

    drawn: _Drawn

    @property
    def benchmarks(self) -> set[str]:
        return {"noise/procedural"}

    def part(self, plan: PartPlan, *_: Any, **__: Any) -> list[RunContrast]:
        endpoint = plan.contrast.endpoint
        claim, readout = int(endpoint.subset[1:]) - 1, [*_READOUTS.values()].index(endpoint.probe)
        influence = self.drawn.influence(claim, readout)
        return [
            RunContrast(run=f"{seed}", scale="tiny", seed=seed, value=float(change), influence=influence)
            for seed, change in zip(_SEEDS, self.drawn.changes[claim, readout], strict=False)
        ]


def _judged(kind: _Kind, n: int, *, short: bool = False) -> list[list[Verdict]]:
    """The verdicts of n studies."""
    rng, studies = np.random.default_rng(0), []
    kept: dict[str, Any] = {}  # what is the same in all studies, and slow
    brief = _Short(claims=_claims(kind.readouts_count), study="planted", trajectories=_accuracies(kind))
    for _ in range(n):
        drawn = _Drawn.of(kind, rng)
        if short:
            vars(brief)["drawn"] = drawn
            studies.append(judge(brief))
            continue
        evidence = _study(kind, drawn)
        vars(evidence)["places"] = kept.setdefault("places", evidence.places)
        studies.append(judge(evidence))
    return studies


@pytest.mark.parametrize("name", ["nothing", "one readout has it", "opposite readouts"])
def test_a_study_from_its_contrasts_has_the_verdicts_of_its_trajectories(name: str):
    for whole, brief in zip(*(_judged(_KINDS[name], 3, short=short) for short in (False, True)), strict=True):
        for one, other in zip(whole, brief, strict=True):
            assert (one.decision, one.gates) == (other.decision, other.gates)
            ends = [
                [part.estimate.ci_low for part in verdict.parts]
                + [part.estimate.ci_high for part in verdict.parts]
                for verdict in (one, other)
            ]
            assert ends[0] == pytest.approx(ends[1])


# When a word is true of a change by one readout; at a limit neither side is false.
_TRUE: Mapping[str, Callable[[float], bool]] = {
    "holds": lambda x: x > _EFFECT - 1e-9,
    "right direction, size open": lambda x: x > 0,
    "right direction, smaller than δ": lambda x: 0 < x < _EFFECT + 1e-9,
    "negligible": lambda x: abs(x) < _EFFECT + 1e-9,
    "wrong direction, smaller than δ": lambda x: -_EFFECT - 1e-9 < x < 0,
    "wrong direction, size open": lambda x: x < 0,
    "contradicted": lambda x: x < -_EFFECT + 1e-9,
    "an effect of δ is excluded": lambda x: x < _EFFECT + 1e-9,
    "undecided; an opposite effect of δ is excluded": lambda x: x > -_EFFECT - 1e-9,
    "undecided": lambda x: True,
    "gate failed": lambda x: True,
}


def _is_false(verdict: Verdict, kind: _Kind) -> bool:
    """Whether a readout has a false word, or both are said to disagree where they do not."""
    readouts = zip(verdict.readouts, kind.truths, strict=True)
    if not all(_TRUE[one.verdict](truth) for one, truth in readouts):
        return True
    return verdict.verdict == "depends on the readout" and np.sign(kind.truths[0]) == np.sign(kind.truths[1])


def _false_families(kind: _Kind, n: int, *, short: bool = False) -> int:
    """The number of studies with at least one false verdict."""
    return sum(any(_is_false(one, kind) for one in study) for study in _judged(kind, n, short=short))


_NOTHING = _Kind()
_KINDS = {
    "nothing": _NOTHING,
    "nothing, three seeds": replace(_NOTHING, n_seeds=3),
    "nothing, errors as assumed for the photographs": replace(
        _NOTHING, seed=(0.02, 0.06), items=(0.012, 0.05)
    ),
    "nothing, items dominate": replace(_NOTHING, seed=(0.01, 0.01), items=(0.03, 0.03)),
    "nothing, errors of the world": replace(_NOTHING, n_seeds=16, items=(0.0125, 0.0125)),
    "just below δ": replace(_NOTHING, truths=(_EFFECT - 1e-6, _EFFECT - 1e-6), seed=(0.02, 0.02)),
    "just above -δ": replace(_NOTHING, truths=(1e-6 - _EFFECT, 1e-6 - _EFFECT), seed=(0.02, 0.02)),
    "half of δ": replace(_NOTHING, truths=(_EFFECT / 2, _EFFECT / 2)),
    "twice δ": replace(_NOTHING, truths=(2 * _EFFECT, 2 * _EFFECT)),
    "one readout has it": replace(_NOTHING, truths=(2 * _EFFECT, 0.0)),
    "opposite readouts": replace(_NOTHING, truths=(3 * _EFFECT, -3 * _EFFECT)),
}
_MOST = 67  # of 1,000: 5 % and its 99 % limit
# Either readout may give a claim a false word, and here the intervals are not wider than they say: the level must be
# shared among the readouts, too.
_NEED_SHARED = ("nothing, items dominate", "nothing, errors of the world")


@pytest.mark.trial
@pytest.mark.parametrize("name", _KINDS)
def test_false_verdicts_are_in_at_most_67_of_1000_families(name: str):
    """Or in at most 123, twice the level and its 99 % limit, where the readouts need to share the level."""
    found = _false_families(_KINDS[name], 1000, short=True)
    print(name, found)
    assert found <= (123 if name in _NEED_SHARED else _MOST)


@pytest.mark.trial
@pytest.mark.parametrize("name", _KINDS)
def test_false_verdicts_are_in_at_most_67_of_1000_families_if_readouts_count(name: str):
    found = _false_families(replace(_KINDS[name], readouts_count=True), 1000, short=True)
    print(name, found)
    assert found <= _MOST


@pytest.mark.parametrize("name", _KINDS)
def test_false_verdicts_are_rare_in_50_families(name: str):
    kind = replace(_KINDS[name], readouts_count=name in _NEED_SHARED)
    assert _false_families(kind, 50, short=True) <= 9  # with a rate of 6.7 %, more in 1 of 700


def _with_stated_power(kind: _Kind) -> _Kind:
    """The kind with the effect that each readout detects with a power of 80 %."""
    level = _claims().confidence("planted", _claims().claims[0].test("planted"))
    first, second = (detectable_effect(kind.errors(readout), level) for readout in (0, 1))
    return replace(kind, truths=(first, second))


def _found(kind: _Kind, n: int, *, short: bool = False) -> float:
    """Share of the claims whose direction the first readout shows."""
    studies = _judged(kind, n, short=short)
    return float(np.mean([verdict.parts[0].sign == 1 for study in studies for verdict in study]))


@pytest.mark.trial
@pytest.mark.parametrize("n_seeds", [3, 5])
@pytest.mark.parametrize("items", [0.005, 0.02])
def test_true_effects_are_found_within_3_points_of_the_stated_power(n_seeds: int, items: float):
    kind = _with_stated_power(replace(_NOTHING, n_seeds=n_seeds, items=(items, items)))
    found = _found(kind, 1000, short=True)
    print(n_seeds, items, found)
    assert found == pytest.approx(0.8, abs=0.03)


def test_true_effects_are_found_about_as_often_as_stated():
    assert _found(_with_stated_power(_NOTHING), 50, short=True) == pytest.approx(0.8, abs=0.12)


_DISAGREE = _Kind(truths=(3 * _EFFECT, -3 * _EFFECT), seed=(0.01, 0.01))


def _disagreeing(n: int, *, short: bool = False) -> Counter[str]:
    studies = _judged(_DISAGREE, n, short=short)
    return Counter(verdict.decision for study in studies for verdict in study)


@pytest.mark.trial
def test_readouts_that_disagree_are_called_so_in_1000_studies():
    found = _disagreeing(1000, short=True)
    print(found)
    assert found["depends on the readout"] >= 0.99 * found.total()


def test_readouts_that_disagree_are_called_so():
    assert _disagreeing(50, short=True) == {"depends on the readout": 150}


def _behind_a_gate(n: int, *, short: bool = False) -> set[str]:
    kind = _Kind(truths=(4 * _EFFECT, 4 * _EFFECT), accuracy=0.15)
    return {verdict.decision for study in _judged(kind, n, short=short) for verdict in study}


@pytest.mark.trial
def test_a_failed_gate_is_never_a_verdict_in_1000_studies():
    assert _behind_a_gate(1000, short=True) == {"gate failed"}


def test_a_failed_gate_is_never_a_verdict():
    assert _behind_a_gate(50, short=True) == {"gate failed"}


def test_one_undecided_readout_is_named():
    kind = _Kind(truths=(4 * _EFFECT, 0.0), seed=(0.005, 0.3), items=(0.001, 0.001))
    (first, *_) = _judged(kind, 1)[0]
    assert first.readouts[1].verdict in UNDECIDED
    assert first.decision == "holds by first, the other undecided"
    assert [one.title for one in first.differences] == ["it rises: first - second"]
