"""Revisions of any `transformers.Trainer` run: a callback that publishes the states of the model.

::

    trainer = Trainer(model, args, train_dataset=data, callbacks=[PublishRevisions("me/run")])
    trainer.train()

Every `PreTrainedModel` works, with the Trainer of transformers and those of TRL, on one process, under DDP and FSDP.
"""

import hashlib
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.modeling_utils import unwrap_model

from hf_clipdyn.cards import CardFacts
from hf_clipdyn.errors import ConfigError
from hf_clipdyn.revisions import Publisher, RevisionRecord, epoch_name, step_name
from hf_clipdyn.training.callbacks import publishing_steps

__all__ = ["PublishRevisions"]

_log = logging.getLogger(__name__)

_ONE_FILE = sys.maxsize  # bytes per shard: a revision has its weights in one file
# What decides the weights of a step. The number of epochs is not here: a longer run continues a shorter one.
_RECIPE = (
    "learning_rate",
    "weight_decay",
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "max_grad_norm",
    "lr_scheduler_type",
    "warmup_steps",
    "optim",
    "seed",
    "data_seed",
    "bf16",
    "fp16",
)


class PublishRevisions(TrainerCallback):
    """Publishes the model of a Trainer as revisions: as it came, after each epoch, and after chosen steps.

    ``epoch-000`` is the model as it came, ``epoch-003`` the one after three epochs, ``step-00000512`` the one after
    512 optimiser steps. A run that stops inside an epoch ends with a revision of its last step. What is published is
    on the disk before training goes on; threads copy it to the store and the Hub. The Trainer's ``processing_class``
    is published with the weights. With ``resume_from_checkpoint`` the run goes on where it was: no revision is
    published twice, and none is left out.

    Args:
        repo_id: `owner/name`; a bare name is enough for the local store.
        store: folder of the local store, the ``cache_dir`` of `from_pretrained`. Default: ``hub`` below the Trainer's
            ``output_dir``.
        push_to_hub: publish to the Hub too.
        private: create the repository on the Hub as a private one. Default: the Trainer's ``hub_private_repo``.
        token: token of the Hub. Default: the Trainer's ``hub_token``, then the stored one.
        publish: ``epoch``, or additionally ``log2`` (steps 1, 2, 4 …) or numbers of steps as ``10,100,1000``.
        card: what the cards of the revisions say. Default: what the Trainer knows.

    Raises:
        ConfigError: at the beginning of training, the model is no `PreTrainedModel`.
        PublishError: at the beginning of training, the folder or the repository holds another run.
    """

    def __init__(
        self,
        repo_id: str,
        *,
        store: str | Path | None = None,
        push_to_hub: bool = False,
        private: bool | None = None,
        token: str | None = None,
        publish: str = "epoch",
        card: CardFacts | None = None,
    ) -> None:
        self._repo_id, self._store, self._push_to_hub = repo_id, store, push_to_hub
        self._private, self._token, self._publish, self._card = private, token, publish, card
        self._publisher: Publisher | None = None
        self._steps: set[int] = set()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Open the journal, and publish the model as it came, or what a killed run had not yet handed in."""
        model = _unwrapped(kwargs["model"])
        self._steps = publishing_steps(self._publish, state.max_steps)
        if state.is_world_process_zero:
            self._open(args, model)
        if state.global_step == 0:
            self._hand_in(epoch_name(0), 0, args, state, **kwargs)
        elif _ends_epoch(state):  # a checkpoint may be older than the end of its epoch by one event
            self.on_epoch_end(args, state, control, **kwargs)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Publish a chosen step; one that ends an epoch is published as the epoch."""
        if state.global_step in self._steps and not _ends_epoch(state):
            self._hand_in(step_name(state.global_step), None, args, state, **kwargs)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Publish the epoch, or the last step of a run that stops inside it."""
        if _ends_epoch(state):
            epoch = round(state.epoch)
            self._hand_in(epoch_name(epoch), epoch, args, state, **kwargs)
        elif state.global_step > 0:
            self._hand_in(step_name(state.global_step), None, args, state, **kwargs)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Wait until every revision is published, and say what is not."""
        if self._publisher is not None:
            summary = self._publisher.finish()
            self._close()
            _log.log(logging.WARNING if summary.missing else logging.INFO, "%s", summary.message)

    def _open(self, args: TrainingArguments, model: PreTrainedModel) -> None:
        self._close()  # of an earlier call of `train` that ended with an error
        folder = Path(args.output_dir)
        publisher = Publisher(
            self._repo_id,
            output_dir=folder,
            store=folder / "hub" if self._store is None else Path(self._store),
            push_to_hub=self._push_to_hub,
            token=self._token or args.hub_token,
            private=bool(args.hub_private_repo if self._private is None else self._private),
            card=self._card or _card(self._repo_id, args, model),
            recipe_hash=_recipe_hash(args, model),
        )
        self._publisher = publisher.__enter__()
        try:
            publisher.check()
        except BaseException:
            self._close()
            raise

    def _close(self) -> None:
        if self._publisher is not None:
            self._publisher.__exit__(None, None, None)
            self._publisher = None

    def _hand_in(
        self, name: str, epoch: int | None, args: TrainingArguments, state: TrainerState, **kwargs: Any
    ) -> None:
        save = snapshot(kwargs["model"], kwargs.get("processing_class"))
        if self._publisher is not None:
            samples = _samples_seen(args, state, kwargs.get("train_dataloader"))
            self._publisher.submit(RevisionRecord(name, epoch, state.global_step, samples), save)


def snapshot(model: Any, processor: Any | None) -> Callable[[Path], None]:
    """What writes a model as it is now, as `from_pretrained` reads it. All processes call this.

    Args:
        model: wrapped or not; the weights of a sharded one are gathered here, once.
        processor: what has `save_pretrained`, written beside the weights; None writes none.
    """
    bare = _unwrapped(model)
    weights = _gathered(model) if _is_sharded(model) else None

    def save(folder: Path) -> None:
        bare.save_pretrained(folder, state_dict=weights, max_shard_size=_ONE_FILE)
        if processor is not None:
            processor.save_pretrained(folder)

    return save


def _unwrapped(model: Any) -> PreTrainedModel:
    bare = unwrap_model(model, recursive=True)
    bare = getattr(bare, "_orig_mod", bare)  # of torch.compile
    if not isinstance(bare, PreTrainedModel):
        raise ConfigError(
            f"PublishRevisions publishes a PreTrainedModel of transformers, not a {type(bare).__name__}: "
            "merge adapters into their model, or publish with `hf_clipdyn.Publisher`."
        )
    return bare


def _is_sharded(model: Any) -> bool:
    return any(isinstance(one, FullyShardedDataParallel) for one in model.modules()) or any(
        isinstance(one, DTensor) for one in model.parameters()
    )


def _gathered(model: Any) -> dict[str, torch.Tensor]:
    return get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))


def _ends_epoch(state: TrainerState) -> bool:
    return state.epoch > 0 and abs(state.epoch - round(state.epoch)) < 1e-6  # a sum of fractions of an epoch


def _samples_seen(args: TrainingArguments, state: TrainerState, loader: Any | None) -> int | None:
    """Rows shown so far, repetitions counted; None where the length of an epoch is not known."""
    per_step = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    try:
        per_epoch, steps = len(loader.dataset), -(-len(loader) // args.gradient_accumulation_steps)
    except (AttributeError, TypeError):
        return None
    if args.dataloader_drop_last:
        return state.global_step * per_step
    epochs, rest = divmod(state.global_step, steps)
    return int(epochs * per_epoch + rest * per_step)


def _card(repo_id: str, args: TrainingArguments, model: PreTrainedModel) -> CardFacts:
    recipe = {name: getattr(args, name) for name in _RECIPE} | {
        "num_train_epochs": args.num_train_epochs,
        "max_steps": args.max_steps,
        "batch size per device": args.train_batch_size,
        "gradient_accumulation_steps": args.gradient_accumulation_steps,
        "processes": args.world_size,
    }
    return CardFacts(
        repo_id=repo_id,
        parameters=sum(one.numel() for one in model.parameters()),
        seed=args.seed,
        recipe={name: str(value) for name, value in recipe.items() if value not in (None, -1)},
        language=(),
    )


def _recipe_hash(args: TrainingArguments, model: PreTrainedModel) -> str:
    """Names what decides the weights of a step, so that a journal of another run is not continued."""
    decisive: dict[str, Any] = {name: str(getattr(args, name)) for name in _RECIPE}
    decisive["batch"] = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    decisive["model"] = {
        key: value for key, value in model.config.to_dict().items() if key not in ("_name_or_path", "transformers_version")
    }
    text = json.dumps(decisive, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
