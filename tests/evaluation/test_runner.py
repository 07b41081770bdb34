"""The runner: what is selected, skipped, redone, left out and named."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from accelerate import PartialState
from transformers import Siglip2Config, Siglip2ImageProcessor

from hf_clipdyn.benchmarks.base import Settings
from hf_clipdyn.benchmarks.registry import suite as benchmark_suite
from hf_clipdyn.benchmarks.sources import open_source
from hf_clipdyn.bundled import load_metric
from hf_clipdyn.data.registry import dataset_metadata
from hf_clipdyn.errors import ConfigError, EvaluationError, RevisionNotFoundError, UnknownNameError
from hf_clipdyn.evaluation import evaluate_revisions, runner
from hf_clipdyn.evaluation.runner import EvaluationConfig
from hf_clipdyn.evaluation.store import SCHEMA, read_trials
from hf_clipdyn.models.encoder import Encoder

pytestmark = pytest.mark.filterwarnings("ignore::hf_clipdyn.data.base.SubsetWarning")

IN_A_RUN = ["revision", "benchmark", "probe", "layer", "metric", "group"]
IN_A_TABLE = ["commit", "data_fingerprint", "preprocess", *IN_A_RUN]


@pytest.fixture
def forward_passes(monkeypatch):
    """Counts the images that go through a model."""
    counts = {"images": 0}
    embed = Encoder.embed_images

    def counted(self, pixels, **kwargs):
        counts["images"] += len(pixels)
        return embed(self, pixels, **kwargs)

    monkeypatch.setattr(Encoder, "embed_images", counted)
    return counts


def test_the_table_has_the_columns_and_the_keys_of_the_contract(evaluate, tmp_path):
    output = tmp_path / "results.parquet"
    table = evaluate("noise/cifar10", "zero_shot/cifar10", "shape_bias/cue_conflict", output=output)
    assert list(table.columns) == SCHEMA.names
    assert pq.read_schema(output).names == SCHEMA.names
    assert set(table["revision"]) == {"epoch-000", "epoch-001", "epoch-002"}
    assert not table.duplicated(IN_A_RUN).any()
    assert not table.duplicated(IN_A_TABLE).any()
    assert table["commit"].str.fullmatch("[0-9a-f]{40}").all()
    facts = table[table["revision"] == "epoch-002"][["epoch", "step", "samples_seen"]].drop_duplicates()
    assert facts.to_numpy().tolist() == [[2, 20, 80]]
    assert (table["note"] != "")[table["value"].isna()].all()
    assert (table["note"] == "")[table["value"].notna()].all()
    assert set(table["dtype"]) == {"float32"}


def test_what_is_done_is_skipped_and_force_redoes_it(evaluate, tmp_path, forward_passes):
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


def test_another_setting_is_another_pair_beside_the_first(evaluate, tmp_path):
    output = tmp_path / "results.parquet"
    one = {"output": output, "revisions": ["epoch-000"], "sigmas": (0.0, 0.2)}
    native = evaluate("noise/cifar10", **one)
    at_input = evaluate("noise/cifar10", noise_stage="input", **one)
    table = pq.read_table(output).to_pandas()
    assert len(table) == len(native) + len(at_input)
    assert not table.duplicated(IN_A_TABLE).any()
    assert "sigma=0.20,noise_stage=input" in set(at_input["group"])
    assert native["data_fingerprint"].iloc[0] != at_input["data_fingerprint"].iloc[0]


def test_each_unique_image_goes_through_a_revision_once(evaluate, forward_passes):
    evaluate("noise/cifar10", "zero_shot/cifar10", revisions=["epoch-000"], sigmas=(0.0, 0.1))
    assert forward_passes["images"] == 40  # 20 clean images, shown by both, and 20 noisy ones


def test_an_image_whose_layers_one_benchmark_compares_is_not_shown_again_by_another(
    evaluate, forward_passes, judged
):
    """The reference images of TID2013 are photographs as well, to be distorted once more."""
    settings = {"revisions": ["epoch-000"], "n_resamples": 0}
    folders = {"tid2013": judged["tid2013"], "photographs": judged["tid2013"] / "reference_images"}

    def images(*benchmarks):
        before = forward_passes["images"]
        shown = {name: folders[name] for name in folders if any(name in one for one in benchmarks)}
        evaluate(*benchmarks, data_dirs=shown, **settings)
        return forward_passes["images"] - before

    n_references = len(list(folders["photographs"].iterdir()))
    names = ("distortion/photographs", "quality/tid2013")
    assert images(*names) == sum(map(images, names)) - n_references


@pytest.mark.filterwarnings("ignore::hf_clipdyn.metrics.undefined.UndefinedMetricWarning")
def test_numbers_are_had_anew_from_the_trials_without_a_forward_pass(evaluate, tmp_path, forward_passes):
    names = ("noise/cifar10", "shape_bias/cue_conflict", "retrieval/flickr8k")
    wanted = evaluate(*names, output=tmp_path / "wanted.parquet")
    output = tmp_path / "results.parquet"
    bare = evaluate(*names, output=output, n_resamples=0)
    assert bare["ci_low"].isna().all()
    shown = forward_passes["images"]
    assert evaluate(*names, output=output).equals(bare), "what is done keeps its intervals"
    found = evaluate(*names, output=output, rescore=True)
    assert forward_passes["images"] == shown
    assert found["metric"].str.endswith("/final_text").any()
    assert found.drop(columns="seconds").equals(wanted.drop(columns="seconds"))
    assert pq.read_table(output).num_rows == len(wanted)


def test_numbers_without_trials_stay_as_they_are(evaluate, tmp_path, capsys):
    output = tmp_path / "results.parquet"
    asked = {"output": output, "revisions": ["epoch-000"], "show_progress": True}
    first = evaluate("zero_shot/cifar10", n_resamples=0, keep_trials=False, **asked)
    again = evaluate("zero_shot/cifar10", n_resamples=20, rescore=True, **asked)
    assert again.equals(first)
    assert "epoch-000 on zero_shot/cifar10 keeps its numbers" in capsys.readouterr().out


def test_a_table_holds_one_precision_of_a_run(evaluate, tmp_path):
    """No column of the contract's key would tell the rows of two apart."""
    output = tmp_path / "results.parquet"
    first = evaluate("zero_shot/cifar10", output=output, revisions=["epoch-001"])
    with pytest.raises(
        ConfigError, match=r"results\.parquet holds me/run in float32: measure it in bfloat16"
    ):
        evaluate("zero_shot/cifar10", output=output, revisions=["epoch-001"], dtype="bf16")
    assert len(pq.read_table(output)) == len(first)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"output": "run.seed1"}, "name a Parquet file, as results.parquet"),
        ({"rescore": True}, "rescore reads the trials beside an output"),
        ({"rescore": True, "force": True, "output": "r.parquet"}, "choose one"),
    ],
)
def test_outputs_and_ways_that_do_not_go_together_are_refused(store, options, says):
    with pytest.raises(ConfigError, match=says):
        evaluate_revisions("me/run", store=store, show_progress=False, **options)


def test_the_order_and_the_company_of_a_benchmark_change_nothing(evaluate):
    alone = evaluate("shape_bias/cue_conflict", revisions=["epoch-002"])
    both = evaluate("noise/cifar10", "shape_bias/cue_conflict", sigmas=(0.0, 0.1))
    beside = both[(both["benchmark"] == "shape_bias/cue_conflict") & (both["revision"] == "epoch-002")]
    np.testing.assert_allclose(alone["value"], beside["value"], atol=1e-6)


@pytest.mark.filterwarnings("ignore::hf_clipdyn.metrics.undefined.UndefinedMetricWarning")
def test_the_evaluate_modules_give_the_number_that_the_runner_gives(evaluate, tmp_path):
    output = tmp_path / "results.parquet"
    table = evaluate(
        "shape_bias/cue_conflict",
        "noise/cifar10",
        "zero_shot/cifar10",
        output=output,
        revisions=["epoch-001"],
    )

    def number(metric, group=""):
        asked = (table["metric"] == metric) & (table["group"] == group)
        rows = table[asked & (table["probe"] == "projection")]
        return rows["value"].item(), [rows["ci_low"].item(), rows["ci_high"].item()]

    trials = read_trials(output, "shape_bias/cue_conflict")
    trials = trials[trials["protocol"] == ""]
    module = load_metric("shape_bias").compute(
        predictions=trials["decision"].tolist(),
        shapes=trials["shape"].tolist(),
        textures=trials["texture"].tolist(),
        shape_exemplars=trials["shape_exemplar"].tolist(),
        texture_exemplars=trials["texture_exemplar"].tolist(),
        n_resamples=50,
    )
    for key in ("shape_bias", "texture_bias", "cue_accuracy", "shape_accuracy", "texture_accuracy"):
        assert number(key) == (module[key], module[f"{key}_ci"])
    assert number("interpretable")[0] == module["interpretable"]

    trials = read_trials(output, "noise/cifar10")
    module = load_metric("noise_robustness").compute(
        predictions=trials["decision"].tolist(),
        references=trials["label"].tolist(),
        sigmas=trials["sigma"].tolist(),
        n_classes=10,
        groups=trials["item"].tolist(),
        n_resamples=50,
    )
    assert number("clean_accuracy") == (module["clean_accuracy"], module["clean_accuracy_ci"])
    assert number("area") == (module["area"], module["area_ci"])
    at = module["sigmas"].index(0.2)
    assert number("accuracy", "sigma=0.20") == (module["accuracy"][at], module["accuracy_ci"][at])

    trials = read_trials(output, "zero_shot/cifar10")
    module = load_metric("zero_shot_accuracy").compute(
        predictions=trials["ranking"].tolist(),
        references=trials["label"].tolist(),
        n_classes=10,
        n_resamples=50,
    )
    assert number("top1") == (module["top1"], module["top1_ci"])
    assert number("top5") == (module["top5"], module["top5_ci"])


def test_kinds_and_patterns_choose_among_the_suite_and_the_folders_given(evaluate, data):
    folders = {name: data[name] for name in ("cifar10", "cue_conflict")}
    settings = {"data_dirs": folders, "revisions": ["epoch-000"], "sigmas": (0.0, 0.1)}
    assert set(evaluate("*/cifar10", "shape_*/cue*", **settings)["benchmark"]) == {
        "noise/cifar10",
        "zero_shot/cifar10",
        "shape_bias/cue_conflict",
    }


def test_trials_can_be_opted_out(evaluate, tmp_path):
    output = tmp_path / "results.parquet"
    evaluate("zero_shot/cifar10", output=output, revisions=["epoch-000"], keep_trials=False)
    assert output.is_file()
    with pytest.raises(EvaluationError, match="no trials of zero_shot/cifar10"):
        read_trials(output, "zero_shot/cifar10")


def test_every_missing_data_set_is_named_before_the_first_forward_pass(
    evaluate, data, tmp_path, forward_passes
):
    empty = tmp_path / "empty"
    empty.mkdir()
    given = {"cifar10": data["cifar10"], "cue_conflict": empty, "flickr8k": tmp_path / "absent"}
    names = ("zero_shot/cifar10", "shape_bias/cue_conflict", "retrieval/flickr8k")
    with pytest.raises(EvaluationError) as caught:
        evaluate(*names, data_dirs=given)
    for part in ("2 of 3", "shape_bias/cue_conflict", "retrieval/flickr8k", "--skip-missing", "--data-dir"):
        assert part in str(caught.value)
    assert forward_passes["images"] == 0
    table = evaluate(*names, data_dirs=given, skip_missing=True, revisions=["epoch-000"])
    assert set(table["benchmark"]) == {"zero_shot/cifar10"}
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
        evaluate_revisions("me/run", suite="embeded", store=store)
    with pytest.raises(RevisionNotFoundError):
        evaluate_revisions("me/other", store=store)
    with pytest.raises(UnknownNameError, match="no dtype 'float16'"):
        evaluate("zero_shot/cifar10", dtype="float16")


def test_a_folder_that_no_benchmark_shows_is_an_error(evaluate, data):
    folders = {name: data[name] for name in ("cifar10", "cue_conflict")}
    with pytest.raises(ConfigError, match=r"given for cue_conflict, which no .*, as shape_bias/cue_conflict"):
        evaluate("zero_shot/cifar10", data_dirs=folders)


def test_wrong_settings_are_one_clear_sentence(evaluate):
    with pytest.raises(ConfigError, match="noise_stage is 'raw': take native or input"):
        evaluate("zero_shot/cifar10", noise_stage="raw")
    with pytest.raises(ConfigError, match="between 0 and 1"):
        evaluate("noise/cifar10", sigmas=(0.0, 25.0))
    with pytest.raises(ConfigError, match="batch_size"):
        evaluate("noise/cifar10", batch_size=0)
    with pytest.raises(ConfigError, match="n_resamples is -5: it must be 0 or more"):
        evaluate("noise/cifar10", n_resamples=-5)
    with pytest.raises(ConfigError, match="seed is -1: it must be 0 or more"):
        evaluate("noise/cifar10", seed=-1)


def test_a_call_on_the_cpu_leaves_the_device_of_later_calls_open(evaluate):
    PartialState._reset_state()
    evaluate("zero_shot/cifar10", device="cpu", revisions=["epoch-000"])
    assert PartialState()._cpu is False, "accelerate would keep the CPU until the process ends"


@pytest.mark.parametrize("device", ["nonsense", "meta", "fpga", "cpu:x", ""])
def test_a_device_that_computes_nothing_is_one_clear_sentence(evaluate, device, forward_passes):
    with pytest.raises(ConfigError, match=f"device is {device!r}, on which torch cannot compute here"):
        evaluate("zero_shot/cifar10", device=device)
    assert forward_passes["images"] == 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"preprocess": "tiles"},
            r"preprocess is tiles, which bears on quality alone, and zero_shot/cifar10 is",
        ),
        ({"preprocess": "squash"}, "bears on quality and saliency alone"),
        ({"probes": ("rollout", "grad_cam")}, "probes is rollout, grad_cam, which bears on saliency alone"),
        ({"captions": Path("captions.txt")}, r"captions is captions\.txt, which bears on saliency alone"),
        ({"noise_kinds": ("blur",)}, "noise_kinds is blur, which bears on noise alone"),
        ({"sigmas": (0.0, 0.1)}, r"sigmas is 0\.0, 0\.1, which bears on noise alone"),
        ({"held_out": 5}, "held_out is 5, which bears on retrieval alone"),
    ],
)
def test_a_setting_that_no_chosen_benchmark_reads_is_refused(evaluate, settings, said, forward_passes):
    with pytest.raises(ConfigError, match=said):
        evaluate("zero_shot/cifar10", **settings)
    assert forward_passes["images"] == 0


def test_the_usual_settings_bear_on_nothing_in_particular(evaluate):
    usual = {"preprocess": "processor", "noise_stage": "native", "noise_kinds": ("gaussian",)}
    assert len(evaluate("zero_shot/cifar10", revisions=["epoch-000"], **usual)) > 0


@pytest.mark.parametrize("suite", ["paper", "full"])
def test_a_suite_without_data_is_told_in_a_table_before_the_hub_is_asked(store, monkeypatch, suite):
    monkeypatch.delenv("CLIPDYN_DATA", raising=False)
    monkeypatch.setattr("hf_clipdyn.evaluation.selection.open_source", None)
    monkeypatch.chdir("/")
    with pytest.raises(EvaluationError) as caught:
        evaluate_revisions("me/run", suite=suite, store=store, device="cpu", show_progress=False)
    message = str(caught.value)
    assert "set CLIPDYN_DATA to that (not set now)" in message
    lines = {line.split()[0]: line for line in message.splitlines()[1:-1]}
    for name in benchmark_suite(suite):
        facts = dataset_metadata(name.partition("/")[2])
        if not name.endswith("/procedural"):
            assert (facts.mirror or facts.where) in lines[name]


def test_a_hub_that_cannot_be_reached_is_told_with_the_place_of_the_data(store, monkeypatch):
    monkeypatch.delenv("CLIPDYN_DATA", raising=False)
    for module in ("datasets.config", "huggingface_hub.constants"):
        monkeypatch.setattr(f"{module}.HF_HUB_OFFLINE", True)
    with pytest.raises(EvaluationError, match=r"1 of 1 benchmarks cannot run") as caught:
        evaluate_revisions("me/run", benchmarks=["zero_shot/cifar10"], store=store, device="cpu")
    assert dataset_metadata("cifar10").where in str(caught.value)


def test_an_output_that_is_no_table_of_results_is_left_alone(evaluate, tmp_path):
    output = tmp_path / "results.parquet"
    output.write_text("not a table")
    with pytest.raises(EvaluationError, match="is not a table of results"):
        evaluate("zero_shot/cifar10", output=output)
    assert output.read_text() == "not a table"


def test_a_folder_as_output_is_refused_before_the_first_forward_pass(evaluate, tmp_path, forward_passes):
    """pyarrow reads a folder of tables as one."""
    evaluate(
        "zero_shot/cifar10", revisions=["epoch-000"], output=tmp_path / "folder.parquet" / "results.parquet"
    )
    before = forward_passes["images"]
    with pytest.raises(EvaluationError, match="is a folder"):
        evaluate("zero_shot/cifar10", output=tmp_path / "folder.parquet")
    assert forward_passes["images"] == before


def test_the_gallery_of_held_out_images_is_named_in_the_group(evaluate):
    table = evaluate("retrieval/flickr8k", revisions=["epoch-000"], held_out=4)
    assert set(table["group"]) == {"held_out=4"}
    chance = table[table["metric"] == "text_to_image_chance_at_1"]["value"].item()
    assert chance == pytest.approx(1 / 4)


def test_a_naflex_model_is_said_to_see_squashed_images(tmp_path, data):
    Siglip2Config().save_pretrained(tmp_path)
    Siglip2ImageProcessor(patch_size=8, max_num_patches=9).save_pretrained(tmp_path)
    sources = {"zero_shot/cifar10": open_source("cifar10", ("labels",), data_dir=data["cifar10"])}
    config = EvaluationConfig("me/naflex", settings=Settings(cache_dir=tmp_path / "pixels"))
    prepared = runner._prepare(tmp_path, sources, config, print)
    assert prepared.benchmarks["zero_shot/cifar10"].preprocess == "squash"


def test_one_name_does_for_benchmarks_and_revisions_and_a_misspelt_keyword_is_named(store, data):
    where = {"store": store, "data_dirs": {"cifar10": data["cifar10"]}, "show_progress": False}
    table = evaluate_revisions(
        "me/run", benchmarks="zero_shot/cifar10", revisions="epoch-000", n_resamples=0, **where
    )
    assert (set(table["benchmark"]), set(table["revision"])) == ({"zero_shot/cifar10"}, {"epoch-000"})
    with pytest.raises(
        TypeError, match=r"evaluate_revisions\(\) got an unexpected keyword argument 'n_resample'"
    ):
        evaluate_revisions("me/run", n_resample=3, **where)
