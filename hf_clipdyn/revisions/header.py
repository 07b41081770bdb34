"""Check a safetensors header from the first bytes of a file."""

from hf_clipdyn.errors import RevisionError
from hf_clipdyn.revisions.repository import ReadableRepository
from hf_clipdyn.schema import parse_any

__all__ = ["header_fault"]

_AT_ONCE = 100_000  # most headers fit
_LIMIT = 100_000_000  # the format's own limit


def header_fault(repository: ReadableRepository, commit: str, path: str, size: int) -> str | None:
    """What is wrong with the header of a safetensors file of ``size`` bytes; None if nothing is.

    The header's length must fit the file, it must be JSON, and its tensors must fill the rest of the file without
    gaps. Only the header is read.
    """
    start = repository.read(commit, path, _AT_ONCE)
    length = int.from_bytes(start[:8], "little")
    if len(start) < 8 or length > min(size - 8, _LIMIT):
        return "the header is longer than the file"
    if length > len(start) - 8:
        start = repository.read(commit, path, 8 + length)
    try:
        tensors = parse_any(start[8 : 8 + length], where="the header", error=RevisionError)
        tensors.pop("__metadata__", None)
        spans = sorted(
            (int(begin), int(end)) for begin, end in (item["data_offsets"] for item in tensors.values())
        )
    except (RevisionError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return "the header is not the JSON of a safetensors file"
    if not spans:
        return "the header names no tensors"
    position = 0
    for begin, end in spans:
        if begin != position or end < begin:
            return "the tensors overlap or leave a gap"
        position = end
    if 8 + length + position != size:
        return f"according to the header the file has {8 + length + position} bytes, but it has {size}"
    return None
