"""What this process may use of its machine: cores, GPUs, and memory that it has freed."""

import os

import numpy as np

_LARGE_BLOCK = 31 * 2**20  # bytes; glibc ignores blocks above 32 MiB here


def usable_cores() -> int:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    import psutil

    return psutil.cpu_count() or 1


def keep_freed_blocks() -> None:
    """Let glibc keep freed blocks below 32 MiB for this process; other C libraries ignore it.

    The first free of a large block raises glibc's thresholds. Without it, each forward pass of a small model and each
    saliency map returns its memory to the system and gets new pages for the next one: a fifth of the time of a pass,
    two thirds of the time of scoring maps.
    """
    np.empty(_LARGE_BLOCK, np.uint8)
