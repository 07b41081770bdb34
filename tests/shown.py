"""Encoders of tests that answer in NumPy, asked as one whose answers stay on its device."""

from typing import Any

import numpy as np
import torch

from hf_clipdyn.models.encoder import FeaturesOnDevice


class Shown:
    """Base of an encoder with `embed_images`."""

    def show_images(self, pixels: np.ndarray, **options: Any) -> FeaturesOnDevice:
        features = self.embed_images(pixels, **options)  # type: ignore[attr-defined]
        logits = () if features.logits is None else (features.logits,)
        layers = ((features.projection,), features.hidden, features.attentions, logits)
        return FeaturesOnDevice(
            *(tuple(torch.tensor(np.ascontiguousarray(layer)) for layer in each) for each in layers)
        )
