"""What version 0.3 left on disks and on the Hub loads and verifies; `kept/README.md` says what it is.

What is not public is used in `manifest_of` and `loaded` alone.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_server.server import HubServer
from hub_server.state import Commit, File, Repo, is_large
from transformers import CLIPModel

from hf_clipdyn import evaluate_revisions, list_revisions
from hf_clipdyn.models.encoder import read_config, read_model
from hf_clipdyn.revisions import open_series
from hf_clipdyn.revisions.manifest import Manifest
from hf_clipdyn.revisions.published import Published

KEPT = Path(__file__).resolve().parent / "kept"
RECORDED = json.loads((KEPT / "recorded.json").read_text(encoding="utf-8"))
STORES = [(place, repo_id) for place, found in RECORDED.items() if place != "hub" for repo_id in found]

Clipdyn = Callable[..., tuple[int, str, str]]


@pytest.fixture
def served(hub: HubServer) -> HubServer:
    """A Hub with the kept repositories, under the commits that they had."""
    commits = json.loads((KEPT / "hub" / "branches.json").read_text(encoding="utf-8"))
    for repo_id, branches in commits.items():
        repo = Repo("models", repo_id)
        own = repo.commits[repo.branches["main"]].tree  # .gitattributes
        for branch, oid in branches.items():
            tree = dict(own)
            folder = KEPT / "hub" / repo_id.rpartition("/")[2] / branch
            for path in sorted(folder.iterdir()):
                content, sha256 = path.read_bytes(), RECORDED["hub"][repo_id][branch]["sha256"]
                if is_large(path.name, len(content)):  # the weights alone
                    hub.state.large[sha256] = content
                    tree[path.name] = File.large(sha256, len(content))
                else:
                    tree[path.name] = File.small(content)
            repo.commits[oid] = Commit(oid, None, branch, datetime(2026, 1, 1, tzinfo=UTC), tree)
            repo.branches[branch] = oid
        hub.state.repos["models", repo_id] = repo
    return hub


def manifest_of(repo_id: str, store: Path | None = None) -> Manifest:
    """The manifest on `main`."""
    repository = open_series(repo_id, store)
    assert isinstance(repository, Published)
    manifest = repository.manifest(repository.refs())
    assert manifest is not None
    return manifest


def loaded(repo_id: str, revision: str, store: Path | None = None) -> Any:
    """The model of a revision, with adapters merged into their base."""
    series = open_series(repo_id, store)
    (found,) = (one for one in series.revisions() if one.name == revision)
    folder = series.fetch(found)
    return read_model(folder, read_config(folder))


def assert_gives(model: Any, recorded: dict[str, Any]) -> None:
    """The model gives what it gave when it was written, see `outputs` in the script that kept/README.md names."""
    pixels = torch.linspace(-2, 2, 3 * 24 * 24).reshape(1, 3, 24, 24)
    words = torch.tensor([[596, 5, 60, 250, 597]])
    with torch.no_grad():
        found = model.eval()(input_ids=words, attention_mask=torch.ones_like(words), pixel_values=pixels)
    for key in ("image_embeds", "text_embeds"):
        torch.testing.assert_close(found[key][0, :4], torch.tensor(recorded[key]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("place", "repo_id"), STORES)
def test_the_revisions_of_a_kept_store_are_listed_with_their_hashes_and_verify(
    clipdyn: Clipdyn, place: str, repo_id: str
) -> None:
    recorded = RECORDED[place][repo_id]
    revisions = list_revisions(repo_id, KEPT / place)
    assert {one.name: one.sha256 for one in revisions} == {
        name: one["sha256"] for name, one in recorded.items() if name != "main"
    }
    assert revisions[-1].sha256 == recorded["main"]["sha256"]
    for one in revisions:
        assert_gives(loaded(repo_id, one.name, KEPT / place), recorded[one.name])
    code, printed, error = clipdyn("verify", repo_id, "--store", KEPT / place, "--deep")
    assert code == 0, printed + error


@pytest.mark.usefixtures("served")
def test_a_kept_repository_of_the_hub_loads_and_verifies(clipdyn: Clipdyn) -> None:
    recorded = RECORDED["hub"]["someone/clip"]
    revisions = list_revisions("someone/clip")
    assert [one.name for one in revisions] == ["epoch-000", "epoch-001", "epoch-002"]
    for one in revisions:
        assert one.sha256 == recorded[one.name]["sha256"]
        assert_gives(CLIPModel.from_pretrained("someone/clip", revision=one.name), recorded[one.name])
    assert_gives(CLIPModel.from_pretrained("someone/clip"), recorded["main"])
    (parent,) = manifest_of("someone/clip").parents
    assert (parent.repo_id, parent.revision) == ("someone/base", "main")
    assert len(str(parent.commit)) == 40
    code, printed, error = clipdyn("verify", "someone/clip", "--deep")
    assert code == 0, printed + error


@pytest.mark.usefixtures("served")
# PEFT uses names that transformers calls deprecated, and asks for a folder of the base model.
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("store", [KEPT / "adapter" / "hub", None], ids=["store", "hub"])
def test_kept_adapters_load_merged_into_the_revision_that_they_were_trained_on(
    clipdyn: Clipdyn, store: Path | None
) -> None:
    pytest.importorskip("peft", reason="PEFT is not installed: `pip install peft`")
    recorded = RECORDED["hub"]["someone/adapters"]
    revisions = list_revisions("someone/adapters", store)
    assert [one.name for one in revisions] == ["epoch-000", "epoch-001"]
    for one in revisions:
        assert one.sha256 == recorded[one.name]["sha256"]
        assert_gives(loaded("someone/adapters", one.name, store), recorded[one.name])
    table = evaluate_revisions("someone/adapters", "zero_shot/procedural", store=store, show_progress=False)
    assert set(table["revision"]) == {"epoch-000", "epoch-001"}
    (parent,) = manifest_of("someone/adapters", store).parents
    assert parent.repo_id == "someone/clip"
    code, printed, error = clipdyn(
        "verify", "someone/adapters", "--deep", *(() if store is None else ("--store", store))
    )
    assert code == 0, printed + error
