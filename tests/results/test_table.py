"""The numbers of tables in memory: cells, names of numbers and values apart, and joined again."""

import numpy as np
import pandas as pd
import pytest
from result_rows import row, write_rows

from hf_clipdyn.results import parquet
from hf_clipdyn.results.arrow import SCHEMA
from hf_clipdyn.results.read import read_results
from hf_clipdyn.results.row import NUMBER_KEY
from hf_clipdyn.results.table import Coded
from hf_clipdyn.statistics.trajectories import points_of, read_trajectories


@pytest.fixture
def path(tmp_path):
    """Two runs of three revisions; their rows alternate, so that no cell is in one piece."""
    rows = [
        row(
            "noise/cifar10",
            metric,
            epoch / 10 + level,
            0.1,
            epoch=epoch,
            repo_id=f"me/seed{seed}",
            seed=seed,
            level=level,
            layer=None if level else 2,
            interpretable=(None, True, False)[epoch],
            note="few images" if epoch else "",
        )
        for level in (0.0, 0.5)
        for metric in ("accuracy", "area")
        for seed in (1, 2)
        for epoch in range(3)
    ]
    return write_rows(rows, tmp_path / "results.parquet")


def test_a_cell_and_the_name_of_a_number_are_there_once(path):
    results = read_results(path)
    assert (len(results.cells), len(results.keys), len(results.values)) == (6, 4, 24)
    assert list(results.keys.columns) == list(NUMBER_KEY)
    assert results.number_keys[0][:3] == ("projection", 2, "accuracy")
    assert results.number_keys[2][1] is None


def test_the_parts_joined_are_the_rows_of_the_file(path):
    rows = read_results(path).rows
    written = pd.read_parquet(path)
    assert list(rows.columns) == [*SCHEMA.names, "cell", "run"]
    for name in ("repo_id", "revision", "metric", "level", "value", "ci_low", "n", "note"):
        assert rows[name].tolist() == written[name].tolist(), name
    assert rows["interpretable"].tolist() == [None, True, False] * 8


def test_a_frame_becomes_the_same_results_whatever_its_texts_are(path):
    results = read_results(path)
    texts = results.rows.astype({"metric": "category", "note": "str", "settings": "str"})
    for frame in (results.rows, texts, texts.drop(columns=["arm", "subset"])):
        again = results.with_rows(frame)
        pd.testing.assert_frame_equal(again.rows, results.rows)
        assert again.number_keys == results.number_keys


@pytest.mark.parametrize("rows", [1, 5])
def test_parts_of_a_file_give_what_the_whole_gives(path, rows, monkeypatch):
    whole = read_results(path)
    monkeypatch.setattr(parquet, "_BATCH", rows)
    monkeypatch.setattr(parquet, "_PART", rows)
    parts = read_results(path)
    pd.testing.assert_frame_equal(parts.rows, whole.rows)
    assert len(parts.cells) == len(whole.cells)


def test_a_part_has_only_its_own_cells(path):
    results = read_results(path)
    own = results.of_run("me/seed2")
    expected = results.rows[results.rows["run"] == "me/seed2"].reset_index(drop=True)
    pd.testing.assert_frame_equal(own.rows, expected)
    assert set(own.cells["run"]) == {"me/seed2"}
    assert own.of_run("me/seed2") is own
    assert set(
        results.select(results.keys["metric"].eq("area")[results.values["at_key"]].to_numpy()).rows["metric"]
    ) == {"area"}


def test_the_confidence_level_of_a_cell_is_its_first(path):
    results = read_results(path)
    levels = results.rows["confidence_level"].mask(results.rows["metric"] == "accuracy")
    assert (results.with_rows(results.rows.assign(confidence_level=levels)).confidence == 0.95).all()


def test_a_coded_column_of_a_coded_one_is_read_in_slices():
    column = Coded(np.array([2, 0, 1]), Coded(np.array([1, 1, 0]), np.array(["a", "b"], object)))
    assert column[:].tolist() == ["a", "b", "b"]
    assert column[1:2].tolist() == ["b"]
    assert len(column) == 3


def test_a_trajectory_reads_its_points_from_the_results(path):
    trajectories = read_trajectories(read_results(path))
    assert [(one.run, one.metric, one.level, one.layer) for one in trajectories[:4]] == [
        ("me/seed1", "accuracy", 0.0, 2),
        ("me/seed1", "area", 0.0, 2),
        ("me/seed1", "accuracy", 0.5, None),
        ("me/seed1", "area", 0.5, None),
    ]
    one = trajectories[2]
    assert one.points["value"].tolist() == one.column("value").tolist() == [0.5, 0.6, 0.7]
    assert one.points["usable"].tolist() == [True, True, False]
    assert one.points["note"].tolist() == ["", "few images", "few images"]
    assert (one.point(-1).value, one.point(-1).revision) == (0.7, "epoch-002")
    assert one.at(1).points["revision"].tolist() == ["epoch-001"]
    assert one.at(-1).at(0) == one


def test_points_of_several_trajectories_are_their_points_one_after_the_other(path):
    several = read_trajectories(read_results(path))[1:3]
    apart = [one.with_points(one.points) for one in several]
    expected = pd.concat([one.points for one in several])
    pd.testing.assert_frame_equal(points_of(several), expected)
    pd.testing.assert_frame_equal(points_of(apart).reset_index(drop=True), expected.reset_index(drop=True))


def test_runs_whose_cells_alternate_keep_their_own_places(tmp_path):
    rows = [
        row("noise/x", "accuracy", 0.5, epoch=epoch, repo_id=repo, revision=f"r{epoch}")
        for epoch, repo in ((3, "b"), (1, "a"), (2, "b"), (7, "a"), (5, "b"))
    ]
    first, second = read_trajectories(read_results(write_rows(rows, tmp_path / "results.parquet")))
    assert (first.run, first.points["epoch"].tolist()) == ("b", [2, 3, 5])
    assert (second.run, second.points["epoch"].tolist()) == ("a", [1, 7])
    assert first.points["order"].tolist() == [0, 1, 2]
