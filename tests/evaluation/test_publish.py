"""The table on the Hub: plain `datasets` loads it, a failed push loses nothing, and labels stay where they must."""

from pathlib import Path

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server.faults import Fault
from huggingface_hub import HfApi, snapshot_download

from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.data import registry
from hf_clipdyn.errors import ConfigError, PublishError
from hf_clipdyn.report import write_cards, write_report
from hf_clipdyn.results.arrow import SCHEMA
from hf_clipdyn.results.table import load
from hf_clipdyn.statistics.compare import compare_revisions

NAMES = ("shape_bias/cue_conflict", "zero_shot/cifar10")


@pytest.fixture
def push(evaluate, tmp_path):
    """`push("me/results", …)`: evaluates two benchmarks and publishes them; returns the table on the disk."""

    def run(repo_id, **kwargs):
        output = tmp_path / "out" / "results.parquet"
        evaluate(*NAMES, output=output, push_to_hub=True, hub_model_id=repo_id, **kwargs)
        return output

    return run


def test_plain_datasets_loads_the_table_and_the_trials(hub, push, evaluate, tmp_path):
    evaluate(*NAMES, output=tmp_path / "out" / "results.parquet", texts="last")
    output = push("me/results")
    cache = str(tmp_path / "cache")
    loaded = datasets.load_dataset("me/results", cache_dir=cache)
    assert list(loaded) == ["train"]
    expected = pq.read_table(output).to_pandas()
    pd.testing.assert_frame_equal(loaded["train"].to_pandas(), expected, check_dtype=False)
    trials = datasets.load_dataset("me/results", "shape_bias--cue_conflict", split="train", cache_dir=cache)
    assert set(trials["revision"]) == {"epoch-000", "epoch-001", "epoch-002"}
    assert {"decision", "preference", "shape_exemplar"} <= set(trials.column_names)
    last = datasets.load_dataset("me/results", "shape_bias--cue_conflict--last", cache_dir=cache)
    assert set(last["train"]["revision"]) == set(trials["revision"])

    card = HfApi().hf_hub_download("me/results", "README.md", repo_type="dataset")
    text = Path(card).read_text(encoding="utf-8")
    for part in (
        "`me/run` | 3 | epoch-000 | epoch-002",
        "`shape_bias/cue_conflict` | 3",
        f"{len(expected):,}",
    ):
        assert part in text
    for column in SCHEMA.names:
        assert f"`{column}`" in text, "the card explains each column"
    repo = hub.repo("me/results", "datasets")
    assert len(repo.history(repo.branches["main"])) == 2, "one commit after the initial one"


def test_no_path_of_this_machine_is_in_what_is_pushed_nor_in_the_page(hub, push, tmp_path):
    output = push("me/results")
    repo = hub.repo("me/results", "datasets")
    for path, file in repo.resolve("main").tree.items():
        content = hub.state.content(file)
        if path.endswith(".parquet"):  # compressed
            table = pq.read_table(pa.BufferReader(content))
            content = f"{table.schema.metadata} {table.to_pylist()}".encode()
        assert str(tmp_path).encode() not in content, path
    page = write_report(output, tmp_path / "page", stimuli="none")
    assert str(tmp_path) not in page.read_text(encoding="utf-8")
    for card in write_cards(output, tmp_path / "cards"):
        assert str(tmp_path) not in card.read_text(encoding="utf-8")


def test_a_downloaded_copy_is_what_the_command_left(hub, push, tmp_path):
    output = push("me/results", private=True)
    copy = tmp_path / "copy"
    snapshot_download("me/results", repo_type="dataset", local_dir=copy)
    name = ["zero_shot/cifar10"]
    here = compare_revisions(output, "epoch-000", "epoch-002", name)
    there = compare_revisions(copy / "results.parquet", "epoch-000", "epoch-002", name)
    pd.testing.assert_frame_equal(here, there)
    rows = len(pq.read_table(output))
    assert len(load(copy / "results.parquet").rows) == rows, "a report reads it too"


def test_labels_that_may_not_be_passed_on_go_to_private_repositories_only(hub, push, caplog):
    push("me/public")
    files = HfApi().list_repo_files("me/public", repo_type="dataset")
    assert not [path for path in files if "cifar10" in path]
    assert [path for path in files if path.startswith("results.trials/shape_bias--cue_conflict/")]
    assert caplog.messages[0].startswith("[RANK 0] The trials of zero_shot/cifar10 were not pushed")
    push("me/private", private=True)
    assert HfApi().repo_info("me/private", repo_type="dataset").private
    files = HfApi().list_repo_files("me/private", repo_type="dataset")
    assert [path for path in files if path.startswith("results.trials/zero_shot--cifar10/")]
    with pytest.raises(ConfigError, match="me/public exists and is public"):
        push("me/public", private=True)


@pytest.mark.parametrize("unknown", ["kind", "data set"])
def test_trials_of_a_kind_or_a_data_set_that_is_not_known_here_are_not_pushed(
    hub, evaluate, tmp_path, monkeypatch, caplog, unknown
):
    asked = {"output": tmp_path / "results.parquet", "revisions": ["epoch-000"]}
    evaluate(*NAMES, **asked)
    # As if it were that of a plug-in.
    known = {name: kind for name, kind in kinds().items() if name != "zero_shot"}
    others = [one for one in registry._own_builders() if one.name != "cifar10"]
    if unknown == "kind":
        monkeypatch.setattr("hf_clipdyn.evaluation.publish.kinds", lambda: known)
    else:
        monkeypatch.setattr(registry, "_own_builders", lambda: others)
    evaluate(NAMES[0], push_to_hub=True, hub_model_id="me/results", private=True, **asked)
    files = HfApi().list_repo_files("me/results", repo_type="dataset")
    assert {Path(path).parent.name for path in files if path.startswith("results.trials/")} == {
        "shape_bias--cue_conflict"
    }
    assert (
        "The trials of zero_shot/cifar10 were not pushed: the kind or the data set is not known"
        in caplog.text
    )
    card = HfApi().hf_hub_download("me/results", "README.md", repo_type="dataset")
    text = Path(card).read_text(encoding="utf-8")
    assert "| `zero_shot/cifar10` | 1 |" in text
    assert "The trials of zero_shot/cifar10 are not included" in text


def test_a_second_push_replaces_the_first(hub, push):
    push("me/results", revisions=["epoch-000"])
    api = HfApi()
    api.upload_file(
        path_or_fileobj=b"x",
        path_in_repo="results.trials/noise--old/trials.parquet",
        repo_id="me/results",
        repo_type="dataset",
    )
    push("me/results", revisions=["epoch-000", "epoch-001"])
    assert "results.trials/noise--old/trials.parquet" not in api.list_repo_files(
        "me/results", repo_type="dataset"
    )


def test_a_failed_push_loses_nothing_and_is_repeated_without_a_forward_pass(hub, push, monkeypatch, tmp_path):
    monkeypatch.setattr("hf_clipdyn.hub.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("hf_clipdyn.hub.PUSH_PATIENCE", 0.1)
    hub.plant("commit", Fault(503), times=100)
    with pytest.raises(
        PublishError,
        match=r"results.parquet is complete; repeat the command .*: Nothing was pushed to the dataset me/results",
    ):
        push("me/results")
    assert len(pq.read_table(tmp_path / "out" / "results.parquet")) > 0
    hub.faults.clear()
    monkeypatch.setattr("hf_clipdyn.models.encoder.Encoder.show_images", None)
    push("me/results")
    assert "results.parquet" in HfApi().list_repo_files("me/results", repo_type="dataset")


def test_what_cannot_be_pushed_is_said_before_the_first_forward_pass(push, monkeypatch, evaluate, tmp_path):
    monkeypatch.setattr("hf_clipdyn.models.encoder.Encoder.show_images", None)
    with pytest.raises(PublishError, match="no token for the Hub"):
        push("me/results")
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(PublishError, match="cannot be pushed to me/results while HF_HUB_OFFLINE is set"):
        push("me/results")
    with pytest.raises(ConfigError, match="'results', which"):
        push("results")
    with pytest.raises(ConfigError, match="hub_model_id is 'me/a/b', which the Hub does not accept"):
        push("me/a/b")
    with pytest.raises(ConfigError, match=r"`push_to_hub` requires `hub_model_id`, .*, and an `output`"):
        evaluate(*NAMES, push_to_hub=True, hub_model_id="me/results")
    with pytest.raises(ConfigError, match="`private` and `hub_model_id` require `push_to_hub`"):
        evaluate(*NAMES, private=True, output=tmp_path / "r.parquet")


def test_the_command_pushes_and_says_where(hub, store, zero_shot, tmp_path, clipdyn):
    output = tmp_path / "results.parquet"
    words = ["evaluate", store, *zero_shot, "--output", output]
    words += ["--push_to_hub", "--hub_model_id", "me/results", "--hub_private_repo"]
    code, _, said = clipdyn(*words)
    assert code == 0
    assert f"The results were pushed: {hub.url}/datasets/me/results." in said
    assert HfApi().repo_info("me/results", repo_type="dataset").private
    hub.tokens.clear()
    code, _, error = clipdyn(*words)
    assert code == 1
    assert f"clipdyn: error: {output} is complete; repeat the command to push it: Nothing was pushed" in error
    assert "Give a token with write permission" in error
