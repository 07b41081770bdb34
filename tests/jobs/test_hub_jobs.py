"""Jobs of the Hub that are waited for."""

from pathlib import Path

import pytest
from hub_server.faults import Fault
from hub_server.server import HubServer

from hf_clipdyn.errors import ClipDynError, ConfigError, TrainingError
from hf_clipdyn.jobs import Job, Missing, Scheduler, Work, hub_jobs, submit

VOLUME = ["volume=hf://buckets/me/results:/results"]


class OnHub(Work):
    """Two jobs, which are done when the Hub says so."""

    noun, error, logs = "run", TrainingError, Path("logs")

    def __init__(self, hub: HubServer) -> None:
        self.hub = hub

    def missing(self, scheduler: Scheduler, *, ended: bool = False) -> Missing:
        done = {job["labels"]["run"] for job in self.hub.state.jobs if job["status"]["stage"] == "COMPLETED"}
        left = [Job(name, ("train", name)) for name in ("first", "second") if name not in done]
        return Missing(left, f"{len(left)} of 2 runs are missing.")

    def finish(self, scheduler: Scheduler) -> str:
        return "All runs are complete."


@pytest.fixture
def quick(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    monkeypatch.setattr(hub_jobs, "_POLL", 0.02)
    return hub


def test_jobs_are_waited_for_and_their_logs_are_printed_as_they_come(quick: HubServer, capsys) -> None:
    quick.state.job_log = ["epoch 1", "epoch 2\x1b[2J"]
    quick.plant("job", Fault(status=503), nth=2)  # ends nothing
    assert submit(OnHub(quick), "hf-jobs", VOLUME, wait=True) == "All runs are complete."
    printed = capsys.readouterr().err.splitlines()
    assert sorted(line for line in printed if "epoch" in line) == [
        f"{name}: epoch {line}" for name in ("first", "second") for line in ("1", "2\\x1b[2J")
    ]


def test_jobs_that_run_already_are_not_started_again_but_waited_for(quick: HubServer) -> None:
    said = submit(OnHub(quick), "hf-jobs", VOLUME)
    assert said.startswith("Submitted 2 of 2 runs to the Hub.")
    assert submit(OnHub(quick), "hf-jobs", VOLUME, wait=True) == "All runs are complete."
    assert len(quick.state.jobs) == 2
    assert [seen.path for seen in quick.seen if seen.kind == "jobs"][-1].endswith(
        "?stage=SCHEDULING&stage=RUNNING"
    )


def test_jobs_that_fail_are_listed_with_their_addresses(quick: HubServer) -> None:
    quick.state.job_end = "ERROR"
    with pytest.raises(ClipDynError, match=r"2 of 2 runs failed:\n  first: ERROR, http"):
        submit(OnHub(quick), "hf-jobs", VOLUME, wait=True)


def test_a_scheduler_that_cannot_wait_says_so_before_it_starts_anything(quick: HubServer) -> None:
    with pytest.raises(ConfigError, match="--wait cannot follow the jobs of slurm"):
        submit(OnHub(quick), "slurm", wait=True)
