"""How much classification accuracy suffers from corrupted pixels."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from hf_clipdyn.benchmarks.classes import LabelledKind, class_scores, probe_in, protocol_of, ranking
from hf_clipdyn.benchmarks.corruptions import CORRUPTIONS, SIGMAS, Corrupted
from hf_clipdyn.benchmarks.kind import Common, KindSettings, digest, share, term, words
from hf_clipdyn.errors import ConfigError, EvaluationError, UnknownNameError, shown
from hf_clipdyn.results.row import Number, NumberKey
from hf_clipdyn.results.terms import Axis, Condition, Overview, Reference

if TYPE_CHECKING:
    import pandas as pd

    from hf_clipdyn.benchmarks.answers import Answers
    from hf_clipdyn.benchmarks.readout import Readout
    from hf_clipdyn.benchmarks.sources import Source
    from hf_clipdyn.metrics.scores import Scale

_ONE_LEVEL = {  # data set of model-vs-human, and its condition
    "none": ("colour", "cr"),
    "grey": ("colour", "bw"),
    "false_colour": ("false-colour", "false"),
    "power_equalisation": ("power-equalisation", "pow"),
}
_DROP: dict[str, Any] = {"better": "low", "neutral": 0.0, "neutral_title": "no loss"}
_NOT_ABOVE_CHANCE = "Not defined if the clean accuracy is indistinguishable from chance."


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
    """`sixteen`: classify ImageNet into the 16 categories of model-vs-human, as observers did. Default: all classes."""

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
    """Accuracy and its drop by the level of a corruption.

    Trials: item, label, condition (``none`` for clean images), level (in the unit of the condition; 0 for clean
    images, null if the condition has only one level), decision (class id), probe_decision (class id from a linear
    probe that has not seen the item; -1 if the class has no other image; null with the texts of another revision, which
    a probe does not read), n_classes, human_accuracy (of observers at that level, on their own photographs; null unless
    the classes are the same), protocol (``head`` if a classifier's own head decided; empty for prompts).
    """

    name = "noise"
    settings = NoiseSettings
    schemas = ("labels",)
    score_version = 3
    terms = words(
        "Sensitivity to noise",
        40,
        share(
            "accuracy",
            "accuracy",
            "Share of correct decisions among all images. Prompts make the decisions unless a linear probe is named.",
        ),
        term(
            "relative_drop",
            "relative accuracy drop",
            f"(clean - noisy) / clean; larger is more sensitive to the noise. {_NOT_ABOVE_CHANCE}",
            **_DROP,
        ),
        term(
            "chance_corrected_drop",
            "accuracy drop, chance-corrected",
            f"(clean - noisy) / (clean - chance); larger is more sensitive to the noise. {_NOT_ABOVE_CHANCE}",
            overview=Overview(rank=50, level=0.2, condition="gaussian"),
            **_DROP,
        ),
        share(
            "area",
            "area under the accuracy-noise curve",
            "Mean accuracy between the weakest and the strongest level, on the axis as drawn. A logarithmic axis "
            "leaves out 0 and inf.",
        ),
        term(
            "threshold",
            "noise threshold",
            "Level at which the accuracy is halfway between clean and chance, interpolated on the axis as drawn. Not "
            f"defined if the accuracy never falls that far. {_NOT_ABOVE_CHANCE}",
            is_level=True,
        ),
        share(
            "drop_when_right",
            "correct when clean, wrong under noise",
            "Share of images that are wrong under noise, among the images that are correct when clean. "
            f"{_NOT_ABOVE_CHANCE}",
            better="low",
        ),
        share(
            "drop_when_both_right",
            "correct for both when clean, wrong under noise",
            "Share of images that are wrong under noise, among images that both revisions classify correctly when "
            "clean; only in comparisons. Not defined if either clean accuracy is indistinguishable from chance.",
            better="low",
        ),
        level=Axis(title="level"),
        conditions={"none": Condition(title="no noise")}
        | {name: corruption.term for name, corruption in CORRUPTIONS.items()},
        probes={"head": "own head"},
        references=(
            Reference(role="chance", title="chance", joins=("metric", "probe")),
            Reference(role="human", title="human observers (rough)", joins=("metric", "condition", "level")),
        ),
    )

    def __init__(
        self, source: "Source", image_processor: Any, settings: NoiseSettings, common: Common
    ) -> None:
        import numpy as np

        from hf_clipdyn.benchmarks.readout import Stimuli
        from hf_clipdyn.metrics.shape_decisions import GEIRHOS_CLASSES

        super().__init__(source, image_processor, settings, common)
        self.facts = {}
        labels = self.described["label"].to_numpy(np.int64)
        if settings.classes == "sixteen":
            labels = _sixteen(source.name, source.class_names)[labels]
            self.shown = self.shown[labels[self.shown] >= 0]
            self.stimuli = [Stimuli(self.pixels[0].array, self.shown)]
        self.labels = labels[self.shown]
        self.has_people = not source.metadata.synthetic and set(self.names) == set(GEIRHOS_CLASSES)
        self.corrupted = self._corrupted(source, image_processor, settings, common)
        self.fingerprint = digest(
            self.name,
            self.pixels[0].fingerprint,
            list(self.names),
            labels.tolist(),
            self.templates,
            [change.key for change, _ in self.corrupted],
            settings.stage,
        )

    def _corrupted(
        self, source: "Source", image_processor: Any, settings: NoiseSettings, common: Common
    ) -> list[tuple[Corrupted, Any]]:
        """By condition and level, the weakest first; a level that leaves the image untouched is left out."""
        from hf_clipdyn.benchmarks.readout import Stimuli, corrupted, decode

        changes = [
            CORRUPTIONS[name](level, common.seed)
            for name in settings.conditions
            for level in settings.levels_of(name)
            if level != CORRUPTIONS[name].term.untouched
        ]
        stimuli: dict[str, Stimuli] = {}
        by_key = {change.key: change for change in reversed(changes)}  # some share their weakest level
        for key, change in by_key.items():
            if settings.stage == "native":
                pixels = decode(source.dataset, image_processor, common, distort=change, distort_key=key)
                stimuli[key] = Stimuli(pixels.array, self.shown)
            else:
                stimuli[key] = corrupted(self.pixels[0], self.shown, change, key, common)
        return [(change, stimuli[change.key]) for change in changes]

    @classmethod
    def classes(cls, source: "Source", settings: KindSettings) -> Sequence[str]:
        """The sixteen categories, or those of the data set."""
        from hf_clipdyn.metrics.shape_decisions import GEIRHOS_CLASSES

        is_of_sixteen = isinstance(settings, NoiseSettings) and settings.classes
        return GEIRHOS_CLASSES if is_of_sixteen else source.class_names

    def observe(self, readout: "Readout") -> "pd.DataFrame":
        """Choose a class at every level, with prompts and with a linear probe that is fitted on clean images."""
        import numpy as np
        import pandas as pd

        from hf_clipdyn.benchmarks.vectors import unit
        from hf_clipdyn.metrics.linear_probe import LinearProbe, probe_folds

        probe = None
        if not readout.only_text:
            clean = unit(readout.images(self.stimuli[0]))
            probe = LinearProbe(clean, self.labels, probe_folds(self.labels))
        shown = [(change.corruption.name, change.level, stimuli) for change, stimuli in self.corrupted]
        conditions, levels, stimuli = zip(("none", 0.0, self.stimuli[0]), *shown, strict=True)
        decisions, probed = [], []
        for at_level in stimuli:
            decisions.append(ranking(class_scores(readout, at_level, self.names, self.templates))[:, 0])
            if probe is not None:
                probed.append(probe.decide(unit(readout.images(at_level))))
        n_shown, people = len(self.shown), np.full(len(stimuli), np.nan)
        if self.has_people:
            people[:] = [_human_accuracy(*at) for at in zip(conditions, levels, strict=True)]
        columns = {
            "item": np.tile(self.shown, len(stimuli)),
            "label": np.tile(self.labels, len(stimuli)),
            "condition": pd.Series(conditions, dtype="str").repeat(n_shown).array,
            "level": np.repeat(levels, n_shown),
            "decision": np.concatenate(decisions),
            "probe_decision": np.concatenate(probed) if probed else pd.NA,
            "n_classes": len(self.names),
            "human_accuracy": np.repeat(people, n_shown),
            "protocol": protocol_of(readout),
        }
        return pd.DataFrame(columns).astype({"probe_decision": "Int64"})

    @classmethod
    def score(cls, trials: "pd.DataFrame", seed: int = 0) -> "Iterator[tuple[Number, Scale]]":
        """Accuracies and drops by condition and level, area and threshold by condition."""
        from hf_clipdyn.benchmarks.noise_scores import noise_numbers

        yield from noise_numbers(trials)

    @classmethod
    def answers(cls, trials: "pd.DataFrame") -> "Iterator[Answers]":
        """The decisions of prompts or of the own head, and of the probe, by condition and level."""
        from hf_clipdyn.benchmarks.answers import answers_of
        from hf_clipdyn.benchmarks.noise_scores import CLEAN, by_level

        for probe, column in ((probe_in(trials), "decision"), ("linear_probe", "probe_decision")):
            decided = trials[(trials[column] >= 0).fillna(False)]  # -1: the class has no other image
            clean = decided[decided["condition"] == CLEAN]
            for at, rows in [({}, clean), *by_level(decided)]:
                if len(rows):
                    yield answers_of(rows, NumberKey(metric="accuracy", probe=probe, **at), decision=column)


def _sixteen(dataset: str, names: Sequence[str]) -> Any:
    """The category of each class, (classes,); -1 if it belongs to none."""
    import numpy as np

    from hf_clipdyn.data.prompts import imagenet_names, unique_names
    from hf_clipdyn.metrics.shape_decisions import IMAGENET_CATEGORIES

    ordered = list(unique_names(imagenet_names()).values())
    category = {ordered[index]: one for one, of in enumerate(IMAGENET_CATEGORIES.values()) for index in of}
    found = np.array([category.get(name, -1) for name in names])
    if (found < 0).all():
        raise EvaluationError(
            f"{dataset} has none of ImageNet's classes, which `classes` groups into sixteen: leave `classes` out."
        )
    return found


def _human_accuracy(condition: str, level: float) -> float:
    """Of human observers in that condition of model-vs-human; NaN if they were not asked."""
    from hf_clipdyn.data.human_trials import human_accuracies

    dataset, only = _ONE_LEVEL.get(condition, (condition.replace("_", "-"), ""))
    for one in human_accuracies():
        if one.dataset == dataset and (one.condition == only if only else one.level == level):
            return one.accuracy
    return float("nan")
