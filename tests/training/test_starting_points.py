"""Runs that continue a trained model, as a folder or as a revision of a store."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hub_server.server import HubServer
from huggingface_hub import HfApi, ModelCard, snapshot_download
from safetensors.torch import load_file
from training_runs import finished, hashes
from transformers import AutoModel, CLIPConfig, CLIPModel, CLIPProcessor, SiglipConfig, SiglipModel

from hf_clipdyn import plugins
from hf_clipdyn.cards import Parent
from hf_clipdyn.errors import ConfigError, ModelError, RevisionNotFoundError
from hf_clipdyn.models.sizes import (
    MODEL_SIZES,
    clip_config,
    clip_image_processor,
    siglip_config,
    siglip_processor,
)
from hf_clipdyn.models.tokenizers import train_tokenizer
from hf_clipdyn.revisions import list_revisions
from hf_clipdyn.revisions.manifest import Manifest, read_manifest
from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.training.model import read_processor

Flags = Callable[..., list[str]]
TRACKER = """
import json
from pathlib import Path

from accelerate.tracking import GeneralTracker


class Notebook(GeneralTracker):
    name, requires_logging_directory, tracker = "ledger", False, None

    def store_init_configuration(self, values):
        Path(__file__ + ".json").write_text(json.dumps(values))

    def log(self, values, step, **kwargs):
        pass
"""
TINY = MODEL_SIZES["tiny"]


def _processor() -> CLIPProcessor:
    tokenizer = train_tokenizer(["a red picture .", "noise in blue"], vocab_size=600, context_length=12)
    return CLIPProcessor(image_processor=clip_image_processor(TINY), tokenizer=tokenizer)


def _clip(folder: Path) -> Path:
    """A CLIP model with random weights and a vocabulary of its own."""
    torch.manual_seed(7)
    processor = _processor()
    config: CLIPConfig = clip_config(TINY, processor.tokenizer)
    config.text_config.max_position_embeddings = 12
    CLIPModel(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _siglip(folder: Path) -> Path:
    torch.manual_seed(7)
    processor = siglip_processor(_processor())
    config: SiglipConfig = siglip_config(TINY, processor.tokenizer)
    config.text_config.max_position_embeddings = 12
    model = SiglipModel(config)
    torch.nn.init.constant_(model.logit_bias, -3.0)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _weights(run: Path, revision: str) -> dict[str, torch.Tensor]:
    return dict(AutoModel.from_pretrained(run / "revisions" / revision).state_dict())


def _changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    assert before.keys() == after.keys()
    return {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}


def test_the_revisions_of_a_continued_model_begin_with_its_weights_and_its_own_tokenizer(
    flags: Flags, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    begin = _clip(tmp_path / "begin")
    summary = finished(flags(model_name_or_path=begin, num_train_epochs=1))
    assert summary.published == ["epoch-000", "epoch-001"]
    first = _weights(summary.folder, "epoch-000")
    assert _changed(load_file(begin / "model.safetensors"), first) == set()
    last = _weights(summary.folder, "epoch-001")
    everything = {"vision_model", "visual_projection", "text_model", "text_projection", "logit_scale"}
    assert _changed(first, last) == everything
    processor = CLIPProcessor.from_pretrained(summary.folder / "revisions" / "epoch-001")
    assert processor.tokenizer.get_vocab() == _processor().tokenizer.get_vocab()
    assert processor.tokenizer.model_max_length == 12
    assert {r.scale for r in list_revisions(summary.folder)} == {"begin"}
    assert f"The run continues {begin}. It trains logit_scale, text_model" in capfd.readouterr().err


def _newest(run: Path) -> tuple[ModelCard, Manifest]:
    """The card and the manifest of the newest revision of a run."""
    folder = run / "revisions" / list_revisions(run)[-1].name
    return ModelCard.load(folder / "README.md"), read_manifest(folder)


def test_a_run_continues_from_a_revision_of_another_run(flags: Flags, tmp_path: Path) -> None:
    first = finished(flags("first", num_train_epochs=2))
    begin = first.folder / "revisions" / "epoch-001"
    second = finished(flags("second", hub_model_id="me/second", num_train_epochs=1, model_name_or_path=begin))
    assert hashes(second.folder)[0] == hashes(first.folder)[1]
    card, manifest = _newest(second.folder)
    assert manifest.parents == (), "me/run was not pushed"
    assert "| continues | epoch-001 |" in card.text
    assert str(tmp_path) not in card.text
    assert manifest.planned == ("epoch-000", "epoch-001")
    with pytest.raises(RevisionNotFoundError, match="epoch-007"):
        finished(flags("third", model_name_or_path=first.folder / "revisions" / "epoch-007"))


def test_a_revision_of_a_pushed_run_is_the_parent_of_the_next_one(flags: Flags, hub: HubServer) -> None:
    first = finished(flags("first", num_train_epochs=1, push_to_hub=True))
    on_hub = {"hub_model_id": "me/second", "model_name_or_path": "me/run@epoch-001"}
    on_disk = {
        "hub_model_id": "me/third",
        "model_name_or_path": first.folder / "revisions" / "epoch-001",
    }
    commit = hub.repo("me/run").branches["epoch-001"]
    for name, changes, known in (("second", on_hub, commit), ("third", on_disk, None)):
        run = finished(flags(name, num_train_epochs=1, **changes)).folder
        card, manifest = _newest(run)
        assert manifest.parents == (Parent("me/run", "epoch-001", known),)
        assert (card.data.base_model, card.data["base_model_relation"]) == (["me/run"], "finetune")


def test_a_folder_in_a_clients_cache_is_named_by_its_repository_and_its_commit(
    flags: Flags, tmp_path: Path, hub: HubServer
) -> None:
    finished(flags("first", num_train_epochs=1, push_to_hub=True))
    (commit,) = {hub.repo("me/run").branches["epoch-001"]}
    folder = snapshot_download("me/run", revision="epoch-001", cache_dir=tmp_path / "client")
    (Path(folder) / "revisions.json").unlink()  # as of a model that this package did not publish
    begin = {"model_name_or_path": folder, "num_train_epochs": 1}
    second = finished(flags("second", hub_model_id="me/second", **begin))
    card, manifest = _newest(second.folder)
    assert manifest.parents == (Parent("me/run", None, commit),)
    assert card.data.base_model == ["me/run"]
    assert "| continues | me/run |" in card.text
    assert str(tmp_path) not in card.text


def test_no_path_of_this_machine_is_in_what_a_run_pushes_or_tells_its_trackers(
    flags: Flags, tmp_path: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "_loaded", {})
    tracker = tmp_path / "ledger.py"
    tracker.write_text(TRACKER, encoding="utf-8")
    begin = _clip(tmp_path / "begin")
    summary = finished(
        flags(
            model_name_or_path=begin,
            num_train_epochs=1,
            push_to_hub=True,
            ema_decay=0.9,
            plugin=tracker,
            report_to="ledger",
        )
    )
    assert summary.missing == []
    for repo in (hub.repo("me/run"), hub.repo("me/run-ema")):
        for commit in repo.commits.values():
            for path, file in commit.tree.items():
                assert str(tmp_path).encode() not in hub.state.content(file), path
        card = hub.state.content(repo.resolve("main").tree["README.md"]).decode()
        assert "| dataset | photographs |" in card
        assert "| continues | begin |" in card
    told = json.loads((tmp_path / "ledger.py.json").read_text(encoding="utf-8"))
    assert (told["dataset_name"], told["model_name_or_path"]) == ("photographs", "begin")
    assert str(tmp_path) not in json.dumps(told)


@pytest.mark.parametrize("public", ["me/run", "me/run-ema"])
def test_no_byte_is_sent_if_a_repository_that_shall_be_private_is_public(
    flags: Flags, hub: HubServer, public: str
) -> None:
    HfApi().create_repo(public)
    private = {"push_to_hub": True, "hub_private_repo": True, "ema_decay": 0.9}
    with pytest.raises(ConfigError, match=rf"{public} exists and is public: make it private"):
        finished(flags(num_train_epochs=1, **private))
    assert [seen.kind for seen in hub.seen if seen.kind in ("preupload", "lfs-put", "commit")] == []


@pytest.mark.parametrize(
    ("freeze", "trained"),
    [
        ("vision", {"text_model", "text_projection", "logit_scale"}),
        ("text", {"vision_model", "visual_projection", "logit_scale"}),
    ],
)
def test_a_frozen_side_keeps_its_weights_and_its_projection(
    flags: Flags, tmp_path: Path, capfd: pytest.CaptureFixture[str], freeze: str, trained: set[str]
) -> None:
    begin = _clip(tmp_path / "begin")
    summary = finished(flags(model_name_or_path=begin, freeze=freeze, num_train_epochs=1))
    before, after = (_weights(summary.folder, name) for name in ("epoch-000", "epoch-001"))
    assert _changed(before, after) == trained
    kept = sorted({name.partition(".")[0] for name in before} - trained)
    assert f"It does not train {', '.join(kept)}." in capfd.readouterr().err


@pytest.mark.parametrize(("loss", "trains_bias"), [("sigmoid", True), ("contrastive", False)])
def test_a_siglip_model_is_continued_with_either_loss(
    flags: Flags, tmp_path: Path, loss: str, trains_bias: bool
) -> None:
    begin = _siglip(tmp_path / "begin")
    summary = finished(flags(model_name_or_path=begin, loss=loss, freeze="vision", num_train_epochs=1))
    before, after = (_weights(summary.folder, name) for name in ("epoch-000", "epoch-001"))
    assert _changed(load_file(begin / "model.safetensors"), before) == set()
    assert _changed(before, after) == {"text_model", "logit_scale"} | (
        {"logit_bias"} if trains_bias else set()
    )


def test_a_killed_and_resumed_run_of_a_continued_model_keeps_its_beginning(
    flags: Flags, tmp_path: Path
) -> None:
    begin = {"model_name_or_path": _clip(tmp_path / "begin"), "freeze": "vision"}
    whole = finished(flags("whole", num_train_epochs=2, **begin))
    finished(flags("parts", num_train_epochs=2, **begin))
    resumed = finished(flags("parts", num_train_epochs=2, resume_from_checkpoint="true", **begin))
    expected, found = (list_revisions(s.folder) for s in (whole, resumed))
    assert [r.sha256 for r in found] == [r.sha256 for r in expected]


def test_a_loss_with_a_bias_refuses_a_model_without_one(flags: Flags, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="use loss contrastive"):
        finished(flags(model_name_or_path=_clip(tmp_path / "begin"), loss="sigmoid"))


def test_a_model_that_needs_code_of_its_own_is_refused(flags: Flags, tmp_path: Path) -> None:
    begin = _clip(tmp_path / "begin")
    config = json.loads((begin / "config.json").read_text(encoding="utf-8"))
    config |= {"model_type": "theirs", "auto_map": {"AutoConfig": "code.Config", "AutoModel": "code.Model"}}
    (begin / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (begin / "code.py").write_text("raise SystemExit('code of a repository was run')", encoding="utf-8")
    with pytest.raises(ModelError, match="code from a repository is never run"):
        finished(flags(model_name_or_path=begin))
    assert not (tmp_path / "run").exists()


def test_another_kind_of_model_and_an_unfitting_processor_are_refused(tmp_path: Path) -> None:
    begin = _clip(tmp_path / "begin")
    settings = begin / "processor_config.json"
    content = json.loads(settings.read_text(encoding="utf-8"))
    content["image_processor"]["crop_size"] = {"height": 48, "width": 48}
    settings.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelError, match="gives 48 x 48 pixels, its model takes 40 x 40"):
        read_processor(begin)
    content["image_processor"] |= {"crop_size": {"height": 40, "width": 40}, "do_normalize": False}
    settings.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelError, match="does not divide by 255 and normalise"):
        read_processor(begin)
    content["image_processor"]["image_processor_type"] = "Lfm2VlImageProcessor"
    settings.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelError, match="in a clip model: it gives patches of images"):
        read_processor(begin)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freeze": "vision"}, "freeze needs a trained model"),
    ],
)
def test_settings_of_a_starting_point_need_one(flags: Flags, changes: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainingConfig.read(flags(**changes))
