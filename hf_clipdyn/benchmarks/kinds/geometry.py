"""The geometry of embeddings: how far apart are images and texts, how evenly spread, in how many dimensions?"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hf_clipdyn.benchmarks.kind import Common, Kind, KindSettings, digest, number, term, words
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import Reference

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from hf_clipdyn.benchmarks.readout import Readout
    from hf_clipdyn.benchmarks.sources import Source
    from hf_clipdyn.metrics.scores import Scale

    Floats = NDArray[np.floating[Any]]

_SIDE = 8  # pixels that are kept: of 1,000 images of CIFAR-10 their debiased CKA with all 32 x 32 is .999
_MOST_ROWS = 1000  # their embeddings take 1 MB a revision for 512 dimensions
_SIDES = {"image": "images", "text": "texts"}
_OF_SIDE = {
    "uniformity": (
        "uniformity",
        "Logarithm of the mean of exp(-2 distance²) over all pairs; 0 if all are equal, -4 for orthogonal ones.",
    ),
    "rankme": (
        "effective dimensions, RankMe",
        "Exponential of the entropy of the singular values (Garrido et al. 2023), not centred. It grows with the "
        "number of images.",
    ),
    "effective_rank": (
        "effective rank",
        "The same without its small constant (Roy and Vetterli 2007).",
    ),
    "effective_rank_centred": ("effective rank, centred", "The same around the mean embedding."),
    "participation_ratio": (
        "participation ratio",
        "Squared sum of the eigenvalues of the covariance, divided by the sum of their squares.",
    ),
    "participation_ratio_debiased": (
        "participation ratio, debiased",
        "The same with unbiased sums of squares, so that it does not grow with the number of images.",
    ),
    "norm": ("length of the embeddings", "Mean length before they are scaled to 1."),
}


class GeometrySettings(KindSettings):
    """No settings: all models are shown the same number of images."""

    def rows_shown(self, n: int) -> int:
        return min(n, _MOST_ROWS)


class Geometry(Kind[GeometrySettings]):
    """Modality gap, alignment, uniformity and dimensions, on at most 1,000 images drawn once.

    Each image comes with a text: its first caption or, in a labelled set, the prompts of its class. As classes share
    texts, the spread of the texts is not measured then. Hidden states and pixels are kept for relations between
    revisions.

    Trials: item, label (null without classes), probe (projection; hidden: the mean over tokens, minus its mean over
    images, divided by its root mean square; or pixels, averaged to at most 8 x 8), layer, vector (float16), caption (of
    the projection: the embedding of the text, float16; null without a text encoder), is_caption (False for the prompts
    of a class), logit_scale.
    """

    name = "geometry"
    schemas = ("labels", "captions")
    needs_text = False
    reads_layers = True
    settings = GeometrySettings
    score_version = 2
    terms = words(
        "Geometry of the embeddings",
        222,
        term(
            "gap",
            "modality gap",
            "Distance of the mean image from the mean text, with embeddings of length 1 (Liang et al. 2022).",
            limits=(0.0, 2.0),
        ),
        term(
            "alignment",
            "alignment of the pairs",
            "Mean squared distance of an image from its text; smaller is closer (Wang and Isola 2020).",
            limits=(0.0, 4.0),
            better="low",
        ),
        *(
            term(f"{name}_{side}", f"{title}, {of}", meaning)
            for side, of in _SIDES.items()
            for name, (title, meaning) in _OF_SIDE.items()
        ),
        term("logit_scale", "logit scale", "Factor on the cosines before the softmax."),
        question="How far apart are images and texts?",
        probes={"hidden": "mean token"},
        references=(Reference(role="chance", title="independent images and texts", joins=("metric",)),),
    )

    def __init__(
        self, source: "Source", image_processor: Any, settings: GeometrySettings, common: Common
    ) -> None:
        import numpy as np

        from hf_clipdyn.benchmarks.classes import default_templates
        from hf_clipdyn.benchmarks.readout import Stimuli
        from hf_clipdyn.benchmarks.simple_models import reduced

        super().__init__(source, image_processor, settings, common)
        self.shown = np.sort(
            np.random.default_rng(0).permutation(self.shown)[: settings.rows_shown(len(self.shown))]
        )
        (pixels,) = self.pixels
        self.stimuli, self.facts = [Stimuli(pixels.array, self.shown)], {}
        self._small = reduced(pixels.array[self.shown], _SIDE).reshape(len(self.shown), -1)
        rows = source.dataset.select(self.shown)
        self._names = source.class_names
        self._labels: list[int] = list(rows["label"]) if self._names else []
        self._templates = default_templates(source.metadata)
        captions = [] if self._names else rows["captions"]
        self._captions = [texts[0] if texts else "" for texts in captions]
        self.fingerprint = digest(
            self.name,
            pixels.fingerprint,
            self.shown.tolist(),
            *(self._names, self._labels, self._templates if self._names else (), self._captions),
        )

    def observe(self, readout: "Readout") -> "pd.DataFrame":
        """Embed images and texts, and average the hidden states over tokens."""
        import numpy as np
        import pandas as pd

        from hf_clipdyn.benchmarks.classes import class_embeddings
        from hf_clipdyn.benchmarks.hidden_states import pooled_states

        projection, hidden = pooled_states(readout, *self.stimuli)
        blocks = [self._block("projection", None, projection)]
        blocks += [self._block("hidden", layer, _scaled(rows)) for layer, rows in enumerate(hidden)]
        blocks.append(self._block("pixels", None, self._small))
        if readout.encoder.reads_text:
            texts: Floats = (
                readout.texts(self._captions)
                if self._captions
                else class_embeddings(readout, self._names, self._templates)[self._labels]
            )
            blocks[0]["caption"] = list(texts.astype(np.float16))
            blocks[0]["logit_scale"] = readout.encoder.logit_scale
        return pd.concat(blocks, ignore_index=True)

    def _block(self, probe: str, layer: int | None, rows: "Floats | NDArray[np.uint8]") -> "pd.DataFrame":
        import numpy as np
        import pandas as pd

        labels: list[Any] = self._labels or [pd.NA] * len(rows)
        columns: dict[str, Any] = {
            "item": self.shown,
            "label": pd.array(labels, dtype="Int64"),
            "probe": probe,
            "layer": pd.array([layer] * len(rows), dtype="Int64"),
            "vector": list(rows.astype(np.float16)),
            "caption": pd.Series([None] * len(rows), dtype=object),
            "is_caption": bool(self._captions),
            "logit_scale": np.nan,
        }
        return pd.DataFrame(columns)

    @classmethod
    def score(cls, trials: "pd.DataFrame", seed: int = 0) -> "Iterator[tuple[Number, Scale]]":
        """All numbers of the projections; those of the texts if there are any."""
        import numpy as np

        from hf_clipdyn.metrics.contrastive_geometry import contrastive_geometry
        from hf_clipdyn.metrics.scores import Score

        rows = trials[trials["probe"] == "projection"].sort_values("item", kind="stable")
        images = np.stack(rows["vector"].to_list()).astype(np.float64)
        has_texts, are_captions = bool(rows["caption"].notna().all()), bool(rows["is_caption"].iloc[0])
        texts = np.stack(rows["caption"].to_list()).astype(np.float64) if has_texts else images
        found = contrastive_geometry(images, texts)
        for name, score in found.items():
            is_of_texts, is_of_images = name.endswith("_text"), name.endswith("_image")
            if is_of_images or (has_texts and (are_captions or not is_of_texts)):
                yield number(name, score, rows["item"], n_clusters=len(rows))
        if has_texts:
            scale = Score(float(rows["logit_scale"].iloc[0]), n=len(rows))
            yield number("logit_scale", scale, role="diagnostic", probe="")
            for name in ("gap", "alignment"):
                chance = found.facts[f"{name}_chance"]
                cause = "there is only one pair" if np.isnan(chance) else ""
                yield number(name, Score(chance, n=len(rows), cause=cause), role="chance")


def _scaled(rows: "NDArray[np.float32]") -> "NDArray[np.float64]":
    """Around their mean and of root mean square 1, so that float16 keeps what differs in an untrained model."""
    import numpy as np

    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    size = np.sqrt(np.square(centred).mean())
    return np.asarray(centred / size if size > 0 else centred)
