"""One row of the results: a cell, and one of its numbers.

A cell is one benchmark on one revision with one choice of texts. What is constant within a cell is a column of
`Cell`; what varies is a column of `Number`. These dataclasses give the Arrow schema (`hf_clipdyn.results.arrow`), the
keys and the table of columns in the docs. `column` does so for other tables, too.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from operator import attrgetter
from typing import Any, Literal, get_args

Role = Literal[
    "value", "chance", "null", "lower_bound", "upper_bound", "baseline", "human", "ceiling", "diagnostic"
]
ROLES: tuple[Role, ...] = get_args(Role)
"""The roles of numbers: a ``value`` of the model, a ``diagnostic``, or a reference for values."""


def column(meaning: str, *, key: bool = False, filled: bool = False, default: Any = MISSING) -> Any:
    """A field of a row.

    Args:
        meaning: for the docs.
        key: whether it belongs to the key of the cell or the number.
        filled: whether a row may not leave it empty.
        default: where a table lacks the column, or a row its value.
    """
    return field(default=default, metadata={"meaning": meaning, "key": key, "filled": filled})


def columns_of(row: type) -> dict[str, Mapping[str, Any]]:
    """What `column` declares of the fields of this dataclass, by name; the others stay out of the table."""
    return {one.name: one.metadata for one in fields(row) if "meaning" in one.metadata}


FORMER_NAMES = {"representation_change": "representation"}
"""Relations that version 0.3 called otherwise: their cells keep the key that they had."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What is constant for one benchmark on one revision with one choice of texts."""

    repo_id: str = column("Repository of the model, `owner/name`.", key=True, filled=True)
    revision: str = column("Name of the revision.", key=True, filled=True)
    commit: str = column("Commit of the revision, 40 hexadecimal digits.", key=True)
    epoch: int | None = column("Epochs of training; null if unknown.", default=None)
    step: int | None = column("Optimiser steps; null if unknown.", default=None)
    samples_seen: int | None = column(
        "Images seen in training, with repetitions; null if unknown.", default=None
    )
    scale: str | None = column(
        "Named size of the model, from the manifest; null for other models.", default=None
    )
    seed: int | None = column("Seed of the training run, from the manifest; null if unknown.", default=None)
    arm: str = column(
        "Control or ablation that the training run belongs to, from the manifest; empty for the main arm.",
        default="",
    )
    parameters: int | None = column(
        "Parameters of the model, from the manifest; null if unknown.", default=None
    )
    model_class: str = column("Class of transformers that reads the model; empty if unknown.", default="")
    processor_class: str = column("Class that reads its processor; empty if unknown.", default="")
    kind: str = column("Kind of the benchmark.", key=True, filled=True)
    dataset: str = column("Data set of the benchmark.", key=True, filled=True)
    split: str = column("Split of the data set that was shown.", key=True)
    data_fingerprint: str = column("SHA-256 of all stimuli and prompts.", key=True)
    observe_version: int = column(
        "Version of the kind's observation; a change means measuring again.", key=True
    )
    score_version: int = column("Version of the kind's scoring; `--rescore` brings it up to date.")
    preprocess: str = column("How images became the model's input.", key=True)
    settings: str = column("JSON of the settings and facts that affect the cell.", key=True, default="{}")
    dtype: str = column("Precision of the weights and activations.", key=True)
    texts: str = column("Text embeddings that were used: `own`, or the `last` revision's.", key=True)
    text_commit: str = column(
        "Commit of the last revision if texts is `last`, else empty.", key=True, default=""
    )
    other: str = column(
        "Commit of the other revision, for a relation of two revisions; of several others, such as a whole run, 40 "
        "digits of the SHA-256 of their commits. Empty for numbers of one revision. Trajectories do not split by it.",
        key=True,
        default="",
    )
    versions: str = column("JSON of package names to versions.", default="{}")
    seconds: float = column("Time of observation and scoring.", default=math.nan)

    @property
    def key(self) -> str:
        """SHA-256 of `CELL_KEY`'s values, 64 hexadecimal digits: the name of the cell's files.

        An empty ``other`` is left out, so that cells of earlier versions keep their names.
        """
        return cell_key(vars(self))


def cell_key(cell: Mapping[str, Any]) -> str:
    """`Cell.key`, from the values of `CELL_KEY`."""
    named = {name: cell[name] for name in CELL_KEY if cell[name] or name != "other"}
    relation, dash, kind = named["kind"].partition("-")
    named["kind"] = FORMER_NAMES.get(relation, relation) + dash + kind
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class NumberKey:
    """What names a number within its cell."""

    probe: str = column(
        "Where in the model the number is read out; empty for baselines.", key=True, default="projection"
    )
    layer: int | None = column(
        "Number of the hidden state, from 0; null if there is none.", key=True, default=None
    )
    metric: str = column("Key of the kind's terms.", key=True, filled=True)
    variant: str = column("Prompt set, protocol or distance; empty for the default.", key=True, default="")
    subset: str = column("Part of the data; empty for all of it.", key=True, default="")
    condition: str = column(
        "What was done to the stimulus; `none` for untouched images, empty for all conditions together.",
        key=True,
        default="none",
    )
    level: float | None = column(
        "Position on the kind's first axis; null if there is none.", key=True, default=None
    )
    parameter: float | None = column(
        "Position on the kind's second axis; null if there is none.", key=True, default=None
    )
    role: Role = column(f"One of {', '.join(ROLES)}.", key=True, default="value")  # noqa: RUF009  # a field
    reference: str = column(
        "Name of the baseline or the observer; of a relation, which revisions are related: `previous`, `last`, "
        "`seeds`, one seed, `people`, one observer. Trajectories keep these apart. Empty if there is none.",
        key=True,
        default="",
    )

    @property
    def number_key(self) -> tuple[Any, ...]:
        """The values of `NUMBER_KEY`."""
        values: tuple[Any, ...] = _NUMBER_VALUES(self)
        return values


@dataclass(frozen=True, kw_only=True)
class Number(NumberKey):
    """One number of a cell, as a kind's `score` returns it.

    Examples:
        >>> from hf_clipdyn.results.row import Number
        >>> found = Number(metric="accuracy", condition="gaussian", level=0.1, value=0.5, ci_low=0.4, ci_high=0.6)
        >>> found.role, found.value
        ('value', 0.5)
    """

    value: float = column("The number; NaN if it is undefined, with the cause in `note`.")
    ci_low: float = column("Lower end of the interval; NaN if there is none.", default=math.nan)
    ci_high: float = column("Upper end of the interval; NaN if there is none.", default=math.nan)
    n: int = column("Items.", default=0)
    n_clusters: int = column("Clusters of items, over which the interval is made.", default=0)
    interpretable: bool | None = column(
        "False if the decisions behind the number are indistinguishable from chance, or its precondition "
        "fails; null if that does not apply.",
        default=None,
    )
    note: str = column("Cause of a NaN, or a caution about a number.", default="")
    influence: Any = field(default=None, compare=False, repr=False, metadata={"key": False})
    """What each item or cluster contributes to the number, a pandas Series; no column. See `Kind.score`."""
    at: str = field(default="", compare=False, repr=False, metadata={"key": False})
    """Revision that a number of a whole run belongs to; the last one by default; no column. See `Relation.trace`."""

    def __post_init__(self) -> None:
        if math.isnan(self.value) and not self.note:
            object.__setattr__(self, "note", "not defined on these data")


@dataclass(frozen=True, kw_only=True)
class Row(Number, Cell):
    """One row of the table: a number with its cell, its confidence level and its direction."""

    confidence_level: float | None = column(
        "Confidence level of the interval; null if there is none.", default=None
    )
    higher_is_better: bool | None = column(
        "From the metric's term; null if neither end is better.", default=None
    )


def _key_columns(row: type) -> tuple[str, ...]:
    return tuple(name for name, declared in columns_of(row).items() if declared["key"])


CELL_KEY = _key_columns(Cell)
"""Columns that name a cell."""
NUMBER_KEY = _key_columns(NumberKey)
"""Columns that name a number within its cell."""
_NUMBER_VALUES = attrgetter(*NUMBER_KEY)
