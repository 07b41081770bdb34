"""Read score lists and recordings in the formats of archives. Errors name the file.

Nothing is unpickled: NumPy files are read with ``allow_pickle=False``.
"""

import csv
import io
import json
import math
import stat
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.errors import DatasetError, naming, shorten, shown

_COMPRESSED = 15  # type of a compressed element in MATLAB's format 5
_MOST_BYTES = 1 << 31  # limit for an unpacked MATLAB file; an eighth of it for a workbook
_MOST_CELLS = 1 << 22


@contextmanager
def expecting(content: str, path: str) -> Iterator[None]:
    """Convert errors of a block that parses a file: parsers of damaged files raise nearly any exception."""
    try:
        yield
    except DatasetError:
        raise
    except Exception as error:
        cause = f"no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise DatasetError(f"{path} is not {content} ({cause}): unpack it from the archive again.") from error


def check_new(seen: dict[str, str], key: str, where: str) -> None:
    """Note that ``key`` occurs at ``where``, a file and its line."""
    if key in seen:
        raise DatasetError(f"{where} repeats {shorten(key)} (first: {seen[key]}): remove one of them.")
    seen[key] = where


def read_text(path: str) -> str:
    """The text of a file in UTF-8, with or without a byte order mark, or in Latin-1."""
    content = _plain_file(path).read_bytes()
    if not content.strip():
        raise DatasetError(f"{path} is empty: unpack it from the archive again.")
    if b"\0" in content:
        raise DatasetError(f"{path} is not text: unpack it from the archive again.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _plain_file(path: str) -> Path:
    """The path of a regular, readable file."""
    with naming(path, DatasetError):
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise DatasetError("it is not a regular file: give one.")
        with Path(path).open("rb"):
            return Path(path)


def lines_of(path: str) -> list[str]:
    """The lines of a text with any line ends; `str.splitlines` also splits at characters that occur in captions."""
    return read_text(path).replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")


def _header(names: Sequence[str], path: str) -> list[str]:
    """The names of a table's columns in lower case."""
    folded = [name.strip().lower() for name in names]
    for name in filter(None, folded):
        if folded.count(name) > 1:
            same = [shown(given) for given, lower in zip(names, folded, strict=True) if lower == name]
            raise DatasetError(
                f"{path} has {len(same)} columns of one name ({', '.join(same[:4])}): remove or rename all but one."
            )
    return folded


def _check_names(path: str, what: str, required: Sequence[str], present: Sequence[str]) -> None:
    """Refuse a file that lacks a required column, variable or array."""
    absent = [name for name in required if name not in present]
    if absent:
        raise DatasetError(
            f"{path} lacks the {what} {', '.join(absent)} (it has {shorten(str(present))}): use the official file."
        )


def _check_zip(file: Path | IO[bytes]) -> None:
    """Refuse a zip file that declares too many bytes for a table, before it is unpacked."""
    with ZipFile(file) as packed:
        unpacked = sum(info.file_size for info in packed.infolist())
    if unpacked > _MOST_BYTES // 8:
        raise ValueError(f"it unpacks to {unpacked:,} bytes")


def read_csv(path: str, required: Sequence[str], *, delimiter: str = ",") -> list[tuple[str, dict[str, str]]]:
    """The rows of a table, each with its file and line for messages; columns are named in lower case."""
    text = io.StringIO(read_text(path), newline="")
    reader = csv.reader(text, delimiter=delimiter, skipinitialspace=True)
    try:
        lines = [(reader.line_num, cells) for cells in reader]
    except csv.Error as error:
        raise DatasetError(f"{path}, line {reader.line_num}: {error}: correct that line.") from error
    header = _header(lines[0][1], path)
    _check_names(path, "columns", required, header)
    rows = []
    for line, cells in lines[1:]:
        where = f"{path}, line {line}"
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise DatasetError(f"{where}: {len(cells)} cells instead of {len(header)}: correct that line.")
        rows.append((where, dict(zip(header, (cell.strip() for cell in cells), strict=True))))
    return rows


def read_whole_numbers(
    path: str, columns: int | Sequence[str], *, delimiter: str = r"\s+"
) -> NDArray[np.int64]:
    """Millions of rows of whole numbers, (rows, columns): `read_csv` would take minutes."""
    import pandas as pd

    with expecting("a table of whole numbers", path):
        _plain_file(path)
        if isinstance(columns, int):
            table = pd.read_csv(path, sep=delimiter, header=None, dtype="int64")
            if table.shape[1] != columns:
                raise ValueError(f"it has {table.shape[1]} columns instead of {columns}")
            return table.to_numpy(np.int64)
        wanted = [name.lower() for name in columns]
        # As data: pandas would rename the second of two columns, and then leave it out.
        first = pd.read_csv(path, sep=delimiter, header=None, nrows=1, dtype=str).iloc[0].fillna("")
        _header(first.tolist(), path)
        table = pd.read_csv(
            path,
            sep=delimiter,
            usecols=lambda name: name.strip().lower() in wanted,
            dtype="int64",
        )
        table.columns = [name.strip().lower() for name in table.columns]
        return table[wanted].to_numpy(np.int64)


def read_json(path: str) -> Any:
    """A JSON document."""
    with expecting("JSON", path):
        return json.loads(read_text(path))


def read_json_lines(path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The objects of a JSON Lines file, each with its file and line for messages."""
    for number, line in enumerate(lines_of(path), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # too deep a nesting is the latter
            raise DatasetError(f"{where} is not JSON ({error}): correct that line.") from error
        if not isinstance(row, dict):
            raise DatasetError(f"{where} is not a JSON object: correct that line.")
        yield where, row


def read_mat(path: str, *required: str) -> dict[str, Any]:
    """The variables of a MATLAB file up to version 7."""
    from scipy.io import loadmat

    with expecting("a MATLAB file that SciPy can read", path), warnings.catch_warnings():
        # SciPy skips MATLAB classes in a file (CAT2000, MIT1003) with a warning; only plain arrays are needed.
        warnings.simplefilter("ignore")
        _check_declared(_plain_file(path))
        try:
            content: dict[str, Any] = loadmat(path)
        except NotImplementedError as error:
            raise DatasetError(f"{path} is a MATLAB file of version 7.3: save it as version 7.") from error
    _check_names(path, "variables", required, sorted(name for name in content if not name.startswith("__")))
    return content


def _check_declared(path: Path) -> None:
    """Decompress the variables of a MATLAB file in small pieces, before SciPy decompresses them as a whole."""
    left = _MOST_BYTES
    with path.open("rb") as file:
        order: Literal["little", "big"] = "big" if file.read(128)[126:] == b"MI" else "little"
        while len(tag := file.read(8)) == 8:
            kind, size = int.from_bytes(tag[:4], order), int.from_bytes(tag[4:], order)
            if kind != _COMPRESSED:
                file.seek(size, 1)
                continue
            unpacker = zlib.decompressobj()
            while size > 0 and (chunk := file.read(min(size, 1 << 16))):
                size -= len(chunk)
                while chunk and not unpacker.eof:
                    left -= len(unpacker.decompress(chunk, 1 << 20))
                    chunk = unpacker.unconsumed_tail
                    if left < 0:
                        raise ValueError(f"it unpacks to more than {_MOST_BYTES:,} bytes")


def read_npy(path: str) -> NDArray[Any]:
    """The array of a NumPy file without objects."""
    with expecting("a NumPy array", path):
        array: NDArray[Any] = np.load(_plain_file(path), allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("it is an archive of arrays")
        return array


def read_npz(path: str, *required: str) -> dict[str, NDArray[Any]]:
    """The arrays of a NumPy archive without objects, by name."""
    with expecting("an archive of NumPy arrays", path):
        _check_zip(_plain_file(path))
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    _check_names(path, "arrays", required, sorted(arrays))
    return arrays


def read_records(path: str, size: int) -> NDArray[np.uint8]:
    """A file of records of ``size`` bytes each, as an array of shape (records, size)."""
    content: NDArray[np.uint8] = np.fromfile(_plain_file(path), dtype=np.uint8)
    if len(content) == 0 or len(content) % size:
        raise DatasetError(
            f"{path} contains {len(content):,} bytes, not a multiple of {size:,}: unpack it from the archive again."
        )
    return content.reshape(-1, size)


def read_xlsx(path: str, required: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of the first sheet that has a line with the ``required`` column names, below that line.

    Each comes with its file and number, for messages.
    """
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise DatasetError(
            f"{path} is an Excel workbook, which needs openpyxl: pip install openpyxl."
        ) from error
    with (
        expecting("an Excel workbook", path),
        _plain_file(path).open("rb") as file,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # openpyxl warns of styles and extensions that are irrelevant here
        _check_zip(file)
        book = load_workbook(file, read_only=True, data_only=True)
        sheets = [_cells(sheet) for sheet in book.worksheets]
    for lines in sheets:
        for start, line in enumerate(lines):
            header = [str(cell).strip().lower() if cell is not None else "" for cell in line]
            if all(name in header for name in required):
                _header([name if name in required else "" for name in header], path)
                rows = [dict(zip(header, cells, strict=False)) for cells in lines[start + 1 :]]
                rows = [row for row in rows if any(row[name] is not None for name in required)]
                return ((f"{path}, entry {number}", row) for number, row in enumerate(rows, start=1))
    raise DatasetError(f"{path} has no sheet with the columns {', '.join(required)}: use the official file.")


def _cells(sheet: Any) -> list[tuple[Any, ...]]:
    """The rows of a sheet. One cell in the far corner makes openpyxl fill in 17 billion others, hence the limit."""
    rows: list[tuple[Any, ...]] = []
    count = 0
    for row in sheet.iter_rows(values_only=True):
        count += len(row) or 1
        if count > _MOST_CELLS:
            raise ValueError(f"a sheet has more than {_MOST_CELLS:,} cells")
        rows.append(row)
    return rows


def number_of(value: object, where: str) -> float:
    """A finite number; ``where`` names file and line for messages."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise DatasetError(f"{where}: {shown(value)} is not a finite number: correct that entry.")
    return number


def integer_of(value: object, where: str) -> int:
    """A whole number; ``where`` names file and line for messages."""
    number = number_of(value, where)
    if number != int(number):
        raise DatasetError(f"{where}: {shown(value)} is not a whole number: correct that entry.")
    return int(number)
