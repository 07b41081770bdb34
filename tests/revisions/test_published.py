"""Branches and a manifest become revisions: on the Hub, in folders, and in a cache or a kept store."""

import shutil
from hashlib import sha256
from pathlib import Path

import pytest
from hub_server.faults import Fault
from hub_server.server import HubServer
from hub_server.state import Repo
from huggingface_hub import HfApi

from hf_clipdyn.errors import RevisionError, RevisionNotFoundError
from hf_clipdyn.revisions import list_revisions, open_series
from hf_clipdyn.revisions.published import HubRun
from hf_clipdyn.revisions.store import Store
from hf_clipdyn.revisions.verify import repair, verify


def test_a_foreign_suite_is_listed_by_number_with_the_hashes_that_the_hub_records(hub: HubServer) -> None:
    repo = hub.state.repos["models", "them/suite"] = Repo("models", "them/suite")
    first = repo.branches["main"]
    for name in ("step1000", "step2", "epoch_7", "step10"):
        repo.branches[name] = first
        repo.commit(name, name, {"pytorch_model.bin": hub.state.stored(name.encode())})
    revisions = list_revisions("them/suite")
    assert [one.name for one in revisions] == ["step2", "step10", "step1000", "epoch_7", "main"]
    assert [one.epoch for one in revisions] == [None, None, None, 7, None]
    assert {(one.step, one.samples_seen, one.scale, one.seed, one.parameters) for one in revisions} == {
        (None,) * 5
    }
    *weighed, main = revisions
    assert [one.sha256 for one in weighed] == [sha256(one.name.encode()).hexdigest() for one in weighed]
    assert [one.size for one in weighed] == [len(one.name) for one in weighed]
    assert (main.sha256, main.size) == (None, None), "it has no weights"
    assert [one.commit for one in revisions] == [repo.branches[one.name] for one in revisions]
    repo.tags["step1"] = first  # a tag counts, and main is left out where another name has its commit
    names = [one.name for one in list_revisions("them/suite")]
    assert names == ["step1", "step2", "step10", "step1000", "epoch_7"]


def test_a_run_on_the_hub_lists_what_its_folders_do_and_asks_once_for_each_revision(
    tmp_path: Path, suite: HubServer
) -> None:
    HfApi().upload_file(path_or_fileobj=b"# results", path_in_repo="RESULTS.md", repo_id="me/run")
    suite.repo("me/run").tags["epoch-001-replaced"] = suite.repo("me/run").branches["main"]
    suite.seen.clear()
    on_hub, here = open_series("me/run"), open_series(tmp_path)
    listed = on_hub.revisions()
    for mine, served in zip(here.revisions(), listed, strict=True):
        assert vars(mine) | {"commit": ""} == vars(served) | {"commit": ""}
        assert served.commit == suite.repo("me/run").branches[served.name]
    assert [(one.name, one.loss) for one in listed] == [
        ("epoch-000", None),
        ("epoch-001", 4.0),
        ("epoch-002", 2.0),
        ("epoch-003", 4 / 3),
    ]
    assert {(one.scale, one.seed, one.parameters) for one in listed} == {("tiny", 7, 12_345)}
    assert len(suite.seen) <= 4 + 3


def test_a_folder_that_changes_after_it_was_listed_is_not_the_revision_any_more(
    tmp_path: Path, publish
) -> None:
    publish(range(3))
    series = open_series(tmp_path)
    first, second, third = series.revisions()
    assert series.fetch(first) == tmp_path / "revisions" / "epoch-000"
    (tmp_path / "revisions" / "epoch-001" / "config.json").write_text("{}")
    shutil.rmtree(tmp_path / "revisions" / "epoch-002")
    for gone in (second, third):
        with pytest.raises(RevisionNotFoundError, match="has changed since it was listed"):
            series.fetch(gone)
    assert [one.name for one in series.revisions()] == ["epoch-000", "epoch-001"]


def test_a_folder_that_is_not_of_the_run_is_named_and_nothing_goes_on_without_it(
    tmp_path: Path, publish
) -> None:
    publish(range(3))
    folder = tmp_path / "revisions"
    (folder / "notes").mkdir()
    shutil.copytree(folder / "epoch-000", folder / "epoch-007")
    for goes_on in (lambda: list_revisions(tmp_path), lambda: publish(range(4))):
        with pytest.raises(RevisionError, match="epoch-007"):
            goes_on()
    assert ("epoch-007", "moved-branch") in {(one.revision, one.kind) for one in verify(tmp_path).findings}
    shutil.rmtree(folder / "epoch-007")
    assert [one.name for one in list_revisions(tmp_path)] == ["epoch-000", "epoch-001", "epoch-002"]


def test_a_run_whose_newest_manifest_is_damaged_goes_on_and_repair_writes_it_again(
    tmp_path: Path, publish
) -> None:
    publish(range(3))
    folder = tmp_path / "revisions"
    (folder / "epoch-002" / "revisions.json").write_text("{")
    assert [(one.revision, one.kind) for one in verify(tmp_path, deep=True).findings] == [
        ("epoch-002", "unreadable-manifest")
    ]
    assert publish(range(4)).published == ["epoch-000", "epoch-001", "epoch-002", "epoch-003"]
    assert repair(tmp_path).is_whole
    assert verify(tmp_path, deep=True).findings == ()
    shutil.rmtree(folder)
    with pytest.raises(RevisionNotFoundError, match="has no revisions"):
        Store(tmp_path).refs()


def test_a_cache_is_read_by_its_refs_and_no_link_out_of_it_is_followed(
    tmp_path: Path, suite: HubServer
) -> None:
    client = HfApi()
    cache = tmp_path / "cache"
    folders = [
        Path(client.snapshot_download("me/run", revision=name, cache_dir=cache))
        for name in ("epoch-000", "epoch-001", "main")
    ]
    stored = open_series("me/run", cache)
    first, second, _ = stored.revisions()
    assert list_revisions("me/run")[:2] == [first, second]
    assert stored.fetch(second) == folders[1]
    assert {one.kind for one in verify("me/run", store=cache, deep=True).findings} == {"missing-branch"}
    (tmp_path / "other").write_bytes(b"of another")
    (folders[0] / "model.safetensors").unlink()
    (folders[0] / "model.safetensors").symlink_to(tmp_path / "other")
    assert stored.revisions()[0].sha256 is None
    with pytest.raises(RevisionNotFoundError, match=r"no file model\.safetensors"):
        stored.file(first.commit, "model.safetensors")
    shutil.rmtree(folders[1])
    with pytest.raises(RevisionNotFoundError):
        stored.fetch(second)
    found = {(one.revision, one.kind) for one in verify("me/run", store=cache).findings}
    assert found >= {("epoch-001", "missing-branch"), ("epoch-000", "no-weights")}
    (cache / "models--me--run" / "refs" / "epoch-000").write_text("main")
    with pytest.raises(RevisionError, match="epoch-000 does not contain a commit"):
        stored.revisions()


def test_what_the_hub_no_longer_serves_is_not_taken_from_a_cache(suite: HubServer) -> None:
    series = HubRun("me/run")
    assert b'"name": "epoch-000"' in series.read("epoch-000", "revisions.json")
    main = suite.repo("me/run").branches["main"]
    suite.repo("me/run").commits[main].tree.pop("revisions.json")
    with pytest.raises(RevisionNotFoundError, match="me/run on the Hub does not exist, lacks this"):
        series.read("main", "revisions.json")


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_repository_that_is_not_there_or_may_not_be_read_is_not_found_and_another_error_is_none(
    suite: HubServer, status: int
) -> None:
    suite.plant("refs", Fault(status=status), times=9)
    with pytest.raises(RevisionError, match="me/run on the Hub") as caught:
        list_revisions("me/run")
    assert isinstance(caught.value, RevisionNotFoundError) == (status != 400)
