"""Checkpoints of open_clip that lie in a folder of a repository on the Hub are measured one at a time."""

import gc
import tempfile
from pathlib import Path

import pytest
from hub_server.state import File
from huggingface_hub import constants, hf_hub_download
from open_clip_runs import TINY, add_checkpoints, checkpoint, know_model

from hf_clipdyn.revisions import list_revisions, open_series

pytest.importorskip("open_clip")
MODEL = "ViT-Test-Hub"
REPO = "laion/laws"
RUN = "Model-T-8_Data-2B_Samples-3B_lr-1e-3_bs-88k"
PLACE = f"{REPO}/full_checkpoints/{RUN}"
EPOCHS = (1, 2, 12)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The epochs of a run and the first one of another, by their paths in the repository."""
    know_model(tmp_path_factory.mktemp("configs"), MODEL)
    saved = {epoch: checkpoint(TINY, epoch) for epoch in EPOCHS}
    run = {f"full_checkpoints/{RUN}/epoch_{epoch}.pt": saved[epoch] for epoch in EPOCHS}
    return run | {
        "full_checkpoints/another/epoch_1.pt": saved[2],
        f"full_checkpoints/{RUN}/epoch_latest.pt": saved[EPOCHS[-1]],
    }


@pytest.fixture(autouse=True)
def cache(files, hub, tmp_path, monkeypatch):
    """The cache of the Hub's client; its blobs are the checkpoints on the disk."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path / "hub"), raising=False)
    add_checkpoints(hub, REPO, files)
    return tmp_path / "hub"


@pytest.fixture
def downloads(tmp_path, monkeypatch):
    """The system's folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def _blobs(cache):
    return [path for path in cache.glob("models--laion--laws/blobs/*") if path.is_file()]


def test_a_run_on_the_hub_is_measured_and_leaves_nothing_on_the_disk(measure, cache, downloads):
    table = measure(PLACE, from_open_clip=MODEL, samples_per_epoch=213_334_440)
    assert table[["repo_id", "scale"]].drop_duplicates().to_numpy().tolist() == [[RUN, MODEL]]
    assert table["parameters"].notna().all()
    assert table["seed"].isna().all()
    seen = dict(zip(table["revision"], table["samples_seen"], strict=True))
    assert seen == {f"epoch-{epoch:03d}": 213_334_440 * epoch for epoch in EPOCHS}
    assert _blobs(cache) == list(downloads.rglob("*.pt")) == []


def test_a_file_of_the_users_cache_that_another_snapshot_shares_is_never_deleted(cache, hub, files):
    """The repository has moved on since the user's download, and its new commit has the same checkpoint."""
    first, *_ = files
    mine = Path(hf_hub_download(REPO, first))
    kept = mine.read_bytes()
    repo = hub.repo(REPO)
    head = repo.commits[repo.branches["main"]]
    repo.commit("main", "Say more", {**head.tree, "notes.md": File.small(b"more")})

    series = open_series(f"open_clip:{MODEL}@{PLACE}")
    for revision in series.revisions():
        assert (series.fetch(revision) / "config.json").is_file()
    del series
    gc.collect()
    assert mine.read_bytes() == kept
    assert len(_blobs(cache)) == 1


def test_a_copy_on_the_disk_has_the_same_commits(files, tmp_path):
    folder = tmp_path / RUN
    folder.mkdir()
    for path, content in files.items():
        if RUN in path:
            (folder / path.rpartition("/")[2]).write_bytes(content)
    on_hub = list_revisions(f"open_clip:{MODEL}@{PLACE}")
    assert list_revisions(f"open_clip:{MODEL}@{folder}") == on_hub
    assert list_revisions(f"open_clip:{MODEL}@{REPO}/{RUN}") == on_hub
    assert [one.epoch for one in on_hub] == list(EPOCHS)
