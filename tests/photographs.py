"""A small captioned folder in Flickr8k's layout."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_photographs(folder: Path, count: int = 120) -> Path:
    """Images/ and captions.txt: images of coloured noise with two captions each; returns the folder."""
    (folder / "Images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = ["image,caption"]
    for i in range(count):
        colour = ("red", "green", "blue")[i % 3]
        image = rng.integers(0, 120, (48, 56, 3), dtype=np.uint8)
        image[..., i % 3] += 120
        Image.fromarray(image).save(folder / "Images" / f"{i:04d}.jpg")
        lines += [f"{i:04d}.jpg,a {colour} picture .", f"{i:04d}.jpg,noise in {colour}"]
    (folder / "captions.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
