"""Contrasts per run, over seeds and scales: SciPy and least squares as references, a bootstrap, and coverage."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from planted import Planted, Run, ramp, write_study
from result_rows import course, row
from scipy import stats

from hf_clipdyn.errors import ConfigError, UnknownNameError
from hf_clipdyn.metrics.influence import Influence, Units
from hf_clipdyn.report import read_study, summarize
from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.results.row import Cell, Row
from hf_clipdyn.results.table import load
from hf_clipdyn.results.terms import Vocabulary
from hf_clipdyn.statistics.compare import compare_revisions
from hf_clipdyn.statistics.contrasts import (
    ONE_SEQUENCE,
    Contrast,
    Endpoint,
    RunContrast,
    combine,
    minus,
    paired_change,
    run_contrasts,
)
from hf_clipdyn.statistics.influences import NO_TRIALS, KeptInfluences
from hf_clipdyn.statistics.trajectories import read_trajectories, rows_of
from hf_clipdyn.statistics.windows import Window, align

WINDOWS = [
    Window(name="0", untrained=True),
    Window(name="E", start=0.1, end=0.2),
    Window(name="L", start=0.9, end=1.0),
]
BIAS = Endpoint(kind="shape_bias", dataset="procedural", metric="shape_bias")
RISE = Contrast(title="rise", endpoint=BIAS, weights={"L": 1, "E": -1}, smallest_effect=0.1)


def run_rows(values, repo_id="me/run", **columns):
    return course("shape_bias/procedural", "shape_bias", values, 0.1, repo_id=repo_id, **columns)


def contrasts(contrast, trajectories, influences=None):
    values, places = contrast.endpoint.of(trajectories).values(), align(trajectories)
    return run_contrasts(contrast, WINDOWS, values, influences, places=places)


def estimate(contrast, trajectories, influences=None, confidence_level=0.95):
    return combine(contrasts(contrast, trajectories, influences), confidence_level)


def contrast_of(name, endpoint=BIAS, **options):
    return Contrast(
        **({"title": "m", "endpoint": endpoint, "weights": {name: 1}, "smallest_effect": 1} | options)
    )


def seeds_rows(table, scale="tiny"):
    return [
        one
        for seed, values in enumerate(table)
        for one in run_rows(values, f"me/{scale}-{seed}", scale=scale, seed=seed)
    ]


def test_a_contrast_is_the_constant_and_the_weighted_means_over_windows(gather):
    values = np.linspace(0.2, 0.9, 11) ** 2
    contrast = Contrast(
        title="half", endpoint=BIAS, constant=0.5, weights={"E": -1, "0": 2}, smallest_effect=0.1
    )
    (found,) = contrasts(contrast, gather(run_rows(values)))
    assert found.value == pytest.approx(0.5 - values[1:3].mean() + 2 * values[0])
    assert (found.run, found.n, found.cause) == ("me/run", 1000, "")
    assert math.isnan(found.influence.variance)


def test_without_trials_the_interval_is_that_of_the_t_test_over_seeds(gather):
    table = np.random.default_rng(0).random((5, 11))
    found = estimate(RISE, gather(seeds_rows(table)), confidence_level=0.9)
    of_seeds = table[:, 9:].mean(axis=1) - table[:, 1:3].mean(axis=1)
    expected = stats.ttest_1samp(of_seeds, 0)
    low, high = expected.confidence_interval(0.9)
    assert found.value == pytest.approx(of_seeds.mean())
    assert (found.ci_low, found.ci_high) == (pytest.approx(low), pytest.approx(high))
    assert (found.degrees_of_freedom, found.n_seeds, found.scales) == (4, 5, ("tiny",))
    assert found.notes == (
        "the interval does not include the error over items that all seeds share: no trials were given",
    )
    assert [one.value for one in found.runs] == pytest.approx(of_seeds)


def of_scales(**values):
    return [
        RunContrast(run=f"{scale}-{seed}", scale=scale, seed=seed, value=value)
        for scale, of_seeds in values.items()
        for seed, value in enumerate(of_seeds)
    ]


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
    assert found.degrees_of_freedom == 9


def test_the_difference_of_two_scales_is_that_of_the_t_test_of_two_samples():
    rng = np.random.default_rng(2)
    values = {"small": rng.normal(1, 1, 5), "tiny": rng.normal(0, 1, 4)}
    found = combine(of_scales(**values), scales={"small": 1, "tiny": -1})
    low, high = stats.ttest_ind(*values.values()).confidence_interval()
    assert (found.ci_low, found.ci_high) == (pytest.approx(low), pytest.approx(high))
    with pytest.raises(UnknownNameError, match="'base'"):
        combine(of_scales(**values), scales={"base": 1})


@pytest.mark.parametrize(("scale", "counts"), [("tiny", (40, 10, 3)), ("small", (90, 30, 2))])
def test_runs_of_a_scale_without_a_weight_are_not_counted(scale, counts):
    runs = [
        replace(one, n=n, n_clusters=n_clusters)
        for scale, n, n_clusters, n_seeds in (("tiny", 40, 10, 3), ("small", 90, 30, 2))
        for one in of_scales(**{scale: np.arange(n_seeds)})
    ]
    found = combine(runs, scales={scale: 1})
    assert (found.n, found.n_clusters, found.n_seeds) == counts
    assert found.scales == (scale,)
    assert found.degrees_of_freedom == 3, "the variance between seeds is that of both scales"


def test_the_difference_of_arms_with_paired_seeds_is_that_of_the_paired_t_test():
    rng = np.random.default_rng(3)
    main, noise = rng.normal(1, 1, 5), rng.normal(0, 1, 5)
    arms = of_scales(tiny=main), of_scales(tiny=noise)
    found = combine(minus(*arms))
    low, high = stats.ttest_rel(main, noise).confidence_interval()
    assert (found.ci_low, found.ci_high) == (pytest.approx(low), pytest.approx(high))
    alone = combine(minus(arms[0], arms[1][:4]))
    assert alone.cause == "tiny-4: 0 runs of the other arm have scale tiny and seed 4; exactly 1 is needed"


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"value": math.nan, "note": "nothing was decided"}, "me/run: epoch-002: nothing was decided"),
        ({"interpretable": False}, "me/run: epoch-002: not interpretable"),
    ],
)
def test_a_revision_without_a_usable_value_makes_its_window_undefined(gather, change, cause):
    rows = run_rows([0.1] * 11)
    rows[2] = Row(**vars(rows[2]) | change)
    found = estimate(RISE, gather(rows))
    assert math.isnan(found.value)
    assert found.cause == cause
    assert estimate(contrast_of("L"), gather(rows)).value == pytest.approx(0.1)


def test_what_cannot_be_estimated_has_a_named_cause(gather):
    rows = run_rows([0.1] * 3)
    assert estimate(RISE, gather(rows)).cause == (
        "me/run: the run has no revision from 10 to 20 % of the samples (window E)"
    )
    accuracy = contrast_of("L", replace(BIAS, metric="cue_accuracy"))
    assert estimate(accuracy, gather(rows)).cause == (
        "me/run: shape_bias/procedural has no cue_accuracy of this kind"
    )
    twice = [*run_rows([0.1] * 11), *run_rows([0.2] * 11, settings='{"stage": "input"}')]
    assert "measured with several settings" in estimate(RISE, gather(twice)).cause
    assert estimate(RISE, []).cause == "there is no run"
    assert combine([*of_scales(tiny=[1, 2]), *of_scales(tiny=[3])]).cause == (
        "2 runs have scale tiny and seed 0: name only one of them"
    )
    arms = [
        RunContrast(run=arm, scale="tiny", seed=at, arm=arm, value=1) for at, arm in enumerate(("", "noise"))
    ]
    assert combine(arms).cause == "the runs are of several arms (main, noise)"
    alike = combine(of_scales(tiny=[1, 1, 1]))
    assert alike.cause == "the error cannot be estimated: no seed and no item changes the value"
    assert (alike.value, math.isnan(alike.ci_low)) == (1, True)
    with pytest.raises(UnknownNameError, match="window 'M'"):
        estimate(contrast_of("M"), gather(rows))
    with pytest.raises(ConfigError, match="smallest_effect of 'm' is 0"):
        contrast_of("E", smallest_effect=0)
    with pytest.raises(ConfigError, match="weights of 'm' name no window"):
        contrast_of("E", weights={})


def test_runs_of_unknown_seeds_are_no_seeds_of_one_training(gather):
    rows = [*run_rows(np.arange(11) / 10, "a/x"), *run_rows(np.arange(11) / 20, "b/y")]
    found = estimate(RISE, gather(rows))
    assert found.value == pytest.approx(np.mean([0.8, 0.4]))
    assert ONE_SEQUENCE in found.notes
    assert math.isnan(found.ci_low)


N = 150
LEVELS = (0.1, 0.2)
DROP = Endpoint(
    kind="noise", dataset="procedural", metric="chance_corrected_drop", condition="gaussian", levels=LEVELS
)
FALL = Contrast(title="fall", endpoint=DROP, weights={"E": 1, "L": -1}, smallest_effect=0.05)
EPOCHS = {1: (0.7, 0.4, 0.2), 9: (0.9, 0.75, 0.6), 10: (0.95, 0.8, 0.55)}


def decisions(rng, accuracies, ease):
    """Right and wrong decisions (levels, items). Some images are easier for all seeds."""
    return 0.6 * ease + 0.4 * rng.random((3, N)) < np.array(accuracies)[:, None] * 0.9 - 0.05


def noise_trials(right):
    labels = np.arange(N) % 10
    fixed = {"mean_pairwise_distance": np.nan, "distance": np.nan, "n_classes": 10}
    tables = []
    for level, of_level in zip((0.0, *LEVELS), right, strict=True):
        shown = {"condition": "gaussian" if level else "none", "level": level, "rms": level}
        decisions = {
            "item": np.arange(N),
            "label": labels,
            "decision": np.where(of_level, labels, (labels + 1) % 10),
        }
        tables.append(
            pd.DataFrame(decisions | shown | fixed | {"probe_decision": pd.array([None] * N, "Int64")})
        )
    return pd.concat(tables, ignore_index=True)


def drops(right):
    """(…, levels, items) to the mean chance-corrected drop."""
    accuracy = right.mean(axis=-1)
    clean = accuracy[..., :1]
    return ((clean - accuracy[..., 1:]) / (clean - 0.1)).mean(axis=-1)


def read(path):
    """The trajectories of a table, and the errors of its items."""
    results = load(path)
    return read_trajectories(results), KeptInfluences(results.files)


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
                row("noise/procedural", DROP.metric, value, level=level, **run, **at)
                for level, value in zip(LEVELS, of_levels, strict=True)
            ]
            cell = Cell(**{name: getattr(numbers[0], name) for name in Cell.__annotations__})
            store.write(cell, numbers, noise_trials(right), Vocabulary())
    store.rebuild()
    return path, table


def test_items_that_seeds_share_add_their_variance_as_a_bootstrap_that_draws_them_once_says(study):
    path, right = study
    found = estimate(FALL, *read(path))
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
    assert found.standard_error**2 == pytest.approx(of_seeds.var(ddof=1) / 3 + shared, rel=0.05)
    assert (found.n_clusters, found.degrees_of_freedom) == (N, 2)


def test_one_seed_has_the_interval_of_its_items_and_says_so(study):
    path, _ = study
    trajectories, errors = read(path)
    found = estimate(FALL, [one for one in trajectories if one.seed == 0], errors)
    (run,) = found.runs
    half = stats.t.ppf(0.975, N - 1) * math.sqrt(run.influence.variance)
    assert (found.ci_low, found.ci_high) == (pytest.approx(run.value - half), pytest.approx(run.value + half))
    assert found.notes == (ONE_SEQUENCE,)
    assert found.degrees_of_freedom == N - 1


def test_a_table_without_trials_keeps_the_part_of_the_seeds(study, tmp_path):
    path, right = study
    copy = tmp_path / "copy.parquet"
    copy.write_bytes(path.read_bytes())
    trajectories, errors = read(copy)
    found = estimate(FALL, trajectories, errors)
    values = drops(right)
    of_seeds = values[:, 0] - values[:, 1:].mean(axis=1)
    low, high = stats.ttest_1samp(of_seeds, 0).confidence_interval()
    assert (found.ci_low, found.ci_high) == (pytest.approx(low), pytest.approx(high))
    assert found.notes == (
        f"the interval does not include the error over items that all seeds share: {NO_TRIALS}",
    )
    alone = estimate(FALL, [one for one in trajectories if one.seed == 0], errors)
    assert (alone.cause, math.isnan(alone.ci_low)) == (NO_TRIALS, True)


def coverage(n_studies, *, seeds=5, of_seed, of_items, own_share=0.3, items=60, rng):
    """Share of the intervals that hold the truth, 0, in studies whose seeds are shown the same drawn items.

    Args:
        of_seed: sd of the seeds.
        of_items: sd of one seed's contrast over the items.
        own_share: of the items' variance, what concerns one seed alone.
    """
    units = Units("items", np.arange(items)[:, None], items)
    held = 0
    for _ in range(n_studies):
        common = rng.normal(0, math.sqrt(1 - own_share), items)
        each = of_items * math.sqrt(items) * (common + rng.normal(0, math.sqrt(own_share), (seeds, items)))
        of_seeds = rng.normal(0, of_seed, seeds) + each.mean(axis=1)
        shares = (each - each.mean(axis=1, keepdims=True)) / items
        runs = [
            RunContrast(run=str(at), scale="tiny", seed=at, value=value, influence=Influence(units, share))
            for at, (value, share) in enumerate(zip(of_seeds, shares, strict=True))
        ]
        found = combine(runs)
        held += found.ci_low <= 0 <= found.ci_high
    return held / n_studies


def test_intervals_cover_the_truth_where_seeds_dominate():
    found = coverage(1500, of_seed=0.05, of_items=0.01, rng=np.random.default_rng(0))
    assert 0.93 <= found <= 0.97


def test_intervals_are_too_wide_where_items_dominate():
    """Student's t has the seeds' degrees of freedom, though the items' variance is known much better."""
    found = coverage(600, of_seed=0.0, of_items=0.05, rng=np.random.default_rng(0))
    assert found > 0.97


@pytest.mark.slow
@pytest.mark.parametrize(
    ("of_seed", "of_items", "low", "high"),
    [(0.05, 0.0, 0.945, 0.955), (0.05, 0.01, 0.96, 0.975), (0.05, 0.025, 0.98, 0.99), (0.0, 0.05, 0.985, 1)],
)
def test_coverage_in_many_studies(of_seed, of_items, low, high):
    """Measured: 94.9, 96.8, 98.6 and 99.2 %."""
    found = coverage(20_000, of_seed=of_seed, of_items=of_items, rng=np.random.default_rng(1))
    print(f"sd of seeds {of_seed}, of items {of_items}: {found:.4f}")
    assert low <= found <= high


# --- the paired change of two revisions ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planted_run(tmp_path_factory):
    """The table of one planted run of three revisions, with its trials."""
    run = Run(scale="tiny", seed=0, planted=Planted(bias=ramp(0.3, 0.8)))
    return write_study(tmp_path_factory.mktemp("study") / "results.parquet", [run], shares=(0.0, 0.5, 1.0))


def test_it_is_the_difference_of_the_paired_comparison_with_its_interval(planted_run):
    study = read_study(planted_run)
    compared = compare_revisions(
        planted_run, *study.results.rows["revision"].unique()[[0, -1]], show_progress=False
    )
    (wanted,) = compared.query("metric == 'shape_bias'").itertuples()
    (one,) = [one for one in study.trajectories if one.metric == "shape_bias" and one.is_value]
    points = rows_of(one.points)
    found = paired_change(one, points[0], points[-1], study.influences)
    assert found.value == pytest.approx(wanted.difference)
    assert (found.ci_low, found.ci_high) == pytest.approx((wanted.ci_low, wanted.ci_high))
    assert found.n_clusters == wanted.n_clusters


def test_without_trials_there_is_a_value_and_no_interval(planted_run):
    (one,) = [
        one for one in read_study(planted_run).trajectories if one.metric == "shape_bias" and one.is_value
    ]
    points = rows_of(one.points)
    found = paired_change(one, points[0], points[-1], KeptInfluences(()))
    assert found.value == pytest.approx(points[-1].value - points[0].value)
    assert math.isnan(found.ci_low)
    assert found.cause


def test_a_description_gives_the_paired_change_of_its_ends(planted_run):
    sentence = next(one for one in summarize(planted_run) if one.startswith("Shape bias on"))
    assert ", a paired change of +0." in sentence


@pytest.mark.parametrize(
    ("fall", "loss", "holds"),
    [
        (0.3, 0.0, (True, True)),
        (0.0, 0.0, (False, True)),
        (-0.3, 0.0, (False, True)),
        (0.3, 0.3, (True, False)),
    ],
    ids=["present", "absent", "reversed", "forgotten"],
)
def test_a_turn_that_keeps_texture_has_two_parts(gather, fall, loss, holds):
    """From 40 to 50 % of training to the end the answers for the texture fall, and what is decodable of it does not."""
    rng, late = np.random.default_rng(0), np.linspace(0, 1, 11) > 0.7
    kinds = {
        "cue_learning-shape_bias/procedural": ("texture_share", fall),
        "decodability/procedural": ("texture", loss),
    }
    rows = [
        one
        for seed in range(8)
        for name, (metric, change) in kinds.items()
        for one in course(
            name,
            metric,
            0.6 - change * late + rng.normal(0, 0.02, 11),
            0.1,
            repo_id=f"me/{seed}",
            scale="tiny",
            seed=seed,
        )
    ]
    windows = [*WINDOWS, Window(name="H", start=0.4, end=0.5)]
    found, trajectories = [], gather(rows)
    for (name, (metric, _)), sign in zip(kinds.items(), (1, -1), strict=True):
        endpoint = Endpoint(kind=name.partition("/")[0], dataset="procedural", metric=metric)
        contrast = Contrast(
            title=metric, endpoint=endpoint, weights={"H": sign, "L": -sign}, smallest_effect=0.1
        )
        values = endpoint.of(trajectories).values()
        found.append(combine(run_contrasts(contrast, windows, values, places=align(trajectories))))
    falls, kept = found
    assert (falls.ci_low >= 0.1, kept.ci_low > -0.05) == holds
