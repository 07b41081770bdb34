"""Models that are named by a folder: one model, a Trainer's checkpoints, a run; and several names in one table."""

import shutil

import pandas as pd
import pytest
import torch
from open_clip_runs import TINY, know_model, save_checkpoint
from transformers import (
    CLIPModel,
    CLIPProcessor,
    TimmWrapperConfig,
    TimmWrapperModel,
    Trainer,
    TrainingArguments,
)

from hf_clipdyn.errors import ConfigError, NothingToMeasureError, RevisionError
from hf_clipdyn.evaluation import evaluate_revisions
from hf_clipdyn.evaluation.live_model import LiveModel
from hf_clipdyn.revisions import list_revisions
from hf_clipdyn.revisions.importing import OpenClipSeries, import_open_clip


@pytest.fixture(scope="session")
def trained(save_model, tmp_path_factory):
    """The output folder of a real Trainer, two steps of a small CLIP, as `run_clip.py` leaves it: the processor is
    saved beside the checkpoints, not in them."""
    model, out = tmp_path_factory.mktemp("model"), tmp_path_factory.mktemp("trainer") / "out"
    save_model(0)(model)
    clip, processor = CLIPModel.from_pretrained(model), CLIPProcessor.from_pretrained(model)
    texts = processor.tokenizer(["a cat", "a dog"], padding=True, return_tensors="pt")
    pixels = torch.randn(2, 3, 24, 24, generator=torch.Generator().manual_seed(0))

    def collate(_rows):
        return {**texts, "pixel_values": pixels, "return_loss": True}

    off = {"remove_unused_columns": False, "report_to": "none", "disable_tqdm": True, "use_cpu": True}
    saved = {"max_steps": 2, "save_steps": 1, "logging_steps": 1, "save_only_model": True}
    args = TrainingArguments(str(out), per_device_train_batch_size=2, **saved, **off)
    Trainer(clip, args, train_dataset=[{"n": n} for n in range(4)], data_collator=collate).train()
    processor.save_pretrained(out)
    return out


def test_a_folder_with_a_model_is_one_revision_and_a_changed_one_is_another(save_model, measure, tmp_path):
    save_model(1)(tmp_path / "mine")
    output = tmp_path / "results.parquet"
    first = measure(tmp_path / "mine", output=output)
    assert set(zip(first["repo_id"], first["revision"], strict=True)) == {("mine", "main")}
    assert first[["epoch", "step", "samples_seen"]].isna().all(axis=None)
    save_model(2)(tmp_path / "mine")
    second = measure(tmp_path / "mine", output=output)
    assert set(second["commit"]).isdisjoint(first["commit"])
    assert not second["value"].equals(first["value"])


def test_the_checkpoints_of_a_trainer_are_revisions_by_step_with_epoch_and_loss(trained, measure):
    listed = list_revisions(trained)
    assert [(one.name, one.step, one.epoch) for one in listed] == [
        ("step-00000001", 1, None),
        ("step-00000002", 2, 1),
    ]
    assert all(one.loss is not None and one.samples_seen is None for one in listed)
    table = measure(trained)
    assert set(table["repo_id"]) == {"out"}
    assert set(table["revision"]) == {"step-00000001", "step-00000002"}
    assert set(measure(trained, texts="last")["text_commit"]) == {listed[1].commit}
    one = measure(trained / "checkpoint-1")
    assert one["value"].equals(
        table.loc[table["revision"] == "step-00000001", "value"].reset_index(drop=True)
    )
    assert set(one["repo_id"]) == {"out"}


@pytest.mark.parametrize("before", ["fetch", "load"])
def test_watching_goes_on_where_a_trainer_removes_a_checkpoint_before_it_is_measured(
    trained, tmp_path, measure, monkeypatch, caplog, before
):
    out = shutil.copytree(trained, tmp_path / "out")
    work = getattr(LiveModel, before)

    def removed(*args, **options):
        if not options:  # the settings were read before
            shutil.rmtree(out / "checkpoint-1", ignore_errors=True)
        return work(*args, **options)

    monkeypatch.setattr(LiveModel, before, removed)
    table = measure(out, output=tmp_path / "results.parquet", watch=True, watch_patience=0)
    assert set(table["revision"]) == {"step-00000002"}
    assert "step-00000001" in caplog.text


def test_the_adapter_of_a_model_is_never_loaded_with_the_base_that_it_names(
    trained, tmp_path, save_model, measure
):
    save_model(1)(tmp_path / "lora")
    (tmp_path / "lora" / "adapter_config.json").write_text('{"base_model_name_or_path": "them/elsewhere"}')
    with pytest.raises(ConfigError, match="lora"):
        measure(tmp_path / "lora")
    out = shutil.copytree(trained, tmp_path / "out")
    (out / "checkpoint-1" / "adapter_config.json").write_text("{}")
    assert set(measure(out)["revision"]) == {"step-00000002"}
    with pytest.raises(RevisionError, match=r"step-00000001 of .*out has no whole model"):
        measure(out, revisions="step-00000001")


def test_without_a_network_a_name_that_is_not_here_is_soon_answered(hub, tmp_path, monkeypatch, clipdyn):
    waits = []
    monkeypatch.setattr("hf_clipdyn.hub.time.sleep", waits.append)
    monkeypatch.chdir(tmp_path)
    hub.stop()
    code, _, error = clipdyn("evaluate", "me/none", "--output", "results.parquet")
    assert (code, "me/none" in error) == (1, True)
    assert sum(waits) < 15


NAMES = ["./none", "/no/where", "~nobody/x", "a/b/c", "a\0b", "", "x" * 5000]


@pytest.mark.parametrize("name", [*NAMES, [], [["me/run"]]])
def test_a_name_that_is_neither_a_folder_nor_a_repository_is_refused(name):
    with pytest.raises(ConfigError):
        evaluate_revisions(name)


def test_several_names_are_one_table_and_a_wrong_one_is_an_error_before_any_is_measured(
    trained, store, save_model, tmp_path, zero_shot, monkeypatch, clipdyn, forward_passes
):
    save_model(1)(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    argv = [*zero_shot, "--output", "r.parquet", "--quiet"]
    code, _, error = clipdyn("evaluate", "./mine", "./none", *argv)
    assert (code, "./none" in error) == (2, True)
    assert forward_passes["images"] == 0
    code, printed, _ = clipdyn("evaluate", "./mine", store, trained, *argv)
    assert not code
    table = pd.read_parquet("r.parquet")
    assert table.groupby("repo_id")["revision"].nunique().to_dict() == {"me/run": 3, "mine": 1, "out": 2}
    assert f"{(table['kind'] != 'training').sum()} numbers of 6 revisions" in printed
    twice = clipdyn("evaluate", "./mine", tmp_path / "mine", *argv)
    assert (twice[0], "mine" in twice[2]) == (2, True)
    with pytest.raises(ConfigError, match="watch"):
        evaluate_revisions(["me/a", "me/b"], output=tmp_path / "r.parquet", watch=True)


def test_a_vision_model_of_timm_is_measured_beside_a_dual_encoder_or_skipped(
    save_model, judged, measure, zero_shot, tmp_path, clipdyn
):
    pytest.importorskip("timm")
    save_model(1)(tmp_path / "clip")
    config = TimmWrapperConfig(
        architecture="vit_tiny_patch16_224",
        model_args={"img_size": 32, "depth": 2, "embed_dim": 24, "num_heads": 3},
        pretrained_cfg={"input_size": [3, 32, 32], "crop_pct": 1.0, "mean": [0.5] * 3, "std": [0.5] * 3},
    )
    TimmWrapperModel(config).save_pretrained(tmp_path / "vit")
    names = [tmp_path / "vit", tmp_path / "clip"]
    nights = {"benchmarks": ["similarity/nights"], "data_dirs": {"nights": judged["nights"]}}
    table = measure(*names, **nights)
    values = table[(table["role"] == "value") & table["value"].notna()]
    classes = dict(zip(values["repo_id"], values["model_class"], strict=True))
    assert classes == {"clip": "CLIPModel", "vit": "TimmWrapperModel"}

    # Nothing that is asked with texts suits it: of several models it can be skipped.
    with pytest.raises(NothingToMeasureError, match="vit"):
        measure(*names)
    assert set(measure(*names, skip_missing=True)["repo_id"]) == {"clip"}
    with pytest.raises(NothingToMeasureError):
        measure(names[0], skip_missing=True)
    code, printed, _ = clipdyn("evaluate", *names, "--dry-run", "--skip-missing", *zero_shot)
    assert (code, printed.count("zero_shot/cifar10")) == (0, 1)


def test_checkpoints_of_open_clip_give_exactly_the_values_of_the_imported_run(
    measure, data, judged, tmp_path
):
    pytest.importorskip("open_clip")
    know_model(tmp_path, "ViT-Test-Epochs")
    epochs = tmp_path / "theirs" / "checkpoints"
    epochs.mkdir(parents=True)
    for epoch in (1, 2):
        save_checkpoint(TINY, epoch, epochs / f"epoch_{epoch}.pt")
    series = OpenClipSeries("ViT-Test-Epochs", sorted(map(str, epochs.iterdir())))
    import_open_clip(series, "me/theirs", output_dir=tmp_path / "run")
    chosen = {
        "benchmarks": ["zero_shot/cifar10", "similarity/nights"],
        "data_dirs": {"cifar10": data["cifar10"], "nights": judged["nights"]},
    }
    imported = measure(tmp_path / "run", **chosen)
    written = set(tmp_path.rglob("*"))
    direct = measure(epochs, from_open_clip="ViT-Test-Epochs", **chosen)
    assert set(tmp_path.rglob("*")) == written
    assert set(direct["repo_id"]) == {"theirs"}
    of_origin = ["repo_id", "commit", "text_commit", "scale", "parameters", "seconds"]
    pd.testing.assert_frame_equal(
        direct.drop(columns=of_origin), imported.drop(columns=of_origin), check_exact=True
    )
