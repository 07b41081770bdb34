"""Models from elsewhere: a folder, a repository of no publisher of this package, and several names in one table."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from huggingface_hub import HfApi, constants, hf_hub_download
from safetensors.torch import load_file, save_file
from stores import publish_epochs
from tiny_models import VISION, vision_model
from transformers import ViTImageProcessor

from hf_clipdyn.errors import ConfigError, EvaluationError, NothingToMeasureError
from hf_clipdyn.evaluation import evaluate_revisions


def test_a_single_model_on_the_hub_is_one_revision_and_older_weights_are_read_where_there_are_no_others(
    hub, measure, save_model, tmp_path
):
    for name in ("new", "old"):
        save_model(1)(tmp_path / name)
    weights = tmp_path / "old" / "model.safetensors"
    torch.save(load_file(weights), weights.with_name("pytorch_model.bin"))
    weights.unlink()
    (tmp_path / "new" / "pytorch_model.bin").write_bytes(b"not to be fetched")
    for name in ("new", "old"):
        HfApi().create_repo(f"them/{name}")
        HfApi().upload_folder(repo_id=f"them/{name}", folder_path=tmp_path / name)
    new = measure("them/new")
    assert set(new["revision"]) == {"main"}
    assert new[["epoch", "step", "samples_seen"]].isna().all(axis=None)
    assert measure("them/old")["value"].equals(new["value"])
    assert not list(Path(constants.HF_HUB_CACHE).glob("models--them--new/snapshots/*/*.bin"))


@pytest.mark.parametrize("other", ["open_clip_model.safetensors", "model.fp16.safetensors"])
def test_older_weights_are_found_beside_files_of_other_libraries(
    hub, measure, save_model, tmp_path, other, monkeypatch
):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "old"
    save_model(1)(folder)
    wanted = measure(folder)["value"]
    weights = (folder / "model.safetensors").rename(folder / other)
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    save_file({"text.weight": torch.ones(2)}, weights)
    assert measure(folder)["value"].equals(wanted)
    HfApi().create_repo("them/old")
    HfApi().upload_folder(repo_id="them/old", folder_path=folder)
    hf_hub_download("them/old", other)  # as the other library does
    assert measure("them/old")["value"].equals(wanted)


def test_the_weights_that_are_related_are_those_of_the_model_alone(save_model, tmp_path):
    for step in (1, 2):
        folder = tmp_path / "out" / f"checkpoint-{step}"
        save_model(step)(folder)
        (folder / "trainer_state.json").write_text(f'{{"global_step": {step}}}')
    shutil.copytree(tmp_path / "out", tmp_path / "beside" / "out")
    for step in (1, 2):
        folder = tmp_path / "beside" / "out" / f"checkpoint-{step}"
        save_file({"open.clip": torch.full((3,), float(step))}, folder / "open_clip_model.safetensors")
    alone, beside = (
        evaluate_revisions(
            path, relations="weights", output=path / "r.parquet", show_progress=False
        ).to_pandas()
        for path in (tmp_path / "out", tmp_path / "beside" / "out")
    )
    assert len(alone)
    assert beside[["subset", "metric", "revision", "value"]].equals(
        alone[["subset", "metric", "revision", "value"]]
    )


def test_what_was_measured_from_the_hub_is_measured_offline_from_the_cache_and_not_twice(
    hub, zero_shot, save_model, tmp_path, monkeypatch, clipdyn, forward_passes
):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    publish_epochs(tmp_path / "run", [0, 1], save_model, push_to_hub=True)
    command = ["evaluate", "me/run", *zero_shot, "--quiet", "--output"]
    assert not clipdyn(*command, tmp_path / "online.parquet")[0]
    hub.stop()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    shutil.copytree(tmp_path / "online.cells", tmp_path / "again.cells")
    forward_passes["images"] = 0
    assert not clipdyn(*command, tmp_path / "again.parquet")[0]
    assert forward_passes["images"] == 0
    assert not clipdyn(*command, tmp_path / "offline.parquet")[0]
    assert forward_passes["images"] > 0
    online, offline = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("online", "offline"))
    assert offline[(names := ["revision", "commit", "epoch", "step", "value"])].equals(online[names])


def test_several_names_are_one_table_and_a_wrong_one_is_an_error_before_any_is_measured(
    store, save_model, tmp_path, zero_shot, monkeypatch, clipdyn, forward_passes
):
    save_model(1)(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    argv = [*zero_shot, "--output", "r.parquet", "--quiet"]
    code, _, error = clipdyn("evaluate", "./mine", "./none", *argv)
    assert (code, "./none" in error) == (2, True)
    assert forward_passes["images"] == 0
    code, printed, _ = clipdyn("evaluate", "./mine", store, *argv)
    assert not code
    table = pd.read_parquet("r.parquet")
    assert table.groupby("repo_id")["revision"].nunique().to_dict() == {"me/run": 3, "mine": 1}
    assert f"{(table['kind'] != 'training').sum()} numbers of 4 revisions" in printed
    twice = clipdyn("evaluate", "./mine", tmp_path / "mine", *argv)
    assert (twice[0], "mine" in twice[2]) == (2, True)
    with pytest.raises(ConfigError, match="watch"):
        evaluate_revisions(["me/a", "me/b"], output=tmp_path / "r.parquet", watch=True)


def test_a_vision_model_is_measured_without_text_and_skipped_where_nothing_suits_it(
    evaluate, measure, store, tmp_path
):
    folder = tmp_path / "vit"
    model = vision_model("ViT", VISION | {"image_size": 24, "patch_size": 8}, add_pooling_layer=False)
    model.save_pretrained(folder)
    ViTImageProcessor(size={"height": 24, "width": 24}).save_pretrained(folder)
    names = ("shape_bias/cue_conflict", "zero_shot/cifar10")
    with pytest.raises(EvaluationError, match="zero_shot/cifar10"):
        evaluate(*names, run=folder)
    table = evaluate(*names, run=folder, skip_missing=True)
    values = table[table["role"] == "value"]
    assert "shape_preference" in set(values["metric"])
    assert not {"shape_bias", "cue_accuracy", "top1"} & set(values["metric"]), "nothing that needs texts"
    with pytest.raises(NothingToMeasureError, match="vit"):
        measure(folder, store)
    assert set(measure(folder, store, skip_missing=True)["repo_id"]) == {"me/run"}
    with pytest.raises(NothingToMeasureError):
        measure(folder, skip_missing=True)
