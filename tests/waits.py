"""Where the package waits for the device: each place that reads what a tensor holds."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

import hf_clipdyn

_READERS = ("item", "tolist", "cpu", "numpy", "__array__", "__bool__", "__float__", "__int__")
_PACKAGE = str(Path(hf_clipdyn.__file__).parent)


@contextmanager
def counted(*rooms: str) -> Iterator[Counter[str]]:
    """Within this context, how often code of these rooms of the package read the values of a tensor, by its place.

    On a GPU each of them waits until everything that was asked of the device is done; on the CPU the same calls are
    counted. A chain such as ``.float().cpu().numpy()`` waits once.
    """
    found: Counter[str] = Counter()
    folders = tuple(f"{_PACKAGE}/{room}/" for room in rooms)
    last: list[Any] = [None]

    def counting(name: str) -> Any:
        read = getattr(torch.Tensor, name)

        def call(self: torch.Tensor, *args: Any, **options: Any) -> Any:
            frame = sys._getframe(1)
            value = read(self, *args, **options)
            if frame.f_code.co_filename.startswith(folders) and self is not last[0]:
                place = f"{Path(frame.f_code.co_filename).name} {frame.f_code.co_qualname}"
                found[place] += 1
            last[0] = value if isinstance(value, torch.Tensor) else None  # it is on the CPU now
            return value

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in _READERS:
            patch.setattr(torch.Tensor, name, counting(name))
        yield found
