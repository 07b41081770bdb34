"""The Hub on a bad day: every kind of request fails in every way, and nothing is lost or mixed."""

import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hub_server.faults import Fault
from hub_server.server import READ_TOKEN, WRITE_TOKEN, HubServer, describe

from hf_clipdyn import hub as client
from hf_clipdyn.errors import PublishError, RevisionError
from hf_clipdyn.revisions import Publisher, list_revisions
from hf_clipdyn.revisions.published import HubRun
from hf_clipdyn.revisions.repair import repair
from hf_clipdyn.revisions.verify import verify


def _titles(hub: HubServer) -> list[str]:
    repo = hub.repo("me/run")
    return [commit.title for commit in reversed(repo.history(repo.branches["main"]))]


@pytest.mark.slow
def test_a_run_of_ten_epochs_with_faults_at_every_kind_of_request_ends_verified(
    tmp_path: Path, hub: HubServer, publish
) -> None:
    # Requests that the client itself repeats (with waits of its own) fail once each, the others in all ways.
    for kind in ("preupload", "lfs-batch", "lfs-put", "lfs-verify"):
        hub.plant(kind, Fault(status=503), nth=2)
    hub.plant("lfs-put", Fault(cut=True), nth=4)
    hub.plant("preupload", Fault(status=429, headers={"Retry-After": "0"}), nth=5)
    asked = ("create-repo", "auth-check", "info", "refs", "tree", "resolve-get", "validate-yaml")
    for kind in (*asked, "commit", "create-branch"):
        hub.plant(kind, Fault(status=503), nth=1)
        hub.plant(kind, Fault(status=429, headers={"Retry-After": "0"}), nth=3)
        hub.plant(kind, Fault(cut=True), nth=5)
        hub.plant(kind, Fault(status=500), nth=8)
    for kind in ("commit", "create-branch"):
        hub.plant(kind, Fault(status=503, applied=True), nth=6)
        hub.plant(kind, Fault(cut=True), nth=7)
        hub.plant(kind, Fault(status=504, applied=True), nth=9)
    hub.plant("commit", Fault(status=412), nth=10)
    hub.plant("refs", Fault(hang=2.5), nth=12)
    summary = publish(range(10), push_to_hub=True)
    assert not summary.missing, f"{summary.message}\n{describe(hub.seen)}"
    assert verify("me/run", deep=True).findings == ()
    assert verify(tmp_path, deep=True).findings == ()
    assert _titles(hub) == ["initial commit", *(f"Publish epoch-{epoch:03d}" for epoch in range(10))]


def test_after_the_server_was_down_for_half_of_the_run_everything_arrives(
    tmp_path: Path, hub: HubServer, trained, record, card
) -> None:
    with Publisher(tmp_path, "me/run", card=card, push_to_hub=True) as publisher:
        publisher.submit(record(0), trained(0))
        for _ in range(100):
            if not publisher.waiting():
                break
            time.sleep(0.1)
        hub.stop()
        for epoch in range(1, 4):
            publisher.submit(record(epoch), trained(epoch))
        time.sleep(0.3)
        assert publisher.waiting() == ["epoch-001", "epoch-002", "epoch-003"]
        hub.start()
        summary = publisher.finish()
    assert not summary.missing, summary.message
    assert verify("me/run").findings == ()


def test_a_week_without_network_keeps_all_in_the_folder_and_repair_sends_each_once(
    tmp_path: Path, hub: HubServer, publish, clipdyn, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(range(1), push_to_hub=True)
    hub.stop()
    monkeypatch.setattr(client, "UNREACHED", 0.3)
    summary = publish(range(1, 3), push_to_hub=True, patience=0.3)
    assert summary.missing == ["epoch-000", "epoch-001", "epoch-002"], "nobody knows what the Hub has"
    assert "clipdyn repair" in summary.message
    hub.start()
    code, printed, _ = clipdyn("repair", tmp_path)
    assert code == 0
    assert "epoch-002 was published to me/run on the Hub" in printed
    assert repair(tmp_path).done == ()
    assert _titles(hub) == ["initial commit", "Publish epoch-000", "Publish epoch-001", "Publish epoch-002"]


def test_a_permanent_error_is_said_once_and_the_command_exits_with_one_while_anything_is_missing(
    tmp_path: Path, hub: HubServer, publish, caplog: pytest.LogCaptureFixture, clipdyn
) -> None:
    hub.plant("lfs-batch", Fault(status=403, message="Private repository storage limit reached"), times=1000)
    with caplog.at_level(logging.WARNING, "hf_clipdyn"):
        summary = publish(range(3), push_to_hub=True)
    assert summary.published == []
    assert "storage limit reached" in summary.message
    assert (
        sum("storage limit" in entry.getMessage() for entry in caplog.records if "hf_clipdyn" in entry.name)
        == 1
    )
    assert "Not known to be on the Hub: epoch-000, epoch-001, epoch-002" in summary.message
    code, _, error = clipdyn("repair", tmp_path)
    assert code == 1
    assert "storage limit reached" in error
    hub.faults.clear()
    assert repair(tmp_path).is_whole
    assert verify(tmp_path, deep=True).findings == ()


def test_retry_after_is_honoured(hub: HubServer, publish) -> None:
    hub.plant("commit", Fault(status=429, headers={"Retry-After": "2"}))
    started = time.monotonic()
    assert not publish(range(1), push_to_hub=True).missing
    assert time.monotonic() - started >= 2


def test_a_read_only_token_gives_one_clear_sentence_before_training(
    hub: HubServer, publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    for repository_exists in (False, True):
        if repository_exists:
            publish(range(1), push_to_hub=True, token=WRITE_TOKEN)
        with pytest.raises(PublishError, match="Give a token with write permission") as caught:
            publish(range(1), push_to_hub=True, token=READ_TOKEN)
        assert "\n" not in str(caught.value)
        assert READ_TOKEN not in str(caught.value)


def test_a_second_run_is_refused_and_the_same_run_is_continued(
    tmp_path: Path, hub: HubServer, publish
) -> None:
    publish(range(2), push_to_hub=True)
    with pytest.raises(RevisionError, match="another run"):
        publish(range(2), push_to_hub=True, folder=tmp_path / "other")
    with pytest.raises(PublishError, match="a run with another recipe"):
        publish(range(2), push_to_hub=True, recipe_hash="r2")
    assert publish(range(4), push_to_hub=True).published == [f"epoch-{epoch:03d}" for epoch in range(4)]
    assert verify("me/run").findings == ()
    assert hub.count("commit") == 4


def test_a_repository_with_weights_of_unknown_origin_is_refused(hub: HubServer, publish) -> None:
    from huggingface_hub import HfApi

    api = HfApi(token=WRITE_TOKEN)
    api.create_repo("me/run")
    api.upload_file(path_or_fileobj=b"something", path_in_repo="model.safetensors", repo_id="me/run")
    with pytest.raises(RevisionError, match="weights that no run of this package published"):
        publish(range(1), push_to_hub=True)


def test_a_branch_that_exists_elsewhere_is_never_moved_silently(hub: HubServer, publish) -> None:
    publish(range(1), push_to_hub=True)
    branches = hub.repo("me/run").branches
    branches["epoch-001"] = elsewhere = branches["epoch-000"]
    summary = publish(range(3), push_to_hub=True)
    assert summary.missing == ["epoch-001", "epoch-002"], "sending stops at a revision that fails"
    assert "epoch-001 exists in me/run on the Hub with other weights" in summary.message
    assert branches["epoch-001"] == elsewhere
    assert "epoch-002" not in branches


def test_weights_that_the_server_records_otherwise_get_no_branch(hub: HubServer, publish) -> None:
    hub.plant("commit", Fault(spoil=True))
    summary = publish(range(1), push_to_hub=True)
    assert summary.missing == ["epoch-000"]
    assert "arrived incomplete or changed in me/run on the Hub" in summary.message
    assert "epoch-000" not in hub.repo("me/run").branches
    assert publish(range(2), push_to_hub=True).missing == []
    assert verify("me/run", deep=True).findings == ()


def test_the_same_weights_twice_are_published_with_a_warning_and_named_by_verify(
    tmp_path: Path, hub: HubServer, publish, trained, clipdyn, caplog
) -> None:
    summary = publish(range(3), push_to_hub=True, models=lambda epoch: trained(min(epoch, 1)))
    assert summary.missing == [], summary.message
    said = [one.getMessage() for one in caplog.records if "same weights" in one.getMessage()]
    assert said == ["epoch-002 has the same weights as epoch-001: training changed nothing between them."]
    findings = [(one.revision, one.kind) for one in verify("me/run", deep=True).findings]
    assert findings == [("epoch-002", "identical-weights")]
    assert clipdyn("verify", "me/run")[0] == 1
    code, printed, _ = clipdyn("repair", tmp_path)
    assert (code, "Nothing had to be repaired." in printed) == (0, True)


def test_a_run_that_was_kept_local_can_be_pushed_later(
    tmp_path: Path, hub: HubServer, publish, clipdyn
) -> None:
    publish(range(3))
    assert hub.seen == []
    for _ in range(2):
        assert clipdyn("repair", tmp_path, "--push_to_hub")[0] == 0
    assert verify("me/run").findings == ()


def test_the_token_appears_in_no_output_and_no_file(
    tmp_path: Path, hub: HubServer, publish, trained, record
) -> None:
    """Also with the client's debug log on, and through errors: a run in a process of its own, searched whole."""
    source = tmp_path / "source"
    source.mkdir()
    trained(0)(source)
    secret = "hf_secret_that_nobody_should_see"
    script = """
import logging, shutil, sys
from pathlib import Path
logging.basicConfig(level=logging.DEBUG)
from hf_clipdyn.cards import CardFacts
from hf_clipdyn.revisions import Publisher, Row
folder, token = Path(sys.argv[1]), sys.argv[2]
with Publisher(folder, "me/run", card=CardFacts("me/run"), push_to_hub=True, token=token) as publisher:
    save = lambda to: shutil.copytree(folder.parent / "source", to, dirs_exist_ok=True)
    publisher.submit(Row(name="epoch-000", epoch=0, step=0, samples_seen=0), save)
    print(publisher.finish(10.0).message)
"""
    hub.tokens[secret] = "write"
    hub.plant("commit", Fault(status=401), nth=1)
    hub.plant("create-branch", Fault(status=503), nth=1)
    env = {**os.environ, **hub.env, "HF_DEBUG": "1", "HF_HOME": str(tmp_path / "home")}
    env.pop("HF_TOKEN")
    printed = ""
    for token in (secret, "hf_wrong_" + secret, secret):
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "run"), token],
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
        )
        printed += done.stdout + done.stderr
    assert "1 of 1 revisions are published" in printed
    assert secret not in printed
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if secret.encode() in path.read_bytes()]


def test_a_hub_that_never_answers_costs_no_training_time_and_the_end_waits_as_long_as_it_may(
    tmp_path: Path, hub: HubServer, trained, record
) -> None:
    with Publisher(tmp_path, "me/run", push_to_hub=True) as publisher:
        hub.plant("*", Fault(hang=60.0), times=1000)
        started = time.monotonic()
        for epoch in range(3):
            publisher.submit(record(epoch), trained(epoch))
        assert time.monotonic() - started < 2
        started = time.monotonic()
        assert publisher.finish(1.5).missing == ["epoch-000", "epoch-001", "epoch-002"]
    assert time.monotonic() - started < 3


def test_a_late_branch_deleted_by_a_person_is_sent_again_by_repair_alone(
    tmp_path: Path, hub: HubServer, publish
) -> None:
    publish(range(3), push_to_hub=True)
    del hub.repo("me/run").branches["epoch-001"]
    assert publish(range(4), push_to_hub=True).missing == []
    assert sorted(hub.repo("me/run").branches) == ["epoch-000", "epoch-002", "epoch-003", "main"]
    assert [one.kind for one in verify("me/run").findings] == ["missing-branch"]
    assert repair(tmp_path).is_whole
    assert verify("me/run", deep=True).findings == ()


def test_a_moved_branch_is_named_before_it_is_moved_back_and_its_old_commit_keeps_a_tag(
    tmp_path: Path, hub: HubServer, publish
) -> None:
    publish(range(3), push_to_hub=True)
    repo = hub.repo("me/run")
    repo.branches["epoch-001"] = old = repo.branches["epoch-000"]
    said = []
    repaired = repair(tmp_path, tell=said.append)
    assert repaired.is_whole, repaired.render()
    assert said == [
        f"epoch-001 of me/run on the Hub is moved from commit {old}, which keeps the tag epoch-001-replaced-{old[:8]}."
    ]
    assert repo.tags[f"epoch-001-replaced-{old[:8]}"] == old
    assert verify("me/run", deep=True).findings == ()
    assert [one.name for one in list_revisions("me/run")] == ["epoch-000", "epoch-001", "epoch-002"]


def test_a_folder_that_was_deleted_after_its_upload_is_no_error_and_is_not_fetched(
    tmp_path: Path, hub: HubServer, publish, trained
) -> None:
    publish(range(3), push_to_hub=True)
    for name in ("epoch-000", "epoch-001"):
        shutil.rmtree(tmp_path / "revisions" / name)
    assert verify(tmp_path, deep=True).findings == ()
    summary = publish(range(4), push_to_hub=True)
    assert summary.missing == []
    assert repair(tmp_path).is_whole
    assert sorted(path.name for path in (tmp_path / "revisions").glob("e*")) == ["epoch-002", "epoch-003"]
    assert verify("me/run", deep=True).findings == ()


def test_what_a_person_wrote_on_the_card_survives_later_revisions_late_ones_and_repair(
    tmp_path: Path, hub: HubServer, publish
) -> None:
    from huggingface_hub import HfApi, hf_hub_download

    def card() -> str:
        path = hf_hub_download("me/run", "README.md", local_dir=tmp_path / "read", force_download=True)
        return Path(path).read_text()

    def write(text: str) -> None:
        HfApi().upload_file(path_or_fileobj=text.encode(), path_in_repo="README.md", repo_id="me/run")

    publish([0, 2], push_to_hub=True)
    assert "epoch-002" in card()
    write(card() + "\n## Mine\n\nA sentence of a person.\n")
    publish([0, 1, 2], push_to_hub=True)
    assert "A sentence of a person." in card()
    assert 'revision="epoch-002"' in card()
    publish(range(5), push_to_hub=True)
    assert "A sentence of a person." in card()
    assert 'revision="epoch-004"' in card()
    assert 'revision="epoch-002"' not in card()
    write(card().replace("A sentence", "Another sentence"))
    branches = hub.repo("me/run").branches
    branches["epoch-003"] = branches["epoch-001"]
    assert repair(tmp_path).is_whole
    assert "Another sentence of a person." in card()
    assert 'revision="epoch-004"' in card()
    assert verify("me/run", deep=True).findings == ()


def test_the_card_of_main_follows_also_if_each_folder_is_deleted_after_its_upload(
    tmp_path: Path, hub: HubServer, publish
) -> None:
    from huggingface_hub import HfApi

    for epoch in range(4):
        publish([epoch], push_to_hub=True)
        for folder in (tmp_path / "revisions").glob("e*"):
            if folder.name != f"epoch-00{epoch}":
                shutil.rmtree(folder)
        if epoch == 1:
            card = HfApi().hf_hub_download("me/run", "README.md", local_dir=tmp_path / "read")
            text = Path(card).read_text() + "\nMine.\n"
            HfApi().upload_file(path_or_fileobj=text.encode(), path_in_repo="README.md", repo_id="me/run")
    main = HubRun("me/run").read("main", "README.md").decode()
    assert 'revision="epoch-003"' in main
    assert "Mine." in main
    assert verify(tmp_path, deep=True).findings == ()
