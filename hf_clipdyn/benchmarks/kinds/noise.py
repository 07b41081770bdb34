"""How much classification accuracy and embeddings suffer from corrupted pixels."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, cast

import datasets
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, field_validator

from hf_clipdyn.benchmarks.answers import Answers, answers_of
from hf_clipdyn.benchmarks.base import (
    Common,
    cosine_distance,
    decode,
    digest,
    unit,
)
from hf_clipdyn.benchmarks.classes import LabelledKind, class_scores, protocol_in, protocol_of, ranking
from hf_clipdyn.benchmarks.corruptions import CORRUPTIONS, SIGMAS, Corruption, GaussianNoise
from hf_clipdyn.benchmarks.gallery import Gallery, GalleryView
from hf_clipdyn.benchmarks.heads import HEAD, probe_of
from hf_clipdyn.benchmarks.input_views import corrupted
from hf_clipdyn.benchmarks.kind import KindSettings
from hf_clipdyn.benchmarks.noise_scores import CLEAN, by_level, noise_numbers, noise_numbers_together
from hf_clipdyn.benchmarks.probe import LinearProbe, probe_folds
from hf_clipdyn.benchmarks.readout import Readout, Stimuli
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.data.human_trials import human_accuracies
from hf_clipdyn.data.images import decode_image
from hf_clipdyn.data.prompts import imagenet_names, unique_names
from hf_clipdyn.errors import ConfigError, EvaluationError, UnknownNameError, shown
from hf_clipdyn.metrics.shape_decisions import GEIRHOS_CLASSES, IMAGENET_CATEGORIES
from hf_clipdyn.results.row import NumberKey
from hf_clipdyn.results.terms import Axis, Condition, KindTerms, Overview, Reference, Term

__all__ = ["Noise", "NoiseSettings", "mean_pairwise_distance"]

_ONE_LEVEL = {  # data set of model-vs-human, and its condition
    "none": ("colour", "cr"),
    "grey": ("colour", "bw"),
    "false_colour": ("false-colour", "false"),
    "power_equalisation": ("power-equalisation", "pow"),
}
_VALUES_FOR_RMS = 2**23  # 2,700 images of 32 pixels a side, 55 of 224: the RMS is then known to about 0.003
_DROP: dict[str, Any] = {"better": "low", "neutral": 0.0, "neutral_title": "no loss"}
_NOT_ABOVE_CHANCE = "Not defined if the clean accuracy is indistinguishable from chance."


def mean_pairwise_distance(images: NDArray[np.floating[Any]]) -> float:
    """Mean cosine distance between two different images of (n, d) embeddings, without cancellation."""
    rows = unit(images)
    if len(rows) < 2:
        return float("nan")
    return float(np.square(rows - rows.mean(axis=0)).sum() / (len(rows) - 1))


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
            if name not in CORRUPTIONS:
                raise UnknownNameError("condition of noise", name, CORRUPTIONS)
        return tuple(name for name in CORRUPTIONS if name in conditions)

    @field_validator("levels")
    @classmethod
    def _known_levels(cls, levels: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        if levels is None or "conditions" not in info.data:
            return levels
        chosen = _levels_by_condition(levels, info.data["conditions"])
        return tuple(f"{name}={level:g}" for name in CORRUPTIONS for level in chosen.get(name, ()))

    def levels_of(self, condition: str) -> tuple[float, ...]:
        """The levels of a condition that are shown, the weakest first; NaN if it has only one."""
        if condition == "gaussian":
            return self.sigmas
        chosen = _levels_by_condition(self.levels or (), self.conditions)
        return chosen.get(condition, CORRUPTIONS[condition].levels)


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
        levels.setdefault(name, set()).add(CORRUPTIONS[name](value).level)
    return {name: CORRUPTIONS[name].in_order(values) for name, values in levels.items()}


class Noise(LabelledKind[NoiseSettings]):
    """Accuracy, its drop, and the displacement of the embedding, by the level of a corruption.

    Trials: item, label, condition (``none`` for clean images), level (in the unit of the condition; 0 for clean
    images, null if the condition has only one level), decision (class id), probe_decision (class id from a linear
    probe that has not seen the item; -1 if the class has no other image), distance (cosine, between the corrupted and
    the clean embedding), mean_pairwise_distance (of the clean images), n_classes, rms (root-mean-square change of the
    pixels at that level, in [0, 1]; null if the shape of an image changes), human_accuracy (of people at that level,
    on their own photographs; null unless the classes are the same), protocol (``head`` if a classifier's own head
    decided; empty for prompts). With the texts of another revision, the four
    columns that do not depend on texts are null.
    """

    name = "noise"
    settings = NoiseSettings
    schemas = ("labels",)
    terms = KindTerms(
        title="Sensitivity to noise",
        rank=40,
        level=Axis(title="level"),
        conditions={CLEAN: Condition(title="no noise")}
        | {name: one.term for name, one in CORRUPTIONS.items()},
        terms={
            "accuracy": Term(
                title="accuracy",
                meaning="Share of correct decisions among all images. Prompts make the decisions unless a "
                "linear probe is named.",
                limits=(0.0, 1.0),
                better="high",
            ),
            "relative_drop": Term(
                title="relative accuracy drop",
                meaning=f"(clean - noisy) / clean; larger is more sensitive to the noise. {_NOT_ABOVE_CHANCE}",
                **_DROP,
            ),
            "chance_corrected_drop": Term(
                title="accuracy drop, chance-corrected",
                meaning="(clean - noisy) / (clean - chance); larger is more sensitive to the noise. "
                f"{_NOT_ABOVE_CHANCE}",
                overview=Overview(rank=50, level=0.2, condition=GaussianNoise.name),
                **_DROP,
            ),
            "area": Term(
                title="area under the accuracy-noise curve",
                meaning="Mean accuracy between the weakest and the strongest level, on the axis as drawn. "
                "A logarithmic axis leaves out 0 and inf.",
                limits=(0.0, 1.0),
                better="high",
            ),
            "threshold": Term(
                title="noise threshold",
                meaning="Level at which the accuracy is halfway between clean and chance, interpolated on "
                "the axis as drawn. Not defined if the accuracy never falls that far. "
                f"{_NOT_ABOVE_CHANCE}",
                is_level=True,
            ),
            "drop_when_right": Term(
                title="correct when clean, wrong under noise",
                meaning="Share of images that are wrong under noise, among those that are correct when "
                f"clean. {_NOT_ABOVE_CHANCE}",
                limits=(0.0, 1.0),
                better="low",
            ),
            "drop_when_both_right": Term(
                title="correct for both when clean, wrong under noise",
                meaning="Share of images that are wrong under noise, among those that both revisions "
                "classify correctly when clean. Not defined if either clean accuracy is "
                "indistinguishable from chance.",
                limits=(0.0, 1.0),
                better="low",
            ),
            "displacement": Term(
                title="displacement of the embedding",
                meaning="Mean distance between the noisy and the clean embedding of an image, relative to the mean "
                "distance between two clean images.",
                better="low",
                neutral=0.0,
                neutral_title="none",
            ),
            "noise_rms": Term(
                title="effective noise",
                meaning="Root-mean-square change of the pixels, in [0, 1]. For Gaussian noise it is "
                "smaller than the nominal sigma, since values are clipped at black and white.",
                limits=(0.0, 1.0),
            ),
        },
        probes={HEAD: "own head"},
        references=(
            Reference(role="chance", title="chance", joins=("metric", "probe")),
            Reference(role="human", title="people (rough)", joins=("metric", "condition", "level")),
        ),
    )
    trial_columns: ClassVar = {
        "item": "int64",
        "label": "int64",
        "condition": "str",
        "level": "float64",
        "decision": "int64",
        "probe_decision": "Int64",
        "distance": "float64",
        "mean_pairwise_distance": "float64",
        "n_classes": "int64",
        "rms": "float64",
        "human_accuracy": "float64",
        "protocol": "str",
    }
    later_columns = ("human_accuracy", "protocol")
    score_version = 2

    def __init__(self, source: Source, image_processor: Any, settings: NoiseSettings, common: Common) -> None:
        super().__init__(source, image_processor, settings, common)
        self._dataset = source.dataset
        self._is_native = settings.stage == "native"
        clean = self.pixels
        intact = ~clean.broken
        if settings.classes == "sixteen":
            self.names, self.labels = _sixteen(source.name, self.names, self.labels)
            intact &= self.labels >= 0
        self._rows = np.flatnonzero(intact)
        self._has_people = not source.metadata.synthetic and set(self.names) == set(GEIRHOS_CLASSES)
        self._inputs = clean.array
        self._clean = Stimuli(clean.array, self._rows)
        shown: dict[str, Stimuli] = {}  # some conditions share their weakest level
        self._corrupted: list[tuple[Corruption, Stimuli]] = []
        for one in _corruptions(settings, common.seed):
            if one.key not in shown and self._is_native:
                pixels = decode(source.dataset, image_processor, common, distort=one, distort_key=one.key)
                shown[one.key] = Stimuli(pixels.array, self._rows)
            elif one.key not in shown:
                shown[one.key] = corrupted(clean, self._rows, one, one.key, common)
            self._corrupted.append((one, shown[one.key]))
        self.fingerprint = digest(
            self.name,
            clean.fingerprint,
            self.names,
            self.labels.tolist(),
            self.templates,
            [one.key for one, _ in self._corrupted],
            settings.stage,
        )

    @classmethod
    def classes(cls, source: Source, settings: KindSettings) -> Sequence[str]:
        sixteen = isinstance(settings, NoiseSettings) and settings.classes == "sixteen"
        return GEIRHOS_CLASSES if sixteen else super().classes(source, settings)

    @cached_property
    def _effective_rms(self) -> list[float]:
        """Root mean square of the change of the pixels, in [0, 1], by each corruption.

        It is measured at the stage where the pixels are corrupted. Those of files are kept as the model takes them, so
        some are corrupted once more.
        """
        files = self._dataset.select_columns(["image"]).cast_column("image", datasets.Image(decode=False))
        squares, count = np.zeros(len(self._corrupted)), 0
        for place in map(int, np.random.default_rng(0).permutation(len(self._rows))):
            row = int(self._rows[place])
            if self._is_native:
                pixels = np.asarray(decode_image(files[row]["image"]))
                changed = [corruption(pixels, row) for corruption, _ in self._corrupted]
            else:
                pixels = np.asarray(self._inputs[row])
                changed = [stimuli.read([place])[0] for _, stimuli in self._corrupted]
            squares += [
                np.square((one - pixels.astype(np.float64)) / 255).sum()
                if one.shape == pixels.shape
                else np.nan
                for one in changed
            ]
            count += pixels.size
            if count >= _VALUES_FOR_RMS:
                break
        return [float(value) for value in np.sqrt(squares / count)]

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Choose a class at every level, with prompts and with a linear probe that is fitted on clean images."""
        clean = readout.images(self._clean)
        labels = self.labels[self._rows]
        probe = None if readout.only_text else LinearProbe(unit(clean), labels, probe_folds(labels))
        scale = np.nan if probe is None else mean_pairwise_distance(clean)
        rms = [np.nan] * len(self._corrupted) if probe is None else self._effective_rms
        shown = [(CLEAN, 0.0, self._clean, 0.0)]
        shown += [
            (one.name, one.level, stimuli, change)
            for (one, stimuli), change in zip(self._corrupted, rms, strict=True)
        ]
        blocks = []
        for condition, level, stimuli, change in shown:
            images = readout.images(stimuli)
            columns = {
                "item": self._rows,
                "label": labels,
                "condition": condition,
                "level": level,
                "decision": ranking(class_scores(readout, stimuli, self.names, self.templates))[:, 0],
                "probe_decision": pd.NA if probe is None else probe.decide(unit(images)),
                "distance": np.nan if probe is None else cosine_distance(clean, images),
                "mean_pairwise_distance": scale,
                "n_classes": len(self.names),
                "rms": change,
                "human_accuracy": _human_accuracy(condition, level) if self._has_people else np.nan,
                "protocol": protocol_of(readout),
            }
            blocks.append(pd.DataFrame(columns).astype(self.trial_columns))
        return pd.concat(blocks, ignore_index=True)

    @staticmethod
    def gallery(trials: pd.DataFrame) -> Gallery:
        """Images with their class, and the decision at every level of every corruption."""
        shown = trials.drop_duplicates("item").set_index("item")
        levels = trials.groupby(["condition", "level"], sort=False, dropna=False)
        return Gallery(
            answer="class",
            answers={
                _way(Noise.terms, *cast("tuple[str, float]", key)): rows.set_index("item")["decision"]
                for key, rows in levels
            },
            truth=shown["label"],
            truth_title="class",
            check=shown[["label"]],
            note="The picture shows the uncorrupted image, even if the model saw a corrupted one.",
        )

    views = (GalleryView(("item", "label", "condition", "level", "decision"), gallery),)
    answers_from = ("item", "label", "condition", "level", "decision", "probe_decision", "protocol")

    @classmethod
    def answers(cls, trials: pd.DataFrame) -> Iterator[Answers]:
        """The decisions of prompts or of the own head, and of the probe, by condition and level."""
        own = probe_of(protocol_in(trials))
        for probe, column in ((own, "decision"), ("linear_probe", "probe_decision")):
            decided = trials[(trials[column] >= 0).fillna(False)]  # -1: the class has no other image
            clean = decided[decided["condition"] == CLEAN]
            for at, rows in [({}, clean), *by_level(decided)]:
                if len(rows):
                    yield answers_of(rows, NumberKey(metric="accuracy", probe=probe, **at), decision=column)

    score = staticmethod(noise_numbers)
    score_together = staticmethod(noise_numbers_together)


def _way(terms: KindTerms, condition: str, level: float) -> str:
    title = terms.conditions[condition].title if condition in terms.conditions else condition
    return title if condition == CLEAN or np.isnan(level) else f"{title} {level:g}"


def _corruptions(settings: NoiseSettings, seed: int) -> list[Corruption]:
    """By condition and level, the weakest first; a level that leaves the image untouched is left out."""
    return [
        CORRUPTIONS[name](level, seed)
        for name in settings.conditions
        for level in settings.levels_of(name)
        if level != CORRUPTIONS[name].term.untouched
    ]


def _sixteen(
    dataset: str, names: Sequence[str], labels: NDArray[np.int64]
) -> tuple[list[str], NDArray[np.int64]]:
    """The 16 categories, and that of each row; -1 if its class belongs to none."""
    ordered = list(unique_names(imagenet_names()).values())
    category = {ordered[index]: one for one, of in enumerate(IMAGENET_CATEGORIES.values()) for index in of}
    of_class = np.array([category.get(name, -1) for name in names])
    if (of_class < 0).all():
        raise EvaluationError(
            f"{dataset} has none of ImageNet's classes, which `classes` groups into sixteen: leave "
            "`classes` out."
        )
    return list(GEIRHOS_CLASSES), of_class[labels]


def _human_accuracy(condition: str, level: float) -> float:
    """Of people in that condition of model-vs-human; NaN if they were not asked."""
    dataset, only = _ONE_LEVEL.get(condition, (condition.replace("_", "-"), ""))
    for one in human_accuracies():
        if one.dataset == dataset and (one.condition == only if only else one.level == level):
            return one.accuracy
    return float("nan")
