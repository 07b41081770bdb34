"""Dry runs: everything but the data is built, two steps are taken, nothing is written."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from training_runs import finished

from hf_clipdyn.bundled import recipe_names, recipe_path
from hf_clipdyn.config import parse_training_config
from hf_clipdyn.errors import ConfigError
from hf_clipdyn.models.sizes import MODEL_SIZES
from hf_clipdyn.training import DryRun, dry_run

Flags = Callable[..., list[str]]
ACCELERATE = Path(__file__).resolve().parents[2] / "scripts" / "accelerate"
# The package's attribute of this name is the function.
MODULE = "hf_clipdyn.training.dry_run"
LARGE = {"datacomp-small", "laion400m-vit-b-32", "vit-b-16", "vit-l-14"}


def _unless_slow(name: str) -> Any:
    """A size or a recipe as a parameter: one large model is enough for every run of the tests."""
    return pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name


def _dry_run(*flags: str) -> DryRun:
    found = dry_run(parse_training_config([*flags, "--dry_run", "true", "--bf16", "false"]))
    assert found is not None
    return found


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that no model fits, so that models are only counted."""
    monkeypatch.setattr(sys.modules[MODULE], "memory_at_hand", lambda device: 0)


def test_a_dry_run_measures_two_steps_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = _dry_run("--config", "quick", "--max_train_samples", "1000").message
    assert list(tmp_path.iterdir()) == []
    for start in (
        "model: ",
        "step: ",
        "memory per process: ",
        "speed: ",
        "revisions: 4 (epoch-000 to epoch-003",
    ):
        assert f"\n{start}" in f"\n{printed}"
    assert "3 epochs of 1,000 images" in printed
    assert "hours at this speed" in printed


def test_a_run_that_is_dry_is_no_run(flags: Flags) -> None:
    with pytest.raises(ConfigError, match="dry_run is set"):
        finished(flags(dry_run=True))


def test_hours_and_revisions_follow_from_images_epochs_and_speed() -> None:
    found = _dry_run("--max_train_samples", "256", "--num_train_epochs", "4", "--publish", "log2")
    assert found.images_per_second is not None
    assert found.hours == pytest.approx(1024 / found.images_per_second / 3600)
    assert found.revisions == 5 + 1  # two steps an epoch: steps 2, 4 and 8 end one, step 1 is inside
    assert found.revision_bytes == 4 * found.parameters
    assert found.memory is not None
    assert found.state_bytes < found.memory


@pytest.mark.parametrize(
    "flags", [("--dataset_name", "somebody/pairs"), ("--max_train_samples", "256", "--caption_choice", "all")]
)
def test_images_that_only_the_data_know_are_said_to_be_unknown(flags: tuple[str, ...]) -> None:
    found = _dry_run(*flags)
    assert (found.images, found.hours) == (None, None)
    assert "hours per million images" in found.message


@pytest.mark.usefixtures("no_memory")
@pytest.mark.parametrize(
    "scale", [_unless_slow(name) for name, size in MODEL_SIZES.items() if size.parameters]
)
def test_a_model_that_does_not_fit_is_counted(scale: str) -> None:
    found = _dry_run("--scale", scale)
    assert found.parameters == MODEL_SIZES[scale].parameters
    assert (found.device, found.images_per_second, found.memory) == ("meta", None, None)
    assert "the model does not fit" in found.message


@pytest.mark.slow
@pytest.mark.usefixtures("no_memory")
def test_checkpointed_activations_and_chunks_take_less_memory_and_count_their_second_forward_pass() -> None:
    plain = _dry_run("--scale", "vit-b-32")
    checkpointed = _dry_run("--scale", "vit-b-32", "--gradient_checkpointing", "true")
    assert checkpointed.activation_bytes < plain.activation_bytes / 5
    assert 1.15 < checkpointed.operations / plain.operations < 1.4
    chunks = _dry_run("--scale", "vit-b-32", "--gradient_cache_chunk", "32")
    assert chunks.activation_bytes == plain.activation_bytes // 4


@pytest.mark.usefixtures("no_memory")
@pytest.mark.parametrize("name", [_unless_slow(name) for name in recipe_names()])
def test_every_recipe_is_counted_as_its_head_says(
    name: str, recipe_flags: Callable[[str], list[str]]
) -> None:
    head = recipe_path(name).read_text(encoding="utf-8").replace("\n#", "")
    flags = recipe_flags(name)
    local = parse_training_config(flags).per_device_train_batch_size
    batch = local
    for file in re.findall(r"scripts/accelerate/(\w+)\.yaml", head):  # one process takes the batch of all
        settings = yaml.safe_load((ACCELERATE / f"{file}.yaml").read_text(encoding="utf-8"))
        batch *= settings["num_processes"]
    found = _dry_run(*flags, f"--per_device_train_batch_size={batch}")
    if "Hardware:" not in head:
        return
    assert found.images is not None
    inside = found.revisions - found.epochs - 1
    activations = found.activation_bytes / batch / 1e9
    chunks = re.findall(r"gradient_cache_chunk (\d+) at most (\d+) GB", head)
    assert all(f"{activations * int(chunk):.0f}" == size for chunk, size in chunks)
    for figure in (
        f"{found.operations / 1e9:.0f} GFLOP",
        f"{found.images * found.epochs / 1e6:,.1f}".removesuffix(".0") + " million images",
        f"{found.state_bytes / 1e9:.1f} GB",
        f"at most {activations * local:.0f} GB",
        f"{found.revisions - inside} revisions",
        f"and {inside} at the steps" if inside else "",
        f"{found.revision_bytes / 1e9:.2f} GB",
        f"{found.revisions * found.revision_bytes / 1e9:.0f} GB",
    ):
        assert figure in head, figure


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if "vit" in name or "datacomp" in name else [])
        for name in recipe_names()
    ],
)
def test_every_recipe_takes_two_steps_of_eight_images_where_the_model_fits(
    name: str, recipe_flags: Callable[[str], list[str]]
) -> None:
    found = _dry_run(*recipe_flags(name), "--per_device_train_batch_size", "8")
    assert found.global_batch_size == 8
    assert (found.images_per_second is not None) == (found.state_bytes + found.activation_bytes <= found.free)


def test_two_processes_count_the_global_batch_and_print_once(
    launch: Callable[..., str], checkout: Path
) -> None:
    printed = launch(
        2, checkout / "scripts" / "train.py", "--config", "quick", "--dry_run", "true", "--bf16", "false"
    )
    batch = yaml.safe_load(recipe_path("quick").read_text(encoding="utf-8"))["per_device_train_batch_size"]
    assert printed.count("step: ") == 1
    assert f"step: {2 * batch} images over all processes" in printed
