"""What kinds that ask for classes share: names and labels, prompts, scores of the classes, people's answers.

`class_scores` is the one place where a model says which class an image shows: by its own head if it is a classifier,
by prompts if it reads texts.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from hf_clipdyn.benchmarks.heads import HEAD, probe_of
from hf_clipdyn.benchmarks.kind import Common, Kind, KindSettings, S
from hf_clipdyn.benchmarks.shape_scores import HUMAN
from hf_clipdyn.data.prompts import IMAGENET, PHOTO, imagenet_names, prompt_name
from hf_clipdyn.errors import EvaluationError, UnknownNameError
from hf_clipdyn.results.row import NumberKey

if TYPE_CHECKING:
    import pandas as pd

    from hf_clipdyn.benchmarks.answers import Answers
    from hf_clipdyn.benchmarks.readout import Readout, Stimuli
    from hf_clipdyn.benchmarks.sources import Source
    from hf_clipdyn.data.metadata import DatasetMetadata
    from hf_clipdyn.metrics.checks import Floats, Ints

_BY_NAME = ("{}",)


class LabelledKind(Kind[S]):
    """Base of kinds that ask for the classes of the data set: ``names``, with the ``templates`` of the prompts."""

    def __init__(self, source: "Source", image_processor: Any, settings: S, common: Common) -> None:
        super().__init__(source, image_processor, settings, common)
        self.names = self.classes(source, settings)
        self.templates = default_templates(source.metadata)

    @classmethod
    def classes(cls, source: "Source", settings: KindSettings) -> Sequence[str]:
        """The classes of the data set."""
        del settings
        return source.class_names


class ClassifiedKind(Kind[S]):
    """Base of kinds whose images people classified too. ``protocol`` is the way of asking, or ``human``.

    Attributes:
        columns: of the data set, which the trials have too.
        asked: these columns and ``item``, of the images that are asked about.
        humans: one row for each answer of an observer to one of them.
        prompts: sets of templates by name; the default one is named "".
    """

    columns: ClassVar[tuple[str, ...]]

    def __init__(self, source: "Source", image_processor: Any, settings: S, common: Common) -> None:
        import pandas as pd

        super().__init__(source, image_processor, settings, common)
        self.asked = self.table[[*self.columns, "item"]].reset_index(drop=True)
        answers = [
            (item, answer["subject"], answer["response"])
            for item, given in zip(self.shown, self.table["human_responses"], strict=True)
            for answer in (given if given is not None else ())
        ]
        told = pd.DataFrame(answers, columns=["item", "observer", "decision"]).astype({"item": "int64"})
        self.humans: pd.DataFrame = self.asked.merge(told, on="item").assign(protocol=HUMAN)
        templates = default_templates(source.metadata)
        # A data set with templates of its own is asked with these alone: the embedded world knows no origami.
        self.prompts = {"": templates} | ({"name": _BY_NAME} if templates == PHOTO else {})

    def asked_before(self, *, with_thousand: bool) -> list[Any]:
        """What earlier versions asked with, for the fingerprint: the key of a cell says the same as ever.

        Args:
            with_thousand: whether they also asked for ImageNet's 1,000 classes.
        """
        is_photo = self.prompts[""] == PHOTO
        prompts = self.prompts | ({"imagenet_80": IMAGENET} if is_photo else {})
        return [prompts, list(imagenet_names().values()) if is_photo and with_thousand else []]

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
        import numpy as np

        if chosen is None:
            return list(offered)
        for name in chosen:
            if name not in offered:
                raise UnknownNameError("class", name, offered)
        kept = self.asked[list(columns)].isin(chosen).all(axis=1)
        if not kept.any():
            raise EvaluationError(f"No image shows the classes {', '.join(chosen)} alone: give others.")
        self.asked = self.asked[kept].reset_index(drop=True)
        self.humans = self.humans[self.humans["item"].isin(self.asked["item"])].reset_index(drop=True)
        self.stimuli = [stimuli.select(np.flatnonzero(kept)) for stimuli in self.stimuli]
        return list(chosen)

    def ask(self, readout: "Readout", classes: Sequence[str], stimuli: "Stimuli") -> "Iterator[pd.DataFrame]":
        """Trials of each way of asking: a model that reads texts with each set of prompts, a classifier once.

        Args:
            readout: the revision.
            classes: that a decision is among.
            stimuli: the images, also in another form.
        """
        import numpy as np

        way = protocol_of(readout)
        for name, templates in self.prompts.items() if way != HEAD else [(HEAD, ())]:
            best = ranking(class_scores(readout, stimuli, classes, templates))[:, 0]
            yield self.asked.assign(protocol=name, decision=np.asarray(classes)[best])

    @classmethod
    def answers_by_protocol(cls, trials: "pd.DataFrame", label: str, **key: Any) -> "Iterator[Answers]":
        """The answers of each way of asking and of each person.

        Args:
            trials: whose protocols are ways of asking, or ``human``.
            label: column of the right answer.
            **key: further columns of the number's key.
        """
        from hf_clipdyn.benchmarks.answers import answers_of

        clusters = [str(way) for way in cls.clusters]
        for protocol, rows in trials.groupby("protocol", sort=False):
            if protocol != HUMAN:
                variant = "" if protocol == HEAD else str(protocol)
                named = NumberKey(variant=variant, probe=probe_of(str(protocol)), **key)
                yield answers_of(rows, named, label=label, clusters=clusters)
                continue
            for observer, own in rows.groupby("observer"):
                named = NumberKey(probe="", role="human", reference=str(observer), **key)
                yield answers_of(own, named, label=label, clusters=clusters)


def right_by_observer(images: "pd.DataFrame", humans: "pd.DataFrame", category: str) -> "Floats":
    """Whether each observer named the class in the column ``category``; NaN for an image that one did not see.

    Args:
        images: a row for each image, with its item.
        humans: a row for each answer, with item, observer and decision.

    Returns:
        (images, observers), the observers sorted by name; those who saw none of the images are left out.
    """
    told = humans.assign(right=(humans["decision"] == humans[category]).astype(float))
    table = told.drop_duplicates(["item", "observer"], keep="last").pivot(
        index="item", columns="observer", values="right"
    )
    return table.reindex(images["item"]).dropna(axis=1, how="all").to_numpy("float64")


def default_templates(metadata: "DatasetMetadata") -> tuple[str, ...]:
    """The data set's own templates, else "a photo of a {}."."""
    return metadata.templates or PHOTO


def protocol_of(readout: "Readout") -> str:
    """How a model says which class an image shows: "" by prompts, `HEAD` by the head of a classifier."""
    return "" if readout.head is None else HEAD


def protocol_in(trials: "pd.DataFrame") -> str:
    """What `protocol_of` said of all of these trials; those of earlier versions were asked with prompts."""
    return str(trials["protocol"].iloc[0]) if "protocol" in trials and len(trials) else ""


def probe_in(trials: "pd.DataFrame") -> str:
    """Where all of these decisions are read out, for the column ``probe`` of their numbers."""
    return probe_of(protocol_in(trials))


def class_scores(
    readout: "Readout", stimuli: "Stimuli", names: Sequence[str], templates: Sequence[str]
) -> "Floats":
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
    from hf_clipdyn.benchmarks.vectors import similarity

    return similarity(readout.images(stimuli), class_embeddings(readout, names, templates))


def class_embeddings(readout: "Readout", names: Sequence[str], templates: Sequence[str]) -> "Floats":
    """Unit vectors of the classes, (classes, d): each prompt normalised, averaged, normalised again."""
    from hf_clipdyn.benchmarks.vectors import unit

    prompts = [template.format(prompt_name(name)) for name in names for template in templates]
    rows = unit(readout.texts(prompts))
    return unit(rows.reshape(len(names), len(templates), -1).mean(axis=1))


def ranking(scores: "Floats") -> "Ints":
    """Class ids of each image, best first, (n, classes); among equal scores, the lower id comes first."""
    import numpy as np

    return np.argsort(-scores, axis=1, kind="stable")
