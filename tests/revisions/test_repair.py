"""What `verify` finds is mended from the intact copy, and what has none is said to be lost."""

import shutil
from pathlib import Path

import pytest
from faults import FAULTS, WEIGHTS, change, file_of
from hub_server.server import HubServer

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.revisions import list_revisions
from hf_clipdyn.revisions.repair import repair
from hf_clipdyn.revisions.verify import verify


def _whole(tmp_path: Path) -> None:
    for name in ("me/run", tmp_path):
        assert verify(name, deep=True).findings == ()
    assert not list(tmp_path.glob("revisions/.*.staging"))


def test_a_whole_run_is_left_as_it_is(suite: HubServer, tmp_path: Path, clipdyn) -> None:
    before = dict(suite.repo("me/run").branches)
    assert repair(tmp_path).done == ()
    code, printed, _ = clipdyn("repair", tmp_path)
    assert (code, printed.startswith("Nothing had to be repaired.")) == (0, True)
    assert suite.repo("me/run").branches == before
    with pytest.raises(ConfigError, match="is not the folder of a run"):
        repair(tmp_path / "none")


MENDED = {
    "swapped": {"epoch-001", "epoch-002"},
    "missing branch": {"epoch-002"},
    "weights gone": {"epoch-001"},
    "other config": {"epoch-001"},
    "wrong hash": {"epoch-001"},
    "old main": {"main"},
}


@pytest.mark.parametrize("fault", MENDED)
def test_a_fault_on_the_hub_is_mended_from_the_folders_and_nothing_else_is_touched(
    suite: HubServer, tmp_path: Path, fault: str
) -> None:
    FAULTS[fault][0](suite)
    repaired = repair(tmp_path)
    assert repaired.is_whole, repaired.render()
    assert repaired.lost == ()
    assert verify("me/run").findings == ()
    done = {sentence.partition(" was ")[0] for sentence in repaired.done}
    assert done | {"main"} == MENDED[fault] | {"main"}
    assert all(sentence.endswith(" me/run on the Hub.") for sentence in repaired.done)


def test_several_faults_of_both_places_are_mended_at_once(suite: HubServer, tmp_path: Path, clipdyn) -> None:
    for name in ("swapped", "other config", "missing branch", "wrong hash", "old main"):
        FAULTS[name][0](suite)
    folders = tmp_path / "revisions"
    (folders / "epoch-000" / WEIGHTS).write_bytes(b"spoilt")
    (folders / "epoch-003" / "config.json").write_text("{}")
    (folders / "epoch-003" / "revisions.json").write_text("{")
    swapped_commit = suite.repo("me/run").branches["epoch-001"]
    code, printed, _ = clipdyn("repair", tmp_path)
    assert code == 0, printed
    assert f"epoch-001 of me/run on the Hub is moved from commit {swapped_commit}" in printed
    assert "epoch-000 was fetched from me/run on the Hub" in printed
    assert "main was set to epoch-003" in printed
    _whole(tmp_path)
    assert not list(folders.rglob(".cache")), "of the client"


def test_a_damaged_manifest_is_written_again_also_without_a_hub(tmp_path: Path, publish) -> None:
    publish(range(3))
    for name in ("epoch-001", "epoch-000"):
        manifest = tmp_path / "revisions" / name / "revisions.json"
        content = manifest.read_bytes()
        for damage in (content[:-3], (manifest.parents[1] / "epoch-002" / manifest.name).read_bytes()[:9]):
            manifest.write_bytes(damage)
            repaired = repair(tmp_path)
            assert repaired.is_whole, repaired.render()
            assert repaired.done == (f"revisions.json of {name} was written again.",)
            assert manifest.read_bytes() == content, "the later ones have it"


def test_what_is_lost_for_good_is_said(tmp_path: Path, publish, clipdyn) -> None:
    publish(range(3))
    folders = tmp_path / "revisions"
    (folders / "epoch-000" / WEIGHTS).unlink()
    (folders / "epoch-002" / "revisions.json").write_text("{")  # no later one has its row
    code, printed, _ = clipdyn("repair", tmp_path)
    assert code == 1
    assert "epoch-000: no intact copy is left" in printed
    (folders / "epoch-001" / WEIGHTS).write_bytes((folders / "epoch-002" / WEIGHTS).read_bytes())
    (folders / "epoch-001" / "revisions.json").write_text("{")
    assert repair(tmp_path).lost == ("epoch-000", "epoch-001", "epoch-002")
    assert (folders / "epoch-001" / "revisions.json").read_text() == "{"


def test_a_branch_is_lost_if_its_folder_was_deleted_after_the_upload(
    suite: HubServer, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "revisions" / "epoch-001")
    assert repair(tmp_path).is_whole
    assert not (tmp_path / "revisions" / "epoch-001").exists(), "it is not fetched"
    for name in ("epoch-001", "epoch-002"):
        change(suite, name, WEIGHTS, file_of(suite, "epoch-000"))
    repaired = repair(tmp_path)
    assert (repaired.lost, repaired.is_whole) == (("epoch-001",), False)
    assert "epoch-002 was published to me/run on the Hub." in repaired.done
    assert {one.revision for one in repaired.report.findings} == {"epoch-001"}
    del suite.repo("me/run").branches["epoch-003"]
    shutil.rmtree(tmp_path / "revisions" / "epoch-003")
    assert all("main" not in sentence for sentence in repair(tmp_path).done), "main has a newer one"


def test_a_run_that_was_kept_local_can_be_pushed_later(
    tmp_path: Path, hub: HubServer, publish, clipdyn
) -> None:
    publish(range(2))
    assert repair(tmp_path).is_whole
    assert hub.seen == []
    for _ in range(2):
        assert clipdyn("repair", tmp_path, "--push_to_hub")[0] == 0
    assert not hub.repo("me/run").private
    assert verify("me/run").findings == ()
    publish(range(1), folder=tmp_path / "mine", repo_id="me/mine", private=True, push_to_hub=True)
    hub.repo("me/mine").private = False
    with pytest.raises(ConfigError, match="me/mine exists and is public"):
        repair(tmp_path / "mine")


def test_a_branch_deleted_by_a_person_is_sent_again_by_repair_alone(
    tmp_path: Path, suite: HubServer, publish
) -> None:
    del suite.repo("me/run").branches["epoch-001"]
    assert publish(range(5), push_to_hub=True).missing == []
    names = ["epoch-000", "epoch-002", "epoch-003", "epoch-004"]
    assert sorted(suite.repo("me/run").branches) == [*names, "main"]
    assert [one.kind for one in verify("me/run").findings] == ["missing-branch"]
    assert repair(tmp_path).is_whole
    _whole(tmp_path)


def test_a_moved_branch_is_named_before_it_is_moved_back_and_its_old_commit_keeps_a_tag(
    tmp_path: Path, suite: HubServer
) -> None:
    repo = suite.repo("me/run")
    repo.branches["epoch-001"] = old = repo.branches["epoch-000"]
    said = []
    repaired = repair(tmp_path, tell=said.append)
    assert repaired.is_whole, repaired.render()
    tag = f"epoch-001-replaced-{old[:8]}"
    assert said == [f"epoch-001 of me/run on the Hub is moved from commit {old}, which keeps the tag {tag}."]
    assert repo.tags == {tag: old}
    assert [one.name for one in list_revisions("me/run")] == [f"epoch-{epoch:03d}" for epoch in range(4)]
    repo.branches["epoch-001"] = old
    assert repair(tmp_path).is_whole, "the tag is there already"
