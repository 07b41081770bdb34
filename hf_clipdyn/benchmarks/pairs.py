"""Distances between pairs of images at the projection and at every hidden state; each image goes through once.

Nearly all data sets are stars: many partners of one reference. So pairs are grouped by their first image, images are
numbered by first use, and most pairs meet within a batch. Images that a later batch needs wait in a file: the reference
of the last star, and all images of a dense graph. The unit of a dimension in the normalised distance is its mean over
all pairs, known only at the end: the squares wait in another file. Processes share the pairs and exchange sums; their
number does not change the batches.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from hf_clipdyn.benchmarks.hidden_states import Block, RowFile, Rows, blocks_of, flat_states
from hf_clipdyn.benchmarks.readout import Readout, Stimuli, map_over_processes
from hf_clipdyn.metrics.checks import Floats, Ints

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


def pair_distances(
    readout: Readout,
    first: Stimuli,
    second: Stimuli,
    *,
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
        flattened: also compare hidden states as one vector of all tokens: the distances ``cosine_flattened`` and
            ``euclidean_flattened`` (the root of the mean square over tokens and dimensions).
        show_progress: a bar over the images, in the main process.

    Returns:
        Long table: pair, probe (``projection`` or ``hidden``), layer (null, or 0 for the input of the first layer up to
        the number of layers), distance (`places.DISTANCES`), value, and dropped_dimensions, which is 0 except for the
        normalised distance. At a hidden state, cosine and Euclidean distance are taken per token and averaged over
        the tokens, the class token included.
    """
    import torch
    from accelerate import PartialState

    state = PartialState()
    pairs = _Pairs.of(first, second)
    n_images = len(pairs.keys)
    looked: dict[int, ImageFeatures] = {}  # by its start, the first batch of the process that embedded it

    def embed(batch: range) -> "ImageFeatures":
        """All of a batch, so that it is the same batch in every process."""
        if batch.start in looked:
            return looked.pop(batch.start)
        sides, places = pairs.uses[batch.start : batch.stop].T
        parts = [
            stimuli.read(places[sides == side])
            for side, stimuli in enumerate((first, second))
            if side in sides
        ]
        # Each side is read at once; then the images go back into the order of the batch.
        by_side = np.argsort(sides, kind="stable")
        return readout.features(np.concatenate(parts)[np.argsort(by_side)])

    def look(batch: range) -> list[Block]:
        looked[batch.start] = embed(batch)
        return blocks_of(looked[batch.start])

    head = range(min(_FIRST, readout.batch_size, n_images))
    [blocks] = map_over_processes([head], look)
    width, places = blocks[-1].stop, _places(blocks)
    step = int(np.clip(_BATCH // (4 * width), 1, readout.batch_size))
    starts = range(len(head), n_images, step)
    batches = [head, *(range(start, min(start + step, n_images)) for start in starts)]
    # MPS knows no double precision.
    device = getattr(readout.encoder, "device", torch.device("cpu"))
    device = device if device.type == "cuda" else torch.device("cpu")
    most = int(np.clip(_COMPARED[device.type] // (16 * width), 1, _MOST_COMPARED))
    hides_bar = not (show_progress and state.is_main_process)

    def measure(share: Ints) -> tuple[Floats, Floats, dict[bytes, Rows]]:
        """Distances (names, pairs, places), sums of squares (dimensions,) and projections; squares are kept."""
        ends, counts = pairs.ends[share], pairs.counts[share]
        values, sums = np.empty((len(names), len(share), len(places))), np.zeros(places[-1].stop)
        projections: dict[bytes, Rows] = {}

        def show(batch: range) -> "ImageFeatures":
            features = embed(batch)
            keys = pairs.keys[batch.start : batch.stop]
            projections.update(zip(keys, features.projection, strict=True))
            bar.update(len(batch))
            return features

        bar = tqdm(total=n_images, desc="images", unit="img", disable=hides_bar, leave=False)
        with bar, closing(RowFile(width)) as waiting:
            for run, one, others in _walk(ends, batches, show, waiting, most):
                values[:, run], squared = _compare(blocks, one, others, device, flattened)
                sums += counts[run] @ squared.astype(np.float64)
                squares.append(squared)
        return values, sums, projections

    names = _DISTANCES + (_FLATTENED if flattened else ())
    shares = np.array_split(np.arange(len(pairs.ends)), state.num_processes)
    with closing(RowFile(places[-1].stop)) as squares:
        parts = map_over_processes(shares, measure)
        means = np.sum([sums for _, sums, _ in parts], axis=0) / len(first)
        normalised = map_over_processes(shares, lambda _: _normalised(squares, means, places))
    for _, _, projections in parts:
        readout.keep(projections)
    values = np.concatenate([*(values for values, _, _ in parts)], axis=1)
    by_name = dict(zip(names, values, strict=True)) | {"normalised_euclidean": np.concatenate(normalised)}
    dropped = [int((means[place] == 0).sum()) for place in places]
    by_pair = {name: found[pairs.pair_of] for name, found in by_name.items()}
    return pd.concat(_frames(by_pair, dropped), ignore_index=True)


@dataclass(frozen=True)
class _Pairs:
    """Distinct pairs of distinct images, grouped by their first image; images are numbered by first use.

    Attributes:
        keys: of each distinct image, the hash of its pixels.
        uses: of each distinct image, the side that shows it (0 or 1) and its place there, (distinct images, 2).
        ends: (distinct pairs, 2) numbers of images.
        counts: (distinct pairs,) how often each occurs.
        pair_of: (pairs,) number of the distinct pair of each pair that was asked for.
    """

    keys: list[bytes]
    uses: Ints
    ends: Ints
    counts: Ints
    pair_of: Ints

    @classmethod
    def of(cls, first: Stimuli, second: Stimuli) -> "_Pairs":
        """Order the pairs (first[i], second[i])."""
        order = np.argsort(pd.factorize(np.array(first.keys, dtype=object))[0], kind="stable")
        shown = [one.keys[pair] for pair in order.tolist() for one in (first, second)]
        numbers, keys = pd.factorize(np.array(shown, dtype=object))
        uses = np.unique(numbers, return_index=True)[1]
        images = np.stack([uses % 2, order[uses // 2]], axis=1)
        codes, distinct = pd.factorize(numbers[::2] * len(keys) + numbers[1::2])
        pair_of = np.empty(len(first), np.int64)
        pair_of[order] = codes
        ends = np.stack(np.divmod(distinct, len(keys)), axis=1)
        return cls(list(keys), images, ends, np.bincount(pair_of), pair_of)


def _walk(
    ends: Ints,
    batches: Sequence[range],
    embed: "Callable[[range], ImageFeatures]",
    waiting: RowFile,
    most: int,
) -> Iterator[tuple[Ints, Rows, Rows]]:
    """All pairs in their order, as the batches that they need complete them, in runs of one first image.

    Args:
        ends: (pairs, 2) numbers of images.
        batches: of images.
        embed: gives the states of a batch.
        waiting: for the states that a later batch needs.
        most: pairs that are compared at once.

    Returns:
        Each run: the pairs, the state of their first image, and those of the others.
    """
    batch_of = np.repeat(np.arange(len(batches)), [len(batch) for batch in batches])
    ready = np.maximum.accumulate(
        batch_of[ends.max(axis=1)]
    )  # so that the pairs of one batch are consecutive
    last = np.full(len(batch_of), -1)  # the batch after which an image is needed no more
    for side in ends.T:
        np.maximum.at(last, side, ready)
    row_of: dict[int, int] = {}  # image to its row among those that wait

    def runs(number: int, features: "ImageFeatures") -> Iterator[tuple[Ints, Rows, Rows]]:
        def state(image: int) -> Rows:
            if image in row_of:
                return waiting.read(row_of[image], row_of[image] + 1).ravel()
            return flat_states(features, image - batches[number].start)

        here = np.arange(*np.searchsorted(ready, [number, number + 1]))
        for star in filter(len, np.split(here, np.flatnonzero(np.diff(ends[here, 0])) + 1)):
            one = state(int(ends[star[0], 0]))
            for start in range(0, len(star), most):
                run = star[start : start + most]
                yield run, one, np.stack([state(image) for image in ends[run, 1].tolist()])

    for number, batch in enumerate(batches):
        if last[batch.start : batch.stop].max() < 0:
            continue
        features = embed(batch)
        yield from runs(number, features)
        for row in np.flatnonzero(last[batch.start : batch.stop] > number).tolist():
            row_of[batch.start + row] = len(waiting)
            waiting.append(flat_states(features, row)[None])
        del features  # otherwise the next batch would be a second one in memory


def _compare(
    blocks: Sequence[Block], one: Rows, others: Rows, device: "torch.device", flattened: bool
) -> tuple[Floats, Rows]:
    """One image with n others: distances (names, n, places), squared differences (n, dimensions)."""
    import torch

    a, b = (torch.from_numpy(rows).to(device) for rows in (one, others))
    distances: list[torch.Tensor] = []
    squares: list[torch.Tensor] = []
    for block in blocks:
        x = a[block.start : block.stop].view(block.shape).double()
        y = b[:, block.start : block.stop].view(-1, *block.shape).double()
        length_x, length_y = (torch.linalg.vector_norm(state, dim=-1) for state in (x, y))
        moved = torch.linalg.vector_norm(y.sub_(x), dim=-1)
        found = [_cosine_distance(moved, length_x, length_y).mean(dim=-1), moved.mean(dim=-1)]
        if flattened:
            whole = [torch.linalg.vector_norm(state, dim=-1) for state in (moved, length_x, length_y)]
            found += [_cosine_distance(*whole), whole[0] / (block.shape[1] * block.shape[2]) ** 0.5]
        distances.append(torch.stack(found))
        squares.append(y.square_().mean(dim=-2).flatten(1).float())
    return torch.cat(distances, dim=2).cpu().numpy(), torch.cat(squares, dim=1).cpu().numpy()


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


def _normalised(squares: RowFile, means: Floats, places: Sequence[slice]) -> Floats:
    """The normalised distance (pairs, places) of the pairs that were compared, once the units are known."""
    found = np.zeros((len(squares), len(places)))
    step = max(1, _NORMALISED // (4 * len(means)))
    for start in range(0, len(squares), step):
        rows = squares.read(start, min(start + step, len(squares)))
        for at, place in enumerate(places):
            alive = means[place] > 0
            if alive.any():
                in_units = rows[:, place][:, alive] / means[place][alive]
                found[start : start + step, at] = np.sqrt(in_units.mean(axis=1))
    return found


def _places(blocks: Sequence[Block]) -> list[slice]:
    """The dimensions of each place among those of all places."""
    widths = [width for layers, _, width in (block.shape for block in blocks) for _ in range(layers)]
    ends = np.cumsum(widths).tolist()
    return [slice(end - width, end) for end, width in zip(ends, widths, strict=True)]


def _frames(values: dict[str, Floats], dropped: Sequence[int]) -> Iterator[pd.DataFrame]:
    for at, gone in enumerate(dropped):
        for distance, value in values.items():
            yield pd.DataFrame(
                {
                    "pair": np.arange(len(value)),
                    "probe": "hidden" if at else "projection",
                    "distance": distance,
                    "value": value[:, at],
                    "dropped_dimensions": gone if distance == "normalised_euclidean" else 0,
                    "layer": pd.array([at - 1 if at else None] * len(value), dtype="Int64"),
                }
            )
