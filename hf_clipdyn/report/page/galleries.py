"""What the page shows of the trials of each kind: a browser of stimuli, and response curves.

The trials say all of it: which picture a row is about, the answers of the model and of people, and what is right.
A kind of a plug-in whose trials have the columns ``item``, ``label`` and ``decision`` has a browser, too.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.report.gallery import (
    CurvesView,
    Gallery,
    GalleryView,
    Picture,
    ResponseCurve,
    View,
    most_frequent,
    shares_below,
)
from hf_clipdyn.results.terms import KindTerms

V = TypeVar("V", bound=View[Any])

HUMAN = "human"  # the protocol, or the probe, of people's answers
_PROMPTS = "prompts"
_TEXT_FREE = ("text_free", "text_free_all")
_DISTANCE = "rank of the model's distance among all pairs"
_PAIR = (
    Picture(title="reference", column="reference"),
    Picture(title="distorted", column="distorted"),
)


def view_of(kind: str, wanted: type[V]) -> V | None:
    """The view of this type of a kind's trials; None if its trials are not about single stimuli."""
    default = () if kind in VIEWS else (_DECISIONS,)
    return next((view for view in VIEWS.get(kind, default) if isinstance(view, wanted)), None)


def _words(kind: str) -> KindTerms:
    return kinds()[kind].terms


def _items(trials: pd.DataFrame) -> pd.DataFrame:
    """One row of each stimulus."""
    return trials.drop_duplicates("item").set_index("item")


def _protocol(trials: pd.DataFrame) -> str:
    """How the classes were asked for; trials of earlier versions were asked with prompts."""
    return (str(trials["protocol"].iloc[0]) if "protocol" in trials else "") or _PROMPTS


def _distances(trials: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each distance at the projection, by its title."""
    titles = _words("jnd").variants
    for name, rows in trials[trials["probe"] == "projection"].groupby("distance", sort=False):
        yield titles.get(str(name), str(name)), rows.set_index("item")


def _subsets(shown: pd.DataFrame) -> pd.Series | None:
    return shown["subset"] if shown["subset"].nunique() > 1 else None


def _decisions(trials: pd.DataFrame) -> Gallery:
    """Images with their class, and the decision."""
    shown = _items(trials)
    return Gallery(
        answer="class",
        answers={"decision": shown["decision"]},
        truth=shown["label"],
        truth_title="class",
        check=shown[["label"]],
    )


def _zero_shot(trials: pd.DataFrame) -> Gallery:
    """Images with their class, and the first decision."""
    shown = _items(trials)
    return Gallery(
        answer="class",
        answers={_protocol(trials): shown["ranking"].str[0].astype("int64")},
        truth=shown["label"],
        truth_title="class",
        check=shown[["label"]],
    )


def _label_distribution(trials: pd.DataFrame) -> Gallery:
    """Images with their label, the most probable class, and the class that most people chose."""
    shown = _items(trials)
    counts = np.stack(shown["counts"].to_list())
    return Gallery(
        answer="class",
        answers={_protocol(trials): shown["cosines"].map(np.argmax)},
        truth=shown["label"],
        truth_title="label",
        people=pd.Series(counts.argmax(axis=1), index=shown.index),
        people_share=pd.Series(counts.max(axis=1) / counts.sum(axis=1), index=shown.index),
        check=shown[["label"]],
    )


def _noise(trials: pd.DataFrame) -> Gallery:
    """Images with their class, and the decision at every level of every corruption."""
    shown, conditions = _items(trials), _words("noise").conditions
    answers = {}
    key: tuple[Any, Any]
    for key, rows in trials.groupby(["condition", "level"], sort=False, dropna=False):  # type: ignore[assignment]
        condition, level = key
        title = conditions[condition].title if condition in conditions else str(condition)
        way = title if condition == "none" or np.isnan(level) else f"{title} {level:g}"
        answers[way] = rows.set_index("item")["decision"]
    return Gallery(
        answer="class",
        answers=answers,
        truth=shown["label"],
        truth_title="class",
        check=shown[["label"]],
        note="The picture shows the uncorrupted image, even if the model saw a corrupted one.",
    )


def _people(trials: pd.DataFrame, clusters: list[str]) -> dict[str, Any]:
    """People's answers one by one, and the most frequent one."""
    humans = trials[trials["protocol"] == HUMAN]
    people, share = most_frequent(humans)
    return {
        "people": people,
        "people_share": share,
        "observers": humans[["item", "observer", "decision"]],
        "clusters": _items(trials)[clusters],
    }


def _classification(trials: pd.DataFrame) -> Gallery:
    """Images with their class, the decisions of every way of asking, and what most observers said."""
    shown, words = _items(trials), _words("classification")
    asked = trials[trials["protocol"] != HUMAN].set_index("item").groupby("protocol", sort=False)
    return Gallery(
        answer="class",
        answers={
            words.variants.get(str(protocol), str(protocol)) or _PROMPTS: decisions
            for protocol, decisions in asked["decision"]
        },
        truth=shown["category"],
        truth_title="class",
        **_people(trials, ["exemplar"]),
        groups=shown["subset"].map(lambda name: words.subsets.get(name, name)),
        group_title="data set",
        check=shown[["image_id", "category"]],
    )


def _shape_bias(trials: pd.DataFrame) -> Gallery:
    """Images with both cues, and what prompts and probes decide."""
    shown, titles = _items(trials), _words("shape_bias").variants
    asked = trials[~trials["protocol"].isin([*_TEXT_FREE, HUMAN])]
    if "condition" in asked:  # of images in grey
        asked = asked[asked["condition"].isna()]
    answers, choosing = {}, []
    key: tuple[Any, Any]
    for key, rows in asked.groupby(["protocol", "cue"], sort=False, dropna=False):  # type: ignore[assignment]
        protocol, cue = key
        is_prompted = pd.isna(cue)
        way = (titles.get(protocol, protocol) or _PROMPTS) if is_prompted else f"linear probe for {cue}"
        answers[way] = rows.set_index("item")["decision"]
        choosing += [way] if is_prompted else []
    prompted = sorted(answers, key=lambda way: way != _PROMPTS)  # the default prompts first
    return Gallery(
        answer="class",
        answers={way: answers[way] for way in prompted},
        truth=shown["shape"],
        truth_title="shape",
        lure=shown["texture"],
        lure_title="texture",
        choosing=tuple(choosing),
        **_people(trials, ["shape_exemplar", "texture_exemplar"]),
        check=shown[["image_id", "shape", "texture"]],
    )


def _odd_one_out(trials: pd.DataFrame) -> Gallery:
    """Three objects: the odd one of people, who always chose the last, and that of each similarity."""
    asked = trials[trials["asked"] & (trials["probe"] == "projection")]
    shown, titles = _items(asked), _words("odd_one_out").variants
    return Gallery(
        pictures=tuple(Picture(title=title, rows=shown[f"object_{at}"]) for at, title in enumerate("ABC")),
        answer="picture",
        answers={
            titles.get(str(name), str(name)): choices.fillna(-1)
            for name, choices in asked.set_index("item").groupby("similarity", sort=False)["choice"]
        },
        people=pd.Series(2, index=shown.index),
        people_title="a person's choice",
    )


def _similarity(trials: pd.DataFrame) -> Gallery:
    """A reference with two candidates: which one people chose, and which one is nearer at the projection."""
    shown = _items(trials)
    judged = shown["judgement"]
    answers = {}
    for title, rows in _distances(trials):
        first, second = rows["value_0"], rows["value_1"]
        answers[title] = (1 + (second < first)).where(first != second, -1)
    return Gallery(
        pictures=(
            Picture(title="reference", column="reference"),
            Picture(title="A", column="image_0"),
            Picture(title="B", column="image_1"),
        ),
        answer="picture",
        answers=answers,
        people=(1 + (judged > 0.5)).where(judged != 0.5),
        people_share=judged.where(judged > 0.5, 1 - judged),
        groups=_subsets(shown),
        group_title="subset",
        check=shown[["judgement", "subset"]],
    )


def _jnd(trials: pd.DataFrame) -> Gallery:
    """Pairs: how many people saw a difference, and the place of the model's distance among all pairs."""
    shown = _items(trials)
    return Gallery(
        pictures=(Picture(title="one", column="image_0"), Picture(title="other", column="image_1")),
        answer="value",
        answers={title: shares_below(rows["value"]) for title, rows in _distances(trials)},
        value_title=_DISTANCE,
        people=1 - shown["same"],
        people_title="share of people who saw a difference",
        groups=_subsets(shown),
        group_title="subset",
        check=shown[["same", "subset"]],
    )


def _quality(trials: pd.DataFrame) -> Gallery:
    """Pairs: the place of people's score, from the best to the worst, and that of the model's distance."""
    shown = _items(trials)
    worse = -shown["score"] if shown["higher_is_better"].iloc[0] else shown["score"]
    return Gallery(
        pictures=_PAIR,
        answer="value",
        answers={title: shares_below(rows["value"]) for title, rows in _distances(trials)},
        value_title=_DISTANCE,
        people=shares_below(worse),
        people_title="rank of people's judgement, 1 for the worst",
        groups=shown["distortion"],
        group_title="distortion",
        check=shown[["reference_id", "distortion", "score"]],
    )


def _distortion(trials: pd.DataFrame) -> Gallery:
    """Pairs with the place of the model's distance; nobody judged them."""
    shown = _items(trials)
    return Gallery(
        pictures=_PAIR,
        answer="value",
        answers={"cosine": shares_below(shown["distance"])},
        value_title=_DISTANCE,
        groups=shown["distortion"] + ", level " + shown["level"].astype(str),
        group_title="distortion",
        check=shown[["reference_id", "distortion", "level"]],
    )


def _retrieval(trials: pd.DataFrame) -> Gallery:
    """Images, and the rank of the nearest of their own captions among all."""
    images, texts = (trials[trials["modality"] == modality] for modality in ("image", "text"))
    sides = [np.stack(side["embedding"].to_list()).astype(np.float64) for side in (images, texts)]
    first, second = (side / np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-300) for side in sides)
    cosines = np.round(first @ second.T, 12)
    own = images["item"].to_numpy()[:, None] == texts["item"].to_numpy()
    best = np.where(own, cosines, -np.inf).max(axis=1, keepdims=True)
    ranks = 1 + ((cosines > best) & ~own).sum(axis=1)
    return Gallery(
        answer="value",
        pictures=(Picture(rows=images.set_index("item")["row"]),),
        answers={"captions": pd.Series(ranks, index=images["item"].to_numpy(), dtype="float64")},
        value_title="rank of the image's closest caption, 1 for the best",
    )


def _saliency(trials: pd.DataFrame) -> Gallery | None:
    """Images with the score of each probe's map, and the maps beside people's; of the deepest layer."""
    whole = trials[~trials["smoothed"] & (trials["subset"] == "")]
    words = _words("saliency")
    by_probe = {
        str(name): rows[rows["layer"].fillna(-1) == rows["layer"].fillna(-1).max()].set_index("item")
        for name, rows in whole.groupby("probe", sort=False)
    }
    models = {words.probes[name]: rows for name, rows in by_probe.items() if name in words.probes}
    if not models:
        return None
    shown = next(iter(models.values()))
    metric = "nss" if shown["nss"].notna().any() else "cc"
    people = by_probe.get(HUMAN)
    return Gallery(
        answer="value",
        answers={title: rows[metric] for title, rows in models.items()},
        value_title=f"{words.terms[metric].title} of the model's map",
        people=None if people is None else people[metric],
        people_title=f"{words.terms[metric].title} of the other people's map",
        check=shown[["image_id"]],
        maps={title: rows["map"] for title, rows in models.items() if "map" in rows},
        people_map=None if people is None or "map" not in people else people["map"],
    )


def _curves(trials: pd.DataFrame) -> list[ResponseCurve]:
    """Distances by contrast over the criterion's, of the projection's cosine and of the pixels."""
    curves: list[ResponseCurve] = []
    is_model = (trials["probe"] == "projection") & (trials["distance"] == "cosine")
    for reference, at in (("", is_model), ("pixels", trials["distance"] == "rmse")):
        ordered = trials[at].sort_values("item", kind="stable")
        shown = ordered[~ordered["is_criterion"]]
        criteria = ordered[ordered["is_criterion"]].groupby(["test", "criterion"])["value"].mean()
        key: Any
        for key, rows in shown.groupby(["test", "level", "criterion", "human"], sort=False, dropna=False):
            test, level, criterion, human = key
            distance = float(criteria[test, criterion])
            means = rows.groupby("contrast")["value"].mean()  # over exemplars
            if distance > 0:
                curves.append(
                    ResponseCurve(
                        condition=str(test),
                        level=float(level),
                        parameter=float(criterion),
                        contrasts=tuple(map(float, means.index)),
                        responses=tuple(map(float, means / distance)),
                        human=float(human),
                        reference=reference,
                    )
                )
    return curves


_OF_PLACE = ("probe", "distance")
_DECISIONS = GalleryView(("item", "label", "decision"), _decisions)
VIEWS: Mapping[str, tuple[View[Any], ...]] = {
    "classification": (
        GalleryView(
            ("item", "image_id", "subset", "category", "exemplar", "protocol", "decision", "observer"),
            _classification,
        ),
    ),
    "decodability": (),
    "distortion": (GalleryView(("item", "reference_id", "distortion", "level", "distance"), _distortion),),
    "geometry": (),
    "jnd": (GalleryView(("item", "same", "subset", *_OF_PLACE, "value"), _jnd),),
    "label_distribution": (
        GalleryView(
            ("item", "label", "counts", "cosines", "protocol"), _label_distribution, later=("protocol",)
        ),
    ),
    "noise": (GalleryView(("item", "label", "condition", "level", "decision"), _noise),),
    "odd_one_out": (
        GalleryView(
            ("item", "object_0", "object_1", "object_2", "asked", "probe", "similarity", "choice"),
            _odd_one_out,
        ),
    ),
    "psychophysics": (
        CurvesView(
            (
                "is_criterion",
                "item",
                "contrast",
                "exemplar",
                "test",
                "level",
                "criterion",
                "human",
                *_OF_PLACE,
                "value",
            ),
            _curves,
            metric="contrast",
        ),
    ),
    "quality": (
        GalleryView(
            ("item", "reference_id", "distortion", "score", "higher_is_better", *_OF_PLACE, "value"), _quality
        ),
    ),
    "representation": (),
    "retrieval": (GalleryView(("row", "modality", "item", "embedding"), _retrieval),),
    "saliency": (
        GalleryView(
            ("item", "probe", "layer", "smoothed", "subset", "image_id", "nss", "cc", "map"),
            _saliency,
            later=("map",),
        ),
    ),
    "shape_bias": (
        GalleryView(
            (
                "item",
                "image_id",
                *("shape", "texture", "shape_exemplar", "texture_exemplar"),
                *("protocol", "decision", "cue", "observer", "condition"),
            ),
            _shape_bias,
            later=("condition",),
        ),
    ),
    "similarity": (
        GalleryView(("item", "judgement", "subset", *_OF_PLACE, "value_0", "value_1"), _similarity),
    ),
    "zero_shot": (GalleryView(("item", "label", "ranking", "protocol"), _zero_shot, later=("protocol",)),),
}
"""By the name of the kind."""
