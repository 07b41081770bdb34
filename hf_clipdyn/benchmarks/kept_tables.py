"""Tables of baselines on disk: they depend on the stimuli alone, take minutes, and a command is run again and again.

They lie beside the decoded pixels, under a key of what they were computed from; `clipdyn cache` lists and deletes them.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hf_clipdyn.benchmarks.kind import Common
from hf_clipdyn.data.cache import cache_folder, touch
from hf_clipdyn.files import write_atomically


class KeptTable:
    """A table that is computed once for all commands.

    Args:
        what: contents and data set of the table, for the list of the caches.
        key: everything that the values depend on, as JSON can write it.
        dtypes: pandas' type of each column.
        items: the rows of the data set that the table must be about, in its column ``item``.
        common: the folder of the cache.
    """

    def __init__(
        self, what: str, key: Any, dtypes: Mapping[str, str], items: list[int], common: Common
    ) -> None:
        parts = json.dumps([what, key, dict(dtypes), items]).encode()
        name = f"{re.sub(r'[^0-9A-Za-z]+', '_', what)[:60]}-{hashlib.sha256(parts).hexdigest()[:32]}.parquet"
        self.path = cache_folder("baselines", common.cache_dir) / name
        self._dtypes, self._items = dict(dtypes), items

    def read(self) -> pd.DataFrame | None:
        """The table; None if there is none, or if the file is broken: it is then computed and written again."""
        try:
            table = cast("pd.DataFrame", pq.ParquetFile(self.path).read().to_pandas(ignore_metadata=True))
            if list(table.columns) != list(self._dtypes):
                return None
            table = table.astype(self._dtypes)
        except (ValueError, TypeError, OSError, pa.ArrowException):
            return None
        texts = [name for name, dtype in self._dtypes.items() if dtype == "string"]
        if set(table["item"]) != set(self._items) or table[texts].isna().to_numpy().any():
            return None
        touch(self.path)
        return table

    def write(self, table: pd.DataFrame) -> None:
        """Keep the table; other processes find the whole of it or nothing.

        Raises:
            OSError: the disk is full, or refuses.
        """
        write_atomically(self.path, lambda path: table.to_parquet(path, index=False))
