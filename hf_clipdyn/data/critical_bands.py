"""People and networks under noise in one band of frequencies (Subramanian et al. 2023), from a user's copy.

The repository github.com/ajaysub110/critical-band-masking has no licence, so its numbers are not part of this package.
A folder with two tables is read: ``cbm_networks.csv`` has a row for each network, with the number of right answers in
the columns ``c_<noise>_<band>``, and a first row ``_n_`` with the number of images; ``cbm_human.csv`` has the percent
right of people, with a row for each noise level and a column for each band. Lines that begin with # are comments.

The publication calls band f 1.75 * 2^f cycles per image; measured, bands 1 to 5 are half of that, an octave each, so
that band f is the octave f - 1 of the condition ``octave_<f - 1>``. Band 0 is what is left below, and band 6 is two
octaves wide.
"""

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.data.files import plain
from hf_clipdyn.data.tables import expecting, lines_of
from hf_clipdyn.errors import DatasetError

__all__ = ["BandTrials", "find_band_tables", "read_network_bands", "read_people_bands"]

Floats = NDArray[np.float64]

_SHOWN = "_n_"


@dataclass(frozen=True, eq=False)
class BandTrials:
    """Answers in cells of a noise level and a band.

    Attributes:
        levels: standard deviation of the noise, ascending from 0, shape (levels,).
        right: number of right answers by the name of a network, shape (levels, bands) each.
        shown: number of images, shape (levels, bands).
        columns: the other columns of each network as published, such as ``bw`` and ``shape_share``.
    """

    levels: Floats
    right: Mapping[str, Floats]
    shown: Floats
    columns: Mapping[str, Mapping[str, float]]


def find_band_tables() -> Path | None:
    """The folder ``critical-band`` in ``$CLIPDYN_DATA``; None if there is none."""
    root = Path(os.environ.get("CLIPDYN_DATA", ""))
    folders = sorted(root.iterdir()) if root.name and root.is_dir() else []
    return next((one for one in folders if one.is_dir() and plain(one.name) == "criticalband"), None)


def read_network_bands(folder: Path) -> BandTrials:
    """The table of networks.

    Raises:
        DatasetError: the table is missing, or is not one of right answers by noise level and band.
    """
    path = str(folder / "cbm_networks.csv")
    rows = _rows(path)
    with expecting("a table of right answers by network, noise level and band", path):
        cells = [name for name in rows[0] if name.startswith("c_")]
        parts = [name.split("_")[1:] for name in cells]
        levels = sorted({level for level, _ in parts}, key=float)
        bands = sorted({int(band) for _, band in parts})
        names = [[f"c_{level}_{band}" for band in bands] for level in levels]
        by_name = {
            row["network"]: np.array([[float(row[name]) for name in line] for line in names]) for row in rows
        }
        shown = by_name.pop(_SHOWN)
        columns = {
            row["network"]: {
                name: float(text) for name, text in row.items() if name not in (*cells, "network")
            }
            for row in rows
            if row["network"] != _SHOWN
        }
        if any((right > shown).any() for right in by_name.values()):
            raise ValueError("more right answers than images")
        return BandTrials(np.array(levels, np.float64), by_name, shown, columns)


def read_people_bands(folder: Path) -> tuple[Floats, Floats]:
    """The levels of noise (levels,) and the accuracy of people, shape (levels, bands), in [0, 1].

    Raises:
        DatasetError: the table is missing, or is not one of percentages by noise level and band.
    """
    path = str(folder / "cbm_human.csv")
    rows = _rows(path)
    with expecting("a table of percentages by noise level and band", path):
        levels = np.array([float(row.pop("noise_sd")) for row in rows])
        accuracy = np.array([[float(text) for text in row.values()] for row in rows]) / 100
        if not ((accuracy >= 0) & (accuracy <= 1)).all():
            raise ValueError("a percentage outside 0 to 100")
        return levels, accuracy


def _rows(path: str) -> list[dict[str, str]]:
    rows = list(csv.DictReader(line for line in lines_of(path) if not line.startswith("#")))
    if not rows:
        raise DatasetError(f"{path} has no rows: copy the table again.")
    return rows
