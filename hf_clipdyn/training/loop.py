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
from hf_clipdyn.config import TrainingConfig
from hf_clipdyn.errors import ConfigError, TrainingError
from hf_clipdyn.models.scales import scale
from hf_clipdyn.revisions import Publisher, RevisionRecord, epoch_name, step_name
from hf_clipdyn.training.batches import CaptionBatches
from hf_clipdyn.training.checkpoint import Progress, find_checkpoint, load_checkpoint, save_checkpoint
from hf_clipdyn.training.device import (
    attention,
    check_processes,
    end_training,
    make_accelerator,
    warn_if_crowded,
)
from hf_clipdyn.training.inputs import Inputs, prepare_inputs
from hf_clipdyn.training.loss import contrastive_loss
from hf_clipdyn.training.model import TrainedCLIP, build_model, build_optimizer, build_schedule

__all__ = ["TrainingSummary", "output_folder", "publishing_steps", "repository", "train"]

# What a run leaves in its folder; overwrite_output_dir deletes these and nothing else.
_LEFTOVERS = ("hub", "publishing", "checkpoints", "log.jsonl", "config.yaml")


@dataclass(frozen=True)
class TrainingSummary:
    """What a run did: where its revisions are, and which have not arrived."""

    repo_id: str
    store: Path
    published: list[str]
    missing: list[str]
    message: str


def output_folder(config: TrainingConfig) -> Path:
    """``output_dir``, or ``runs/<data set>-<scale>-seed<seed>``."""
    if config.output_dir is not None:
        return Path(config.output_dir).expanduser()
    return Path("runs") / f"{Path(config.dataset).name}-{config.scale}-seed{config.seed}"


def repository(config: TrainingConfig) -> str:
    """``hub_model_id`` for this scale and seed, or ``local/<name of the output folder>`` for a run that stays here."""
    if config.hub_model_id is None:
        return f"local/{output_folder(config).resolve().name}"
    return config.hub_model_id.format(scale=config.scale, seed=config.seed)


def publishing_steps(publish: str, total: int) -> set[int]:
    """The steps inside epochs whose states become revisions beside those of the epochs.

    Args:
        publish: ``epoch`` (none), ``log2`` (1, 2, 4 … ``total``) or numbers as ``10,100,1000``.
        total: steps of the whole run; later ones are left out.
    """
    if publish == "epoch":
        return set()
    if publish == "log2":
        return {2**k for k in range(total.bit_length()) if 2**k <= total}
    steps = {int(word) for word in publish.split(",")}  # the configuration checked them
    return {step for step in steps if step <= total}


def _open_folder(config: TrainingConfig, folder: Path) -> Path | None:
    """Refuse, empty or continue what is in the folder; returns the checkpoint to continue from."""
    leftovers = [folder / name for name in _LEFTOVERS if (folder / name).exists()]
    if config.resume_from_checkpoint and config.resume_from_checkpoint.lower() != "false":
        return find_checkpoint(folder / "checkpoints", config.resume_from_checkpoint)
    if leftovers and not config.overwrite_output_dir:
        raise ConfigError(
            f"{folder} holds a run already: continue it with --resume_from_checkpoint true, delete it with "
            "--overwrite_output_dir, or name another --output_dir."
        )
    for path in leftovers:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return None


def _write_config(config: TrainingConfig, folder: Path) -> None:
    values = dataclasses.asdict(config)
    del values["hub_token"]  # a secret has no place in a file that is shared with the results
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    except OSError as error:
        raise TrainingError(
            f"The output folder {folder} cannot be written: {error.strerror or error}. Name another --output_dir."
        ) from error


class _Log:
    """``log.jsonl``, a line a logged step, and accelerate's trackers. Only the main process writes."""

    def __init__(self, accelerator: Accelerator, path: Path, from_step: int) -> None:
        self._accelerator = accelerator
        self._path = path
        if accelerator.is_main_process and path.exists():
            # What a killed run logged after its last checkpoint will be logged again.
            lines = path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= from_step]
            path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")

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
        bf16 = accelerator.mixed_precision == "bf16"
        self.attn_implementation = config.attn_implementation or attention(accelerator.device, bf16)
        set_seed(config.seed)
        model = build_model(scale(config.scale), inputs.processor, self.attn_implementation)
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
        """Let go of the model and of the other processes; no step can follow."""
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
                f"The loss became {value} in step {self.step + 1}: what was published before is kept, nothing of this "
                f"step is. Lower learning_rate (now {self.config.learning_rate}), or train with --bf16 false."
            )
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
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
        """Writes the model as it is now, as `from_pretrained` reads it. All processes call this."""
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
        """What the publisher is told of the state as it is now."""
        return RevisionRecord(
            name=name, epoch=epoch, step=self.step, samples_seen=self.samples_seen, loss=loss
        )


def _card_facts(run: _Run) -> CardFacts:
    config = run.config
    return CardFacts(
        repo_id=repository(config),
        datasets=(config.dataset,),
        scale=config.scale,
        parameters=run.parameters,
        seed=config.seed,
        licence=config.license,
        synthetic=config.dataset == "procedural",
        recipe={
            "dataset": config.dataset,
            "train_split": config.train_split,
            "images": len(run.inputs.pixels) - run.inputs.broken,
            "num_train_epochs": config.num_train_epochs,
            "global batch size": run.batches.global_batch_size,
            "learning_rate": config.learning_rate,
            "weight_decay": config.weight_decay,
            "warmup_steps": config.warmup_steps,
            "precision": "bf16" if run.accelerator.mixed_precision == "bf16" else "fp32",
            "attn_implementation": run.attn_implementation,
        },
    )


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
    size = scale(config.scale)
    folder = output_folder(config)
    transformers.utils.logging.disable_progress_bar()  # one bar, ours, instead of one for each file saved
    if config.disable_tqdm:
        datasets.disable_progress_bars()
    accelerator = make_accelerator(config)
    check_processes(config, accelerator.num_processes)
    warn_if_crowded(accelerator.device)
    checkpoint = None
    with accelerator.main_process_first():
        if accelerator.is_main_process or config.resume_from_checkpoint:
            checkpoint = _open_folder(config, folder)
    run = _Run(config, accelerator, prepare_inputs(config, size, accelerator))
    done = 0 if checkpoint is None else run.continue_from(checkpoint)
    if accelerator.is_main_process:
        _write_config(config, folder)
    accelerator.init_trackers("hf_clipdyn", config.recipe())
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
    """The epochs from ``first_epoch`` on, each published and kept as a checkpoint."""
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
