"""A real CLIPModel, small enough to be saved in milliseconds, with its tokenizer and image processor."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hf_clipdyn.cards import CardFacts
from hf_clipdyn.hub import RetryPolicy
from hf_clipdyn.revisions import Publisher, RevisionRecord, epoch_name

Save = Callable[[Path], None]


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
def record() -> Callable[[int], RevisionRecord]:
    """`record(3)`: what the loop knows after 3 epochs of 10 steps of 4 images."""

    def of(epoch: int) -> RevisionRecord:
        loss = None if epoch == 0 else 4.0 / epoch
        return RevisionRecord(epoch_name(epoch), epoch, 10 * epoch, 40 * epoch, loss)

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
    """`publish(range(3))` publishes those epochs of a run into the store and returns the summary."""

    def run(epochs, *, repo_id="me/run", output_dir=tmp_path, recipe_hash="r1", models=trained, **options):
        options.setdefault("store", output_dir / "hub")
        options.setdefault("retries", RetryPolicy(base=0.05, cap=0.5, patience=20, timeout=5))
        with Publisher(
            repo_id, output_dir=output_dir, card=card, recipe_hash=recipe_hash, **options
        ) as publisher:
            publisher.check()
            for epoch in epochs:
                publisher.submit(record(epoch), models(epoch))
            return publisher.finish()

    return run
