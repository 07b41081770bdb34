"""One adapter over the dual encoders and vision models of transformers.

All numbers that an evaluation reads out of a model pass through here: CLIP, SigLIP, ALIGN, AltCLIP and
ChineseCLIP give image and text embeddings, vision-only models (ViT, DINOv2) only image embeddings. An image
classifier is its body, which embeds images as a vision model does, and its head, which scores its own classes.
"""

import json
import math
import re
import shutil
import warnings
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers
from accelerate import PartialState
from numpy.typing import NDArray
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageClassification,
    AutoTokenizer,
    TimmWrapperImageProcessor,
)
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

from hf_clipdyn.errors import DatasetError, ModelError, naming
from hf_clipdyn.machine import keep_freed_blocks
from hf_clipdyn.models.classifiers import class_labels, has_head, head_scores, split_head
from hf_clipdyn.models.inputs import Normaliser, images_at_once, naflex_inputs
from hf_clipdyn.models.settings import (
    PROCESSOR_FILES,
    check_settings_files,
    leave_out_head,
    reading,
    timm_image_processor,
)
from hf_clipdyn.models.snapshots import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    has_adapter,
    read_weights,
    settings_digest,
)
from hf_clipdyn.preprocess import input_size, resize_and_crop, square_processor
from hf_clipdyn.progress import library_bars

NO_ATTENTION = "choose the probes gradient_input and grad_cam"
"""What to do about a model without attention maps."""
_NUMBER = re.compile(r"\d+")
_NO_CODE: dict[str, Any] = {"trust_remote_code": False}  # None would ask on the terminal
_OF_PEFT = "base_model.model."  # before the names of tensors


@dataclass(frozen=True)
class ImageFeatures:
    """What a batch of n images gives.

    Attributes:
        projection: (n, d) float32, not normalised: the joint embedding of a dual encoder, the class token
            of the last layer (or the pooled output where there is none) of a vision model.
        hidden: one (n, tokens, width) float32 array per hidden state, the input of the first layer first;
            empty unless asked for.
        attentions: one (n, heads, tokens, tokens) float32 array per layer; empty unless asked for.
        logits: (n, classes) float32, of a classifier's own head; None without one.
    """

    projection: NDArray[np.float32]
    hidden: tuple[NDArray[np.float32], ...] = ()
    attentions: tuple[NDArray[np.float32], ...] = ()
    logits: NDArray[np.float32] | None = None


class FeaturesOnDevice(NamedTuple):
    """As `ImageFeatures`, in tensors of the model's device and precision: one projection, and one of logits or none."""

    projection: tuple[torch.Tensor, ...]
    hidden: tuple[torch.Tensor, ...]
    attentions: tuple[torch.Tensor, ...]
    logits: tuple[torch.Tensor, ...]

    def fetched(self) -> ImageFeatures:
        """Wait for the device, and copy."""
        (projection,), hidden, attentions, logits = (tuple(map(_numpy, layers)) for layers in self)
        return ImageFeatures(projection, hidden, attentions, logits[0] if logits else None)


def joined(parts: Sequence[FeaturesOnDevice]) -> FeaturesOnDevice:
    """Features of successive images as one, at least one part."""
    if len(parts) == 1:
        return parts[0]
    return FeaturesOnDevice(
        *(tuple(map(torch.cat, zip(*layers, strict=True))) for layers in zip(*parts, strict=True))
    )


class Encoder:
    """A live model whose weights can be swapped for those of another revision.

    Build it with `from_folder`, then `load` other snapshots into it.

    Attributes:
        model: what embeds images: the model, or the body of a classifier.
        labels: the classes of a classifier's head, in the order of its scores; empty for other models.
        images_per_pass: images per forward pass on a CPU; None if a whole batch goes through at once.
    """

    def __init__(
        self,
        model: Any,
        image_processor: Any,
        tokenizer: Any | None,
        *,
        device: torch.device,
        dtype: torch.dtype,
        offload: Path | None = None,
    ) -> None:
        self.device, self.dtype, self._offload = device, dtype, offload
        self._settings = ""
        if offload is not None:
            weakref.finalize(self, shutil.rmtree, offload, ignore_errors=True)
        self._take(model, image_processor, tokenizer)

    def _take(self, model: Any, image_processor: Any, tokenizer: Any | None) -> None:
        whole = model if self._offload is not None else model.to(device=self.device, dtype=self.dtype)
        self._whole = whole.eval()
        self.model, self._classifier = split_head(self._whole)
        self.labels = () if self._classifier is None else class_labels(self._classifier.config)
        self.image_processor, self.tokenizer = image_processor, tokenizer
        self._normalise = Normaliser(image_processor)
        self.images_per_pass = self._images_per_pass()
        if self.device.type == "cpu":
            keep_freed_blocks()

    @classmethod
    def from_folder(
        cls, folder: Path, *, device: str | torch.device | None = None, dtype: torch.dtype = torch.float32
    ) -> "Encoder":
        """Read the files of one snapshot.

        Args:
            folder: of a model and its processor, as `save_pretrained` writes them.
            device: by default the GPU if there is one; ``auto`` splits a model that is too large for one device
                over all devices, memory and disk.
            dtype: precision of weights and activations; embeddings are always float32.

        Raises:
            ModelError: the files are not an image encoder that transformers can build.
        """
        offload = Path(mkdtemp(prefix="clipdyn-offload-")) if device == "auto" else None
        where = default_device() if device in (None, "auto") else torch.device(device)
        encoder = cls(*_build(folder, dtype, offload), device=where, dtype=dtype, offload=offload)
        encoder._check(folder)
        return encoder

    def load(self, folder: Path) -> bool:
        """Take over the weights of another snapshot; rebuild the model if its architecture or input differs.

        A model that is split over devices is rebuilt each time, after the old one was freed.

        Returns:
            True if the weights were swapped into the live model, False if the model was rebuilt.

        Raises:
            ModelError: the files are not an image encoder that transformers can build.
        """
        if self._offload is not None:
            self.model = self._whole = self._classifier = None
        elif settings_digest(folder) == self._settings and self._swap(folder):
            return True
        self._take(*_build(folder, self.dtype, self._offload))
        self._check(folder)
        return False

    @torch.inference_mode()
    def _check(self, folder: Path) -> None:
        """Show the model one image from its processor, to find what does not fit before any data are read."""
        self._settings = settings_digest(folder)
        with reading(folder):
            black = np.zeros((64, 64, 3), np.uint8)
            values = self.image_processor(black, return_tensors="pt")["pixel_values"]
            if values.ndim == 4:  # NaFlex takes any number of patches
                self.image_output(values.to(device=self.device, dtype=self.dtype))

    @torch.no_grad()
    def _swap(self, folder: Path) -> bool:
        tensors, live = read_weights(folder), self._whole.state_dict()
        # Shared or renamed tensors make the names differ; from_pretrained knows how to join them.
        if live.keys() != tensors.keys() or any(live[name].shape != tensors[name].shape for name in live):
            return False
        for name, tensor in live.items():  # `load_state_dict` would spend most of its time in Python
            tensor.copy_(tensors[name])
        return True

    # --- images -------------------------------------------------------------------------------------

    @property
    def reads_text(self) -> bool:
        """Whether there is a text tower and a tokenizer for it."""
        return hasattr(self.model, "get_text_features") and self.tokenizer is not None

    def pixel_values(self, pixels: NDArray[Any]) -> torch.Tensor:
        """Rescale and normalise (n, H, W, 3) images of the model's size as its own processor does.

        uint8 are grey levels; float32 are codes in [0, 1], which are not rounded.
        """
        return self._normalise(pixels, self.device).to(dtype=self.dtype)

    def image_output(self, pixel_values: torch.Tensor, **kwargs: Any) -> tuple[torch.Tensor, Any]:
        """Projection (n, d) of normalised pixels and transformers' whole output, gradients and all."""
        inputs = self._inputs(pixel_values)
        if hasattr(self.model, "get_image_features"):
            output = self.model.get_image_features(**inputs, **kwargs)
            return output.pooler_output, output
        output = self.model(**inputs, **kwargs)
        hidden, pooled = output.last_hidden_state, getattr(output, "pooler_output", None)
        if hidden.ndim == 3 and hasattr(getattr(self.model, "embeddings", None), "cls_token"):
            # Not the pooler: many checkpoints of ViT come without its weights.
            return hidden[:, 0], output
        if pooled is None:  # neither a class token nor a pooler (I-JEPA)
            return hidden.mean(dim=1), output
        return pooled.flatten(1), output

    def _inputs(self, pixel_values: torch.Tensor) -> dict[str, torch.Tensor]:
        if hasattr(self.image_processor, "max_num_patches"):  # NaFlex: shown as patches with their grid
            return naflex_inputs(self.image_processor, pixel_values)
        return {"pixel_values": pixel_values}

    def logits(self, pixel_values: torch.Tensor, output: Any) -> torch.Tensor | None:
        """Scores (n, classes) of a classifier's head; None without one.

        Args:
            pixel_values: what was shown.
            output: what `image_output` returned as transformers' whole output.
        """
        if self._classifier is None:
            return None
        return head_scores(self._classifier, self.model, self._inputs(pixel_values), output)

    def embed_images(
        self, pixels: NDArray[Any], *, hidden: bool = False, attentions: bool = False
    ) -> ImageFeatures:
        """Embed one batch of images, each image in one forward pass.

        Args:
            pixels: (n, H, W, 3) uint8, or float32 codes in [0, 1], as `hf_clipdyn.data.pixels` gives them.
            hidden: also return every hidden state.
            attentions: also return every attention map; needs eager attention (`eager_attention`).

        Raises:
            ModelError: attention maps were asked for and the model gave none.
        """
        return self.show_images(pixels, hidden=hidden, attentions=attentions).fetched()

    @torch.inference_mode()
    def show_images(
        self, pixels: NDArray[Any], *, hidden: bool = False, attentions: bool = False
    ) -> FeaturesOnDevice:
        """As `embed_images`, but what the batch gives stays on the device: this does not wait for it."""
        n = max(len(pixels), 1)
        step = self.images_per_pass or n
        return joined([self._features(pixels[i : i + step], hidden, attentions) for i in range(0, n, step)])

    def _images_per_pass(self) -> int | None:
        if self.device.type != "cpu":
            return None
        with suppress(DatasetError):  # a processor of no fixed size
            return images_at_once(math.prod(input_size(self.image_processor)))
        return images_at_once(0)

    def _features(self, pixels: NDArray[Any], hidden: bool, attentions: bool) -> FeaturesOnDevice:
        asked = {"output_hidden_states": hidden, "output_attentions": attentions}
        wanted = {name: True for name, is_wanted in asked.items() if is_wanted}
        lacks = (
            f"attention maps: {NO_ATTENTION}" if attentions else "hidden states: choose benchmarks without"
        )
        error = ModelError(f"{type(self._whole).__name__} gives no {lacks}.")
        values = self.pixel_values(pixels)
        try:
            projection, output = self.image_output(values, **wanted)
        except ValueError as cause:  # timm's models refuse what they do not keep
            if not wanted:
                raise
            raise error from cause
        states = (output.hidden_states or ()) if hidden else ()
        maps = tuple(getattr(output, "attentions", None) or (None,)) if attentions else ()
        if any(layer is None for layer in maps):
            raise error
        logits = self.logits(values, output)
        # A class token is a view of all tokens, which would stay in memory with it.
        projection = projection.float().contiguous()
        return FeaturesOnDevice((projection,), tuple(states), maps, () if logits is None else (logits,))

    @contextmanager
    def eager_attention(self) -> Iterator[None]:
        """Compute attention, within this context, in a way that returns its maps."""
        before = self.model.config._attn_implementation
        if before == "eager":
            yield
            return
        self.model.set_attn_implementation("eager")
        try:
            yield
        finally:
            self.model.set_attn_implementation(before)

    # --- texts --------------------------------------------------------------------------------------

    @property
    def context_length(self) -> int:
        """Most tokens of a text, start and end included."""
        text_config = getattr(self.model.config, "text_config", None)
        limit = getattr(text_config, "max_position_embeddings", 77)
        if getattr(text_config, "model_type", "") in ("altclip_text_model", "xlm-roberta", "roberta"):
            limit -= 2  # positions are counted from the padding index on
        longest = getattr(self.tokenizer, "model_max_length", limit)
        return int(min(limit, longest))

    def tokenize(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        """Token ids on the model's device; long texts are cut, their end token is kept."""
        if self.tokenizer is None or not self.reads_text:
            raise ModelError(
                f"{type(self.model).__name__} has no text encoder: choose benchmarks that only show images."
            )
        # SigLIP was trained on texts padded to the full length, and has no mask.
        padded = str(self.model.config.model_type).startswith("siglip")
        batch = self.tokenizer(
            list(texts),
            padding="max_length" if padded else True,
            truncation=True,
            max_length=self.context_length,
            return_tensors="pt",
        )
        if padded:
            batch.pop("attention_mask", None)
        largest = int(batch["input_ids"].max()) if batch["input_ids"].numel() else 0
        size = getattr(getattr(self.model.config, "text_config", None), "vocab_size", math.inf)
        if largest >= size:  # on a GPU the lookup would end the whole process
            raise ModelError(
                f"The tokenizer gives the token {largest}, but the {type(self.model).__name__} only "
                f"has {size:,}: save the processor of its training next to its weights."
            )
        return {name: value.to(self.device) for name, value in batch.items()}

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str], *, batch_size: int = 256) -> NDArray[np.float32]:
        """Embed texts.

        Returns:
            (n, d) float32, not normalised.

        Raises:
            ModelError: the model has no text tower, or the tokenizer is that of another model.
        """
        rows = []
        for start in range(0, len(texts), batch_size):
            tokens = self.tokenize(texts[start : start + batch_size])
            rows.append(_numpy(self.model.get_text_features(**tokens).pooler_output))
        return np.concatenate(rows) if rows else np.zeros((0, 0), np.float32)

    @property
    def logit_scale(self) -> float:
        """The model's factor on cosines, exp of its parameter.

        Raises:
            ModelError: the model has none.
        """
        scale = getattr(self.model, "logit_scale", None)
        if scale is None:
            raise ModelError(
                "The model has no logit scale: use a model with an image encoder and a text encoder."
            )
        return float(scale.detach().float().exp())


def default_device() -> torch.device:
    """This process's accelerator; not Apple's, since gradients are taken in double precision, which it lacks."""
    device: torch.device = PartialState().device
    return torch.device("cpu") if device.type == "mps" else device


def class_names(config: Any, *, reads_text: bool) -> dict[str, str]:
    """The classes of transformers that read a snapshot, by the columns of a table of results; empty if unknown."""
    model = MODEL_MAPPING_NAMES.get(config.model_type, "")
    processor = PROCESSOR_MAPPING_NAMES.get(config.model_type, "AutoProcessor")
    return {
        "model_class": model if isinstance(model, str) else model[0],
        "processor_class": processor if reads_text else "AutoImageProcessor",
    }


def _numpy(tensor: torch.Tensor) -> NDArray[np.float32]:
    return tensor.detach().float().cpu().numpy()


# --- files --------------------------------------------------------------------------------------------


def read_config(folder: Path) -> Any:
    """The configuration of a snapshot."""
    check_settings_files(folder)
    with reading(folder):
        config = AutoConfig.from_pretrained(folder, **_NO_CODE)
    if config.model_type == "timm_wrapper":
        leave_out_head(config)
    return config


def read_input(folder: Path) -> tuple[Any, Any]:
    """Configuration and image processor of a snapshot, without its weights; no code of the snapshot is run."""
    config = read_config(folder)
    with reading(folder):
        if config.model_type == "timm_wrapper":
            return config, timm_image_processor(TimmWrapperImageProcessor.from_pretrained(folder))
        if any((folder / name).is_file() for name in PROCESSOR_FILES):
            return config, AutoImageProcessor.from_pretrained(folder, **_NO_CODE)
    # We assume none: other preprocessing than in training would measure another model.
    raise ModelError(
        f"{folder} has no preprocessor_config.json, which defines how images are resized and normalised: "
        f"save the image processor of this {config.model_type} model next to its weights, or evaluate with "
        "--processor."
    )


def check_image_processor(image_processor: Any, config: Any, folder: Path) -> None:
    """Show a processor one image before whole data sets are decoded with it.

    Raises:
        ModelError: it is the processor of another type of model.
    """
    name = f"{type(image_processor).__name__} in {folder}, in a {config.model_type} model"
    if hasattr(image_processor, "max_num_patches") and not config.model_type.startswith("siglip2"):
        raise ModelError(f"{name}: it gives patches of images. Use the processor of the model's training.")
    with naming(name, ModelError):
        resize_and_crop(square_processor(image_processor), [np.zeros((64, 64, 3), np.uint8)])


def sees_images(config: Any) -> bool:
    """Whether the model of a configuration takes images; True if transformers has no such model."""
    model = getattr(transformers, str(MODEL_MAPPING_NAMES.get(config.model_type)), None)
    return model is None or hasattr(model, "get_image_features") or "pixel_values" in model.main_input_name


def read_tokenizer(folder: Path, config: Any) -> Any:
    """The tokenizer of a snapshot."""
    with reading(folder):
        tokenizer = AutoTokenizer.from_pretrained(folder, **_NO_CODE)
    # CLIP pools at the first end token; 2 selects the pooling of older configurations, at the largest id.
    end = getattr(getattr(config, "text_config", None), "eos_token_id", None)
    if config.model_type == "clip" and end not in (2, tokenizer.eos_token_id):
        raise ModelError(
            f"The end token of {folder}/config.json is {end}, but its tokenizer has "
            f"{tokenizer.eos_token_id}: all texts would have the same embedding."
        )
    return tokenizer


def read_model(folder: Path, config: Any, **where: Any) -> Any:
    """The model of a snapshot, with the adapters beside it merged.

    Raises:
        ModelError: tensors are missing, which transformers would fill with random numbers, or of other layers.
    """
    if config.model_type == "timm_wrapper":
        where["config"] = config  # as `leave_out_head` made it; others are as their file says
    with reading(folder), _no_load_report(), warnings.catch_warnings():
        # accelerate's device map misses the parameters of the model itself, such as the temperature
        warnings.filterwarnings("ignore", "The following device_map keys", UserWarning)
        auto = AutoModelForImageClassification if has_head(config) else AutoModel
        model, loading = auto.from_pretrained(
            folder, output_loading_info=True, ignore_mismatched_sizes=True, **_NO_CODE, **where
        )
        misfit = _misfit(model, loading, _saved_whole(folder) if has_adapter(folder) else ())
    if misfit:
        raise ModelError(f"The weights in {folder} do not fit its config.json: {misfit}.")
    return _merged(model, folder) if has_adapter(folder) else model


def _misfit(model: Any, loading: Mapping[str, Any], adapted: Collection[str]) -> str:
    """Which tensors of a model were not read, and which layers were left over; empty if none."""
    # Many checkpoints of ViT come without the weights of their pooler, which nobody asks.
    unused = "pooler" if not hasattr(model, "get_image_features") else "\0"
    built = {_NUMBER.sub("#", name) for name in model.state_dict()}
    shapes = [
        f"{name} {tuple(read)}, not {tuple(wanted)}" for name, read, wanted in loading["mismatched_keys"]
    ]
    kinds = {
        "are missing": {name for name in loading["missing_keys"] if unused not in name}.difference(adapted),
        "have another shape": shapes,
        # Heads of other tasks may be left over, but not a layer beside those that were built.
        "are of further layers": [
            name for name in loading["unexpected_keys"] if _NUMBER.sub("#", name) in built
        ],
    }
    return "; ".join(
        f"{len(names)} tensors {what}, such as {min(names)}" for what, names in kinds.items() if names
    )


def _saved_whole(folder: Path) -> set[str]:
    """Names of the model's tensors that adapters contain as a whole, such as those of a new head."""
    from safetensors import safe_open

    with safe_open(folder / ADAPTER_WEIGHTS, framework="pt") as file:
        return {name.removeprefix(_OF_PEFT) for name in file.keys()}  # noqa: SIM118 (not a dictionary)


def _merged(model: Any, folder: Path) -> Any:
    with reading(folder):
        if json.loads((folder / ADAPTER_CONFIG).read_bytes()).get("megatron_config"):
            raise ModelError(f"{folder / ADAPTER_CONFIG} has megatron_config, which names code to be run.")
        from peft import PeftModel

        return PeftModel.from_pretrained(model, str(folder)).merge_and_unload()


def _build(folder: Path, dtype: torch.dtype, offload: Path | None) -> tuple[Any, Any, Any | None]:
    """Model, image processor and tokenizer (None for a vision model) from the files of a snapshot."""
    where: dict[str, Any] = {"dtype": torch.float32}
    if offload is not None:
        where = {"dtype": dtype, "device_map": "auto", "offload_folder": offload}
    with library_bars(False):  # a bar per revision would drown the evaluation's own
        config, image_processor = read_input(folder)
        if not sees_images(config):
            raise ModelError(f"{folder} has no image encoder: use a dual encoder or a vision model.")
        model = read_model(folder, config, **where)
        reads_text = hasattr(model, "get_text_features")
        return model, image_processor, read_tokenizer(folder, config) if reads_text else None


@contextmanager
def _no_load_report() -> Iterator[None]:
    """Within it, `transformers` prints no table of missing and unexpected tensors: the caller checks them."""
    before = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers.utils.logging.set_verbosity(before)
