"""What the settings of a Trainer, and the ways to begin, continue and break off its training, make of the revisions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_server.server import HubServer
from torch.utils.data import IterableDataset
from trained import REPO, Rows, equal, make_model, served, trainer
from transformers import TrainerCallback

from hf_clipdyn import PublishRevisions, list_revisions, load_revision, snapshot
from hf_clipdyn.errors import ConfigError, PublishError


class Stream(IterableDataset[dict[str, torch.Tensor]]):
    """Rows without a length."""

    def __init__(self, count: int) -> None:
        self._count, self._rows = count, Rows(language=False)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        return (self._rows[index % len(self._rows)] for index in range(self._count))


class FailsOnce(TrainerCallback):
    """Raises an error the first time that ``event`` comes to a step."""

    def __init__(self, event: str, step: int, error: BaseException) -> None:
        self._left = [error]

        def fail(args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == step and self._left:
                raise self._left.pop()

        setattr(self, event, fail)


def steps(folder: Path) -> dict[str, int | None]:
    return {one.name: one.step for one in list_revisions(folder)}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            {"max_steps": 5, "gradient_accumulation_steps": 2, "save_strategy": "no"},
            ["epoch-001", "step-00000005"],
        ),
        ({"rows": Stream(24), "max_steps": 7}, ["step-00000003", "step-00000006", "step-00000007"]),
        ({"rows": Stream(99), "max_steps": 7}, ["step-00000007"]),
    ],
    ids=["accumulated", "short stream", "long stream"],
)
def test_epochs_are_whole_passes_over_data_with_a_length_and_the_last_step_is_a_revision(
    tmp_path: Path, arguments: dict[str, Any], expected: list[str]
) -> None:
    model = make_model("clip")
    trainer(tmp_path, model, PublishRevisions(REPO), **arguments).train()
    assert list(steps(tmp_path)) == ["epoch-000", *expected]
    assert equal(served(tmp_path, expected[-1]), model)


def test_main_is_the_last_state_and_the_best_one_is_a_revision_too(tmp_path: Path) -> None:
    run = trainer(
        tmp_path,
        make_model("clip"),
        PublishRevisions(REPO),
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=True,  # so that the first epoch is the best
        eval_strategy="epoch",
        save_strategy="epoch",
    )
    run.train()
    assert steps(tmp_path) == {"epoch-000": 0, "epoch-001": 5, "epoch-002": 10}
    assert run.state.best_global_step == 5
    assert equal(served(tmp_path, "epoch-001"), run.model)
    assert equal(load_revision(tmp_path), served(tmp_path, "epoch-002"))


def test_a_second_call_of_train_goes_on_from_trained_weights_and_is_refused(tmp_path: Path) -> None:
    run = trainer(tmp_path, make_model("clip"), PublishRevisions(REPO), num_train_epochs=1)
    run.train()
    published = served(tmp_path, "epoch-001")
    with pytest.raises(PublishError, match="epoch-000 has other weights"):
        run.train()
    assert equal(served(tmp_path, "epoch-001"), published)
    assert not any((tmp_path / "revisions").glob(".*.staging"))


def test_a_run_that_broke_off_without_a_checkpoint_begins_again(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"save_strategy": "no"}
    broken = FailsOnce("on_step_end", 7, ValueError("a bad batch"))
    with pytest.raises(ValueError, match="a bad batch"):
        trainer(tmp_path, make_model("clip"), PublishRevisions(REPO), broken, **settings).train()
    trainer(tmp_path, make_model("clip"), PublishRevisions(REPO), **settings).train()
    assert steps(tmp_path) == {"epoch-000": 0, "epoch-001": 5, "epoch-002": 10}


@pytest.mark.slow
def test_a_smaller_batch_that_the_trainer_finds_is_counted(tmp_path: Path) -> None:
    full = FailsOnce("on_step_begin", 0, RuntimeError("CUDA out of memory."))
    run = trainer(tmp_path, make_model("clip"), PublishRevisions(REPO), full, auto_find_batch_size=True)
    run.train()
    seen = {one.step: one.samples_seen for one in list_revisions(tmp_path)}
    assert run.state.train_batch_size < 8
    assert list(seen.values()) == [0, 40, 80]


def test_weights_that_would_not_be_saved_whole_are_refused() -> None:
    adapted, sharded = make_model("clip"), make_model("clip")
    adapted._hf_peft_config_loaded = True  # as `add_adapter` does
    sharded.logit_scale.ds_id = 0  # type: ignore[attr-defined]
    for model, names in ((adapted, "adapters"), (sharded, "ZeRO-2"), (torch.nn.Linear(3, 3), "Linear")):
        with pytest.raises(ConfigError, match=names):
            snapshot(model)


def test_two_that_would_publish_to_one_repository_are_refused(tmp_path: Path) -> None:
    callbacks = PublishRevisions(REPO), PublishRevisions("me/other")
    with pytest.raises(ConfigError, match="only one PublishRevisions"):
        trainer(tmp_path, make_model("clip"), *callbacks).train()


@pytest.mark.parametrize("named", [None, "me/other", REPO])
@pytest.mark.parametrize("pushed", [False, True])
def test_a_trainer_that_would_upload_its_folder_with_the_revisions_is_refused(
    tmp_path: Path, hub: HubServer, named: str | None, pushed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.utils.hub._hf_api", None, raising=False)  # of the Hub of another test
    publish = PublishRevisions(REPO, push_to_hub=pushed, private=True)
    run = trainer(tmp_path / "run", make_model("clip"), publish, push_to_hub=True, hub_model_id=named)
    with pytest.raises(
        ConfigError, match=r"push_to_hub uploads all of .*run.*PublishRevisions\(.*push_to_hub=True"
    ):
        run.train()
    assert {"preupload", "lfs-put", "commit"}.isdisjoint(hub.seen)
