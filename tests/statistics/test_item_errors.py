"""What items contribute to the errors of numbers, and so to that of any sum of them."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from hf_clipdyn.benchmarks.base import Common, Influence
from hf_clipdyn.benchmarks.grating_tests import TESTS, fitting_items
from hf_clipdyn.benchmarks.kinds.psychophysics import Psychophysics
from hf_clipdyn.benchmarks.kinds.quality import Quality
from hf_clipdyn.benchmarks.kinds.saliency import Saliency
from hf_clipdyn.benchmarks.kinds.similarity import Similarity
from hf_clipdyn.metrics.saliency_map_scores import METRICS
from hf_clipdyn.results.row import NUMBER_KEY, Number, NumberKey
from hf_clipdyn.statistics.item_errors import item_errors, left_out_errors, weighted_error


class Mean:
    """A stand-in for a kind: the mean of a column, and the mean without its largest value."""

    name = "mean"
    clusters = ("item",)
    clusters_alike = False

    @staticmethod
    def influences(trials):
        return ()

    @classmethod
    def rows_behind(cls, trials, number):
        return trials

    @staticmethod
    def score(trials, common):
        values = trials["value"].to_numpy()
        return [Number(metric="mean", value=values.mean()), Number(metric="median", value=np.median(values))]


class Crossed(Mean):
    clusters = ("row", "column")


class Alike(Mean):
    clusters = ("left", "right")
    clusters_alike = True


class ByInfluence(Mean):
    @staticmethod
    def influences(trials):
        values = trials.set_index("item")["value"]
        yield Influence(metric="mean", values=(values - values.mean()) / len(values))


MEAN, MEDIAN = (NumberKey(metric=name).number_key for name in ("mean", "median"))


def trials(seed=0, n=40):
    return pd.DataFrame({"item": np.arange(n), "value": np.random.default_rng(seed).normal(size=n)})


def test_the_variance_of_a_mean_is_that_of_the_textbook():
    one = trials()
    found = item_errors(Mean, one)
    assert found.keys() == {MEAN, MEDIAN}
    assert found[MEAN].variance == pytest.approx(one["value"].var() / 40)
    assert found[MEAN].n_clusters == 40
    assert item_errors(ByInfluence, one)[MEAN].variance == pytest.approx(one["value"].var() / 40)


@pytest.mark.parametrize("kind", [Mean, ByInfluence])
def test_any_sum_of_numbers_has_the_variance_of_the_summed_values(kind):
    tables = [trials(seed) for seed in range(4)]
    weights = np.array([0.5, 0.5, -1, 0.25])
    errors = [item_errors(kind, one, [MEAN])[MEAN] for one in tables]
    values = weights @ np.stack([one["value"] for one in tables])
    assert weighted_error(errors, weights).variance == pytest.approx(values.var(ddof=1) / 40)


def test_the_names_of_the_items_alone_decide_their_groups():
    one, other = trials(0, 250), trials(1, 250)
    shuffled = other.sample(frac=1, random_state=0)
    first, second, third = (item_errors(Mean, table, [MEAN])[MEAN] for table in (one, other, shuffled))
    assert second.values == pytest.approx(third.values)
    assert first.design == third.design
    assert first.n_clusters == 100
    assert weighted_error([second, third], [1, -1]).variance == pytest.approx(0, abs=1e-25)


def test_the_type_of_the_names_does_not_matter():
    """A file gives back numbers of another width."""
    one = trials()
    designs = {
        item_errors(Mean, one.astype({"item": kept}), [MEAN])[MEAN].design
        for kept in ("int64", "int32", "Int64")
    }
    assert len(designs) == 1


def test_cells_with_other_items_are_not_added():
    first, second = trials(), trials(1)
    second["item"] += 1
    for kind in (Mean, ByInfluence):
        errors = [item_errors(kind, one, [MEAN])[MEAN] for one in (first, second)]
        found = weighted_error(errors, [1, -1])
        assert np.isnan(found.variance)
        assert found.cause == "not all cells have the same items"
        assert found.n_clusters == 0


def test_crossed_clusters_have_the_variances_of_both_ways_minus_that_of_the_cells():
    rng = np.random.default_rng(0)
    rows, columns = np.divmod(np.arange(120), 12)
    values = rng.normal(size=10)[rows] + rng.normal(size=12)[columns] + rng.normal(size=120)
    table = pd.DataFrame({"row": rows, "column": columns, "value": values})

    def jackknife(groups):
        means = np.array([values[groups != group].mean() for group in np.unique(groups)])
        n = len(means)
        return (n - 1) / n * np.square(means - means.mean()).sum()

    error = item_errors(Crossed, table, [MEAN])[MEAN]
    assert error.design.sizes == (10, 12, 100)
    # the cells are 120, merged at random into 100 groups: their part is small and roughly known
    parts = jackknife(rows) + jackknife(columns)
    assert error.variance == pytest.approx(parts - jackknife(np.arange(120)), rel=0.05)


def test_items_that_occur_in_several_columns_are_left_out_wherever_they_occur():
    pairs = np.array(list(combinations(range(12), 2)))
    values = np.random.default_rng(0).normal(size=12)[pairs].sum(axis=1)
    table = pd.DataFrame({"left": pairs[:, 0], "right": pairs[:, 1], "value": values})
    means = np.array([values[(pairs != item).all(axis=1)].mean() for item in range(12)])
    expected = 11 / 12 * np.square(means - means.mean()).sum()
    assert item_errors(Alike, table, [MEAN])[MEAN].variance == pytest.approx(expected)


def test_what_has_no_error_has_a_cause():
    one = trials(n=1)
    assert item_errors(Mean, one, [MEAN])[MEAN].cause == "all items belong to one cluster"
    assert item_errors(ByInfluence, one, [MEAN])[MEAN].cause == "all items belong to one cluster"
    assert item_errors(Mean, trials(n=0), [MEAN])[MEAN].cause == "the benchmark shows no items"
    undefined = trials().assign(value=np.nan)
    cause = "the number is undefined, at least without some of its items"
    assert item_errors(Mean, undefined, [MEAN])[MEAN].cause == cause
    unknown = item_errors(Mean, one, [MEAN])[MEAN]
    assert weighted_error([item_errors(Mean, trials())[MEAN], unknown], [1, 1]) is unknown


def places(kind, rng, n, **columns):
    """Made-up trials at three places."""
    blocks = [
        pd.DataFrame(
            {
                **columns,
                "probe": probe,
                "layer": pd.array([layer] * n, "Int64"),
                "distance": distance,
                "dropped_dimensions": 0,
                **{name: rng.random(n) for name in ("value", "value_0", "value_1")},
            }
        )
        for probe, layer, distance in (
            ("projection", None, "cosine"),
            ("hidden", 3, "cosine"),
            ("pixels", None, "euclidean"),
        )
    ]
    table = pd.concat(blocks, ignore_index=True)
    return table[list(kind.trial_columns)].astype(kind.trial_columns)


def quality_trials():
    rng = np.random.default_rng(0)
    return places(
        Quality,
        rng,
        90,
        item=np.arange(90),
        reference_id=[f"r{at % 9}" for at in range(90)],
        distortion=[f"d{at // 45}" for at in range(90)],
        score=rng.random(90),
        higher_is_better=True,
    )


def similarity_trials():
    rng = np.random.default_rng(0)
    images = np.array([rng.choice(60, 3, replace=False) for _ in range(50)])
    return places(
        Similarity,
        rng,
        50,
        item=np.arange(50),
        **{name: images[:, at] for at, name in enumerate(Similarity.clusters)},
        judgement=rng.integers(0, 2, 50),
        votes=rng.integers(4, 8, 50),
        subset=[f"s{at % 2}" for at in range(50)],
    )


def psychophysics_trials():
    items, limit = pd.DataFrame(Psychophysics.items()), 12.0
    rows = [
        (item, contrast, exemplar)
        for item in fitting_items(items, limit)
        for contrast in (
            (items["criterion"][item],)
            if items["is_criterion"][item]
            else TESTS[items["test"][item]].contrasts
        )
        for exemplar in range(len(TESTS[items["test"][item]].exemplars))
    ]
    shown = pd.DataFrame(rows, columns=["item", "contrast", "exemplar"])
    judged = items.iloc[shown["item"]].reset_index(drop=True).assign(**shown, highest_frequency=limit)
    return places(Psychophysics, np.random.default_rng(0), len(judged), **judged).assign(
        value=lambda table: table["value"] * 0.01 + table["contrast"]
    )


@pytest.mark.parametrize(
    ("kind", "make"),
    [(Quality, quality_trials), (Similarity, similarity_trials), (Psychophysics, psychophysics_trials)],
)
def test_a_number_is_the_same_on_the_trials_that_it_rests_on(kind, make):
    table = make()
    common = Common(n_resamples=0)
    every = [one for one in kind.score(table, common) if one.role in ("value", "baseline")]
    whole = {one.number_key: one.value for one in every[:: max(1, len(every) // 4)]}
    fewer = 0
    for key, value in whole.items():
        number = NumberKey(**dict(zip(NUMBER_KEY, key, strict=True)))
        part = kind.rows_behind(table, number)
        fewer += len(part) < len(table)
        (alone,) = [one.value for one in kind.score(part, common) if one.number_key == key]
        assert alone == pytest.approx(value, nan_ok=True), key
    assert fewer == len(whole)


def saliency_trials():
    rng = np.random.default_rng(0)
    blocks = [
        pd.DataFrame(
            {
                "item": np.arange(70),
                "image_id": "one",
                "n_fixations": 3,
                "probe": probe,
                "layer": pd.array([None] * 70, "Int64"),
                "smoothed": smoothed,
                "subset": "",
                **{name: rng.random(70) for name in METRICS},
                "causes": "",
            }
        )
        for probe in ("rollout", "centre_bias")
        for smoothed in (True, False)
    ]
    return pd.concat(blocks, ignore_index=True)


@pytest.mark.parametrize(
    ("kind", "make", "metrics"),
    [(Quality, quality_trials, {"srcc", "plcc", "alignment"}), (Saliency, saliency_trials, set(METRICS))],
)
def test_what_a_kind_says_of_its_items_is_what_leaving_them_out_changes(kind, make, metrics):
    table = make()
    common = Common(n_resamples=0)
    known = {one.number_key: one.metric for one in kind.influences(table)}
    assert set(known.values()) == metrics
    wanted = [one.number_key for one in kind.score(table, common) if one.metric in metrics]
    assert set(wanted) == set(known)
    shown = wanted[::10]
    left_out = left_out_errors(
        kind,
        [table],
        lambda tables: {one.number_key: one.value for one in kind.score(tables[0], common)},
        shown,
    )
    found = item_errors(kind, table, shown)
    for key, error in left_out.items():
        assert found[key].variance == pytest.approx(error.variance), key
        assert found[key].n_clusters == error.n_clusters


def test_a_map_that_is_constant_on_some_images_has_the_error_of_the_others():
    table = saliency_trials()
    table.loc[table["item"] >= 40, "nss"] = np.nan
    (number,) = [
        one
        for one in Saliency.score(table, Common(n_resamples=0))
        if (one.metric, one.probe, one.variant) == ("nss", "rollout", "")
    ]
    rows = table[(table["probe"] == "rollout") & ~table["smoothed"]]
    error = item_errors(Saliency, table, [number.number_key])[number.number_key]
    assert error.variance == pytest.approx(rows["nss"].var() / 40, rel=0.02)
    nothing = table.assign(nss=np.nan)
    assert item_errors(Saliency, nothing, [number.number_key])[number.number_key].cause == (
        "the number is undefined, at least without some of its items"
    )
