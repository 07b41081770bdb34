"""The first stage: what is selected, skipped, measured again, left out and refused."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from transformers import Siglip2Config, Siglip2ImageProcessor

from hf_clipdyn.benchmarks.kinds.noise import Noise, NoiseSettings
from hf_clipdyn.benchmarks.kinds.retrieval import Retrieval
from hf_clipdyn.benchmarks.kinds.saliency import SaliencySettings
from hf_clipdyn.benchmarks.kinds.shape_bias import ShapeBiasSettings
from hf_clipdyn.benchmarks.registry import select_benchmarks
from hf_clipdyn.benchmarks.registry import suite as benchmark_suite
from hf_clipdyn.data.registry import dataset_metadata
from hf_clipdyn.errors import ConfigError, EvaluationError, RevisionNotFoundError, UnknownNameError
from hf_clipdyn.evaluation import evaluate_revisions
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.evaluate import measure_each
from hf_clipdyn.evaluation.plan import Plan
from hf_clipdyn.results.row import CELL_KEY, NUMBER_KEY
from hf_clipdyn.revisions import list_revisions

KEY = [*CELL_KEY, *NUMBER_KEY]


def test_what_is_done_is_skipped_and_force_measures_it_again(evaluate, tmp_path, forward_passes):
    output = tmp_path / "results.parquet"
    first = evaluate("zero_shot/cifar10", output=output, revisions=["epoch-000"])
    assert forward_passes["images"] == 20
    again = evaluate("zero_shot/cifar10", output=output, revisions=["epoch-000"])
    assert forward_passes["images"] == 20
    assert again.equals(first)
    more = evaluate("zero_shot/cifar10", output=output)
    assert forward_passes["images"] == 60
    assert len(more) == 3 * len(first)
    forced = evaluate("zero_shot/cifar10", output=output, revisions=["epoch-000"], force=True)
    assert forward_passes["images"] == 80
    assert forced.drop(columns="seconds").equals(first.drop(columns="seconds"))
    assert len(pq.read_table(output)) == 3 * len(first)


def test_another_setting_is_another_cell_beside_the_first(evaluate, tmp_path):
    output = tmp_path / "results.parquet"
    one = {"output": output, "revisions": ["epoch-000"]}
    both = evaluate(
        *(Noise.on("cifar10", sigmas=(0.0, 0.2), stage=stage) for stage in ("native", "input")), **one
    )
    table = pq.read_table(output).to_pandas()
    assert len(table) == len(both)
    assert not table.duplicated(KEY).any()
    stages = table.groupby("settings")["data_fingerprint"].unique()
    assert [json.loads(settings)["stage"] for settings in stages.index] == ["input", "native"]
    assert stages.map(len).eq(1).all()
    assert table["data_fingerprint"].nunique() == 2


def test_a_cell_says_what_was_shown_and_how(evaluate):
    table = evaluate(Retrieval.on("flickr8k", held_out=4), revisions=["epoch-000"])
    cells = table[["kind", "dataset", "split", "texts", "text_commit", "dtype"]].drop_duplicates()
    assert cells.to_numpy().tolist()[0] == ["retrieval", "flickr8k", "train", "own", "", "float32"]
    settings = json.loads(table["settings"].iloc[0])
    assert settings["held_out"] == 4


def test_a_table_holds_one_precision_of_a_run(evaluate, tmp_path):
    """Readers would draw two precisions as one run."""
    output = tmp_path / "results.parquet"
    first = evaluate("zero_shot/cifar10", output=output, revisions=["epoch-001"])
    with pytest.raises(
        ConfigError, match=r"results\.parquet contains me/run in float32: write the results in bfloat16"
    ):
        evaluate("zero_shot/cifar10", output=output, revisions=["epoch-001"], dtype="bf16")
    assert len(pq.read_table(output)) == len(first)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"output": "run.seed1"}, r"name a Parquet file, for example results\.parquet"),
        ({"rescore": True}, "`rescore` measures nothing"),
        ({"rescore": True, "force": True, "output": "r.parquet"}, "leave out `force`"),
        ({"rescore": True, "watch": True, "output": "r.parquet"}, "leave out `force` and `watch`"),
    ],
)
def test_outputs_and_ways_that_do_not_go_together_are_refused(store, options, says):
    with pytest.raises(ConfigError, match=says):
        evaluate_revisions(store, show_progress=False, **options)


def test_kinds_and_patterns_choose_among_the_suite_and_the_folders_given(evaluate, data):
    folders = {name: data[name] for name in ("cifar10", "cue_conflict")}
    table = evaluate("*/cifar10", "shape_*/cue*", data_dirs=folders, revisions=["epoch-000"])
    assert set(table["kind"] + "/" + table["dataset"]) == {
        "geometry/cifar10",
        "noise/cifar10",
        "zero_shot/cifar10",
        "shape_bias/cue_conflict",
    }


def test_every_missing_data_set_is_named_before_the_first_forward_pass(
    evaluate, data, tmp_path, forward_passes
):
    empty = tmp_path / "empty"
    empty.mkdir()
    given = {"cifar10": data["cifar10"], "cue_conflict": empty, "flickr8k": tmp_path / "absent"}
    names = ("zero_shot/cifar10", "shape_bias/cue_conflict", "retrieval/flickr8k")
    with pytest.raises(EvaluationError) as caught:
        evaluate(*names, data_dirs=given)
    for part in (
        "2 of 3",
        "shape_bias/cue_conflict",
        "retrieval/flickr8k",
        "--skip-missing",
        "--data-dir",
    ):
        assert part in str(caught.value)
    assert forward_passes["images"] == 0
    table = evaluate(*names, data_dirs=given, skip_missing=True, revisions=["epoch-000"])
    assert set(table["dataset"]) == {"cifar10"}
    with pytest.raises(EvaluationError, match="No benchmark can run"):
        evaluate("shape_bias/cue_conflict", data_dirs={"cue_conflict": empty}, skip_missing=True)


def test_unknown_names_say_what_there_is(evaluate, store):
    with pytest.raises(UnknownNameError, match=r"no revision 'epoch-003'.*epoch-002"):
        evaluate("zero_shot/cifar10", revisions=["epoch-003"])
    with pytest.raises(UnknownNameError, match=r"no kind of benchmark 'zero_shots'.*'zero_shot'"):
        evaluate("zero_shots/cifar10")
    with pytest.raises(UnknownNameError, match="no benchmark 'noise/cue_conflict'"):
        evaluate("noise/cue_conflict")
    with pytest.raises(UnknownNameError, match=r"no suite 'embeded'.*'embedded'"):
        evaluate_revisions(
            store,
            suite="embeded",
        )
    with pytest.raises(RevisionNotFoundError):
        evaluate_revisions("me/other", store=store / "hub")
    with pytest.raises(ConfigError, match=r"dtype is 'float16': Input should be .*'bfloat16'"):
        evaluate("zero_shot/cifar10", dtype="float16")


def test_a_folder_that_no_benchmark_shows_is_an_error(evaluate, data):
    folders = {name: data[name] for name in ("cifar10", "cue_conflict")}
    with pytest.raises(
        ConfigError, match=r"given for cue_conflict, which none .*, for example decodability/cue_conflict"
    ):
        evaluate("zero_shot/cifar10", data_dirs=folders)


def test_wrong_settings_are_one_clear_sentence(evaluate):
    with pytest.raises(ConfigError, match="batch_size"):
        evaluate("noise/cifar10", batch_size=0)
    with pytest.raises(ConfigError, match="confidence_level is '2'"):
        evaluate("noise/cifar10", confidence_level=2)
    with pytest.raises(ConfigError, match="seed is '-1'"):
        evaluate("noise/cifar10", seed=-1)


@pytest.mark.parametrize("device", ["nonsense", "meta", "fpga", "cpu:x", ""])
def test_a_device_that_computes_nothing_is_one_clear_sentence(evaluate, device, forward_passes):
    with pytest.raises(ConfigError, match=f"device is {device!r}, on which torch cannot compute here"):
        evaluate("zero_shot/cifar10", device=device)
    assert forward_passes["images"] == 0


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"saliency": SaliencySettings(probes=("rollout", "grad_cam"))},
            "saliency_probes only affects saliency",
        ),
        ({"noise": NoiseSettings(conditions=("blur",))}, "noise_conditions only affects noise benchmarks"),
        ({"noise": NoiseSettings(sigmas=(0.0, 0.1))}, "noise_sigmas only affects noise benchmarks"),
        ({"shape_bias": ShapeBiasSettings(grey=True)}, "shape_bias_gray only affects shape_bias"),
    ],
)
def test_a_setting_that_no_chosen_benchmark_uses_is_refused(evaluate, settings, says, forward_passes):
    with pytest.raises(ConfigError, match=says):
        evaluate("zero_shot/cifar10", settings=settings)
    assert forward_passes["images"] == 0


def test_the_default_settings_affect_nothing_in_particular(evaluate):
    settings = {"noise": NoiseSettings(), "saliency": SaliencySettings()}
    assert len(evaluate("zero_shot/cifar10", revisions=["epoch-000"], settings=settings)) > 0


@pytest.mark.parametrize("suite", ["paper", "full"])
def test_a_suite_without_data_is_listed_in_a_table_before_the_hub_is_asked(store, monkeypatch, suite):
    monkeypatch.delenv("CLIPDYN_DATA", raising=False)
    monkeypatch.setattr("hf_clipdyn.benchmarks.sources.open_source", None)
    monkeypatch.chdir("/")
    with pytest.raises(EvaluationError) as caught:
        evaluate_revisions(store, suite=suite, device="cpu", show_progress=False)
    message = str(caught.value)
    assert "set CLIPDYN_DATA to the parent (not set now)" in message
    lines = {line.split()[0]: line for line in message.splitlines()[1:-1]}
    for name in benchmark_suite(suite):
        facts = dataset_metadata(name.partition("/")[2])
        if not name.endswith("/procedural") and facts.mirror is None:
            assert facts.where in lines[name]


def test_as_many_benchmarks_are_listed_as_missing_as_are_counted(store, monkeypatch) -> None:
    monkeypatch.delenv("CLIPDYN_DATA", raising=False)
    with pytest.raises(EvaluationError) as caught:
        evaluate_revisions(
            store,
            ["noise/cifar10", "quality/tid2013", "noise/cifar100", "jnd/bapps"],
        )
    first, *lines = str(caught.value).splitlines()
    count = next(at for at, line in enumerate(lines) if not line.startswith("  "))
    assert (count, first.partition(" bench")[0]) == (2, "2 of 4")


def test_missing_data_are_listed_once_a_call_however_many_models_lack_them(
    evaluate, store, tmp_path, data, caplog
) -> None:
    caplog.set_level("INFO", "hf_clipdyn")
    empty = tmp_path / "empty"
    empty.mkdir()
    names = ["zero_shot/cifar10", "shape_bias/cue_conflict"]
    given = {"cifar10": data["cifar10"], "cue_conflict": empty}
    for _ in range(2):
        caplog.clear()
        config = EvaluationConfig(repo_id=store, benchmarks=names, data_dirs=given, skip_missing=True)
        assert list(measure_each(config, lambda one: [Plan(one), Plan(one)]))
        assert sum("Left out" in message for message in caplog.messages) == 1


def test_suites_are_joined_and_each_benchmark_runs_once() -> None:
    joined = [one.name for one in select_benchmarks(("human", "embedded"))]
    assert set(joined) == {*benchmark_suite("human"), *benchmark_suite("embedded")}
    assert len(joined) == len(set(joined))
    assert joined[: len(benchmark_suite("human"))] == benchmark_suite("human")


def test_a_hub_that_cannot_be_reached_is_named_with_the_place_of_the_data(store, monkeypatch):
    monkeypatch.delenv("CLIPDYN_DATA", raising=False)
    for module in ("datasets.config", "huggingface_hub.constants"):
        monkeypatch.setattr(f"{module}.HF_HUB_OFFLINE", True)
    with pytest.raises(EvaluationError, match=r"1 of 1 benchmarks cannot run") as caught:
        evaluate_revisions(store, benchmarks=["zero_shot/cifar10"], device="cpu")
    assert dataset_metadata("cifar10").where in str(caught.value)


def test_an_output_that_is_no_table_of_results_is_left_alone(evaluate, tmp_path):
    output = tmp_path / "results.parquet"
    output.write_text("not a table")
    with pytest.raises(EvaluationError, match=r"results\.parquet: .*Parquet"):
        evaluate("zero_shot/cifar10", output=output)
    assert output.read_text() == "not a table"


def test_a_folder_as_output_is_refused_before_the_first_forward_pass(evaluate, tmp_path, forward_passes):
    """pyarrow reads a folder of tables as one."""
    evaluate(
        "zero_shot/cifar10", revisions=["epoch-000"], output=tmp_path / "folder.parquet" / "results.parquet"
    )
    before = forward_passes["images"]
    with pytest.raises(EvaluationError, match=r"folder\.parquet: it is not a regular file"):
        evaluate("zero_shot/cifar10", output=tmp_path / "folder.parquet")
    assert forward_passes["images"] == before


def test_an_output_that_cannot_be_written_is_refused_before_the_first_forward_pass(
    evaluate, tmp_path, forward_passes
):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"file/results"):
        evaluate("zero_shot/cifar10", output=tmp_path / "file" / "results.parquet")
    assert forward_passes["images"] == 0


def test_a_naflex_model_sees_squashed_images_and_its_cells_say_so(tmp_path, data, store):
    Siglip2Config().save_pretrained(tmp_path)
    Siglip2ImageProcessor(patch_size=8, max_num_patches=9).save_pretrained(tmp_path)
    config = EvaluationConfig(
        repo_id=store,
        benchmarks="zero_shot/cifar10",
        data_dirs={"cifar10": data["cifar10"]},
        cache_dir=tmp_path / "pixels",
    )
    cells = list(Plan(config).cells(list_revisions(store)[0], tmp_path))
    assert [one.cell.preprocess for one in cells] == ["squash"]


def test_one_name_does_for_benchmarks_and_revisions_and_a_misspelt_keyword_is_named(store, data):
    where = {"data_dirs": {"cifar10": data["cifar10"]}, "show_progress": False}
    table = evaluate_revisions(store, "zero_shot/cifar10", revisions="epoch-000", **where)
    assert (set(table["kind"]), set(table["revision"])) == ({"zero_shot"}, {"epoch-000"})
    with pytest.raises(ConfigError, match="no option 'n_resample'"):
        evaluate_revisions(store, n_resample=3, **where)


def test_a_path_may_be_a_text(store, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evaluate_revisions(
        str(store),
        "zero_shot/cifar10",
        revisions="epoch-000",
        data_dirs={"cifar10": str(data["cifar10"])},
        output="results.parquet",
        show_progress=False,
    )
    assert Path("results.parquet").is_file()
