"""Answers are those behind the numbers of the table, and those of runs join by the names of their items."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from hf_clipdyn.benchmarks.answers import answers_of, stack, stack_runs
from hf_clipdyn.benchmarks.kind import Kind
from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.results.row import NUMBER_KEY, NumberKey

KINDS = [name for name, kind in kinds().items() if kind.answers.__func__ is not Kind.answers.__func__]
TOP1 = NumberKey(metric="top1")


def answers(right, items=None):
    items = np.arange(len(right)) if items is None else np.array(items)
    labels = items % 4
    decisions = np.where(right, labels, labels + 1)
    return answers_of(pd.DataFrame({"item": items, "label": labels, "decision": decisions}), TOP1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_share_of_right_answers_is_the_number_of_the_same_key(golden, kind):
    store = CellStore(golden / "results.parquet")
    cell = next(one for one in store.cells() if one.kind == kind and one.texts == "own")
    rows = store.select([cell.key]).to_pandas().astype({"layer": object}).replace({np.nan: None})
    table = {tuple(row[name] for name in NUMBER_KEY): row["value"] for _, row in rows.iterrows()}
    declared = kinds()[kind]
    trials = store.trials(cell.key)
    assert trials is not None
    own = [one for one in declared.answers(trials) if one.key.role == "value"]
    assert own
    for one in own:
        assert np.all(np.diff(one.item) > 0)
        ways = sum(1 if isinstance(way, str) else len(way) for way in declared.clusters)
        assert one.cluster.shape == (len(one.item), ways)
        value = table[one.key.number_key]
        if kind == "odd_one_out":  # a tie scores a part
            assert abs(one.right.mean() - value) < 0.05
        elif kind != "classification":  # there the mean over conditions
            assert one.right.mean() == pytest.approx(value, abs=1e-12)


def test_runs_are_arrays_over_the_items_that_all_revisions_answered():
    table = stack([answers([1, 0, 1, 1]), answers([1, 1, 0], [3, 1, 2])])
    assert table.item.tolist() == [1, 2, 3]
    assert table.right.tolist() == [[False, True, True], [True, False, True]]
    runs = [[answers([1, 0, 1]), answers([1, 1, 1])], [answers([0, 0, 1]), answers([0, 1, 1])]]
    study = stack_runs(runs)
    assert study.right.shape == study.decision.shape == (2, 2, 3)
    assert study.right[1].tolist() == [[False, False, True], [False, True, True]]


UNLIKE = {
    "other stimuli": lambda: stack([replace(answers([1, 0]), fingerprint=name) for name in "ab"]),
    "no item in common": lambda: stack([answers([1, 0]), answers([1, 0], [5, 6])]),
    "no revision": lambda: stack([]),
    "runs of unlike length": lambda: stack_runs([[answers([1, 0])], [answers([1, 0])] * 2]),
}


@pytest.mark.parametrize("join", UNLIKE.values(), ids=UNLIKE)
def test_answers_that_do_not_join_are_refused(join):
    with pytest.raises(EvaluationError):
        join()
