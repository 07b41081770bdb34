"""The Hub on a bad day: every kind of request fails in every way, and nothing is lost or mixed."""

import json
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

from hf_clipdyn.errors import PublishError, RevisionError
from hf_clipdyn.hub import RetryPolicy
from hf_clipdyn.revisions import Publisher, resume_publishing
from hf_clipdyn.revisions.verify import verify

QUICK = RetryPolicy(base=0.02, cap=0.2, patience=20, timeout=2)
IMPATIENT = RetryPolicy(base=0.02, cap=0.1, patience=0.3, timeout=5)


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
    for kind in (
        "create-repo",
        "auth-check",
        "refs",
        "tree",
        "resolve-get",
        "validate-yaml",
        "commit",
        "create-branch",
    ):
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
    summary = publish(range(10), push_to_hub=True, retries=QUICK)
    assert not summary.missing, f"{summary.message}\n{describe(hub.seen)}"
    assert verify("me/run", deep=True).findings == ()
    assert verify("me/run", store=tmp_path / "hub", deep=True).findings == ()
    assert _titles(hub) == ["initial commit", *(f"Publish epoch-{epoch:03d}" for epoch in range(10))]


def test_after_the_server_was_down_for_half_of_the_run_everything_arrives(
    tmp_path: Path, hub: HubServer, trained, record, card
) -> None:
    options = {
        "store": tmp_path / "hub",
        "card": card,
        "recipe_hash": "r1",
        "push_to_hub": True,
        "retries": QUICK,
    }
    with Publisher("me/run", output_dir=tmp_path, **options) as publisher:
        publisher.check()
        publisher.submit(record(0), trained(0))
        for _ in range(100):
            if "epoch-000" in publisher.summary().published:
                break
            time.sleep(0.1)
        hub.stop()
        for epoch in range(1, 4):
            publisher.submit(record(epoch), trained(epoch))
        time.sleep(0.3)
        assert publisher.summary().missing == ["epoch-001", "epoch-002", "epoch-003"]
        hub.start()
        summary = publisher.finish()
    assert not summary.missing, summary.message
    assert verify("me/run").findings == ()


def test_a_week_without_network_keeps_all_in_the_journal_and_resume_sends_each_once(
    tmp_path: Path, hub: HubServer, publish, clipdyn
) -> None:
    publish(range(1), push_to_hub=True)
    hub.stop()
    summary = publish(range(1, 3), push_to_hub=True, retries=IMPATIENT)
    assert summary.missing == ["epoch-001", "epoch-002"]
    assert "clipdyn repair" in summary.message
    assert verify("me/run", store=tmp_path / "hub").findings == ()
    hub.start()
    code, printed, _ = clipdyn("repair", tmp_path)
    assert code == 0
    assert "3 of 3 revisions are published" in printed
    assert resume_publishing(tmp_path, retries=QUICK).missing == []
    assert _titles(hub) == ["initial commit", "Publish epoch-000", "Publish epoch-001", "Publish epoch-002"]


def test_a_permanent_error_is_said_once_and_the_command_exits_with_one_while_anything_is_missing(
    tmp_path: Path, hub: HubServer, publish, caplog: pytest.LogCaptureFixture, clipdyn
) -> None:
    hub.plant("lfs-batch", Fault(status=403, message="Private repository storage limit reached"), times=1000)
    with caplog.at_level(logging.WARNING, "hf_clipdyn"):
        summary = publish(range(3), push_to_hub=True, retries=QUICK)
    assert summary.published == []
    assert "storage limit reached" in summary.message
    assert (
        sum("storage limit" in entry.getMessage() for entry in caplog.records if "hf_clipdyn" in entry.name)
        == 1
    )
    assert verify("me/run", store=tmp_path / "hub").findings == ()
    code, printed, _ = clipdyn("repair", tmp_path)
    assert code == 1
    assert "Not in me/run on the Hub: epoch-000, epoch-001, epoch-002" in printed
    hub.faults.clear()
    assert resume_publishing(tmp_path, retries=QUICK).missing == []


def test_retry_after_is_honoured(hub: HubServer, publish) -> None:
    hub.plant("commit", Fault(status=429, headers={"Retry-After": "2"}))
    started = time.monotonic()
    assert not publish(range(1), push_to_hub=True, retries=QUICK).missing
    assert time.monotonic() - started >= 2


def test_a_read_only_token_gives_one_clear_sentence_before_training(
    hub: HubServer, publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    for repository_exists in (False, True):
        if repository_exists:
            publish(range(1), push_to_hub=True, token=WRITE_TOKEN)
        with pytest.raises(PublishError, match="may not write to me/run on the Hub") as caught:
            publish(range(1), push_to_hub=True, token=READ_TOKEN)
        assert "\n" not in str(caught.value)
        assert READ_TOKEN not in str(caught.value)


def test_a_second_run_is_refused_and_the_same_run_is_continued(
    tmp_path: Path, hub: HubServer, publish
) -> None:
    publish(range(2), push_to_hub=True)
    with pytest.raises(RevisionError, match="another run"):
        publish(range(2), push_to_hub=True, output_dir=tmp_path / "other")
    with pytest.raises(PublishError, match="another recipe hash"):
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
    summary = publish(range(2), push_to_hub=True)
    assert summary.missing == ["epoch-001"]
    assert "exists in me/run on the Hub with other weights" in summary.message
    assert branches["epoch-001"] == elsewhere


def test_weights_that_the_server_records_otherwise_get_no_branch(hub: HubServer, publish) -> None:
    hub.plant("commit", Fault(spoil=True))
    summary = publish(range(1), push_to_hub=True)
    assert summary.missing == ["epoch-000"]
    assert "arrived incomplete or changed in me/run on the Hub" in summary.message
    assert "epoch-000" not in hub.repo("me/run").branches
    assert resume_publishing(summary_folder(summary), retries=QUICK).missing == []
    assert verify("me/run", deep=True).findings == ()


def summary_folder(summary) -> Path:
    return Path(summary.message.split("clipdyn repair ")[1].split("`")[0])


def test_the_same_weights_twice_are_published_with_a_warning_and_named_by_verify(
    tmp_path: Path, hub: HubServer, publish, trained, clipdyn, caplog
) -> None:
    summary = publish(range(3), push_to_hub=True, models=lambda epoch: trained(min(epoch, 1)))
    assert summary.missing == [], summary.message
    said = [one.getMessage() for one in caplog.records if "same weights" in one.getMessage()]
    assert said == ["epoch-002 has the same weights as epoch-001: training changed nothing between them."]
    for store in (None, tmp_path / "hub"):
        findings = [(one.revision, one.kind) for one in verify("me/run", store=store, deep=True).findings]
        assert findings == [("epoch-002", "identical-weights")]
    assert clipdyn("verify", "me/run")[0] == 1
    code, printed, _ = clipdyn("repair", tmp_path)
    assert (code, "Nothing had to be republished." in printed) == (0, True)


def test_what_version_0_3_refused_as_identical_is_published_and_what_it_allowed_is_no_finding(
    tmp_path: Path, publish, trained, clipdyn
) -> None:
    publish(range(3), models=lambda epoch: trained(min(epoch, 1)))
    store, journal = tmp_path / "hub", tmp_path / "publishing"
    path = journal / "entries" / "epoch-002.json"
    entry = json.loads(path.read_text())
    commit = entry["published"].pop("store")
    shutil.copytree(store / "models--me--run/snapshots" / commit, journal / "snapshots" / "epoch-002")
    (store / "models--me--run/refs/epoch-002").unlink()
    entry["row"]["identical_allowed"] = True
    path.write_text(
        json.dumps({**entry, "refused": {"store": "epoch-002 has the same weights as epoch-001."}})
    )
    run = json.loads((journal / "run.json").read_text())
    (journal / "run.json").write_text(json.dumps({**run, "allow_identical": True}))
    assert clipdyn("repair", tmp_path)[0] == 0
    assert verify("me/run", store=store).revisions == ("epoch-000", "epoch-001", "epoch-002")
    assert verify("me/run", store=store, deep=True).findings == ()


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
from hf_clipdyn.hub import RetryPolicy
from hf_clipdyn.revisions import Publisher, RevisionRecord
folder, token = Path(sys.argv[1]), sys.argv[2]
quick = RetryPolicy(base=0.02, cap=0.1, patience=1, timeout=5)
with Publisher("me/run", output_dir=folder, store=folder / "hub", card=CardFacts("me/run"), recipe_hash="r",
               push_to_hub=True, token=token, retries=quick) as publisher:
    publisher.check()
    save = lambda to: shutil.copytree(folder.parent / "source", to, dirs_exist_ok=True)
    publisher.submit(RevisionRecord("epoch-000", 0, 0, 0), save)
    print(publisher.finish().message)
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
