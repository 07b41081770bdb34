from pathlib import Path

import pytest
from hub_server.server import HubServer
from huggingface_hub import HfApi

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.revisions import list_revisions
from hf_clipdyn.revisions.published import HubRun
from hf_clipdyn.revisions.verify import verify


def test_a_run_is_published_to_the_hub_and_to_folders_alike(tmp_path, hub, publish) -> None:
    summary = publish(range(3), push_to_hub=True)
    assert summary.missing == [], summary.message
    on_hub, in_store = list_revisions("me/run"), list_revisions(tmp_path)
    assert [revision.name for revision in on_hub] == ["epoch-000", "epoch-001", "epoch-002"]
    assert [revision.sha256 for revision in on_hub] == [revision.sha256 for revision in in_store]
    assert hub.repo("me/run").branches["main"] == on_hub[-1].commit
    assert hub.count("commit") == 3


def test_a_late_revision_enters_the_manifest_of_main_which_stays_the_newest(
    tmp_path: Path, hub: HubServer, publish
) -> None:
    publish([0, 2], push_to_hub=True)
    assert publish(range(3), push_to_hub=True).missing == []
    for name in ("me/run", tmp_path):
        revisions = list_revisions(name)
        assert [revision.name for revision in revisions] == ["epoch-000", "epoch-001", "epoch-002"]
        assert [revision.epoch for revision in revisions] == [0, 1, 2]
        assert verify(name, deep=True).findings == ()
    repository = HubRun("me/run")
    main = repository.refs()["main"]
    assert b"epoch-002" in repository.read(main, "README.md")
    assert repository.files(main)["model.safetensors"].sha256 == revisions[2].sha256


def _sent(hub: HubServer) -> int:
    return sum(hub.count(kind) for kind in ("preupload", "lfs-batch", "lfs-put", "commit"))


def test_a_public_repository_is_refused_where_a_private_one_was_asked_for_before_a_byte_is_sent(
    tmp_path: Path, hub: HubServer, publish
) -> None:
    HfApi().create_repo("me/run")
    with pytest.raises(ConfigError, match="me/run exists and is public: make it private") as caught:
        publish(range(1), push_to_hub=True, private=True)
    assert "\n" not in str(caught.value)
    assert _sent(hub) == 0

    hub.repo("me/run").private = True
    assert publish(range(1), push_to_hub=True, private=True).missing == []
