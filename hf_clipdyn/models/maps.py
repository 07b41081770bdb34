"""Saliency maps read out of an encoder: attention of the class token, rollout, gradients, Grad-CAM.

The probes of a batch share one forward pass with attention maps and one with gradients. If a model cannot give a map,
the result names the cause.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hf_clipdyn.errors import ModelError
from hf_clipdyn.models.encoder import NO_ATTENTION, Encoder

Floats = NDArray[np.float64]
Place = tuple[str, int | None]
"""A probe and the block that it is read from; None for a probe of no single block."""

GRADIENT_PROBES = ("gradient_input", "grad_cam")
_ATTENTION_PROBES = {"attention", "attention_layers", "rollout"}
_ATTENTION_BYTES = 256 * 2**20
_GRADIENT_BATCH = 32
_MOST_EXTRA_TOKENS = 16  # a class token and registers; more means another layout of tokens


@dataclass
class SaliencyMaps:
    """Maps of n images by place.

    Attributes:
        maps: (n, rows, columns) each, from the upper left corner of the model's input; no negative value.
        unavailable: what this model cannot give, and why.
    """

    maps: dict[Place, Floats] = field(default_factory=dict)
    unavailable: dict[Place, str] = field(default_factory=dict)


def saliency_maps(
    encoder: Encoder,
    pixels: NDArray[np.uint8],
    probes: Sequence[str],
    *,
    text: NDArray[np.floating] | None = None,
) -> SaliencyMaps:
    """Maps of a batch of images.

    Args:
        encoder: the model; attention is computed eagerly here.
        pixels: (n, H, W, 3) uint8, of the model's input size.
        probes: any of

            - ``attention``: from the class token to the patches in the last block, mean over the heads;
            - ``attention_layers``: the same in each block k = 1 … L, at the places ("attention", k);
            - ``rollout``: Abnar and Zuidema 2020, section 3: the product over the blocks of the attention (mean
              over the heads), each mixed half and half with the identity for the residual connection, its rows
              scaled to 1; the row of the class token;
            - ``gradient_input``: gradient of the cosine of image and text with respect to the normalised pixels,
              times these pixels, summed over the channels, its absolute value (Shrikumar et al. 2016). Without a text,
              of the score of the class that a classifier's head ranks first, else of the length of the projection;
            - ``grad_cam``: Selvaraju et al. 2017 on the same, see `_attributed`.

            Without a class token, block k gives the mean over all queries. In SigLIP ``attention`` and ``rollout``
            begin at the query of the pooling head, which counts as a further block L + 1; elsewhere (I-JEPA) at the
            mean of all tokens.
        text: (d,), the text of the cosine; None for a model that reads none.

    Returns:
        Attention on the patch grid, gradients on the pixels of the input; registers and class token left out.
    """
    result = SaliencyMaps()
    with encoder.eager_attention():
        if _ATTENTION_PROBES.intersection(probes):
            _read_attention(result, encoder, pixels, probes)
        if set(GRADIENT_PROBES).intersection(probes):
            _read_gradients(result, encoder, pixels, probes, text)
    return result


def rollout(attentions: Sequence[Floats], start: Floats) -> Floats:
    """How much of each input token reaches a mixture of the output tokens (Abnar and Zuidema 2020).

    Args:
        attentions: of each block, (n, T, T), mean over the heads, rows are queries.
        start: (n, T), the mixture of the last block's tokens: 1 at the class token.

    Returns:
        (n, T): ``start`` times the product of the (attention + identity) / 2 from the last block to the first,
        each with rows that sum to 1. Only this row of the product is ever computed.
    """
    flow = start
    for attention in reversed(attentions):
        mixed = 0.5 * attention + 0.5 * np.eye(attention.shape[-1])
        mixed /= mixed.sum(axis=-1, keepdims=True)
        flow = np.einsum("nt,nts->ns", flow, mixed)
    return flow


# --- attention --------------------------------------------------------------------------------------------


def _read_attention(
    result: SaliencyMaps, encoder: Encoder, pixels: NDArray[np.uint8], probes: Sequence[str]
) -> None:
    parts: list[dict[Place, Floats]] = []
    start, step = 0, 8  # until the first images show how much memory attention takes
    try:
        while start < len(pixels):
            with _outputs_of(_pooling_head(encoder.model)) as outputs:
                features = encoder.embed_images(pixels[start : start + step], attentions=True)
            # One output, (pooled, attention), for each pass of `embed_images`.
            heads = [_doubles(attention[:, 0]) for _, attention in outputs if attention is not None]
            pooling = np.concatenate(heads) if heads else None
            parts.append(_attention_maps(features.attentions, pooling, _grid(encoder, pixels), probes))
            start += step
            step = max(1, _ATTENTION_BYTES // sum(attention[0].nbytes for attention in features.attentions))
    except ModelError as error:
        for probe in [probe for probe in probes if probe in _ATTENTION_PROBES]:
            result.unavailable[probe.removesuffix("_layers"), None] = str(error)
        return
    result.maps |= _concatenated(parts)


def _concatenated(parts: Sequence[dict[Place, Floats]]) -> dict[Place, Floats]:
    return {place: np.concatenate([part[place] for part in parts]) for place in parts[0]}


def _attention_maps(
    attentions: Sequence[NDArray[np.float32]],
    pooling: Floats | None,
    grid: tuple[int, int],
    probes: Sequence[str],
) -> dict[Place, Floats]:
    """Maps of one batch, from (n, heads, T, T) of each block and the pooling head's (n, T) if there is one."""
    n, _, tokens, _ = attentions[0].shape
    extra = tokens - grid[0] * grid[1]
    if not 0 <= extra <= _MOST_EXTRA_TOKENS or {layer.shape[-2:] for layer in attentions} != {
        (tokens, tokens)
    }:
        raise ModelError(
            f"Attention over {tokens} tokens does not match a grid of {grid[0]} x {grid[1]} patches: {NO_ATTENTION}."
        )
    blocks = [attention.mean(axis=1, dtype=np.float64) for attention in attentions]
    if extra:
        start = np.eye(1, tokens).repeat(n, axis=0)
        layers = [block[:, 0] for block in blocks]
    else:
        start = np.full((n, tokens), 1 / tokens) if pooling is None else pooling
        layers = [block.mean(axis=1) for block in blocks] + ([] if pooling is None else [pooling])
    maps: dict[Place, Floats] = {}
    if "attention_layers" in probes:
        maps |= {("attention", k): layer for k, layer in enumerate(layers, start=1)}
    if "attention" in probes:
        maps["attention", len(layers)] = layers[-1]
    if "rollout" in probes:
        maps["rollout", None] = rollout(blocks, start)
    # Patches come last: before them the class token and, in DINOv2 and DINOv3, the registers.
    return {place: flat[:, extra:].reshape(n, *grid) for place, flat in maps.items()}


def _grid(encoder: Encoder, pixels: NDArray[np.uint8]) -> tuple[int, int]:
    """Rows and columns of patches."""
    config = encoder.model.config
    size = getattr(getattr(config, "vision_config", config), "patch_size", None)
    if size is None:
        raise ModelError(f"{type(encoder.model).__name__} has no patches: {NO_ATTENTION}.")
    height, width = np.broadcast_to(size, 2)
    return int(pixels.shape[1] // height), int(pixels.shape[2] // width)


def _vision_modules(model: Any, kind: type[nn.Module]) -> list[Any]:
    tower = getattr(model, "vision_model", model)
    return [part for part in tower.modules() if isinstance(part, kind)]


def _pooling_head(model: Any) -> nn.Module | None:
    """The attention that pools the tokens, where the model has one (SigLIP)."""
    heads = _vision_modules(model, nn.MultiheadAttention)
    return heads[0] if len(heads) == 1 else None


@contextmanager
def _outputs_of(module: nn.Module | None) -> Iterator[list[Any]]:
    """Within this context the outputs of the module are kept; of None there are none."""
    kept: list[Any] = []
    watched = nn.Identity() if module is None else module
    handle = watched.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    try:
        yield kept
    finally:
        handle.remove()


# --- gradients --------------------------------------------------------------------------------------------


def _read_gradients(
    result: SaliencyMaps,
    encoder: Encoder,
    pixels: NDArray[np.uint8],
    probes: Sequence[str],
    text: NDArray[np.floating] | None,
) -> None:
    step = encoder.images_per_pass or _GRADIENT_BATCH
    batches = [slice(start, start + step) for start in range(0, len(pixels), step)]
    parts = [_gradients(encoder, pixels[rows], probes, text) for rows in batches]
    result.maps |= _concatenated(parts)
    if "grad_cam" in probes and ("grad_cam", None) not in parts[0]:
        result.unavailable["grad_cam", None] = (
            f"the features of {type(encoder.model).__name__} do not match the grid of its patches"
        )


@torch.enable_grad()
def _gradients(
    encoder: Encoder,
    pixels: NDArray[np.uint8],
    probes: Sequence[str],
    text: NDArray[np.floating] | None,
) -> dict[Place, Floats]:
    values = encoder.pixel_values(pixels).requires_grad_()
    with _outputs_of(_attributed(encoder.model)) as seen:
        projection, output = encoder.image_output(values)
    last = getattr(output, "last_hidden_state", None)
    is_convolutional = last is not None and last.ndim == 4
    features: Any = seen[0] if seen and not is_convolutional else last

    # Images do not see each other: the gradient of the sum holds that of each image.
    if text is None:
        logits = encoder.logits(values, output)
        target = (projection.norm(dim=-1) if logits is None else logits.amax(dim=-1)).sum()
    else:
        target = torch.cosine_similarity(projection, torch.as_tensor(text[None]).to(projection), dim=-1).sum()
    wanted = [values, features] if "grad_cam" in probes and (seen or is_convolutional) else [values]
    gradients = torch.autograd.grad(target, wanted, allow_unused=True)
    of_features = gradients[1] if len(gradients) > 1 else None
    maps: dict[Place, Floats] = {}
    if "gradient_input" in probes:
        maps["gradient_input", None] = _times_input(gradients[0], values)
    if of_features is not None and not (is_convolutional and _puts_channels_last(encoder.model)):
        grid = _grid_of(encoder, pixels, features)
        if grid is not None:
            maps["grad_cam", None] = _cam(features, of_features, grid)
    return maps


def _puts_channels_last(model: Any) -> bool:
    """Whether the last features of a timm model are (n, rows, columns, channels), as Swin's."""
    return getattr(getattr(model, "timm_model", None), "output_fmt", "NCHW") == "NHWC"


def _times_input(gradient: torch.Tensor, values: torch.Tensor) -> Floats:
    return _doubles((gradient.double() * values.double()).sum(dim=1).abs())


def _grid_of(encoder: Encoder, pixels: NDArray[np.uint8], features: torch.Tensor) -> tuple[int, int] | None:
    """Rows and columns of the places that Grad-CAM weighs; None where the features are not laid out so."""
    if features.ndim == 4:
        return int(features.shape[2]), int(features.shape[3])
    try:
        grid = _grid(encoder, pixels)
    except ModelError:
        return None
    fits = 0 <= features.shape[1] - grid[0] * grid[1] <= _MOST_EXTRA_TOKENS
    return grid if fits else None


def _cam(features: torch.Tensor, gradient: torch.Tensor, grid: tuple[int, int]) -> Floats:
    """Features weighted by the mean gradient of their channel over the places; what counts against is cut off."""
    if features.ndim == 4:  # channels first, the positions of a convolution
        features, gradient = (values.flatten(2).transpose(1, 2) for values in (features, gradient))
    places = slice(features.shape[1] - grid[0] * grid[1], None)
    features, gradient = features[:, places].double(), gradient[:, places].double()
    weights = gradient.mean(dim=1, keepdim=True)
    return _doubles((features * weights).sum(dim=-1).clamp(min=0).reshape(-1, *grid))


def _doubles(tensor: torch.Tensor) -> Floats:
    return tensor.detach().double().cpu().numpy()


def _attributed(model: Any) -> nn.Module | None:
    """The module whose outputs Grad-CAM weighs: the first layer norm of the last block, the usual choice.

    What the last block puts out at the patches never reaches the class token, so its gradient is zero. In a
    convolutional model (ALIGN) there is none, and the last feature map serves, as in the paper.
    """
    blocks = max(_vision_modules(model, nn.ModuleList), key=len, default=())
    if not blocks:
        return None
    # By name, since not all are LayerNorm (RMSNorm in AIMv2); the norms within the attention are not children.
    return next((part for part in blocks[-1].children() if "norm" in type(part).__name__.lower()), None)
