"""Values of a training that are out of range are refused before anything is written."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hostile.harness import Outcome

from hf_clipdyn.config import parse_training_config
from hf_clipdyn.errors import ConfigError

COUNTS = ("num_train_epochs", "per_device_train_batch_size", "max_train_samples", "logging_steps")
OUT_OF_RANGE = [
    *((name, value) for name in COUNTS for value in ("0", "-1")),
    *((name, "-1") for name in ("save_total_limit", "num_processes", "validation_size", "warmup_steps")),
    *(
        (name, value)
        for name in ("learning_rate", "adam_epsilon", "max_grad_norm")
        for value in ("nan", "inf", "0", "-1")
    ),
    *((name, value) for name in ("adam_beta1", "adam_beta2") for value in ("nan", "inf", "1", "1.5", "-0.1")),
    *((name, value) for name in ("weight_decay", "min_lr_rate") for value in ("nan", "inf", "-inf", "-1")),
    *(("min_lr_rate", "7"), ("seed", "-1"), ("seed", str(2**32)), ("num_train_epochs", str(10**12))),
    *(("publish", value) for value in ("log3", "", ",", "0", "-1", "1,,2", "1.5", "nan", "²", "9" * 5000)),
]


@pytest.mark.parametrize(("name", "value"), OUT_OF_RANGE)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{name} is"):
        parse_training_config([f"--{name}={value}"])
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f'{name}: "{value}"\n')
    with pytest.raises(ConfigError, match=f"{name} is"):
        parse_training_config(["--config", str(recipe)])


def test_a_wrong_value_leaves_no_folder(clipdyn: Callable[..., Outcome], tmp_path: Path) -> None:
    assert "publish is 'log3'" in clipdyn("train", "--publish", "log3", "--output_dir", "run").sentence
    assert not list((tmp_path / "work").iterdir())


def test_nested_aliases_in_a_recipe_are_refused_unprinted(tmp_path: Path) -> None:
    levels = "".join(f", &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))
    (tmp_path / "bomb.yaml").write_text(f"seed: [&a0 [1]{levels}]\n")
    with pytest.raises(ConfigError, match="give one value"):
        parse_training_config(["--config", str(tmp_path / "bomb.yaml")])
