"""Where the tensors in a file of weights are, and parts of them, by reading a few kilobytes of a file of any size.

A safetensors file begins with its header. A `.bin` file of torch 1.6 or later is a zip archive of uncompressed entries:
its directory is at the end, and its pickle says which tensor is in which entry. Neither can be trusted: sizes are
checked before anything is read, and of the pickle nothing is run.
"""

import io
import math
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.errors import RevisionError
from hf_clipdyn.revisions.repository import ReadableRepository
from hf_clipdyn.schema import parse_any

__all__ = ["Tensor", "UnreadableWeightsError", "header_fault", "read_values", "tensors_of"]

_HEADER_AT_ONCE = 2**15  # most headers fit
_LIMIT = 100_000_000  # the format's own limit
_DIRECTORY_AT_ONCE = 2**15
_LARGEST_PART = 4 * 2**20  # of a header, of a directory or of a pickle, of which a suite has one a shard
_ITEM_SIZES = {"F32": 4, "F16": 2, "BF16": 2}


class UnreadableWeightsError(RevisionError):
    """A file of weights does not say where its tensors are; the message is what is wrong, without an end."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of floating-point numbers in a file of weights.

    Attributes:
        path: the file.
        dtype: `F32`, `F16` or `BF16`.
        shape: at least one dimension.
        offset: the first byte: in the file, or in the data of an entry of a `.bin` file.
        entry: where the entry of a `.bin` file begins with its own header; None in safetensors.
    """

    path: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    entry: int | None = None

    @property
    def item_size(self) -> int:
        """Bytes of one number."""
        return _ITEM_SIZES[self.dtype]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def place(self) -> int:
        """Orders the tensors of a file."""
        return (self.entry or 0) + self.offset


def tensors_of(repository: ReadableRepository, commit: str, path: str, size: int) -> dict[str, Tensor]:
    """The tensors of floating-point numbers in a file of ``size`` bytes, by name.

    Raises:
        UnreadableWeightsError: the file is damaged, or of another format.
        RevisionError: the repository cannot be read in parts.
    """
    if path.endswith(".safetensors"):
        start, header = _header(repository, commit, path, size, limit=_LARGEST_PART)
        tensors = {name: _in_header(path, start, item) for name, item in header.items()}
    elif path.endswith(".bin"):
        tensors = _in_archive(repository, commit, path, size)
    else:
        raise UnreadableWeightsError(
            f"only safetensors and .bin files are read in parts, a {Path(path).suffix or 'other'} file may contain "
            "anything: save the weights as safetensors"
        )
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def read_values(
    repository: ReadableRepository, commit: str, tensor: Tensor, first: int, count: int
) -> tuple[bytes, NDArray[np.float32]]:
    """``count`` elements of a tensor from ``first`` on: their bytes, and the numbers as float32, which is exact."""
    offset, size = tensor.offset + first * tensor.item_size, count * tensor.item_size
    if tensor.entry is not None:
        offset += _data_start(repository.read(commit, tensor.path, 30, tensor.entry)) + tensor.entry
    data = repository.read(commit, tensor.path, size, offset)
    if len(data) != size:
        raise UnreadableWeightsError(f"{tensor.path} ends before the tensors that it announces")
    if tensor.dtype == "BF16":  # the upper half of a float32
        return data, (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    return data, np.frombuffer(data, "<f4" if tensor.dtype == "F32" else "<f2").astype(np.float32)


# --- safetensors ------------------------------------------------------------------------------------


def header_fault(repository: ReadableRepository, commit: str, path: str, size: int) -> str | None:
    """What is wrong with the header of a safetensors file of ``size`` bytes; None if nothing is.

    The header's length must fit the file, it must be JSON, and its tensors must fill the rest of the file without
    gaps. Only the header is read.
    """
    try:
        _header(repository, commit, path, size)
    except UnreadableWeightsError as error:
        return str(error)
    return None


def _header(
    repository: ReadableRepository, commit: str, path: str, size: int, limit: int = _LIMIT
) -> tuple[int, dict[str, Any]]:
    """Where the data of a safetensors file begin, and the header's entry of each tensor."""
    start = repository.read(commit, path, _HEADER_AT_ONCE)
    length = int.from_bytes(start[:8], "little")
    if len(start) < 8 or length > min(size - 8, _LIMIT):
        raise UnreadableWeightsError("the header is longer than the file")
    if length > limit:
        raise UnreadableWeightsError(f"the header has {length:,} bytes, more than are read")
    if length > len(start) - 8:
        start += repository.read(commit, path, 8 + length - len(start), len(start))
    try:
        tensors = parse_any(start[8 : 8 + length], where="the header", error=RevisionError)
        tensors.pop("__metadata__", None)
        spans = sorted(
            (int(begin), int(end)) for begin, end in (item["data_offsets"] for item in tensors.values())
        )
    except (RevisionError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise UnreadableWeightsError("the header is not the JSON of a safetensors file") from error
    if not spans:
        raise UnreadableWeightsError("the header names no tensors")
    position = 0
    for begin, end in spans:
        if begin != position or end < begin:
            raise UnreadableWeightsError("the tensors overlap or leave a gap")
        position = end
    if 8 + length + position != size:
        raise UnreadableWeightsError(
            f"according to the header the file has {8 + length + position} bytes, but it has {size}"
        )
    return 8 + length, tensors


def _in_header(path: str, start: int, item: Mapping[str, Any]) -> Tensor | None:
    """The tensor of an entry of the header; None if it is of another type."""
    dtype, shape, (begin, end) = item.get("dtype"), item.get("shape"), item["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _ITEM_SIZES or not isinstance(shape, list) or not shape:
        return None
    if not all(type(length) is int and length > 0 for length in shape):
        return None
    tensor = Tensor(path, dtype, tuple(shape), start + int(begin))
    return tensor if tensor.size * tensor.item_size == int(end) - int(begin) else None


# --- .bin -------------------------------------------------------------------------------------------


class _Storage(NamedTuple):
    """A storage as the pickle names it: the type of its numbers, its entry, their number."""

    dtype: str
    key: str
    numel: int


class _View(NamedTuple):
    """A tensor as the pickle describes it, unchecked."""

    storage: Any
    offset: Any
    shape: Any
    stride: Any


class _Rebuild:
    """Stands for torch's functions of that name. Without attributes, so that a pickle cannot change it."""

    __slots__ = ()

    def __call__(self, first: Any, *rest: Any) -> Any:
        # A parameter is rebuilt from its tensor, a tensor from its storage, offset, shape and stride.
        return _View(first, *rest[:3]) if isinstance(first, _Storage) and len(rest) >= 3 else first


_CLASSES: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _Rebuild(),
    ("torch._utils", "_rebuild_parameter"): _Rebuild(),
    ("torch", "FloatStorage"): "F32",
    ("torch", "HalfStorage"): "F16",
    ("torch", "BFloat16Storage"): "BF16",
    **{
        ("torch", f"{name}Storage"): name
        for name in ("Double", "Long", "Int", "Short", "Char", "Byte", "Bool")
    },
}


_INDICES = {"BINGET", "BINPUT", "LONG_BINGET", "LONG_BINPUT"}
_OPCODES = _INDICES | {
    *("APPEND", "APPENDS", "BINFLOAT", "BININT", "BININT1", "BININT2", "BINPERSID", "BINUNICODE", "BUILD"),
    *("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "FRAME", "GLOBAL", "LONG1", "MARK", "MEMOIZE", "NEWFALSE"),
    *("NEWTRUE", "NONE", "PROTO", "REDUCE", "SETITEM", "SETITEMS", "SHORT_BINUNICODE", "STACK_GLOBAL"),
    *("STOP", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
}


class _StateDict(pickle.Unpickler):
    """Reads the pickle of a state dict: nothing but these classes, none of which does anything."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _CLASSES:
            raise UnreadableWeightsError(
                f"its pickle contains {module}.{name}, and code of a file is never run"
            )
        return _CLASSES[module, name]

    def persistent_load(self, pid: Any) -> Any:
        match pid:
            case ("storage", str(dtype), str(key), _, int(numel)):
                return _Storage(dtype, key, numel)
        raise UnreadableWeightsError("its pickle refers to something that is not a storage of numbers")


class _Parts(io.RawIOBase):
    """A file for `zipfile`, which seeks to the directory at the end: the end is read once."""

    def __init__(self, repository: ReadableRepository, commit: str, path: str, size: int) -> None:
        self._repository, self._file = repository, (commit, path)
        self._size, self._position = size, 0
        self._start = max(0, size - _DIRECTORY_AT_ONCE)
        self._end = self._read(size - self._start, self._start)

    def _read(self, count: int, offset: int) -> bytes:
        return self._repository.read(*self._file, count, offset)

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        start, end = self._position, self._size if size < 0 else min(self._size, self._position + size)
        if end - start > _LARGEST_PART:
            raise UnreadableWeightsError("its directory is larger than any that is read")
        self._position = max(start, end)
        if start >= self._start:
            return self._end[start - self._start : end - self._start]
        return self._read(end - start, start) if end > start else b""


def _in_archive(
    repository: ReadableRepository, commit: str, path: str, size: int
) -> dict[str, Tensor | None]:
    try:
        with zipfile.ZipFile(_Parts(repository, commit, path, size)) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
    except RevisionError:
        raise
    except Exception as error:  # zipfile raises many kinds for a damaged directory
        raise UnreadableWeightsError(
            "it is not a zip archive, as torch 1.6 and later write it: save the weights as safetensors"
        ) from error
    description = next((name for name in entries if name.endswith("/data.pkl")), None)
    if description is None or not _is_plain(entries[description]):
        raise UnreadableWeightsError("the archive has no data.pkl")
    entry = entries[description]
    if entry.file_size > _LARGEST_PART:
        raise UnreadableWeightsError(f"its pickle has {entry.file_size:,} bytes, more than are read")
    record = repository.read(commit, path, 1024 + entry.file_size, entry.header_offset)
    start = _data_start(record)
    content = _unpickled(record[start : start + entry.file_size])
    folder = description.removesuffix("data.pkl") + "data/"
    return {
        name: _in_entry(path, view, entries.get(folder + view.storage.key), size)
        for name, view in dict.items(content)  # not a method that the pickle has set
        if isinstance(name, str) and isinstance(view, _View)
    }


def _unpickled(content: bytes) -> dict[Any, Any]:
    try:
        for code, value, _ in pickletools.genops(content):
            # An index into the memo could be so large that the memo fills the memory.
            if code.name not in _OPCODES or (code.name in _INDICES and int(value or 0) > len(content)):
                raise UnreadableWeightsError(
                    f"its pickle contains {code.name}, which a state dict does not need"
                )
        state = _StateDict(io.BytesIO(content)).load()
    except RevisionError:
        raise
    except Exception as error:  # whatever a malformed pickle makes the reader raise
        raise UnreadableWeightsError("its pickle is damaged") from error
    if not isinstance(state, dict):
        raise UnreadableWeightsError("its pickle is not a dictionary of tensors")
    return state


def _in_entry(path: str, view: _View, entry: zipfile.ZipInfo | None, size: int) -> Tensor | None:
    """The tensor of a view if it is contiguous and in its entry; None for any other."""
    storage, offset, shape, stride = view
    if entry is None or not _is_plain(entry) or storage.dtype not in _ITEM_SIZES:
        return None
    if not isinstance(shape, tuple) or not shape or not isinstance(stride, tuple):
        return None
    if not all(type(number) is int and number >= 0 for number in (offset, *shape, *stride)) or 0 in shape:
        return None
    contiguous = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    tensor = Tensor(path, storage.dtype, shape, offset * _ITEM_SIZES[storage.dtype], entry.header_offset)
    inside = tensor.offset + tensor.size * tensor.item_size <= entry.file_size
    fits = entry.header_offset + entry.file_size <= size
    return tensor if stride == contiguous and inside and fits else None


def _is_plain(entry: zipfile.ZipInfo) -> bool:
    is_stored = entry.compress_type == zipfile.ZIP_STORED and entry.file_size == entry.compress_size
    return is_stored and not entry.flag_bits & 1 and entry.header_offset >= 0


def _data_start(header: bytes) -> int:
    """Where the data of an entry begin, counted from its own header."""
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise UnreadableWeightsError("an entry of the archive is not where its directory says")
    return 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
