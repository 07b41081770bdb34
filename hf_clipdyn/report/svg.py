"""Figures as files."""

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FigureFolder", "to_svg"]

_LIST = ".figures.json"


def to_svg(figure: "Figure") -> str:
    """A figure as a document of its own; the same figure gives the same text."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


class FigureFolder:
    """Figures as PNG and SVG beside each other.

    The folder keeps a list of its files, so that it never deletes a file that somebody else put there.

    Args:
        path: created if missing.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._written: set[str] = set()

    def save(self, figure: "Figure", name: str) -> str:
        """Write ``name.png`` and ``name.svg``; the SVG's text."""
        document = to_svg(figure)
        # Not with_suffix: a metric's name may hold a dot.
        (self._path / f"{name}.svg").write_text(document, encoding="utf-8")
        figure.savefig(self._path / f"{name}.png", metadata={"Software": None})
        self._written |= {f"{name}.svg", f"{name}.png"}
        return document

    def sweep(self) -> None:
        """Remove the figures that an earlier report wrote here and this one did not."""
        record = self._path / _LIST
        for name in _listed(record) - self._written:
            (self._path / name).unlink(missing_ok=True)
        record.write_text(json.dumps(sorted(self._written), indent=1), encoding="utf-8")


def _listed(record: Path) -> set[str]:
    """Names in the list of an earlier report; none if the list is missing or damaged."""
    try:
        names = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    if not isinstance(names, list):
        return set()
    return {name for name in names if isinstance(name, str) and Path(name).name == name}
