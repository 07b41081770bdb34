"""The record of a run says who may see it and where it is; by itself it only tightens, and no kill loses it."""

import json
import shutil
from pathlib import Path

import pytest
from hub_server.server import HubServer

from hf_clipdyn.errors import ConfigError, PublishError
from hf_clipdyn.revisions import Publisher, list_revisions
from hf_clipdyn.revisions.manifest import Manifest, read_manifest
from hf_clipdyn.revisions.store import Store
from hf_clipdyn.revisions.verify import repair, verify


def _record(run: Path) -> Manifest:
    return Manifest.loads((run / "revisions" / "run.json").read_bytes(), run)


def test_a_run_asked_to_be_private_offline_is_private_when_repair_pushes_it(
    tmp_path: Path, hub: HubServer, publish, clipdyn
) -> None:
    publish(range(2), private=True)
    code, printed, _ = clipdyn("repair", tmp_path, "--push_to_hub")
    assert (code, hub.repo("me/run").private) == (0, True)
    assert "me/run was created as a private repository." in printed


def test_a_private_run_continued_without_the_option_is_created_again_as_private(
    tmp_path: Path, hub: HubServer, publish
) -> None:
    publish(range(2), push_to_hub=True, private=True)
    for again in (lambda: publish(range(3), push_to_hub=True), lambda: repair(tmp_path)):
        del hub.state.repos["models", "me/run"]
        again()
        assert hub.repo("me/run").private


def test_a_repository_that_a_person_made_private_is_created_again_as_private(
    tmp_path: Path, suite: HubServer, publish
) -> None:
    suite.repo("me/run").private = True
    publish(range(5), push_to_hub=True)
    assert (_record(tmp_path).private, _record(tmp_path).is_private) == (None, True)
    del suite.state.repos["models", "me/run"]
    assert repair(tmp_path).is_whole
    assert suite.repo("me/run").private


def test_a_wish_for_a_private_push_is_kept_while_the_hub_is_down_and_repair_obeys_it(
    tmp_path: Path, hub: HubServer, publish, clipdyn
) -> None:
    publish(range(2))
    hub.stop()
    summary = publish(range(2), push_to_hub=True, private=True, patience=0.1)
    assert f"`clipdyn repair {tmp_path}` publishes them" in summary.message
    assert (_record(tmp_path).pushed, _record(tmp_path).private) == (True, True)


def test_a_pushed_run_continued_without_push_is_still_compared_with_the_hub(
    tmp_path: Path, suite: HubServer, publish
) -> None:
    publish(range(5))
    assert _record(tmp_path).pushed
    findings = [(one.revision, one.kind) for one in verify(tmp_path).findings]
    assert findings == [("epoch-004", "missing-branch"), ("main", "main-not-newest")]
    assert suite.count("commit") == 0


def test_only_an_explicit_word_opens_a_private_run_and_the_command_says_so(
    tmp_path: Path, hub: HubServer, publish, clipdyn, caplog: pytest.LogCaptureFixture
) -> None:
    publish(range(1), push_to_hub=True, private=True)
    publish(range(2), push_to_hub=True)
    assert "may be public" not in caplog.text
    _, printed, _ = clipdyn("repair", tmp_path, "--hub_private_repo", "false")
    assert "me/run was private: from now on it may be public." in printed
    assert _record(tmp_path).private is False
    del hub.state.repos["models", "me/run"]
    assert repair(tmp_path).is_whole
    assert not hub.repo("me/run").private


def test_repair_can_make_a_run_private_and_refuses_its_public_repository(
    tmp_path: Path, suite: HubServer
) -> None:
    with pytest.raises(ConfigError, match="me/run exists and is public"):
        repair(tmp_path, private=True)
    assert _record(tmp_path).is_private, "the wish is kept"
    assert suite.count("commit") == 0


def test_a_local_run_gets_a_repository_at_its_first_push_and_keeps_its_former_name(
    tmp_path: Path, hub: HubServer, publish
) -> None:
    publish(range(2), repo_id=None)
    local = Store(tmp_path).repo_id
    assert publish(range(3), push_to_hub=True).repo_id == "me/run"
    assert (_record(tmp_path).former, Store(tmp_path).former) == ((local,), (local,))
    assert verify("me/run").findings == ()
    with pytest.raises(PublishError, match="a run with another name"):
        publish(range(3), push_to_hub=True, repo_id="me/other")
    publish(range(1), repo_id=None, folder=tmp_path / "second")
    assert repair(tmp_path / "second", hub_model_id="me/second").is_whole
    assert sorted(hub.repo("me/second").branches) == ["epoch-000", "main"]


def test_an_empty_folder_is_made_from_the_hub_and_the_run_goes_on(
    tmp_path: Path, suite: HubServer, publish, clipdyn
) -> None:
    suite.repo("me/run").private = True
    run_id = _record(tmp_path).run_id
    code, _, error = clipdyn("repair", tmp_path / "again", "--from", "me/run")
    assert code == 0, error
    again = _record(tmp_path / "again")
    assert (again.run_id, again.is_private, again.pushed) == (run_id, True, True)
    assert list_revisions(tmp_path / "again") == list_revisions(tmp_path)
    assert publish(range(5), folder=tmp_path / "again", push_to_hub=True).missing == []
    shutil.rmtree(tmp_path / "again" / "revisions" / "epoch-002")
    assert repair(tmp_path / "again", source="me/run").is_whole
    publish(range(1), folder=tmp_path / "other")
    with pytest.raises(ConfigError, match="has no run, or another one than"):
        repair(tmp_path / "other", source="me/run")


def test_repair_of_an_intact_run_downloads_no_weights(tmp_path: Path, suite: HubServer) -> None:
    assert repair(tmp_path).is_whole
    suite.state.large.clear()  # the server records the weights, but cannot give them
    assert repair(tmp_path).is_whole, "no weights are asked for"


def test_a_kill_between_a_folder_and_the_record_loses_neither(tmp_path: Path, publish) -> None:
    publish(range(2), private=True)
    file = tmp_path / "revisions" / "run.json"
    before = file.read_bytes()
    publish(range(3))
    file.write_bytes(before)  # as a killed process left it
    assert publish(range(3)).published == ["epoch-000", "epoch-001", "epoch-002"]
    assert _record(tmp_path).row("epoch-002") is not None
    file.write_text("{")
    assert [one.kind for one in verify(tmp_path).findings] == ["unreadable-record"]
    assert repair(tmp_path).is_whole
    assert (_record(tmp_path).is_private, len(_record(tmp_path).revisions)) == (True, 3)


@pytest.mark.parametrize("hub_of_0_4", [None, "public", "private"])
def test_a_run_of_0_4_is_continued_and_what_it_wrote_afterwards_is_taken_over(
    tmp_path: Path, publish, hub_of_0_4: str | None
) -> None:
    new = {"former", "pushed", "private", "was_private", "only_on_hub", "replaced", "other_processes"}

    def age(names: list[str]) -> None:
        for name in names:
            file = tmp_path / "revisions" / name / "revisions.json"
            values = json.loads(file.read_bytes())
            old = {key: value for key, value in values.items() if key not in new}
            file.write_text(json.dumps({**old, "hub": hub_of_0_4}))

    publish(range(3))
    age(["epoch-000", "epoch-001", "epoch-002"])
    (tmp_path / "revisions" / "run.json").unlink()
    record = Store(tmp_path).manifest()
    assert (record.pushed, record.is_private) == (hub_of_0_4 is not None, hub_of_0_4 == "private")
    publish(range(4))
    run_id = _record(tmp_path).run_id
    assert read_manifest(tmp_path / "revisions" / "epoch-000").run_id == run_id
    last = (tmp_path / "revisions" / "run.json").read_bytes()
    publish(range(5))
    age(["epoch-004"])
    (tmp_path / "revisions" / "run.json").write_bytes(last)  # 0.4 does not write it
    assert publish(range(5)).published == [f"epoch-{epoch:03d}" for epoch in range(5)]
    assert _record(tmp_path).row("epoch-004") is not None


def test_what_was_trained_again_moves_its_branch_by_repair_alone_and_a_tag_keeps_the_commit(
    tmp_path: Path, suite: HubServer, trained, record
) -> None:
    before = dict(suite.repo("me/run").branches)
    with Publisher(tmp_path, push_to_hub=True, recipe_hash="r1") as publisher:
        publisher.submit(record(2), trained(52), compare=True)
        summary = publisher.finish()
    assert summary.missing == ["epoch-002"]
    assert suite.repo("me/run").branches == before
    told: list[str] = []
    assert repair(tmp_path, tell=told.append).is_whole, told
    after = suite.repo("me/run")
    assert sorted(after.branches) == ["epoch-000", "epoch-001", "epoch-002", "main"]
    assert {before["epoch-002"], before["epoch-003"]} <= set(after.tags.values())
    assert verify("me/run", deep=True).findings == ()
