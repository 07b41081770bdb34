"""Checkpoints that open_clip wrote become a suite of revisions, from the disk and from the Hub."""

import gc
from pathlib import Path

import pytest
import torch
from hub_server.server import HubServer
from hub_server.state import File
from huggingface_hub import ModelCard, constants
from open_clip_runs import TINY, add_checkpoints, checkpoint, know_model, save_checkpoint
from safetensors.torch import load_file, save_file
from transformers import CLIPModel, CLIPProcessor

from hf_clipdyn.errors import ModelError, RevisionNotFoundError
from hf_clipdyn.models.open_clip import clip_config_of, from_open_clip, read_state_dict
from hf_clipdyn.revisions import list_revisions, open_series
from hf_clipdyn.revisions.verify import verify

open_clip = pytest.importorskip("open_clip")

NAME = "ViT-Test-8-quickgelu"
CONFIG = TINY | {"quick_gelu": True}


@pytest.fixture(autouse=True)
def small_model(tmp_path_factory: pytest.TempPathFactory) -> None:
    know_model(tmp_path_factory.mktemp("configs"), NAME, CONFIG)


def test_epoch_checkpoints_become_revisions_with_their_gaps_and_no_invented_start(
    tmp_path: Path, clipdyn
) -> None:
    files = [tmp_path / name for name in ("epoch_10.pt", "epoch_1.pt", "latest.pt")]
    for file, epoch in zip(files, (10, 1, 2), strict=True):
        save_checkpoint(CONFIG, epoch, file)
    run = tmp_path / "run"
    options = ["--from-open-clip", NAME, "--output-dir", run, "--samples-per-epoch", 1000, "--license", "mit"]
    assert clipdyn("import", *files, "me/theirs", *options)[0] == 0
    revisions = list_revisions(run)
    assert [(one.name, one.samples_seen, one.step) for one in revisions] == [
        ("epoch-001", 1000, None),
        ("epoch-002", 2000, None),
        ("epoch-010", 10_000, None),
    ]
    original = open_clip.CLIP(**CONFIG).eval()
    parameters = sum(weight.numel() for weight in original.parameters())
    assert {(one.scale, one.seed, one.parameters) for one in revisions} == {(NAME, None, parameters)}
    assert verify(run, deep=True).findings == ()
    card = (run / "revisions" / "epoch-001" / "README.md").read_text()
    assert ("license: mit" in card, "`epoch_1.pt`" in card, str(tmp_path) in card) == (True, True, False)

    model = CLIPModel.from_pretrained(run / "revisions" / "epoch-002")
    processor = CLIPProcessor.from_pretrained(run / "revisions" / "epoch-002")
    texts = ["a photo of a cat", "two dogs, running"]
    tokens = processor(text=texts, padding=True, return_tensors="pt")
    assert tokens.input_ids[0, :4].tolist() == [49406, 320, 1125, 539]
    original.load_state_dict(read_state_dict(tmp_path / "latest.pt"))
    with torch.no_grad():
        ours = model.get_text_features(**tokens).pooler_output
        theirs = original.encode_text(open_clip.tokenize(texts))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["models", "datasets"])
def test_checkpoints_are_fetched_one_by_one_from_a_repository_of_either_type(
    tmp_path: Path, hub: HubServer, kind: str, clipdyn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    files = {f"full/{run}/epoch_{epoch}.pt": checkpoint(CONFIG, epoch) for run in "ab" for epoch in (1, 2)}
    repo_id = "laion/laws"
    tree = dict(add_checkpoints(hub, repo_id, files | {"full/b/epoch_latest.pt": b""}, kind))
    named = "[laion/two, laion/five]" if kind == "models" else "laion/two"
    tree["README.md"] = File.small(f"---\nlicense: mit\ndatasets: {named}\n---\n".encode())
    commit = hub.repo(repo_id, kind).commit("main", "Say more", tree).oid
    options = ["me/theirs", "--from-open-clip", NAME, "--output-dir", tmp_path / "run"]
    for place, said in (("laws", "laion/laws"), ("laws/c", "'c'"), ("none", "laion/none")):
        code, _, error = clipdyn("import", f"laion/{place}", *options)
        assert (code in (1, 2), said in error) == (True, True), error
    for _ in range(2):
        assert clipdyn("import", "laion/laws/b", *options)[0] == 0
        assert hub.count("resolve-get") == 2, "what is published is not fetched again"
    assert [one.name for one in list_revisions(tmp_path / "run")] == ["epoch-001", "epoch-002"]
    card = (tmp_path / "run" / "revisions" / "epoch-002" / "README.md").read_text()
    data = ModelCard(card).data
    datasets = ["laion/two", "laion/five"][: 1 + (kind == "models")]
    assert (data.license, data.datasets) == ("mit", datasets)
    assert f"laion/laws) at commit `{commit}`, `full/b/epoch_2.pt`" in card


@pytest.mark.parametrize(
    ("places", "model", "said"),
    [
        ("none.pt", NAME, "'none.pt' is neither"),
        ("epoch_1.pt none.pt", NAME, "'none.pt' is neither"),
        ("me/none/epoch_1.safetensors", NAME, "'me/none/epoch_1.safetensors' is neither"),
        ("/no/where", NAME, "'/no/where' is neither"),
        ("empty", NAME, "contains no checkpoints of open_clip"),
        ("last.pt", NAME, "last.pt has no epoch"),
        ("text.pt", NAME, "text.pt has the epoch ../../x"),
        ("epoch_1.pt again.pt", NAME, "both of epoch 1"),
        ("epoch_1.pt", "ViT-None", "ViT-None"),
    ],
)
def test_a_wrong_name_of_checkpoints_is_one_sentence(
    places: str, model: str, said: str, tmp_path: Path, clipdyn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    save_checkpoint(CONFIG, 1, tmp_path / "epoch_1.pt")
    save_checkpoint(CONFIG, 1, tmp_path / "again.pt")
    torch.save(read_state_dict(tmp_path / "again.pt"), tmp_path / "last.pt")
    torch.save({"epoch": "../../x", "state_dict": {}}, tmp_path / "text.pt")
    code, _, error = clipdyn("import", *places.split(), "me/theirs", "--from-open-clip", model)
    assert (code in (1, 2), said in error, error.count("\n")) == (True, True, 1), error


def test_checkpoints_are_listed_and_read_without_an_import(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    for name, epoch in {"10": 10, "1": 1, "2": 2, "latest": 10}.items():
        save_checkpoint(CONFIG, epoch, folder / f"epoch_{name}.pt")
    series = open_series(f"open_clip:{NAME}@{folder}")
    revisions = series.revisions()
    assert (series.repo_id, series.on_disk) == ("run", True)
    assert [(one.name, one.epoch) for one in revisions] == [
        ("epoch-001", 1),
        ("epoch-002", 2),
        ("epoch-010", 10),
    ]
    assert len({one.commit for one in revisions} | {one.sha256 for one in revisions}) == 6
    settings = {path.name for path in series.fetch(revisions[0], settings_only=True).iterdir()}
    assert ("config.json" in settings, "model.safetensors" in settings) == (True, False)
    assert list_revisions(f"open_clip:{NAME}@{folder / 'epoch_2.pt'}") == [revisions[1]]
    (latest,) = list_revisions(f"open_clip:{NAME}@{folder / 'epoch_latest.pt'}")
    assert (latest.name, latest.epoch) == ("epoch-010", 10)
    torch.save(read_state_dict(folder / "epoch_latest.pt"), folder / "weights.pt")
    (unnamed,) = list_revisions(f"open_clip:{NAME}@{folder / 'weights.pt'}")
    assert (unnamed.name, unnamed.epoch) == ("main", None)
    elsewhere = open_series(f"open_clip:{NAME}@{folder}")
    assert (elsewhere.fetch(revisions[1]) / "config.json").is_file(), "another process has listed it"
    save_checkpoint(CONFIG, 3, folder / "epoch_2.pt")
    with pytest.raises(RevisionNotFoundError, match="has changed since it was listed"):
        open_series(f"open_clip:{NAME}@{folder}").fetch(revisions[1])


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_checkpoints_are_converted_with_two_at_a_time_on_the_disk(tmp_path: Path, suffix: str) -> None:
    for epoch in (1, 2, 3):
        file = tmp_path / f"epoch_{epoch}.pt"
        save_checkpoint(CONFIG, epoch, file)
        if suffix == ".safetensors":
            save_file(read_state_dict(file), file.with_suffix(suffix))
            file.unlink()
    (tmp_path / f"epoch_4{suffix}").write_bytes(b"no weights")
    series = open_series(f"open_clip:{NAME}@{tmp_path}")
    first, second, third, broken = series.revisions()
    folders = [series.fetch(first), series.fetch(second)]
    assert series.fetch(first) == folders[0]
    written = (folders[0] / "model.safetensors").stat().st_mtime_ns
    folders.append(series.fetch(third))
    assert [folder.exists() for folder in folders] == [True, False, True], "the first was used last"
    assert (series.fetch(first) / "model.safetensors").stat().st_mtime_ns == written
    with pytest.raises(ModelError, match="epoch_4"):
        series.fetch(broken)
    assert (series.fetch(third) / "model.safetensors").is_file(), "it made room for the broken one"
    expected = from_open_clip(read_state_dict(tmp_path / f"epoch_3{suffix}"), clip_config_of(CONFIG))
    found = load_file(folders[2] / "model.safetensors")
    assert found.keys() == expected.state_dict().keys()
    assert all(torch.equal(found[name], value) for name, value in expected.state_dict().items())
    del series
    gc.collect()
    assert not any(folder.exists() for folder in folders)
