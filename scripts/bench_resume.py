"""The first batch after resuming far inside an epoch, compared with resuming early in it.

python scripts/bench_resume.py

A map of 2 million rows, all of the same pixels, is continued near the samples 10^6 and 10^3.
"""

import argparse
from collections.abc import Iterator
from functools import partial

import numpy as np
from timing import in_turn, main, row

from hf_clipdyn.data.pixels import Pixels
from hf_clipdyn.models.sizes import clip_image_processor, model_size
from hf_clipdyn.training.data import Batch, Captions, Loading, MappedSource
from hf_clipdyn.training.images import Augmentation, CachedImages

LATE, EARLY, BATCH = 10**6, 10**3, 128


def measure(options: argparse.Namespace) -> Iterator[str]:
    """One row."""
    size, n = model_size("small"), 2 * LATE
    side, length = size.image_size, size.context_length
    pixels = np.broadcast_to(np.zeros((side, side, 3), np.uint8), (n, side, side, 3))
    images = CachedImages(Pixels(pixels, np.zeros(n, bool), ""), Augmentation(), clip_image_processor(size))
    tokens = np.broadcast_to(np.zeros(length, np.uint16), (n, length))
    mapped = MappedSource(images, Captions(tokens, np.arange(n + 1)), Loading(0, BATCH))

    def first(position: int) -> Batch:
        return next(iter(mapped.batches(1, position // BATCH)))

    taken = in_turn({"late": partial(first, LATE), "early": partial(first, EARLY)}, options.rounds)
    yield row("first batch after resuming at sample 10^6", "at sample 10^3", taken["late"], taken["early"])


if __name__ == "__main__":
    main(__doc__, measure)
