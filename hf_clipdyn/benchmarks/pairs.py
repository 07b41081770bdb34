"""Distances between pairs of images at the projection and at every hidden state, in one pass.

Hidden states are far larger than projections (2 MB an image for ViT-B/32): they are compared as soon as
both images of a pair are there, and only the states of the images seen last are kept.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from accelerate import PartialState
from accelerate.utils import gather_object
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import cosine_distance
from hf_clipdyn.benchmarks.readout import Readout, Stimuli

__all__ = ["DISTANCES", "by_place", "normalised_euclidean", "pair_distances"]

DISTANCES = ("cosine", "euclidean", "normalised_euclidean")
_KEPT_BYTES = 512 * 2**20

States = list[NDArray[np.float32]]
Place = tuple[str, int | None]


@dataclass(frozen=True)
class _Compared:
    """What one chunk of pairs gives at each place: cosine and Euclidean (pairs,), squares (pairs, width)."""

    pairs: list[int]
    cosine: list[NDArray[np.float64]]
    euclidean: list[NDArray[np.float64]]
    squares: list[NDArray[np.float32]]


def normalised_euclidean(squares: NDArray[np.floating]) -> NDArray[np.float64]:
    """The distance of Hernández-Cámara et al.: every dimension in units of its mean over the data set.

    Args:
        squares: (n, d), squared differences per dimension, averaged over the tokens.

    Returns:
        (n,), the root of the mean over dimensions of squares divided by their mean over all pairs; a
        dimension that is the same in all pairs is dropped. The unit depends on the data set: values of a
        sub-set are not comparable with those of the whole.
    """
    means = squares.mean(axis=0, dtype=np.float64)
    alive = means > 0
    if not alive.any():
        return np.zeros(len(squares))
    return np.asarray(np.sqrt((squares[:, alive] / means[alive]).mean(axis=1)))


def pair_distances(readout: Readout, first: Stimuli, second: Stimuli, *, chunk: int = 64) -> pd.DataFrame:
    """All distances of the pairs (first[i], second[i]).

    Args:
        readout: the revision.
        first, second: of equal length; equal images are recognised, and embedded anew only where the
            kept states have been displaced since.
        chunk: pairs that are compared at once.

    Returns:
        Long table: pair, probe (``projection`` or ``hidden``), layer (null, or 0 for the input of the
        first layer up to the number of layers), distance (`DISTANCES`), value. Of a hidden state the cosine and
        the Euclidean distance are taken per token and averaged over the tokens, the class token among them.
    """
    order = sorted(range(len(first)), key=lambda pair: first.keys[pair])  # a reference's pairs stand together
    chunks = [order[start : start + chunk] for start in range(0, len(order), chunk)]
    state = PartialState()
    share = -(-len(chunks) // state.num_processes)
    mine = chunks[share * state.process_index : share * (state.process_index + 1)]
    source = _HiddenStates(readout)
    found = [_compare(pairs, source.of(first, pairs), source.of(second, pairs)) for pairs in mine]
    if state.num_processes > 1:
        found = gather_object(found)
    assert sorted(pair for one in found for pair in one.pairs) == list(range(len(first)))
    return pd.concat(_frames(found, len(first)), ignore_index=True)


def by_place(trials: pd.DataFrame) -> Iterator[tuple[dict[str, Any], str, pd.DataFrame]]:
    """Cut trials into (fields ``probe`` and ``layer`` of a measurement, distance, rows)."""
    for (probe, distance), rows in trials.groupby(["probe", "distance"], sort=False):
        for layer in rows["layer"].unique():
            known = not pd.isna(layer)
            part = rows[rows["layer"] == layer] if known else rows[rows["layer"].isna()]
            yield {"probe": str(probe), "layer": int(layer) if known else None}, str(distance), part


def _frames(found: Sequence[_Compared], n: int) -> Iterator[pd.DataFrame]:
    pairs = np.concatenate([one.pairs for one in found])
    back = np.argsort(pairs)
    places: list[Place] = [
        ("projection", None),
        *(("hidden", layer) for layer in range(len(found[0].cosine) - 1)),
    ]
    for position, (probe, layer) in enumerate(places):
        squares = np.concatenate([one.squares[position] for one in found])[back]
        values = {
            "cosine": np.concatenate([one.cosine[position] for one in found])[back],
            "euclidean": np.concatenate([one.euclidean[position] for one in found])[back],
            "normalised_euclidean": normalised_euclidean(squares),
        }
        for distance, value in values.items():
            frame = pd.DataFrame({"pair": np.arange(n), "probe": probe, "distance": distance, "value": value})
            yield frame.assign(layer=pd.array([layer] * n, dtype="Int64"))


class _HiddenStates:
    """The projection and hidden states of images, of which those asked for last are kept."""

    def __init__(self, readout: Readout) -> None:
        self._readout = readout
        self._kept: OrderedDict[bytes, States] = OrderedDict()

    def of(self, stimuli: Stimuli, indices: Sequence[int]) -> list[States]:
        """One list per image: (1, d) projection, then (tokens, width) per hidden state."""
        missing = {stimuli.keys[index]: index for index in indices if stimuli.keys[index] not in self._kept}
        fresh: dict[bytes, States] = {}
        if missing:
            features = self._readout.features(stimuli.read(list(missing.values())))
            hidden = [_tokens(state) for state in features.hidden]
            for row, key in enumerate(missing):
                fresh[key] = [features.projection[row : row + 1], *(state[row] for state in hidden)]
        answer = [fresh.get(key) or self._kept[key] for key in (stimuli.keys[index] for index in indices)]
        for key in (stimuli.keys[index] for index in indices):
            self._kept[key] = fresh.get(key) or self._kept[key]
            self._kept.move_to_end(key)
        size = sum(state.nbytes for state in answer[0])
        while len(self._kept) * size > _KEPT_BYTES and len(self._kept) > 1:
            self._kept.popitem(last=False)
        return answer


def _tokens(state: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, tokens, width); the positions of a convolutional map are its tokens."""
    if state.ndim == 4:
        return state.reshape(*state.shape[:2], -1).transpose(0, 2, 1)
    return state


def _compare(pairs: list[int], first: list[States], second: list[States]) -> _Compared:
    result = _Compared(list(pairs), [], [], [])
    for position in range(len(first[0])):
        a = np.stack([states[position] for states in first]).astype(np.float64)
        b = np.stack([states[position] for states in second]).astype(np.float64)
        squared = np.square(a - b)
        result.cosine.append(cosine_distance(a, b).mean(axis=1))
        result.euclidean.append(np.sqrt(squared.sum(axis=2)).mean(axis=1))
        result.squares.append(squared.mean(axis=1).astype(np.float32))
    return result
