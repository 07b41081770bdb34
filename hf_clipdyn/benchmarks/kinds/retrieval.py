"""Image-text retrieval on captioned images: recall at 1, 5 and 10 in both directions."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from hf_clipdyn.benchmarks.base import (
    Common,
    Kind,
    by_item,
    decode,
    digest,
    number,
    similarity,
    unit,
)
from hf_clipdyn.benchmarks.gallery import Gallery, GalleryView, Picture
from hf_clipdyn.benchmarks.kind import KindSettings
from hf_clipdyn.benchmarks.readout import Readout, Stimuli
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.data.captioned import has_overlong
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.metrics.recall_at_k import recall_at_k
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import KindTerms, Overview, Reference, Term

__all__ = ["Retrieval", "RetrievalSettings"]

_DIRECTIONS = {
    "image_to_text": "Share of images with one of their captions in the top {}.",
    "text_to_image": "Share of captions with their image in the top {}.",
}
_DEPTHS = (1, 5, 10)


class RetrievalSettings(KindSettings):
    """Among which images and captions the model searches."""

    held_out: int | None = Field(None, ge=1)
    """Hold out the last N images for retrieval. Default: use all images."""


class Retrieval(Kind[RetrievalSettings]):
    """Recall among all images and captions of the split, or of its last ``held_out`` images.

    Recall depends on the number of candidates; therefore, each recall comes with its chance level.

    Trials: modality (``image`` or ``text``), item (the image's place among those that are shown), embedding (a unit
    vector, float32).
    """

    name = "retrieval"
    settings = RetrievalSettings
    schemas = ("captions",)
    terms = KindTerms(
        title="Retrieval",
        rank=30,
        task="image-text-retrieval",
        terms={
            f"{direction}_recall_at_{depth}": Term(
                title=f"{direction.replace('_', '-')} recall at {depth}",
                meaning=meaning.format(depth),
                limits=(0.0, 1.0),
                better="high",
                perception="high",
                overview=Overview(rank=40) if (direction, depth) == ("image_to_text", 10) else None,
            )
            for direction, meaning in _DIRECTIONS.items()
            for depth in _DEPTHS
        },
        references=(Reference(role="chance", title="chance", joins=("metric",)),),
    )
    trial_columns: ClassVar = {"modality": "str", "item": "int64", "embedding": "object"}

    def __init__(
        self, source: Source, image_processor: Any, settings: RetrievalSettings, common: Common
    ) -> None:
        dataset, held_out = source.dataset, settings.held_out or 0
        if held_out:
            self.rows = np.arange(max(0, len(dataset) - held_out), len(dataset))
            dataset = dataset.select(self.rows)
        pixels = decode(dataset, image_processor, common)
        captions = list(dataset["captions"])
        usable = [bool(texts) and not has_overlong(texts) for texts in captions]
        self._rows = np.flatnonzero(~pixels.broken & usable)
        if not len(self._rows):
            raise DatasetError(
                f"None of the {len(dataset)} images shown from {source.name} has a caption: check its "
                "captions."
            )
        self._stimuli = Stimuli(pixels.array, self._rows)
        self._captions = [text for row in self._rows for text in captions[row]]
        self._caption_rows = np.repeat(self._rows, [len(captions[row]) for row in self._rows])
        self.left_out = len(dataset) - len(self._rows)
        self.fingerprint = digest(self.name, pixels.fingerprint, self._captions, held_out)

    @classmethod
    def version_with(cls, settings: Mapping[str, Any]) -> int:
        """Version 1 named the first rows of the data set for held-out images, which are the last ones."""
        return cls.observe_version + bool(settings.get("held_out"))

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Unit embeddings of all images and captions."""
        images, texts = unit(readout.images(self._stimuli)), unit(readout.texts(self._captions))
        trials = pd.DataFrame(
            {
                "modality": ["image"] * len(images) + ["text"] * len(texts),
                "item": np.concatenate([self._rows, self._caption_rows]),
                "embedding": [*images.astype(np.float32), *texts.astype(np.float32)],
            }
        )
        return trials.astype(self.trial_columns)

    @staticmethod
    def gallery(trials: pd.DataFrame) -> Gallery:
        """Images, and the rank of the nearest of their own captions among all."""
        images, texts = (trials[trials["modality"] == modality] for modality in ("image", "text"))
        cosines = similarity(images["embedding"].to_list(), texts["embedding"].to_list())
        own = images["item"].to_numpy()[:, None] == texts["item"].to_numpy()
        best = np.where(own, cosines, -np.inf).max(axis=1, keepdims=True)
        ranks = 1 + ((cosines > best) & ~own).sum(axis=1)
        return Gallery(
            answer="value",
            pictures=(Picture(rows=images.set_index("item")["row"]),),
            answers={"captions": pd.Series(ranks, index=images["item"].to_numpy(), dtype="float64")},
            value_title="rank of the image's closest caption, 1 for the best",
        )

    views = (GalleryView(("row", "modality", "item", "embedding"), gallery),)

    @staticmethod
    def score(trials: pd.DataFrame, common: Common) -> list[Number]:
        """Recalls with intervals over the images, and their chance levels."""
        images, texts = (trials[trials["modality"] == modality] for modality in ("image", "text"))
        similarities = similarity(images["embedding"].to_list(), texts["embedding"].to_list())
        caption_images = pd.Index(images["item"]).get_indexer(texts["item"])
        result = recall_at_k(similarities, caption_images, ks=_DEPTHS, **common.resampling)
        numbers = []
        for direction, n in zip(_DIRECTIONS, (len(images), len(texts)), strict=True):
            counts: dict[str, Any] = {"n": n, "n_clusters": len(images)}
            for depth in _DEPTHS:
                metric = f"{direction}_recall_at_{depth}"
                chance = result[f"{direction}_chance_at_{depth}"]
                numbers += [
                    number(
                        result,
                        metric,
                        influence=by_item(result["influences"][metric], images["item"]),
                        **counts,
                    ),
                    Number(metric=metric, role="chance", value=chance, **counts),
                ]
        return numbers
