"""The configuration of a training run: the Python call, a recipe, and the flags of `clipdyn train`.

A recipe is a YAML file whose keys are the fields below; names follow `transformers.TrainingArguments`.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from hf_clipdyn.bundled import recipe_names, recipe_path
from hf_clipdyn.errors import ConfigError, shown
from hf_clipdyn.hub import checked_repo_id, valid_repo_name
from hf_clipdyn.options import Options
from hf_clipdyn.plugins import load_plugin

# What recipes say of options that version 0.3 had, so that they keep their hashes.
_OF_0_3 = {
    "adam_beta1": 0.9,
    "adam_epsilon": 1e-6,
    "caption_choice": "one",
    "optim": "adamw_torch",
    "shuffle_samples": 1000,
    "shuffle_shards": 4,
    "streams_per_process": 8,
}

_COSINE = "cosine_with_min_lr"


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


def split_revision(text: str) -> tuple[str, str | None]:
    """The name and the revision of ``owner/name@revision``; a folder that exists has no revision."""
    name, at, revision = text.rpartition("@")
    if not (at and name and revision) or Path(text).expanduser().exists():
        return text, None
    return name, revision


def _json_object(value: Any) -> Any:
    """A JSON object in one spelling; values of a mapping may be texts, as those of a YAML file are."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        value = json.dumps({name: _json_value(one) for name, one in value.items()})
    if isinstance(arguments := json.loads(str(value)), dict):
        return json.dumps(arguments, sort_keys=True)
    raise ValueError("give a JSON object")


def _json_value(value: Any) -> Any:
    with suppress(ValueError):
        return json.loads(value) if isinstance(value, str) else value
    return value


class TrainingConfig(Options):
    """Configuration of a training run. Its fields are the flags of `clipdyn train` and the keys of a recipe.

    `clipdyn train --help-all` explains each field.

    Raises:
        ConfigError: a value is out of its range, or contradicts another one.

    Examples:
        >>> from hf_clipdyn import TrainingConfig
        >>> config = TrainingConfig(scale="tiny", num_train_epochs=2, learning_rate=5e-4)
        >>> config.dataset_name, config.seed
        ('procedural', 0)
    """

    most_used = (
        "dataset_name", "scale", "num_train_epochs", "per_device_train_batch_size", "learning_rate", "seed",
        "output_dir", "publish", "push_to_hub", "hub_model_id",
    )  # fmt: skip
    file_help = f"A recipe ({', '.join(recipe_names())}), or a YAML file with these options."
    former: ClassVar = {
        **dict.fromkeys((
            "adam_beta1", "adam_epsilon", "dataloader_prefetch_factor", "jpeg_draft", "save_total_limit",
            "shuffle_samples", "shuffle_shards",
        ), "it is fixed now: leave it out"),
        "cache_dir": "set HF_DATASETS_CACHE to a folder",
        "caption_choice": "each epoch shows one caption of each image, drawn by the seed: leave it out",
        "dataset_revision": "write dataset_name as owner/name@revision",
        "disable_tqdm": "use quiet; without a terminal no bar is drawn",
        "hub_token": "set HF_TOKEN, or log in with `hf auth login`",
        "loss_chunk": "use gradient_cache_chunk",
        "model_revision": "write model_name_or_path as owner/name@revision",
        "model_store": "give model_name_or_path the folder of a revision, as runs/demo/revisions/epoch-002",
        "num_processes": "the launcher decides the number of processes: leave it out",
        "optim": "the optimiser is AdamW: leave it out",
        "overwrite_output_dir": "delete the folder of the run, or name another output_dir",
        "random_resized_crop": "use crop_scale_min, as crop_scale_min 0.9",
        "streams_per_process": "dataloader_num_workers divides the shards: leave it out",
    }  # fmt: skip
    outside_recipe: ClassVar = {
        "data_dir", "dataloader_num_workers", "arm", "output_dir", "save_steps", "resume_from_checkpoint",
        "push_to_hub", "hub_model_id", "hub_private_repo", "logging_steps", "report_to", "quiet", "plugin",
    }  # fmt: skip
    """Two starts of one run may differ in these: where and how it is executed."""

    dataset_name: str = Field("procedural", title="Data")
    """A data set of images and captions: a name that `clipdyn datasets` lists, a folder (Images/ and captions.txt, or
    an imagefolder with metadata.csv or .jsonl), or a data set on the Hub, also as owner/name@revision."""

    dataset_config_name: str | None = None
    """The data set's configuration."""

    image_column: str | None = None
    """The image column of a folder or of a data set on the Hub. Default: found automatically."""

    caption_column: str | None = None
    """The caption column (a text or a list of texts). Default: found automatically."""

    data_dir: str | None = None
    """The folder with the data set's files."""

    train_split: str = "train"
    """The split to train on."""

    max_train_samples: int | None = Field(None, ge=1)
    """Use only the first N training images."""

    validation_size: int = Field(0, ge=0)
    """Keep the last N images of the split out of training, for retrieval and for the validation loss of each epoch."""

    streaming: bool = Field(False, title="Streaming")
    """Read data of any size while training: tar shards, Parquet files or the Hub. Requires samples_per_epoch. The
    scales micro, tiny, mini and small train their tokenizer on the first 20,000 captions."""

    samples_per_epoch: int | None = Field(None, ge=1)
    """With streaming: number of images in an epoch, over all processes. Each epoch reads the shards in a new order. It
    may read only some shards, or some shards several times."""

    reading: Literal["cached", "decoded"] | None = Field(None, title="Images and captions")
    """`cached` decodes every image once and keeps its pixels on disk; `decoded` decodes the files in every epoch.
    Default: cached if that takes at most 4 GB."""

    crop_scale_min: float | None = Field(None, gt=0, le=1)
    """In each epoch, crop each image again to at least this share of its area, as CLIP and open_clip do (0.9). Crops of
    cached images come from the centre square, crops of decoded images from the whole image. Default: no crops."""

    random_flip: bool = False
    """Mirror each image with probability one half in each epoch."""

    color_jitter: float = Field(0.0, ge=0, le=1)
    """Strength of colour jitter: brightness, contrast and saturation of four in five images change by up to this share,
    the hue by a quarter of it. open_clip's recipes use 0.32."""

    dataloader_num_workers: int | None = Field(None, ge=0, le=1024)
    """Worker processes that read images, for each training process. They do not change the data, except the order of a
    stream. Default: the number of free cores, at most 8; 0 for cached images on a CPU."""

    scale: str = Field("tiny", title="Model")
    """Size of the model: micro, tiny, mini, small, vit-b-32, vit-b-16 or vit-l-14."""

    model_name_or_path: str | None = None
    """Continue from a CLIP or SigLIP model instead of random weights: a folder (as runs/demo/revisions/epoch-002), or a
    model on the Hub, also as owner/name@revision. Its image processor and tokenizer are used; `scale` is ignored."""

    freeze: Literal["vision", "text"] | None = None
    """Freeze one tower of a continued model and its projection: vision (locked-image tuning) or text. The temperature
    is still trained."""

    attn_implementation: str | None = None
    """Attention of transformers: eager, sdpa, flash_attention_2, flex_attention, …, or a kernel from the Hub, for
    example kernels-community/flash-attn2, whose code is executed. One that cannot train the model here is refused.
    Default: eager or sdpa, the faster one for device and precision."""

    bf16: bool | None = None
    """Compute in bfloat16 autocast. Default: if the device supports it."""

    num_threads: int | None = Field(None, ge=1, le=1024)
    """Threads per process on a CPU. Default: 1 for micro and tiny, else the free cores."""

    gradient_checkpointing: bool = False
    """Keep only the inputs of each layer for the backward pass: less memory, up to a third more computation."""

    torch_compile: bool = False
    """Compile the model with torch.compile. Steps are faster, but the first one takes up to a minute."""

    loss: str = Field("contrastive", title="Training")
    """What is minimised: contrastive (trains a CLIPModel), sigmoid (trains a SiglipModel), or a loss of a plug-in."""

    num_train_epochs: int = Field(10, ge=1, le=1_000_000)
    """Passes over the data."""

    per_device_train_batch_size: int = Field(128, ge=1, le=1_000_000)
    """Images per process and step."""

    gradient_cache_chunk: int | None = Field(None, ge=1)
    """Compute the gradients of the whole batch with only N images of each process in the model at once (GradCache).
    This saves memory and costs a second forward pass."""

    gradient_accumulation_steps: int = Field(1, ge=1)
    """Add the gradients of N batches per process for each step. Each image is compared only with its own batch, so
    there are fewer negatives than in a batch of N times the size; gradient_cache_chunk keeps them all."""

    learning_rate: float = Field(1e-3, gt=0, allow_inf_nan=False)
    """Peak learning rate."""

    weight_decay: float = Field(0.1, ge=0, allow_inf_nan=False)
    """Weight decay of the parameters with two or more dimensions."""

    adam_beta2: float = Field(0.98, ge=0, lt=1)
    """AdamW's beta2."""

    max_grad_norm: float = Field(1.0, ge=0)
    """Clip gradients to this norm; 0 or inf: no clipping."""

    warmup_steps: int = Field(100, ge=0)
    """Steps of linear warm-up."""

    min_lr_rate: float = Field(0.05, ge=0, le=1)
    """Last learning rate, as a share of the peak, of the schedules cosine_with_min_lr, cosine_warmup_with_min_lr and
    warmup_stable_decay."""

    lr_scheduler_type: str = _COSINE
    """Schedule of the learning rate, by its name in transformers: linear, cosine, cosine_with_min_lr,
    constant_with_warmup, warmup_stable_decay, …"""

    lr_scheduler_kwargs: Annotated[str | None, BeforeValidator(_json_object)] = None
    """Further arguments of the schedule as JSON, for example '{"num_decay_steps": 200}' for warmup_stable_decay."""

    seed: int = Field(0, ge=0, lt=2**32)
    """Seed of the weights, the order of the images, the choice of captions and the augmentation."""

    data_seed: int | None = Field(None, ge=0, lt=2**32)
    """Seed of the order of the images, the choice of captions and the augmentation, if it is not `seed`."""

    arm: str = ""
    """Control or ablation that this run belongs to, such as noise; verdicts compare arms. Default: the main arm."""

    output_dir: str | None = Field(None, title="Revisions and checkpoints")
    """Folder of the run: revisions, checkpoints, log."""

    publish: str = "epoch"
    """Which states become revisions: `epoch`, `log2` (steps 1, 2, 4 … and each epoch), or each epoch and these steps:
    10,100,1000."""

    ema_decay: float | None = Field(None, gt=0, lt=1)
    """Decay per step, such as 0.999, of an exponential moving average of the weights, published as <repository>-ema."""

    save_steps: int | None = Field(None, ge=1)
    """Also save a checkpoint for resuming every N steps, in addition to each epoch's."""

    resume_from_checkpoint: str | None = None
    """Resume a run: `true` for the last checkpoint, or the folder of a checkpoint."""

    push_to_hub: bool = False
    """Publish every revision also on the Hub."""

    hub_model_id: str | None = None
    """Repository of the revisions, as owner/name; {scale} and {seed} are filled in: me/run-{scale}-seed{seed} gives
    each scale and seed its own repository; a study also fills in {name}. Default: local/<output folder>."""

    hub_private_repo: bool = False
    """Create a private repository. One that exists and is public is refused."""

    license: str | None = None
    """Licence of the weights, for the model card."""

    logging_steps: int = Field(10, ge=1, title="Logging and execution")
    """Log to log.jsonl every N steps."""

    report_to: str = "none"
    """Trackers, separated by commas: trackio and tensorboard (install hf-clipdyn[track]), others of accelerate, or a
    plug-in's `GeneralTracker` by its name."""

    quiet: bool = False
    """Print warnings and errors only."""

    plugin: tuple[Path, ...] = ()
    """Python files with data sets, losses, callbacks or trackers of your own, separated by commas or given one by one.
    Their code is executed: name only files that you trust."""

    @classmethod
    def file_named(cls, name: str) -> Path:
        """A recipe of the package, or a file."""
        return recipe_path(name)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for path in self.plugin:
            load_plugin(path)
        publishing_steps(self.publish, 0)
        if self.arm and self.arm != valid_repo_name(self.arm):
            raise ConfigError(
                f"arm is {shown(self.arm)}: give letters, digits, dashes, dots and underscores."
            )
        if self.gradient_cache_chunk is not None and self.gradient_accumulation_steps > 1:
            raise ConfigError(
                "Set only one of gradient_cache_chunk, which gives the gradients of the large batch, and "
                "gradient_accumulation_steps."
            )
        if self.streaming != (self.samples_per_epoch is not None):
            raise ConfigError("streaming and samples_per_epoch need each other: give both or neither.")
        for name in ("max_train_samples", "validation_size", "reading") if self.streaming else ():
            if getattr(self, name):
                raise ConfigError(f"{name} cannot be used with streaming: leave one out.")
        if self.freeze is not None and self.model_name_or_path is None:
            raise ConfigError("freeze needs a trained model: name one with model_name_or_path.")
        if self.push_to_hub and self.hub_model_id is None:
            raise ConfigError("push_to_hub needs hub_model_id: name the repository as owner/name.")
        if "{" in (self.repository or ""):
            raise ConfigError(
                f"hub_model_id is {self.hub_model_id!r}: only {{scale}}, {{seed}} and a study's {{name}} are filled in."
            )
        if self.repository is not None:
            checked_repo_id(self.repository, what="hub_model_id", owner=self.push_to_hub)
        return self

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
    def resumes(self) -> bool:
        """Whether it continues a run that has begun."""
        return (self.resume_from_checkpoint or "false").lower() != "false"

    @property
    def order_seed(self) -> int:
        """``data_seed``, or ``seed`` if it is not given."""
        return self.seed if self.data_seed is None else self.data_seed

    @property
    def repository(self) -> str | None:
        """``hub_model_id`` for this scale and seed; None if it is not given."""
        if self.hub_model_id is None:
            return None
        return self.hub_model_id.replace("{scale}", self.size_name).replace("{seed}", str(self.seed))

    def recipe(self) -> dict[str, Any]:
        """The fields that decide what the run computes, by the names and values that they had in version 0.3."""
        fields = [name for name in TrainingConfig.model_fields if name not in self.outside_recipe]
        recipe = {name: getattr(self, name) for name in fields} | _OF_0_3
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
