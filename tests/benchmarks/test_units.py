"""What items contribute to the errors of numbers, and so to that of any sum of them."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from hf_clipdyn.benchmarks.base import BY_PERSON, Common, Kind, KindSettings, by_item
from hf_clipdyn.benchmarks.kinds.quality import Quality
from hf_clipdyn.benchmarks.kinds.saliency import Saliency
from hf_clipdyn.benchmarks.units import influences
from hf_clipdyn.metrics.influence import mean_influence, weighted_sum
from hf_clipdyn.metrics.saliency_map_scores import METRICS
from hf_clipdyn.results.row import Number, NumberKey


class Mean(Kind[KindSettings]):
    """The mean of a column, and its median."""

    name = "mean"
    clusters = ("item",)
    clusters_alike = False

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
    def score(trials, common):
        known = by_item(mean_influence(trials["value"]), trials["item"])
        return [Number(metric="mean", value=trials["value"].mean(), influence=known)]


class WithPeople(Mean):
    @classmethod
    def numbers_of_people(cls, trials):
        own = trials.groupby("observer")["value"].mean()
        known = (own - own.mean()) / len(own)
        place = {"metric": "mean", "role": "human", "reference": BY_PERSON}
        return [Number(**place, value=own.mean(), influence=known)]


def found_in(kind, table):
    return influences(kind, table, kind.score(table, Common(n_resamples=0)))


MEAN, MEDIAN = (NumberKey(metric=name).number_key for name in ("mean", "median"))


def trials(seed=0, n=40):
    return pd.DataFrame({"item": np.arange(n), "value": np.random.default_rng(seed).normal(size=n)})


def test_the_variance_of_a_mean_is_that_of_the_textbook():
    one = trials()
    found = found_in(Mean, one)
    assert found.keys() == {MEAN, MEDIAN}
    assert found[MEAN].variance == pytest.approx(one["value"].var() / 40)
    assert found[MEAN].n_clusters == 40
    assert found_in(ByInfluence, one)[MEAN].variance == pytest.approx(one["value"].var() / 40)


def test_what_people_contribute_is_beside_the_numbers():
    one = trials().assign(observer=np.arange(40) % 8)
    found = found_in(WithPeople, one)
    error = found[NumberKey(metric="mean", role="human", reference=BY_PERSON).number_key]
    own = one.groupby("observer")["value"].mean()
    assert found.keys() > {MEAN, MEDIAN}
    assert error.variance == pytest.approx(own.var() / 8)
    assert error.n_clusters == 8


@pytest.mark.parametrize("kind", [Mean, ByInfluence])
def test_any_sum_of_numbers_has_the_variance_of_the_summed_values(kind):
    tables = [trials(seed) for seed in range(4)]
    weights = np.array([0.5, 0.5, -1, 0.25])
    errors = [found_in(kind, one)[MEAN] for one in tables]
    values = weights @ np.stack([one["value"] for one in tables])
    assert weighted_sum(errors, weights).variance == pytest.approx(values.var(ddof=1) / 40)


def test_the_names_of_the_items_alone_decide_their_groups():
    one, other = trials(0, 250), trials(1, 250)
    shuffled = other.sample(frac=1, random_state=0)
    first, second, third = (found_in(Mean, table)[MEAN] for table in (one, other, shuffled))
    assert second.values == pytest.approx(third.values)
    assert first.units.names == third.units.names
    assert first.n_clusters == 100
    assert weighted_sum([second, third], [1, -1]).variance == pytest.approx(0, abs=1e-25)


def test_the_type_of_the_names_does_not_matter():
    """A file gives back numbers of another width."""
    one = trials()
    units = {
        found_in(Mean, one.astype({"item": kept}))[MEAN].units.names for kept in ("int64", "int32", "Int64")
    }
    assert len(units) == 1


def test_cells_with_other_items_are_not_added():
    first, second = trials(), trials(1)
    second["item"] += 1
    for kind in (Mean, ByInfluence):
        errors = [found_in(kind, one)[MEAN] for one in (first, second)]
        found = weighted_sum(errors, [1, -1])
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

    error = found_in(Crossed, table)[MEAN]
    assert error.units.clusters.shape == (120, 2)
    assert error.n_clusters == 10
    parts = jackknife(rows) + jackknife(columns)
    # one factor for the pairs that share a cluster stands for those of both ways
    assert error.variance == pytest.approx(parts - jackknife(np.arange(120)), rel=0.15)


def test_items_that_occur_in_several_columns_are_left_out_wherever_they_occur():
    pairs = np.array(list(combinations(range(12), 2)))
    values = np.random.default_rng(0).normal(size=12)[pairs].sum(axis=1)
    table = pd.DataFrame({"left": pairs[:, 0], "right": pairs[:, 1], "value": values})
    means = np.array([values[(pairs != item).all(axis=1)].mean() for item in range(12)])
    expected = 11 / 12 * np.square(means - means.mean()).sum()
    assert found_in(Alike, table)[MEAN].variance == pytest.approx(expected)


def test_what_has_no_error_has_a_cause():
    one = trials(n=1)
    assert found_in(Mean, one)[MEAN].cause == "all items belong to one cluster"
    assert found_in(ByInfluence, one)[MEAN].cause == "all items belong to one cluster"
    nothing = influences(Mean, trials(n=0), [Number(metric="mean", value=0.0)])
    assert nothing[MEAN].cause == "the benchmark shows no items"
    undefined = trials().assign(value=np.nan)
    cause = "the number is undefined, at least without some of its items"
    assert found_in(Mean, undefined)[MEAN].cause == cause
    unknown = found_in(Mean, one)[MEAN]
    assert weighted_sum([found_in(Mean, trials())[MEAN], unknown], [1, 1]) is unknown


def quality_trials():
    rng = np.random.default_rng(0)
    shown = pd.DataFrame(
        {
            "item": np.arange(90),
            "reference_id": [f"r{at % 9}" for at in range(90)],
            "distortion": [f"d{at // 45}" for at in range(90)],
            "score": rng.random(90),
            "higher_is_better": True,
            "dropped_dimensions": 0,
        }
    )
    blocks = [
        shown.assign(probe=probe, layer=layer, distance=distance, value=rng.random(90))
        for probe, layer, distance in (
            ("projection", pd.NA, "cosine"),
            ("hidden", 3, "cosine"),
            ("pixels", pd.NA, "euclidean"),
        )
    ]
    return pd.concat(blocks, ignore_index=True).astype(Quality.trial_columns)


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


@pytest.mark.parametrize(("kind", "make"), [(Quality, quality_trials), (Saliency, saliency_trials)])
def test_what_a_kind_says_of_its_items_is_what_leaving_them_out_changes(kind, make):
    table = make()
    values = [one for one in kind.score(table, Common(n_resamples=0)) if one.role == "value"]
    shown = [one for one in values[::10] if "logistic" not in one.metric]  # the fit of all rows is kept
    found = influences(kind, table, shown)
    left_out = influences(kind, table, [replace(one, influence=None) for one in shown])
    assert found.keys() == left_out.keys() != set()
    for key, error in left_out.items():
        assert found[key].variance == pytest.approx(error.variance), key
        assert found[key].n_clusters == error.n_clusters


def test_a_map_that_is_constant_on_some_images_has_the_error_of_the_others():
    table = saliency_trials()
    table.loc[table["item"] >= 40, "nss"] = np.nan
    (key,) = {
        one.number_key
        for one in Saliency.score(table, Common(n_resamples=0))
        if (one.metric, one.probe, one.variant) == ("nss", "rollout", "")
    }
    rows = table[(table["probe"] == "rollout") & ~table["smoothed"]]
    error = found_in(Saliency, table)[key]
    assert error.variance == pytest.approx(rows["nss"].var() / 40, rel=0.02)
    nothing = table.assign(nss=np.nan)
    assert key not in found_in(Saliency, nothing), "without a cause it is no number of this probe"
