"""The third stage: numbers from the kept trials, with names of their own, directions and levels."""

import json
import re

import pandas as pd
import pyarrow.parquet as pq
import pytest

from hf_clipdyn.benchmarks.kinds.zero_shot import ZeroShot
from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.report import write_report
from hf_clipdyn.results.arrow import SCHEMA
from hf_clipdyn.results.cells import CellStore, cells_folder
from hf_clipdyn.results.row import CELL_KEY, NUMBER_KEY, Number
from hf_clipdyn.results.trials import trials_folder

pytestmark = pytest.mark.filterwarnings("ignore::hf_clipdyn.metric_module.UndefinedMetricWarning")

KEY = [*CELL_KEY, *NUMBER_KEY]


def test_the_table_has_the_columns_the_key_the_level_and_the_direction_of_a_row(evaluate, tmp_path):
    output, names = tmp_path / "results.parquet", ("noise/cifar10", "zero_shot/cifar10")
    table = evaluate(*names, "shape_bias/cue_conflict", output=output, confidence_level=0.9)
    assert list(table.columns) == SCHEMA.names
    assert pq.read_schema(output).names == SCHEMA.names
    assert set(table["revision"]) == {"epoch-000", "epoch-001", "epoch-002"}
    assert not table.duplicated(KEY).any()
    assert table["commit"].str.fullmatch("[0-9a-f]{40}").all()
    facts = table[table["revision"] == "epoch-002"][["epoch", "step", "samples_seen"]].drop_duplicates()
    assert facts.to_numpy().tolist() == [[2, 20, 80]]
    assert (table["note"] != "")[table["value"].isna()].all()
    assert set(table["dtype"]) == {"float32"}
    assert {"torch", "numpy", "hf-clipdyn"} <= set(json.loads(table["versions"].iloc[0]))
    assert (table["seconds"] > 0).all()
    accuracies = table[table["kind"] == "zero_shot"].groupby("role")
    assert accuracies.get_group("value")["confidence_level"].eq(0.9).all(), "the level of the interval"
    assert accuracies.get_group("chance")["confidence_level"].isna().all()
    assert table[table["kind"] == "zero_shot"]["higher_is_better"].eq(True).all()


def test_numbers_are_computed_again_from_the_trials_without_a_model(
    evaluate, tmp_path, forward_passes, monkeypatch
):
    names = ("noise/cifar10", "shape_bias/cue_conflict", "retrieval/flickr8k")
    wanted = evaluate(*names, output=tmp_path / "wanted.parquet")
    output = tmp_path / "results.parquet"
    narrow = evaluate(*names, output=output, confidence_level=0.5)
    assert set(narrow["confidence_level"].dropna()) == {0.5}
    assert evaluate(*names, output=output).equals(narrow), "what is done keeps its intervals"
    shown = forward_passes["images"]
    monkeypatch.setattr("hf_clipdyn.evaluation.evaluate.Plan", None)  # neither model, data nor Hub
    found = evaluate(*names, output=output, rescore=True)
    assert forward_passes["images"] == shown
    tables = [table.drop(columns="seconds").sort_values(KEY, ignore_index=True) for table in (found, wanted)]
    assert tables[0].equals(tables[1])
    assert pq.read_table(output).num_rows == len(wanted)


def test_scoring_again_brings_the_version_up_to_date_and_nothing_else(evaluate, tmp_path, monkeypatch):
    output = tmp_path / "results.parquet"
    asked = {"output": output, "revisions": ["epoch-000"]}
    before = evaluate("zero_shot/cifar10", **asked)
    version = before["score_version"].unique().item() + 1
    monkeypatch.setattr(ZeroShot, "score_version", version)
    assert evaluate("zero_shot/cifar10", **asked).equals(before), "the cell has the same key, so it is done"
    page = write_report(output, tmp_path / "page", stimuli="none", figures=False)
    assert re.search(r"1 of \d cells? were scored by an earlier version", page.read_text())
    after = evaluate("zero_shot/cifar10", rescore=True, **asked)
    assert set(after["score_version"]) == {version}
    assert after.drop(columns="score_version").equals(before.drop(columns="score_version"))
    assert len(pq.read_table(output)) == len(after)


def test_another_observation_is_measured_again_and_not_scored_from_the_trials_of_the_earlier_one(
    evaluate, tmp_path, monkeypatch, forward_passes
):
    output = tmp_path / "results.parquet"
    asked = {"output": output, "revisions": ["epoch-000"]}
    first = evaluate("zero_shot/cifar10", **asked)
    monkeypatch.setattr(ZeroShot, "observe_version", 2)
    assert evaluate("zero_shot/cifar10", rescore=True, confidence_level=0.5, **asked).equals(first)
    assert forward_passes["images"] == 20
    evaluate("zero_shot/cifar10", **asked)
    assert forward_passes["images"] == 40
    assert [cell.observe_version for cell in CellStore(output).cells()] == [1, 2]


CHANGED = {
    "halved": lambda trials: trials.iloc[:10],
    "with other columns": lambda _: pd.DataFrame({"other": [1.0]}),
    "with one other answer": lambda trials: trials.assign(label=trials["label"].where(trials["item"] > 0, 9)),
}


@pytest.mark.parametrize("name", CHANGED)
def test_trials_that_were_changed_since_they_were_measured_are_not_scored(evaluate, tmp_path, name):
    output = tmp_path / "results.parquet"
    asked = {"output": output, "revisions": ["epoch-000"]}
    evaluate("zero_shot/cifar10", **asked)
    (cell,), (kept,) = cells_folder(output).iterdir(), trials_folder(output).iterdir()
    before, trials, content = cell.read_bytes(), pd.read_parquet(kept), kept.read_bytes()
    CHANGED[name](trials).to_parquet(kept, index=False)
    with pytest.raises(EvaluationError, match="--force --revisions epoch-000 --benchmarks zero_shot/cifar10"):
        evaluate("zero_shot/cifar10", rescore=True, **asked)
    assert cell.read_bytes() == before
    kept.write_bytes(content)
    for _ in range(2):  # scoring again keeps the hash
        evaluate("zero_shot/cifar10", rescore=True, **asked)
    assert CellStore(output).are_as_measured(cell.stem) is True
    kept.unlink()
    once = pd.read_parquet(output)
    assert evaluate("zero_shot/cifar10", rescore=True, **asked).equals(once), "without trials they stay"


def test_a_kind_that_gives_one_name_to_two_numbers_is_an_error_before_anything_is_written(
    evaluate, tmp_path, monkeypatch
):
    numbers = [(Number(metric="top1", value=value), "none") for value in (0.5, 0.6)]
    monkeypatch.setattr(ZeroShot, "score", staticmethod(lambda *_: numbers))
    output = tmp_path / "results.parquet"
    with pytest.raises(AssertionError, match="top1"):
        evaluate("zero_shot/cifar10", output=output, revisions=["epoch-000"])
    assert not CellStore(output).cells()
