"""Every epoch of a real Trainer becomes a revision, of any model, in any number of processes, killed or not."""

import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forked
import pytest
from hub_server.server import HubServer
from huggingface_hub import HfApi
from trained import REPO, equal, make_model, make_pair, served, trainer
from transformers import (
    AutoModelForCausalLM,
    CLIPModel,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    ViTForImageClassification,
)

from hf_clipdyn.cli import main
from hf_clipdyn.errors import ConfigError, PublishError
from hf_clipdyn.revisions import list_revisions
from hf_clipdyn.trainer import PublishRevisions

SCRIPT = Path(__file__).with_name("trained.py")


def hashes(folder: Path) -> dict[str, str | None]:
    return {one.name: one.sha256 for one in list_revisions(folder)}


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
    names = ["epoch-000", "step-00000001", "step-00000003", "epoch-001", "step-00000007", "epoch-002"]
    assert list(found) == names
    return found


def test_samples_are_counted_as_the_trainer_shows_them(tmp_path: Path) -> None:
    batches = {"per_device_train_batch_size": 6, "gradient_accumulation_steps": 2}
    trainer(tmp_path, make_model("clip"), PublishRevisions(REPO, publish=[1]), **batches).train()

    seen = {one.name: one.samples_seen for one in list_revisions(tmp_path)}
    assert seen == {"epoch-000": 0, "step-00000001": 12, "epoch-001": 40, "epoch-002": 80}


def test_another_run_is_not_mixed_into_the_folder(tmp_path: Path) -> None:
    trainer(tmp_path, make_model("clip"), PublishRevisions(REPO), num_train_epochs=1).train()

    with pytest.raises(PublishError, match="contains a run with another recipe"):
        trainer(tmp_path, make_model("clip"), PublishRevisions(REPO), learning_rate=0.02).train()
    trainer(tmp_path, make_model("clip"), PublishRevisions(REPO)).train(resume_from_checkpoint=True)
    assert list(hashes(tmp_path)) == ["epoch-000", "epoch-001", "epoch-002"]


def test_two_processes_publish_what_they_trained_together(tmp_path: Path, launch: Callable[..., str]) -> None:
    launch(2, SCRIPT, str(tmp_path), "clip", "per_device_train_batch_size=4")
    assert list(hashes(tmp_path)) == ["epoch-000", "epoch-001", "epoch-002"]
    assert equal(served(tmp_path, "epoch-000", CLIPModel), make_model("clip"))
    assert not equal(served(tmp_path, "epoch-002", CLIPModel), served(tmp_path, "epoch-001", CLIPModel))


def test_a_run_whose_checkpoint_was_not_loaded_whole_stops_and_goes_on_with_the_model_of_the_checkpoint(
    tmp_path: Path,
) -> None:
    class Stops(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 6:
                raise KeyboardInterrupt

    def run(folder: Path, model: PreTrainedModel, *callbacks: TrainerCallback) -> Trainer:
        return trainer(folder, model, PublishRevisions(REPO), *callbacks, logging_steps=3)

    run(tmp_path / "whole", make_model("classifier")).train()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", make_model("classifier"), Stops()).train()
    with pytest.raises(
        PublishError, match=r"checkpoint-5: 16 tensors differ, for example vit\..*from_pretrained"
    ):
        run(tmp_path / "run", make_model("classifier")).train(resume_from_checkpoint=True)
    saved = ViTForImageClassification.from_pretrained(tmp_path / "run" / "checkpoint-5")
    run(tmp_path / "run", saved).train(resume_from_checkpoint=True)
    assert hashes(tmp_path / "run") == hashes(tmp_path / "whole")


def test_the_step_that_a_trainer_takes_when_it_is_resumed_at_its_end_is_not_a_revision(
    tmp_path: Path,
) -> None:
    for resumed in (False, True):
        run = trainer(tmp_path, make_model("clip"), PublishRevisions(REPO), max_steps=7, save_steps=7)
        run.train(resume_from_checkpoint=resumed)
    assert run.state.global_step == 8, "transformers takes none any more: drop the rule"
    assert list(hashes(tmp_path)) == ["epoch-000", "epoch-001", "step-00000007"]


def test_a_revision_has_what_the_trainer_has_logged_until_its_step(tmp_path: Path) -> None:
    logs = {"logging_strategy": "steps", "eval_strategy": "steps", "logging_steps": 2, "eval_steps": 2}
    publish = PublishRevisions(REPO, publish=[2, 3])
    run = trainer(tmp_path, make_model("clip"), publish, eval_on_start=True, **logs)
    run.train()

    def logged(key: str) -> dict[int, float]:
        return {entry["step"]: entry[key] for entry in run.state.log_history if key in entry}

    assert list(logged("loss")) == [2, 4, 6, 8, 10]
    for one in list_revisions(tmp_path):
        step = one.step or 0
        for value, key in ((one.loss, "loss"), (one.learning_rate, "learning_rate")):
            earlier = [number for at, number in logged(key).items() if at <= step]
            assert value == (earlier[-1] if earlier else None), (one.name, key)
        assert one.validation_loss == logged("eval_loss").get(step), one.name
        scale = served(tmp_path, one.name).logit_scale
        assert one.logit_scale == pytest.approx(float(scale.detach().exp()))


def test_it_says_where_revisions_go_and_the_next_two_commands_which_work_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model, processor = make_pair()
    publish = PublishRevisions(REPO, processor=processor)
    trainer(Path("my runs/one"), model, publish, num_train_epochs=1).train()
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{REPO}: revisions are saved as my runs/one/revisions/<name>."
    assert f"{REPO}: 2 of 2 revisions are saved" in said[-3]
    commands = [line.removeprefix("Next:").strip() for line in said[-2:]]
    assert [shlex.split(one)[1] for one in commands] == ["evaluate", "report"]
    for words, more in zip(
        map(shlex.split, commands), (["--benchmarks", "distortion/procedural"], []), strict=True
    ):
        with pytest.raises(SystemExit) as stopped:
            main([*words[1:], *more])
        assert not stopped.value.code


def test_a_pushed_run_is_on_the_hub_and_a_private_one_not_in_a_public_repository(
    tmp_path: Path, hub: HubServer
) -> None:
    HfApi().create_repo(REPO)

    def train(name: str, **settings: Any) -> None:
        publish = PublishRevisions(REPO, push_to_hub=True)
        trainer(tmp_path / name, make_model("clip"), publish, num_train_epochs=1, **settings).train()

    with pytest.raises(ConfigError, match=f"{REPO} exists and is public"):
        train("private", hub_private_repo=True)
    assert {"preupload", "lfs-put", "commit"}.isdisjoint(hub.seen)
    train("public")
    assert [one.name for one in list_revisions(REPO)] == ["epoch-000", "epoch-001"]
