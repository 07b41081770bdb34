# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-clipdyn"]
#
# [tool.uv]
# find-links = ["."]  # the package is on no index: docs/how-to/use-a-cluster.md puts its wheel here
# ///
"""Draw the sample grid of the embedded world that docs/explanation/world.md shows.

python scripts/draw_world.py docs/images/world.jpg
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
from PIL import Image

from hf_clipdyn import load_dataset
from hf_clipdyn.data.world import CLASSES

GAP = 4


def draw() -> Image.Image:
    """A row a class: five training images, five congruent ones, five cue conflicts, one distortion each."""
    train = load_dataset("procedural", "captions_small", split="train")
    labels = load_dataset("procedural", "labels", split="test")
    conflicts = load_dataset("procedural", "cue_conflict", split="test")
    ladder = load_dataset("procedural", "distortion", split="test").filter(lambda row: row["level"] == 4)
    rows = []
    for index, name in enumerate(CLASSES):
        columns = [
            _pick(train, lambda row, name=name: name in row["captions"][0].split(), "image"),
            _pick(labels, lambda row, index=index: row["label"] == index, "image"),
            _pick(conflicts.shuffle(seed=0), lambda row, name=name: row["shape"] == name, "image"),
            [np.asarray(ladder[5 * index + column]["distorted"]) for column in range(5)],
        ]
        gap = np.full((40, GAP, 3), 255, np.uint8)
        rows.append(np.concatenate([part for group in columns for part in [*group, gap]], axis=1))
    return Image.fromarray(np.concatenate(rows))


def _pick(dataset: datasets.Dataset, wanted: Callable[..., bool], column: str) -> list[np.ndarray]:
    chosen = dataset.filter(wanted).select(range(5))
    return [np.asarray(image) for image in chosen[column]]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    draw().save(parser.parse_args().output, quality=92)
