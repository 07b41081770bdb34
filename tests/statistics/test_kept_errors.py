"""Item errors beside the table: computed once, and again when something that they depend on has changed."""

import json
import os

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from hf_clipdyn.results.row import NumberKey
from hf_clipdyn.statistics import kept_errors
from hf_clipdyn.statistics.kept_errors import NO_TRIALS, ItemErrors, errors_folder

TOP1, TOP5 = (NumberKey(metric=name).number_key for name in ("top1", "top5"))
CELL = "a" * 64


def decisions(seed=0, n=60):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 10
    ranking = [rng.permutation(10)[:5].tolist() for _ in range(n)]
    return pd.DataFrame({"item": np.arange(n), "label": labels, "ranking": ranking, "n_classes": 10})


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "results.parquet"
    (tmp_path / "results.trials").mkdir()
    decisions().to_parquet(tmp_path / "results.trials" / f"{CELL}.parquet")
    return path


@pytest.fixture
def computed(monkeypatch):
    """The keys of the numbers whose errors were computed, call by call."""
    calls = []

    def count(kind, trials, keys):
        calls.append(set(keys))
        return compute(kind, trials, keys)

    compute = kept_errors.item_errors
    monkeypatch.setattr(kept_errors, "item_errors", count)
    return calls


def ask(table, *keys, cell=CELL, kind="zero_shot", **options):
    return ItemErrors([table], **options).of(kind, {cell: keys})


def test_an_error_is_computed_once_and_then_read(table, computed):
    first = ask(table, TOP1)[CELL, TOP1]
    again = ask(table, TOP1)[CELL, TOP1]
    assert computed == [{TOP1}]
    assert again.design == first.design
    assert again.values.tolist() == first.values.tolist()
    right = (decisions()["ranking"].str[0] == decisions()["label"]).astype(float)
    assert again.variance == pytest.approx(right.var() / 60)


def test_only_what_is_asked_for_is_computed_and_the_rest_is_kept(table, computed):
    ask(table, TOP1)
    ask(table, TOP5)
    found = ask(table, TOP1, TOP5)
    assert computed == [{TOP1}, {TOP5}]
    assert len({one.design for one in found.values()}) == 1
    errors = ItemErrors([table])
    errors.of("zero_shot", {CELL: [TOP1]})
    errors_folder(table).joinpath(f"{CELL}.parquet").unlink()
    errors.of("zero_shot", {CELL: [TOP1]})
    assert computed == [{TOP1}, {TOP5}], "what was read stays in memory"


def test_changed_trials_and_another_scoring_are_computed_again(table, computed, monkeypatch):
    ask(table, TOP1)
    trials = table.with_suffix(".trials") / f"{CELL}.parquet"
    decisions(1).to_parquet(trials)
    os.utime(trials, ns=(1, 1))
    changed = ask(table, TOP1)[CELL, TOP1]
    right = (decisions(1)["ranking"].str[0] == decisions(1)["label"]).astype(float)
    assert changed.variance == pytest.approx(right.var() / 60)
    monkeypatch.setattr(kept_errors.kind_named("zero_shot"), "score_version", 99)
    ask(table, TOP1)
    ask(table, TOP1)
    assert len(computed) == 3


def _cut(file):
    file.write_bytes(file.read_bytes()[:-20])


def _without_values(file):
    kept = pq.read_table(file)
    pq.write_table(kept.slice(0, 3), file)


def _with_header(change):
    def spoil(file):
        kept = pq.read_table(file)
        header = json.loads(kept.schema.metadata[b"hf_clipdyn.errors"])
        change(header)
        pq.write_table(kept.replace_schema_metadata({b"hf_clipdyn.errors": json.dumps(header)}), file)

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        _cut,
        _without_values,
        lambda file: file.write_text("hello"),
        lambda file: pq.write_table(pq.read_table(file).replace_schema_metadata({}), file),
        _with_header(lambda header: header.pop("trials")),
        _with_header(lambda header: header["numbers"][0].update(design=7)),
        _with_header(lambda header: header["numbers"][0].update(design=-1)),
        _with_header(lambda header: header["numbers"][0].update(key=[[1]])),
        _with_header(lambda header: header["designs"][0].update(sizes=[10**9])),
        _with_header(lambda header: header["designs"][0].update(sizes=[-5])),
        _with_header(lambda header: header["designs"][0].update(signs=[1, 1])),
        _with_header(lambda header: header["designs"][0].update(fallback=3)),
    ],
)
def test_a_broken_file_is_computed_again(table, computed, spoil):
    first = ask(table, TOP1)[CELL, TOP1]
    file = errors_folder(table) / f"{CELL}.parquet"
    spoil(file)
    again = ask(table, TOP1)[CELL, TOP1]
    assert len(computed) == 2
    assert again.variance == first.variance
    ask(table, TOP1)
    assert len(computed) == 2, "it was mended"


def test_a_folder_that_cannot_be_written_costs_time_only(table, computed):
    errors_folder(table).write_text("a file in the way")
    assert ask(table, TOP1)[CELL, TOP1].variance > 0
    assert ask(table, TOP1)[CELL, TOP1].variance > 0
    assert len(computed) == 2


def test_nothing_is_written_if_nothing_is_to_be_kept(table):
    ask(table, TOP1, keep=False)
    assert not errors_folder(table).exists()


def test_what_is_unknown_has_a_cause(table, tmp_path):
    assert ask(table, TOP1, cell="b" * 64)["b" * 64, TOP1].cause == NO_TRIALS
    assert "kind" in ask(table, TOP1, kind="nonsense")[CELL, TOP1].cause
    missing = ask(table, ("other", *TOP1[1:]))[CELL, ("other", *TOP1[1:])]
    assert missing.cause == "the number is undefined, at least without some of its items"
    trials = table.with_suffix(".trials") / f"{CELL}.parquet"
    decisions().drop(columns="label").to_parquet(trials)
    assert "lack the columns label" in ask(table, TOP1)[CELL, TOP1].cause
    trials.write_bytes(b"broken")
    assert "delete it, then evaluate again" in ask(table, TOP1)[CELL, TOP1].cause


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"label": 99}, "Class ids must be below n_classes = 10, but one is 99"),
        ({"label": "cat"}, "references must be numbers"),
        ({"ranking": None}, "predictions must have the shape (rows, classes)"),
        ({"n_classes": 0}, "n_classes must be 1 or more"),
    ],
)
def test_trials_that_cannot_be_scored_are_a_cause(table, changed, says):
    decisions().assign(**changed).to_parquet(table.with_suffix(".trials") / f"{CELL}.parquet")
    found = ask(table, TOP1)[CELL, TOP1]
    assert np.isnan(found.variance)
    assert found.cause.startswith("The trials of this zero_shot benchmark cannot be scored")
    assert says in found.cause
    assert not errors_folder(table).exists()


def test_trials_in_a_folder_for_each_benchmark_have_their_errors_beside_the_table(table, computed):
    folder = table.with_suffix(".trials")
    (folder / "zero_shot-cifar10").mkdir()
    (folder / f"{CELL}.parquet").rename(folder / "zero_shot-cifar10" / f"{CELL}.parquet")
    ask(table, TOP1)
    ask(table, TOP1)
    assert len(computed) == 1
    assert (errors_folder(table) / f"{CELL}.parquet").exists()
