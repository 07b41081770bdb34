"""Every kind of fault that public suites were seen with, and some more, is planted and found."""

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hub_server.server import HubServer
from hub_server.state import File
from huggingface_hub import HfApi

from hf_clipdyn.revisions.repair import repair
from hf_clipdyn.revisions.verify import verify

Plant = Callable[[HubServer], None]
WEIGHTS = "model.safetensors"


@pytest.fixture
def suite(hub: HubServer, publish) -> HubServer:
    """A run of four revisions, in folders and on the Hub, without fault."""
    summary = publish(range(4), push_to_hub=True)
    assert not summary.missing, summary.message
    return hub


def _change(hub: HubServer, name: str, path: str, file: File | None) -> None:
    """Put another file on a branch, as a new commit; or take it away."""
    repo = hub.repo("me/run")
    tree = dict(repo.commits[repo.branches[name]].tree)
    if file is None:
        del tree[path]
    else:
        tree[path] = file
    repo.commit(name, "spoilt", tree)


def _file(hub: HubServer, name: str, path: str = WEIGHTS) -> File:
    return hub.repo("me/run").resolve(name).tree[path]


def _rows(edit: Callable[[list[dict[str, Any]]], object], branch: str = "main", **top: str) -> Plant:
    def plant(hub: HubServer) -> None:
        content = json.loads(_file(hub, branch, "revisions.json").content)
        edit(content["revisions"])
        _change(hub, branch, "revisions.json", File.small(json.dumps(content | top).encode()))

    return plant


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
                branches[branch] = before[other]

    return plant


def _truncated(hub: HubServer) -> None:
    content = hub.state.content(_file(hub, "epoch-001"))[:-100]
    name = sha256(content).hexdigest()
    hub.state.large[name] = content
    _change(hub, "epoch-001", WEIGHTS, File.large(name, len(content)))


def _other_config(hub: HubServer) -> None:
    config = json.loads(_file(hub, "main", "config.json").content) | {"projection_dim": 7}
    _change(hub, "epoch-001", "config.json", File.small(json.dumps(config).encode()))


def _gap(hub: HubServer) -> None:
    FAULTS["row deleted"][0](hub)
    _branches(epoch_001=None)(hub)


FAULTS: dict[str, tuple[Plant, set[tuple[str, str]]]] = {
    "swapped": (
        _branches(epoch_001="epoch-002", epoch_002="epoch-001"),
        {("epoch-001", "wrong-weights"), ("epoch-002", "wrong-weights")},
    ),
    "duplicated": (
        lambda hub: _change(hub, "epoch-002", WEIGHTS, _file(hub, "epoch-001")),
        {("epoch-002", "identical-weights"), ("epoch-002", "wrong-weights")},
    ),
    "truncated": (_truncated, {("epoch-001", "wrong-size"), ("epoch-001", "wrong-weights")}),
    "missing branch": (_branches(epoch_002=None), {("epoch-002", "missing-branch")}),
    # What `push_to_hub(revision=…)` leaves behind when its commit fails.
    "branch first": (
        _branches(epoch_004="main"),
        {("epoch-004", "not-in-manifest"), ("epoch-004", "identical-weights")},
    ),
    "moved branch": (
        _branches(epoch_003="epoch-000"),
        {("epoch-003", "moved-branch"), ("epoch-003", "wrong-weights")},
    ),
    "wrong hash": (_rows(lambda rows: rows[1].update(sha256="0" * 64)), {("epoch-001", "wrong-weights")}),
    "wrong size": (_rows(lambda rows: rows[1].update(size=7)), {("epoch-001", "wrong-size")}),
    "wrong epoch": (_rows(lambda rows: rows[2].update(epoch=7)), {("epoch-002", "wrong-row")}),
    "falling samples": (_rows(lambda rows: rows[2].update(samples_seen=1)), {("epoch-002", "wrong-row")}),
    "row deleted": (
        _rows(lambda rows: rows.pop(1)),
        {("epoch-001", "not-in-manifest"), ("epoch-001", "gap")},
    ),
    "gap": (_gap, {("epoch-001", "gap")}),
    "manifest broken": (
        lambda hub: _change(hub, "main", "revisions.json", File.small(b"{")),
        {("revisions.json", "unreadable-manifest")},
    ),
    "manifest gone": (lambda hub: _change(hub, "main", "revisions.json", None), {("main", "no-manifest")}),
    "other run": (
        _rows(lambda rows: None, branch="epoch-001", run_id="f" * 32),
        {("epoch-001", "other-run")},
    ),
    "weights gone": (lambda hub: _change(hub, "epoch-001", WEIGHTS, None), {("epoch-001", "no-weights")}),
    "other config": (_other_config, {("epoch-001", "other-config")}),
    "tokenizer gone": (
        lambda hub: _change(hub, "epoch-002", "tokenizer.json", None),
        {("epoch-002", "missing-file")},
    ),
    "old main": (
        lambda hub: _change(hub, "main", WEIGHTS, _file(hub, "epoch-001")),
        {("main", "main-not-newest")},
    ),
}


def _found(name: str | Path, *, deep: bool = False) -> set[tuple[str, str]]:
    return {(finding.revision, finding.kind) for finding in verify(name, deep=deep).findings}


def test_a_tokenizer_whose_last_call_padded_or_truncated_is_not_another_one(suite: HubServer) -> None:
    tokenizer = json.loads(_file(suite, "main", "tokenizer.json").content)
    called = {"padding": {"strategy": "BatchLongest", "pad_id": 0}, "truncation": {"max_length": 32}}
    model = {"model": tokenizer["model"] | {"padding": "of the model itself"}}
    for change, is_other in ((called, False), (model, True)):
        content = json.dumps(tokenizer | change).encode()
        _change(suite, "epoch-001", "tokenizer.json", File.small(content))
        assert (("epoch-001", "other-config") in _found("me/run")) == is_other


def test_each_planted_fault_on_the_hub_is_found_and_a_whole_suite_has_none(suite: HubServer) -> None:
    assert _found("me/run", deep=True) == set()
    pristine = dict(suite.repo("me/run").branches)
    for name, (plant, expected) in FAULTS.items():
        plant(suite)
        assert expected <= _found("me/run"), name
        suite.repo("me/run").branches = dict(pristine)
    assert _found("me/run") == set()


def test_content_that_does_not_fit_the_hubs_own_record_is_found_by_hashing_it(suite: HubServer) -> None:
    name = _file(suite, "epoch-002").sha256
    content = suite.state.large[name]
    suite.state.large[name] = content[:-1] + bytes([content[-1] ^ 1])
    assert _found("me/run") == set()
    assert _found("me/run", deep=True) == {("epoch-002", "wrong-content")}


def test_a_mirror_whose_weights_are_plain_git_blobs_has_no_findings_but_its_faults(suite: HubServer) -> None:
    repo = suite.repo("me/run")
    for commit in repo.commits.values():  # as mirrors on other servers have them
        for path, file in commit.tree.items():
            commit.tree[path] = File.small(suite.state.content(file))
    assert _found("me/run") == _found("me/run", deep=True) == set()
    pristine = dict(repo.branches)
    FAULTS["duplicated"][0](suite)
    assert _found("me/run") == {("epoch-002", "identical-weights")}
    assert _found("me/run", deep=True) == FAULTS["duplicated"][1]
    repo.branches = dict(pristine)
    FAULTS["old main"][0](suite)
    assert _found("me/run") == {("main", "main-not-newest")}


FOLDERS: dict[str, tuple[str, Callable[[bytes, Path], bytes | None], str | None]] = {
    "weights cut": (WEIGHTS, lambda content, _: content[:-100], "wrong-size"),
    "weights flipped": (WEIGHTS, lambda content, _: content[:-1] + bytes([content[-1] ^ 1]), "wrong-content"),
    "weights of another": (WEIGHTS, lambda _, other: other.read_bytes(), "wrong-content"),
    "a file removed": ("tokenizer.json", lambda *_: None, "missing-file"),
    "a manifest of another": ("revisions.json", lambda _, other: other.read_bytes(), "moved-branch"),
    "a manifest of another run": (
        "revisions.json",
        lambda content, _: content.replace(b'"run_id": "', b'"run_id": "x'),
        "other-run",
    ),
    "a manifest cut": ("revisions.json", lambda content, _: content[:-3], "unreadable-manifest"),
    "a manifest without its last line break": ("revisions.json", lambda content, _: content[:-1], None),
}


def test_faults_of_folders_are_found_and_of_manifests_repaired(tmp_path: Path, publish) -> None:
    publish(range(4))
    folder = tmp_path / "revisions" / "epoch-001"
    for name, (file, spoil, kind) in FOLDERS.items():
        path = folder / file
        content = path.read_bytes()
        spoilt = spoil(content, folder.with_name("epoch-000") / file)
        path.unlink() if spoilt is None else path.write_bytes(spoilt)
        found = {what for revision, what in _found(tmp_path, deep=True) if revision == "epoch-001"}
        assert kind in found if kind else not found, name
        if kind == "unreadable-manifest":
            repaired = repair(tmp_path)
            assert repaired.is_whole, repaired.render()
            assert path.read_bytes() == content, "the later ones have it"
        path.write_bytes(content)
    assert _found(tmp_path, deep=True) == set()
    shutil.rmtree(folder)
    assert ("epoch-001", "missing-folder") in _found(tmp_path)


def test_the_command_prints_a_table_and_exits_with_one_on_a_finding(
    suite: HubServer, clipdyn, tmp_path: Path
) -> None:
    code, printed, _ = clipdyn("verify", tmp_path, "--deep")
    assert code == 0
    assert "4 revisions, 0 findings" in printed
    FAULTS["missing branch"][0](suite)
    code, printed, _ = clipdyn("verify", "me/run", "--json")
    assert code == 1
    report = json.loads(printed)
    assert report["ok"] is False
    assert report["findings"][0]["kind"] == "missing-branch"


def test_repair_mends_what_is_wrong_in_folders_and_on_the_hub(
    suite: HubServer, tmp_path: Path, clipdyn
) -> None:
    for name in ("swapped", "other config", "missing branch", "wrong hash", "old main"):
        FAULTS[name][0](suite)
    folders = tmp_path / "revisions"
    (folders / "epoch-000" / "model.safetensors").write_bytes(b"spoilt")
    (folders / "epoch-003" / "config.json").write_text("{}")
    (folders / "epoch-003" / "revisions.json").write_text("{")
    swapped_commit = suite.repo("me/run").branches["epoch-001"]
    code, printed, _ = clipdyn("repair", tmp_path)
    assert code == 0, printed
    assert f"epoch-001 of me/run on the Hub is moved from commit {swapped_commit}" in printed
    assert "epoch-000 was fetched from me/run on the Hub" in printed
    assert "main was set to epoch-003" in printed
    assert verify("me/run", deep=True).findings == ()
    assert verify(tmp_path, deep=True).findings == ()
    assert not list(folders.glob(".*.staging"))


def test_repair_says_what_is_lost_for_good(tmp_path: Path, publish, clipdyn) -> None:
    publish(range(2))
    (tmp_path / "revisions" / "epoch-000" / "model.safetensors").unlink()
    code, printed, _ = clipdyn("repair", tmp_path)
    assert code == 1
    assert "epoch-000: no intact copy is left" in printed


@pytest.mark.parametrize("spoil", [lambda data: data[:-100], lambda data: data[:9] + b"#" + data[10:]])
def test_weights_that_were_damaged_before_they_were_hashed_are_found_by_their_header(
    tmp_path: Path, hub: HubServer, publish, trained, spoil: Callable[[bytes], bytes]
) -> None:
    def broken(epoch: int) -> Callable[[Path], None]:
        def save(folder: Path) -> None:
            trained(epoch)(folder)
            weights = folder / "model.safetensors"
            if epoch == 1:
                weights.write_bytes(spoil(weights.read_bytes()))

        return save

    publish(range(3), models=broken, push_to_hub=True)
    for name, deep in ((tmp_path, False), ("me/run", True)):
        assert _found(name, deep=deep) == {("epoch-001", "bad-header")}


def test_a_repository_without_a_manifest_is_not_called_whole(hub: HubServer, clipdyn) -> None:
    HfApi().create_repo("them/suite")
    HfApi().create_branch("them/suite", branch="step1000")
    code, printed, _ = clipdyn("verify", "them/suite", "--deep")
    assert code == 1
    assert "main  no-manifest" in printed
    assert "0 revisions, 1 finding: 1 no-manifest" in printed
    assert "step1000" not in printed
