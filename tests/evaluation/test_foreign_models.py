"""Models that others published: suites without a manifest, single models, an offline cache."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hub_server.server import HubServer
from hub_server.state import File, is_large
from huggingface_hub import HfApi, constants, snapshot_download

from hf_clipdyn.errors import ModelError, RevisionError, RevisionNotFoundError
from hf_clipdyn.revisions import list_revisions


@pytest.fixture
def upload(hub: HubServer, save_model, tmp_path) -> Callable[..., str]:
    """`upload("them/suite", "epoch-2", seed=2)`: a model on a branch, by no publisher of this package."""

    def put(repo_id: str, branch: str, seed: int, files: dict[str, bytes] | None = None) -> str:
        if ("models", repo_id) not in hub.state.repos:
            HfApi().create_repo(repo_id)
        repo = hub.repo(repo_id)
        repo.branches.setdefault(branch, repo.branches["main"])
        if files is None:
            folder = tmp_path / f"{repo_id.replace('/', '-')}-{branch}"
            save_model(seed)(folder)
            files = {path.name: path.read_bytes() for path in folder.iterdir()}
        tree = dict(repo.commits[repo.branches[branch]].tree)
        for name, content in files.items():
            if is_large(name, len(content)):
                sha256 = hashlib.sha256(content).hexdigest()
                hub.state.large[sha256] = content
                tree[name] = File.large(sha256, len(content))
            else:
                tree[name] = File.small(content)
        return repo.commit(branch, branch, tree).oid

    return put


def test_a_suite_without_a_manifest_is_measured_in_natural_order(hub, upload, measure):
    for epoch in (10, 2, 1):
        upload("them/suite", f"epoch-{epoch}", seed=epoch)
    repo = hub.repo("them/suite")
    repo.branches["main"] = repo.branches["epoch-10"]
    table = measure("them/suite")
    facts = table[["revision", "epoch"]].drop_duplicates().to_numpy().tolist()
    assert facts == [["epoch-1", 1], ["epoch-2", 2], ["epoch-10", 10]]
    assert table["step"].isna().all()
    assert table["samples_seen"].isna().all()
    assert dict(zip(table["revision"], table["commit"], strict=True)) == {
        name: repo.branches[name] for name in ("epoch-1", "epoch-2", "epoch-10")
    }


def test_main_is_the_last_revision_where_it_is_a_state_of_its_own(upload):
    for name, seed in (("main", 3), ("v2", 2), ("v10", 1)):
        upload("them/suite", name, seed)
    assert [revision.name for revision in list_revisions("them/suite")] == ["v2", "v10", "main"]


def test_branches_without_weights_are_left_out(upload, measure):
    upload("them/suite", "pages", 0, {"index.html": b"<p>"})
    upload("them/suite", "epoch-1", 1)
    assert set(measure("them/suite")["revision"]) == {"epoch-1"}


def test_a_single_model_is_one_revision_also_offline_from_the_clients_cache(
    hub, upload, measure, monkeypatch, tmp_path
):
    commit = upload("openai/clip", "main", seed=1)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    online = measure("openai/clip")
    assert set(online["revision"]) == {"main"}
    assert set(online["commit"]) == {commit}
    assert online[["epoch", "step", "samples_seen"]].isna().all(axis=None)
    assert set(online["texts"]) == {"own"}

    snapshot_download("openai/clip", cache_dir=tmp_path / "cache")
    hub.stop()
    stored = measure("openai/clip", store=tmp_path / "cache")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    offline = measure("openai/clip")
    for table in (stored, offline):
        assert table.drop(columns="seconds").equals(online.drop(columns="seconds"))
    with pytest.raises(RevisionNotFoundError, match="no openai/other in"):
        measure("openai/other")


def test_weights_in_the_older_format_are_read_where_there_are_no_others(
    hub, upload, measure, save_model, tmp_path
):
    import io

    import torch
    from safetensors.torch import load_file

    upload("them/new", "main", seed=1)
    save_model(1)(tmp_path / "old")
    buffer = io.BytesIO()
    torch.save(load_file(tmp_path / "old" / "model.safetensors"), buffer)
    files = {
        path.name: path.read_bytes() for path in (tmp_path / "old").iterdir() if path.suffix != ".safetensors"
    }
    upload("them/old", "main", 1, files | {"pytorch_model.bin": buffer.getvalue()})
    assert measure("them/old")["value"].equals(measure("them/new")["value"])
    upload("them/both", "main", 1)
    upload("them/both", "main", 1, {"pytorch_model.bin": b"not to be fetched"})
    assert measure("them/both")["value"].equals(measure("them/new")["value"])
    fetched: set[Path] = set(Path(constants.HF_HUB_CACHE).glob("models--them--both/snapshots/*/*.bin"))
    assert not fetched


@pytest.mark.parametrize("texts", ["last", "own"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b'{"a":'),
        ("config.json", b'{"model_type": "nobody"}'),
        ("processor_config.json", b"{"),
        ("processor_config.json", b"[]"),
        ("tokenizer.json", b"[]"),
    ],
)
def test_a_revision_whose_settings_are_broken_is_one_clear_sentence(
    upload, measure, tmp_path, name, content, texts
):
    """It is the last one, so that its texts are asked for as well; the revision before it is kept."""
    repo_id, output = "them/broken", tmp_path / "results.parquet"
    upload(repo_id, "epoch-1", seed=1)
    upload(repo_id, "epoch-2", seed=2)
    upload(repo_id, "epoch-2", seed=2, files={name: content})
    with pytest.raises(ModelError, match=r"models--them--broken.*: \w+"):
        measure(repo_id, output=output, texts=texts)
    assert texts == "last" or set(pd.read_parquet(output)["revision"]) == {"epoch-1"}


def test_a_repository_without_a_configuration_is_one_clear_sentence(upload, measure):
    repo_id = "them/weights"
    upload(repo_id, "main", seed=1, files={"model.safetensors": b"weights"})
    with pytest.raises(RevisionError, match="main of them/weights on the Hub has no model files"):
        measure(repo_id)
