"""A `PeftModel` is published as merged copies and goes on training unmerged; adapters are read merged."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hub_server.server import HubServer
from huggingface_hub import HfApi, constants
from trained import REPO, equal, make_model, make_pair, measuring, served, trainer
from transformers import CLIPModel, PreTrainedModel, ViTForImageClassification

from hf_clipdyn import PublishRevisions, evaluate_revisions, list_revisions, load_results
from hf_clipdyn.cards import Parent
from hf_clipdyn.errors import ConfigError, PublishError
from hf_clipdyn.models.encoder import read_config, read_model
from hf_clipdyn.results.row import NUMBER_KEY
from hf_clipdyn.revisions import open_series
from hf_clipdyn.revisions.manifest import read_manifest
from hf_clipdyn.revisions.verify import verify
from hf_clipdyn.training.live_weights import parents_of

peft = pytest.importorskip("peft", reason="PEFT is not installed: `pip install peft`")

# PEFT 0.21 uses names that transformers calls deprecated, and asks for a folder of the base model.
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def adapted(model: str | PreTrainedModel, **settings: Any) -> Any:
    """A `PeftModel` on a model, or on that of `make_model`."""
    base = make_model(model) if isinstance(model, str) else model
    torch.manual_seed(1)
    return peft.get_peft_model(base, peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], **settings))


@pytest.mark.parametrize(("name", "kind"), [("clip", CLIPModel), ("classifier", ViTForImageClassification)])
def test_each_epoch_is_a_merged_copy_and_the_base_is_untouched(tmp_path: Path, name: str, kind: Any) -> None:
    base, model = make_model(name).state_dict(), adapted(name)
    run = trainer(tmp_path, model, PublishRevisions(REPO, merge_adapters=True), label_names=["labels"])
    run.train()

    assert [one.name for one in list_revisions(tmp_path)] == ["epoch-000", "epoch-001", "epoch-002"]
    assert not verify(tmp_path, deep=True).findings
    first, last = (served(tmp_path, at, kind).state_dict() for at in ("epoch-000", "epoch-002"))
    assert all(torch.equal(first[key], value) for key, value in base.items())
    changed = {key for key, value in base.items() if not torch.equal(last[key], value)}
    assert changed
    assert all(key.endswith(("q_proj.weight", "v_proj.weight")) for key in changed)
    live = model.get_base_model().state_dict()
    live = {key.replace(".base_layer", ""): value for key, value in live.items()}
    assert all(torch.equal(live[key], value) for key, value in base.items())
    merged = model.merge_and_unload().state_dict()
    assert all(torch.equal(last[key], value) for key, value in merged.items())
    folder = tmp_path / "revisions" / "epoch-002"
    manifest = read_manifest(folder)
    assert manifest.parameters == sum(value.numel() for value in base.values())
    assert manifest.parents == ()  # the base was made here
    assert f"{kind.__name__}.from_pretrained" in (folder / "README.md").read_text()


def test_adapters_continue_from_a_checkpoint(tmp_path: Path) -> None:
    saves = {"save_strategy": "epoch", "save_total_limit": None, "label_names": ["labels"]}
    hashes = []
    for checkpoint in (None, str(tmp_path / "checkpoint-5")):
        publish = PublishRevisions(REPO, merge_adapters=True)
        run = trainer(tmp_path, adapted("classifier"), publish, **saves)
        run.train(resume_from_checkpoint=checkpoint)
        hashes.append([one.sha256 for one in list_revisions(tmp_path)])
        assert equal(run.model.merge_and_unload(), served(tmp_path, "epoch-002", ViTForImageClassification))
    assert hashes[0] == hashes[1]


def test_a_model_with_adapters_is_measured_as_what_it_publishes_and_saves(tmp_path: Path) -> None:
    base, processor = make_pair()
    base.save_pretrained(tmp_path / "base")
    model = adapted(base)
    model.peft_config["default"].base_model_name_or_path = str(tmp_path / "base")
    publish = PublishRevisions(REPO, processor=processor, merge_adapters=True)
    saves = {"num_train_epochs": 1, "save_strategy": "epoch"}
    trainer(tmp_path / "run", model, publish, measuring(), **saves).train()
    live = load_results(tmp_path / "run" / "results.parquet").query("kind != 'training'")
    asked: dict[str, Any] = {"show_progress": False}
    table = evaluate_revisions(tmp_path / "run", "distortion/procedural", **asked)
    published = table.to_pandas()
    processor.save_pretrained(tmp_path / "processor")
    (saved,) = (tmp_path / "run").glob("checkpoint-*")
    table = evaluate_revisions(saved, "distortion/procedural", processor=tmp_path / "processor", **asked)
    last = published[published["revision"] == "epoch-001"]
    np.testing.assert_array_equal(table.to_pandas()["value"], last["value"])
    names = ["revision", *NUMBER_KEY]
    found, expected = (rows.set_index(names)["value"].sort_index() for rows in (live, published))
    pd.testing.assert_series_equal(found, expected, atol=1e-5, rtol=0)


def test_merged_adapters_name_the_model_and_the_revision_that_they_were_trained_on(tmp_path: Path) -> None:
    model, whole = adapted("clip", revision="v2"), make_model("classifier")
    model.peft_config["default"].base_model_name_or_path = "them/base"  # as PEFT sets it for a loaded base
    assert parents_of(model) == (Parent("them/base", "v2"),)
    for name, expected in {"them/base": (Parent("them/base"),), str(tmp_path): (), "base": ()}.items():
        whole.config._name_or_path = name
        assert parents_of(whole) == expected
    commit = "0123456789" * 4
    folder = tmp_path / "models--them--base" / "snapshots" / commit  # of a client's cache
    whole.save_pretrained(folder)
    assert parents_of(type(whole).from_pretrained(folder)) == (Parent("them/base", None, commit),)


def test_other_adapters_are_another_run_and_without_merging_none_is_published(tmp_path: Path) -> None:
    publish = PublishRevisions(REPO, merge_adapters=True)
    trainer(tmp_path / "run", adapted("clip"), publish, num_train_epochs=1).train()
    with pytest.raises(PublishError, match="another recipe"):
        trainer(tmp_path / "run", adapted("clip", lora_alpha=3), publish, num_train_epochs=1).train()
    with pytest.raises(ConfigError, match="merge_adapters=True"):
        trainer(tmp_path / "none", adapted("clip"), PublishRevisions(REPO)).train()


def test_the_checkpoints_of_a_model_with_adapters_are_read_merged_into_the_model_that_they_name(
    tmp_path: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    make_model("clip").save_pretrained(tmp_path / "base")
    HfApi().create_repo("me/base")
    HfApi().upload_folder(repo_id="me/base", folder_path=tmp_path / "base")
    model, out = adapted("clip"), tmp_path / "out"
    model.peft_config["default"].base_model_name_or_path = "me/base"
    saves = {"save_strategy": "epoch", "save_total_limit": None, "label_names": ["labels"]}
    trainer(out, model, **saves).train()

    series = open_series(out)
    first, last = series.revisions()
    assert [(one.name, one.epoch) for one in (first, last)] == [("step-00000005", 1), ("step-00000010", 2)]
    assert first.sha256 != last.sha256
    settings = series.fetch(last, settings_only=True)
    assert {"config.json", "adapter_config.json"} <= {one.name for one in settings.iterdir()}
    folder = series.fetch(last)
    assert equal(read_model(folder, read_config(folder)), model.merge_and_unload())
    assert list_revisions(out / "checkpoint-10") == [last]
