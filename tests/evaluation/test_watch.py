"""Runs in training, low precision, and models without a text encoder."""

import itertools
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
from stores import publish_epochs, publish_one
from tiny_models import VISION, vision_model
from transformers import ViTImageProcessor

from hf_clipdyn.errors import ConfigError, EvaluationError, RevisionError, RevisionNotFoundError
from hf_clipdyn.evaluation import evaluate_revisions
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.evaluate import follow
from hf_clipdyn.evaluation.live_model import compare_with_float32
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


def test_watching_shows_no_image_twice_to_a_revision_and_gives_the_numbers_of_one_call(
    tmp_path, publish, watching, monkeypatch
):
    publish(tmp_path, [0, 1])
    shown = []
    show = Encoder.show_images

    def counted(self, pixels, **asked):
        shown.extend(image.tobytes() for image in pixels)
        return show(self, pixels, **asked)

    monkeypatch.setattr(Encoder, "show_images", counted)
    watched = evaluate_revisions(tmp_path, watch_patience=0, **watching)
    assert len(shown) == 2 * len(set(shown)), "once to each revision"
    arguments = watching | {"watch": False, "output": tmp_path / "once.parquet"}
    once = evaluate_revisions(tmp_path, **arguments)
    columns = ["revision", "texts", "metric", "value", "ci_low", "ci_high"]
    by = ["revision", "texts", "metric"]
    frames = [table.to_pandas()[columns].sort_values(by, ignore_index=True) for table in (watched, once)]
    pd.testing.assert_frame_equal(*frames)


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


def test_watching_for_nothing_ends_with_the_cause(tmp_path, watching):
    (tmp_path / "revisions").mkdir()
    with pytest.raises(RevisionNotFoundError):
        evaluate_revisions(tmp_path, watch_patience=0, **watching)


def test_bfloat16_is_recorded_where_it_keeps_the_order(evaluate, tmp_path):
    given = {"revisions": ["epoch-001"], "output": tmp_path / "results.parquet"}
    table = evaluate("zero_shot/cifar10", dtype="bf16", **given)
    assert set(table["dtype"]) == {"bfloat16"}
    with pytest.raises(
        ConfigError, match=r"results\.parquet"
    ):  # readers would draw two precisions as one run
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


def test_a_vision_model_is_measured_without_text(evaluate, tmp_path):
    def save(folder):
        model = vision_model("ViT", VISION | {"image_size": 24, "patch_size": 8}, add_pooling_layer=False)
        model.save_pretrained(folder)
        ViTImageProcessor(size={"height": 24, "width": 24}).save_pretrained(folder)

    names = ("shape_bias/cue_conflict", "zero_shot/cifar10", "saliency/osie")
    run = publish_one(tmp_path, save)
    with pytest.raises(EvaluationError, match="zero_shot/cifar10"):
        evaluate(*names, run=run)
    table = evaluate(*names, run=run, skip_missing=True, saliency_probes=("rollout", "gradient_input"))
    values = table[table["role"] == "value"]
    assert "shape_preference" in set(values["metric"])
    assert not {"shape_bias", "cue_accuracy", "top1"} & set(values["metric"]), "nothing that needs texts"
    maps = values[(values["metric"] == "nss") & values["probe"].isin(["rollout", "gradient_input"])]
    assert maps["value"].notna().all()
    assert set(maps["probe"]) == {"rollout", "gradient_input"}
