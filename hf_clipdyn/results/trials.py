"""The trials beside tables of results: a row per stimulus of each cell."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import cast

import pandas as pd
import pyarrow.parquet as pq

from hf_clipdyn.errors import EvaluationError, naming
from hf_clipdyn.files import check_regular


def trials_folder(output: Path) -> Path:
    """Folder of the trials behind the table at ``output``."""
    return output.with_suffix(".trials")  # an output always ends in .parquet


class KeptTrials:
    """The trials beside one or several tables.

    Args:
        tables: files of `clipdyn evaluate`. A copy of a table alone has no trials.
    """

    def __init__(self, tables: Sequence[Path]) -> None:
        self._folders = [trials_folder(table) for table in tables]

    def file(self, cell: str) -> Path | None:
        """The file of the trials of a cell; None if there is none.

        Args:
            cell: key of the cell, the column ``cell`` of `Table`.
        """
        name = f"{cell}.parquet"
        direct = (folder / name for folder in self._folders)
        # In a copy from the Hub the folder has a subfolder for each benchmark.
        nested = (file for folder in self._folders for file in folder.glob(f"*/{name}"))
        return next((file for file in chain(direct, nested) if file.exists()), None)

    def of(self, cell: str, columns: Sequence[str] | None = None) -> pd.DataFrame | None:
        """The trials of a cell; None if there are none.

        Args:
            cell: key of the cell.
            columns: read only these, as far as the trials have them. Default: all.

        Raises:
            EvaluationError: the file is broken.
        """
        file = self.file(cell)
        if file is None:
            return None
        with naming(file, EvaluationError):
            check_regular(file)
            table = pq.ParquetFile(file)
            known = table.schema_arrow.names
            wanted = known if columns is None else [name for name in known if name in columns]
            return cast("pd.DataFrame", table.read(wanted).to_pandas())
