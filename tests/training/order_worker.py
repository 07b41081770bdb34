"""Run in several processes: a run, and a file of what each process showed.

Arguments: the file (``-<rank>.json`` is added), the flags of the run.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from accelerate import Accelerator

from hf_clipdyn.training import run
from hf_clipdyn.training.callbacks import Training
from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.training.data import Batch, open_data

Pair = tuple[str, str]


def pair(pixels: torch.Tensor, input_ids: torch.Tensor) -> Pair:
    """Hashes that name an image and a caption."""
    return tuple(
        hashlib.sha1(part.contiguous().numpy().tobytes()).hexdigest() for part in (pixels, input_ids)
    )


def pairs_of(config: TrainingConfig) -> Callable[[int, int], Pair]:
    """The pair of a row and a caption of its image."""
    source = open_data(config, Accelerator(cpu=True)).source
    batches = source._loader.dataset
    tokens = torch.from_numpy(batches._captions.tokens.astype("int64"))
    return lambda row, caption: pair(
        batches._images.read(row), tokens[int(batches._captions.first[row]) + caption]
    )


class Shown:
    """The pairs that a process showed, by step of the run."""

    def __init__(self) -> None:
        self.steps: dict[int, list[Pair]] = {}

    def wrap(self, batches: Callable[[Training], Iterator[Batch]]) -> Callable[[Training], Iterator[Batch]]:
        """`run._timed`, watched."""

        def watched(training: Training) -> Iterator[Batch]:
            for batch in batches(training):
                shown = zip(batch.pixels, batch.input_ids, strict=True)
                self.steps[training.step] = [pair(*one) for one in shown]
                yield batch

        return watched


def main(file: str, *flags: str) -> None:
    shown, config = Shown(), TrainingConfig.read(flags)
    run._timed = shown.wrap(run._timed)
    rank = Accelerator(cpu=True).process_index
    run.train(config)
    Path(f"{file}-{rank}.json").write_text(json.dumps(shown.steps), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
