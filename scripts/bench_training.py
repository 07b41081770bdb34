"""Training against its peers, as ratios within one run (medians of interleaved rounds).

1. A training step on the same size and batch: open_clip's CLIP and ClipLoss, in bfloat16 and in float32.
2. An epoch from JPEG files: a `transformers.Trainer` in the manner of run_clip.py, which decodes for each step.

python scripts/bench_training.py [--rounds 5] [--threads 1]
"""

import argparse
import contextlib
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import open_clip
import torch
from PIL import Image
from timing import medians
from transformers import CLIPProcessor, Trainer, TrainingArguments

from hf_clipdyn.config import TrainingConfig
from hf_clipdyn.data.pixels import decode_pixels
from hf_clipdyn.models.sizes import clip_image_processor, model_size
from hf_clipdyn.models.tokenizers import train_tokenizer
from hf_clipdyn.training.augmentation import Augmentation
from hf_clipdyn.training.captions import Captions
from hf_clipdyn.training.device import has_bf16
from hf_clipdyn.training.images import CachedImages
from hf_clipdyn.training.losses import make_loss
from hf_clipdyn.training.mapped import MappedSource
from hf_clipdyn.training.model import build_model
from hf_clipdyn.training.optimizers import build_optimizer

SIZE = model_size("small")
BATCH = 128
CONFIG = TrainingConfig(scale="small", per_device_train_batch_size=BATCH)
ADAMW = {
    "learning_rate": CONFIG.learning_rate,
    "weight_decay": CONFIG.weight_decay,
    "betas": (CONFIG.adam_beta1, CONFIG.adam_beta2),
    "eps": CONFIG.adam_epsilon,
}


def autocast(bf16: bool) -> contextlib.AbstractContextManager[Any]:
    return torch.autocast("cpu", torch.bfloat16) if bf16 else contextlib.nullcontext()


def ours(processor: CLIPProcessor, bf16: bool, pixels: torch.Tensor, ids: torch.Tensor) -> Callable[[], None]:
    model = build_model(SIZE, processor, "eager" if bf16 else "sdpa").train()
    optimizer = build_optimizer(model, **ADAMW)

    def step() -> None:
        with autocast(bf16):
            features = model(pixels, ids)
        loss = make_loss("contrastive")(features)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        model.clamp_scale()

    return step


def open_clips(vocab_size: int, bf16: bool, pixels: torch.Tensor, ids: torch.Tensor) -> Callable[[], None]:
    vision = {
        "image_size": SIZE.image_size,
        "layers": SIZE.vision.layers,
        "width": SIZE.vision.width,
        "head_width": SIZE.vision.width // SIZE.vision.heads,
        "patch_size": SIZE.patch_size,
    }
    text = {
        "context_length": SIZE.context_length,
        "vocab_size": vocab_size,
        "width": SIZE.text.width,
        "heads": SIZE.text.heads,
        "layers": SIZE.text.layers,
    }
    model = open_clip.CLIP(SIZE.projection, vision, text, quick_gelu=True).train()
    loss_fn = open_clip.ClipLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    floats = pixels.float() / 255

    def step() -> None:
        with autocast(bf16):
            images, texts, factor = model(floats, ids)[:3]
            loss = loss_fn(images, texts, factor)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, np.log(100))

    return step


def compare(label: str, mine: Callable[[], None], peer: Callable[[], None], images: int, rounds: int) -> None:
    """Print the speed of both and their ratio."""
    a, b = medians({"ours": mine, "peer": peer}, rounds).values()
    print(
        f"{label:46s} {images / a:8.0f} img/s   peer {images / b:8.0f} img/s   ratio {b / a:.2f}", flush=True
    )


@contextlib.contextmanager
def photographs(n: int) -> Iterator[datasets.Dataset]:
    """JPEG files of 500x375 pixels with one caption each."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / f"{i:04d}.jpg") for i in range(n)]
        for path in paths:
            smooth = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((500, 375))
            smooth.save(path, quality=90)
        captions = [[f"picture number {i} of a series"] for i in range(n)]
        rows = datasets.Dataset.from_dict({"image": paths, "captions": captions})
        yield rows.cast_column("image", datasets.Image())


def our_epoch(rows: datasets.Dataset, processor: CLIPProcessor, bf16: bool, cache: str) -> Callable[[], None]:
    """Decoding included: each round has a cache of its own and pays for building it, as a first epoch does."""
    model = build_model(SIZE, processor, "eager" if bf16 else "sdpa").train()
    optimizer = build_optimizer(model, **ADAMW)
    captions = Captions.tokenise(rows["captions"][:], processor.tokenizer)

    def epoch() -> None:
        with tempfile.TemporaryDirectory(dir=cache) as fresh:
            pixels = decode_pixels(rows, processor.image_processor, cache_dir=fresh, disable_tqdm=True)
            images = CachedImages(pixels, Augmentation(), processor.image_processor)
            batches = MappedSource(images, captions, per_device_batch_size=BATCH, seed=0)
            for batch in batches.batches(1):
                with autocast(bf16):
                    features = model(batch.pixels, batch.input_ids)
                loss = make_loss("contrastive")(features)
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                model.clamp_scale()

    return epoch


def trainers_epoch(rows: datasets.Dataset, processor: CLIPProcessor, folder: str) -> Callable[[], None]:
    """run_clip.py's way: float32, images decoded and processed in the data loader, the model's own loss."""
    model = build_model(SIZE, processor, "sdpa").clip

    def collate(examples: list[dict[str, Any]]) -> dict[str, Any]:
        inputs = processor(
            images=[example["image"].convert("RGB") for example in examples],
            text=[example["captions"][0] for example in examples],
            padding="max_length",
            truncation=True,
            return_tensors="pt",
        )
        return {**inputs, "return_loss": True}

    arguments = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=BATCH,
        num_train_epochs=1,
        remove_unused_columns=False,
        dataloader_drop_last=True,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
    )
    return lambda: Trainer(model, arguments, data_collator=collate, train_dataset=rows).train() and None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")
    captions = [f"picture number {i} of a series" for i in range(BATCH)]
    tokenizer = train_tokenizer(captions, vocab_size=SIZE.vocab_size, context_length=SIZE.context_length)
    processor = CLIPProcessor(image_processor=clip_image_processor(SIZE), tokenizer=tokenizer)
    side = SIZE.image_size
    pixels = torch.randint(0, 256, (BATCH, 3, side, side), dtype=torch.uint8)
    ids = tokenizer(captions, padding="max_length", return_tensors="pt")["input_ids"]
    print(f"{options.threads} thread(s), torch {torch.__version__}, batch {BATCH}, scale small")
    for bf16 in [True, False] if has_bf16() else [False]:
        name = "bfloat16" if bf16 else "float32"
        compare(
            f"training step, {name}, against open_clip",
            ours(processor, bf16, pixels, ids),
            open_clips(len(tokenizer), bf16, pixels, ids),
            BATCH,
            options.rounds,
        )
    n = 4 * BATCH
    with photographs(n) as rows, tempfile.TemporaryDirectory() as folder:
        compare(
            "an epoch from JPEG, decoding included",
            our_epoch(rows, processor, has_bf16(), folder),
            trainers_epoch(rows, processor, folder),
            n,
            max(2, options.rounds // 2),
        )


if __name__ == "__main__":
    main()
