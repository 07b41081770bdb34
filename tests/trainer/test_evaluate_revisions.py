"""The model of a real Trainer is measured while it trains, and training does not notice."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from trained import REPO, equal, make_model, make_processor, measuring, trainer
from transformers import CLIPModel, CLIPProcessor, TrainerCallback
from transformers.integrations import integration_utils

from hf_clipdyn import PublishRevisions, evaluate_model, evaluate_revisions, load_results, plot
from hf_clipdyn.errors import ConfigError, ModelError, NothingToMeasureError, UnknownNameError

SCRIPT = Path(__file__).with_name("trained.py")
BENCHMARK = "distortion/procedural"
SMALL: dict[str, Any] = {"show_progress": False}


@pytest.fixture(scope="session")
def processor() -> CLIPProcessor:
    return make_processor()


def values(table: Any) -> "pd.Series[float]":
    """The values by revision and metric."""
    rows = table.to_pandas()
    return rows[rows["role"] == "value"].set_index(["revision", "metric"])["value"].sort_index()


def test_a_trainer_measures_each_epoch_and_trains_as_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = []

    class Tracker(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            logged.append(kwargs["logs"])

    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "recorder", Tracker)
    callbacks = PublishRevisions(REPO), measuring()
    measured = trainer(tmp_path / "run", make_model("clip"), *callbacks, report_to=["recorder"])
    measured.train()
    alone = trainer(tmp_path / "alone", make_model("clip"))
    alone.train()

    assert equal(measured.model, alone.model)
    rows = load_results(tmp_path / "run" / "results.parquet")
    assert set(rows["repo_id"]) == {"local/run"}
    assert list(dict.fromkeys(rows["revision"])) == ["epoch-000", "epoch-001", "epoch-002"]
    assert list(dict.fromkeys(rows["samples_seen"])) == [0, 40, 80]
    name = f"{BENCHMARK}/alignment_ssim/cosine/projection"
    found = rows.query("metric == 'alignment_ssim' and role == 'value'")["value"].tolist()
    assert [logs[name] for logs in logged if name in logs] == found
    assert [logs[name] for logs in measured.state.log_history if name in logs] == found


def test_what_a_trainer_has_logged_is_in_the_table_however_it_is_measured(
    tmp_path: Path, processor: CLIPProcessor
) -> None:
    model = make_model("clip")
    model.config.text_config.eos_token_id = processor.tokenizer.eos_token_id
    run = trainer(
        tmp_path,
        model,
        PublishRevisions(REPO, processor=processor),
        measuring(),
        logging_strategy="epoch",
        eval_strategy="epoch",
        save_total_limit=None,
    )
    run.train()
    evaluate_revisions(tmp_path, BENCHMARK, output=tmp_path / "published.parquet", **SMALL)
    (tmp_path / "revisions").rename(tmp_path / "away")  # then the Trainer's checkpoints are read
    processor.save_pretrained(tmp_path / "processor")
    saved = {"processor": tmp_path / "processor", "output": tmp_path / "saved.parquet"}
    evaluate_revisions(tmp_path, BENCHMARK, **saved, **SMALL)
    keys = {"loss": "loss", "validation_loss": "eval_loss", "learning_rate": "learning_rate"}
    logged = {
        (metric, entry["step"]): entry[key]
        for entry in run.state.log_history
        for metric, key in keys.items()
        if key in entry
    }
    assert len(logged) == 6
    for table in ("results", "published", "saved"):
        rows = load_results(tmp_path / f"{table}.parquet").query("kind == 'training'")
        assert set(rows["note"]) == {"recorded in training"}
        found = rows.set_index(["metric", "step"])["value"].to_dict()
        # The Trainer has saved its last checkpoint before it logged that epoch.
        expected = {key: value for key, value in logged.items() if table != "saved" or key[1] == 5}
        assert {key: found[key] for key in expected} == expected, table
    scales = [value for (metric, _), value in found.items() if metric == "logit_scale"]
    assert not scales, "a checkpoint does not say it without its weights"


def test_a_run_that_is_resumed_where_an_epoch_ends_logs_its_numbers_once(tmp_path: Path) -> None:
    for epochs in (1, 2):
        run = trainer(
            tmp_path,
            make_model("clip"),
            measuring(),
            num_train_epochs=epochs,
            save_strategy="epoch",
        )
        run.train(resume_from_checkpoint=epochs == 2)
    name = f"{BENCHMARK}/alignment_ssim/cosine/projection"
    assert [logs["step"] for logs in run.state.log_history if name in logs] == [0, 5, 10]


def test_a_model_object_gives_the_numbers_of_its_published_revision(
    tmp_path: Path, processor: CLIPProcessor
) -> None:
    model = make_model("clip").train()
    model.config.text_config.eos_token_id = (
        processor.tokenizer.eos_token_id
    )  # as later Trainers do themselves
    run = trainer(tmp_path, model, PublishRevisions(REPO), num_train_epochs=1)
    run.processing_class = run.callback_handler.processing_class = processor
    run.train()

    live = evaluate_model(model, processor, BENCHMARK, revision="epoch-001", **SMALL)
    published = evaluate_revisions(tmp_path, BENCHMARK, revisions="epoch-001", **SMALL)
    pd.testing.assert_series_equal(values(live), values(published))
    assert model.training
    assert set(live["parameters"]) == {sum(one.numel() for one in model.parameters())}
    assert set(live["model_class"]) == {"CLIPModel"}
    assert set(published["processor_class"]) == {"CLIPProcessor"}


def test_revisions_without_a_processor_are_evaluated_with_a_given_one(
    tmp_path: Path, processor: CLIPProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model("clip")
    trainer(tmp_path, model, PublishRevisions(REPO), num_train_epochs=1).train()
    published = {"revisions": "epoch-001", **SMALL}
    with pytest.raises(ModelError, match=r"no preprocessor_config.json.* --processor"):
        evaluate_revisions(tmp_path, BENCHMARK, **published)
    with pytest.raises(ConfigError, match="contains no processor: expected preprocessor_config"):
        evaluate_revisions(tmp_path, BENCHMARK, processor=tmp_path, **published)

    tokens = processor.tokenizer.eos_token_id
    for settings in tmp_path.glob("revisions/*/config.json"):
        text = settings.read_text()
        settings.write_text(text.replace('"eos_token_id": 1', f'"eos_token_id": {tokens}'))
    processor.save_pretrained(tmp_path / "processor")
    monkeypatch.chdir(tmp_path)
    table = evaluate_revisions(tmp_path, BENCHMARK, processor="processor", **published)
    live = evaluate_model(model, processor, BENCHMARK, revision="epoch-001", **SMALL)
    pd.testing.assert_series_equal(values(table), values(live))


def test_a_language_model_is_refused_before_any_data_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer(tmp_path, make_model("language"), PublishRevisions(REPO), max_steps=1).train()
    monkeypatch.setattr("hf_clipdyn.evaluation.plan.open_sources", None)
    with pytest.raises(
        NothingToMeasureError, match=r"is a gpt2 model, which takes no images: only .*relations over weights"
    ):
        evaluate_revisions(tmp_path, BENCHMARK)


def test_the_name_of_a_model_object_is_only_a_name_and_half_precision_is_refused(
    tmp_path: Path, processor: CLIPProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()  # no model: opening it is an error
    monkeypatch.chdir(tmp_path)
    table = evaluate_model(make_model("clip"), processor, BENCHMARK, repo_id="mine", step=3, **SMALL)
    assert set(table["repo_id"]) == {"mine"}
    assert set(table["kind"]) == {"distortion"}, "nothing was recorded in a training"
    for model, changes, names in (
        (make_model("clip"), {"repo_id": "my model"}, "'my model'"),
        (make_model("clip"), {"store": "runs"}, "`store`"),
        (make_model("clip").half(), {}, "in float32"),
    ):
        with pytest.raises(ConfigError, match=names):
            evaluate_model(model, processor, BENCHMARK, **changes, **SMALL)


def test_a_metric_is_plotted_with_its_intervals(tmp_path: Path, processor: CLIPProcessor) -> None:
    output = tmp_path / "results.parquet"
    for epoch in range(3):
        torch.manual_seed(epoch)
        model = CLIPModel(make_model("clip").config)
        place: dict[str, Any] = {"revision": f"epoch-{epoch:03d}", "epoch": epoch, "output": output}
        evaluate_model(model, processor, BENCHMARK, **place, **SMALL)
    rows = load_results(output).query("metric == 'alignment_ssim'")
    for results in (output, rows):
        axes = plot(results, "alignment_ssim", ax=Figure().subplots())
        (line,) = [one for one in axes.lines if len(one.get_xdata()) == 3]
        assert list(line.get_xdata()) == [0, 1, 2]
        assert list(line.get_ydata()) == rows.query("role == 'value'")["value"].tolist()
        assert axes.get_xlabel() == "epoch"
    with pytest.raises(UnknownNameError, match="alignment_ssim"):
        plot(output, "alignment_sim", ax=Figure().subplots())


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True], ids=["DDP", "FSDP"])
def test_two_processes_measure_what_they_publish(
    tmp_path: Path, launch: Callable[..., str], sharded: bool
) -> None:
    sharding = ["--sharded"] if sharded else []
    launch(2, SCRIPT, "--measured", str(tmp_path), "clip", "per_device_train_batch_size=4", *sharding)

    live = load_results(tmp_path / "results.parquet")
    assert set(live["revision"]) == {"epoch-000", "epoch-001", "epoch-002"}
    for name in ("epoch-000", "epoch-002"):
        model = CLIPModel.from_pretrained(tmp_path / "revisions" / name)
        again = evaluate_model(model, make_processor(), BENCHMARK, revision=name, **SMALL)
        found = live[(live["revision"] == name) & (live["role"] == "value")].set_index(
            ["revision", "metric"]
        )["value"]
        pd.testing.assert_series_equal(values(again), found.sort_index(), rtol=1e-5)
