# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-clipdyn"]
# ///
# ruff: noqa: E402  (the caches' place is read at import)
"""How fast K revisions are evaluated, as ratios in one run on this machine.

python scripts/bench_evaluation.py [--revisions 8] [--scale tiny]

The work is `distortion/procedural`: 1,000 pairs of 40 references. Peers: (a) pair by pair, both images decoded each
time, `from_pretrained` for each revision; (b) in batches, decoded again for each revision. Ours starts without any
cache, and its time holds the decoding, the baselines and the scores. Random weights: only time is measured.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HOME = tempfile.TemporaryDirectory(prefix="clipdyn-bench-")
os.environ["HF_HOME"] = HOME.name  # no cache of earlier runs
os.environ["HF_HUB_OFFLINE"] = "1"

import datasets
import numpy as np
import torch
from transformers import CLIPModel, CLIPProcessor
from transformers.utils import logging

from hf_clipdyn.benchmarks.base import Settings, cosine_distance
from hf_clipdyn.benchmarks.distortion import Distortion
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.benchmarks.sources import open_source
from hf_clipdyn.cards import CardFacts
from hf_clipdyn.data import load_dataset
from hf_clipdyn.evaluation import evaluate_revisions
from hf_clipdyn.models.encoder import Encoder, ImageFeatures, snapshot_folder
from hf_clipdyn.models.scales import clip_config, clip_image_processor, scale
from hf_clipdyn.models.tokenizers import train_tokenizer
from hf_clipdyn.revisions import Publisher, RevisionRecord, epoch_name

REPO = "bench/run"


def publish(folder: Path, scale_name: str, n: int) -> Path:
    """A store with n random models."""
    size = scale(scale_name)
    tokenizer = train_tokenizer(["a photo of a cat"], vocab_size=600, context_length=size.context_length)
    processor = CLIPProcessor(clip_image_processor(size), tokenizer)
    with Publisher(
        REPO,
        output_dir=folder,
        store=folder / "hub",
        push_to_hub=False,
        card=CardFacts(REPO),
        recipe_hash="0" * 64,
    ) as publisher:
        for epoch in range(n):
            torch.manual_seed(epoch)
            model = CLIPModel(clip_config(size, tokenizer))

            def save(target: Path, model: CLIPModel = model) -> None:
                model.save_pretrained(target)
                processor.save_pretrained(target)

            publisher.submit(RevisionRecord(epoch_name(epoch), epoch, epoch, epoch, None), save)
        publisher.finish()
    return folder / "hub"


def seconds(work: Callable[[], object]) -> float:
    """Wall time of a call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def pair_by_pair(store: Path, rows: datasets.Dataset, revision: str) -> np.ndarray:
    """Peer (a)."""
    where = {"revision": revision, "cache_dir": store, "local_files_only": True}
    model, processor = (
        CLIPModel.from_pretrained(REPO, **where).eval(),
        CLIPProcessor.from_pretrained(REPO, **where),
    )
    found = []
    for row in rows:
        inputs = processor(images=[row["reference"], row["distorted"]], return_tensors="pt")
        with torch.inference_mode():
            pair = model.get_image_features(**inputs).pooler_output.numpy()
        found.append(float(cosine_distance(pair[0], pair[1])))
    return np.array(found)


def in_batches(store: Path, rows: datasets.Dataset, revision: str, batch: int = 128) -> np.ndarray:
    """Peer (b)."""
    where = {"revision": revision, "cache_dir": store, "local_files_only": True}
    model, processor = (
        CLIPModel.from_pretrained(REPO, **where).eval(),
        CLIPProcessor.from_pretrained(REPO, **where),
    )
    found = []
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        sides = []
        for name in ("reference", "distorted"):
            inputs = processor(images=part[name], return_tensors="pt")
            with torch.inference_mode():
                sides.append(model.get_image_features(**inputs).pooler_output.numpy())
        found.append(cosine_distance(*sides))
    return np.concatenate(found)


class Recorder:
    """An encoder that remembers the batches it was shown."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.seen: list[np.ndarray] = []

    def embed_images(self, pixels: np.ndarray, **kwargs: bool) -> ImageFeatures:
        self.seen.append(pixels)
        return self._encoder.embed_images(pixels, **kwargs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--revisions", type=int, default=8)
    parser.add_argument("--scale", default="tiny")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # two threads wait for each other as soon as anything else runs
    logging.disable_progress_bar()
    datasets.disable_progress_bars()
    folder = Path(HOME.name) / "run"
    store = publish(folder, arguments.scale, arguments.revisions)
    names = [epoch_name(epoch) for epoch in range(arguments.revisions)]
    rows = load_dataset("procedural", "distortion", split="test")  # rendered before any clock runs

    ours = seconds(
        lambda: evaluate_revisions(
            REPO, benchmarks=["distortion"], store=store, output=folder / "r.parquet", show_progress=False
        )
    )
    peers = {
        "(a) pair by pair, decoded and from_pretrained each": pair_by_pair,
        "(b) in batches, decoded for each revision": in_batches,
    }
    work = f"{arguments.revisions} revisions of {arguments.scale}, {len(rows)} pairs"
    print(f"{work}, float32, {torch.get_num_threads()} threads")
    print(f"ours, without a cache: {ours:.1f} s")
    taken: dict[str, float] = dict.fromkeys(peers, 0.0)
    for name in names:  # in turn, so that a busy machine slows both
        for title, peer in peers.items():
            taken[title] += seconds(lambda peer=peer, name=name: peer(store, rows, name))
    for title, sum_of in taken.items():
        print(f"{title}: {sum_of:.1f} s, {sum_of / ours:.2f} times ours")

    encoder = Encoder.from_folder(snapshot_folder(REPO, names[0], cache_dir=store, local_files_only=True))
    benchmark = Distortion(
        open_source("procedural", Distortion.schemas), encoder.image_processor, Settings(show_progress=False)
    )
    recorder = Recorder(encoder)
    benchmark.observe(Readout(recorder))
    ready = [encoder.pixel_values(pixels) for pixels in recorder.seen]

    @torch.inference_mode()
    def forward_passes() -> None:
        for values in ready:
            encoder.image_output(values)

    warm, bare = [], []
    for name in [*names, *names]:
        target = snapshot_folder(REPO, name, cache_dir=store, local_files_only=True)

        def one_more(target: Path = target) -> None:
            encoder.load(target)
            Distortion.score(benchmark.observe(Readout(encoder)), Settings())

        warm.append(seconds(one_more))
        bare.append(seconds(forward_passes))
    print(f"one more revision, warm: {np.median(warm) / np.median(bare):.2f} times the bare forward passes")


if __name__ == "__main__":
    main()
