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


def test_two_seeds_under_one_name_become_two_runs(write):
    first = write([row("noise/cifar10", "accuracy", 0.5, commit="a")], "seed0.parquet")
    second = write([row("noise/cifar10", "accuracy", 0.6, commit="b")], "seed1.parquet")
    assert list(load([first, second]).rows["run"]) == ["me/fixture (seed0)", "me/fixture (seed1)"]


def test_files_of_the_same_name_are_named_with_their_folder(write):
    paths = [
        write([row("noise/cifar10", "accuracy", 0.5, commit=commit)], f"{commit}/results.parquet")
        for commit in ("one", "two")
    ]
    assert list(load(paths).rows["run"]) == ["me/fixture (one/results)", "me/fixture (two/results)"]


def test_the_same_file_given_twice_counts_once(write):
    path = write([row("noise/cifar10", "accuracy", 0.5)])
    assert len(load([path, Path(path)]).rows) == 1


def test_a_revision_that_was_trained_again_is_shown_in_its_last_state(write):
    path = write(
        [
            row("noise/cifar10", "accuracy", 0.5, commit="old"),
            row("noise/cifar10", "accuracy", 0.6, commit="new"),
        ]
    )
    assert list(load([path]).rows["value"]) == [0.6]


def test_of_texts_of_several_last_revisions_those_that_were_asked_last_count(write):
    asked = [
        row("zero_shot/cifar10", "top1", value, epoch=0, texts="last", text_commit=text_commit)
        for value, text_commit in ((0.1, "c1"), (0.3, "c2"))
    ]
    own = [row("zero_shot/cifar10", "top1", 0.5, epoch=epoch, commit=f"c{epoch}") for epoch in (1, 2)]
    rows = load(write([*asked, *own])).rows
    assert list(pick(rows, texts="last")["value"]) == [0.3]
    assert list(pick(rows, texts="own")["value"]) == [0.5, 0.5]


def test_of_two_versions_of_an_observation_the_newer_one_counts(write):
    rows = [row("noise/cifar10", "accuracy", v / 10, observe_version=v) for v in (1, 2)]
    assert list(load(write(rows)).rows["value"]) == [0.2]
