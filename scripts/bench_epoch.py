"""An epoch from JPEG files, compared with a Trainer; and each way of reading, compared with the bare steps.

python scripts/bench_epoch.py [--scale small] [--batch 128] [--steps 4] [--workers 0]

- The peer is a `transformers.Trainer` in the manner of run_clip.py, which decodes and processes the pictures in its
  data loader: with its defaults (float32, sdpa), and in our precision and with our attention. Ours fills its cache of
  pixels in each round, as in the first epoch of a run.
- Reading: epochs of decoded pixels from the cache, of JPEG files and of tars, with and without random crops, compared
  with as many steps on one batch. Processor time is this process's: that of workers is not in it.

Pictures have 500x375 pixels and are random, as the weights: only time is measured.
"""

import argparse
import json
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from accelerate.state import AcceleratorState
from bench_step import DEVICE, Bench, Epochs, bench, caption, finish
from PIL import Image
from timing import in_turn, main, row
from transformers import CLIPModel, PrinterCallback, Trainer, TrainingArguments

from hf_clipdyn.data import load_dataset
from hf_clipdyn.models.sizes import clip_config, model_size
from hf_clipdyn.training.data import open_data
from hf_clipdyn.training.device import attention, has_bf16

CROPS = {"crop_scale_min": 0.9}  # as in open_clip's recipes


def write_pictures(folder: Path, tars: Path, images: int) -> None:
    """A folder of JPEG files with a caption each, and the same in eight tars."""
    folder.mkdir()
    tars.mkdir()
    lines = []
    for i in range(images):
        colours = np.random.default_rng(i).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        file = folder / f"{i:05d}.jpg"
        Image.fromarray(colours).resize((500, 375)).save(file, quality=90)
        lines.append(json.dumps({"file_name": file.name, "text": caption(i)}))
        file.with_suffix(".txt").write_text(caption(i))
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    for shard in range(8):
        with tarfile.open(tars / f"{shard:05d}.tar", "w") as archive:
            for i in range(shard, images, 8):
                for name in (f"{i:05d}.jpg", f"{i:05d}.txt"):
                    archive.add(folder / name, name)


def trainers_epoch(of: Bench, rows: datasets.Dataset, *, bf16: bool) -> Callable[[], object]:
    """run_clip.py's way: images decoded and processed in the data loader, the model's own loss."""
    processor, folder = of.processor, str(of.config.output_dir)
    config = clip_config(model_size(of.config.scale), processor.tokenizer)
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

    def epoch() -> None:
        AcceleratorState._reset_state(reset_partial_state=True)
        arguments = TrainingArguments(
            output_dir=f"{folder}/trainer",
            per_device_train_batch_size=of.config.per_device_train_batch_size,
            num_train_epochs=1,
            bf16=bf16,
            dataloader_num_workers=of.config.dataloader_num_workers or 0,
            remove_unused_columns=False,
            dataloader_drop_last=True,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            use_cpu=DEVICE.type == "cpu",
        )
        trainer = Trainer(model, arguments, data_collator=collate, train_dataset=rows)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        finish()

    return epoch


def epoch_with_new_cache(of: Bench, steps: int) -> Callable[[], object]:
    """Our epoch, in which all pictures are decoded into a new cache first."""
    epochs = Epochs(of, steps)

    def epoch() -> None:
        with tempfile.TemporaryDirectory(dir=of.config.output_dir) as cache:
            datasets.config.HF_DATASETS_CACHE = Path(cache)
            source = open_data(of.config, epochs.training.accelerator, of.processor).source
            epochs.training.source = source
            epochs()
            source.close()

    return epoch


def measure(options: argparse.Namespace) -> Iterator[str]:
    """Rows of the Trainer, then of reading."""
    if options.quick:
        options.scale, options.batch, options.steps = "tiny", 8, 1
    images = options.batch * options.steps
    with bench(options, images) as of:
        tars = Path(str(of.config.output_dir), "tars")
        write_pictures(Path(of.config.dataset_name), tars, images)
        rows, bf16 = load_dataset(of.config.dataset_name, split="train"), has_bf16()
        peers = {
            "a Trainer's defaults": trainers_epoch(of, rows, bf16=False),
            f"a Trainer in {'bfloat16' if bf16 else 'float32'}, eager": trainers_epoch(of, rows, bf16=bf16),
        }
        taken = in_turn({"ours": epoch_with_new_cache(of, options.steps), **peers}, options.rounds)
        for peer in peers:
            yield row("an epoch from JPEG that fills the cache", peer, taken["ours"], taken[peer])

        streamed = {"streaming": True, "samples_per_epoch": images, "dataset_name": str(tars)}
        readings = {
            "cached": Epochs(of, reading="cached"),
            "cached, with crops": Epochs(of, reading="cached", **CROPS),
            "decoded": Epochs(of, reading="decoded"),
            "decoded, with crops": Epochs(of, reading="decoded", **CROPS),
            "streamed from tars, with crops": Epochs(of, **streamed, **CROPS),
        }
        steps = f"as many steps on one batch, {options.workers} workers"
        taken = in_turn({steps: Epochs(of, options.steps), **readings}, options.rounds)
        for name, epochs in readings.items():
            yield row(f"an epoch {name}", steps, taken[name], taken[steps])
            epochs.training.source.close()


if __name__ == "__main__":
    main(__doc__, measure, scale="small", batch=128, steps=4, workers=0)
