"""Runs in training, and low precision."""

import itertools
import json
import shutil
import threading
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from accelerate import PartialState
from hub_server.faults import Fault
from stores import publish_epochs

from hf_clipdyn.errors import ConfigError, EvaluationError, RevisionError, RevisionNotFoundError
from hf_clipdyn.evaluation import evaluate_revisions
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.evaluate import follow
from hf_clipdyn.evaluation.live_model import LiveModel, compare_with_float32
from hf_clipdyn.models.encoder import Encoder


@pytest.fixture
def watching(tmp_path, data):
    """The arguments that watch me/run on one benchmark."""
    return {
        "benchmarks": ("zero_shot/cifar10",),
        "output": tmp_path / "results.parquet",
        "data_dirs": {"cifar10": data["cifar10"]},
        "show_progress": False,
        "device": "cpu",
        "watch": True,
    }


def test_watching_measures_each_revision_when_it_appears(tmp_path, publish, watching, monkeypatch):
    monkeypatch.setattr("hf_clipdyn.evaluation.evaluate.follow.__kwdefaults__", {"interval": 0.1})
    output = watching["output"]
    (tmp_path / "revisions").mkdir()  # as a run does that begins

    def train():
        for epoch in (0, 1):
            publish(tmp_path, [epoch])
            seen = f"epoch-00{epoch}"
            for _ in range(600):
                if output.exists():
                    # One opening: `read_parquet` opens twice, and the table may be replaced in between.
                    table = pq.ParquetFile(output).read(columns=["revision"])
                    if seen in table["revision"].to_pylist():
                        break
                time.sleep(0.1)

    training = threading.Thread(target=train)
    looks = itertools.count()

    def clock():
        """Once the training is over, 20 seconds pass at each look."""
        return time.monotonic() + (0 if training.is_alive() else 20 * next(looks))

    monkeypatch.setattr(
        "hf_clipdyn.evaluation.evaluate.time", SimpleNamespace(**vars(time) | {"monotonic": clock})
    )
    training.start()
    table = evaluate_revisions(tmp_path, watch_patience=60, **watching)
    training.join()
    assert set(table["revision"]) == {"epoch-000", "epoch-001"}
    kept = pd.read_parquet(output)
    assert kept.groupby(["revision", "texts"])["seconds"].nunique().eq(1).all(), "each cell once"


def test_watching_ends_with_the_last_revision_that_the_run_has_planned(
    tmp_path, save_model, watching, monkeypatch
):
    publish_epochs(tmp_path, [0, 1], save_model, planned=("epoch-000", "epoch-001"))
    monkeypatch.setattr("hf_clipdyn.evaluation.evaluate.time.sleep", lambda _: pytest.fail("nothing is left"))
    table = evaluate_revisions(tmp_path, watch_patience=3600, **watching)
    assert set(table["revision"]) == {"epoch-000", "epoch-001"}


def test_watching_outlasts_an_outage_of_the_hub_says_it_once_and_ends_where_the_hub_refuses(
    tmp_path, hub, save_model, watching, monkeypatch, caplog
):
    publish_epochs(tmp_path, [0], save_model, push_to_hub=True)
    for name, seconds in {"FIRST_PAUSE": 0.01, "LONGEST_PAUSE": 0.01, "PATIENCE": 0.1}.items():
        monkeypatch.setattr(f"hf_clipdyn.hub.{name}", seconds)
    config = EvaluationConfig(repo_id="me/run", watch_patience=1, **watching)
    hub.plant("refs", Fault(status=503), times=100)
    restored = threading.Timer(0.5, hub.faults.clear)
    restored.start()
    table = follow(config, interval=0.2)
    restored.join()
    assert set(table["revision"]) == {"epoch-000"}
    assert sum("planted fault" in sentence for sentence in caplog.messages) == 1
    hub.plant("refs", Fault(status=403), times=99)
    with pytest.raises(RevisionError, match="403"):
        follow(config, interval=0.2)


@pytest.mark.parametrize("before", ["fetch", "load"])
def test_watching_goes_on_where_a_trainer_removes_a_checkpoint_before_it_is_measured(
    save_model, tmp_path, watching, monkeypatch, caplog, before
):
    out = tmp_path / "out"
    for step in (1, 2):
        save_model(step)(out / f"checkpoint-{step}")
        state = {"global_step": step, "epoch": step / 2, "log_history": []}
        (out / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps(state))
    work = getattr(LiveModel, before)

    def removed(*args, **options):
        if not options:  # the settings were read before
            shutil.rmtree(out / "checkpoint-1", ignore_errors=True)
        return work(*args, **options)

    monkeypatch.setattr(LiveModel, before, removed)
    table = evaluate_revisions(out, watch_patience=0, **watching)
    assert set(table["revision"]) == {"step-00000002"}
    assert "step-00000001" in caplog.text


def test_watching_for_nothing_ends_with_the_cause(tmp_path, watching):
    (tmp_path / "revisions").mkdir()
    with pytest.raises(RevisionNotFoundError):
        evaluate_revisions(tmp_path, watch_patience=0, **watching)


def test_bfloat16_is_recorded_where_it_keeps_the_order_and_refused_for_the_smallest_differences(
    evaluate, tmp_path
):
    given = {"revisions": ["epoch-001"], "output": tmp_path / "results.parquet"}
    names = ("psychophysics/procedural", "zero_shot/cifar10")
    with pytest.raises(EvaluationError, match=names[0]):
        evaluate(*names, dtype="bf16", **given)
    table = evaluate(*names, dtype="bf16", skip_missing=True, **given)
    assert set(zip(table["kind"], table["dtype"], strict=True)) == {("zero_shot", "bfloat16")}
    with pytest.raises(ConfigError, match="results"):  # readers would draw two precisions as one run
        evaluate("zero_shot/cifar10", **given)


def test_a_precision_that_breaks_the_order_of_the_distances_is_refused(store):
    PartialState()
    folder = store / "revisions" / "epoch-001"
    encoder = Encoder.from_folder(folder, device="cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (12, 24, 24, 3), dtype=np.uint8)
    exact = encoder.embed_images(pixels).projection
    check = partial(compare_with_float32, folder, "epoch-001", "cpu")
    check(pixels, exact + np.float32(1e-3))
    for changed in (exact[::-1], np.ones_like(exact)):
        with pytest.raises(EvaluationError, match="epoch-001"):
            check(pixels, changed)
