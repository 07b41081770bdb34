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

from hf_clipdyn.benchmarks.kind import Benchmark
from hf_clipdyn.cards import CardFacts
from hf_clipdyn.errors import ConfigError, PublishError
from hf_clipdyn.evaluation import evaluate_model
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.live_model import check_processor
from hf_clipdyn.hub import checked_repo_id, valid_repo_name
from hf_clipdyn.progress import library_bars
from hf_clipdyn.revisions import Publisher, Row, epoch_name, step_name
from hf_clipdyn.revisions.folders import Logged, logged_values
from hf_clipdyn.revisions.store import Store
from hf_clipdyn.training import live_weights as live
from hf_clipdyn.training.config import publishing_steps
from hf_clipdyn.training.model import model_facts, unsharded

_log = logging.getLogger(__name__)

_ONE_FILE = sys.maxsize  # bytes per shard: a revision has its weights in one file
_OPENED: dict[Path, tuple[Publisher, State]] = {}
"""The last publisher of each run's folder in this process: a Trainer does not tell its callbacks of an error.

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
    """Calls `take` with the states of the model before training, after each epoch, and after chosen steps.

    A state is taken once the Trainer has logged and evaluated it, at the latest before the next step. A run that stops
    inside an epoch ends with its last step. Data without a length have no epochs: each pass over them ends with its
    last step. What a killed run had not yet taken is taken when it is resumed.
    """

    def __init__(self, steps: str | Sequence[int], processor: Any | None) -> None:
        self._chosen = steps if isinstance(steps, str) else ",".join(map(str, steps))
        self._steps = publishing_steps(self._chosen, 0)
        self._processor = processor
        self._pending: Callable[[], None] | None = None

    def take(self, row: Row, args: Args, state: State, **kwargs: Any) -> None:
        """Do what this callback does with a state of the model. All processes call it."""
        raise NotImplementedError

    def processor(self, *, processing_class: Any | None = None, **_: Any) -> Any | None:
        """The processor that was given, or the Trainer's."""
        return self._processor or processing_class

    def on_train_begin(self, args: Args, state: State, control: Control, **kwargs: Any) -> None:
        """Choose the untrained state, or the one that a resumed run had just reached."""
        self._pending = None  # of an earlier run that broke off
        self._steps = publishing_steps(self._chosen, state.max_steps)
        # With `save_steps`, the Trainer saves a checkpoint before it says that the epoch has ended.
        if state.global_step in self._steps or _ended_epoch(state, **kwargs) is not None:
            self._choose(args, state, **kwargs)

    def on_step_end(self, args: Args, state: State, control: Control, **kwargs: Any) -> None:
        """Choose a step; one that ends an epoch is taken as the epoch."""
        if state.global_step in self._steps and _ended_epoch(state, **kwargs) is None:
            self._choose(args, state, **kwargs)

    def on_epoch_end(self, args: Args, state: State, control: Control, **kwargs: Any) -> None:
        """Choose the epoch, or the last step of a run that stops inside it."""
        if state.global_step not in self._steps or _ended_epoch(state, **kwargs) is not None:
            self._choose(args, state, **kwargs)

    def _choose(self, args: Args, state: State, **kwargs: Any) -> None:
        step, epoch = state.global_step, _ended_epoch(state, **kwargs)
        if step > state.max_steps:
            return  # a Trainer that is resumed at its end takes one step more before it looks
        name = step_name(step) if epoch is None else epoch_name(epoch)
        samples = _samples_seen(args, state, **kwargs)
        row = Row(name=name, epoch=epoch, step=step, samples_seen=samples)
        self._pending = partial(self.take, row, args, state, **kwargs)

    def on_log(self, args: Args, state: State, control: Control, **kwargs: Any) -> None:
        """Take a state that has its loss; its evaluation may follow. A Trainer logs before it loads the best model."""
        if not control.should_evaluate:
            self.flush()

    def flush(self, *_: Any, **__: Any) -> None:
        """Take the state that waits."""
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
        card: contents of the revisions' cards. Default: what the Trainer has.
        processor: published with the weights. Default: the Trainer's ``processing_class``; it warns of neither.
        merge_adapters: of a `PeftModel`, publish copies whose adapters are merged into the weights. While a revision is
            saved, this takes the memory of a second model.

    Raises:
        ConfigError: the Hub accepts no such repository; when training begins, if the model is not a `PreTrainedModel`,
            has adapters without `merge_adapters`, is partitioned by DeepSpeed, or if the Trainer has ``push_to_hub``
            or another such callback.
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
        super().__init__(publish, processor)
        checked_repo_id(repo_id)
        self._repo_id, self._push_to_hub, self._private, self._token = repo_id, push_to_hub, private, token
        self._card, self._merge_adapters = card, merge_adapters
        self._publisher: Publisher | None = None

    def on_train_begin(self, args: Args, state: State, control: Control, **kwargs: Any) -> None:
        """Check the places to publish to, and log where they are."""
        if args.push_to_hub:
            said = f"The Trainer's push_to_hub uploads all of {args.output_dir}, with revisions that may be private"
            raise ConfigError(f"{said}: leave it out, and set PublishRevisions(..., push_to_hub=True).")
        save = self._save(**kwargs)
        if state.is_world_process_zero:
            self._publisher = self._opened(args, state, kwargs["model"], self.processor(**kwargs))
            hub = ", and as branches of the same names on the Hub" if self._push_to_hub else ""
            print(f"{self._repo_id}: revisions are saved as {args.output_dir}/revisions/<name>{hub}.")
            _check_resumed(args, state, save)
        super().on_train_begin(args, state, control, **kwargs)

    def _opened(self, args: Args, state: State, model: Any, processor: Any) -> Publisher:
        folder = Path(str(args.output_dir)).absolute()
        earlier, of_state = _OPENED.get(folder, (None, None))
        if of_state is state:
            raise ConfigError("A Trainer can have only one PublishRevisions: its output_dir has one run.")
        if earlier is not None:  # perhaps `train` ended with an error, as a cell of a notebook does
            earlier.__exit__(None, None, None)
        if processor is None:
            _log.warning(
                "PublishRevisions publishes no processor: give it `processor=…`, as evaluations need one."
            )
        publisher = Publisher(
            folder,
            self._repo_id,
            card=self._card or card_facts(self._repo_id, args, model, processor),
            recipe_hash=recipe_hash(args, model),
            push_to_hub=self._push_to_hub,
            private=args.hub_private_repo if self._private is None else self._private,
            token=self._token or args.hub_token,
        )
        _OPENED[folder] = publisher.__enter__(), state
        return publisher

    def _save(self, *, model: Any, **kwargs: Any) -> Callable[[Path], None]:
        return snapshot(model, self.processor(**kwargs), merge_adapters=self._merge_adapters)

    def take(self, row: Row, args: Args, state: State, **kwargs: Any) -> None:
        """Hand a state to the publisher, with what the Trainer has logged of it."""
        save, recorded = self._save(**kwargs), _recorded(state, kwargs["model"])
        if self._publisher is not None:
            self._publisher.submit(row.model_copy(update=recorded), save, compare=True)

    def on_train_end(self, args: Args, state: State, control: Control, **kwargs: Any) -> None:
        """Wait until every revision is saved and, on request, published; log what is missing and what comes next."""
        self.flush()
        if (publisher := self._publisher) is None:
            return
        summary, self._publisher = publisher.finish(), None
        publisher.__exit__(None, None, None)
        (_log.warning if summary.missing else print)(summary.message)
        for row in publisher.rows():
            if args.load_best_model_at_end and row.step == state.best_global_step:
                print(f"The best revision is {row.name}; main is the last one.")
        print(_next_commands(Path(str(args.output_dir)), kwargs["model"], self.processor(**kwargs)))


def _check_resumed(args: Args, state: State, save: Callable[[Path], None]) -> None:
    """Check that a run continues from the weights of its checkpoint: a Trainer fills missing ones at random.

    Raises:
        PublishError: they differ.
    """
    checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
    if state.global_step == 0 or not any(checkpoint.glob("model*.safetensors")):
        return  # FSDP may save them in another form
    with TemporaryDirectory(prefix="resumed-", dir=args.output_dir) as saved:
        save(Path(saved))
        differing = live.differing_tensors(Path(saved), checkpoint)
    if differing:
        raise PublishError(
            f"The model that resumes does not have the weights of {checkpoint}: {len(differing)} tensors differ, for "
            f"example {differing[0]}. Load it with `from_pretrained` from the checkpoint, and resume that model."
        )


def _next_commands(folder: Path, model: Any, processor: Any) -> str:
    """The two commands that come next: measure and report an image encoder, or list and check any other model."""
    run, table, page = (shlex.quote(str(folder / name)) for name in ("", "results.parquet", "report"))
    if processor is not None and "image" in getattr(live.unwrapped(model), "input_modalities", ()):
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
        UnknownNameError: an unknown benchmark, suite or data set.
        ConfigError: an option is wrong; when training begins, if there is no processor.

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
        >>> measure = EvaluateRevisions("zero_shot/procedural", repo_id="me/colours")
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
        super().__init__(steps, processor)
        # What is wrong is refused now; `evaluate_model` names the model.
        EvaluationConfig(repo_id=Store("not known yet"), benchmarks=benchmarks, **options).check_names()
        self._benchmarks, self._repo_id, self._output, self._options = benchmarks, repo_id, output, options

    def on_train_begin(self, args: Args, state: State, control: Control, **kwargs: Any) -> None:
        """Join the trackers of the Trainer, and measure the model before training."""
        if self.processor(**kwargs) is None:
            raise ConfigError(
                "EvaluateRevisions needs a processor: give it, or the Trainer's processing_class."
            )
        # A callback cannot call `Trainer.log`. A tracker's callback continues the run that is open.
        names = args.report_to if state.is_world_process_zero else []
        self._trackers = [tracker() for tracker in get_reporting_integration_callbacks(names)]
        super().on_train_begin(args, state, control, **kwargs)

    def take(self, row: Row, args: Args, state: State, **kwargs: Any) -> None:
        """Measure a state, and log its numbers."""
        folder, whole = Path(str(args.output_dir)), live.whole_model(kwargs["model"])
        named = self._repo_id or args.hub_model_id or f"local/{valid_repo_name(folder.resolve().name)}"
        facts = row.model_dump(include={"epoch", "step", "samples_seen"})
        facts |= {"repo_id": named, "revision": row.name, "recorded": _recorded(state, whole)}
        facts["output"] = self._output or folder / "results.parquet"
        processor = self.processor(**kwargs)
        table = evaluate_model(whole, processor, self._benchmarks, **facts, **self._options)
        logs = {_log_name(row): row["value"] for row in table if row["role"] == "value"}
        entry = {**logs, "epoch": state.epoch, "step": state.global_step}
        # The log of a run that was resumed where an epoch ends has these numbers already.
        of_step = [other for other in state.log_history if other.get("step") == state.global_step]
        if state.is_world_process_zero and not any(entry.keys() <= other.keys() for other in of_step):
            state.log_history.append(entry)
            for tracker in self._trackers:
                tracker.on_log(args, state, Control(), model=kwargs["model"], logs=dict(logs))


def _log_name(row: dict[str, Any]) -> str:
    """``noise/cifar10/accuracy/gaussian/0.2/projection``: what tells a value from the others of its revision."""
    names = ("kind", "dataset", "metric", "variant", "subset", "condition", "level", "parameter", "layer")
    words = [*(row[name] for name in names if row[name] not in ("", None)), row["probe"]]
    return "/".join(f"{word:g}" if isinstance(word, float) else str(word) for word in words)


def snapshot(
    model: Any, processor: Any | None = None, *, merge_adapters: bool = False
) -> Callable[[Path], None]:
    """A function that writes the model as it is now, for `Publisher.submit`.

    All processes must call `snapshot`. Use the function before the weights change.

    Args:
        model: a `PreTrainedModel`, wrapped by accelerate or not; the weights of a sharded one are gathered here, once.
        processor: an object with `save_pretrained`, written next to the weights; None writes none.
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
    bare, adapters = live.unwrapped(model), live.adapted(model)
    if processor is not None:
        check_processor(processor)
    if adapters is not None and not merge_adapters:
        raise ConfigError(f"The {type(bare).__name__} has adapters: give `merge_adapters=True`.")
    weights = live.gathered(model) if live.is_sharded(model) else None

    def save(folder: Path) -> None:
        with library_bars(False):
            whole = bare if adapters is None else live.merged(model)
            whole.save_pretrained(folder, state_dict=weights, max_shard_size=_ONE_FILE)
        if processor is not None:
            processor.save_pretrained(folder)

    return save


def _ended_epoch(state: State, *, train_dataloader: Any = None, **_: Any) -> int | None:
    """The number of the epoch that has just ended, 0 before training; None inside an epoch."""
    epoch = state.epoch or 0.0
    if state.global_step == 0:
        return 0
    # Without a length, the Trainer counts the whole run as one epoch. Its epoch is a sum of fractions.
    is_whole = has_length(train_dataloader) and abs(epoch - round(epoch)) < 1e-6
    return round(epoch) or None if is_whole else None


def _samples_seen(args: Args, state: State, *, train_dataloader: Any = None, **_: Any) -> int | None:
    """Rows shown so far, repetitions counted; None where the length of an epoch is not known."""
    if not has_length(train_dataloader):
        return None
    batch = state.train_batch_size or args.train_batch_size  # smaller after `auto_find_batch_size`
    per_step = batch * args.gradient_accumulation_steps * args.world_size
    steps = -(-len(train_dataloader) // args.gradient_accumulation_steps)
    per_epoch = steps * per_step if args.dataloader_drop_last else len(train_dataloader.dataset)
    epochs, rest = divmod(state.global_step, steps)
    return int(epochs * per_epoch + rest * per_step)


def _recorded(state: State, model: Any) -> dict[str, Any]:
    """What the Trainer has logged of the state that it has reached, and the factor of its similarities, if any.

    All processes call this: the factor may be sharded.
    """
    logged = logged_values(map(Logged.model_validate, state.log_history), state.global_step)
    scale = getattr(live.unwrapped(model), "logit_scale", None)
    whole = None if scale is None else unsharded(scale.detach())
    return {**logged, "logit_scale": None if whole is None or whole.numel() != 1 else float(whole.exp())}


def card_facts(repo_id: str, args: Args, model: Any, processor: Any | None) -> CardFacts:
    """What the cards of the revisions say by default."""
    names = (*_RECIPE, "num_train_epochs", "max_steps", "gradient_accumulation_steps")
    recipe = {name: getattr(args, name) for name in names}
    recipe |= {"batch size per device": args.train_batch_size, "processes": args.world_size}
    bare = live.unwrapped(model)
    of_model = model_facts(bare, processor)
    of_model["parameters"] -= live.adapter_parameters(model)
    return CardFacts(
        repo_id=repo_id,
        task="zero-shot-image-classification" if hasattr(bare, "get_image_features") else None,
        seed=args.seed,
        recipe={key: str(getattr(one, "value", one)) for key, one in recipe.items() if one not in (None, -1)},
        language=(),
        parents=live.parents_of(model),
        **of_model,
    )


def recipe_hash(args: Args, model: Any) -> str:
    """Name what decides the weights of a step, so that another run is not continued."""
    bare, adapters = live.unwrapped(model), live.adapted(model)
    decisive: dict[str, Any] = {name: str(getattr(args, name)) for name in _RECIPE}
    decisive["batch"] = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    decisive["dtype"] = str(bare.dtype)
    decisive["model"] = {
        name: None if name == "problem_type" else value  # a classifier sets it in its first forward pass
        for name, value in bare.config.to_dict().items()
        if name not in _SAVED
    }
    if adapters is not None:
        decisive["adapters"] = {
            name: {key: value for key, value in vars(one).items() if key not in _ADAPTED}
            for name, one in adapters.peft_config.items()
        }
    text = json.dumps(
        decisive, sort_keys=True, default=lambda one: sorted(one) if isinstance(one, set) else str(one)
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]
