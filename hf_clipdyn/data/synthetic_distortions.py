"""Synthetic distortions of one image: five kinds with five levels each, in an order that no human has judged.

The levels suit images whose shorter side has about 40 to 256 pixels. A blur of 2.5 pixels is strong on the former and
weak on the latter, so levels can only be compared within one data set.
"""

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from hf_clipdyn.data.images import decode_image

LEVELS = (1, 2, 3, 4, 5)

Distortion = Callable[[NDArray[np.uint8], int, np.random.Generator], NDArray[np.uint8]]


def distortion_ladder(
    reference: NDArray[np.uint8], reference_id: str, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """The rows (kind ``distortion_ladder``) of one reference, with images as PNG."""
    encoded = png(reference)
    for distortion, distort in DISTORTIONS.items():
        for level in LEVELS:
            yield {
                "reference": encoded,
                "distorted": png(distort(reference, level, rng)),
                "reference_id": reference_id,
                "distortion": distortion,
                "level": level,
            }


def png(image: NDArray[np.uint8]) -> dict[str, Any]:
    """An image as a cell of an image column."""
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=1)
    return {"bytes": buffer.getvalue(), "path": None}


def _noise(image: NDArray[np.uint8], level: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    sigma = 255 * (0.02, 0.05, 0.1, 0.2, 0.35)[level - 1]
    return np.round(np.clip(image + rng.normal(0, sigma, image.shape), 0, 255)).astype(np.uint8)


def _blur(image: NDArray[np.uint8], level: int, _: np.random.Generator) -> NDArray[np.uint8]:
    from scipy.ndimage import gaussian_filter

    sigma = (0.4, 0.7, 1.0, 1.5, 2.5)[level - 1]
    return np.round(gaussian_filter(image.astype(float), (sigma, sigma, 0))).astype(np.uint8)


def _jpeg(image: NDArray[np.uint8], level: int, _: np.random.Generator) -> NDArray[np.uint8]:
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=(60, 35, 20, 10, 4)[level - 1])
    return np.asarray(decode_image(buffer.getvalue()))


def _contrast(image: NDArray[np.uint8], level: int, _: np.random.Generator) -> NDArray[np.uint8]:
    factor = (0.85, 0.7, 0.5, 0.35, 0.2)[level - 1]
    return np.asarray(ImageEnhance.Contrast(Image.fromarray(image)).enhance(factor))


def _colour(image: NDArray[np.uint8], level: int, _: np.random.Generator) -> NDArray[np.uint8]:
    factor = (0.8, 0.6, 0.4, 0.2, 0.0)[level - 1]
    return np.asarray(ImageEnhance.Color(Image.fromarray(image)).enhance(factor))


DISTORTIONS: dict[str, Distortion] = {
    "noise": _noise,
    "blur": _blur,
    "jpeg": _jpeg,
    "contrast": _contrast,
    "colour": _colour,
}
"""Functions from pixels, level (1 to 5) and random numbers to pixels, by name."""
