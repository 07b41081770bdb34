"""Distances at every hidden state equal those of one image at a time."""

import contextlib
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from shown import Shown
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

from hf_clipdyn.benchmarks.hidden_states import RowFile
from hf_clipdyn.benchmarks.kinds.jnd import Jnd
from hf_clipdyn.benchmarks.kinds.quality import Quality
from hf_clipdyn.benchmarks.kinds.similarity import Similarity
from hf_clipdyn.benchmarks.pairs import pair_distances
from hf_clipdyn.benchmarks.readout import Readout, Stimuli
from hf_clipdyn.models.encoder import Encoder, ImageFeatures

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


def build_encoder():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CLIPModel(CLIPConfig(vision_config=VISION, text_config=TEXT, projection_dim=8))
    processor = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    return Encoder(model, processor, None, device=torch.device("cpu"), dtype=torch.float32)


@pytest.fixture
def encoder(monkeypatch):
    """Counts, in `seen`, how often each image went through."""
    encoder = build_encoder()
    show, encoder.seen = encoder.show_images, []

    def count(batch, **kwargs):
        encoder.seen += [one.tobytes() for one in batch]
        return show(batch, **kwargs)

    monkeypatch.setattr(encoder, "show_images", count)
    return encoder


def random_pixels(n):
    return np.random.default_rng(0).integers(0, 256, (n, 16, 16, 3), dtype=np.uint8)


@pytest.fixture
def pixels():
    return random_pixels(12)


PAIRS = [(0, 3), (0, 4), (1, 5), (2, 6), (1, 7), (0, 8), (2, 2), (9, 0), (0, 3)]
PLACES = [("projection", None), ("hidden", 0), ("hidden", 1), ("hidden", 2)]


def compared(encoder, pixels, pairs, batch_size=128, **kwargs):
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    readout = Readout(encoder, batch_size=batch_size)
    return pair_distances(readout, Stimuli(pixels, first), Stimuli(pixels, second), **kwargs)


def values(table, probe, layer, distance):
    rows = table[(table["probe"] == probe) & (table["distance"] == distance)]
    rows = rows[rows["layer"].isna() if layer is None else rows["layer"] == layer]
    assert rows["pair"].tolist() == list(range(len(rows)))
    return rows["value"].to_numpy()


def slow(encoder, pixels):
    """The (tokens, width) of each place of each image, one image at a time."""
    states = []
    for one in pixels:
        output = encoder.model.get_image_features(
            pixel_values=encoder.pixel_values(one[None]), output_hidden_states=True
        )
        hidden = [state[0].detach().double().numpy() for state in output.hidden_states]
        states.append([output.pooler_output.detach().double().numpy(), *hidden])
    return states


def test_all_distances_equal_those_of_one_image_at_a_time(encoder, pixels, monkeypatch):
    monkeypatch.setattr("hf_clipdyn.benchmarks.pairs._MOST_COMPARED", 3)
    table = compared(encoder, pixels, PAIRS)
    states = slow(encoder, pixels)
    assert len(table) == len(PAIRS) * len(PLACES) * 3
    for position, (probe, layer) in enumerate(PLACES):
        cosine, euclidean, squares = [], [], []
        for a, b in PAIRS:
            x, y = states[a][position], states[b][position]
            u, v = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (x, y))
            cosine.append(np.mean(0.5 * ((u - v) ** 2).sum(axis=1)))
            euclidean.append(np.mean(np.linalg.norm(x - y, axis=1)))
            squares.append(((x - y) ** 2).mean(axis=0))
        means = np.mean(squares, axis=0)
        normalised = np.sqrt((np.array(squares)[:, means > 0] / means[means > 0]).mean(axis=1))
        for distance, expected in (
            ("cosine", cosine),
            ("euclidean", euclidean),
            ("normalised_euclidean", normalised),
        ):
            found = values(table, probe, layer, distance)
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("batch_size", [1, 3, 128])
def test_every_image_goes_through_once_whatever_the_batch(encoder, pixels, monkeypatch, batch_size):
    with monkeypatch.context() as few:
        few.setattr("hf_clipdyn.benchmarks.pairs._MOST_COMPARED", 2)
        table = compared(encoder, pixels, PAIRS, batch_size)
    assert len(encoder.seen) == len(set(encoder.seen)) == 10
    monkeypatch.setattr("hf_clipdyn.benchmarks.pairs._NORMALISED", 1)
    whole = compared(encoder, pixels, PAIRS)
    np.testing.assert_allclose(table["value"], whole["value"], rtol=1e-4, atol=1e-9)


def test_rows_come_back_from_the_file_unchanged():
    rows = np.random.default_rng(0).standard_normal((9, 7)).astype(np.float32)
    file = RowFile(7)
    file.append(rows[:2])
    np.testing.assert_array_equal(file.read(1, 2), rows[1:2])
    file.append(rows[2:, ::-1][:, ::-1])
    assert len(file) == 9
    np.testing.assert_array_equal(file.read(0, 9), rows)
    np.testing.assert_array_equal(file.read(4, 6), rows[4:6])
    file.close()


@pytest.mark.parametrize("n_rows", [1, 10_000])
def test_a_full_disk_is_an_error_with_a_way_out(monkeypatch, n_rows):
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: open("/dev/full", "r+b"))  # noqa: PTH123, SIM115
    file = RowFile(3)
    with pytest.raises(OSError, match=r"No space left on device.*TMPDIR"):
        file.append(np.zeros((n_rows, 3), np.float32))
    with contextlib.suppress(OSError):
        file.close()


def test_of_stars_one_image_waits_between_two_batches(encoder, monkeypatch):
    written = []
    append = RowFile.append

    def watch(self, rows):
        append(self, rows)
        written.append(rows.shape)

    monkeypatch.setattr(RowFile, "append", watch)
    rng = np.random.default_rng(0)
    pairs = rng.permutation(
        [(reference, 30 + 10 * reference + k) for reference in range(30) for k in range(10)]
    )
    compared(encoder, random_pixels(330), [tuple(pair) for pair in pairs], batch_size=20)
    states = [n for n, width in written if width == 8 + 3 * 5 * 16]
    assert sum(states) <= -(-330 // 20) - 1


def test_equal_images_and_zero_vectors_have_the_distances_of_unit_vectors():
    class Flat(Shown):
        def embed_images(self, pixels, **_):
            return ImageFeatures((pixels[:, 0, 0].astype(np.float32) - 1) * [1, 1, 0])

    colours = np.array([[1, 1, 1], [3, 1, 1], [9, 1, 1], [1, 5, 9]], np.uint8)
    pixels = np.tile(colours[:, None, None], (1, 4, 4, 1))
    table = compared(Flat(), pixels, [(0, 1), (1, 2), (1, 3), (2, 2)])
    np.testing.assert_allclose(values(table, "projection", None, "cosine"), [0.5, 0, 1, 0], atol=1e-15)
    np.testing.assert_allclose(
        values(table, "projection", None, "euclidean"), [2, 6, np.sqrt(20), 0], rtol=1e-7
    )
    # Squares (4, 36, 4, 0) and (0, 0, 16, 0): means 11 and 4; the third dimension never differs.
    expected = np.sqrt([4 / 11 / 2, 36 / 11 / 2, (4 / 11 + 4) / 2, 0])
    np.testing.assert_allclose(values(table, "projection", None, "normalised_euclidean"), expected, rtol=1e-6)
    assert table["dropped_dimensions"].tolist() == [0] * 8 + [1] * 4


def test_an_encoder_that_tells_nothing_apart_gives_zeros(pixels):
    class Blind(Shown):
        def embed_images(self, pixels, **_):
            return ImageFeatures(np.ones((len(pixels), 3), np.float32))

    table = compared(Blind(), pixels, PAIRS)
    assert (table["value"] == 0).all()
    assert table["dropped_dimensions"].max() == 3


@pytest.mark.parametrize("kind", [Quality, Similarity, Jnd])
def test_every_distance_has_a_title(kind):
    baselines = {Quality: {"psnr", "ssim"}, Similarity: set(), Jnd: set()}[kind]
    assert set(kind.terms.variants) == {"cosine", "euclidean", "normalised_euclidean"} | baselines


def test_what_was_embedded_on_the_way_is_not_embedded_again(encoder, pixels):
    readout = Readout(encoder)
    stimuli = Stimuli(pixels, np.array([0, 1, 2]))
    pair_distances(readout, stimuli, Stimuli(pixels, np.array([3, 4, 5])))
    expected = encoder.model.get_image_features(encoder.pixel_values(pixels[:3])).pooler_output
    np.testing.assert_allclose(readout.images(stimuli), expected.detach(), atol=1e-5)
    assert len(encoder.seen) == 6


WORKER = """
import sys
import numpy as np
from accelerate import PartialState
from test_pairs import build_encoder, compared, many_pairs, random_pixels

state = PartialState(cpu=True)
table = compared(build_encoder(), random_pixels(60), many_pairs(), batch_size=4)
if state.is_main_process:
    table.to_parquet(sys.argv[1])
state.destroy_process_group()
"""


def many_pairs():
    """Images that recur with several references."""
    rng = np.random.default_rng(1)
    return [(int(a), int(b)) for a, b in zip(rng.integers(0, 9, 80), rng.integers(0, 60, 80), strict=True)]


@pytest.mark.parametrize("n_processes", [3])
def test_several_processes_give_the_values_of_one(tmp_path, n_processes, launch):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    here = {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    launch(n_processes, script, str(tmp_path / "table.parquet"), environment=here)
    one = compared(build_encoder(), random_pixels(60), many_pairs(), batch_size=4)
    several = pd.read_parquet(tmp_path / "table.parquet")
    exact = [name for name in one.columns if name != "value"]
    assert one[exact].equals(several[exact])
    np.testing.assert_allclose(one["value"], several["value"], rtol=1e-12)
