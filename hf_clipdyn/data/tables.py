"""Score lists and recordings in the formats that archives come with, read with errors that name the file.

Nothing here unpickles: NumPy files are read with ``allow_pickle=False``.
"""

import csv
import io
import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.errors import DatasetError

__all__ = [
    "integer_of",
    "lines_of",
    "number_of",
    "read_csv",
    "read_json",
    "read_json_lines",
    "read_mat",
    "read_npy",
    "read_records",
    "read_text",
    "read_xlsx",
]


def read_text(path: str) -> str:
    """A text in UTF-8, with or without a byte order mark, or else in Latin-1.

    Raises:
        DatasetError: the file cannot be read or is empty.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}): mend its rights.") from error
    if not content.strip():
        raise DatasetError(f"{path} is empty: unpack it from the official archive once more.")
    if b"\0" in content:
        raise DatasetError(f"{path} is no text: unpack it from the official archive once more.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def lines_of(path: str) -> list[str]:
    """The lines of a text, however they end; `str.splitlines` would also cut at signs that captions hold.

    Raises:
        DatasetError: the file cannot be read or is empty.
    """
    return read_text(path).replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")


def read_csv(path: str, required: Sequence[str], delimiter: str = ",") -> list[dict[str, str]]:
    """The rows of a table whose first line names the columns, which are matched in lower case.

    Raises:
        DatasetError: a required column is absent, or a row has another number of cells than the header.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=delimiter, skipinitialspace=True)
    header = [name.strip().lower() for name in next(reader)]
    absent = [name for name in required if name not in header]
    if absent:
        raise DatasetError(
            f"{path} has the columns {header}, but {absent} are needed: use the official file."
        )
    rows = []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise DatasetError(
                f"{path}, line {reader.line_num}: {len(cells)} cells instead of {len(header)}: correct that line."
            )
        rows.append(dict(zip(header, (cell.strip() for cell in cells), strict=True)))
    return rows


def read_json(path: str) -> Any:
    """A JSON document.

    Raises:
        DatasetError: it is none.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path} is no JSON ({error}): unpack it from the archive once more.") from error


def read_json_lines(path: str) -> Iterator[Mapping[str, Any]]:
    """The objects of a JSON Lines file.

    Raises:
        DatasetError: a line is no JSON object.
    """
    for number, line in enumerate(lines_of(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DatasetError(f"{path}, line {number} is no JSON ({error}): correct that line.") from error
        if not isinstance(row, dict):
            raise DatasetError(f"{path}, line {number} is no JSON object: correct that line.")
        yield row


def read_mat(path: str, *required: str) -> dict[str, Any]:
    """The variables of a MATLAB file up to version 7.

    Raises:
        DatasetError: it is none, of version 7.3, or lacks a required variable.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        with warnings.catch_warnings():
            # MATLAB classes in a file (CAT2000, MIT1003) are passed over; what is needed is plain arrays.
            warnings.simplefilter("ignore")
            content: dict[str, Any] = loadmat(path)
    except NotImplementedError as error:
        raise DatasetError(f"{path} is a MATLAB file of version 7.3: save it as version 7.") from error
    except (
        MatReadError,
        OSError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        EOFError,
        MemoryError,
    ) as error:
        raise DatasetError(
            f"{path} is no MATLAB file that SciPy reads ({error or type(error).__name__}): "
            "unpack it from the archive once more."
        ) from error
    absent = [name for name in required if name not in content]
    if absent:
        present = sorted(name for name in content if not name.startswith("__"))
        raise DatasetError(f"{path} holds {present}, but {absent} are needed: use the official file.")
    return content


def read_npy(path: str) -> NDArray[Any]:
    """An array of a NumPy file that holds no objects.

    Raises:
        DatasetError: it is none.
    """
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(
            f"{path} is no NumPy array ({error}): unpack it from the archive once more."
        ) from error
    return array


def read_records(path: str, size: int) -> NDArray[np.uint8]:
    """A file of records of ``size`` bytes each, as an array of shape (records, size).

    Raises:
        DatasetError: its length is no multiple of the size, or it is empty.
    """
    try:
        content: NDArray[np.uint8] = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error}): mend its rights.") from error
    if len(content) == 0 or len(content) % size:
        raise DatasetError(
            f"{path} holds {len(content):,} bytes, no multiple of {size:,}: unpack it from the archive once more."
        )
    return content.reshape(-1, size)


def read_xlsx(path: str, required: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of the first sheet that has a line with the ``required`` column names, wherever it starts.

    Raises:
        DatasetError: openpyxl is not installed, the file is no workbook, or no sheet has these columns.
    """
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise DatasetError(f"{path} needs openpyxl to be read: pip install openpyxl.") from error
    from zipfile import BadZipFile

    try:
        with Path(path).open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl warns of styles and extensions that do not matter here
            book = load_workbook(file, read_only=True, data_only=True)
            sheets = [list(sheet.iter_rows(values_only=True)) for sheet in book.worksheets]
    except (BadZipFile, KeyError, ValueError, OSError, EOFError) as error:
        raise DatasetError(
            f"{path} is no Excel workbook ({error}): unpack it from the archive once more."
        ) from error
    for lines in sheets:
        for start, line in enumerate(lines):
            header = [str(cell).strip().lower() if cell is not None else "" for cell in line]
            if all(name in header for name in required):
                rows = (dict(zip(header, cells, strict=False)) for cells in lines[start + 1 :])
                return [row for row in rows if any(row[name] is not None for name in required)]
    raise DatasetError(f"{path} has no sheet with the columns {list(required)}: use the official file.")


def number_of(value: object, where: str) -> float:
    """A finite number; ``where`` names file and place.

    Raises:
        DatasetError: it is text, NaN, infinite or absent.
    """
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise DatasetError(f"{where}: {value!r} is no finite number: correct that entry.")
    return number


def integer_of(value: object, where: str) -> int:
    """A whole number; ``where`` names file and place.

    Raises:
        DatasetError: it is none.
    """
    number = number_of(value, where)
    if number != int(number):
        raise DatasetError(f"{where}: {value!r} is no whole number: correct that entry.")
    return int(number)
