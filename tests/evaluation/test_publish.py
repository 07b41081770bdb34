"""The table on the Hub: plain `datasets` loads it, a failed push loses nothing, and labels stay where they must."""

from pathlib import Path

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server.faults import Fault
from huggingface_hub import HfApi, snapshot_download

from hf_clipdyn.errors import ConfigError, PublishError
from hf_clipdyn.report import write_cards, write_report
from hf_clipdyn.results.arrow import SCHEMA
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
    for part in ("`me/run` | 3 |", "`shape_bias/cue_conflict` | 3", f"{len(expected):,}"):
        assert part in text
    assert all(f"`{column}`" in text for column in SCHEMA.names), "the card explains each column"
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


def test_labels_that_may_not_be_passed_on_go_to_private_repositories_only_and_come_back_from_there(
    hub, push, caplog, tmp_path
):
    push("me/public")
    files = HfApi().list_repo_files("me/public", repo_type="dataset")
    assert not [path for path in files if "cifar10" in path]
    assert [path for path in files if path.startswith("results.trials/shape_bias--cue_conflict/")]
    assert "zero_shot/cifar10" in caplog.messages[0]
    output = push("me/private", private=True)
    assert HfApi().repo_info("me/private", repo_type="dataset").private
    files = HfApi().list_repo_files("me/private", repo_type="dataset")
    assert [path for path in files if path.startswith("results.trials/zero_shot--cifar10/")]
    with pytest.raises(ConfigError, match="me/public"):
        push("me/public", private=True)
    snapshot_download("me/private", repo_type="dataset", local_dir=tmp_path / "copy")
    tables = (output, tmp_path / "copy" / "results.parquet")
    here, there = (compare_revisions(one, "epoch-000", "epoch-002", ["zero_shot/cifar10"]) for one in tables)
    pd.testing.assert_frame_equal(here, there)


def test_a_failed_push_loses_nothing_and_is_repeated_without_a_forward_pass(hub, push, monkeypatch, tmp_path):
    monkeypatch.setattr("hf_clipdyn.hub.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("hf_clipdyn.hub.PUSH_PATIENCE", 0.1)
    hub.plant("commit", Fault(503), times=100)
    with pytest.raises(PublishError, match=r"results\.parquet"):
        push("me/results")
    assert len(pq.read_table(tmp_path / "out" / "results.parquet")) > 0
    hub.faults.clear()
    api, old = HfApi(), "results.trials/noise--old/trials.parquet"
    api.create_repo("me/results", repo_type="dataset", exist_ok=True)
    api.upload_file(path_or_fileobj=b"x", path_in_repo=old, repo_id="me/results", repo_type="dataset")
    monkeypatch.setattr("hf_clipdyn.models.encoder.Encoder.show_images", None)
    push("me/results")
    files = api.list_repo_files("me/results", repo_type="dataset")
    assert "results.parquet" in files
    assert old not in files, "what was pushed before is replaced"


def test_what_a_person_wrote_on_the_card_stays_and_a_card_of_somebody_else_is_left_alone(hub, push, caplog):
    api, marks = HfApi(), ("<!-- card of hf-clipdyn -->\n\n", "\n<!-- end of card -->\n")

    def card():
        repo = hub.repo("me/results", "datasets")
        return hub.state.content(repo.resolve("main").tree["README.md"]).decode()

    def write(text):
        api.upload_file(
            path_or_fileobj=text.encode(), path_in_repo="README.md", repo_id="me/results", repo_type="dataset"
        )

    push("me/results")
    made = card()
    write(made.replace("Results of 3 revisions", "Results of 2 revisions") + "\nMine.\n")
    push("me/results")
    assert card() == f"{made}\nMine.\n"
    write("---\nlicense: mit\n---\n# Mine\n")
    caplog.clear()
    push("me/results")
    assert card() == "---\nlicense: mit\n---\n# Mine\n"
    assert [one for one in caplog.messages if "The card of me/results is left as it is" in one]
    write(made.replace(marks[0], "").replace(marks[1], "").replace("of 3 revisions", "of 2 revisions"))
    push("me/results")
    assert card() == made, "a card of version 0.4.0"


def test_without_a_token_or_a_network_no_image_is_shown(push, monkeypatch):
    monkeypatch.setattr("hf_clipdyn.models.encoder.Encoder.show_images", None)
    with pytest.raises(PublishError, match="token"):
        push("me/results")
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(PublishError, match="HF_HUB_OFFLINE"):
        push("me/results")
