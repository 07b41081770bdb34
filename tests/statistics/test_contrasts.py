"""Contrasts over seeds and scales: SciPy and least squares as references, a bootstrap, coverage, and power."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kept_cells import noise_decisions
from made_tables import plan
from planted import Planted, Run, ramp, write_study
from result_rows import row
from scipy import stats

from hf_clipdyn.report import read_study
from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.results.row import Cell
from hf_clipdyn.results.table import load
from hf_clipdyn.results.terms import Vocabulary
from hf_clipdyn.statistics.compare import compare_revisions
from hf_clipdyn.statistics.contrasts import (
    ONE_SEQUENCE,
    Error,
    Estimate,
    RunValue,
    combine,
    detectable_effect,
    paired_change,
    weighted,
)
from hf_clipdyn.statistics.errors import Errors
from hf_clipdyn.statistics.judge import Judge


def of_scales(**values: Any) -> list[RunValue]:
    return [
        RunValue(run=f"{scale}-{seed}", scale=scale, seed=seed, value=value)
        for scale, of_seeds in values.items()
        for seed, value in enumerate(of_seeds)
    ]


def ends(found: Estimate) -> tuple[float, float]:
    return found.ci_low, found.ci_high


def test_without_influences_the_interval_is_that_of_the_t_test_over_seeds():
    values = np.random.default_rng(0).random(5)
    found = combine(of_scales(tiny=values), 0.9)
    assert ends(found) == pytest.approx(stats.ttest_1samp(values, 0).confidence_interval(0.9))
    assert found.value == pytest.approx(values.mean())
    assert (found.errors[0].degrees_of_freedom, found.n_seeds, found.scales) == (4, 5, ("tiny",))
    assert found.notes == (
        "the interval does not include the error over items that all seeds share: no influences were read",
    )


def test_scale_is_a_fixed_block_as_in_least_squares():
    rng = np.random.default_rng(1)
    values = {"tiny": rng.normal(0, 1, 5), "small": rng.normal(2, 1, 3), "base": rng.normal(5, 1, 4)}
    found = combine(of_scales(**values))
    y = np.concatenate(list(values.values()))
    x = np.repeat(np.eye(3), [5, 3, 4], axis=0)
    coefficients, squares, *_ = np.linalg.lstsq(x, y)
    weights = np.ones(3) / 3
    error = np.sqrt(squares[0] / 9 * (weights @ np.linalg.inv(x.T @ x) @ weights))
    assert found.value == pytest.approx(coefficients.mean())
    assert found.standard_error == pytest.approx(error)
    assert found.errors[0].degrees_of_freedom == 9


def test_the_difference_of_arms_with_paired_seeds_is_that_of_the_paired_t_test():
    rng = np.random.default_rng(3)
    main, noise = rng.normal(1, 1, 5), rng.normal(0, 1, 5)
    arms = of_scales(tiny=main), of_scales(tiny=noise)
    found = combine(weighted([(1.0, arms[0]), (-1.0, arms[1])]))
    assert ends(found) == pytest.approx(stats.ttest_rel(main, noise).confidence_interval())
    assert combine(weighted([(1.0, arms[0]), (-1.0, arms[1][:4])])).n_seeds == 4, "pairs only"


def test_what_cannot_be_estimated_has_a_named_cause():
    assert combine([]).cause == "there is no run"
    broken = replace(of_scales(tiny=[1])[0], value=math.nan, cause="nothing was decided")
    assert combine([broken, *of_scales(tiny=[1, 2])]).cause == "tiny-0: nothing was decided"
    alike = combine(of_scales(tiny=[1, 1, 1]))
    assert alike.cause == "the error cannot be estimated: no seed and no item changes the value"
    assert (alike.value, math.isnan(alike.ci_low), math.isnan(alike.detectable)) == (1, True, True)
    both = weighted([(1.0, [broken]), (-1.0, of_scales(tiny=[1]))])
    assert both[0].cause == "tiny-0: nothing was decided"


# --- items that seeds share ----------------------------------------------------------------------------------------

N = 150
LEVELS = (0.1, 0.2)
EPOCHS = {1: (0.7, 0.4, 0.2), 9: (0.9, 0.75, 0.6), 10: (0.95, 0.8, 0.55)}
CLAIMS = plan({"endpoint": "drop", "weights": {"early": 1, "late": -1}})


def decisions(rng, accuracies, ease):
    """Right and wrong decisions (levels, items). Some images are easier for all seeds."""
    return 0.6 * ease + 0.4 * rng.random((3, N)) < np.array(accuracies)[:, None] * 0.9 - 0.05


def drops(right):
    """(…, levels, items) to the mean chance-corrected drop."""
    accuracy = right.mean(axis=-1)
    clean = accuracy[..., :1]
    return ((clean - accuracy[..., 1:]) / (clean - 0.1)).mean(axis=-1)


def estimate(path: Path, **columns: Any) -> Estimate:
    table = load(path)
    judge = Judge(table.where(**columns), CLAIMS, Errors(table.files))
    return judge.estimate(CLAIMS.claims[0].parts[0], 0.95)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Table, and the decisions (seeds, revisions, levels, items), of three seeds with trials."""
    path = tmp_path_factory.mktemp("study") / "results.parquet"
    store, rng = CellStore(path), np.random.default_rng(5)
    ease = rng.random(N)
    table = np.array([[decisions(rng, accuracies, ease) for accuracies in EPOCHS.values()] for _ in range(3)])
    for seed, of_run in enumerate(table):
        for epoch, right in zip(EPOCHS, of_run, strict=True):
            accuracy = right.mean(axis=1)
            of_levels = (accuracy[0] - accuracy[1:]) / (accuracy[0] - 0.1)
            run = {"repo_id": f"me/{seed}", "scale": "tiny", "seed": seed, "epoch": epoch}
            at = {"condition": "gaussian", "n": N, "n_clusters": N}
            numbers = [
                row("noise/procedural", "chance_corrected_drop", value, level=level, **run, **at)
                for level, value in zip(LEVELS, of_levels, strict=True)
            ]
            cell = Cell(**{name: getattr(numbers[0], name) for name in Cell.__annotations__})
            store.write(
                cell, numbers, noise_decisions(dict(zip((0.0, *LEVELS), right, strict=True))), Vocabulary()
            )
    store.rebuild()
    return path, table


def test_items_that_seeds_share_add_their_variance_as_a_bootstrap_that_draws_them_once_says(study):
    path, right = study
    found = estimate(path)
    values = drops(right)
    of_seeds = values[:, 0] - values[:, 1:].mean(axis=1)
    assert [one.value for one in found.runs] == pytest.approx(of_seeds)
    assert found.notes == ()

    drawn = np.random.default_rng(0).integers(0, N, (4000, N))
    resampled = np.array([drops(right[..., items]) for items in drawn])
    contrasts = resampled[:, :, 0] - resampled[:, :, 1:].mean(axis=2)
    own, of_mean = contrasts.var(axis=0), contrasts.mean(axis=1).var()
    assert [one.influence.variance for one in found.runs] == pytest.approx(own, rel=0.1)
    shared = np.cov(contrasts.T)[np.triu_indices(3, 1)].mean()
    assert (3 * of_mean - own.mean()) / 2 == pytest.approx(shared, rel=0.01)
    assert shared > 0.1 * own.mean()
    seeds, items = found.errors
    assert seeds == (pytest.approx(of_seeds.var(ddof=1) / 3), 2)
    assert items == (pytest.approx(shared, rel=0.15), N - 1)
    squares = [stats.t.ppf(0.975, one.degrees_of_freedom) ** 2 * one.variance for one in found.errors]
    assert found.ci_high - found.value == pytest.approx(math.sqrt(sum(squares)))
    assert found.n_clusters == N
    two = estimate(path, seed=[0, 1])
    of_both = two.runs[0].influence.values @ two.runs[1].influence.values * N / (N - 1)
    assert two.errors[1].variance == pytest.approx(of_both)
    one_t = combine(found.runs, one_t=True)
    assert one_t.ci_high - one_t.value == pytest.approx(stats.t.ppf(0.975, 2) * found.standard_error)


def test_one_seed_has_the_interval_of_its_items_and_says_so(study):
    found = estimate(study[0], seed=0)
    (run,) = found.runs
    half = stats.t.ppf(0.975, N - 1) * math.sqrt(run.influence.variance)
    assert ends(found) == pytest.approx((run.value - half, run.value + half))
    assert found.notes == (ONE_SEQUENCE,)
    assert found.errors[0].degrees_of_freedom == N - 1


# --- what can be found ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("degrees", [2, 4, 12])
@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_with_one_error_the_detectable_effect_has_80_percent_by_the_noncentral_t(degrees, confidence):
    effect = detectable_effect([Error(4.0, degrees)], confidence)
    reached = stats.nct.sf(stats.t.ppf((1 + confidence) / 2, degrees), degrees, effect / 2)
    assert reached == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize(("n", "items", "clusters"), [(3, 0.02, 36), (5, 0.01, 1000), (8, 0.05, 36)])
def test_simulated_studies_find_the_detectable_effect_in_80_percent(n, items, clusters):
    rng, sd, level, n_studies = np.random.default_rng(0), 0.03, 0.99, 40_000
    seeds = rng.normal(0, sd, (n_studies, n))
    means = seeds.mean(axis=1) + rng.normal(0, items, n_studies)
    t_seeds, t_items = (stats.t.ppf((1 + level) / 2, degrees) for degrees in (n - 1, clusters - 1))
    halves = np.sqrt(t_seeds**2 * seeds.var(axis=1, ddof=1) / n + t_items**2 * items**2)
    effect = detectable_effect([Error(sd**2 / n, n - 1), Error(items**2, clusters - 1)], level)
    assert (means + effect - halves > 0).mean() == pytest.approx(0.8, abs=0.008)


# --- the paired change of two revisions ------------------------------------------------------------------------


def test_a_paired_change_is_the_difference_of_the_paired_comparison_with_its_interval(tmp_path):
    run = Run(scale="tiny", seed=0, planted=Planted(bias=ramp(0.3, 0.8)))
    path = write_study(tmp_path / "results.parquet", [run], shares=(0.0, 0.5, 1.0))
    compared = compare_revisions(path, "epoch-000", "epoch-002", show_progress=False)
    (wanted,) = compared.query("metric == 'shape_bias'").itertuples()
    study = read_study(path)
    ((one,),) = study.planner.numbers("shape_bias", "shape_bias")
    first, _, last = study.planner.points(one)
    found = paired_change(one, first, last, study.influences)
    assert found.value == pytest.approx(wanted.difference)
    assert ends(found) == pytest.approx((wanted.ci_low, wanted.ci_high))
    assert found.n_clusters == wanted.n_clusters
