"""Image-text retrieval on captioned images: recall at 1, 5 and 10 in both directions."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from hf_clipdyn.benchmarks.kind import Common, Kind, KindSettings, digest, number, share, words
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import Overview, Reference

if TYPE_CHECKING:
    import pandas as pd

    from hf_clipdyn.benchmarks.readout import Readout
    from hf_clipdyn.benchmarks.sources import Source
    from hf_clipdyn.metrics.scores import Scale

_DIRECTIONS = {
    "image_to_text": "Share of images with one of their captions in the top {}.",
    "text_to_image": "Share of captions with their image in the top {}.",
}
_DEPTHS = (1, 5, 10)


class RetrievalSettings(KindSettings):
    """Among which images and captions the model searches."""

    held_out: int | None = Field(None, ge=1)
    """Hold out the last N images for retrieval. Default: use all images."""

    def rows_shown(self, n: int) -> int:
        return min(n, self.held_out or n)


class Retrieval(Kind[RetrievalSettings]):
    """Recall among all images and captions of the split, or of its last ``held_out`` images.

    Recall depends on the number of candidates; therefore, each recall comes with its chance level.

    Trials: modality (``image`` or ``text``), item (the image's place among those that are shown), embedding (a unit
    vector, float32).
    """

    name = "retrieval"
    settings = RetrievalSettings
    schemas = ("captions",)
    score_version = 2
    terms = words(
        "Retrieval",
        30,
        *(
            share(
                f"{direction}_recall_at_{depth}",
                f"{direction.replace('_', '-')} recall at {depth}",
                meaning.format(depth),
                perception="high",
                overview=Overview(rank=40) if (direction, depth) == ("image_to_text", 10) else None,
            )
            for direction, meaning in _DIRECTIONS.items()
            for depth in _DEPTHS
        ),
        task="image-text-retrieval",
        references=(Reference(role="chance", title="chance", joins=("metric",)),),
    )

    def __init__(
        self, source: "Source", image_processor: Any, settings: RetrievalSettings, common: Common
    ) -> None:
        import numpy as np

        from hf_clipdyn.data.captioned import has_overlong

        n, held_out = len(source.dataset), settings.held_out or 0
        if held_out:
            self.rows = np.arange(max(0, n - held_out), n)
            source = replace(source, dataset=source.dataset.select(self.rows))
        super().__init__(source, image_processor, settings, common)
        captions = list(source.dataset["captions"])
        usable = [bool(captions[row]) and not has_overlong(captions[row]) for row in self.shown]
        (self.image,) = (one.select(np.flatnonzero(usable)) for one in self.stimuli)
        self.shown = self.shown[usable]
        if not len(self.shown):
            raise DatasetError(
                f"None of the {len(captions)} images shown from {source.name} has a caption: check its captions."
            )
        self.captions = [text for row in self.shown for text in captions[row]]
        self.caption_rows = np.repeat(self.shown, [len(captions[row]) for row in self.shown])
        self.left_out = len(captions) - len(self.shown)
        self.facts = {}
        self.fingerprint = digest(self.name, self.pixels[0].fingerprint, self.captions, held_out)

    @classmethod
    def version_with(cls, settings: Mapping[str, Any]) -> int:
        """Version 1 named the first rows of the data set for held-out images, which are the last ones."""
        return cls.observe_version + bool(settings.get("held_out"))

    def observe(self, readout: "Readout") -> "pd.DataFrame":
        """Unit embeddings of all images and captions."""
        import numpy as np
        import pandas as pd

        from hf_clipdyn.benchmarks.vectors import unit

        images, texts = unit(readout.images(self.image)), unit(readout.texts(self.captions))
        return pd.DataFrame(
            {
                "modality": ["image"] * len(images) + ["text"] * len(texts),
                "item": np.concatenate([self.shown, self.caption_rows]),
                "embedding": [*images.astype(np.float32), *texts.astype(np.float32)],
            }
        )

    @classmethod
    def score(cls, trials: "pd.DataFrame", seed: int = 0) -> "Iterator[tuple[Number, Scale]]":
        """Recalls with what each image contributes, and their chance levels."""
        import pandas as pd

        from hf_clipdyn.benchmarks.vectors import similarity
        from hf_clipdyn.metrics.recall_at_k import recall_at_k

        images, texts = (trials[trials["modality"] == modality] for modality in ("image", "text"))
        similarities = similarity(images["embedding"].to_list(), texts["embedding"].to_list())
        caption_images = pd.Index(images["item"]).get_indexer(texts["item"])
        found = recall_at_k(similarities, caption_images, ks=_DEPTHS)
        for direction in _DIRECTIONS:
            for depth in _DEPTHS:
                metric = f"{direction}_recall_at_{depth}"
                yield number(metric, found[metric], images["item"])
                chance = found[f"{direction}_chance_at_{depth}"]
                yield number(metric, chance, role="chance", n_clusters=len(images))
