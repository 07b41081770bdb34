"""What a run publishes; and the Hub on a bad day: requests fail in every way, and nothing is lost or mixed."""

import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hub_server.faults import Fault
from hub_server.server import READ_TOKEN, WRITE_TOKEN, HubServer
from huggingface_hub import HfApi

from hf_clipdyn import hub as client
from hf_clipdyn.errors import ConfigError, PublishError, RevisionError
from hf_clipdyn.revisions import Publisher, list_revisions
from hf_clipdyn.revisions.open import open_series
from hf_clipdyn.revisions.verify import repair, verify

NAMES = [f"epoch-{epoch:03d}" for epoch in range(4)]


def _titles(hub: HubServer) -> list[str]:
    repo = hub.repo("me/run")
    return [commit.title for commit in reversed(repo.history(repo.branches["main"]))]


def test_a_run_is_published_to_the_hub_and_to_folders_alike_and_a_repeat_sends_what_is_new(
    tmp_path: Path, hub: HubServer, publish
) -> None:
    summary = publish(range(3), push_to_hub=True)
    assert (summary.published, summary.missing) == (NAMES[:3], [])
    assert "3 of 3 revisions are published" in summary.message
    repo = hub.repo("me/run")
    assert sorted(repo.branches) == [*NAMES[:3], "main"]
    assert repo.branches["main"] == repo.branches["epoch-002"]
    assert _titles(hub) == ["initial commit", *(f"Publish {name}" for name in NAMES[:3])]
    for name in NAMES[:3]:
        tree = repo.resolve(name).tree
        files = {path.name: path for path in (tmp_path / "revisions" / name).iterdir()}
        assert tree.keys() == {".gitattributes", *files}
        assert all(hub.state.content(tree[file]) == path.read_bytes() for file, path in files.items())
    assert b'"pushed": true' in files["revisions.json"].read_bytes()
    hub.seen.clear()
    assert publish(range(4), push_to_hub=True).missing == []
    assert (hub.count("commit"), hub.count("lfs-put")) == (1, 1)


def test_a_public_repository_is_refused_where_a_private_one_was_asked_for_before_a_byte_is_sent(
    tmp_path: Path, hub: HubServer, publish
) -> None:
    HfApi().create_repo("me/run")
    with pytest.raises(ConfigError, match="me/run exists and is public: make it private") as caught:
        publish(range(1), push_to_hub=True, private=True)
    assert "\n" not in str(caught.value)
    assert {"preupload", "lfs-batch", "lfs-put", "commit"}.isdisjoint(hub.seen)
    hub.repo("me/run").private = True
    assert publish(range(1), push_to_hub=True, private=True).missing == []
    assert publish(range(1), push_to_hub=True, private=True, repo_id="me/new", folder=tmp_path / "new")
    assert hub.repo("me/new").private
    with pytest.raises(ConfigError, match="the Hub does not accept"):
        publish(range(1), push_to_hub=True, repo_id="mine")


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
    assert not summary.missing, f"{summary.message}\n{hub.seen}"
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
    with pytest.raises(PublishError, match="me/run on the Hub cannot be used"):
        publish(range(1), push_to_hub=True, folder=tmp_path / "new")
    hub.start()
    code, printed, _ = clipdyn("repair", tmp_path)
    assert code == 0
    assert "epoch-002 was published to me/run on the Hub" in printed
    assert repair(tmp_path).is_whole
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


def test_another_run_is_refused_and_one_that_went_on_elsewhere_is_said_to_differ_at_each_start(
    tmp_path: Path, suite: HubServer, publish, trained
) -> None:
    api = HfApi(token=WRITE_TOKEN)
    api.create_repo("me/theirs")
    api.upload_file(path_or_fileobj=b"", path_in_repo="model.safetensors", repo_id="me/theirs")
    for repo_id, said in (("me/run", "another run"), ("me/theirs", "of other origin")):
        with pytest.raises(RevisionError, match=said):
            publish(range(2), push_to_hub=True, folder=tmp_path / "other", repo_id=repo_id)
        shutil.rmtree(tmp_path / "other")
    copy = tmp_path / "copy"
    for name in NAMES[:2]:
        shutil.copytree(tmp_path / "revisions" / name, copy / "revisions" / name)
    before = dict(suite.repo("me/run").branches)
    for _ in range(2):
        summary = publish(range(3), push_to_hub=True, folder=copy, models=lambda epoch: trained(epoch + 50))
        assert (summary.published, summary.missing) == (NAMES[:2], ["epoch-002"])
        assert "epoch-002 exists in me/run on the Hub with other weights" in summary.message
    assert suite.repo("me/run").branches == before


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_a_file_that_the_server_records_otherwise_gets_no_branch(
    suite: HubServer, publish, file: str
) -> None:
    suite.plant("commit", Fault(spoil=file))
    summary = publish([4], push_to_hub=True)
    assert summary.missing == ["epoch-004"]
    assert f"{file} of epoch-004 arrived incomplete or changed in me/run on the Hub" in summary.message
    assert "epoch-004" not in suite.repo("me/run").branches
    assert publish([4], push_to_hub=True).missing == [], "the next start mends it"


def test_the_same_weights_twice_are_published_with_a_warning_and_named_by_verify(
    tmp_path: Path, suite: HubServer, publish, trained, clipdyn, caplog
) -> None:
    assert publish([4], push_to_hub=True, models=lambda epoch: trained(1)).missing == []
    said = [one.getMessage() for one in caplog.records if "same weights" in one.getMessage()]
    assert said == ["epoch-004 has the same weights as epoch-001: training changed nothing between them."]
    findings = [(one.revision, one.kind) for one in verify("me/run", deep=True).findings]
    assert findings == [("epoch-004", "identical-weights")]
    assert clipdyn("verify", "me/run")[0] == 0, "the same rule as in `repair`"
    before = dict(suite.repo("me/run").branches)
    assert clipdyn("repair", tmp_path)[0] == 0, "it is what the run made"
    assert suite.repo("me/run").branches == before


def test_the_token_appears_in_no_output_and_no_file(tmp_path: Path, hub: HubServer) -> None:
    """Also with the client's debug log on, and through errors: a run in a process of its own, searched whole."""
    secret = "hf_secret_that_nobody_should_see"
    hub.tokens[secret] = "write"
    hub.plant("commit", Fault(status=401), nth=1)
    hub.plant("create-branch", Fault(status=503), nth=1)
    env = {**os.environ, **hub.env, "HF_DEBUG": "1", "HF_HOME": str(tmp_path / "home")}
    (tmp_path / "common").mkdir()
    script, printed = Path(__file__).with_name("killed_run.py"), ""
    for token in (secret, "hf_wrong_" + secret, secret):
        words = [sys.executable, script, tmp_path, "1", token]
        done = subprocess.run(
            list(map(str, words)), env=env, capture_output=True, text=True, timeout=300, check=False
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


def _card(hub: HubServer) -> str:
    return hub.state.content(hub.repo("me/run").resolve("main").tree["README.md"]).decode()


def _write_card(text: str) -> None:
    HfApi().upload_file(path_or_fileobj=text.encode(), path_in_repo="README.md", repo_id="me/run")


def test_what_a_person_wrote_on_the_card_survives_later_revisions_late_ones_and_repair(
    tmp_path: Path, hub: HubServer, publish
) -> None:
    publish([0, 2], push_to_hub=True)
    _write_card(_card(hub) + "\n## Mine\n\nA sentence of a person.\n")
    for epochs, newest in (([0, 1, 2], "epoch-002"), (range(5), "epoch-004")):
        publish(epochs, push_to_hub=True)
        assert "A sentence of a person." in _card(hub)
        assert f'revision="{newest}"' in _card(hub)
    assert 'revision="epoch-002"' not in _card(hub)
    _write_card(_card(hub).replace("A sentence", "Another sentence"))
    branches = hub.repo("me/run").branches
    branches["epoch-003"] = branches["epoch-001"]
    assert repair(tmp_path).is_whole
    assert "Another sentence of a person." in _card(hub)
    assert 'revision="epoch-004"' in _card(hub)
    assert verify("me/run", deep=True).findings == ()


def test_a_bounded_disk_keeps_the_last_revisions_and_the_card_of_main_follows(
    tmp_path: Path, suite: HubServer, publish
) -> None:
    before = list_revisions(tmp_path)
    _write_card(_card(suite) + "\nMine.\n")
    for epoch in (4, 5):
        publish([epoch], push_to_hub=True, keep_local=1)
        assert [folder.name for folder in (tmp_path / "revisions").glob("e*")] == [f"epoch-{epoch:03d}"]
    assert 'revision="epoch-005"' in _card(suite)
    assert "Mine." in _card(suite)
    assert verify(tmp_path, deep=True).findings == ()
    told: list[str] = []
    assert repair(tmp_path, tell=told.append).is_whole
    assert told == [], "nothing is fetched"
    now = list_revisions(tmp_path)
    assert [(one.name, one.sha256, one.commit) for one in now[:4]] == [
        (one.name, one.sha256, one.commit) for one in before
    ], "they are read from the Hub and are the same in tables of results"
    assert not open_series(tmp_path).fetch(now[0]).is_relative_to(tmp_path / "revisions")
