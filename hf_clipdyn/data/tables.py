"""Read score lists and recordings in the formats of archives. Errors name the file.

Nothing is unpickled: NumPy files are read with ``allow_pickle=False``.
"""

import csv
import io
import json
import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.errors import DatasetError, naming, shorten, shown


class Row(dict[str, Any]):
    """The cells of a line by the name of their column in lower case; errors name file and line.

    Attributes:
        where: file and line.
    """

    def __init__(self, cells: dict[str, Any], where: str) -> None:
        super().__init__(cells)
        self.where = where

    def number(self, column: str) -> float:
        """A cell as a finite number."""
        with naming(self.where, DatasetError):
            return finite(self[column])

    def integer(self, column: str) -> int:
        """A cell as a whole number."""
        number = self.number(column)
        if number != int(number):
            raise DatasetError(f"{self.where}: {column} is {number:g}, not a whole number.")
        return int(number)


def finite(value: Any) -> float:
    """A number that is neither infinite nor missing."""
    number = float(value)
    if not math.isfinite(number):
        raise DatasetError(f"{shown(value)} is not a finite number.")
    return number


def lines_of(path: Path) -> list[str]:
    """The lines of a text in UTF-8, with or without a byte order mark, or in Latin-1, with any line ends.

    `str.splitlines` also splits at characters that occur in captions.
    """
    with naming(path, DatasetError):
        content = path.read_bytes()
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("latin-1")
        if not text.strip() or "\0" in text:
            raise DatasetError("it is empty, or no text: unpack it from the archive again.")
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")


def read_csv(path: Path, required: Sequence[str], *, delimiter: str = ",") -> list[Row]:
    """The rows of a table. A line with more or fewer cells than the header would move numbers: it is an error."""
    with naming(path, DatasetError):
        text = io.StringIO("\n".join(lines_of(path)), newline="")
        reader = csv.reader(text, delimiter=delimiter, skipinitialspace=True)
        header = [name.strip().lower() for name in next(reader)]
        _check_names("columns", required, header)
        rows = []
        for cells in reader:
            where = f"{path}, line {reader.line_num}"
            if any(cell.strip() for cell in cells):
                with naming(where, DatasetError):
                    named = zip(header, (cell.strip() for cell in cells), strict=True)
                    rows.append(Row(dict(named), where))
        return rows


def _check_names(what: str, required: Sequence[str], present: Sequence[str]) -> None:
    wrong = [name for name in required if list(present).count(name) != 1]
    if wrong:
        raise DatasetError(f"it needs the {what} {', '.join(wrong)} once (it has {shorten(str(present))}).")


def read_whole_numbers(path: Path, columns: Sequence[str] = ()) -> NDArray[np.int64]:
    """Millions of rows of whole numbers, (rows, columns), for which `read_csv` would take minutes.

    Without names of columns it is a table of three columns without a header, else one separated by tabs.
    """
    import pandas as pd

    with naming(path, DatasetError):
        if not columns:
            return pd.read_csv(path, sep=r"\s+", header=None, dtype="int64").to_numpy(np.int64)
        table = pd.read_csv(path, sep="\t", usecols=lambda name: name.lower() in columns, dtype="int64")
        return table.rename(columns=str.lower)[list(columns)].to_numpy(np.int64)


def read_json(path: Path) -> Any:
    """A JSON document."""
    with naming(path, DatasetError):
        return json.loads("\n".join(lines_of(path)))


def read_json_lines(path: Path) -> Iterator[Row]:
    """The objects of a JSON Lines file."""
    for number, line in enumerate(lines_of(path), start=1):
        where = f"{path}, line {number}"
        if line.strip():
            with naming(where, DatasetError):
                row = Row(dict(json.loads(line)), where)
            yield row


def read_mat(path: Path, *required: str) -> dict[str, Any]:
    """The variables of a MATLAB file up to version 7: structures as dictionaries, without dimensions of length 1."""
    from scipy.io import loadmat

    with naming(path, DatasetError), warnings.catch_warnings():
        # SciPy skips MATLAB classes in a file (CAT2000, MIT1003) with a warning; only plain arrays are needed.
        warnings.simplefilter("ignore")
        content: dict[str, Any] = loadmat(path, simplify_cells=True)
        _check_names("variables", required, sorted(content))
    return content


def read_npy(path: Path) -> NDArray[Any]:
    """The array of a NumPy file without objects."""
    with naming(path, DatasetError):
        array: NDArray[Any] = np.load(path, allow_pickle=False)
        return array


def read_npz(path: Path, *required: str) -> dict[str, NDArray[Any]]:
    """The arrays of a NumPy archive without objects, by name."""
    with naming(path, DatasetError), np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive)
        _check_names("arrays", required, sorted(arrays))
        return arrays


def read_records(path: Path, size: int) -> NDArray[np.uint8]:
    """A file of records of ``size`` bytes each, as an array of shape (records, size)."""
    with naming(path, DatasetError):
        return np.fromfile(path, dtype=np.uint8).reshape(-1, size)
