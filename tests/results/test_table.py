"""The frame of a table: its rows, courses and cells, and the files that are read into it."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from result_rows import row, write_rows

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.results.table import load, load_results
from hf_clipdyn.results.terms import Vocabulary


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


def test_a_frame_becomes_the_same_table_whatever_its_texts_are(path):
    table = load(path)
    texts = table.rows.astype(
        {"metric": "str", "note": object, "settings": "str", "run": "str", "cell": object}
    )
    for frame in (table.rows, texts, texts.drop(columns=["arm", "subset", "order", "usable", "course"])):
        pd.testing.assert_frame_equal(table.with_rows(frame).rows, table.rows)


def test_where_keeps_rows_with_a_value_or_any_of_several(path):
    table = load(path)
    own = table.where(run="me/seed2")
    expected = table.rows[table.rows["run"] == "me/seed2"].reset_index(drop=True)
    expected["course"] -= 4
    pd.testing.assert_frame_equal(own.rows, expected)
    assert own.where(run=["me/seed1", "me/seed2"]) is own
    assert own.where(layer=None, metric="area").rows["level"].tolist() == [0.5] * 3
    assert own.where(layer=2).spans == [slice(0, 3), slice(3, 6)]
    assert own.courses.index.tolist() == [0, 1, 2, 3]


def test_a_number_that_a_cell_has_twice_counts_as_it_was_written_last(tmp_path):
    rows = [row("noise/x", "accuracy", value, epoch=epoch) for value in (0.1, 0.2) for epoch in (0, 1)]
    table = load(write_rows(rows, tmp_path / "results.parquet"))
    assert table.rows["value"].tolist() == [0.2, 0.2]


def test_small_models_come_first_and_their_origins(tmp_path):
    sizes = {"me/large": 300, "me/small": 100, "me/unknown": None, "me/second": 100}
    rows = [row("noise/x", "accuracy", 0.5, repo_id=name, parameters=size) for name, size in sizes.items()]
    table = load(write_rows(rows, tmp_path / "results.parquet")).smallest_first()
    names = ["me/unknown", "me/small", "me/second", "me/large"]
    assert table.rows["run"].tolist() == [one.run for one in table.origins] == names
    assert table.rows["course"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("clocks", "expected"),
    [
        ({"b": (None, 50, None), "a": (1, 200, None), "c": (0, 0, None)}, "cba"),  # (epoch, step, samples)
        ({"b": (None, None, 7), "a": (None, None, 3), "c": (2, 9, None)}, "abc"),
        ({"b10": (None, None, None), "b9": (None, None, None), "a": (None, None, None)}, ["a", "b9", "b10"]),
    ],
)
def test_revisions_are_ordered_by_the_clock_that_most_have_and_then_by_the_numbers_in_names(
    clocks, expected, tmp_path
):
    rows = [
        row("noise/x", "accuracy", 0.5, revision=name, epoch=epoch, step=step, samples_seen=samples)
        for name, (epoch, step, samples) in clocks.items()
    ]
    assert load(write_rows(rows, tmp_path / "results.parquet")).rows["revision"].tolist() == list(expected)


def test_columns_with_a_default_may_be_absent_and_a_vocabulary_too(write):
    path = write([row("noise/cifar10", "accuracy", 0.5)], vocabulary=None)
    pq.write_table(pq.read_table(path).drop(["settings", "subset", "epoch"]), path)
    results = load([path])
    (read,) = results.rows.to_dict("records")
    assert (read["settings"], read["subset"]) == ("{}", "")
    assert pd.isna(read["epoch"])
    assert results.words == Vocabulary()


def test_a_folder_with_a_table_is_that_table(write, tmp_path):
    path = write([row("noise/x", "accuracy", 0.5)])
    (tmp_path / "run").mkdir()
    path.rename(tmp_path / "run" / "results.parquet")
    assert len(load_results(tmp_path / "run")) == 1
    (tmp_path / "model").mkdir()
    with pytest.raises(ConfigError, match="model"):
        load_results([tmp_path / "run", tmp_path / "model"])


@pytest.mark.parametrize("names", [("seed0", "seed1"), ("one/results", "two/results")])
def test_two_seeds_under_one_name_become_two_runs_named_by_file_or_folder(write, names):
    paths = [write([row("noise/cifar10", "accuracy", 0.5, commit=name)], f"{name}.parquet") for name in names]
    assert list(load(paths).rows["run"]) == [f"me/fixture ({name})" for name in names]


def test_the_same_file_given_twice_counts_once(write):
    path = write([row("noise/cifar10", "accuracy", 0.5)])
    assert len(load([path, Path(path)]).rows) == 1
