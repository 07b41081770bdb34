"""What the settings of a Trainer, and the ways to begin, continue and break off its training, make of the revisions."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch.utils.data import IterableDataset
from trained import REPO, Rows, make_model, make_processor, trainer
from transformers import CLIPModel, TrainerCallback

from hf_clipdyn import PublishRevisions, evaluate_model, list_revisions, load_revision, plot, snapshot
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


def served(folder: Path, revision: str) -> dict[str, torch.Tensor]:
    return CLIPModel.from_pretrained(folder / "revisions" / revision).state_dict()


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(
            {"max_steps": 5, "gradient_accumulation_steps": 2, "save_strategy": "no"},
            ["epoch-001", "step-00000005"],
            id="accumulated gradients, no checkpoints",
        ),
        pytest.param(
            {"rows": Stream(24), "max_steps": 7},
            ["step-00000003", "step-00000006", "step-00000007"],
            id="a short stream",
        ),
        pytest.param({"rows": Stream(99), "max_steps": 7}, ["step-00000007"], id="a long stream"),
    ],
)
def test_epochs_are_whole_passes_over_data_with_a_length(
    tmp_path: Path, arguments: dict[str, Any], expected: list[str]
) -> None:
    trainer(tmp_path, make_model("clip"), PublishRevisions(REPO), **arguments).train()
    assert list(steps(tmp_path)) == ["epoch-000", *expected]


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
    assert equal(served(tmp_path, "epoch-001"), run.model.state_dict())
    assert equal(load_revision(tmp_path).state_dict(), served(tmp_path, "epoch-002"))


def test_one_callback_serves_one_trainer_after_another(tmp_path: Path) -> None:
    callback = PublishRevisions(REPO)
    for name in ("one", "two"):
        trainer(tmp_path / name, make_model("clip"), callback, num_train_epochs=1).train()
        assert steps(tmp_path / name) == {"epoch-000": 0, "epoch-001": 5}


def test_a_trainer_with_two_publishing_callbacks_is_refused(tmp_path: Path) -> None:
    callbacks = PublishRevisions(REPO), PublishRevisions("me/other")
    with pytest.raises(ConfigError, match="can have only one PublishRevisions"):
        trainer(tmp_path, make_model("clip"), *callbacks).train()


def test_a_trainer_that_pushes_to_the_same_repository_is_refused(tmp_path: Path) -> None:
    run = trainer(tmp_path, make_model("clip"), PublishRevisions(REPO, push_to_hub=True), hub_model_id=REPO)
    run.args.push_to_hub = True  # its own beginning asks the Hub
    with pytest.raises(ConfigError, match="both push to me/run"):
        run.train()


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


def test_weights_that_save_pretrained_would_not_save_whole_are_refused() -> None:
    model = make_model("clip")
    model._hf_peft_config_loaded = True  # as `add_adapter` does
    with pytest.raises(ConfigError, match="has adapters"):
        snapshot(model)
    model = make_model("clip")
    model.logit_scale.ds_id = 0  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="use FSDP or ZeRO-2"):
        snapshot(model)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: PublishRevisions(None), "The repository is None, which the Hub does not accept"),  # type: ignore[arg-type]
        (lambda: snapshot(None), "a PreTrainedModel of transformers, not a NoneType"),
        (
            lambda: snapshot(make_model("clip"), "me/run"),
            "processor is 'me/run': give an object of transformers",
        ),
        (lambda: evaluate_model(None, None), "model is a NoneType: give a dual encoder or vision model"),
        (lambda: evaluate_model(make_model("clip"), 7), "processor is 7: give an object of transformers"),
        (
            lambda: plot(pd.DataFrame({"a": [1]}), "top1"),
            r"The frame lacks columns \(cell, commit, .*`load_results`",
        ),
    ],
)
def test_arguments_of_other_types_are_one_sentence(call: Callable[[], object], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as found:
        call()
    assert len(str(found.value)) < 300


def test_the_card_names_what_loads_the_tokenizer_and_the_values_of_the_recipe(tmp_path: Path) -> None:
    run = trainer(tmp_path, make_model("language"), PublishRevisions(REPO), max_steps=1)
    run.processing_class = run.callback_handler.processing_class = make_processor().tokenizer
    run.train()
    card = (tmp_path / "revisions" / "step-00000001" / "README.md").read_text()
    assert "GPT2LMHeadModel.from_pretrained" in card
    assert "AutoTokenizer.from_pretrained" in card
    assert "lr_scheduler_type" in card
