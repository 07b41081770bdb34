"""Jobs as processes on this machine."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import forked
import psutil
import pytest
from jobs_room import DONE, FAILS, Plugins

from hf_clipdyn.errors import ConfigError, TrainingError, UnknownNameError
from hf_clipdyn.jobs import local, run_in_turn, submit


def test_a_killed_job_is_named_and_the_same_call_runs_only_that(one_is_killed: Plugins) -> None:
    work = one_is_killed
    with pytest.raises(TrainingError) as error:
        submit(work, "local", ["parallel=2"])
    log = work.logs / "b.log"
    assert str(error.value) == (
        f"Job b was killed by signal 9 (its log is {log}). Repeat the command: it starts what is missing. "
        "1 of 2 jobs are missing."
    )
    assert submit(work, "local") == f"All is in {work.folder}."
    assert work.calls() == {"a": 1, "b": 2}
    assert "cifar10" in (work.logs / "a.log").read_text()


@pytest.mark.slow
def test_jobs_in_turn_print_here_and_a_failed_one_does_not_stop_the_next(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    work = Plugins(tmp_path, {"a": FAILS, "b": DONE})
    with pytest.raises(TrainingError, match=r"^Job a ended with code 3\. Repeat the command"):
        run_in_turn(work)
    assert work.calls() == {"a": 1, "b": 1}
    assert "cifar10" in capfd.readouterr().out
    assert not list(work.logs.glob("*"))


def test_each_job_has_its_share_of_the_cores_and_a_gpu_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    class Recorded:
        returncode = 0

        def __init__(self, command: list[str], *, env: dict[str, str], **further: object) -> None:
            started.append(env)

        def poll(self) -> int:
            return 0

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    monkeypatch.setattr(local, "usable_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    work = Plugins(tmp_path, {"a": "", "b": "", "c": ""})
    work.token = "hf_secret"
    scheduler = local.LocalProcesses(work, {})
    assert scheduler.parallel == 2, "one a GPU"
    scheduler.start(work.jobs)
    assert [one["CUDA_VISIBLE_DEVICES"] for one in started] == ["4", "6", "4"]
    assert {one["OMP_NUM_THREADS"] for one in started} == {"4"}
    assert {one["HF_TOKEN"] for one in started} == {"hf_secret"}
    work.gpus = False
    assert local.LocalProcesses(work, {}).parallel == 8, "one a core"


def test_a_wrong_call_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = Plugins(tmp_path, {"a": ""})
    with pytest.raises(UnknownNameError, match=r"There is no scheduler 'pbs'\. Known: hf-jobs, local, slurm"):
        submit(work, "pbs")
    with pytest.raises(ConfigError, match="submit-setting is 'parallel': give NAME=VALUE"):
        submit(work, "local", ["parallel"])
    with pytest.raises(ConfigError, match=r"parallel is '0': it must be in \[1, 1000\]"):
        submit(work, "local", ["parallel=0"])
    with pytest.raises(UnknownNameError, match="There is no setting of local 'gpus'"):
        submit(work, "local", ["gpus=1"])
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="without a launcher"):
        run_in_turn(work)
    assert not work.calls()


STUBBORN = """signal.signal(signal.SIGTERM, signal.SIG_IGN)
import subprocess
child = subprocess.Popen(["sleep", "600"])
Path(__file__).with_suffix(".pids").write_text(f"{os.getpid()} {child.pid}")
time.sleep(600)
"""
SUBMIT = """
import sys
sys.path[:0] = {paths!r}
from pathlib import Path
from jobs_room import Plugins
from hf_clipdyn.jobs import local, submit
local._SECONDS_TO_END = 1.0
submit(Plugins(Path(), {bodies!r}), "local", ["parallel=2"])
"""


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_however_often_a_call_is_interrupted_no_job_is_left(tmp_path: Path, sent: signal.Signals) -> None:
    """Neither a job that ignores SIGTERM, nor what it has started."""
    paths = [str(Path(__file__).parents[1])]
    program = SUBMIT.format(paths=paths, bodies={"a": STUBBORN, "b": STUBBORN})
    with (tmp_path / "err").open("wb") as error:
        process = forked.start([sys.executable, "-c", program], stderr=error.fileno(), cwd=tmp_path)
        files = [tmp_path / "a.pids", tmp_path / "b.pids"]
        forked.wait_until(lambda: all(file.exists() and " " in file.read_text() for file in files), process)
        jobs = [psutil.Process(int(pid)) for file in files for pid in file.read_text().split()]
        for _ in range(5):
            os.kill(process.pid, sent)
            time.sleep(0.05)
        code = process.wait()
    assert code == {signal.SIGINT: -signal.SIGINT, signal.SIGTERM: 143}[sent], "as without jobs"
    assert not psutil.wait_procs(jobs, timeout=5)[1]
