"""The rule, windows, gates and arms on made-up tables, and a planted study from its trials to the command."""

import math
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from made_tables import PLAN, RISE, judge, plan
from result_rows import course, row

import hf_clipdyn
from hf_clipdyn.results.influences import combined_influences
from hf_clipdyn.results.provenance import PROVENANCE_KEY, Provenance, package
from hf_clipdyn.results.row import Row
from hf_clipdyn.results.table import Table, load
from hf_clipdyn.statistics.claims import EMBEDDED, Claims, read_claims, registered_hash
from hf_clipdyn.statistics.contrasts import ONE_SEQUENCE, Estimate
from hf_clipdyn.statistics.judge import Judge, JudgedPart, Verdict, word_of
from hf_clipdyn.statistics.verdicts import SCHEMA, render, verdict_table


def rows_of(values: Sequence[float], repo_id: str = "me/run", **columns: Any) -> list[Row]:
    return course("shape_bias/procedural", "shape_bias", values, 0.1, repo_id=repo_id, **columns)


def accuracies(values: Sequence[float], repo_id: str = "me/run", **columns: Any) -> list[Row]:
    return course("zero_shot/procedural", "top1", values, repo_id=repo_id, **columns)


def seeds(table: Any, scale: str = "tiny", arm: str = "", first: int = 0) -> list[Row]:
    return [
        one
        for seed, values in enumerate(table, first)
        for one in rows_of(values, f"me/{arm}{scale}-{seed}", scale=scale, seed=seed, arm=arm)
    ]


def contrast(rows: list[Row], claims: Claims | None = None) -> Any:
    found = judge(rows, claims or plan())
    return found.contrast(found.claims.claims[0].parts[0], "")


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.1, 0.3, "holds"),
        (0.05, 0.1, "right direction, size open"),
        (0.01, 0.09, "negligible"),
        (-0.09, 0.09, "negligible"),
        (-0.1, 0.09, "undecided"),
        (-0.05, 0.1, "undecided"),
        (-0.2, -0.05, "undecided"),
        (0.0, 0.2, "undecided"),
        (-0.3, -0.1, "contradicted"),
        (math.nan, math.nan, "undecided"),
    ],
)
def test_the_rule(low: float, high: float, word: str) -> None:
    assert word_of(low, high, 0.1) == word
    found = JudgedPart(
        part=plan().claims[0].parts[0], estimate=Estimate(value=-0.1, ci_low=low, ci_high=high), word=word
    )
    assert found.words == ("undecided, below 0" if word == "undecided" and high < 0 else word)


@pytest.mark.parametrize(
    ("window", "revisions"),
    [
        ({"shares": (0.2, 0.6)}, [1, 2, 3]),  # both ends included
        ({"shares": (0.2, 0.2)}, [1]),
        ({"untrained": True}, [0]),
        ({"epochs": (1, 2)}, [1, 2]),
        ({"reached": 0.35, "revisions": 2}, [2, 3]),  # one revision alone may be lucky
        ({"shares": (0.3, 0.35)}, []),
        ({"epochs": (5, 6)}, []),
        ({"reached": 0.85}, []),  # never twice in a row
        ({"reached": 0.35, "revisions": 5}, []),  # too few follow
    ],
)
def test_a_window_has_revisions_that_weigh_the_same_or_is_not_whole(
    window: dict[str, Any], revisions: list[int]
) -> None:
    values = np.array([0.4, 0.2, 0.5, 0.8, 0.1, 0.9])
    claims = plan({"weights": {"W": 1}}, windows={**PLAN["windows"], "W": window}, accuracy="top1")
    (found,) = contrast([*rows_of(values**2), *accuracies(values)], claims)
    if revisions:
        assert found.value == pytest.approx(np.mean(values[revisions] ** 2))
    else:
        assert math.isnan(found.value)
        assert found.cause == "the run has no revisions for the window W"


def test_a_run_that_was_cut_short_has_no_late_revision() -> None:
    values = np.arange(11) / 10
    late = plan({"weights": {"late": 1}})
    cut = contrast([*seeds([values]), *seeds([values[:7]], first=1)], late)
    assert [one.cause for one in cut] == ["", "the run has no revisions for the window late"]
    other = contrast([*rows_of(values, "a/x"), *rows_of(values[:7], "b/y")], late)
    assert [one.value for one in other] == pytest.approx([0.95, 0.6]), "models of no common training"


def test_without_samples_steps_count_and_without_any_clock_there_is_no_share() -> None:
    late = plan({"weights": {"late": 1}})
    assert contrast(rows_of([0.1, 0.2, 0.3], samples_seen=None), late)[0].value == pytest.approx(0.3)
    nameless = [
        row("shape_bias/procedural", "shape_bias", 0.5, epoch=None, revision=name)
        for name in ("main", "other")
    ]
    assert contrast(nameless, late)[0].cause == "the run has no revisions for the window late"


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"value": math.nan, "note": "nothing was decided"}, "epoch-002: nothing was decided"),
        ({"interpretable": False}, "epoch-002: not interpretable"),
    ],
)
def test_a_revision_without_a_usable_value_makes_its_window_undefined(
    change: dict[str, Any], cause: str
) -> None:
    rows = rows_of([0.1] * 11)
    rows[2] = Row(**vars(rows[2]) | change)
    (found,) = contrast(rows)
    assert (math.isnan(found.value), found.cause) == (True, cause)
    assert contrast(rows, plan({"weights": {"late": 1}}))[0].value == pytest.approx(0.1)


def test_a_number_that_is_missing_or_measured_in_two_ways_is_not_mixed() -> None:
    cause = "shape_bias/procedural shape_bias was not measured, or not in one way"
    both = [*rows_of([0.1] * 11), *rows_of([0.2] * 11, settings='{"stage": "input"}')]
    # Some revisions in one way, the others in another.
    mixed = [*rows_of([0.1] * 11)[:5], *rows_of([0.2] * 11, settings='{"stage": "input"}')[5:]]
    for rows in (both, mixed, accuracies([0.1] * 11)):
        assert contrast(rows)[0].cause == cause


def test_runs_of_unknown_seeds_all_count_and_have_no_partner() -> None:
    values = np.arange(11) / 10
    rows = [*rows_of(values, "a/x", scale="B"), *rows_of(values / 2, "b/y", scale="B")]
    found = judge(rows, plan()).estimate(plan().claims[0].parts[0], 0.95)
    assert (found.value, found.n_seeds) == (pytest.approx(0.75 * 0.8), 2)
    assert ONE_SEQUENCE in found.notes
    claims = plan({"arms": {"": 1, "noise": -1}})
    other = rows_of(values, "c/z", scale="B", arm="noise")
    found = judge([*rows, *other], claims).estimate(claims.claims[0].parts[0], 0.95)
    assert found.cause == "no scale and seed has runs of all arms"


def test_two_runs_of_a_scale_and_seed_do_not_count_twice() -> None:
    rows = [*seeds([np.arange(11) / 10] * 2), *rows_of([0.5] * 11, "me/again", scale="tiny", seed=0)]
    found = contrast(rows)
    assert [one.cause[:12] for one in found] == ["several runs", "", "several runs"]


def test_a_revision_counts_only_where_all_levels_of_an_endpoint_were_measured() -> None:
    named, at = ("noise/procedural", "chance_corrected_drop"), {"repo_id": "me/run", "condition": "gaussian"}
    rows = [*course(*named, [0.1] * 11, level=0.1, **at), *course(*named, [0.3] * 5, level=0.2, **at)]
    early, late = (plan({"endpoint": "drop", "weights": {window: 1}}) for window in ("early", "late"))
    assert contrast(rows, early)[0].value == pytest.approx(0.2)
    assert contrast(rows, late)[0].cause == "the run has no revisions for the window late"


def gate_of(rows: list[Row], **keys: Any) -> tuple[bool | None, str]:
    gate = {"endpoint": "top1", "windows": ["late"], **keys}
    found = judge([*rows, *rows_of([0.5] * 11)], plan(gates={"G": gate})).gate("G")
    return found.passed, found.words


@pytest.mark.parametrize(
    ("keys", "passed", "words"),
    [
        ({"above": 0.3}, True, "passed in 1 run"),
        ({"above": 0.5}, False, "failed in me/run: 0.4 does not reach 0.5 (late)"),
        ({"above": "chance", "times": 3}, True, "passed in 1 run"),
        (
            {"above": "chance", "times": 5},
            False,
            "failed in me/run: 0.4 does not reach 5 times chance, 0.5 (late)",
        ),
        ({"above": "pixels"}, False, "failed in me/run: pixels was not measured (late)"),
        ({"windows": ["early"], "above": 0.3}, False, "failed in me/run: 0.2 does not reach 0.3 (early)"),
        ({"arms": ["noise"]}, None, "not measured: no run of the arm 'noise' counts"),
    ],
)
def test_a_gate_compares_the_mean_over_each_window(
    keys: dict[str, Any], passed: bool | None, words: str
) -> None:
    rows = [*accuracies([0.2] * 5 + [0.4] * 6), *accuracies([0.1] * 11, role="chance")]
    assert gate_of(rows, **keys) == (passed, words)


@pytest.mark.parametrize(("window", "passed"), [("early", False), ("late", True)])
def test_a_gate_on_an_error_asks_that_it_is_at_most_its_null(window: str, passed: bool) -> None:
    rows = accuracies([0.5] * 5 + [0.2] * 6, higher_is_better=False)
    rows += accuracies([0.3] * 11, role="null", higher_is_better=False)
    assert gate_of(rows, windows=[window], above="null")[0] is passed


def test_each_run_must_pass_and_the_word_is_that_of_the_gate() -> None:
    values = np.linspace(0.1, 0.9, 11)
    rows = seeds([values, 1.05 * values, 1.1 * values])
    gates = {"G": {"endpoint": "bias", "windows": ["early"], "above": 0.225}}
    (found,) = judge(rows, plan(gates=gates)).verdicts
    cause = "G: failed in me/tiny-0: 0.22 does not reach 0.225 (early)"
    assert (found.word, found.cause) == ("gate failed", cause)
    assert found.parts[0].word == "holds", "shown all the same"


def table_of_seeds(*values: float) -> list[np.ndarray]:
    return [np.linspace(0.1, 0.1 + value, 11) for value in values]


def test_all_parts_must_hold_and_one_against_is_enough() -> None:
    rows = seeds(table_of_seeds(0.6, 0.61, 0.62))

    def word(*factors: float) -> tuple[str, str]:
        parts = [
            {**RISE, "title": f"{factor}", "weights": {"late": factor, "early": -factor}}
            for factor in factors
        ]
        claim = {"number": 1, "title": "a claim", "parts": parts}
        (found,) = judge(rows, Claims.model_validate({**PLAN, "claims": [claim]})).verdicts
        return found.word, found.cause

    assert word(1, 2) == ("holds", "")
    assert word(1, -1) == ("contradicted", "-1")
    assert word(1, 0.01) == ("negligible", "0.01")
    assert word(-1) == ("contradicted", "")


def test_tuning_seeds_get_estimates_and_no_verdict_and_never_count() -> None:
    table = table_of_seeds(0.6, 0.61, 0.62)
    registered = {"tuning_seeds": (0,), "confirmatory_seeds": (1, 2)}
    (found,) = judge(seeds(table), plan(**registered)).verdicts
    assert [run.seed for run in found.parts[0].estimate.runs] == [1, 2]
    assert found.word == "holds"
    (found,) = judge(seeds(table[:1]), plan(**registered)).verdicts
    assert (found.word, found.cause) == ("not testable here", "only seeds that tuned the study")
    assert (found.parts[0].word, found.is_tested) == ("not testable here", True)
    (found,) = judge(seeds(table[:1], first=7), plan(**registered)).verdicts
    assert found.cause == "none of the registered seeds (1, 2) is in the tables"
    (found,) = judge(seeds(table), plan(tuning_seeds=(0,), confirmatory_seeds=(1,))).verdicts
    assert (found.word, found.cause) == ("undecided", "rise: no trials beside the table")
    assert "Not counted: runs of seed 2, which is not registered." in found.notes
    assert "rise: undecided, +0.488 at 95 %; δ = 0.1; 1 run of tiny" in render([found])


def test_only_the_registered_scale_counts() -> None:
    rows = [*seeds(table_of_seeds(0.6, 0.62)), *seeds(table_of_seeds(0.2, 0.22), "small")]
    found = judge(rows, plan(scale="small")).estimate(plan().claims[0].parts[0], 0.95)
    assert (found.scales, found.value) == (("small",), pytest.approx(0.21 * 0.8))


# --- a planted study, from its trials to the command ---------------------------------------------------------------


@pytest.fixture(scope="session")
def verdicts(planted: Path) -> Mapping[str, Verdict]:
    return verdicts_of(load(planted))


def verdicts_of(table: Table) -> dict[str, Verdict]:
    return {one.claim.number: one for one in Judge(table, read_claims(EMBEDDED)).verdicts}


def test_a_table_without_trials_has_the_same_verdicts_from_the_kept_influences(
    planted: Path, tmp_path: Path
) -> None:
    asked = Judge(load(planted), read_claims(EMBEDDED))
    wanted = verdict_table(asked.verdicts)
    copy = tmp_path / "results.parquet"
    shutil.copy(planted, copy)
    asked.errors.write(copy)
    found = verdict_table(verdicts_of(load(copy)).values())
    pd.testing.assert_frame_equal(found, wanted, rtol=1e-12)
    combined_influences(copy).unlink()
    assert "no trials beside the table" in str(verdict_table(verdicts_of(load(copy)).values()).to_dict())


def test_the_public_function_and_the_command_give_the_same(
    planted: Path, tmp_path: Path, clipdyn: Any
) -> None:
    table = hf_clipdyn.verdicts(planted, EMBEDDED, show_progress=False)
    output = tmp_path / "verdicts.parquet"
    options = ("--print", "verdicts", "--claims", EMBEDDED, "--output", output, "--quiet")
    code, printed, error = clipdyn("report", planted, *options)
    assert code == 0, error
    pd.testing.assert_frame_equal(pd.read_parquet(output), table)
    assert pq.read_schema(output).equals(SCHEMA)
    for line in (
        r"5 by prompts Sensitivity to noise falls: holds\n    drop falls \(early - late\): holds, \+0\.\d+ "
        r"\[.*\] at 98\.75 %; δ = 0\.05; 0\.\d+ would be found with a power of 80 %; 6 runs of tiny, small\n",
        r"1 Texture first, then shape: holds \(by construction, not evidence\)",
        r"5 by the probe Sensitivity to noise falls: not testable here \(clean accuracy of the probe",
    ):
        assert re.search(line, printed)
    for words in (["--claims", tmp_path / "absent.yaml"], ["--claims", EMBEDDED, "--output", tmp_path], []):
        code, _, error = clipdyn("report", planted, "--print", "verdicts", "--quiet", *words)
        assert code != 0
        assert error.startswith("clipdyn: error: ")
        assert error.count("\n") == 1
    registered = registered_hash(read_claims(EMBEDDED))
    facts = Provenance.loads(pq.read_metadata(output).metadata[PROVENANCE_KEY], "the verdicts")
    assert (facts.package, facts.study, facts.claims) == (package(), "embedded world", registered)
    assert f"SHA-256 {registered}" in printed


def test_names_from_tables_cannot_steer_the_terminal(verdicts: Mapping[str, Verdict]) -> None:
    gate = replace(verdicts["1"].gates[0], passed=False, words="failed in me/\x1b[2Jrun")
    assert "\x1b" not in render([replace(verdicts["1"], gates=(gate,))])


def test_a_step_inside_an_epoch_is_no_revision_of_that_epoch() -> None:
    rows = rows_of([0.1, 0.2, 0.3])
    inside = replace(
        rows[1], revision="step-00000150", commit="f" * 40, step=150, samples_seen=9600, value=0.9
    )
    claims = plan({"weights": {"W": 1}}, windows={**PLAN["windows"], "W": {"epochs": (1,)}})
    assert contrast([*rows, inside], claims)[0].value == pytest.approx(0.2)


def test_a_gate_names_a_value_that_is_not_interpretable_and_a_run_without_the_number() -> None:
    rows = accuracies([0.4] * 11)
    rows[10] = replace(rows[10], interpretable=False)
    assert gate_of(rows) == (False, "failed in me/run: epoch-010: not interpretable (late)")
    assert gate_of([]) == (None, "not measured in me/run: zero_shot/procedural top1")
