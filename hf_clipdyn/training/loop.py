"""Train CLIP from scratch and publish every epoch: a plain accelerate loop."""

import dataclasses
import json
import math
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
import yaml
from accelerate import Accelerator
from accelerate.utils import set_seed
from tqdm.auto import tqdm

from hf_clipdyn.cards import CardFacts
from hf_clipdyn.config import TrainingConfig, parse_training_config
from hf_clipdyn.errors import ConfigError, TrainingError, shorten
from hf_clipdyn.files import write_atomically
from hf_clipdyn.models.sizes import model_size
from hf_clipdyn.revisions import Publisher, RevisionRecord, epoch_name, step_name
from hf_clipdyn.revisions.journal import Journal
from hf_clipdyn.schema import Count, parse_json, valid_repo_name
from hf_clipdyn.training.batches import CaptionBatches
from hf_clipdyn.training.checkpoint import Progress, find_checkpoint, load_checkpoint, save_checkpoint
from hf_clipdyn.training.device import (
    attention,
    check_processes,
    end_training,
    make_accelerator,
    threads,
)
from hf_clipdyn.training.inputs import Inputs, prepare_inputs
from hf_clipdyn.training.loss import contrastive_loss
from hf_clipdyn.training.model import TrainedCLIP, build_model, build_optimizer, build_schedule

__all__ = ["TrainingSummary", "delete_run", "output_folder", "publishing_steps", "repository", "train"]

# What a run leaves in its folder; overwrite_output_dir deletes these and nothing else.
_LEFTOVERS = ("hub", "publishing", "checkpoints", "log.jsonl", "config.yaml")

# Fields that the machine decides if they are None; they affect the weights.
_BY_MACHINE = ("bf16", "attn_implementation", "num_threads")


@dataclass(frozen=True)
class TrainingSummary:
    """Where a run's revisions are, and which are missing."""

    repo_id: str
    store: Path
    published: list[str]
    missing: list[str]
    message: str


def output_folder(config: TrainingConfig) -> Path:
    """``output_dir``, or ``runs/<data set>-<scale>-seed<seed>``."""
    if config.output_dir is not None:
        return Path(config.output_dir).expanduser()
    return Path("runs") / f"{Path(config.dataset_name).name}-{config.scale}-seed{config.seed}"


def repository(config: TrainingConfig) -> str:
    """The id of a run's repository: ``hub_model_id`` for this scale and seed, or that of the run's journal.

    A new run without `hub_model_id` is ``local/<name of the output folder>``, changed to a valid name if needed.
    A run whose folder was renamed or moved keeps its id.

    Raises:
        PublishError: the journal cannot be read.
    """
    if config.repository is not None:
        return config.repository
    folder = output_folder(config).resolve()
    begun = Journal.of_run(folder).run()
    return f"local/{valid_repo_name(folder.name)}" if begun is None else begun.repo_id


def _print_repository(config: TrainingConfig, folder: Path) -> None:
    """Print the repository's id if it is not the name of the folder."""
    repo_id = repository(config)
    if repo_id not in (config.repository, f"local/{folder.resolve().name}"):
        tqdm.write(f"The revisions of the run in {folder} are loaded as {repo_id}.", file=sys.stderr)


def publishing_steps(publish: str, total: int) -> set[int]:
    """The steps, besides the ends of epochs, whose states become revisions.

    The end of an epoch is published once, as the epoch: the loop skips a step that ends one.

    Args:
        publish: the field of a `TrainingConfig`, which checked it: ``epoch`` (none), ``log2`` (1, 2, 4 … up to
            ``total``) or numbers as ``10,100,1000``.
        total: steps of the whole run; later ones are left out.

    Returns:
        Numbers of optimiser steps, each from 1 to ``total``.
    """
    if publish == "epoch":
        return set()
    if publish == "log2":
        return {2**k for k in range(total.bit_length()) if 2**k <= total}
    steps = {int(word) for word in publish.split(",")}
    return {step for step in steps if step <= total}


def _leftovers(folder: Path) -> list[Path]:
    return [folder / name for name in _LEFTOVERS if (folder / name).exists()]


def _find_checkpoint(config: TrainingConfig, folder: Path) -> Path | None:
    """The checkpoint to continue from; an error if a run in the folder would be lost."""
    if _resumes(config):
        assert config.resume_from_checkpoint is not None
        return find_checkpoint(folder / "checkpoints", config.resume_from_checkpoint)
    try:
        held = _leftovers(folder)
        lost = held and not config.overwrite_output_dir and not _took_no_step(config, folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    if lost:
        raise ConfigError(
            f"{folder} holds a run already: continue it with --resume_from_checkpoint true, delete it with "
            "--overwrite_output_dir, or name another --output_dir."
        )
    return None


def _resumes(config: TrainingConfig) -> bool:
    return bool(config.resume_from_checkpoint) and str(config.resume_from_checkpoint).lower() != "false"


def _took_no_step(config: TrainingConfig, folder: Path) -> bool:
    """Whether the folder holds only the start of a run, which its seed reproduces.

    A journal is required: a folder `hub` may hold other models.
    """
    journal, store = folder / "publishing", folder / "hub"
    entries = {path.name for path in (journal / "entries").glob("*")}
    refs = {path.name for path in store.glob("models--*/refs/*")}
    first = set() if config.push_to_hub else {epoch_name(0)}  # a revision on the Hub belongs to that run
    return (
        not (folder / "log.jsonl").exists()
        and not (folder / "checkpoints").exists()
        and entries <= {f"{name}.json" for name in first}
        and refs <= {"main", *first}
        and len(list(store.glob("*--*"))) <= 1
        and (not store.exists() or (journal / "run.json").is_file())
    )


def _as_begun(config: TrainingConfig, folder: Path, checkpoint: Path | None) -> TrainingConfig:
    """Give a resumed run the values that the machine chose when the run was started."""
    begun = (folder if checkpoint is None else checkpoint.resolve().parents[1]) / "config.yaml"
    if not _resumes(config) or not begun.is_file():
        return config
    was = parse_training_config(["--config", str(begun)])
    left = [name for name in _BY_MACHINE if getattr(config, name) is None]
    return dataclasses.replace(config, **{name: getattr(was, name) for name in left})


def delete_run(folder: Path) -> None:
    """Delete what a run left in its folder, and nothing else there.

    Raises:
        PublishError: that run is still in progress.
    """
    if _leftovers(folder):
        with Journal.of_run(folder).locked():
            for path in _leftovers(folder):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _make_folder(config: TrainingConfig, folder: Path) -> None:
    """Delete an earlier run unless this one continues it, and write the configuration."""
    if not _resumes(config):
        delete_run(folder)
    values = dataclasses.asdict(config)
    del values["hub_token"]  # a secret has no place in a file that is shared with the results
    try:
        write_atomically(folder / "config.yaml", yaml.safe_dump(values, sort_keys=False))
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> TrainingError:
    return TrainingError(
        f"The output folder {folder} cannot be written: {error.strerror or error}. Name another --output_dir."
    )


@dataclass(frozen=True)
class _Logged:
    step: Count


def _logged_step(line: str) -> int | None:
    """The step of a line of the log; None if the line is incomplete or foreign."""
    try:
        return parse_json(_Logged, line, where="the log", error=TrainingError).step
    except TrainingError:
        return None


class _Log:
    """``log.jsonl``, a line a logged step, and accelerate's trackers. Only the main process writes."""

    def __init__(self, accelerator: Accelerator, path: Path, from_step: int) -> None:
        self._accelerator = accelerator
        self._path = path
        if accelerator.is_main_process and path.exists():
            # What a killed run logged after its last checkpoint will be logged again.
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            kept = [line for line in lines if (step := _logged_step(line)) is not None and step <= from_step]
            path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")

    def first_step(self) -> None:
        """Record that a step was taken, before the first line is logged."""
        if self._accelerator.is_main_process:
            self._path.touch()

    def write(self, **values: Any) -> None:
        if self._accelerator.is_main_process:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")
        self._accelerator.log({k: v for k, v in values.items() if k != "step"}, step=values["step"])


class _Run:
    """The state of one training run between its steps."""

    def __init__(self, config: TrainingConfig, accelerator: Accelerator, inputs: Inputs) -> None:
        self.config = config
        self.accelerator = accelerator
        self.inputs = inputs
        self.batches = CaptionBatches(
            inputs.pixels,
            inputs.captions,
            per_device_batch_size=config.per_device_train_batch_size,
            seed=config.seed,
            process_index=accelerator.process_index,
            num_processes=accelerator.num_processes,
        )
        self.total_steps = config.num_train_epochs * self.batches.steps_per_epoch
        set_seed(config.seed)
        assert config.attn_implementation is not None, "settled by `train`"
        model = build_model(model_size(config.scale), inputs.processor, config.attn_implementation)
        self.parameters = sum(p.numel() for p in model.parameters())
        self.model, self.optimizer = accelerator.prepare(model, build_optimizer(model, config))
        self.step = 0
        self.schedule = build_schedule(self.optimizer.optimizer, config, self.total_steps)

    def continue_from(self, checkpoint: Path) -> int:
        """Restore a checkpoint; returns the number of whole epochs behind it."""
        progress = load_checkpoint(
            self.accelerator, checkpoint, self.config.recipe(), self.accelerator.num_processes
        )
        self.step = progress.step
        # The schedule follows from the step. accelerate would unpickle a stored one without restrictions.
        self.schedule = build_schedule(
            self.optimizer.optimizer, self.config, self.total_steps, steps_taken=self.step
        )
        return progress.epoch

    def close(self) -> None:
        """Free the model and leave the other processes; no step can follow."""
        del self.model, self.optimizer, self.schedule
        end_training(self.accelerator)

    @property
    def _clip(self) -> TrainedCLIP:
        model: TrainedCLIP = self.accelerator.unwrap_model(self.model)
        return model

    def learn(self, pixels: torch.Tensor, input_ids: torch.Tensor) -> float:
        """One step; returns the loss of the global batch."""
        self.model.train()
        device = self.accelerator.device
        features = self.model(pixels.to(device, non_blocking=True), input_ids.to(device, non_blocking=True))
        loss = contrastive_loss(*features)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"The loss became {value} in step {self.step + 1}, which is not published; earlier revisions are "
                f"kept. Lower learning_rate (now {self.config.learning_rate}), or train with --bf16 false."
            )
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        if 0 < self.config.max_grad_norm < math.inf:  # 0 means no clipping, as in transformers' Trainer
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.max_grad_norm)
        self.optimizer.step()
        self.schedule.step()
        self._clip.clamp_logit_scale()
        self.step += 1
        return value

    @property
    def logit_scale(self) -> float:
        """The factor of the similarities, at most 100."""
        return float(self._clip.clip.logit_scale.detach().exp())

    def saver(self) -> Callable[[Path], None]:
        """A function that writes the current model as `from_pretrained` reads it. All processes call this."""
        state = self.accelerator.get_state_dict(self.model)
        weights = {name.removeprefix("clip."): tensor for name, tensor in state.items()}

        def save(folder: Path) -> None:
            self._clip.clip.save_pretrained(folder, state_dict=weights)
            self.inputs.processor.save_pretrained(folder)

        return save

    @property
    def samples_seen(self) -> int:
        """Images shown so far, repetitions counted."""
        return self.step * self.batches.global_batch_size

    def record(self, name: str, epoch: int | None, loss: float | None) -> RevisionRecord:
        """The record of the current state for the publisher."""
        return RevisionRecord(
            name=name, epoch=epoch, step=self.step, samples_seen=self.samples_seen, loss=loss
        )


def _card_facts(run: _Run) -> CardFacts:
    config = run.config
    return CardFacts(
        repo_id=repository(config),
        datasets=(config.dataset_name,),
        scale=config.scale,
        parameters=run.parameters,
        seed=config.seed,
        licence=config.license,
        synthetic=config.dataset_name == "procedural",
        recipe={
            "dataset": config.dataset_name,
            "train_split": config.train_split,
            "images": len(run.inputs.pixels) - run.inputs.broken,
            "num_train_epochs": config.num_train_epochs,
            "global batch size": run.batches.global_batch_size,
            "learning_rate": config.learning_rate,
            "weight_decay": config.weight_decay,
            "warmup_steps": config.warmup_steps,
            "precision": "bf16" if config.bf16 else "fp32",
            "attn_implementation": config.attn_implementation,
        },
    )


def _start_trackers(run: _Run) -> None:
    settings = {name: value for name, value in run.config.recipe().items() if value is not None}
    try:
        run.accelerator.init_trackers("hf_clipdyn", settings)
    except Exception as error:  # each tracker has errors of its own: no login, no connection
        cause = shorten(" ".join(str(error).split()), 300)
        raise TrainingError(
            f"The tracker {run.config.report_to} cannot be started ({cause}): set it up, or leave report_to out."
        ) from error


def train(config: TrainingConfig) -> TrainingSummary | None:
    """Train a model and publish each epoch, beginning with the initialisation ``epoch-000``.

    Every process of a launched run calls this.

    Returns:
        What was published, on the main process; None on the others.

    Raises:
        ConfigError: the configuration contradicts itself or what the output folder holds.
        DatasetError: the training data are absent or unreadable.
        TrainingError: the loss is not finite, the data are broken, or the processes are too few.
        PublishError: revisions cannot be stored at all.
    """
    size = model_size(config.scale)
    folder = output_folder(config)
    transformers.utils.logging.disable_progress_bar()  # our own bar instead of one per saved file
    if config.disable_tqdm:
        datasets.disable_progress_bars()
    checkpoint = _find_checkpoint(config, folder)
    config = _as_begun(config, folder, checkpoint)
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
        run = _Run(config, accelerator, prepare_inputs(config, size, accelerator))
        return _train(run, folder, 0 if checkpoint is None else run.continue_from(checkpoint))


def _train(run: _Run, folder: Path, done: int) -> TrainingSummary | None:
    """Continue a run after ``done`` whole epochs."""
    config, accelerator = run.config, run.accelerator
    if accelerator.is_main_process:
        _make_folder(config, folder)
    accelerator.wait_for_everyone()
    _start_trackers(run)
    log = _Log(accelerator, folder / "log.jsonl", run.step)
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
                    card=_card_facts(run),
                    recipe_hash=config.recipe_hash(),
                )
            )
            publisher.check()
            _print_repository(config, folder)
        _learn(run, publisher, log, first_epoch=done + 1, checkpoints=folder / "checkpoints")
        run.close()
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


def _learn(run: _Run, publisher: Publisher | None, log: _Log, *, first_epoch: int, checkpoints: Path) -> None:
    """Train, publish and checkpoint the epochs from ``first_epoch`` on."""
    config, accelerator, batches = run.config, run.accelerator, run.batches
    inside = publishing_steps(config.publish, run.total_steps)

    def publish(record: RevisionRecord) -> None:
        save = run.saver()
        if publisher is not None and record.name not in publisher.published():
            publisher.submit(record, save)

    if first_epoch == 1:
        publish(run.record(epoch_name(0), 0, None))
    with tqdm(
        total=run.total_steps,
        initial=run.step,
        desc="training",
        unit="step",
        disable=config.disable_tqdm or not accelerator.is_main_process,
    ) as bar:
        for epoch in range(first_epoch, config.num_train_epochs + 1):
            losses: list[float] = []
            started = time.perf_counter()
            for batch in batches.epoch(epoch):
                losses.append(run.learn(batch.pixels, batch.input_ids))
                if run.step == 1:
                    log.first_step()
                speed = len(losses) * batches.global_batch_size / (time.perf_counter() - started)
                bar.update()
                bar.set_postfix_str(f"epoch {epoch}, loss {losses[-1]:.3f}, {speed:.0f} img/s", refresh=False)
                if run.step % config.logging_steps == 0:
                    log.write(
                        step=run.step,
                        epoch=epoch,
                        loss=losses[-1],
                        learning_rate=run.schedule.get_last_lr()[0],
                        logit_scale=run.logit_scale,
                        images_per_second=round(speed, 1),
                    )
                if run.step in inside and len(losses) < batches.steps_per_epoch:
                    publish(run.record(step_name(run.step), None, losses[-1]))
            loss = sum(losses) / len(losses)
            publish(run.record(epoch_name(epoch), epoch, loss))
            progress = Progress(
                epoch=epoch,
                step=run.step,
                samples_seen=run.samples_seen,
                num_processes=accelerator.num_processes,
                recipe=config.recipe(),
            )
            save_checkpoint(accelerator, checkpoints, progress, config.save_total_limit)
            if not bar.disable:
                n = run.inputs.broken
                broken = f"; {n} broken image{'s' * (n > 1)} skipped" if n else ""
                bar.write(f"epoch {epoch}: loss {loss:.4f}, {speed:.0f} img/s{broken}", file=sys.stderr)
