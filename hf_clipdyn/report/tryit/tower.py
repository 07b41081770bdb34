"""The vision tower of a CLIP in the form that the page reads: weights rounded to eight bits, each row by its factor."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.models.encoder import Encoder
from hf_clipdyn.preprocess import normalisation

_ACTIVATIONS = ("quick_gelu", "gelu")
_STEPS = ("resize", "center_crop", "rescale", "normalize")
_PARTS = ("vision_model.", "visual_projection.")


@dataclass(frozen=True, eq=False)
class Tower:
    """The vision tower and projection of a `CLIPModel`.

    Attributes:
        described: ``size``; ``mean`` and ``deviation`` of the channels, in grey levels; ``tensors``: part of the model,
            kind and shape of each, in their order.
        codes: all matrices as int8, row by row, in base64.
        factors: as float32, little-endian, in base64: of each matrix the factor of each of its rows, and the vectors;
            all are values of float16, whose last bytes compress to nothing.
        rounded: by name, the weights that these make.
    """

    described: dict[str, Any]
    codes: str
    factors: str
    rounded: dict[str, NDArray[np.float32]]

    @classmethod
    def of(cls, encoder: Encoder) -> "Tower":
        """The tower of a live model.

        Raises:
            ConfigError: the model is not a CLIP, or its images are prepared in another way.
        """
        described, codes, numbers, rounded = _described(encoder), b"", b"", {}
        for name, tensor in _tensors(encoder.model).items():
            values = np.asarray(tensor.detach().float().cpu())
            part, _, kind = name.rpartition(".")
            described["tensors"].append([part, kind, *values.shape])
            if values.ndim > 1:
                whole, factors = _rounded(values)
                codes += whole.tobytes()
                rounded[name] = whole * factors[:, None]
            else:
                rounded[name] = factors = values.astype("<f2").astype("<f4")
            numbers += factors.tobytes()
        return cls(described, encoded(codes), encoded(numbers), rounded)

    @contextmanager
    @torch.no_grad()
    def in_place_of(self, encoder: Encoder) -> Iterator[None]:
        """Within the block, the model has the rounded weights."""
        tensors = _tensors(encoder.model)
        exact = {name: tensor.clone() for name, tensor in tensors.items()}
        for name, tensor in tensors.items():
            tensor.copy_(torch.from_numpy(self.rounded[name]))
        try:
            yield
        finally:
            for name, tensor in tensors.items():
                tensor.copy_(exact[name])


def encoded(content: bytes) -> str:
    """Bytes in base64, for JSON."""
    return base64.b64encode(content).decode()


def _described(encoder: Encoder) -> dict[str, Any]:
    """Size of the tower, and how its images are prepared; no tensors yet."""
    config, processor = encoder.model.config, encoder.image_processor
    vision: Any = getattr(config, "vision_config", None)
    affine, side = normalisation(processor), getattr(vision, "image_size", None)
    sizes = [dict(getattr(processor, name, None) or {}) for name in ("size", "crop_size")]
    is_sized = sizes == [{"shortest_edge": side}, {"height": side, "width": side}]
    is_bicubic = getattr(processor, "resample", None) == Image.Resampling.BICUBIC
    steps = [getattr(processor, f"do_{step}", False) for step in _STEPS]
    is_clip = config.model_type == "clip" and vision.hidden_act in _ACTIVATIONS
    if affine is None or not (is_sized and is_bicubic and all(steps) and is_clip):
        raise ConfigError(
            f"--try_it reads CLIP models with CLIP's own image processor; this is a "
            f"{type(encoder.model).__name__} with {type(processor).__name__}: use `clipdyn app`."
        )
    size = {
        "image": side,
        "patch": vision.patch_size,
        "width": vision.hidden_size,
        "heads": vision.num_attention_heads,
        "layers": vision.num_hidden_layers,
        "eps": vision.layer_norm_eps,
        "activation": vision.hidden_act,
        "projection": config.projection_dim,
    }
    mean, deviation = (channels.flatten().tolist() for channels in affine)
    return {"size": size, "mean": mean, "deviation": deviation, "tensors": []}


def _tensors(model: Any) -> dict[str, torch.Tensor]:
    """The parameters of the tower and the projection by their names; matrices as (rows, columns), a patch a row."""
    named = [(name, own) for name, own in model.named_parameters() if name.startswith(_PARTS)]
    return {name: own.flatten(1) if own.ndim > 1 else own for name, own in named}


def _rounded(values: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A matrix as whole numbers from -127 to 127, and the factor of each row, which is not 0."""
    smallest = np.finfo(np.float16).smallest_subnormal
    factors = np.maximum((np.abs(values).max(axis=1) / 127).astype("<f2"), smallest).astype("<f4")
    return np.clip(np.rint(values / factors[:, None]), -127, 127).astype(np.int8), factors
