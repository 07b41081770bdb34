"""Converted and original model are one function with the same weights."""

from pathlib import Path
from typing import Any

import pytest
import torch

from hf_clipdyn.errors import ModelError, UnknownNameError
from hf_clipdyn.models.open_clip import (
    checkpoint_epoch,
    clip_config_of,
    from_open_clip,
    open_clip_config,
    read_state_dict,
)

open_clip = pytest.importorskip("open_clip")

SMALL: dict[str, Any] = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 128, "patch_size": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 60, "width": 32, "heads": 2, "layers": 2},
}
REAL = ["ViT-B-32", "ViT-B-16", "ViT-L-14"]


def _random(config: dict[str, Any]) -> torch.nn.Module:
    """open_clip's model with weights that are random throughout: biases too, which start at zero."""
    torch.manual_seed(0)
    model = open_clip.CLIP(**config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim < 2:
                parameter.add_(0.02 * torch.randn_like(parameter))
    return model


def _largest_difference(original: torch.nn.Module, config: dict[str, Any]) -> float:
    converted = from_open_clip(original.state_dict(), clip_config_of(config))
    side, vocabulary = config["vision_cfg"]["image_size"], config["text_cfg"]["vocab_size"]
    images = torch.randn(2, 3, side, side)
    length = config["text_cfg"]["context_length"]
    tokens = torch.randint(1, vocabulary - 2, (2, length))
    tokens[:, 0] = vocabulary - 2
    tokens[0, 5], tokens[0, 6:] = vocabulary - 1, 0  # open_clip pads with 0
    tokens[1, -1] = vocabulary - 1
    with torch.no_grad():
        outputs = converted(input_ids=tokens, pixel_values=images)
        pairs = [
            (original.encode_image(images, normalize=True), outputs.image_embeds),
            (original.encode_text(tokens, normalize=True), outputs.text_embeds),
        ]
    return max((left - right).abs().max().item() for left, right in pairs)


@pytest.mark.parametrize("quick_gelu", [False, True])
def test_embeddings_agree_for_either_activation(quick_gelu: bool) -> None:
    config = SMALL | {"quick_gelu": quick_gelu}
    original = _random(config)
    assert _largest_difference(original, config) < 1e-5
    other = SMALL | {"quick_gelu": not quick_gelu}
    assert _largest_difference(original, other) > 1e-4, "the activation must make a difference here"


@pytest.mark.slow
@pytest.mark.parametrize("name", [model + form for model in REAL for form in ("", "-quickgelu")])
def test_embeddings_of_the_real_sizes_agree(name: str) -> None:
    config = open_clip_config(name)
    assert _largest_difference(_random(config), config) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_conversion_keeps_every_bit(dtype: torch.dtype) -> None:
    weights = _random(SMALL).to(dtype).state_dict()
    converted = from_open_clip(weights, clip_config_of(SMALL)).state_dict()
    assert {tensor.dtype for tensor in converted.values()} == {dtype}
    theirs, ours = (torch.cat([tensor.flatten() for tensor in one.values()]) for one in (weights, converted))
    assert torch.equal(theirs.sort().values, ours.sort().values)


@pytest.mark.parametrize("prefix", ["", "module.", "module._orig_mod."])
def test_checkpoints_and_bare_weights_are_read_with_any_wrappers_prefix(tmp_path: Path, prefix: str) -> None:
    weights = _random(SMALL).state_dict()
    prefixed = {prefix + name: tensor for name, tensor in weights.items()}
    for content, epoch in (({"epoch": 7, "state_dict": prefixed}, 7), (prefixed, None)):
        torch.save(content, tmp_path / "latest.pt")
        read = read_state_dict(tmp_path / "latest.pt")
        assert all(torch.equal(read[name], tensor) for name, tensor in weights.items())
        assert checkpoint_epoch(tmp_path / "latest.pt") == epoch


@pytest.mark.parametrize("name", ["RN50", "coca_ViT-B-32", "ViT-B-16-SigLIP", "roberta-ViT-B-32"])
def test_an_architecture_that_clipmodel_does_not_have_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="no such architecture"):
        clip_config_of(open_clip_config(name))


@pytest.mark.parametrize("name", ["ViT-B-16-quickglu", "hf-hub:me/model", "local-dir:model"])
def test_an_unknown_name_is_refused_and_nothing_is_loaded_for_it(name: str) -> None:
    with pytest.raises(UnknownNameError, match=f"no open_clip model '{name}'"):
        open_clip_config(name)
