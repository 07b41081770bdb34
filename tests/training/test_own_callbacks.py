"""A run's own callback and tracker, from a file or from the Python call."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from training_runs import finished

from hf_clipdyn import plugins
from hf_clipdyn.errors import ConfigError
from hf_clipdyn.training.callbacks import Callback, Training

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


def test_a_callback_of_a_file_that_wants_arguments_is_one_sentence(flags: Flags, tmp_path: Path) -> None:
    file = tmp_path / "wanting.py"
    file.write_text(
        "from hf_clipdyn.training.callbacks import Callback\n"
        "class Wanting(Callback):\n    def __init__(self, path):\n        pass\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError, match="The callback Wanting of a plug-in cannot be created"):
        finished(flags(plugin=file))
    assert not (tmp_path / "run").exists()


def test_a_callback_of_the_python_call_can_end_the_run(flags: Flags) -> None:
    class Enough(Callback):
        def epoch_ends(self, training: Training) -> None:
            training.stop()

    summary = finished(flags(), Enough())
    assert summary.published == ["epoch-000", "epoch-001"]


def test_a_tracker_gets_all_that_the_log_holds(flags: Flags, tmp_path: Path) -> None:
    file = tmp_path / "notebook.py"
    file.write_text(TRACKER, encoding="utf-8")
    finished(flags(num_train_epochs=1, plugin=file, report_to="notebook"))
    log = (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    (_, recipe), *lines = map(json.loads, (tmp_path / "notebook.py.jsonl").read_text().splitlines())
    assert recipe["scale"] == "tiny"
    assert [{"step": step} | values for step, values in lines] == list(map(json.loads, log))
    assert [step for step, _ in lines] == [1, 2, 3, 4, 5]
    assert all(values["revisions_waiting"] in (0, 1) for _, values in lines)
