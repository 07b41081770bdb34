"""States of images between the forward pass that gave them and the last pair that needs them.

The hidden states of one image take 2 MB (ViT-B/32) to 26 MB (ViT-L/14) in single precision. What does not
fit into a fixed share of the memory waits in a temporary file, which the system removes whatever happens.
"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.errors import EvaluationError

if TYPE_CHECKING:
    from hf_clipdyn.models.encoder import ImageFeatures

__all__ = ["Block", "LiveStates", "ScratchFile", "blocks_of", "flat_states"]

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Block:
    """Consecutive places of equal shape within the flat state of an image.

    Attributes:
        start: offset of the first number.
        layers, tokens, width: shape; the projection is a block of one token in one layer.
    """

    start: int
    layers: int
    tokens: int
    width: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Layers, tokens, width."""
        return self.layers, self.tokens, self.width

    @property
    def stop(self) -> int:
        """Offset behind the last number."""
        return self.start + self.layers * self.tokens * self.width


def blocks_of(features: "ImageFeatures") -> list[Block]:
    """Where the projection and the hidden states lie in a flat state, the projection first."""
    shapes = [(1, features.projection.shape[1]), *(_tokens(state).shape[1:] for state in features.hidden)]
    blocks: list[Block] = []
    for position, (tokens, width) in enumerate(shapes):
        last = blocks[-1] if blocks else None
        if last is not None and position > 1 and (last.tokens, last.width) == (tokens, width):
            blocks[-1] = Block(last.start, last.layers + 1, tokens, width)
        else:
            blocks.append(Block(last.stop if last else 0, 1, tokens, width))
    return blocks


def flat_states(features: "ImageFeatures", row: int) -> Vector:
    """The projection and all hidden states of one image of a batch, one after the other; a copy."""
    hidden = [_tokens(state)[row].ravel() for state in features.hidden]
    return np.concatenate([features.projection[row], *hidden])


def _tokens(state: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, tokens, width); the positions of a convolutional map are its tokens."""
    if state.ndim == 4:
        return state.reshape(*state.shape[:2], -1).transpose(0, 2, 1)
    return state


class ScratchFile:
    """A file without a name for arrays that are too many for the memory; gone when it is closed.

    It is read and written, not memory-mapped: on a full disk a write raises, a map kills the process.
    """

    def __init__(self) -> None:
        if not hasattr(os, "preadv"):
            raise EvaluationError(
                "Pairs of images are compared on Linux and macOS only: this system has no preadv."
            )
        self._file = tempfile.TemporaryFile(prefix="clipdyn-")  # noqa: SIM115  # it lives as long as this object

    def write(self, array: NDArray[np.float32], offset: int) -> None:
        """Put an array at that offset in bytes.

        Raises:
            EvaluationError: the disk is full.
        """
        left = np.ascontiguousarray(array).data.cast("B")
        try:
            while left:
                done = os.pwrite(self._file.fileno(), left, offset)
                left, offset = left[done:], offset + done
        except OSError as error:
            raise EvaluationError(
                f"Hidden states cannot be kept in {tempfile.gettempdir()} while they are compared "
                f"({error.strerror or error}): free some space there, or set TMPDIR to another place."
            ) from error

    def read(self, shape: tuple[int, ...], offset: int) -> NDArray[np.float32]:
        """The array of that shape at that offset in bytes."""
        array = np.empty(shape, np.float32)
        left = array.data.cast("B")
        while left:
            done = os.preadv(self._file.fileno(), [left], offset)
            assert done > 0, "only what was written is read"
            left, offset = left[done:], offset + done
        return array

    def close(self) -> None:
        """Give the space back."""
        self._file.close()


class LiveStates:
    """Flat states by the number of their image, in memory as far as it goes, else in a file.

    Args:
        memory: bytes that may be held in memory.
    """

    def __init__(self, memory: int) -> None:
        self._free_memory = memory
        self._held: dict[int, Vector] = {}
        self._slots: dict[int, int] = {}
        self._free_slots: list[int] = []
        self._file: ScratchFile | None = None
        self._size = 0

    def __len__(self) -> int:
        return len(self._held) + len(self._slots)

    def put(self, image: int, state: Vector) -> None:
        """Keep a state until `drop`; all are of one length."""
        self._size = len(state)
        if state.nbytes <= self._free_memory:
            self._free_memory -= state.nbytes
            self._held[image] = state
            return
        if self._file is None:
            self._file = ScratchFile()
        slot = self._free_slots.pop() if self._free_slots else len(self._slots)
        self._slots[image] = slot
        self._file.write(state, slot * state.nbytes)

    def get(self, images: Sequence[int]) -> list[Vector]:
        """The states of these images."""
        return [self._held[image] if image in self._held else self._read(image) for image in images]

    def _read(self, image: int) -> Vector:
        assert self._file is not None
        return self._file.read((self._size,), self._slots[image] * self._size * 4)

    def drop(self, image: int) -> None:
        """Forget a state."""
        if image in self._held:
            self._free_memory += self._held.pop(image).nbytes
        else:
            self._free_slots.append(self._slots.pop(image))

    def close(self) -> None:
        """Forget all."""
        self._held.clear()
        self._slots.clear()
        if self._file is not None:
            self._file.close()
