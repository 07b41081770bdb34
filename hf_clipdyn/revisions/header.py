"""Is a safetensors header sane? Found out from the first bytes of a file, wherever it lies."""

import json

from hf_clipdyn.revisions.repository import Repository

__all__ = ["header_fault"]

_AT_ONCE = 100_000  # most headers fit
_LIMIT = 100_000_000  # the format's own limit


def header_fault(repository: Repository, commit: str, path: str, size: int) -> str | None:
    """What is wrong with the header of a safetensors file; None if nothing is.

    The header's length must fit the file, it must be JSON, and the tensors that it lays out must fill the
    rest of the file without gaps. Only the header is read.

    Args:
        repository: where the file is.
        commit: the commit that it belongs to.
        path: its path in the repository.
        size: its size in bytes.
    """
    start = repository.read(commit, path, _AT_ONCE)
    length = int.from_bytes(start[:8], "little")
    if len(start) < 8 or length > min(size - 8, _LIMIT):
        return "the header is longer than the file"
    if length > len(start) - 8:
        start = repository.read(commit, path, 8 + length)
    try:
        tensors = json.loads(start[8 : 8 + length])
        tensors.pop("__metadata__", None)
        spans = sorted(tuple(tensor["data_offsets"]) for tensor in tensors.values())
    except (ValueError, KeyError, TypeError, AttributeError):
        return "the header is not the JSON that it should be"
    if not spans:
        return "the header names no tensors"
    position = 0
    for begin, end in spans:
        if begin != position or end < begin:
            return "the tensors do not fill the file without gaps"
        position = end
    if 8 + length + position != size:
        return f"the header lays out {8 + length + position} bytes, the file has {size}"
    return None
