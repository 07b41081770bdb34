"""Influences beside the table: computed once, and again when something that they depend on has changed."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_trials import TRIALS

from hf_clipdyn.results.influences import influences_folder
from hf_clipdyn.results.row import NumberKey
from hf_clipdyn.statistics import errors
from hf_clipdyn.statistics.errors import NO_TRIALS, Errors

TOP1, TOP5 = (NumberKey(metric=name).number_key for name in ("top1", "top5"))
CELL = "a" * 64


def decisions(seed=0):
    return TRIALS["zero_shot/cifar10"](np.random.default_rng(seed), 0.5)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "results.parquet"
    (tmp_path / "results.trials").mkdir()
    decisions().to_parquet(tmp_path / "results.trials" / f"{CELL}.parquet")
    return path


@pytest.fixture
def computed(monkeypatch):
    """The kinds whose influences were computed, call by call."""
    calls = []

    def count(kind, trials, numbers):
        calls.append(kind.name)
        return compute(kind, trials, numbers)

    compute = errors.influences
    monkeypatch.setattr(errors, "influences", count)
    return calls


def ask(table, key=TOP1, cell=CELL, kind="zero_shot"):
    return Errors([table]).of(kind, cell, key)


def test_influences_are_computed_once_and_then_read(table, computed):
    first = ask(table)
    again = ask(table)
    assert len(computed) == 1
    assert again.units.names == first.units.names
    assert again.values.tolist() == first.values.tolist()
    right = (decisions()["ranking"].str[0] == decisions()["label"]).astype(float)
    assert again.variance == pytest.approx(right.var() / 60)


def test_changed_trials_and_another_scoring_are_computed_again(table, computed, monkeypatch):
    ask(table)
    trials = table.with_suffix(".trials") / f"{CELL}.parquet"
    decisions(1).to_parquet(trials)
    os.utime(trials, ns=(1, 1))
    changed = ask(table)
    right = (decisions(1)["ranking"].str[0] == decisions(1)["label"]).astype(float)
    assert changed.variance == pytest.approx(right.var() / 60)
    monkeypatch.setattr(errors.kind_named("zero_shot"), "score_version", 99)
    ask(table)
    ask(table)
    assert len(computed) == 3


def _with_rows(change):
    def spoil(file):
        kept = pq.read_table(file)
        rows = kept.to_pylist()
        numbers = [row for row in rows if row["number"] is not None]
        (units,) = [row for row in rows if row["number"] is None]
        change(numbers[0], units)
        pq.write_table(pa.Table.from_pylist(rows, kept.schema), file)

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-20]),
        lambda file: pq.write_table(pq.read_table(file).drop_columns("ways"), file),
        lambda file: pq.write_table(pq.read_table(file).replace_schema_metadata({}), file),
        _with_rows(lambda number, units: number.update(number="no JSON")),
        _with_rows(lambda number, units: number.update(units="others")),
        _with_rows(lambda number, units: number.update(contributions=[1.0])),
        _with_rows(lambda number, units: units.update(ways=7)),
        _with_rows(lambda number, units: units["clusters"].__setitem__(0, -1)),
    ],
)
def test_a_broken_file_is_computed_again(table, computed, spoil):
    first = ask(table)
    file = influences_folder(table) / f"{CELL}.parquet"
    spoil(file)
    again = ask(table)
    assert len(computed) == 2
    assert again.variance == first.variance
    ask(table)
    assert len(computed) == 2, "it was mended"


def test_a_folder_that_cannot_be_written_costs_time_only(table, computed):
    influences_folder(table).write_text("a file in the way")
    assert ask(table).variance > 0
    assert ask(table).variance > 0
    assert len(computed) == 2


def test_what_is_unknown_has_a_cause(table):
    assert ask(table, cell="b" * 64).cause == NO_TRIALS
    assert "kind" in ask(table, kind="nonsense").cause
    trials = table.with_suffix(".trials") / f"{CELL}.parquet"
    for frame, says in (
        (decisions().drop(columns="label"), "lack a column: 'label'"),
        (decisions().assign(label=99), "references must be in [0, 9], but has 99"),
    ):
        frame.to_parquet(trials)
        assert ask(table).cause.startswith("The trials of this zero_shot benchmark cannot be scored")
        assert says in ask(table).cause
    assert not influences_folder(table).exists()
    trials.write_bytes(b"broken")
    assert f"{CELL}.parquet: " in ask(table).cause


def test_trials_in_a_folder_for_each_benchmark_have_their_errors_beside_the_table(table, computed):
    folder = table.with_suffix(".trials")
    (folder / "zero_shot-cifar10").mkdir()
    (folder / f"{CELL}.parquet").rename(folder / "zero_shot-cifar10" / f"{CELL}.parquet")
    ask(table)
    ask(table)
    assert len(computed) == 1
    assert (influences_folder(table) / f"{CELL}.parquet").exists()


def test_a_table_without_trials_reads_the_influences_of_all_its_cells_from_one_file(
    table, computed, tmp_path
):
    wanted = ask(table)
    copy = tmp_path / "copy" / "results.parquet"
    of_all = Errors([table])
    of_all.of("zero_shot", CELL, TOP1)
    of_all.write(copy)
    assert ask(copy).variance == wanted.variance
    assert ask(copy, TOP5).cause == "the number has no error over items"
    assert ask(copy, cell="b" * 64).cause == NO_TRIALS
    assert len(computed) == 1


def test_an_unknown_influence_is_kept_with_its_cause(table, computed):
    decisions().assign(label=decisions()["ranking"].str[0]).iloc[:1].to_parquet(
        table.with_suffix(".trials") / f"{CELL}.parquet"
    )
    for _ in range(2):
        found = ask(table)
        assert found.cause == "all items belong to one cluster"
        assert np.isnan(found.variance)
    assert len(computed) == 1
