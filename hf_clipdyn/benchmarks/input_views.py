"""Decoded images that are corrupted after the processor, kept in the cache of pixels."""

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.kind import Common, digest
from hf_clipdyn.benchmarks.readout import Change, Stimuli
from hf_clipdyn.data.pixels import Pixels, draw_pixels

Ints = NDArray[np.int64]


def corrupted(pixels: Pixels, rows: Ints, change: Change, change_key: str, common: Common) -> Stimuli:
    """Some rows of decoded images, corrupted once for all revisions and kept in the cache of pixels.

    Args:
        pixels: from `decode`.
        rows: those that are shown, at least one.
        change: alters the pixels (H, W, 3) of row ``i``; must be deterministic.
        change_key: names what ``change`` does to these pixels and rows.
        common: its folder of the cache, and whether to show a progress bar.
    """
    drawn = draw_pixels(
        lambda place: change(pixels.array[rows[place]], int(rows[place])),
        len(rows),
        digest(pixels.fingerprint, rows.tolist(), change_key),
        origin=f"inputs under {change_key}",
        cache_dir=common.cache_dir,
        disable_tqdm=not common.show_progress,
    )
    return Stimuli(drawn)
