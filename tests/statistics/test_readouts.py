"""What a claim of the second study may have: readouts, arms with weights, pairs of seeds, controls, sensitivities."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from planted import Planted, Run, trajectory

from hf_clipdyn.errors import ClipDynError
from hf_clipdyn.metrics.influence import mean_over_pairs
from hf_clipdyn.report.claims import _verdict_row
from hf_clipdyn.statistics.claims import Claims, parse_claims, registered_hash
from hf_clipdyn.statistics.contrasts import RunContrast, combine, jackknifed, weighted
from hf_clipdyn.statistics.evidence import Evidence
from hf_clipdyn.statistics.judging import Verdict, judge
from hf_clipdyn.statistics.trajectories import Trajectory
from hf_clipdyn.statistics.verdicts import SCHEMA, render, verdict_table

_SHARES = (0.0, 0.1, 0.2, 0.5, 0.95, 1.0)
_SEEDS = (30, 31, 32, 33)
_FILE = """
level: 0.05
rule: ten words
windows:
  - {name: early, start: 0.1, end: 0.2}
  - {name: late, start: 0.9, end: 1}
  - {name: same, reached: 0.5, revisions: 2}
studies:
  mine:
    title: mine
    accuracy: top1
    confirmatory_seeds: [30, 31, 32, 33]
    endpoints:
      top1: {kind: zero_shot, dataset: procedural, metric: top1}
      drop: {kind: noise, dataset: procedural, metric: area}
      probe: {kind: noise, dataset: procedural, metric: area, probe: linear_probe}
claims:
  - number: 1
    title: it falls
    studies:
      mine:
TEST
"""
_BOTH = """        parts:
          - {readout: prompts, contrast: {title: fall, endpoint: drop, weights: {early: 1, late: -1}, EFFECT}}
          - {readout: probe, contrast: {title: fall, endpoint: probe, weights: {early: 1, late: -1}, EFFECT}}
"""


_EFFECT = "smallest_effect: 0.05"


def _claims(test: str) -> Claims:
    return parse_claims(_FILE.replace("TEST\n", test).replace("EFFECT", _EFFECT), "mine.yaml")


def _runs(
    values: Sequence[float],
    *,
    arm: str = "",
    spread: float = 0.002,
    seeds: Sequence[int] = _SEEDS,
    **columns: Any,
) -> list[Trajectory]:
    """A number of some seeds, whose change from early to late differs a little."""
    found = []
    for at, seed in enumerate(seeds):
        run = Run(scale="tiny", seed=seed, planted=Planted(), arm=arm)
        own = np.array(values) + spread * (at - 1.5) * np.array(_SHARES)
        found.append(trajectory(run, own, _SHARES, **columns))
    return found


def _accuracies(arm: str = "", values: Sequence[float] = (0.1, 0.3, 0.55, 0.6, 0.8, 0.9)) -> list[Trajectory]:
    return _runs(values, arm=arm, spread=0.0, kind="zero_shot", metric="top1")


def _judged(claims: Claims, *numbers: list[Trajectory]) -> Verdict:
    found = [one for of in numbers for one in of]
    return judge(Evidence(claims=claims, study="mine", trajectories=found))[0]


def _falling(by: float) -> tuple[float, ...]:
    return (0.6, 0.6, 0.6, 0.6, 0.6 - by, 0.6 - by)


def _read_both(prompts: float, probe: float, test: str = "", **options: float) -> Verdict:
    numbers = (
        _runs(_falling(by), metric="area", probe=name, **options)
        for by, name in ((prompts, "projection"), (probe, "linear_probe"))
    )
    return _judged(_claims(_BOTH + test), _accuracies(), *numbers)


@pytest.mark.parametrize(
    ("prompts", "probe", "decision"),
    [
        (0.2, 0.2, "holds"),
        (0.2, 0.05, "right direction, size open"),
        (0.2, 0.02, "right direction, smaller than δ"),
        (0.2, 0.0, "depends on the readout"),
        (0.2, -0.2, "depends on the readout"),
        (0.0, 0.0, "negligible"),
        (-0.2, -0.02, "wrong direction, smaller than δ"),
    ],
)
def test_two_readouts_have_one_verdict(prompts: float, probe: float, decision: str):
    verdict = _read_both(prompts, probe)
    assert verdict.decision == decision
    assert [one.name for one in verdict.readouts] == ["prompts", "probe"]
    (difference,) = verdict.differences
    assert difference.title == "fall: prompts - probe"
    assert difference.estimate.value == pytest.approx(prompts - probe)


def test_a_readout_that_is_undecided_is_the_other():
    loud = _runs(_falling(0.05), metric="area", probe="linear_probe", spread=0.4)
    verdict = _judged(_claims(_BOTH), _accuracies(), _runs(_falling(0.2), metric="area"), loud)
    assert (verdict.verdict, verdict.by, verdict.other) == ("holds", "prompts", "undecided")
    assert verdict.words == "holds by prompts, the other undecided"
    assert set(verdict_table([verdict])["verdict"]) == {verdict.words}


_GATE = """        gates:
          - {title: accurate, rule: at least, at_least: LEAST, endpoint: top1, windows: [late]OF}
"""


def test_a_gate_may_concern_one_readout():
    own = _GATE.replace("LEAST", "0.95").replace("OF", ", readout: probe")
    verdict = _read_both(0.2, 0.2, own)
    assert verdict.words == "holds by prompts, the gate of the other failed"
    assert [one.verdict for one in verdict.readouts] == ["holds", "gate failed"]
    assert verdict.cause.startswith("probe: accurate: failed in me/tiny-seed30: 0.85 is below 0.95 (late)")
    of_both = _read_both(0.2, 0.2, own.replace(", readout: probe", ""))
    assert of_both.words == "gate failed"
    passed = _read_both(0.2, 0.2, own.replace("0.95", "0.85"))
    assert passed.words == "holds"


def test_a_gate_looks_at_the_arms_that_it_names():
    test = _BOTH + _GATE.replace("LEAST", "0.8").replace("OF", ', arms: ["", weak]')
    numbers = [_runs(_falling(0.2), metric="area", probe=name) for name in ("projection", "linear_probe")]
    weak = _accuracies("weak", (0.1, 0.1, 0.1, 0.1, 0.1, 0.1))
    assert "no run of the arm 'weak'" in _judged(_claims(test), _accuracies(), *numbers).cause
    assert _judged(_claims(test), _accuracies(), _accuracies("weak"), *numbers).words == "holds"
    assert "0.1 is below 0.8" in _judged(_claims(test), _accuracies(), weak, *numbers).cause


_SENSITIVE = """        sensitivities:
          - {title: at one accuracy, windows: {early: same}}
          - {title: moved, shift: {early: 2, late: -1}, readout: prompts}
          - {title: by the probe, endpoint: probe, readout: prompts}
          - {title: items fixed, items_fixed: true}
"""


def test_sensitivities_stand_beside_the_verdict_and_change_nothing():
    values = (0.9, 0.8, 0.6, 0.5, 0.3, 0.2)
    numbers = (
        _runs(values, metric="area"),
        _runs(_falling(-0.3), metric="area", probe="linear_probe"),
    )
    verdict = _judged(_claims(_BOTH + _SENSITIVE), _accuracies(), *numbers)
    found = {one.title: one.estimate.value for one in verdict.sensitivities}
    assert list(found) == [
        "at one accuracy: fall, prompts",
        "at one accuracy: fall, probe",
        "moved: fall, prompts",
        "by the probe: fall, prompts",
        "items fixed: fall, prompts",
        "items fixed: fall, probe",
    ]
    assert found["at one accuracy: fall, prompts"] == pytest.approx(0.55 - 0.25)  # the revisions at .2 and .5
    assert found["moved: fall, prompts"] == pytest.approx(0.4 - 0.4)  # at .5 and .95, and at .5 and .95
    assert found["by the probe: fall, prompts"] == pytest.approx(-0.3)
    assert verdict.decision == _judged(_claims(_BOTH), _accuracies(), *numbers).decision

    table = verdict_table([verdict])
    assert list(table.columns) == SCHEMA.names
    assert table["role"].tolist() == ["contrast"] * 2 + ["difference"] + ["sensitivity"] * 6
    assert table["part"].tolist() == list(range(1, 10))
    assert table["readout_verdict"].tolist()[:3] == ["holds", "contradicted", ""]
    shown = render([verdict])
    assert "computed in other ways, which decide nothing" in shown
    assert "    moved: fall, prompts" in shown
    row = _verdict_row(verdict, SimpleNamespace(trajectories=()))  # type: ignore[arg-type]
    assert [one["title"] for one in row["aside"]] == ["fall: prompts - probe", *found]
    assert row["aside"][0]["word"] == ""


_ARMS = """        parts:
          - arms: {a: 0.5, b: 0.5, "": -0.5, c: -0.5}
            contrast: {title: a and b, endpoint: drop, weights: {late: 1}, smallest_effect: 0.05}
"""


def test_several_arms_are_weighted_seed_by_seed():
    levels = {"": 0.1, "a": 0.5, "b": 0.3, "c": 0.2}
    numbers = [
        _runs([level] * 6, arm=arm, metric="area", seeds=_SEEDS if arm else (*_SEEDS, 34))
        for arm, level in levels.items()
    ]
    verdict = _judged(_claims(_ARMS.replace("34", "")), _accuracies(), *numbers)
    (part,) = verdict.parts
    assert part.estimate.value == pytest.approx(0.4 - 0.15)
    assert part.estimate.n_seeds == 4
    assert part.estimate.runs[0].arm == "0.5 a + 0.5 b - 0.5 main - 0.5 c"
    missing = _judged(_claims(_ARMS), _accuracies(), *numbers[:3])
    assert missing.words == "not testable here"
    assert "no run of the arm 'c' counts" in missing.cause


_NO_FALL = """        parts:
          - asks: no opposite effect
            contrast: {title: no fall, endpoint: drop, weights: {late: 1, early: -1}, EFFECT}
"""


@pytest.mark.parametrize(
    ("by", "word"), [(0.0, "holds"), (0.02, "holds"), (-0.3, "holds"), (0.2, "contradicted")]
)
def test_a_part_may_ask_that_a_number_does_not_fall(by: float, word: str):
    assert _judged(_claims(_NO_FALL), _accuracies(), _runs(_falling(by), metric="area")).words == word


_CONTROL = """        parts:
          - {contrast: {title: fall, endpoint: drop, weights: {early: 1, late: -1}, EFFECT}}
        controls:
          - arm: always
            expects: positive
            contrast: {title: it ends below .25, endpoint: drop, constant: 0.25, weights: {late: -1}, EFFECT}
"""


@pytest.mark.parametrize(("level", "passed"), [(0.1, True), (0.4, False), (0.25, None)])
def test_a_control_of_registered_sign_is_one_sided_and_shows_the_two_sided_interval(level, passed):
    numbers = (
        _runs(_falling(0.2), metric="area"),
        _runs([level] * 6, arm="always", metric="area", spread=0.02),
    )
    verdict = _judged(_claims(_CONTROL), _accuracies(), *numbers)
    (control,) = verdict.gates
    assert control.passed is passed
    value, low, high = 0.25 - level, *combine_ends(level, 0.95)
    assert (
        f"{value:.3f} [{low:.3f}, {high:.3f}], one-sided 95 %: above {combine_ends(level, 0.9)[0]:.3f}"
        in control.words
    )


def combine_ends(level: float, confidence: float) -> tuple[float, float]:
    """The interval of the control's contrast."""
    values = [0.25 - level - 0.02 * (at - 1.5) * 0.975 for at in range(4)]
    runs = [RunContrast(run=str(at), scale="tiny", seed=at, value=one) for at, one in enumerate(values)]
    estimate = combine(runs, confidence)
    return estimate.ci_low, estimate.ci_high


def _row_means(table: np.ndarray, rows: Sequence[int], columns: Sequence[int]) -> list[RunContrast]:
    """Of each row the mean over the columns of other seeds."""
    return [
        RunContrast(
            run=f"seed{row}",
            scale="tiny",
            seed=row,
            value=float(np.mean([table[row, column] for column in columns if column != row])),
        )
        for row in rows
    ]


@pytest.mark.parametrize(
    ("own", "others"), [((0, 1, 2), (0, 1, 2)), ((0, 1, 2, 3, 4), (0, 1, 2)), ((0, 1, 2), (1, 2, 5))]
)
def test_means_over_pairs_of_seeds_have_the_error_of_the_jackknife(own: Sequence[int], others: Sequence[int]):
    rng = np.random.default_rng(len(own))
    within, between = rng.normal(0.4, 0.05, (6, 6)), rng.normal(0.3, 0.05, (6, 6))
    within = (within + within.T) / 2
    pairs = list(combinations(own, 2))
    expected = mean_over_pairs([within[pair] for pair in pairs], pairs)
    found = combine(jackknifed(_row_means(within, own, own)))
    assert found.value == pytest.approx(expected["value"])
    assert found.standard_error**2 == pytest.approx(expected["variance_seeds"])

    crossed = [(one, other) for one in own for other in others if one != other]
    values = [within[pair] for pair in pairs] + [between[pair] for pair in crossed]
    signs = [1] * len(pairs) + [-1] * len(crossed)
    expected = mean_over_pairs(values, [*pairs, *crossed], signs=signs)
    sides = _row_means(within, own, own), _row_means(between, own, others), _row_means(between.T, others, own)
    found = combine(jackknifed(*sides))
    assert found.value == pytest.approx(expected["value"])
    assert found.standard_error**2 == pytest.approx(expected["variance_seeds"])
    assert found.n_seeds == expected["n_seeds"] == len({*own, *others})


def test_a_mean_over_pairs_needs_three_seeds_of_both_arms():
    table = np.random.default_rng(0).normal(size=(3, 3))
    assert "three seeds of each arm" in combine(jackknifed(_row_means(table, (0, 1), (0, 1)))).cause
    sides = _row_means(table, (0, 1, 2), (0, 1, 2)), _row_means(table, (0, 1, 2), (0, 1))
    assert math.isnan(combine(jackknifed(*sides, _row_means(table, (0, 1), (0, 1, 2)))).value)


_PAIRED = """        parts:
          - pairs: true
            minus_arm: classes
            contrast: {title: alike, endpoint: drop, weights: {late: 1}, EFFECT}
"""


def test_pairs_of_arms_are_read_from_the_references_of_a_relation():
    rng = np.random.default_rng(4)
    within, between = rng.normal(0.4, 0.05, (3, 3)), rng.normal(0.3, 0.05, (3, 3))
    within = (within + within.T) / 2
    sides: Mapping[tuple[str, str], np.ndarray] = {
        ("", "seeds"): within,
        ("", "arm classes"): between,
        ("classes", "arm main"): between.T,
    }
    numbers = []
    for (arm, reference), table in sides.items():
        for seed, mean in zip(_SEEDS, _row_means(table, range(3), range(3)), strict=False):
            run = Run(scale="tiny", seed=seed, planted=Planted(), arm=arm)
            numbers.append(trajectory(run, [mean.value] * 6, _SHARES, metric="area", reference=reference))
    (part,) = _judged(_claims(_PAIRED), numbers).parts
    off = ~np.eye(3, dtype=bool)
    assert part.estimate.value == pytest.approx(within[off].mean() - between[off].mean())
    assert part.estimate.n_seeds == 3


def test_weighted_runs_need_one_partner_each():
    runs = [RunContrast(run=str(seed), scale="tiny", seed=seed, value=0.1) for seed in (1, 2)]
    found = weighted([runs, runs[:1]], [1, -1])
    assert found[0].value == 0
    assert "0 runs of the other arm have scale tiny and seed 2" in found[1].cause


_WRONG = [
    (_BOTH.replace("readout: probe, ", ""), "A claim has one readout or two: the parts name 'prompts', ''"),
    (
        _BOTH + _GATE.replace("OF", ", readout: prob").replace("LEAST", "1"),
        "no readout (of 'accurate') 'prob'. Did",
    ),
    (_BOTH + "        sensitivities: [{title: none}]\n", "The sensitivity 'none' changes nothing"),
    (
        _BOTH + "        sensitivities: [{title: x, windows: {early: ealy}}]\n",
        "no window (of claim 1, mine) 'ealy'",
    ),
    (_BOTH + "        rule: first part first\n", "the rule is 'first part first'"),
    (
        _ARMS.replace("          - arms", "          - arm: a\n            arms"),
        "has arms with weights: leave out arm",
    ),
    (
        _PAIRED.replace(
            "pairs: true", "pairs: true\n            equal: accuracy\n            accuracy: top1"
        ),
        "is a mean over pairs, which have",
    ),
]


@pytest.mark.parametrize(("test", "says"), _WRONG)
def test_what_a_claim_cannot_have_is_one_sentence(test: str, says: str):
    with pytest.raises(ClipDynError) as error:
        _claims(test)
    assert says in str(error.value)


def test_the_rule_of_the_first_study_knows_no_readouts():
    text = _FILE.replace("TEST\n", _BOTH.replace("EFFECT", _EFFECT)).replace("rule: ten words\n", "")
    with pytest.raises(ClipDynError, match="has two readouts, which the rule 'five words' does not know"):
        parse_claims(text, "mine.yaml")
    with pytest.raises(ClipDynError, match="give the study 'mine' its `accuracy`"):
        parse_claims(
            _FILE.replace("TEST\n", _ARMS.replace("late: 1", "same: 1")).replace("    accuracy: top1\n", ""),
            "mine.yaml",
        )


def test_families_share_the_level_among_themselves():
    claims = _claims(_BOTH)
    (claim,) = claims.claims
    tests = {
        number: replace(claim.test("mine"), family=name) for number, name in ((1, "A"), (2, "A"), (3, "B"))
    }
    several = [replace(claim, number=number, studies={"mine": test}) for number, test in tests.items()]
    both = replace(claims, claims=tuple(several))
    levels = [both.confidence("mine", one.test("mine")) for one in both.claims]
    assert levels == pytest.approx([0.975, 0.975, 0.95])
    assert registered_hash(both, "mine") != registered_hash(claims, "mine")
    twice = replace(both, readouts_count=True)
    levels = [twice.confidence("mine", one.test("mine")) for one in twice.claims]
    assert levels == pytest.approx([0.9875, 0.9875, 0.975])
    assert registered_hash(twice, "mine") != registered_hash(both, "mine")


def test_the_rule_is_registered():
    test = _NO_FALL.replace("asks: no opposite effect", "arm: ''").replace("EFFECT", _EFFECT)
    text = _FILE.replace("TEST\n", test)
    ten, five = (parse_claims(one, "mine.yaml") for one in (text, text.replace("rule: ten words\n", "")))
    assert registered_hash(ten, "mine") != registered_hash(five, "mine")


def test_only_the_registered_scale_counts():
    text = _FILE.replace("TEST\n", _NO_FALL.replace("EFFECT", _EFFECT)).replace(
        "title: mine", "title: mine\n    scale: tiny"
    )
    small = [
        replace(one, run=f"{one.run}-small", scale="small")
        for one in _runs(_falling(0.5), metric="area", seeds=(30, 31, 99))
    ]
    verdict = _judged(
        parse_claims(text, "mine.yaml"), _accuracies(), _runs(_falling(0.0), metric="area"), small
    )
    assert verdict.words == "holds"
    assert (verdict.parts[0].estimate.n_seeds, verdict.parts[0].estimate.scales) == (4, ("tiny",))
    assert not any("Not counted" in note for note in verdict.notes)
    assert (
        _judged(_claims(_NO_FALL), _accuracies(), _runs(_falling(0.0), metric="area"), small).words != "holds"
    )
