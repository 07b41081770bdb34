"""Training against its peers, as ratios within one run: medians of interleaved rounds, wall and processor time.

python scripts/bench_training.py [--parts step,jpeg,input,shards,resume] [--rounds 5] [--threads 1] [--workers 0]
    [--scale small] [--batch 128] [--steps 4] [--compile] [--quick]

- step: one step on the same size and batch, against open_clip's CLIP and ClipLoss, in bfloat16 and float32. The
  utilisation is that of the model's operations against the matrix product's peak in the same run.
- jpeg: an epoch from JPEG files, decoding included, against a `transformers.Trainer` in the manner of run_clip.py: with
  its defaults (float32, sdpa), and in our precision and with our attention. In the first epoch ours fills its cache.
- input: epochs by each way of reading, against the bare steps of the same run, with the share of time spent waiting.
- shards: an epoch from webdataset tars with random crops, against `open_clip_train.train.train_one_epoch` on the same
  tars, with as many workers. webdataset need not be installed: the peer's pipeline is written here stage by stage as
  `open_clip_train.data.get_wds_dataset` composes it.
- resume: the time until the first batch of a run that continues near the positions 10^3 and 10^6. Of a stream, what its
  present group of shards holds before the position is read again, so both ends of a group are measured.

Ratios above 1 mean that ours is faster. The peers share the allocator's setting that our
accelerator makes, hence they are some per cent faster than alone. Processor time is this process's: with workers,
theirs is not in it. Random weights and pictures: only time is measured. --compile adds our step under torch.compile and
open_clip's as its own --torchcompile makes it; the first calls take minutes. --quick shows in two minutes that
everything runs, and measures nothing.

Everything runs on the device that accelerate chooses (ACCELERATE_USE_CPU=true: the processor). Nobody has run this on a
GPU yet. There, read the ratios of wall time; for ViT-B/32, and with `--scale vit-b-16 --batch 256` for ViT-B/16:

    python scripts/bench_training.py --scale vit-b-32 --batch 512 --steps 20 --parts step --compile
    python scripts/bench_training.py --scale vit-b-32 --batch 512 --steps 20 --parts input,shards --workers 8
"""

import argparse
import json
import random
import tarfile
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import open_clip
import torch
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed
from numpy.typing import NDArray
from open_clip_train.train import train_one_epoch
from PIL import Image
from timing import finish, interleaved
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPModel, CLIPProcessor, PrinterCallback, Trainer, TrainingArguments
from transformers.utils import logging

from hf_clipdyn.data import load_dataset
from hf_clipdyn.data.pixels import Pixels
from hf_clipdyn.models.encoder import default_device
from hf_clipdyn.models.sizes import clip_config, clip_image_processor, model_size
from hf_clipdyn.models.tokenizers import train_tokenizer
from hf_clipdyn.training.callbacks import Training
from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.training.data import Batch, Captions, Loading, MappedSource, Source, open_data
from hf_clipdyn.training.device import attention, has_bf16, make_accelerator
from hf_clipdyn.training.gradients import make_backward
from hf_clipdyn.training.images import Augmentation, CachedImages
from hf_clipdyn.training.losses import make_loss
from hf_clipdyn.training.model import make_model
from hf_clipdyn.training.optimizers import build_optimizer, build_schedule
from hf_clipdyn.training.run import take_steps

PARTS = ("step", "jpeg", "input", "shards", "resume")
CROP = 0.9  # smallest share of the area in a random crop, as in open_clip's recipes
PEAK = 2048  # side of the square matrices whose product gives the peak
BUFFER = 5000  # samples in open_clip's shuffle buffer
POSITIONS = {"10^3": 10**3, "10^6": 10**6}
Seconds = NDArray[np.float64]  # (rounds, 2): by the clock, of the processor
DEVICE = default_device()


class Repeated(Source):
    """The same random batch again and again, so that nothing but the steps takes time."""

    captions = None

    def __init__(self, processor: CLIPProcessor, batch: int, steps: int) -> None:
        side = processor.image_processor.crop_size["height"]
        texts = [caption(i) for i in range(batch)]
        ids = processor.tokenizer(texts, padding="max_length", return_tensors="pt")["input_ids"]
        self.batch = Batch(torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8), ids)
        self.global_batch_size, self.steps_per_epoch, self.images = batch, steps, batch * steps

    def batches(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:  # noqa: ARG002  (as every source)
        for _ in range(first_step, self.steps_per_epoch):
            yield self.batch


@dataclass(frozen=True)
class Bench:
    """What all parts share."""

    config: TrainingConfig
    processor: CLIPProcessor
    images: int
    rounds: int
    compiles: bool

    @property
    def batch(self) -> int:
        return self.config.per_device_train_batch_size

    @property
    def steps(self) -> int:
        return self.images // self.batch

    @property
    def folder(self) -> Path:
        return Path(str(self.config.output_dir))

    def training(self, source: Source | None = None, **changes: Any) -> "Loop":
        """The package's own loop over a source; without one, over what the configuration says."""
        AcceleratorState._reset_state(reset_partial_state=True)  # else the precision of the first one stays
        bf16 = changes.setdefault("bf16", has_bf16())
        config = self.config.but(attn_implementation=attention(DEVICE, bf16), **changes)
        accelerator = make_accelerator(config, self.folder)
        if source is None:
            source = open_data(config, accelerator, self.processor).source
        set_seed(config.seed)
        model: Any = make_model(config, None, self.processor)
        optimizer: Any = build_optimizer(config, model)
        model, optimizer = accelerator.prepare(model, optimizer)
        return Loop(config, Training(accelerator, model, optimizer, source, config.num_train_epochs))


class Loop:
    """A training, and what steps it."""

    def __init__(self, config: TrainingConfig, training: Training) -> None:
        self.training, self.accelerator = training, training.accelerator
        optimizer: Any = training.optimizer
        self._schedule = build_schedule(config, optimizer.optimizer, training.total_steps)
        self._backward = make_backward(config, self.accelerator, training.model, make_loss(config.loss))

    def epoch(self) -> None:
        """One more epoch."""
        self.training.epochs = self.training.epoch + 1
        take_steps(self.training, self._backward, self._schedule, 1.0, [])
        finish()


def caption(i: int) -> str:
    return f"picture number {i} of a series"


def show(label: str, images: int, ours: Seconds, peer: Seconds, note: str = "") -> None:
    """Print the speed of both and their ratio."""
    speeds = [images / float(np.median(one[:, 0])) for one in (ours, peer)]
    wall, cpu = np.median(peer / ours, axis=0)
    print(
        f"{label:46s} {speeds[0]:7.1f} img/s, peer {speeds[1]:7.1f}: ratio {wall:.2f}, processor {cpu:.2f}{note}",
        flush=True,
    )


# --- open_clip -----------------------------------------------------------------------------------------


def open_clips_epoch(
    bench: Bench, bf16: bool, batches: Iterable[Any], *, compiles: bool = False
) -> Callable[[], None]:
    """One epoch of open_clip's own loop over ``batches`` of float pixels and token ids."""
    size = model_size(bench.config.scale)
    vision = {
        "image_size": size.image_size,
        "layers": size.vision.layers,
        "width": size.vision.width,
        "head_width": size.vision.width // size.vision.heads,
        "patch_size": size.patch_size,
    }
    text = {
        "context_length": size.context_length,
        "vocab_size": len(bench.processor.tokenizer),
        "width": size.text.width,
        "heads": size.text.heads,
        "layers": size.text.layers,
    }
    model = open_clip.CLIP(size.projection, vision, text, quick_gelu=True, output_dict=True).to(DEVICE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    data = SimpleNamespace(dataloader=batches, set_epoch=lambda _: None)
    arguments = SimpleNamespace(
        device=str(DEVICE),
        precision="amp_bf16" if bf16 else "fp32",
        accum_freq=1,
        distill=False,
        skip_scheduler=True,
        grad_clip_norm=1.0,
        horovod=False,
        log_every_n_steps=10_000,
        batch_size=bench.batch,
        rank=0,
        local_rank=0,
        world_size=1,
        wandb=False,
    )
    loss = open_clip.ClipLoss()
    stepped = torch.compile(model) if compiles else model  # as open_clip_train.main does

    def run() -> None:
        train_one_epoch(stepped, {"train": data}, loss, 0, optimizer, None, None, None, arguments)
        finish()

    return run


class Batches(list[Any]):
    """Batches in memory, with the two numbers that open_clip's loop reads off its loader."""

    def __init__(self, batches: Sequence[Any], batch: int) -> None:
        super().__init__(batches)
        self.num_batches, self.num_samples = len(batches), batch * len(batches)


class Tars(IterableDataset[Any]):
    """The stages of `open_clip_train.data.get_wds_dataset`, without webdataset.

    Shards are shuffled and split by worker; samples are read one after another, shuffled in a buffer, decoded by
    Pillow, transformed, tokenised one by one and batched in the worker.
    """

    def __init__(self, shards: Sequence[Path], bench: Bench) -> None:
        self.shards, self.bench = list(shards), bench
        size = bench.processor.image_processor.crop_size["height"]
        crops = {"scale": (CROP, 1.0)}
        self.transform = open_clip.image_transform(size, is_train=True, aug_cfg=crops)
        self.epochs = count()

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        shards = self.shards[info.id :: info.num_workers] if info else list(self.shards)
        rng = random.Random(next(self.epochs))
        rng.shuffle(shards)
        made = self._made(self._shuffled(self._samples(shards), rng))
        while batch := [one for one, _ in zip(made, range(self.bench.batch), strict=False)]:
            if len(batch) < self.bench.batch:
                return
            pixels, ids = zip(*batch, strict=True)
            yield torch.stack(pixels), torch.stack(ids)

    def _samples(self, shards: Sequence[Path]) -> Iterator[dict[str, bytes]]:
        for shard in shards:
            with tarfile.open(shard, "r|") as archive:
                sample: dict[str, bytes] = {}
                for member in archive:
                    content = archive.extractfile(member)
                    assert content is not None
                    sample[member.name.partition(".")[2]] = content.read()
                    if len(sample) == 2:
                        yield sample
                        sample = {}

    def _shuffled(
        self, samples: Iterator[dict[str, bytes]], rng: random.Random
    ) -> Iterator[dict[str, bytes]]:
        buffer: list[dict[str, bytes]] = []
        for sample in samples:
            buffer.append(sample)
            if len(buffer) > BUFFER:
                yield buffer.pop(rng.randrange(len(buffer)))
        rng.shuffle(buffer)
        yield from buffer

    def _made(self, samples: Iterator[dict[str, bytes]]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        tokenizer = self.bench.processor.tokenizer
        for sample in samples:
            image = Image.open(BytesIO(sample["jpg"])).convert("RGB")
            text = sample["txt"].decode()
            ids = tokenizer(text, padding="max_length", truncation=True, return_tensors="pt")["input_ids"]
            yield self.transform(image), ids[0]


def open_clips_loader(shards: Sequence[Path], bench: Bench) -> DataLoader[Any]:
    workers = bench.config.dataloader_num_workers or 0
    loader: Any = DataLoader(
        Tars(shards, bench), batch_size=None, num_workers=workers, persistent_workers=workers > 0
    )
    loader.num_batches, loader.num_samples = bench.steps, bench.images
    return loader  # type: ignore[no-any-return]


# --- parts ---------------------------------------------------------------------------------------------


def step(bench: Bench) -> None:
    source = Repeated(bench.processor, bench.batch, 1)
    floats = Batches([(source.batch.pixels.float() / 255, source.batch.input_ids)], bench.batch)
    for bf16 in [True, False] if has_bf16() else [False]:
        name, dtype = ("bfloat16", torch.bfloat16) if bf16 else ("float32", torch.float32)
        training = bench.training(source, bf16=bf16)
        with FlopCounterMode(display=False) as counter:
            training.epoch()
        square = torch.randn(PEAK, PEAK, device=DEVICE).to(dtype)

        def product(square: torch.Tensor = square) -> None:
            torch.mm(square, square)
            finish()

        calls: dict[str, Callable[[], object]] = {
            "ours": training.epoch,
            "peer": open_clips_epoch(bench, bf16, floats),
            "peak": product,
        }
        if bench.compiles:
            calls["compiled"] = bench.training(source, bf16=bf16, torch_compile=True).epoch
            calls["compiled peer"] = open_clips_epoch(bench, bf16, floats, compiles=True)
        taken = interleaved(calls, bench.rounds)
        for ours in sorted({"ours", "compiled"} & set(calls), reverse=True):
            operations = counter.get_total_flops()
            peak = 2 * PEAK**3 / taken["peak"]
            clock = 1 if DEVICE.type == "cpu" else 0  # a processor that waits for a GPU says nothing
            used = 100 * np.median(operations / taken[ours] / peak, axis=0)[clock]
            note = f"; {used:.0f} % of {np.median(peak[:, clock]) / 1e9:.0f} GFLOP/s"
            label = f"a step in {name}{', compiled' if ours == 'compiled' else ''}, open_clip"
            show(label, bench.batch, taken[ours], taken["peer"], note)
        if bench.compiles:
            show(f"a step in {name}, compiled, not compiled", bench.batch, taken["compiled"], taken["ours"])
            label = f"a step in {name}, compiled, open_clip compiled"
            show(label, bench.batch, taken["compiled"], taken["compiled peer"])


def jpeg(bench: Bench) -> None:
    photographs(bench)
    rows = load_dataset(bench.config.dataset_name, split="train")
    caches = count()
    training = bench.training(Repeated(bench.processor, bench.batch, bench.steps))
    accelerator = training.accelerator

    def ours() -> None:
        """The cache is built in each round, as in the first epoch of a run."""
        with tempfile.TemporaryDirectory(dir=bench.folder, prefix=f"cache-{next(caches)}-") as cache:
            datasets.config.HF_DATASETS_CACHE = Path(cache)
            training.training.source = open_data(bench.config, accelerator, bench.processor).source
            training.epoch()
            training.training.source.close()

    bf16 = has_bf16()
    calls = {
        "ours": ours,
        "defaults": trainers_epoch(bench, rows, bf16=False),
        "same": trainers_epoch(bench, rows, bf16=bf16),
    }
    taken = interleaved(calls, bench.rounds)
    same = f"a Trainer in {'bf16, eager' if bf16 else 'fp32'}"
    show("an epoch from JPEG, a Trainer's defaults", bench.images, taken["ours"], taken["defaults"])
    show(f"an epoch from JPEG, {same}", bench.images, taken["ours"], taken["same"])


def trainers_epoch(bench: Bench, rows: datasets.Dataset, *, bf16: bool) -> Callable[[], object]:
    """run_clip.py's way: images decoded and processed in the data loader, the model's own loss."""
    processor = bench.processor
    config = clip_config(model_size(bench.config.scale), processor.tokenizer)
    model = CLIPModel._from_config(config, attn_implementation=attention(DEVICE, bf16))

    def collate(examples: list[dict[str, Any]]) -> dict[str, Any]:
        inputs = processor(
            images=[example["image"].convert("RGB") for example in examples],
            text=[example["captions"][0] for example in examples],
            padding="max_length",
            truncation=True,
            return_tensors="pt",
        )
        return {**inputs, "return_loss": True}

    def run() -> None:
        AcceleratorState._reset_state(reset_partial_state=True)
        arguments = TrainingArguments(
            output_dir=str(bench.folder / "trainer"),
            per_device_train_batch_size=bench.batch,
            num_train_epochs=1,
            bf16=bf16,
            dataloader_num_workers=bench.config.dataloader_num_workers or 0,
            remove_unused_columns=False,
            dataloader_drop_last=True,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            use_cpu=DEVICE.type == "cpu",
        )
        trainer = Trainer(model, arguments, data_collator=collate, train_dataset=rows)
        trainer.remove_callback(PrinterCallback)
        trainer.train()

    return run


def inputs(bench: Bench) -> None:
    photographs(bench)
    crops = {"crop_scale_min": CROP}
    streamed = {"streaming": True, "samples_per_epoch": bench.images, "dataset_name": str(tars(bench))}
    trainings = {
        "bare steps": bench.training(Repeated(bench.processor, bench.batch, bench.steps)),
        "cached": bench.training(reading="cached"),
        "cached, crops": bench.training(reading="cached", **crops),
        "decoded": bench.training(reading="decoded"),
        "decoded, crops": bench.training(reading="decoded", **crops),
        "streamed, crops": bench.training(**streamed, **crops),
    }
    taken = interleaved({name: one.epoch for name, one in trainings.items()}, bench.rounds)
    for name, training in ((name, one.training) for name, one in trainings.items()):
        seconds = taken[name]
        if name != "bare steps":
            waited = training.waited / (bench.rounds + 1) / seconds[:, 0].mean()
            note = f"; waiting {100 * waited:.1f} % of the time"
            show(f"an epoch {name}, the bare steps", bench.images, seconds, taken["bare steps"], note)
        training.source.close()


def shards(bench: Bench) -> None:
    folder, bf16 = tars(bench), has_bf16()
    training = bench.training(
        streaming=True,
        samples_per_epoch=bench.images,
        dataset_name=str(folder),
        crop_scale_min=CROP,
    )
    loader = open_clips_loader(sorted(folder.glob("*.tar")), bench)
    peer = open_clips_epoch(bench, bf16, loader)
    taken = interleaved({"ours": training.epoch, "peer": peer}, bench.rounds)
    workers = bench.config.dataloader_num_workers
    show(f"an epoch from tars, {workers} workers, open_clip", bench.images, taken["ours"], taken["peer"])


def resume(bench: Bench) -> None:
    """A map of 2 million rows, all of the same pixels."""
    side = bench.processor.image_processor.crop_size["height"]
    n, length = 2 * 10**6, bench.processor.tokenizer.model_max_length
    pixels = np.broadcast_to(np.zeros((side, side, 3), np.uint8), (n, side, side, 3))
    tokens = np.broadcast_to(np.zeros(length, np.uint16), (n, length))
    images = CachedImages(
        Pixels(pixels, np.zeros(n, bool), ""), Augmentation(), bench.processor.image_processor
    )
    mapped = MappedSource(images, Captions(tokens, np.arange(n + 1)), Loading(0, bench.batch))

    def first(position: int) -> Batch:
        return next(iter(mapped.batches(1, position // bench.batch)))

    calls = {name: partial(first, position) for name, position in POSITIONS.items()}
    taken = {name: np.median(one, axis=0) for name, one in interleaved(calls, bench.rounds).items()}
    early = taken["10^3"]
    for position, late in taken.items():
        print(
            f"the first batch after a resumption by row, at sample {position}: {late[0]:.3f} s "
            f"({late[0] / early[0]:.2f} times; processor {late[1] / early[1]:.2f})",
            flush=True,
        )


# --- data ----------------------------------------------------------------------------------------------


def photograph(i: int) -> bytes:
    """A JPEG of 500x375 pixels."""
    colours = np.random.default_rng(i).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(colours).resize((500, 375)).save(file, "JPEG", quality=90)
    return file.getvalue()


def photographs(bench: Bench) -> None:
    """The folder that the configuration names, with a caption a picture."""
    folder = Path(bench.config.dataset_name)
    if folder.exists():
        return
    folder.mkdir()
    lines = []
    for i in range(bench.images):
        (folder / f"{i:05d}.jpg").write_bytes(photograph(i))
        lines.append(json.dumps({"file_name": f"{i:05d}.jpg", "text": caption(i)}))
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")


def tars(bench: Bench) -> Path:
    """The same pictures in eight shards."""
    folder = bench.folder / "tars"
    if not folder.exists():
        folder.mkdir()
        for i in range(8):
            write_tar(folder / f"{i:05d}.tar", range(i, bench.images, 8))
    return folder


def write_tar(path: Path, numbers: Iterable[int]) -> None:
    with tarfile.open(path, "w") as archive:
        for number in numbers:
            for suffix, content in (("jpg", photograph(number)), ("txt", caption(number).encode())):
                info = tarfile.TarInfo(f"{number:05d}.{suffix}")
                info.size = len(content)
                archive.addfile(info, BytesIO(content))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--scale", default="small")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=4, help="of an epoch")
    parser.add_argument("--compile", action="store_true", help="the step also under torch.compile")
    parser.add_argument("--quick", action="store_true", help="show that everything runs")
    options = parser.parse_args()
    parts = options.parts.split(",")
    if unknown := sorted(set(parts) - set(PARTS)):
        parser.error(f"unknown parts {', '.join(unknown)}")
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")
    logging.disable_progress_bar()
    datasets.disable_progress_bars()
    scale, batch, steps = ("tiny", 8, 1) if options.quick else (options.scale, options.batch, options.steps)
    rounds = 1 if options.quick else options.rounds
    size = model_size(scale)
    captions = [caption(i) for i in range(batch * steps)]
    tokenizer = train_tokenizer(
        captions, vocab_size=size.vocab_size or 4096, context_length=size.context_length
    )
    with tempfile.TemporaryDirectory(prefix="clipdyn-bench-") as name:
        datasets.config.HF_DATASETS_CACHE = Path(name, "cache")
        config = TrainingConfig(
            dataset_name=str(Path(name, "photographs")),
            output_dir=name,
            scale=scale,
            per_device_train_batch_size=batch,
            num_train_epochs=1000,
            dataloader_num_workers=options.workers,
            quiet=True,
        )
        processor = CLIPProcessor(image_processor=clip_image_processor(size), tokenizer=tokenizer)
        bench = Bench(config, processor, batch * steps, rounds, options.compile)
        print(
            f"{scale}, batch {batch}, {DEVICE}, {options.threads} thread(s), {options.workers} worker(s), "
            f"torch {torch.__version__}"
        )
        run = {"step": step, "jpeg": jpeg, "input": inputs, "shards": shards, "resume": resume}
        for part in PARTS:
            if part in parts:
                run[part](bench)


if __name__ == "__main__":
    main()
