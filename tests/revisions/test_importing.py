"""Checkpoints that open_clip wrote become a suite of revisions, from the disk and from the Hub."""

import gc
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hub_server.server import HubServer
from hub_server.state import File, Repo
from huggingface_hub import ModelCard, constants, hf_hub_download

from hf_clipdyn.errors import ConfigError, RevisionNotFoundError
from hf_clipdyn.models.encoder import Encoder
from hf_clipdyn.models.open_clip import clip_config_of, from_open_clip, read_state_dict
from hf_clipdyn.revisions import list_revisions, open_series
from hf_clipdyn.revisions.importing import checkpoints
from hf_clipdyn.revisions.verify import verify

open_clip = pytest.importorskip("open_clip")

NAME = "ViT-Test-8-quickgelu"
CONFIG: dict[str, Any] = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
}


@pytest.fixture(autouse=True)
def small_model(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A small architecture with CLIP's own vocabulary, made known to open_clip in the way that it offers."""
    folder = tmp_path_factory.mktemp("configs")
    (folder / f"{NAME}.json").write_text(json.dumps(CONFIG))
    open_clip.add_model_config(folder)


def _checkpoint(epoch: int, prefix: str = "module.") -> dict[str, Any]:
    torch.manual_seed(epoch)
    weights = open_clip.CLIP(**CONFIG).state_dict()
    return {
        "epoch": epoch,
        "name": "a run",
        "state_dict": {prefix + key: value for key, value in weights.items()},
    }


def test_epoch_checkpoints_become_revisions_with_their_gaps_and_no_invented_start(
    tmp_path: Path, clipdyn
) -> None:
    for file, epoch in (("epoch_10.pt", 10), ("epoch_2.pt", 2), ("epoch_1.pt", 1)):
        torch.save(_checkpoint(epoch), tmp_path / file)
    files = [tmp_path / name for name in ("epoch_10.pt", "epoch_1.pt", "epoch_2.pt")]
    run = tmp_path / "run"
    options = ["--from-open-clip", NAME, "--output-dir", run, "--samples-per-epoch", 1000, "--license", "mit"]
    assert clipdyn("import", *files, "me/theirs", *options)[0] == 0
    revisions = list_revisions(run)
    assert [revision.name for revision in revisions] == ["epoch-001", "epoch-002", "epoch-010"]
    assert [revision.samples_seen for revision in revisions] == [1000, 2000, 10_000]
    assert [revision.step for revision in revisions] == [None, None, None]
    weights = open_clip.CLIP(**CONFIG).parameters()
    known = (NAME, None, sum(weight.numel() for weight in weights))
    assert {(revision.scale, revision.seed, revision.parameters) for revision in revisions} == {known}
    assert verify(run, deep=True).findings == ()
    card = (run / "revisions" / "epoch-001" / "README.md").read_text()
    assert "license: mit" in card
    assert "`epoch_1.pt`" in card
    assert str(tmp_path) not in card

    from transformers import CLIPModel, CLIPProcessor

    model = CLIPModel.from_pretrained(run / "revisions" / "epoch-002")
    assert model.config.vision_config.hidden_act == "quick_gelu"
    processor = CLIPProcessor.from_pretrained(run / "revisions" / "epoch-002")
    texts = ["a photo of a cat", "two dogs, running"]
    tokens = processor(text=texts, padding=True, return_tensors="pt")
    assert tokens.input_ids[0, :4].tolist() == [49406, 320, 1125, 539]
    original = open_clip.CLIP(**CONFIG).eval()
    original.load_state_dict(read_state_dict(tmp_path / "epoch_2.pt"))
    with torch.no_grad():
        ours = model.get_text_features(**tokens).pooler_output
        theirs = original.encode_text(open_clip.tokenize(texts))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["models", "datasets"])
def test_checkpoints_are_fetched_one_by_one_from_a_repository_of_either_type(
    tmp_path: Path, hub: HubServer, kind: str, clipdyn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    repo = hub.state.repos[kind, "laion/laws"] = Repo(kind, "laion/laws")
    named = "[laion/two, laion/five]" if kind == "models" else "laion/two"
    tree = {"README.md": File.small(f"---\nlicense: mit\ndatasets: {named}\n---\n".encode())}
    tree["full/b/epoch_latest.pt"] = tree["full/b/epoch_1.txt"] = File.small(b"")
    for epoch in (1, 2):
        buffer = io.BytesIO()
        torch.save(_checkpoint(epoch), buffer)
        for name in ("a", "b"):
            tree[f"full/{name}/epoch_{epoch}.pt"] = hub.state.stored(buffer.getvalue())
    commit = repo.commit("main", "checkpoints", tree).oid
    options = ["me/theirs", "--from-open-clip", NAME, "--output-dir", tmp_path / "run"]
    for place, said in (("laws", "laion/laws has 2 folders"), ("laws/c", "'c'"), ("none", "laion/none")):
        code, _, error = clipdyn("import", f"laion/{place}", *options)
        assert (code in (1, 2), said in error) == (True, True), error
    assert clipdyn("import", "laion/laws/b", *options)[0] == 0
    revisions = list_revisions(tmp_path / "run")
    assert [revision.name for revision in revisions] == ["epoch-001", "epoch-002"]
    card = (tmp_path / "run" / "revisions" / "epoch-002" / "README.md").read_text()
    data = ModelCard(card).data
    assert (data.license, data.datasets[0], len(data.datasets)) == (
        "mit",
        "laion/two",
        1 + (kind == "models"),
    )
    assert f"laion/laws) at commit `{commit}`, `full/b/epoch_2.pt`" in card
    fetched = hub.count("resolve-get")
    assert clipdyn("import", "laion/laws/b", *options)[0] == 0
    assert hub.count("resolve-get") == fetched, "what is published is not fetched again"
    series = open_series(f"open_clip:{NAME}@laion/laws/full/b", samples_per_epoch=10)
    assert [(one.name, one.samples_seen) for one in series.revisions()] == [
        ("epoch-001", 10),
        ("epoch-002", 20),
    ]
    assert (series.repo_id, series.on_disk) == ("b", False)
    mine = hf_hub_download("laion/laws", "full/b/epoch_1.pt", repo_type=kind[:-1])
    for one, there in zip(series.revisions(), revisions, strict=True):
        converted = series.fetch(one) / "model.safetensors"
        assert (
            converted.read_bytes() == (tmp_path / "run/revisions" / there.name / converted.name).read_bytes()
        )
    assert hub.count("resolve-get") == fetched + 2, "the one in the client's cache is not fetched again"
    assert Path(mine).is_file()


def test_bad_calls_are_told_in_one_sentence(tmp_path: Path, clipdyn) -> None:
    torch.save(_checkpoint(1)["state_dict"], tmp_path / "last.pt")
    torch.save(_checkpoint(1), tmp_path / "epoch_1.pt")
    torch.save(_checkpoint(1), tmp_path / "again.pt")
    for files, said in (
        ([tmp_path / "none.pt"], "none.pt does not exist"),
        ([tmp_path / "last.pt"], "has no epoch"),
        ([tmp_path / "epoch_1.pt", tmp_path / "again.pt"], "both of epoch 1"),
    ):
        with pytest.raises(ConfigError, match=said):
            checkpoints(files)
    assert clipdyn("import", "me/theirs", "--from-open-clip", NAME)[0] == 2
    assert clipdyn("import", tmp_path / "epoch_1.pt", "me/x", "--from-open-clip", "ViT-none")[0] == 2
    for missing in (tmp_path / "none.pt", "me/none.pt", "me/none/epoch_1.safetensors"):
        code, _, error = clipdyn("import", missing, "me/x", "--from-open-clip", NAME)
        assert (code, f"{missing} does not exist" in error) == (2, True)


def test_checkpoints_are_listed_and_read_without_an_import(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    for epoch in (10, 1, 2):
        torch.save(_checkpoint(epoch), folder / f"epoch_{epoch}.pt")
    torch.save(_checkpoint(10), folder / "epoch_latest.pt")
    series = open_series(f"open_clip:{NAME}@{folder}")
    revisions = series.revisions()
    assert series.repo_id == "run"
    assert [(one.name, one.epoch) for one in revisions] == [
        ("epoch-001", 1),
        ("epoch-002", 2),
        ("epoch-010", 10),
    ]
    assert len({one.commit for one in revisions} | {one.sha256 for one in revisions}) == 6
    assert {one.scale for one in revisions} == {NAME}
    settings = {path.name for path in series.fetch(revisions[0], settings_only=True).iterdir()}
    assert "config.json" in settings
    assert "model.safetensors" not in settings
    encoder = Encoder.from_folder(series.fetch(revisions[0]), device="cpu")
    for one in revisions:
        encoder.load(series.fetch(one))
        original = open_clip.CLIP(**CONFIG).eval()
        original.load_state_dict(read_state_dict(folder / f"epoch_{one.epoch}.pt"))
        with torch.no_grad():
            expected = original.encode_text(open_clip.tokenize(["a cat"]))
        np.testing.assert_allclose(encoder.embed_texts(["a cat"]), expected, atol=1e-5)
    (alone,) = list_revisions(f"open_clip:{NAME}@{folder / 'epoch_2.pt'}")
    assert alone == revisions[1]
    (latest,) = list_revisions(f"open_clip:{NAME}@{folder / 'epoch_latest.pt'}")
    assert (latest.name, latest.epoch) == ("main", None)
    elsewhere = open_series(f"open_clip:{NAME}@{folder}")
    assert (elsewhere.fetch(revisions[1]) / "config.json").is_file(), "another process has listed it"
    torch.save(_checkpoint(3), folder / "epoch_2.pt")
    with pytest.raises(RevisionNotFoundError, match="has changed since it was listed"):
        open_series(f"open_clip:{NAME}@{folder}").fetch(revisions[1])


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_checkpoints_are_converted_with_two_at_a_time_on_the_disk(tmp_path: Path, suffix: str) -> None:
    from safetensors.torch import save_file

    files = [tmp_path / f"epoch_{epoch}{suffix}" for epoch in (1, 2, 3)]
    for epoch, file in enumerate(files, start=1):
        if suffix == ".pt":
            torch.save(_checkpoint(epoch), file)
        else:
            save_file(_checkpoint(epoch)["state_dict"], file)
    series = open_series(f"open_clip:{NAME}@{tmp_path}")
    first, second, third = series.revisions()
    folders = [series.fetch(first), series.fetch(second)]
    assert series.fetch(first) == folders[0]
    written = (folders[0] / "model.safetensors").stat().st_mtime_ns
    folders.append(series.fetch(third))
    assert [folder.exists() for folder in folders] == [True, False, True], "the first was used last"
    assert (series.fetch(first) / "model.safetensors").stat().st_mtime_ns == written
    encoder = Encoder.from_folder(folders[0], device="cpu")
    assert encoder.load(folders[2]), "the weights must go into the live model"
    expected = from_open_clip(read_state_dict(files[2]), clip_config_of(CONFIG)).state_dict()
    found = encoder.model.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    assert all(file.is_file() for file in files)
    del series
    gc.collect()
    assert not any(folder.exists() for folder in folders)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("open_clip:", "names no checkpoints"),
        (f"open_clip:{NAME}@", "names no checkpoints"),
        (f"open_clip:{NAME}@/no/where", "names no checkpoints"),
        ("open_clip:@here", "names no checkpoints"),
        (f"open_clip:{NAME}@here", "contains no checkpoints of open_clip"),
        ("open_clip:ViT-None@here/full", "ViT-None"),
    ],
)
def test_a_wrong_name_of_checkpoints_is_one_sentence(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / "full").mkdir(parents=True)
    (tmp_path / "here" / "full" / "epoch_1.pt").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=said):
        list_revisions(name)
