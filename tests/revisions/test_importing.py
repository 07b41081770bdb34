"""Checkpoints that open_clip wrote become a suite of revisions, from the disk and from the Hub."""

import io
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hub_server.server import HubServer
from hub_server.state import File, Repo
from stores import publish_one
from tiny_models import TEXT, VISION, pair, vision_model
from transformers import (
    BertConfig,
    BertModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    VisionTextDualEncoderModel,
)

from hf_clipdyn.cli import main
from hf_clipdyn.errors import ConfigError, ModelError
from hf_clipdyn.models.encoder import Encoder
from hf_clipdyn.models.open_clip import Converter, clip_config_of, from_open_clip, read_state_dict
from hf_clipdyn.revisions import list_revisions
from hf_clipdyn.revisions.importing import local_checkpoints
from hf_clipdyn.revisions.listing import open_series
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


def _run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as done:
        main([str(argument) for argument in arguments])
    return int(done.value.code or 0)


def test_epoch_checkpoints_become_revisions_with_their_gaps_and_no_invented_start(tmp_path: Path) -> None:
    for file, epoch in (("epoch_10.pt", 10), ("epoch_2.pt", 2), ("epoch_1.pt", 1)):
        torch.save(_checkpoint(epoch), tmp_path / file)
    files = [tmp_path / name for name in ("epoch_10.pt", "epoch_1.pt", "epoch_2.pt")]
    run, store = tmp_path / "run", tmp_path / "run" / "hub"
    options = ["--from-open-clip", NAME, "--output-dir", run, "--samples-per-epoch", 1000, "--license", "mit"]
    assert _run("convert", *files, "me/theirs", *options) == 0
    revisions = list_revisions("me/theirs", store=store)
    assert [revision.name for revision in revisions] == ["epoch-001", "epoch-002", "epoch-010"]
    assert [revision.samples_seen for revision in revisions] == [1000, 2000, 10_000]
    assert [revision.step for revision in revisions] == [None, None, None]
    weights = open_clip.CLIP(**CONFIG).parameters()
    known = (NAME, None, sum(weight.numel() for weight in weights))
    assert {(revision.scale, revision.seed, revision.parameters) for revision in revisions} == {known}
    assert verify("me/theirs", store=store, deep=True).findings == ()
    card = (store / "models--me--theirs/snapshots" / revisions[0].commit / "README.md").read_text()
    assert "license: mit" in card
    assert "`epoch_1.pt`" in card
    assert str(tmp_path) not in card

    from transformers import CLIPModel, CLIPProcessor

    where: dict[str, Any] = {"revision": "epoch-002", "cache_dir": store, "local_files_only": True}
    model = CLIPModel.from_pretrained("me/theirs", **where)
    assert model.config.vision_config.hidden_act == "quick_gelu"
    processor = CLIPProcessor.from_pretrained("me/theirs", **where)
    texts = ["a photo of a cat", "two dogs, running"]
    tokens = processor(text=texts, padding=True, return_tensors="pt")
    assert tokens.input_ids[0, :4].tolist() == [49406, 320, 1125, 539]
    original = open_clip.CLIP(**CONFIG).eval()
    original.load_state_dict(read_state_dict(tmp_path / "epoch_2.pt"))
    with torch.no_grad():
        ours = model.get_text_features(**tokens).pooler_output
        theirs = original.encode_text(open_clip.tokenize(texts))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_export_and_import_give_the_same_bits(tmp_path: Path) -> None:
    torch.save(_checkpoint(3), tmp_path / "epoch_3.pt")
    run = tmp_path / "run"
    assert (
        _run("convert", tmp_path / "epoch_3.pt", "me/theirs", "--from-open-clip", NAME, "--output-dir", run)
        == 0
    )
    for file in ("out.pt", "out.safetensors"):
        assert (
            _run("convert", "me/theirs", tmp_path / file, "--revisions", "epoch-003", "--store", run / "hub")
            == 0
        )
        before, after = read_state_dict(tmp_path / "epoch_3.pt"), read_state_dict(tmp_path / file)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)
        assert (tmp_path / file).stat().st_mode == (tmp_path / "epoch_3.pt").stat().st_mode
    open_clip.load_checkpoint(open_clip.CLIP(**CONFIG), str(tmp_path / "out.pt"))
    assert (
        _run("convert", "me/theirs", tmp_path / "x.pt", "--revisions", "epoch-009", "--store", run / "hub")
        == 2
    )
    assert _run("convert", "me/theirs", tmp_path / "x.bin", "--store", run / "hub") == 2


def _store(model: Any, folder: Path, processor: Any = None) -> Path:
    """A local store with that model as `me/run`."""

    def save(target: Path) -> None:
        model.save_pretrained(target)
        if processor is not None:
            processor.save_pretrained(target)

    return publish_one(folder, save)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_tiny_model_of_this_package_loads_in_open_clip_with_the_configuration_beside(
    tmp_path: Path, suffix: str
) -> None:
    from open_clip.tokenizer import HFTokenizer
    from transformers import CLIPModel, CLIPProcessor

    from hf_clipdyn.models.sizes import clip_config, clip_image_processor, model_size
    from hf_clipdyn.models.tokenizers import train_tokenizer

    texts = ["a red cat", "two dogs in a blue boat"]
    size = model_size("tiny")
    tokenizer = train_tokenizer(texts, vocab_size=600, context_length=size.context_length)
    torch.manual_seed(0)
    ours = CLIPModel(clip_config(size, tokenizer)).eval()
    processor = CLIPProcessor(clip_image_processor(size), tokenizer)
    store = _store(ours, tmp_path / "run", processor)
    out = tmp_path / f"of{suffix[1:]}{suffix}"
    assert _run("convert", "me/run", out, "--revisions", "epoch-000", "--store", store) == 0

    open_clip.add_model_config(out.with_suffix(".json"))
    assert open_clip.get_model_config(out.stem)["text_cfg"]["hf_tokenizer_name"] == "me/run"
    theirs = open_clip.create_model(out.stem, pretrained=str(out)).eval()
    processor.save_pretrained(tmp_path / "tokenizer")
    ids = HFTokenizer(str(tmp_path / "tokenizer"), context_length=size.context_length)(texts)
    images = torch.randn(2, 3, size.image_size, size.image_size)
    with torch.no_grad():
        torch.testing.assert_close(
            theirs.encode_image(images), ours.get_image_features(images).pooler_output, atol=1e-5, rtol=0
        )
        torch.testing.assert_close(
            theirs.encode_text(ids), ours.get_text_features(ids).pooler_output, atol=1e-5, rtol=0
        )
    torch.testing.assert_close(theirs.logit_scale, ours.logit_scale)


def _foreign(name: str) -> Any:
    if name == "vit":
        return vision_model("ViT")
    if name == "siglip":
        return pair("Siglip", text=TEXT | {"projection_size": 16})
    if name == "clip_vision_model":
        sizes = CLIPVisionConfig(**VISION, projection_dim=8)
        return CLIPVisionModelWithProjection(sizes)
    text = BertModel(BertConfig(**TEXT))
    return VisionTextDualEncoderModel(vision_model=vision_model("ViT"), text_model=text)


@pytest.mark.parametrize("name", ["vit", "siglip", "clip_vision_model", "vision-text-dual-encoder"])
def test_a_model_that_is_no_clip_is_refused_and_nothing_is_written(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = _store(_foreign(name), tmp_path / "run")
    out = tmp_path / "out.pt"
    assert _run("convert", "me/run", out, "--store", store) == 1
    assert f"is of the type {name}: open_clip can load only" in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    "lost", ["visual_projection.weight", "text_model.final_layer_norm.bias", "logit_scale"]
)
def test_a_revision_without_some_weights_is_refused_with_their_names(
    tmp_path: Path, lost: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = pair("CLIP", text=TEXT | {"eos_token_id": 39}, projection_dim=8)
    weights = {key: value for key, value in model.state_dict().items() if key != lost}

    class Torn:
        def save_pretrained(self, folder: Path) -> None:
            model.save_pretrained(folder, state_dict=weights)

    out = tmp_path / "out.safetensors"
    assert _run("convert", "me/run", out, "--store", _store(Torn(), tmp_path / "run")) == 1
    assert f"lack 1 tensors of clip, for example {lost}." in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("kind", ["models", "datasets"])
def test_checkpoints_are_fetched_one_by_one_from_a_repository_of_either_type(
    tmp_path: Path, hub: HubServer, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    repo = hub.state.repos[kind, "laion/laws"] = Repo(kind, "laion/laws")
    head = (
        "---\nlicense: mit\ndatasets: laion/laion400m\n---\n"
        if kind == "models"
        else "---\nlicense: mit\n---\n"
    )
    tree = {"README.md": File.small(head.encode())}
    for epoch in (1, 2):
        buffer = io.BytesIO()
        torch.save(_checkpoint(epoch), buffer)
        for name in ("a", "b"):
            hub.state.large[sha256(buffer.getvalue()).hexdigest()] = buffer.getvalue()
            tree[f"full/{name}/epoch_{epoch}.pt"] = File.large(
                sha256(buffer.getvalue()).hexdigest(), len(buffer.getvalue())
            )
    commit = repo.commit("main", "checkpoints", tree).oid
    options = ["me/theirs", "--from-open-clip", NAME, "--output-dir", tmp_path / "run"]
    assert _run("convert", "laion/laws", *options) == 2
    assert "choose one, by --run or as laion/laws/FOLDER" in capsys.readouterr().err
    assert _run("convert", "laion/laws/c", *options) == 2
    assert _run("convert", "laion/laws/b", *options) == 0
    revisions = list_revisions("me/theirs", store=tmp_path / "run" / "hub")
    assert [revision.name for revision in revisions] == ["epoch-001", "epoch-002"]
    snapshot = tmp_path / "run/hub/models--me--theirs/snapshots" / revisions[1].commit
    card = (snapshot / "README.md").read_text()
    assert "license: mit" in card
    assert f"laion/laws) at commit `{commit}`, `full/b/epoch_2.pt`" in card
    fetched = hub.count("resolve-get")
    assert _run("convert", "laion/laws/b", *options) == 0
    assert hub.count("resolve-get") == fetched, "what is published is not fetched again"


def test_bad_calls_are_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").touch()
    torch.save(_checkpoint(1)["state_dict"], tmp_path / "last.pt")
    torch.save(_checkpoint(1), tmp_path / "epoch_1.pt")
    torch.save(_checkpoint(1), tmp_path / "again.pt")
    for files, said in (
        ([tmp_path / "none.pt"], "There is no checkpoint"),
        ([tmp_path / "last.pt"], "has no epoch"),
        ([tmp_path / "epoch_1.pt", tmp_path / "again.pt"], "both of epoch 1"),
        ([], "no checkpoint to import"),
    ):
        with pytest.raises(ConfigError, match=said):
            local_checkpoints(files)
    assert _run("convert", "me/theirs", "--from-open-clip", NAME) == 2
    assert _run("convert", tmp_path / "epoch_1.pt", "me/x", "--from-open-clip", "ViT-none") == 2


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
    assert _run("verify", f"open_clip:{NAME}@{folder}", "--deep") == 0
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


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_checkpoints_are_converted_in_memory(tmp_path: Path, suffix: str) -> None:
    from safetensors.torch import save_file

    files = [tmp_path / f"epoch_{epoch}{suffix}" for epoch in (1, 2)]
    for epoch, file in enumerate(files, start=1):
        if suffix == ".pt":
            torch.save(_checkpoint(epoch), file)
        else:
            save_file(_checkpoint(epoch)["state_dict"], file)
    series = open_series(f"open_clip:{NAME}@{tmp_path}")
    folders = [series.fetch(one) for one in series.revisions()]
    for folder, file in zip(folders, files, strict=True):
        weights = [one for one in folder.iterdir() if "open_clip" in one.name]
        assert [one.readlink() for one in weights] == [file]
        assert not any(one.name.startswith(("model", "pytorch_model")) for one in folder.iterdir())
    encoder = Encoder.from_folder(folders[0], device="cpu")
    assert encoder.load(folders[1]), "the weights must go into the live model"
    expected = from_open_clip(read_state_dict(files[1]), clip_config_of(CONFIG)).state_dict()
    found = encoder.model.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_a_checkpoint_that_is_split_over_devices_gives_the_same_numbers(tmp_path: Path) -> None:
    torch.save(_checkpoint(1), tmp_path / "epoch_1.pt")
    series = open_series(f"open_clip:{NAME}@{tmp_path}")
    (folder,) = map(series.fetch, series.revisions())
    whole, spread = (Encoder.from_folder(folder, device=device) for device in ("cpu", "auto"))
    np.testing.assert_array_equal(spread.embed_texts(["a cat"]), whole.embed_texts(["a cat"]))
    assert spread.load(folder) is False


def test_a_plain_folder_is_exported_and_other_names_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(_checkpoint(1), tmp_path / "epoch_1.pt")
    (folder,) = local_checkpoints([tmp_path / "epoch_1.pt"]).checkpoints
    with folder.file as path:
        Converter(NAME)(path, tmp_path / "mine")
    assert _run("convert", tmp_path / "mine", tmp_path / "out.pt") == 0
    before, after = read_state_dict(tmp_path / "epoch_1.pt"), read_state_dict(tmp_path / "out.pt")
    assert all(torch.equal(before[name], after[name]) for name in before)
    capsys.readouterr()
    for arguments, said in (
        ((tmp_path / "mine", tmp_path / "mine"), "is a folder: name the file to write"),
        (
            (tmp_path / "mine", tmp_path / "a.pt", "--revisions", "epoch-007"),
            "There is no revision 'epoch-007'",
        ),
        ((tmp_path / "none", tmp_path / "a.pt"), "neither a folder here nor a name that the Hub accepts"),
    ):
        assert _run("convert", *arguments) == 2
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("open_clip:", "names no checkpoints"),
        (f"open_clip:{NAME}", "names no checkpoints"),
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


def test_a_hostile_checkpoint_is_one_sentence_when_it_is_read(tmp_path: Path) -> None:
    import pickle

    (tmp_path / "epoch_1.pt").write_bytes(pickle.dumps(print))
    series = open_series(f"open_clip:{NAME}@{tmp_path}")
    with pytest.raises(ModelError, match=r"epoch_1\.pt cannot be read as a checkpoint"):
        Encoder.from_folder(series.fetch(series.revisions()[0]))
