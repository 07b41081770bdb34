"""What kinds that ask for classes share: names and labels, prompts, the classes ranked first, people's answers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.answers import Answers, answers_of
from hf_clipdyn.benchmarks.base import Common, ImageKind, S, similarity, unit
from hf_clipdyn.benchmarks.gallery import most_frequent
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.benchmarks.shape_scores import HUMAN
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.prompts import IMAGENET, PHOTO, imagenet_names, prompt_name
from hf_clipdyn.metrics.shape_decisions import shape_decisions
from hf_clipdyn.results.row import NumberKey

__all__ = ["ClassifiedKind", "LabelledKind", "class_embeddings", "default_templates", "prompt_sets", "rank"]

_PROMPT_SETS = {"imagenet_80": IMAGENET, "name": ("{}",)}
_LOGIT_SCALE = 100  # CLIP's, and part of the 1,000-way protocol: its softmax is averaged over classes


class LabelledKind(ImageKind[S]):
    """Base of kinds that ask for the class of labelled images.

    Attributes:
        names: of the classes.
        labels: the class id of each row.
        templates: of the prompts.
    """

    text_drift = True

    def __init__(self, source: Source, image_processor: Any, settings: S, common: Common) -> None:
        super().__init__(source, image_processor, settings, common)
        self.names: list[str] = list(source.dataset.features["label"].names)
        self.labels = np.asarray(source.dataset["label"], np.int64)
        self.templates = default_templates(source.metadata)


class ClassifiedKind(ImageKind[S]):
    """Base of kinds whose images people classified too. ``protocol`` is the way of asking, or ``human``.

    Attributes:
        columns: of the data set, which the trials have too.
        described: these columns, for all rows.
        images: these columns and ``item``, of the images that are shown.
        humans: one row for each answer of an observer to one of them.
        prompts: sets of templates by name.
    """

    columns: ClassVar[tuple[str, ...]]

    def __init__(self, source: Source, image_processor: Any, settings: S, common: Common) -> None:
        super().__init__(source, image_processor, settings, common)
        self.described = source.dataset.select_columns([*self.columns, "human_responses"]).to_pandas()
        responses = self.described.pop("human_responses")
        self.images = self.described.iloc[self.shown].reset_index(drop=True).assign(item=self.shown)
        answers = [
            (position, answer["subject"], answer["response"])
            for position, item in enumerate(self.shown)
            for answer in (responses[item] if responses[item] is not None else ())
        ]
        table = pd.DataFrame(answers, columns=["position", "observer", "decision"])
        rows = self.images.iloc[table.pop("position").to_numpy(np.int64)].reset_index(drop=True)
        self.humans: pd.DataFrame = rows.assign(protocol=HUMAN, **table)
        self.prompts = prompt_sets(source.metadata)

    def ask(
        self,
        readout: Readout,
        embeddings: NDArray[np.float32],
        classes: Sequence[str],
        thousand_way: Mapping[str, tuple[str, ...]],
    ) -> Iterator[pd.DataFrame]:
        """Trials of each set of prompts, and of each that asks for ImageNet's 1,000 classes; then people's."""
        for name, templates in self.prompts.items():
            best = rank(embeddings, class_embeddings(readout, classes, templates))[:, 0]
            yield self.images.assign(protocol=name, decision=np.asarray(classes)[best])
        for name, templates in thousand_way.items():
            texts = class_embeddings(readout, list(imagenet_names().values()), templates)
            decisions = shape_decisions(_LOGIT_SCALE * similarity(embeddings, texts), protocol="1000-way")
            yield self.images.assign(protocol=name, decision=decisions)
        yield self.humans

    @classmethod
    def answers_by_protocol(cls, trials: pd.DataFrame, label: str, **key: Any) -> Iterator[Answers]:
        """The answers of each way of asking and of each person.

        Args:
            trials: whose protocols are ways of asking, or ``human``.
            label: column of the right answer.
            **key: further columns of the number's key.
        """
        for protocol, rows in trials.groupby("protocol", sort=False):
            if protocol != HUMAN:
                named = NumberKey(variant=str(protocol), **key)
                yield answers_of(rows, named, label=label, clusters=cls.clusters)
                continue
            for observer, own in rows.groupby("observer"):
                named = NumberKey(probe="", role="human", reference=str(observer), **key)
                yield answers_of(own, named, label=label, clusters=cls.clusters)

    @classmethod
    def people(cls, trials: pd.DataFrame) -> dict[str, Any]:
        """What a gallery says of people's answers."""
        humans = trials[trials["protocol"] == HUMAN]
        people, share = most_frequent(humans)
        return {
            "people": people,
            "people_share": share,
            "observers": humans[["item", "observer", "decision"]],
            "clusters": trials.drop_duplicates("item").set_index("item")[list(cls.clusters)],
        }


def default_templates(metadata: DatasetMetadata) -> tuple[str, ...]:
    """The data set's own templates, else "a photo of a {}."."""
    return metadata.templates or PHOTO


def prompt_sets(metadata: DatasetMetadata) -> dict[str, tuple[str, ...]]:
    """Sets of templates by name; the default one is named "".

    A data set with templates of its own is asked with these alone: the embedded world, say, knows no
    origami.
    """
    templates = default_templates(metadata)
    return {"": templates} | (_PROMPT_SETS if templates == PHOTO else {})


def class_embeddings(readout: Readout, names: Sequence[str], templates: Sequence[str]) -> NDArray[np.float64]:
    """Unit vectors of the classes, (classes, d): each prompt normalised, averaged, normalised again."""
    prompts = [template.format(prompt_name(name)) for name in names for template in templates]
    rows = unit(readout.texts(prompts))
    return unit(rows.reshape(len(names), len(templates), -1).mean(axis=1))


def rank(images: NDArray[np.float32], classes: NDArray[np.float64]) -> NDArray[np.int64]:
    """Class ids of each image, best first, (n, classes); among equal similarities, the lower id comes first.

    Args:
        images: embeddings, (n, d).
        classes: see `class_embeddings`, (classes, d).
    """
    return np.argsort(-similarity(images, classes), axis=1, kind="stable")
