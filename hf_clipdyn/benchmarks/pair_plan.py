"""Which pairs of images are compared in which order, so that few images have to wait for their partner."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.readout import Stimuli

__all__ = ["Ints", "PairPlan"]

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class PairPlan:
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


def _ranges(edges: Iterable[int]) -> list[range]:
    return [range(int(start), int(stop)) for start, stop in pairwise(edges)]
