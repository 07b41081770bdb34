"""Train CLIP from scratch and publish every epoch: a run from its configuration to its last revision."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import datasets
import transformers
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn
from transformers import ProcessorMixin

from hf_clipdyn.cards import CardFacts
from hf_clipdyn.config import TrainingConfig, publishing_steps
from hf_clipdyn.data.registry import dataset_metadata, dataset_names
from hf_clipdyn.errors import ConfigError, TrainingError, TrainingInterrupted, shorten
from hf_clipdyn.models.sizes import model_size, siglip_processor
from hf_clipdyn.revisions import Publisher
from hf_clipdyn.training.callbacks import (
    Checkpoints,
    LogFile,
    Progression,
    PublishStates,
    own_callbacks,
)
from hf_clipdyn.training.checkpoint import load_checkpoint, saved_losses
from hf_clipdyn.training.device import check_processes, end_training, make_accelerator, settled
from hf_clipdyn.training.ema import PublishAverage
from hf_clipdyn.training.folder import (
    as_begun,
    checkpoint_to_resume,
    make_folder,
    output_folder,
    repository,
)
from hf_clipdyn.training.gradients import make_backward
from hf_clipdyn.training.inputs import prepare_inputs
from hf_clipdyn.training.interruption import Interruption
from hf_clipdyn.training.loop import Callback, Training
from hf_clipdyn.training.losses import Loss, make_loss
from hf_clipdyn.training.model import (
    TrainedModel,
    build_model,
    load_model,
    model_folder,
    read_processor,
)
from hf_clipdyn.training.optimizers import build_optimizer, build_schedule, check_optimizer
from hf_clipdyn.training.source import Source
from hf_clipdyn.training.statements import beginning, continuation, draws_bars, next_command, say

__all__ = ["TrainingSummary", "initial_model", "prepare_training", "starting_folder", "train"]


@dataclass(frozen=True)
class TrainingSummary:
    """The result of a run.

    Attributes:
        repo_id: the repository of its revisions.
        store: folder of the local store.
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
    store: Path
    published: list[str]
    missing: list[str]
    message: str


def train(config: TrainingConfig, callbacks: Sequence[Callback] = ()) -> TrainingSummary | None:
    """Train a model and publish each epoch; ``epoch-000`` is the initialisation.

    All processes of a launched run call this.

    Args:
        config: configuration of the run.
        callbacks: your own callbacks. They are called after publishing and logging, before a checkpoint is written.

    Returns:
        On the main process what was published; None on the others.

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
    if config.dry_run:
        raise ConfigError(
            "dry_run is set, but `train` would write: call hf_clipdyn.training.dry_run instead."
        )
    # What has no such name is refused before anything is written.
    loss = make_loss(config.loss)
    check_optimizer(config.optim)
    callbacks = [*own_callbacks(), *callbacks]
    folder = output_folder(config)
    transformers.utils.logging.disable_progress_bar()  # one bar, ours, instead of one for each file saved
    if not draws_bars(config):
        datasets.disable_progress_bars()
    checkpoint = checkpoint_to_resume(config, folder)
    config = as_begun(config, folder, checkpoint)
    accelerator = make_accelerator(config, folder)
    check_processes(config, accelerator.num_processes)
    with settled(config, accelerator) as config:
        begin = starting_folder(config, accelerator)
        given = None if begin is None else read_processor(begin)
        inputs = prepare_inputs(config, model_size(config.scale), accelerator, given)
        config = replace(config, reading=inputs.reading)
        processor = inputs.processor
        if given is None and loss.model_type == "siglip":
            processor = siglip_processor(processor)
        model = initial_model(config, loss, processor, begin)
        training = prepare_training(config, accelerator, loss, model, inputs.source, checkpoint)
        return _run(config, training, processor, folder, callbacks)


def starting_folder(config: TrainingConfig, accelerator: Accelerator) -> Path | None:
    """The files of the model that a run continues, fetched by the main process first; None for a new model."""
    if config.model_name_or_path is None:
        return None
    with accelerator.main_process_first():
        return model_folder(
            config.model_name_or_path, config.model_revision, config.model_store, config.hub_token
        )


def initial_model(
    config: TrainingConfig, loss: Loss, processor: ProcessorMixin, begin: Path | None
) -> TrainedModel:
    """The model before its first step: with random weights that follow from the seed, or as ``begin`` holds it."""
    set_seed(config.seed)
    attn_implementation = config.attn_implementation or "sdpa"
    if begin is not None:
        return load_model(
            begin,
            processor,
            attn_implementation,
            loss.model_type,
            freeze=config.freeze,
            gradient_checkpointing=config.gradient_checkpointing,
        )
    return build_model(
        model_size(config.scale),
        processor,
        attn_implementation,
        loss.model_type,
        gradient_checkpointing=config.gradient_checkpointing,
    )


def prepare_training(
    config: TrainingConfig,
    accelerator: Accelerator,
    loss: Loss,
    initial: TrainedModel,
    source: Source,
    checkpoint: Path | None = None,
) -> Training:
    """The loop, with everything that it steps; as the checkpoint holds it, if there is one."""
    model: nn.Module = initial
    optimizer = build_optimizer(
        model,
        config.optim,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        betas=(config.adam_beta1, config.adam_beta2),
        eps=config.adam_epsilon,
    )
    model, optimizer = accelerator.prepare(model, optimizer)
    step, epoch, losses = 0, 0, list[float]()
    if checkpoint is not None:
        progress = load_checkpoint(
            accelerator, checkpoint, config.recipe(), accelerator.num_processes, source.steps_per_epoch
        )
        step, epoch, losses = progress.step, progress.epoch, saved_losses(checkpoint, progress)
    # The schedule follows from the step. accelerate would unpickle a stored one without restrictions.
    schedule = build_schedule(
        optimizer.optimizer,
        config.num_train_epochs * source.steps_per_epoch,
        warmup_steps=config.warmup_steps,
        min_lr_rate=config.min_lr_rate,
        steps_taken=step,
    )
    training = Training(
        accelerator,
        model,
        make_backward(
            accelerator,
            model,
            loss,
            cache_chunk=config.gradient_cache_chunk,
            accumulation_steps=config.gradient_accumulation_steps,
        ),
        optimizer,
        schedule,
        source,
        epochs=config.num_train_epochs,
        max_grad_norm=config.max_grad_norm,
    )
    training.step, training.epoch, training.resumed_from = step, epoch, checkpoint
    training.losses.restore(losses)
    return training


def _run(
    config: TrainingConfig,
    training: Training,
    processor: ProcessorMixin,
    folder: Path,
    callbacks: Sequence[Callback],
) -> TrainingSummary | None:
    """The run's folder, its publisher, its callbacks and its steps."""
    accelerator = training.accelerator
    if accelerator.is_main_process:
        make_folder(config, folder)
    accelerator.wait_for_everyone()
    _start_trackers(config, accelerator)
    repo_id, interruption = repository(config), Interruption()
    steps = publishing_steps(config.publish, training.total_steps)
    with ExitStack() as stack:
        publishers: list[Publisher] = []
        if accelerator.is_main_process:
            publishers = [
                stack.enter_context(one)
                for one in _publishers(config, _card_facts(config, training, processor), folder)
            ]
            for one in publishers:
                one.check()
            for line in beginning(config, training, folder, repo_id, steps) * (not config.quiet):
                say(line)
        training.run(
            [
                interruption,
                *_publishing(publishers, processor, steps, config.ema_decay),
                LogFile(folder / "log.jsonl", config.logging_steps, publishers),
                *callbacks,
                Progression(lines=not config.quiet, bar=draws_bars(config)),
                # Last: what the others do after a step is in the checkpoint of that step.
                Checkpoints(
                    folder / "checkpoints", config.recipe(), config.save_total_limit, config.save_steps
                ),
            ]
        )
        stopped = interruption.signal if training.epoch < training.epochs else None
        if stopped is not None:
            # A launcher ends all processes when one has left, hence none does before the store has its revisions.
            stack.close()
            accelerator.wait_for_everyone()
        step, processes = training.step, accelerator.num_processes
        training.let_go()
        end_training(accelerator)
        if stopped is not None:
            raise TrainingInterrupted(
                f"interrupted after step {step}; what was done is kept. "
                f"Continue with `{continuation(folder, processes)}`.",
                stopped,
            )
        if not publishers:
            return None
        outcomes = [one.finish() for one in publishers]
        if not config.quiet:
            say(f"Next: {next_command(repo_id, folder / 'hub')}")
        return TrainingSummary(
            repo_id=repo_id,
            store=folder / "hub",
            published=outcomes[0].published,
            missing=[name for outcome in outcomes for name in outcome.missing],
            message=" ".join(outcome.message for outcome in outcomes),
        )


def _publishers(config: TrainingConfig, card: CardFacts, folder: Path) -> list[Publisher]:
    """One for the weights and, if that is asked for, one for their average; both publish to the same places."""
    journals = {folder: card}
    if config.ema_decay is not None:
        recipe = {**card.recipe, "ema_decay": config.ema_decay}
        journals[folder / "ema"] = replace(card, repo_id=f"{card.repo_id}-ema", recipe=recipe)
    return [
        Publisher(
            facts.repo_id,
            output_dir=journal,
            store=folder / "hub",
            push_to_hub=config.push_to_hub,
            token=config.hub_token,
            private=config.hub_private_repo,
            card=facts,
            recipe_hash=config.recipe_hash(),
        )
        for journal, facts in journals.items()
    ]


def _publishing(
    publishers: Sequence[Publisher], processor: ProcessorMixin, steps: set[int], ema_decay: float | None
) -> list[Callback]:
    """What publishes the states; ``publishers`` is empty in all processes but the main one."""
    of_weights, of_average = (*publishers, None, None)[:2]
    callbacks: list[Callback] = [PublishStates(of_weights, processor, steps)]
    if ema_decay is not None:
        callbacks.append(PublishAverage(of_average, processor, steps, decay=ema_decay))
    return callbacks


def _card_facts(config: TrainingConfig, training: Training, processor: ProcessorMixin) -> CardFacts:
    return CardFacts(
        repo_id=repository(config),
        datasets=(config.dataset_name,),
        scale=config.size_name,
        model_class=type(training.unwrapped.encoder).__name__.removeprefix("FSDP"),
        processor_class=type(processor).__name__,
        parameters=sum(p.numel() for p in training.unwrapped.parameters()),
        seed=config.seed,
        arm=config.arm,
        licence=config.license,
        synthetic=_is_synthetic(config.dataset_name),
        recipe={
            "dataset": config.dataset_name,
            "train_split": config.train_split,
            "images": training.source.images,
            "loss": config.loss,
            "reading": config.reading,
            "num_train_epochs": config.num_train_epochs,
            "global batch size": training.source.global_batch_size,
            "optimiser": config.optim,
            "learning_rate": config.learning_rate,
            "weight_decay": config.weight_decay,
            "warmup_steps": config.warmup_steps,
            "precision": "bf16" if config.bf16 else "fp32",
            "attn_implementation": config.attn_implementation,
        }
        | _begun_from(config),
    )


def _is_synthetic(dataset: str) -> bool:
    """Whether the registry says so; a folder or a data set on the Hub is not known to be."""
    return dataset in dataset_names() and dataset_metadata(dataset).synthetic


def _begun_from(config: TrainingConfig) -> dict[str, str]:
    if config.model_name_or_path is None:
        return {}
    begun = {"continues": config.model_name_or_path, "model_revision": config.model_revision}
    return begun if config.freeze is None else begun | {"freeze": config.freeze}


def _start_trackers(config: TrainingConfig, accelerator: Accelerator) -> None:
    settings = {name: value for name, value in config.recipe().items() if value is not None}
    try:
        accelerator.init_trackers("hf_clipdyn", settings)
    except Exception as error:  # each tracker has errors of its own: no login, no connection
        cause = shorten(" ".join(str(error).split()), 300)
        raise TrainingError(
            f"The tracker {config.report_to} cannot be started ({cause}): set it up, or leave report_to out."
        ) from error
