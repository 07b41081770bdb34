"""What the page shows of the trials of each kind: a row of `EXHIBITS` for each, from which `read` makes a `Gallery`.

The trials say all of it: which picture a row is about, the answers of the model and of people, and what is right.
A kind of a plug-in whose trials have the columns ``item``, ``label`` and ``decision`` is shown, too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.kind import Kind
from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.results.terms import KindTerms

Answer = Literal["class", "picture", "value"]
"""What an answer is: the name or the number of a class; the position of a picture (-1 for a tie); or a value."""

HUMAN = "human"
"""The protocol, or the probe, of people's answers."""
PROMPTS = "prompts"
"""The usual way to ask a model with text."""

_PROJECTION = "projection"
_TEXT_FREE = ("text_free", "text_free_all")
_DISTANCE = "rank of the model's distance among all pairs"
_FACTS = dict.fromkeys(("truth", "lure", "people", "share", "group", "looked"), "")
_FACTS |= {"truth": "right answer", "people": "observers' choice"}
"""The facts of a gallery, with their usual titles."""


class Picture(NamedTuple):
    """One picture of each stimulus.

    Attributes:
        title: what it is among the pictures of the stimulus ("reference"); empty if it is the only one.
        column: column of images of the data set.
        rows: by item, the row of the data set; None: the item is the row.
    """

    title: str
    column: str
    rows: "pd.Series[Any] | None"


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """What the trials of one revision say of each stimulus. All series have the stimulus, ``item``, as their index.

    Attributes:
        answer: what an answer is.
        pictures: the pictures of a stimulus.
        answers: the model's answers, by the title of the way in which it was asked; the first is shown at first. Every
            revision must have the same titles.
        facts: what does not depend on the revision, as far as it is known: ``truth``, the right answer (without it,
            people's answer is the right one); ``lure``, the answer that another cue suggests; ``people``, the answer of
            most people or their mean value, and ``share``, that of the people who gave it; ``group``, what stimuli are
            filtered by if not by their right answer; ``looked``, a map of where people looked.
        titles: of facts, and of a ``value``.
        choosing: the ways among `answers` in which truth and lure compete, so that the share of the truth among the
            decisions for either says what decides.
        observers: every answer of people that is known one by one: item, observer, decision; None if none is.
        clusters: by item, the columns that name what was drawn at random; None if the items themselves were.
        check: columns of the data set, as they were when the stimuli were shown. The pictures are shown only if the
            data set still has these values in the row of each stimulus.
        note: what a reader must know about the pictures, in one sentence.
        maps: maps over the (first) picture, by the title of the way, as `kept_map` makes them; only for some items.
    """

    answer: Answer
    pictures: tuple[Picture, ...]
    answers: "Mapping[str, pd.Series[Any]]"
    facts: "Mapping[str, pd.Series[Any]]" = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    choosing: tuple[str, ...] = ()
    observers: pd.DataFrame | None = None
    clusters: pd.DataFrame | None = None
    check: pd.DataFrame
    note: str = ""
    maps: "Mapping[str, pd.Series[Any]]" = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not all(answers.index.is_unique for answers in self.answers.values()):
            raise ValueError("a stimulus has two answers")

    def identity(self, items: pd.Index) -> pd.DataFrame:
        """Columns by which these stimuli of two revisions are known to be the same."""
        rows = {f"row {at}": one.rows for at, one in enumerate(self.pictures) if one.rows is not None}
        return pd.DataFrame(rows, self.check.index).join(self.check).reindex(items)


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """How the trials of a kind are shown.

    Attributes:
        asked: makes a row for each stimulus and way of asking, with the columns ``item``, ``way`` and ``answer``, and
            those that the other fields name; ``chooses`` says whether truth and lure compete in that way.
        columns: of the trials that it reads, beside ``item`` and those of the other fields.
        answer, value, note: as of `Gallery`.
        pictures: the title of each picture, its column of the data set, and the column with its row there; without
            that, the item is the row.
        titles: of the facts of `Gallery`, which are columns of these names, where they have another than usual.
        check: the columns of the data set that must be as they were.
    """

    asked: Callable[[pd.DataFrame], pd.DataFrame]
    columns: tuple[str, ...] = ()
    answer: Answer = "class"
    value: str = ""
    pictures: tuple[tuple[str, ...], ...] = (("", "image"),)
    titles: Mapping[str, str] = field(default_factory=dict)
    check: tuple[str, ...] = ()
    note: str = ""


def columns_of(kind: type[Kind[Any]]) -> tuple[list[str], list[str]]:
    """The columns of trials that `read` needs, and those that it takes where they are there."""
    exhibit = EXHIBITS.get(kind.name, _DECISIONS)
    rows = [name for _, _, *row in exhibit.pictures for name in row]
    clusters = [name for name in kind.clusters if isinstance(name, str)]
    return ["item", *rows, *exhibit.columns, *exhibit.check], [*_OPTIONAL, *clusters]


def read(kind: type[Kind[Any]], trials: pd.DataFrame) -> Gallery | None:
    """The gallery of the trials of one revision; None if nothing was asked about single stimuli."""
    exhibit = EXHIBITS.get(kind.name, _DECISIONS)
    rows = exhibit.asked(trials)
    if rows.empty:
        return None
    shown = rows.drop_duplicates("item").set_index("item")
    by_way = {str(way): own.set_index("item") for way, own in rows.groupby("way", sort=False, observed=True)}
    ways = sorted(by_way, key=lambda way: way != PROMPTS)  # the default prompts first
    facts = {name: shown[name] for name in _FACTS if name in shown}
    observers = None
    if "observer" in rows:
        observers = trials.loc[trials["protocol"] == HUMAN, ["item", "observer", "decision"]]
        facts["people"], facts["share"] = most_frequent(observers)
    said = {str(name): title for name, title in rows.attrs.items()}
    return Gallery(
        answer=exhibit.answer,
        pictures=tuple(
            Picture(title, column, shown[row[0]] if row else None) for title, column, *row in exhibit.pictures
        ),
        answers={way: by_way[way]["answer"] for way in ways},
        facts={name: values for name, values in facts.items() if values.nunique() > (name == "group")},
        titles={**_FACTS, **exhibit.titles, "value": exhibit.value, **said},
        choosing=tuple(rows.loc[rows["chooses"], "way"].unique()) if "chooses" in rows else (),
        observers=observers,
        clusters=shown[list(kind.clusters)] if kind.clusters != ("item",) and observers is not None else None,
        check=shown[list(exhibit.check)],
        note=exhibit.note,
        maps={way: by_way[way]["map"] for way in ways} if "map" in rows else {},
    )


def most_frequent(answers: pd.DataFrame) -> "tuple[pd.Series[Any], pd.Series[Any]]":
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


def _words(kind: str) -> KindTerms:
    return kinds()[kind].terms


def _titled(names: "pd.Series[Any]", kind: str) -> "pd.Series[Any]":
    """Variants in words; the default one, and those of earlier versions, are the prompts."""
    titles = {name: _words(kind).variants.get(str(name), str(name)) or PROMPTS for name in names.unique()}
    return names.map(titles)


def _protocols(trials: pd.DataFrame) -> "pd.Series[Any] | str":
    return trials["protocol"].replace("", PROMPTS) if "protocol" in trials else PROMPTS


def _ways(rows: pd.DataFrame, columns: Sequence[str], title: Callable[[Any, Any], str]) -> "pd.Series[Any]":
    """The title of each row, from the values of two columns; NaN is a value, too."""
    pairs = rows.groupby(list(columns), sort=False, dropna=False).ngroup()
    firsts = rows.loc[~pairs.duplicated(), list(columns)].itertuples(index=False)
    return pairs.map(
        {pair: title(first, second) for pair, (first, second) in zip(pairs.unique(), firsts, strict=True)}
    )


def _decided(trials: pd.DataFrame) -> pd.DataFrame:
    """The first decision about each item."""
    shown = trials[["item", "label", "decision"]].drop_duplicates("item")
    return shown.assign(answer=shown["decision"], truth=shown["label"], way="decision")


def _first(trials: pd.DataFrame) -> pd.DataFrame:
    """The class with the largest cosine."""
    first = trials["ranking"].str[0].astype("int64")
    return trials.assign(answer=first, truth=trials["label"], way=_protocols(trials))


def _most_probable(trials: pd.DataFrame) -> pd.DataFrame:
    """The class with the largest cosine, and the class that most people chose."""
    counts = np.stack(trials["counts"].to_list())
    people = {"people": counts.argmax(axis=1), "share": counts.max(axis=1) / counts.sum(axis=1)}
    asked = {"answer": trials["cosines"].map(np.argmax), "way": _protocols(trials), "truth": trials["label"]}
    return trials.assign(**asked, **people)


def _corrupted(trials: pd.DataFrame) -> pd.DataFrame:
    """The decision at every level of every corruption."""
    conditions = _words("noise").conditions

    def title(condition: str, level: float) -> str:
        words = conditions[condition].title if condition in conditions else condition
        return words if condition == "none" or np.isnan(level) else f"{words} {level:g}"

    ways = _ways(trials, ("condition", "level"), title)
    return trials.assign(answer=trials["decision"], truth=trials["label"], way=ways)


def _classified(trials: pd.DataFrame) -> pd.DataFrame:
    """The decisions of every way of asking."""
    words, asked = _words("classification"), trials[trials["protocol"] != HUMAN]
    groups = asked["subset"].map(lambda name: words.subsets.get(name, name))
    ways = _titled(asked["protocol"], "classification")
    return asked.assign(answer=asked["decision"], truth=asked["category"], way=ways, group=groups)


def _cued(trials: pd.DataFrame) -> pd.DataFrame:
    """What prompts and probes decide between two cues."""
    titles, asked = _words("shape_bias").variants, trials[~trials["protocol"].isin([*_TEXT_FREE, HUMAN])]
    if "condition" in asked:  # of images in grey
        asked = asked[asked["condition"].isna()]

    def title(protocol: str, cue: Any) -> str:
        return titles.get(protocol, protocol) or PROMPTS if pd.isna(cue) else f"linear probe for {cue}"

    ways = _ways(asked, ("protocol", "cue"), title)
    cues = {"truth": asked["shape"], "lure": asked["texture"], "chooses": asked["cue"].isna()}
    return asked.assign(answer=asked["decision"], way=ways, **cues)


def _odd(trials: pd.DataFrame) -> pd.DataFrame:
    """The odd one of three objects, by similarity; people always chose the last."""
    asked = trials[trials["asked"] & (trials["probe"] == _PROJECTION)]
    ways = _titled(asked["similarity"], "odd_one_out")
    return asked.assign(answer=asked["choice"].fillna(-1), way=ways, people=2)


def _placed(trials: pd.DataFrame) -> pd.DataFrame:
    """The rows of each distance at the projection."""
    placed = trials[trials["probe"] == _PROJECTION]
    return placed.assign(way=_titled(placed["distance"], "jnd"))


def _nearer(trials: pd.DataFrame) -> pd.DataFrame:
    """Which of two candidates people chose, and which one is nearer."""
    rows = _placed(trials)
    first, second, judged = (rows[name] for name in ("value_0", "value_1", "judgement"))
    return rows.assign(
        answer=(1 + (second < first)).where(first != second, -1),
        people=(1 + (judged > 0.5)).where(judged != 0.5),
        share=judged.where(judged > 0.5, 1 - judged),
        group=rows["subset"],
    )


def _ranked(rows: pd.DataFrame, column: str = "value") -> "pd.Series[Any]":
    """The places of distances among those of their way."""
    return rows.groupby("way", sort=False)[column].transform(shares_below)


def _seen(trials: pd.DataFrame) -> pd.DataFrame:
    """How many people saw a difference, and the place of the model's distance among all pairs."""
    rows = _placed(trials)
    return rows.assign(answer=_ranked(rows), people=1 - rows["same"], group=rows["subset"])


def _rated(trials: pd.DataFrame) -> pd.DataFrame:
    """The place of people's score, from the best to the worst, and that of the model's distance."""
    rows = _placed(trials)
    worse = -rows["score"] if rows["higher_is_better"].iloc[0] else rows["score"]
    people = _ranked(rows.assign(worse=worse), "worse")
    return rows.assign(answer=_ranked(rows), people=people, group=rows["distortion"])


def _distorted(trials: pd.DataFrame) -> pd.DataFrame:
    """The place of the model's distance; nobody judged these pairs."""
    rows = trials.assign(way="cosine")
    groups = rows["distortion"] + ", level " + rows["level"].astype(str)
    return rows.assign(answer=_ranked(rows, "distance"), group=groups)


def _retrieved(trials: pd.DataFrame) -> pd.DataFrame:
    """The rank of the nearest of an image's captions among all captions."""
    images, texts = (trials[trials["modality"] == modality] for modality in ("image", "text"))
    sides = [np.stack(side["embedding"].to_list()).astype(np.float64) for side in (images, texts)]
    first, second = (side / np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-300) for side in sides)
    cosines = np.round(first @ second.T, 12)
    own = images["item"].to_numpy()[:, None] == texts["item"].to_numpy()
    best = np.where(own, cosines, -np.inf).max(axis=1, keepdims=True)
    ranks = 1.0 + ((cosines > best) & ~own).sum(axis=1)
    return images.assign(answer=ranks, way="captions")


def _looked(trials: pd.DataFrame) -> pd.DataFrame:
    """The score of each probe's map at its deepest layer, and that of people's map."""
    words, whole = _words("saliency"), trials[~trials["smoothed"] & (trials["subset"] == "")]
    depth = whole["layer"].fillna(-1)
    deepest = whole[depth == depth.groupby(whole["probe"]).transform("max")]
    models = deepest[deepest["probe"].isin(list(words.probes))]
    people = deepest[deepest["probe"] == HUMAN].set_index("item")
    first = models[models["probe"] == models["probe"].iloc[0]] if len(models) else models
    metric = "nss" if first["nss"].notna().any() else "cc"
    rows = models.assign(
        answer=models[metric],
        way=models["probe"].map(words.probes),
        people=models["item"].map(people[metric]),
        **({"looked": models["item"].map(people["map"])} if "map" in people else {}),
    )
    title = words.terms[metric].title
    rows.attrs |= {"value": f"{title} of the model's map", "people": f"{title} of the other observers' map"}
    return rows


_OPTIONAL = ("protocol", "observer", "condition", "map")
_RANKED: Any = {"answer": "value", "value": _DISTANCE}
_PAIRS: Any = {"pictures": (("reference", "reference"), ("distorted", "distorted")), **_RANKED}
_LABELLED: Any = {"titles": {"truth": "class"}, "check": ("label",)}
_DECISIONS = Exhibit(asked=_decided, columns=("decision",), **_LABELLED)
EXHIBITS: Mapping[str, Exhibit] = {
    "classification": Exhibit(
        asked=_classified,
        columns=("protocol", "decision", "subset"),
        titles={"truth": "class", "group": "data set"},
        check=("image_id", "category"),
    ),
    "distortion": Exhibit(
        asked=_distorted,
        columns=("distance",),
        titles={"group": "distortion"},
        check=("reference_id", "distortion", "level"),
        **_PAIRS,
    ),
    "jnd": Exhibit(
        asked=_seen,
        columns=("probe", "distance", "value"),
        pictures=(("one", "image_0"), ("other", "image_1")),
        titles={"people": "share of observers who saw a difference", "group": "subset"},
        check=("same", "subset"),
        **_RANKED,
    ),
    "label_distribution": Exhibit(
        asked=_most_probable,
        columns=("cosines", "counts"),
        titles={"truth": "label"},
        check=("label",),
    ),
    "noise": Exhibit(
        asked=_corrupted,
        columns=("decision", "condition", "level"),
        note="The picture shows the uncorrupted image, even if the model saw a corrupted one.",
        **_LABELLED,
    ),
    "odd_one_out": Exhibit(
        asked=_odd,
        columns=("asked", "probe", "similarity", "choice"),
        answer="picture",
        pictures=(("A", "image", "object_0"), ("B", "image", "object_1"), ("C", "image", "object_2")),
        titles={"people": "an observer's choice"},
    ),
    "quality": Exhibit(
        asked=_rated,
        columns=("probe", "distance", "value", "higher_is_better"),
        titles={"people": "rank of the observers' judgement, 1 for the worst", "group": "distortion"},
        check=("reference_id", "distortion", "score"),
        **_PAIRS,
    ),
    "retrieval": Exhibit(
        asked=_retrieved,
        columns=("modality", "embedding"),
        answer="value",
        value="rank of the image's closest caption, 1 for the best",
        pictures=(("", "image", "row"),),
    ),
    "saliency": Exhibit(
        asked=_looked,
        columns=("smoothed", "subset", "layer", "probe", "nss", "cc"),
        answer="value",
        check=("image_id",),
    ),
    "shape_bias": Exhibit(
        asked=_cued,
        columns=("protocol", "decision", "cue"),
        titles={"truth": "shape", "lure": "texture"},
        check=("image_id", "shape", "texture"),
    ),
    "similarity": Exhibit(
        asked=_nearer,
        columns=("probe", "distance", "value_0", "value_1"),
        answer="picture",
        pictures=(("reference", "reference"), ("A", "image_0"), ("B", "image_1")),
        titles={"group": "subset"},
        check=("judgement", "subset"),
    ),
    "zero_shot": Exhibit(asked=_first, columns=("ranking",), **_LABELLED),
}
"""By the name of the kind; other trials are shown if they have a decision about each item."""
NOT_SHOWN = ("decodability", "geometry", "psychophysics", "representation")
"""Kinds whose trials are not about single stimuli with answers."""
