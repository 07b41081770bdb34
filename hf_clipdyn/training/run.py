"""Train CLIP and save every epoch as a revision: a run from its configuration to its last revision."""

import math
import re
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from accelerate.utils import set_seed
from torch.optim.lr_scheduler import LRScheduler
from transformers import ProcessorMixin

from hf_clipdyn.cards import CardFacts, Parent
from hf_clipdyn.data.registry import dataset_metadata, dataset_names
from hf_clipdyn.errors import ConfigError, TrainingError, TrainingInterrupted, counted, naming
from hf_clipdyn.files import delete, write_atomically
from hf_clipdyn.hub import public_name
from hf_clipdyn.models.sizes import siglip_processor
from hf_clipdyn.options import parse_yaml, read_yaml
from hf_clipdyn.progress import draws_bars, library_bars, say
from hf_clipdyn.revisions import Publisher, Summary, epoch_name, step_name
from hf_clipdyn.revisions.store import Store, check_version, space_needed
from hf_clipdyn.training.callbacks import (
    Callback,
    Checkpoints,
    Log,
    PublishAverage,
    PublishStates,
    StopOnSignals,
    Training,
    Validation,
    plugin_callbacks,
)
from hf_clipdyn.training.checkpoint import find_checkpoint, load_checkpoint
from hf_clipdyn.training.config import TrainingConfig, publishing_steps
from hf_clipdyn.training.data import Batch, open_data
from hf_clipdyn.training.device import attention, end_training, make_accelerator, start_trackers, threads
from hf_clipdyn.training.gradients import Backward, make_backward, make_evaluate
from hf_clipdyn.training.live_weights import parent_of
from hf_clipdyn.training.losses import make_loss
from hf_clipdyn.training.model import (
    check_attention,
    make_model,
    model_facts,
    model_folder,
    read_processor,
    unsharded,
)
from hf_clipdyn.training.optimizers import build_optimizer, build_schedule
from hf_clipdyn.training.order import RECORD_FILE, RecordData

_REVISION = r"\..*|epoch-\d+|step-\d+|replaced|run\.json"
# What a run writes to its folder, and to each folder in it, as a pattern of names.
_WRITTEN = {
    "revisions": _REVISION,
    "ema/revisions": _REVISION,
    "ema": "revisions",
    "checkpoints": "staging|epoch-.*",
    "log.jsonl": "",
    RECORD_FILE: "",
    "config.yaml": "",  # the last to be deleted: it says that a run wrote the others
}

# Fields in the card's table.
_ON_CARD = {
    "train_split", "loss", "num_train_epochs", "learning_rate", "lr_scheduler_type", "weight_decay", "warmup_steps",
    "attn_implementation",
}  # fmt: skip

BY_MACHINE = ("bf16", "attn_implementation", "num_threads", "reading")
"""Fields that the machine decides if they are None; they affect the weights."""


@dataclass(frozen=True)
class TrainingSummary(Summary):
    """The result of a run.

    Attributes:
        repo_id: the run in tables of results, and its repository on the Hub if it was pushed.
        published: names of the revisions that are saved and, if the run is pushed, published.
        missing: names of the revisions that the Hub lacks.
        message: the same in sentences.
        folder: of the run; its revisions are the folders below ``revisions``.

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

    folder: Path


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
    loss = make_loss(config.loss)
    callbacks = [*plugin_callbacks(), *callbacks]
    folder = output_folder(config)
    checkpoint = checkpoint_to_resume(config, folder)
    config = resumed_config(config, folder, checkpoint)
    accelerator = make_accelerator(config, folder)
    says = accelerator.is_main_process and not config.quiet
    # One bar, ours, instead of one for each file.
    bars = library_bars(False, of_data=draws_bars() and not config.quiet)
    with bars, threads(config, accelerator) as num_threads:
        bf16 = accelerator.mixed_precision == "bf16"
        attn_implementation = config.attn_implementation or attention(accelerator.device, bf16)
        config = config.but(bf16=bf16, attn_implementation=attn_implementation, num_threads=num_threads)
        with accelerator.main_process_first():
            beginning = None if config.model is None else model_folder(*config.model)
        check_attention(config, beginning, loss.model_type, accelerator)
        data = open_data(config, accelerator, None if beginning is None else read_processor(beginning))
        name = config.dataset_name if data.commit is None else f"{config.dataset[0]}@{data.commit}"
        config = config.but(reading=data.reading, dataset_name=name)
        source, processor = data.source, data.processor
        if beginning is None and loss.model_type == "siglip":
            processor = siglip_processor(processor)

        set_seed(config.seed)
        model: Any = make_model(config, beginning, processor, loss.model_type)
        optimizer: Any = build_optimizer(config, model)
        model, optimizer = accelerator.prepare(model, optimizer)
        training = Training(accelerator, model, optimizer, source, config.num_train_epochs, checkpoint)
        if checkpoint is not None:
            progress = load_checkpoint(accelerator, checkpoint, config.recipe(), source.steps_per_epoch)
            training.step, training.epoch, training.losses = progress.step, progress.epoch, progress.losses
        record = RecordData(folder / RECORD_FILE, data, config.dataset[0], checkpoint)
        # The schedule follows from the step. accelerate would unpickle a stored one without restrictions.
        schedule = build_schedule(config, optimizer.optimizer, training.total_steps, training.step)
        backward = make_backward(config, accelerator, model, loss)

        if accelerator.is_main_process:
            write_folder(config, folder)
        accelerator.wait_for_everyone()
        start_trackers(config, accelerator)
        steps = publishing_steps(config.publish, training.total_steps)
        planned = planned_names(steps, source.steps_per_epoch, training.epochs)
        signals = StopOnSignals(config.logging_steps)
        with ExitStack() as stack:
            publishers: list[Publisher] = []
            if accelerator.is_main_process:
                card = card_of(config, training, processor, beginning)
                publishers = publishers_of(config, folder, card, planned)
                for publisher in publishers:
                    stack.enter_context(publisher)
                for line in lines_at_start(config, training, publishers, planned) if says else ():
                    say(line)
            weights, average = (*publishers, None, None)[:2]
            evaluate = make_evaluate(accelerator, loss, config.gradient_cache_chunk)
            hooks: list[Callback] = [
                signals,
                record,
                Validation(evaluate, data.held_out or ()),
                PublishStates(weights, processor, steps),
            ]
            if config.ema_decay is not None:
                hooks.append(PublishAverage(average, processor, steps, config.ema_decay))
            hooks += [Log(folder / "log.jsonl", config.logging_steps, publishers, says), *callbacks]
            hooks.append(Checkpoints(folder / "checkpoints", config.recipe(), config.save_steps, hooks[:]))
            take_steps(training, backward, schedule, config.max_grad_norm, hooks)

            stopped = signals.signal if training.epoch < training.epochs else None
            if stopped is not None:
                # A launcher ends all processes when one has left, so none does before the revisions are published.
                stack.close()
                accelerator.wait_for_everyone()
            source.close()
            step, processes = training.step, accelerator.num_processes
            del training.model, training.optimizer, model, optimizer, schedule, backward
            end_training(accelerator)
            if stopped is not None:
                raise TrainingInterrupted(
                    f"interrupted after step {step}; what was done is kept. "
                    f"Continue with `{continuation(folder, processes)}`.",
                    stopped,
                )
            if not publishers:
                return None
            outcomes = [publisher.finish() for publisher in publishers]
            first, missing = outcomes[0], [name for outcome in outcomes for name in outcome.missing]
            message = " ".join(outcome.message for outcome in outcomes)
            return TrainingSummary(first.repo_id, first.published, missing, message, folder)


def take_steps(
    training: Training,
    backward: Backward,
    schedule: LRScheduler,
    max_grad_norm: float,
    hooks: Sequence[Callback],
) -> None:
    """Train to the end, or until a callback calls `Training.stop`: forward, loss, backward, step.

    Raises:
        TrainingError: a loss is not finite.
    """
    accelerator, model, optimizer = training.accelerator, training.model, training.optimizer

    def call(event: str, *arguments: Any) -> None:
        for hook in hooks:
            getattr(hook, event)(training, *arguments)

    with ExitStack() as stack:
        for hook in hooks:
            stack.callback(hook.close)
        if training.resumed_from is not None:
            call("load_state", training.resumed_from)
        call("run_begins")
        while training.epoch < training.epochs and not training.is_stopping():
            for batch in _timed(training):
                model.train()
                training.unread.append(backward(batch))
                if 0 < max_grad_norm < math.inf:  # 0 means no clipping, as in transformers' Trainer
                    norm = accelerator.clip_grad_norm_(model.parameters(), max_grad_norm)
                    training.gradient_norm = unsharded(norm)
                training.learning_rate = float(schedule.get_last_lr()[0])
                optimizer.step()
                optimizer.zero_grad()
                schedule.step()
                training.unwrapped.clamp_scale()
                training.step += 1
                call("step_ends")
                if training.is_stopping():
                    break
            if training.step_in_epoch == training.source.steps_per_epoch:
                training.epoch += 1
                call("epoch_ends")
                training.losses = []
        call("run_ends")


def _timed(training: Training) -> Iterator[Batch]:
    """The remaining batches of the current epoch; measures the time until each arrives."""
    batches = iter(training.source.batches(training.epoch + 1, training.step_in_epoch))
    while True:
        began = time.perf_counter()
        batch = next(batches, None)
        training.waited += time.perf_counter() - began
        if batch is None:
            return
        yield batch


# --- the folder ----------------------------------------------------------------------------------------


def output_folder(config: TrainingConfig) -> Path:
    """``output_dir``, or ``runs/<data set>-<arm>-<scale>-seed<seed>``, without an arm for the main one.

    Examples:
        >>> from hf_clipdyn import TrainingConfig
        >>> from hf_clipdyn.training import output_folder
        >>> output_folder(TrainingConfig(scale="small", seed=1)).as_posix()
        'runs/procedural-small-seed1'
    """
    if config.output_dir is not None:
        return Path(config.output_dir).expanduser()
    return Path("runs") / f"{Path(config.dataset[0]).name}-{config.run_name}"


def repository(config: TrainingConfig) -> str:
    """The run in tables of results: ``hub_model_id`` for this scale and seed, or the id in the run's folder.

    A new run without ``hub_model_id`` is called ``local/<output folder>``; characters that the Hub does not accept are
    replaced. It keeps this id if the folder is renamed or moved.

    Examples:
        >>> from hf_clipdyn import TrainingConfig
        >>> from hf_clipdyn.training import repository
        >>> repository(TrainingConfig(scale="small", seed=1))
        'local/procedural-small-seed1'
        >>> repository(TrainingConfig(hub_model_id="me/run", output_dir="runs/mine"))
        'me/run'
    """
    return config.repository or Publisher(output_folder(config)).repo_id


def checkpoint_to_resume(config: TrainingConfig, folder: Path) -> Path | None:
    """The checkpoint to continue from; None for a new run, which must not overwrite an earlier one.

    Raises:
        ConfigError: the folder contains an earlier run, one of version 0.3, or files of somebody else; or
            ``resume_from_checkpoint`` names no checkpoint.
        TrainingError: the folder cannot be read.
    """
    with naming(f"The output folder {folder} cannot be used", TrainingError):
        check_version(folder)
        _check_written(folder)
        if config.resumes:
            return find_checkpoint(folder / "checkpoints", str(config.resume_from_checkpoint))
        # The initialisation follows from the seed; the Hub's copy belongs to the earlier run.
        first = {epoch_name(0)} if not config.push_to_hub else set()
        logged = any((folder / name).exists() for name in ("log.jsonl", "checkpoints"))
        if logged or set(Store(folder).names()) - first:
            raise ConfigError(
                f"{folder} already contains a run: continue it with resume_from_checkpoint, delete the folder, or "
                "name another output_dir."
            )
    return None


def _leftovers(folder: Path) -> list[Path]:
    return [path for name in _WRITTEN if (path := folder / name).exists()]


def _check_written(folder: Path) -> None:
    """Raise ConfigError if files have the names of a run's files, which a run would replace, but no run wrote them."""
    values, names = None, [path.name for path in _leftovers(folder)]
    with suppress(FileNotFoundError, ValueError):
        values = parse_yaml((folder / "config.yaml").read_text(encoding="utf-8"), "config.yaml")
    # A run writes all fields, unlike a person.
    if names and not (isinstance(values, dict) and {"output_dir", "save_steps", "publish"} <= set(values)):
        raise ConfigError(
            f"{folder} contains {', '.join(names)}, which no run wrote and a run would replace: name another "
            "output_dir, or move them away."
        )


def resumed_config(config: TrainingConfig, folder: Path, checkpoint: Path | None) -> TrainingConfig:
    """The configuration of a resumed run: what it leaves to the machine or the Hub is as it was when the run began."""
    begun = (folder if checkpoint is None else checkpoint.resolve().parents[1]) / "config.yaml"
    if not config.resumes or not begun.is_file():
        return config
    was = read_yaml(begun)
    left = {name: was.get(name) for name in BY_MACHINE if getattr(config, name) is None}
    if str(was.get("dataset_name")).startswith(f"{config.dataset_name}@"):
        left["dataset_name"] = was["dataset_name"]  # the same commit, whatever the Hub's main branch is now
    return config.but(**left)


def write_folder(config: TrainingConfig, folder: Path) -> None:
    """Delete a beginning unless this run continues it, and write the configuration."""
    if not config.resumes:
        delete_run(folder)
    with naming(f"The output folder {folder} cannot be written", TrainingError):
        values = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
        write_atomically(folder / "config.yaml", values)


def delete_run(folder: Path) -> None:
    """Delete what a run wrote to its folder; other files stay.

    Args:
        folder: folder of the run.

    Raises:
        ConfigError: no run wrote what has the name of a run's file, or what is among its revisions or checkpoints.
        PublishError: the run is still training.

    Examples:
        >>> from pathlib import Path
        >>> from hf_clipdyn.training import delete_run
        >>> run = Path("runs/demo")
        >>> (run / "revisions").exists(), (run / "results.parquet").exists()
        (True, True)
        >>> delete_run(run)
        >>> (run / "revisions").exists(), (run / "results.parquet").exists()
        (False, True)
    """
    check_version(folder)
    _check_written(folder)
    for name, pattern in _WRITTEN.items():
        for path in sorted((folder / name).glob("*")):
            if not re.fullmatch(pattern, path.name):
                raise ConfigError(f"{path} is among the files of a run, but no run wrote it: move it away.")
    if _leftovers(folder):
        Store(folder).delete()  # refuses while another process writes
        for path in _leftovers(folder):
            delete(path)


def continuation(folder: Path, processes: int) -> str:
    """The command that continues the run in ``folder``."""
    command = "clipdyn train" if processes == 1 else f"torchrun --nproc_per_node {processes} scripts/train.py"
    return f"{command} --config {shlex.quote(str(folder / 'config.yaml'))} --resume_from_checkpoint true"


# --- what is published and said ------------------------------------------------------------------------


def planned_names(steps: set[int], steps_per_epoch: int, epochs: int) -> list[str]:
    """The names of all revisions of a run, in training order; a step that ends an epoch is named by the epoch."""
    names = {step: step_name(step) for step in steps}
    names |= {epoch * steps_per_epoch: epoch_name(epoch) for epoch in range(epochs + 1)}
    return [name for _, name in sorted(names.items())]


def publishers_of(
    config: TrainingConfig, folder: Path, card: CardFacts, planned: Sequence[str]
) -> list[Publisher]:
    """One for the weights and, if that is asked for, one for their average; both publish to the same places."""
    cards = {folder: card}
    if config.ema_decay is not None:
        recipe, parents = (
            {**card.recipe, "ema_decay": config.ema_decay},
            (Parent(card.repo_id, same_name=True),),
        )
        average = f"{card.repo_id}-ema"
        cards[folder / "ema"] = replace(
            card, repo_id=average, recipe=recipe, parents=parents, relation="merge"
        )
    hub: Any = {"push_to_hub": config.push_to_hub, "private": config.hub_private_repo or None}
    shared = {"recipe_hash": config.recipe_hash(), "planned": planned, **hub}
    return [Publisher(run, facts.repo_id, card=facts, **shared) for run, facts in cards.items()]


def card_of(
    config: TrainingConfig, training: Training, processor: ProcessorMixin, beginning: Path | None
) -> CardFacts:
    """What the cards of the revisions say."""
    name = config.dataset[0]  # a folder or a data set on the Hub is not known to be synthetic
    recipe = {
        "dataset": public_name(name),
        "images": training.source.images,
        "reading": "streamed" if config.streaming else config.reading,
        "global batch size": training.source.global_batch_size,
        "optimiser": "adamw_torch",
        "precision": "bf16" if config.bf16 else "fp32",
        **config.model_dump(include=_ON_CARD),
    }
    parents: tuple[Parent | None, ...] = ()
    if config.model is not None:
        recipe |= {"continues": public_name(config.model[0]), "model_revision": config.model[1]}
        parents = (parent_of(*config.model, beginning),)
    if config.freeze is not None:
        recipe["freeze"] = config.freeze
    return CardFacts(
        repo_id=repository(config),
        datasets=(public_name(name),),
        scale=config.size_name,
        seed=config.seed,
        arm=config.arm,
        licence=config.license,
        synthetic=name in dataset_names() and dataset_metadata(name).synthetic,
        recipe=recipe,
        parents=tuple(filter(None, parents)),
        **model_facts(training.unwrapped.encoder, processor),
    )


def lines_at_start(
    config: TrainingConfig, training: Training, publishers: Sequence[Publisher], planned: Sequence[str]
) -> list[str]:
    """What the run is about to do, one line for each subject, warnings last."""
    source, model, accelerator = training.source, training.unwrapped, training.accelerator
    captions = "" if source.captions is None else f" with {source.captions:,} captions"
    rest = source.images - source.steps_per_epoch * source.global_batch_size
    left_out = f"; {counted(rest, 'image')} that fill no batch are left out of each" if rest else ""
    number = sum(p.numel() for p in model.parameters())
    threads = f", {counted(config.num_threads or 1, 'thread')}" if accelerator.device.type == "cpu" else ""
    processes = f"{accelerator.num_processes} process{'es' * (accelerator.num_processes > 1)}"
    begun = f", from step {training.step} on" if training.step else ""
    lines = [
        f"Data: {config.dataset_name}, {counted(source.images, 'image')}{captions} an epoch{left_out}.",
        f"Model: {config.size_name}, {number:,} parameters; {accelerator.device.type} in "
        f"{'bf16' if config.bf16 else 'fp32'}, {config.attn_implementation} attention, {processes}{threads}.",
        f"Run: {counted(training.epochs, 'epoch')} of {counted(source.steps_per_epoch, 'step')} of "
        f"{counted(source.global_batch_size, 'image')}, {counted(training.total_steps, 'step')} in all{begun}.",
    ]
    if config.model is not None:
        trained, frozen = (", ".join(parts) for parts in model.parts())
        does_not = f" It does not train {frozen}." if frozen else ""
        lines.insert(1, f"The run continues {config.model_name_or_path}. It trains {trained}.{does_not}")
    first, *average = publishers
    left = sum(len(set(planned) - set(publisher.published())) for publisher in publishers)
    space, fits = space_needed(first.store.run, left, 4 * number)  # float32
    also = "".join(f", and as many of the averaged weights as {publisher.repo_id}" for publisher in average)
    lines.append(f"{'Revisions' if fits else 'Warning'}: {len(planned)} as {first.repo_id}{also}; {space}")
    if config.warmup_steps > training.total_steps:
        lines.append(
            f"Warning: warmup_steps is {config.warmup_steps} and the run has {counted(training.total_steps, 'step')}: "
            "the learning rate rises until the last step. Lower warmup_steps, or train for more epochs."
        )
    return lines
