"""Zero-shot classification: the class whose prompts are nearest to the image."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hf_clipdyn.benchmarks.classes import LabelledKind, class_scores, probe_in, protocol_of, ranking
from hf_clipdyn.benchmarks.heads import HEAD
from hf_clipdyn.benchmarks.kind import Common, KindSettings, digest, number, share, words
from hf_clipdyn.results.row import Number, NumberKey
from hf_clipdyn.results.terms import Overview, Reference

if TYPE_CHECKING:
    import pandas as pd

    from hf_clipdyn.benchmarks.answers import Answers
    from hf_clipdyn.benchmarks.readout import Readout
    from hf_clipdyn.benchmarks.sources import Source
    from hf_clipdyn.metrics.scores import Scale

_KEPT = 5


class ZeroShot(LabelledKind[KindSettings]):
    """Top-1 and top-5 accuracy on labelled images.

    Trials: item, label, ranking (the best five class ids), n_classes, protocol (``head`` if a classifier's own head
    ranked them; empty for prompts).
    """

    name = "zero_shot"
    schemas = ("labels",)
    score_version = 2
    terms = words(
        "Zero-shot classification",
        20,
        share(
            "top1",
            "zero-shot accuracy",
            "Share of images whose class the model ranks first.",
            perception="high",
            overview=Overview(rank=30),
        ),
        share(
            "top5",
            "zero-shot accuracy, top 5",
            "Share of images whose class is among the model's first five.",
            perception="high",
        ),
        task="zero-shot-image-classification",
        probes={HEAD: "own head"},
        references=(Reference(role="chance", title="chance", joins=("metric",)),),
    )

    def __init__(
        self, source: "Source", image_processor: Any, settings: KindSettings, common: Common
    ) -> None:
        super().__init__(source, image_processor, settings, common)
        self.facts = {}
        labels = self.described["label"].tolist()
        self.fingerprint = digest(self.name, self.pixels[0].fingerprint, self.names, labels, self.templates)

    def observe(self, readout: "Readout") -> "pd.DataFrame":
        """Rank the classes for every image."""
        ranked = ranking(class_scores(readout, self.stimuli[0], self.names, self.templates))
        trials: pd.DataFrame = self.table[["item", "label"]].assign(
            ranking=ranked[:, :_KEPT].tolist(), n_classes=len(self.names), protocol=protocol_of(readout)
        )
        return trials

    @classmethod
    def score(cls, trials: "pd.DataFrame", seed: int = 0) -> "Iterator[tuple[Number, Scale]]":
        """Accuracies, with chance beside each."""
        from hf_clipdyn.metrics.zero_shot_accuracy import zero_shot_accuracy

        n_classes = int(trials["n_classes"].iloc[0])
        found = zero_shot_accuracy(trials["ranking"].to_list(), trials["label"], n_classes=n_classes)
        for metric, chance in (("top1", "chance"), ("top5", "top5_chance")):
            yield number(metric, found[metric], trials["item"], probe=probe_in(trials))
            yield number(metric, found[chance], role="chance", n_clusters=len(trials))

    @classmethod
    def answers(cls, trials: "pd.DataFrame") -> "Iterator[Answers]":
        """The class that is ranked first."""
        from hf_clipdyn.benchmarks.answers import answers_of

        first = trials["ranking"].str[0].astype("int64")
        yield answers_of(trials.assign(decision=first), NumberKey(metric="top1", probe=probe_in(trials)))
