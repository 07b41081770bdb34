"""A real CLIPModel, small enough to be saved in milliseconds, with its tokenizer and image processor."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hf_clipdyn import hub as client
from hf_clipdyn.cards import CardFacts
from hf_clipdyn.revisions import Publisher, Row, epoch_name

Save = Callable[[Path], None]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed call is repeated soon."""
    monkeypatch.setattr(client, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(client, "LONGEST_PAUSE", 0.2)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Save]:
    """`trained(3)` writes a model "after 3 epochs": the same seed gives the same weights, another one others."""
    import torch
    from transformers import CLIPModel, CLIPProcessor

    from hf_clipdyn.models.sizes import ModelSize, Tower, clip_config, clip_image_processor
    from hf_clipdyn.models.tokenizers import train_tokenizer

    size = ModelSize(16, 8, Tower(16, 1, 2), Tower(16, 1, 2), 16, context_length=32, vocab_size=520)
    captions = ["a red cat", "a blue car", "two green boats"]
    tokenizer = train_tokenizer(captions, vocab_size=520, context_length=32)
    config = clip_config(size, tokenizer)
    processor = CLIPProcessor(clip_image_processor(size), tokenizer)

    def model(epoch: int) -> Save:
        def save(folder: Path) -> None:
            with torch.random.fork_rng():
                torch.manual_seed(epoch)
                CLIPModel(config).save_pretrained(folder)
            processor.save_pretrained(folder)

        return save

    return model


@pytest.fixture(scope="session")
def record() -> Callable[[int], Row]:
    """`record(3)`: what the loop knows after 3 epochs of 10 steps of 4 images."""

    def of(epoch: int) -> Row:
        loss = None if epoch == 0 else 4.0 / epoch
        return Row(name=epoch_name(epoch), epoch=epoch, step=10 * epoch, samples_seen=40 * epoch, loss=loss)

    return of


@pytest.fixture(scope="session")
def card() -> CardFacts:
    return CardFacts(
        "me/run",
        datasets=("procedural",),
        synthetic=True,
        licence="apache-2.0",
        scale="tiny",
        seed=7,
        parameters=12_345,
    )


@pytest.fixture
def publish(tmp_path, trained, record, card):
    """`publish(range(3))` publishes those epochs of the run in ``tmp_path`` and returns the summary."""

    def run(epochs, *, repo_id="me/run", folder=tmp_path, models=trained, patience=20.0, **options):
        options = {"card": card, "recipe_hash": "r1", **options}
        with Publisher(folder, repo_id, **options) as publisher:
            for epoch in epochs:
                publisher.submit(record(epoch), models(epoch))
            return publisher.finish(patience)

    return run
