"""How much of what a model knows would a linear model on pixels, amplitudes or colours explain?"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import Common, KindSettings, by_item, decode, digest, mean_by_item, number
from hf_clipdyn.benchmarks.classes import LabelledKind, class_scores, protocol_in, protocol_of, ranking
from hf_clipdyn.benchmarks.heads import HEAD, at_head
from hf_clipdyn.benchmarks.input_views import corrupted
from hf_clipdyn.benchmarks.readout import Readout, Stimuli
from hf_clipdyn.benchmarks.simple_models import (
    ALONE_TITLES,
    SIMPLE_FEATURES,
    SIMPLE_TITLES,
    Alone,
    simple_decisions,
)
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.metrics.bootstrap import influence_interval, wilson_interval
from hf_clipdyn.metrics.error_consistency import kappa_forms, pair_statistics
from hf_clipdyn.metrics.explained_information import explained_information
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import Condition, KindTerms, Reference, Term

__all__ = ["Simplicity"]

_ANIMALS = frozenset(("bear", "bird", "cat", "deer", "dog", "elephant", "fish", "frog", "horse"))
_THINGS = frozenset(
    (
        *(
            "airplane",
            "automobile",
            "bicycle",
            "boat",
            "bottle",
            "car",
            "chair",
            "clock",
            "house",
            "key",
            "keyboard",
        ),
        *("knife", "oven", "ship", "tree", "truck"),
    )
)
_MOST, _ALONE = 5000, 1000  # training images, and images that are shown with amplitudes or phases alone
_FEWEST_BITS = 0.05  # of information, below which a share of it is noise
_BITS = ("information", "explained", "explained_share")


class Simplicity(LabelledKind[KindSettings]):
    """The information in a model's decisions that simple models have too (Nakkiran et al. 2019), and their errors.

    The simple models are linear classifiers of pixels, amplitude spectra and colour histograms. They are fitted on the
    training split of the data set, on at most 5,000 images that are drawn once. Without such a split they are fitted on
    the same images in five folds, and decide on the images of the fold that they were not fitted on. Information is
    that on the question whether the image shows an animal: with many classes its estimates would be biased.

    At most 1,000 of the images are also shown in grey with their amplitudes alone, and with their phases alone.

    Trials: item, label and decision (names of classes), the decisions of the simple models: pixels, amplitudes, colours
    (null if the class has a single image), and those of the model on what is left: amplitude_alone, phase_alone (null
    for the other images), with the share of clipped pixels.
    """

    name = "simplicity"
    schemas = ("labels",)
    terms = KindTerms(
        title="Simplicity of what is learned",
        question="How much would a simple model explain?",
        rank=232,
        terms={
            "explained_share": Term(
                title="explained by a simple model",
                meaning="Share of the information on animal or not in the model's decisions that the simple model's "
                "decisions contain as well; negative if the two complement each other.",
                neutral=0.0,
                neutral_title="nothing",
            ),
            "explained": Term(
                title="information that a simple model explains",
                meaning="I(F;Y) - I(F;Y|L), for the decisions F of the model, L of the simple model, and Y, animal or "
                "not.",
                unit="bits",
            ),
            "information": Term(
                title="information on animal or not",
                meaning="I(F;Y) of the model's decisions F and the truth Y; at most 1 bit. The explained share says "
                "little if it is small.",
                unit="bits",
                limits=(0.0, 1.0),
            ),
            "kappa": Term(
                title="error consistency with a simple model",
                meaning="Cohen's kappa of being right, over the images. It falls by arithmetic when only one of the "
                "two accuracies rises; the explained share does not.",
                limits=(-1.0, 1.0),
                neutral=0.0,
                neutral_title="independent errors",
            ),
            "accuracy": Term(
                title="accuracy",
                meaning="Share of correct decisions on the same images.",
                limits=(0.0, 1.0),
                better="high",
            ),
            "clipped": Term(
                title="clipped pixels",
                meaning="Share of the pixels that were outside black and white when only amplitudes, or only phases, "
                "were left.",
                limits=(0.0, 1.0),
            ),
        },
        conditions={name: Condition(title=title) for name, title in ALONE_TITLES.items()},
        variants=SIMPLE_TITLES,
        probes={HEAD: "own head"},
        references=(
            Reference(role="chance", title="chance"),
            *(Reference(role="baseline", name=name, title=title) for name, title in SIMPLE_TITLES.items()),
        ),
    )
    trial_columns: ClassVar = {
        "item": "int64",
        "label": "string",
        "decision": "string",
        "protocol": "string",
        **dict.fromkeys((*SIMPLE_FEATURES, *ALONE_TITLES), "string"),
        **dict.fromkeys((f"{name}_clipped" for name in ALONE_TITLES), "float64"),
    }
    later_columns = (*ALONE_TITLES, *(f"{name}_clipped" for name in ALONE_TITLES))
    text_drift = False

    def __init__(self, source: Source, image_processor: Any, settings: KindSettings, common: Common) -> None:
        super().__init__(source, image_processor, settings, common)
        self._common = common
        training = source.training() if source.training else None
        self._training, fitted_on = None, []
        if training is not None and len(training) > 1:
            drawn = np.sort(np.random.default_rng(0).permutation(len(training))[:_MOST])
            training = training.select(drawn)
            pixels = decode(training, image_processor, common)
            labels = np.asarray(training["label"], np.int64)
            self._training = pixels.array[~pixels.broken], labels[~pixels.broken]
            self.facts = {"fitted_on": "train"}
            fitted_on = [pixels.fingerprint, labels.tolist()]
        self.fingerprint = digest(
            self.name, self.pixels.fingerprint, self.names, self.labels.tolist(), self.templates, *fitted_on
        )

    def observe(self, readout: Readout) -> pd.DataFrame:
        """The class that the model names, beside what simple models decide."""
        best = ranking(class_scores(readout, self.stimuli, self.names, self.templates))[:, 0]
        columns = {
            "item": self.shown,
            "label": self._named(self.labels[self.shown]),
            "decision": self._named(best),
            "protocol": protocol_of(readout),
        }
        alone = {name: self._named(self._shown_alone(name, readout)) for name in ALONE_TITLES}
        return pd.DataFrame(columns | self._simple | alone | self._clipped).astype(self.trial_columns)

    def _shown_alone(self, name: str, readout: Readout) -> NDArray[np.int64]:
        """The class that the model names; -1 for the images that are not shown so."""
        codes = np.full(len(self.shown), -1, np.int64)
        scores = class_scores(readout, self._alone_stimuli[name], self.names, self.templates)
        codes[self._drawn] = ranking(scores)[:, 0]
        return codes

    @cached_property
    def _drawn(self) -> NDArray[np.int64]:
        return np.sort(np.random.default_rng(0).permutation(len(self.shown))[:_ALONE])

    @cached_property
    def _alone_stimuli(self) -> dict[str, Stimuli]:
        rows = self.shown[self._drawn]
        return {
            name: corrupted(self.pixels, rows, partial(self._alone, name), name, self._common)
            for name in ALONE_TITLES
        }

    @cached_property
    def _alone(self) -> Alone:
        return Alone(self.pixels.array, self.shown[self._drawn])

    @cached_property
    def _clipped(self) -> dict[str, NDArray[np.float64]]:
        shares = {f"{name}_clipped": np.full(len(self.shown), np.nan) for name in ALONE_TITLES}
        for name in ALONE_TITLES:
            for at in self._drawn.tolist():
                row = int(self.shown[at])
                values = self._alone.values(name, self.pixels.array[row], row)
                shares[f"{name}_clipped"][at] = ((values < 0) | (values > 1)).mean()
        return shares

    @cached_property
    def _simple(self) -> dict[str, NDArray[np.object_]]:
        """The decisions of each simple model."""
        asked = self.pixels.array[self.shown], self.labels[self.shown], self._common
        how: dict[str, Any] = {"key": self.fingerprint, "training": self._training}
        return {name: self._named(simple_decisions(name, *asked, **how)) for name in SIMPLE_FEATURES}

    def _named(self, codes: NDArray[np.int64]) -> NDArray[np.object_]:
        return np.array([*self.names, None], dtype=object)[codes]

    @staticmethod
    def score(trials: pd.DataFrame, common: Common) -> list[Number]:
        """Information, its explained part and common errors, with each simple model."""
        numbers = [_accuracy(trials, "decision", common), *_of_what_is_left(trials, common)]
        for name in SIMPLE_FEATURES:
            decided = trials[trials[name].notna()]
            if decided.empty:
                note = "a simple model needs two images of a class, and every class has only one"
                numbers.append(Number(metric="explained_share", variant=name, value=float("nan"), note=note))
                continue
            baseline = _accuracy(decided, name, common)
            numbers += [baseline, *_explained(decided, name, common), _kappa(decided, name, common)]
        unique = {one.number_key: one for one in numbers}  # information is the same beside each simple model
        return at_head(list(unique.values()), protocol_in(trials))


def _right(rows: pd.DataFrame, column: str) -> NDArray[np.float64]:
    return np.asarray(rows[column] == rows["label"], np.float64)


def _accuracy(rows: pd.DataFrame, column: str, common: Common) -> Number:
    right = _right(rows, column)
    result: dict[str, Any] = {"accuracy": right.mean(), "n": len(right)}
    if common.n_resamples:
        result["accuracy_ci"] = wilson_interval(right.mean(), len(right), common.confidence_level)
    if column in SIMPLE_FEATURES:
        return number(result, "accuracy", role="baseline", reference=column, probe="")
    return number(result, "accuracy", influence=mean_by_item(right, rows["item"]), n_clusters=len(right))


def _of_what_is_left(trials: pd.DataFrame, common: Common) -> Iterator[Number]:
    chance, n = 1 / trials["label"].nunique(), len(trials)
    yield Number(metric="accuracy", role="chance", probe="", value=chance, n=n)
    for name in ALONE_TITLES:
        rows = trials[trials[name].notna()] if name in trials else trials[:0]
        if len(rows):
            yield replace(_accuracy(rows, name, common), condition=name)
            clipped = float(rows[f"{name}_clipped"].mean())
            yield Number(
                metric="clipped", role="diagnostic", probe="", condition=name, value=clipped, n=len(rows)
            )


def _explained(rows: pd.DataFrame, name: str, common: Common) -> Iterator[Number]:
    known = _ANIMALS | _THINGS
    if unknown := sorted(set(rows["label"]) - known):
        note = f"whether {unknown[0]} is an animal is not known"
        yield Number(metric="explained_share", variant=name, value=float("nan"), note=note)
        return
    columns = (rows[column].isin(_ANIMALS).to_numpy() for column in ("decision", name, "label"))
    result = explained_information(*columns, confidence_level=common.confidence_level)
    shown = {key: one for key, one in result.items() if common.n_resamples or not key.endswith("_ci")}
    for key in _BITS:
        influence = result["influences"][key]
        yield number(
            shown,
            key,
            variant="" if key == "information" else name,
            n_clusters=len(rows),
            influence=None if np.isnan(influence).any() else by_item(influence, rows["item"]),
            interpretable=None if key == "information" else bool(result["information"] >= _FEWEST_BITS),
        )


def _kappa(rows: pd.DataFrame, name: str, common: Common) -> Number:
    both = [_right(rows, column)[:, None] for column in ("decision", name)]
    value = float(kappa_forms(*both)["kappa"][0])
    columns: dict[str, Any] = {"variant": name, "n_clusters": len(rows)}
    if np.isnan(value):
        cause = "both are right on all images, or wrong on all"
        return number({"kappa": value, "causes": {"kappa": cause}, "n": len(rows)}, "kappa", **columns)
    influence = pair_statistics(*both)[1][0][:, 0]
    result: dict[str, Any] = {"kappa": value, "n": len(rows)}
    if common.n_resamples:
        items = [np.arange(len(rows))]
        result["kappa_ci"] = influence_interval(value, influence, items, "fisher", common.confidence_level)
    return number(result, "kappa", influence=by_item(influence, rows["item"]), **columns)
