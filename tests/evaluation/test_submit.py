"""`--submit`: shards are started where a scheduler puts them, and the same command goes on after a kill."""

import os
import pickle
import shlex
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path
from typing import ClassVar

import pandas as pd
import psutil
import pytest
from hub_server.server import WRITE_TOKEN

from hf_clipdyn.cli import main
from hf_clipdyn.evaluation import submit as submitting
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.submit import LocalProcesses, Shard, Slurm, Submission
from hf_clipdyn.results.cells import CellStore, cells_folder
from hf_clipdyn.results.row import CELL_KEY, NUMBER_KEY

pytestmark = pytest.mark.filterwarnings("ignore::hf_clipdyn.data.base.SubsetWarning")

# In the first shard alone: stop for ever when two cells are done, and say so.
STOPS = """
import sys, time
from pathlib import Path
from typing import ClassVar
from hf_clipdyn.results.cells import CellStore
marker = Path(__file__).with_name("stopped")
if "--shard=1/2" in sys.argv and not marker.exists():
    write, written = CellStore.write, []
    def stopping(self, *args):
        write(self, *args)
        written.append(args)
        if len(written) == 2:
            marker.touch()
            time.sleep(600)
    CellStore.write = stopping
"""


@pytest.fixture
def output(tmp_path) -> Path:
    return tmp_path / "results.parquet"


@pytest.fixture
def words(store, data, output) -> list[str]:
    """Arguments and options of an evaluation of 3 revisions x 2 benchmarks, each with the last texts too."""
    return [
        *("me/run", f"--benchmarks={','.join(('zero_shot/cifar10', 'noise/cifar10'))}", f"--store={store}"),
        *(f"--output={output}", f"--data-dir=cifar10={data['cifar10']}", "--device=cpu", "--n-resamples=50"),
    ]


@pytest.fixture
def clipdyn(capsys):
    """`clipdyn(*words)`: exit code, standard output and standard error of `clipdyn evaluate`."""

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            main(["evaluate", *words])
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out, printed.err

    return run


def sorted_rows(table: pd.DataFrame) -> pd.DataFrame:
    key = [*CELL_KEY, *NUMBER_KEY]
    assert not table.duplicated(key).any()
    return table.drop(columns=["seconds", "versions"]).set_index(key).sort_index()


def test_print_command_prints_what_is_missing_and_runs_nothing(words, output, clipdyn):
    submit = ("--submit", "local", "--shards", "2", "--print_command")
    code, out, error = clipdyn(*words, *submit)
    assert code == 0
    assert [shlex.split(line) for line in out.splitlines()] == [
        ["clipdyn", "evaluate", *words, f"--shard={part}/2"] for part in (1, 2)
    ]
    assert error.splitlines()[0] == "12 of 12 cells are missing:", repr(error)
    each = "zero_shot/cifar10, zero_shot/cifar10 (last texts), noise/cifar10, noise/cifar10 (last texts)"
    assert error.splitlines()[1:4] == [f"    epoch-00{number}  {each}" for number in range(3)]
    assert not list(output.parent.iterdir()), "nothing is written"

    code, out, _ = clipdyn(*words, "--shard=1/2", "--quiet")
    code, out, error = clipdyn(*words, *submit)
    assert shlex.split(out) == ["clipdyn", "evaluate", *words, "--shard=2/2"]
    assert error.splitlines()[:2] == ["4 of 12 cells are missing:", f"    epoch-001  {each}"]

    clipdyn(*words, "--shard=2/2", "--quiet")
    code, out, error = clipdyn(*words, *submit)
    assert (code, out.strip(), error) == (0, "", "All 12 cells are there.\n")
    output.unlink()
    code, out, _ = clipdyn(*words, "--submit", "local", "--shards", "2")
    assert (code, out.startswith(f"All cells are in {output}; ")) == (0, True)
    assert len(pd.read_parquet(output)), "the table is brought up to date"


def test_the_shards_get_what_a_file_gives_and_neither_token_nor_push(words, tmp_path, clipdyn, monkeypatch):
    """The file itself is not named: it may change before a job starts."""
    (tmp_path / "study.yaml").write_text(
        "noise_sigmas: [0, 0.1]\nfinal_texts: no\nforce: false\nbatch_size: 16\n"
    )
    monkeypatch.setattr(submitting, "check_push", lambda *_: None)
    code, out, error = clipdyn(
        *words, f"--config={tmp_path / 'study.yaml'}", "--submit=local", "--print-command", "--quiet",
        f"--token={WRITE_TOKEN}", "--push-to-hub=me/results", "--private",
    )  # fmt: skip
    found = shlex.split(out)
    assert (code, error) == (0, "")
    assert {"--noise-sigmas=0", "--noise-sigmas=0.1", "--no-final-texts", "--batch-size=16"} <= set(found)
    assert not [
        one for one in found if one.startswith(("--token", "--push", "--private", "--config", "--force"))
    ]
    assert WRITE_TOKEN not in out
    assert found[-1] == "--shard=1/1"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--submit=pbs"], "There is no scheduler 'pbs'. Known: hf-jobs, local, slurm."),
        (["--submit=local", "--shards=0"], "shards is 0: it must be in [1, 1000]."),
        (["--shards=2"], "`shards`, `submit-setting` and `print-command` require --submit."),
        (["--submit=local", "--shard=1/2"], "leave out shard."),
        (["--submit=local", "--watch"], "leave out watch."),
        (["--submit=local", "--submit-setting=gpus=1"], "There is no setting of local 'gpus'."),
        (["--submit=slurm", "--submit-setting=gpus"], "submit-setting is 'gpus': give NAME=VALUE."),
        (["--submit=slurm"], "pip install 'hf-clipdyn[slurm]'"),
        (["--submit=hf-jobs"], "`--submit hf-jobs` cannot use `store`"),
    ],
)
def test_what_cannot_be_submitted_is_one_sentence(words, given, says, clipdyn, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)  # as if it were not installed
    code, _, error = clipdyn(*words, *given, "--quiet")
    (line,) = error.splitlines()
    assert (code, says in line) == (2, True), error


@pytest.fixture
def local(output) -> LocalProcesses:
    """The scheduler, for shards of any command."""
    return LocalProcesses(Submission(EvaluationConfig("me/run", output=output), ["me/run"], "local", 3))


def test_local_shards_run_at_once_and_each_failure_is_a_sentence_with_its_log(local, output):
    ends = Shard(1, 3, ("--version",))
    fails = Shard(2, 3, ("evaluat",))
    said = local.start([ends, fails])
    logs = output.with_suffix(".logs")
    assert said.startswith("Shard 2/3 ended with code 2: No such command 'evaluat'")
    assert said.endswith(f"(its log is {logs / '2-of-3.log'}).")
    assert (logs / "1-of-3.log").read_text().strip() == "0.1.0"


def test_each_local_shard_has_its_share_of_the_cores_and_a_gpu_in_turn(local, monkeypatch):
    started = []

    class Recorded:
        def __init__(self, command, *, env, **streams):
            started.append(env)

    monkeypatch.setattr(submitting.subprocess, "Popen", Recorded)
    monkeypatch.setattr(submitting.os, "cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    local.make_folders()
    for place in range(3):
        local._start(local.submission.shard(place + 1), place, 3)
    assert [one["CUDA_VISIBLE_DEVICES"] for one in started] == ["4", "6", "4"]
    assert {one["OMP_NUM_THREADS"] for one in started} == {"2"}


@pytest.mark.slow
def test_a_killed_shard_is_named_and_the_same_command_runs_what_it_lacks(
    words, output, clipdyn, evaluate, tmp_path, monkeypatch
):
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    (tmp_path / "stops.py").write_text(STOPS)
    words = [*words, f"--plugin={tmp_path / 'stops.py'}", "--submit=local", "--shards=2"]

    def kill() -> None:
        while not (tmp_path / "stopped").exists():
            time.sleep(0.02)
        (shard,) = [
            one for one in psutil.Process().children() if any("--shard=1/2" in word for word in one.cmdline())
        ]
        shard.send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    code, _, error = clipdyn(*words)
    killer.join()
    logs = output.with_suffix(".logs")
    assert code == 1
    assert f"Shard 1/2 was killed by signal 9 (its log is {logs / '1-of-2.log'})." in error
    assert "Repeat the command: it starts what is missing. 6 of 12 cells are missing:" in error
    assert "Traceback" not in error
    before = {file: file.stat().st_mtime_ns for file in cells_folder(output).glob("*.parquet")}
    assert len(before) == len(CellStore(output).cells()) == 6
    other = (logs / "2-of-2.log").read_text()

    code, out, error = clipdyn(*words)
    assert code == 0, error
    assert error.splitlines()[0] == "6 of 12 cells are missing:"
    assert out.startswith(f"All cells are in {output}; ")
    assert (logs / "2-of-2.log").read_text() == other, "what is whole is not started"
    assert {file: file.stat().st_mtime_ns for file in before} == before, "what is done is not done again"
    whole = evaluate("zero_shot/cifar10", "noise/cifar10")
    pd.testing.assert_frame_equal(sorted_rows(pd.read_parquet(output)), sorted_rows(whole))


@pytest.mark.slow
def test_ctrl_c_ends_all_local_shards(words, output, tmp_path):
    (tmp_path / "stops.py").write_text(STOPS)
    command = [sys.executable, "-m", "hf_clipdyn", "evaluate", *words, f"--plugin={tmp_path / 'stops.py'}"]
    with subprocess.Popen(
        [*command, "--submit=local", "--shards=2"],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        while not (tmp_path / "stopped").exists():
            assert process.poll() is None
            time.sleep(0.02)
        shards = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "interrupted; what was done is kept" in error
    assert not psutil.wait_procs(shards, timeout=30)[1]


# --- Slurm: submitit is an extra, so these tests hold against its documented interface only -----------


class FakeExecutor:
    """What submitit documents of `AutoExecutor`: parameters by name, a batch is one job array, jobs are pickled."""

    made: ClassVar[list["FakeExecutor"]] = []

    def __init__(self, folder, cluster=None):
        self.folder, self.cluster = folder, cluster
        self.parameters, self.arrays = {}, []
        FakeExecutor.made.append(self)

    def update_parameters(self, **parameters):
        unknown = [name for name in parameters if name == "gpu"]
        if unknown:
            raise NameError(f"Unknown argument '{unknown[0]}' for executor 'slurm'\nValid arguments: …")
        assert all(isinstance(parameters[name], int) for name in ("timeout_min",) if name in parameters)
        self.parameters.update(parameters)

    def batch(self):
        self.arrays.append([])
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def submit(self, function):
        self.arrays[-1].append(pickle.loads(pickle.dumps(function)))
        return types.SimpleNamespace(job_id=f"17_{len(self.arrays[-1]) - 1}")


@pytest.fixture
def submitit(monkeypatch):
    helpers = types.ModuleType("submitit.helpers")
    helpers.DelayedSubmission = lambda function, *args: types.SimpleNamespace(function=function, args=args)
    module = types.ModuleType("submitit")
    module.AutoExecutor, module.helpers = FakeExecutor, helpers
    monkeypatch.setattr(FakeExecutor, "made", [])
    for name, one in (("submitit", module), ("submitit.helpers", helpers)):
        monkeypatch.setitem(sys.modules, name, one)


def test_slurm_gets_one_job_array_whose_jobs_are_the_shards(words, output, submitit, clipdyn, monkeypatch):
    settings = ("timeout_min=60", "slurm_partition=gpu", "slurm_array_parallelism=2")
    code, out, error = clipdyn(
        *words, "--submit=slurm", "--shards=3", *(f"--submit-setting={one}" for one in settings), "--quiet"
    )
    assert (code, error) == (0, "")
    assert out.startswith("Submitted 3 shards to Slurm, jobs 17_0, 17_1, 17_2; ")
    (executor,) = FakeExecutor.made
    assert (executor.cluster, executor.folder) == ("slurm", output.with_suffix(".logs") / "%j")
    assert executor.parameters == {
        "name": "clipdyn",
        "timeout_min": 60,
        "slurm_partition": "gpu",
        "slurm_array_parallelism": 2,
    }
    (array,) = executor.arrays
    assert [job.words for job in array] == [("evaluate", *words, f"--shard={part}/3") for part in (1, 2, 3)]
    for name in ("checkpoint", "__submitit_checkpoint__"):
        again = getattr(array[0], name)()
        assert (again.function, again.args) == (array[0], ()), "a preempted shard is requeued as it is"

    monkeypatch.setattr(sys, "argv", ["python"])  # a job changes it in its own process
    array[1]()
    assert {cell.revision for cell in CellStore(output).cells()} == {"epoch-001"}
    with pytest.raises(RuntimeError, match="clipdyn ended with code 2"):
        type(array[1])(("evaluat",))()


def test_what_submitit_refuses_is_one_sentence(words, submitit, clipdyn):
    code, _, error = clipdyn(*words, "--submit=slurm", "--submit-setting=gpu=1", "--quiet")
    assert code == 2
    assert error == (
        "clipdyn: error: submitit cannot submit the shards: Unknown argument 'gpu' for executor 'slurm'.\n"
    )
    assert Slurm.waits is False


# --- the Hub's jobs -------------------------------------------------------------------------------------


@pytest.fixture
def on_hub(hub, save_model, tmp_path):
    """The repository me/run on the test Hub, with two revisions."""
    from hf_clipdyn.cards import CardFacts
    from hf_clipdyn.revisions import Publisher, RevisionRecord, epoch_name

    with Publisher(
        "me/run",
        output_dir=tmp_path / "run",
        store=None,
        push_to_hub=True,
        card=CardFacts("me/run"),
        recipe_hash="0" * 64,
    ) as publisher:
        publisher.check()
        for epoch in (0, 1):
            publisher.submit(RevisionRecord(epoch_name(epoch), epoch, 10, 40, None), save_model(epoch))
        summary = publisher.finish()
    assert not summary.missing, summary.message
    hub.state.buckets["me/results"] = {}
    return hub


def test_hub_jobs_are_submitted_once_and_later_only_for_what_is_missing(
    on_hub, data, clipdyn, tmp_path, monkeypatch
):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    words = [
        *("me/run", "--benchmarks=zero_shot/cifar10", "--output=/results/study/r.parquet"),
        *(f"--data-dir=cifar10={data['cifar10']}", "--n-resamples=0"),
    ]
    volume = "hf://buckets/me/results/cells:/results"
    where = ["--submit=hf-jobs", "--shards=2", f"--submit-setting=volume={volume}"]
    given = [*where, "--submit-setting=flavor=a10g-small", "--submit-setting=timeout=2h", "--quiet"]

    code, out, _ = clipdyn(*words, *given, "--print-command")
    first, second = map(shlex.split, out.splitlines())
    assert (code, on_hub.state.jobs) == (0, [])
    assert first[:5] == ["hf", "jobs", "uv", "run", "--detach"]
    assert first[first.index("--volume") + 1] == volume
    assert first[-len(words) - 2 :] == ["evaluate", *words, "--shard=1/2"]
    assert second[-1] == "--shard=2/2"

    code, out, error = clipdyn(*words, *given)
    assert (code, error) == (0, "")
    assert out.startswith("Submitted 2 of 2 shards to the Hub. ")
    for job, part in zip(on_hub.state.jobs, (1, 2), strict=True):
        assert job["command"] == [
            *("uv", "run", "--with", "hf-clipdyn", "clipdyn", "evaluate"),
            *words,
            f"--shard={part}/2",
        ]
        assert (job["flavor"], job["timeoutSeconds"], job["secrets"]) == ("a10g-small", 7200, ["HF_TOKEN"])
        assert job["labels"]["shard"] == f"{part}-of-2"
        assert job["volumes"] == [
            {"type": "bucket", "source": "me/results", "mountPath": "/results", "path": "cells"}
        ]
        assert job["id"] in out
        assert WRITE_TOKEN not in f"{job}{out}"

    code, out, _ = clipdyn(*words, *given)
    assert out.startswith("Submitted 0 of 2 shards to the Hub, 2 are queued or running already.")
    for job in on_hub.state.jobs:
        job["status"]["stage"] = "ERROR"
    measured = tmp_path / "r.parquet"
    clipdyn(*words, f"--output={measured}", "--shard=2/2", "--device=cpu", "--quiet")
    bucket = on_hub.state.buckets["me/results"]
    bucket |= {f"cells/study/r.cells/{file.name}": 1 for file in cells_folder(measured).iterdir()}
    code, out, _ = clipdyn(*words, *given)
    assert out.startswith("Submitted 1 of 1 shards to the Hub. ")
    assert on_hub.state.jobs[-1]["labels"]["shard"] == "1-of-2"

    clipdyn(*words, f"--output={measured}", "--shard=1/2", "--device=cpu", "--quiet")
    bucket |= {f"cells/study/r.cells/{file.name}": 1 for file in cells_folder(measured).iterdir()}
    code, out, _ = clipdyn(*words, *given)
    assert (code, out) == (0, "All cells are in hf://buckets/me/results/cells/study/r.parquet.\n")
    assert len(on_hub.state.jobs) == 3


def test_data_that_only_the_jobs_have_leave_it_to_them_to_see_what_is_missing(on_hub, clipdyn):
    words = ["me/run", "--benchmarks=similarity/nights", "--output=/results/r.parquet"]
    code, out, error = clipdyn(
        *words, "--submit=hf-jobs", "--submit-setting=volume=hf://buckets/me/results:/results", "--shards=2"
    )
    assert code == 0
    assert "Not all data sets are here: each shard finds out itself which cells are missing." in error
    assert out.startswith("Submitted 2 of 2 shards")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ([], "volume is '': give the bucket for the results and where it is mounted"),
        (["volume=results"], "volume is 'results': give the bucket"),
        (["volume=hf://datasets/me/results:/results"], "mount a bucket, and give a file below it"),
        (["volume=hf://buckets/me/results:/other"], "for example --output /other/r.parquet."),
        (["volume=hf://buckets/me/results:/results", "gpu=1"], "There is no setting of hf-jobs 'gpu'."),
    ],
)
def test_hub_jobs_that_would_lose_their_results_are_refused(settings, says, clipdyn):
    given = [f"--submit-setting={one}" for one in settings]
    code, _, error = clipdyn("me/run", "--submit=hf-jobs", "--output=/results/r.parquet", *given)
    assert (code, says in error) == (2, True), error
