"""The reference rows of the study on photographs, from the data alone."""

import csv
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PLANNED = {
    "pixels": (0.139, 0.105),
    "colours": (0.082, 0.176),
    "gradients": (0.371, 0.050),
}
"""Shares of answers for shape and for texture that the plan of the study expects."""


@pytest.mark.trial
def test_simple_models_give_the_committed_rows_and_those_of_the_plan(
    real_data: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPDYN_DATA", str(real_data("tiny-photographs").parent))
    script = runpy.run_path(str(CHECKOUT / "scripts/fit_photographs.py"))
    found = {(row["features"], row["asked"]): row["share"] for row in script["reference_rows"]()}
    with (CHECKOUT / "model_cards/second-study/reference.csv").open() as file:
        kept = {(row["features"], row["asked"]): float(row["share"]) for row in csv.DictReader(file)}
    assert found == pytest.approx(kept, abs=0.005)
    for features, shares in PLANNED.items():
        own = [kept[features, cue] for cue in ("shape", "texture")]
        assert own == pytest.approx(shares, abs=0.02)  # 660 images: one standard error is .01 to .02
    assert kept["colours", "edge"] == pytest.approx(0.08, abs=0.02)
    assert kept["gradients", "edge"] == pytest.approx(0.40, abs=0.02)
