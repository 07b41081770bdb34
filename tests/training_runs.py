"""Runs of the tests: to their end, or until their log has some lines."""

import json
from pathlib import Path
from typing import Any

from forked import wait_until

from hf_clipdyn.revisions import list_revisions
from hf_clipdyn.training import TrainingSummary, train
from hf_clipdyn.training.callbacks import Callback, Training
from hf_clipdyn.training.config import TrainingConfig


class Stop(Callback):
    """Ends a run after a step of it."""

    def __init__(self, step: int = 1) -> None:
        self._step = step

    def step_ends(self, training: Training) -> None:
        if training.step == self._step:
            training.stop()


def finished(flags: list[str], *callbacks: Callback) -> TrainingSummary:
    """What the run of these flags published."""
    summary = train(TrainingConfig.read(flags), callbacks)
    assert summary is not None
    return summary


def log(folder: Path, *fields: str) -> list[Any]:
    """The lines of a run's log: step and loss, or one other field."""
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [[json.loads(line)[field] for field in fields or ("step", "loss")] for line in lines]
    return [row[0] if len(fields) == 1 else tuple(row) for row in rows]


def hashes(run: Path) -> list[str | None]:
    """The SHA-256 of the weights of each revision."""
    return [revision.sha256 for revision in list_revisions(run)]


def wait_for_log(process: Any, folder: Path, lines: int) -> None:
    """Until the run of a process has logged as many steps."""
    file = folder / "log.jsonl"
    wait_until(lambda: file.exists() and len(file.read_text("utf-8").splitlines()) >= lines, process)
