"""The configuration of a training run: one frozen dataclass, read from a recipe and from flags.

A recipe is a YAML file whose keys are the fields below; names follow `transformers.TrainingArguments`.
Flags override the recipe, an unknown key is an error, and ``1e-3`` is a number in both.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hf_clipdyn.bundled import recipe_names, recipe_path
from hf_clipdyn.command_line import CommandLine
from hf_clipdyn.errors import ConfigError, remedies_in_python, shown
from hf_clipdyn.fields import check_options, flags_of, option
from hf_clipdyn.plugins import load_plugin
from hf_clipdyn.schema import checked_repo_id, read_yaml, valid_repo_name

_COUNT = "[1, 1000000000]"
_LEFT = {
    "adam_beta1": 0.9,
    "adam_epsilon": 1e-6,
    "caption_choice": "one",
    "optim": "adamw_torch",
    "shuffle_samples": 1000,
    "shuffle_shards": 4,
    "streams_per_process": 8,
}
"""What recipes say of fields that have left, so that they keep their hashes."""

_COSINE = "cosine_with_min_lr"

LEFT_OPTIONS = {
    "adam_beta1": "it is 0.9: leave it out.",
    "adam_epsilon": "it is 1e-6: leave it out.",
    "cache_dir": "set HF_DATASETS_CACHE to a folder.",
    "caption_choice": "each epoch shows one caption of each image, drawn by the seed: leave it out.",
    "dataloader_prefetch_factor": "workers read two batches in advance: leave it out.",
    "dataset_revision": "write dataset_name as owner/name@revision.",
    "disable_tqdm": "use quiet; without a terminal no bar is drawn.",
    "hub_token": "set HF_TOKEN, or log in with `hf auth login`.",
    "jpeg_draft": "images are decoded whole: leave it out.",
    "loss_chunk": "use gradient_cache_chunk.",
    "model_revision": "write model_name_or_path as owner/name@revision.",
    "model_store": "give model_name_or_path the folder of a revision, as runs/demo/revisions/epoch-002.",
    "num_processes": "the launcher decides the number of processes: leave it out.",
    "optim": "the optimiser is AdamW: leave it out.",
    "overwrite_output_dir": "delete the folder of the run, or name another output_dir.",
    "random_resized_crop": "use crop_scale_min, as crop_scale_min 0.9.",
    "save_total_limit": "the last checkpoint is kept: leave it out.",
    "shuffle_samples": "streams shuffle 1,000 samples: leave it out.",
    "shuffle_shards": "streams shuffle their shards by themselves: leave it out.",
    "streams_per_process": "dataloader_num_workers divides the shards: leave it out.",
}
"""Options of version 0.3 that have left, each with what to do in place of it."""

_SUMMARY = """Train CLIP from scratch and save every epoch as a revision.

With `accelerate launch` or `torchrun`, use scripts/train.py: it is the same command."""


def split_revision(text: str) -> tuple[str, str | None]:
    """The name and the revision of ``owner/name@revision``; a folder that exists has no revision."""
    name, at, revision = text.rpartition("@")
    if not (at and name and revision) or Path(text).expanduser().exists():
        return text, None
    return name, revision


def publishing_steps(publish: str, total: int) -> set[int]:
    """The steps from 1 to ``total`` whose states become revisions, in addition to the ends of epochs.

    Args:
        publish: ``epoch`` (none), ``log2`` (1, 2, 4 …) or numbers as ``10,100,1000``.
        total: steps of the whole run.

    Raises:
        ConfigError: anything else.
    """
    if publish == "epoch":
        return set()
    if publish == "log2":
        return {2**k for k in range(total.bit_length()) if 2**k <= total}
    words = [word.strip() for word in publish.split(",")]
    if not all(word.isdecimal() and 0 < len(word) <= 18 and int(word) > 0 for word in words):
        raise ConfigError(
            f"publish is {shown(publish)}: give epoch, log2, or steps, for example 10,100,1000."
        )
    return {int(word) for word in words if int(word) <= total}


@contextmanager
def in_python() -> Iterator[None]:
    """Within it, the remedies of errors are fields of `TrainingConfig`, unless the command line calls."""
    with remedies_in_python(lambda text: train_command().in_python(text)):
        yield


@dataclass(frozen=True)
class TrainingConfig:
    """Configuration of a training run. Its fields are the flags of `clipdyn train` and the keys of a recipe.

    `clipdyn train --help-all` explains each field.

    Raises:
        ConfigError: a value is out of its range, or contradicts another one.
        UnknownNameError: a field with fixed choices has another value.

    Examples:
        >>> from hf_clipdyn import TrainingConfig
        >>> config = TrainingConfig(scale="tiny", num_train_epochs=2, learning_rate=5e-4)
        >>> config.dataset_name, config.seed
        ('procedural', 0)
    """

    dataset_name: str = option(
        "procedural",
        "A data set of images and captions: a name that `clipdyn datasets` lists, a folder (Images/ and "
        "captions.txt, or an imagefolder with metadata.csv or .jsonl), or a data set on the Hub, also as "
        "owner/name@revision.",
        group="Data",
        top=True,
    )
    dataset_config_name: str | None = option(None, "The data set's configuration.")
    image_column: str | None = option(
        None, "The image column of a folder or of a data set on the Hub. Default: found automatically."
    )
    caption_column: str | None = option(
        None, "The caption column (a text or a list of texts). Default: found automatically."
    )
    data_dir: str | None = option(None, "The folder with the data set's files.", execution=True)
    train_split: str = option("train", "The split to train on.")
    max_train_samples: int | None = option(None, "Use only the first N training images.", within=_COUNT)
    validation_size: int = option(
        0, "Keep the last N images of the split out of training, for retrieval.", within="[0, 1000000000]"
    )

    streaming: bool = option(
        False,
        "Read and decode the data while training, from tar shards, Parquet files or the Hub; the data can have any "
        "size. Requires samples_per_epoch. The scales with a tokenizer of their own (micro, tiny, mini, small) "
        "train it on the first 20,000 captions.",
        group="Streaming",
    )
    samples_per_epoch: int | None = option(
        None,
        "With streaming: number of images in an epoch, over all processes. Each epoch reads the shards in a new "
        "order. It may read only some shards, or some shards several times.",
        within=_COUNT,
    )

    reading: str | None = option(
        None,
        "`cached` decodes every image once and keeps its pixels on disk; `decoded` decodes the files in every epoch. "
        "Default: cached if that takes at most 4 GB.",
        choices=("cached", "decoded"),
        group="Images and captions",
    )
    crop_scale_min: float | None = option(
        None,
        "Show a different crop of each image in each epoch, resized to the input, as CLIP and open_clip do: at least "
        "this share of its area (they use 0.9). Crops of cached images come from the centre square, those of decoded "
        "images from the whole image. Default: no crops.",
        within="(0, 1]",
    )
    random_flip: bool = option(False, "Mirror each image with probability one half in each epoch.")
    color_jitter: float = option(
        0.0,
        "Strength of colour jitter: brightness, contrast and saturation of four in five images change by up to "
        "this share, the hue by a quarter of it. open_clip's recipes use 0.32.",
        within="[0, 1]",
    )
    dataloader_num_workers: int | None = option(
        None,
        "Worker processes that read images, for each training process. They do not change the data. Default: the "
        "number of free cores, at most 8; 0 for cached images on a CPU.",
        within="[0, 1024]",
        execution=True,
    )

    scale: str = option(
        "tiny",
        "Size of the model: micro, tiny, mini, small, vit-b-32, vit-b-16 or vit-l-14.",
        group="Model",
        top=True,
    )
    model_name_or_path: str | None = option(
        None,
        "Continue from a CLIP or SigLIP model instead of random weights: a folder (as runs/demo/revisions/epoch-002), "
        "or a model on the Hub, also as owner/name@revision. Its image processor and tokenizer are used; `scale` is "
        "ignored.",
    )
    freeze: str | None = option(
        None,
        "Freeze one tower of a continued model and its projection: vision (locked-image tuning) or text. The "
        "temperature is still trained.",
        choices=("vision", "text"),
    )
    attn_implementation: str | None = option(
        None,
        "Attention of transformers: eager, sdpa, flash_attention_2, flex_attention, …, or a kernel from the Hub, for "
        "example kernels-community/flash-attn2, whose code is executed. One that cannot train the model here is "
        "refused. Default: eager or sdpa, the faster one for device and precision.",
    )
    bf16: bool | None = option(None, "Compute in bfloat16 autocast. Default: if the device supports it.")
    num_threads: int | None = option(
        None,
        "Threads per process on a CPU. Default: 1 for micro and tiny, else the free cores.",
        within="[1, 1024]",
    )

    gradient_checkpointing: bool = option(
        False,
        "Keep only the inputs of each layer for the backward pass: less memory, up to a third more computation.",
    )
    torch_compile: bool = option(
        False,
        "Compile the model with torch.compile. Steps are faster, but the first one takes up to a minute.",
    )

    loss: str = option(
        "contrastive",
        "What is minimised: contrastive (trains a CLIPModel), sigmoid (trains a SiglipModel), or a loss of a plug-in.",
        group="Training",
    )
    num_train_epochs: int = option(10, "Passes over the data.", within="[1, 1000000]", top=True)
    per_device_train_batch_size: int = option(
        128, "Images per process and step.", within="[1, 1000000]", top=True
    )
    gradient_cache_chunk: int | None = option(
        None,
        "Compute the gradients of the whole batch with only N images of each process in the model at once (GradCache). "
        "This saves memory and costs a second forward pass.",
        within=_COUNT,
    )
    gradient_accumulation_steps: int = option(
        1,
        "Add the gradients of N batches per process for each step. Each image is compared only with its own batch, so "
        "there are fewer negatives than in a batch of N times the size; gradient_cache_chunk keeps them all.",
        within="[1, 1000000]",
    )
    learning_rate: float = option(1e-3, "Peak learning rate.", within="(0, inf)", top=True)
    weight_decay: float = option(
        0.1, "Weight decay of the parameters with two or more dimensions.", within="[0, inf)"
    )
    adam_beta2: float = option(0.98, "AdamW's beta2.", within="[0, 1)")
    max_grad_norm: float = option(
        1.0, "Clip gradients to this norm; 0 or inf: no clipping.", within="[0, inf]"
    )
    warmup_steps: int = option(100, "Steps of linear warm-up.", within="[0, 1000000000]")
    min_lr_rate: float = option(
        0.05,
        "Last learning rate, as a share of the peak, of the schedules cosine_with_min_lr, cosine_warmup_with_min_lr "
        "and warmup_stable_decay.",
        within="[0, 1]",
    )
    lr_scheduler_type: str = option(
        _COSINE,
        "Schedule of the learning rate, by its name in transformers: linear, cosine, cosine_with_min_lr, "
        "constant_with_warmup, warmup_stable_decay, …",
    )
    lr_scheduler_kwargs: str | None = option(
        None,
        "Further arguments of the schedule as JSON, for example '{\"num_decay_steps\": 200}' for warmup_stable_decay.",
    )
    seed: int = option(
        0,
        "Seed of the weights, the order of the images, the choice of captions and the augmentation.",
        within="[0, 4294967295]",
        top=True,
    )
    data_seed: int | None = option(
        None,
        "Seed of the order of the images, the choice of captions and the augmentation, if it is not `seed`.",
        within="[0, 4294967295]",
    )
    arm: str = option(
        "",
        "Name of the control or ablation that this run belongs to, for example noise; verdicts compare arms. It does "
        "not change the training. Default: the main arm.",
        execution=True,
    )

    output_dir: str | None = option(
        None,
        "Folder of the run: store, checkpoints, log.",
        group="Revisions and checkpoints",
        execution=True,
        top=True,
    )
    publish: str = option(
        "epoch",
        "Which states become revisions: `epoch`, `log2` (steps 1, 2, 4 … and each epoch), or each epoch and these "
        "steps: 10,100,1000.",
        top=True,
    )
    ema_decay: float | None = option(
        None,
        "Also publish an exponential moving average of the weights, as the revisions of <repository>-ema. The "
        "value is the decay per step, for example 0.999.",
        within="(0, 1)",
    )
    save_steps: int | None = option(
        None,
        "Also save a checkpoint for resuming every N steps, in addition to the one of each epoch.",
        within=_COUNT,
        execution=True,
    )
    resume_from_checkpoint: str | None = option(
        None, "Resume a run: `true` for the last checkpoint, or the folder of a checkpoint.", execution=True
    )
    push_to_hub: bool = option(False, "Publish every revision also on the Hub.", execution=True, top=True)
    hub_model_id: str | None = option(
        None,
        "Repository of the revisions, as owner/name; {scale} and {seed} are filled in: me/run-{scale}-seed{seed} "
        "gives each scale and seed its own repository; a study also fills in {name}. Default: local/<output folder>.",
        execution=True,
        top=True,
    )
    hub_private_repo: bool = option(
        False, "Create a private repository. One that exists and is public is refused.", execution=True
    )
    license: str | None = option(None, "Licence of the weights, for the model card.")

    logging_steps: int = option(
        10, "Log to log.jsonl every N steps.", within=_COUNT, group="Logging and execution", execution=True
    )
    report_to: str = option(
        "none",
        "Trackers, separated by commas: trackio and tensorboard (install hf-clipdyn[track]), others of accelerate, or "
        "a plug-in's `GeneralTracker` by its name.",
        execution=True,
    )
    quiet: bool = option(False, "Print warnings and errors only.", execution=True)
    plugin: str | None = option(
        None,
        "Python files with data sets, losses, callbacks or trackers of your own, separated by commas or given one "
        "by one. Their code is executed: name only files that you trust.",
        joined=True,
        execution=True,
    )

    def __post_init__(self) -> None:
        with in_python():
            self._check()

    def _check(self) -> None:
        check_options(self)
        for path in filter(None, map(str.strip, (self.plugin or "").split(","))):
            load_plugin(path)
        publishing_steps(self.publish, 0)
        if self.arm and self.arm != valid_repo_name(self.arm):
            raise ConfigError(
                f"arm is {shown(self.arm)}: give letters, digits, dashes, dots and underscores."
            )
        if self.gradient_cache_chunk is not None and self.gradient_accumulation_steps > 1:
            raise ConfigError(
                f"gradient_cache_chunk is {self.gradient_cache_chunk} and gradient_accumulation_steps "
                f"{self.gradient_accumulation_steps}: set only one. The first gives the gradients of the large "
                "batch."
            )
        self._check_streaming()
        self.schedule_arguments()
        if self.freeze is not None and self.model_name_or_path is None:
            raise ConfigError(
                f"freeze is {self.freeze}, but the model begins with random weights: name a trained one with "
                "model_name_or_path."
            )
        if self.push_to_hub and self.hub_model_id is None:
            raise ConfigError("push_to_hub needs hub_model_id: name the repository as owner/name.")
        if self.repository is not None:
            if "{" in self.repository:
                raise ConfigError(
                    f"hub_model_id is {self.hub_model_id!r}: only {{scale}} and {{seed}} can be filled in, and "
                    "{name} in a study."
                )
            checked_repo_id(self.repository, what="hub_model_id", owner=self.push_to_hub)

    def _check_streaming(self) -> None:
        if self.streaming and self.samples_per_epoch is None:
            raise ConfigError("streaming needs samples_per_epoch: the number of images in an epoch.")
        if self.samples_per_epoch is not None and not self.streaming:
            raise ConfigError(
                "samples_per_epoch is only used with streaming: add --streaming true, or leave it out."
            )
        if self.streaming and (self.max_train_samples is not None or self.validation_size > 0):
            raise ConfigError(
                "max_train_samples and validation_size cannot be used with streaming: leave them out, or leave "
                "streaming out."
            )
        if self.streaming and self.reading is not None:
            raise ConfigError(f"reading is {self.reading}, and streaming is on: leave reading out.")

    def schedule_arguments(self) -> dict[str, Any]:
        """What the schedule takes beside the numbers of steps; ConfigError if lr_scheduler_kwargs is no JSON object."""
        try:
            arguments = json.loads(self.lr_scheduler_kwargs or "{}")
        except ValueError as error:
            raise ConfigError(f"lr_scheduler_kwargs is {shown(self.lr_scheduler_kwargs)}: {error}.") from None
        if not isinstance(arguments, dict):
            raise ConfigError(
                f"lr_scheduler_kwargs is {shown(self.lr_scheduler_kwargs)}: give a JSON object."
            )
        return arguments

    @property
    def dataset(self) -> tuple[str, str | None]:
        """Name of the data set, and its revision if ``dataset_name`` has one."""
        return split_revision(self.dataset_name)

    @property
    def model(self) -> tuple[str, str] | None:
        """Name of the model that the run continues, and its revision; None for a new model."""
        if self.model_name_or_path is None:
            return None
        name, revision = split_revision(self.model_name_or_path)
        return name, revision or "main"

    @property
    def size_name(self) -> str:
        """``scale``, or the name of the model that the run continues."""
        if self.model is None:
            return self.scale
        return valid_repo_name(Path(self.model[0]).expanduser().resolve().name)

    @property
    def run_name(self) -> str:
        """``<scale>-seed<seed>``, with the arm before it if it is not the main one."""
        return "-".join(filter(None, (self.arm, self.size_name, f"seed{self.seed}")))

    @property
    def order_seed(self) -> int:
        """``data_seed``, or ``seed`` if it is not given."""
        return self.seed if self.data_seed is None else self.data_seed

    @property
    def per_device_step_size(self) -> int:
        """Images per process and optimiser step."""
        return self.per_device_train_batch_size * self.gradient_accumulation_steps

    @property
    def repository(self) -> str | None:
        """``hub_model_id`` for this scale and seed; None if it is not given."""
        if self.hub_model_id is None:
            return None
        return self.hub_model_id.replace("{scale}", self.size_name).replace("{seed}", str(self.seed))

    def recipe(self) -> dict[str, Any]:
        """The fields that decide what the run computes, by the names and values that they had in version 0.3."""
        # Two starts of one run may differ in where and how it is executed.
        fields = [one.name for one in dataclasses.fields(self) if not one.metadata.get("execution")]
        recipe = {name: getattr(self, name) for name in fields} | _LEFT
        recipe |= {
            "dataset_name": self.dataset[0],  # a run is not continued with another commit
            "random_resized_crop": self.crop_scale_min is not None,
            "crop_scale_min": 0.9 if self.crop_scale_min is None else self.crop_scale_min,
        }
        recipe["model_name_or_path"], recipe["model_revision"] = self.model or (None, "main")
        if self.lr_scheduler_type == _COSINE and self.lr_scheduler_kwargs is None:
            del recipe["lr_scheduler_type"], recipe["lr_scheduler_kwargs"]
        return recipe

    def recipe_hash(self) -> str:
        """SHA-256 of `recipe`, which identifies the continuation of a run."""
        return hashlib.sha256(json.dumps(self.recipe(), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class RecipeChoice:
    """The option that names a file with the others."""

    config: str | None = option(
        None,
        f"A recipe ({', '.join(recipe_names())}), or a YAML file with the fields below.",
        top=True,
    )


@cache
def train_command() -> CommandLine:
    """The options of `clipdyn train`: ``--config``, and a flag for each field of `TrainingConfig`."""
    own = flags_of(RecipeChoice, dash="_")
    return CommandLine("clipdyn train", _SUMMARY, flags_of(TrainingConfig, dash="_"), own)


def field_values(recipe: Mapping[Any, Any], where: str, argv: Sequence[str]) -> dict[str, Any]:
    """The fields of a `TrainingConfig`: the flags', else the recipe's, else the defaults.

    Args:
        recipe: values by field.
        where: it is read, for messages.
        argv: flags.

    Raises:
        ConfigError: an unknown flag, or a value of the wrong kind.
        UnknownNameError: the recipe has an unknown field.
    """
    command = train_command()
    _refuse_left(map(str, recipe))
    given = command.read_file(recipe, where) | command.read(argv)
    return {flag.field.name: flag.value(given.get(flag.key)) for flag in command.keys.values()}


def _refuse_left(names: Iterable[str]) -> None:
    for name in names:
        if name in LEFT_OPTIONS:
            raise ConfigError(f"The option {name} left with version 0.4: {LEFT_OPTIONS[name]}")


def parse_training_config(argv: Sequence[str]) -> TrainingConfig:
    """Read ``--config RECIPE`` and the flags that change it; see `field_values`.

    Args:
        argv: the arguments after the command's name.

    Raises:
        ConfigError: an unknown recipe, key or flag, or a value of the wrong kind.
    """
    _refuse_left(word[2:].partition("=")[0].replace("-", "_") for word in argv if word.startswith("--"))
    config = train_command().read(argv).get("config")
    path = None if config is None else recipe_path(config.texts[-1])
    recipe = {} if path is None else read_yaml(path)
    return TrainingConfig(**field_values(recipe, str(path), argv))
