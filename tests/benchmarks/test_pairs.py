"""Each image goes through once; the slow evaluator in tests/evaluation has the distances at every hidden state."""

import contextlib
import tempfile

import numpy as np
import pytest
import torch
from shown import Shown
from tiny_models import pair
from transformers import CLIPImageProcessor

from hf_clipdyn.benchmarks.hidden_states import RowFile
from hf_clipdyn.benchmarks.pairs import pair_distances
from hf_clipdyn.benchmarks.readout import Readout, Stimuli
from hf_clipdyn.models.encoder import Encoder, ImageFeatures


@pytest.fixture
def encoder(monkeypatch):
    """Counts, in `seen`, how often each image went through."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = pair("CLIP", projection_dim=8)
    processor = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    encoder = Encoder(model, processor, None, device=torch.device("cpu"), dtype=torch.float32)
    show, encoder.seen = encoder.show_images, []

    def count(batch, **kwargs):
        encoder.seen += [one.tobytes() for one in batch]
        return show(batch, **kwargs)

    monkeypatch.setattr(encoder, "show_images", count)
    return encoder


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8)


PAIRS = [(0, 3), (0, 4), (1, 5), (2, 6), (1, 7), (0, 8), (2, 2), (9, 0), (0, 3)]


def compared(encoder, pixels, pairs, batch_size=128):
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    readout = Readout(encoder, batch_size=batch_size)
    return pair_distances(readout, Stimuli(pixels, first), Stimuli(pixels, second))


@pytest.mark.parametrize("batch_size", [1, 3, 128])
def test_every_image_goes_through_once_whatever_the_batch(encoder, pixels, monkeypatch, batch_size):
    with monkeypatch.context() as few:
        few.setattr("hf_clipdyn.benchmarks.pairs._MOST_COMPARED", 2)
        table = compared(encoder, pixels, PAIRS, batch_size)
    assert len(encoder.seen) == len(set(encoder.seen)) == 10
    monkeypatch.setattr("hf_clipdyn.benchmarks.pairs._NORMALISED", 1)
    whole = compared(encoder, pixels, PAIRS)
    np.testing.assert_allclose(table["value"], whole["value"], rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("n_rows", [1, 10_000])
def test_a_full_disk_is_an_error_with_a_way_out(monkeypatch, n_rows):
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: open("/dev/full", "r+b"))  # noqa: PTH123, SIM115
    file = RowFile(3)
    with pytest.raises(OSError, match=r"No space left on device.*TMPDIR"):
        file.append(np.zeros((n_rows, 3), np.float32))
    with contextlib.suppress(OSError):
        file.close()


def test_equal_images_and_zero_vectors_have_the_distances_of_unit_vectors():
    class Flat(Shown):
        def embed_images(self, pixels, **_):
            return ImageFeatures((pixels[:, 0, 0].astype(np.float32) - 1) * [1, 1, 0])

    colours = np.array([[1, 1, 1], [3, 1, 1], [9, 1, 1], [1, 5, 9]], np.uint8)
    pixels = np.tile(colours[:, None, None], (1, 4, 4, 1))
    table = compared(Flat(), pixels, [(0, 1), (1, 2), (1, 3), (2, 2)])
    values = {name: rows["value"].to_numpy() for name, rows in table.groupby("distance")}
    np.testing.assert_allclose(values["cosine"], [0.5, 0, 1, 0], atol=1e-15)
    np.testing.assert_allclose(values["euclidean"], [2, 6, np.sqrt(20), 0], rtol=1e-7)
    # Squares (4, 36, 4, 0) and (0, 0, 16, 0): means 11 and 4; the third dimension never differs.
    expected = np.sqrt([4 / 11 / 2, 36 / 11 / 2, (4 / 11 + 4) / 2, 0])
    np.testing.assert_allclose(values["normalised_euclidean"], expected, rtol=1e-6)
    assert table["dropped_dimensions"].tolist() == [0] * 8 + [1] * 4
