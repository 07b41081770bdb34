"""Reading tables of results, good and bad."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from result_rows import VOCABULARY, pick, row

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.results.arrow import SCHEMA
from hf_clipdyn.results.table import load, load_results
from hf_clipdyn.results.terms import Vocabulary


def _replace(path, **columns):
    table = pq.read_table(path)
    for name, values in columns.items():
        index = table.column_names.index(name)
        table = table.remove_column(index) if values is None else table.set_column(index, name, values)
    pq.write_table(table, path)
    return path


def test_every_column_of_a_table_is_read_with_its_vocabulary(write):
    one = row("noise/cifar10", "accuracy", 0.5, 0.1, epoch=2, condition="gaussian", level=0.1)
    results = load(write([one]))
    assert results.words == VOCABULARY
    (read,) = results.rows.to_dict("records")
    assert set(read) == {*SCHEMA.names, "run", "cell", "order", "usable", "course"}
    assert (read["epoch"], read["step"], read["samples_seen"]) == (2, 200, 12800)
    assert (read["value"], read["ci_low"], read["ci_high"], read["n"], read["n_clusters"]) == (
        *(0.5, 0.4, 0.6),
        *(1000, 64),
    )
    assert (read["run"], read["condition"], read["level"], read["scale"]) == (
        "me/fixture",
        "gaussian",
        0.1,
        "",
    )
    assert pd.isna(read["layer"])
    assert pd.isna(read["interpretable"])


def test_columns_with_a_default_may_be_absent_and_a_vocabulary_too(write):
    path = _replace(
        write([row("noise/cifar10", "accuracy", 0.5)], vocabulary=None),
        settings=None,
        subset=None,
        epoch=None,
    )
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
    with pytest.raises(
        ConfigError, match=r"model is a folder without results\.parquet: .*clipdyn evaluate .*model"
    ):
        load_results([tmp_path / "run", tmp_path / "model"])


@pytest.mark.parametrize("names", [("seed0", "seed1"), ("one/results", "two/results")])
def test_two_seeds_under_one_name_become_two_runs_named_by_file_or_folder(write, names):
    paths = [write([row("noise/cifar10", "accuracy", 0.5, commit=name)], f"{name}.parquet") for name in names]
    assert list(load(paths).rows["run"]) == [f"me/fixture ({name})" for name in names]


def test_the_same_file_given_twice_counts_once(write):
    path = write([row("noise/cifar10", "accuracy", 0.5)])
    assert len(load([path, Path(path)]).rows) == 1


def test_of_several_states_of_a_revision_the_newest_is_read(write):
    """As `newest` chooses cells: trained again, observed again, or asked again by the texts of another commit."""
    rows = [
        *(row("noise/x", "accuracy", at / 10, repo_id="me/a", commit=str(at)) for at in (2, 1)),
        *(row("noise/x", "accuracy", at / 10, repo_id="me/b", observe_version=at) for at in (1, 2)),
    ]
    rows += [
        row("zero_shot/x", "top1", value, epoch=0, texts="last", text_commit=commit)
        for value, commit in ((0.1, "c1"), (0.3, "c2"))
    ]
    rows += [row("zero_shot/x", "top1", 0.5, epoch=epoch, commit=f"c{epoch}") for epoch in (1, 2)]
    found = load(write(rows)).rows
    assert list(pick(found, run="me/a")["value"]) == [0.1]
    assert list(pick(found, run="me/b")["value"]) == [0.2]
    assert list(pick(found, texts="last")["value"]) == [0.3]
    assert list(pick(found, kind="zero_shot", texts="own")["value"]) == [0.5, 0.5]
