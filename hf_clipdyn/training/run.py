"""Train CLIP from scratch and publish every epoch: a run from its configuration to its last revision."""

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import datasets
import transformers
from accelerate import Accelerator
from accelerate.utils import set_seed
from transformers import CLIPProcessor

from hf_clipdyn.cards import CardFacts
from hf_clipdyn.config import TrainingConfig
from hf_clipdyn.errors import TrainingError
from hf_clipdyn.models.scales import scale
from hf_clipdyn.revisions import Publisher
from hf_clipdyn.training.callbacks import Checkpoints, LogFile, ProgressBar, PublishStates, publishing_steps
from hf_clipdyn.training.checkpoint import load_checkpoint
from hf_clipdyn.training.device import attention, check_processes, end_training, make_accelerator, threads
from hf_clipdyn.training.folder import (
    as_begun,
    checkpoint_to_resume,
    make_folder,
    output_folder,
    repository,
    tell_name,
)
from hf_clipdyn.training.gradients import whole_batch
from hf_clipdyn.training.inputs import Inputs, prepare_inputs
from hf_clipdyn.training.loop import Callback, Training
from hf_clipdyn.training.losses import make_loss
from hf_clipdyn.training.model import build_model, build_optimizer, build_schedule

__all__ = ["TrainingSummary", "train"]


@dataclass(frozen=True)
class TrainingSummary:
    """What a run did: where its revisions are, and which have not arrived."""

    repo_id: str
    store: Path
    published: list[str]
    missing: list[str]
    message: str


def train(config: TrainingConfig, callbacks: Sequence[Callback] = ()) -> TrainingSummary | None:
    """Train a model and publish each epoch, beginning with the initialisation ``epoch-000``.

    Every process of a launched run calls this.

    Args:
        config: the run.
        callbacks: listen to it, after those of the configuration.

    Returns:
        What was published, on the main process; None on the others.

    Raises:
        ConfigError: the configuration contradicts itself or what the output folder holds.
        DatasetError: the training data are absent or unreadable.
        TrainingError: the loss is not finite, the data are broken, or the processes are too few.
        PublishError: revisions cannot be stored at all.
    """
    folder = output_folder(config)
    transformers.utils.logging.disable_progress_bar()  # one bar, ours, instead of one for each file saved
    if config.disable_tqdm:
        datasets.disable_progress_bars()
    checkpoint = checkpoint_to_resume(config, folder)
    config = as_begun(config, folder, checkpoint)
    accelerator = make_accelerator(config, folder)
    check_processes(config, accelerator.num_processes)
    with threads(config, accelerator) as num_threads:
        bf16 = accelerator.mixed_precision == "bf16"
        config = dataclasses.replace(
            config,
            bf16=bf16,
            attn_implementation=config.attn_implementation or attention(accelerator.device, bf16),
            num_threads=num_threads,
        )
        inputs = prepare_inputs(config, scale(config.scale), accelerator)
        config = dataclasses.replace(config, reading=inputs.reading)
        training = _set_up(config, inputs, accelerator, checkpoint)
        return _run(config, training, inputs.processor, folder, callbacks)


def _set_up(
    config: TrainingConfig, inputs: Inputs, accelerator: Accelerator, checkpoint: Path | None
) -> Training:
    """The state of a run before its first step, or as the checkpoint holds it."""
    source = inputs.source
    set_seed(config.seed)
    assert config.attn_implementation is not None, "settled by `train`"
    model = build_model(scale(config.scale), inputs.processor, config.attn_implementation)
    optimizer = build_optimizer(
        model,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        betas=(config.adam_beta1, config.adam_beta2),
        eps=config.adam_epsilon,
    )
    model, optimizer = accelerator.prepare(model, optimizer)
    step = epoch = 0
    if checkpoint is not None:
        progress = load_checkpoint(accelerator, checkpoint, config.recipe(), accelerator.num_processes)
        step, epoch = progress.step, progress.epoch
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
        whole_batch(accelerator, model, make_loss("contrastive")),
        optimizer,
        schedule,
        source,
        epochs=config.num_train_epochs,
        max_grad_norm=config.max_grad_norm,
    )
    training.step, training.epoch = step, epoch
    return training


def _run(
    config: TrainingConfig,
    training: Training,
    processor: CLIPProcessor,
    folder: Path,
    callbacks: Sequence[Callback],
) -> TrainingSummary | None:
    """The run's folder, its publisher, its callbacks and its steps."""
    accelerator = training.accelerator
    if accelerator.is_main_process:
        make_folder(config, folder)
    accelerator.wait_for_everyone()
    _start_trackers(config, accelerator)
    with ExitStack() as stack:
        publisher: Publisher | None = None
        if accelerator.is_main_process:
            publisher = stack.enter_context(
                Publisher(
                    repository(config),
                    output_dir=folder,
                    store=folder / "hub",
                    push_to_hub=config.push_to_hub,
                    token=config.hub_token,
                    private=config.hub_private_repo,
                    card=_card_facts(config, training),
                    recipe_hash=config.recipe_hash(),
                )
            )
            publisher.check()
            tell_name(config, folder)
        steps = publishing_steps(config.publish, training.total_steps)
        training.run(
            [
                PublishStates(publisher, processor, steps),
                Checkpoints(folder / "checkpoints", config.recipe(), config.save_total_limit),
                LogFile(folder / "log.jsonl", config.logging_steps),
                ProgressBar(disabled=config.disable_tqdm),
                *callbacks,
            ]
        )
        training.let_go()
        end_training(accelerator)
        if publisher is None:
            return None
        outcome = publisher.finish()
        return TrainingSummary(
            repo_id=repository(config),
            store=folder / "hub",
            published=outcome.published,
            missing=outcome.missing,
            message=outcome.message,
        )


def _card_facts(config: TrainingConfig, training: Training) -> CardFacts:
    return CardFacts(
        repo_id=repository(config),
        datasets=(config.dataset_name,),
        scale=config.scale,
        parameters=sum(p.numel() for p in training.unwrapped.parameters()),
        seed=config.seed,
        licence=config.license,
        synthetic=config.dataset_name == "procedural",
        recipe={
            "dataset": config.dataset_name,
            "train_split": config.train_split,
            "images": training.source.images,
            "reading": config.reading,
            "num_train_epochs": config.num_train_epochs,
            "global batch size": training.source.global_batch_size,
            "learning_rate": config.learning_rate,
            "weight_decay": config.weight_decay,
            "warmup_steps": config.warmup_steps,
            "precision": "bf16" if config.bf16 else "fp32",
            "attn_implementation": config.attn_implementation,
        },
    )


def _start_trackers(config: TrainingConfig, accelerator: Accelerator) -> None:
    settings = {name: value for name, value in config.recipe().items() if value is not None}
    try:
        accelerator.init_trackers("hf_clipdyn", settings)
    except Exception as error:  # each tracker has errors of its own: no login, no connection
        raise TrainingError(
            f"The tracker {config.report_to} cannot be started ({' '.join(str(error).split())[:300]}): set it up, "
            "or leave report_to out."
        ) from error
