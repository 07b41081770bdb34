"""Labelled images: their classes, and the classes that a model ranks first."""

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import similarity
from hf_clipdyn.benchmarks.sources import Source

__all__ = ["labels_of", "rank"]


def labels_of(source: Source) -> tuple[list[str], NDArray[np.int64]]:
    """Class names, and the class id of each row, of a data set of the kind ``labels``."""
    return list(source.dataset.features["label"].names), np.asarray(source.dataset["label"], np.int64)


def rank(images: NDArray[np.float32], classes: NDArray[np.float64]) -> NDArray[np.int64]:
    """Class ids of each image, best first, (n, classes); among equal similarities, the lower id comes first.

    Args:
        images: embeddings, (n, d).
        classes: those of the classes (`class_embeddings`), (classes, d).
    """
    return np.argsort(-similarity(images, classes), axis=1, kind="stable")
