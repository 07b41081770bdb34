"""Every epoch of a real Trainer becomes a revision, of any model, in any number of processes, killed or not."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forked
import pytest
import torch
from torch import nn
from trained import REPO, make_model, trainer
from transformers import AutoModel, AutoModelForCausalLM, CLIPModel, PreTrainedModel, TrainerCallback

from hf_clipdyn.errors import ConfigError, PublishError
from hf_clipdyn.revisions import list_revisions
from hf_clipdyn.trainer import PublishRevisions

SCRIPT = Path(__file__).with_name("trained.py")


def hashes(folder: Path) -> dict[str, str | None]:
    return {one.name: one.sha256 for one in list_revisions(REPO, store=folder / "hub")}


def served(folder: Path, revision: str, kind: type = AutoModel) -> PreTrainedModel:
    return kind.from_pretrained(REPO, revision=revision, cache_dir=folder / "hub", local_files_only=True)


def equal(one: nn.Module, other: nn.Module) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())


def run(folder: Path, *arguments: str) -> int:
    return forked.run([sys.executable, SCRIPT, folder, *arguments]).returncode


@pytest.mark.parametrize("name", ["clip", "siglip", "dual", "language"])
def test_each_epoch_of_any_model_is_a_revision_and_the_first_is_the_model_as_it_came(
    tmp_path: Path, name: str
) -> None:
    model = make_model(name)
    trainer(tmp_path, model, PublishRevisions(REPO)).train()

    assert list(hashes(tmp_path)) == ["epoch-000", "epoch-001", "epoch-002"]
    kind = AutoModelForCausalLM if name == "language" else type(model)
    assert equal(served(tmp_path, "epoch-000", kind), make_model(name))
    assert equal(served(tmp_path, "epoch-002", kind), model)
    assert not equal(served(tmp_path, "epoch-001", kind), model)


@pytest.mark.parametrize(
    ("event", "step"),
    [
        pytest.param("on_step_begin", 3, marks=pytest.mark.slow),
        pytest.param("on_step_end", 5, marks=pytest.mark.slow),
        ("on_save", 5),
        pytest.param("on_step_end", 8, marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_that_goes_on_publishes_what_an_uninterrupted_one_does(
    tmp_path: Path, event: str, step: int, uninterrupted: dict[str, str | None]
) -> None:
    assert run(tmp_path, "clip", "--publish", "1,3,7", "--kill", event, str(step)) == -signal.SIGKILL
    resume = ["--resume"] if any(tmp_path.glob("checkpoint-*")) else []
    assert run(tmp_path, "clip", "--publish", "1,3,7", *resume) == 0

    assert hashes(tmp_path) == uninterrupted


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    trainer(folder, make_model("clip"), PublishRevisions(REPO, publish="1,3,7")).train()
    found = hashes(folder)
    assert list(found) == [
        "epoch-000",
        "step-00000001",
        "step-00000003",
        "epoch-001",
        "step-00000007",
        "epoch-002",
    ]
    return found


def test_a_run_that_stops_inside_an_epoch_ends_with_a_revision_of_its_last_step(tmp_path: Path) -> None:
    model = make_model("clip")
    trainer(tmp_path, model, PublishRevisions(REPO), max_steps=7).train()

    assert list(hashes(tmp_path)) == ["epoch-000", "epoch-001", "step-00000007"]
    assert equal(served(tmp_path, "main", CLIPModel), model)


def test_samples_are_counted_as_the_trainer_shows_them(tmp_path: Path) -> None:
    batches = {"per_device_train_batch_size": 6, "gradient_accumulation_steps": 2}
    trainer(tmp_path, make_model("clip"), PublishRevisions(REPO, publish=[1]), **batches).train()

    seen = {one.name: one.samples_seen for one in list_revisions(REPO, store=tmp_path / "hub")}
    assert seen == {"epoch-000": 0, "step-00000001": 12, "epoch-001": 40, "epoch-002": 80}


def test_a_run_that_was_interrupted_goes_on_in_the_same_process(
    tmp_path: Path, uninterrupted: dict[str, str | None]
) -> None:
    class Interrupts(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 8:
                raise KeyboardInterrupt

    def callback() -> PublishRevisions:
        return PublishRevisions(REPO, publish=[1, 3, 7])

    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path, make_model("clip"), callback(), Interrupts()).train()
    trainer(tmp_path, make_model("clip"), callback()).train(resume_from_checkpoint=True)
    assert hashes(tmp_path) == uninterrupted


def test_another_run_is_not_mixed_into_the_folder(tmp_path: Path) -> None:
    trainer(tmp_path, make_model("clip"), PublishRevisions(REPO), num_train_epochs=1).train()

    with pytest.raises(PublishError, match="choose another output_dir"):
        trainer(tmp_path, make_model("clip"), PublishRevisions(REPO), learning_rate=0.02).train()
    with pytest.raises(
        PublishError, match="has epoch-001 with other weights"
    ):  # more epochs, another schedule
        trainer(tmp_path, make_model("clip"), PublishRevisions(REPO)).train()
    trainer(tmp_path, make_model("clip"), PublishRevisions(REPO)).train(resume_from_checkpoint=True)
    assert list(hashes(tmp_path)) == ["epoch-000", "epoch-001", "epoch-002"]


def test_what_transformers_cannot_save_is_refused(tmp_path: Path) -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3)

    with pytest.raises(ConfigError, match="not a Plain"):
        trainer(tmp_path, Plain(), PublishRevisions(REPO)).train()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "sharded", [pytest.param(False, id="DDP"), pytest.param(True, id="FSDP", marks=pytest.mark.slow)]
)
def test_two_processes_publish_what_they_trained_together(
    tmp_path: Path, launch: Callable[..., str], sharded: bool
) -> None:
    sharding = ["--sharded"] if sharded else []
    launch(2, SCRIPT, str(tmp_path), "clip", "per_device_train_batch_size=4", *sharding)
    alone = tmp_path / "alone"
    model = make_model("clip")
    trainer(alone, model, PublishRevisions(REPO)).train()

    assert list(hashes(tmp_path)) == ["epoch-000", "epoch-001", "epoch-002"]
    assert equal(served(tmp_path, "epoch-000", CLIPModel), make_model("clip"))
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    assert {name: value.shape for name, value in served(tmp_path, "epoch-002").state_dict().items()} == shapes
    assert not equal(served(tmp_path, "epoch-002", CLIPModel), served(tmp_path, "epoch-001", CLIPModel))
