"""Pages of the tables and of the manifest."""

import inspect
import re
from typing import Any, get_args

from pydantic import BaseModel

from hf_clipdyn.options import members
from hf_clipdyn.results.arrow import column_table
from hf_clipdyn.results.row import CELL_KEY, NUMBER_KEY, Row
from hf_clipdyn.revisions.manifest import MANIFEST_FILE, Manifest
from hf_clipdyn.revisions.manifest import Row as ManifestRow
from hf_clipdyn.statistics.verdicts import VerdictRow

from .page import Page, bullets, plain

_JSON = {str: "text", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def table_pages() -> list[Page]:
    """The columns of both tables, and the keys of the manifest below what a person wrote of revisions."""
    return [_tables(), _manifest()]


def _tables() -> Page:
    keys = dict.fromkeys(CELL_KEY, "cell") | dict.fromkeys(NUMBER_KEY, "number")
    results = [_entry(name, keys.get(name, ""), meaning) for name, _, meaning in column_table(Row)]
    verdicts = [_entry(name, "", meaning) for name, _, meaning in column_table(VerdictRow)]
    text = """
Columns of `results.parquet`, which `clipdyn evaluate` writes, and of the [verdicts](#verdicts). One row of results is
one number: [read the table](../how-to/read-the-table.md).
"""
    of_results = """
A cell is one benchmark on one revision with one choice of texts. The columns marked `cell` name a cell; the columns
marked `number` name a number within a cell.
"""
    of_verdicts = """
`clipdyn report --print verdicts --claims FILE --output FILE.parquet` writes a row for each part of a claim.
[How a verdict is reached](../explanation/claims.md) explains the words.
"""
    provenance = """
Both files have the key `hf_clipdyn.provenance` (JSON) in their metadata:

- the hf_clipdyn that wrote the table, as `version+commit`, with `.dirty` if the checkout had other changes; an
  installed wheel has no commit;
- for each run the packages that measured it, the time of its first revision (`began`) and the start of its first
  measurement (`measured`), in UTC;
- for verdicts and tables of `clipdyn study`, the study and the SHA-256 of what its claims register: windows, contrasts,
  smallest effects, gates, seeds and level, but no titles, notes or causes. The same hash means the same test.
"""
    return Page(
        "reference/table.md",
        "Columns of the tables",
        "The columns of `results.parquet` and of the verdicts.",
        [
            text,
            "## Results",
            of_results,
            bullets(results),
            "## Verdicts",
            of_verdicts,
            bullets(verdicts),
            "## Provenance",
            provenance,
        ],
    )


def _manifest() -> Page:
    text = f"""
`{MANIFEST_FILE}` is in every folder and branch of a revision. It lists the revisions with the hashes of their weights.
Each revision contains the manifest as of its publication; `main` has the newest one. It names no commits, since a file
cannot name the commit that contains it.
"""
    run = [_entry(*row) for row in _attributes(Manifest) if row[0] != "revisions"]
    run.append(_entry("revisions", "list", "The revisions in training order, as below."))
    return Page(
        "reference/revision-names.md",
        "Revisions: names and manifest",
        f"How revisions are named and ordered, and the keys of `{MANIFEST_FILE}`.",
        [
            "## The manifest",
            text,
            bullets(run),
            "### Keys of a revision",
            bullets(_entry(*row) for row in _attributes(ManifestRow)),
        ],
        is_begun=True,
    )


def _entry(name: str, kind: str, meaning: str) -> str:
    return plain(f"`{name}`{kind and f' ({kind})'}: {meaning}")


def _attributes(model: type[BaseModel]) -> list[tuple[str, str, str]]:
    """Name, type in JSON and meaning of the fields of a model, as its docstring describes them."""
    described = str(inspect.getdoc(model)).partition("Attributes:\n")[2].partition("\n\n")[0]
    meanings = dict(re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", described, re.MULTILINE))
    return [
        (
            name,
            " or ".join(_JSON.get(kind, "object") for kind in _kinds(field.annotation)),
            " ".join(meanings[name].split()).replace("None", "null"),
        )
        for name, field in model.model_fields.items()
    ]


def _kinds(annotation: Any) -> list[Any]:
    may_be_null = type(None) in get_args(annotation)
    return [*members(annotation), *([type(None)] if may_be_null else [])]
