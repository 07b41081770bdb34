"""Faults of a run on the Hub, each planted alone in a whole suite of four revisions."""

import json
from collections.abc import Callable
from typing import Any

from hub_server.server import HubServer
from hub_server.state import File

Plant = Callable[[HubServer], None]
WEIGHTS = "model.safetensors"


def file_of(hub: HubServer, name: str, path: str = WEIGHTS) -> File:
    return hub.repo("me/run").resolve(name).tree[path]


def change(hub: HubServer, name: str, path: str, file: File | None) -> None:
    """Put another file on a branch, as a new commit; or take it away."""
    repo = hub.repo("me/run")
    tree = dict(repo.commits[repo.branches[name]].tree)
    if file is None:
        del tree[path]
    else:
        tree[path] = file
    repo.commit(name, "spoilt", tree)


def _gone(name: str, path: str) -> Plant:
    return lambda hub: change(hub, name, path, None)


def _copied(name: str, path: str, other: str) -> Plant:
    return lambda hub: change(hub, name, path, file_of(hub, other, path))


def _rows(edit: Callable[[list[dict[str, Any]]], object], branch: str = "main", **top: str) -> Plant:
    def plant(hub: HubServer) -> None:
        content = json.loads(file_of(hub, branch, "revisions.json").content)
        edit(content["revisions"])
        change(hub, branch, "revisions.json", File.small(json.dumps(content | top).encode()))

    return plant


def _row(number: int, **values: Any) -> Plant:
    return _rows(lambda rows: rows[number].update(values))


def _branches(**names: str | None) -> Plant:
    """`_branches(epoch_004="main")` lets a branch name the commit of another one, or deletes it."""

    def plant(hub: HubServer) -> None:
        branches = hub.repo("me/run").branches
        before = dict(branches)
        for name, other in names.items():
            branch = name.replace("_", "-")
            if other is None:
                del branches[branch]
            else:
                branches[branch] = before.get(other, other)

    return plant


def _truncated(hub: HubServer) -> None:
    content = hub.state.content(file_of(hub, "epoch-001"))
    change(hub, "epoch-001", WEIGHTS, hub.state.stored(content[:-100]))


def _other_config(hub: HubServer) -> None:
    config = json.loads(file_of(hub, "main", "config.json").content) | {"projection_dim": 7}
    change(hub, "epoch-001", "config.json", File.small(json.dumps(config).encode()))


def _gap(hub: HubServer) -> None:
    _rows(lambda rows: rows.pop(1))(hub)
    _branches(epoch_001=None)(hub)


def _gaps(*epochs: int) -> set[tuple[str, str]]:
    return {(f"epoch-{epoch:03d}", "gap") for epoch in epochs}


FAULTS: dict[str, tuple[Plant, set[tuple[str, str]]]] = {
    "swapped": (
        _branches(epoch_001="epoch-002", epoch_002="epoch-001"),
        {("epoch-001", "wrong-weights"), ("epoch-002", "wrong-weights"), ("epoch-002", "moved-branch")},
    ),
    "duplicated": (
        _copied("epoch-002", WEIGHTS, "epoch-001"),
        {("epoch-002", "identical-weights"), ("epoch-002", "wrong-weights")},
    ),
    "truncated": (_truncated, {("epoch-001", "wrong-size"), ("epoch-001", "wrong-weights")}),
    "missing branch": (_branches(epoch_002=None), {("epoch-002", "missing-branch")}),
    # What `push_to_hub(revision=…)` leaves behind when its commit fails.
    "branch first": (
        _branches(epoch_004="main"),
        {("epoch-004", kind) for kind in ("moved-branch", "not-in-manifest", "identical-weights")},
    ),
    "moved branch": (
        _branches(epoch_003="epoch-000"),
        {("epoch-003", kind) for kind in ("moved-branch", "wrong-weights", "identical-weights")},
    ),
    "wrong hash": (_row(1, sha256="0" * 64), {("epoch-001", "wrong-weights")}),
    "wrong size": (_row(1, size=7), {("epoch-001", "wrong-size")}),
    "wrong epoch": (
        _row(2, epoch=7),
        {("epoch-002", "wrong-row"), ("epoch-003", "wrong-row")} | _gaps(2, 4, 5, 6),
    ),
    "falling samples": (_row(2, samples_seen=1), {("epoch-002", "wrong-row")}),
    "unknown values": (_row(2, epoch=None, samples_seen=None), {("epoch-002", "wrong-row")} | _gaps(2)),
    "row deleted": (
        _rows(lambda rows: rows.pop(1)),
        {("epoch-001", "not-in-manifest")} | _gaps(1),
    ),
    "all rows deleted": (_rows(list.clear), {(f"epoch-{at:03d}", "not-in-manifest") for at in range(4)}),
    "gap": (_gap, _gaps(1)),
    "a thousand gaps": (
        _rows(lambda rows: rows.append(rows[3] | {"name": "epoch-1000", "epoch": 1000, "step": 10**6})),
        {("epoch-1000", "missing-branch")} | _gaps(*range(4, 104)),
    ),
    "gaps of an import": (
        lambda hub: [_row(at, recipe_hash="imported:ViT-B-32")(hub) for at in range(4)] and _gap(hub),
        set(),
    ),
    "manifest broken": (
        lambda hub: change(hub, "main", "revisions.json", File.small(b"{")),
        {("revisions.json", "unreadable-manifest")},
    ),
    "manifest gone": (_gone("main", "revisions.json"), {("main", "no-manifest")}),
    "manifest of a revision gone": (_gone("epoch-001", "revisions.json"), {("epoch-001", "moved-branch")}),
    "other run": (
        _rows(lambda rows: None, branch="epoch-001", run_id="f" * 32),
        {("epoch-001", "other-run")},
    ),
    "weights gone": (_gone("epoch-001", WEIGHTS), {("epoch-001", "no-weights")}),
    "other config": (_other_config, {("epoch-001", "other-config")}),
    "tokenizer gone": (_gone("epoch-002", "tokenizer.json"), {("epoch-002", "missing-file")}),
    "card gone": (_gone("epoch-002", "README.md"), {("epoch-002", "missing-file")}),
    "old main": (_copied("main", WEIGHTS, "epoch-001"), {("main", "main-not-newest")}),
    "main gone": (_branches(main=None), {("main", "no-main")}),
}
"""By name: what plants it, and the revisions and kinds of all that `verify` then finds."""
