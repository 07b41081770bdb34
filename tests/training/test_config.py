"""Recipes and flags."""

from pathlib import Path

import pytest

from hf_clipdyn.bundled import recipe_names, recipe_path
from hf_clipdyn.errors import ConfigError, UnknownNameError
from hf_clipdyn.training.config import TrainingConfig


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text("scale: small\nlearning_rate: 1e-3\nnum_train_epochs: 4\nbf16: false\n", encoding="utf-8")
    return path


def test_a_recipe_gives_its_values_and_the_defaults_for_the_rest(recipe: Path) -> None:
    config = TrainingConfig.read(["--config", str(recipe)])
    assert (config.scale, config.num_train_epochs, config.bf16) == ("small", 4, False)
    assert config.weight_decay == TrainingConfig().weight_decay


def test_an_exponent_without_a_point_is_a_number_in_a_recipe_and_in_a_flag(recipe: Path) -> None:
    assert TrainingConfig.read(["--config", str(recipe)]).learning_rate == 1e-3
    assert TrainingConfig.read(["--learning_rate", "3e-4"]).learning_rate == 3e-4


def test_flags_win_over_the_recipe_wherever_they_stand(recipe: Path) -> None:
    assert TrainingConfig.read(["--config", str(recipe), "--num_train_epochs", "7"]).num_train_epochs == 7
    assert TrainingConfig.read(["--num_train_epochs=7", "--config", str(recipe)]).num_train_epochs == 7


def test_the_configuration_that_a_run_writes_is_read_again(tmp_path: Path) -> None:
    import yaml

    config = TrainingConfig(
        max_grad_norm=float("inf"), adam_beta2=1e-7, arm="007", resume_from_checkpoint=True
    )
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
    assert TrainingConfig.read(["--config", str(file)]) == config


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lerning_rate: 1e-3", "wrong.yaml: There is no option 'lerning_rate'. Did you mean 'learning_rate'"),
        ("learning_rate: fast", "wrong.yaml: learning_rate is 'fast': "),
        ("num_train_epochs: 0", "wrong.yaml: num_train_epochs is '0': "),
        ("- a\n- b", "wrong.yaml is not a mapping"),
        ('scale: "tiny', "wrong.yaml is not valid YAML in line 1"),
    ],
)
def test_a_wrong_recipe_is_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        TrainingConfig.read(["--config", str(path)])
    assert says in str(error.value)
    assert error.value.exit_code == 2
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--config", "dmeo"], "Did you mean 'demo'"),
        (["--config", "absent.yaml"], "absent.yaml: No such file"),
        (["--push_to_hub"], "hub_model_id"),
        (["--hub_model_id", "me/run-{size}"], r"only \{scale\}, \{seed\} and"),
        (["--hub_model_id", "a b/c"], "hub_model_id is 'a b/c'"),
        (["--bf16=perhaps"], "bf16 is 'perhaps': "),
        (["--arm", "with noise"], "arm is 'with noise': give letters"),
        (["--learning_rate", "inf"], "learning_rate is 'inf': "),
        (["--publish", "1,x"], "publish is '1,x': give epoch, log2, or steps"),
        (["--lr_scheduler_kwargs", "[1]"], "lr_scheduler_kwargs is .* give a JSON object"),
        (["--streaming"], "streaming and samples_per_epoch"),
        (["--samples_per_epoch", "5"], "streaming and samples_per_epoch"),
        (["--streaming", "--samples_per_epoch", "5", "--validation_size", "2"], "leave one out"),
        (["--freeze", "text"], "model_name_or_path"),
        (["--gradient_cache_chunk", "8", "--gradient_accumulation_steps", "2"], "Set only one"),
    ],
)
def test_a_wrong_flag_is_one_sentence(argv: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        TrainingConfig.read(argv)


def test_every_recipe_of_the_package_can_be_read_and_says_how_to_run_it() -> None:
    assert {"demo", "quick", "flickr8k"} <= set(recipe_names())
    for name in recipe_names():
        assert isinstance(TrainingConfig.read(["--config", name]), TrainingConfig)
        assert f"--config {name}" in recipe_path(name).read_text(encoding="utf-8")


def test_the_recipe_hash_knows_what_is_computed_and_ignores_where() -> None:
    config = TrainingConfig()
    assert TrainingConfig(output_dir="elsewhere", logging_steps=3).recipe_hash() == config.recipe_hash()
    assert TrainingConfig(seed=1).recipe_hash() != config.recipe_hash()
    assert TrainingConfig.outside_recipe < TrainingConfig.model_fields.keys()


@pytest.mark.parametrize("name", TrainingConfig.former)
def test_an_option_that_left_says_what_to_use(name: str, recipe: Path) -> None:
    recipe.write_text(f"{name}: 1\n", encoding="utf-8")
    for argv in ([f"--{name}", "1"], [f"--{name.replace('_', '-')}=1"], ["--config", str(recipe)]):
        with pytest.raises(ConfigError, match=f"{name} is gone since version 0.4: .*[.]"):
            TrainingConfig.read(argv)
    with pytest.raises(ConfigError, match=f"{name} is gone"):
        TrainingConfig(**{name: 1})


def test_there_are_52_options_and_a_revision_is_part_of_a_name(tmp_path: Path) -> None:
    assert len(TrainingConfig.option_fields()) == 52
    config = TrainingConfig(dataset_name="me/pairs@v1", model_name_or_path="me/run@epoch-002")
    assert (config.dataset, config.model) == (("me/pairs", "v1"), ("me/run", "epoch-002"))
    assert config.size_name == "run"
    (tmp_path / "a@b").mkdir()
    assert TrainingConfig(dataset_name=str(tmp_path / "a@b")).dataset == (str(tmp_path / "a@b"), None)
    assert TrainingConfig(model_name_or_path="me/run").model == ("me/run", "main")


def test_recipes_of_another_schedule_have_another_hash(tmp_path: Path) -> None:
    plain, named = TrainingConfig(), TrainingConfig(lr_scheduler_type="cosine_with_min_lr")
    assert named.recipe_hash() == plain.recipe_hash()
    text = '{"num_decay_steps":3}'
    stable = TrainingConfig(lr_scheduler_type="warmup_stable_decay", lr_scheduler_kwargs=text)
    assert stable.recipe_hash() != plain.recipe_hash()
    assert stable.lr_scheduler_kwargs == '{"num_decay_steps": 3}'
    assert stable.but(lr_scheduler_kwargs={"num_decay_steps": 3}) == stable
    file = tmp_path / "a.yaml"
    file.write_text("lr_scheduler_type: warmup_stable_decay\nlr_scheduler_kwargs: {num_decay_steps: 3}\n")
    assert TrainingConfig.read(["--config", str(file)]) == stable


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"demo.*quick"):
        recipe_path("nonsense")


def test_the_help_keeps_what_stands_in_square_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        TrainingConfig.read(["--help-all"])
    text = " ".join(capsys.readouterr().out.split())
    assert "AdamW's beta2. [at least 0; below 1; default: 0.98]" in text
    assert "hf-clipdyn[track]" in text


def test_plugins_are_separated_by_commas_or_given_one_by_one_and_replace_those_of_a_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Path] = []
    monkeypatch.setattr("hf_clipdyn.training.config.load_plugin", loaded.append)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("plugin: a.py\n", encoding="utf-8")
    TrainingConfig.read(["--config", str(recipe)])
    assert loaded == [Path("a.py")]
    loaded.clear()
    TrainingConfig.read(["--config", str(recipe), "--plugin", "b.py, c.py", "--plugin=d.py"])
    assert loaded == [Path("b.py"), Path("c.py"), Path("d.py")]
