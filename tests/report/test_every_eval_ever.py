"""Documents of Every Eval Ever: what they contain, what is left out, who points to them, what their validator says."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from huggingface_hub import HfApi, parse_eval_result_entries
from result_rows import course, row

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.report import push_cards, push_evaluations, read_study, write_evaluations

_ITEMS = 4


def _rows(dataset: str = "procedural") -> list[Any]:
    numbers = course(f"zero_shot/{dataset}", "top1", [0.25, 0.75], 0.125, seed=3)
    chance = [
        row(f"zero_shot/{dataset}", "top1", 0.1, epoch=epoch, seed=3, role="chance", probe="")
        for epoch in range(2)
    ]
    return [*numbers, *chance]


def _with_trials(table: Path, items: int = _ITEMS) -> Path:
    """The table with a file of trials for each cell of zero-shot classification: a quarter of the answers is wrong."""
    folder = table.with_suffix(".trials")
    folder.mkdir()
    cells = read_study(table).cells
    for cell in cells[cells["kind"] == "zero_shot"]["cell"]:
        trials = pd.DataFrame(
            {
                "split": "test",
                "row": range(items),
                "file": "",
                "item": range(items),
                "label": [2] * items,
                "ranking": [[2, 1, 0] if item % 4 else [1, 2, 0] for item in range(items)],
                "n_classes": 3,
                "protocol": "",
            }
        )
        trials.to_parquet(folder / f"{cell}.parquet")
    return table


def _documents(folder: Path) -> dict[str, dict[str, Any]]:
    """The documents below a folder, by revision."""
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("data/*/*/*/*.json")]
    return {one["model_info"]["additional_details"]["revision"]: one for one in documents}


def test_a_revision_is_a_document_with_bounds_interval_and_chance(write, tmp_path):
    written = write_evaluations(write(_rows()), tmp_path / "out")
    assert {Path(path).parent.as_posix() for path in written.paths} == {"data/hf_clipdyn/me/fixture"}
    documents = _documents(tmp_path / "out")
    assert sorted(documents) == ["epoch-000", "epoch-001"]
    document = documents["epoch-001"]
    assert document["model_info"]["id"] == "me/fixture"
    assert document["model_info"]["name"] == "me/fixture@epoch-001"
    details = document["model_info"]["additional_details"]
    assert (details["step"], details["samples_seen"], details["seed"]) == ("100", "6400", "3")
    (result,) = document["evaluation_results"]
    assert result["evaluation_name"] == "zero_shot/procedural"
    metric = result["metric_config"]
    assert (metric["score_type"], metric["min_score"], metric["max_score"]) == ("continuous", 0.0, 1.0)
    assert metric["lower_is_better"] is False
    assert metric["additional_details"]["chance"] == "0.1"
    assert result["score_details"] == {
        "score": 0.75,
        "details": {"n": "1000", "n_clusters": "64"},
        "uncertainty": {
            "confidence_interval": {"lower": 0.625, "upper": 0.875, "confidence_level": 0.95},
            "num_samples": 64,
        },
    }
    assert len({one["evaluation_id"] for one in documents.values()}) == 2


@pytest.mark.parametrize(
    ("evaluator", "organisation", "relationship"),
    [(None, "unknown", "other"), ("me", "me", "first_party"), ("you", "you", "third_party")],
)
def test_nobody_is_named_as_the_evaluator_unless_the_user_says_so(
    write, tmp_path, evaluator, organisation, relationship
):
    write_evaluations(write(_rows()), tmp_path, evaluator=evaluator)
    source = _documents(tmp_path)["epoch-000"]["source_metadata"]
    assert (source["source_organization_name"], source["evaluator_relationship"]) == (
        organisation,
        relationship,
    )


def test_what_the_schema_cannot_hold_is_left_out_and_counted(write, tmp_path):
    rows = [
        row("zero_shot/procedural", "top1", 0.5),
        row("zero_shot/procedural", "top1", float("nan"), level=1.0, note="no images"),
        row("noise/procedural", "noise_rms", 0.1),  # neither end is better
        row("noise/procedural", "accuracy", 1.5, condition="blur"),  # outside the range of its axis
    ]
    written = write_evaluations(write(rows), tmp_path)
    assert (len(written.paths), written.undefined, written.undirected) == (1, 1, 1)
    top1, outside = _documents(tmp_path)["epoch-000"]["evaluation_results"]
    assert (top1["score_details"]["score"], outside["score_details"]["score"]) == (0.5, 1.5)
    assert "score_type" not in outside["metric_config"]


def test_two_numbers_of_one_metric_have_two_names(write, tmp_path):
    rows = [
        row("noise/procedural", "accuracy", 0.5, condition="gaussian", level=0.1),
        row("noise/procedural", "accuracy", 0.4, condition="gaussian", level=0.2),
        row("noise/procedural", "accuracy", 0.3, condition="gaussian", level=0.2, dtype="bfloat16"),
        row("noise/procedural", "accuracy", 0.3, condition="gaussian", level=0.2, texts="last"),
    ]
    write_evaluations(write(rows), tmp_path)
    results = _documents(tmp_path)["epoch-000"]["evaluation_results"]
    assert len({result["evaluation_result_id"] for result in results}) == 4


def test_the_answers_to_each_image_are_lines_that_name_their_result(write, tmp_path):
    written = write_evaluations(_with_trials(write(_rows())), tmp_path / "out")
    assert written.withheld == ()
    for document in _documents(tmp_path / "out").values():
        said = document["detailed_evaluation_results"]
        content = (tmp_path / "out" / said["file_path"]).read_bytes()
        assert said["checksum"] == hashlib.sha256(content).hexdigest()
        answers = [json.loads(line) for line in content.splitlines()]
        assert len(answers) == said["total_rows"] == _ITEMS
        assert [one["evaluation"]["is_correct"] for one in answers] == [False, True, True, True]
        assert [one["output"]["raw"] for one in answers] == [["1"], ["2"], ["2"], ["2"]]
        assert answers[0]["input"] == {"raw": "procedural, split test, item 0", "reference": ["2"]}
        (result,) = document["evaluation_results"]
        assert {one["evaluation_result_id"] for one in answers} == {result["evaluation_result_id"]}
        assert {one["evaluation_id"] for one in answers} == {document["evaluation_id"]}


def test_answers_whose_licence_forbids_passing_them_on_stay_here(write, tmp_path):
    written = write_evaluations(_with_trials(write(_rows("cifar10"))), tmp_path / "out")
    assert written.withheld == ("zero_shot/cifar10",)
    assert not list((tmp_path / "out").rglob("*.jsonl"))
    (result,) = _documents(tmp_path / "out")["epoch-001"]["evaluation_results"]
    assert (result["source_data"]["source_type"], result["source_data"]["hf_repo"]) == (
        "hf_dataset",
        "uoft-cs/cifar10",
    )


def test_the_same_table_twice_gives_the_same_paths_and_a_hostile_name_stays_in_the_folder(write, tmp_path):
    table = write(_rows())
    assert write_evaluations(table, tmp_path / "a").paths == write_evaluations(table, tmp_path / "b").paths
    rows = [row("zero_shot/procedural", "top1", 0.5, repo_id="../../..")]
    (path,) = write_evaluations(write(rows, "hostile.parquet"), tmp_path / "c").paths
    assert path.startswith("data/hf_clipdyn/run/run/")


def test_the_results_of_a_leaderboard_point_to_the_document_of_their_revision(write, hub):
    api = HfApi()
    api.create_repo("me/fixture")
    for name in ("uoft-cs/cifar10", "me/results"):
        api.create_repo(name, repo_type="dataset")
    tasks = {"path_in_repo": "eval.yaml", "repo_type": "dataset", "repo_id": "uoft-cs/cifar10"}
    api.upload_file(path_or_fileobj=b"tasks: [{id: top1}]", **tasks)
    table = write(_rows("cifar10"))
    pushed = push_evaluations(table, "me/results")
    assert set(pushed.paths) <= set(api.list_repo_files("me/results", repo_type="dataset"))
    push_cards(table, results_dataset="me/results")
    path = Path(api.hf_hub_download("me/fixture", ".eval_results/hf-clipdyn--zero_shot--cifar10.yaml"))
    (entry,) = parse_eval_result_entries(yaml.safe_load(path.read_text(encoding="utf-8")))
    address, document = entry.source_url.split("/blob/main/")
    assert address == "https://huggingface.co/datasets/me/results"
    downloaded = Path(api.hf_hub_download("me/results", document, repo_type="dataset"))
    content = json.loads(downloaded.read_text(encoding="utf-8"))
    assert content["model_info"]["additional_details"]["revision"] == "epoch-001"
    assert content["source_metadata"]["evaluator_relationship"] == "first_party"


def test_the_data_set_with_the_table_must_exist(write, hub):
    with pytest.raises(ConfigError, match="There is no data set me/nowhere on the Hub"):
        push_evaluations(write(_rows()), "me/nowhere")


def test_the_command_says_what_it_wrote_and_what_it_left_out(write, tmp_path, clipdyn):
    rows = [*_rows("cifar10"), row("noise/procedural", "noise_rms", 0.1)]
    table = _with_trials(write(rows))
    code, printed, _ = clipdyn(
        "share", "evaluations", table, "--output", tmp_path / "out", "--evaluator", "me"
    )
    assert code == 0
    assert printed.splitlines() == [
        f"Wrote 2 files to {tmp_path / 'out'}.",
        "- Left out: 1 value, of metrics of which neither end is better.",
        "- Without answers, since the licence of the data does not allow passing them on: zero_shot/cifar10.",
    ]
    code, _, error = clipdyn("share", "evaluations", table, "--push-to-hub")
    assert (code, "`push-to-hub` needs `results-dataset`" in error) == (2, True)
    code, _, error = clipdyn("share", "cards", table, "--output", tmp_path, "--evaluator", "me")
    assert (code, "`evaluator` only affects the evaluations: leave it out." in error) == (2, True)


@pytest.fixture(scope="module")
def validator(tmp_path_factory) -> Path:
    """A Python of its own with the validator, which needs 3.12 and an older client of the Hub."""
    for name in ("python3.14", "python3.13", "python3.12"):
        python = shutil.which(name)
        if python and subprocess.run([python, "-c", "import ensurepip"], capture_output=True).returncode == 0:
            break
    else:
        pytest.skip("every-eval-ever needs Python 3.12 or later, and there is none on the PATH")
    folder = tmp_path_factory.mktemp("validator")
    subprocess.run([python, "-m", "venv", folder], check=True)
    own = folder / "bin" / "python"
    needed = ["jsonschema", "pydantic", "pyyaml", "rich", "requests"]
    for packages in (needed, ["--no-deps", "every-eval-ever==0.3.0"]):
        install = [own, "-m", "pip", "install", "--quiet", "--retries=1", *packages]
        done = subprocess.run(install, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"the package index is out of reach: {done.stderr.strip().splitlines()[-1]}")
    return own


@pytest.mark.slow
def test_the_validator_of_every_eval_ever_accepts_all_documents(study, write, tmp_path, validator):
    written = write_evaluations(_with_trials(write([*study(), *_rows()]), items=1000), tmp_path / "out")
    assert any(path.endswith("_samples.jsonl") for path in written.paths)
    command = [validator, "-m", "every_eval_ever", "validate", "--format", "json", *written.paths]
    done = subprocess.run(command, cwd=tmp_path / "out", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    reports = json.loads(done.stdout)
    assert len(reports["files"] if isinstance(reports, dict) else reports) == len(written.paths)
