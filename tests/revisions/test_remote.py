from pathlib import Path

import pytest
from hub_server.server import HubServer
from huggingface_hub import HfApi

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.revisions import Publisher, list_revisions, resume_publishing
from hf_clipdyn.revisions.listing import open_series
from hf_clipdyn.revisions.repository import sha256_of
from hf_clipdyn.revisions.verify import verify


def test_a_run_is_published_to_the_hub_and_to_the_store_alike(tmp_path, hub, publish) -> None:
    summary = publish(range(3), push_to_hub=True)
    assert summary.missing == [], summary.message
    on_hub, in_store = list_revisions("me/run"), list_revisions("me/run", store=tmp_path / "hub")
    assert [revision.name for revision in on_hub] == ["epoch-000", "epoch-001", "epoch-002"]
    assert [revision.sha256 for revision in on_hub] == [revision.sha256 for revision in in_store]
    assert hub.repo("me/run").branches["main"] == on_hub[-1].commit
    assert hub.count("commit") == 3


@pytest.mark.parametrize("place", ["store", "hub"])
def test_a_late_revision_enters_the_manifest_of_main_which_stays_the_newest(
    tmp_path: Path, hub: HubServer, publish, place: str
) -> None:
    store = tmp_path / "hub"
    places = {"store": store} if place == "store" else {"store": None, "push_to_hub": True}
    publish([0, 2], **places)
    assert publish(range(3), **places).missing == []
    where = store if place == "store" else None
    revisions = list_revisions("me/run", store=where)
    assert [revision.name for revision in revisions] == ["epoch-000", "epoch-001", "epoch-002"]
    assert [revision.epoch for revision in revisions] == [0, 1, 2]
    assert verify("me/run", store=where, deep=True).findings == ()
    repository = open_series("me/run", where).repository
    main = repository.refs()["main"]
    assert b"epoch-002" in repository.read(main, "README.md")
    assert sha256_of(repository, main) == revisions[2].sha256


def _sent(hub: HubServer) -> int:
    return sum(hub.count(kind) for kind in ("preupload", "lfs-batch", "lfs-put", "commit"))


def test_a_public_repository_is_refused_where_a_private_one_was_asked_for_before_a_byte_is_sent(
    tmp_path: Path, hub: HubServer, publish, trained, record
) -> None:
    HfApi().create_repo("me/run")
    with pytest.raises(ConfigError, match="The model me/run exists and is public: make it private") as caught:
        publish(range(1), push_to_hub=True, private=True)
    assert "\n" not in str(caught.value)
    assert _sent(hub) == 0

    # A loop of somebody's own that does not call `check` is told at the end.
    options = {"store": tmp_path / "own" / "hub", "push_to_hub": True, "private": True}
    with Publisher("me/run", output_dir=tmp_path / "own", **options) as publisher:
        publisher.submit(record(0), trained(0))
        summary = publisher.finish()
    assert summary.missing == ["epoch-000"]
    assert "The model me/run exists and is public" in summary.message
    assert _sent(hub) == 0

    hub.repo("me/run").private = True
    assert resume_publishing(tmp_path / "own").missing == []
