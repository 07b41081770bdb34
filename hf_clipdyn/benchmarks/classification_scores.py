"""The numbers of `Classification`, from its trials alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.classes import right_by_observer
from hf_clipdyn.benchmarks.heads import HEAD, probe_of
from hf_clipdyn.benchmarks.kind import number
from hf_clipdyn.benchmarks.kinds.classification import PAIRED
from hf_clipdyn.benchmarks.shape_scores import ASKED, HUMAN, OBSERVERS
from hf_clipdyn.data.human_trials import HumanAccuracy, human_accuracies
from hf_clipdyn.metrics.influence import Influence
from hf_clipdyn.metrics.observer_agreement import accuracy_gap, observer_agreement, shuffled_accuracy
from hf_clipdyn.metrics.scores import Scale, Score, Scores, interval, over
from hf_clipdyn.metrics.shape_decisions import GEIRHOS_CLASSES
from hf_clipdyn.results.row import Number

Scored = tuple[Number, Scale]
Right = NDArray[np.float64]

_CHOSEN = dict.fromkeys(
    ("original", "texture"), "its images were selected because all networks classify them correctly"
)
_AT_CHANCE = "the accuracy is indistinguishable from chance"
_NO_RANGE = "kappa has no range if an observer is always correct or never correct"
_PEOPLE: Mapping[str, Any] = {"probe": "", "role": "human", "reference": OBSERVERS}


def classification_numbers(trials: pd.DataFrame) -> Iterator[Scored]:
    """Accuracies by condition, agreement with people by subset, and the summary of model-vs-human.

    All are smooth functions of means over images.
    """
    humans = trials[trials["protocol"] == HUMAN]
    for protocol, rows in trials.groupby("protocol", sort=False):
        if protocol in ASKED:
            variant = "" if protocol == HEAD else str(protocol)
            place = {"variant": variant, "probe": probe_of(str(protocol))}
            yield from _of_model(list(_parts(rows, humans)), place)
    # Also without a model, people are compared among themselves.
    yield from _of_people(list(_parts(trials.drop_duplicates("item"), humans)))


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
    people: Right

    def where(self, mask: NDArray[np.bool_]) -> "_Part":
        """The images of a mask, and the observers who saw any of them."""
        people = self.people[mask]
        return _Part(self.subset, self.images[mask], people[:, ~np.isnan(people).all(axis=0)])

    @cached_property
    def kept(self) -> "_Part":
        """The images in the conditions that the official summary counts."""
        return self.where(is_summarised(self.images.assign(subset=self.subset)))

    @cached_property
    def right(self) -> Right:
        return np.asarray(self.images["decision"] == self.images["category"], dtype=np.float64)

    @cached_property
    def chance(self) -> float:
        """One of the number of classes that a decision is among."""
        known = self.images["n_classes"].dropna().tolist() if "n_classes" in self.images else []
        return 1 / (int(known[0]) if known else len(GEIRHOS_CLASSES))

    @cached_property
    def of_model(self) -> Scores:
        """Its accuracy, and with people its agreement with each."""
        conditions = self.images["condition"]
        if self.people.shape[1]:
            return observer_agreement(self.people, self.right, conditions=conditions)
        return _accuracy(self.right[:, None], conditions)

    @cached_property
    def of_people(self) -> Scores:
        """People among themselves; their accuracy only if there is one of them."""
        conditions = self.images["condition"]
        if self.people.shape[1] > 1:
            return observer_agreement(self.people, conditions=conditions)
        return _accuracy(self.people, conditions) if self.people.size else Scores({})

    @cached_property
    def shuffled(self) -> Score:
        """Mean accuracy of the decisions in any other order."""
        named = pd.concat([self.images["decision"], self.images["category"]])
        codes = pd.factorize(named, use_na_sentinel=False)[0]
        return shuffled_accuracy(*codes.reshape(2, -1))

    @cached_property
    def clear_of_chance(self) -> bool:
        """Whether the model's accuracy is above chance, and above that of its decisions in any other order."""
        accuracy = self.of_model["accuracy"]
        assert accuracy.influence is not None
        low, _ = interval(accuracy.value, over(accuracy.influence, self.images["exemplar"]), "count")
        return bool(low > max(self.chance, self.shuffled.value))

    def number(self, metric: str, score: Score, **columns: Any) -> Scored:
        scale: Scale = _from_0 if metric == "accuracy_difference" else score.scale
        scale = "none" if columns.get("role", "").endswith("_bound") else scale
        place = {"subset": self.subset} | columns
        return number(metric, replace(score, scale=scale), self.images["item"], **place)


def _accuracy(right: Right, conditions: "pd.Series[str]") -> Scores:
    """Only the accuracy of one observer, where nobody is there to compare with."""
    alone = observer_agreement(np.repeat(right, 2, axis=1), conditions=conditions)
    return Scores({"accuracy": alone["accuracy"]})


def _from_0(value: float, influence: Influence, level: float) -> tuple[float, float]:
    """The interval of a squared difference."""
    low, high = interval(value, influence, "linear", level)
    return max(low, 0.0), high


def _parts(images: pd.DataFrame, humans: pd.DataFrame) -> Iterator[_Part]:
    """The subsets, in the official order, then the unpublished ones."""
    order = list(dict.fromkeys(one.dataset for one in human_accuracies()))
    present = images["subset"].unique()
    answers = dict(list(humans.groupby("subset")))
    for subset in [*(name for name in order if name in present), *sorted(set(present) - set(order))]:
        rows = images[images["subset"] == subset]
        yield _Part(subset, rows, right_by_observer(rows, answers.get(subset, humans[:0]), "category"))


def _of_model(parts: list[_Part], place: Mapping[str, Any]) -> Iterator[Scored]:
    is_default = not place["variant"]
    for part in parts:
        if is_default:
            yield from _by_condition(part, lambda own: own.of_model, place)
        if len(part.kept.images):
            yield from _of_subset(part.kept, {**place, "condition": ""}, is_default)
    yield from _summary(parts, lambda own: own.of_model, place)
    if is_default:
        yield from _gaps(parts, lambda own: own.right, place)
        chance = Score(parts[0].chance, n=sum(len(part.images) for part in parts))
        yield number("accuracy", chance, role="chance", probe="", condition="")


def _of_people(parts: list[_Part]) -> Iterator[Scored]:
    for part in parts:
        yield from _by_condition(part, lambda own: own.of_people, _PEOPLE)
        place, found = {**_PEOPLE, "condition": ""}, part.kept.of_people
        for metric, name in _SUMMARISED.items():
            key = "kappa" if metric == "error_consistency" else name
            if key in found:
                chosen = _CHOSEN.get(part.subset) if key == "kappa" else None
                says = {"interpretable": False, "note": chosen} if chosen else {}
                yield part.kept.number(metric, found[key], **place, **says)
    yield from _summary(parts, lambda own: own.of_people, _PEOPLE)
    yield from _gaps([part for part in parts if part.people.size], _shares_of_people, _PEOPLE)


def _shares_of_people(part: _Part) -> Right:
    return np.asarray(np.ma.masked_invalid(part.people).mean(axis=1).filled(np.nan))


def _by_condition(
    part: _Part, found: Callable[[_Part], Scores], place: Mapping[str, Any]
) -> Iterator[Scored]:
    """The accuracy in each of several conditions; with a level on the axis of its subset, where it is a number."""
    known = [one for subset, one in _official() if subset == part.subset]
    for condition in known if len(known) > 1 else ():
        own = part.where(np.asarray(part.images["condition"] == condition))
        if len(own.images) and "accuracy" in found(own):
            level = _official()[part.subset, condition].level
            numbered = level is not None and np.isfinite(level)
            at = {"condition": part.subset, "level": level} if numbered else {"condition": condition}
            yield own.number("accuracy", found(own)["accuracy"], **at, **place)


def _of_subset(part: _Part, place: Mapping[str, Any], is_default: bool) -> Iterator[Scored]:
    """The numbers of one subset, over the conditions that the summary counts."""
    found = part.of_model
    yield part.number("accuracy", found["accuracy"], **place)
    if is_default:
        yield part.number("accuracy", part.shuffled, role="null", **place)
    if "kappa" not in found:
        return
    cause = _why_kappa_says_nothing(part)
    says = {"interpretable": not cause, "note": cause or found["kappa"].cause}
    yield part.number("error_consistency", found["kappa"], **place, **says)
    if is_default:
        for role, key in (("lower_bound", "kappa_min"), ("upper_bound", "kappa_max")):
            yield part.number("error_consistency", found[key], **place, role=role)
        yield part.number("accuracy_difference", found["accuracy_difference"], **place)


def _why_kappa_says_nothing(part: _Part) -> str:
    """Empty if the model's kappa does say something."""
    if part.subset in _CHOSEN:
        return _CHOSEN[part.subset]
    if not part.clear_of_chance:
        return _AT_CHANCE
    found = part.of_model
    return _NO_RANGE if found["kappa_max"].value - found["kappa_min"].value < 1e-12 else ""


# The numbers of model-vs-human's summary by metric: their names.
_SUMMARISED: Mapping[str, str] = {
    "accuracy": "accuracy",
    "accuracy_difference": "accuracy_difference",
    "error_consistency": "kappa_all_agree",
}


def _summary(
    parts: Sequence[_Part], found: Callable[[_Part], Scores], place: Mapping[str, Any]
) -> Iterator[Scored]:
    """The mean over the official subsets: of model-vs-human's numbers."""
    official = {subset for subset, _ in _official()}
    kept = [part.kept for part in parts if part.subset in official and len(part.kept.images)]
    for metric, name in _SUMMARISED.items():
        known = [part for part in kept if name in found(part)]
        if not known:
            continue
        n, each = len(known), [found(part)[name] for part in known]
        items = pd.concat([part.images["item"] for part in known])
        contributions = [
            np.full(len(part.images), np.nan) if one.influence is None else one.influence
            for part, one in zip(known, each, strict=True)
        ]
        value, influence = float(np.mean([one.value for one in each])), np.concatenate(contributions) / n
        scale: Scale = next((one.scale for one in each if one.scale != "none"), "none")
        scale = _from_0 if metric == "accuracy_difference" else scale
        note = "" if n == len(official) else f"mean of {n} of the {len(official)} data sets"
        says: dict[str, Any] = {}
        if metric == "error_consistency" and "role" not in place:
            at_chance = sum(not part.clear_of_chance for part in known)
            says = {"interpretable": at_chance * 2 < n}
            note = note if says["interpretable"] else f"{_AT_CHANCE} in {at_chance} of {n} data sets"
        yield number(
            metric,
            Score(value, influence, scale, len(items)),
            items,
            condition="",
            note=note,
            **place,
            **says,
        )


def _gaps(
    parts: Sequence[_Part], right: Callable[[_Part], Right], place: Mapping[str, Any]
) -> Iterator[Scored]:
    """How much more accurate somebody is on one drawing of an object than on another of the same object."""
    by_name = {part.subset: part for part in parts}
    for names in PAIRED:
        if not set(names) <= set(by_name):
            continue
        sides = [by_name[name] for name in names]
        says: dict[str, Any] = {}
        if "role" not in place:
            clear = any(part.clear_of_chance for part in sides)
            says = {"interpretable": clear, "note": "" if clear else _AT_CHANCE}
        images = [part.images.assign(right=right(part)).dropna(subset="right") for part in sides]
        shared = set(images[0]["exemplar"]) & set(images[1]["exemplar"])
        first, second = (rows[rows["exemplar"].isin(shared)] for rows in images)
        if shared:
            score = accuracy_gap(first["right"], second["right"], first["exemplar"], second["exemplar"])
            at = {"subset": " and ".join(names), "condition": ""}
            yield number("accuracy_gap", score, pd.concat([first, second])["item"], **at, **place, **says)
