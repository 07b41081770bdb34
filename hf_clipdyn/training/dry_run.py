"""What a run would cost, before it begins: two steps on random pixels, no data and no files."""

import dataclasses
import math
import os
import re
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
import transformers
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPProcessor, ProcessorMixin

from hf_clipdyn.config import TrainingConfig
from hf_clipdyn.data.registry import dataset_metadata, dataset_names
from hf_clipdyn.models.sizes import clip_image_processor, model_size, siglip_processor
from hf_clipdyn.models.tokenizers import stand_in_tokenizer
from hf_clipdyn.plugins import load_plugin
from hf_clipdyn.preprocess import input_size
from hf_clipdyn.revisions import epoch_name
from hf_clipdyn.training.callbacks import publishing_steps
from hf_clipdyn.training.device import attention, check_processes, end_training, make_accelerator, threads
from hf_clipdyn.training.folder import output_folder
from hf_clipdyn.training.losses import Loss, make_loss
from hf_clipdyn.training.model import TrainedModel
from hf_clipdyn.training.run import initial_model, prepare_training, starting_folder
from hf_clipdyn.training.source import Batch, Source
from hf_clipdyn.training.starting_point import read_processor

__all__ = ["DryRun", "dry_run"]

_STEPS = 2
_FLOAT = 4  # bytes
_COUNTED_IMAGES = 2


@dataclass(frozen=True)
class DryRun:
    """What a run would take.

    Attributes:
        parameters: of the model.
        trained: of these, those that are trained.
        global_batch_size: images of a step over all processes.
        operations: floating-point operations of forward and backward per image; recomputed activations count.
        state_bytes: of weights, gradients and AdamW's moments of one process, in float32.
        activation_bytes: kept for the backward pass of one process's batch, at most: counted in float32.
        images_per_second: over all processes, in the second of two steps, without reading data; None if the model
            does not fit.
        memory: peak in bytes of one process: of the device, or on a CPU resident; None if the model does not fit.
        free: bytes that one process may take.
        images: of an epoch; None if they are not known without the data.
        epochs: of the run.
        revisions: that the run publishes; those inside epochs are missing where ``images`` is None.
        revision_bytes: of the weights of one revision.
        device: that the steps ran on.
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
        """Of the whole run at this speed; None if speed or size is not known."""
        if self.images is None or self.images_per_second is None:
            return None
        return self.images * self.epochs / self.images_per_second / 3600

    @property
    def message(self) -> str:
        """All of it in words, a line each."""
        lines = [
            f"model: {self.parameters:,} parameters, {self.trained:,} of them trained; "
            f"{self.operations / 1e9:,.3g} GFLOP per image (forward and backward)",
            f"step: {self.global_batch_size:,} images over all processes, on {self.device}",
            f"memory per process: {_bytes(self.state_bytes)} for weights, gradients and optimiser, at most "
            f"{_bytes(self.activation_bytes)} for activations (counted in float32)",
            self._speed(),
            f"revisions: {self.revisions:,} ({epoch_name(0)} to {epoch_name(self.epochs)}, "
            f"{self.revisions - self.epochs - 1:,} inside epochs), {_bytes(self.revision_bytes)} each, "
            f"{_bytes(self.revisions * self.revision_bytes)} in all",
            self._duration(),
            "Nothing was written. Reading and decoding the data is not part of this speed.",
        ]
        return "\n".join(lines)

    def _speed(self) -> str:
        if self.images_per_second is None or self.memory is None:
            return f"speed: not measured, since {_bytes(self.free)} are free and the model does not fit"
        return f"speed: {self.images_per_second:,.1f} images/s; peak memory {_bytes(self.memory)}"

    def _duration(self) -> str:
        if self.images is None:
            if self.images_per_second is None:
                return "run: the number of images is known once the data are read"
            hours = 1e6 / self.images_per_second / 3600
            return (
                f"run: {hours:,.2f} hours per million images at this speed; the number of images is known once the "
                "data are read, or set max_train_samples"
            )
        shown = f"run: {self.epochs:,} epochs of {self.images:,} images"
        return shown if self.hours is None else f"{shown}, {self.hours:,.2f} hours at this speed"


def dry_run(config: TrainingConfig) -> DryRun | None:
    """Build everything that `train` builds but the data, and take two steps on random pixels.

    Every process of a launched run calls this. A model that does not fit is only counted, on the meta device. The
    tokenizer of a new model is a stand-in with a vocabulary of the same size, so that nothing is downloaded.

    Args:
        config: the run.

    Returns:
        What was found, on the main process; None on the others.

    Raises:
        ConfigError: the configuration contradicts itself.
        ModelError: the model to continue from cannot be read.
        TrainingError: the processes are too few, or the loss is not finite.
    """
    for path in filter(None, (config.plugin or "").split(",")):
        load_plugin(path)
    loss = make_loss(config.loss)
    transformers.utils.logging.disable_progress_bar()
    accelerator = make_accelerator(dataclasses.replace(config, report_to="none"), output_folder(config))
    check_processes(config, accelerator.num_processes)
    with threads(config, accelerator) as num_threads:
        bf16 = accelerator.mixed_precision == "bf16"
        config = dataclasses.replace(
            config,
            bf16=bf16,
            attn_implementation=config.attn_implementation or attention(accelerator.device, bf16),
            num_threads=num_threads,
        )
        found = _measure(config, accelerator, loss)
        end_training(accelerator)
    return found if accelerator.is_main_process else None


def _measure(config: TrainingConfig, accelerator: Accelerator, loss: Loss) -> DryRun:
    begin = starting_folder(config, accelerator)
    processor = _stand_in(config, loss) if begin is None else read_processor(begin)
    with torch.device("meta") if begin is None else nullcontext():
        on_meta = initial_model(config, loss, processor, begin).to("meta")
    source = RandomPixels(
        processor,
        vocab_size=on_meta.encoder.config.text_config.vocab_size,
        per_device_batch_size=config.per_device_step_size,
        num_processes=accelerator.num_processes,
        images=_images_per_epoch(config),
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
        model = initial_model(config, loss, processor, begin)
        speed, memory = _take_steps(config, accelerator, loss, model, source)
    steps = publishing_steps(config.publish, config.num_train_epochs * source.steps_per_epoch)
    inside = {step for step in steps if step % source.steps_per_epoch} if source.known else set()
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
        images=source.images if source.known else None,
        epochs=config.num_train_epochs,
        revisions=config.num_train_epochs + 1 + len(inside),
        revision_bytes=_FLOAT * parameters,
        device=str(accelerator.device) if speed is not None else "meta",
    )


def _stand_in(config: TrainingConfig, loss: Loss) -> ProcessorMixin:
    """The processor of a new model, with a stand-in for its tokenizer."""
    size = model_size(config.scale)
    tokenizer = stand_in_tokenizer(vocab_size=size.vocab_size, context_length=size.context_length)
    processor = CLIPProcessor(image_processor=clip_image_processor(size), tokenizer=tokenizer)
    return siglip_processor(processor) if loss.model_type == "siglip" else processor


def _images_per_epoch(config: TrainingConfig) -> int | None:
    """What the recipe or the data set's facts say; None if only the data can."""
    fields = config.recipe()
    for name in ("samples_per_epoch", "max_train_samples"):
        if fields.get(name) is not None:
            return int(fields[name])
    if config.dataset_name not in dataset_names():
        return None
    rows = dataset_metadata(config.dataset_name).official_rows(config.dataset_config_name, config.train_split)
    return None if rows is None else rows - config.validation_size


def memory_at_hand(device: torch.device) -> int:
    """Bytes that this process may take: of a GPU what is free, of the memory its share among the processes here."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    local = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return psutil.virtual_memory().available // max(1, int(local) if local.isdecimal() else 1)


def _count(model: TrainedModel, source: "RandomPixels") -> tuple[int, int]:
    """Operations and bytes of kept activations, both per image; nothing is computed on the meta device."""
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


def _take_steps(
    config: TrainingConfig, accelerator: Accelerator, loss: Loss, model: TrainedModel, source: "RandomPixels"
) -> tuple[float, int]:
    """Images per second of the second step, and the peak of the memory in bytes."""
    device = accelerator.device
    training = prepare_training(config, accelerator, loss, model, source)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    began = 0.0
    for step, batch in enumerate(source.batches(1), 1):
        if step == _STEPS:  # the first one compiles, allocates and makes the optimiser's state
            began = time.perf_counter()
        training.take_step(batch)
        training.check_losses()  # reads the loss, hence waits for the step
    seconds = time.perf_counter() - began
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _peak_of_process()
    training.let_go()
    return source.global_batch_size / seconds, peak


def _peak_of_process() -> int:
    """The largest resident size of this process so far, in bytes; where the system does not keep it, that of now."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        status = ""
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(psutil.Process().memory_info().rss) if peak is None else 1024 * int(peak[1])


def _bytes(count: int) -> str:
    return f"{count / 1e9:,.2f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


class RandomPixels(Source):
    """Two steps of noise with random tokens; the steps of an epoch are those of the run's own data.

    Args:
        processor: gives the size of the images and the length of the captions.
        vocab_size: of the model.
        per_device_batch_size: images of a process and step.
        num_processes: of the run.
        images: of an epoch; None if not known.
    """

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
        self.known = images is not None
        self.global_batch_size = per_device_batch_size * num_processes
        self.images = images or _STEPS * self.global_batch_size
        self.captions = None
        self.steps_per_epoch = max(1, math.floor(self.images / self.global_batch_size))

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
