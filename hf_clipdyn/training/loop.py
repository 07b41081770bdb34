"""The loop: forward, loss, backward, step. Everything else is a callback on its events."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from accelerate import Accelerator

from hf_clipdyn.errors import TrainingError
from hf_clipdyn.training.gradients import Backward
from hf_clipdyn.training.model import TrainedModel, unsharded
from hf_clipdyn.training.source import Batch, Source


class Losses:
    """The losses of an epoch's steps. They stay on the device until they are read, so that no step waits."""

    def __init__(self) -> None:
        self.checked = 0  # of them, those that `Training.check_losses` has seen
        self._read: list[float] = []
        self._waiting: list[torch.Tensor] = []

    def __len__(self) -> int:
        return len(self._read) + len(self._waiting)

    def add(self, loss: torch.Tensor) -> None:
        """Keep the loss of a step, a scalar."""
        self._waiting.append(loss.detach())

    def restore(self, losses: Sequence[float]) -> None:
        """Begin with the losses that a checkpoint holds."""
        self._read, self._waiting = list(losses), []

    def values(self) -> list[float]:
        """The losses so far, in order."""
        if self._waiting:
            self._read += torch.stack(self._waiting).float().tolist()
            self._waiting = []
        return self._read


class Callback:
    """Base class of callbacks, which are called during training. Override the events that you need.

    Pass an object to `train`, or define a subclass in a ``--plugin`` file; `clipdyn train` then makes an object without
    arguments. Each process has its own object. ``docs/how-to/add-a-callback.md`` has a whole example.

    Examples:
        >>> from hf_clipdyn import TrainingConfig, train
        >>> from hf_clipdyn.training.loop import Callback
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

    def load_state(self, training: "Training", folder: Path) -> None:
        """A run continues from the checkpoint ``folder``: read what `save_state` wrote. Called before `run_begins`."""

    def save_state(self, training: "Training", folder: Path) -> None:
        """A checkpoint is being written: add the files that a resumed run needs. All processes call this."""

    def run_begins(self, training: "Training") -> None:
        """Before the first step of this process; ``training.step`` is above 0 in a resumed run."""

    def step_ends(self, training: "Training") -> None:
        """After each optimiser step."""

    def epoch_ends(self, training: "Training") -> None:
        """After the last step of an epoch, and after its `step_ends`."""

    def run_ends(self, training: "Training") -> None:
        """After the last step, or after the step in which the run was stopped."""

    def close(self) -> None:
        """Last, also after an error: close files, threads and bars."""


class Training:
    """One training run: the model, its data, and its progress.

    Args:
        accelerator: of this process.
        model: as `Accelerator.prepare` returned it.
        backward: computes the gradients of a batch.
        optimizer, schedule: both take one step for each batch.
        source: gives the batches.
        epochs: of the whole run.
        max_grad_norm: gradients are clipped to this norm; 0 and inf do not clip.

    Attributes:
        step: optimiser steps of the whole run so far.
        epoch: completed epochs.
        losses: of the steps of the current epoch.
        resumed_from: the checkpoint that the run continues from; None for a new run.
        has_other_processes: whether another number of processes wrote that checkpoint.
        waited: seconds that this process has waited for batches.
        gradient_norm: of the last step, before clipping; None without clipping.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        model: torch.nn.Module,
        backward: Backward,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        source: Source,
        *,
        epochs: int,
        max_grad_norm: float,
    ) -> None:
        self.accelerator, self.model, self.source = accelerator, model, source
        self.optimizer, self.schedule = optimizer, schedule
        self.epochs, self.max_grad_norm = epochs, max_grad_norm
        self._backward = backward
        self.step = 0
        self.epoch = 0
        self.losses = Losses()
        self.gradient_norm: torch.Tensor | None = None
        self.resumed_from: Path | None = None
        self.has_other_processes = False
        self.waited = 0.0
        self._callbacks: Sequence[Callback] = ()
        self._stopping = False

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
        self._stopping = True

    def is_stopping(self) -> bool:
        """Whether the run ends after the current step."""
        return self._stopping

    def run(self, callbacks: Sequence[Callback]) -> None:
        """Train to the end, or until a callback calls `stop`.

        Raises:
            TrainingError: a loss is not finite.
        """
        self._callbacks = callbacks
        with ExitStack() as stack:
            for callback in callbacks:
                stack.callback(callback.close)
            if self.resumed_from is not None:
                for callback in callbacks:
                    callback.load_state(self, self.resumed_from)
            for callback in callbacks:
                callback.run_begins(self)
            while self.epoch < self.epochs and not self.is_stopping():
                for batch in self._batches():
                    self.take_step(batch)
                    for callback in callbacks:
                        callback.step_ends(self)
                    if self.is_stopping():
                        break
                if self.step_in_epoch == self.source.steps_per_epoch:
                    self.epoch += 1
                    for callback in callbacks:
                        callback.epoch_ends(self)
                    self.losses = Losses()
            for callback in callbacks:
                callback.run_ends(self)

    def save_state(self, folder: Path) -> None:
        """Let each callback add to the checkpoint that is being written in ``folder``."""
        for callback in self._callbacks:
            callback.save_state(self, folder)

    def _batches(self) -> Iterator[Batch]:
        """The remaining batches of the current epoch; measures the time until each arrives."""
        batches = iter(self.source.batches(self.epoch + 1, self.step_in_epoch))
        while True:
            began = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - began
            if batch is None:
                return
            yield batch

    def take_step(self, batch: Batch) -> None:
        """Forward, loss, backward, step."""
        self.model.train()
        self.losses.add(self._backward(batch))
        if 0 < self.max_grad_norm < math.inf:  # 0 means no clipping, as in transformers' Trainer
            norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.max_grad_norm)
            self.gradient_norm = unsharded(norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.schedule.step()
        self.unwrapped.clamp_scale()
        self.step += 1

    def release(self) -> None:
        """Drop the model before the process group ends; no step is possible afterwards."""
        self.source.close()
        del self.model, self.optimizer, self.schedule, self._backward

    def check_losses(self) -> list[float]:
        """The losses of the current epoch. Call this before the state is published or saved.

        Raises:
            TrainingError: one of them is not finite.
        """
        values, checked = self.losses.values(), self.losses.checked
        first = self.step - len(values) + checked + 1
        for step, value in enumerate(values[checked:], first):
            if not math.isfinite(value):
                raise TrainingError(
                    f"The loss became {value} in step {step}, which is not saved; earlier revisions are kept. "
                    "Lower learning_rate, or train with --bf16 false."
                )
        self.losses.checked = len(values)
        return values
