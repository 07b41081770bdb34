"""A small captioned folder and the flags of a run that takes seconds."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Flickr8k's layout: Images/ and captions.txt, 120 images of coloured noise with two captions each."""
    folder = tmp_path / "photographs"
    (folder / "Images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = ["image,caption"]
    for i in range(120):
        colour = ("red", "green", "blue")[i % 3]
        image = rng.integers(0, 120, (48, 56, 3), dtype=np.uint8)
        image[..., i % 3] += 120
        Image.fromarray(image).save(folder / "Images" / f"{i:04d}.jpg")
        lines += [f"{i:04d}.jpg,a {colour} picture .", f"{i:04d}.jpg,noise in {colour}"]
    (folder / "captions.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def flags(photographs: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """Flags of a run of three epochs of five steps; keywords change or add fields."""

    def make(output: str = "run", **changes: object) -> list[str]:
        fields = {
            "dataset_name": photographs,
            "output_dir": tmp_path / output,
            "hub_model_id": "me/run",
            "num_train_epochs": 3,
            "per_device_train_batch_size": 24,
            "warmup_steps": 2,
            "logging_steps": 1,
            "bf16": False,
            "disable_tqdm": True,
            "cache_dir": tmp_path / "cache",
        }
        return [text for key, value in (fields | changes).items() for text in (f"--{key}", str(value))]

    return make


@pytest.fixture
def recipe_flags() -> Callable[[str], list[str]]:
    """`recipe_flags("demo")`: the flags that name a recipe."""

    def make(name: str) -> list[str]:
        return ["--config", name]

    return make
