import json
from pathlib import Path

import pytest
from hub_server.server import HubServer
from hub_server.state import File, Repo
from huggingface_hub import HfApi

from hf_clipdyn.errors import ConfigError, RevisionNotFoundError
from hf_clipdyn.revisions import list_revisions, load_revision


def _suite(hub: HubServer, names: list[str]) -> Repo:
    repo = hub.state.repos["models", "them/suite"] = Repo("models", "them/suite")
    start = repo.branches["main"]
    for name in names:
        repo.branches[name] = start
        sha256 = f"{len(hub.state.large):064x}"
        hub.state.large[sha256] = b"weights"
        repo.commit(name, name, {"pytorch_model.bin": File.large(sha256, 7)})
    return repo


def test_a_foreign_suite_is_listed_by_number_with_the_hashes_that_the_hub_records(hub: HubServer) -> None:
    repo = _suite(hub, ["step1000", "step2", "step143000", "step10"])
    repo.branches["main"] = repo.branches["step143000"]
    revisions = list_revisions("them/suite")
    assert [revision.name for revision in revisions] == ["step2", "step10", "step1000", "step143000"]
    assert [(revision.step, revision.samples_seen) for revision in revisions] == [(None, None)] * 4
    assert {(revision.scale, revision.seed, revision.parameters) for revision in revisions} == {(None,) * 3}
    assert len({revision.sha256 for revision in revisions}) == 4


def test_tags_count_as_revisions_and_main_where_no_other_name_has_its_commit(hub: HubServer) -> None:
    repo = _suite(hub, ["step2"])
    assert [revision.name for revision in list_revisions("them/suite")] == ["step2", "main"]
    repo.tags["step1"] = repo.branches["main"]
    assert [revision.name for revision in list_revisions("them/suite")] == ["step1", "step2"]


def test_a_card_that_follows_on_main_makes_no_further_revision(hub: HubServer, publish) -> None:
    publish(range(2), push_to_hub=True)
    HfApi().upload_file(path_or_fileobj=b"# results", path_in_repo="RESULTS.md", repo_id="me/run")
    assert [revision.name for revision in list_revisions("me/run")] == ["epoch-000", "epoch-001"]


def test_a_listing_asks_the_hub_once_for_each_revision_and_three_times_more(hub: HubServer, publish) -> None:
    publish(range(5), push_to_hub=True)
    before = len(hub.seen)
    assert len(list_revisions("me/run")) == 5
    assert len(hub.seen) - before <= 5 + 3


def test_a_run_below_runs_is_found_by_its_local_name(
    tmp_path: Path, publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(range(1), folder=tmp_path / "runs" / "a", repo_id=None)
    publish(range(2), folder=tmp_path / "runs" / "study" / "b", repo_id=None)
    monkeypatch.chdir(tmp_path)
    assert len(list_revisions("local/a")) == 1
    assert len(list_revisions("local/b")) == 2


def test_load_revision_loads_by_folder_and_from_the_hub(tmp_path: Path, hub: HubServer, publish) -> None:
    publish(range(3), push_to_hub=True)
    first = load_revision(tmp_path, "epoch-000").state_dict()
    other = load_revision("me/run@epoch-000").state_dict()
    newest = load_revision(tmp_path).state_dict()
    assert all(bool((first[name] == other[name]).all()) for name in first)
    assert any(bool((first[name] != newest[name]).any()) for name in first)
    with pytest.raises(RevisionNotFoundError, match="no revision 'epoch-009'"):
        load_revision(tmp_path, "epoch-009")


def test_what_does_not_exist_is_one_clear_error(hub: HubServer, tmp_path: Path) -> None:
    with pytest.raises(RevisionNotFoundError, match="me/none on the Hub does not exist"):
        list_revisions("me/none")
    with pytest.raises(RevisionNotFoundError, match="There is no me/none in"):
        list_revisions("me/none", store=tmp_path)
    with pytest.raises(ConfigError, match="contains no model"):
        list_revisions(tmp_path)


def test_the_command_prints_a_table_or_json(tmp_path: Path, publish, clipdyn) -> None:
    publish(range(2))
    code, printed, _ = clipdyn("revisions", tmp_path)
    assert code == 0
    head, first, second = printed.splitlines()
    assert head.split() == ["revision", "epoch", "step", "samples", "seen", "loss", "commit", "sha256"]
    assert first.split()[:5] == ["epoch-000", "0", "0", "0", "-"]
    assert second.split()[:5] == ["epoch-001", "1", "10", "40", "4.0000"]
    rows = json.loads(clipdyn("revisions", tmp_path, "--json")[1])
    assert [row["name"] for row in rows] == ["epoch-000", "epoch-001"]
    assert all(len(row["commit"]) == 40 and len(row["sha256"]) == 64 for row in rows)
    code, _, error = clipdyn("revisions", "me/other", "--store", tmp_path)
    assert code == 2
    assert "There is no me/other in" in error
