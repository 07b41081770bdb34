"""Sets of objects with answers of people, as their archives unpack."""

from pathlib import Path

import numpy as np
from official_trees.images import write_image

__all__ = ["cifar10h", "objects92"]

CATEGORIES = ("body", "face", "made")


def objects92(root: Path) -> None:
    """Twelve pictures in three categories; three people, a brain measured twice, two models."""
    lines = ["file,category,human,face,animate,natural"]
    for number in range(1, 13):
        write_image(root / "images" / f"{number:02d}.png", colour=number)
        lines.append(f"{number:02d}.png,{CATEGORIES[(number - 1) // 4]},0,0,0,0")
    (root / "images.csv").write_text("\n".join(lines) + "\n")
    rng = np.random.default_rng(0)
    pairs = 12 * 11 // 2
    truth = rng.random(pairs)
    np.savez(
        root / "rdms.npz",
        behaviour=truth + 0.3 * rng.random((3, pairs)),
        human_it=rng.random((2, 2, pairs)).astype(np.float32),
        monkey_it=rng.random(pairs),
        model_hmax=rng.random(pairs),
        model_animacy=rng.integers(0, 2, pairs).astype(np.uint8),
    )


def cifar10h(root: Path) -> None:
    """Six images in three classes, in the order of the test batch, with counts by file."""
