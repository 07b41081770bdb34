"""Human uncertainty: does the model doubt the images that people doubt, and between the same classes?"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from hf_clipdyn.benchmarks.answers import Answers, answers_of
from hf_clipdyn.benchmarks.base import (
    Common,
    KindSettings,
    by_item,
    digest,
    number,
)
from hf_clipdyn.benchmarks.classes import LabelledKind, class_scores, protocol_in, protocol_of
from hf_clipdyn.benchmarks.gallery import Gallery, GalleryView
from hf_clipdyn.benchmarks.heads import HEAD, at_head, probe_of
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.benchmarks.simple_models import simple_decisions
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.benchmarks.units import grouped
from hf_clipdyn.metrics.label_distribution import (
    LABEL_DISTRIBUTION_VALUES,
    class_mean_cross_entropy,
    cross_fitted,
    human_entropy,
    label_distribution,
    smoothed_label_cross_entropy,
    split_halves,
)
from hf_clipdyn.results.row import Number, NumberKey
from hf_clipdyn.results.terms import KindTerms, Overview, Reference, Term

_FITTED = "fitted_temperature"
_ORDER = ("second_choice", "top1", "top1_mode")  # a temperature does not change them
_CORRELATIONS = ("entropy_spearman", "label_spearman", "off_label_pearson")
_UNINFORMATIVE = (
    "not below {floor:.4f}, the score of predicting the mean answers of each image's class: the value "
    "says nothing about human uncertainty"
)
_AXIS: dict[str, Any] = {"better": "high", "perception": "high"}

Floats = NDArray[np.float64]


class LabelDistribution(LabelledKind[KindSettings]):
    """The model's class probabilities, compared with the shares of people who chose each class.

    The probabilities are softmax(s c), with the cosines c to the class prompts and the model's own logit scale s. The
    variant ``fitted_temperature`` replaces s by a factor that was fitted on the other half of the images (even and odd
    rows).
    A cross-entropy that is not below the reference ``label_and_class`` is not interpretable. The ceilings compare one
    half of the people with the other half (200 random splits). They are computed together with the intervals.

    Trials: item, label, counts (of people, by class), cosines (to the classes), logit_scale, protocol, pixels (the
    class that a linear model on pixels gives to the image, fitted on the other four fifths of the images; -1 for the
    only image of its class). A classifier's own head has the protocol ``head``, its logits as cosines, and the scale 1.
    """

    name = "label_distribution"
    schemas = ("label_counts",)
    terms = KindTerms(
        title="Human uncertainty",
        rank=25,
        terms={
            "cross_entropy": Term(
                title="cross-entropy with people",
                meaning="Mean cross-entropy between the distribution of people's answers and the model's "
                "probabilities.",
                unit="nats",
                better="low",
                perception="high",
                overview=Overview(rank=35),
            ),
            "kl": Term(
                title="divergence from people",
                meaning="Kullback-Leibler divergence: the cross-entropy minus the entropy of people's "
                "answers.",
                unit="nats",
                better="low",
                perception="high",
            ),
            "entropy_spearman": Term(
                title="correlation of uncertainty",
                meaning="Spearman's correlation, over images, between the entropy of the model's "
                "probabilities and the entropy of people's answers.",
                **_AXIS,
            ),
            "label_spearman": Term(
                title="correlation of the label's probability",
                meaning="Spearman's correlation, over images, between the label's probability and the "
                "share of people who chose the label.",
                **_AXIS,
            ),
            "off_label_pearson": Term(
                title="correlation on wrong classes",
                meaning="Pearson's correlation between the probabilities of the wrong classes and their "
                "shares of people's answers.",
                **_AXIS,
            ),
            "second_choice": Term(
                title="second choice",
                meaning="Share of images for which model and people agree on the most likely wrong class. "
                "Only images with at least five answers for one wrong class count.",
                limits=(0.0, 1.0),
                **_AXIS,
            ),
            "top1": Term(
                title="accuracy",
                meaning="Share of images whose most probable class is the label.",
                limits=(0.0, 1.0),
                **_AXIS,
            ),
            "top1_mode": Term(
                title="accuracy against people",
                meaning="Share of images whose most probable class is the one that most people chose.",
                limits=(0.0, 1.0),
                **_AXIS,
            ),
        },
        variants={_FITTED: "one fitted temperature"},
        probes={HEAD: "own head"},
        references=(
            Reference(role="chance", title="chance"),
            Reference(role="lower_bound", title="entropy of people"),
            Reference(role="baseline", name="label_and_class", title="mean answers of the class"),
            Reference(role="baseline", name="label", title="label with probability 0.95", drawn=False),
            Reference(role="ceiling", name="half", title="half of the people"),
            Reference(
                role="ceiling",
                name="half_and_class",
                title="half of the people, with class mean",
                drawn=False,
            ),
            Reference(role="ceiling", name="all", title="an equal number of other people"),
        ),
    )
    trial_columns: ClassVar = {
        "item": "int64",
        "label": "int64",
        "counts": "object",
        "cosines": "object",
        "logit_scale": "float64",
        "protocol": "str",
        "pixels": "int64",
    }
    later_columns = ("protocol", "pixels")

    def __init__(self, source: Source, image_processor: Any, settings: KindSettings, common: Common) -> None:
        super().__init__(source, image_processor, settings, common)
        self._common = common
        self._counts = np.asarray(source.dataset["counts"], np.int64)
        self.facts = source.incomplete(len(self.shown))
        answers = [self.labels.tolist(), self._counts.tolist()]
        self.fingerprint = digest(self.name, self.pixels.fingerprint, self.names, *answers, self.templates)

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Cosines of every image to every class, or the logits of a classifier's head."""
        scores = class_scores(readout, self.stimuli, self.names, self.templates)
        protocol = protocol_of(readout)
        return pd.DataFrame(
            {
                "item": self.shown,
                "label": self.labels[self.shown],
                "counts": self._counts[self.shown].tolist(),
                "cosines": scores.tolist(),
                "logit_scale": 1.0 if protocol == HEAD else readout.encoder.logit_scale,
                "protocol": protocol,
                "pixels": self._by_pixels,
            }
        )

    @cached_property
    def _by_pixels(self) -> NDArray[np.int64]:
        shown = self.pixels.array[self.shown], self.labels[self.shown]
        return simple_decisions("pixels", *shown, self._common, key=self.fingerprint)

    @staticmethod
    def gallery(trials: pd.DataFrame) -> Gallery:
        """Images with their label, the most probable class, and the class that most people chose."""
        shown = trials.set_index("item")
        counts = np.stack(shown["counts"].to_list())
        return Gallery(
            answer="class",
            answers={protocol_in(trials) or "prompts": shown["cosines"].map(np.argmax)},
            truth=shown["label"],
            truth_title="label",
            people=pd.Series(counts.argmax(axis=1), index=shown.index),
            people_share=pd.Series(counts.max(axis=1) / counts.sum(axis=1), index=shown.index),
            check=shown[["label"]],
        )

    views = (GalleryView(("item", "label", "counts", "cosines", "protocol"), gallery),)
    answers_from = ("item", "label", "counts", "cosines", "logit_scale", "protocol", "pixels")

    @classmethod
    def answers(cls, trials: pd.DataFrame) -> Iterator[Answers]:
        """The most probable class, with people's answers and those of the linear model on pixels."""
        key = NumberKey(metric="top1", probe=probe_of(protocol_in(trials)))
        rows = trials.assign(decision=trials["cosines"].map(np.argmax)).sort_values("item", kind="stable")
        counts, cosines = (np.stack(rows[name].to_list()) for name in ("counts", "cosines"))
        scale = float(rows["logit_scale"].iloc[0])
        by_pixels = rows["pixels"].to_numpy(np.int64) if "pixels" in rows else np.full(len(rows), -1)
        yield replace(
            answers_of(rows, key),
            counts=counts.astype(np.int64),
            scores=cosines,
            logit_scale=scale,
            by_pixels=by_pixels,
        )

    @staticmethod
    def score(trials: pd.DataFrame, common: Common) -> list[Number]:
        """All values with both temperatures, the bounds and the ceilings."""
        counts, labels = _answers(trials)
        floor, entropy = class_mean_cross_entropy(counts, labels), float(human_entropy(counts).mean())
        groups, named = grouped(trials["item"])
        numbers: list[Number] = []
        for variant, probabilities in _probabilities(trials):
            result = label_distribution(probabilities, counts, labels, groups=groups, **common.resampling)
            for name in LABEL_DISTRIBUTION_VALUES:
                if variant and name in _ORDER:
                    continue
                n = result["n_second_choice"] if name == "second_choice" else result["n"]
                said: dict[str, Any] = {"variant": variant, "n": n, "n_clusters": n}
                if name in ("cross_entropy", "kl"):
                    says = result["cross_entropy"] < floor
                    said["interpretable"] = bool(says)
                    if not says:
                        result["causes"][name] = _UNINFORMATIVE.format(
                            floor=floor - (entropy if name == "kl" else 0)
                        )
                contributions = result["influences"][name]
                known = (
                    pd.Series(contributions, index=named)
                    if name in _CORRELATIONS
                    else by_item(contributions, trials["item"])
                )
                numbers.append(number(result, name, influence=known, **said))
        numbers = at_head(numbers, protocol_in(trials))
        return [*numbers, *_scales(counts, labels, floor, entropy, common)]


def _answers(trials: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.stack(trials["counts"].to_list()).astype(np.int64), trials["label"].to_numpy(np.int64)


def _probabilities(trials: pd.DataFrame) -> Iterator[tuple[str, Floats]]:
    """The model's probabilities by variant, (n, classes)."""
    cosines = np.stack(trials["cosines"].to_list()).astype(np.float64)
    yield "", softmax(trials["logit_scale"].to_numpy()[:, None] * cosines, axis=1)
    halves = trials["item"].to_numpy() % 2
    if 0 < halves.sum() < len(halves):
        yield _FITTED, cross_fitted(cosines, np.stack(trials["counts"].to_list()), halves)[0]


def _scales(
    counts: NDArray[np.int64], labels: NDArray[np.int64], floor: float, entropy: float, common: Common
) -> Iterator[Number]:
    """Chance, bounds and ceilings, which join the values of every variant."""
    n, n_classes = counts.shape
    columns: dict[str, Any] = {"probe": "", "n": n, "n_clusters": n}

    def scale(role: Any, reference: str, **values: float) -> Iterator[Number]:
        for metric, value in values.items():
            yield Number(metric=metric, role=role, reference=reference, value=value, **columns)

    uniform = float(np.log(n_classes))
    share = dict.fromkeys(("top1", "top1_mode"), 1 / n_classes)
    correlations = dict.fromkeys(_CORRELATIONS, 0.0)
    yield from scale(
        "chance",
        "",
        cross_entropy=uniform,
        kl=uniform - entropy,
        second_choice=1 / (n_classes - 1),
        **share,
        **correlations,
    )
    yield from scale("lower_bound", "", cross_entropy=entropy)
    yield from scale("baseline", "label_and_class", cross_entropy=floor, kl=floor - entropy)
    smoothed = smoothed_label_cross_entropy(counts, labels)
    yield from scale("baseline", "label", cross_entropy=smoothed, kl=smoothed - entropy)
    if not common.n_resamples:
        return
    halves = split_halves(counts, labels, seed=common.seed)
    own = {name: halves[name] for name in ("cross_entropy", *_CORRELATIONS, "second_choice")}
    yield from scale("ceiling", "half", **own)
    yield from scale("ceiling", "half_and_class", cross_entropy=halves["cross_entropy_class"])
    yield from scale("ceiling", "all", **{name: halves[f"{name}_stepped_up"] for name in _CORRELATIONS})
