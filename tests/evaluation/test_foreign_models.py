"""Models that others published: suites without a manifest, single models, an offline cache."""

import hashlib
import io
from pathlib import Path

import pandas as pd
import pytest
import torch
from hub_server.state import File, is_large
from huggingface_hub import HfApi, constants, snapshot_download
from safetensors.torch import load_file

from hf_clipdyn.errors import ModelError, RevisionNotFoundError


@pytest.fixture
def upload(hub, save_model, tmp_path):
    """`upload("them/suite", "epoch-2", seed=2)`: a model on a branch, by no publisher of this package."""

    def put(repo_id, branch, seed, files=None):
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
    with pytest.raises(RevisionNotFoundError, match="openai/other"):
        measure("openai/other")


def test_weights_in_the_older_format_are_read_where_there_are_no_others(
    hub, upload, measure, save_model, tmp_path
):
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
    assert not list(Path(constants.HF_HUB_CACHE).glob("models--them--both/snapshots/*/*.bin"))


@pytest.mark.parametrize("texts", ["last", "own"])
@pytest.mark.parametrize("name", ["config.json", "processor_config.json", "tokenizer.json"])
def test_a_revision_whose_settings_are_broken_is_named_and_the_one_before_is_kept(
    upload, measure, tmp_path, name, texts
):
    """It is the last one, so that its texts are asked for as well."""
    output = tmp_path / "results.parquet"
    for seed in (1, 2):
        upload("them/broken", f"epoch-{seed}", seed)
    upload("them/broken", "epoch-2", 2, files={name: b"[]"})
    with pytest.raises(ModelError, match="models--them--broken"):
        measure("them/broken", output=output, texts=texts)
    assert texts == "last" or set(pd.read_parquet(output)["revision"]) == {"epoch-1"}
