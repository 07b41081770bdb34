"""What can be chosen for benchmarks: the settings of all kinds, and those of each kind of this package.

They are apart from the kinds, because they are options of `clipdyn evaluate`: its help loads neither pandas nor SciPy.
A kind of a plug-in has its settings in its own file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from hf_clipdyn.errors import ConfigError, UnknownNameError, shown
from hf_clipdyn.options import Options

if TYPE_CHECKING:
    from hf_clipdyn.benchmarks.base import Kind
    from hf_clipdyn.benchmarks.corruptions import Corruption

SIGMAS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Standard deviations of the Gaussian noise that are shown by default, beside 0."""


class Common(Options):
    """The settings that all kinds share; the fields are also arguments of `hf_clipdyn.evaluate_revisions`.

    Raises:
        ConfigError: a value is out of its range.

    Examples:
        >>> from hf_clipdyn.benchmarks.base import Common
        >>> Common(n_resamples=200, seed=1).resampling
        {'n_resamples': 200, 'confidence_level': 0.95, 'seed': 1}
    """

    n_resamples: int = Field(1000, ge=0, le=1_000_000)
    """Number of bootstrap resamples; 0 for no intervals."""

    confidence_level: float = Field(0.95, gt=0, lt=1)
    """Confidence level of the intervals."""

    seed: int = Field(0, ge=0, lt=2**32)
    """Seed of the noise and of the intervals."""

    cache_dir: Path | None = None
    """Folder for decoded pixels. Default: a folder under HF_HOME."""

    show_progress: bool = True
    """Show progress bars."""

    @property
    def resampling(self) -> dict[str, Any]:
        """The keywords that every function of `hf_clipdyn.metrics` takes."""
        return {
            "n_resamples": self.n_resamples,
            "confidence_level": self.confidence_level,
            "seed": self.seed,
        }


class KindSettings(Options):
    """The settings of one kind. A kind with settings has a subclass, whose fields are options of `clipdyn evaluate`.

    Raises:
        ConfigError: a value is out of its range.

    Examples:
        >>> from pydantic import Field
        >>> from hf_clipdyn.benchmarks.base import KindSettings
        >>> class BrightnessSettings(KindSettings):
        ...     gains: tuple[float, ...] = Field((1.25, 1.5), min_length=1)
        ...
        >>> BrightnessSettings(gains=(2,)).as_json()
        {'gains': (2.0,)}
    """

    def as_json(self) -> dict[str, Any]:
        """The settings that are not None, for the column ``settings``. Paths are left out: their content counts."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: one for name, one in values.items() if not (one is None or isinstance(one, Path))}


@dataclass(frozen=True)
class Benchmark:
    """A kind on a data set, with the kind's settings. `Kind.on` makes one.

    Attributes:
        kind: the class of the kind.
        dataset: name of the data set.
        settings: an instance of the kind's ``settings_class``.

    Examples:
        >>> from hf_clipdyn.benchmarks.kinds.noise import Noise
        >>> Noise.on("cifar100", stage="input").name
        'noise/cifar100'
    """

    kind: "type[Kind[Any]]"
    dataset: str
    settings: KindSettings

    @property
    def name(self) -> str:
        """``kind/dataset``."""
        return f"{self.kind.name}/{self.dataset}"


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

    def as_json(self) -> dict[str, Any]:
        """The settings that differ from the defaults, so that cells of earlier versions keep their key."""
        return {name: one for name, one in super().as_json().items() if one}


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
