"""Callbacks for any `transformers.Trainer`: publish the states of its model as revisions, and measure them.

::

    trainer = Trainer(model, args, train_dataset=data, callbacks=[PublishRevisions("me/run")])
    trainer.train()

Every `PreTrainedModel` works, with the Trainer of transformers and those of TRL, in one process, under DDP and FSDP.
`snapshot` is the part that a loop without a Trainer needs.
"""

import hashlib
import json
import logging
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import TrainerCallback
from transformers import TrainerControl as Control
from transformers import TrainerState as State
from transformers import TrainingArguments as Args
from transformers.integrations.integration_utils import get_reporting_integration_callbacks
from transformers.trainer_utils import has_length

from hf_clipdyn.benchmarks.base import Benchmark
from hf_clipdyn.cards import CardFacts
from hf_clipdyn.errors import ConfigError, PublishError
from hf_clipdyn.evaluation import evaluate_model
from hf_clipdyn.evaluation.live_model import check_processor
from hf_clipdyn.hub import checked_repo_id, valid_repo_name
from hf_clipdyn.progress import library_bars
from hf_clipdyn.revisions import Publisher, Row, epoch_name, step_name
from hf_clipdyn.revisions.folders import Logged, logged_values
from hf_clipdyn.training.config import publishing_steps
from hf_clipdyn.training.live_weights import (
    adapted,
    adapter_parameters,
    differing_tensors,
    gathered,
    is_sharded,
    merged,
    parents_of,
    unwrapped,
    whole_model,
)
from hf_clipdyn.training.model import model_facts, unsharded

_log = logging.getLogger(__name__)

_ONE_FILE = sys.maxsize  # bytes per shard: a revision has its weights in one file
_OPEN: dict[Path, tuple[Publisher, State]] = {}
"""The publisher of each run's folder in this process: a Trainer does not tell its callbacks of an error.

Each call of `train`, and each batch size that ``auto_find_batch_size`` tries, has a state of its own.
"""
_RECIPE = (
    "learning_rate", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm", "lr_scheduler_type",
    "warmup_steps", "optim", "seed", "data_seed", "bf16", "fp16",
)  # fmt: skip
"""What decides the weights of a step, but for the number of epochs: a longer run may continue a shorter one."""
_SAVED = ("_name_or_path", "architectures", "dtype", "transformers_version")
"""What saving or loading a model changes in its configuration."""
_ADAPTED = ("base_model_name_or_path", "inference_mode", "peft_version", "revision")
"""What says of adapters where they come from, not what they are."""


class _StateCallback(TrainerCallback):  # type: ignore[misc]  # not checked, hence Any
    """Calls `take` before training, after each epoch, and after chosen steps.

    It is called once the Trainer has logged and evaluated that state, before the next step. A run that stops inside an
    epoch ends with its last step. Data without a length have no epochs: each pass over them ends with its last step.
    What a killed run had not yet taken is taken when it is resumed.
    """

    def __init__(self, steps: str | Sequence[int]) -> None:
        self._chosen = steps if isinstance(steps, str) else ",".join(map(str, steps))
        self._steps = publishing_steps(self._chosen, 0)
        self._pending: Callable[[], None] | None = None

    def take(self, row: Row, args: Args, state: State, **kwargs: Any) -> None:
        """Do what this callback does with a state of the model. All processes call it."""
        raise NotImplementedError

    def on_train_begin(self, args: Args, state: State, control: Control, **kwargs: Any) -> None:
        """Take the untrained state, or the one that a resumed run had just reached."""
        self._pending = None  # of an earlier run that broke off
        self._steps = publishing_steps(self._chosen, state.max_steps)
        if state.global_step == 0:
            self._take(args, state, control, epoch=0, waits=args.eval_on_start, **kwargs)
        elif _ends_epoch(state, **kwargs):
            # With `save_steps`, the Trainer saves a checkpoint before it says that the epoch has ended.
            self.on_epoch_end(args, state, control, **kwargs)
        else:
            self.on_step_end(args, state, control, **kwargs)

    def on_step_end(self, args: Args, state: State, control: Control, **kwargs: Any) -> None:
        """Take a chosen step; one that ends an epoch is taken as the epoch."""
        if state.global_step in self._steps and not _ends_epoch(state, **kwargs):
            self._take(args, state, control, **kwargs)

    def on_epoch_end(self, args: Args, state: State, control: Control, **kwargs: Any) -> None:
        """Take the epoch, or the last step of a run that stops inside it."""
        if _ends_epoch(state, **kwargs):
            self._take(args, state, control, epoch=round(state.epoch or 0.0), **kwargs)
        elif state.global_step > 0 and state.global_step not in self._steps:
            self._take(args, state, control, **kwargs)

    def _take(
        self,
        args: Args,
        state: State,
        control: Control,
        epoch: int | None = None,
        waits: bool = False,
        **kwargs: Any,
    ) -> None:
        step = state.global_step
        if step > state.max_steps:
            return  # a Trainer that is resumed at its end takes one step more before it looks
        name = step_name(step) if epoch is None else epoch_name(epoch)
        samples = _samples_seen(args, state, kwargs.get("train_dataloader"))
        row = Row(name=name, epoch=epoch, step=step, samples_seen=samples)
        self._pending = partial(self.take, row, args, state, **kwargs)
        if not (waits or control.should_log or control.should_evaluate):
            self.flush()

    def on_log(self, args: Args, state: State, control: Control, **kwargs: Any) -> None:
        """Take a state that has waited for its loss; its evaluation may follow."""
        if not control.should_evaluate and state.global_step > 0:
            self.flush()

    def flush(self, *_: Any, **__: Any) -> None:
        """Take the state that waits, at the latest before its weights change."""
        if (pending := self._pending) is not None:
            self._pending = None
            pending()

    on_evaluate = on_save = on_step_begin = on_train_end = flush


class PublishRevisions(_StateCallback):
    """Publishes the model of a Trainer as revisions: before training, after each epoch, after chosen steps.

    ``epoch-000`` is the model before training, ``epoch-003`` the one after three epochs, ``step-00000512`` the one
    after 512 optimiser steps. A run that stops inside an epoch ends with a revision of its last step. Revisions are the
    folders ``revisions/<name>`` below the Trainer's ``output_dir``, which `from_pretrained` loads. Each is on the disk
    before training continues; a thread sends it to the Hub. The Trainer's ``processing_class`` is published with the
    weights, and the losses, the learning rate and the samples of its log are in the revision's manifest. With
    ``resume_from_checkpoint`` a run continues where it stopped: no revision is published twice, and none is left out. A
    run that starts again without it must reach the same weights.

    Args:
        repo_id: `owner/name`, also the run's name in tables; a bare name is enough without the Hub.
        push_to_hub: publish to the Hub too.
        private: create the repository on the Hub as a private one. Default: the Trainer's ``hub_private_repo``.
        token: token of the Hub. Default: the Trainer's ``hub_token``, then the stored one.
        publish: ``epoch`` for each epoch; ``log2`` for each epoch and steps 1, 2, 4 …; a list of steps ([10, 100]) for
            each epoch and these.
        card: what the cards of the revisions say. Default: what the Trainer knows.
        processor: published with the weights. Default: the Trainer's ``processing_class``. A warning says if there is
            neither.
        merge_adapters: of a `PeftModel`, publish copies whose adapters are merged into the weights. While a revision is
            saved, this takes the memory of a second model.

    Raises:
        ConfigError: the Hub accepts no such repository; when training begins, if the model is not a `PreTrainedModel`,
            has adapters without `merge_adapters`, is partitioned by DeepSpeed, or if something else would publish to
            the same place.
        PublishError: when training begins, if the folder or the repository contains another run; later, if a run that
            started again reaches other weights than the published ones.

    Examples:
        >>> from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments
        >>> from hf_clipdyn import PublishRevisions, list_revisions
        >>> small = GPT2Config(n_layer=1, n_head=2, n_embd=16, vocab_size=64, bos_token_id=0, eos_token_id=1)
        >>> model = GPT2LMHeadModel(small)
        >>> rows = [{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}] * 8
        >>> args = TrainingArguments(
        ...     "runs/trainer", num_train_epochs=2, save_strategy="no", report_to="none", use_cpu=True
        ... )
        >>> trainer = Trainer(model, args, train_dataset=rows, callbacks=[PublishRevisions("me/words")])
        >>> output = trainer.train()  # doctest: +ELLIPSIS
        me/words: revisions are saved as runs/trainer/revisions/<name>.
        {'train_runtime': ...
        >>> [revision.name for revision in list_revisions("runs/trainer")]
        ['epoch-000', 'epoch-001', 'epoch-002']
    """

    def __init__(
        self,
        repo_id: str,
        *,
        push_to_hub: bool = False,
        private: bool | None = None,
        token: str | None = None,
        publish: str | Sequence[int] = "epoch",
        card: CardFacts | None = None,
        processor: Any | None = None,
        merge_adapters: bool = False,
    ) -> None:
        super().__init__(publish)
        checked_repo_id(repo_id)
        if processor is not None:
            check_processor(processor)
        self._repo_id, self._push_to_hub, self._private, self._token = repo_id, push_to_hub, private, token
        self._card, self._processor, self._merge_adapters = card, processor, merge_adapters
        self._publisher: Publisher | None = None

    def on_train_begin(self, args: Args, state: State, control: Control, **kwargs: Any) -> None:
        """Check the places to publish to, and say where they are."""
        model = kwargs["model"]
        unwrapped(model)
        if self._push_to_hub and args.push_to_hub and args.hub_model_id == self._repo_id:
            raise ConfigError(
                f"The Trainer and PublishRevisions would both push to {self._repo_id}: leave out the Trainer's "
                "`push_to_hub`, or give it another `hub_model_id`."
            )
        if state.is_world_process_zero:
            processor = self._processor or kwargs.get("processing_class")
            self._publisher = self._opened(args, state, model, processor)
            hub = ", and as branches of the same names on the Hub" if self._push_to_hub else ""
            print(f"{self._repo_id}: revisions are saved as {args.output_dir}/revisions/<name>{hub}.")
        if state.global_step > 0:
            save = self._save(**kwargs)
            if self._publisher is not None:
                _check_resumed(args, state, save)
        super().on_train_begin(args, state, control, **kwargs)

    def _opened(self, args: Args, state: State, model: Any, processor: Any) -> Publisher:
        folder = Path(str(args.output_dir)).absolute()
        if folder in _OPEN and _OPEN[folder][1] is state:
            raise ConfigError(
                "A Trainer can have only one PublishRevisions, because its output_dir contains one run: "
                "remove the others."
            )
        if processor is None:
            _log.warning(
                "PublishRevisions(%r) publishes no processor: neither AutoProcessor nor an evaluation can read its "
                "revisions. Give it `processor=…`, or give the Trainer `processing_class=…`.",
                self._repo_id,
            )
        _close(folder)  # of an earlier call of `train` that ended with an error, as a cell of a notebook does
        publisher = Publisher(
            folder,
            self._repo_id,
            push_to_hub=self._push_to_hub,
            private=bool(args.hub_private_repo if self._private is None else self._private),
            token=self._token or args.hub_token,
            card=self._card or card_facts(self._repo_id, args, model, processor),
            recipe_hash=recipe_hash(args, model),
        )
        publisher.__enter__()
        _OPEN[folder] = publisher, state
        return publisher

    def _save(self, *, model: Any, processing_class: Any | None = None, **_: Any) -> Callable[[Path], None]:
        return snapshot(model, self._processor or processing_class, merge_adapters=self._merge_adapters)

    def take(self, row: Row, args: Args, state: State, **kwargs: Any) -> None:
        """Hand a state to the publisher, with what the Trainer has logged of it."""
        save, recorded = self._save(**kwargs), _recorded(state, kwargs["model"])
        if self._publisher is not None:
            self._publisher.submit(row.model_copy(update=recorded), save, compare=True)

    def on_train_end(self, args: Args, state: State, control: Control, **kwargs: Any) -> None:
        """Wait until every revision is saved and, if asked for, published; say what is missing and what comes next."""
        self.flush()
        best = state.best_global_step if args.load_best_model_at_end else None
        save = self._save(**kwargs) if best else None
        if self._publisher is None:
            return
        summary = self._publisher.finish()
        if summary.missing:
            _log.warning("%s", summary.message)
        else:
            print(summary.message)
        for row in self._publisher.rows():
            if save is not None and row.step == best:
                _say_best(self._publisher, row, save)
        folder, self._publisher = Path(str(args.output_dir)), None
        _close(folder.absolute())
        print(_next_commands(folder, kwargs["model"], self._processor or kwargs.get("processing_class")))


def _say_best(publisher: Publisher, row: Row, save: Callable[[Path], None]) -> None:
    """Name the best revision, whose weights the Trainer has loaded into its model at the end."""
    try:
        publisher.submit(row, save, compare=True)
    except PublishError:
        _log.warning(
            "The Trainer's model does not have the weights of the best revision, %s: the Trainer did not load all of "
            "them. Load that revision with `from_pretrained`.",
            row.name,
        )
    else:
        print(f"The best revision is {row.name}; main is the last one.")


def _close(folder: Path) -> None:
    if folder in _OPEN:
        publisher, _ = _OPEN.pop(folder)
        publisher.__exit__(None, None, None)


def _check_resumed(args: Args, state: State, save: Callable[[Path], None]) -> None:
    """Check that a run continues from the weights of its checkpoint: a Trainer fills missing ones at random.

    Raises:
        PublishError: they differ.
    """
    named = args.resume_from_checkpoint
    folder = Path(named if named and Path(named).is_dir() else args.output_dir)
    checkpoint = (
        folder if folder.name.startswith("checkpoint-") else folder / f"checkpoint-{state.global_step}"
    )
    if not any(checkpoint.glob("model*.safetensors")):  # FSDP may save them in another form
        return
    with TemporaryDirectory(prefix="resumed-", dir=args.output_dir) as saved:
        save(Path(saved))
        differing = differing_tensors(Path(saved), checkpoint)
    if differing:
        raise PublishError(
            f"The model that resumes at step {state.global_step} does not have the weights of {checkpoint}: "
            f"{len(differing)} tensors differ, for example {differing[0]}. The Trainer did not load all of them: load "
            "it with `from_pretrained` from the checkpoint, and resume that model."
        )


def _next_commands(folder: Path, model: Any, processor: Any) -> str:
    """The two commands that come next: measure and report an image encoder, or list and check any other model."""
    run, table, page = (shlex.quote(str(folder / name)) for name in ("", "results.parquet", "report"))
    if processor is not None and "image" in getattr(unwrapped(model), "input_modalities", ()):
        return f"Next: clipdyn evaluate {run} --output {table}\n      clipdyn report {table} --output {page}"
    return f"Next: clipdyn revisions {run}\n      clipdyn verify {run}"


class EvaluateRevisions(_StateCallback):
    """Measures benchmarks on the model of a Trainer: before training, after each epoch, and after chosen steps.

    The numbers go to the Trainer's trackers, to its ``log_history``, and to one table, where revisions have the names
    that `PublishRevisions` gives. States that are in the table are not measured again. Measuring changes no random
    state and no weight, so that the run is the same without it. A sharded model is gathered into a copy.

    Args:
        benchmarks: as in `hf_clipdyn.evaluate_revisions`. Default: the suite.
        repo_id: the run's name in the table. Default: the Trainer's ``hub_model_id``, else the name of its folder.
        output: the table. Default: ``results.parquet`` below the Trainer's ``output_dir``.
        steps: when to measure, as ``publish`` of `PublishRevisions`.
        processor: processor of the model. Default: the Trainer's ``processing_class``.
        options: further arguments of `hf_clipdyn.evaluate_model`.

    Raises:
        ConfigError: when training begins, if there is no processor.

    Examples:
        >>> from PIL import Image
        >>> from transformers import CLIPModel, CLIPProcessor, Trainer, TrainingArguments
        >>> from hf_clipdyn import EvaluateRevisions, load_results
        >>> model = CLIPModel.from_pretrained("runs/demo/revisions/epoch-000")
        >>> processor = CLIPProcessor.from_pretrained("runs/demo/revisions/epoch-000")
        >>> images = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
        >>> batch = processor(
        ...     images=images, text=["red", "blue"], padding="max_length", truncation=True, return_tensors="pt"
        ... )
        >>> measure = EvaluateRevisions("zero_shot/procedural", repo_id="me/colours", n_resamples=0)
        >>> args = TrainingArguments(
        ...     "runs/colours", num_train_epochs=1, save_strategy="no", report_to="none", use_cpu=True
        ... )
        >>> trainer = Trainer(
        ...     model, args, train_dataset=[{}, {}], data_collator=lambda rows: {**batch, "return_loss": True},
        ...     processing_class=processor, callbacks=[measure],
        ... )
        >>> output = trainer.train()  # doctest: +ELLIPSIS
        {'train_runtime': ...}
        >>> list(dict.fromkeys(load_results("runs/colours/results.parquet")["revision"]))
        ['epoch-000', 'epoch-001']
    """

    def __init__(
        self,
        benchmarks: str | Benchmark | Sequence[str | Benchmark] | None = None,
        *,
        repo_id: str | None = None,
        output: str | Path | None = None,
        steps: str | Sequence[int] = "epoch",
        processor: Any | None = None,
        **options: Any,
    ) -> None:
        super().__init__(steps)
        self._benchmarks, self._repo_id, self._output = benchmarks, repo_id, output
        self._processor, self._options = processor, options
        self._trackers: list[TrainerCallback] = []

    def on_train_begin(self, args: Args, state: State, control: Control, **kwargs: Any) -> None:
        """Join the trackers of the Trainer, and measure the model before training."""
        # A callback cannot call `Trainer.log`. A tracker's callback continues the run that is open.
        if state.is_world_process_zero:
            self._trackers = [tracker() for tracker in get_reporting_integration_callbacks(args.report_to)]
        super().on_train_begin(args, state, control, **kwargs)

    def take(self, row: Row, args: Args, state: State, **kwargs: Any) -> None:
        """Measure a state, and log its numbers."""
        processor = self._processor or kwargs.get("processing_class")
        if processor is None:
            raise ConfigError(
                "EvaluateRevisions needs a processor: give `processor`, or the Trainer's `processing_class`."
            )
        folder, whole = Path(str(args.output_dir)), whole_model(kwargs["model"])
        table = evaluate_model(
            whole,
            processor,
            self._benchmarks,
            repo_id=self._repo_id or args.hub_model_id or f"local/{valid_repo_name(folder.resolve().name)}",
            revision=row.name,
            **row.model_dump(include={"epoch", "step", "samples_seen"}),
            recorded=_recorded(state, whole),
            output=self._output or folder / "results.parquet",
            **self._options,
        )
        logs = {_log_name(row): row["value"] for row in table if row["role"] == "value"}
        if state.is_world_process_zero and not _is_logged(logs, state):
            state.log_history.append({**logs, "epoch": state.epoch, "step": state.global_step})
            for tracker in self._trackers:
                tracker.on_log(args, state, Control(), model=kwargs["model"], logs=dict(logs))


def _log_name(row: dict[str, Any]) -> str:
    """``noise/cifar10/accuracy/gaussian/0.2/projection``: what tells a value from the others of its revision."""
    names = ("kind", "dataset", "metric", "variant", "subset", "condition", "level", "parameter", "layer")
    words = [*(row[name] for name in names if row[name] not in ("", None)), row["probe"]]
    return "/".join(f"{word:g}" if isinstance(word, float) else str(word) for word in words)


def _is_logged(logs: dict[str, Any], state: State) -> bool:
    """Whether the log has these numbers already, as that of a run which was resumed where an epoch ends."""
    step = state.global_step
    return any(entry.get("step") == step and logs.keys() <= entry.keys() for entry in state.log_history)


def snapshot(
    model: Any, processor: Any | None = None, *, merge_adapters: bool = False
) -> Callable[[Path], None]:
    """A function that writes the model as it is now, for `Publisher.submit`.

    All processes must call `snapshot`. Use the function before the weights change.

    Args:
        model: a `PreTrainedModel`, wrapped by accelerate or not; the weights of a sharded one are gathered here, once.
        processor: an object with `save_pretrained`, written beside the weights; None writes none.
        merge_adapters: of a `PeftModel`, write a copy whose adapters are merged into the weights.

    Returns:
        A function of a folder, which writes configuration, weights and processor there.

    Raises:
        ConfigError: the model is no `PreTrainedModel` or has adapters that are not merged, its weights are partitioned
            by DeepSpeed, or the processor cannot be saved.

    Examples:
        >>> from pathlib import Path
        >>> from transformers import GPT2Config, GPT2LMHeadModel
        >>> from hf_clipdyn import snapshot
        >>> small = GPT2Config(n_layer=1, n_head=2, n_embd=16, vocab_size=64, bos_token_id=0, eos_token_id=1)
        >>> model = GPT2LMHeadModel(small)
        >>> save = snapshot(model)
        >>> folder = Path("copy")
        >>> folder.mkdir()
        >>> save(folder)
        >>> (folder / "model.safetensors").is_file()
        True
    """
    bare = unwrapped(model)
    if processor is not None:
        check_processor(processor)
    adapters = adapted(model)
    if adapters is not None and not merge_adapters:
        raise ConfigError(
            f"The {type(bare).__name__} has adapters, and only these would be saved: give `merge_adapters=True` to "
            "publish merged copies."
        )
    weights = gathered(model) if is_sharded(model) else None

    def save(folder: Path) -> None:
        with library_bars(False):
            whole = bare if adapters is None else merged(model)
            whole.save_pretrained(folder, state_dict=weights, max_shard_size=_ONE_FILE)
        if processor is not None:
            processor.save_pretrained(folder)

    return save


def _ends_epoch(state: State, *, train_dataloader: Any = None, **_: Any) -> bool:
    epoch = state.epoch or 0.0
    if not has_length(train_dataloader):
        return False  # the Trainer then counts the whole run as one epoch
    return epoch > 0 and abs(epoch - round(epoch)) < 1e-6  # a sum of fractions of an epoch


def _samples_seen(args: Args, state: State, loader: Any) -> int | None:
    """Rows shown so far, repetitions counted; None where the length of an epoch is not known."""
    batch = state.train_batch_size or args.train_batch_size  # smaller after `auto_find_batch_size`
    per_step = batch * args.gradient_accumulation_steps * args.world_size
    try:
        per_epoch = len(loader.dataset)
        steps = -(-len(loader) // args.gradient_accumulation_steps)
    except (AttributeError, TypeError):
        return None
    if args.dataloader_drop_last:
        return int(state.global_step * per_step)
    epochs, rest = divmod(state.global_step, steps)
    return int(epochs * per_epoch + rest * per_step)


def _recorded(state: State, model: Any) -> dict[str, Any]:
    """What the Trainer has logged of the state that it has reached, and the factor of its similarities, if any.

    All processes call this: the factor may be sharded.
    """
    logged = logged_values(map(Logged.model_validate, state.log_history), state.global_step)
    scale = getattr(unwrapped(model), "logit_scale", None)
    whole = None if scale is None else unsharded(scale.detach())
    return {**logged, "logit_scale": None if whole is None or whole.numel() != 1 else float(whole.exp())}


def card_facts(repo_id: str, args: Args, model: Any, processor: Any | None) -> CardFacts:
    """What the cards of the revisions say by default."""
    names = (*_RECIPE, "num_train_epochs", "max_steps", "gradient_accumulation_steps")
    recipe = {name: getattr(args, name) for name in names}
    recipe |= {"batch size per device": args.train_batch_size, "processes": args.world_size}
    bare = unwrapped(model)
    of_model = model_facts(bare, processor)
    return CardFacts(
        repo_id=repo_id,
        task="zero-shot-image-classification" if hasattr(bare, "get_image_features") else None,
        seed=args.seed,
        recipe={key: str(getattr(one, "value", one)) for key, one in recipe.items() if one not in (None, -1)},
        language=(),
        parents=parents_of(model),
        **of_model | {"parameters": of_model["parameters"] - adapter_parameters(model)},
    )


def recipe_hash(args: Args, model: Any) -> str:
    """Name what decides the weights of a step, so that a journal of another run is not continued."""
    bare, adapters = unwrapped(model), adapted(model)
    decisive: dict[str, Any] = {name: str(getattr(args, name)) for name in _RECIPE}
    decisive["batch"] = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    settings = bare.config.to_dict()
    if "problem_type" in settings:
        settings["problem_type"] = None  # a classifier sets it in its first forward pass
    decisive["model"] = {name: value for name, value in settings.items() if name not in _SAVED}
    decisive["dtype"] = str(bare.dtype)
    if adapters is not None:
        decisive["adapters"] = {
            name: {key: value for key, value in vars(one).items() if key not in _ADAPTED}
            for name, one in adapters.peft_config.items()
        }
    text = json.dumps(
        decisive, sort_keys=True, default=lambda one: sorted(one) if isinstance(one, set) else str(one)
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]
