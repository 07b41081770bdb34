"""When does a layer settle? Similarity of embeddings and hidden states between revisions and seeds."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import by_item
from hf_clipdyn.benchmarks.kind import Common
from hf_clipdyn.benchmarks.relation import Relation, Seen, mean_of_seeds, related
from hf_clipdyn.metrics.mutual_knn import Neighbours, nearest_neighbours, shared_neighbours
from hf_clipdyn.metrics.phases import settling
from hf_clipdyn.metrics.representation import (
    Prepared,
    progress,
    progress_influences,
    shuffled_angle,
    similarity,
)
from hf_clipdyn.results.row import Number, NumberKey
from hf_clipdyn.results.terms import KindTerms, Reference, Term

_COLUMNS = ("item", "probe", "layer", "vector")
_NEIGHBOURS, _AMONG = 10, 500  # images, the first ones; the time grows with their square
_FEWEST = 12  # images, so that each has other items beside its neighbours
_KEY = ("metric", "probe", "layer", "reference")
_PIXELS = NumberKey(metric="", probe="pixels")
_REVISIONS = 3
_READOUTS = {"": "cka_debiased", "angular": "angular_shape_distance"}
_WITH_ERROR = ("cka_debiased", "angular_shape_distance")
_SLOPES = {"cka_debiased": 1.0, "angular_shape_distance": -2 / np.pi}  # a right angle is a similarity of 0


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
            "cka_pixels": Term(
                title="debiased CKA with the pixels",
                meaning="Debiased CKA of the layer with the pixels of the same images, averaged to at most 8 x 8: how "
                "much of its geometry pixels alone would give. For trials that have pixels.",
                limits=(-1.0, 1.0),
                neutral=0.0,
                neutral_title="independent",
                by_layer=True,
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
                "Undefined if the untrained layer is above 0.9 already.",
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
                "compare only equal numbers of images and dimensions. Chance: the images of one side are shuffled.",
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
    score_version = 3
    pairs = ("previous", "last", "seeds")

    @staticmethod
    def relate(a: Seen, b: Seen, common: Common) -> Iterator[Number]:
        """The similarities of each layer, with the jackknife over images."""
        del common
        for key, one in a.derived(_compared, b).layers.items():
            yield from _similarities(key, one)
        a.derived(_beside_pixels)  # for `trace`, while its vectors are in memory

    @staticmethod
    def trace(run: Sequence[Seen], common: Common) -> Iterator[Number]:
        """Each layer beside pixels, its progress from the first revision to the last; which layers settle earlier."""
        del common
        for one in run:
            for key, pair in one.derived(_beside_pixels).layers.items():
                yield _with_error(key, pair, "cka_debiased", "cka_pixels", at=one.cell.revision)
        to_last = dict(_at_all([one.derived(_compared, run[-1]) for one in run]))
        for key, pairs in to_last.items():
            yield from _progress(key, pairs, run)
        for key, result in _settling(run, to_last).items():
            yield from _settled(key, result)

    @staticmethod
    def over_seeds(runs: Sequence[Sequence[Seen]], common: Common) -> Iterator[Number]:
        """Whether lower layers settle earlier, over seeds."""
        each = [_settling(run, {}) for run in runs]
        for key in each[0]:
            values = [one[key]["lower_minus_upper"] if key in one else np.nan for one in each]
            yield mean_of_seeds(key, "lower_minus_upper", values, common)


@dataclass(frozen=True, eq=False)
class _Layer:
    """The embeddings of a layer, with what all comparisons of a revision have in common."""

    items: pd.Index
    vectors: NDArray[np.float64]

    @cached_property
    def rows(self) -> Prepared:
        return Prepared(self.vectors)

    @cached_property
    def has_lengths(self) -> bool:
        return bool(np.square(self.vectors).sum(axis=1).all())

    @cached_property
    def neighbours(self) -> Neighbours | None:
        enough = self.has_lengths and len(self.items) >= _FEWEST
        return nearest_neighbours(self.vectors[:_AMONG], _NEIGHBOURS) if enough else None


@dataclass(frozen=True)
class _Places:
    """The layers of a revision by probe and layer, and the pixels that it was shown, if the trials have them."""

    layers: Mapping[NumberKey, _Layer]
    pixels: _Layer | None = None

    @property
    def nbytes(self) -> int:
        """The vectors, also centred, and sums for each item."""
        every = [*self.layers.values(), *([] if self.pixels is None else [self.pixels])]
        return sum(2 * one.vectors.nbytes + 200 * len(one.items) for one in every)


@dataclass(frozen=True)
class _NearestOf:
    """The nearest neighbours of the images in each layer: smaller than its vectors, and slower to compute."""

    layers: Mapping[NumberKey, Neighbours | None]

    @property
    def nbytes(self) -> int:
        return sum(one.nearest.nbytes for one in self.layers.values() if one is not None)


@dataclass(frozen=True)
class _Pair:
    """A layer of two revisions.

    Attributes:
        items: that both have.
        is_whole: whether both have the same items.
        has_lengths: whether all embeddings have a direction.
        result: of `similarity`; None if there are too few items.
        chance: of the angular shape distance.
        common: of `shared_neighbours`; None if it is undefined.
    """

    items: pd.Index
    is_whole: bool
    has_lengths: bool
    result: Mapping[str, Any] | None = None
    chance: float = math.nan
    common: Mapping[str, Any] | None = None

    @cached_property
    def among(self) -> pd.Index:
        """The items whose neighbours are compared."""
        return self.items[:_AMONG]


@dataclass(frozen=True)
class _Compared:
    """The layers that two revisions have."""

    layers: Mapping[NumberKey, _Pair]

    @property
    def nbytes(self) -> int:
        """Influences of five numbers."""
        return sum(5 * 8 * len(one.items) for one in self.layers.values())


@dataclass(frozen=True)
class _Values:
    """The similarities of each layer, without an error."""

    layers: Mapping[NumberKey, Mapping[str, float]]

    @property
    def nbytes(self) -> int:
        return 100 * len(self.layers)


def _places(seen: Seen) -> _Places:
    trials = seen.trials(_COLUMNS)
    layers: dict[NumberKey, _Layer] = {}
    items: dict[bytes, pd.Index] = {}
    for place, rows in trials.groupby(["probe", "layer"], sort=False, dropna=False):
        probe, layer = cast("tuple[str, Any]", place)
        key = NumberKey(metric="", probe=probe, layer=None if pd.isna(layer) else int(layer))
        names = rows["item"].to_numpy(np.int64)
        vectors = np.concatenate(rows["vector"].to_list()).reshape(len(rows), -1)
        order = np.argsort(names, kind="stable")
        shared = items.setdefault(names[order].tobytes(), pd.Index(names[order], name="item"))
        layers[key] = _Layer(shared, vectors[order].astype(np.float64))
    pixels = layers.pop(_PIXELS, None)
    return _Places(layers, pixels)


def _nearest(seen: Seen) -> _NearestOf:
    return _NearestOf({key: one.neighbours for key, one in seen.derived(_places).layers.items()})


def _compared(a: Seen, b: Seen) -> _Compared:
    first, second = (one.derived(_places).layers for one in (a, b))
    near, other_near = (one.derived(_nearest).layers for one in (a, b))
    found = {}
    for key, layer in first.items():
        if key in second:
            pair, neighbours = (layer, second[key]), (near[key], other_near[key])
            is_whole = bool(pair[0].items.equals(pair[1].items))
            if not is_whole:
                pair = _shared(*pair)
                neighbours = pair[0].neighbours, pair[1].neighbours
            found[key] = _pair(*pair, *neighbours, is_whole=is_whole)
    return _Compared(found)


def _beside_pixels(seen: Seen) -> _Compared:
    """Each layer with the pixels of its images."""
    places = seen.derived(_places)
    pixels = places.pixels
    if pixels is None or len(pixels.items) < _FEWEST:
        return _Compared({})
    return _Compared(
        {
            key: _Pair(one.items, True, one.has_lengths, similarity(one.rows, pixels.rows))
            for key, one in places.layers.items()
            if one.items.equals(pixels.items)
        }
    )


def _shared(first: _Layer, second: _Layer) -> tuple[_Layer, _Layer]:
    """Both with the items that both have."""
    items = first.items.intersection(second.items)
    a, b = (_Layer(items, one.vectors[one.items.get_indexer(items)]) for one in (first, second))
    return a, b


def _pair(
    first: _Layer, second: _Layer, near: Neighbours | None, other: Neighbours | None, *, is_whole: bool
) -> _Pair:
    has_lengths = first.has_lengths and second.has_lengths
    if len(first.items) < _FEWEST:
        return _Pair(first.items, is_whole, has_lengths)
    result, chance = similarity(first.rows, second.rows), shuffled_angle(first.rows, second.rows)
    common = None if near is None or other is None else shared_neighbours(near, other)
    return _Pair(first.items, is_whole, has_lengths, result, chance, common)


def _values(a: Seen, b: Seen) -> _Values:
    pairs = a.derived(_compared, b).layers
    return _Values(
        {
            key: {name: one.result[name] for name in _READOUTS.values()}
            for key, one in pairs.items()
            if one.is_whole and one.result is not None
        }
    )


def _at_all(to_last: Sequence[_Compared]) -> Iterator[tuple[NumberKey, list[_Pair]]]:
    """The layers that all revisions have, of the same items."""
    for key in to_last[-1].layers:
        pairs = [one.layers[key] for one in to_last if key in one.layers and one.layers[key].is_whole]
        if len(pairs) == len(to_last) and pairs[-1].result is not None:
            yield key, pairs


def _with_error(key: NumberKey, pair: _Pair, metric: str, name: str, at: str = "") -> Number:
    """A similarity of a pair under a name, with its jackknife."""
    assert pair.result is not None
    cause = pair.result["causes"].get(metric, "")
    known = None if cause else by_item(pair.result["influences"][metric], pair.items)
    return related(key, name, pair.result[metric], at=at, n=len(pair.items), note=cause, influence=known)


def _progress(key: NumberKey, pairs: Sequence[_Pair], run: Sequence[Seen]) -> Iterator[Number]:
    """With the jackknife of the two similarities that each is made of."""
    similar, known = _curve(pairs, "cka_debiased")
    items = pairs[0].items
    found = zip(run, progress(similar, similar[0]), progress_influences(similar, known), strict=True)
    for one, value, influence in found:
        note = "" if value == value else "the layer does not change"
        given = None if note or np.isnan(influence).any() else by_item(influence, items)
        yield related(key, "progress", value, at=one.cell.revision, n=len(items), influence=given, note=note)


def _curve(pairs: Sequence[_Pair], metric: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The similarity of each revision with the last one, (T,), and its influences, (T, n)."""
    results = [one.result for one in pairs if one.result is not None]
    values = np.array([one[metric] for one in results])
    influences = np.array([one["influences"][metric] for one in results])
    return _as_similarity(metric, values), influences * _SLOPES[metric]


def _as_similarity(metric: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """At most 1."""
    return values if metric == "cka_debiased" else 1 + _SLOPES[metric] * values


def _settling(
    run: Sequence[Seen], to_last: Mapping[NumberKey, Sequence[_Pair]]
) -> dict[NumberKey, dict[str, Any]]:
    """`settling` of the hidden layers above the first, by the CKA and by the angular distance.

    Args:
        run: the revisions.
        to_last: of each layer; without it there are no influences.
    """
    each = [one.derived(_values, run[-1]).layers for one in run]
    known = [key for key in each[-1] if key.layer and all(key in one for one in each)]
    layers = sorted(known, key=lambda key: key.layer or 0)
    samples = [one.cell.samples_seen for one in run]
    found: dict[NumberKey, dict[str, Any]] = {}
    for variant, metric in _READOUTS.items() if layers else ():
        key = NumberKey(metric="", probe="hidden", variant=variant)
        found[key] = {"layers": [one.layer for one in layers], "items": None}
        if samples[0] != 0 or len(run) < _REVISIONS or None in samples:
            cause = "the run has no untrained revision and two trained ones whose samples are known"
            undefined = {"mean_progress": [np.nan] * len(layers), "lower_minus_upper": np.nan}
            found[key] |= undefined | {"causes": dict.fromkeys(undefined, cause)}
            continue
        curves = np.array([[one[layer][metric] for one in each] for layer in layers])
        pairs, influences = [to_last[one] for one in layers if one in to_last], None
        if len(pairs) == len(layers) and all(one[0].items.equals(pairs[0][0].items) for one in pairs):
            influences = np.stack([_curve(one, metric)[1] for one in pairs])
            found[key]["items"] = pairs[0][0].items
        found[key] |= settling(_as_similarity(metric, curves), np.array(samples, np.float64), influences)
    return found


def _settled(key: NumberKey, result: Mapping[str, Any]) -> Iterator[Number]:
    items, influences = result["items"], result.get("influences", {})

    def number(at: NumberKey, metric: str, value: float, contributions: NDArray[np.float64] | None) -> Number:
        note = result["causes"].get(metric, "") if np.isnan(value) else ""
        given = None if note or contributions is None else by_item(contributions, items)
        n = 0 if items is None else len(items)
        return related(at, metric, value, n=n, note=note, influence=given)

    for at, (layer, value) in enumerate(zip(result["layers"], result["mean_progress"], strict=True)):
        known = influences["mean_progress"][at] if influences else None
        yield number(replace(key, layer=layer), "mean_progress", value, known)
    yield number(key, "lower_minus_upper", result["lower_minus_upper"], influences.get("lower_minus_upper"))


def _similarities(key: NumberKey, pair: _Pair) -> Iterator[Number]:
    n = len(pair.items)
    if pair.result is None:
        yield related(key, "cka_debiased", np.nan, n=n, note=f"they have {n} images in common")
        return
    for metric in _WITH_ERROR:
        yield _with_error(key, pair, metric, metric)
    note = pair.result["causes"].get("angular_shape_distance", "")
    yield related(key, "angular_shape_distance", pair.chance, role="chance", note=note, n=n)
    common, n = pair.common, len(pair.among)
    if common is None:
        note = (
            "all embeddings have the same direction" if pair.has_lengths else "an embedding has the length 0"
        )
        yield related(key, "mutual_knn", np.nan, n=n, note=note)
    else:
        influence = by_item(common["influences"], pair.among)
        yield related(key, "mutual_knn", common["mutual_knn"], n=n, influence=influence)
    yield related(key, "mutual_knn", _NEIGHBOURS / (n - 1), role="chance", n=n)
