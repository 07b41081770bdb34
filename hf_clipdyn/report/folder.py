"""The folder of a report's figures: what is drawn now is there, what an earlier report left is not."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from hf_clipdyn.report.svg import to_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FigureFolder"]

_LIST = ".figures.json"


class FigureFolder:
    """Figures as PNG and SVG beside each other.

    The folder keeps a list of the files that it was given, so that a figure of an earlier table can be told
    from a file that somebody else put there.

    Args:
        path: made if need be.

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
    """Names in the list of an earlier report; none where there is no such list, or somebody changed it."""
    try:
        names = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    if not isinstance(names, list):
        return set()
    return {name for name in names if isinstance(name, str) and Path(name).name == name}
