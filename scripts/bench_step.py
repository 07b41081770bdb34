"""A training step, compared with open_clip's model, loss and loop at the same size and batch.

python scripts/bench_step.py [--scale small] [--batch 128] [--compile 1]

In bfloat16 and in float32. With ``--compile 1`` also our step under torch.compile, compared with open_clip's own
``--torchcompile``, with open_clip not compiled, and with ours; the first steps take minutes. Random weights and
pictures: only time is measured. Both share the allocator's setting that our accelerator makes, which speeds up both.

It runs on the device that accelerate chooses (ACCELERATE_USE_CPU=true: the processor). Nobody has run it on a GPU yet.
There, read the ratios of the clock:

    python scripts/bench_step.py --scale vit-b-32 --batch 512
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import datasets
import torch
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed
from timing import in_turn, main, quiet, row
from transformers import CLIPProcessor

from hf_clipdyn.models.encoder import default_device
from hf_clipdyn.models.sizes import clip_image_processor, model_size
from hf_clipdyn.models.tokenizers import train_tokenizer
from hf_clipdyn.training.callbacks import Training
from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.training.data import Batch, Loading, Source, open_data
from hf_clipdyn.training.device import attention, has_bf16, make_accelerator
from hf_clipdyn.training.gradients import make_backward
from hf_clipdyn.training.losses import make_loss
from hf_clipdyn.training.model import make_model
from hf_clipdyn.training.optimizers import build_optimizer, build_schedule
from hf_clipdyn.training.run import take_steps

DEVICE = default_device()


def caption(i: int) -> str:
    return f"picture number {i} of a series"


def finish() -> None:
    """Wait for what a GPU still computes."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


class Repeated(Source):
    """The same random batch again and again, so that nothing but the steps takes time."""

    def __init__(self, processor: CLIPProcessor, batch: int, steps: int) -> None:
        super().__init__(batch * steps, None, Loading(0, batch))
        side = processor.image_processor.crop_size["height"]
        texts = [caption(i) for i in range(batch)]
        ids = processor.tokenizer(texts, padding="max_length", return_tensors="pt")["input_ids"]
        self.batch = Batch(torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8), ids)

    def batches(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:  # noqa: ARG002  (as every source)
        for _ in range(first_step, self.steps_per_epoch):
            yield self.batch


class Epochs:
    """The package's own loop; each call trains one more epoch of its source."""

    def __init__(self, of: "Bench", steps: int | None = None, **changes: Any) -> None:
        """Train on so many steps of a repeated batch; without, on what the recipe names."""
        AcceleratorState._reset_state(reset_partial_state=True)  # else the precision of the first one stays
        config = of.config.but(**({"bf16": has_bf16()} | changes))
        config = config.but(attn_implementation=attention(DEVICE, bool(config.bf16)))
        accelerator = make_accelerator(config, Path(str(config.output_dir)))
        if steps:
            source: Source = Repeated(of.processor, config.per_device_train_batch_size, steps)
        else:
            source = open_data(config, accelerator, of.processor).source
        set_seed(config.seed)
        model: Any = make_model(config, None, of.processor)
        optimizer: Any = build_optimizer(config, model)
        model, optimizer = accelerator.prepare(model, optimizer)
        self.training = Training(accelerator, model, optimizer, source, config.num_train_epochs)
        self._schedule = build_schedule(config, optimizer.optimizer, self.training.total_steps)
        self._backward = make_backward(config, accelerator, model, make_loss(config.loss))

    def __call__(self) -> None:
        self.training.epochs = self.training.epoch + 1
        take_steps(self.training, self._backward, self._schedule, 1.0, [])
        finish()


class Bench(NamedTuple):
    """The recipe of all trainings, and their processor."""

    config: TrainingConfig
    processor: CLIPProcessor


@contextmanager
def bench(options: argparse.Namespace, images: int) -> Iterator[Bench]:
    """A folder for that many pictures, with an empty cache, and a tokenizer of their captions."""
    quiet(options.threads)
    size = model_size(options.scale)
    with tempfile.TemporaryDirectory(prefix="clipdyn-bench-") as name:
        datasets.config.HF_DATASETS_CACHE = Path(name, "cache")
        config = TrainingConfig(
            dataset_name=str(Path(name, "photographs")),
            output_dir=name,
            scale=options.scale,
            per_device_train_batch_size=options.batch,
            num_train_epochs=1000,
            dataloader_num_workers=getattr(options, "workers", 0),
            quiet=True,
        )
        tokenizer = train_tokenizer(
            [caption(i) for i in range(images)],
            vocab_size=size.vocab_size or 4096,
            context_length=size.context_length,
        )
        yield Bench(config, CLIPProcessor(clip_image_processor(size), tokenizer))


def open_clips_step(of: Bench, bf16: bool, *, compiles: bool = False) -> Callable[[], None]:
    """One step of open_clip's own loop on a batch of float pixels and token ids."""
    import open_clip
    from open_clip_train.params import parse_args
    from open_clip_train.train import train_one_epoch

    size, batch = model_size(of.config.scale), of.config.per_device_train_batch_size
    vision = {
        "image_size": size.image_size,
        "layers": size.vision.layers,
        "width": size.vision.width,
        "head_width": size.vision.width // size.vision.heads,
        "patch_size": size.patch_size,
    }
    text = {
        "context_length": size.context_length,
        "vocab_size": len(of.processor.tokenizer),
        "width": size.text.width,
        "heads": size.text.heads,
        "layers": size.text.layers,
    }
    model = open_clip.CLIP(size.projection, vision, text, quick_gelu=True, output_dict=True).to(DEVICE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model = torch.compile(model) if compiles else model  # as open_clip_train.main does
    ours = Repeated(of.processor, batch, 1).batch
    loader = _Loader([(ours.pixels.float() / 255, ours.input_ids)])
    loader.num_batches, loader.num_samples = 1, batch
    data = {"train": SimpleNamespace(dataloader=loader, set_epoch=lambda _: None)}
    words = f"--precision {'amp_bf16' if bf16 else 'fp32'} --batch-size {batch} --grad-clip-norm 1"
    arguments = parse_args(f"{words} --skip-scheduler --log-every-n-steps 10000".split())
    processes = {"rank": 0, "local_rank": 0, "world_size": 1}
    vars(arguments).update(device=str(DEVICE), distill=False, wandb=False, **processes)

    def step() -> None:
        train_one_epoch(model, data, open_clip.ClipLoss(), 0, optimizer, None, None, None, arguments)
        finish()

    return step


class _Loader(list[Any]):
    """Batches in memory, with the two numbers that open_clip's loop reads off its loader."""

    num_batches: int
    num_samples: int


def measure(options: argparse.Namespace) -> Iterator[str]:
    """Rows for each precision."""
    if options.quick:
        options.scale, options.batch, options.compile = "tiny", 8, 0
    with bench(options, options.batch) as of:
        for bf16 in [True, False] if has_bf16() else [False]:
            calls: dict[str, Callable[[], object]] = {
                "a step": Epochs(of, 1, bf16=bf16),
                "open_clip": open_clips_step(of, bf16),
            }
            pairs = [("a step", "open_clip")]
            if options.compile:
                calls["a compiled step"] = Epochs(of, 1, bf16=bf16, torch_compile=True)
                calls["open_clip, compiled"] = open_clips_step(of, bf16, compiles=True)
                pairs += [("a compiled step", peer) for peer in calls if peer != "a compiled step"]
            taken = in_turn(calls, options.rounds)
            for work, peer in pairs:
                title = f"{work} in {'bfloat16' if bf16 else 'float32'}, `{options.scale}`"
                yield row(title, peer, taken[work], taken[peer])


if __name__ == "__main__":
    main(__doc__, measure, scale="small", batch=128, compile=1)
