"""From tables with trials to verdicts, and the rule itself."""

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from planted import Noise, Planted, Run, constant, peak, trajectory, turn, write_study
from scipy import stats

import hf_clipdyn
from hf_clipdyn.benchmarks.registry import kind_named
from hf_clipdyn.errors import ConfigError, UnknownNameError
from hf_clipdyn.results.influences import combined_influences
from hf_clipdyn.results.provenance import PROVENANCE_KEY, Provenance, package
from hf_clipdyn.results.table import Table, load, load_results
from hf_clipdyn.results.terms import Vocabulary
from hf_clipdyn.results.trials import KeptTrials
from hf_clipdyn.statistics.claims import Claims, GatePlan, read_claims, registered_hash
from hf_clipdyn.statistics.contrasts import AgainstNull, Estimate
from hf_clipdyn.statistics.evidence import Evidence, read_evidence
from hf_clipdyn.statistics.judging import Part, Verdict, gate, judge
from hf_clipdyn.statistics.specifications import specifications
from hf_clipdyn.statistics.trajectories import Numbers
from hf_clipdyn.statistics.verdicts import (
    SCHEMA,
    deviation_lines,
    minimum_detectable_effect,
    render,
    verdict_table,
    write_verdicts,
)

_SHARES = (0.0, 0.065, 0.15, 1.0)
_TRUE = Planted(
    drop=turn(0.6, 0.35),
    bias=turn(0.2, 0.85),
    error=peak(0.4, 0.15, 0.35, at=0.065),
    accuracy=turn(0.5, 0.9, 0.1),
)
_NOISE_ARM = replace(_TRUE, drop=constant(0.0), error=constant(0.5))
_QUIET = Noise(seed=0.003, checkpoint=0.003)


@pytest.mark.parametrize(
    ("low", "high", "sign", "excludes"),
    [
        (0.05, 0.2, 1, "unfavourable"),
        (0.01, 0.04, 1, "both"),
        (0.0, 0.06, 0, "unfavourable"),
        (-0.05, 0.05, 0, "neither"),
        (-0.06, 0.04, 0, "favourable"),
        (-0.2, -0.04, -1, "favourable"),
        (-0.04, -0.01, -1, "both"),
        (math.nan, math.nan, None, ""),
    ],
)
def test_an_interval_has_a_sign_and_excludes_effects_of_delta(low, high, sign, excludes):
    contrast = read_claims().claims[4].test("world").parts[0].contrast
    found = Estimate(value=0.0, ci_low=low, ci_high=high)
    part = Part(contrast=contrast, estimate=found, verdict="undecided")
    assert (part.sign, part.excludes_delta) == (sign, excludes)


@pytest.mark.parametrize(
    ("degrees", "confidence", "power"),
    [(2, 0.95, 0.77), (4, 0.95, 0.79), (2, 0.99, 0.702), (4, 0.99, 0.75), (12, 0.99, 0.788)],
)
def test_the_minimum_detectable_effect_has_the_power_that_is_stated(degrees, confidence, power):
    effect = minimum_detectable_effect(2.0, degrees, confidence)
    reached = stats.nct.sf(stats.t.ppf((1 + confidence) / 2, degrees), degrees, effect / 2)
    assert reached == pytest.approx(power, abs=0.005)
    assert math.isnan(minimum_detectable_effect(math.nan, degrees, confidence))


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic study in which every testable claim is true, as a table with trials; not to be changed."""
    runs = [Run(scale="tiny", seed=seed, planted=_TRUE) for seed in (0, 10, 11, 12)]
    runs += [Run(scale="small", seed=seed, planted=_TRUE) for seed in (10, 11, 12)]
    runs += [Run(scale="tiny", seed=seed, planted=_NOISE_ARM, arm="noise") for seed in (10, 11, 12)]
    folder = tmp_path_factory.mktemp("study")
    return write_study(folder / "results.parquet", runs, shares=_SHARES, noise=_QUIET)


@pytest.fixture(scope="session")
def evidence(study: Path) -> Evidence:
    return read_evidence(load(study), show_progress=False)


@pytest.fixture(scope="session")
def verdicts(evidence: Evidence) -> Mapping[int, Verdict]:
    return {one.claim.number: one for one in judge(evidence)}


def _part_of(study: Path, **columns: object) -> Table:
    results = load(study)
    rows = results.rows
    for name, wanted in columns.items():
        rows = rows[rows[name].isin(wanted) if isinstance(wanted, list) else rows[name] == wanted]
    return results.with_rows(rows)


def _judged(results: Table, claims: Claims | None = None, **changed: pd.Series) -> dict[int, Verdict]:
    """The verdicts by the number of the claim, perhaps with other columns."""
    changed_results = results.with_rows(results.rows.assign(**changed))
    evidence = read_evidence(changed_results, claims, show_progress=False)
    return {one.claim.number: one for one in judge(evidence)}


def _located() -> Claims:
    """The package's claims as they were before the world's peak was fixed: the tuning seeds in the tables locate it."""
    claims = read_claims()
    return replace(claims, studies={**claims.studies, "world": replace(claims.studies["world"], windows=())})


def test_a_true_study_bears_out_what_the_world_can_test(verdicts):
    found = {number: (one.verdict, one.cause) for number, one in verdicts.items()}
    assert {one.study for one in verdicts.values()} == {"world"}
    assert [found[number] for number in (2, 5)] == [("holds", "")] * 2
    assert {one.verdict for one in verdicts[1].parts} == {"holds"}
    # Three pairs of runs: Student's t at 99 % is 9.9, so sizes may stay open, and at equal accuracy the direction.
    assert verdicts[6].parts[0].verdict in ("holds", "right direction, size open")
    assert found[6][0] in ("holds", "right direction, size open", "undecided")
    assert found[7][0] in ("holds", "right direction, size open")
    assert {found[number][0] for number in (3, 4, 8)} == {"not testable here"}
    assert "No people" in found[8][1]
    assert [one.evidence for one in verdicts.values()] == [False, *[True] * 7]


def test_intervals_share_the_level_and_take_seeds_and_items_into_account(verdicts):
    (part,) = verdicts[5].parts
    assert part.estimate.confidence_level == pytest.approx(0.99)
    assert (part.estimate.n_seeds, part.estimate.scales) == (6, ("tiny", "small"))
    assert part.estimate.degrees_of_freedom == 4
    assert {one.seed for one in part.estimate.runs} == {10, 11, 12}
    assert all(one.influence.variance > 0 for one in part.estimate.runs)
    assert part.estimate.value == pytest.approx(0.25, abs=0.08)


def test_each_scale_and_each_difference_of_scales_is_a_part(verdicts):
    parts = verdicts[7].parts
    assert [one.scale for one in parts] == ["", "tiny", "small", ""]
    assert parts[3].contrast.smallest_effect == pytest.approx(parts[0].estimate.value / 2)
    assert parts[3].estimate.value == pytest.approx(parts[2].estimate.value - parts[1].estimate.value)


def test_arms_are_compared_by_paired_seeds_at_one_scale_at_equal_samples_and_accuracy(verdicts):
    parts = verdicts[6].parts
    assert [one.scale for one in parts] == ["tiny"] * 4
    assert [one.estimate.n_seeds for one in parts] == [3] * 4
    assert "at equal accuracy" in parts[1].title
    assert parts[0].estimate.value > 0.05
    assert parts[2].estimate.value == pytest.approx(0.15, abs=0.05)


def test_a_claim_is_not_testable_without_its_control_arms(verdicts):
    assert verdicts[1].verdict == "not testable here"
    assert verdicts[1].cause.endswith("not measured: no run of the arm 'texture-always'")
    words = [one.words for one in verdicts[1].gates if one.passed is None]
    assert words == [
        f"not measured: no run of the arm '{arm}'" for arm in ("texture-always", "swapped-roles")
    ]


def test_tables_of_tuning_seeds_get_estimates_and_no_verdict(study):
    found = _judged(_part_of(study, seed=[0]), _located())
    for number in (1, 2, 5):
        one = found[number]
        assert (one.verdict, one.cause) == ("not testable here", "only seeds that tuned the world")
        assert {part.verdict for part in one.parts} == {"not testable here"}
        assert all(math.isfinite(part.estimate.value) for part in one.parts)
    assert any("searched in these seeds" in note for note in found[2].notes)


def test_tuning_seeds_enter_no_estimate_and_locate_the_peak(study, verdicts):
    without = _judged(_part_of(study, seed=[10, 11, 12]))
    assert [without[number].parts for number in (2, 5)] == [verdicts[number].parts for number in (2, 5)]
    claims = _located()
    assert _judged(load(study), claims)[2].verdict == "holds"
    without = _judged(_part_of(study, seed=[10, 11, 12]), claims)
    assert without[2].verdict == "not testable here"
    assert "no tuning seed is in the tables" in without[2].cause


def test_one_seed_decides_nothing(study):
    found = _judged(_part_of(study, seed=[0, 10], scale=["tiny"], arm=[""]))
    assert found[5].verdict == "undecided"
    assert "one seed" in found[5].cause
    assert found[7].verdict == "not testable here"
    assert found[6].verdict == "not testable here"
    assert "no run of the arm 'noise' counts" in found[6].cause


def test_a_benchmark_that_was_not_measured_is_named(study):
    found = _judged(_part_of(study, kind=["noise", "zero_shot"]))
    assert found[1].cause == "shape_bias/procedural is not in the tables"
    assert found[5].verdict == "holds"


def test_an_accuracy_below_twice_chance_closes_the_gate(study):
    results = _part_of(study, kind=["noise"])
    rows = results.rows
    low = (rows["metric"] == "accuracy") & (rows["seed"] == 12) & (rows["role"] == "value")
    found = _judged(results, value=rows["value"].mask(low, 0.2))
    assert found[5].verdict == "gate failed"
    assert "0.2 is below 2 times chance, 0.25" in found[5].cause
    assert found[5].parts  # shown all the same


def test_runs_of_seeds_that_were_not_registered_do_not_count(study):
    results = _part_of(study, kind=["noise"])
    found = _judged(results, seed=results.rows["seed"].replace({12: 99}))
    assert found[5].parts[0].estimate.n_seeds == 4
    assert "Not counted: runs of seed 99, which is not registered." in found[5].notes
    assert (
        _judged(results, seed=99)[5].cause
        == "none of the registered seeds (10, 11, 12, 13, 14) is in the tables"
    )


def test_trials_of_one_cell_that_lack_an_exemplar_leave_all_verdicts(study, verdicts, tmp_path):
    shutil.copytree(study.parent, tmp_path / "study")
    results = _part_of(tmp_path / "study" / study.name)
    rows = results.rows
    of_seed = (rows["kind"] == "psychophysics") & (rows["seed"] == 12) & (rows["arm"] == "")
    file = KeptTrials(results.files).file(rows.loc[of_seed, "cell"].iloc[-1])
    pd.read_parquet(file).iloc[1:].to_parquet(file)
    found = _judged(results)
    parts = found[2].parts
    assert [one.estimate.value for one in parts] == [one.estimate.value for one in verdicts[2].parts]
    notes = {note for one in parts for note in one.estimate.notes}
    assert any("The trials of this psychophysics benchmark cannot be scored" in note for note in notes), notes
    assert found[5] == verdicts[5]


def test_a_study_can_be_named_and_unknown_ones_are_refused(study):
    results = _part_of(study, kind=["noise"])
    forced = judge(read_evidence(results, study="full", show_progress=False))
    assert {one.verdict for one in forced} == {"not testable here"}
    with pytest.raises(UnknownNameError, match="There is no study in the claims 'word'"):
        read_evidence(results, study="word")
    with pytest.raises(ConfigError, match="no benchmark of a claim"):
        read_evidence(_part_of(study, kind=["zero_shot"]))


def test_the_registered_specification_is_the_verdicts_own_estimate(evidence, verdicts):
    (part,) = verdicts[5].parts
    found = specifications(evidence, verdicts[5], part)
    assert found[0].registered
    assert found[0].estimate == part.estimate
    assert not any(one.registered for one in found[1:])
    assert [one.choices["level"] for one in found].count("0.4") >= 1
    values = [one.estimate.value for one in found[1:]]
    assert values == sorted(values)
    assert specifications(evidence, verdicts[7], verdicts[7].parts[3]) == []


def test_a_declared_metric_is_another_specification_and_not_another_verdict(evidence, verdicts):
    (part,) = verdicts[5].parts
    found = specifications(evidence, verdicts[5], part)
    registered, other = "accuracy drop, chance-corrected", "correct when clean, wrong under noise"
    assert {one.choices["metric"] for one in found} == {registered, other}
    assert found[0].choices["metric"] == registered
    (alike,) = [one for one in found[1:] if dict(one.choices) == {**found[0].choices, "metric": other}]
    assert alike.estimate.value > 0
    assert alike.estimate.value != found[0].estimate.value


def test_the_table_has_a_row_for_each_part_and_is_written_as_parquet(verdicts, tmp_path):
    table = verdict_table(verdicts.values())
    assert list(table.columns) == SCHEMA.names
    assert table["claim"].tolist() == [1, 1, 2, 2, 3, 4, 5, 6, 6, 6, 6, 7, 7, 7, 7, 8]
    five = table[table["claim"] == 5].iloc[0]
    assert five[["verdict", "part_verdict", "gate", "n_seeds"]].tolist() == ["holds", "holds", True, 6]
    assert list(five["scales"]) == ["tiny", "small"]
    assert (five["sign"], five["excludes_delta"]) == (1, "unfavourable")
    assert "minimum detectable effects" in json.loads(five["deviations"])[0]
    assert table["deviations"].tolist()[4] == "[]"  # a claim that is not testable
    assert table["sign"].isna().tolist() == table["ci_low"].isna().tolist()
    assert json.loads(table["gates"][0])[0]["passed"] is True
    write_verdicts(table, tmp_path / "verdicts.parquet")
    assert pq.read_table(tmp_path / "verdicts.parquet").schema.equals(SCHEMA)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "verdicts.parquet"), table)
    with pytest.raises(OSError, match=f"not a regular file: '{tmp_path}'"):
        write_verdicts(table, tmp_path)


def test_a_table_without_trials_has_the_same_verdicts_from_the_kept_influences(
    study, evidence, verdicts, tmp_path
):
    copy = tmp_path / "results.parquet"
    shutil.copy(study, copy)
    evidence.errors.write(copy)
    found = _judged(load(copy))
    pd.testing.assert_frame_equal(
        verdict_table(list(found.values())), verdict_table(list(verdicts.values())), rtol=1e-12
    )
    combined_influences(copy).unlink()
    assert "no trials beside the table" in str(verdict_table(list(_judged(load(copy)).values())).to_dict())


def test_the_public_function_and_the_command_give_the_same(study, tmp_path, clipdyn):
    table = hf_clipdyn.verdicts(study, show_progress=False)
    output = tmp_path / "verdicts.parquet"
    code, printed, error = clipdyn("report", study, "--print", "verdicts", "--output", output, "--quiet")
    assert code == 0, error
    pd.testing.assert_frame_equal(pd.read_parquet(output), table)
    assert "5 Sensitivity to noise falls: holds; gates passed" in printed
    assert "1 Texture first, then shape: not testable here (a positive control, not evidence)" in printed
    assert "1: no turn with texture always right: not measured" in printed
    registered = registered_hash(read_claims(), "world")
    facts = Provenance.loads(pq.read_metadata(output).metadata[PROVENANCE_KEY], "the verdicts")
    assert (facts.package, facts.study, facts.claims) == (package(), "world", registered)
    assert {one.run for one in facts.runs} == set(load_results(study)["run"])
    assert f"claims: study world, SHA-256 {registered}" in printed
    assert "start of the runs (their first revision): not recorded" in printed


def test_a_wrong_call_is_one_sentence(study, tmp_path, clipdyn):
    for words, says in (
        (["--claims", tmp_path / "absent.yaml"], "absent.yaml: No such file"),
        (["--output", tmp_path], "not a regular file"),
    ):
        error = clipdyn("report", study, "--print", "verdicts", "--quiet", *words)[2]
        assert error.startswith("clipdyn: error: ")
        assert says in error
        assert error.count("\n") == 1


def test_names_from_tables_cannot_steer_the_terminal(verdicts):
    gate = replace(verdicts[1].gates[0], passed=False, words="failed in me/\x1b[2Jrun")
    assert "\x1b" not in render([replace(verdicts[1], gates=(gate,))])


def test_deviations_are_listed_once_with_the_numbers_of_their_claims(verdicts):
    lines = deviation_lines(verdicts.values())
    assert lines[0].startswith(
        "Claims 1, 2, 5, 6, 7: The plan states the minimum detectable effects before the runs."
    )
    assert any(line.startswith("Claims 1, 6: The arms") for line in lines)
    shown = render(list(verdicts.values())).splitlines()
    assert shown[shown.index("Deviations from the registered plan") + 1] == lines[0]


_FLAT = 0.355


@pytest.fixture(scope="module")
def gratings() -> Evidence:
    """The error of the contrasts of three seeds: worse than a flat observer's until the last revision."""
    shares, found = (0.0, 0.065, 0.15, 0.9, 1.0), []
    words = Vocabulary(kinds={"psychophysics": kind_named("psychophysics").terms})
    columns = {"kind": "psychophysics", "metric": "log_rmse", "condition": "masking_contrast"}
    for seed in (10, 11, 12):
        run = Run(scale="tiny", seed=seed, planted=Planted())
        values = [0.5 + 0.001 * seed, 0.45, 0.4, 0.36, 0.3]
        null = trajectory(run, [_FLAT] * 5, shares, role="null", probe="", **columns)
        value = trajectory(run, values, shares, variant="cosine", **columns)
        value, null = (replace(one, numbers=Numbers.of(one.points, words)) for one in (value, null))
        found.append(replace(value, references=(null,)))
    return Evidence(claims=read_claims(), study="world", trajectories=found)


def test_a_contrast_of_values_that_are_no_better_than_their_null_is_not_informative(gratings):
    (verdict,) = [one for one in judge(gratings) if one.claim.number == 2]
    rise, decline = verdict.parts
    assert (rise.against_null.n, rise.against_null.n_no_better) == (6, 6)
    assert (decline.against_null.n, decline.against_null.n_no_better) == (9, 6)
    assert not rise.informative
    assert rise.words == f"{rise.verdict}, not informative"
    assert verdict.notes[-1] == (
        "Not informative: psychophysics/procedural log_rmse is no better than its null (flat observer, 0.355) in "
        "6 of 6 values of: error falls from untrained to the peak; 6 of 9 values of: error rises from the peak to late."
    )


def test_the_mark_stands_beside_the_registered_word_and_does_not_change_it(verdicts):
    error = AgainstNull("flat observer, 0.355", 3, 2)
    parts = []
    for part in verdicts[2].parts:
        runs = tuple(replace(one, against_null=error) for one in part.estimate.runs)
        parts.append(replace(part, estimate=replace(part.estimate, runs=runs)))
    marked = replace(verdicts[2], parts=tuple(parts))
    assert verdicts[2].words == "holds"
    assert (marked.verdict, marked.words) == ("holds", "holds, not informative")
    assert "2 Low-level alignment peaks early: holds, not informative; gates" in render([marked])
    one_of_two = replace(marked, parts=(parts[0], verdicts[2].parts[1]))
    assert one_of_two.words == "holds"
    assert "untrained to the peak: holds, not informative " in render([one_of_two])
    assert verdict_table([marked])["verdict"].unique() == ["holds"]


@pytest.mark.parametrize(("window", "passed"), [("peak", False), ("late", True)])
def test_a_gate_can_ask_that_a_number_is_better_than_its_null(gratings, window, passed):
    endpoint = read_claims().claims[1].test("world").parts[0].contrast.endpoint
    plan = GatePlan(title="alignment above 0", rule="above null", endpoint=endpoint, windows=(window,))
    found = gate(plan, gratings, read_claims().windows_of("world"))
    assert found.passed is passed
    if not passed:
        assert found.words == (
            "failed in me/tiny-seed10: 0.45 is no better than flat observer, 0.355 (peak), and in 2 other runs"
        )
    without = replace(gratings, trajectories=[replace(one, references=()) for one in gratings.trajectories])
    assert "null was not measured" in gate(plan, without, read_claims().windows_of("world")).words


@pytest.mark.parametrize(
    ("arm", "late", "passed"),
    [
        ("texture-always", 0.1, True),
        ("texture-always", 0.8, False),
        ("swapped-roles", -0.3, True),
        ("swapped-roles", 0.8, False),
        ("swapped-roles", 0.0, None),
    ],
)
def test_a_control_arm_that_fails_closes_the_gate(arm: str, late: float, passed: bool | None):
    shares, change = (0, 0.15, 0.95, 1), (0.0, 0.0, 1.0, 1.0)
    columns = {"kind": "shape_bias", "metric": "shape_bias"}
    found = []
    for at, seed in enumerate((10, 11, 12)):
        for name, size in (("", 0.6), (arm, late)):
            run = Run(scale="tiny", seed=seed, planted=Planted(), arm=name)
            values = 0.3 + size * np.array(change) + 0.002 * at * np.array(shares)
            found.append(trajectory(run, values, shares, **columns))
    (verdict, *_) = judge(Evidence(claims=read_claims(), study="world", trajectories=found))
    (control,) = [one for one in verdict.gates if one.words.startswith(("0", "-", "not dec"))]
    assert control.passed is passed
    assert len(verdict.parts) == 2


# Columns of the rule of ten words, which the tables of the first study do not have.
_LATER = ("role", "readout", "readout_verdict", "item_error", "item_degrees_of_freedom")


@pytest.mark.parametrize(("folder", "study"), [("study", "world"), ("real-study", "real")])
def test_the_committed_verdicts_have_the_signs_of_their_intervals_and_all_deviations(checkout, folder, study):
    table = pd.read_parquet(checkout / "model_cards" / folder / "verdicts.parquet")
    assert list(table.columns) == [name for name in SCHEMA.names if name not in _LATER]
    above, below = (table["ci_low"] > 0).astype(int), (table["ci_high"] < 0).astype(int)
    assert table["sign"].equals((above - below).where(table["ci_low"].notna()))
    claims = read_claims()
    for number, listed in zip(table["claim"], table["deviations"], strict=True):
        test = claims.claims[number - 1].test(study)
        expected = (*claims.studies[study].deviations, *test.deviations) if test.testable else ()
        assert tuple(json.loads(listed)) == expected


@pytest.mark.parametrize("folder", [pytest.param("study", marks=pytest.mark.slow), "real-study"])
def test_the_committed_tables_give_the_committed_words_and_contrasts(checkout, folder):
    """Without trials, whose items widen the intervals."""
    results, kept = (
        checkout / "model_cards" / folder / f"{name}.parquet" for name in ("results", "verdicts")
    )
    same = [
        "claim",
        "study",
        "verdict",
        "gate",
        "part",
        "part_title",
        "part_cause",
        "scale",
        "scales",
        "value",
    ]
    same += ["confidence_level", "degrees_of_freedom", "smallest_effect", "n_seeds", "n", "n_clusters"]
    found = hf_clipdyn.verdicts(results, show_progress=False)
    pd.testing.assert_frame_equal(found[same], pd.read_parquet(kept)[same], rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_the_repeated_runs_give_their_committed_verdicts_without_trials(checkout):
    table = checkout / "model_cards" / "study" / "repeated.parquet"
    kept = pd.read_parquet(table.with_name("repeated-verdicts.parquet"))
    found = hf_clipdyn.verdicts(table, show_progress=False)
    pd.testing.assert_frame_equal(found[list(kept)], kept, rtol=1e-9, atol=1e-9)
