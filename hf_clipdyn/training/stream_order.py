"""The order of a stream's samples, which follows from a seed and the sizes of the shards.

In each epoch the shards are shuffled and divided among the streams of all processes. The n streams of a process take
turns: step k shows the next samples of stream k modulo n. A worker serves whole streams, so the order does not depend
on the number of workers.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.errors import DatasetError

T = TypeVar("T")
S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)

ROW_BITS = 32


@dataclass(frozen=True)
class Sample:
    """An image as it is stored, and its captions.

    Attributes:
        index: identifies the sample in the set: the shard, times 2 to the power of `ROW_BITS`, plus the row in it.
        image: undecoded cell of an image column.
        captions: at least one, none empty.
    """

    index: int
    image: Mapping[str, Any]
    captions: Sequence[str]


class ReadableShards(Protocol[S_co]):
    """What a `Stream` needs of its shards, whatever it calls a sample."""

    @property
    def name(self) -> str:
        """Of the data set, for messages."""

    def __len__(self) -> int:
        """Their number."""

    def blocks(self, group: Sequence[int], size: int) -> Iterator[Sequence[S_co]]:
        """The samples with captions of some shards, one of each shard in turn, in blocks of a size."""


@dataclass(frozen=True)
class Shuffle:
    """How far samples are mixed.

    Attributes:
        seed: of all permutations.
        shards: number of shards that a stream reads in turn.
        samples: number of samples that a stream keeps in memory and shuffles at once.
    """

    seed: int
    shards: int
    samples: int


class Block(Generic[S]):
    """Samples that were shuffled together; any of them can replace another one that cannot be decoded.

    Args:
        samples: as they are stored.
        order: the number of the sample at each place.
    """

    def __init__(self, samples: Sequence[S], order: NDArray[np.int64]) -> None:
        self.samples, self.order = samples, order
        self.broken: set[int] = set()

    def at(self, place: int) -> S:
        """The sample at a place."""
        return self.samples[int(self.order[place])]

    def substitutes(self, place: int) -> Iterator[int]:
        """The sample at that place, then all others, beginning half a block further."""
        yield place
        for step in range(len(self.samples)):
            other = (place + len(self.samples) // 2 + step) % len(self.samples)
            if other != place:
                yield other


@dataclass(frozen=True)
class Stream(Generic[S]):
    """One of the endless streams among which the shards are divided; it depends on its arguments only.

    In each pass the stream reads its part of the shuffled shards: `Shuffle.shards` of them in turn, of whose samples it
    shuffles `Shuffle.samples` at once.

    Args:
        shards: of the whole set, at least ``streams``.
        shuffle: how the samples are mixed.
        epoch: counted from 1.
        index, streams: number of this stream, and number of streams of all processes.
        counts: samples of the shards, as far as known: groups of known size before a position are not read again.
    """

    shards: ReadableShards[S]
    shuffle: Shuffle
    epoch: int
    index: int
    streams: int
    counts: Mapping[int, int] = field(default_factory=dict)

    def places(self, first: int = 0) -> Iterator[tuple[Block[S], int]]:
        """The samples from a position on, each as its block and its place in it. Raises as `blocks`."""
        for block, start in self.blocks(first):
            yield from ((block, place) for place in range(start, len(block.samples)))

    def blocks(self, first: int = 0) -> Iterator[tuple[Block[S], int]]:
        """The blocks from a position on, each with its first place that is shown.

        Raises:
            DatasetError: a shard cannot be read, or none of the stream's shards has a sample.
        """
        behind = first
        for turn in itertools.count():
            order = self._rng(0, turn).permutation(len(self.shards))[self.index :: self.streams].tolist()
            total = 0
            for start in range(0, len(order), self.shuffle.shards):
                group = order[start : start + self.shuffle.shards]
                known = self._known(group)
                if known is not None and known <= behind:
                    behind -= known
                    total += known
                    continue
                for number, samples in enumerate(self.shards.blocks(group, self.shuffle.samples)):
                    total += len(samples)
                    if len(samples) <= behind:
                        behind -= len(samples)
                        continue
                    rng = self._rng(1, turn, self.index, start, number)
                    yield Block(samples, rng.permutation(len(samples))), behind
                    behind = 0
            if total == 0:
                raise DatasetError(
                    f"Stream {self.index} of {self.streams} reads {len(order)} shards of {self.shards.name}, and "
                    f"none of their samples has a caption (the first is shard {order[0]}): name the column with "
                    "--caption_column, or remove empty shards."
                )

    def _rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng([self.shuffle.seed, self.epoch, *key])

    def _known(self, group: Sequence[int]) -> int | None:
        return sum(self.counts[s] for s in group) if all(s in self.counts for s in group) else None


def in_turn(readers: list[Iterator[Sample]]) -> Iterator[Sample]:
    """One sample of each reader in turn, until all have ended."""
    while readers:
        for reader in list(readers):
            sample = next(reader, None)
            if sample is None:
                readers.remove(reader)
            else:
                yield sample


def drawn_caption(seed: int, epoch: int, index: int, number: int) -> int:
    """Which one of its captions, of this number, a sample with this `Sample.index` shows in an epoch."""
    return int(np.random.default_rng([seed, epoch, index]).integers(number)) if number > 1 else 0


def shown_samples(places: Sequence[tuple[Block[S], int]], read: Callable[[S], T | None]) -> list[tuple[S, T]]:
    """The samples that a batch shows, each with what ``read`` gives for it; None means that it is broken.

    Another sample of its block replaces a broken one and is then shown twice in the epoch, so the positions of all
    others do not depend on what can be decoded. If the whole block is broken (a block at the end of the shards may be
    short), another sample of the batch replaces it.

    Raises:
        DatasetError: all are broken.
    """
    shown = [whole for place in places if (whole := _first_whole(*place, read)) is not None]
    if not shown:
        blocks = {id(block): block for block, _ in places}
        raise DatasetError(
            f"None of {sum(len(block.samples) for block in blocks.values())} samples that were read together can "
            "be decoded as an image: check the image column and the files."
        )
    return list(itertools.islice(itertools.cycle(shown), len(places)))


def _first_whole(block: Block[S], place: int, read: Callable[[S], T | None]) -> tuple[S, T] | None:
    """The sample at a place or the first substitute that is not broken; None if there is none."""
    for candidate in block.substitutes(place):
        if candidate in block.broken:
            continue
        sample = block.at(candidate)
        if (content := read(sample)) is not None:
            return sample, content
        block.broken.add(candidate)
    return None
