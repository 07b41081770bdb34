"""A run's own callback and tracker, from a file or from the Python call."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from training_runs import finished

from hf_clipdyn import plugins

Flags = Callable[..., list[str]]

FILE = """
import json
from pathlib import Path

from accelerate.tracking import GeneralTracker
from hf_clipdyn.training.callbacks import Callback, Training


class Diary(Callback):
    def run_begins(self, training: Training) -> None:
        self.events = [f"begins at {training.step}"]

    def step_ends(self, training: Training) -> None:
        self.events.append(f"step {training.step}")

    def epoch_ends(self, training: Training) -> None:
        self.events.append(f"epoch {training.epoch}")

    def run_ends(self, training: Training) -> None:
        self.events.append("ends")

    def close(self) -> None:
        Path(__file__ + ".txt").write_text(", ".join(self.events))


class Notebook(GeneralTracker):
    name, requires_logging_directory, tracker = "notebook", False, None

    def store_init_configuration(self, values):
        self.log(values, None)

    def log(self, values, step, **kwargs):
        with Path(__file__ + ".jsonl").open("a") as file:
            file.write(json.dumps([step, values]) + "\\n")
"""


def test_a_callback_in_a_file_hears_every_event_and_a_tracker_gets_the_whole_log_and_no_path_of_this_machine(
    flags: Flags, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "_loaded", {})  # no plug-in is left for other tests
    (tmp_path / "mine.py").write_text(FILE, encoding="utf-8")
    batches = {"num_train_epochs": 1, "per_device_train_batch_size": 50}
    finished(flags(plugin=tmp_path / "mine.py", report_to="notebook", **batches))
    diary = (tmp_path / "mine.py.txt").read_text(encoding="utf-8")
    assert diary == "begins at 0, step 1, step 2, epoch 1, ends"
    log = (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    (_, recipe), *lines = map(json.loads, (tmp_path / "mine.py.jsonl").read_text().splitlines())
    assert (recipe["scale"], recipe["dataset_name"]) == ("tiny", "photographs")
    assert str(tmp_path) not in json.dumps(recipe)
    assert [{"step": step} | values for step, values in lines] == list(map(json.loads, log))
    assert [step for step, _ in lines] == [1, 2]
    assert all(values["revisions_waiting"] in (0, 1) for _, values in lines)
