"""Which images are learned when: each image by revision, the ones that are right most often first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.relations.learning_order import LearningOrder
from hf_clipdyn.metrics.learning_order import learning_order
from hf_clipdyn.report.answers import RunAnswers, related
from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.courses import evenly
from hf_clipdyn.report.page.views import class_names, class_title
from hf_clipdyn.report.panel import Floats, Map, Panel, Scale
from hf_clipdyn.report.study import Study

_MOST_ITEMS = 240  # of a map
_STATES = ("wrong", "right", "wrong again")
_WRONG, _RIGHT, _FORGOTTEN = range(len(_STATES))


@dataclass(frozen=True, eq=False)
class Learning:
    """The items of a run in the order of the share of revisions that are right.

    Attributes:
        states: (items, revisions), places in `_STATES`.
        people: share of people who are right; NaN without an answer.
        total: number of all items.
        never, expected: how many no revision answers correctly, and how many a random learner of the same accuracies
            would leave.
    """

    item: NDArray[Any]
    label: NDArray[Any]
    states: NDArray[np.int64]
    people: Floats
    total: int
    never: int
    expected: float


class Items(Chart):
    """The map of images by revisions, with people's accuracy at its margin."""

    title = "Which images are learned when"

    @classmethod
    def panels(cls, study: Study) -> Sequence[Panel]:
        """A map for each number and run whose trials are there."""
        return list(_panels(study))


def _panels(study: Study) -> Iterator[Panel]:
    for kind, numbers, answered in related(study, LearningOrder, "learned"):
        names = class_names(next(iter(numbers.values())).dataset, kind.schemas) if answered else ()
        for at, (run, of_run) in enumerate(answered.items()):
            for key, answers in of_run.items():
                learning, main = learning_of(answers), at == 0 and key == next(iter(of_run))
                given = _map(learning, answers.revisions, names)
                panel = study.planner.of_run(numbers[key], run, main=main, form="map", **given)
                never = (
                    f"{learning.never:,} of {learning.total:,} never right, {learning.expected:,.0f} expected"
                )
                yield replace(panel, place=f"{panel.place}, {never}")


def _map(learning: Learning, revisions: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    shown = len(learning.item)
    some = f"{shown:,} of {learning.total:,}" if shown < learning.total else f"{learning.total:,}"
    labels = zip(learning.item.tolist(), learning.label.tolist(), strict=True)
    margin = learning.people if np.isfinite(learning.people).any() else None
    states = learning.states.astype(np.float64)[None]
    return {
        "cells": Map(values=states, states=_STATES, margin=margin, margin_title="people right"),
        "x": Scale(title="revision", names=tuple(revisions)),
        "y": Scale(
            title=f"{some} images",
            names=tuple(f"{item}: {class_title(at, names)}" for item, at in labels),
        ),
    }


def learning_of(answers: RunAnswers) -> Learning:
    """The images that the map shows, and when each is learned."""
    right = answers.right
    learned = learning_order(right[None])
    first = np.array(learned.facts["first_learned"][0])
    first = np.where(first, first, len(right) + 1)
    seen = np.arange(1, len(right) + 1)[:, None] >= first
    states = np.where(right, _RIGHT, np.where(seen, _FORGOTTEN, _WRONG))
    people = np.full(right.shape[1], np.nan)
    if answers.people:
        given = np.stack([*answers.people.values()])
        known = ~np.isnan(given).all(axis=0)
        people[known] = np.nanmean(given[:, known], axis=0)
    order = np.lexsort((first, -right.mean(axis=0)))
    order = order[evenly(len(order), _MOST_ITEMS)]
    return Learning(
        item=answers.item[order],
        label=answers.label[order],
        states=states.T[order],
        people=people[order],
        total=right.shape[1],
        never=round(learned["never_learned"].value * right.shape[1]),
        expected=learned.facts["never_learned_expected"][0] * right.shape[1],
    )
