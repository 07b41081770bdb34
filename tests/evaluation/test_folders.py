"""Models that are named by a folder: one model, a Trainer's checkpoints, a run; and several names in one table."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from transformers import (
    CLIPModel,
    CLIPProcessor,
    TimmWrapperConfig,
    TimmWrapperModel,
    Trainer,
    TrainingArguments,
)

from hf_clipdyn.errors import ConfigError, NothingToMeasureError, RevisionError, RevisionNotFoundError
from hf_clipdyn.evaluation import evaluate_revisions
from hf_clipdyn.evaluation.live_model import LiveModel
from hf_clipdyn.revisions import list_revisions, open_series
from hf_clipdyn.revisions.importing import import_open_clip, local_checkpoints


@pytest.fixture(scope="session")
def trained(save_model, tmp_path_factory) -> Path:
    """The output folder of a real Trainer, two steps of a small CLIP, as `run_clip.py` leaves it: the processor is
    saved beside the checkpoints, not in them."""
    model, out = tmp_path_factory.mktemp("model"), tmp_path_factory.mktemp("trainer") / "out"
    save_model(0)(model)
    clip, processor = CLIPModel.from_pretrained(model), CLIPProcessor.from_pretrained(model)
    texts = processor.tokenizer(["a cat", "a dog"], padding=True, return_tensors="pt")
    pixels = torch.randn(2, 3, 24, 24, generator=torch.Generator().manual_seed(0))

    def collate(_rows):
        return {**texts, "pixel_values": pixels, "return_loss": True}

    args = TrainingArguments(
        str(out),
        max_steps=2,
        save_steps=1,
        logging_steps=1,
        per_device_train_batch_size=2,
        remove_unused_columns=False,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        save_only_model=True,
        dataloader_pin_memory=False,
    )
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


def test_a_model_saved_at_the_end_is_main_unless_a_checkpoint_has_its_weights(trained, save_model, tmp_path):
    out = shutil.copytree(trained, tmp_path / "out")
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(out / "checkpoint-2" / name, out / name)
    assert [one.name for one in list_revisions(out)] == ["step-00000001", "step-00000002"]
    save_model(5)(out)
    assert [one.name for one in list_revisions(out)] == ["step-00000001", "step-00000002", "main"]


def test_a_checkpoint_in_writing_does_not_count_yet(trained, tmp_path):
    out = shutil.copytree(trained, tmp_path / "out")
    shutil.copytree(out / "checkpoint-2", out / "checkpoint-3")
    (out / "checkpoint-3" / "trainer_state.json").unlink()
    assert len(list_revisions(out)) == 2


def test_a_checkpoint_that_appears_during_a_listing_is_in_the_next_one(trained, tmp_path):
    out = shutil.copytree(trained, tmp_path / "out")
    series = open_series(out)
    found = series.models

    def models():
        listed = found()
        if not (out / "checkpoint-3").exists():
            shutil.copytree(out / "checkpoint-2", out / "checkpoint-3")
            state = out / "checkpoint-3" / "trainer_state.json"
            state.write_text(json.dumps(json.loads(state.read_text()) | {"global_step": 3}))
        return listed

    series.models = models
    assert [one.step for one in series.revisions()] == [1, 2]
    assert [one.step for one in series.revisions()] == [1, 2, 3]


def test_a_checkpoint_that_is_removed_is_a_revision_that_is_not_found(trained, tmp_path):
    out = shutil.copytree(trained, tmp_path / "out")
    series = open_series(out)
    first = series.revisions()[0]
    models = series.models()
    series.models = lambda: models
    shutil.rmtree(out / "checkpoint-1")
    for ask in (series.revisions, lambda: series.fetch(first)):
        with pytest.raises(RevisionNotFoundError, match="has changed since it was listed"):
            ask()


def test_a_state_that_is_removed_while_it_is_read_is_a_revision_that_is_not_found(trained, monkeypatch):
    read, series = Path.read_bytes, open_series(trained)

    def vanished(path):
        if path.name == "trainer_state.json":
            raise FileNotFoundError(path)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", vanished)
    with pytest.raises(RevisionNotFoundError, match="has changed since it was listed"):
        series.revisions()


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
    assert "step-00000001 was removed or replaced. Watching continues." in caplog.text


def test_a_loss_that_is_not_a_number_is_unknown_and_a_false_step_is_one_sentence(trained, tmp_path):
    out = shutil.copytree(trained, tmp_path / "out")
    path = out / "checkpoint-2" / "trainer_state.json"
    state = json.loads(path.read_text())
    path.write_text(json.dumps(state | {"log_history": [{"loss": float("nan")}], "epoch": float("inf")}))
    assert [one.loss for one in list_revisions(out)][1] is None
    path.write_text(json.dumps(state | {"global_step": 9}))
    with pytest.raises(RevisionError, match="gives the step 9"):
        list_revisions(out)
    path.write_text("[")
    with pytest.raises(RevisionError, match="Invalid JSON"):
        list_revisions(out)


def test_the_adapter_of_a_model_is_never_loaded_with_the_base_that_it_names(
    trained, tmp_path, save_model, measure
):
    save_model(1)(tmp_path / "lora")
    (tmp_path / "lora" / "adapter_config.json").write_text('{"base_model_name_or_path": "them/elsewhere"}')
    with pytest.raises(ConfigError, match="merge an adapter"):
        measure(tmp_path / "lora")
    out = shutil.copytree(trained, tmp_path / "out")
    (out / "checkpoint-1" / "adapter_config.json").write_text("{}")
    assert set(measure(out)["revision"]) == {"step-00000002"}
    with pytest.raises(RevisionError, match="does not contain a complete model"):
        measure(out, revisions="step-00000001")


def test_a_run_is_its_folder_or_its_local_name_below_runs(publish, tmp_path, monkeypatch):
    publish(tmp_path / "runs" / "demo", [0, 1], "local/demo")
    monkeypatch.chdir(tmp_path)
    named, expected = list_revisions("local/demo"), ["epoch-000", "epoch-001"]
    assert [one.name for one in named] == expected
    assert (
        list_revisions("runs/demo")
        == list_revisions(Path("runs/demo").absolute(), store="elsewhere")
        == named
    )
    with pytest.raises(
        ConfigError, match=r"It contains runs: give one or several of them, for example .*runs/demo"
    ):
        list_revisions("runs")
    in_grid = tmp_path / "runs" / "grid" / "demo"
    shutil.copytree(tmp_path / "runs" / "demo", in_grid)
    with pytest.raises(
        ConfigError, match="Several runs are called local/demo: give a folder, runs/demo or runs/grid/demo"
    ):
        list_revisions("local/demo")
    shutil.rmtree(tmp_path / "runs" / "demo")
    assert list_revisions("local/demo") == named, "a run of a study is found"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        RevisionNotFoundError, match=r"HF_HUB_OFFLINE is set\. Runs are in runs/grid/demo: give such"
    ):
        list_revisions("me/none")
    # Another run's broken manifest is nothing to this name.
    (in_grid / "revisions" / "epoch-001" / "revisions.json").write_text("{")
    with pytest.raises(RevisionNotFoundError):
        list_revisions("local/other")


def test_what_a_store_of_version_0_3_has_comes_before_a_folder_of_that_name(tmp_path, monkeypatch):
    kept = Path(__file__).parents[1] / "kept" / "store" / "whole"
    (tmp_path / "someone" / "whole").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert len(list_revisions("someone/whole", kept / "hub")) == 3
    with pytest.raises(ConfigError, match=r"contains no model\. Expected config.json"):
        list_revisions("someone/whole")
    with pytest.raises(
        ConfigError, match=r"what version 0\.3 published: give someone/whole .*--store .*/hub"
    ):
        list_revisions(kept)
    with pytest.raises(
        ConfigError, match=r"what version 0\.3 published: give someone/whole .*--store .*/hub"
    ):
        list_revisions(kept / "hub")


def test_without_a_network_a_name_that_is_not_here_is_soon_answered_with_the_runs_that_are(
    hub, tmp_path, monkeypatch, clipdyn
):
    waits = []
    monkeypatch.setattr("hf_clipdyn.hub.time.sleep", waits.append)
    monkeypatch.chdir(tmp_path)
    hub.stop()
    code, _, error = clipdyn("evaluate", "me/none", "--output", "results.parquet")
    assert code == 1
    assert sum(waits) < 15
    assert "me/none on the Hub could not be read" in error
    assert "No folder below ./runs has a run." in error
    for number in range(7):
        manifest = tmp_path / "runs" / f"run{number}" / "revisions" / "epoch-000" / "revisions.json"
        manifest.parent.mkdir(parents=True)
        manifest.write_text("{}")
    error = clipdyn("revisions", "me/none")[2]
    assert "Runs are in runs/run0, runs/run1, runs/run2, runs/run3, runs/run4, …: give such" in error


@pytest.mark.parametrize("name", ["./none", "/no/where", "~nobody/x", "a/b/c", "a\0b", "", "x" * 5000])
def test_a_name_that_is_neither_a_folder_nor_a_repository_is_one_sentence(name):
    with pytest.raises(ConfigError, match="is neither a folder here nor a name that the Hub accepts"):
        list_revisions(name)


def test_several_names_are_one_table_and_a_wrong_one_is_an_error_before_any_is_measured(
    trained, store, save_model, tmp_path, zero_shot, monkeypatch, clipdyn, forward_passes
):
    save_model(1)(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    argv = [*zero_shot, "--output", "r.parquet", "--quiet"]
    code, _, error = clipdyn("evaluate", "./mine", "./none", *argv)
    assert code
    assert "'./none' is neither a folder here" in error
    assert forward_passes["images"] == 0
    code, printed, _ = clipdyn("evaluate", "./mine", store, trained, *argv)
    assert not code
    table = pd.read_parquet("r.parquet")
    assert table.groupby("repo_id")["revision"].nunique().to_dict() == {"me/run": 3, "mine": 1, "out": 2}
    assert f"{(table['kind'] != 'training').sum()} numbers of 6 revisions" in printed
    assert "would both be called mine" in clipdyn("evaluate", "./mine", tmp_path / "mine", *argv)[2]


@pytest.mark.parametrize("names", [[], [["me/run"]]])
def test_names_that_are_no_texts_are_one_sentence(names):
    with pytest.raises(ConfigError, match="repo_id"):
        evaluate_revisions(names)


def test_several_names_cannot_be_watched(tmp_path):
    with pytest.raises(ConfigError, match="`watch` follows only one run"):
        evaluate_revisions(["me/a", "me/b"], output=tmp_path / "r.parquet", watch=True)


def test_a_directory_is_named_as_one_where_a_checkpoint_of_open_clip_is_expected(tmp_path):
    (tmp_path / "epochs").mkdir()
    (tmp_path / "epochs" / "epoch_1.pt").touch()
    with pytest.raises(ConfigError, match="epochs does not exist, or it is a folder: give its files"):
        local_checkpoints([tmp_path / "epochs"])
    with pytest.raises(ConfigError, match=r"epoch_2\.pt does not exist"):
        local_checkpoints([tmp_path / "epoch_2.pt"])


def test_a_folder_of_open_clips_checkpoints_is_told_how_it_is_named(tmp_path):
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "epoch_1.pt").touch()
    for name in (folder, folder.parent):
        with pytest.raises(ConfigError, match=f"of open_clip: give open_clip:MODEL@{folder}"):
            list_revisions(name)


def test_a_vision_model_of_timm_is_measured_beside_a_dual_encoder_or_skipped(
    save_model, judged, measure, zero_shot, tmp_path, caplog, clipdyn
):
    pytest.importorskip("timm")
    save_model(1)(tmp_path / "clip")
    config = TimmWrapperConfig(
        architecture="vit_tiny_patch16_224",
        model_args={"img_size": 32, "depth": 2, "embed_dim": 24, "num_heads": 3},
        pretrained_cfg={"input_size": [3, 32, 32], "crop_pct": 1.0, "mean": [0.5] * 3, "std": [0.5] * 3},
    )
    TimmWrapperModel(config).save_pretrained(tmp_path / "vit")
    table = measure(
        *(tmp_path / name for name in ("clip", "vit")),
        benchmarks=["similarity/nights"],
        data_dirs={"nights": judged["nights"]},
    )
    rows = table[table["role"] == "value"].groupby("repo_id")["value"]
    assert set(rows.groups) == {"clip", "vit"}
    assert rows.count().min() > 0
    assert dict(zip(table["repo_id"], table["model_class"], strict=True)) == {
        "clip": "CLIPModel",
        "vit": "TimmWrapperModel",
    }

    # Nothing that is asked with texts suits it: of several models it can be skipped.
    names = [tmp_path / "vit", tmp_path / "clip"]
    with pytest.raises(NothingToMeasureError, match="zero_shot/cifar10 needs a text encoder; vit has none"):
        measure(*names)
    assert set(measure(*names, skip_missing=True)["repo_id"]) == {"clip"}
    assert "vit is skipped: zero_shot/cifar10 needs a text encoder" in caplog.text
    with pytest.raises(NothingToMeasureError):
        measure(names[0], skip_missing=True)
    caplog.clear()
    code, printed, _ = clipdyn("evaluate", *names, "--dry-run", "--skip-missing", *zero_shot)
    assert code == 0
    assert "vit is skipped" in caplog.text
    assert "zero_shot/cifar10" in printed


@pytest.fixture
def epochs(tmp_path) -> Path:
    """Two checkpoints of open_clip's training, where it leaves them."""
    open_clip = pytest.importorskip("open_clip")
    tower = {"layers": 1, "width": 64}
    config = {
        "embed_dim": 16,
        "vision_cfg": tower | {"image_size": 16, "patch_size": 8},
        "text_cfg": tower | {"context_length": 77, "vocab_size": 49408, "heads": 1},
    }
    (tmp_path / "ViT-Test-Epochs.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "ViT-Test-Epochs.json")
    folder = tmp_path / "theirs" / "checkpoints"
    folder.mkdir(parents=True)
    for epoch in (1, 2):
        torch.manual_seed(epoch)
        torch.save(
            {"epoch": epoch, "state_dict": open_clip.CLIP(**config).state_dict()},
            folder / f"epoch_{epoch}.pt",
        )
    return folder


def test_checkpoints_of_open_clip_give_exactly_the_values_of_the_imported_run(
    epochs, measure, data, judged, tmp_path
):
    files = sorted(epochs.iterdir())
    import_open_clip(
        local_checkpoints(files), "me/theirs", model="ViT-Test-Epochs", output_dir=tmp_path / "run"
    )
    chosen = {
        "benchmarks": ["zero_shot/cifar10", "similarity/nights", "saliency/osie"],
        "data_dirs": {"cifar10": data["cifar10"], "nights": judged["nights"], "osie": judged["osie"]},
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
