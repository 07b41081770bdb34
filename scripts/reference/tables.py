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
    return Page(
        "reference/table.md",
        "Columns of the tables",
        "The columns of `results.parquet` and of the verdicts.",
        ["## Results", bullets(results), "## Verdicts", bullets(verdicts)],
        is_begun=True,
    )


def _manifest() -> Page:
    run = [_entry(*row) for row in _attributes(Manifest) if row[0] != "revisions"]
    run.append(_entry("revisions", "list", "The revisions in training order, as below."))
    revision = bullets(_entry(*row) for row in _attributes(ManifestRow))
    return Page(
        "reference/revision-names.md",
        "Revisions: names and manifest",
        f"How revisions are named and ordered, and the keys of `{MANIFEST_FILE}`.",
        [bullets(run), "### Keys of a revision", revision],
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
