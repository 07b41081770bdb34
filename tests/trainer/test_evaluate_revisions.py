"""The model of a real Trainer is measured while it trains, and training does not notice."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from trained import REPO, equal, make_model, make_pair, make_processor, measuring, trainer
from transformers import CLIPModel, TrainerCallback
from transformers.integrations import integration_utils

from hf_clipdyn import EvaluateRevisions, PublishRevisions, evaluate_model, evaluate_revisions, load_results
from hf_clipdyn.errors import ConfigError, ModelError, NothingToMeasureError

SCRIPT = Path(__file__).with_name("trained.py")
BENCHMARK = "distortion/procedural"
SMALL: dict[str, Any] = {"show_progress": False}


def values(rows: pd.DataFrame) -> "pd.Series[float]":
    """The values by revision and metric."""
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


def test_what_a_trainer_has_logged_is_in_the_table_however_it_is_measured(tmp_path: Path) -> None:
    model, processor = make_pair()
    callbacks = PublishRevisions(REPO, processor=processor), measuring()
    logs = {"logging_strategy": "epoch", "eval_strategy": "epoch", "save_total_limit": None}
    run = trainer(tmp_path, model, *callbacks, **logs)
    run.train()
    evaluate_revisions(tmp_path, BENCHMARK, output=tmp_path / "published.parquet", **SMALL)
    (tmp_path / "revisions").rename(tmp_path / "away")  # then the Trainer's checkpoints are read
    processor.save_pretrained(tmp_path / "processor")
    with pytest.raises(ModelError, match=r"no preprocessor_config.json.* --processor"):
        evaluate_revisions(tmp_path, BENCHMARK, **SMALL)
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
        found = rows.set_index(["metric", "step"])["value"].to_dict()
        # The Trainer has saved its last checkpoint before it logged that epoch.
        expected = {key: value for key, value in logged.items() if table != "saved" or key[1] == 5}
        assert {key: found[key] for key in expected} == expected, table


def test_a_run_that_is_resumed_where_an_epoch_ends_logs_its_numbers_once(tmp_path: Path) -> None:
    for epochs in (1, 2):
        saves = {"num_train_epochs": epochs, "save_strategy": "epoch"}
        run = trainer(tmp_path, make_model("clip"), measuring(), **saves)
        run.train(resume_from_checkpoint=epochs == 2)
    name = f"{BENCHMARK}/alignment_ssim/cosine/projection"
    assert [logs["step"] for logs in run.state.log_history if name in logs] == [0, 5, 10]


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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()  # no model: opening it is an error
    monkeypatch.chdir(tmp_path)
    processor = make_processor()
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


@pytest.mark.parametrize(
    ("benchmark", "options", "says"),
    [
        ("zero_shot/procedurall", {}, "Did you mean 'zero_shot/procedural'"),
        (None, {"suite": "embeded"}, "Did you mean 'embedded'"),
        (BENCHMARK, {"batch_sizes": 8}, "Did you mean 'batch_size'"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_training(
    benchmark: str | None, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        EvaluateRevisions(benchmark, **options)


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True], ids=["DDP", "FSDP"])
def test_two_processes_measure_what_they_publish(
    tmp_path: Path, launch: Callable[..., str], sharded: bool
) -> None:
    sharding = ["--sharded"] if sharded else []
    launch(2, SCRIPT, "--measured", str(tmp_path), "clip", "per_device_train_batch_size=4", *sharding)

    live = load_results(tmp_path / "results.parquet").query("kind != 'training'")
    assert set(live["revision"]) == {"epoch-000", "epoch-001", "epoch-002"}
    for name in ("epoch-000", "epoch-002"):
        model = CLIPModel.from_pretrained(tmp_path / "revisions" / name)
        again = evaluate_model(model, make_processor(), BENCHMARK, revision=name, **SMALL).to_pandas()
        found = live[live["revision"] == name]
        pd.testing.assert_series_equal(values(again), values(found), rtol=1e-5)
