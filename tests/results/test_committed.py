"""The committed tables as `load` reads them: the rows, names and orders that the reader of version 0.3 gave.

``golden/tables.json`` has what that reader gave: for some files, read together, the number of rows and courses, the
runs in their order, and a hash of all rows. The tables of the demo and of the goldens were made later: what is kept of
them was read by `load`.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hf_clipdyn.results.table import Table, load

CHECKOUT = Path(__file__).parents[2]
GOLDEN = json.loads(Path(__file__).with_name("golden").joinpath("tables.json").read_text())


def digest(rows: pd.DataFrame) -> str:
    """SHA-256 of all columns but ``course``, whose numbers are places in this order."""
    digest = hashlib.sha256()
    for name in sorted(set(rows) - {"course"}):
        column = rows[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            texts = {text: hashlib.sha256(text.encode()).digest() for text in column.cat.categories}
            digest.update(b"".join(map(texts.__getitem__, column)))
        else:
            digest.update(column.astype(float).to_numpy(float, na_value=np.nan).tobytes())
    return digest.hexdigest()


def facts(table: Table) -> dict[str, object]:
    """What a table must give again."""
    return {
        "rows": len(table.rows),
        "courses": len(table.spans),
        "runs": list(table.rows["run"].unique()),
        "kinds": list(table.words.kinds),
        "began": [one.began for one in table.origins],
        "sha256": digest(table.rows),
    }


@pytest.mark.parametrize("given", GOLDEN)
def test_a_committed_table_is_read_as_by_the_reader_of_before(given: str) -> None:
    assert facts(load([CHECKOUT / path for path in given.split()])) == GOLDEN[given]
