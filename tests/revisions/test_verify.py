"""Every kind of fault that public suites were seen with, and some more, is planted and found."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from faults import FAULTS, WEIGHTS, change, file_of
from hub_server.faults import Fault
from hub_server.server import HubServer
from hub_server.state import File
from huggingface_hub import HfApi, constants

from hf_clipdyn.errors import RevisionError
from hf_clipdyn.revisions.verify import verify


def _found(name: str | Path, *, deep: bool = False) -> set[tuple[str, str]]:
    return {(finding.revision, finding.kind) for finding in verify(name, deep=deep).findings}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_planted_fault_on_the_hub_is_found_and_nothing_else(suite: HubServer, fault: str) -> None:
    plant, expected = FAULTS[fault]
    plant(suite)
    assert _found("me/run") == expected


def test_a_manifest_that_the_hub_does_not_give_is_an_error_and_no_damage(suite: HubServer) -> None:
    suite.plant("resolve-get", Fault(status=403), nth=2, times=100)
    with pytest.raises(RevisionError, match="does not exist, lacks this revision"):
        verify("me/run")


def test_a_tokenizer_whose_last_call_padded_or_truncated_is_not_another_one(suite: HubServer) -> None:
    tokenizer = json.loads(file_of(suite, "main", "tokenizer.json").content)
    called = {"padding": {"strategy": "BatchLongest", "pad_id": 0}, "truncation": {"max_length": 32}}
    model = {"model": tokenizer["model"] | {"padding": "of the model itself"}}
    for changes, is_other in ((called, False), (model, True)):
        content = json.dumps(tokenizer | changes).encode()
        change(suite, "epoch-001", "tokenizer.json", File.small(content))
        assert (("epoch-001", "other-config") in _found("me/run")) == is_other
    for content in (b"[", b"[1]", b"null"):
        change(suite, "epoch-001", "tokenizer.json", File.small(content))
        assert _found("me/run") == {("epoch-001", "other-config")}


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


FOLDERS: dict[str, tuple[str, Callable[[bytes, Path], bytes | None], set[str]]] = {
    "weights cut": (
        WEIGHTS,
        lambda content, _: content[:-100],
        {"bad-header", "wrong-size", "wrong-content"},
    ),
    "weights flipped": (
        WEIGHTS,
        lambda content, _: content[:-1] + bytes([content[-1] ^ 1]),
        {"wrong-content"},
    ),
    "weights of another": (WEIGHTS, lambda _, other: other.read_bytes(), {"wrong-content"}),
    "a file removed": ("tokenizer.json", lambda *_: None, {"missing-file"}),
    "a manifest removed": ("revisions.json", lambda *_: None, {"moved-branch"}),
    "a manifest of another": ("revisions.json", lambda _, other: other.read_bytes(), {"moved-branch"}),
    "a manifest of another run": (
        "revisions.json",
        lambda content, _: content.replace(b'"run_id": "', b'"run_id": "x'),
        {"other-run"},
    ),
    "a manifest cut": ("revisions.json", lambda content, _: content[:-3], {"unreadable-manifest"}),
}


@pytest.mark.parametrize("fault", FOLDERS)
def test_each_fault_of_a_folder_is_found(suite: HubServer, tmp_path: Path, fault: str) -> None:
    file, spoil, kinds = FOLDERS[fault]
    suite.stop()  # and of a local run
    record = tmp_path / "revisions" / "run.json"
    record.write_bytes(record.read_bytes().replace(b'"pushed": true', b'"pushed": false'))
    folder = tmp_path / "revisions" / "epoch-001"
    spoilt = spoil((folder / file).read_bytes(), folder.with_name("epoch-000") / file)
    (folder / file).unlink() if spoilt is None else (folder / file).write_bytes(spoilt)
    assert _found(tmp_path, deep=True) == {("epoch-001", kind) for kind in kinds}
    assert _found(tmp_path) == {("epoch-001", kind) for kind in kinds - {"wrong-content"}}


def test_the_folder_of_another_run_is_found_and_changes_no_row(tmp_path: Path, publish, trained) -> None:
    publish(range(2))
    publish(range(2), folder=tmp_path / "theirs", models=lambda epoch: trained(epoch + 50))
    shutil.copytree(tmp_path / "theirs" / "revisions" / "epoch-001", tmp_path / "revisions" / "other")
    assert _found(tmp_path, deep=True) == {("other", "other-run"), ("other", "not-in-manifest")}


def test_of_a_pushed_run_both_places_are_checked(
    suite: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(tmp_path / "revisions" / "epoch-000")
    FAULTS["other config"][0](suite)
    report = verify(tmp_path)
    assert [one.kind for one in report.findings] == ["missing-folder", "other-config"]
    assert "fetches it from the Hub" in report.findings[0].message
    assert report.findings[1].message.startswith("On the Hub: config.json differs")
    assert report.revisions == ("epoch-000", "epoch-001", "epoch-002", "epoch-003")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert _found(tmp_path) == {("epoch-000", "missing-folder")}


def test_the_command_prints_a_table_or_json_and_exits_with_one_on_a_finding(
    suite: HubServer, clipdyn, tmp_path: Path
) -> None:
    code, printed, _ = clipdyn("verify", tmp_path, "--deep")
    assert code == 0
    assert printed.splitlines()[:2] == ["epoch-000  ok", "epoch-001  ok"]
    assert "4 revisions, 0 findings (file contents hashed)" in printed
    FAULTS["missing branch"][0](suite)
    code, printed, _ = clipdyn("verify", "me/run")
    assert (code, "3 revisions, 1 finding: 1 missing-branch (from metadata" in printed) == (1, True)
    code, printed, _ = clipdyn("verify", "me/run", "--json")
    assert code == 1
    report = json.loads(printed)
    assert report["ok"] is False
    assert report["findings"][0]["kind"] == "missing-branch"


def test_models_without_a_manifest_are_not_called_whole(
    hub: HubServer, clipdyn, trained, tmp_path: Path
) -> None:
    HfApi().create_repo("them/suite")
    HfApi().create_branch("them/suite", branch="step1000")
    trained(0)(tmp_path / "model")
    for name in ("them/suite", tmp_path / "model"):
        code, printed, _ = clipdyn("verify", name, "--deep")
        assert code == 1
        assert "main  no-manifest" in printed
        assert "0 revisions, 1 finding: 1 no-manifest" in printed
        assert "step1000" not in printed


@pytest.mark.parametrize(
    "published", [[[0]], [[0, 2], [0, 1, 2]]], ids=["the only one", "a later one has its row"]
)
def test_the_newest_manifest_of_a_run_is_broken(tmp_path: Path, publish, published: list[list[int]]) -> None:
    for epochs in published:
        publish(epochs)
    newest = f"epoch-{published[-1][-1]:03d}"
    (tmp_path / "revisions" / newest / "revisions.json").write_text("{")
    assert _found(tmp_path) == {(newest, "unreadable-manifest")}
