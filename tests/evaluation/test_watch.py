"""Runs in training, low precision, and models without a text encoder."""

import itertools
import threading
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from accelerate import PartialState
from hub_server.faults import Fault
from stores import publish_epochs, publish_one

from hf_clipdyn.errors import ConfigError, EvaluationError, RevisionError, RevisionNotFoundError
from hf_clipdyn.evaluation import evaluate_revisions
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.evaluate import follow
from hf_clipdyn.evaluation.live_model import check_precision
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
                if output.exists() and seen in set(pd.read_parquet(output)["revision"]):
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
    tmp_path, save_model, watching, monkeypatch, caplog
):
    publish_epochs(tmp_path, [0, 1], save_model, planned=("epoch-000", "epoch-001"))
    monkeypatch.setattr("hf_clipdyn.evaluation.evaluate.time.sleep", lambda _: pytest.fail("nothing is left"))
    caplog.set_level("INFO")
    table = evaluate_revisions(tmp_path, watch_patience=3600, **watching)
    assert set(table["revision"]) == {"epoch-000", "epoch-001"}
    assert "has all revisions that its run planned" in caplog.text


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
    for name, seconds in {"FIRST_PAUSE": 0.01, "LONGEST_PAUSE": 0.01, "PATIENCE": 0.5}.items():
        monkeypatch.setattr(f"hf_clipdyn.hub.{name}", seconds)
    config = EvaluationConfig(repo_id="me/run", watch_patience=3, **watching)
    hub.plant("refs", Fault(status=503), times=100)
    restored = threading.Timer(1.0, hub.faults.clear)
    restored.start()
    table = follow(config, interval=0.2)
    restored.join()
    assert set(table["revision"]) == {"epoch-000"}
    assert [sentence for sentence in caplog.messages if "planted fault" in sentence] == [
        "[RANK 0] me/run on the Hub could not be read: the Hub answered 503: planted fault. Watching continues."
    ]
    hub.plant("refs", Fault(status=403), times=99)
    with pytest.raises(RevisionError, match="403"):
        follow(config, interval=0.2)


def test_watching_for_nothing_ends_with_the_cause(tmp_path, watching):
    (tmp_path / "revisions").mkdir()
    with pytest.raises(RevisionNotFoundError):
        evaluate_revisions(tmp_path, watch_patience=0, **watching)


def test_watching_needs_an_output(store):
    with pytest.raises(ConfigError, match="`watch` requires an `output`"):
        evaluate_revisions(store, watch=True)


@pytest.mark.parametrize("patience", [-1.0, float("nan")])
def test_a_patience_that_is_no_time_is_refused(store, watching, patience):
    with pytest.raises(ConfigError, match=r"watch_patience is .*: Input should be"):
        evaluate_revisions(store, watch_patience=patience, **watching)


@pytest.mark.parametrize("dtype", ["bf16", "bfloat16"])
def test_bfloat16_is_recorded_where_it_keeps_the_order(evaluate, dtype):
    table = evaluate("zero_shot/cifar10", revisions=["epoch-001"], dtype=dtype)
    assert set(table["dtype"]) == {"bfloat16"}


def test_a_precision_that_breaks_the_order_of_the_distances_is_refused(store, caplog):
    PartialState()
    caplog.set_level("INFO", "hf_clipdyn")
    folder = store / "revisions" / "epoch-001"
    encoder = Encoder.from_folder(folder, device="cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (12, 24, 24, 3), dtype=np.uint8)
    exact = encoder.embed_images(pixels).projection
    check = partial(check_precision, folder, "epoch-001", "cpu")
    check(pixels, exact + np.float32(1e-3))
    assert "epoch-001: bfloat16 embeddings are within a cosine distance of" in caplog.text
    with pytest.raises(EvaluationError, match=r"changes the order .* epoch-001 .*use --dtype float32"):
        check(pixels, exact[::-1])
    with pytest.raises(EvaluationError, match="changes the order"):
        check(pixels, np.ones_like(exact))


@pytest.fixture
def vision_store(tmp_path):
    """A store with a ViT, which reads no text."""
    import torch
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    def save(folder):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            config = ViTConfig(
                hidden_size=16,
                intermediate_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                image_size=24,
                patch_size=8,
            )
            ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
        ViTImageProcessor(size={"height": 24, "width": 24}).save_pretrained(folder)

    return publish_one(tmp_path, save)


def test_a_vision_model_is_measured_without_text_and_the_rest_is_named_first(evaluate, vision_store):
    both = ("shape_bias/cue_conflict", "zero_shot/cifar10")
    with pytest.raises(
        EvaluationError,
        match="zero_shot/cifar10 needs a text encoder; me/run has none: select other benchmarks",
    ):
        evaluate(*both, run=vision_store)
    table = evaluate(*both, run=vision_store, skip_missing=True)
    assert "shape_preference" in set(table["metric"])
    assert not {"shape_bias", "cue_accuracy", "top1"} & set(table["metric"]), "nothing that needs texts"
