"""Two processes of one run on a full disk, and two runs that publish to one repository on a bad Hub."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import forked
import numpy as np
import pytest
from hostile.harness import small_disk
from hub_server.faults import Fault
from hub_server.server import HubServer
from photographs import write_photographs
from safetensors.numpy import save_file
from training_runs import hashes

from hf_clipdyn.errors import RevisionError
from hf_clipdyn.revisions import Publisher, Row, epoch_name, list_revisions
from hf_clipdyn.revisions.repair import repair
from hf_clipdyn.revisions.verify import verify

# --- two processes, one full disk -------------------------------------------------------------------

LIMITED = """
import resource, sys
from hf_clipdyn.cli import main
size = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
main(["train", *sys.argv[2:]])
"""


@pytest.fixture(scope="module")
def train_two(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`train_two(folder)`: `micro` for two epochs in two processes; ``limit`` bounds the bytes of a file."""
    data = tmp_path_factory.mktemp("data")
    photographs = write_photographs(data / "photographs")

    def train(folder: Path, *, limit: int = -1) -> subprocess.CompletedProcess[str]:
        fields = {
            "dataset_name": photographs,
            "output_dir": folder,
            "hub_model_id": "me/run",
            "scale": "micro",
            "num_train_epochs": 2,
            "per_device_train_batch_size": 12,
            "warmup_steps": 2,
            "bf16": False,
            "quiet": True,
            "resume_from_checkpoint": True,
        }
        flags = [text for name, value in fields.items() for text in (f"--{name}", str(value))]
        env = os.environ | {"ACCELERATE_USE_CPU": "true", "PYTHONFAULTHANDLER": "1"}
        with forked.ranks(2) as ranks:
            command = [sys.executable, "-c", LIMITED, str(limit), *flags]
            return forked.run_ranks(command, ranks, env=env, timeout=120)

    return train


@pytest.fixture(scope="module")
def weights(
    train_two: Callable[..., subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory
) -> list[str | None]:
    """The weights of the revisions of a run whose disk has space."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    done = train_two(folder)
    assert done.returncode == 0, done.stderr
    return hashes(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "limit", "sentence"),
    [
        # A revision takes 0.5 MB and a checkpoint 1.6 MB, of which the optimiser's file takes 1 MB.
        ("4100k", 800_000, "The checkpoint of step "),
        ("750k", 300_000, "epoch-00"),
    ],
    ids=["checkpoint", "revision"],
)
def test_both_processes_of_a_run_end_on_a_full_disk_and_continue_to_the_samehashes(
    train_two: Callable[..., subprocess.CompletedProcess[str]],
    weights: list[str | None],
    tmp_path: Path,
    size: str,
    limit: int,
    sentence: str,
) -> None:
    """A real file system where one can be mounted, else a limit on the size of files."""
    run = tmp_path / "run"
    with small_disk(run, size) as mounted:
        done = train_two(run, limit=-1 if mounted else limit)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        errors = sorted(
            line for line in done.stderr.splitlines() if "error" in line and "warning" not in line
        )
        assert len(errors) == 2, done.stderr  # one of each process
        assert any(sentence in one for one in errors), done.stderr
        if list(run.glob("revisions/epoch-*")):
            assert verify(run, deep=True).findings == ()
        if mounted:
            subprocess.run(["mount", "-o", "remount,size=20m", str(run)], check=True)
        done = train_two(run)
        assert done.returncode == 0, done.stderr
        assert hashes(run) == weights
        assert verify(run, deep=True).findings == ()


# --- two runs, one bad Hub --------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed call is repeated soon."""
    monkeypatch.setattr("hf_clipdyn.hub.FIRST_PAUSE", 0.02)
    monkeypatch.setattr("hf_clipdyn.hub.LONGEST_PAUSE", 0.1)


NAMES = tuple(epoch_name(epoch) for epoch in range(3))


def _publish(folder: Path, repo_id: str, seed: int, checked: Barrier) -> str:
    """Publish three epochs of a run once all have ``checked`` their repositories; returns its last sentence."""

    def save(epoch: int, to: Path) -> None:
        (to / "config.json").write_text('{"model_type": "clip"}')
        values = np.random.default_rng([seed, epoch]).normal(size=(32, 32)).astype(np.float32)
        save_file({"weight": values}, to / "model.safetensors")

    try:
        with Publisher(folder, repo_id, push_to_hub=True) as publisher:
            checked.wait(timeout=60)
            for epoch, name in enumerate(NAMES):
                row = Row(name=name, epoch=epoch, step=epoch * 10, samples_seen=epoch * 40)
                publisher.submit(row, lambda to, epoch=epoch: save(epoch, to))
            return publisher.finish(20.0).message
    except RevisionError as error:
        return str(error)


def _publish_both(hub: HubServer, tmp_path: Path, fault: str, *repo_ids: str) -> list[str]:
    """Two runs at once, while every answer is slow and some of each kind are truncated; their last sentences."""

    def plant() -> None:
        for kind in ("refs", "tree", "resolve-get", "preupload", "lfs-batch", "commit", "create-branch"):
            for nth in (2, 5):
                hub.plant(kind, Fault(delay=0.1, **{fault: True}), nth=nth)
        hub.plant("*", Fault(delay=0.02), times=10**6)

    folders = [tmp_path / "0", tmp_path / "1"]
    with ThreadPoolExecutor(2) as pool:
        messages = list(pool.map(_publish, folders, repo_ids, (0, 1), [Barrier(2, plant)] * 2))
    hub.faults.clear()
    return messages


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("fault", ["cut", "short"])
def test_of_two_runs_that_publish_to_one_repository_one_arrives_whole_and_the_other_not_at_all(
    tmp_path: Path, hub: HubServer, fault: str
) -> None:
    messages = _publish_both(hub, tmp_path, fault, "me/run", "me/run")
    outcomes = []
    for number in range(2):
        try:
            outcomes.append(str(repair(tmp_path / str(number)).is_whole))
        except RevisionError as error:
            outcomes.append(str(error))
    assert sum("has the revisions of another run" in one for one in outcomes) == 1, (messages, outcomes)
    assert outcomes.count("True") == 1, (messages, outcomes)
    report = verify("me/run", deep=True)
    assert (report.revisions, report.findings) == (NAMES, ()), report.render()
    arrived, *kept = (
        [one.sha256 for one in list_revisions(name)] for name in ("me/run", tmp_path / "0", tmp_path / "1")
    )
    assert arrived in kept
