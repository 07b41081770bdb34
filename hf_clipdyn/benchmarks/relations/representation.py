"""When does a layer settle? Similarity of embeddings and hidden states between revisions and seeds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import by_item
from hf_clipdyn.benchmarks.relation import Relation, Seen, mean_of_seeds, related
from hf_clipdyn.benchmarks.settings import Common
from hf_clipdyn.metrics.mutual_knn import Neighbours, nearest_neighbours, shared_neighbours
from hf_clipdyn.metrics.phases import settling
from hf_clipdyn.metrics.representation import Prepared, progress, representation_similarity, similarity
from hf_clipdyn.results.row import Number, NumberKey
from hf_clipdyn.results.terms import KindTerms, Reference, Term

__all__ = ["Representation"]

_COLUMNS = ("item", "probe", "layer", "vector")
_NEIGHBOURS, _AMONG = 10, 500  # images, the first ones; the time grows with their square
_FEWEST = 12  # images, so that each has other items beside its neighbours
_KEY = ("metric", "probe", "layer", "reference")
_REVISIONS = 3
_READOUTS = {"": "cka_debiased", "angular": "angular_shape_distance"}
_WITH_ERROR = ("cka_debiased", "angular_shape_distance")


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
            "mean_progress": Term(
                title="mean progress of the layer",
                meaning="Mean of the progress over octaves of samples: larger for a layer that settles earlier. "
                "Undefined if the untrained layer is above .9 already.",
            ),
            "lower_minus_upper": Term(
                title="lower layers settle earlier",
                meaning="Mean progress of the lower half of the layers minus that of the upper half.",
                neutral=0.0,
                neutral_title="at once",
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
        variants={"angular": "by the angular shape distance"},
        references=(Reference(role="chance", title="chance", joins=_KEY),),
    )
    reads = ("geometry",)
    pairs = ("previous", "last", "seeds")

    @staticmethod
    def relate(a: Seen, b: Seen, common: Common) -> Iterator[Number]:
        """The similarities of each layer, with the jackknife over images."""
        del common
        first, second = a.derived(_places), b.derived(_places)
        for key, layer in first.layers.items():
            if key in second.layers:
                yield from _similarities(key, *_shared(layer, second.layers[key]))

    @staticmethod
    def trace(run: Sequence[Seen], common: Common) -> Iterator[Number]:
        """The progress of each layer from the first revision to the last, and which layers settle earlier."""
        del common
        to_last = _to_last(run, lambda a, b: similarity(a.rows, b.rows))
        for key, (items, results) in to_last.items():
            yield from _progress(key, items, results, run)
        for key, result in _settling(run, to_last).items():
            yield from _settled(key, result)

    @staticmethod
    def over_seeds(runs: Sequence[Sequence[Seen]], common: Common) -> Iterator[Number]:
        """Whether lower layers settle earlier, over seeds."""
        each = [_settling(run, _to_last(run, _without_errors)) for run in runs]
        for key in each[0]:
            values = [one[key]["lower_minus_upper"] if key in one else np.nan for one in each]
            yield mean_of_seeds(key, "lower_minus_upper", values, common)


class _Layer:
    """The embeddings of a layer, with what all comparisons of a revision have in common."""

    def __init__(self, items: NDArray[np.int64], vectors: NDArray[np.float64]) -> None:
        self.items, self.vectors = items, vectors

    @cached_property
    def rows(self) -> Prepared:
        return Prepared(self.vectors)

    @cached_property
    def neighbours(self) -> Neighbours | None:
        return nearest_neighbours(self.vectors[:_AMONG], _NEIGHBOURS)

    @cached_property
    def has_lengths(self) -> bool:
        return bool(np.square(self.vectors).sum(axis=1).all())


@dataclass(frozen=True)
class _Places:
    """The layers of a revision by probe and layer."""

    layers: Mapping[NumberKey, _Layer]

    @property
    def nbytes(self) -> int:
        """The vectors, centred and summed without each item, and the neighbours."""
        return sum(4 * one.vectors.nbytes + len(one.items[:_AMONG]) ** 2 for one in self.layers.values())


_ToLast = dict[NumberKey, tuple[NDArray[np.int64], list[dict[str, Any]]]]
"""Items, and the similarity of each revision with the last one, by layer."""


def _places(seen: Seen) -> _Places:
    trials = seen.trials(_COLUMNS).sort_values("item", kind="stable")
    layers = {}
    for place, rows in trials.groupby(["probe", "layer"], sort=False, dropna=False):
        probe, layer = cast("tuple[str, Any]", place)
        key = NumberKey(metric="", probe=probe, layer=None if pd.isna(layer) else int(layer))
        vectors = np.stack(rows["vector"].to_list()).astype(np.float64)
        layers[key] = _Layer(rows["item"].to_numpy(np.int64), vectors)
    return _Places(layers)


def _shared(first: _Layer, second: _Layer) -> tuple[_Layer, _Layer]:
    """Both with the items that both have."""
    if np.array_equal(first.items, second.items):
        return first, second
    items = np.intersect1d(first.items, second.items)
    a, b = (_Layer(items, one.vectors[np.searchsorted(one.items, items)]) for one in (first, second))
    return a, b


def _without_errors(a: _Layer, b: _Layer) -> dict[str, Any]:
    return representation_similarity(a.vectors, b.vectors, n_resamples=0)


def _to_last(run: Sequence[Seen], alike: Callable[[_Layer, _Layer], dict[str, Any]]) -> _ToLast:
    """The similarity of each layer with the last revision, at each; only of layers that all revisions have."""
    last, found = run[-1].derived(_places).layers, _ToLast()
    for one in run:
        own = one.derived(_places).layers
        for key, layer in last.items():
            if key in own and np.array_equal(own[key].items, layer.items):
                results = found.setdefault(key, (layer.items, []))[1]
                results.append(alike(own[key], layer))
    return {key: one for key, one in found.items() if len(one[1]) == len(run)}


def _progress(
    key: NumberKey, items: NDArray[np.int64], results: Sequence[Mapping[str, Any]], run: Sequence[Seen]
) -> Iterator[Number]:
    """With the jackknife of the two similarities that each is made of."""
    similar = np.array([one["cka_debiased"] for one in results])
    known, left = np.array([one["influences"]["cka_debiased"] for one in results]), 1 - similar[0]
    influences = (known * left - known[0] * (1 - similar)[:, None]) / left**2 if left > 0 else known * np.nan
    for one, value, influence in zip(run, progress(similar, similar[0]), influences, strict=True):
        note = "" if value == value else "the layer does not change"
        given = None if note or np.isnan(influence).any() else by_item(influence, items)
        yield related(key, "progress", value, at=one.cell.revision, n=len(items), influence=given, note=note)


def _settling(run: Sequence[Seen], to_last: _ToLast) -> dict[NumberKey, dict[str, Any]]:
    """`settling` of the hidden layers above the first, by the CKA and by the angular distance."""
    layers = sorted(
        ((key.layer, results) for key, (_, results) in to_last.items() if key.layer),
        key=lambda one: one[0],
    )
    samples = [one.cell.samples_seen for one in run]
    found: dict[NumberKey, dict[str, Any]] = {}
    for variant, metric in _READOUTS.items() if layers else ():
        curves = np.array([[one[metric] for one in results] for _, results in layers])
        key = NumberKey(metric="", probe="hidden", variant=variant)
        found[key] = {"layers": [layer for layer, _ in layers]}
        if samples[0] != 0 or len(run) < _REVISIONS or None in samples:
            cause = "the run has no untrained revision and two trained ones whose samples are known"
            undefined = {"mean_progress": [np.nan] * len(layers), "lower_minus_upper": np.nan}
            found[key] |= undefined | {"causes": dict.fromkeys(undefined, cause)}
        else:
            similar = curves if metric == "cka_debiased" else 1 - curves / (np.pi / 2)
            found[key] |= settling(similar, np.array(samples, np.float64))
    return found


def _settled(key: NumberKey, result: Mapping[str, Any]) -> Iterator[Number]:
    for layer, value in zip(result["layers"], result["mean_progress"], strict=True):
        note = result["causes"].get("mean_progress", "") if np.isnan(value) else ""
        yield related(replace(key, layer=layer), "mean_progress", value, note=note)
    note = result["causes"].get("lower_minus_upper", "")
    yield related(key, "lower_minus_upper", result["lower_minus_upper"], note=note)


def _similarities(key: NumberKey, first: _Layer, second: _Layer) -> Iterator[Number]:
    n = len(first.items)
    if n < _FEWEST:
        yield related(key, "cka_debiased", np.nan, n=n, note=f"they have {n} images in common")
        return
    result = similarity(first.rows, second.rows)
    for metric in _WITH_ERROR:
        value, cause = result[metric], result["causes"].get(metric, "")
        known = None if cause else by_item(result["influences"][metric], first.items)
        yield related(key, metric, value, note=cause, influence=known, n=n)
    if not (first.has_lengths and second.has_lengths):
        yield related(key, "mutual_knn", np.nan, n=n, note="an embedding has the length 0")
        return
    n, near, other = min(n, _AMONG), first.neighbours, second.neighbours
    if near is None or other is None:
        note = "all embeddings have the same direction"
        yield related(key, "mutual_knn", np.nan, n=n, note=note)
    else:
        common = shared_neighbours(near, other)
        influence = by_item(common["influences"], first.items[:n])
        yield related(key, "mutual_knn", common["mutual_knn"], n=n, influence=influence)
    yield related(key, "mutual_knn", _NEIGHBOURS / (n - 1), role="chance", n=n)
