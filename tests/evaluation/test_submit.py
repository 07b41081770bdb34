"""`--submit`: shards are started where a scheduler puts them, and the same command goes on after a kill."""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import forked
import pandas as pd
import psutil
import pytest
from hub_server.server import WRITE_TOKEN
from result_rows import sorted_rows
from stores import publish_epochs

from hf_clipdyn.evaluation import submit as submitting
from hf_clipdyn.results.cells import CellStore, cells_folder

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
def clipdyn(clipdyn):
    """`clipdyn(*words)`: `clipdyn evaluate` with these words."""
    return partial(clipdyn, "evaluate")


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
    assert (code, out.strip(), error) == (0, "", "All 12 cells are finished.\n")
    output.unlink()
    code, out, _ = clipdyn(*words, "--submit", "local", "--shards", "2")
    assert (code, out.startswith(f"All cells are in {output}; ")) == (0, True)
    assert len(pd.read_parquet(output)), "the table is brought up to date"


def test_each_of_several_models_is_shards_of_its_own(words, store, clipdyn, tmp_path):
    """A model of one revision is one job, however many shards there are."""
    from hf_clipdyn.models.snapshots import snapshot_folder
    from hf_clipdyn.revisions import list_revisions

    commit = list_revisions("me/run", store=store)[0].commit
    (tmp_path / "mine").symlink_to(snapshot_folder("me/run", commit, cache_dir=store, local_files_only=True))
    run, mine, options = (
        str(store.parent),
        str(tmp_path / "mine"),
        [one for one in words[1:] if "--store" not in one],
    )
    submit = ("--submit=local", "--shards=2", "--print-command")
    _, out, error = clipdyn(run, mine, *options, *submit)
    assert [shlex.split(line) for line in out.splitlines()] == [
        ["clipdyn", "evaluate", run, *options, "--shard=1/2"],
        ["clipdyn", "evaluate", run, *options, "--shard=2/2"],
        ["clipdyn", "evaluate", mine, *options, "--shard=1/2"],
    ]
    each = "zero_shot/cifar10, zero_shot/cifar10 (last texts), noise/cifar10, noise/cifar10 (last texts)"
    assert [line for line in error.splitlines() if "is read from" not in line] == [
        "14 of 14 cells are missing:",
        *(f"    me/run epoch-00{number}  {each}" for number in range(3)),
        "    mine main         zero_shot/cifar10, noise/cifar10",
    ]
    clipdyn(*shlex.split(out.splitlines()[-1])[2:], "--quiet")
    _, out, _ = clipdyn(run, mine, *options, *submit, "--quiet")
    assert [line.split()[2] for line in out.splitlines()] == [run, run]


def test_the_shards_get_what_a_file_gives_and_neither_token_nor_push(words, tmp_path, clipdyn, monkeypatch):
    """The file itself is not named: it may change before a job starts."""
    (tmp_path / "study.yaml").write_text(
        "noise_sigmas: [0, 0.1]\nfinal_texts: no\nforce: false\nbatch_size: 16\n"
    )
    monkeypatch.setattr(submitting, "check_push", lambda *_: None)
    code, out, error = clipdyn(
        *words, f"--config={tmp_path / 'study.yaml'}", "--submit=local", "--print-command", "--quiet",
        f"--hub-token={WRITE_TOKEN}", "--push-to-hub", "--hub-model-id=me/results", "--hub-private-repo",
    )  # fmt: skip
    found = shlex.split(out)
    assert (code, error) == (0, "")
    assert {"--noise-sigmas=0", "--noise-sigmas=0.1", "--no-final-texts", "--batch-size=16"} <= set(found)
    assert not [one for one in found if one.startswith(("--hub", "--push", "--config", "--force"))]
    assert WRITE_TOKEN not in out
    assert found[-1] == "--shard=1/1"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--submit=pbs"], "There is no scheduler 'pbs'. Known: hf-jobs, local, slurm."),
        (["--submit=local", "--shards=0"], "shards is 0: it must be in [1, 1000]."),
        (["--shards=2"], "`shards`, `submit_setting` and `print_command` require --submit."),
        (["--submit=local", "--shard=1/2"], "leave out shard."),
        (["--submit=local", "--watch"], "leave out watch."),
        (["--submit=local", "--submit-setting=gpus=1"], "There is no setting of local 'gpus'."),
        (["--submit=hf-jobs"], "requires a volume: give the bucket for the results"),
    ],
)
def test_what_cannot_be_submitted_is_one_sentence(words, given, says, clipdyn):
    code, _, error = clipdyn(*words, *given, "--quiet")
    (line,) = error.splitlines()
    assert (code, says in line) == (2, True), error


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
    assert f"Shard 1-of-2 was killed by signal 9 (its log is {logs / '1-of-2.log'})." in error
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
        forked.wait_until((tmp_path / "stopped").exists, process)
        shards = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "interrupted; what was done is kept" in error
    assert not psutil.wait_procs(shards, timeout=30)[1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_shards_through_submitit_of_which_one_is_killed_give_the_table_of_one_process(
    words, output, clipdyn, evaluate, tmp_path, monkeypatch
):
    """submitit's local executor with real processes; Slurm's own script is tested in tests/jobs."""
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    (tmp_path / "stops_submitit.py").write_text(STOPS)
    words = [*words, f"--plugin={tmp_path / 'stops_submitit.py'}", "--submit=slurm", "--shards=2"]
    words += ["--submit-setting=cluster=local", "--submit-setting=timeout_min=10", "--quiet"]

    def jobs() -> list[psutil.Process]:
        return [one for one in psutil.Process().children() if "submitit.local._local" in one.cmdline()]

    code, out, error = clipdyn(*words)
    assert (code, error) == (0, "")
    assert out.startswith("Submitted 2 shards to Slurm, jobs ")
    while not (tmp_path / "stopped").exists():
        time.sleep(0.02)
    first, second = sorted(jobs(), key=lambda one: one.create_time())
    (killed,) = first.children()
    killed.send_signal(signal.SIGKILL)
    assert not psutil.wait_procs([first, second], timeout=300)[1]
    assert len(CellStore(output).cells()) == 6

    code, out, _ = clipdyn(*words)
    assert out.startswith("Submitted 1 shard to Slurm, jobs ")
    assert not psutil.wait_procs(jobs(), timeout=300)[1]
    code, out, _ = clipdyn(*words)
    assert (code, out.startswith(f"All cells are in {output}; ")) == (0, True)
    whole = evaluate("zero_shot/cifar10", "noise/cifar10")
    pd.testing.assert_frame_equal(sorted_rows(pd.read_parquet(output)), sorted_rows(whole))


# --- the Hub's jobs -------------------------------------------------------------------------------------


@pytest.fixture
def on_hub(hub, save_model, tmp_path):
    """The repository me/run on the test Hub, with two revisions."""
    publish_epochs(tmp_path / "run", [0, 1], save_model, push_to_hub=True)
    hub.state.buckets["me/results"] = {}
    return hub


def test_hub_jobs_are_submitted_once_and_later_only_for_what_is_missing(
    on_hub, data, clipdyn, tmp_path, monkeypatch
):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CLIPDYN_DATA", str(data["cifar10"].parent))
    words = [
        "me/run",
        "--benchmarks=zero_shot/cifar10",
        "--output=/results/study/r.parquet",
        "--n-resamples=0",
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
    assert out.startswith("Submitted 1 of 1 shard to the Hub. ")
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
    assert "Not all data are on this machine: each shard checks which cells are missing." in error
    assert out.startswith("Submitted 2 of 2 shards")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ([], "requires a volume: give the bucket for the results and where it is mounted"),
        (["volume=results"], "volume is 'results': give the bucket"),
        (
            ["volume=hf://datasets/me/results:/results"],
            "would lose --output /results/r.parquet: put it below",
        ),
        (["volume=hf://buckets/me/results:/other"], "would lose --output /results/r.parquet: put it below"),
        (["volume=hf://buckets/me/results:/results", "gpu=1"], "There is no setting of hf-jobs 'gpu'."),
    ],
)
def test_hub_jobs_that_would_lose_their_results_are_refused(settings, says, clipdyn):
    given = [f"--submit-setting={one}" for one in settings]
    code, _, error = clipdyn("me/run", "--submit=hf-jobs", "--output=/results/r.parquet", *given)
    assert (code, says in error) == (2, True), error


VOLUMES = "hf://buckets/me/results:/results,hf://datasets/me/files:/files"


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("me/run", "--store={}"),
        ("me/run", "--plugin={}/plugin.py"),
        ("me/run", "--data-dir=cifar10={}"),
        ("{}", "--n-resamples=0"),
    ],
)
def test_hub_jobs_read_what_a_volume_holds_and_nothing_of_this_machine(
    on_hub, name, option, clipdyn, tmp_path
):
    """A job cannot see this machine's folder; what lies below a mount is left to the jobs to read."""
    (tmp_path / "plugin.py").write_text("")
    words = ["--submit=hf-jobs", "--output=/results/r.parquet", "--print-command", "--quiet"]
    words += ["--benchmarks=zero_shot/cifar10"]
    code, _, error = clipdyn(
        name.format(tmp_path), *words, option.format(tmp_path), f"--submit-setting=volume={VOLUMES}"
    )
    (line,) = error.splitlines()
    assert code == 2
    if name == "me/run":
        assert "The Hub's machines cannot see --" in line
        assert "leave it out, or put it below a mounted volume" in line
    if "--store" in option:
        code, out, _ = clipdyn(name, *words, "--store=/files/hub", f"--submit-setting=volume={VOLUMES}")
        assert code == 0
        assert "--store=/files/hub" in shlex.split(out)
        assert shlex.split(out).count("--volume") == 2


def test_a_table_that_will_be_in_a_bucket_is_not_pushed_from_here(on_hub, clipdyn, tmp_path, monkeypatch):
    code, _, error = clipdyn(
        *("me/run", "--submit=hf-jobs", "--output=/results/r.parquet", "--push-to-hub=me/table"),
        "--submit-setting=volume=hf://buckets/me/results:/results",
    )
    assert code == 2
    assert (
        "The table will be in hf://buckets/me/results/r.parquet, not on this machine: leave out push_to_hub"
        in error
    )
