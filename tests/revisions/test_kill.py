"""A publishing process is killed with SIGKILL, at many moments; nothing is lost, halved or doubled."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hub_server.server import HubServer

from hf_clipdyn.errors import ConfigError, RevisionNotFoundError
from hf_clipdyn.revisions import epoch_name
from hf_clipdyn.revisions.verify import verify

SCRIPT = Path(__file__).with_name("killed_run.py")
# What a revision that is there must never show; what is not there yet may be missing from main.
NEVER = {
    "bad-header",
    "identical-weights",
    "missing-file",
    "moved-branch",
    "no-weights",
    "other-config",
    "wrong-content",
    "wrong-size",
    "wrong-weights",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "config.json").write_text('{"model_type": "clip"}')
    (tmp_path / "common" / "tokenizer.json").write_text("{}")
    return tmp_path


def _start(folder: Path, epochs: int, hub: HubServer) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), str(epochs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "HF_HOME": str(folder / "home"), **hub.env},
    )
    assert process.stdout is not None
    while (line := process.stdout.readline()) and "at work" not in line:
        pass
    return process


def _killed(process: subprocess.Popen[str], after: float) -> bool:
    """Kill after that many seconds of work; False if the process was done before."""
    time.sleep(after)
    alive = process.poll() is None
    process.send_signal(signal.SIGKILL) if alive else None
    process.communicate()
    return alive


def _whole_so_far(name: str | Path) -> None:
    """Every revision that is there is whole: its weights hash to the manifest."""
    try:
        report = verify(name, deep=True)
    except (RevisionNotFoundError, ConfigError):
        return  # killed before the first revision
    assert not {finding.kind for finding in report.findings} & NEVER, report.render()


def _kill_until_done(folder: Path, epochs: int, kills: int, seed: int, hub: HubServer) -> int:
    """Kill and restart, spread over the time that a whole run takes; then let it finish."""
    moments = random.Random(seed)
    killed = 0
    for _ in range(kills):
        killed += _killed(_start(folder, epochs, hub), moments.uniform(0.0, 0.6))
        _whole_so_far(folder / "run")
        _whole_so_far("me/run")
    process = _start(folder, epochs, hub)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    names = tuple(epoch_name(epoch) for epoch in range(epochs))
    for name in (folder / "run", "me/run"):
        report = verify(name, deep=True)
        assert report.revisions == names
        assert report.findings == (), report.render()
    repo = hub.repo("me/run")
    titles = [commit.title for commit in reversed(repo.history(repo.branches["main"]))]
    assert titles == ["initial commit", *(f"Publish {name}" for name in names)]
    assert sorted(repo.branches) == [*names, "main"]
    return killed


def test_killed_while_sending_to_the_hub_nothing_is_lost_and_nothing_comes_twice(
    folder: Path, hub: HubServer
) -> None:
    assert _kill_until_done(folder, epochs=12, kills=5, seed=2, hub=hub) >= 2


@pytest.mark.slow
def test_a_hundred_kills_at_random_moments_lose_nothing_and_double_nothing(
    folder: Path, hub: HubServer
) -> None:
    assert _kill_until_done(folder, epochs=150, kills=100, seed=3, hub=hub) >= 90
