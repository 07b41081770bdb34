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

from .page import Page, table

_JSON = {str: "text", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def table_pages() -> list[Page]:
    """The columns of both tables, and the keys of the manifest."""
    return [_results(), _verdicts(), _manifest()]


def _results() -> Page:
    text = """
`clipdyn evaluate` writes one Parquet file. One row is one number. [Read the table](../how-to/read-the-table.md) shows
how to select numbers in pandas.

A cell is one benchmark on one revision with one choice of texts. Together, the columns marked `cell` name a cell, and
those marked `number` name a number within a cell.

The metadata of the file (key `hf_clipdyn.provenance`, JSON) name the hf_clipdyn that wrote the table, as
`version+commit`, with `.dirty` if the checkout had other changes. An installed wheel has no commit. For each run they
name the packages that measured it, the time of its first revision (`began`: the start of training, or of an import)
and the start of its first measurement (`measured`), in UTC. The table of `clipdyn study` also names the study and the
SHA-256 of its claims. What a table did not record is empty, and pages say "not recorded".
"""
    keys = dict.fromkeys(CELL_KEY, "cell") | dict.fromkeys(NUMBER_KEY, "number")
    rows = [(f"`{name}`", kind, keys.get(name, ""), meaning) for name, kind, meaning in column_table(Row)]
    return Page(
        "reference/table.md",
        "Columns of the results",
        "The columns of `results.parquet`, which `clipdyn evaluate` writes.",
        [text, table(("column", "type", "key", "meaning"), rows)],
    )


def _verdicts() -> Page:
    text = """
`clipdyn report --print verdicts --claims FILE` writes one Parquet file. One row is one part of a claim. [How a verdict
is reached](../explanation/claims.md) explains the words.

The metadata of the file (key `hf_clipdyn.provenance`, JSON) are those of [the results](table.md). They always name the
study and the SHA-256 of what its claims register: windows, contrasts, smallest effects, gates, seeds and
level, but no titles, notes or causes. The same hash means the same test, whatever the words.
"""
    rows = [(f"`{name}`", kind, meaning) for name, kind, meaning in column_table(VerdictRow)]
    return Page(
        "reference/verdict-table.md",
        "Columns of the verdicts",
        "The columns of `verdicts.parquet`, which `clipdyn report --print verdicts --claims FILE` writes.",
        [text, table(("column", "type", "meaning"), rows)],
    )


def _manifest() -> Page:
    text = f"""
`{MANIFEST_FILE}` is a file in every published repository. It lists the revisions with the hashes of their weights.
Each revision carries the manifest of its time; the newest one is on `main`. The manifest names no commits, because a
file cannot name the commit that contains it: the branches do.
"""
    run = [row for row in _attributes(Manifest) if row[0] != "`revisions`"]
    run.append(("`revisions`", "list", "The revisions in training order, as below."))
    head = ("key", "type", "meaning")
    return Page(
        "reference/manifest.md",
        "The manifest",
        f"The keys of `{MANIFEST_FILE}`, which every published repository has.",
        [
            text,
            "## Keys of the file",
            table(head, run),
            "## Keys of a revision",
            table(head, _attributes(ManifestRow)),
        ],
    )


def _attributes(model: type[BaseModel]) -> list[tuple[str, str, str]]:
    """Name, type in JSON and meaning of the fields of a model, as its docstring describes them."""
    described = str(inspect.getdoc(model)).partition("Attributes:\n")[2].partition("\n\n")[0]
    meanings = dict(re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", described, re.MULTILINE))
    return [
        (
            f"`{name}`",
            " or ".join(_JSON.get(kind, "object") for kind in _kinds(field.annotation)),
            " ".join(meanings[name].split()).replace("None", "null"),
        )
        for name, field in model.model_fields.items()
    ]


def _kinds(annotation: Any) -> list[Any]:
    may_be_null = type(None) in get_args(annotation)
    return [*members(annotation), *([type(None)] if may_be_null else [])]
