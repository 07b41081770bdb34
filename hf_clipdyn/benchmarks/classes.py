"""What kinds that ask for classes share: names and labels, prompts, scores of the classes, people's answers.

`class_scores` is the one place where a model says which class an image shows: by its own head if it is a classifier,
by prompts if it reads texts.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.answers import Answers, answers_of
from hf_clipdyn.benchmarks.base import Common, ImageKind, KindSettings, S, similarity, unit
from hf_clipdyn.benchmarks.gallery import most_frequent
from hf_clipdyn.benchmarks.heads import HEAD, probe_of
from hf_clipdyn.benchmarks.readout import Readout, Stimuli
from hf_clipdyn.benchmarks.shape_scores import HUMAN
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.prompts import IMAGENET, PHOTO, imagenet_names, prompt_name
from hf_clipdyn.errors import EvaluationError, UnknownNameError
from hf_clipdyn.metrics.shape_decisions import shape_decisions
from hf_clipdyn.results.row import NumberKey

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

    @classmethod
    def classes(cls, source: Source, settings: KindSettings) -> Sequence[str]:
        del settings
        names: list[str] = source.dataset.features["label"].names
        return names

    def __init__(self, source: Source, image_processor: Any, settings: S, common: Common) -> None:
        super().__init__(source, image_processor, settings, common)
        self.names = list(source.dataset.features["label"].names)
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

    def keep_classes(self, chosen: Sequence[str] | None, offered: Sequence[str], *columns: str) -> list[str]:
        """Leave out the images with another class in one of these columns, and people's answers to them.

        Args:
            chosen: the classes that stay; None keeps all.
            offered: all classes.
            columns: of the images, which name classes.

        Returns:
            The classes that a decision is among.

        Raises:
            UnknownNameError: one of them is not offered.
            EvaluationError: no image is left.
        """
        if chosen is None:
            return list(offered)
        for name in chosen:
            if name not in offered:
                raise UnknownNameError("class", name, offered)
        kept = self.images[list(columns)].isin(chosen).all(axis=1)
        if not kept.any():
            raise EvaluationError(f"No image shows the classes {', '.join(chosen)} alone: give others.")
        self.images = self.images[kept].reset_index(drop=True)
        self.humans = self.humans[self.humans["item"].isin(self.images["item"])].reset_index(drop=True)
        self.stimuli = self.stimuli.select(np.flatnonzero(kept))
        return list(chosen)

    def ask(
        self,
        readout: Readout,
        classes: Sequence[str],
        thousand_way: Mapping[str, tuple[str, ...]],
        stimuli: Stimuli | None = None,
    ) -> Iterator[pd.DataFrame]:
        """Trials of each way of asking.

        A model that reads texts is asked with each set of prompts, and with each that asks for ImageNet's 1,000
        classes. A classifier is asked once, for what its head answers. ``stimuli`` are the images in another form.
        """
        way, stimuli = protocol_of(readout), self.stimuli if stimuli is None else stimuli
        for name, templates in self.prompts.items() if way != HEAD else [(HEAD, ())]:
            best = ranking(class_scores(readout, stimuli, classes, templates))[:, 0]
            yield self.images.assign(protocol=name, decision=np.asarray(classes)[best])
        for name, templates in thousand_way.items() if way != HEAD else ():
            names = list(imagenet_names().values())
            scores = _LOGIT_SCALE * class_scores(readout, stimuli, names, templates)
            yield self.images.assign(protocol=name, decision=shape_decisions(scores, protocol="1000-way"))

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
                variant = "" if protocol == HEAD else str(protocol)
                named = NumberKey(variant=variant, probe=probe_of(str(protocol)), **key)
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


def protocol_of(readout: Readout) -> str:
    """How a model says which class an image shows: "" by prompts, `HEAD` by the head of a classifier."""
    return "" if readout.head is None else HEAD


def protocol_in(trials: pd.DataFrame) -> str:
    """What `protocol_of` said of all of these trials; those of earlier versions were asked with prompts."""
    return str(trials["protocol"].iloc[0]) if "protocol" in trials and len(trials) else ""


def probe_in(trials: pd.DataFrame) -> str:
    """Where all of these decisions are read out, for the column ``probe`` of their numbers."""
    return probe_of(protocol_in(trials))


def class_scores(
    readout: Readout, stimuli: Stimuli, names: Sequence[str], templates: Sequence[str]
) -> NDArray[np.float64]:
    """How much each image looks like each of the classes to the model, (n, names).

    Args:
        readout: of a model that reads texts, or of a classifier whose head has all of these classes.
        stimuli: the images.
        names: of the classes.
        templates: of the prompts, which a head does not need (`class_embeddings`).

    Returns:
        Cosines of embeddings; the logits of a head (`hf_clipdyn.benchmarks.heads.Head.scores`).
    """
    if readout.head is not None:
        return readout.head.scores(readout.logits(stimuli), names)
    return similarity(readout.images(stimuli), class_embeddings(readout, names, templates))


def class_embeddings(readout: Readout, names: Sequence[str], templates: Sequence[str]) -> NDArray[np.float64]:
    """Unit vectors of the classes, (classes, d): each prompt normalised, averaged, normalised again."""
    prompts = [template.format(prompt_name(name)) for name in names for template in templates]
    rows = unit(readout.texts(prompts))
    return unit(rows.reshape(len(names), len(templates), -1).mean(axis=1))


def ranking(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Class ids of each image, best first, (n, classes); among equal scores, the lower id comes first."""
    return np.argsort(-scores, axis=1, kind="stable")
