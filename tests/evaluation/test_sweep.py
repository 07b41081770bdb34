"""`--submit hf-jobs --every`: a scheduled job that measures what is missing, and deletes its schedule at the end.

It is tried against the test Hub only.
"""

import shlex
from datetime import UTC, datetime, timedelta
from functools import partial

import pandas as pd
import pytest
from hub_server.faults import Fault
from hub_server.server import WRITE_TOKEN
from stores import publish_epochs

from hf_clipdyn.evaluation import sweep
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.results.cells import cells_folder

_VOLUME = "--submit-setting=volume=hf://buckets/me/results:/results"
_SUBMIT = ("--submit=hf-jobs", "--every=@hourly", _VOLUME, "--quiet")


@pytest.fixture
def clipdyn(clipdyn):
    """`clipdyn(*words)`: `clipdyn evaluate` with these words."""
    return partial(clipdyn, "evaluate")


@pytest.fixture
def run(hub, save_model, tmp_path, data, monkeypatch):
    """`run([0, 1])`: publish these epochs of me/run on the test Hub."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CLIPDYN_DATA", str(data["cifar10"].parent))
    hub.state.buckets["me/results"] = {}
    return lambda epochs, planned=(): publish_epochs(
        tmp_path / "run", epochs, save_model, push_to_hub=True, planned=planned
    )


@pytest.fixture
def later(monkeypatch):
    """`later(2)`: so many hours have passed."""

    def pass_time(hours: float) -> None:
        class Later(datetime):
            @classmethod
            def now(cls, tz=None):
                return datetime.now(UTC) + timedelta(hours=hours)

        monkeypatch.setattr(sweep, "datetime", Later)

    return pass_time


def _words(output: object) -> list[str]:
    return ["me/run", "--benchmarks=zero_shot/cifar10", f"--output={output}", "--n-resamples=0"]


def test_the_job_measures_what_is_missing_and_deletes_its_schedule_when_the_run_is_complete(
    run, hub, clipdyn, tmp_path, monkeypatch
):
    planned = ("epoch-000", "epoch-001", "epoch-002")
    run([0, 1], planned)
    code, out, error = clipdyn(*_words("/results/r.parquet"), *_SUBMIT)
    assert (code, error) == (0, "")
    (schedule,) = hub.state.schedules
    assert out.startswith(
        f"Scheduled the evaluation as {schedule['id']} (@hourly). It deletes its schedule when"
    )
    assert (schedule["schedule"], schedule["concurrency"]) == ("@hourly", False)
    job = schedule["jobSpec"]
    assert job["command"][-5:] == ["evaluate", *_words("/results/r.parquet")]
    assert job["secrets"] == ["HF_TOKEN"]
    assert WRITE_TOKEN not in f"{job}{out}"
    _, out, _ = clipdyn(*_words("/results/r.parquet"), *_SUBMIT)
    assert out.startswith(f"The evaluation is scheduled already, as {schedule['id']} (@hourly).")

    # What the job does on the Hub's machine, where the bucket is a folder.
    for name, value in job["environment"].items():
        monkeypatch.setenv(name, value)
    output = tmp_path / "r.parquet"
    at_work = partial(clipdyn, *_words(output), "--device=cpu")
    code, _, error = at_work()
    assert (code, "The run is not complete: the next job goes on." in error) == (0, True)
    first = {file: file.stat().st_mtime_ns for file in cells_folder(output).iterdir()}
    assert set(pd.read_parquet(output)["texts"]) == {"own"}
    assert hub.state.schedules == [schedule]
    run([0, 1, 2], planned)
    code, _, error = at_work()
    assert (code, "The run is complete: the schedule is deleted." in error) == (0, True)
    assert {file: file.stat().st_mtime_ns for file in first} == first, "what is done is not done again"
    assert set(pd.read_parquet(output)["revision"]) == set(planned)
    assert set(pd.read_parquet(output)["texts"]) == {"own", "last"}
    assert hub.state.schedules == []
    assert at_work()[0] == 0, "a job that had begun already finds its schedule gone"


def test_a_run_without_a_plan_is_complete_after_the_patience(run, hub, later):
    run([0])
    config = EvaluationConfig("me/run", "zero_shot/cifar10")
    assert not sweep._is_complete(config)
    later(hours=2)
    assert sweep._is_complete(config)


def test_a_schedule_that_cannot_be_deleted_is_named_and_the_results_are_complete(
    run, hub, clipdyn, later, tmp_path, monkeypatch
):
    run([0])
    later(hours=2)
    monkeypatch.setenv("CLIPDYN_SCHEDULE", "/0123456789abcdef")
    hub.plant("schedules", Fault(status=403), times=9)
    code, _, error = clipdyn(*_words(tmp_path / "r.parquet"), "--device=cpu", "--quiet")
    assert code == 1
    assert "The run is complete, but its schedule could not be deleted (the Hub answered 403" in error
    assert len(pd.read_parquet(tmp_path / "r.parquet"))


def test_the_printed_command_schedules_the_same(run, hub, clipdyn):
    run([0])
    code, out, _ = clipdyn(*_words("/results/r.parquet"), *_SUBMIT, "--print-command")
    words = shlex.split(out)
    assert (code, hub.state.schedules) == (0, [])
    assert words[:6] == ["hf", "jobs", "scheduled", "uv", "run", "--no-concurrency"]
    assert words[-7:] == ["@hourly", "clipdyn", "evaluate", *_words("/results/r.parquet")]
    assert words[words.index("--env") + 1].startswith("CLIPDYN_SCHEDULE=/")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--every=@hourly"], "`every` repeats one job of the Hub: give --submit hf-jobs"),
        (["--every=@hourly", "--submit=local"], "`every` repeats one job of the Hub: give --submit hf-jobs"),
        ([*_SUBMIT, "--shards=2"], "and leave out `shards` and `wait`."),
        ([*_SUBMIT, "--wait"], "and leave out `shards` and `wait`."),
        ([*_SUBMIT, "--watch"], "`every` measures what is missing, again and again: leave out watch."),
        ([*_SUBMIT, "--force"], "`every` measures what is missing, again and again: leave out force."),
    ],
)
def test_what_cannot_be_repeated_is_one_sentence(clipdyn, given, says):
    code, _, error = clipdyn(*_words("/results/r.parquet"), *given)
    (line,) = error.splitlines()
    assert (code, says in line) == (2, True), error
