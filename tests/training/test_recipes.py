"""The recipes' heads, and accelerate's configuration files that they name."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser

from hf_clipdyn.bundled import recipe_names, recipe_path
from hf_clipdyn.training.config import TrainingConfig

CHECKOUT = Path(__file__).resolve().parents[2]
LARGE = ["cc12m-vit-b-16", "cc3m-vit-b-32", "datacomp-small", "laion400m-vit-b-32", "vit-l-14"]
ACCELERATE = sorted((CHECKOUT / "scripts" / "accelerate").glob("*.yaml"))


def _head(name: str) -> str:
    lines = recipe_path(name).read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line.startswith("#"))


def test_the_large_recipes_come_with_the_package() -> None:
    assert set(LARGE) <= set(recipe_names())


@pytest.mark.parametrize("name", LARGE)
def test_the_head_of_a_large_recipe_says_command_hardware_cost_and_expectation(name: str) -> None:
    head = _head(name)
    assert f"scripts/train.py --config {name}" in head.replace("\\\n#    ", "")
    for part in ("Hardware: ", "Disk: ", "Cost: not measured here", "Expected, not measured: "):
        assert part in head
    (named,) = re.findall(r"scripts/accelerate/(\w+)\.yaml", head)
    assert named in {path.stem for path in ACCELERATE}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_recipe_streams_what_its_head_says(
    name: str, recipe_flags: Callable[[str], list[str]]
) -> None:
    config = TrainingConfig.read(recipe_flags(name))
    assert config.output_dir == f"runs/{name}"
    assert config.loss == "contrastive"
    assert config.gradient_checkpointing == (name == "vit-l-14")


@pytest.mark.parametrize("path", ACCELERATE, ids=lambda path: path.stem)
def test_accelerate_reads_its_configuration_files(path: Path) -> None:
    config = load_config_from_file(str(path))  # an unknown key is an error there
    (processes,) = re.findall(r"(?m)^num_processes: (\d+)$", path.read_text(encoding="utf-8"))
    assert config.num_processes == int(processes)
    assert config.mixed_precision == "bf16"
    launched = ["--config_file", str(path), "scripts/train.py", "--config", "quick"]
    assert launch_command_parser().parse_args(launched).config_file == str(path)


def test_there_are_files_for_one_gpu_eight_several_machines_and_fsdp2() -> None:
    assert {path.stem for path in ACCELERATE} == {"eight_gpus", "fsdp2", "one_gpu", "several_nodes"}
    sharded = load_config_from_file(str(CHECKOUT / "scripts" / "accelerate" / "fsdp2.yaml"))
    assert sharded.distributed_type == "FSDP"
    assert sharded.fsdp_config["fsdp_version"] == 2
