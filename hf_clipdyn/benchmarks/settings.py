"""What can be chosen for benchmarks: the settings of all kinds, and those of each kind of this package.

They are apart from the kinds, because they are options of `clipdyn evaluate`: its help loads neither pandas nor SciPy.
A kind of a plug-in has its settings in its own file.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_clipdyn.errors import ConfigError, UnknownNameError, shown
from hf_clipdyn.fields import check_options, option

if TYPE_CHECKING:
    from hf_clipdyn.benchmarks.base import Kind
    from hf_clipdyn.benchmarks.corruptions import Corruption

SIGMAS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Standard deviations of the Gaussian noise that are shown by default, beside 0."""
PREPROCESSES = ("processor", "squash", "tiles")


@dataclass(frozen=True, kw_only=True)
class Common:
    """The settings that all kinds share; the fields are also arguments of `hf_clipdyn.evaluate_revisions`.

    Raises:
        ConfigError: a value is out of its range.

    Examples:
        >>> from hf_clipdyn.benchmarks.base import Common
        >>> Common(n_resamples=200, seed=1).resampling
        {'n_resamples': 200, 'confidence_level': 0.95, 'seed': 1}
    """

    n_resamples: int = option(
        1000, "Number of bootstrap resamples; 0 for no intervals.", within="[0, 1000000]"
    )
    confidence_level: float = option(0.95, "Confidence level of the intervals.", within="(0, 1)")
    seed: int = option(0, "Seed of the noise and of the intervals.", within="[0, 4294967295]")
    cache_dir: Path | None = option(None, "Folder for decoded pixels. Default: a folder under HF_HOME.")
    show_progress: bool = option(True, "Show progress bars.")

    def __post_init__(self) -> None:
        check_options(self)

    @property
    def resampling(self) -> dict[str, Any]:
        """The keywords that every function of `hf_clipdyn.metrics` takes."""
        return {
            "n_resamples": self.n_resamples,
            "confidence_level": self.confidence_level,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class KindSettings:
    """The settings of one kind. A kind with settings has a subclass, whose fields are made with `option`.

    Each field becomes a flag of `clipdyn evaluate`.

    Raises:
        ConfigError: a value is out of its range.

    Examples:
        >>> from dataclasses import dataclass
        >>> from hf_clipdyn.benchmarks.base import KindSettings
        >>> from hf_clipdyn.fields import option
        >>> @dataclass(frozen=True)
        ... class BrightnessSettings(KindSettings):
        ...     gains: tuple[float, ...] = option((1.25, 1.5), "Factors on the pixels.", within="(1, 10]")
        ...
        >>> BrightnessSettings(gains=(2,)).as_json()
        {'gains': (2,)}
    """

    def __post_init__(self) -> None:
        check_options(self)

    def as_json(self) -> dict[str, Any]:
        """The settings that are not None, for the column ``settings``. Paths are left out: their content counts."""
        held = asdict(self)
        return {name: one for name, one in held.items() if one is not None and not isinstance(one, Path)}


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


def _chosen(classes: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The classes in one order, so that one choice is one cell."""
    chosen = None if classes is None else tuple(sorted(set(classes)))
    if chosen is not None and len(chosen) < 2:
        raise ConfigError(f"classes has {shown(', '.join(chosen))}: give at least two names.")
    return chosen


@dataclass(frozen=True)
class ShapeBiasSettings(KindSettings):
    """Which classes a decision is among, and whether the images are also shown in grey."""

    classes: tuple[str, ...] | None = option(
        None,
        "Names of at least two classes, for a model that knows only these. Decisions are among these, and only the "
        "images whose shape and texture are both among them are asked about. Default: all classes.",
    )
    grey: bool = option(False, "Ask about each image in grey, too.", flag="gray")

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "classes", _chosen(self.classes))

    def as_json(self) -> dict[str, Any]:
        """The settings that differ from the defaults, so that cells of earlier versions keep their key."""
        return {name: one for name, one in super().as_json().items() if one}


PROBES = ("attention", "attention_layers", "rollout", "gradient_input", "grad_cam")
"""The maps that can be read out of a model, see `hf_clipdyn.models.maps`."""


@dataclass(frozen=True)
class ClassificationSettings(KindSettings):
    """What a user may choose for the classification benchmarks."""

    published_prompts: bool = option(
        False,
        "Also classify as for CLIP's published values: 1,000 classes with 80 templates, which encodes "
        "80,000 prompts per revision.",
    )
    classes: tuple[str, ...] | None = option(
        None,
        "Names of at least two classes, for a model that knows only these. Decisions are among these, and images of "
        "other classes are left out. Default: all 16.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "classes", _chosen(self.classes))


def _corruptions() -> "Mapping[str, type[Corruption]]":
    from hf_clipdyn.benchmarks.corruptions import CORRUPTIONS

    return CORRUPTIONS


@dataclass(frozen=True)
class NoiseSettings(KindSettings):
    """Which corruptions are shown; the untouched images always are, so that 0 is always among the sigmas."""

    sigmas: tuple[float, ...] = option(
        (0.0, *SIGMAS),
        "Standard deviations of the Gaussian noise, on pixels in [0, 1].",
        within="[0, 1]",
    )
    stage: str = option(
        "native",
        "When to corrupt an image: before the processor resizes it (native) or after (input).",
        choices=("native", "input"),
    )
    conditions: tuple[str, ...] = option(
        ("gaussian",), "Corruptions to show.", choices=lambda: tuple(_corruptions())
    )
    levels: tuple[str, ...] | None = option(
        None,
        "Levels of the other conditions, NAME=LEVEL, for example contrast=0.1. Conditions that are not "
        "named keep their default levels.",
    )
    classes: str | None = option(
        None,
        "`sixteen`: classify ImageNet into the 16 categories of model-vs-human, as people did. Default: all classes.",
        choices=("sixteen",),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        # In one order, so that one choice is one cell.
        object.__setattr__(self, "sigmas", tuple(sorted({0.0, *map(float, self.sigmas)})))
        object.__setattr__(self, "conditions", tuple(one for one in _corruptions() if one in self.conditions))
        if self.levels is not None:
            chosen = self._chosen_levels()
            named = (f"{name}={level:g}" for name in _corruptions() for level in chosen.get(name, ()))
            object.__setattr__(self, "levels", tuple(named))

    def levels_of(self, condition: str) -> tuple[float, ...]:
        """The levels of a condition that are shown, the weakest first; NaN if it has only one."""
        if condition == "gaussian":
            return self.sigmas
        return self._chosen_levels().get(condition, _corruptions()[condition].levels)

    def _chosen_levels(self) -> dict[str, tuple[float, ...]]:
        by_condition: dict[str, set[float]] = {}
        for text in self.levels or ():
            name, _, level = text.partition("=")
            if name == "gaussian":
                raise ConfigError(f"levels contains {shown(text)}: use sigmas for the levels of {name}.")
            if name not in self.conditions:
                raise UnknownNameError("selected condition", name, self.conditions)
            try:
                value = float(level)
            except ValueError as error:
                raise ConfigError(
                    f"levels contains {shown(text)}: give NAME=LEVEL, for example contrast=0.1."
                ) from error
            by_condition.setdefault(name, set()).add(_corruptions()[name](value).level)
        return {name: _corruptions()[name].in_order(levels) for name, levels in by_condition.items()}


@dataclass(frozen=True)
class QualitySettings(KindSettings):
    """What a user may choose for the image quality benchmarks."""

    preprocess: str = option(
        "processor",
        "How images reach the model: processor (the model's own resizing and cropping), squash (the whole image, "
        "resized) or tiles (native resolution).",
        choices=PREPROCESSES,
    )


@dataclass(frozen=True)
class RetrievalSettings(KindSettings):
    """Among which images and captions the model searches."""

    held_out: int | None = option(
        None, "Hold out the last N images for retrieval. Default: use all images.", within="[1, 1000000000]"
    )


@dataclass(frozen=True)
class SaliencySettings(KindSettings):
    """Which maps to score, and how to show the images."""

    preprocess: str = option(
        "squash",
        "squash (resize the whole image to the model's square) or crop (use only the part that the "
        "model's processor keeps).",
        choices=("squash", "crop"),
    )
    probes: tuple[str, ...] = option(
        ("attention", "rollout"), f"Maps to read out: {', '.join(PROBES)}.", choices=PROBES
    )
    captions: Path | None = option(
        None,
        "CSV file with the columns image and caption. `gradient_input` also uses these captions. Default: "
        "only a neutral text.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        # The order of the probes changes nothing, so that it must not name another cell.
        object.__setattr__(self, "probes", tuple(name for name in PROBES if name in self.probes))
        if self.captions is not None:
            object.__setattr__(self, "captions", Path(self.captions).expanduser())
            if "gradient_input" not in self.probes:
                raise ConfigError(
                    "captions is given, but only the probe gradient_input uses captions: add it to the "
                    "probes."
                )


OWN_SETTINGS: Mapping[str, type[KindSettings]] = {
    "shape_bias": ShapeBiasSettings,
    "quality": QualitySettings,
    "saliency": SaliencySettings,
    "classification": ClassificationSettings,
    "noise": NoiseSettings,
    "retrieval": RetrievalSettings,
}
"""The settings of the kinds of this package, in the order of the help."""
