"""The configuration of a training run: one frozen dataclass, read from a recipe and from flags.

A recipe is a YAML file whose keys are the fields below; names follow `transformers.TrainingArguments`.
Flags override the recipe, an unknown key is an error, and ``1e-3`` is a number in both.
"""

import argparse
import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from transformers import HfArgumentParser

from hf_clipdyn.errors import ConfigError, UnknownNameError, shorten, shown
from hf_clipdyn.flat_yaml import check_keys, read_flat_yaml
from hf_clipdyn.options import check_options, option
from hf_clipdyn.plugins import load_plugin
from hf_clipdyn.schema import checked_repo_id

__all__ = [
    "TrainingConfig",
    "check_names",
    "parse_training_config",
    "read_recipe",
    "recipe_names",
    "recipe_path",
]

_RECIPES = Path(__file__).resolve().parent / "recipes"

# Fields that decide where and how a run is executed, not what it computes: they may change between two starts of
# the same run and are no part of the recipe's hash.
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
    "plugin",
}

_COUNT = "[1, 1000000000]"


@dataclass(frozen=True)
class TrainingConfig:
    """One training run."""

    # What is learned from
    dataset_name: str = option(
        "procedural",
        "A data set of image and captions: a name that `clipdyn datasets` lists, a folder (Images/ and "
        "captions.txt, or an imagefolder with metadata.csv or .jsonl), or a data set on the Hub.",
    )
    dataset_config_name: str | None = option(None, "The data set's configuration.")
    plugin: str | None = option(None, "Python file that adds the data set.")
    image_column: str | None = option(
        None, "The image column of a folder or of a data set on the Hub. Default: found automatically."
    )
    caption_column: str | None = option(
        None, "The caption column (a text or a list of texts). Default: found automatically."
    )
    data_dir: str | None = option(None, "The folder with the data set's files.")
    train_split: str = option("train", "The split to train on.")
    max_train_samples: int | None = option(None, "Use only the first N training images.", within=_COUNT)
    validation_size: int = option(
        0, "Keep the last N images of the split out of training, for retrieval.", within="[0, 1000000000]"
    )
    cache_dir: str | None = option(None, "Folder for the cache of decoded pixels. Default: below HF_HOME.")

    # What learns
    scale: str = option("tiny", "Size of the model: tiny, small, vit-b-32, vit-b-16 or vit-l-14.")
    attn_implementation: str | None = option(
        None, "eager or sdpa. Default: the faster one for device and precision."
    )
    bf16: bool | None = option(None, "bfloat16 autocast. Default: if the device supports it.")
    num_threads: int | None = option(
        None, "Threads per process on a CPU. Default: 1 for tiny, else the free cores.", within="[1, 1024]"
    )

    # How it learns
    num_train_epochs: int = option(10, "Passes over the data.", within="[1, 1000000]")
    per_device_train_batch_size: int = option(128, "Images per process and step.", within="[1, 1000000]")
    learning_rate: float = option(1e-3, "Peak learning rate of AdamW.", within="(0, inf)")
    weight_decay: float = option(0.1, "Decay of the parameters of two dimensions or more.", within="[0, inf)")
    adam_beta1: float = option(0.9, "AdamW's beta1.", within="[0, 1)")
    adam_beta2: float = option(0.98, "AdamW's beta2.", within="[0, 1)")
    adam_epsilon: float = option(1e-6, "AdamW's epsilon.", within="(0, inf)")
    max_grad_norm: float = option(
        1.0, "Gradients are clipped to this norm; 0 or inf: not at all.", within="[0, inf]"
    )
    warmup_steps: int = option(100, "Steps of linear warm-up.", within="[0, 1000000000]")
    min_lr_rate: float = option(0.05, "The cosine ends at this share of the learning rate.", within="[0, 1]")
    seed: int = option(
        0,
        "Seed of the weights, the order of the images and the choice of captions.",
        within="[0, 4294967295]",
    )

    # What is kept
    output_dir: str | None = option(None, "Folder of the run: store, checkpoints, log.")
    overwrite_output_dir: bool = option(False, "Delete what an earlier run left in the folder.")
    publish: str = option(
        "epoch",
        "Which states become revisions: `epoch`, `log2` (steps 1, 2, 4 … and each epoch), or each epoch and these "
        "steps: 10,100,1000.",
    )
    save_total_limit: int = option(1, "Number of checkpoints to keep for resuming.", within="[1, 1000000]")
    resume_from_checkpoint: str | None = option(
        None, "Resume a run: `true` for the last whole epoch, or the folder of a checkpoint."
    )
    push_to_hub: bool = option(False, "Publish every revision also on the Hub.")
    hub_model_id: str | None = option(
        None,
        "Repository of the revisions, as owner/name; {scale} and {seed} are filled in: me/run-{scale}-seed{seed} "
        "gives each scale and seed its own repository. Default: local/<output folder>.",
    )
    hub_token: str | None = option(None, "Token for the Hub. Default: the one that you are logged in with.")
    hub_private_repo: bool = option(False, "Create a private repository.")
    license: str | None = option(None, "Licence of the weights, for the model card.")

    # What is shown
    logging_steps: int = option(10, "Log to log.jsonl every N steps.", within=_COUNT)
    report_to: str = option(
        "none",
        "Trackers, separated by commas: trackio and tensorboard (install hf-clipdyn[track]), or others of accelerate.",
    )
    disable_tqdm: bool = option(False, "No progress bar.")
    num_processes: int | None = option(
        None, "Stop unless the run has this many processes.", within="[1, 1000000]"
    )

    def __post_init__(self) -> None:
        if self.hub_token is not None:  # a file written on Windows ends in \r\n, which no header may hold
            object.__setattr__(self, "hub_token", self.hub_token.strip() or None)
        check_options(self)
        if self.plugin is not None:
            load_plugin(self.plugin)
        steps = [] if self.publish in ("epoch", "log2") else self.publish.split(",")
        if not all(
            word.strip().isdecimal() and 0 < len(word.strip()) <= 18 and int(word) > 0 for word in steps
        ):
            raise ConfigError(f"publish is {shown(self.publish)}: give epoch, log2, or steps as 10,100,1000.")
        if self.attn_implementation not in (None, "eager", "sdpa"):
            raise ConfigError(
                f"attn_implementation is {shown(self.attn_implementation)}: give eager or sdpa."
            )
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
        """``hub_model_id`` for this scale and seed; None if it is not given."""
        if self.hub_model_id is None:
            return None
        return self.hub_model_id.replace("{scale}", self.scale).replace("{seed}", str(self.seed))

    def recipe(self) -> dict[str, Any]:
        """The fields that decide what the run computes, by name, without the token."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in _EXECUTION}

    def recipe_hash(self) -> str:
        """SHA-256 of `recipe`, which identifies the continuation of a run."""
        return hashlib.sha256(json.dumps(self.recipe(), sort_keys=True).encode()).hexdigest()


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package, sorted."""
    return sorted(path.stem for path in _RECIPES.glob("*.yaml"))


def recipe_path(name: str) -> Path:
    """The YAML file of a recipe: one that comes with the package, or a path.

    Raises:
        UnknownNameError: there is neither such a recipe nor such a file.
    """
    path = Path(name)
    try:
        is_file = path.expanduser().is_file()
    except (OSError, RuntimeError, ValueError):  # too long a name, an unknown home, a null byte
        is_file = False
    if path.suffix in (".yaml", ".yml") or is_file:
        if not is_file:
            raise ConfigError(
                f"There is no file {shorten(name)}: name a YAML file, or one of {', '.join(recipe_names())}."
            )
        return path.expanduser()
    if name not in recipe_names():
        raise UnknownNameError("recipe", name, recipe_names())
    return _RECIPES / f"{name}.yaml"


def read_recipe(path: Path) -> dict[str, Any]:
    """The fields and values of a YAML file; only the names are checked.

    Raises:
        ConfigError: see `read_flat_yaml`; or it was written for an earlier version.
        UnknownNameError: an unknown field.
    """
    values = read_flat_yaml(path)
    check_names(values, str(path))
    return values


def check_names(values: Mapping[Any, Any], where: str) -> None:
    """Refuse unknown names in a recipe, and those of earlier versions.

    Args:
        values: the recipe by field.
        where: the file, for the message.

    Raises:
        ConfigError: the recipe was written for an earlier version.
        UnknownNameError: there is no such field.
    """
    if "dataset" in values:
        raise ConfigError(
            f"{where} was written for an earlier version: its dataset is now called dataset_name, and its dataset_name "
            "dataset_config_name; rename them in a recipe, and start a new run in another --output_dir."
        )
    check_keys(values, {f.name for f in dataclasses.fields(TrainingConfig)}, where)


class _Parser(HfArgumentParser):
    """An argparse parser whose errors are one sentence instead of the usage of all flags."""

    def add_argument(self, *names: str, **kwargs: Any) -> argparse.Action:
        """A flag, whose help names the interval of its values; transformers passes on a field's metadata."""
        within = kwargs.pop("within", None)
        if not kwargs.get("choices"):
            kwargs.pop("choices", None)  # an empty tuple would accept nothing
        if within is not None:
            kwargs["help"] += f" In {within}."
        return super().add_argument(*names, **kwargs)

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As argparse does, with a hint for an unknown flag; its value, maybe a token, is not printed."""
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            flag = next((word.partition("=")[0] for word in unknown if word.startswith("--")), None)
            if flag is None:
                self.error(f"there is no place for {shown(unknown[0])}: every value follows its flag")
            known = [name for name in self._option_string_actions if "_" in name or "-" not in name[2:]]
            close = get_close_matches(flag.replace("-", "_").replace("__", "--", 1), known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            self.error(f"there is no flag {shorten(flag)}{hint}")
        return parsed

    def error(self, message: str) -> NoReturn:
        message = re.sub(r"'[^']{200,}'", "a long text", message)
        end = "" if message.endswith("?") else "."
        raise ConfigError(f"{message[:1].upper()}{message[1:]}{end} See `{self.prog} --help`.")


def parse_training_config(argv: Sequence[str], *, prog: str = "train.py") -> TrainingConfig:
    """Read ``--config RECIPE`` and the flags that change it.

    The recipe's values go through the parser like flags, so ``1e-3``, a text in YAML, is a number, and a text
    instead of a number is an error.

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
        recipe = read_recipe(path)
        # One word for both: a value that begins with a dash is no flag.
        flags = [f"--{key}={value}" for key, value in recipe.items() if value is not None]
        try:
            defaults = vars(parser.parse_args(flags))
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error
        parser.set_defaults(**{key: defaults[key] for key in recipe})
    values = vars(parser.parse_args(given))
    del values["config"]
    return TrainingConfig(**values)
