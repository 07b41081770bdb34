"""What listens to a training run: publishing, checkpoints, the log and the bar, one class each."""

import json
import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
import torch
import torch.distributed as dist
from accelerate import Accelerator
from safetensors.torch import save_file
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    set_model_state_dict,
)
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm.auto import tqdm
from transformers import ProcessorMixin

from hf_clipdyn.errors import ConfigError, TrainingError
from hf_clipdyn.files import check_regular, disk_errors, write_atomically
from hf_clipdyn.plugins import CALLBACKS, plugins, subclasses_in
from hf_clipdyn.progress import duration, say
from hf_clipdyn.revisions import Publisher, Row, epoch_name, step_name
from hf_clipdyn.schema import Count, parse_json
from hf_clipdyn.training.checkpoint import Progress, read_tensors, save_checkpoint
from hf_clipdyn.training.loop import Callback, Training


def own_callbacks() -> list[Callback]:
    """One callback of each class that a plug-in defines.

    Raises:
        ConfigError: one cannot be made without arguments.
    """
    callbacks = []
    for own in subclasses_in(plugins(CALLBACKS), Callback):
        try:
            callbacks.append(own())
        except Exception as error:
            raise ConfigError(
                f"The callback {own.__name__} of a plug-in cannot be created ({type(error).__name__}: {error}): a "
                "plug-in's callback must take no arguments. Pass others to `train(config, callbacks=[…])`."
            ) from error
    return callbacks


class PublishStates(Callback):
    """Publishes the initialisation, every epoch and chosen steps as revisions.

    Args:
        publisher: of the main process; None in the others, which only help to gather the weights.
        processor: published with the weights.
        steps: see `publishing_steps`. A step that ends an epoch is published as the epoch only.
    """

    def __init__(self, publisher: Publisher | None, processor: ProcessorMixin, steps: set[int]) -> None:
        self._publisher, self._processor, self._steps = publisher, processor, steps

    def run_begins(self, training: Training) -> None:
        if training.step == 0:
            self._publish(training, epoch_name(0), 0, None)

    def step_ends(self, training: Training) -> None:
        if training.step in self._steps and training.step_in_epoch < training.source.steps_per_epoch:
            self._publish(training, step_name(training.step), None, training.check_losses()[-1])

    def epoch_ends(self, training: Training) -> None:
        losses = training.check_losses()
        self._publish(training, epoch_name(training.epoch), training.epoch, sum(losses) / len(losses))

    def _publish(self, training: Training, name: str, epoch: int | None, loss: float | None) -> None:
        """Publish the weights as they are now. All processes call this."""
        model = training.unwrapped  # the names in a compiled one have a prefix
        weights = model.published(training.accelerator.get_state_dict(model))

        def save(folder: Path) -> None:
            model.encoder.save_pretrained(folder, state_dict=weights)
            self._processor.save_pretrained(folder)

        if self._publisher is not None and name not in self._publisher.published():
            row = Row(
                name=name,
                epoch=epoch,
                step=training.step,
                samples_seen=training.samples_seen,
                loss=loss,
                learning_rate=training.schedule.get_last_lr()[0] if training.step else None,
                logit_scale=training.unwrapped.scale(),
            )
            self._publisher.submit(row, save)


class Checkpoints(Callback):
    """Saves a checkpoint after every epoch, every N steps, and where the run is told to stop.

    Put it after `LogFile` and after what publishes: if the process is killed in between, the resumed run would skip
    their work of that step.

    Args:
        folder: of the checkpoints.
        recipe: see `TrainingConfig.recipe`; only a run with the same recipe continues from the checkpoint.
        keep: how many of the newest checkpoints are kept.
        every: save every N steps inside epochs; None saves at the ends of epochs only.
    """

    def __init__(
        self,
        folder: Path,
        recipe: dict[str, object],
        keep: int,
        every: int | None = None,
    ) -> None:
        self._folder, self._recipe, self._keep, self._every = folder, recipe, keep, every
        self._saved = -1

    def run_begins(self, training: Training) -> None:
        self._saved = training.step

    def step_ends(self, training: Training) -> None:
        ends_epoch = training.step_in_epoch == training.source.steps_per_epoch
        if self._every is not None and training.step % self._every == 0 and not ends_epoch:
            self._save(training, training.check_losses())

    def epoch_ends(self, training: Training) -> None:
        training.check_losses()
        self._save(training, [])

    def run_ends(self, training: Training) -> None:
        if training.step != self._saved:
            self._save(training, training.check_losses())

    def _save(self, training: Training, losses: list[float]) -> None:
        accelerator = training.accelerator
        progress = Progress(
            epoch=training.epoch,
            step=training.step,
            samples_seen=training.samples_seen,
            num_processes=accelerator.num_processes,
            steps_per_epoch=training.source.steps_per_epoch,
            recipe=self._recipe,
            global_batch_size=training.source.global_batch_size,
        )
        save_checkpoint(
            accelerator, self._folder, progress, self._keep, losses=losses, extend=training.save_state
        )
        self._saved = training.step


class LogFile(Callback):
    """Writes a line to ``log.jsonl`` every N steps and sends it to accelerate's trackers; only the main process does.

    A line holds step, epoch, loss, learning_rate, logit_scale, gradient_norm (before clipping; absent without it),
    images_per_second, waiting_for_data (share of the time), memory_gib (of the main process; on a GPU its peak),
    revisions_waiting (not yet in every place) and, first after a continuation with another number of processes,
    resumed_with (that number).

    Args:
        path: of the file.
        every: log every N steps.
        publishers: of the main process, whose revisions may be waiting; empty in the others.
    """

    def __init__(self, path: Path, every: int, publishers: Sequence[Publisher] = ()) -> None:
        self._path, self._every, self._publishers = path, every, publishers
        self._since = (0.0, 0, 0.0)
        self._resumed_with: dict[str, int] = {}

    def run_begins(self, training: Training) -> None:
        if training.has_other_processes:
            self._resumed_with = {"resumed_with": training.accelerator.num_processes}
        if training.accelerator.is_main_process and self._path.exists():
            self._forget_after(training.step)
        self._since = (time.perf_counter(), training.step, training.waited)

    def _forget_after(self, step: int) -> None:
        """Remove what a killed run logged after its last checkpoint: it will be logged again."""
        problem = f"The log {self._path} cannot be continued"
        with disk_errors(TrainingError, problem, "move it away, or check its permissions"):
            check_regular(self._path)
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
            kept = [line for line in lines if _logged_step(line) <= step]
            write_atomically(self._path, "".join(line + "\n" for line in kept))

    def step_ends(self, training: Training) -> None:
        if training.step > 1 and training.step % self._every:
            return
        loss = training.check_losses()[-1]
        if training.step == 1 and training.accelerator.is_main_process:
            self._path.touch()  # shows that a step was taken, even if the run ends before one is logged
        if training.step % self._every:
            return
        now, (then, step, waited) = time.perf_counter(), self._since
        self._since = (now, training.step, training.waited)
        images = (training.step - step) * training.source.global_batch_size
        norm = training.gradient_norm
        self._write(
            training.accelerator,
            step=training.step,
            epoch=training.epoch + 1,
            loss=loss,
            learning_rate=training.schedule.get_last_lr()[0],
            logit_scale=training.unwrapped.scale(),
            **({} if norm is None else {"gradient_norm": float(norm)}),
            images_per_second=round(images / (now - then), 1),
            waiting_for_data=round((training.waited - waited) / (now - then), 4),
            memory_gib=round(_memory(training.accelerator.device) / 2**30, 3),
            revisions_waiting=sum(len(publisher.waiting()) for publisher in self._publishers),
            **self._resumed_with,
        )
        self._resumed_with = {}

    def _write(self, accelerator: Accelerator, **values: Any) -> None:
        if accelerator.is_main_process:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")
        accelerator.log({k: v for k, v in values.items() if k != "step"}, step=values["step"])


def _memory(device: torch.device) -> int:
    """Bytes: the peak of a GPU, the present memory of a process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return int(psutil.Process().memory_info().rss)


@dataclass(frozen=True)
class _Logged:
    step: Count


def _logged_step(line: str) -> float:
    """The step of a line of the log; infinity for a line that was cut off."""
    try:
        return parse_json(_Logged, line, where="the log", error=TrainingError).step
    except TrainingError:
        return math.inf


class Progression(Callback):
    """Prints a line after each epoch if ``lines``, and draws a bar over all steps if ``bar``."""

    def __init__(self, *, lines: bool, bar: bool) -> None:
        self._lines, self._draws = lines, bar
        self._bar: tqdm[Any] | None = None
        self._began = (0.0, 0)

    def run_begins(self, training: Training) -> None:
        main = training.accelerator.is_main_process
        self._lines, self._draws = self._lines and main, self._draws and main
        if self._draws:
            self._bar = tqdm(total=training.total_steps, initial=training.step, desc="training", unit="step")
        self._began = (time.perf_counter(), training.step)

    def step_ends(self, training: Training) -> None:
        if self._bar is not None:
            self._bar.update(training.step - self._bar.n)

    def epoch_ends(self, training: Training) -> None:
        if not self._lines:
            return
        losses = training.check_losses()
        now, (then, step) = time.perf_counter(), self._began
        self._began = (now, training.step)
        speed = (training.step - step) * training.source.global_batch_size / (now - then)
        n = training.source.skipped
        broken = f"; {n} broken image{'s' * (n > 1)} skipped" if n else ""
        left = (training.total_steps - training.step) * training.source.global_batch_size / speed
        rest = f", {duration(left)} left" if training.epoch < training.epochs else ""
        loss = sum(losses) / len(losses)
        say(f"epoch {training.epoch}/{training.epochs}: loss {loss:.4f}, {speed:.0f} img/s{rest}{broken}")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


_FILE = "ema.safetensors"


class PublishAverage(PublishStates):
    """Averages the weights after each step, and publishes the average whenever `PublishStates` publishes the weights.

    ``average = decay * average + (1 - decay) * weights``, beginning with the initialisation. Frozen parameters are not
    averaged. The average of a sharded model is sharded in the same way.

    Args:
        publisher, processor, steps: see `PublishStates`; the average needs a publisher of its own.
        decay: share of the average that is kept at each step, in (0, 1).
    """

    def __init__(
        self,
        publisher: Publisher | None,
        processor: ProcessorMixin,
        steps: set[int],
        *,
        decay: float,
    ) -> None:
        super().__init__(publisher, processor, steps)
        self._update = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        self._average: list[torch.Tensor] = []

    def run_begins(self, training: Training) -> None:
        if not self._average:
            self._average = [weight.clone() for weight in _weights(training)]
        super().run_begins(training)

    @torch.no_grad()
    def step_ends(self, training: Training) -> None:
        self._update(self._average, _weights(training), training.step)
        super().step_ends(training)

    def save_state(self, training: Training, folder: Path) -> None:
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        with self._in_place_of_weights(training):
            state: dict[str, Any] = {**get_model_state_dict(training.unwrapped, options=options)}
            # Within the block: the tensors may be the model's own.
            if training.accelerator.is_main_process:
                save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / _FILE)

    def load_state(self, training: Training, folder: Path) -> None:
        state: dict[str, Any] = {**read_tensors(folder / _FILE)}
        own = [weight.clone() for weight in _weights(training)]
        try:
            set_model_state_dict(training.unwrapped, state, options=StateDictOptions(full_state_dict=True))
        except (RuntimeError, KeyError, ValueError) as error:
            raise TrainingError(
                f"{folder / _FILE} does not contain the average of this model: continue from another checkpoint, or "
                "delete the folder of the run and start again."
            ) from error
        self._average = [weight.clone() for weight in _weights(training)]
        _copy(own, _weights(training))

    def _publish(self, training: Training, name: str, epoch: int | None, loss: float | None) -> None:
        with self._in_place_of_weights(training):
            super()._publish(training, name, epoch, loss)

    @contextmanager
    def _in_place_of_weights(self, training: Training) -> Iterator[None]:
        """Use the average as the model's weights within the block."""
        weights = _weights(training)
        own = [weight.clone() for weight in weights]
        _copy(self._average, weights)
        try:
            yield
        finally:
            _copy(own, weights)


def _weights(training: Training) -> list[torch.Tensor]:
    """The trained parameters of this process: in a sharded model, its shards of them."""
    weights = (p.detach() for p in training.unwrapped.parameters() if p.requires_grad)
    return [weight.to_local() if hasattr(weight, "to_local") else weight for weight in weights]


def _copy(source: list[torch.Tensor], target: list[torch.Tensor]) -> None:
    for ours, theirs in zip(source, target, strict=True):
        theirs.copy_(ours)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption(Callback):
    """Stops the run after the step in which a signal came, all processes after the same step.

    The processes agree without waiting for one another: after each step they start an all-reduce of one number on the
    CPU and read the result of the previous one. So several processes stop one step later than one would.

    A second signal ends a single process at once. Launchers send several signals, so launched processes ignore them.

    Put it before the callbacks that ask at `step_ends` whether the run is stopping.

    Attributes:
        signal: the signal that stopped the run; None if there was none.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._received = 0
        self._earlier: dict[signal.Signals, Any] = {}
        self._group: Any = None
        self._flag: torch.Tensor | None = None
        self._work: Any = None
        self._process = os.getpid()
        self._launched = False

    def run_begins(self, training: Training) -> None:
        self._launched = training.accelerator.num_processes > 1
        if self._launched:
            self._group = dist.new_group(backend="gloo")
        if threading.current_thread() is threading.main_thread():  # Python sets handlers in no other one
            for number in _SIGNALS:
                if signal.getsignal(number) != signal.SIG_IGN:  # a shell ignores Ctrl-C for a background job
                    self._earlier[number] = signal.signal(number, self._receive) or signal.SIG_DFL

    def step_ends(self, training: Training) -> None:
        agreed = self._agree() if self._launched else self._received
        if agreed:
            self.signal = signal.Signals(agreed)
            training.stop()

    def run_ends(self, _: Training) -> None:
        if self._work is not None:
            self._work.wait()

    def close(self) -> None:
        self._group = self._work = None
        if self._launched and self.signal:  # a launcher's second signal must not end what still publishes
            return
        for number, handler in self._earlier.items():
            signal.signal(number, handler)

    def _agree(self) -> int:
        """The largest signal that any process had received one step ago; 0 for none."""
        agreed = 0
        if self._work is not None and self._flag is not None:
            self._work.wait()
            agreed = int(self._flag.item())
        self._flag = torch.tensor([self._received])
        self._work = dist.all_reduce(self._flag, op=dist.ReduceOp.MAX, group=self._group, async_op=True)
        return agreed

    def _receive(self, number: int, _: FrameType | None) -> None:
        if os.getpid() != self._process:  # a data loader's worker inherits this handler
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        if self._received and not self._launched:
            signal.signal(number, self._earlier[signal.Signals(number)])
            os.kill(os.getpid(), number)
        self._received = self._received or number
