"""The paired change of a number between two revisions."""

import math

import pytest
from planted import Planted, Run, ramp, write_study

from hf_clipdyn.report import read_study, summarize
from hf_clipdyn.statistics.compare import compare_revisions
from hf_clipdyn.statistics.contrasts import paired_change
from hf_clipdyn.statistics.influences import KeptInfluences
from hf_clipdyn.statistics.trajectories import rows_of


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The table of one planted run of three revisions, with its trials."""
    run = Run(scale="tiny", seed=0, planted=Planted(bias=ramp(0.3, 0.8)))
    return write_study(tmp_path_factory.mktemp("study") / "results.parquet", [run], shares=(0.0, 0.5, 1.0))


def test_it_is_the_difference_of_the_paired_comparison_with_its_interval(table):
    study = read_study(table)
    compared = compare_revisions(
        table, *study.results.rows["revision"].unique()[[0, -1]], show_progress=False
    )
    (wanted,) = compared.query("metric == 'shape_bias'").itertuples()
    (one,) = [one for one in study.trajectories if one.metric == "shape_bias" and one.is_value]
    points = rows_of(one.points)
    found = paired_change(one, points[0], points[-1], study.influences)
    assert found.value == pytest.approx(wanted.difference)
    assert (found.ci_low, found.ci_high) == pytest.approx((wanted.ci_low, wanted.ci_high))
    assert found.n_clusters == wanted.n_clusters


def test_without_trials_there_is_a_value_and_no_interval(table):
    (one,) = [one for one in read_study(table).trajectories if one.metric == "shape_bias" and one.is_value]
    points = rows_of(one.points)
    found = paired_change(one, points[0], points[-1], KeptInfluences(()))
    assert found.value == pytest.approx(points[-1].value - points[0].value)
    assert math.isnan(found.ci_low)
    assert found.cause


def test_a_description_gives_the_paired_change_of_its_ends(table):
    sentence = next(one for one in summarize(table) if one.startswith("Shape bias on"))
    assert ", a paired change of +0." in sentence
