"""Saliency maps are what a calculation by hand, transformers and finite differences give."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import SWIN, classifier, families, vision_model
from transformers import CLIPImageProcessor

from hf_clipdyn.models.encoder import Encoder
from hf_clipdyn.models.maps import rollout, saliency_maps

HEIGHT, WIDTH = 16, 24  # a grid of 2 x 3, so that no transposed map goes unnoticed
CLASSES = dict(enumerate("abcde"))
FAMILIES = families() | {
    "swin": lambda: vision_model("Swin", SWIN | {"patch_size": 2, "window_size": 4}),
    "vit classifier": lambda: classifier("ViT", CLASSES),
    "resnet classifier": lambda: classifier("ResNet", CLASSES),
}
WITH_CLASS_TOKEN = ["clip", "altclip", "chinese_clip", "vit", "dinov2", "dinov2_registers"]
RESIZABLE = {"clip", "altclip", "chinese_clip", "siglip", "vit"}
ALL = ["attention", "attention_layers", "rollout", "gradient_input", "grad_cam"]


class Resizable(Encoder):
    """An encoder whose position embeddings follow the size of the image, that a grid need not be square."""

    def image_output(self, pixel_values: torch.Tensor, **kwargs: Any) -> Any:
        return super().image_output(pixel_values, interpolate_pos_encoding=True, **kwargs)


@pytest.fixture
def encoder() -> Callable[..., Encoder]:
    """`encoder("clip")`: a random model of that family."""

    def build(family: str, dtype: torch.dtype = torch.float32) -> Encoder:
        kind = Resizable if family in RESIZABLE else Encoder
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = FAMILIES[family]()
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.data = torch.randn_like(parameter) * 0.3  # far from uniform attention
        return kind(model, CLIPImageProcessor(), None, device=torch.device("cpu"), dtype=dtype)

    return build


@pytest.fixture
def pixels() -> Callable[..., np.ndarray]:
    def draw(family: str = "clip", n: int = 3) -> np.ndarray:
        shape = (64, 64) if family == "align" else (HEIGHT, WIDTH)
        if family in ("swin", "aimv2", "ijepa"):
            shape = (16, 16)
        return np.random.default_rng(0).integers(0, 256, (n, *shape, 3), dtype=np.uint8)

    return draw


@pytest.mark.parametrize("family", WITH_CLASS_TOKEN)
def test_attention_and_rollout_are_those_of_transformers_attention_maps(family, encoder, pixels):
    model = encoder(family)
    found = saliency_maps(model, pixels(), ["attention", "attention_layers", "rollout"])
    with torch.no_grad(), model.eager_attention():
        _, output = model.image_output(model.pixel_values(pixels()), output_attentions=True)
    maps = [one.double().numpy().mean(axis=1) for one in output.attentions]
    product = np.eye(maps[0].shape[-1])
    for one in maps:
        mixed = (one + np.eye(one.shape[-1])) / 2
        product = mixed / mixed.sum(axis=-1, keepdims=True) @ product
    patches = slice(5 if family == "dinov2_registers" else 1, None)
    assert set(found.maps) == {("attention", 1), ("attention", 2), ("rollout", None)}
    assert not found.unavailable
    for place, expected in [
        (("attention", 1), maps[0]),
        (("attention", 2), maps[1]),
        (("rollout", None), product),
    ]:
        assert found.maps[place].shape == (3, 2, 3)
        np.testing.assert_allclose(found.maps[place].reshape(3, -1), expected[:, 0, patches], rtol=1e-6)


def test_the_attention_of_siglip_is_that_of_its_pooling_head(encoder, pixels):
    model = encoder("siglip")
    found = saliency_maps(model, pixels(), ["attention", "attention_layers", "rollout"])
    with torch.no_grad(), model.eager_attention():
        _, output = model.image_output(model.pixel_values(pixels()), output_attentions=True)
    head = model.model.vision_model.head
    query_weight, key_weight, _ = head.attention.in_proj_weight.detach().chunk(3)
    query_bias, key_bias, _ = head.attention.in_proj_bias.detach().chunk(3)
    query = (head.probe[0].detach() @ query_weight.T + query_bias).reshape(2, 8)
    keys = (output.last_hidden_state.detach() @ key_weight.T + key_bias).reshape(3, -1, 2, 8)
    scores = torch.einsum("hd,nthd->nht", query, keys) / 8**0.5
    expected = scores.softmax(dim=-1).mean(dim=1).double().numpy()
    np.testing.assert_allclose(found.maps["attention", 3].reshape(3, -1), expected, rtol=1e-5)
    blocks = [one.double().numpy().mean(axis=1) for one in output.attentions]
    np.testing.assert_allclose(found.maps["attention", 2].reshape(3, -1), blocks[1].mean(axis=1), rtol=1e-5)
    flow = rollout(blocks, expected)
    np.testing.assert_allclose(found.maps["rollout", None].reshape(3, -1), flow, rtol=1e-5)


def test_without_class_token_and_pooling_head_all_tokens_count_alike(encoder, pixels):
    model = encoder("ijepa")
    found = saliency_maps(model, pixels("ijepa"), ["attention", "rollout"])
    with torch.no_grad(), model.eager_attention():
        _, output = model.image_output(model.pixel_values(pixels("ijepa")), output_attentions=True)
    blocks = [one.double().numpy().mean(axis=1) for one in output.attentions]
    np.testing.assert_allclose(found.maps["attention", 2].reshape(3, -1), blocks[1].mean(axis=1), rtol=1e-6)
    flow = rollout(blocks, np.full((3, 4), 0.25))
    np.testing.assert_allclose(found.maps["rollout", None].reshape(3, -1), flow, rtol=1e-6)


def _assert_slopes(found, values, answer):
    """The map is gradient of what the model answers, (n,), times input, by finite differences at some pixels."""
    for y, x in [(0, 0), (3, 11), (15, 7)]:
        expected = np.zeros(len(values))
        for channel in range(3):
            step = torch.zeros_like(values)
            step[:, channel, y, x] = 1e-4
            with torch.no_grad():
                slope = (answer(values + step) - answer(values - step)) / 2e-4
            expected += slope.numpy() * values[:, channel, y, x].numpy()
        of_pixel = found.maps["gradient_input", None][:, y, x]
        np.testing.assert_allclose(of_pixel, np.abs(expected), rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize(("family", "width"), [("clip", 16), ("siglip", 16), ("align", 32)])
def test_a_model_with_a_text_is_asked_for_their_cosine(family, width, encoder, pixels):
    model, shown = encoder(family, torch.float64), pixels(family, 2)
    text = torch.from_numpy(np.random.default_rng(1).standard_normal(width))
    found = saliency_maps(model, shown, ["gradient_input"], text=text.numpy())
    _assert_slopes(
        found,
        model.pixel_values(shown),
        lambda values: torch.cosine_similarity(model.image_output(values)[0], text[None]),
    )


@pytest.mark.parametrize("family", ["vit", "dinov2"])
def test_a_vision_model_without_texts_is_asked_for_the_length_of_its_features(family, encoder, pixels):
    model, shown = encoder(family, torch.float64), pixels(n=2)
    found = saliency_maps(model, shown, ALL)
    assert not found.unavailable
    assert found.maps["grad_cam", None].shape == (2, 2, 3)
    _assert_slopes(found, model.pixel_values(shown), lambda values: model.image_output(values)[0].norm(dim=1))


@pytest.mark.parametrize("family", ["vit classifier", "resnet classifier"])
def test_a_classifier_is_asked_for_the_class_that_its_head_ranks_first(family, encoder):
    model = encoder(family, torch.float64)
    shown = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    found = saliency_maps(model, shown, ["gradient_input", "grad_cam"])
    whole, values = FAMILIES[family]().double().eval(), model.pixel_values(shown)
    whole.load_state_dict({name: value.double() for name, value in model._whole.state_dict().items()})
    first = whole(values).logits.argmax(dim=1, keepdim=True)
    assert found.maps["grad_cam", None].shape[1:] == (2, 2)
    _assert_slopes(found, values, lambda changed: whole(changed).logits.gather(1, first)[:, 0])


def test_grad_cam_weighs_the_normed_input_of_the_last_block(encoder, pixels):
    model = encoder("clip", torch.float64)
    text = torch.randn(16, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    found = saliency_maps(model, pixels(), ["grad_cam"], text=text.numpy())
    tower = model.model.vision_model
    with torch.no_grad():
        _, output = model.image_output(model.pixel_values(pixels()), output_hidden_states=True)
        block = tower.encoder.layers[1]
        before = output.hidden_states[1]
    normed = block.layer_norm1(before).detach().requires_grad_()
    after = before + block.self_attn(hidden_states=normed, attention_mask=None)[0]
    after = after + block.mlp(block.layer_norm2(after))
    image = model.model.visual_projection(tower.post_layernorm(after[:, 0]))
    torch.cosine_similarity(image, text[None]).sum().backward()
    weights = normed.grad[:, 1:].mean(dim=1, keepdim=True)
    expected = (weights * normed[:, 1:]).sum(dim=-1).clamp(min=0).detach().numpy()
    assert expected.max() > 0
    np.testing.assert_allclose(found.maps["grad_cam", None].reshape(3, -1), expected, rtol=1e-5, atol=1e-12)


def test_a_convolutional_model_has_grad_cam_of_its_last_features_and_no_attention(encoder, pixels):
    found = saliency_maps(encoder("align"), pixels("align"), ALL, text=np.ones(32))
    assert set(found.maps) == {("gradient_input", None), ("grad_cam", None)}
    assert found.maps["grad_cam", None].shape == (3, 2, 2)
    assert "AlignModel gives no attention maps" in found.unavailable["rollout", None]


def test_grad_cam_of_a_convolutional_classifier_weighs_its_last_features_by_the_heads_own_weights(encoder):
    model = encoder("resnet classifier", torch.float64)
    shown = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    with torch.no_grad():
        _, output = model.image_output(model.pixel_values(shown))
        features = output.last_hidden_state
        linear = model._whole.classifier[1]
        weights = linear.weight[linear(features.mean(dim=(2, 3))).argmax(dim=1)] / 4
        expected = (features * weights[:, :, None, None]).sum(dim=1).clamp(min=0).numpy()
    assert expected.any()
    found = saliency_maps(model, shown, ["grad_cam"])
    np.testing.assert_allclose(found.maps["grad_cam", None], expected, rtol=1e-6, atol=1e-12)


def test_attention_within_windows_is_no_map_of_the_image(encoder, pixels):
    found = saliency_maps(encoder("swin"), pixels("swin"), ["rollout"])
    assert not found.maps
    assert "does not match a grid of 8 x 8 patches" in found.unavailable["rollout", None]


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_maps_do_not_depend_on_how_many_images_are_shown_at_once(family, encoder, pixels):
    """More than one pass takes."""
    model, text, shown = encoder(family), np.ones(16), pixels(n=50)
    together = saliency_maps(model, shown, ALL, text=text)
    assert not together.unavailable
    for row in (0, 7, 8, 24, 49):
        alone = saliency_maps(model, shown[row : row + 1], ALL, text=text).maps
        for place, maps in alone.items():
            np.testing.assert_allclose(together.maps[place][row], maps[0], rtol=1e-4, atol=1e-7)
