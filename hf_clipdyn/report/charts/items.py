"""Which images are learned when: each image by revision, the ones that are right most often first."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_clipdyn.benchmarks.relations.learning_order import LearningOrder
from hf_clipdyn.metrics.learning_order import learning_order
from hf_clipdyn.report.answers import RunAnswers, related
from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.courses import evenly
from hf_clipdyn.report.lines import mean_and_half
from hf_clipdyn.report.page.views import class_names, class_title
from hf_clipdyn.report.panel import Map, Panel, Scale
from hf_clipdyn.report.study import Study

_MOST_ITEMS = 240  # of a map
_STATES = ("wrong", "right", "wrong again")
_WRONG, _RIGHT, _FORGOTTEN = range(len(_STATES))


class Items(Chart):
    """The map of images by revisions, with people's accuracy at its margin."""

    title = "Which images are learned when"

    @classmethod
    def panels(cls, study: Study) -> Sequence[Panel]:
        """A map for each number and run whose trials are there."""
        panels = list[Panel]()
        for kind, run, (course, *_), answers in related(study, LearningOrder, "learned"):
            if answers:
                shown = learned(answers, class_names(course.dataset, kind.schemas))
                main = course.benchmark not in {panel.benchmark for panel in panels}
                panels.append(study.planner.of_run(course, run, main=main, form="map", **shown))
        return panels


def learned(answers: RunAnswers, names: Sequence[str] = ()) -> dict[str, Any]:
    """What the panel of a run shows: its map and scales, and how many images are never right.

    Args:
        answers: of the run.
        names: of classes, by their number.
    """
    right, (revisions, items) = answers.right, answers.right.shape
    order = learning_order(right[None])
    first = np.array(order.facts["first_learned"][0])
    first = np.where(first, first, revisions + 1)
    seen = np.arange(1, revisions + 1)[:, None] >= first
    states = np.where(right, _RIGHT, np.where(seen, _FORGOTTEN, _WRONG))
    shown = np.lexsort((first, -right.mean(axis=0)))[evenly(items, _MOST_ITEMS)]
    people = mean_and_half(np.stack([*answers.people.values()]))[0][shown] if answers.people else np.array([])
    never, expected = (~right.any(axis=0)).sum(), order.facts["never_learned_expected"][0] * items
    some = f"{len(shown):,} of {items:,}" if len(shown) < items else f"{items:,}"
    labels = zip(answers.item[shown].tolist(), answers.label[shown].tolist(), strict=True)
    labelled = tuple(f"{item}: {class_title(at, names)}" for item, at in labels)
    return {
        "cells": Map(
            values=states.T[shown].astype(np.float64)[None],
            states=_STATES,
            margin=people if np.isfinite(people).any() else None,
            margin_title="observers right",
        ),
        "x": Scale(title="revision", names=tuple(answers.revisions)),
        "y": Scale(title=f"{some} images", names=labelled),
        "note": f"{never:,} of {items:,} never right, {expected:,.0f} expected",
    }
