"""What differs between the record of a run, its folders, and its branches on the Hub: decided here and nowhere else.

`verify` prints it, the thread of a `Publisher` executes what harms nothing, and `repair` executes all.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from hf_clipdyn.revisions.manifest import Manifest


class Action(StrEnum):
    """What makes places equal to the record."""

    SEND = "send"  # the Hub never had it
    RESTORE = "restore"  # somebody deleted the branch
    MOVE = "move"  # the branch has other contents than the intact folder
    FETCH = "fetch"  # the branch is intact, the folder is not
    MEND = "mend"  # of a folder only the manifest is damaged
    RETIRE = "retire"  # the branch has what was trained again since
    SET_MAIN = "set main"
    LOST = "lost"  # no intact copy is left
    GAP = "gap"  # planned, but never saved


@dataclass(frozen=True)
class Change:
    """One difference; ``revision`` is `main` for `Action.SET_MAIN`."""

    revision: str
    action: Action


@dataclass(frozen=True)
class Copies:
    """What one place has.

    Attributes:
        damage: the kinds of damage of each revision that is there; none if it is whole.
        weights: the SHA-256 of the weights by branch, `main` included; of the Hub only.
        listed: the rows of the manifest on `main`, as name and SHA-256; of the Hub only.
    """

    damage: Mapping[str, set[str]]
    weights: Mapping[str, str] = field(default_factory=dict)
    listed: Mapping[str, str] = field(default_factory=dict)

    def is_whole(self, name: str) -> bool:
        """Whether the revision is there, without damage."""
        return self.damage.get(name) == set()


OF_MANIFEST = {"moved-branch", "unreadable-manifest"}
"""Damage that the record mends, if the weights are those of the row."""


def difference(record: Manifest, here: Copies, hub: Copies | None) -> Iterator[Change]:
    """The differences in training order, those of `main` and of branches that no row names last.

    Args:
        record: of the run.
        here: the folders.
        hub: the branches; None if the run is not pushed, or the Hub is not asked.
    """
    names = [row.name for row in record.revisions]
    planned = (
        record.planned[: record.planned.index(names[-1])] if names and names[-1] in record.planned else ()
    )
    yield from (Change(name, Action.GAP) for name in planned if name not in names)
    sent = {name for name in names if hub is not None and name in hub.damage}
    for row in record.revisions:
        is_meant = row.name not in record.only_on_hub
        if here.is_whole(row.name):
            if hub is not None and not hub.is_whole(row.name):
                yield Change(row.name, _to_hub(record, row.name, hub, sent))
        elif hub is not None and hub.is_whole(row.name):
            if is_meant or row.name in here.damage:
                yield Change(row.name, Action.FETCH)
        elif here.damage.get(row.name) and here.damage[row.name] <= OF_MANIFEST:
            yield Change(row.name, Action.MEND)
        elif is_meant or hub is not None:
            yield Change(row.name, Action.LOST)
    if hub is None or not names:
        return
    replaced = {(row.name, row.sha256) for row in record.replaced}
    for name, sha256 in hub.weights.items():
        if name not in names and (name, sha256) in replaced:
            yield Change(name, Action.RETIRE)
    available = [row for row in record.revisions if here.is_whole(row.name) or hub.is_whole(row.name)]
    went_on_elsewhere = {*hub.listed} & {*hub.weights} - {*names} - {name for name, _ in replaced}
    if available and here.is_whole(available[-1].name) and not went_on_elsewhere:
        lists_all = all(hub.listed.get(row.name) == row.sha256 for row in available)
        if not lists_all or hub.weights.get("main") != available[-1].sha256:
            yield Change("main", Action.SET_MAIN)


def _to_hub(record: Manifest, name: str, hub: Copies, sent: set[str]) -> Action:
    if name in hub.damage:
        return Action.MOVE
    row = record.row(name)
    was_sent = row is not None and hub.listed.get(name) == row.sha256
    is_older = row is not None and any(
        other.order() > row.order() for other in record.revisions if other.name in sent
    )
    # A process that was killed before it made the branch has left the weights on `main`.
    is_on_main = row is not None and hub.weights.get("main") == row.sha256
    return Action.RESTORE if was_sent and is_older and not is_on_main else Action.SEND
