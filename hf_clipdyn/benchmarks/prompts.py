"""Prompts: how a model is asked for a class without having been trained on it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import unit
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.data.imagenet_names import prompt_name
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.prompts import IMAGENET, PHOTO

__all__ = ["PROMPT_SETS", "class_embeddings", "default_templates", "prompt_sets"]

PROMPT_SETS = {"imagenet_80": IMAGENET, "name": ("{}",)}
"""Sets of templates that are asked beside the default one, by the name that follows the metric's slash."""


def default_templates(metadata: DatasetMetadata) -> tuple[str, ...]:
    """The data set's own templates, else "a photo of a {}."."""
    return metadata.templates or PHOTO


def prompt_sets(metadata: DatasetMetadata) -> dict[str, tuple[str, ...]]:
    """Sets of templates by name; the default one is named "".

    A data set with templates of its own is asked with these alone: the embedded world, say, knows no
    origami.
    """
    templates = default_templates(metadata)
    return {"": templates} | (PROMPT_SETS if templates == PHOTO else {})


def class_embeddings(readout: Readout, names: Sequence[str], templates: Sequence[str]) -> NDArray[np.float64]:
    """Unit vectors of the classes, (classes, d): each prompt normalised, averaged, normalised again."""
    prompts = [template.format(prompt_name(name)) for name in names for template in templates]
    rows = unit(readout.texts(prompts))
    return unit(rows.reshape(len(names), len(templates), -1).mean(axis=1))
