"""Distances at every hidden state equal those of one image at a time."""

import numpy as np
import pytest
import torch
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

from hf_clipdyn.benchmarks.pairs import normalised_euclidean, pair_distances
from hf_clipdyn.benchmarks.readout import Readout, Stimuli
from hf_clipdyn.models.encoder import Encoder

VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}
TEXT = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 9,
}


@pytest.fixture(scope="module")
def encoder():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CLIPModel(CLIPConfig(vision_config=VISION, text_config=TEXT, projection_dim=8))
    processor = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    return Encoder(model, processor, None, device=torch.device("cpu"), dtype=torch.float32)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8)


PAIRS = [(0, 3), (0, 4), (1, 5), (2, 6), (1, 7), (0, 8), (2, 2), (9, 0)]


def slow(encoder, pixels):
    """(probe, layer) to the (tokens, width) of each image, one image at a time."""
    states = []
    for one in pixels:
        values = encoder.pixel_values(one[None])
        with torch.no_grad():
            output = encoder.model.get_image_features(pixel_values=values, output_hidden_states=True)
        hidden = [state[0].double().numpy() for state in output.hidden_states]
        states.append([output.pooler_output.double().numpy(), *hidden])
    return states


def test_all_distances_equal_those_of_one_image_at_a_time(encoder, pixels):
    first, second = (np.array(side) for side in zip(*PAIRS, strict=True))
    table = pair_distances(Readout(encoder), Stimuli(pixels, first), Stimuli(pixels, second), chunk=3)
    states = slow(encoder, pixels)
    places = [("projection", None), ("hidden", 0), ("hidden", 1), ("hidden", 2)]
    assert len(table) == len(PAIRS) * len(places) * 3
    for position, (probe, layer) in enumerate(places):
        rows = table[
            (table["probe"] == probe) & (table["layer"].isna() if layer is None else table["layer"] == layer)
        ]
        for distance in ("cosine", "euclidean", "normalised_euclidean"):
            found = rows[rows["distance"] == distance].sort_values("pair")["value"].to_numpy()
            expected = []
            for a, b in PAIRS:
                x, y = states[a][position], states[b][position]
                if distance == "cosine":
                    u, v = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (x, y))
                    expected.append(np.mean(0.5 * ((u - v) ** 2).sum(axis=1)))
                elif distance == "euclidean":
                    expected.append(np.mean(np.linalg.norm(x - y, axis=1)))
                else:
                    expected.append(((x - y) ** 2).mean(axis=0))
            if distance == "normalised_euclidean":
                q = np.array(expected)
                means = q.mean(axis=0)
                expected = np.sqrt((q[:, means > 0] / means[means > 0]).mean(axis=1))
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-9)


def test_an_image_that_is_in_many_pairs_goes_through_once(encoder, pixels, monkeypatch):
    seen = []
    embed = encoder.embed_images
    monkeypatch.setattr(
        encoder, "embed_images", lambda batch, **kwargs: seen.append(len(batch)) or embed(batch, **kwargs)
    )
    first, second = (np.array(side) for side in zip(*PAIRS, strict=True))
    pair_distances(Readout(encoder), Stimuli(pixels, first), Stimuli(pixels, second), chunk=2)
    assert sum(seen) == 10


def test_displaced_states_are_embedded_anew_and_give_the_same(encoder, pixels, monkeypatch):
    first, second = (np.array(side) for side in zip(*PAIRS, strict=True))
    stimuli = Stimuli(pixels, first), Stimuli(pixels, second)
    kept = pair_distances(Readout(encoder), *stimuli, chunk=2)
    monkeypatch.setattr("hf_clipdyn.benchmarks.pairs._KEPT_BYTES", 0)
    displaced = pair_distances(Readout(encoder), *stimuli, chunk=2)
    np.testing.assert_allclose(kept["value"], displaced["value"], rtol=1e-4, atol=1e-9)


def test_a_dimension_that_never_changes_is_dropped():
    squares = np.array([[1.0, 0.0], [3.0, 0.0]])
    np.testing.assert_allclose(normalised_euclidean(squares), np.sqrt([0.5, 1.5]))
    assert normalised_euclidean(np.zeros((2, 3))).tolist() == [0, 0]
