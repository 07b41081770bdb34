"""The settings of kinds whose own files load pandas; those of the others are in their files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, get_args

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from hf_clipdyn.benchmarks.kind import KindSettings
from hf_clipdyn.errors import ConfigError, UnknownNameError, shown

if TYPE_CHECKING:
    from hf_clipdyn.benchmarks.corruptions import Corruption

SIGMAS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Standard deviations of the Gaussian noise that are shown by default, beside 0."""


def _in_one_order(classes: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The classes in one order, so that one choice is one cell."""
    chosen = None if classes is None else tuple(sorted(set(classes)))
    if chosen is not None and len(chosen) < 2:
        raise ConfigError(f"classes has {shown(', '.join(chosen))}: give at least two names.")
    return chosen


class ShapeBiasSettings(KindSettings):
    """Which classes a decision is among, and whether the images are also shown in grey."""

    classes: Annotated[tuple[str, ...] | None, AfterValidator(_in_one_order)] = None
    """Names of at least two classes, for a model that knows only these. Decisions are among these, and only the images
    whose shape and texture are both among them are asked about. Default: all classes."""

    grey: bool = Field(False, validation_alias="gray")
    """Ask about each image in grey, too."""

    only_set: ClassVar = True  # so that cells of earlier versions keep their key


Probe = Literal["attention", "attention_layers", "rollout", "gradient_input", "grad_cam"]
PROBES: tuple[Probe, ...] = get_args(Probe)
"""The maps that can be read out of a model, see `hf_clipdyn.models.maps`."""


class ClassificationSettings(KindSettings):
    """What a user may choose for the classification benchmarks."""

    published_prompts: bool = False
    """Also classify as for CLIP's published values: 1,000 classes with 80 templates, which encodes 80,000 prompts per
    revision."""

    classes: Annotated[tuple[str, ...] | None, AfterValidator(_in_one_order)] = None
    """Names of at least two classes, for a model that knows only these. Decisions are among these, and images of other
    classes are left out. Default: all 16."""


def _corruptions() -> "Mapping[str, type[Corruption]]":
    from hf_clipdyn.benchmarks.corruptions import CORRUPTIONS

    return CORRUPTIONS


class NoiseSettings(KindSettings):
    """Which corruptions are shown; the untouched images always are, so that 0 is always among the sigmas."""

    sigmas: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field((0.0, *SIGMAS), min_length=1)
    """Standard deviations of the Gaussian noise, on pixels in [0, 1]."""

    stage: Literal["native", "input"] = "native"
    """When to corrupt an image: before the processor resizes it (native) or after (input)."""

    conditions: tuple[str, ...] = Field(("gaussian",), min_length=1)
    """Corruptions to show: gaussian, salt_and_pepper, blur, contrast, uniform_noise, grey_salt_and_pepper, low_pass,
    high_pass, phase_scrambling, phase_scrambling_mirrored, power_equalisation, rotation, false_colour, grey, and
    octave_0 to octave_6."""

    levels: tuple[str, ...] | None = None
    """Levels of the other conditions, NAME=LEVEL, for example contrast=0.1. Conditions that are not named keep their
    default levels."""

    classes: Literal["sixteen"] | None = None
    """`sixteen`: classify ImageNet into the 16 categories of model-vs-human, as people did. Default: all classes."""

    # Each choice in one order, so that it is one cell.
    @field_validator("sigmas")
    @classmethod
    def _with_zero(cls, sigmas: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted({0.0, *sigmas}))

    @field_validator("conditions")
    @classmethod
    def _known_conditions(cls, conditions: tuple[str, ...]) -> tuple[str, ...]:
        for name in conditions:
            if name not in _corruptions():
                raise UnknownNameError("condition of noise", name, _corruptions())
        return tuple(name for name in _corruptions() if name in conditions)

    @field_validator("levels")
    @classmethod
    def _known_levels(cls, levels: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        if levels is None or "conditions" not in info.data:
            return levels
        chosen = _levels_by_condition(levels, info.data["conditions"])
        return tuple(f"{name}={level:g}" for name in _corruptions() for level in chosen.get(name, ()))

    def levels_of(self, condition: str) -> tuple[float, ...]:
        """The levels of a condition that are shown, the weakest first; NaN if it has only one."""
        if condition == "gaussian":
            return self.sigmas
        chosen = _levels_by_condition(self.levels or (), self.conditions)
        return chosen.get(condition, _corruptions()[condition].levels)


def _levels_by_condition(texts: Sequence[str], conditions: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """``["contrast=0.1"]`` as levels by condition, the weakest first."""
    levels: dict[str, set[float]] = {}
    for text in texts:
        name, _, level = text.partition("=")
        if name == "gaussian":
            raise ConfigError(f"levels contains {shown(text)}: use sigmas for the levels of {name}.")
        if name not in conditions:
            raise UnknownNameError("selected condition", name, conditions)
        try:
            value = float(level)
        except ValueError:
            raise ConfigError(
                f"levels contains {shown(text)}: give NAME=LEVEL, for example contrast=0.1."
            ) from None
        levels.setdefault(name, set()).add(_corruptions()[name](value).level)
    return {name: _corruptions()[name].in_order(values) for name, values in levels.items()}


class QualitySettings(KindSettings):
    """What a user may choose for the image quality benchmarks."""

    preprocess: Literal["processor", "squash", "tiles"] = "processor"
    """How images reach the model: processor (the model's own resizing and cropping), squash (the whole image, resized)
    or tiles (native resolution)."""


class RetrievalSettings(KindSettings):
    """Among which images and captions the model searches."""

    held_out: int | None = Field(None, ge=1)
    """Hold out the last N images for retrieval. Default: use all images."""


class SaliencySettings(KindSettings):
    """Which maps to score, and how to show the images."""

    preprocess: Literal["squash", "crop"] = "squash"
    """squash (resize the whole image to the model's square) or crop (use only the part that the model's processor
    keeps)."""

    probes: tuple[Probe, ...] = Field(("attention", "rollout"), min_length=1)
    """Maps to read out."""

    captions: Path | None = None
    """CSV file with the columns image and caption. `gradient_input` also uses these captions. Default: only a neutral
    text."""

    @field_validator("probes")
    @classmethod
    def _in_order(cls, probes: tuple[Probe, ...]) -> tuple[Probe, ...]:
        return tuple(name for name in PROBES if name in probes)  # an order changes nothing: one cell

    @field_validator("captions")
    @classmethod
    def _used(cls, captions: Path | None, info: ValidationInfo) -> Path | None:
        if captions is not None and "gradient_input" not in info.data.get("probes", PROBES):
            raise ConfigError(
                "captions is given, but only the probe gradient_input uses captions: add it to the probes."
            )
        return None if captions is None else captions.expanduser()


OWN_SETTINGS: Mapping[str, type[KindSettings]] = {
    "shape_bias": ShapeBiasSettings,
    "quality": QualitySettings,
    "saliency": SaliencySettings,
    "classification": ClassificationSettings,
    "noise": NoiseSettings,
    "retrieval": RetrievalSettings,
}
"""The settings of the kinds of this package, in the order of the help."""
