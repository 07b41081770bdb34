# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-clipdyn"]
#
# [tool.uv]
# find-links = ["."]  # the package is on no index: docs/how-to/use-a-cluster.md puts its wheel here
# ///
"""How much memory an evaluation takes, for n and 4n images and for K and 4K revisions.

python scripts/bench_memory.py [--images 1500] [--revisions 2] [--scale small]

Each evaluation (zero-shot and noise, on images of random pixels in CIFAR-10's folders, random weights) runs in a
fresh process. Measured is the peak of what the process holds alone: its resident memory without the pages that files
back, which the system takes away again when it needs them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path

import bench_evaluation
import datasets
import numpy as np
import psutil
import torch
from PIL import Image
from transformers.utils import logging

from hf_clipdyn.benchmarks.kinds.noise import NoiseSettings
from hf_clipdyn.data.sets.cifar import Cifar10
from hf_clipdyn.evaluation import evaluate_revisions
from hf_clipdyn.revisions import epoch_name

BENCHMARKS = ("zero_shot/cifar10", "noise/cifar10")
MEBIBYTE = 2**20


class Peak:
    """Within this context the memory is looked at every five milliseconds."""

    def __init__(self) -> None:
        self.bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @staticmethod
    def now() -> int:
        memory = psutil.Process().memory_info()
        return int(memory.rss - getattr(memory, "shared", 0))

    def _watch(self) -> None:
        while not self._done.wait(0.005):
            self.bytes = max(self.bytes, self.now())

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def write_images(folder: Path, n: int) -> None:
    """n images of random pixels."""
    rng = np.random.default_rng(0)
    for number in range(n):
        place = folder / "test" / Cifar10.classes[number % 10]
        place.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png", compress_level=0)


def child(store: Path, images: Path, revisions: int) -> None:
    """Evaluate, and print what it took."""
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    datasets.disable_progress_bars()
    warnings.filterwarnings("ignore")
    before = Peak.now()
    with tempfile.TemporaryDirectory() as scratch, Peak() as peak:
        evaluate_revisions(
            bench_evaluation.REPO,
            benchmarks=BENCHMARKS,
            store=store,
            revisions=[epoch_name(epoch) for epoch in range(revisions)],
            data_dirs={"cifar10": images},
            output=Path(scratch) / "results.parquet",
            cache_dir=Path(scratch) / "cache",
            settings={"noise": NoiseSettings(sigmas=(0.0, 0.1))},
            show_progress=False,
        )
    print(json.dumps([before, peak.bytes]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--revisions", type=int, default=2)
    parser.add_argument("--scale", default="small")
    parser.add_argument("--child", nargs=2, metavar=("STORE", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    n, k = arguments.images, arguments.revisions
    if arguments.child:
        child(*map(Path, arguments.child), k)
        return
    with tempfile.TemporaryDirectory(prefix="clipdyn-bench-") as name:
        folder = Path(name)
        store = bench_evaluation.publish(folder / "run", arguments.scale, 4 * k)
        side = bench_evaluation.model_size(arguments.scale).image_size
        found = {}
        for images, revisions in ((n, k), (4 * n, k), (n, 4 * k)):
            place = folder / str(images)
            if not place.exists():
                write_images(place, images)
            command = [
                sys.executable,
                __file__,
                "--revisions",
                str(revisions),
                "--child",
                str(store),
                str(place),
            ]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            before, peak = json.loads(done.stdout.splitlines()[-1])
            found[images, revisions] = peak
            print(
                f"{revisions} revisions of {arguments.scale}, {images:,} images: peak {peak / MEBIBYTE:.0f} MiB, "
                f"{before / MEBIBYTE:.0f} of them by the imports",
                flush=True,
            )
    per_image = (found[4 * n, k] - found[n, k]) / (3 * n)
    print(
        f"four times the images: {found[4 * n, k] / found[n, k]:.3f} times the memory, {per_image:,.0f} bytes an"
    )
    print(f"image, of two stimuli of {3 * side * side:,} bytes of pixels each")
    print(f"four times the revisions: {found[n, 4 * k] / found[n, k]:.3f} times")


if __name__ == "__main__":
    main()
