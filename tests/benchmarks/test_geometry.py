"""Embeddings whose geometry is known, and hidden states that float16 must not flatten."""

import numpy as np
import pytest

from hf_clipdyn.benchmarks.kinds.geometry import Geometry
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.metrics.contrastive_geometry import contrastive_geometry
from hf_clipdyn.models.encoder import ImageFeatures

CLASSES = ("red", "green", "blue")


@pytest.fixture
def layered(planted):
    """A planted encoder with a logit scale and a hidden state of two tokens, almost the same for all images."""

    class Layered(planted):
        logit_scale = 12.5

        def embed_images(self, pixels, **_):
            projection = super().embed_images(pixels).projection
            tokens = np.stack([projection, -projection + 2e-4 * projection], axis=1)
            return ImageFeatures(projection, hidden=(1 + tokens,))

    return Layered


@pytest.fixture
def labelled(source, colour):
    rows = [{"image": colour(*np.roll((200 + i, 0, 0), i % 3)), "label": i % 3} for i in range(24)]
    return source("labels", rows, CLASSES)


def one_hot(pixels):
    return np.eye(3)[pixels.mean(axis=(0, 1)).argmax()]


def name(text):
    return np.eye(3)[next(at for at, one in enumerate(CLASSES) if one in text)]


def test_classes_that_collapse_onto_their_prompts_have_no_gap(labelled, measure, layered):
    found = measure(Geometry, labelled, layered(one_hot, name))
    for metric in ("gap", "alignment"):
        assert found(metric).value == pytest.approx(0, abs=1e-6), metric
    assert found("effective_rank_image").value == pytest.approx(3)
    assert found("logit_scale", role="diagnostic", probe="").value == 12.5
    assert found("gap").n == found("gap").n_clusters == 24
    assert "uniformity_text" not in found, "classes share their texts"
    others = found("alignment", role="chance").value
    assert others == pytest.approx(2 * 16 / 23, abs=1e-3), "16 of the 23 other texts are of another class"


def test_captions_have_the_geometry_of_texts_too(source, colour, measure, layered):
    rng = np.random.default_rng(0)
    images, texts = rng.normal(size=(2, 20, 6))
    rows = [
        {"image": colour(10 * i, 0), "image_id": str(i), "captions": [f"number {i}", "x"]} for i in range(20)
    ]
    encoder = layered(
        lambda pixels: images[round(pixels[..., 0].mean() / 10)], lambda text: texts[int(text.split()[1])]
    )
    found = measure(Geometry, source("captions", rows), encoder)
    wanted = contrastive_geometry(images, texts)
    for metric in ("gap", "uniformity_text", "participation_ratio_debiased_image"):
        assert found(metric).value == pytest.approx(wanted[metric].value, rel=5e-3), "float16"
        assert found(metric).influence.values == pytest.approx(wanted[metric].influence, rel=0.1, abs=0.01)
        assert found(metric).ci_low < found(metric).value < found(metric).ci_high
    assert found("gap", role="chance").value == pytest.approx(wanted.facts["gap_chance"], rel=5e-3)


def test_a_vision_model_has_the_geometry_of_images(labelled, measure, planted):
    found = measure(Geometry, labelled, planted(one_hot))
    assert found("effective_rank_image").value == pytest.approx(3)
    assert "gap" not in found
    assert "logit_scale" not in found


def test_hidden_states_keep_what_differs_by_little(labelled, layered, prepared):
    trials = prepared(Geometry, labelled).observe(Readout(layered(one_hot, name), batch_size=7))
    hidden = trials[trials["probe"] == "hidden"]
    assert hidden["layer"].tolist() == [0] * 24
    rows = np.stack(hidden["vector"].to_list())
    assert rows.dtype == np.float16
    assert np.square(rows.astype(float)).mean() == pytest.approx(1, abs=1e-3)
    assert len(np.unique(rows, axis=0)) == 3, "1e-4 beside 1 is lost in float16"
    assert hidden["caption"].isna().all()
    pixels = np.stack(trials[trials["probe"] == "pixels"]["vector"].to_list())
    assert pixels.shape == (24, 8 * 8 * 3), "16 pixels a side in blocks of two"
    assert pixels[1].tolist() == [0, 201, 0] * 64
