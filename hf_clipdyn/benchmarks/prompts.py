"""Prompts: how a model is asked for a class without having been trained on it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import unit
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.data.facts import DatasetFacts
from hf_clipdyn.data.prompts import PHOTO

__all__ = ["IMAGENET_80", "PROMPT_SETS", "class_embeddings", "default_templates", "prompt_sets"]

# The list that came with CLIP (Radford et al. 2021, notebook on prompt engineering for ImageNet).
IMAGENET_80 = (
    "a bad photo of a {}.",
    "a photo of many {}.",
    "a sculpture of a {}.",
    "a photo of the hard to see {}.",
    "a low resolution photo of the {}.",
    "a rendering of a {}.",
    "graffiti of a {}.",
    "a bad photo of the {}.",
    "a cropped photo of the {}.",
    "a tattoo of a {}.",
    "the embroidered {}.",
    "a photo of a hard to see {}.",
    "a bright photo of a {}.",
    "a photo of a clean {}.",
    "a photo of a dirty {}.",
    "a dark photo of the {}.",
    "a drawing of a {}.",
    "a photo of my {}.",
    "the plastic {}.",
    "a photo of the cool {}.",
    "a close-up photo of a {}.",
    "a black and white photo of the {}.",
    "a painting of the {}.",
    "a painting of a {}.",
    "a pixelated photo of the {}.",
    "a sculpture of the {}.",
    "a bright photo of the {}.",
    "a cropped photo of a {}.",
    "a plastic {}.",
    "a photo of the dirty {}.",
    "a jpeg corrupted photo of a {}.",
    "a blurry photo of the {}.",
    "a photo of the {}.",
    "a good photo of the {}.",
    "a rendering of the {}.",
    "a {} in a video game.",
    "a photo of one {}.",
    "a doodle of a {}.",
    "a close-up photo of the {}.",
    "a photo of a {}.",
    "the origami {}.",
    "the {} in a video game.",
    "a sketch of a {}.",
    "a doodle of the {}.",
    "a origami {}.",
    "a low resolution photo of a {}.",
    "the toy {}.",
    "a rendition of the {}.",
    "a photo of the clean {}.",
    "a photo of a large {}.",
    "a rendition of a {}.",
    "a photo of a nice {}.",
    "a photo of a weird {}.",
    "a blurry photo of a {}.",
    "a cartoon {}.",
    "art of a {}.",
    "a sketch of the {}.",
    "a embroidered {}.",
    "a pixelated photo of a {}.",
    "itap of the {}.",
    "a jpeg corrupted photo of the {}.",
    "a good photo of a {}.",
    "a plushie {}.",
    "a photo of the nice {}.",
    "a photo of the small {}.",
    "a photo of the weird {}.",
    "the cartoon {}.",
    "art of the {}.",
    "a drawing of the {}.",
    "a photo of the large {}.",
    "a black and white photo of a {}.",
    "the plushie {}.",
    "a dark photo of a {}.",
    "itap of a {}.",
    "graffiti of the {}.",
    "a toy {}.",
    "itap of my {}.",
    "a photo of a cool {}.",
    "a photo of a small {}.",
    "a tattoo of the {}.",
)

PROMPT_SETS = {"imagenet_80": IMAGENET_80, "name": ("{}",)}
"""Sets of templates that are asked beside the default one, by the name that follows the metric's slash."""


def default_templates(facts: DatasetFacts) -> tuple[str, ...]:
    """The data set's own templates, else "a photo of a {}."."""
    return facts.templates or PHOTO


def prompt_sets(facts: DatasetFacts) -> dict[str, tuple[str, ...]]:
    """Sets of templates by name; the default one is named "".

    A data set with templates of its own is asked with these alone: the embedded world, say, knows no
    origami.
    """
    templates = default_templates(facts)
    return {"": templates} | (PROMPT_SETS if templates == PHOTO else {})


def class_embeddings(readout: Readout, names: Sequence[str], templates: Sequence[str]) -> NDArray[np.float64]:
    """Unit vectors of the classes, (classes, d): each prompt normalised, averaged, normalised again."""
    prompts = [template.format(name.replace("_", " ")) for name in names for template in templates]
    rows = unit(readout.texts(prompts))
    return unit(rows.reshape(len(names), len(templates), -1).mean(axis=1))
