"""Distances between pairs of images at the projection and at every hidden state, in one pass.

Nearly all data sets are stars: many partners of one reference. So pairs are grouped by their first image, and images
go through the model once, batch by batch, in the order of the pairs. Images that a later batch needs wait in a file:
the reference of the last star, and all images of a dense graph. The unit of a dimension in the normalised distance is
its mean over all pairs, known only at the end: the squares wait in another file. Several processes share the stars and
exchange sums; the number of processes does not change the batches.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm.auto import tqdm

from hf_clipdyn.benchmarks.hidden_states import Block, RowFile, Rows, blocks_of, flat_states
from hf_clipdyn.benchmarks.readout import Readout, Stimuli, map_over_processes

if TYPE_CHECKING:
    import torch

    from hf_clipdyn.models.encoder import ImageFeatures

# Bytes of one batch's hidden states, and of the squares that are normalised at once.
_BATCH, _NORMALISED = 512 * 2**20, 32 * 2**20
# Bytes of the pairs compared at once (what a processor's cache holds, what keeps a GPU busy), and their largest number.
_COMPARED, _MOST_COMPARED = {"cpu": 24 * 2**20, "cuda": 256 * 2**20}, 64
_DISTANCES, _FLATTENED = ("cosine", "euclidean"), ("cosine_flattened", "euclidean_flattened")
# Images of the first batch, which gives the size of a state; as many as a check of the precision looks at.
_FIRST = 64

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def pair_distances(
    readout: Readout,
    first: Stimuli,
    second: Stimuli,
    *,
    items: Ints | None = None,
    flattened: bool = False,
    show_progress: bool = False,
) -> pd.DataFrame:
    """All distances of the pairs (first[i], second[i]).

    The normalised Euclidean distance is that of Hernández-Cámara et al.: the root of the mean over dimensions of
    the squared difference (averaged over the tokens) in units of its mean over all pairs. A dimension that is
    the same in all pairs is dropped. The unit depends on the data: values of a subset are not comparable.

    Args:
        readout: the revision; the projections found on the way are its own from then on.
        first, second: of equal length; equal images are recognised and embedded once.
        items: (pairs,) numbers from 0 on; the distances of all pairs of an item are averaged (tiles of one
            image). None: every pair is an item.
        flattened: also compare hidden states as one vector of all tokens: the distances ``cosine_flattened`` and
            ``euclidean_flattened`` (the root of the mean square over tokens and dimensions).
        show_progress: a bar over the images, in the main process.

    Returns:
        Long table: pair (the item), probe (``projection`` or ``hidden``), layer (null, or 0 for the input of the
        first layer up to the number of layers), distance (`DISTANCES`), value, and dropped_dimensions, which is
        0 except for the normalised distance. At a hidden state, cosine and Euclidean distance are taken per token and
        averaged over the tokens, the class token included.
    """
    from accelerate import PartialState

    plan = _Plan.of(first, second)
    n_processes = PartialState().num_processes
    names = _DISTANCES + (_FLATTENED if flattened else ())
    with closing(_Work(readout, plan, names, show_progress)) as work:
        parts = map_over_processes(plan.ranges(n_processes), work.measure)
        means = np.sum([part.sums for part in parts], axis=0) / len(first)
        normalised = map_over_processes(range(n_processes), lambda _: work.normalise(means))
    for part in parts:
        readout.keep(part.projections)
    values = {
        name: np.concatenate([part.distances[position] for part in parts])
        for position, name in enumerate(names)
    } | {"normalised_euclidean": np.concatenate(normalised)}
    dropped = [int((means[place] == 0).sum()) for place in work.places]
    values = {name: mean_per_item(value[plan.pair_of], items) for name, value in values.items()}
    return pd.concat(_frames(values, dropped), ignore_index=True)


@dataclass(frozen=True)
class _Plan:
    """Distinct pairs of distinct images, grouped by their first image; images are numbered by first use.

    Attributes:
        images: of each distinct image, where its pixels are.
        keys: of each distinct image, the hash of its pixels.
        first, second: (distinct pairs,) numbers of images.
        counts: (distinct pairs,) how often each occurs.
        pair_of: (pairs,) number of the distinct pair of each pair that was asked for.
    """

    images: list[tuple[Stimuli, int]]
    keys: list[bytes]
    first: Ints
    second: Ints
    counts: Ints
    pair_of: Ints

    @classmethod
    def of(cls, first: Stimuli, second: Stimuli) -> "_Plan":
        """Order the pairs (first[i], second[i])."""
        star_of = pd.factorize(np.array(first.keys, dtype=object))[0]
        order = np.argsort(star_of, kind="stable").tolist()
        uses = [(stimuli, pair) for pair in order for stimuli in (first, second)]
        numbers, keys = pd.factorize(np.array([one.keys[pair] for one, pair in uses], dtype=object))
        images = [uses[use] for use in np.unique(numbers, return_index=True)[1]]
        ends = numbers.reshape(-1, 2)
        codes, distinct = pd.factorize(ends[:, 0] * len(keys) + ends[:, 1])
        pair_of = np.empty(len(first), np.int64)
        pair_of[order] = codes
        return cls(images, list(keys), *np.divmod(distinct, len(keys)), np.bincount(pair_of), pair_of)

    def read(self, images: Sequence[int]) -> NDArray[Any]:
        """Pixels of the images of these numbers, (n, H, W, 3)."""
        return np.concatenate([self.images[image][0].read([self.images[image][1]]) for image in images])

    def stars(self, pairs: range) -> list[range]:
        """Cut pairs into ranges of one first image each."""
        cuts = np.flatnonzero(np.diff(self.first[pairs.start : pairs.stop])) + 1
        return _ranges([pairs.start, *(pairs.start + cuts), pairs.stop] if pairs else [])

    def ranges(self, n: int) -> list[range]:
        """The distinct pairs cut into ``n`` ranges of about equal length, none within a star."""
        whole = range(len(self.first))
        cuts = np.array([0, *(star.stop for star in self.stars(whole))])
        wanted = np.arange(1, n) * len(whole) / n
        return _ranges([0, *(cuts[np.argmin(np.abs(cuts - at))] for at in wanted), len(whole)])


@dataclass(frozen=True)
class _Measured:
    """What one process gives: distances (names, pairs, places), sums of squares (dimensions,), projections by key."""

    distances: Floats
    sums: Floats
    projections: dict[bytes, NDArray[np.float32]]


class _Work:
    """The part of one process: walks over its pairs, batch by batch.

    Attributes:
        places: the dimensions of each place among those of all places.
    """

    def __init__(self, readout: Readout, plan: _Plan, names: Sequence[str], show_progress: bool) -> None:
        import torch
        from accelerate import PartialState

        self._readout, self._plan, self._names = readout, plan, names
        self._bar_off = not (show_progress and PartialState().is_main_process)
        head = range(min(_FIRST, readout.batch_size, len(plan.images)))
        self._head: ImageFeatures | None = None
        self._blocks = map_over_processes([head], self._look)[0]
        self.places = _places(self._blocks)
        width = self._blocks[-1].stop
        step = int(np.clip(_BATCH // (4 * width), 1, readout.batch_size))
        starts = range(len(head), len(plan.images), step)
        self._batches = [head, *(range(start, min(start + step, len(plan.images))) for start in starts)]
        # MPS knows no double precision.
        device = getattr(readout.encoder, "device", torch.device("cpu"))
        self._device = device if device.type == "cuda" else torch.device("cpu")
        self._chunk = int(np.clip(_COMPARED[self._device.type] // (16 * width), 1, _MOST_COMPARED))
        self._waiting = RowFile(width)
        self._row_of: dict[int, int] = {}  # image to its row among those that wait
        self._squares = RowFile(self.places[-1].stop)

    def _look(self, head: range) -> list[Block]:
        self._head = self._readout.features(self._plan.read(head))
        return blocks_of(self._head)

    def measure(self, pairs: range) -> _Measured:
        """Compare a range of the plan's pairs; their squares are kept for `normalise`."""
        batch_of = np.repeat(np.arange(len(self._batches)), [len(batch) for batch in self._batches])
        sides = [side[pairs.start : pairs.stop] for side in (self._plan.first, self._plan.second)]
        # In the plan's order, so that the pairs of one batch are consecutive.
        ready = np.maximum.accumulate(batch_of[np.maximum(*sides)])
        last = np.full(len(batch_of), -1)  # the batch after which an image is needed no more
        for side in sides:
            np.maximum.at(last, side, ready)
        mine = [
            number for number, batch in enumerate(self._batches) if last[batch.start : batch.stop].max() >= 0
        ]
        values = np.empty((len(self._names), len(pairs), len(self.places)))
        sums = np.zeros(self.places[-1].stop)
        projections: dict[bytes, NDArray[np.float32]] = {}
        n_images = sum(len(self._batches[number]) for number in mine)
        with tqdm(total=n_images, desc="images", unit="img", disable=self._bar_off, leave=False) as bar:
            for number in mine:
                batch = self._batches[number]
                features = self._embed(batch)
                keys = self._plan.keys[batch.start : batch.stop]
                projections |= dict(zip(keys, features.projection, strict=True))
                here = range(*(pairs.start + np.searchsorted(ready, [number, number + 1])))
                for run, distances, squares in self._compared(here, batch, features):
                    values[:, run.start - pairs.start : run.stop - pairs.start] = distances
                    sums += self._plan.counts[run.start : run.stop] @ squares.astype(np.float64)
                    self._squares.append(squares)
                for row in np.flatnonzero(last[batch.start : batch.stop] > number).tolist():
                    self._row_of[batch.start + row] = len(self._waiting)
                    self._waiting.append(flat_states(features, row)[None])
                del features  # otherwise the next batch would be a second one in memory
                bar.update(len(batch))
        assert len(self._squares) == len(pairs)
        return _Measured(values, sums, projections)

    def _embed(self, batch: range) -> "ImageFeatures":
        """All of a batch, so that it is the same batch in every process."""
        if self._head is not None and batch.start == 0:
            features, self._head = self._head, None
            return features
        return self._readout.features(self._plan.read(batch))

    def _compared(
        self, pairs: range, batch: range, features: "ImageFeatures"
    ) -> Iterator[tuple[range, Floats, Rows]]:
        """Runs of pairs with one first image: distances (names, pairs, places), squares (pairs, dimensions)."""

        def state(image: int) -> Rows:
            row = self._row_of.get(image)
            if row is None:
                return flat_states(features, image - batch.start)
            return self._waiting.read(row, row + 1).ravel()

        for star in self._plan.stars(pairs):
            one = state(int(self._plan.first[star.start]))
            for start in range(star.start, star.stop, self._chunk):
                run = range(start, min(start + self._chunk, star.stop))
                others = np.stack(
                    [state(image) for image in self._plan.second[run.start : run.stop].tolist()]
                )
                flattened = len(self._names) > len(_DISTANCES)
                yield run, *_compare(self._blocks, one, others, self._device, flattened)

    def normalise(self, means: Floats) -> Floats:
        """The normalised distance (pairs, places) of the pairs that were compared, once the units are known."""
        n = len(self._squares)
        result = np.zeros((n, len(self.places)))
        step = max(1, _NORMALISED // (4 * len(means)))
        for start in range(0, n, step):
            rows = slice(start, min(start + step, n))
            squares = self._squares.read(rows.start, rows.stop)
            for position, place in enumerate(self.places):
                alive = means[place] > 0
                if alive.any():
                    in_units = squares[:, place][:, alive] / means[place][alive]
                    result[rows, position] = np.sqrt(in_units.mean(axis=1))
        return result

    def close(self) -> None:
        self._waiting.close()
        self._squares.close()


def _compare(
    blocks: Sequence[Block], one: Rows, others: Rows, device: "torch.device", flattened: bool
) -> tuple[Floats, NDArray[np.float32]]:
    import torch

    a = torch.from_numpy(one).to(device)
    b = torch.from_numpy(others).to(device)
    distances: list[torch.Tensor] = []
    all_squares: list[torch.Tensor] = []
    for block in blocks:
        x = a[block.start : block.stop].view(block.shape).double()
        y = b[:, block.start : block.stop].view(-1, *block.shape).double()
        length_x, length_y = (torch.linalg.vector_norm(state, dim=-1) for state in (x, y))
        moved = torch.linalg.vector_norm(y.sub_(x), dim=-1)
        of_rows = [_cosine_distance(moved, length_x, length_y).mean(dim=-1), moved.mean(dim=-1)]
        if flattened:
            whole = [torch.linalg.vector_norm(state, dim=-1) for state in (moved, length_x, length_y)]
            n_values = block.shape[1] * block.shape[2]
            of_rows += [_cosine_distance(*whole), whole[0] / n_values**0.5]
        distances.append(torch.stack(of_rows))
        all_squares.append(y.square_().mean(dim=-2).flatten(1).float())
    return (
        torch.cat(distances, dim=2).cpu().numpy(),
        torch.cat(all_squares, dim=1).cpu().numpy(),
    )


def _cosine_distance(
    moved: "torch.Tensor", length_x: "torch.Tensor", length_y: "torch.Tensor"
) -> "torch.Tensor":
    """1 - cos of two vectors from the lengths of their difference and of each.

    It is half the squared distance of the unit vectors, without writing them out; it cancels nowhere, unlike 1 - cos,
    since what is subtracted is the part of the difference along the vectors.
    """
    import torch

    product = length_x * length_y
    half = 0.5 * (moved.square() - (length_x - length_y).square()).clamp(min=0) / product
    lonely = 0.5 * ((length_x > 0) != (length_y > 0)).double()  # the unit vector of 0 is 0
    return torch.where(product > 0, half, lonely)


def _ranges(edges: Iterable[int]) -> list[range]:
    return [range(int(start), int(stop)) for start, stop in pairwise(edges)]


def _places(blocks: Sequence[Block]) -> list[slice]:
    widths = [width for layers, _, width in (block.shape for block in blocks) for _ in range(layers)]
    ends = np.cumsum(widths).tolist()
    return [slice(end - width, end) for end, width in zip(ends, widths, strict=True)]


def mean_per_item(values: Floats, items: Ints | None) -> Floats:
    """Means over the pairs of each item, (pairs, columns) to (items, columns); None: every pair is an item."""
    if items is None:
        return values
    sizes = np.bincount(items)
    return np.stack([np.bincount(items, column) / sizes for column in values.T], axis=1)


def _frames(values: dict[str, Floats], dropped: Sequence[int]) -> Iterator[pd.DataFrame]:
    for position, gone in enumerate(dropped):
        for distance, value in values.items():
            n = len(value)
            yield pd.DataFrame(
                {
                    "pair": np.arange(n),
                    "probe": "hidden" if position else "projection",
                    "distance": distance,
                    "value": value[:, position],
                    "dropped_dimensions": gone if distance == "normalised_euclidean" else 0,
                    "layer": pd.array([position - 1 if position else None] * n, dtype="Int64"),
                }
            )
