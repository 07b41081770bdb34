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
_PARTS = ("vision_model.", "visual_projection.")
_SIZES = {
    "image": "image_size",
    "patch": "patch_size",
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "layers": "num_hidden_layers",
    "eps": "layer_norm_eps",
    "activation": "hidden_act",
}
"""What the page calls the fields of the configuration."""


@dataclass(frozen=True, eq=False)
class Tower:
    """The vision tower and projection of a `CLIPModel`.

    Attributes:
        described: ``size``; ``mean`` and ``deviation`` of the channels, in grey levels; ``tensors``: name and shape of
            each, in their order.
        codes: all matrices as int8, row by row.
        halves: as float16, little-endian: of each matrix the factor of each of its rows, and the vectors.
    """

    described: dict[str, Any]
    codes: bytes
    halves: bytes

    @classmethod
    def of(cls, encoder: Encoder) -> "Tower":
        """The tower of a live model.

        Raises:
            ConfigError: the model is not a CLIP, or its images are prepared in another way.
        """
        described, codes, halves = _described(encoder), b"", []
        arrays = {name: _array(tensor) for name, tensor in _tensors(encoder.model).items()}
        for values in arrays.values():
            whole, factors = _rounded(values) if values.ndim > 1 else (values[:0], values)
            codes += whole.astype(np.int8).tobytes()
            halves.append(factors)
        described["tensors"] = [[name, *values.shape] for name, values in arrays.items()]
        return cls(described, codes, np.concatenate(halves).astype("<f2").tobytes())

    @property
    def size(self) -> float:
        """Bytes that it takes in the page."""
        return len(encoded(self.codes)) + len(encoded(self.halves))

    @contextmanager
    @torch.no_grad()
    def in_place_of(self, encoder: Encoder) -> Iterator[None]:
        """Within the block, the model has the rounded weights."""
        tensors = list(_tensors(encoder.model).values())
        exact = [tensor.clone() for tensor in tensors]
        codes = np.frombuffer(self.codes, np.int8)
        halves = np.frombuffer(self.halves, "<f2").astype(np.float32)
        for tensor in tensors:
            values, halves = np.split(halves, [len(tensor)])  # the factors of a matrix, or a vector
            if tensor.ndim == 2:
                part, codes = np.split(codes, [tensor.numel()])
                values = part.reshape(tensor.shape) * values[:, None]
            tensor.copy_(torch.from_numpy(values))
        try:
            yield
        finally:
            for tensor, before in zip(tensors, exact, strict=True):
                tensor.copy_(before)


def encoded(content: bytes) -> str:
    """Bytes in base64, for JSON."""
    return base64.b64encode(content).decode()


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    return np.asarray(tensor.detach().float().cpu())


def _described(encoder: Encoder) -> dict[str, Any]:
    """Size of the tower, and how its images are prepared."""
    config, processor = encoder.model.config, encoder.image_processor
    affine = normalisation(processor)
    vision: Any = getattr(config, "vision_config", None)
    side = getattr(vision, "image_size", None)
    sizes = [dict(getattr(processor, name, None) or {}) for name in ("size", "crop_size")]
    is_resized = sizes == [{"shortest_edge": side}, {"height": side, "width": side}]
    is_prepared = (
        is_resized
        and getattr(processor, "resample", None) == Image.Resampling.BICUBIC
        and all(
            getattr(processor, f"do_{step}", False)
            for step in ("resize", "center_crop", "rescale", "normalize")
        )
    )
    is_clip = config.model_type == "clip" and vision.hidden_act in _ACTIVATIONS
    if affine is None or not is_prepared or not is_clip:
        raise ConfigError(
            f"--try_it reads CLIP models with CLIP's own image processor; this is a "
            f"{type(encoder.model).__name__} with {type(processor).__name__}: use `clipdyn app`."
        )
    size = {name: getattr(vision, field) for name, field in _SIZES.items()}
    size["projection"] = config.projection_dim
    mean, deviation = (channels.flatten().tolist() for channels in affine)
    return {"size": size, "mean": mean, "deviation": deviation}


def _tensors(model: Any) -> dict[str, torch.Tensor]:
    """The parameters of the tower and the projection by their names; matrices as (rows, columns), a patch a row."""
    named = [(name, own) for name, own in model.named_parameters() if name.startswith(_PARTS)]
    return {name: own.flatten(1) if own.ndim > 1 else own for name, own in named}


def _rounded(values: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A matrix as whole numbers from -127 to 127, and the factor of each row, which a half can hold."""
    largest = np.abs(values).max(axis=1)
    smallest = float(np.finfo(np.float16).smallest_subnormal)
    factors = np.maximum((largest / 127).astype(np.float16), smallest).astype(np.float32)
    return np.clip(np.rint(values / factors[:, None]), -127, 127).astype(np.int8), factors
