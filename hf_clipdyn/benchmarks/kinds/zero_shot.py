"""Zero-shot classification: the class whose prompts are nearest to the image."""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.answers import Answers, answers_of
from hf_clipdyn.benchmarks.base import Common, KindSettings, digest, mean_by_item, number
from hf_clipdyn.benchmarks.classes import LabelledKind, class_scores, protocol_in, protocol_of, ranking
from hf_clipdyn.benchmarks.gallery import Gallery, GalleryView
from hf_clipdyn.benchmarks.heads import HEAD, at_head, probe_of
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.metrics.zero_shot_accuracy import zero_shot_accuracy
from hf_clipdyn.results.row import Number, NumberKey
from hf_clipdyn.results.terms import KindTerms, Overview, Reference, Term

_KEPT = 5
_SHARE: dict[str, Any] = {"limits": (0.0, 1.0), "better": "high", "perception": "high"}


class ZeroShot(LabelledKind[KindSettings]):
    """Top-1 and top-5 accuracy on labelled images.

    Trials: item, label, ranking (the best five class ids), n_classes, protocol (``head`` if a classifier's own head
    ranked them; empty for prompts).
    """

    name = "zero_shot"
    schemas = ("labels",)
    terms = KindTerms(
        title="Zero-shot classification",
        rank=20,
        task="zero-shot-image-classification",
        terms={
            "top1": Term(
                title="zero-shot accuracy",
                meaning="Share of images whose class the model ranks first.",
                overview=Overview(rank=30),
                **_SHARE,
            ),
            "top5": Term(
                title="zero-shot accuracy, top 5",
                meaning="Share of images whose class is among the model's first five.",
                **_SHARE,
            ),
        },
        probes={HEAD: "own head"},
        references=(Reference(role="chance", title="chance", joins=("metric",)),),
    )
    trial_columns: ClassVar = {
        "item": "int64",
        "label": "int64",
        "ranking": "object",
        "n_classes": "int64",
        "protocol": "str",
    }
    later_columns = ("protocol",)

    def __init__(self, source: Source, image_processor: Any, settings: KindSettings, common: Common) -> None:
        super().__init__(source, image_processor, settings, common)
        self.fingerprint = digest(
            self.name, self.pixels.fingerprint, self.names, self.labels.tolist(), self.templates
        )

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Rank the classes for every image."""
        ranked = ranking(class_scores(readout, self.stimuli, self.names, self.templates))
        return pd.DataFrame(
            {
                "item": self.shown,
                "label": self.labels[self.shown],
                "ranking": ranked[:, :_KEPT].tolist(),
                "n_classes": len(self.names),
                "protocol": protocol_of(readout),
            }
        )

    @staticmethod
    def gallery(trials: pd.DataFrame) -> Gallery:
        """Images with their class, and the first decision."""
        shown = trials.set_index("item")
        return Gallery(
            answer="class",
            answers={protocol_in(trials) or "prompts": shown["ranking"].str[0].astype("int64")},
            truth=shown["label"],
            truth_title="class",
            check=shown[["label"]],
        )

    views = (GalleryView(("item", "label", "ranking", "protocol"), gallery),)
    answers_from = ("item", "label", "ranking", "protocol")

    @classmethod
    def answers(cls, trials: pd.DataFrame) -> Iterator[Answers]:
        """The class that is ranked first."""
        first = trials["ranking"].str[0].astype("int64")
        key = NumberKey(metric="top1", probe=probe_of(protocol_in(trials)))
        yield answers_of(trials.assign(decision=first), key)

    @staticmethod
    def score(trials: pd.DataFrame, common: Common) -> list[Number]:
        """Accuracies, with chance beside each."""
        n, n_classes = len(trials), int(trials["n_classes"].iloc[0])
        result = zero_shot_accuracy(
            trials["ranking"].tolist(), trials["label"], n_classes=n_classes, **common.resampling
        )
        hits = np.stack(trials["ranking"].to_list()) == trials["label"].to_numpy()[:, None]
        right = {"top1": hits[:, 0], "top5": hits[:, :_KEPT].any(axis=1)}
        chances = {"top1": result["chance"], "top5": min(_KEPT, n_classes) / n_classes}
        numbers = [
            number(result, key, n_clusters=n, influence=mean_by_item(right[key], trials["item"]))
            for key in chances
        ]
        return [
            *at_head(numbers, protocol_in(trials)),
            *(
                Number(metric=key, role="chance", value=value, n=n, n_clusters=n)
                for key, value in chances.items()
            ),
        ]
