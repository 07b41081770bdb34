"""`revisions.json`: the revisions of a repository and the hashes of their weights.

The manifest is committed together with the weights. So it names no commits (a file cannot name the commit that it is
part of): the refs give them. The newest manifest is on `main`.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any

from hf_clipdyn.cards import Parent
from hf_clipdyn.errors import RevisionError
from hf_clipdyn.revisions.names import RevisionName, natural_key
from hf_clipdyn.schema import Count, Matches, load_json, parse_any, valid_repo_name

MANIFEST_FILE = "revisions.json"
IMPORTED = "imported:"  # start of the recipe hash of imported runs, which have the gaps of their source
_FORMAT_VERSION = 1

OF_RUN = ("scale", "seed", "arm", "parameters")  # earlier manifests lack them

_Name = Annotated[
    str, Matches(lambda text: text.isprintable() and 0 < len(text) <= 200, "a name of at most 200 characters")
]
_Arm = Annotated[
    str,
    Matches(
        lambda text: not text or text == valid_repo_name(text),
        "an arm's name, of letters, digits, dashes, dots and underscores",
    ),
]
_Sha256 = Annotated[str, Matches("([0-9a-f]{64})?", "a SHA-256, 64 hexadecimal digits")]


@dataclass(frozen=True)
class ManifestRow:
    """One published revision.

    Attributes:
        name: the branch, `epoch-003` or `step-00000512`.
        epoch: whole epochs trained; None inside an epoch or if unknown.
        step: optimiser steps taken; None if unknown.
        samples_seen: images shown so far, repetitions counted; None if unknown.
        sha256: SHA-256 of the weights file, 64 hexadecimal digits; empty before it is computed.
        size: size of the weights file in bytes.
        loss: training loss at that point; None before training or if unknown.
        time: when the snapshot was taken, UTC, ISO 8601.
        recipe_hash: hash of the recipe that the run was started with.
        versions: package name to version.
        identical_allowed: a run of 0.3 accepted that another revision has the same weights; written only if true.
    """

    name: RevisionName
    epoch: Count | None
    step: Count | None
    samples_seen: Count | None
    sha256: _Sha256
    size: Count
    loss: float | None
    time: str
    recipe_hash: str
    versions: dict[str, str] = field(default_factory=dict)
    identical_allowed: bool = False


def sort_key(name: str, step: int | None) -> tuple[Any, ...]:
    """Training order: by the step, then by the numbers in the name; unknown steps come last."""
    return (step is None, step or 0, natural_key(name))


@dataclass(frozen=True)
class Manifest:
    """All revisions of one run.

    Attributes:
        run_id: names the run that made them; a repository contains one run.
        revisions: their rows, in training order.
        scale: name of the model's size (`tiny`; of imported models the architecture, `ViT-B-32`); None if unknown.
        seed: seed of the run; None if unknown.
        arm: name of the control or ablation that the run belongs to; empty for the main arm.
        parameters: number of the model's parameters; None if unknown.
        parents: models that the weights were made from; written only if there are any.
        planned: the names of all revisions that the run will have, in training order; empty if unknown.
    """

    run_id: str
    revisions: tuple[ManifestRow, ...]
    scale: _Name | None = None
    seed: int | None = None
    arm: _Arm = ""
    parameters: Count | None = None
    parents: tuple[Parent, ...] = ()
    planned: tuple[RevisionName, ...] = ()

    def row(self, name: str) -> ManifestRow | None:
        """The row of that name, or None."""
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, ManifestRow]:
        return {row.name: row for row in self.revisions}

    @property
    def newest(self) -> ManifestRow | None:
        """The row with the weights that `main` must have."""
        return self.revisions[-1] if self.revisions else None

    def with_row(self, row: ManifestRow) -> "Manifest":
        """The manifest with this row, which replaces a row of the same name."""
        others = [other for other in self.revisions if other.name != row.name]
        return replace(self, revisions=_ordered([*others, row]))

    def dumps(self) -> str:
        """The text of `revisions.json`: the same rows give the same bytes."""
        content: dict[str, Any] = {
            "format_version": _FORMAT_VERSION,
            "run_id": self.run_id,
            **{name: value for name in OF_RUN if (value := getattr(self, name)) not in (None, "")},
            **({"parents": [asdict(parent) for parent in self.parents]} if self.parents else {}),
            **({"planned": list(self.planned)} if self.planned else {}),
            "revisions": [asdict(row) for row in self.revisions],
        }
        for row in content["revisions"]:
            if not row["identical_allowed"]:
                del row["identical_allowed"]
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def loads(cls, text: str | bytes, where: str = "the repository", only: str | None = None) -> "Manifest":
        """Read `revisions.json`: all rows, or that called ``only``."""
        where = f"{MANIFEST_FILE} of {where}"
        content = parse_any(text, where=where, error=RevisionError)
        version = load_json(_Version, content, where=where, error=RevisionError).format_version
        if version != _FORMAT_VERSION:
            raise RevisionError(
                f"{where} has format version {version}, this package reads {_FORMAT_VERSION}: update hf-clipdyn."
            )
        if only is not None and isinstance(rows := content.get("revisions"), list):
            content["revisions"] = [row for row in rows if isinstance(row, dict) and row.get("name") == only]
        manifest = load_json(cls, content, where=where, error=RevisionError)
        twice = [name for name, n in Counter(row.name for row in manifest.revisions).items() if n > 1]
        if twice:
            raise RevisionError(f"{where} has more than one row of {twice[0]}.")
        return replace(manifest, revisions=_ordered(manifest.revisions))

    @classmethod
    def from_ends(cls, head: bytes, tail: bytes, name: str) -> "Manifest | None":
        """The run of a long `revisions.json` and its rows from that called ``name`` on, without those before.

        Args:
            head: its first bytes.
            tail: its last bytes.
            name: of a row near its end.

        Returns:
            None if the ends are not what `dumps` writes, or the row is not there: then only all of it can tell.
        """
        start = re.match(rb'\{\n "format_version": (\d+),\n "run_id": ("[^\n]*"),\n', head)
        at = tail.rfind(b'\n  {\n   "name": ' + json.dumps(name, ensure_ascii=False).encode() + b",\n")
        if start is None or at < 0:
            return None
        text = b'{"format_version": %b, "run_id": %b, "revisions": [%b' % (*start.groups(), tail[at:])
        try:
            return cls.loads(text)
        except RevisionError:
            return None


@dataclass(frozen=True)
class _Version:
    format_version: int


def _ordered(rows: Iterable[ManifestRow]) -> tuple[ManifestRow, ...]:
    return tuple(sorted(rows, key=lambda row: sort_key(row.name, row.step)))
