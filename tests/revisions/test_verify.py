"""Every kind of fault that public suites were seen with, and some more, is planted and found."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hub_server.server import HubServer
from hub_server.state import File, Repo

from hf_clipdyn.revisions.repair import repair
from hf_clipdyn.revisions.verify import verify


@pytest.fixture
def suite(hub: HubServer, publish) -> HubServer:
    """A run of four revisions, in folders and on the Hub, without fault."""
    summary = publish(range(4), push_to_hub=True)
    assert not summary.missing, summary.message
    return hub


def _change(repo: Repo, name: str, path: str, file: File | None) -> None:
    """Put another file on a branch, as a new commit; or take it away."""
    tree = dict(repo.commits[repo.branches[name]].tree)
    if file is None:
        del tree[path]
    else:
        tree[path] = file
    repo.commit(name, "spoilt", tree)


def _weights(hub: HubServer, content: bytes) -> File:
    from hashlib import sha256

    name = sha256(content).hexdigest()
    hub.state.large[name] = content
    return File.large(name, len(content))


def _edit_manifest(
    hub: HubServer, edit: Callable[[list[dict]], None], branch: str = "main", **top: str
) -> None:
    repo = hub.repo("me/run")
    content = json.loads(repo.resolve(branch).tree["revisions.json"].content)
    edit(content["revisions"])
    _change(repo, branch, "revisions.json", File.small(json.dumps(content | top).encode()))


def _tensors(hub: HubServer, name: str) -> bytes:
    return hub.state.content(hub.repo("me/run").resolve(name).tree["model.safetensors"])


def swapped(hub: HubServer) -> None:
    branches = hub.repo("me/run").branches
    branches["epoch-001"], branches["epoch-002"] = branches["epoch-002"], branches["epoch-001"]


def duplicated(hub: HubServer) -> None:
    repo = hub.repo("me/run")
    _change(repo, "epoch-002", "model.safetensors", repo.resolve("epoch-001").tree["model.safetensors"])


def truncated(hub: HubServer) -> None:
    _change(
        hub.repo("me/run"), "epoch-001", "model.safetensors", _weights(hub, _tensors(hub, "epoch-001")[:-100])
    )


def missing_branch(hub: HubServer) -> None:
    del hub.repo("me/run").branches["epoch-002"]


def branch_first(hub: HubServer) -> None:
    """What `push_to_hub(revision=…)` leaves behind when its commit fails."""
    branches = hub.repo("me/run").branches
    branches["epoch-004"] = branches["main"]


def moved_branch(hub: HubServer) -> None:
    branches = hub.repo("me/run").branches
    branches["epoch-003"] = branches["epoch-000"]


def wrong_row(hub: HubServer) -> None:
    _edit_manifest(hub, lambda rows: rows[1].update(sha256="0" * 64))


def wrong_size_in_row(hub: HubServer) -> None:
    _edit_manifest(hub, lambda rows: rows[1].update(size=7))


def wrong_epoch_in_row(hub: HubServer) -> None:
    _edit_manifest(hub, lambda rows: rows[2].update(epoch=7))


def falling_samples(hub: HubServer) -> None:
    _edit_manifest(hub, lambda rows: rows[2].update(samples_seen=1))


def row_deleted(hub: HubServer) -> None:
    _edit_manifest(hub, lambda rows: rows.pop(1))


def gap(hub: HubServer) -> None:
    _edit_manifest(hub, lambda rows: rows.pop(1))
    del hub.repo("me/run").branches["epoch-001"]


def manifest_broken(hub: HubServer) -> None:
    _change(hub.repo("me/run"), "main", "revisions.json", File.small(b"{"))


def manifest_gone(hub: HubServer) -> None:
    _change(hub.repo("me/run"), "main", "revisions.json", None)


def other_run(hub: HubServer) -> None:
    _edit_manifest(hub, lambda rows: None, branch="epoch-001", run_id="f" * 32)


def weights_gone(hub: HubServer) -> None:
    _change(hub.repo("me/run"), "epoch-001", "model.safetensors", None)


def other_config(hub: HubServer) -> None:
    repo = hub.repo("me/run")
    config = json.loads(repo.resolve("main").tree["config.json"].content)
    _change(repo, "epoch-001", "config.json", File.small(json.dumps(config | {"projection_dim": 7}).encode()))


def tokenizer_gone(hub: HubServer) -> None:
    _change(hub.repo("me/run"), "epoch-002", "tokenizer.json", None)


def old_main(hub: HubServer) -> None:
    repo = hub.repo("me/run")
    _change(repo, "main", "model.safetensors", repo.resolve("epoch-001").tree["model.safetensors"])


FAULTS = {
    swapped: {("epoch-001", "wrong-weights"), ("epoch-002", "wrong-weights")},
    duplicated: {("epoch-002", "identical-weights"), ("epoch-002", "wrong-weights")},
    truncated: {("epoch-001", "wrong-size"), ("epoch-001", "wrong-weights")},
    missing_branch: {("epoch-002", "missing-branch")},
    branch_first: {("epoch-004", "not-in-manifest"), ("epoch-004", "identical-weights")},
    moved_branch: {("epoch-003", "moved-branch"), ("epoch-003", "wrong-weights")},
    wrong_row: {("epoch-001", "wrong-weights")},
    wrong_size_in_row: {("epoch-001", "wrong-size")},
    wrong_epoch_in_row: {("epoch-002", "wrong-row")},
    falling_samples: {("epoch-002", "wrong-row")},
    row_deleted: {("epoch-001", "not-in-manifest"), ("epoch-001", "gap")},
    gap: {("epoch-001", "gap")},
    manifest_broken: {("revisions.json", "unreadable-manifest")},
    manifest_gone: {("main", "no-manifest")},
    other_run: {("epoch-001", "other-run")},
    weights_gone: {("epoch-001", "no-weights")},
    other_config: {("epoch-001", "other-config")},
    tokenizer_gone: {("epoch-002", "missing-file")},
    old_main: {("main", "main-not-newest")},
}


def test_a_tokenizer_whose_last_call_padded_or_truncated_is_not_another_one(suite: HubServer) -> None:
    repo = suite.repo("me/run")
    tokenizer = json.loads(repo.resolve("main").tree["tokenizer.json"].content)
    called = {"padding": {"strategy": "BatchLongest", "pad_id": 0}, "truncation": {"max_length": 32}}
    _change(repo, "epoch-001", "tokenizer.json", File.small(json.dumps(tokenizer | called).encode()))
    assert "other-config" not in {finding.kind for finding in verify("me/run").findings}
    model = tokenizer["model"] | {"padding": "of the model itself"}
    _change(
        repo, "epoch-001", "tokenizer.json", File.small(json.dumps(tokenizer | {"model": model}).encode())
    )
    assert ("epoch-001", "other-config") in {
        (finding.revision, finding.kind) for finding in verify("me/run").findings
    }


def test_each_planted_fault_on_the_hub_is_found_and_a_whole_suite_has_none(suite: HubServer) -> None:
    assert verify("me/run", deep=True).findings == ()
    pristine = dict(suite.repo("me/run").branches)
    for plant, expected in FAULTS.items():
        plant(suite)
        found = {(finding.revision, finding.kind) for finding in verify("me/run").findings}
        assert expected <= found, f"{plant.__name__}: {found}"
        suite.repo("me/run").branches = dict(pristine)
    assert verify("me/run").findings == ()


def test_content_that_does_not_fit_the_hubs_own_record_is_found_by_hashing_it(suite: HubServer) -> None:
    served = suite.repo("me/run").resolve("epoch-002").tree["model.safetensors"]
    content = suite.state.large[served.sha256]
    suite.state.large[served.sha256] = content[:-1] + bytes([content[-1] ^ 1])
    assert verify("me/run").findings == ()
    found = verify("me/run", deep=True).findings
    assert [(finding.revision, finding.kind) for finding in found] == [("epoch-002", "wrong-content")]


def _without_large_storage(hub: HubServer) -> None:
    """Make every file a plain git blob, as mirrors on other servers have them."""
    for commit in hub.repo("me/run").commits.values():
        for path, file in commit.tree.items():
            commit.tree[path] = File.small(hub.state.content(file))


def test_a_mirror_whose_weights_are_plain_git_blobs_has_no_findings_but_its_faults(suite: HubServer) -> None:
    _without_large_storage(suite)
    for deep in (False, True):
        report = verify("me/run", deep=deep)
        assert report.findings == (), report.render()
    assert "(file contents hashed)" in report.render()
    repo = suite.repo("me/run")
    pristine = dict(repo.branches)
    other = repo.resolve("epoch-001").tree["model.safetensors"]
    _change(repo, "epoch-002", "model.safetensors", other)
    assert [finding.kind for finding in verify("me/run").findings] == ["identical-weights"]
    assert [finding.kind for finding in verify("me/run", deep=True).findings] == [
        "identical-weights",
        "wrong-weights",
    ]
    repo.branches = dict(pristine)
    old_main(suite)
    assert [finding.kind for finding in verify("me/run").findings] == ["main-not-newest"]


def test_a_manifest_must_have_the_row_and_the_run_of_its_folder(tmp_path: Path, publish) -> None:
    publish(range(5))
    assert verify(tmp_path).findings == ()
    manifest = tmp_path / "revisions" / "epoch-003" / "revisions.json"
    content = manifest.read_bytes()
    manifest.write_bytes(content.replace(b'"run_id": "', b'"run_id": "x'))
    found = {(finding.revision, finding.kind) for finding in verify(tmp_path).findings}
    assert found == {("epoch-003", "other-run")}
    manifest.write_bytes((tmp_path / "revisions" / "epoch-002" / "revisions.json").read_bytes())
    found = {(finding.revision, finding.kind) for finding in verify(tmp_path).findings}
    assert found == {("epoch-003", "moved-branch")}
    manifest.write_bytes(content[:-1])
    found = {(finding.revision, finding.kind) for finding in verify(tmp_path).findings}
    assert found == set(), "JSON needs no last line break"
    manifest.write_bytes(content[:-3])
    found = {(finding.revision, finding.kind) for finding in verify(tmp_path).findings}
    assert found == {("epoch-003", "unreadable-manifest")}


@pytest.mark.parametrize("fault", ["truncated", "flipped", "removed", "gone", "replaced"])
def test_faults_of_folders_are_found(tmp_path: Path, publish, fault: str) -> None:
    publish(range(3))
    assert verify(tmp_path, deep=True).findings == ()
    folder = tmp_path / "revisions" / "epoch-001"
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    if fault == "truncated":
        weights.write_bytes(content[:-100])
        expected = "wrong-size"
    elif fault == "flipped":
        weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        expected = "wrong-content"
    elif fault == "removed":
        (folder / "tokenizer.json").unlink()
        expected = "missing-file"
    elif fault == "gone":
        shutil.rmtree(folder)
        expected = "missing-folder"
    else:
        weights.write_bytes((tmp_path / "revisions" / "epoch-002" / "model.safetensors").read_bytes())
        expected = "wrong-content"
    found = {(finding.revision, finding.kind) for finding in verify(tmp_path, deep=True).findings}
    assert ("epoch-001", expected) in found


def test_the_command_prints_a_table_and_exits_with_one_on_a_finding(
    suite: HubServer, clipdyn, tmp_path: Path
) -> None:
    code, printed, _ = clipdyn("verify", tmp_path, "--deep")
    assert code == 0
    assert "4 revisions, 0 findings" in printed
    missing_branch(suite)
    code, printed, _ = clipdyn("verify", "me/run", "--json")
    assert code == 1
    report = json.loads(printed)
    assert report["ok"] is False
    assert report["findings"][0]["kind"] == "missing-branch"


def test_repair_mends_what_is_wrong_in_folders_and_on_the_hub(
    suite: HubServer, tmp_path: Path, clipdyn
) -> None:
    for plant in (swapped, other_config, missing_branch, wrong_row, old_main):
        plant(suite)
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


def test_repair_writes_a_manifest_again_that_the_later_ones_have(tmp_path: Path, publish) -> None:
    publish(range(3))
    manifest = tmp_path / "revisions" / "epoch-001" / "revisions.json"
    before = manifest.read_bytes()
    manifest.write_bytes(before[:-100])
    assert [(one.revision, one.kind) for one in verify(tmp_path).findings] == [
        ("epoch-001", "unreadable-manifest")
    ]
    repaired = repair(tmp_path)
    assert repaired.is_whole, repaired.render()
    assert manifest.read_bytes() == before


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
        findings = {(one.revision, one.kind) for one in verify(name, deep=deep).findings}
        assert findings == {("epoch-001", "bad-header")}


def test_a_repository_without_a_manifest_is_not_called_whole(hub: HubServer, clipdyn) -> None:
    from huggingface_hub import HfApi

    HfApi().create_repo("them/suite")
    HfApi().create_branch("them/suite", branch="step1000")
    code, printed, _ = clipdyn("verify", "them/suite", "--deep")
    assert code == 1
    assert "main  no-manifest" in printed
    assert "0 revisions, 1 finding: 1 no-manifest" in printed
    assert "step1000" not in printed
