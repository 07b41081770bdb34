"""Zero-shot classification: the class whose prompts are nearest to the image."""

from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import (
    Benchmark,
    Measurement,
    Settings,
    decode,
    digest,
    measurement,
    similarity,
)
from hf_clipdyn.benchmarks.prompts import class_embeddings, default_templates
from hf_clipdyn.benchmarks.readout import Readout, Stimuli
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.metrics.undefined import undefined_causes
from hf_clipdyn.metrics.zero_shot_accuracy import zero_shot_accuracy

__all__ = ["ZeroShot", "labels_of", "rank"]

_KEPT = 5


def labels_of(source: Source) -> tuple[list[str], NDArray[np.int64]]:
    """Class names, and the class id of each row, of a data set of the kind ``labels``."""
    return list(source.dataset.features["label"].names), np.asarray(source.dataset["label"], np.int64)


def rank(images: NDArray[np.float32], classes: NDArray[np.float64]) -> NDArray[np.int64]:
    """Class ids of each image, best first, (n, classes); of equal similarities the lower id comes first.

    Args:
        images: embeddings, (n, d).
        classes: those of the classes (`class_embeddings`), (classes, d).
    """
    return np.argsort(-similarity(images, classes), axis=1, kind="stable")


class ZeroShot(Benchmark):
    """Top-1 and top-5 accuracy on labelled images.

    Trials: item, label, ranking (the best five class ids), n_classes.
    """

    kind: ClassVar[str] = "zero_shot"
    schemas = ("labels",)
    suites: ClassVar = {
        "embedded": ("procedural",),
        "full": ("cifar10", "cifar100", "tiny_imagenet", "imagenet"),
    }
    text_drift: ClassVar[bool] = True

    def __init__(self, source: Source, image_processor: Any, settings: Settings) -> None:
        self._names, self._labels = labels_of(source)
        self._templates = default_templates(source.facts)
        pixels = decode(source.dataset, image_processor, settings)
        self._rows = np.flatnonzero(~pixels.broken)
        self._stimuli = Stimuli(pixels.array, self._rows)
        self.left_out = int(pixels.broken.sum())
        self.fingerprint = digest(
            self.kind, pixels.fingerprint, self._names, self._labels.tolist(), self._templates
        )

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Rank the classes for every image."""
        classes = class_embeddings(readout, self._names, self._templates)
        ranking = rank(readout.images(self._stimuli), classes)
        return pd.DataFrame(
            {
                "item": self._rows,
                "label": self._labels[self._rows],
                "ranking": ranking[:, :_KEPT].tolist(),
                "n_classes": len(self._names),
            }
        )

    @staticmethod
    def score(trials: pd.DataFrame, settings: Settings) -> list[Measurement]:
        """Accuracies, with chance beside each."""
        n, n_classes = len(trials), int(trials["n_classes"].iloc[0])
        with undefined_causes() as causes:
            result = zero_shot_accuracy(
                trials["ranking"].tolist(), trials["label"], n_classes=n_classes, **settings.resampling
            )
        result["chance_top5"] = min(_KEPT, n_classes) / n_classes
        better = {"top1": True, "top5": True, "chance": None, "chance_top5": None}
        return [
            measurement(result, key, causes, n_groups=n, higher_is_better=direction)
            for key, direction in better.items()
        ]
