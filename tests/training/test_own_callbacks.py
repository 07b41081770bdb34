"""A run's own callback and tracker, from a file or from the Python call."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from training_runs import finished

from hf_clipdyn import plugins

Flags = Callable[..., list[str]]

FILE = """
from pathlib import Path

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
"""


TRACKER = """
import json
from pathlib import Path

from accelerate.tracking import GeneralTracker


class Notebook(GeneralTracker):
    name, requires_logging_directory, tracker = "notebook", False, None

    def store_init_configuration(self, values):
        self.log(values, None)

    def log(self, values, step, **kwargs):
        with Path(__file__ + ".jsonl").open("a") as file:
            file.write(json.dumps([step, values]) + "\\n")
"""


@pytest.fixture(autouse=True)
def _no_plugin_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_loaded", {})


def test_a_callback_in_a_file_hears_every_event(flags: Flags, tmp_path: Path) -> None:
    file = tmp_path / "diary.py"
    file.write_text(FILE, encoding="utf-8")
    finished(flags(num_train_epochs=1, per_device_train_batch_size=50, plugin=file))
    diary = (tmp_path / "diary.py.txt").read_text(encoding="utf-8")
    assert diary == "begins at 0, step 1, step 2, epoch 1, ends"


def test_a_tracker_gets_all_that_the_log_holds_and_no_path_of_this_machine(
    flags: Flags, tmp_path: Path
) -> None:
    file = tmp_path / "notebook.py"
    file.write_text(TRACKER, encoding="utf-8")
    finished(flags(num_train_epochs=1, plugin=file, report_to="notebook"))
    log = (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    (_, recipe), *lines = map(json.loads, (tmp_path / "notebook.py.jsonl").read_text().splitlines())
    assert (recipe["scale"], recipe["dataset_name"]) == ("tiny", "photographs")
    assert str(tmp_path) not in json.dumps(recipe)
    assert [{"step": step} | values for step, values in lines] == list(map(json.loads, log))
    assert [step for step, _ in lines] == [1, 2, 3, 4, 5]
    assert all(values["revisions_waiting"] in (0, 1) for _, values in lines)
