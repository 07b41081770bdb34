"""The psychophysics through a whole evaluation: precision, models with few pixels, comparisons."""

from types import SimpleNamespace

import numpy as np
import pytest
from accelerate import PartialState
from transformers import CLIPImageProcessor

from hf_clipdyn.benchmarks.base import Common, KindSettings
from hf_clipdyn.benchmarks.kinds.psychophysics import Psychophysics
from hf_clipdyn.benchmarks.sources import drawn_source
from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.evaluation import evaluate as evaluation
from hf_clipdyn.models.sizes import clip_image_processor, model_size
from hf_clipdyn.statistics.compare import compare_revisions

NAME = "psychophysics/procedural"


def test_bfloat16_is_refused_or_left_out(evaluate):
    with pytest.raises(EvaluationError, match="differences are too small for bfloat16"):
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
    assert len(compared) == 12
    assert compared[["difference", "p_value"]].isna().all(axis=None)
    assert np.array_equal(compared["n_clusters"].unique(), [0])


def test_the_cost_of_many_drawn_images_is_said_before_they_are_shown(caplog, monkeypatch):
    PartialState()
    caplog.set_level("INFO", "hf_clipdyn")
    processor = clip_image_processor(model_size("tiny"))
    clock = iter([0.0, 4.0, 0.0, 4.0])  # seconds for 16 images
    monkeypatch.setattr(evaluation.time, "perf_counter", lambda: next(clock))
    shown = []
    encoder = SimpleNamespace(
        image_processor=processor, embed_images=lambda pixels, hidden: shown.append(pixels.shape)
    )
    cell = SimpleNamespace(kind="psychophysics", dataset="procedural")
    for drawn in (999, 4800):
        evaluation._announce(
            SimpleNamespace(cell=cell, kind=SimpleNamespace(drawn=drawn, reads_layers=True)), encoder
        )
    assert len(shown) == 1
    assert [message.partition("shows ")[2] for message in caplog.messages] == [
        "4,800 images to each revision: the model alone takes about 20 min each. --benchmarks can leave it out."
    ]


def test_as_many_gratings_are_announced_as_are_drawn(tmp_path):
    processor = CLIPImageProcessor(size={"shortest_edge": 96}, crop_size={"height": 96, "width": 96})
    common = Common(cache_dir=tmp_path, show_progress=False)
    kind = Psychophysics(drawn_source(Psychophysics.items()), processor, KindSettings(), common)
    assert kind.drawn == len(kind._codes) > 0
