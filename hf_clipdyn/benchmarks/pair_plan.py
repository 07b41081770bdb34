"""Which pairs are compared in which order, so that few images have to wait for their partner."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.readout import Stimuli

__all__ = ["Ints", "PairPlan"]

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class PairPlan:
    """Distinct pairs of distinct images: those of one first image stand together, images are numbered by first use.

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
    def of(cls, first: Stimuli, second: Stimuli) -> "PairPlan":
        """Order the pairs (first[i], second[i])."""
        appearance = {key: at for at, key in reversed(list(enumerate(first.keys)))}
        order = sorted(range(len(first)), key=lambda pair: appearance[first.keys[pair]])
        numbers: dict[bytes, int] = {}
        images: list[tuple[Stimuli, int]] = []
        distinct: dict[tuple[int, int], int] = {}
        pair_of = np.empty(len(first), np.int64)
        for pair in order:
            for stimuli in (first, second):
                if stimuli.keys[pair] not in numbers:
                    numbers[stimuli.keys[pair]] = len(images)
                    images.append((stimuli, pair))
            names = numbers[first.keys[pair]], numbers[second.keys[pair]]
            pair_of[pair] = distinct.setdefault(names, len(distinct))
        ends = np.array(list(distinct), np.int64).reshape(-1, 2)
        return cls(images, list(numbers), ends[:, 0], ends[:, 1], np.bincount(pair_of), pair_of)

    def read(self, images: Sequence[int]) -> NDArray[np.uint8]:
        """Pixels of the images of these numbers, (n, H, W, 3)."""
        return np.concatenate([self.images[image][0].read([self.images[image][1]]) for image in images])

    def ranges(self, n: int) -> list[range]:
        """The distinct pairs cut into ``n`` ranges of about equal length where the first image changes."""
        cuts = np.r_[0, np.flatnonzero(np.diff(self.first)) + 1, len(self.first)]
        wanted = np.arange(1, n) * len(self.first) / n
        inner = [int(cuts[np.argmin(np.abs(cuts - at))]) for at in wanted]
        edges = [0, *inner, len(self.first)]
        return [range(start, stop) for start, stop in pairwise(edges)]

    def needed(self, pairs: range) -> NDArray[np.bool_]:
        """(images,) whether these pairs show the image."""
        flags = np.zeros(len(self.images), bool)
        for side in (self.first, self.second):
            flags[side[pairs.start : pairs.stop]] = True
        return flags

    def last_use(self, pairs: range) -> Ints:
        """(images,) the last of these pairs that shows the image; -1 where none does."""
        last = np.full(len(self.images), -1)
        positions = np.arange(pairs.start, pairs.stop)
        for side in (self.first, self.second):
            np.maximum.at(last, side[pairs.start : pairs.stop], positions)
        return last

    def runs(self, pairs: range, longest: int) -> Iterator[range]:
        """Cut pairs into runs of one first image, of a limited length."""
        start = pairs.start
        while start < pairs.stop:
            stop = start + 1
            while stop < min(pairs.stop, start + longest) and self.first[stop] == self.first[start]:
                stop += 1
            yield range(start, stop)
            start = stop
