"""The image processor taken apart gives what it gives as a whole, bit for bit, whatever the family."""

import numpy as np
import pytest
import torch
import transformers
from transformers import (
    BlipImageProcessor,
    ChineseCLIPImageProcessor,
    CLIPImageProcessor,
    DINOv3ViTImageProcessor,
    EfficientNetImageProcessor,
    MobileViTImageProcessor,
    Siglip2ImageProcessor,
    SiglipImageProcessor,
    ViTImageProcessor,
)

from hf_clipdyn.models.inputs import Normaliser, naflex_inputs
from hf_clipdyn.preprocess import normalisation, resize_and_crop

SIZE = 32
SQUARE = {"height": SIZE, "width": SIZE}
CPU = torch.device("cpu")
USUAL = {
    "clip": CLIPImageProcessor(size={"shortest_edge": SIZE}, crop_size=SQUARE),
    "chinese_clip": ChineseCLIPImageProcessor(size=SQUARE, crop_size=SQUARE),
    "blip": BlipImageProcessor(size=SQUARE),
    "siglip": SiglipImageProcessor(size=SQUARE),
    "vit": ViTImageProcessor(size=SQUARE),
    "odd statistics": CLIPImageProcessor(
        size={"shortest_edge": SIZE}, crop_size=SQUARE, image_mean=[0.1, 0.7, 1 / 3], image_std=[3, 0.01, 0.3]
    ),
}
# Their arithmetic is another: in two steps, with an offset, blue first, without mean and deviation.
UNUSUAL = {
    "dinov3": DINOv3ViTImageProcessor(size=SQUARE),
    "efficientnet": EfficientNetImageProcessor(size=SQUARE),
    "efficientnet with an offset": EfficientNetImageProcessor(size=SQUARE, rescale_offset=True),
    "blue first": MobileViTImageProcessor(size={"shortest_edge": SIZE}, crop_size=SQUARE),
    "only rescaled": SiglipImageProcessor(size=SQUARE, do_normalize=False),
    "only normalised": SiglipImageProcessor(size=SQUARE, do_rescale=False),
    "unchanged": SiglipImageProcessor(size=SQUARE, do_rescale=False, do_normalize=False),
}
if hasattr(transformers, "Tipsv2ImageProcessor"):  # newer than the lowest transformers that is declared
    UNUSUAL["tipsv2"] = transformers.Tipsv2ImageProcessor(size=SQUARE)


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.mark.parametrize("processor", [*USUAL.values(), *UNUSUAL.values()], ids=[*USUAL, *UNUSUAL])
def test_the_numbers_are_those_of_the_processor(processor, pixels):
    expected = processor(list(pixels), return_tensors="pt")["pixel_values"]
    found = Normaliser(processor)(pixels, CPU)
    assert found.shape == (5, 3, SIZE, SIZE)
    assert found.is_contiguous()
    assert torch.equal(found, expected)


@pytest.mark.parametrize("processor", [*USUAL.values(), *UNUSUAL.values()], ids=[*USUAL, *UNUSUAL])
def test_codes_are_normalised_as_grey_levels_are_but_not_rounded(processor, pixels):
    values = Normaliser(processor)
    low, high = np.minimum(pixels, 254), np.minimum(pixels, 254) + 1
    codes = (low / 255).astype(np.float32), ((low + 0.25) / 255).astype(np.float32)
    own, between = (values(one, CPU) for one in codes)
    assert own.is_contiguous()
    first, second = (values(one.astype(np.uint8), CPU).float() for one in (low, high))
    torch.testing.assert_close(own, first, rtol=1e-5, atol=1e-5 * float(first.abs().max()))
    torch.testing.assert_close(between, 0.75 * first + 0.25 * second, rtol=1e-4, atol=1e-4)
    assert (codes[0] <= 1).all(), "the caller's array is left as it is"


@pytest.mark.parametrize("processor", USUAL.values(), ids=list(USUAL))
@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (32, 32), (9, 200)])
def test_the_steps_one_after_the_other_give_what_the_processor_gives_as_a_whole(processor, shape):
    images = list(np.random.default_rng(1).integers(0, 256, (3, *shape, 3), dtype=np.uint8))
    shown = resize_and_crop(processor, images)
    assert shown.dtype == np.uint8
    expected = processor(images, return_tensors="pt")["pixel_values"]
    assert torch.equal(Normaliser(processor)(shown, CPU), expected)
    # The model in training normalises on its own device, from the same two numbers a channel.
    mean, deviation = normalisation(processor)
    assert torch.equal((torch.from_numpy(shown).permute(0, 3, 1, 2).float() - mean) / deviation, expected)


def test_the_patches_of_a_square_are_those_of_the_naflex_processor(pixels):
    processor = Siglip2ImageProcessor(patch_size=8, max_num_patches=19)
    expected = processor(list(pixels), return_tensors="pt", max_num_patches=19)
    found = naflex_inputs(processor, Normaliser(processor)(pixels, CPU))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
        assert found[name].dtype == value.dtype, name
    assert expected["spatial_shapes"].tolist() == [[4, 4]] * 5
