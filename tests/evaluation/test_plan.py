"""The first stage: what is selected, skipped, measured again, left out and refused."""

import json

import pyarrow.parquet as pq
import pytest
from transformers import Siglip2Config, Siglip2ImageProcessor

from hf_clipdyn.benchmarks.kinds.noise import Noise
from hf_clipdyn.benchmarks.registry import select_benchmarks
from hf_clipdyn.benchmarks.registry import suite as benchmark_suite
from hf_clipdyn.data.registry import dataset_metadata
from hf_clipdyn.errors import ConfigError, EvaluationError, RevisionNotFoundError, UnknownNameError
from hf_clipdyn.evaluation import evaluate_revisions
from hf_clipdyn.evaluation.config import EvaluationConfig
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


def test_every_missing_data_set_is_named_before_the_first_forward_pass_and_can_be_skipped(
    evaluate, data, tmp_path, forward_passes
):
    empty = tmp_path / "empty"
    empty.mkdir()
    given = {"cifar10": data["cifar10"], "cue_conflict": empty, "flickr8k": tmp_path / "absent"}
    names = ("zero_shot/cifar10", "shape_bias/cue_conflict", "retrieval/flickr8k")
    with pytest.raises(EvaluationError) as caught:
        evaluate(*names, data_dirs=given)
    first, *lines = [line.split()[0] for line in str(caught.value).splitlines()[:3]]
    assert (first, lines) == ("2", list(names[1:]))
    assert forward_passes["images"] == 0
    table = evaluate(*names, data_dirs=given, skip_missing=True, revisions=["epoch-000"])
    assert set(table["dataset"]) == {"cifar10"}
    with pytest.raises(EvaluationError, match="No benchmark"):
        evaluate("shape_bias/cue_conflict", data_dirs={"cue_conflict": empty}, skip_missing=True)


def test_data_that_are_neither_here_nor_on_the_hub_are_listed_with_their_place(store, monkeypatch):
    monkeypatch.delenv("CLIPDYN_DATA", raising=False)
    monkeypatch.chdir("/")
    for module in ("datasets.config", "huggingface_hub.constants"):
        monkeypatch.setattr(f"{module}.HF_HUB_OFFLINE", True)
    with pytest.raises(EvaluationError) as caught:
        evaluate_revisions(store, suite="paper", device="cpu", show_progress=False)
    for name in benchmark_suite("paper"):
        facts = dataset_metadata(name.partition("/")[2])
        if not name.endswith("/procedural") and facts.mirror is None:
            assert facts.where in str(caught.value)


def test_a_revision_or_a_run_that_is_not_there_is_refused_with_those_that_are(evaluate, store):
    with pytest.raises(UnknownNameError, match=r"epoch-003.*epoch-002"):
        evaluate("zero_shot/cifar10", revisions=["epoch-003"])
    with pytest.raises(RevisionNotFoundError, match="me/other"):
        evaluate_revisions("me/other", store=store / "hub")


@pytest.mark.parametrize("device", ["nonsense", "meta", ""])
def test_a_device_that_computes_nothing_is_refused(evaluate, device, forward_passes):
    with pytest.raises(ConfigError, match=f"device is {device!r}"):
        evaluate("zero_shot/cifar10", device=device)
    assert forward_passes["images"] == 0


def test_suites_are_joined_and_each_benchmark_runs_once():
    joined = [one.name for one in select_benchmarks(("human", "embedded"))]
    assert set(joined) == {*benchmark_suite("human"), *benchmark_suite("embedded")}
    assert len(joined) == len(set(joined))
    assert joined[: len(benchmark_suite("human"))] == benchmark_suite("human")


@pytest.mark.parametrize("sort", ["no table", "a folder", "below a file"])
def test_an_output_that_is_no_table_is_refused_before_the_first_forward_pass_and_left_alone(
    evaluate, tmp_path, forward_passes, sort
):
    """pyarrow reads a folder of tables as one."""
    output = tmp_path / "results.parquet"
    (tmp_path / "file").write_text("not a table")
    if sort == "no table":
        output.write_text("not a table")
    elif sort == "a folder":
        output.mkdir()
    with pytest.raises((EvaluationError, OSError), match=r"/results\."):
        evaluate(
            "zero_shot/cifar10", output=tmp_path / "file" / output.name if sort == "below a file" else output
        )
    assert forward_passes["images"] == 0
    assert {path.read_text() for path in tmp_path.iterdir() if path.is_file()} == {"not a table"}


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
