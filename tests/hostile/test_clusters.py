"""What rows have in common, given as no data: a result, or one sentence, and never another exception or warning."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from hf_clipdyn.errors import EvaluationError, MetricError
from hf_clipdyn.metrics.cue_preference import anchor_preference, cue_preference
from hf_clipdyn.metrics.shape_bias import shape_bias
from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.results.row import Cell, Row
from hf_clipdyn.results.terms import Vocabulary
from hf_clipdyn.statistics.compare import compare_revisions

N = 4
FIRST, SECOND = [0.1, 0.2, 0.3, 0.5], [0.4, 0.1, 0.2, 0.5]
CALLS: dict[str, Any] = {
    "shape_bias exemplars": lambda column: shape_bias(
        list("abab"), list("aabb"), list("bbaa"), shape_exemplars=column, texture_exemplars=list("abcd")
    ),
    "cue_preference exemplars": lambda column: cue_preference(
        FIRST, SECOND, shape_exemplars=column, texture_exemplars=column
    ),
    "anchor_preference effects": lambda column: anchor_preference(
        SECOND, column, shape_exemplars=list("aabb"), texture_exemplars=list("abab")
    ),
    "anchor_preference preferences": lambda column: anchor_preference(
        column, [0.0] * N, shape_exemplars=list("aabb"), texture_exemplars=list("abab")
    ),
}
HOSTILE: dict[str, Any] = {
    "no rows": [],
    "a text": "abcd",
    "bytes": b"abcd",
    "a number": 3.0,
    "a mapping": {},
    "a set": {1, 2, 3, 4},
    "missing values": [None] * N,
    "one missing name": ["a", None, "b", "c"],
    "nan": [float("nan")] * N,
    "nan among names": ["a", float("nan"), "b", "c"],
    "infinity": [float("inf"), float("-inf"), 0.0, 1.0],
    "pandas' missing": [pd.NA, pd.NaT, "a", 1],
    "numbers among names": ["a", 1, "b", 2],
    "beyond 64 bits": [10**30, 1, 2, 3],
    "complex": [1j] * N,
    "objects": [object()] * N,
    "functions": [len] * N,
    "rows of unequal length": [[1, 2, 3], [1, 2], [1], []],
    "a table of two columns": [[1, 2]] * N,
    "a table with a missing value": [["a", "b", None]] * N,
    "a table of numbers among names": [["a", 1, "b"]] * N,
    "one image throughout": [["a", "a", "a"]] * N,
    "one row for all": [["a", "b", "c"]] * N,
    "deep": [[[[1]]]] * N,
    "another length": [1] * (N + 1),
    "empty names": [""] * N,
    "names with line breaks": ["a\nb", "a", "\x00", "\ud800"],
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("call", CALLS)
def test_clusters_that_are_none_are_refused_in_one_sentence(call: str, kind: str) -> None:
    try:
        result = CALLS[call](HOSTILE[kind])
    except MetricError as error:
        said = str(error)
        assert 20 < len(said) < 400
        assert said.endswith(".")
        assert "\n" not in said
    else:
        assert result["n"] >= 1


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
