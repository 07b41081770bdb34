"""What a training run is made of: one frozen dataclass, read from a recipe and from flags.

A recipe is a YAML file whose keys are the fields below; names follow `transformers.TrainingArguments`.
Flags win over the recipe, an unknown key is an error, and ``1e-3`` is a number in both.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml
from transformers import HfArgumentParser

from hf_clipdyn.errors import ConfigError, UnknownNameError
from hf_clipdyn.schema import checked_repo_id

__all__ = ["TrainingConfig", "parse_training_config", "recipe_names", "recipe_path"]

_RECIPES = Path(__file__).resolve().parent / "recipes"

# Fields that say where and how a run is executed, not what it computes: changing them between
# two starts of the same run is fine, and they are no part of the recipe's identity.
_EXECUTION = {
    "output_dir",
    "overwrite_output_dir",
    "resume_from_checkpoint",
    "num_processes",
    "disable_tqdm",
    "report_to",
    "logging_steps",
    "save_total_limit",
    "push_to_hub",
    "hub_model_id",
    "hub_token",
    "hub_private_repo",
    "data_dir",
    "cache_dir",
}


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class TrainingConfig:
    """One training run."""

    # What is learned from
    dataset: str = _option(
        "procedural",
        "A data set of image and captions: a name that `clipdyn datasets` lists, a folder (Images/ and "
        "captions.txt, or an imagefolder with metadata.csv or .jsonl), or a data set on the Hub.",
    )
    dataset_name: str | None = _option(None, "The data set's configuration.")
    data_dir: str | None = _option(None, "The folder with the data set's files.")
    train_split: str = _option("train", "The split to train on.")
    max_train_samples: int | None = _option(None, "Train on the first so many images only.")
    validation_size: int = _option(
        0, "So many last images of the split are held out of training, for retrieval."
    )
    cache_dir: str | None = _option(None, "Where decoded pixels are cached; under HF_HOME by default.")

    # What learns
    scale: str = _option("tiny", "Size of the model: tiny, small, vit-b-32, vit-b-16 or vit-l-14.")
    attn_implementation: str | None = _option(
        None, "eager or sdpa; chosen by device and precision by default."
    )
    bf16: bool | None = _option(None, "bfloat16 autocast; by default where the device computes in it.")

    # How it learns
    num_train_epochs: int = _option(10, "Passes over the data.")
    per_device_train_batch_size: int = _option(128, "Images per process and step.")
    learning_rate: float = _option(1e-3, "Peak learning rate of AdamW.")
    weight_decay: float = _option(0.1, "Decay of the parameters of two dimensions or more.")
    adam_beta1: float = _option(0.9, "AdamW's beta1.")
    adam_beta2: float = _option(0.98, "AdamW's beta2.")
    adam_epsilon: float = _option(1e-6, "AdamW's epsilon.")
    max_grad_norm: float = _option(1.0, "Gradients are clipped to this norm.")
    warmup_steps: int = _option(100, "Steps of linear warm-up.")
    min_lr_rate: float = _option(0.05, "The cosine ends at this share of the learning rate.")
    seed: int = _option(0, "Seed of the weights, the order of the images and the choice of captions.")

    # What is kept
    output_dir: str | None = _option(None, "Folder of the run: store, checkpoints, log.")
    overwrite_output_dir: bool = _option(False, "Delete what an earlier run left in the folder.")
    publish: str = _option(
        "epoch",
        "Which states become revisions: `epoch`, `log2` (steps 1, 2, 4 … and each epoch), or steps as 10,100,1000 "
        "beside the epochs.",
    )
    save_total_limit: int = _option(1, "Checkpoints for resuming that are kept.")
    resume_from_checkpoint: str | None = _option(
        None, "`true` for the last whole epoch, or a checkpoint's folder."
    )
    push_to_hub: bool = _option(False, "Publish every revision on the Hub too.")
    hub_model_id: str | None = _option(
        None,
        "Repository of the revisions, as owner/name; {scale} and {seed} in it are filled in, so that "
        "me/run-{scale}-seed{seed} gives each scale and seed its own. By default local/<output folder>.",
    )
    hub_token: str | None = _option(None, "Token for the Hub; the one you are logged in with by default.")
    hub_private_repo: bool = _option(False, "Create the repository as a private one.")
    license: str | None = _option(None, "Licence of the weights, for the model card.")

    # What is shown
    logging_steps: int = _option(10, "A line in log.jsonl every so many steps.")
    report_to: str = _option(
        "none", "Trackers of accelerate, separated by commas: trackio, tensorboard, wandb."
    )
    disable_tqdm: bool = _option(False, "No progress bar.")
    num_processes: int | None = _option(None, "Stop unless the run has this many processes.")

    def __post_init__(self) -> None:
        for name in ("num_train_epochs", "per_device_train_batch_size", "logging_steps", "save_total_limit"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: it must be 1 or more.")
        for name in ("warmup_steps", "validation_size", "weight_decay"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}: it must not be negative.")
        if self.learning_rate <= 0:
            raise ConfigError(f"learning_rate is {self.learning_rate}: it must be positive.")
        if self.max_train_samples is not None and self.max_train_samples < 1:
            raise ConfigError(f"max_train_samples is {self.max_train_samples}: it must be 1 or more.")
        if self.attn_implementation not in (None, "eager", "sdpa"):
            raise ConfigError(f"attn_implementation is {self.attn_implementation!r}: take eager or sdpa.")
        if self.push_to_hub and self.hub_model_id is None:
            raise ConfigError("push_to_hub needs hub_model_id: name the repository as owner/name.")
        if self.repository is not None:
            if "{" in self.repository:
                raise ConfigError(
                    f"hub_model_id is {self.hub_model_id!r}: only {{scale}} and {{seed}} can be filled in."
                )
            checked_repo_id(self.repository, what="hub_model_id", owner=self.push_to_hub)

    @property
    def repository(self) -> str | None:
        """``hub_model_id`` for this scale and seed; None where it is left open."""
        if self.hub_model_id is None:
            return None
        return self.hub_model_id.replace("{scale}", self.scale).replace("{seed}", str(self.seed))

    def recipe(self) -> dict[str, Any]:
        """The fields that decide what the run computes, by name; the token is never among them."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in _EXECUTION}

    def recipe_hash(self) -> str:
        """SHA-256 of `recipe`, which tells a continuation of a run from another run."""
        return hashlib.sha256(json.dumps(self.recipe(), sort_keys=True).encode()).hexdigest()


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package, sorted."""
    return sorted(path.stem for path in _RECIPES.glob("*.yaml"))


def recipe_path(name: str) -> Path:
    """The YAML file of a recipe: one that comes with the package, or a path.

    Raises:
        UnknownNameError: there is neither such a recipe nor such a file.
    """
    path = Path(name).expanduser()
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.is_file():
            raise ConfigError(
                f"There is no file {name}: name a YAML file, or one of {', '.join(recipe_names())}."
            )
        return path
    if name not in recipe_names():
        raise UnknownNameError("recipe", name, recipe_names())
    return _RECIPES / f"{name}.yaml"


def _read_recipe(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}.") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds {type(values).__name__}: a recipe is a mapping of fields to values.")
    known = {f.name for f in dataclasses.fields(TrainingConfig)}
    for key in values:
        if key not in known:
            raise UnknownNameError(f"field in {path}:", str(key), known)
    return values


class _Parser(HfArgumentParser):
    """One sentence where argparse prints the usage of all the flags and exits."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message[:1].upper()}{message[1:]}. See `{self.prog} --help`.")


def parse_training_config(argv: Sequence[str], *, prog: str = "train.py") -> TrainingConfig:
    """Read ``--config RECIPE`` and the flags that change it.

    The recipe's values go through the parser as flags do, so that ``1e-3``, which YAML calls a text,
    is a number here, and a text where a number is expected is an error.

    Args:
        argv: the arguments after the command's name.
        prog: the command's name in the help text.

    Raises:
        ConfigError: an unknown recipe, key or flag, or a value of the wrong kind.
    """
    parser = _Parser(
        TrainingConfig,  # type: ignore[arg-type]  # transformers' annotation means an instance, its code the class
        prog=prog,
        description="Train CLIP from scratch and publish every epoch as a revision.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config", help=f"A recipe ({', '.join(recipe_names())}) or a YAML file with the fields below."
    )
    given = list(argv)
    config = parser.parse_known_args(given)[0].config
    if config is not None:
        path = recipe_path(config)
        recipe = _read_recipe(path)
        flags = [
            text for key, value in recipe.items() if value is not None for text in (f"--{key}", str(value))
        ]
        try:
            defaults = vars(parser.parse_args(flags))
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error
        parser.set_defaults(**{key: defaults[key] for key in recipe})
    values = vars(parser.parse_args(given))
    del values["config"]
    return TrainingConfig(**values)
