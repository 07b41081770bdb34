"""A small captioned folder, the same as shards, and the flags of a run that takes seconds."""

import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest
from photographs import write_photographs

sys.path.insert(0, str(Path(__file__).parent))  # the workers


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Flickr8k's layout: Images/ and captions.txt, 120 images of coloured noise with two captions each."""
    return write_photographs(tmp_path / "photographs")


@pytest.fixture
def streamed(photographs: Path, tmp_path: Path) -> dict[str, object]:
    """The fields of `flags` that read the same photographs as a stream of six tar shards."""
    shards = tmp_path / "shards"
    shards.mkdir()
    for image in sorted((photographs / "Images").iterdir()):
        number = int(image.stem)
        caption = tmp_path / "caption.txt"
        caption.write_text(f"a {('red', 'green', 'blue')[number % 3]} picture", encoding="utf-8")
        with tarfile.open(shards / f"{number // 20}.tar", "a") as shard:
            shard.add(image, image.name)
            shard.add(caption, f"{image.stem}.txt")
    return {
        "dataset_name": shards,
        "streaming": True,
        "samples_per_epoch": 120,
        "dataloader_num_workers": 0,
    }


@pytest.fixture
def flags(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Flags of a run of three epochs of five steps; keywords change or add fields. Its pixels are in `cache`."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")

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
        }
        return [text for key, value in (fields | changes).items() for text in (f"--{key}", str(value))]

    return make
