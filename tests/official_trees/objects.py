"""Sets of objects with answers of people, as their archives unpack."""

from pathlib import Path

import numpy as np
from official_trees.images import write_image

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
    """Six images of two classes in a folder, with their counts by file."""
    lines = ["file,test_index,airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck"]
    for label, name in ((0, "airplane"), (9, "truck")):
        for number in range(3):
            path = f"test/{name}/{number:04d}.png"
            write_image(root / "cifar10" / path, (32, 32), colour=10 * label + number)
            counts = [1] * 10
            counts[label] = 40 + number
            lines.append(",".join(map(str, (path, 10 * number + label, *counts))))
    (root / "cifar10h").mkdir(parents=True)
    (root / "cifar10h" / "counts.csv").write_text("\n".join(lines) + "\n")
