"""Each image and each text is asked once, and the answers come back in order."""

import numpy as np
import pytest

from hf_clipdyn.benchmarks.readout import Readout, Stimuli
from hf_clipdyn.errors import EvaluationError

SIDE = 8


def random_pixels(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, SIDE, SIDE, 3), dtype=np.uint8)


def mean_colour(pixels):
    """What the planted model answers, (n, 3)."""
    return pixels.mean(axis=(1, 2)).astype(np.float32)


@pytest.fixture
def encoder(planted):
    return planted(lambda pixels: pixels.mean(axis=(0, 1)), lambda text: [len(text), 1])


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_answers_come_in_the_order_of_the_stimuli_whatever_the_batches(encoder, batch_size):
    pixels = random_pixels(11)
    rows = np.array([3, 0, 10, 3, 7, 7, 1])
    readout = Readout(encoder, batch_size=batch_size)
    np.testing.assert_array_equal(readout.images(Stimuli(pixels, rows)), mean_colour(pixels[rows]))
    np.testing.assert_array_equal(readout.images(Stimuli(pixels)), mean_colour(pixels))
    assert encoder.seen == 11


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_embeddings_that_are_not_finite_are_no_answers(planted, broken):
    readout = Readout(planted(lambda _: [broken, 1], lambda _: [broken, 1]), name="epoch-007")
    stimuli = Stimuli(random_pixels(3))
    others = readout.with_texts(lambda texts: np.full((len(texts), 2), broken, np.float32))
    for ask, whose in (
        (lambda: readout.images(stimuli), "an image by epoch-007"),
        (lambda: readout.texts(["a cat"]), "a text by epoch-007"),
        (lambda: others.texts(["a cat"]), "the run's last revision"),
        (lambda: readout.keep({stimuli.keys[0]: np.array([broken, 1], np.float32)}), "epoch-007"),
    ):
        with pytest.raises(EvaluationError, match=whose):
            ask()


def test_a_change_is_made_at_each_reading_and_is_part_of_what_an_image_is_known_by(encoder):
    pixels = random_pixels(6)
    rows = np.array([5, 1, 1, 3])

    def darker(image, row):
        return image // np.uint8(row + 1)

    plain, changed = Stimuli(pixels, rows), Stimuli(pixels, rows, change=darker, change_key="darker")
    other = Stimuli(pixels, rows, change=lambda image, _: 255 - image, change_key="inverted")
    expected = np.stack([pixels[row] // (row + 1) for row in rows])
    np.testing.assert_array_equal(changed.read(range(4)), expected)
    assert len({*plain.keys, *changed.keys, *other.keys}) == 9
    readout = Readout(encoder)
    np.testing.assert_array_equal(readout.images(plain), mean_colour(pixels[rows]))
    np.testing.assert_array_equal(readout.images(changed), mean_colour(expected))
    np.testing.assert_array_equal(readout.images(other), mean_colour(255 - pixels[rows]))
    assert encoder.seen == 9


def test_a_text_is_embedded_once_and_a_copy_with_other_texts_keeps_the_images(encoder, monkeypatch):
    asked: list[str] = []
    embed = encoder.embed_texts
    monkeypatch.setattr(encoder, "embed_texts", lambda texts: asked.extend(texts) or embed(texts))
    readout = Readout(encoder)
    pixels = random_pixels(4)
    readout.images(Stimuli(pixels))
    np.testing.assert_array_equal(readout.texts(["cat", "horse", "cat"])[:, 0], [3, 5, 3])
    np.testing.assert_array_equal(readout.texts(["horse", "ox"])[:, 0], [5, 2])
    assert asked == ["cat", "horse", "ox"]
    other = readout.with_texts(lambda texts: np.full((len(texts), 2), -1, np.float32))
    assert (readout.only_text, other.only_text) == (False, True)
    np.testing.assert_array_equal(other.texts(["cat"]), [[-1, -1]])
    np.testing.assert_array_equal(readout.texts(["cat"])[:, 0], [3])
    np.testing.assert_array_equal(other.images(Stimuli(pixels)), mean_colour(pixels))
    assert encoder.seen == 4


def test_the_first_batch_is_checked_and_no_other(encoder):
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    readout = Readout(encoder, batch_size=3, check=lambda pixels, rows: seen.append((pixels, rows)))
    pixels = random_pixels(7)
    readout.images(Stimuli(pixels))
    readout.images(Stimuli(random_pixels(4, seed=2)))
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0][0], pixels[:3])
    np.testing.assert_array_equal(seen[0][1], mean_colour(pixels[:3]))
