"""What a run would cost, before it begins: two steps on random pixels, no data and no files."""

import dataclasses
import re
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from accelerate.utils import DistributedType
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPProcessor, ProcessorMixin

from hf_clipdyn.config import TrainingConfig, in_python, publishing_steps
from hf_clipdyn.data.registry import dataset_metadata, dataset_names
from hf_clipdyn.errors import readable_size
from hf_clipdyn.models.sizes import clip_image_processor, model_size, siglip_processor
from hf_clipdyn.models.tokenizers import stand_in_tokenizer
from hf_clipdyn.preprocess import input_size
from hf_clipdyn.revisions import epoch_name
from hf_clipdyn.training.device import end_training, processes_here
from hf_clipdyn.training.loop import Training
from hf_clipdyn.training.losses import Loss
from hf_clipdyn.training.model import TrainedModel
from hf_clipdyn.training.run import Session, open_session
from hf_clipdyn.training.source import Batch, Source

__all__ = ["DryRun", "dry_run"]

_STEPS = 2
_FLOAT = 4  # bytes
_COUNTED_IMAGES = 2


@dataclass(frozen=True)
class DryRun:
    """The time, the memory and the disk space that a run would need.

    Attributes:
        parameters: number of the model's parameters.
        trained: number of the parameters that are trained.
        global_batch_size: images per step, over all processes.
        operations: floating-point operations per image, forward and backward, with recomputation.
        state_bytes: bytes of weights, gradients and AdamW's moments in float32, in one process.
        activation_bytes: bytes that one process keeps for the backward pass, counted in float32: an upper limit.
        images_per_second: speed of all processes in the second of two steps, without reading data; None if the model
            does not fit.
        memory: peak bytes of one process on the device; on a CPU its resident size. None if the model does not fit.
        free: bytes that one process may use.
        images: images per epoch; None if only the data can tell.
        epochs: epochs of the run.
        revisions: number of published revisions; without those inside epochs if ``images`` is None.
        revision_bytes: bytes of one revision's weights.
        device: the device of the two steps.

    Examples:
        >>> from hf_clipdyn import TrainingConfig
        >>> from hf_clipdyn.training import dry_run
        >>> result = dry_run(TrainingConfig(scale="tiny", per_device_train_batch_size=8))
        >>> result.parameters, result.global_batch_size, result.revisions
        (339073, 8, 11)
    """

    parameters: int
    trained: int
    global_batch_size: int
    operations: int
    state_bytes: int
    activation_bytes: int
    images_per_second: float | None
    memory: int | None
    free: int
    images: int | None
    epochs: int
    revisions: int
    revision_bytes: int
    device: str

    @property
    def hours(self) -> float | None:
        """Hours of the whole run at this speed; None if the speed or the number of images is unknown."""
        if self.images is None or self.images_per_second is None:
            return None
        return self.images * self.epochs / self.images_per_second / 3600

    @property
    def message(self) -> str:
        """The same as text, one line per fact."""
        lines = [
            f"model: {self.parameters:,} parameters, {self.trained:,} of them trained; "
            f"{self.operations / 1e9:,.3g} GFLOP per image (forward and backward)",
            f"step: {self.global_batch_size:,} images over all processes, on {self.device}",
            f"memory per process: {readable_size(self.state_bytes)} for weights, gradients and optimiser, at most "
            f"{readable_size(self.activation_bytes)} for activations (counted in float32)",
            self._speed(),
            f"revisions: {self.revisions:,} ({epoch_name(0)} to {epoch_name(self.epochs)}, "
            f"{self.revisions - self.epochs - 1:,} inside epochs), {readable_size(self.revision_bytes)} each, "
            f"{readable_size(self.revisions * self.revision_bytes)} in all",
            self._duration(),
            "Nothing was written. This speed does not include reading and decoding.",
        ]
        return "\n".join(lines)

    def _speed(self) -> str:
        if self.images_per_second is None or self.memory is None:
            return (
                f"speed: not measured, since {readable_size(self.free)} are free and the model does not fit"
            )
        return f"speed: {self.images_per_second:,.1f} images/s; peak memory {readable_size(self.memory)}"

    def _duration(self) -> str:
        if self.images is None:
            if self.images_per_second is None:
                return "run: the number of images is known once the data are read"
            hours = 1e6 / self.images_per_second / 3600
            return (
                f"run: {hours:,.2f} hours per million images at this speed; the number of images is known once the "
                "data are read, or set max_train_samples"
            )
        shown = f"run: {self.epochs:,} epoch{'s' * (self.epochs != 1)} of {self.images:,} images"
        return shown if self.hours is None else f"{shown}, {self.hours:,.2f} hours at this speed"


@in_python()
def dry_run(config: TrainingConfig) -> DryRun | None:
    """Build everything that `train` builds except the data, and take two steps on random pixels.

    All processes of a launched run call this. If the model does not fit into memory, only its parameters are counted. A
    new model gets a stand-in tokenizer with a vocabulary of the same size, so that nothing is downloaded.

    Args:
        config: configuration of the run.

    Returns:
        The result on the main process; None on the others.

    Raises:
        ConfigError: the configuration contradicts itself.
        ModelError: the model to continue from cannot be read.
        TrainingError: there are too few processes, or the loss is not finite.

    Examples:
        >>> from hf_clipdyn import TrainingConfig
        >>> from hf_clipdyn.training import dry_run
        >>> cost = dry_run(TrainingConfig(scale="tiny", per_device_train_batch_size=8))
        >>> cost.parameters, cost.global_batch_size
        (339073, 8)
    """
    with open_session(dataclasses.replace(config, report_to="none")) as session:
        cost = _measure(session)
        end_training(session.accelerator)
    return cost if session.accelerator.is_main_process else None


def _measure(session: Session) -> DryRun:
    config, accelerator = session.config, session.accelerator
    session.check_attention()
    processor = session.given_processor or _stand_in(config.scale, session.loss)
    with torch.device("meta") if session.given_model is None else nullcontext():
        on_meta = session.initial_model(processor).to("meta")
    images = _images_per_epoch(config)
    source = RandomPixels(
        processor,
        vocab_size=on_meta.encoder.config.text_config.vocab_size,
        per_device_batch_size=config.per_device_step_size,
        num_processes=accelerator.num_processes,
        images=images,
    )
    trained = sum(p.numel() for p in on_meta.parameters() if p.requires_grad)
    parameters = sum(p.numel() for p in on_meta.parameters())
    # A weight; for each trained one a gradient and two moments. Sharding divides all four.
    shards = accelerator.num_processes if accelerator.distributed_type == DistributedType.FSDP else 1
    state_bytes = _FLOAT * (parameters + 3 * trained) // shards
    operations, activation_bytes = _count(on_meta, source)
    at_once = config.gradient_cache_chunk or config.per_device_train_batch_size
    activation_bytes *= min(at_once, config.per_device_train_batch_size)
    free = memory_at_hand(accelerator.device)
    speed = memory = None
    if state_bytes + activation_bytes <= free:
        speed, memory = _take_steps(session.training(session.initial_model(processor), source))
    steps = publishing_steps(config.publish, config.num_train_epochs * source.steps_per_epoch)
    inside = sum(step % source.steps_per_epoch > 0 for step in steps) if images is not None else 0
    return DryRun(
        parameters=parameters,
        trained=trained,
        global_batch_size=source.global_batch_size,
        operations=operations,
        state_bytes=state_bytes,
        activation_bytes=activation_bytes,
        images_per_second=speed,
        memory=memory,
        free=free,
        images=images,
        epochs=config.num_train_epochs,
        revisions=config.num_train_epochs + 1 + inside,
        revision_bytes=_FLOAT * parameters,
        device=str(accelerator.device) if speed is not None else "meta",
    )


def _stand_in(scale: str, loss: Loss) -> ProcessorMixin:
    """The processor of a new model, with a stand-in for its tokenizer."""
    size = model_size(scale)
    tokenizer = stand_in_tokenizer(vocab_size=size.vocab_size, context_length=size.context_length)
    processor = CLIPProcessor(image_processor=clip_image_processor(size), tokenizer=tokenizer)
    return siglip_processor(processor) if loss.model_type == "siglip" else processor


def _images_per_epoch(config: TrainingConfig) -> int | None:
    """From the recipe or the data set's metadata; None if only the data tell."""
    if config.caption_choice == "all":
        return None
    if (given := config.samples_per_epoch or config.max_train_samples) is not None:
        return given
    if config.dataset_name not in dataset_names():
        return None
    rows = dataset_metadata(config.dataset_name).official_rows(config.dataset_config_name, config.train_split)
    return None if rows is None else rows - config.validation_size


def memory_at_hand(device: torch.device) -> int:
    """Bytes that this process may use: the free memory of a GPU, or its share of the machine's available memory."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return psutil.virtual_memory().available // processes_here()


def _count(model: TrainedModel, source: "RandomPixels") -> tuple[int, int]:
    """Operations and bytes of kept activations, both per image, counted on the meta device."""
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage
        return tensor

    batch = source.random(_COUNTED_IMAGES, torch.device("meta"))
    model.train()
    with FlopCounterMode(display=False) as counter:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            features = model(batch.pixels, batch.input_ids)
        parts = [x.float().sum() for x in features if x is not None and x.requires_grad]
        torch.autograd.backward(parts)
    of_weights = {p.untyped_storage()._cdata for p in model.parameters()}
    activations = sum(storage.nbytes() for name, storage in kept.items() if name not in of_weights)
    model.zero_grad()
    return counter.get_total_flops() // _COUNTED_IMAGES, activations // _COUNTED_IMAGES


def _take_steps(training: Training) -> tuple[float, int]:
    """Images per second in the second step, and peak memory in bytes."""
    device = training.accelerator.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    began = 0.0
    for step, batch in enumerate(training.source.batches(1), 1):
        if step == _STEPS:  # the first one compiles, allocates and makes the optimiser's state
            began = time.perf_counter()
        training.take_step(batch)
        training.check_losses()  # reads the loss, so it waits for the step
    seconds = time.perf_counter() - began
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _peak_of_process()
    training.release()
    return training.source.global_batch_size / seconds, peak


def _peak_of_process() -> int:
    """The largest resident size of this process so far in bytes, or the current one if the system keeps no peak."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        status = ""
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(psutil.Process().memory_info().rss) if peak is None else 1024 * int(peak[1])


class RandomPixels(Source):
    """Two steps of noise with random tokens; ``images`` are those of an epoch of the run's data, None if unknown."""

    def __init__(
        self,
        processor: ProcessorMixin,
        *,
        vocab_size: int,
        per_device_batch_size: int,
        num_processes: int,
        images: int | None,
    ) -> None:
        self._size = input_size(processor.image_processor)
        self._tokenizer, self._vocab_size = processor.tokenizer, vocab_size
        self._local_size = per_device_batch_size
        self.global_batch_size = per_device_batch_size * num_processes
        self.images = images or _STEPS * self.global_batch_size
        self.captions = None
        self.steps_per_epoch = max(1, self.images // self.global_batch_size)

    @property
    def skipped(self) -> int:
        """None is broken."""
        return 0

    def batches(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:  # noqa: ARG002  (as every source)
        """Two batches, whatever the epoch."""
        for _ in range(_STEPS):
            yield self.random(self._local_size, torch.device("cpu"))

    def random(self, count: int, device: torch.device) -> Batch:
        """One batch; each caption fills the context and ends with the end token."""
        length = self._tokenizer.model_max_length
        pixels = torch.randint(0, 256, (count, 3, *self._size), dtype=torch.uint8, device=device)
        input_ids = torch.randint(0, self._vocab_size, (count, length), device=device)
        input_ids[:, -1] = self._tokenizer.eos_token_id
        return Batch(pixels, input_ids)
