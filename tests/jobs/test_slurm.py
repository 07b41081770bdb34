"""Jobs through submitit: its own sbatch script, and its local executor with real processes."""

import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
import submitit
from jobs_room import DONE, FAILS, Plugins

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.jobs import submit
from hf_clipdyn.jobs.slurm import _Requeued

# submitit's local executor leaves its processes to themselves.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

HERE = ["cluster=local", "timeout_min=10"]


def wait_for_jobs() -> None:
    """Until submitit's processes, which are children of this one, have ended."""
    jobs = [one for one in psutil.Process().children() if "submitit.local._local" in one.cmdline()]
    assert not psutil.wait_procs(jobs, timeout=300)[1]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs by the names of Slurm's; `sbatch` keeps the script, and says what Slurm says. Returns their folder."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, body in (("srun", ""), ("sbatch", f'cp "$1" {programs}/script\necho Submitted batch job 17\n')):
        (programs / name).write_text(f"#!/bin/sh\n{body}")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return programs


def test_submitit_writes_one_array_that_is_requeued_and_told_before_its_time_is_over(
    tmp_path: Path, cluster: Path
) -> None:
    work = Plugins(tmp_path, {"a": DONE, "b": DONE, "c": DONE})
    settings = ["timeout_min=60", "slurm_partition=gpu", "slurm_array_parallelism=2", "gpus_per_node=1"]
    said = submit(work, "slurm", settings)
    assert said == (
        f"Submitted 3 jobs to Slurm, jobs 17_0, 17_1, 17_2; their logs are in {work.logs}. Repeat the command when "
        "they have ended: it starts what is missing."
    )
    script = (cluster / "script").read_text()
    given = {line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH")}
    assert {
        "array=0-2%2",
        "requeue",
        "signal=USR2@90",
        "time=60",
        "partition=gpu",
        "gpus-per-node=1",
    } <= given
    assert {"job-name=clipdyn", "open-mode=append"} <= given
    assert f"{sys.executable} -u -m submitit.core._submit" in script
    for number, job in enumerate(work.jobs):
        (pickled,) = work.logs.glob(f"17_{number}/*_submitted.pkl")
        delayed = submitit.core.utils.DelayedSubmission.load(pickled)
        assert delayed.function == _Requeued(job.words)
        again = delayed._checkpoint_function()
        assert (again.function, again.args) == (_Requeued(job.words), ())


def test_what_submitit_refuses_is_one_sentence(
    tmp_path: Path, cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Plugins(tmp_path, {"a": DONE})
    with pytest.raises(ConfigError, match=r"^submitit cannot submit the jobs: [^\n]*'gpu'[^\n]*\.$"):
        submit(work, "slurm", ["gpu=1"])
    with pytest.raises(ConfigError, match=r"^submitit cannot submit the jobs: .*\"timeout_min\" expected"):
        submit(work, "slurm", ["timeout_min=long"])
    (cluster / "srun").unlink()
    with pytest.raises(ConfigError, match='Could not detect "srun", are you indeed on a slurm cluster'):
        submit(work, "slurm")
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ConfigError, match=r"pip install 'hf-clipdyn\[slurm\]'"):
        submit(work, "slurm")


def test_a_killed_job_is_started_again_by_the_same_call_and_no_other(one_is_killed: Plugins) -> None:
    """submitit's local executor: real processes, one of which SIGKILL ends."""
    work = one_is_killed
    assert submit(work, "slurm", HERE).startswith("Submitted 2 jobs to Slurm, jobs ")
    wait_for_jobs()
    assert work.left() == ["b"]
    assert submit(work, "slurm", HERE).startswith("Submitted 1 job to Slurm, jobs ")
    wait_for_jobs()
    assert submit(work, "slurm", HERE) == f"All is in {work.folder}."
    assert work.calls() == {"a": 1, "b": 2}


@pytest.mark.slow
def test_a_command_that_fails_is_a_job_that_failed(tmp_path: Path) -> None:
    work = Plugins(tmp_path, {"a": FAILS})
    submit(work, "slurm", HERE)
    wait_for_jobs()
    (error,) = work.logs.glob("*/*_log.err")
    assert "clipdyn ended with code 3." in error.read_text()


# A job that runs until a signal ends it, when it says so; called again, it is done.
WAITS = """
def stop(number, frame):
    done.with_suffix(".saved").touch()
    sys.exit(128 + number)
if first:
    if {handles}:
        signal.signal(signal.SIGTERM, stop)
    done.with_suffix(".begun").touch()
    time.sleep(300)
"""


@pytest.mark.slow
@pytest.mark.parametrize("handles", [True, False])
def test_a_job_whose_end_is_announced_may_save_its_state_and_is_requeued(
    tmp_path: Path, handles: bool
) -> None:
    work = Plugins(tmp_path, {"a": WAITS.format(handles=handles) + DONE})
    submit(work, "slurm", HERE)
    while not (tmp_path / "a.begun").exists():
        time.sleep(0.05)
    (task,) = [
        one
        for one in psutil.Process().children(recursive=True)
        if one.status() != psutil.STATUS_ZOMBIE and "submitit.core._submit" in one.cmdline()
    ]
    task.send_signal(signal.SIGUSR2)
    wait_for_jobs()
    assert (tmp_path / "a.saved").exists() == handles
    assert work.calls() == {"a": 2}
    assert not work.left()
