"""Is a later revision in the same basin? Barriers of the loss on the straight line between the weights of both."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import by_item, similarity
from hf_clipdyn.benchmarks.relation import Relation, Seen, related
from hf_clipdyn.benchmarks.settings import Common
from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.contrastive_geometry import contrastive_losses
from hf_clipdyn.metrics.weight_path import barrier
from hf_clipdyn.results.row import Number, NumberKey
from hf_clipdyn.results.terms import KindTerms, Term

__all__ = ["Barriers"]

_ALPHAS = np.linspace(0, 1, 7)
_ERROR = "zero_shot_error"
_ABOVE = {
    "linear": "the straight line between the losses of the two (Entezari et al. 2022)",
    "mean_of_ends": "the mean of the losses of the two (Frankle et al. 2020)",
    "max_of_ends": "the larger loss of the two",
}

_Losses = dict[str, NDArray[np.float64]]


class Barriers(Relation):
    """How much the loss rises between two revisions, on the images and texts of `geometry`, at seven places.

    Both encoders, both projections and the logit scale as stored are interpolated together. Each half of the images
    gives the loss at the place that is highest for the other half, since a largest value is biased upwards; a barrier
    can therefore be a little below 0. Models of other seeds have permuted units: a barrier between them does not mean
    that they compute different functions. It needs `--weights`, since models run: five times on up to 1,000 images for
    each pair, with two revisions and the model between them in memory.
    """

    name = "barriers"
    terms = KindTerms(
        title="Barriers between weights",
        question="Does the loss rise between two revisions?",
        rank=232,
        terms={
            f"barrier_{name}": Term(
                title=f"barrier above {title.partition(' (')[0]}",
                meaning=f"Largest loss on the straight line between two states of the weights, above {title}.",
                neutral=0.0,
                neutral_title="no barrier",
            )
            for name, title in _ABOVE.items()
        },
        variants={"": "contrastive loss", _ERROR: "zero-shot error"},
    )
    reads = ("geometry",)
    pairs = ("previous", "seeds")
    runs_models = True

    @staticmethod
    def relate(a: Seen, b: Seen, common: Common) -> Iterator[Number]:
        """The barriers of the contrastive loss and, with classes, of the zero-shot error."""
        first, last = (_losses(one.trials()) for one in (a, b))
        try:
            between = [_losses(a.between(b, float(alpha))) for alpha in _ALPHAS[1:-1]] if first else []
        except MetricError as error:
            yield related(NumberKey(metric="", probe=""), "barrier_linear", np.nan, note=str(error))
            return
        items = _projections(a.trials())["item"]
        for variant in first.keys() & last.keys():
            losses = np.stack([one[variant] for one in (first, *between, last)])
            halves = np.random.default_rng(0).permutation(losses.shape[1]) % 2
            result = barrier(_ALPHAS, losses, halves=halves, confidence_level=common.confidence_level)
            key = NumberKey(metric="", probe="", variant=variant)
            for name, influence in result["influences"].items():
                yield related(key, name, result[name], n=len(items), influence=by_item(influence, items))


def _projections(trials: pd.DataFrame) -> pd.DataFrame:
    rows = trials[trials["probe"] == "projection"]
    return rows[rows["caption"].notna()].sort_values("item", kind="stable")


def _losses(trials: pd.DataFrame) -> _Losses:
    """The loss of each image, by variant; nothing without texts."""
    rows = _projections(trials)
    if len(rows) < 2:
        return {}
    images, texts = (np.stack(rows[name].to_list()).astype(np.float64) for name in ("vector", "caption"))
    labels: Any = rows["label"].to_numpy(np.int64) if rows["label"].notna().all() else None
    losses = {"": contrastive_losses(images, texts, float(rows["logit_scale"].iloc[0]), labels=labels)}
    if labels is not None:
        classes, places = np.unique(labels, return_index=True)
        wrong = classes[similarity(images, texts[places]).argmax(axis=1)] != labels
        losses[_ERROR] = wrong.astype(np.float64)
    return losses
