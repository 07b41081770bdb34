"""When does a layer settle? Similarity of embeddings and hidden states between revisions and seeds."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import by_item
from hf_clipdyn.benchmarks.relation import Relation, Seen, related
from hf_clipdyn.benchmarks.settings import Common
from hf_clipdyn.metrics.mutual_knn import mutual_knn
from hf_clipdyn.metrics.representation import progress, representation_similarity
from hf_clipdyn.results.row import Number, NumberKey
from hf_clipdyn.results.terms import KindTerms, Reference, Term

__all__ = ["Representation"]

_COLUMNS = ("item", "probe", "layer", "vector")
_NEIGHBOURS, _AMONG = 10, 500  # images, the first ones; the time grows with their square
_FEWEST = 12  # images, so that each has other items beside its neighbours
_KEY = ("metric", "probe", "layer", "reference")
_WITH_ERROR = ("cka_debiased", "angular_shape_distance")

_Places = dict[NumberKey, tuple[NDArray[np.int64], NDArray[np.float64]]]


class Representation(Relation):
    """Debiased CKA, angular shape distance and mutual nearest neighbours of the same images, by layer.

    Hidden states are the mean token, around its mean over the images.
    """

    name = "representation"
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
            ),
            "progress": Term(
                title="progress of the layer",
                meaning="Debiased CKA with the last revision, relative to that of the first one: 0 at the start, 1 at "
                "the end. The CKA itself favours lower layers, which resemble their end before training.",
                by_layer=True,
            ),
            "angular_shape_distance": Term(
                title="angular shape distance",
                meaning="Angle between the representations after the best rotation, in radians (Williams et al. 2021); "
                "compare only equal numbers of images and dimensions.",
                limits=(0.0, 1.6),
                unit="rad",
            ),
            "mutual_knn": Term(
                title="common nearest neighbours",
                meaning=f"Share of the {_NEIGHBOURS} nearest neighbours of an image, among at most {_AMONG} images, "
                "that both have in common.",
                limits=(0.0, 1.0),
            ),
        },
        references=(Reference(role="chance", title="chance", joins=_KEY),),
    )
    reads = ("geometry",)
    pairs = ("previous", "last", "seeds")

    @staticmethod
    def relate(a: Seen, b: Seen, common: Common) -> Iterator[Number]:
        """The similarities of each layer, with the jackknife over images; that of neighbours without an error."""
        del common
        first, second = _places(a), _places(b)
        for key, (items, rows) in first.items():
            if key in second:
                yield from _similarities(key, items, rows, *second[key])

    @staticmethod
    def trace(run: Sequence[Seen], common: Common) -> Iterator[Number]:
        """The progress of each layer from the first revision to the last."""
        del common
        last = _places(run[-1])
        similar: dict[NumberKey, list[float]] = {key: [] for key in last}
        for one in run:
            own = _places(one)
            for key, (items, rows) in last.items():
                other = own.get(key)
                same = other is not None and np.array_equal(other[0], items)
                similar[key].append(_cka(other[1], rows) if same and other is not None else np.nan)
        for key, values in similar.items():
            for one, value in zip(run, progress(values, values[0]), strict=True):
                note = "" if value == value else "the layer was not read in all revisions, or does not change"
                yield related(key, "progress", value, at=one.cell.revision, n=len(last[key][0]), note=note)


def _places(seen: Seen) -> _Places:
    """The items and their embeddings, by probe and layer."""
    trials = seen.trials(_COLUMNS).sort_values("item", kind="stable")
    places: _Places = {}
    for place, rows in trials.groupby(["probe", "layer"], sort=False, dropna=False):
        probe, layer = cast("tuple[str, Any]", place)
        key = NumberKey(metric="", probe=probe, layer=None if pd.isna(layer) else int(layer))
        places[key] = rows["item"].to_numpy(np.int64), np.stack(rows["vector"].to_list()).astype(np.float64)
    return places


def _cka(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(representation_similarity(x, y, n_resamples=0)["cka_debiased"])


def _similarities(
    key: NumberKey,
    items: NDArray[np.int64],
    x: NDArray[np.float64],
    others: NDArray[np.int64],
    y: NDArray[np.float64],
) -> Iterator[Number]:
    shared = np.intersect1d(items, others)
    if len(shared) < _FEWEST:
        note = f"they have {len(shared)} images in common"
        yield related(key, "cka_debiased", np.nan, n=len(shared), note=note)
        return
    x, y = x[np.searchsorted(items, shared)], y[np.searchsorted(others, shared)]
    columns: dict[str, Any] = {"n": len(shared)}
    result = representation_similarity(x, y, n_resamples=1)
    for metric in _WITH_ERROR:
        value, cause = result[metric], result["causes"].get(metric, "")
        known = None if cause else by_item(result["influences"][metric], shared)
        yield related(key, metric, value, note=cause, influence=known, **columns)
    if not all(np.square(rows).sum(axis=1).all() for rows in (x, y)):
        yield related(key, "mutual_knn", np.nan, note="an embedding has the length 0", **columns)
        return
    neighbours = mutual_knn(x[:_AMONG], y[:_AMONG], _NEIGHBOURS, n_resamples=0)
    columns["n"] = min(len(shared), _AMONG)
    yield related(key, "mutual_knn", neighbours["mutual_knn"], **columns)
    yield related(key, "mutual_knn", neighbours["chance"], role="chance", **columns)
