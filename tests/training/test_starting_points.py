"""Runs that continue a trained model, as a folder or as a revision of a store."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_server.server import HubServer
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from training_runs import Stop, finished, hashes
from transformers import AutoModel, AutoProcessor, CLIPConfig, CLIPProcessor, SiglipConfig

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

Flags = Callable[..., list[str]]
TINY = MODEL_SIZES["tiny"]


def _processor() -> CLIPProcessor:
    tokenizer = train_tokenizer(["a red picture .", "noise in blue"], vocab_size=600, context_length=12)
    return CLIPProcessor(image_processor=clip_image_processor(TINY), tokenizer=tokenizer)


def _begin(folder: Path, model_type: str = "clip") -> Path:
    """A model with random weights and a vocabulary of its own."""
    torch.manual_seed(7)
    processor = _processor()
    config: CLIPConfig | SiglipConfig
    if model_type == "clip":
        config = clip_config(TINY, processor.tokenizer)
    else:
        processor = siglip_processor(processor)
        config = siglip_config(TINY, processor.tokenizer)
    config.text_config.max_position_embeddings = 12
    AutoModel.from_config(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _weights(run: Path, revision: str) -> dict[str, torch.Tensor]:
    return dict(AutoModel.from_pretrained(run / "revisions" / revision).state_dict())


def _changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    assert before.keys() == after.keys()
    return {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}


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


def test_no_path_of_this_machine_is_in_what_a_run_pushes(
    flags: Flags, tmp_path: Path, hub: HubServer
) -> None:
    begin = {"model_name_or_path": _begin(tmp_path / "begin"), "num_train_epochs": 1}
    assert finished(flags(push_to_hub=True, ema_decay=0.9, **begin)).missing == []
    for repo in (hub.repo("me/run"), hub.repo("me/run-ema")):
        for commit in repo.commits.values():
            for path, file in commit.tree.items():
                assert str(tmp_path).encode() not in hub.state.content(file), path
        card = hub.state.content(repo.resolve("main").tree["README.md"]).decode()
        assert "| dataset | photographs |" in card
        assert "| continues | begin |" in card


TEXT = {"text_model", "text_projection", "logit_scale"}
VISION = {"vision_model", "visual_projection", "logit_scale"}


@pytest.mark.parametrize(
    ("model_type", "changes", "trained"),
    [
        ("clip", {}, TEXT | VISION),
        ("clip", {"freeze": "vision"}, TEXT),
        ("clip", {"freeze": "text"}, VISION),
        ("siglip", {"freeze": "vision", "loss": "contrastive"}, {"text_model", "logit_scale"}),
        ("siglip", {"freeze": "vision", "loss": "sigmoid"}, {"text_model", "logit_scale", "logit_bias"}),
    ],
)
def test_a_continued_model_keeps_its_tokenizer_and_what_is_frozen_also_if_it_is_stopped_and_resumed(
    flags: Flags, tmp_path: Path, model_type: str, changes: dict[str, str], trained: set[str]
) -> None:
    begin = _begin(tmp_path / "begin", model_type)
    words = flags(model_name_or_path=begin, num_train_epochs=1, **changes)
    finished(words, Stop(3))
    run = finished([*words, "--resume_from_checkpoint", "true"]).folder
    tokenizer = AutoProcessor.from_pretrained(run / "revisions" / "epoch-001").tokenizer
    assert tokenizer.get_vocab() == _processor().tokenizer.get_vocab()
    assert {one.scale for one in list_revisions(run)} == {"begin"}
    before, after = (_weights(run, name) for name in ("epoch-000", "epoch-001"))
    assert _changed(load_file(begin / "model.safetensors"), before) == set()
    assert _changed(before, after) == trained


CODE = {"model_type": "theirs", "auto_map": {"AutoConfig": "code.Config", "AutoModel": "code.Model"}}
OF_PATCHES = {"image_processor_type": "Lfm2VlImageProcessor"}


@pytest.mark.parametrize(
    ("file", "changes", "loss", "names"),
    [
        ("config.json", {}, "sigmoid", "use loss contrastive"),
        ("config.json", CODE, "contrastive", "code"),
        ("processor_config.json", {"crop_size": {"height": 48, "width": 48}}, "contrastive", "48 x 48"),
        ("processor_config.json", {"do_normalize": False}, "contrastive", "normalise"),
        ("processor_config.json", OF_PATCHES, "contrastive", "patches"),
    ],
)
def test_a_model_that_does_not_fit_or_brings_code_is_refused_before_anything_is_written(
    flags: Flags, tmp_path: Path, file: str, changes: dict[str, Any], loss: str, names: str
) -> None:
    begin = _begin(tmp_path / "begin")
    content = json.loads((begin / file).read_text("utf-8"))
    content.get("image_processor", content).update(changes)
    (begin / file).write_text(json.dumps(content), encoding="utf-8")
    (begin / "code.py").write_text("raise SystemExit('code of a repository was run')", encoding="utf-8")
    with pytest.raises((ConfigError, ModelError), match=names):
        finished(flags(model_name_or_path=begin, loss=loss))
    assert not (tmp_path / "run").exists()
