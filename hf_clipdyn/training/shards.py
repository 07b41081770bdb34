"""The shards of a streamed data set, and the order in which a process shows their samples.

All permutations follow from seed and epoch, so a position is the number of an epoch and of a step, and no buffer has to
be saved.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from hf_clipdyn.data.captioned import has_overlong
from hf_clipdyn.data.images import SafeImage
from hf_clipdyn.errors import ClipDynError, DatasetError
from hf_clipdyn.files import check_regular
from hf_clipdyn.schema import Count, parse_json

__all__ = ["Block", "Sample", "Shards", "Shuffle", "Stream", "first_captions", "read_counts", "write_counts"]

_ROWS_AT_ONCE = 8
_ROW_BITS = 32
_NO_IMAGE: Mapping[str, Any] = {"bytes": None, "path": None}


@dataclass(frozen=True)
class Sample:
    """An image as it is stored, and its captions.

    Attributes:
        index: identifies the sample in the set.
        image: undecoded cell of an image column.
        captions: at least one, none empty.
    """

    index: int
    image: Mapping[str, Any]
    captions: Sequence[str]


@dataclass
class Shards:
    """The shards of a captioned data set, read one at a time from start to end.

    Args:
        dataset: streamed, with the columns ``image`` and ``captions``.
        name: of the data set, for messages.

    Attributes:
        counts: samples of the shards that this process has read to their end.
        without_caption: rows without a caption, or with an overlong one, that this process has skipped.
    """

    dataset: datasets.IterableDataset
    name: str
    counts: dict[int, int] = field(default_factory=dict)
    without_caption: int = 0

    def __post_init__(self) -> None:
        columns = self.dataset.select_columns(["image", "captions"])
        self.dataset = columns.cast_column("image", SafeImage(decode=False))

    def __len__(self) -> int:
        return int(self.dataset.num_shards)

    def read(self, shard: int) -> Iterator[Sample]:
        """The samples of a shard that have captions, none overlong, in the order in which they are stored.

        Raises:
            DatasetError: the shard is damaged, incomplete or out of reach.
        """
        count = 0
        for row, (image, captions) in enumerate(self._rows(shard)):
            texts = [text.strip() for text in captions or () if text and text.strip()]
            if texts and not has_overlong(texts):
                count += 1
                yield Sample(shard << _ROW_BITS | row, image or _NO_IMAGE, texts)
            else:
                self.without_caption += 1
        self.counts[shard] = count

    def _rows(self, shard: int) -> Iterator[tuple[Any, Any]]:
        try:
            # Not `__iter__`, which would divide the rows among the workers of a DataLoader once more.
            for rows in self.dataset.shard(len(self), shard).iter(_ROWS_AT_ONCE):
                yield from zip(rows["image"], rows["captions"], strict=True)
        except ClipDynError:
            raise
        except Exception as error:  # tar, Parquet, the Hub's client and file systems have errors of their own
            said = " ".join(str(error).split())[:300] or type(error).__name__
            raise DatasetError(
                f"Shard {shard} of the {len(self)} shards of {self.name} cannot be read to its end ({said}): check "
                "the connection, or download this shard again; then continue with --resume_from_checkpoint true."
            ) from error


def first_captions(shards: Shards, most: int) -> list[str]:
    """The captions of the first samples, in the order of the shards: at least ``most``, or all.

    Raises:
        DatasetError: the set has no captions.
    """
    samples = itertools.chain.from_iterable(map(shards.read, range(len(shards))))
    captions: list[str] = []
    for sample in samples:
        captions += sample.captions
        if len(captions) >= most:
            break
    if not captions:
        raise DatasetError(
            f"No row of {shards.name} has a caption ({shards.without_caption:,} rows in {len(shards)} shards): name "
            "the column with --caption_column, or give another data set."
        )
    return captions


# --- the order -----------------------------------------------------------------------------------------


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


class Block:
    """Samples that were shuffled together; any of them can replace another one that cannot be decoded."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = samples
        self.broken: set[int] = set()

    def substitutes(self, place: int) -> Iterator[int]:
        """The sample at that place, then all others, beginning half a block further."""
        yield place
        for step in range(len(self.samples)):
            other = (place + len(self.samples) // 2 + step) % len(self.samples)
            if other != place:
                yield other


@dataclass(frozen=True)
class Stream:
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

    shards: Shards
    shuffle: Shuffle
    epoch: int
    index: int
    streams: int
    counts: Mapping[int, int] = field(default_factory=dict)

    def places(self, first: int = 0) -> Iterator[tuple[Block, int]]:
        """The samples from a position on, each as its block and its place in it.

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
                for number, samples in enumerate(self._blocks(group)):
                    total += len(samples)
                    if len(samples) <= behind:
                        behind -= len(samples)
                        continue
                    shuffled = self._rng(1, turn, self.index, start, number).permutation(len(samples))
                    block = Block([samples[i] for i in shuffled])
                    yield from ((block, place) for place in range(behind, len(samples)))
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

    def _blocks(self, group: Sequence[int]) -> Iterator[list[Sample]]:
        samples = _in_turn([self.shards.read(shard) for shard in group])
        while block := list(itertools.islice(samples, self.shuffle.samples)):
            yield block


def _in_turn(readers: list[Iterator[Sample]]) -> Iterator[Sample]:
    """One sample of each reader in turn, until all have ended."""
    while readers:
        for reader in list(readers):
            sample = next(reader, None)
            if sample is None:
                readers.remove(reader)
            else:
                yield sample


# --- the sizes of the shards ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Counted:
    shard: Count
    samples: Count


def read_counts(folder: Path) -> dict[int, int]:
    """Samples by shard, from the files of all processes. A missing or incomplete line only costs time."""
    counts: dict[int, int] = {}
    for path in sorted(path for path in folder.glob("*.jsonl") if path.is_file()):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                counted = parse_json(_Counted, line, where=str(path), error=DatasetError)
            except DatasetError:
                continue
            counts[counted.shard] = counted.samples
    return counts


def write_counts(path: Path, counts: Mapping[int, int]) -> None:
    """Append the sizes of shards to the file of this process.

    Raises:
        DatasetError: it cannot be written.
    """
    try:
        check_regular(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.writelines(f'{{"shard": {shard}, "samples": {count}}}\n' for shard, count in counts.items())
    except OSError as error:
        raise DatasetError(
            f"The sizes of shards in {path} cannot be written ({error.strerror or error}): move it away."
        ) from error
