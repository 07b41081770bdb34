"""The geometry of embeddings: how far apart are images and texts, how evenly spread, in how many dimensions?"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import Common, ImageKind, KindSettings, by_item, digest, number, unit
from hf_clipdyn.benchmarks.classes import class_embeddings, default_templates
from hf_clipdyn.benchmarks.hidden_states import pooled_states
from hf_clipdyn.benchmarks.readout import Readout, Stimuli
from hf_clipdyn.benchmarks.simple_models import reduced
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.metrics.contrastive_geometry import contrastive_geometry, neural_collapse
from hf_clipdyn.metrics.mutual_knn import mutual_knn
from hf_clipdyn.metrics.representation import representation_similarity
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import KindTerms, Reference, Term

_NEIGHBOURS = 10
_SIDE = 8  # pixels that are kept: of 1,000 images of CIFAR-10 their debiased CKA with all 32 x 32 is .999
_TEXT_SIDE = "_text"
_SIDES = {"image": "images", "text": "texts"}
_OF_SIDE: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "uniformity": (
        "uniformity",
        "Logarithm of the mean of exp(-2 distance²) over all pairs; 0 if all are equal, -4 for orthogonal ones.",
        {},
    ),
    "rankme": (
        "effective dimensions, RankMe",
        "Exponential of the entropy of the singular values (Garrido et al. 2023), not centred. It grows with the "
        "number of images.",
        {},
    ),
    "effective_rank": (
        "effective rank",
        "The same without its small constant (Roy and Vetterli 2007).",
        {},
    ),
    "effective_rank_centred": ("effective rank, centred", "The same around the mean embedding.", {}),
    "participation_ratio": (
        "participation ratio",
        "Squared sum of the eigenvalues of the covariance, divided by the sum of their squares.",
        {},
    ),
    "participation_ratio_debiased": (
        "participation ratio, debiased",
        "The same with unbiased sums of squares, so that it does not grow with the number of images.",
        {},
    ),
    "norm": ("length of the embeddings", "Mean length before they are scaled to 1.", {}),
}
_COLLAPSE = {
    "nc1": "Covariance within classes against that of the class means, trace(pinv(B) W) / K.",
    "nc1_ratio": "Variance within classes divided by that of the class means.",
    "nc2_norms": "Standard deviation over mean of the distances of the class means from their mean.",
    "nc2_angles": "Distance of the angles between class means from those of a simplex.",
}


class Geometry(ImageKind[KindSettings]):
    """Modality gap, alignment, uniformity, dimensions and neural collapse, on at most 1,000 images drawn once.

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
    terms = KindTerms(
        title="Geometry of the embeddings",
        question="How far apart are images and texts?",
        rank=222,
        terms={
            "gap": Term(
                title="modality gap",
                meaning="Distance of the mean image from the mean text, with embeddings of length 1 (Liang et al. "
                "2022).",
                limits=(0.0, 2.0),
            ),
            "gap_squared_unbiased": Term(
                title="modality gap squared, unbiased",
                meaning="The square of the gap, minus what finite samples add to it; may be negative.",
            ),
            "relative_modality_gap": Term(
                title="relative modality gap",
                meaning="Mean distance of the pairs, divided by itself plus the mean distance within images and within "
                "texts (Schrodi et al. 2025).",
                limits=(0.0, 1.0),
            ),
            "alignment": Term(
                title="alignment of the pairs",
                meaning="Mean squared distance of an image from its text; smaller is closer (Wang and Isola 2020).",
                limits=(0.0, 4.0),
                better="low",
            ),
            **{
                f"{name}_{side}": Term(title=f"{title}, {of}", meaning=meaning, **more)
                for side, of in _SIDES.items()
                for name, (title, meaning, more) in _OF_SIDE.items()
            },
            "cka_debiased": Term(
                title="debiased CKA of images and texts",
                meaning="Correlation of the inner products of all pairs of images with those of their captions. It "
                "measures the training of this CLIP, and no convergence of models.",
                limits=(-1.0, 1.0),
                neutral=0.0,
                neutral_title="independent",
            ),
            "mutual_knn": Term(
                title="common nearest neighbours of images and texts",
                meaning=f"Share of the {_NEIGHBOURS} nearest neighbours of an image whose captions are nearest "
                "neighbours of its caption (Huh et al. 2024).",
                limits=(0.0, 1.0),
            ),
            "logit_scale": Term(title="logit scale", meaning="Factor on the cosines before the softmax."),
            **{
                name: Term(title=f"neural collapse, {name}", meaning=text) for name, text in _COLLAPSE.items()
            },
        },
        probes={"hidden": "mean token"},
        references=(Reference(role="chance", title="independent images and texts", joins=("metric",)),),
    )
    trial_columns: ClassVar = {
        "item": "int64",
        "label": "Int64",
        "probe": "str",
        "layer": "Int64",
        "vector": "object",
        "caption": "object",
        "is_caption": "bool",
        "logit_scale": "float64",
    }
    needs_text = False
    reads_layers = True
    most_rows = 1000  # their embeddings take 1 MB a revision for 512 dimensions
    shares_trials = False

    def __init__(self, source: Source, image_processor: Any, settings: KindSettings, common: Common) -> None:
        super().__init__(source, image_processor, settings, common)
        drawn = np.random.default_rng(0).permutation(self.shown)[: self.most_rows]
        self.shown = np.sort(drawn)
        self.stimuli = Stimuli(self.pixels.array, self.shown)
        features = source.dataset.features
        self._names: list[str] = list(features["label"].names) if "label" in features else []
        self._labels = np.asarray(source.dataset["label"], np.int64)[self.shown] if self._names else None
        self._templates = default_templates(source.metadata)
        captions = [] if self._names else source.dataset.select(self.shown)["captions"]
        self._captions = [texts[0] if texts else "" for texts in captions]
        labels = [] if self._labels is None else self._labels.tolist()
        self.fingerprint = digest(
            self.name,
            self.pixels.fingerprint,
            self.shown.tolist(),
            *(self._names, labels, self._templates if self._names else (), self._captions),
        )

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Embed images and texts, and average the hidden states over tokens."""
        projection, hidden = pooled_states(readout, self.stimuli)
        blocks = [self._block("projection", None, projection)]
        blocks += [self._block("hidden", layer, _scaled(rows)) for layer, rows in enumerate(hidden)]
        blocks.append(self._block("pixels", None, self._small))
        if readout.encoder.reads_text:
            texts = readout.texts(self._captions) if self._captions else self._of_classes(readout)
            blocks[0]["caption"] = list(texts.astype(np.float16))
            blocks[0]["logit_scale"] = readout.encoder.logit_scale
        trials: pd.DataFrame = pd.concat(blocks, ignore_index=True)
        return trials.astype(self.trial_columns)

    @cached_property
    def _small(self) -> NDArray[np.float32]:
        return reduced(self.pixels.array[self.shown], _SIDE).reshape(len(self.shown), -1).astype(np.float32)

    def _of_classes(self, readout: Readout) -> NDArray[np.float64]:
        assert self._labels is not None
        return class_embeddings(readout, self._names, self._templates)[self._labels]

    def _block(self, probe: str, layer: int | None, rows: NDArray[np.floating[Any]]) -> pd.DataFrame:
        columns: dict[str, Any] = {
            "item": self.shown,
            "label": pd.array([pd.NA] * len(rows) if self._labels is None else self._labels, dtype="Int64"),
            "probe": probe,
            "layer": pd.array([layer] * len(rows), dtype="Int64"),
            "vector": list(rows.astype(np.float16)),
            "caption": None,
            "is_caption": bool(self._captions),
            "logit_scale": np.nan,
        }
        return pd.DataFrame(columns)

    @staticmethod
    def score(trials: pd.DataFrame, common: Common) -> list[Number]:
        """All numbers of the projections; those of the texts and of classes if there are any."""
        rows = trials[trials["probe"] == "projection"].sort_values("item", kind="stable")
        images = np.stack(rows["vector"].to_list()).astype(np.float64)
        with_texts = bool(rows["caption"].notna().all())
        texts = np.stack(rows["caption"].to_list()).astype(np.float64) if with_texts else images
        # One resample is enough: a jackknife draws nothing, and without any it leaves out no item.
        resampling = common.resampling | {"n_resamples": 1}
        result = contrastive_geometry(images, texts, **resampling)
        names = [
            name
            for name in result["influences"]
            if _is_meant(name, with_texts, bool(rows["is_caption"].iloc[0]))
        ]
        numbers = list(_numbers(result, names, rows, common))
        if rows["label"].notna().all() and rows["label"].nunique() > 1:
            collapse = neural_collapse(images, rows["label"].to_numpy(np.int64), **resampling)
            numbers += _numbers(collapse, list(_COLLAPSE), rows, common)
        if with_texts:
            scale = float(rows["logit_scale"].iloc[0])
            numbers.append(
                Number(metric="logit_scale", role="diagnostic", probe="", value=scale, n=len(rows))
            )
            numbers += _chance(result, unit(images), unit(texts))
        if with_texts and rows["is_caption"].iloc[0] and len(rows) > _NEIGHBOURS + 1:
            alike = representation_similarity(images, texts, **resampling)
            numbers += _numbers(alike, ["cka_debiased"], rows, common)
            neighbours = mutual_knn(images, texts, _NEIGHBOURS, **resampling)
            numbers += _numbers(neighbours, ["mutual_knn"], rows, common)
            chance = neighbours["chance"]
            numbers.append(Number(metric="mutual_knn", role="chance", value=chance, n=len(rows)))
        return numbers


def _chance(
    result: Mapping[str, Any], images: NDArray[np.float64], texts: NDArray[np.float64]
) -> Iterator[Number]:
    """The gap that finite samples of one distribution have, and the alignment with the texts of other images."""
    n, cosines = len(images), images.mean(axis=0) @ texts.mean(axis=0)
    others = (n * cosines - np.einsum("ij,ij->i", images, texts).mean()) / (n - 1) if n > 1 else np.nan
    gap = np.sqrt(max(result["gap"] ** 2 - result["gap_squared_unbiased"], 0.0))
    note = "" if n > 1 else "there is only one pair"
    for metric, value in (("gap", gap if n > 1 else np.nan), ("alignment", 2 - 2 * others)):
        yield Number(metric=metric, role="chance", value=float(value), n=n, note=note)


def _is_meant(name: str, with_texts: bool, are_captions: bool) -> bool:
    if name.endswith(_TEXT_SIDE):
        return with_texts and are_captions
    return with_texts or name.endswith("_image")


def _numbers(
    result: Mapping[str, Any], names: list[str], rows: pd.DataFrame, common: Common
) -> Iterator[Number]:
    shown = dict(result) if common.n_resamples else {k: v for k, v in result.items() if not k.endswith("_ci")}
    for name in names:
        known = by_item(result["influences"][name], rows["item"])
        yield number(shown, name, n_clusters=len(rows), influence=known)


def _scaled(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Around their mean and of root mean square 1, so that float16 keeps what differs in an untrained model."""
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    size = np.sqrt(np.square(centred).mean())
    return np.asarray(centred / size if size > 0 else centred)
