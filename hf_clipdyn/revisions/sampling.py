"""Small parts of the weights of a suite's revisions, at the same places in each of them."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.revisions.repository import ReadableRepository
from hf_clipdyn.revisions.suite import State
from hf_clipdyn.revisions.tensors import Tensor, UnreadableWeightsError, read_values, tensors_of

__all__ = ["Sample", "Window", "layout_of", "sample_of", "windows_of"]

_WINDOWS, _WINDOW_BYTES, _PER_SHARD = 12, 2**16, 2
_ROWS, _ROWS_BYTES = 64, 5 * 2**16  # of the input embedding, for the clock
_SMALLEST_SIDE = 8
_EMBEDDING = re.compile(
    r"(?:.*\.)?(?:embed_in|embed_tokens|tok_embeddings|token_embedding|wte|word_embeddings|shared)\.weight"
)


@dataclass(frozen=True)
class Window:
    """Consecutive elements of one tensor, the same ones in each revision.

    Attributes:
        tensor: its name.
        shard: the file that has it in the revision of which the windows were chosen.
        shape: of the tensor.
        first, count: elements.
    """

    tensor: str
    shard: str
    shape: tuple[int, ...]
    first: int
    count: int


@dataclass(frozen=True)
class Sample:
    """What was read of one revision.

    Attributes:
        name: the revision.
        step: its number; None if it has none.
        values: of each window; None where the tensor is absent, of another shape or not finite.
        contents: the hash of each window's bytes.
        dtype: of most windows.
        rows: the last rows of the input embedding; None if they were not read.
    """

    name: str
    step: int | None
    values: tuple[NDArray[np.float32] | None, ...]
    contents: tuple[bytes | None, ...]
    dtype: str = "F32"
    rows: NDArray[np.float32] | None = None

    @property
    def size(self) -> int:
        """Bytes that were read."""
        numbers = sum(values.size for values in (*self.values, self.rows) if values is not None)
        return numbers * (4 if self.dtype == "F32" else 2)


def layout_of(repository: ReadableRepository, state: State) -> tuple[dict[str, Tensor], str]:
    """The tensors of a revision, and in words why they are not known."""
    tensors: dict[str, Tensor] = {}
    for path in state.weights.paths if state.weights else ():
        try:
            tensors |= tensors_of(repository, state.commit, path, state.files[path].size)
        except UnreadableWeightsError as error:
            return {}, f"{path} was not read: {error}."
    return (
        tensors,
        "" if tensors or state.weights is None else "The weights have no tensors that can be read.",
    )


def windows_of(layouts: Mapping[str, Mapping[str, Tensor]]) -> tuple[list[Window], Window | None]:
    """The windows that are read of each revision, and the rows of the input embedding, if there is one.

    They are chosen from the first revision with the most frequent layout: the middle of matrices, evenly by their
    place, at least two of each file.
    """
    shapes = {
        key: frozenset((name, tensor.shape) for name, tensor in layout.items())
        for key, layout in layouts.items()
    }
    usual = Counter(shapes.values()).most_common(1)[0][0]
    layout = next(layout for key, layout in layouts.items() if shapes[key] == usual)
    shards: dict[str, list[str]] = defaultdict(list)
    embedding = None
    for name, tensor in sorted(layout.items(), key=lambda item: (item[1].path, item[1].place)):
        if _EMBEDDING.fullmatch(name) and len(tensor.shape) == 2:
            embedding = embedding or name
        elif min(tensor.shape[0], tensor.size // tensor.shape[0]) >= _SMALLEST_SIDE:
            shards[tensor.path].append(name)
    total = sum(layout[name].size for names in shards.values() for name in names)
    windows = []
    for path, names in shards.items():
        share = sum(layout[name].size for name in names) / total
        for name in _evenly(names, layout, max(_PER_SHARD, round(_WINDOWS * share))):
            tensor = layout[name]
            count = min(tensor.size, _WINDOW_BYTES // tensor.item_size)
            windows.append(Window(name, path, tensor.shape, (tensor.size - count) // 2, count))
    if embedding is None:
        return windows, None
    tensor = layout[embedding]
    height, width = tensor.shape
    kept = min(height, _ROWS, max(1, _ROWS_BYTES // (width * tensor.item_size)))
    return windows, Window(embedding, tensor.path, tensor.shape, (height - kept) * width, kept * width)


def _evenly(names: Sequence[str], layout: Mapping[str, Tensor], number: int) -> list[str]:
    """Tensors at even distances in a file, by their middles."""
    if len(names) <= number:
        return list(names)
    ends = np.cumsum([layout[name].size for name in names])
    middles = ends - np.array([layout[name].size for name in names]) / 2
    left, chosen = list(range(len(names))), []
    for part in range(number):
        place = (part + 0.5) / number * ends[-1]
        nearest = min(left, key=lambda index: abs(middles[index] - place))
        left.remove(nearest)
        chosen.append(nearest)
    return [names[index] for index in sorted(chosen)]


def sample_of(
    repository: ReadableRepository,
    state: State,
    tensors: Mapping[str, Tensor],
    windows: Sequence[Window],
    rows: Window | None,
    step: int | None,
) -> Sample:
    """Read the windows and the rows of one revision."""

    def read(window: Window) -> tuple[bytes, NDArray[np.float32]] | None:
        tensor = tensors.get(window.tensor)
        if tensor is None or tensor.shape != window.shape:
            return None
        try:
            data, values = read_values(repository, state.commit, tensor, window.first, window.count)
        except UnreadableWeightsError:
            return None
        return (data, values) if np.isfinite(values).all() else None

    parts = [read(window) for window in windows]
    last = None if rows is None else read(rows)
    dtypes = Counter(tensors[window.tensor].dtype for window in windows if window.tensor in tensors)
    return Sample(
        state.name,
        step,
        tuple(part and part[1] for part in parts),
        tuple(part and hashlib.sha256(part[0]).digest() for part in parts),
        dtypes.most_common(1)[0][0] if dtypes else "F32",
        None if rows is None or last is None else last[1].reshape(-1, rows.shape[1]),
    )
