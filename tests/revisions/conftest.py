"""A real CLIPModel, small enough to be saved in milliseconds, and a run of it in folders and on a Hub."""

import shutil
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hub_server.server import HubServer

from hf_clipdyn import hub as client
from hf_clipdyn.cards import CardFacts
from hf_clipdyn.revisions import Publisher, Row, epoch_name

sys.path.insert(0, str(Path(__file__).parent))  # faults
Save = Callable[[Path], None]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed call is repeated soon."""
    monkeypatch.setattr(client, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(client, "LONGEST_PAUSE", 0.2)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Save]:
    """`trained(3)` writes a model "after 3 epochs": the same number gives the same weights, another one others."""
    import torch
    from transformers import CLIPModel, CLIPProcessor

    from hf_clipdyn.models.sizes import ModelSize, Tower, clip_config, clip_image_processor
    from hf_clipdyn.models.tokenizers import train_tokenizer

    size = ModelSize(16, 8, Tower(16, 1, 2), Tower(16, 1, 2), 16, context_length=32, vocab_size=520)
    captions = ["a red cat", "a blue car", "two green boats"]
    tokenizer = train_tokenizer(captions, vocab_size=520, context_length=32)
    config = clip_config(size, tokenizer)
    processor = CLIPProcessor(clip_image_processor(size), tokenizer)
    made: dict[int, Path] = {}

    def model(epoch: int) -> Save:
        def save(folder: Path) -> None:
            if epoch not in made:
                made[epoch] = tmp_path_factory.mktemp("model")
                with torch.random.fork_rng():
                    torch.manual_seed(epoch)
                    CLIPModel(config).save_pretrained(made[epoch])
                processor.save_pretrained(made[epoch])
            shutil.copytree(made[epoch], folder, dirs_exist_ok=True)

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
    facts: dict[str, Any] = {"datasets": ("procedural",), "synthetic": True, "licence": "apache-2.0"}
    return CardFacts("me/run", scale="tiny", seed=7, parameters=12_345, **facts)


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


@pytest.fixture(scope="session")
def made() -> list[Any]:
    """What the first `suite` has made for the others."""
    return []


@pytest.fixture
def suite(hub: HubServer, tmp_path: Path, tmp_path_factory, publish, made) -> HubServer:
    """A Hub with a run of four revisions, whose folders are in ``tmp_path``, without fault."""
    if not made:
        folder = tmp_path_factory.mktemp("suite")
        summary = publish(range(4), folder=folder, push_to_hub=True)
        assert summary.missing == [], summary.message
        made[:] = folder, deepcopy(hub.state)
    folder, state = made
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    hub.state = deepcopy(state)
    hub.seen.clear()
    return hub
