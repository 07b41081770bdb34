"""Recipes, flags and what makes one recipe another; tests/test_every_option.py compares files, flags and Python."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser

from hf_clipdyn.bundled import recipe_names, recipe_path
from hf_clipdyn.errors import ConfigError, UnknownNameError
from hf_clipdyn.training.config import TrainingConfig

ACCELERATE = Path(__file__).resolve().parents[2] / "scripts" / "accelerate"


def test_the_configuration_that_a_run_writes_is_read_again(tmp_path: Path) -> None:
    config = TrainingConfig(
        max_grad_norm=float("inf"),
        adam_beta2=1e-7,
        arm="007",
        resume_from_checkpoint=True,
        lr_scheduler_type="warmup_stable_decay",
        lr_scheduler_kwargs={"num_decay_steps": 3},
    )
    assert config.but(lr_scheduler_kwargs='{"num_decay_steps":3}') == config
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
    assert TrainingConfig.read(["--config", str(file)]) == config


def test_scale_and_seed_may_stand_in_the_name_of_a_repository_and_an_at_sign_in_that_of_a_folder(
    tmp_path: Path,
) -> None:
    config = TrainingConfig(hub_model_id="me/run-{scale}-seed{seed}", scale="small", seed=1)
    assert config.repository == "me/run-small-seed1"
    folder = tmp_path / "a@b"
    folder.mkdir()
    assert config.but(dataset_name=str(folder)).dataset == (str(folder), None)


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        (["--push_to_hub"], "hub_model_id"),
        (["--hub_model_id", "me/run-{size}"], r"\{scale\}, \{seed\}"),
        (["--arm", "with noise"], "arm"),
        (["--learning_rate", "inf"], "learning_rate"),
        (["--publish", "1,x"], "publish"),
        (["--publish", "0,1"], "publish"),
        (["--lr_scheduler_kwargs", "[1]"], "lr_scheduler_kwargs"),
        (["--streaming"], "samples_per_epoch"),
        (["--samples_per_epoch", "5"], "streaming"),
        (["--streaming", "--samples_per_epoch", "5", "--validation_size", "2"], "validation_size"),
        (["--streaming", "--samples_per_epoch", "5", "--max_train_samples", "2"], "max_train_samples"),
        (["--streaming", "--samples_per_epoch", "5", "--reading", "cached"], "reading"),
        (["--freeze", "text"], "model_name_or_path"),
        (["--gradient_cache_chunk", "8", "--gradient_accumulation_steps", "2"], "gradient_cache_chunk"),
    ],
)
def test_flags_that_contradict_each_other_or_mean_nothing_are_refused(argv: list[str], names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        TrainingConfig.read(argv)


@pytest.mark.parametrize(
    ("change", "is_another"),
    [
        ({"seed": 1}, True),
        ({"reading": "decoded"}, True),
        ({"crop_scale_min": 0.9}, True),
        ({"data_seed": 3}, True),
        ({"lr_scheduler_type": "warmup_stable_decay", "lr_scheduler_kwargs": {"num_decay_steps": 3}}, True),
        ({"streaming": True, "samples_per_epoch": 10}, True),
        ({"output_dir": "elsewhere"}, False),
        ({"dataloader_num_workers": 3}, False),
        ({"lr_scheduler_type": "cosine_with_min_lr"}, False),  # the default
    ],
    ids=str,
)
def test_what_changes_the_numbers_and_nothing_else_changes_the_recipe(
    change: dict[str, Any], is_another: bool
) -> None:
    assert (TrainingConfig(**change).recipe_hash() != TrainingConfig().recipe_hash()) == is_another


def test_every_recipe_can_be_read_and_says_how_to_run_it() -> None:
    assert {"demo", "quick", "flickr8k", "cc3m-vit-b-32", "vit-l-14"} <= set(recipe_names())
    for name in recipe_names():
        assert isinstance(TrainingConfig.read(["--config", name]), TrainingConfig)
        text = recipe_path(name).read_text(encoding="utf-8")
        assert f"--config {name}" in text
        named = re.findall(r"scripts/accelerate/(\w+)\.yaml", text)
        assert all((ACCELERATE / f"{one}.yaml").is_file() for one in named)
    with pytest.raises(UnknownNameError, match=r"demo.*quick"):
        recipe_path("nonsense")


@pytest.mark.parametrize("name", ["eight_gpus", "fsdp2", "one_gpu", "several_nodes"])
def test_accelerate_reads_its_configuration_files(name: str) -> None:
    path = ACCELERATE / f"{name}.yaml"
    config = load_config_from_file(str(path))  # an unknown key is an error there
    (processes,) = re.findall(r"(?m)^num_processes: (\d+)$", path.read_text(encoding="utf-8"))
    assert (config.num_processes, config.mixed_precision) == (int(processes), "bf16")
    launched = ["--config_file", str(path), "scripts/train.py", "--config", "quick"]
    assert launch_command_parser().parse_args(launched).config_file == str(path)
    if name == "fsdp2":
        assert (config.distributed_type, config.fsdp_config["fsdp_version"]) == ("FSDP", 2)


def test_plugins_are_separated_by_commas_or_given_one_by_one_and_replace_those_of_a_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Path] = []
    monkeypatch.setattr("hf_clipdyn.training.config.load_plugin", loaded.append)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("plugin: a.py\n", encoding="utf-8")
    TrainingConfig.read(["--config", str(recipe), "--plugin", "b.py, c.py", "--plugin=d.py"])
    assert loaded == [Path("b.py"), Path("c.py"), Path("d.py")]
