"""The state of a training run, the events that callbacks hear, and the package's own callbacks."""

import json
import math
import signal
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import psutil
import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm.auto import tqdm
from transformers import ProcessorMixin

from hf_clipdyn.errors import ConfigError, TrainingError, counted, naming
from hf_clipdyn.files import check_regular, write_atomically
from hf_clipdyn.interrupts import catch_signals
from hf_clipdyn.plugins import CALLBACKS, plugins, subclasses_in
from hf_clipdyn.progress import draws_bars, duration, say
from hf_clipdyn.revisions import Publisher, Row, epoch_name, step_name
from hf_clipdyn.training.checkpoint import Progress, save_checkpoint
from hf_clipdyn.training.data import Batch, Source
from hf_clipdyn.training.gradients import Evaluate
from hf_clipdyn.training.live_weights import is_sharded
from hf_clipdyn.training.model import TrainedModel


@dataclass
class Training:
    """One training run: the model, its data, and its progress.

    Attributes:
        accelerator: of this process.
        model, optimizer: as `Accelerator.prepare` returned them.
        source: of the batches.
        epochs: of the whole run.
        resumed_from: the checkpoint that the run continues from; None for a new run.
        step: optimiser steps of the whole run so far.
        epoch: completed epochs.
        losses: of the current epoch, as far as they were read.
        unread: the losses of the steps after; they stay on the device, so that no step waits.
        waited: seconds that this process has waited for batches.
        gradient_norm: of the last step, before clipping; None without clipping.
        learning_rate: of the last step; None before the first one of this process.
        validation_loss: after the last complete epoch; None without held-out images.
    """

    accelerator: Accelerator
    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    source: Source
    epochs: int
    resumed_from: Path | None = None
    step: int = 0
    epoch: int = 0
    losses: list[float] = field(default_factory=list)
    unread: list[torch.Tensor] = field(default_factory=list)
    waited: float = 0.0
    gradient_norm: torch.Tensor | None = None
    learning_rate: float | None = None
    validation_loss: float | None = None
    _is_stopping: bool = False

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.epochs * self.source.steps_per_epoch

    @property
    def step_in_epoch(self) -> int:
        """Steps of the current epoch so far."""
        return self.step - self.epoch * self.source.steps_per_epoch

    @property
    def samples_seen(self) -> int:
        """Images shown so far, with repetitions."""
        return self.step * self.source.global_batch_size

    @property
    def unwrapped(self) -> TrainedModel:
        """The model without what accelerate and torch.compile wrapped around it."""
        model: TrainedModel = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
        return model

    def stop(self) -> None:
        """End the run after the current step. All processes must call this in the same step."""
        self._is_stopping = True

    def is_stopping(self) -> bool:
        """Whether the run ends after the current step."""
        return self._is_stopping

    def check_losses(self) -> list[float]:
        """The losses of the current epoch. Call this before the state is published or saved.

        Raises:
            TrainingError: one of them is not finite.
        """
        if self.unread:
            values: list[float] = torch.stack(self.unread).float().tolist()
            for step, value in enumerate(values, self.step - len(values) + 1):
                if not math.isfinite(value):
                    raise TrainingError(
                        f"The loss became {value} in step {step}, which is not saved; earlier revisions are kept. "
                        "Lower learning_rate, or train with bf16 false."
                    )
            self.losses += values
            self.unread.clear()
        return self.losses


class Callback:
    """Base class of callbacks, which are called during training. Override the events that you need.

    Pass an object to `train`, or define a subclass in a ``--plugin`` file; `clipdyn train` then makes an object without
    arguments. Each process has its own object. ``docs/how-to/add-a-callback.md`` has a whole example.

    Examples:
        >>> from hf_clipdyn import TrainingConfig, train
        >>> from hf_clipdyn.training.callbacks import Callback
        >>> class Diary(Callback):
        ...     def epoch_ends(self, training):
        ...         print("epoch", training.epoch, "step", training.step)
        ...
        >>> config = TrainingConfig(
        ...     scale="tiny",
        ...     dataset_config_name="captions_small",
        ...     max_train_samples=64,
        ...     per_device_train_batch_size=32,
        ...     num_train_epochs=1,
        ...     output_dir="runs/mine",
        ...     quiet=True,
        ... )
        >>> summary = train(config, callbacks=[Diary()])
        epoch 1 step 2
    """

    def load_state(self, training: Training, folder: Path) -> None:
        """A run continues from the checkpoint ``folder``: read what `save_state` wrote. Called before `run_begins`."""

    def save_state(self, training: Training, folder: Path) -> None:
        """A checkpoint is being written: add the files that a resumed run needs. All processes call this."""

    def run_begins(self, training: Training) -> None:
        """Before the first step of this process; ``training.step`` is above 0 in a resumed run."""

    def step_ends(self, training: Training) -> None:
        """After each optimiser step."""

    def epoch_ends(self, training: Training) -> None:
        """After the last step of an epoch, and after its `step_ends`."""

    def run_ends(self, training: Training) -> None:
        """After the last step, or after the step in which the run was stopped."""

    def close(self) -> None:
        """Last, also after an error: close files, threads and bars."""


def plugin_callbacks() -> list[Callback]:
    """One callback of each class that a plug-in defines.

    Raises:
        ConfigError: one cannot be made without arguments.
    """
    callbacks = []
    for kind in subclasses_in(plugins(CALLBACKS), Callback):
        what = f"The callback {kind.__name__} of a plug-in cannot be created without arguments"
        with naming(f"{what} (pass others to `train(config, callbacks=[…])`)", ConfigError):
            callbacks.append(kind())
    return callbacks


class StopOnSignals(Callback):
    """Stops the run after a step, all processes after the same one, when a process has got a signal that asks to end.

    A second signal ends a single process at once. Launchers send several signals, so launched processes ignore them;
    they agree on a signal every few steps. Put it before the callbacks that ask whether the run is stopping.

    Args:
        every: steps after which launched processes ask one another.

    Attributes:
        signal: the signal that stopped the run; None if there was none.
    """

    def __init__(self, every: int) -> None:
        self.signal: signal.Signals | None = None
        self._every, self._received, self._launched = every, 0, False
        self._catching = ExitStack()

    def run_begins(self, training: Training) -> None:
        self._launched = training.accelerator.num_processes > 1
        self._catching.enter_context(catch_signals(self._receive))

    def step_ends(self, training: Training) -> None:
        agreed = self._received
        if self._launched:
            if training.step % self._every:
                return
            accelerator = training.accelerator
            agreed = int(accelerator.gather(torch.tensor([agreed], device=accelerator.device)).max())
        if agreed:
            self.signal = signal.Signals(agreed)
            training.stop()

    def close(self) -> None:
        if self._launched and self.signal:  # a launcher's second signal must not end what still publishes
            return
        self._catching.close()

    def _receive(self, number: int) -> None:
        if self._received and not self._launched:
            self._catching.close()
            signal.raise_signal(number)
        self._received = self._received or number


@dataclass
class Validation(Callback):
    """Computes the loss on held-out images before the first step and after each epoch.

    Attributes:
        evaluate: the loss of a batch, without gradients.
        held_out: batches of this process, the same in every epoch.
    """

    evaluate: Evaluate
    held_out: Iterable[Batch]

    def run_begins(self, training: Training) -> None:
        if training.step == 0:
            self.epoch_ends(training)

    def epoch_ends(self, training: Training) -> None:
        model = training.unwrapped.eval()  # each step begins with `train()`
        losses = [self.evaluate(model, batch) for batch in self.held_out]
        if losses:
            training.validation_loss = float(torch.stack(losses).mean())
            training.accelerator.log({"validation_loss": training.validation_loss}, step=training.step)


@dataclass
class PublishStates(Callback):
    """Publishes the initialisation, every epoch and chosen steps as revisions.

    Attributes:
        publisher: of the main process; None in the others, which only help to gather the weights.
        processor: published with the weights.
        steps: see `publishing_steps`. A step that ends an epoch is published as the epoch only.
    """

    publisher: Publisher | None
    processor: ProcessorMixin
    steps: set[int]
    is_average: ClassVar[bool] = False

    def run_begins(self, training: Training) -> None:
        if training.step == 0:
            self._publish(training, epoch_name(0), 0, None)

    def step_ends(self, training: Training) -> None:
        if training.step in self.steps and training.step_in_epoch < training.source.steps_per_epoch:
            self._publish(training, step_name(training.step), None, training.check_losses()[-1])

    def epoch_ends(self, training: Training) -> None:
        losses = training.check_losses()
        self._publish(training, epoch_name(training.epoch), training.epoch, sum(losses) / len(losses))

    def _publish(self, training: Training, name: str, epoch: int | None, loss: float | None) -> None:
        """Publish the weights as they are now. All processes call this."""
        model = training.unwrapped  # the names in a compiled one have a prefix
        weights = model.published(training.accelerator.get_state_dict(model))
        row = Row(
            name=name,
            epoch=epoch,
            step=training.step,
            samples_seen=training.samples_seen,
            loss=loss,
            validation_loss=None if epoch is None or self.is_average else training.validation_loss,
            learning_rate=training.learning_rate,
            logit_scale=model.scale(),
        )

        def save(folder: Path) -> None:
            model.encoder.save_pretrained(folder, state_dict=weights)
            self.processor.save_pretrained(folder)

        if self.publisher is not None and name not in self.publisher.published():
            self.publisher.submit(row, save)


@dataclass
class PublishAverage(PublishStates):
    """Averages the weights after each step, and publishes the average whenever `PublishStates` publishes the weights.

    ``average = decay * average + (1 - decay) * weights``, beginning with the initialisation. Frozen parameters are not
    averaged. The average of a sharded model is sharded in the same way.

    Attributes:
        publisher, processor, steps: see `PublishStates`; the average needs a publisher of its own.
        decay: share of the average that is kept at each step, in (0, 1).
    """

    decay: float
    is_average = True
    _average: list[torch.Tensor] = field(default_factory=list)

    def run_begins(self, training: Training) -> None:
        if not self._average:
            self._average = [weight.clone() for weight in _weights(training)]
        super().run_begins(training)

    @torch.no_grad()
    def step_ends(self, training: Training) -> None:
        update = get_ema_multi_avg_fn(self.decay)  # type: ignore[no-untyped-call]
        update(self._average, _weights(training), training.step)
        super().step_ends(training)

    def save_state(self, training: Training, folder: Path) -> None:
        if training.accelerator.is_main_process or is_sharded(training.unwrapped):
            save_file(
                {str(i): part.contiguous() for i, part in enumerate(self._average)}, _file(training, folder)
            )

    def load_state(self, training: Training, folder: Path) -> None:
        self._average = [weight.clone() for weight in _weights(training)]
        with naming(_file(training, folder), TrainingError):
            saved = load_file(_file(training, folder))
            _copy([saved[str(i)] for i in range(len(self._average))], self._average)

    def _publish(self, training: Training, name: str, epoch: int | None, loss: float | None) -> None:
        weights = _weights(training)
        before = [weight.clone() for weight in weights]
        _copy(self._average, weights)  # which publishing reads
        super()._publish(training, name, epoch, loss)
        _copy(before, weights)


def _file(training: Training, folder: Path) -> Path:
    """Of the average in a checkpoint: of this process's shards of it, or of all."""
    rank = training.accelerator.process_index if is_sharded(training.unwrapped) else 0
    return folder / f"ema-{rank}.safetensors"


def _weights(training: Training) -> list[torch.Tensor]:
    """The trained parameters of this process: in a sharded model, its shards of them."""
    weights = (p.detach() for p in training.unwrapped.parameters() if p.requires_grad)
    return [weight.to_local() if hasattr(weight, "to_local") else weight for weight in weights]


def _copy(source: list[torch.Tensor], target: list[torch.Tensor]) -> None:
    for ours, theirs in zip(source, target, strict=True):
        theirs.copy_(ours)


@dataclass
class Log(Callback):
    """Writes ``log.jsonl`` and to trackers every N steps, prints a line after each epoch, and draws a bar.

    A line of the file holds step, epoch, loss, learning_rate, logit_scale, gradient_norm (before clipping; absent
    without it), images_per_second, waiting_for_data (share of the time), memory_gib (of the main process; on a GPU its
    peak) and revisions_waiting (not yet in every place).

    Attributes:
        path: of the file.
        every: log every N steps.
        publishers: of the main process, whose revisions may be waiting; empty in the others.
        says: whether a line is printed after each epoch and, in a terminal, a bar is drawn.
    """

    path: Path
    every: int
    publishers: Sequence[Publisher] = ()
    says: bool = False
    _bar: Any = None

    def run_begins(self, training: Training) -> None:
        if training.accelerator.is_main_process and self.path.exists():
            # Forget what a killed run logged after its last checkpoint.
            with naming(self.path, TrainingError):
                check_regular(self.path)
                lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
                kept = [line for line in lines if _logged_step(line) <= training.step]
                write_atomically(self.path, "".join(line + "\n" for line in kept))
        if self.says and draws_bars():
            self._bar = tqdm(total=training.total_steps, initial=training.step, desc="training", unit="step")
        self._line = self._epoch = _now(training)

    def step_ends(self, training: Training) -> None:
        if self._bar is not None:
            self._bar.update(training.step - self._bar.n)
        if training.step > 1 and training.step % self.every:
            return
        loss, accelerator = training.check_losses()[-1], training.accelerator
        if training.step == 1 and accelerator.is_main_process:
            self.path.touch()  # shows that a step was taken, even if the run ends before one is logged
        if training.step % self.every:
            return
        speed, waiting = _pace(self._line, training)
        self._line, norm = _now(training), training.gradient_norm
        line = {
            "epoch": training.epoch + 1,
            "loss": loss,
            "learning_rate": training.learning_rate,
            "logit_scale": training.unwrapped.scale(),
            **({} if norm is None else {"gradient_norm": float(norm)}),
            "images_per_second": round(speed, 1),
            "waiting_for_data": round(waiting, 4),
            "memory_gib": round(_memory(accelerator.device) / 2**30, 3),
            "revisions_waiting": sum(len(publisher.waiting()) for publisher in self.publishers),
        }
        if accelerator.is_main_process:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": training.step} | line) + "\n")
        accelerator.log(line, step=training.step)

    def epoch_ends(self, training: Training) -> None:
        if not self.says:
            return
        losses, n = training.check_losses(), training.source.skipped
        speed, _ = _pace(self._epoch, training)
        self._epoch = _now(training)
        left = (training.total_steps - training.step) * training.source.global_batch_size / speed
        parts = [f"loss {sum(losses) / len(losses):.4f}"]
        parts += [] if training.validation_loss is None else [f"validation {training.validation_loss:.4f}"]
        parts += [f"{speed:.0f} img/s", *([f"{duration(left)} left"] if left else [])]
        broken = f"; {counted(n, 'broken image')} skipped" if n else ""
        say(f"epoch {training.epoch}/{training.epochs}: {', '.join(parts)}{broken}")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _now(training: Training) -> tuple[float, int, float]:
    return time.perf_counter(), training.samples_seen, training.waited


def _pace(then: tuple[float, int, float], training: Training) -> tuple[float, float]:
    """Images per second and the share of waiting since ``then``."""
    seconds, images, waited = (b - a for a, b in zip(then, _now(training), strict=True))
    return images / seconds, waited / seconds


def _memory(device: torch.device) -> int:
    """Bytes: the peak of a GPU, the present memory of a process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return int(psutil.Process().memory_info().rss)


def _logged_step(line: str) -> float:
    """The step of a line of the log; infinity for a line that was cut off."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return math.inf


@dataclass
class Checkpoints(Callback):
    """Saves a checkpoint after every epoch, every N steps, and where the run is told to stop.

    Put it after all others: what they do after a step must be in the checkpoint of that step. If the process is killed
    in between, the resumed run does their work of that step again.

    Attributes:
        folder: of the checkpoints.
        recipe: see `TrainingConfig.recipe`; only a run with the same recipe continues from the checkpoint.
        every: save every N steps inside epochs; None saves at the ends of epochs only.
        callbacks: the others, which add files to a checkpoint.
    """

    folder: Path
    recipe: dict[str, object]
    every: int | None
    callbacks: Sequence[Callback]
    _saved: int = -1

    def load_state(self, training: Training, folder: Path) -> None:
        if training.step_in_epoch:
            training.source.load_state(folder, training.accelerator.process_index)

    def run_begins(self, training: Training) -> None:
        self._saved = training.step

    def step_ends(self, training: Training) -> None:
        ends_epoch = training.step_in_epoch == training.source.steps_per_epoch
        if self.every is not None and training.step % self.every == 0 and not ends_epoch:
            self.epoch_ends(training)

    def run_ends(self, training: Training) -> None:
        if training.step != self._saved:
            self.epoch_ends(training)

    def epoch_ends(self, training: Training) -> None:
        def extend(folder: Path) -> None:
            training.source.save_state(folder, training.accelerator.process_index)
            for callback in self.callbacks:
                callback.save_state(training, folder)

        losses = training.check_losses()
        progress = Progress(
            epoch=training.epoch,
            step=training.step,
            num_processes=training.accelerator.num_processes,
            steps_per_epoch=training.source.steps_per_epoch,
            recipe=self.recipe,
            losses=losses if training.step_in_epoch else [],
        )
        save_checkpoint(training.accelerator, self.folder, progress, extend)
        self._saved = training.step
