"""What items contribute to the errors of numbers, and so to their intervals and to any sum of them."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from hf_clipdyn.benchmarks.kind import Common, Kind, number
from hf_clipdyn.benchmarks.units import grouped, influences, scored
from hf_clipdyn.metrics.influence import weighted_sum
from hf_clipdyn.metrics.scores import Score, interval, left_out, mean, over
from hf_clipdyn.metrics.shared_images import SharedImages
from hf_clipdyn.results.row import NumberKey


class Mean(Kind):
    """The mean of a column, its median, and the share of values above 0."""

    name = "mean"

    def observe(self, readout): ...

    @classmethod
    def score(cls, trials, seed=0):
        values = trials["value"].to_numpy()
        yield number("mean", mean(values), trials["item"])
        codes, groups = grouped(trials["item"])
        known = left_out(np.median, [values], codes) if len(values) else None
        yield number("median", Score(float(np.median(values)), known), groups)
        yield number("above", mean(values > 0, "count"), trials["item"], ci_low=0.1, ci_high=0.2)
        yield number("n_people", Score(8.0, n=8))


class Alike(Mean):
    clusters = (("left", "right"),)


class CrossedWithAlike(Mean):
    clusters = ("reference", ("left", "right"))


MEAN, MEDIAN, ABOVE, N_PEOPLE = (
    NumberKey(metric=name).number_key for name in ("mean", "median", "above", "n_people")
)


def numbers_in(kind, table, level=0.95):
    return {one.number_key: one for one in scored(kind, table, Common(confidence_level=level))}


def found_in(kind, table):
    return influences(kind, table, numbers_in(kind, table).values())


def trials(seed=0, n=40):
    return pd.DataFrame({"item": np.arange(n), "value": np.random.default_rng(seed).normal(size=n)})


def test_the_framework_makes_the_interval_of_a_number_that_has_none():
    one = trials()
    found = numbers_in(Mean, one, level=0.9)
    expected = interval(one["value"].mean(), over(mean(one["value"]).influence), "linear", 0.9)
    assert (found[MEAN].ci_low, found[MEAN].ci_high) == pytest.approx(expected)
    assert found[MEAN].n_clusters == 40
    assert (found[ABOVE].ci_low, found[ABOVE].ci_high) == (0.1, 0.2), "a number that has ends keeps them"
    assert np.isnan([found[N_PEOPLE].ci_low, found[N_PEOPLE].ci_high]).all()


def test_the_names_of_the_items_alone_decide_their_groups():
    one, other = trials(0, 250), trials(1, 250)
    shuffled = other.sample(frac=1, random_state=0)
    first, second, third = (found_in(Mean, table)[MEDIAN] for table in (one, other, shuffled))
    assert second.values == pytest.approx(third.values)
    assert first.units.names == third.units.names
    assert first.n_clusters == 100
    width = found_in(Mean, other.astype({"item": "Int64"}))[
        MEDIAN
    ]  # a file gives back numbers of another width
    assert width.units.names == second.units.names
    assert weighted_sum([second, third], [1, -1]).variance == pytest.approx(0, abs=1e-25)


def test_the_units_have_the_names_that_they_had_in_0_3():
    """Cells of both can be subtracted."""
    names = found_in(Mean, trials())[MEAN].units.names
    assert names == "8bc9d8562f62b7e6dc5ed13c3c5a8105325daa46c368e318663c55f7939cc0cc"


def test_columns_in_a_tuple_share_their_names():
    pairs = np.array(list(combinations(range(12), 2)))
    n = len(pairs)
    values = np.random.default_rng(0).normal(size=12)[pairs].sum(axis=1)
    table = pd.DataFrame(
        {"item": np.arange(n), "left": pairs[:, 0], "right": pairs[:, 1], "value": values, "reference": 0}
    )
    error = found_in(Alike, table)[MEAN]
    contributions = (values - values.mean())[:, None] / n
    assert error.variance == pytest.approx(SharedImages(pairs).variance(contributions)[0])
    assert error.n_clusters == 12
    crossed = found_in(CrossedWithAlike, table.assign(reference=np.arange(n) % 5))[MEAN]
    assert crossed.n_clusters == 5
    codes = np.column_stack([np.arange(n) % 5, 5 + pairs])
    assert crossed.variance == pytest.approx(SharedImages(codes).variance(contributions)[0])
