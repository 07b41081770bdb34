"""What the trials of a kind show of each stimulus: by kind a function of `EXHIBITS`, from trials to a `Gallery`.

The trials say all of it: which picture a row is about, the answers of the model and of people, and what is right.
Trials of a plug-in's kind are shown if they have the columns ``item``, ``label`` and ``decision``.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.benchmarks.shape_scores import HUMAN, TEXT_FREE, TEXT_FREE_ALL, is_untouched
from hf_clipdyn.benchmarks.vectors import similarity

Answer = Literal["class", "picture", "value"]
"""What an answer is: the name or the number of a class; the position of a picture (-1 for a tie); or a value."""

PROMPTS = "prompts"
"""The usual way to ask a model with text."""

_FACTS = ("truth", "lure", "people", "share", "group", "looked")
_TITLES = {"truth": "right answer", "people": "observers' choice", "value": ""}


class Picture(NamedTuple):
    """One picture of each stimulus.

    Attributes:
        title: what it is among the pictures of the stimulus ("reference"); empty if it is the only one.
        column: column of images of the data set.
        row: column of the trials with the row of the data set.
    """

    title: str = ""
    column: str = "image"
    row: str = "item"


class Gallery:
    """What the trials of one revision say of each stimulus.

    Args:
        rows: one for each stimulus and way of asking: ``item``, ``way``, ``answer``, facts, columns that the other
            arguments name, and maybe a ``map`` over the first picture, as `kept_map` makes it, for some items.

    Attributes:
        pictures: the pictures of a stimulus.
        titles: of the facts, and of the ``value`` that is an answer.
        check: columns of the data set, as they were when the stimuli were shown. The pictures are shown only if the
            data set still has these values in the row of each stimulus.
        note: what a reader must know about the pictures, in one sentence.
        choosing: the ways in which truth and lure compete, so that the share of the truth among the decisions for
            either says what decides.
        observers: every answer of people that is known one by one: item, observer, decision; None if none is.
        clusters: by item, the columns that name what was drawn at random; None if the items themselves were.
        answers, maps: series by item, by the title of the way; the first way is shown at first.
        facts: by item, what does not depend on the revision, as far as it is known: ``truth``, the right answer;
            ``lure``, the answer that another cue suggests; ``people``, the answer of most people or their mean value,
            and ``share``, the share of people who gave it; ``group``, what stimuli are filtered by if not by their
            right answer; ``looked``, a map of where people looked.
        identity: by item, what must be the same in two revisions that saw the same stimuli.

    Raises:
        ValueError: a stimulus has two answers.
    """

    def __init__(
        self,
        rows: pd.DataFrame,
        titles: Mapping[str, str],
        *,
        pictures: Sequence[Picture] = (Picture(),),
        check: Sequence[str] = (),
        note: str = "",
        choosing: Sequence[str] = (),
        observers: pd.DataFrame | None = None,
        clusters: pd.DataFrame | None = None,
    ) -> None:
        if rows.duplicated(["item", "way"]).any():
            raise ValueError("a stimulus has two answers")
        self.pictures, self.titles, self.check, self.note = pictures, {**_TITLES, **titles}, check, note
        self.choosing, self.observers, self.clusters = choosing, observers, clusters
        groups = rows.groupby("way", sort=False, observed=True)
        by_way = {str(way): own.set_index("item") for way, own in groups}
        ways = sorted(by_way, key=lambda way: way != PROMPTS)  # the default prompts first
        self.answers = {way: by_way[way]["answer"] for way in ways}
        self.maps = {way: by_way[way]["map"] for way in ways if "map" in rows}
        shown = rows.drop_duplicates("item").set_index("item", drop=False)
        if observers is not None:
            shown["people"], shown["share"] = _most_frequent(observers)
        known = [name for name in _FACTS if name in shown and shown[name].nunique() > (name == "group")]
        self.facts = shown[known]
        self.identity = shown[[*dict.fromkeys(picture.row for picture in pictures), *check]]

    @property
    def answer(self) -> Answer:
        """What an answer is: a value if that has a title, else one of several pictures, else a class."""
        return "value" if self.titles["value"] else "picture" if len(self.pictures) > 1 else "class"

    @cached_property
    def right(self) -> str:
        """The fact that is the right answer; among pictures, what most people chose. Empty for values."""
        name = {"class": "truth", "picture": "people", "value": ""}[self.answer]
        return name if name in self.facts else ""

    @cached_property
    def verdicts(self) -> Mapping[str, str]:
        """What an answer is called if it is the right one (``truth``), the ``lure`` or any ``other``."""
        if self.right == "people":
            return {"truth": "as observers", "other": "unlike observers"}
        if "lure" in self.facts:
            return {"truth": self.titles["truth"], "lure": self.titles["lure"], "other": "neither"}
        return {"truth": "right", "other": "wrong"} if self.right else {}


def _most_frequent(answers: pd.DataFrame) -> "tuple[pd.Series[Any], pd.Series[Any]]":
    """The most frequent ``decision`` about each ``item``, and its share; of equally frequent ones the first by name."""
    counts = answers.groupby(["item", "decision"], observed=True).size().rename("n").reset_index()
    best = counts.sort_values(["item", "n", "decision"], ascending=[True, False, True])
    best = best.drop_duplicates("item").set_index("item")
    return best["decision"], best["n"] / counts.groupby("item")["n"].sum()


def shares_below(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """The place of each value among all, from 0 (smallest) to 1 (largest), ties in their middle; NaN stays NaN.

    Distances of two revisions have different units; their places can be compared.
    """
    places: pd.Series[Any] = (values.rank(method="average") - 1) / max(1, int(values.notna().sum()) - 1)
    return places


# --- what was asked, by kind -------------------------------------------------------------------------------------

_CLASS: Any = {"titles": {"truth": "class"}, "check": ("label",)}
_EXEMPLARS = ["shape_exemplar", "texture_exemplar"]
_DISTANCE = "rank of the model's distance among all pairs"
_PAIR = (Picture("reference", "reference"), Picture("distorted", "distorted"))


def _titled(names: "pd.Series[Any]", kind: str) -> "pd.Series[Any]":
    """Variants in words; the default one, and those of earlier versions, are the prompts."""
    return names.replace(dict(kinds()[kind].terms.variants)).replace("", PROMPTS)


def _protocols(trials: pd.DataFrame) -> "pd.Series[Any] | str":
    return trials["protocol"].replace("", PROMPTS) if "protocol" in trials else PROMPTS


def _with_ways(rows: pd.DataFrame, title: Callable[[Any, Any], str], *columns: str) -> pd.DataFrame:
    """The rows with the title of their way, from the values of two columns; NaN is a value, too."""
    asked = rows[list(columns)].drop_duplicates()
    return rows.merge(asked.assign(way=[title(*values) for values in asked.itertuples(index=False)]))


def _decided(trials: pd.DataFrame) -> Gallery:
    """The first decision about each item."""
    first = trials[["item", "label", "decision"]].drop_duplicates("item")
    return Gallery(first.assign(answer=first["decision"], truth=first["label"], way="decision"), **_CLASS)


def _first(trials: pd.DataFrame) -> Gallery:
    """The class with the largest cosine."""
    first = trials["ranking"].str[0].astype("int64")
    return Gallery(trials.assign(answer=first, truth=trials["label"], way=_protocols(trials)), **_CLASS)


def _most_probable(trials: pd.DataFrame) -> Gallery:
    """The class with the largest cosine, and the class that most people chose."""
    counts = np.stack(trials["counts"].to_list())
    people = {"people": counts.argmax(axis=1), "share": counts.max(axis=1) / counts.sum(axis=1)}
    asked = {"answer": trials["cosines"].map(np.argmax), "way": _protocols(trials), "truth": trials["label"]}
    return Gallery(trials.assign(**asked, **people), titles={"truth": "label"}, check=("label",))


def _corrupted(trials: pd.DataFrame) -> Gallery:
    """The decision at every level of every corruption."""
    conditions = kinds()["noise"].terms.conditions

    def title(condition: str, level: float) -> str:
        words = conditions[condition].title if condition in conditions else condition
        return words if condition == "none" or np.isnan(level) else f"{words} {level:g}"

    rows = _with_ways(trials, title, "condition", "level")
    note = "The picture shows the uncorrupted image, even if the model saw a corrupted one."
    return Gallery(rows.assign(answer=rows["decision"], truth=rows["label"]), note=note, **_CLASS)


def _classified(trials: pd.DataFrame) -> Gallery:
    """The decisions of every way of asking."""
    asked = trials[trials["protocol"] != HUMAN]
    groups = asked["subset"].replace(dict(kinds()["classification"].terms.subsets))
    ways = _titled(asked["protocol"], "classification")
    return Gallery(
        asked.assign(answer=asked["decision"], truth=asked["category"], way=ways, group=groups),
        titles={"truth": "class", "group": "data set"},
        check=("image_id", "category"),
        observers=_of_people(trials),
    )


def _cued(trials: pd.DataFrame) -> Gallery:
    """What prompts and probes decide between two cues, of images in colour."""
    titles, unnamed = kinds()["shape_bias"].terms.variants, [TEXT_FREE, TEXT_FREE_ALL, HUMAN]

    def title(protocol: str, cue: Any) -> str:
        return titles.get(protocol, protocol) or PROMPTS if pd.isna(cue) else f"linear probe for {cue}"

    asked = trials[is_untouched(trials) & ~trials["protocol"].isin(unnamed)]
    rows = _with_ways(asked, title, "protocol", "cue")
    return Gallery(
        rows.assign(answer=rows["decision"], truth=rows["shape"], lure=rows["texture"]),
        titles={"truth": "shape", "lure": "texture"},
        check=("image_id", "shape", "texture"),
        choosing=rows.loc[rows["cue"].isna(), "way"].unique().tolist(),
        observers=_of_people(trials),
        clusters=rows.drop_duplicates("item").set_index("item")[_EXEMPLARS],
    )


def _of_people(trials: pd.DataFrame) -> pd.DataFrame:
    return trials.loc[trials["protocol"] == HUMAN, ["item", "observer", "decision"]]


def _odd(trials: pd.DataFrame) -> Gallery:
    """The odd one of three objects, by similarity; people always chose the last."""
    asked = trials[trials["asked"] & (trials["probe"] == "projection")]
    ways = _titled(asked["similarity"], "odd_one_out")
    return Gallery(
        asked.assign(answer=asked["choice"].fillna(-1), way=ways, people=2),
        pictures=[Picture(title, row=f"object_{at}") for at, title in enumerate("ABC")],
        titles={"people": "an observer's choice"},
    )


def _placed(trials: pd.DataFrame) -> pd.DataFrame:
    """The rows of each distance at the projection."""
    placed = trials[trials["probe"] == "projection"]
    return placed.assign(way=_titled(placed["distance"], "jnd"))


def _nearer(trials: pd.DataFrame) -> Gallery:
    """Which of two candidates people chose, and which one is nearer."""
    rows = _placed(trials)
    first, second, judged = (rows[name] for name in ("value_0", "value_1", "judgement"))
    chosen = {
        "answer": (1 + (second < first)).where(first != second, -1),
        "people": (1 + (judged > 0.5)).where(judged != 0.5),
        "share": judged.where(judged > 0.5, 1 - judged),
    }
    return Gallery(
        rows.assign(**chosen, group=rows["subset"]),
        pictures=(Picture("reference", "reference"), Picture("A", "image_0"), Picture("B", "image_1")),
        titles={"group": "subset"},
        check=("judgement", "subset"),
    )


def _ranked(rows: pd.DataFrame, column: str = "value") -> "pd.Series[Any]":
    """The places of distances among those of their way."""
    return rows.groupby("way", sort=False)[column].transform(shares_below)


def _seen(trials: pd.DataFrame) -> Gallery:
    """How many people saw a difference, and the place of the model's distance among all pairs."""
    rows, people = _placed(trials), "share of observers who saw a difference"
    return Gallery(
        rows.assign(answer=_ranked(rows), people=1 - rows["same"], group=rows["subset"]),
        pictures=(Picture("one", "image_0"), Picture("other", "image_1")),
        titles={"value": _DISTANCE, "people": people, "group": "subset"},
        check=("same", "subset"),
    )


def _rated(trials: pd.DataFrame) -> Gallery:
    """The place of people's score, from the best to the worst, and that of the model's distance."""
    rows, people = _placed(trials), "rank of the observers' judgement, 1 for the worst"
    worse = rows.assign(worse=-rows["score"] if rows["higher_is_better"].iloc[0] else rows["score"])
    return Gallery(
        rows.assign(answer=_ranked(rows), people=_ranked(worse, "worse"), group=rows["distortion"]),
        pictures=_PAIR,
        titles={"value": _DISTANCE, "people": people, "group": "distortion"},
        check=("reference_id", "distortion", "score"),
    )


def _distorted(trials: pd.DataFrame) -> Gallery:
    """The place of the model's distance; nobody judged these pairs."""
    rows = trials.assign(way="cosine")
    groups = rows["distortion"] + ", level " + rows["level"].astype(str)
    return Gallery(
        rows.assign(answer=_ranked(rows, "distance"), group=groups),
        pictures=_PAIR,
        titles={"value": _DISTANCE, "group": "distortion"},
        check=("reference_id", "distortion", "level"),
    )


def _retrieved(trials: pd.DataFrame) -> Gallery:
    """The rank of the nearest of an image's captions among all captions."""
    images, texts = (trials[trials["modality"] == modality] for modality in ("image", "text"))
    cosines = similarity(*(np.stack(side["embedding"].to_list()) for side in (images, texts)))
    own = images["item"].to_numpy()[:, None] == texts["item"].to_numpy()
    best = np.where(own, cosines, -np.inf).max(axis=1, keepdims=True)
    return Gallery(
        images.assign(answer=1.0 + ((cosines > best) & ~own).sum(axis=1), way="captions"),
        pictures=(Picture(row="row"),),
        titles={"value": "rank of the image's closest caption, 1 for the best"},
    )


def _looked(trials: pd.DataFrame) -> Gallery:
    """The score of each probe's map at its deepest layer, and that of people's map."""
    words, whole = kinds()["saliency"].terms, trials[~trials["smoothed"] & (trials["subset"] == "")]
    depth = whole["layer"].fillna(-1)
    deepest = whole[depth == depth.groupby(whole["probe"]).transform("max")]
    models = deepest[deepest["probe"].isin(list(words.probes))]
    people = deepest[deepest["probe"] == HUMAN].set_index("item")
    metric = "nss" if models.groupby("probe", sort=False)["nss"].count().head(1).any() else "cc"
    title, looked = words.terms[metric].title, people.get("map", pd.Series(dtype=object))
    beside = {"people": models["item"].map(people[metric]), "looked": models["item"].map(looked)}
    return Gallery(
        models.assign(way=models["probe"].map(words.probes), answer=models[metric], **beside),
        titles={"value": f"{title} of the model's map", "people": f"{title} of the other observers' map"},
        check=("image_id",),
    )


class Exhibit(NamedTuple):
    """How trials become a gallery, and the names of the columns that this needs beside ``item``."""

    gallery: Callable[[pd.DataFrame], Gallery]
    columns: Sequence[str]


MAYBE = ("protocol", "condition", "map")
"""Columns of the trials that are read where they are there."""
DECISIONS = Exhibit(_decided, ("label", "decision"))
"""Of any other kind."""
EXHIBITS: Mapping[str, Exhibit] = {
    "classification": Exhibit(
        _classified, ("protocol", "decision", "observer", "subset", "image_id", "category")
    ),
    "distortion": Exhibit(_distorted, ("distance", "reference_id", "distortion", "level")),
    "jnd": Exhibit(_seen, ("probe", "distance", "value", "same", "subset")),
    "label_distribution": Exhibit(_most_probable, ("cosines", "counts", "label")),
    "noise": Exhibit(_corrupted, ("decision", "condition", "level", "label")),
    "odd_one_out": Exhibit(
        _odd, ("asked", "probe", "similarity", "choice", "object_0", "object_1", "object_2")
    ),
    "quality": Exhibit(
        _rated, ("probe", "distance", "value", "higher_is_better", "reference_id", "distortion", "score")
    ),
    "retrieval": Exhibit(_retrieved, ("modality", "embedding", "row")),
    "saliency": Exhibit(_looked, ("smoothed", "subset", "layer", "probe", "nss", "cc", "image_id")),
    "shape_bias": Exhibit(
        _cued, ("protocol", "decision", "observer", "cue", "image_id", "shape", "texture", *_EXEMPLARS)
    ),
    "similarity": Exhibit(_nearer, ("probe", "distance", "value_0", "value_1", "judgement", "subset")),
    "zero_shot": Exhibit(_first, ("ranking", "label")),
}
"""By the name of the kind."""
