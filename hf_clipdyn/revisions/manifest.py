"""The record of a run, `run.json` beside its revisions: who may see it, where it is, and the hashes of its weights.

`revisions.json` is a copy in a revision's folder, with its row and the earlier ones; on the Hub, that on `main` has the
rows of all branches. It is committed together with the weights, so it names no commits: the branches give them.
"""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from hf_clipdyn.cards import Parent
from hf_clipdyn.errors import RevisionError, naming
from hf_clipdyn.hub import checked_repo_id
from hf_clipdyn.revisions.names import RevisionName, training_order

MANIFEST_FILE, RUN_FILE = "revisions.json", "run.json"
# The recipe hash of imported runs, which have the gaps of their source, starts so.
IMPORTED = "imported:"

_FORMAT_VERSION = 1
Count = Annotated[int, Field(ge=0, le=2**53)]


class Row(BaseModel):
    """One revision: its values from the training loop, and what the store adds when it writes it.

    Attributes:
        name: The folder and the branch, `epoch-003` or `step-00000512`.
        epoch: Whole epochs trained; None inside an epoch or if unknown.
        step: Optimiser steps taken; None if unknown.
        samples_seen: Images shown so far, repetitions counted; None if unknown.
        sha256: SHA-256 of the weights file, 64 hexadecimal digits; the store computes it.
        size: Size of the weights file in bytes; the store measures it.
        loss: Training loss at that point; None before training or if unknown.
        validation_loss: Loss on the validation part; None if there is none.
        learning_rate: Learning rate of the last step; None before training or if unknown.
        logit_scale: The factor of the cosines in the loss, after the exponential; None if the model has none.
        time: When the revision was taken, UTC, ISO 8601.
        recipe_hash: Hash of the recipe that the run was started with.
        versions: Package name to version.
        identical_allowed: A run of 0.3 accepted that another revision has the same weights.

    Examples:
        >>> from hf_clipdyn.revisions import Row, epoch_name
        >>> Row(name=epoch_name(3), epoch=3, step=138, samples_seen=8832).name
        'epoch-003'
    """

    model_config = ConfigDict(frozen=True)

    name: RevisionName
    epoch: Count | None = None
    step: Count | None = None
    samples_seen: Count | None = None
    sha256: Annotated[str, StringConstraints(pattern="^([0-9a-f]{64})?$")] = ""
    size: Count = 0
    loss: float | None = None
    validation_loss: float | None = None
    learning_rate: float | None = None
    logit_scale: float | None = None
    time: str = ""
    recipe_hash: str = ""
    versions: dict[str, str] = {}
    identical_allowed: bool = False

    def order(self) -> tuple[Any, ...]:
        """Sort key: training order."""
        return training_order(self.name, self.step)


class Replaced(BaseModel):
    """A revision that was trained again with other weights; its folder is in `revisions/replaced`.

    Attributes:
        name: what it was called.
        sha256: of its weights.
        commit: names it in tables of results, with the row's place on the disk.
    """

    model_config = ConfigDict(frozen=True)

    name: RevisionName
    sha256: str
    commit: str


class Manifest(BaseModel):
    """The record of one run. Unknown keys are passed over, so that later versions can be read.

    Attributes:
        format_version: Version of the form of the file.
        run_id: Names the run that made them; a repository contains one run.
        repo_id: The run in tables of results, and its repository on the Hub if it has one; version 0.3 did not
            write it.
        former: The names that it had before, which tables of results may have.
        pushed: Whether the run is pushed to the Hub. It stays so.
        private: Whether somebody asked for a private repository (True) or for a public one (False); None if nobody did.
            Once it is True, only an explicit wish makes it False.
        was_private: Whether its repository was private when it was last seen; one that is created again is private.
        scale: Name of the model's size (`tiny`; of imported models the architecture, `ViT-B-32`); None if unknown.
        seed: Seed of the run; None if unknown.
        arm: The control or ablation that the run belongs to; empty for the main arm.
        parameters: Number of the model's parameters; None if unknown.
        parents: Models that the weights were made from.
        planned: The names of all revisions that the run will have, in training order; empty if unknown.
        only_on_hub: The revisions whose folders were removed on purpose, and what names their files in results.
        replaced: Revisions that were trained again with other weights.
        other_processes: The steps from which on the run is not bit-equal to an undisturbed one, since the number of
            its processes changed.
        revisions: Their rows, in training order.
    """

    model_config = ConfigDict(frozen=True)

    format_version: int = _FORMAT_VERSION
    run_id: str
    repo_id: Annotated[str, AfterValidator(checked_repo_id)] | None = None
    former: tuple[str, ...] = ()
    pushed: bool = False
    private: bool | None = None
    was_private: bool = False
    scale: Annotated[str, StringConstraints(pattern=r"^[^\p{C}\p{Zl}\p{Zp}]{1,200}$")] | None = None
    seed: int | None = None
    arm: Annotated[str, StringConstraints(pattern="^[A-Za-z0-9_.-]{0,96}$")] = ""
    parameters: Count | None = None
    parents: tuple[Parent, ...] = ()
    planned: tuple[RevisionName, ...] = ()
    only_on_hub: dict[RevisionName, str] = {}
    replaced: tuple[Replaced, ...] = ()
    other_processes: tuple[Count, ...] = ()
    revisions: tuple[Row, ...]

    @model_validator(mode="before")
    @classmethod
    def _of_0_4(cls, values: Any) -> Any:
        """Version 0.4 wrote into each manifest whether the run is pushed, as `public` or `private`."""
        if isinstance(values, dict) and values.get("hub") is not None:
            values = {"pushed": True, "private": values["hub"] == "private" or None, **values}
        return values

    @field_validator("format_version")
    @classmethod
    def _is_known(cls, version: int) -> int:
        if version != _FORMAT_VERSION:
            raise ValueError(f"this package reads version {_FORMAT_VERSION}: update hf-clipdyn")
        return version

    @field_validator("revisions")
    @classmethod
    def _in_order(cls, rows: tuple[Row, ...]) -> tuple[Row, ...]:
        twice = [name for name, number in Counter(row.name for row in rows).items() if number > 1]
        if twice:
            raise ValueError(f"there is more than one row of {twice[0]}")
        return tuple(sorted(rows, key=Row.order))

    def row(self, name: str) -> Row | None:
        """The row of that name, or None."""
        return next((row for row in self.revisions if row.name == name), None)

    def with_rows(self, rows: tuple[Row, ...]) -> Self:
        """The manifest with these rows, which replace rows of the same names."""
        by_name = {row.name: row for row in (*self.revisions, *rows)}
        return self.model_copy(update={"revisions": self._in_order(tuple(by_name.values()))})

    def until(self, row: Row) -> Self:
        """The record with the rows up to one, as the folder of that revision has it."""
        return self.model_copy(update={"revisions": self.revisions[: self.revisions.index(row) + 1]})

    @property
    def is_private(self) -> bool:
        """Whether what is made of the run goes to private repositories only."""
        return self.was_private if self.private is None else self.private

    def continued(self, now: "Manifest") -> Self:
        """The record of a run that is started again with the facts of ``now``; unless it says so, nothing is opened."""
        stated = {"repo_id", "scale", "seed", "arm", "parameters"}
        facts = now.model_dump(include=stated, exclude_defaults=True)
        facts |= {"parents": now.parents, "planned": now.planned or self.planned}
        facts |= {"pushed": self.pushed or now.pushed}
        facts |= {"private": self.private if now.private is None else now.private}
        if self.repo_id not in (None, now.repo_id):
            facts["former"] = (*self.former, self.repo_id)
        return self.model_copy(update=facts)

    def joined(self, other: "Manifest") -> Self:
        """The record with the rows of a copy of it, and with what tightens who may see it."""
        rows = tuple(row for row in other.revisions if self.row(row.name) is None)
        facts = {"pushed": self.pushed or other.pushed, "private": other.private or self.private}
        return self.with_rows(rows).model_copy(update=facts)

    def dumps(self) -> bytes:
        """The content of `revisions.json`: the same rows give the same bytes."""
        return self.model_dump_json(indent=1).encode() + b"\n"

    @classmethod
    def loads(cls, content: bytes | str, where: object) -> "Manifest":
        """Read `revisions.json`.

        Raises:
            RevisionError: it is none; the message quotes no more than single values, as it may be another file.
        """
        with naming(f"{MANIFEST_FILE} of {where} cannot be read", RevisionError):
            return cls.model_validate_json(content)


# Of models that no run of this package has published.
NO_MANIFEST = Manifest(run_id="", revisions=())


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a revision's folder."""
    return Manifest.loads((folder / MANIFEST_FILE).read_bytes(), folder)
