"""Image-text retrieval on captioned images: recall at 1, 5 and 10, both ways."""

from typing import Any, ClassVar

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.base import (
    Benchmark,
    Measurement,
    Settings,
    decode,
    digest,
    measurement,
    similarity,
    unit,
)
from hf_clipdyn.benchmarks.readout import Readout, Stimuli
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.metrics.recall_at_k import recall_at_k

__all__ = ["Retrieval"]

_WAYS = ("image_to_text", "text_to_image")
_DEPTHS = (1, 5, 10)


class Retrieval(Benchmark):
    """Recall among all images and captions of the set, or of its last ``held_out`` images.

    Recall depends on the number of candidates, so chance stands beside it, and ``group`` says how many
    images were held out where not all are taken.

    Trials: modality (``image`` or ``text``), item (the image's row), held_out (0 for all), embedding (a
    unit vector, float32).
    """

    kind: ClassVar[str] = "retrieval"
    schemas = ("captions",)
    settings = ("held_out",)
    suites: ClassVar = {"full": ("flickr8k",)}

    def __init__(self, source: Source, image_processor: Any, settings: Settings) -> None:
        dataset = source.dataset
        self._held_out = settings.held_out or 0
        if self._held_out:
            dataset = dataset.select(range(max(0, len(dataset) - self._held_out), len(dataset)))
        pixels = decode(dataset, image_processor, settings)
        captions = list(dataset["captions"])
        self._rows = np.array([row for row in np.flatnonzero(~pixels.broken) if captions[row]], np.int64)
        if not len(self._rows):
            raise DatasetError(
                f"No image of {source.name} that is shown has a caption ({len(dataset)} images): check its captions."
            )
        self._stimuli = Stimuli(pixels.array, self._rows)
        self._captions = [text for row in self._rows for text in captions[row]]
        self._owners = np.repeat(self._rows, [len(captions[row]) for row in self._rows])
        self.left_out = len(dataset) - len(self._rows)
        self.fingerprint = digest(self.kind, pixels.fingerprint, self._captions, self._held_out)

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Unit embeddings of all images and captions."""
        images, texts = unit(readout.images(self._stimuli)), unit(readout.texts(self._captions))
        return pd.DataFrame(
            {
                "modality": ["image"] * len(images) + ["text"] * len(texts),
                "item": np.concatenate([self._rows, self._owners]),
                "held_out": self._held_out,
                "embedding": [*images.astype(np.float32), *texts.astype(np.float32)],
            }
        )

    @staticmethod
    def score(trials: pd.DataFrame, settings: Settings) -> list[Measurement]:
        """Recalls with intervals over the images, and chance."""
        images, texts = (trials[trials["modality"] == modality] for modality in ("image", "text"))
        similarities = similarity(images["embedding"].to_list(), texts["embedding"].to_list())
        owners = pd.Index(images["item"]).get_indexer(texts["item"])
        result = recall_at_k(similarities, owners, ks=_DEPTHS, **settings.resampling)
        held_out = int(trials["held_out"].iloc[0])
        rows: dict[str, Any] = {
            "n_groups": len(images),
            "group": f"held_out={held_out}" if held_out else "",
        }
        measurements = []
        for way, n in zip(_WAYS, (len(images), len(texts)), strict=True):
            for k in _DEPTHS:
                recall, chance = f"{way}_recall_at_{k}", f"{way}_chance_at_{k}"
                measurements.append(measurement(result, recall, {}, n=n, higher_is_better=True, **rows))
                measurements.append(measurement(result, chance, {}, n=n, **rows))
        return measurements
