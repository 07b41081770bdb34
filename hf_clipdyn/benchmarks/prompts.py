"""Classes: their names and labels, the prompts that ask a model for them, and those that it ranks first."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import similarity, unit
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.prompts import IMAGENET, PHOTO, imagenet_names, prompt_name
from hf_clipdyn.metrics.shape_decisions import shape_decisions

__all__ = ["class_embeddings", "default_templates", "labels_of", "prompt_sets", "rank", "thousand_way"]

_PROMPT_SETS = {"imagenet_80": IMAGENET, "name": ("{}",)}
_LOGIT_SCALE = 100  # CLIP's, and part of the 1,000-way protocol: its softmax is averaged over classes


def labels_of(source: Source) -> tuple[list[str], NDArray[np.int64]]:
    """Class names, and the class id of each row, of a data set of the kind ``labels``."""
    return list(source.dataset.features["label"].names), np.asarray(source.dataset["label"], np.int64)


def default_templates(metadata: DatasetMetadata) -> tuple[str, ...]:
    """The data set's own templates, else "a photo of a {}."."""
    return metadata.templates or PHOTO


def prompt_sets(metadata: DatasetMetadata) -> dict[str, tuple[str, ...]]:
    """Sets of templates by name; the default one is named "".

    A data set with templates of its own is asked with these alone: the embedded world, say, knows no
    origami.
    """
    templates = default_templates(metadata)
    return {"": templates} | (_PROMPT_SETS if templates == PHOTO else {})


def class_embeddings(readout: Readout, names: Sequence[str], templates: Sequence[str]) -> NDArray[np.float64]:
    """Unit vectors of the classes, (classes, d): each prompt normalised, averaged, normalised again."""
    prompts = [template.format(prompt_name(name)) for name in names for template in templates]
    rows = unit(readout.texts(prompts))
    return unit(rows.reshape(len(names), len(templates), -1).mean(axis=1))


def rank(images: NDArray[np.float32], classes: NDArray[np.float64]) -> NDArray[np.int64]:
    """Class ids of each image, best first, (n, classes); among equal similarities, the lower id comes first.

    Args:
        images: embeddings, (n, d).
        classes: see `class_embeddings`, (classes, d).
    """
    return np.argsort(-similarity(images, classes), axis=1, kind="stable")


def thousand_way(readout: Readout, images: NDArray[np.float32], templates: Sequence[str]) -> list[str]:
    """Which of 16 classes each image (n, d) shows, decided among ImageNet's 1,000 classes; see `shape_decisions`."""
    texts = class_embeddings(readout, list(imagenet_names().values()), templates)
    return shape_decisions(_LOGIT_SCALE * similarity(images, texts), protocol="1000-way")
