"""Batches: what each step shows, for any number of processes."""

import numpy as np
import pytest

from hf_clipdyn.data.pixels import Pixels
from hf_clipdyn.errors import TrainingError
from hf_clipdyn.models.sizes import clip_image_processor, model_size
from hf_clipdyn.models.tokenizers import train_tokenizer
from hf_clipdyn.training.data import Captions, Loading, MappedSource
from hf_clipdyn.training.images import Augmentation, CachedImages

N = 22


@pytest.fixture(scope="module")
def captions() -> Captions:
    texts = [[f"image {i} caption {j}" for j in range(1 + i % 3)] for i in range(N)]
    tokenizer = train_tokenizer([text for each in texts for text in each], vocab_size=600, context_length=12)
    return Captions.tokenise(texts, tokenizer)


def _pixels(broken: tuple[int, ...] = ()) -> Pixels:
    """Image i is filled with the value i."""
    array = np.broadcast_to(np.arange(N, dtype=np.uint8)[:, None, None, None], (N, 4, 4, 3))
    return Pixels(array, np.isin(np.arange(N), broken), "")


def _source(captions: Captions, batch_size: int) -> MappedSource:
    images = CachedImages(_pixels(), Augmentation(), clip_image_processor(model_size("tiny")))
    return MappedSource(images, captions, Loading(0, batch_size))


def _shown(batches: MappedSource, epoch: int) -> list[np.ndarray]:
    return [batch.pixels[:, 0, 0, 0].numpy() for batch in batches.batches(epoch)]


def test_an_epoch_shows_each_image_at_most_once_and_another_epoch_another_order(captions: Captions) -> None:
    batches = _source(captions, 5)
    first, second = np.concatenate(_shown(batches, 1)), np.concatenate(_shown(batches, 2))
    assert len(set(first)) == len(first) == 20
    assert list(first) != list(second)
    np.testing.assert_array_equal(first, np.concatenate(_shown(batches, 1)))


def test_a_caption_belongs_to_its_image_and_all_captions_get_their_turn(captions: Captions) -> None:
    batches = _source(captions, 11)
    seen = set()
    for epoch in range(1, 12):
        for batch in batches.batches(epoch):
            for row, ids in zip(batch.pixels[:, 0, 0, 0].tolist(), batch.input_ids.tolist(), strict=True):
                own = captions.tokens[captions.first[row] : captions.first[row + 1]].tolist()
                assert ids in own
                seen.add((row, own.index(ids)))
    assert len(seen) == len(captions.tokens)


def test_an_image_with_an_overlong_caption_is_broken_and_its_text_is_not_tokenised(
    captions: Captions,
) -> None:
    tokenizer = train_tokenizer(["a b"], vocab_size=600, context_length=4)
    texts = [["a" * 100_000], ["b", "a" * 100_001], [""]]
    found = Captions.tokenise(texts, tokenizer)
    assert found.broken.tolist() == [1]
    np.testing.assert_array_equal(found.tokens[2], found.tokens[3])
    images = CachedImages(_pixels((3,)), Augmentation(), clip_image_processor(model_size("tiny")))
    with pytest.raises(TrainingError, match=r"2 of 22 images .* caption"):
        images.leave_out(found.broken)
    assert images.broken.tolist() == [1, 3]
    assert len(images.rows) == N - 2


def test_fewer_images_than_a_batch_and_an_image_without_a_caption_are_errors(captions: Captions) -> None:
    with pytest.raises(TrainingError, match="per_device_train_batch_size"):
        _source(captions, 24)
    with pytest.raises(TrainingError, match=r"Image 1 .* caption"):
        Captions.tokenise([["a"], []], train_tokenizer(["a"], vocab_size=600, context_length=12))


def test_a_caption_that_is_too_long_keeps_its_end_token() -> None:
    tokenizer = train_tokenizer(["word"], vocab_size=600, context_length=6)
    tokens = Captions.tokenise([["word " * 50]], tokenizer).tokens
    assert tokens.shape == (1, 6)
    assert tokens[0, -1] == tokenizer.eos_token_id
