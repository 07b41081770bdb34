"""Hidden states of images as flat rows of numbers, and the temporary files in which such rows wait.

The hidden states of one image take 2 MB (ViT-B/32) to 26 MB (ViT-L/14) in single precision.
"""

import math
import tempfile
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.readout import Readout, Stimuli, map_over_processes
from hf_clipdyn.files import blaming

if TYPE_CHECKING:
    from hf_clipdyn.models.encoder import ImageFeatures

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Block:
    """Consecutive places of equal shape within the flat states of an image.

    Attributes:
        start: offset of the first number.
        shape: layers, tokens, width; the projection is a block of one token in one layer.
    """

    start: int
    shape: tuple[int, int, int]

    @property
    def stop(self) -> int:
        """Offset behind the last number."""
        return self.start + math.prod(self.shape)


def blocks_of(features: "ImageFeatures") -> list[Block]:
    """Where the projection and the hidden states lie in the flat states, the projection first."""
    blocks = [Block(0, (1, 1, features.projection.shape[1]))]
    for (tokens, width), layers in groupby(_tokens(state).shape[1:] for state in features.hidden):
        blocks.append(Block(blocks[-1].stop, (len(list(layers)), tokens, width)))
    return blocks


def flat_states(features: "ImageFeatures", row: int) -> Rows:
    """The projection and all hidden states of one image of a batch, one after the other, (numbers,); a copy."""
    hidden = [_tokens(state)[row].ravel() for state in features.hidden]
    return np.concatenate([features.projection[row], *hidden])


def pooled_states(readout: Readout, stimuli: Stimuli) -> tuple[Rows, list[Rows]]:
    """The projections of the images, (n, d), and `mean_tokens` of each hidden state. The readout keeps the former."""
    size = readout.batch_size
    batches = [range(start, min(start + size, len(stimuli))) for start in range(0, len(stimuli), size)]

    def embed(batch: range) -> list[Rows]:
        features = readout.features(stimuli.read(batch))
        return [features.projection, *mean_tokens(features)]

    parts = zip(*map_over_processes(batches, embed), strict=True)
    projection, *hidden = (np.concatenate(part) for part in parts)
    readout.keep(dict(zip(stimuli.keys, projection, strict=True)))
    return projection, hidden


def mean_tokens(features: "ImageFeatures") -> list[Rows]:
    """The mean over the tokens of each hidden state, (n, width) each."""
    return [_tokens(state).mean(axis=1) for state in features.hidden]


def _tokens(state: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, tokens, width); the positions of a convolutional map are its tokens."""
    if state.ndim == 4:
        return state.reshape(*state.shape[:2], -1).transpose(0, 2, 1)
    return state


class RowFile:
    """Rows of numbers in a temporary file that the system removes in any case.

    As long as memory is free, the system's own cache of files keeps what was written in memory. The file is read
    and written, not memory-mapped: on a full disk a write raises, a map kills the process.

    Args:
        width: float32 numbers per row.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._n = 0
        self._file = tempfile.TemporaryFile(prefix="clipdyn-")  # noqa: SIM115  # it lives as long as this object

    def __len__(self) -> int:
        return self._n

    def append(self, rows: Rows) -> None:
        """Write rows, (n, width), behind the last one.

        Raises:
            OSError: the disk is full.
        """
        with blaming(f"{tempfile.gettempdir()} (TMPDIR names another folder)"):
            self._file.seek(self._n * self._width * 4)
            self._file.write(np.ascontiguousarray(rows).data)  # `tofile` would not say why a write failed
            self._file.flush()
        self._n += len(rows)

    def read(self, start: int, stop: int) -> Rows:
        """Rows ``start`` to ``stop``, (stop - start, width)."""
        rows = np.empty((stop - start, self._width), np.float32)
        self._file.seek(start * self._width * 4)
        n_bytes = self._file.readinto(rows.data)
        assert n_bytes == rows.nbytes, "only what was written is read"
        return rows

    def close(self) -> None:
        """Remove the file."""
        self._file.close()
