"""Train CLIP from scratch and save every epoch: a run from its configuration to its last revision."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn
from transformers import ProcessorMixin

from hf_clipdyn.cards import CardFacts, Parent
from hf_clipdyn.data.registry import dataset_metadata, dataset_names
from hf_clipdyn.errors import TrainingError, TrainingInterrupted, readable_size, shorten
from hf_clipdyn.files import cached_snapshot, public_name
from hf_clipdyn.models.encoder import read_config
from hf_clipdyn.models.sizes import model_size, siglip_processor
from hf_clipdyn.models.tokenizers import stand_in_tokenizer
from hf_clipdyn.progress import library_bars, say
from hf_clipdyn.revisions import Publisher, epoch_name, step_name
from hf_clipdyn.training.callbacks import (
    Checkpoints,
    Interruption,
    LogFile,
    Progression,
    PublishAverage,
    PublishStates,
    own_callbacks,
)
from hf_clipdyn.training.checkpoint import load_checkpoint, saved_losses
from hf_clipdyn.training.config import TrainingConfig, publishing_steps
from hf_clipdyn.training.device import (
    PLAIN_ATTENTION,
    attention,
    check_attention,
    check_processes,
    draws_bars,
    end_training,
    make_accelerator,
    threads,
)
from hf_clipdyn.training.folder import (
    checkpoint_to_resume,
    continued,
    make_folder,
    output_folder,
    repository,
    resumed_config,
)
from hf_clipdyn.training.gradients import make_backward
from hf_clipdyn.training.inputs import prepare_inputs
from hf_clipdyn.training.loop import Callback, Training
from hf_clipdyn.training.losses import Loss, make_loss
from hf_clipdyn.training.model import (
    TrainedModel,
    build_model,
    load_model,
    model_facts,
    model_folder,
    new_config,
    read_processor,
)
from hf_clipdyn.training.optimizers import build_optimizer, build_schedule
from hf_clipdyn.training.order import DataRecord, RecordData
from hf_clipdyn.training.source import Source


@dataclass(frozen=True)
class TrainingSummary:
    """The result of a run.

    Attributes:
        repo_id: the repository of its revisions.
        folder: of the run; its revisions are the folders below `revisions`.
        published: names of the revisions that all targets have.
        missing: names of the revisions that a target lacks.
        message: the same in sentences.

    Examples:
        >>> from hf_clipdyn import TrainingConfig, train
        >>> config = TrainingConfig(
        ...     scale="tiny",
        ...     dataset_config_name="captions_small",
        ...     max_train_samples=64,
        ...     per_device_train_batch_size=32,
        ...     num_train_epochs=1,
        ...     output_dir="runs/mine",
        ...     quiet=True,
        ... )
        >>> summary = train(config)
        >>> summary.repo_id, summary.missing
        ('local/mine', [])
    """

    repo_id: str
    folder: Path
    published: list[str]
    missing: list[str]
    message: str


def train(config: TrainingConfig, callbacks: Sequence[Callback] = ()) -> TrainingSummary | None:
    """Train a model and save each epoch as a revision; ``epoch-000`` is the initialisation.

    All processes of a launched run call this.

    Args:
        config: configuration of the run.
        callbacks: your own callbacks. They are called after publishing and logging, before a checkpoint is written.

    Returns:
        On the main process what was saved and published; None on the others.

    Raises:
        ConfigError: the configuration contradicts itself or what the output folder contains.
        DatasetError: the training data are absent or unreadable.
        TrainingError: the loss is not finite, the data are broken, or there are too few processes.
        PublishError: revisions cannot be stored at all.
        TrainingInterrupted: SIGINT or SIGTERM came; a checkpoint was written.

    Examples:
        >>> from hf_clipdyn import TrainingConfig, train
        >>> config = TrainingConfig(
        ...     scale="tiny",
        ...     dataset_config_name="captions_small",
        ...     max_train_samples=64,
        ...     per_device_train_batch_size=32,
        ...     num_train_epochs=2,
        ...     output_dir="runs/mine",
        ...     quiet=True,
        ... )
        >>> train(config).published
        ['epoch-000', 'epoch-001', 'epoch-002']
    """
    # What has no such name is refused before anything is written.
    make_loss(config.loss)
    callbacks = [*own_callbacks(), *callbacks]
    folder = output_folder(config)
    checkpoint = checkpoint_to_resume(config, folder)
    with open_session(resumed_config(config, folder, checkpoint)) as session:
        session.config, session.begun = continued(
            session.config, checkpoint, session.accelerator.num_processes
        )
        session.check_attention()
        inputs = prepare_inputs(session.config, session.accelerator, session.given_processor)
        session.config = session.config.but(reading=inputs.reading)
        processor = inputs.processor
        if session.given_processor is None and session.loss.model_type == "siglip":
            processor = siglip_processor(processor)
        training = session.training(session.initial_model(processor), inputs.source, checkpoint)
        source = inputs.source
        left_out = tuple(sorted(source.known_broken))
        record = DataRecord(inputs.fingerprint, inputs.commit, source.global_batch_size, left_out)
        return _Run(session, training, processor, record, folder).complete(callbacks)


@contextmanager
def open_session(config: TrainingConfig) -> Iterator["Session"]:
    """A run in this process, with precision, attention and threads as this machine has them."""
    accelerator = make_accelerator(config, output_folder(config))
    check_processes(accelerator.num_processes)
    bf16 = accelerator.mixed_precision == "bf16"
    attn_implementation = config.attn_implementation or attention(accelerator.device, bf16)
    # One bar, ours, instead of one for each file saved.
    with library_bars(False, of_data=draws_bars(config)), threads(config, accelerator) as num_threads:
        config = config.but(bf16=bf16, attn_implementation=attn_implementation, num_threads=num_threads)
        yield Session(config, accelerator)


@dataclass
class Session:
    """A run in this process, and what it builds from its configuration.

    Attributes:
        config: complete: what it left to the machine is set.
        accelerator: of this process.
        begun: see `hf_clipdyn.training.folder.Continued`.
    """

    config: TrainingConfig
    accelerator: Accelerator
    begun: Mapping[str, Any] = field(default_factory=dict)

    @property
    def config_begun(self) -> TrainingConfig:
        """The configuration with which the run began; its recipe is the run's on every number of processes."""
        return self.config.but(**self.begun)

    @cached_property
    def loss(self) -> Loss:
        """What is minimised."""
        return make_loss(self.config.loss)

    @cached_property
    def given_model(self) -> Path | None:
        """The files of the model that the run continues, fetched by the main process first; None for a new model."""
        if self.config.model is None:
            return None
        with self.accelerator.main_process_first():
            return model_folder(*self.config.model)

    @cached_property
    def given_processor(self) -> ProcessorMixin | None:
        """The processor of the model that the run continues; None for a new model."""
        return None if self.given_model is None else read_processor(self.given_model)

    def check_attention(self) -> None:
        """See `hf_clipdyn.training.device.check_attention`; before data are read, hence without their tokenizer."""
        if self._attn_implementation in PLAIN_ATTENTION:
            return
        if self.given_model is not None:
            model_config = read_config(self.given_model)
        else:
            size = model_size(self.config.scale)
            tokenizer = stand_in_tokenizer(vocab_size=size.vocab_size, context_length=size.context_length)
            model_config = new_config(size, tokenizer, self.loss.model_type)
        check_attention(self._attn_implementation, model_config, self.accelerator)

    @property
    def _attn_implementation(self) -> str:
        return self.config.attn_implementation or "sdpa"

    def initial_model(self, processor: ProcessorMixin) -> TrainedModel:
        """The model before its first step: with random weights that follow from the seed, or the one to continue."""
        config = self.config
        set_seed(config.seed)
        if self.given_model is not None:
            return load_model(
                self.given_model,
                processor,
                self._attn_implementation,
                self.loss.model_type,
                freeze=config.freeze,
                gradient_checkpointing=config.gradient_checkpointing,
            )
        return build_model(
            model_size(config.scale),
            processor,
            self._attn_implementation,
            self.loss.model_type,
            gradient_checkpointing=config.gradient_checkpointing,
        )

    def training(self, initial: TrainedModel, source: Source, checkpoint: Path | None = None) -> Training:
        """The loop, with everything that it steps; in the state of the checkpoint, if there is one."""
        config, accelerator = self.config, self.accelerator
        model: nn.Module = initial
        optimizer = build_optimizer(
            model,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            betas=(0.9, config.adam_beta2),
            eps=1e-6,
        )
        model, optimizer = accelerator.prepare(model, optimizer)
        step, epoch, losses, has_other_processes = 0, 0, list[float](), False
        if checkpoint is not None:
            recipe = self.config_begun.recipe()
            progress = load_checkpoint(accelerator, checkpoint, recipe, source.steps_per_epoch)
            step, epoch, losses = progress.step, progress.epoch, saved_losses(checkpoint, progress)
            has_other_processes = progress.num_processes != accelerator.num_processes
        # The schedule follows from the step. accelerate would unpickle a stored one without restrictions.
        schedule = build_schedule(
            optimizer.optimizer,
            config.num_train_epochs * source.steps_per_epoch,
            warmup_steps=config.warmup_steps,
            min_lr_rate=config.min_lr_rate,
            name=config.lr_scheduler_type,
            arguments=config.schedule_arguments(),
            steps_taken=step,
        )
        backward = make_backward(
            accelerator,
            model,
            self.loss,
            cache_chunk=config.gradient_cache_chunk,
            accumulation_steps=config.gradient_accumulation_steps,
        )
        training = Training(
            accelerator,
            model,
            backward,
            optimizer,
            schedule,
            source,
            epochs=config.num_train_epochs,
            max_grad_norm=config.max_grad_norm,
        )
        training.step, training.epoch, training.resumed_from = step, epoch, checkpoint
        training.has_other_processes = has_other_processes
        training.losses.restore(losses)
        return training


class _Run:
    """A run from its folder to its last revision; the session's configuration names the way of reading."""

    def __init__(
        self,
        session: Session,
        training: Training,
        processor: ProcessorMixin,
        record: DataRecord,
        folder: Path,
    ) -> None:
        self._session, self._config, self._accelerator = session, session.config, session.accelerator
        self._training, self._processor, self._record = training, processor, record
        self._folder = folder
        self._repo_id = repository(session.config)
        self._steps = publishing_steps(session.config.publish, training.total_steps)

    def complete(self, own: Sequence[Callback]) -> TrainingSummary | None:
        """Take the steps and publish; the summary in the main process."""
        config, training, accelerator = self._config, self._training, self._accelerator
        if accelerator.is_main_process:
            make_folder(self._session.config_begun, self._folder)
        accelerator.wait_for_everyone()
        self._start_trackers()
        interruption = Interruption()
        with ExitStack() as stack:
            publishers: list[Publisher] = []
            if accelerator.is_main_process:
                publishers = [stack.enter_context(publisher) for publisher in self._publishers()]
                if not config.quiet:
                    for line in self._beginning():
                        say(line)
            training.run([interruption, *self._callbacks(publishers, own)])
            stopped = interruption.signal if training.epoch < training.epochs else None
            if stopped is not None:
                # A launcher ends all processes when one has left, so none does before the store has its revisions.
                stack.close()
                accelerator.wait_for_everyone()
            step, processes = training.step, accelerator.num_processes
            training.release()
            end_training(accelerator)
            if stopped is not None:
                raise TrainingInterrupted(
                    f"interrupted after step {step}; what was done is kept. "
                    f"Continue with `{continuation(self._folder, processes)}`.",
                    stopped,
                )
            if not publishers:
                return None
            outcomes = [publisher.finish() for publisher in publishers]
            if not config.quiet:
                say(f"Next: clipdyn evaluate {shlex.quote(str(self._folder))}")
            return TrainingSummary(
                repo_id=self._repo_id,
                folder=self._folder,
                published=outcomes[0].published,
                missing=[name for outcome in outcomes for name in outcome.missing],
                message=" ".join(outcome.message for outcome in outcomes),
            )

    def _callbacks(self, publishers: Sequence[Publisher], own: Sequence[Callback]) -> list[Callback]:
        """In the order in which they are called; ``publishers`` is empty in all processes but the main one."""
        config, folder = self._config, self._folder
        of_weights, of_average = (*publishers, None, None)[:2]
        average = []
        if config.ema_decay is not None:
            average = [PublishAverage(of_average, self._processor, self._steps, decay=config.ema_decay)]
        return [
            RecordData(folder, self._record, self._steps, config.dataset[0]),
            PublishStates(of_weights, self._processor, self._steps),
            *average,
            LogFile(folder / "log.jsonl", config.logging_steps, publishers),
            *own,
            Progression(lines=not config.quiet, bar=draws_bars(config)),
            # Last: what the others do after a step is in the checkpoint of that step.
            Checkpoints(
                folder / "checkpoints",
                self._session.config_begun.recipe(),
                1,
                config.save_steps,
            ),
        ]

    def _publishers(self) -> list[Publisher]:
        """One for the weights and, if that is asked for, one for their average; both publish to the same places."""
        config, card = self._config, self._card()
        cards = {self._folder: card}
        if config.ema_decay is not None:
            recipe = {**card.recipe, "ema_decay": config.ema_decay}
            raw = Parent(card.repo_id, same_name=True)
            cards[self._folder / "ema"] = replace(
                card, repo_id=f"{card.repo_id}-ema", recipe=recipe, parents=(raw,), relation="merge"
            )
        return [
            Publisher(
                run,
                facts.repo_id,
                push_to_hub=config.push_to_hub,
                private=config.hub_private_repo,
                card=facts,
                recipe_hash=self._session.config_begun.recipe_hash(),
                planned=self._planned(),
            )
            for run, facts in cards.items()
        ]

    def _planned(self) -> list[str]:
        """The names of all revisions of the run."""
        per_epoch = self._training.source.steps_per_epoch
        names = {epoch * per_epoch: epoch_name(epoch) for epoch in range(self._training.epochs + 1)}
        inside = {step: step_name(step) for step in self._steps if step % per_epoch}
        return [name for _, name in sorted((names | inside).items())]

    def _card(self) -> CardFacts:
        config, source = self._config, self._training.source
        recipe = {
            "dataset": public_name(config.dataset[0]),
            "train_split": config.train_split,
            "images": source.images,
            "loss": config.loss,
            "reading": config.reading,
            "num_train_epochs": config.num_train_epochs,
            "global batch size": source.global_batch_size,
            "optimiser": "adamw_torch",
            "learning_rate": config.learning_rate,
            "weight_decay": config.weight_decay,
            "warmup_steps": config.warmup_steps,
            "precision": "bf16" if config.bf16 else "fp32",
            "attn_implementation": config.attn_implementation,
        }
        if config.model is not None:
            recipe |= {"continues": public_name(config.model[0]), "model_revision": config.model[1]}
        if config.freeze is not None:
            recipe["freeze"] = config.freeze
        name = config.dataset[0]  # a folder or a data set on the Hub is not known to be synthetic
        return CardFacts(
            repo_id=self._repo_id,
            datasets=(public_name(name),),
            scale=config.size_name,
            seed=config.seed,
            arm=config.arm,
            licence=config.license,
            synthetic=name in dataset_names() and dataset_metadata(name).synthetic,
            recipe=recipe,
            parents=self._parents(),
            **model_facts(self._training.unwrapped.encoder, self._processor),
        )

    def _parents(self) -> tuple[Parent, ...]:
        """The model that the run continues, if it has a repository: a path of this machine means nothing to others."""
        config, folder = self._config, self._session.given_model
        cached = None if folder is None else cached_snapshot(folder)
        if cached is None or "/" not in cached[0]:
            return ()
        repo_id, commit = cached
        revision = config.model[1] if config.model is not None and config.model[0] == repo_id else None
        return (Parent(repo_id, revision, commit),)

    def _start_trackers(self) -> None:
        settings = {name: value for name, value in self._config.recipe().items() if value is not None}
        for name in ("dataset_name", "model_name_or_path"):
            if name in settings:
                settings[name] = public_name(settings[name])
        try:
            self._accelerator.init_trackers("hf_clipdyn", settings)
        except Exception as error:  # each tracker has errors of its own: no login, no connection
            cause = shorten(" ".join(str(error).split()), 300)
            raise TrainingError(
                f"The tracker {self._config.report_to} cannot be started ({cause}): set it up, or leave report_to out."
            ) from error

    def _beginning(self) -> list[str]:
        """What the run is about to do, one line for each subject, warnings last."""
        config, training, accelerator = self._config, self._training, self._accelerator
        source, model = training.source, training.unwrapped
        captions = "" if source.captions is None else f" with {source.captions:,} captions"
        left_out = f"; {_count(source.left_out, 'image')} that fill no batch are left out of each"
        parameters = list(model.parameters())
        number = sum(p.numel() for p in parameters)
        trained = sum(p.numel() for p in parameters if p.requires_grad)
        frozen = f" ({trained:,} of them trained)" if trained != number else ""
        size = sum(p.numel() * p.element_size() for p in parameters)
        threads = f", {_count(config.num_threads, 'thread')}" if accelerator.device.type == "cpu" else ""
        revisions = training.epochs + 1 + sum(step % source.steps_per_epoch > 0 for step in self._steps)
        where = f"{self._folder / 'revisions'}{' and on the Hub' * config.push_to_hub}"
        average = (
            f", and as many of the averaged weights as {self._repo_id}-ema"
            if config.ema_decay is not None
            else ""
        )
        begun = f", from step {training.step} on" if training.step else ""
        lines = [
            f"Data: {config.dataset_name}, {_count(source.images, 'image')}{captions} an epoch"
            f"{left_out * bool(source.left_out)}.",
            f"Model: {config.size_name}, {number:,} parameters{frozen}; {accelerator.device.type} in "
            f"{'bf16' if config.bf16 else 'fp32'}, {config.attn_implementation} attention, "
            f"{_count(accelerator.num_processes, 'process')}{threads}.",
            f"Run: {_count(training.epochs, 'epoch')} of {_count(source.steps_per_epoch, 'step')} of "
            f"{_count(source.global_batch_size, 'image')}, {_count(training.total_steps, 'step')} in all{begun}.",
            f"Revisions: {revisions} as {self._repo_id} in {where}{average}, {readable_size(size)} each, "
            f"{readable_size(size * revisions)} in all.",
        ]
        if config.model is not None:
            trained_parts, frozen_parts = (", ".join(parts) for parts in model.parts())
            does_not = f" It does not train {frozen_parts}." if frozen_parts else ""
            lines.insert(
                1, f"The run continues {config.model_name_or_path}. It trains {trained_parts}.{does_not}"
            )
        if config.warmup_steps > training.total_steps:
            lines.append(
                f"Warning: warmup_steps is {config.warmup_steps} and the run has "
                f"{_count(training.total_steps, 'step')}: the learning rate rises until the last step. Lower "
                "warmup_steps, or train for more epochs."
            )
        return lines


def continuation(folder: Path, processes: int) -> str:
    """The command that continues the run in ``folder``."""
    flags = f"--config {shlex.quote(str(folder / 'config.yaml'))} --resume_from_checkpoint true"
    if processes == 1:
        return f"clipdyn train {flags}"
    return f"torchrun --nproc_per_node {processes} scripts/train.py {flags}"


def _count(number: int | None, noun: str) -> str:
    plural = "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{plural * (number != 1)}"
