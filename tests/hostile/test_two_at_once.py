"""Two processes of one run on a full disk, and two runs that publish to one repository on a bad Hub."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import forked
import numpy as np
import pytest
from hub_server.faults import Fault
from hub_server.server import HubServer
from photographs import write_photographs
from safetensors.numpy import save_file
from training_runs import hashes

from hf_clipdyn.errors import RevisionError
from hf_clipdyn.revisions import Publisher, Row, epoch_name, list_revisions
from hf_clipdyn.revisions.verify import repair, verify

# --- two processes, one full disk -------------------------------------------------------------------

LIMITED = """
import resource, sys
from hf_clipdyn.cli import main
size = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
main(["train", *sys.argv[2:]])
"""
RECIPE = """
dataset_name: photographs
hub_model_id: me/run
scale: micro
num_train_epochs: 2
per_device_train_batch_size: 12
warmup_steps: 2
bf16: false
quiet: true
resume_from_checkpoint: true
"""


@pytest.mark.slow
def test_both_processes_of_a_run_end_on_a_full_disk_and_continue_to_the_same_weights(tmp_path: Path) -> None:
    """A checkpoint takes 1.6 MB, of which the optimiser's file takes 1 MB; the weights of a revision take 0.5 MB."""
    write_photographs(tmp_path / "photographs")
    (tmp_path / "recipe.yaml").write_text(RECIPE)

    def train(folder: str, limit: int = -1) -> subprocess.CompletedProcess[str]:
        """`micro` for two epochs in two processes, whose files may have so many bytes."""
        words = [sys.executable, "-c", LIMITED, str(limit), "--config=recipe.yaml", f"--output_dir={folder}"]
        env = os.environ | {"ACCELERATE_USE_CPU": "true", "PYTHONFAULTHANDLER": "1"}
        with forked.ranks(2) as ranks:
            return forked.run_ranks(words, ranks, cwd=tmp_path, env=env, timeout=120)

    done = train("run", limit=800_000)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if "error" in line and "warning" not in line]
    assert len(errors) == 2, done.stderr  # one of each process
    assert any("The checkpoint of step " in one for one in errors), done.stderr
    for folder in ("run", "whole"):
        done = train(folder)
        assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "run") == hashes(tmp_path / "whole")
    assert verify(tmp_path / "run", deep=True).findings == ()


# --- two runs, one bad Hub --------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed call is repeated soon."""
    monkeypatch.setattr("hf_clipdyn.hub.FIRST_PAUSE", 0.02)
    monkeypatch.setattr("hf_clipdyn.hub.LONGEST_PAUSE", 0.1)


NAMES = tuple(epoch_name(epoch) for epoch in range(3))


def _publish(folder: Path, seed: int, checked: Barrier) -> str:
    """Publish three epochs of a run once all have ``checked`` their repositories; returns its last sentence."""

    def save(epoch: int, to: Path) -> None:
        (to / "config.json").write_text('{"model_type": "clip"}')
        values = np.random.default_rng([seed, epoch]).normal(size=(32, 32)).astype(np.float32)
        save_file({"weight": values}, to / "model.safetensors")

    try:
        with Publisher(folder, "me/run", push_to_hub=True) as publisher:
            checked.wait(timeout=60)
            for epoch, name in enumerate(NAMES):
                row = Row(name=name, epoch=epoch, step=epoch * 10, samples_seen=epoch * 40)
                publisher.submit(row, lambda to, epoch=epoch: save(epoch, to))
            return publisher.finish(20.0).message
    except RevisionError as error:
        return str(error)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_of_two_runs_that_publish_to_one_repository_one_arrives_whole_and_the_other_not_at_all(
    tmp_path: Path, hub: HubServer
) -> None:
    """Every answer is slow, and some of each kind are cut."""

    def plant() -> None:
        for kind in ("refs", "tree", "resolve-get", "preupload", "lfs-batch", "commit", "create-branch"):
            for nth in (2, 5):
                hub.plant(kind, Fault(delay=0.1, cut=True), nth=nth)
        hub.plant("*", Fault(delay=0.02), times=10**6)

    folders, both_checked = [tmp_path / "0", tmp_path / "1"], Barrier(2, plant)
    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(_publish, folders, (0, 1), [both_checked] * 2))
    hub.faults.clear()
    outcomes = []
    for folder in folders:
        try:
            outcomes.append(str(repair(folder).is_whole))
        except RevisionError as error:
            outcomes.append(str(error))
    assert sum("has the revisions of another run" in one for one in outcomes) == 1, (said, outcomes)
    assert outcomes.count("True") == 1, (said, outcomes)
    report = verify("me/run", deep=True)
    assert (report.revisions, report.findings) == (NAMES, ()), report.render()
    arrived, *kept = ([one.sha256 for one in list_revisions(name)] for name in ("me/run", *folders))
    assert arrived in kept
