"""What `verify` finds is mended from the intact copy, and what has none is said to be lost."""

import shutil
from pathlib import Path

import pytest
from faults import FAULTS, WEIGHTS, change, file_of
from hub_server.server import HubServer

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.revisions import list_revisions
from hf_clipdyn.revisions.verify import repair, verify


def _told(run: Path, *, whole: bool = True) -> list[str]:
    """What a repair says that it did."""
    told: list[str] = []
    report = repair(run, tell=told.append)
    assert report.is_whole == whole, report.render()
    return told


MENDED = {
    "swapped": {"epoch-001", "epoch-002"},
    "missing branch": {"epoch-002"},
    "weights gone": {"epoch-001"},
    "other config": {"epoch-001"},
    "wrong hash": set(),
    "old main": set(),
}


@pytest.mark.parametrize("fault", MENDED)
def test_a_fault_on_the_hub_is_mended_from_the_folders_and_nothing_else_is_touched(
    suite: HubServer, tmp_path: Path, fault: str
) -> None:
    FAULTS[fault][0](suite)
    told = _told(tmp_path)
    assert verify("me/run").findings == ()
    published = {name for name, said, _ in (one.partition(" was published to ") for one in told) if said}
    assert published == MENDED[fault]
    assert told[-1] == "main is the newest revision again in me/run on the Hub."


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
    for name in ("me/run", tmp_path):
        assert verify(name, deep=True).findings == ()
    assert not [*folders.rglob(".cache"), *folders.glob(".*.staging")]


def test_a_damaged_manifest_is_written_again_also_without_a_hub(tmp_path: Path, publish) -> None:
    publish(range(3))
    for name in ("epoch-001", "epoch-000"):
        manifest = tmp_path / "revisions" / name / "revisions.json"
        content = manifest.read_bytes()
        manifest.write_bytes(content[:-3])
        assert _told(tmp_path) == [f"revisions.json of {name} was written again."]
        assert manifest.read_bytes() == content, "the later ones have it"


def test_what_is_lost_for_good_is_said(tmp_path: Path, publish, clipdyn) -> None:
    publish(range(3))
    folders = tmp_path / "revisions"
    (folders / "epoch-000" / WEIGHTS).unlink()
    (folders / "epoch-001" / WEIGHTS).write_bytes((folders / "epoch-002" / WEIGHTS).read_bytes())
    for name in ("epoch-001", "epoch-002"):
        (folders / name / "revisions.json").write_text("{")
    code, printed, _ = clipdyn("repair", tmp_path)
    assert code == 1
    for name in ("epoch-000", "epoch-001"):
        assert f"{name}: no intact copy is left." in printed
    assert "revisions.json of epoch-002 was written again." in printed, "run.json has its row"
    assert (folders / "epoch-001" / "revisions.json").read_text() == "{"


@pytest.mark.parametrize("name", ["epoch-001", "epoch-003"])
def test_a_folder_that_a_person_deleted_is_a_finding_and_is_fetched_again(
    suite: HubServer, tmp_path: Path, publish, name: str
) -> None:
    folder = tmp_path / "revisions" / name
    content = (folder / WEIGHTS).read_bytes()
    shutil.rmtree(folder)
    assert [(one.revision, one.kind) for one in verify(tmp_path).findings] == [(name, "missing-folder")]
    assert _told(tmp_path) == [f"{name} was fetched from me/run on the Hub."]
    assert (folder / WEIGHTS).read_bytes() == content
    assert publish(range(5), push_to_hub=True).missing == []


def test_a_revision_without_folder_and_with_a_wrong_branch_is_lost(suite: HubServer, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "revisions" / "epoch-001")
    for name in ("epoch-001", "epoch-002"):
        change(suite, name, WEIGHTS, file_of(suite, "epoch-000"))
    told = _told(tmp_path, whole=False)
    assert "epoch-002 was published to me/run on the Hub." in told
    assert told[-1] == "epoch-001: no intact copy is left."
    del suite.repo("me/run").branches["epoch-003"]
    shutil.rmtree(tmp_path / "revisions" / "epoch-003")
    lost = [f"{name}: no intact copy is left." for name in ("epoch-001", "epoch-003")]
    assert _told(tmp_path, whole=False)[-2:] == lost


def test_a_run_that_was_kept_local_can_be_pushed_later(
    tmp_path: Path, hub: HubServer, publish, clipdyn
) -> None:
    with pytest.raises(ConfigError, match="is not the folder of a run"):
        repair(tmp_path)
    publish(range(2))
    assert _told(tmp_path) == []
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
    assert _told(tmp_path)[0] == "epoch-001 was published to me/run on the Hub."


def test_a_moved_branch_is_named_before_it_is_moved_back_and_its_old_commit_keeps_a_tag(
    tmp_path: Path, suite: HubServer
) -> None:
    repo = suite.repo("me/run")
    repo.branches["epoch-001"] = old = repo.branches["epoch-000"]
    tag = f"epoch-001-replaced-{old[:8]}"
    assert (
        _told(tmp_path)[0]
        == f"epoch-001 of me/run on the Hub is moved from commit {old}, which keeps the tag {tag}."
    )
    assert repo.tags == {tag: old}
    assert [one.name for one in list_revisions("me/run")] == [f"epoch-{epoch:03d}" for epoch in range(4)]
    repo.branches["epoch-001"] = old
    assert _told(tmp_path)[-1].startswith("main is"), "the tag is there already"
