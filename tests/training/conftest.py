"""A small captioned folder, and the flags of a run that takes seconds."""

import sys
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
