"""The numbers of `Classification`, from its trials alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import NO_INTERVAL, Common, by_item
from hf_clipdyn.benchmarks.classes import right_by_observer
from hf_clipdyn.benchmarks.heads import HEAD, at_head
from hf_clipdyn.benchmarks.shape_scores import ASKED, HUMAN, OBSERVERS
from hf_clipdyn.data.human_trials import HumanAccuracy, human_accuracies
from hf_clipdyn.metrics.bootstrap import Scale, influence_interval
from hf_clipdyn.metrics.observer_agreement import observer_agreement
from hf_clipdyn.metrics.scores import Scores
from hf_clipdyn.metrics.shape_decisions import GEIRHOS_CLASSES
from hf_clipdyn.results.row import Number

PAIRED = (("edge", "silhouette"), ("edge", "cue-conflict"), ("silhouette", "cue-conflict"))
"""Subsets that show the same objects; their difference is taken object by object."""

_CHOSEN = dict.fromkeys(
    ("original", "texture"), "its images were selected because all networks classify them correctly"
)
_AT_CHANCE = "the accuracy is indistinguishable from chance"
_NO_RANGE = "kappa has no range if an observer is always correct or never correct"
_SCALES: Mapping[str, Scale] = {
    "accuracy": "share",
    "error_consistency": "fisher",
    "top_class_share": "share",
}
# Which columns of the table the results of `observer_agreement` belong to.
_AGREEMENT: Mapping[str, Mapping[str, Any]] = {
    "kappa": {"metric": "error_consistency"},
    "kappa_min": {"metric": "error_consistency", "role": "lower_bound"},
    "kappa_max": {"metric": "error_consistency", "role": "upper_bound"},
    "accuracy_difference": {"metric": "accuracy_difference"},
}
_SUMMARY: Mapping[str, str] = {
    "accuracy": "accuracy",
    "accuracy_difference": "accuracy_difference",
    "kappa_all_agree": "error_consistency",
}
_PEOPLE: Mapping[str, Any] = {"probe": "", "role": "human", "reference": OBSERVERS}


def classification_numbers(trials: pd.DataFrame, common: Common) -> list[Number]:
    """Accuracies by condition, agreement with people by subset, and the summary of model-vs-human.

    All are smooth functions of means over images.
    """
    humans = trials[trials["protocol"] == HUMAN]
    protocols = [str(name) for name in trials["protocol"].unique() if name in ASKED]
    numbers: list[Number] = []
    for protocol in protocols:
        parts = list(_parts(trials[trials["protocol"] == protocol], humans))
        variant = "" if protocol == HEAD else protocol
        numbers += at_head(list(_of_model(parts, variant, common)), protocol)
    # Also without a model, people are compared among themselves.
    shown = trials.drop_duplicates("item")
    numbers += _of_people(list(_parts(shown, humans)), common)
    return numbers


@cache
def _official() -> Mapping[tuple[str, str], HumanAccuracy]:
    return {(one.dataset, one.condition): one for one in human_accuracies()}


def is_summarised(images: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether each row is in a condition that the official summary counts, or in one that is not official."""
    places = zip(images["subset"], images["condition"], strict=True)
    return np.array([one.summary if (one := _official().get(place)) else True for place in places], bool)


@dataclass(frozen=True, eq=False)
class _Part:
    """Some images of one subset, with the model's decisions and people's answers to them.

    Attributes:
        images: a row for each, with item, condition, category, exemplar, and decision if a model was asked.
        people: whether each observer was right, (images, observers); NaN for not seen.
    """

    subset: str
    images: pd.DataFrame
    people: NDArray[np.float64]

    @cached_property
    def chance(self) -> float:
        """One of the number of classes that a decision is among."""
        n_classes = self.images["n_classes"] if "n_classes" in self.images else pd.Series(dtype="Int64")
        known = n_classes.dropna()
        return 1 / (len(GEIRHOS_CLASSES) if known.empty else int(known.iloc[0]))

    def where(self, mask: NDArray[np.bool_]) -> "_Part":
        """The images of a mask, and the observers who saw any of them."""
        people = self.people[mask]
        return _Part(self.subset, self.images[mask], people[:, ~np.isnan(people).all(axis=0)])

    @cached_property
    def kept(self) -> "_Part":
        """The images in the conditions that the official summary counts."""
        return self.where(is_summarised(self.images.assign(subset=self.subset)))

    @cached_property
    def right(self) -> NDArray[np.float64]:
        return np.asarray(self.images["decision"] == self.images["category"], dtype=np.float64)

    @cached_property
    def conditions(self) -> list[str]:
        return self.images["condition"].tolist()

    @cached_property
    def clusters(self) -> NDArray[np.int64]:
        return _clusters(self.images)

    @cached_property
    def of_model(self) -> dict[str, Any]:
        """Its accuracy, and with people its agreement with each."""
        if self.people.shape[1]:
            return _plain(observer_agreement(self.people, self.right, conditions=self.conditions))
        return _accuracy(self.right[:, None], self.conditions)

    @cached_property
    def of_people(self) -> dict[str, Any]:
        """People among themselves; their accuracy only if there is one of them."""
        if self.people.shape[1] > 1:
            return _plain(observer_agreement(self.people, conditions=self.conditions))
        return _accuracy(self.people, self.conditions)

    def estimate(self, result: Mapping[str, Any], key: str, common: Common, **columns: Any) -> Number:
        """One result with its interval and what each image contributes to it."""
        return _estimate(self.images, self.clusters, result, key, common, subset=self.subset, **columns)

    @cached_property
    def clear_of_chance(self) -> bool:
        """Whether the model's accuracy is above chance, and above that of its decisions in any other order."""
        influence = self.of_model["influences"]["accuracy"]
        low, _ = influence_interval(self.of_model["accuracy"], influence, [self.clusters], "share")
        return bool(low > max(self.chance, self.null["null"]))

    @cached_property
    def null(self) -> dict[str, Any]:
        """Mean accuracy of the decisions in any other order, the share of the most frequent one, and their errors."""
        names = pd.Index(pd.concat([self.images["decision"], self.images["category"]]).unique())
        decided, shown = (names.get_indexer(self.images[name]) for name in ("decision", "category"))
        n, counts = len(decided), [np.bincount(codes, minlength=len(names)) for codes in (decided, shown)]
        null = float(counts[0] @ counts[1]) / n**2
        top = int(counts[0].argmax())
        share = np.asarray(decided == top, dtype=np.float64)
        both = (counts[1][decided] + counts[0][shown]) / n
        return {
            "null": null,
            "top_class_share": float(share.mean()),
            "influences": {
                "null": (both - both.mean()) / n,
                "top_class_share": (share - share.mean()) / n,
            },
        }


def _clusters(images: pd.DataFrame) -> NDArray[np.int64]:
    return np.asarray(pd.factorize(images["exemplar"])[0], dtype=np.int64)


def _accuracy(right: NDArray[np.float64], conditions: list[str]) -> dict[str, Any]:
    """Only the accuracy, where nobody is there to compare with."""
    if not right.shape[1]:
        return {}
    alone = observer_agreement(np.repeat(right, 2, axis=1)[:, :2], conditions=conditions)
    return {"accuracy": alone["accuracy"].value, "influences": {"accuracy": alone["accuracy"].influence}}


def _plain(scores: Scores) -> dict[str, Any]:
    """Values, influences and causes apart."""
    return {
        **{name: score.value for name, score in scores.items()},
        **scores.facts,
        "influences": {name: score.influence for name, score in scores.items()},
        "causes": {name: score.cause for name, score in scores.items() if np.isnan(score.value)},
    }


def _estimate(
    images: pd.DataFrame,
    clusters: NDArray[np.int64],
    result: Mapping[str, Any],
    key: str,
    common: Common,
    *,
    metric: str,
    note: str = "",
    **columns: Any,
) -> Number:
    value, influence = result[key], result["influences"][key]
    ends = NO_INTERVAL
    if common.n_resamples and columns.get("role", "value") in ("value", "human") and np.isfinite(value):
        scale = _SCALES.get(metric, "linear")
        ends = influence_interval(value, influence, [clusters], scale, common.confidence_level)
        if metric == "accuracy_difference":
            ends = max(0.0, ends[0]), ends[1]
    return Number(
        metric=metric,
        value=value,
        ci_low=float(ends[0]),
        ci_high=float(ends[1]),
        n=len(images),
        n_clusters=int(clusters.max()) + 1,
        note=result.get("causes", {}).get(key, note),
        influence=by_item(influence, images["item"]),
        **columns,
    )


def _parts(images: pd.DataFrame, humans: pd.DataFrame) -> Iterator[_Part]:
    """The subsets, in the official order, then the unpublished ones."""
    order = list(dict.fromkeys(one.dataset for one in human_accuracies()))
    present = images["subset"].unique()
    answers = dict(list(humans.groupby("subset")))
    for subset in [*(name for name in order if name in present), *sorted(set(present) - set(order))]:
        rows = images[images["subset"] == subset]
        people = right_by_observer(rows, answers.get(subset, humans[:0]), "category")
        yield _Part(subset, rows, people)


def _of_model(parts: list[_Part], variant: str, common: Common) -> Iterator[Number]:
    for part in parts:
        if not variant:
            yield from _by_condition(part, "decision", common)
        if len(part.kept.images):
            yield from _of_subset(part.kept, variant, common)
    yield from _summary(parts, common, variant=variant)
    if not variant:
        yield from _gaps(parts, common)
        n = sum(len(part.images) for part in parts)
        yield Number(metric="accuracy", role="chance", probe="", condition="", value=parts[0].chance, n=n)


def _of_people(parts: list[_Part], common: Common) -> Iterator[Number]:
    for part in parts:
        yield from _by_condition(part, "people", common)
        kept = part.kept
        if not kept.people.size:
            continue
        result, place = kept.of_people, {**_PEOPLE, "condition": ""}
        yield kept.estimate(result, "accuracy", common, metric="accuracy", **place)
        cause = _CHOSEN.get(part.subset, "")
        for key in ("kappa", "accuracy_difference"):
            if key in result:
                says = {"interpretable": False, "note": cause} if cause and key == "kappa" else {}
                yield kept.estimate(result, key, common, **place, **_AGREEMENT[key], **says)
    yield from _summary(parts, common, **_PEOPLE)
    yield from _gaps_of_people(parts, common)


def _by_condition(part: _Part, who: str, common: Common) -> Iterator[Number]:
    """The accuracy in each of several conditions; with a level on the axis of its subset, where it is a number."""
    known = [one for subset, one in _official() if subset == part.subset]
    for condition in known if len(known) > 1 else ():
        own = part.where(np.asarray(part.images["condition"] == condition))
        if not len(own.images):
            continue
        result = own.of_model if who == "decision" else own.of_people
        if not result:
            continue
        level = _official()[part.subset, condition].level
        numbered = level is not None and np.isfinite(level)
        place: dict[str, Any] = {"condition": part.subset if numbered else condition}
        place |= {"level": level} if numbered else {}
        place |= {} if who == "decision" else _PEOPLE
        yield own.estimate(result, "accuracy", common, metric="accuracy", **place)


def _of_subset(part: _Part, variant: str, common: Common) -> Iterator[Number]:
    """The numbers of one subset, over the conditions that the summary counts."""
    place: dict[str, Any] = {"variant": variant, "condition": ""}
    result = part.of_model
    yield part.estimate(result, "accuracy", common, metric="accuracy", **place)
    if not variant:
        yield part.estimate(part.null, "null", common, metric="accuracy", role="null", **place)
        yield part.estimate(part.null, "top_class_share", common, metric="top_class_share", **place)
    cause = _cause(part, result)
    for key, columns in _AGREEMENT.items():
        if key not in result or (variant and key != "kappa"):
            continue
        says = {"interpretable": not cause, "note": cause} if key == "kappa" else {}
        yield part.estimate(result, key, common, **place, **columns, **says)
    if not variant:
        yield from _with_each(part, result)


def _with_each(part: _Part, result: Mapping[str, Any]) -> Iterator[Number]:
    """Kappa with each observer, who is numbered in the order of the names."""
    for observer, kappa in enumerate(result.get("kappas", ()), start=1):
        yield Number(
            metric="observer_consistency",
            role="diagnostic",
            subset=part.subset,
            condition="",
            parameter=float(observer),
            value=kappa,
            n=result["n"],
            note="" if np.isfinite(kappa) else "both are right, or both wrong, on all images",
        )


def _cause(part: _Part, result: Mapping[str, Any]) -> str:
    """Why the model's kappa says nothing; empty if it does."""
    if part.subset in _CHOSEN:
        return _CHOSEN[part.subset]
    if not part.clear_of_chance:
        return _AT_CHANCE
    return _NO_RANGE if result.get("kappa_max", 1.0) - result.get("kappa_min", 0.0) < 1e-12 else ""


def _summary(parts: list[_Part], common: Common, **columns: Any) -> Iterator[Number]:
    """The mean over the official subsets: of model-vs-human's four numbers."""
    official = {subset for subset, _ in _official()}
    kept = [part.kept for part in parts if part.subset in official and len(part.kept.images)]
    of_people = columns.get("role") == "human"
    results = [part.of_people if of_people else part.of_model for part in kept]
    for key, metric in _SUMMARY.items():
        known = [(part, result) for part, result in zip(kept, results, strict=True) if key in result]
        if not known:
            continue
        n = len(known)
        note = "" if n == len(official) else f"mean of {n} of the {len(official)} data sets"
        says: dict[str, Any] = {}
        if metric == "error_consistency" and not of_people:
            at_chance = sum(not part.clear_of_chance for part, _ in known)
            says = {"interpretable": at_chance * 2 < n}
            note = note if says["interpretable"] else f"{_AT_CHANCE} in {at_chance} of {n} data sets"
        influences = np.concatenate([result["influences"][key] for _, result in known]) / n
        mean = {key: float(np.mean([result[key] for _, result in known])), "influences": {key: influences}}
        images = pd.concat([part.images for part, _ in known])
        yield _estimate(
            images,
            _clusters(images),
            mean,
            key,
            common,
            metric=metric,
            condition="",
            note=note,
            **columns,
            **says,
        )


def _gaps(parts: list[_Part], common: Common) -> Iterator[Number]:
    """How much more accurate the model is on one drawing of an object than on another of the same object."""
    by_name = {part.subset: part for part in parts}
    for first, second in PAIRED:
        if first in by_name and second in by_name:
            sides = by_name[first], by_name[second]
            clear = any(part.clear_of_chance for part in sides)
            says = {"interpretable": clear, "note": "" if clear else _AT_CHANCE}
            yield from _gap(sides, [part.right for part in sides], common, **says)


def _gaps_of_people(parts: list[_Part], common: Common) -> Iterator[Number]:
    by_name = {part.subset: part for part in parts if part.people.size}
    for first, second in PAIRED:
        if first in by_name and second in by_name:
            sides = by_name[first], by_name[second]
            right = [np.ma.masked_invalid(part.people).mean(axis=1).filled(np.nan) for part in sides]
            yield from _gap(sides, right, common, **_PEOPLE)


def _gap(
    sides: tuple[_Part, _Part], right: list[NDArray[np.float64]], common: Common, **columns: Any
) -> Iterator[Number]:
    """Mean over the common objects of the difference of the two accuracies on each."""
    answered = [
        part.images.assign(right=hits).dropna(subset="right") for part, hits in zip(sides, right, strict=True)
    ]
    shared = set(answered[0]["exemplar"]) & set(answered[1]["exemplar"])
    if not shared:
        return
    means = [rows.groupby("exemplar")["right"].mean()[sorted(shared)] for rows in answered]
    value = float((means[0] - means[1]).mean())
    blocks = []
    for sign, rows in zip((1, -1), answered, strict=True):
        mine = rows[rows["exemplar"].isin(shared)]
        share = 1 / mine.groupby("exemplar")["item"].transform("size") / len(shared)
        blocks.append(mine.assign(of_gap=sign * mine["right"] * share, share=share))
    images = pd.concat(blocks)
    # What an object contributes is its own difference minus the mean one, half of it on each side.
    influence = (images["of_gap"] - value * images["share"] / 2).to_numpy()
    result = {"gap": value, "influences": {"gap": influence}}
    subset = f"{sides[0].subset} and {sides[1].subset}"
    yield _estimate(
        images,
        _clusters(images),
        result,
        "gap",
        common,
        metric="accuracy_gap",
        subset=subset,
        condition="",
        **columns,
    )
