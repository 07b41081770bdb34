"""Human uncertainty: does the model doubt the images that human observers doubt?"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hf_clipdyn.benchmarks.classes import LabelledKind, class_scores, probe_in, protocol_of
from hf_clipdyn.benchmarks.kind import Common, KindSettings, digest, number, share, term, words
from hf_clipdyn.results.row import Number, NumberKey
from hf_clipdyn.results.terms import Overview, Reference

if TYPE_CHECKING:
    import pandas as pd

    from hf_clipdyn.benchmarks.answers import Answers
    from hf_clipdyn.benchmarks.readout import Readout
    from hf_clipdyn.benchmarks.sources import Source
    from hf_clipdyn.metrics.scores import Scale

_FITTED = "fitted_temperature"
_NATS: dict[str, Any] = {"unit": "nats", "better": "low", "perception": "high"}
_UNINFORMATIVE = (
    "not below {floor:.4f}, the score of predicting the mean answers of each image's class: the value "
    "says nothing about human uncertainty"
)


class LabelDistribution(LabelledKind[KindSettings]):
    """The model's class probabilities, compared with the shares of observers who chose each class.

    The probabilities are softmax(s c), with the cosines c to the class prompts and the model's own logit scale s. The
    variant ``fitted_temperature`` replaces s by a factor that was fitted on the other half of the images (even and odd
    rows).
    A cross-entropy that is not below the reference ``label_and_class`` is not interpretable. The ceiling compares one
    half of the observers with the other half (200 random splits).

    Trials: item, label, counts (of observers, by class), cosines (to the classes), logit_scale, protocol.
    A classifier's own head has the protocol ``head``, its logits as cosines, and the scale 1.
    """

    name = "label_distribution"
    schemas = ("label_counts",)
    score_version = 2
    terms = words(
        "Human uncertainty",
        25,
        term(
            "cross_entropy",
            "cross-entropy with human observers",
            "Mean cross-entropy between the distribution of human observers' answers and the model's probabilities.",
            overview=Overview(rank=35),
            **_NATS,
        ),
        term(
            "kl",
            "divergence from human observers",
            "Kullback-Leibler divergence: the cross-entropy minus the entropy of human observers' answers.",
            **_NATS,
        ),
        term(
            "entropy_spearman",
            "correlation of uncertainty",
            "Spearman's correlation, over images, between the entropy of the model's probabilities and the entropy of "
            "human observers' answers.",
            better="high",
            perception="high",
        ),
        share(
            "top1",
            "accuracy",
            "Share of images whose most probable class is the label.",
            perception="high",
        ),
        variants={_FITTED: "one fitted temperature"},
        probes={"head": "own head"},
        references=(
            Reference(role="chance", title="chance"),
            Reference(role="lower_bound", title="entropy of human observers"),
            Reference(role="baseline", name="label_and_class", title="mean answers of the class"),
            Reference(role="ceiling", name="half", title="half of the observers"),
        ),
    )

    def __init__(
        self, source: "Source", image_processor: Any, settings: KindSettings, common: Common
    ) -> None:
        super().__init__(source, image_processor, settings, common)
        answers = [source.dataset["label"][:], source.dataset["counts"][:]]
        self.fingerprint = digest(self.name, self.pixels[0].fingerprint, self.names, *answers, self.templates)

    def observe(self, readout: "Readout") -> "pd.DataFrame":
        """Cosines of every image to every class, or the logits of a classifier's head."""
        scores = class_scores(readout, self.stimuli[0], self.names, self.templates)
        protocol = protocol_of(readout)
        trials: pd.DataFrame = self.table[["item", "label", "counts"]].assign(
            counts=[one.tolist() for one in self.table["counts"]],
            cosines=scores.tolist(),
            logit_scale=1.0 if protocol else readout.encoder.logit_scale,
            protocol=protocol,
        )
        return trials

    @classmethod
    def score(cls, trials: "pd.DataFrame", seed: int = 0) -> "Iterator[tuple[Number, Scale]]":
        """All values with both temperatures, the bounds and the ceiling."""
        import numpy as np
        from scipy.special import softmax

        from hf_clipdyn.benchmarks.units import grouped
        from hf_clipdyn.metrics.label_distribution import (
            class_mean_cross_entropy,
            cross_fitted,
            human_entropy,
            label_distribution,
            split_halves,
        )
        from hf_clipdyn.metrics.scores import Score

        counts, cosines = (np.stack(trials[name].to_list()) for name in ("counts", "cosines"))
        cosines = cosines.astype(np.float64)
        labels, halves = trials["label"].to_numpy(np.int64), trials["item"].to_numpy() % 2
        codes, groups = grouped(trials["item"])
        floor, entropy = class_mean_cross_entropy(counts, labels), float(human_entropy(counts).mean())
        shown = {"": softmax(trials["logit_scale"].to_numpy()[:, None] * cosines, axis=1)}
        if 0 < halves.sum() < len(halves):
            shown[_FITTED] = cross_fitted(cosines, counts, halves)
        for variant, probabilities in shown.items():
            found = label_distribution(probabilities, counts, labels, groups=codes)
            place: dict[str, Any] = {"variant": variant, "probe": probe_in(trials)}
            for metric, lowest in (("cross_entropy", floor), ("kl", floor - entropy)):
                informs = bool(found["cross_entropy"].value < floor)
                note = "" if informs else _UNINFORMATIVE.format(floor=lowest)
                yield number(metric, found[metric], trials["item"], interpretable=informs, note=note, **place)
            yield number("entropy_spearman", found["entropy_spearman"], groups, **place)
            if not variant:  # a temperature does not change which class is the most probable
                yield number("top1", found["top1"], trials["item"], **place)

        n, n_classes = counts.shape
        uniform, half = float(np.log(n_classes)), split_halves(counts, seed=seed)
        bounds: dict[tuple[Any, str], dict[str, float]] = {
            ("chance", ""): {
                "cross_entropy": uniform,
                "kl": uniform - entropy,
                "entropy_spearman": 0.0,
                "top1": 1 / n_classes,
            },
            ("lower_bound", ""): {"cross_entropy": entropy},
            ("baseline", "label_and_class"): {"cross_entropy": floor, "kl": floor - entropy},
            ("ceiling", "half"): half,
        }
        for (role, reference), values in bounds.items():
            for metric, value in values.items():
                yield number(metric, Score(value, n=n), role=role, reference=reference, probe="")

    @classmethod
    def answers(cls, trials: "pd.DataFrame") -> "Iterator[Answers]":
        """The most probable class, with human observers' answers."""
        import numpy as np

        from hf_clipdyn.benchmarks.answers import answers_of

        rows = trials.assign(decision=trials["cosines"].map(np.argmax)).sort_values("item", kind="stable")
        counts, scores = (np.stack(rows[name].to_list()) for name in ("counts", "cosines"))
        yield replace(
            answers_of(rows, NumberKey(metric="top1", probe=probe_in(trials))),
            counts=counts.astype(np.int64),
            scores=scores,
            logit_scale=float(rows["logit_scale"].iloc[0]),
        )
