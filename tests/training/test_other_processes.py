"""A run that reads by row continues on another number of processes: same batches, weights within rounding."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training_runs import finished, log
from transformers import CLIPModel

from hf_clipdyn import list_revisions
from hf_clipdyn.errors import ConfigError
from hf_clipdyn.training.config import TrainingConfig
from hf_clipdyn.training.folder import continued
from hf_clipdyn.training.loop import Callback, Training

Flags = Callable[..., list[str]]
Continue = Callable[..., None]
HERE = Path(__file__).parent
GLOBAL_BATCH = 24
ZERO_GRADIENT = "k_proj.bias"  # softmax does not see what all keys share


class _Stop(Callback):
    def __init__(self, step: int) -> None:
        self._step = step

    def step_ends(self, training: Training) -> None:
        if training.step == self._step:
            training.stop()


@pytest.fixture
def go_on(flags: Flags, launch: Callable[..., str], tmp_path: Path) -> Continue:
    """`go_on(2, 7, "run", …)`: start or continue a run on two processes until step 7; 0: to its end."""

    def run(processes: int, step: int, output: str, **changes: object) -> None:
        micro_batches = int(str(changes.get("gradient_accumulation_steps", 1)))
        size = GLOBAL_BATCH // processes // micro_batches
        fields = {"per_device_train_batch_size": size, "dataloader_num_workers": 0, "quiet": True} | changes
        if (tmp_path / output).exists():
            fields["resume_from_checkpoint"] = "true"
        if processes == 1:
            finished(flags(output, **fields), _Stop(step))
        else:
            worker = HERE / "order_worker.py"
            launch(processes, worker, str(tmp_path / "shown"), str(step), *flags(output, **fields))

    return run


def _weights(run: Path, repository: str = "run") -> dict[str, torch.Tensor]:
    last = list_revisions(f"me/{repository}", store=run / "hub")[-1]
    folder = run / "hub" / f"models--me--{repository}" / "snapshots" / last.commit
    return load_file(folder / "model.safetensors")


def _embeddings(run: Path, weights: dict[str, torch.Tensor]) -> torch.Tensor:
    where = {"cache_dir": str(run / "hub"), "local_files_only": True}
    model = CLIPModel.from_pretrained("me/run", **where).eval()
    model.load_state_dict(weights, strict=False)
    generator = torch.Generator().manual_seed(0)
    size = model.config.vision_config.image_size
    pixels = torch.randn(32, 3, size, size, generator=generator)
    words = torch.randint(0, 500, (32, 8), generator=generator)
    with torch.no_grad():
        found = model(pixel_values=pixels, input_ids=words)
    return torch.cat([found.image_embeds, found.text_embeds])


def _assert_same_within_rounding(run: Path, whole: Path) -> None:
    assert log(run, "step") == log(whole, "step")
    np.testing.assert_allclose(log(run, "loss"), log(whole, "loss"), rtol=1e-5)
    for repository in ("run", "run-ema"):
        found, expected = _weights(run, repository), _weights(whole, repository)
        far = {name for name, one in found.items() if float((one - expected[name]).abs().max()) > 1e-4}
        assert all(name.endswith(ZERO_GRADIENT) for name in far), far
        swapped = expected | {name: one for name, one in found.items() if name.endswith(ZERO_GRADIENT)}
        difference = _embeddings(whole, swapped) - _embeddings(whole, expected)
        assert float(difference.abs().max()) <= 1e-5


def test_two_processes_begin_and_one_continues_inside_an_epoch_with_micro_batches_and_an_average(
    go_on: Continue, tmp_path: Path
) -> None:
    changes = {"num_train_epochs": 2, "gradient_accumulation_steps": 2, "ema_decay": 0.7}
    go_on(1, 0, "whole", **changes)
    go_on(2, 3, "run", **changes)
    go_on(1, 0, "run", **changes)
    _assert_same_within_rounding(tmp_path / "run", tmp_path / "whole")
    lines = (tmp_path / "run" / "log.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line).get("resumed_with") for line in lines] == [None] * 3 + [1] + [None] * 6
    begun = TrainingConfig.read(["--config", str(tmp_path / "run" / "config.yaml")])
    assert begun.per_device_train_batch_size == 6, "the recipe stays that of the beginning"


@pytest.mark.slow
@pytest.mark.parametrize(
    "way",
    [{}, {"gradient_accumulation_steps": 2}, {"gradient_cache_chunk": 5}],
    ids=["whole", "accumulated", "cached"],
)
def test_two_then_one_then_four_processes_train_as_one(
    go_on: Continue, tmp_path: Path, way: dict[str, Any]
) -> None:
    changes = way | {"num_train_epochs": 4, "ema_decay": 0.7}
    go_on(1, 0, "whole", **changes)
    go_on(2, 7, "run", **changes)
    go_on(1, 13, "run", **changes)
    go_on(4, 0, "run", **changes)
    _assert_same_within_rounding(tmp_path / "run", tmp_path / "whole")


@pytest.mark.slow
def test_a_sharded_run_continues_on_more_processes(
    flags: Flags, launch: Callable[..., str], tmp_path: Path
) -> None:
    worker = HERE / "sharded_training_worker.py"
    changes = {"num_train_epochs": 2, "ema_decay": 0.7, "dataloader_num_workers": 0, "quiet": True}
    two, three = ({"per_device_train_batch_size": GLOBAL_BATCH // n} | changes for n in (2, 3))
    launch(2, worker, *flags("whole", **two))
    launch(2, worker, "--stop", *flags("run", **two))
    launch(3, worker, *flags("run", resume_from_checkpoint="true", **three))
    _assert_same_within_rounding(tmp_path / "run", tmp_path / "whole")


def _edit_progress(run: Path, **changes: object) -> None:
    (path,) = run.glob("checkpoints/*/progress.json")
    content = json.loads(path.read_text("utf-8")) | changes
    path.write_text(
        json.dumps({name: value for name, value in content.items() if value is not None}), "utf-8"
    )


def test_a_number_of_processes_that_does_not_fit_is_refused_with_those_that_do(
    flags: Flags, tmp_path: Path, streamed: dict[str, object]
) -> None:
    finished(flags(num_train_epochs=1), _Stop(3))
    run, resumed = tmp_path / "run", flags(num_train_epochs=1, resume_from_checkpoint="true")
    _edit_progress(run, num_processes=5, global_batch_size=25)
    (path,) = run.glob("checkpoints/*/progress.json")
    recipe = json.loads(path.read_text("utf-8"))["recipe"] | {"per_device_train_batch_size": 5}
    _edit_progress(run, recipe=recipe)
    with pytest.raises(
        ConfigError, match=r"has batches of 25 images, which 2 processes cannot .* start 1, 5 or 25"
    ):
        continued(TrainingConfig.read(resumed), path.parent, 2)
    with pytest.raises(ConfigError, match="per_device_train_batch_size=5 there, 24 now"):
        finished(resumed)
    finished(flags("stream", **streamed), _Stop(3))
    _edit_progress(tmp_path / "stream", num_processes=3)
    with pytest.raises(ConfigError, match=r"by 3 processes and reads a stream, .* this run has 1: start 3\."):
        finished(flags("stream", resume_from_checkpoint="true", **streamed))


def test_a_model_with_dropout_continues_on_its_own_number_of_processes_alone(
    flags: Flags, tmp_path: Path
) -> None:
    store, folder = finished(flags("base", num_train_epochs=1)).store, tmp_path / "begin"
    shutil.copytree(next((store / "models--me--run" / "snapshots").iterdir()), folder)
    content = json.loads((folder / "config.json").read_text("utf-8"))
    content["vision_config"]["attention_dropout"] = 0.1
    (folder / "config.json").write_text(json.dumps(content), "utf-8")
    changes = {"model_name_or_path": folder, "num_train_epochs": 1}
    finished(flags(**changes), _Stop(3))
    (path,) = (tmp_path / "run").glob("checkpoints/*/progress.json")
    recipe = json.loads(path.read_text("utf-8"))["recipe"] | {"per_device_train_batch_size": 12}
    _edit_progress(tmp_path / "run", num_processes=2, recipe=recipe)
    with pytest.raises(
        ConfigError, match=r"by 2 processes, and the model has dropout, .* process: start 2\."
    ):
        finished(flags(resume_from_checkpoint="true", **changes))
    _edit_progress(tmp_path / "run", num_processes=1, recipe=recipe | {"per_device_train_batch_size": 24})
    assert finished(flags(resume_from_checkpoint="true", **changes)).published[-1] == "epoch-001"
