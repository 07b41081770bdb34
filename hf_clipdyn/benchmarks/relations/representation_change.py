"""When does a layer settle? Similarity of embeddings and hidden states between revisions and seeds."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import cast

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.relation import Relation, Scored, Seen, related
from hf_clipdyn.metrics.cka import cka
from hf_clipdyn.metrics.scores import Score
from hf_clipdyn.results.row import NumberKey
from hf_clipdyn.results.terms import KindTerms, Term

_COLUMNS = ("item", "probe", "layer", "vector")
_FEWEST = 12  # images
_IN_MEMORY = 8  # revisions


class RepresentationChange(Relation):
    """Debiased CKA of the same images, by layer.

    Hidden states are the mean token, around its mean over the images.
    """

    name = "representation_change"
    terms = KindTerms(
        title="Change of the representation",
        question="When does each layer settle?",
        rank=220,
        terms={
            "cka_debiased": Term(
                title="debiased CKA",
                meaning="Correlation of the inner products of all pairs of images, without the bias of few images: 1 "
                "for equal representations up to rotation and scale, 0 for independent ones. It follows the "
                "directions of largest variance.",
                limits=(-1.0, 1.0),
                neutral=0.0,
                neutral_title="independent",
                by_layer=True,
            ),
        },
    )
    reads = ("geometry",)
    score_version = 4
    pairs = ("previous", "last", "seeds")

    @classmethod
    def relate(cls, a: Seen, b: Seen, seed: int) -> Iterator[Scored]:
        """The similarity of each layer, with the jackknife over images."""
        del seed
        first, second = (_layers(revision) for revision in (a, b))
        # The order of the trials; a set would have another order in each process.
        for key in [key for key in first if key in second]:
            items = first[key].index.intersection(second[key].index)
            if len(items) < _FEWEST:
                score = Score(np.nan, n=len(items), cause=f"they have {len(items)} images in common")
            else:
                score = cka(first[key].loc[items], second[key].loc[items])["cka_debiased"]
            yield related(key, "cka_debiased", score, items)


@lru_cache(_IN_MEMORY)
def _layers(seen: Seen) -> Mapping[NumberKey, pd.DataFrame]:
    """The embeddings of a revision by probe and layer, a row per image."""
    layers = {}
    for place, rows in seen.trials(_COLUMNS).groupby(["probe", "layer"], sort=False, dropna=False):
        probe, layer = cast("tuple[str, float]", place)
        if probe != "pixels":
            key = NumberKey(metric="", probe=probe, layer=None if pd.isna(layer) else int(layer))
            index = pd.Index(rows["item"], name="item")
            layers[key] = pd.DataFrame(np.stack(rows["vector"].to_list()), index).sort_index()
    return layers
