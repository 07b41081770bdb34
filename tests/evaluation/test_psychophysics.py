"""The psychophysics through a whole evaluation: precision, models with few pixels, comparisons."""

import numpy as np
import pytest

from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.statistics.compare import compare_revisions

NAME = "psychophysics/procedural"


def test_bfloat16_is_refused_or_left_out(evaluate):
    with pytest.raises(EvaluationError, match=NAME):
        evaluate(NAME, dtype="bf16", revisions=["epoch-001"])
    table = evaluate(NAME, "zero_shot/cifar10", dtype="bf16", revisions=["epoch-001"], skip_missing=True)
    assert set(table["kind"]) == {"zero_shot"}


def test_a_model_with_too_few_pixels_is_measured_and_compared_without_a_number(evaluate, tmp_path):
    """The planted models take 24 pixels, which end at 1.9 cycles per degree."""
    table = evaluate(NAME, revisions=["epoch-001", "epoch-002"], output=tmp_path / "results.parquet")
    assert table["value"].isna().all()
    assert set(table["note"]) == {"the model's input has too few pixels for any of the tests"}
    assert set(table["preprocess"]) == {"drawn"}
    compared = compare_revisions(tmp_path / "results.parquet", "epoch-001", "epoch-002")
    assert len(compared) == 4
    assert compared[["difference", "p_value"]].isna().all(axis=None)
    assert np.array_equal(compared["n_clusters"].unique(), [0])
