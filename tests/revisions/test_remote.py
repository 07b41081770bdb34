from hf_clipdyn.revisions import list_revisions


def test_a_run_is_published_to_the_hub_and_to_the_store_alike(tmp_path, hub, publish) -> None:
    summary = publish(range(3), push_to_hub=True)
    assert summary.missing == [], summary.message
    on_hub, in_store = list_revisions("me/run"), list_revisions("me/run", store=tmp_path / "hub")
    assert [revision.name for revision in on_hub] == ["epoch-000", "epoch-001", "epoch-002"]
    assert [revision.sha256 for revision in on_hub] == [revision.sha256 for revision in in_store]
    assert hub.repo("me/run").branches["main"] == on_hub[-1].commit
    assert hub.count("commit") == 3
