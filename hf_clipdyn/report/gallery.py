"""What the report's page shows of a kind's trials: a browser of stimuli, and response curves.

A view names the columns of the trials that it takes, and the function that reads them. The report finds the images,
checks that they are the ones that were shown, chooses some of them and draws the browser.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

import pandas as pd

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture of each stimulus.

    Attributes:
        title: what it is among the pictures of the stimulus ("reference"); empty if it is the only one.
        column: column of images of the data set.
        rows: by item, the row of the data set; None: the item is the row.
    """

    title: str = ""
    column: str = "image"
    rows: pd.Series | None = None


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """What the trials of one revision say of each stimulus. All series have the stimulus, ``item``, as their index.

    Attributes:
        pictures: the pictures of a stimulus; the image of its row by default.
        answer: what an answer is: the name or the number of a ``class``; the position of a ``picture`` (-1 for a tie);
            or a ``value``.
        answers: the model's answers, by the title of the way in which it was asked; the first is shown at first. Every
            revision must have the same titles.
        truth: the right answer; None if there is none, or if people's answer is the right one.
        truth_title: what it is ("shape").
        lure: the answer that another cue suggests; None if there is none.
        lure_title: what it is ("texture").
        people: the answer of most people, or their mean value; missing if nobody answered.
        people_share: share of people who gave this answer, in [0, 1].
        people_title: what `people` is ("people's choice").
        choosing: the ways among `answers` in which truth and lure compete, so that the share of the truth among the
            decisions for either says what decides.
        observers: every answer of people that is known one by one: item, observer, decision; None if none is.
        clusters: by item, the columns that name what was drawn at random; None if the items themselves were.
        value_title: what a value is, if the answers are values; low or high is neither good nor bad.
        groups: what stimuli are filtered by if not by their right answer, as text ("distortion").
        group_title: what a group is.
        check: columns of the data set, as they were when the stimuli were shown. The pictures are shown only if the
            data set still has these values in the row of each stimulus.
        note: what a reader must know about the pictures, in one sentence.
        maps: maps over the (first) picture, by the title of the way, as `kept_map` makes them;
            only for some items.
        people_map: such maps of where people looked.
    """

    pictures: tuple[Picture, ...] = (Picture(),)
    answer: Literal["class", "picture", "value"]
    answers: Mapping[str, pd.Series]
    truth: pd.Series | None = None
    truth_title: str = "right answer"
    lure: pd.Series | None = None
    lure_title: str = ""
    people: pd.Series | None = None
    people_share: pd.Series | None = None
    people_title: str = "people's choice"
    choosing: tuple[str, ...] = ()
    observers: pd.DataFrame | None = None
    clusters: pd.DataFrame | None = None
    value_title: str = ""
    groups: pd.Series | None = None
    group_title: str = ""
    check: pd.DataFrame | None = None
    note: str = ""
    maps: Mapping[str, pd.Series] = field(default_factory=dict)
    people_map: pd.Series | None = None

    def __post_init__(self) -> None:
        if not all(answers.index.is_unique for answers in self.answers.values()):
            raise ValueError("a stimulus has two answers")


@dataclass(frozen=True, kw_only=True)
class ResponseCurve:
    """How the response to one stimulus grows with its strength, beside the strength that people need.

    Attributes:
        condition, level, parameter: as the numbers of the kind name them.
        contrasts: strengths that were shown, ascending.
        responses: at these, relative to the criterion: 1 is an equal response; not negative.
        human: strength at which people's response is equal; None if unknown.
        reference: name of a baseline; empty for the model.
    """

    condition: str
    level: float | None
    parameter: float | None
    contrasts: tuple[float, ...]
    responses: tuple[float, ...]
    human: float | None = None
    reference: str = ""


@dataclass(frozen=True)
class View(Generic[T]):
    """What the page makes of the trials of one revision.

    Attributes:
        columns: of the trials that `read` takes, and the stimulus's `split`, `row` and `file`.
        read: makes the content from the trials, which have only these columns.
        later: columns that trials of earlier versions may lack.
    """

    columns: tuple[str, ...]
    read: Callable[[pd.DataFrame], T]
    later: tuple[str, ...] = ()


@dataclass(frozen=True)
class GalleryView(View[Gallery | None]):
    """A browser of stimuli."""


@dataclass(frozen=True, kw_only=True)
class CurvesView(View[Sequence[ResponseCurve]]):
    """Curves of the response over the strength of a stimulus, epoch by epoch.

    Attributes:
        metric: whose values are the strengths of equal response.
    """

    metric: str


def most_frequent(answers: pd.DataFrame, column: str = "decision") -> tuple[pd.Series, pd.Series]:
    """The most frequent answer to each ``item``, and its share; of equally frequent ones the first in the alphabet."""
    counts = answers.groupby(["item", column], observed=True).size().rename("n").reset_index()
    best = counts.sort_values(["item", "n", column], ascending=[True, False, True]).drop_duplicates("item")
    best = best.set_index("item")
    totals = counts.groupby("item")["n"].sum()
    return best[column], best["n"] / totals


def shares_below(values: pd.Series) -> pd.Series:
    """The place of each value among all, from 0 (smallest) to 1 (largest), ties in their middle; NaN stays NaN.

    Distances of two revisions have different units; their places can be compared.
    """
    n = int(values.notna().sum())
    places: pd.Series = (values.rank(method="average") - 1) / max(1, n - 1)
    return places
