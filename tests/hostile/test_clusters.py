"""Trials that lack a column of images: one sentence, and never another exception."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.results.row import Cell, Row
from hf_clipdyn.results.terms import Vocabulary
from hf_clipdyn.statistics.compare import compare_revisions


def trials(**columns: Any) -> pd.DataFrame:
    images = np.random.default_rng(0).permuted(np.tile(np.arange(9), (20, 1)), axis=1)[:, :3]
    facts = pd.DataFrame(images, columns=["reference", "image_0", "image_1"]).assign(
        item=range(20), judgement=0.25, votes=4, subset="one", probe="projection", distance="cosine",
        dropped_dimensions=0, value_0=np.linspace(0, 1, 20), value_1=0.4,
    )  # fmt: skip
    return facts.assign(layer=pd.array([None] * 20, "Int64"), **columns)


@pytest.mark.parametrize("missing", ["reference", "image_0", "image_1"])
def test_trials_that_lack_a_column_are_refused_in_one_sentence(tmp_path, missing: str) -> None:
    path = tmp_path / "results.parquet"
    store = CellStore(path)
    for revision in ("a", "b"):
        cell = Cell(
            repo_id="me/run", revision=revision, commit=revision * 40, kind="similarity", dataset="nights",
            split="test", data_fingerprint="f" * 64, observe_version=1, score_version=1, preprocess="processor",
            dtype="float32", texts="own",
        )  # fmt: skip
        numbers = [Row(**vars(cell), metric="two_afc", value=0.5)]
        store.write(cell, numbers, trials().drop(columns=missing), Vocabulary())
    store.rebuild()
    with pytest.raises(EvaluationError, match=rf"similarity benchmark .*{missing}"):
        compare_revisions(path, "a", "b", show_progress=False)
