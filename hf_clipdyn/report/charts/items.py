"""Which images are learned when: each image by revision, the ones that are right most often first."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.relations.learning_order import LearningOrder
from hf_clipdyn.metrics.learning_order import learning_order
from hf_clipdyn.report.answers import (
    Numbers,
    RunAnswers,
    number_words,
    place_words,
    related_numbers,
    run_answers,
)
from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.maps import Map, draw_maps
from hf_clipdyn.report.page.views import class_names
from hf_clipdyn.report.plan import evenly
from hf_clipdyn.report.study import Study
from hf_clipdyn.results.row import NumberKey

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_METRIC = "learned"
_MOST_NUMBERS = 4  # of one benchmark
_MOST_FIGURES = 6
_MOST_ITEMS = 240  # of a map
_MOST_LETTERS = 200_000  # of all maps of one benchmark
_STATES = ("wrong", "right", "wrong again")
_WRONG, _RIGHT, _FORGOTTEN = range(len(_STATES))


@dataclass(frozen=True, eq=False)
class _Learning:
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
    people: NDArray[np.float64]
    n_people: int
    revisions: list[str]
    total: int
    never: int
    expected: float


class Items(Chart):
    """The map of images by revisions, with people's accuracy at its margin."""

    @classmethod
    def draw(cls, study: Study, width: float) -> "Figure | None":
        """The main number of each benchmark, of the first run."""
        maps = []
        for related, numbers in related_numbers(study, LearningOrder, _METRIC, _MOST_NUMBERS).items():
            by_run = run_answers(study, related, numbers, 1)
            for key, answers in list(next(iter(by_run.values()), {}).items())[:1]:
                learning, example = learning_of(answers), numbers[key]
                shown, total = len(learning.item), learning.total
                maps.append(
                    Map(
                        title=f"{example.terms.title}\n{place_words(study, example)}",
                        values=learning.states.astype(np.float64),
                        columns=learning.revisions,
                        across="revision",
                        up=f"{shown:,} of {total:,} images, evenly spaced"
                        if shown < total
                        else f"{total:,} images",
                        states=_STATES,
                        margin=learning.people if learning.n_people else None,
                    )
                )
        return draw_maps(maps[:_MOST_FIGURES], width)

    @classmethod
    def payload(cls, study: Study) -> dict[str, Any] | None:
        """The maps by benchmark of the relation, for JSON.

        Returns:
            None without trials of a benchmark whose learning order is in the table. Else by benchmark ``of``, the
            benchmark of the trials; ``ways``, in words; ``left``, how many ways are left out; and ``runs``: by run and
            way null, or ``revisions``, ``items`` and ``labels`` (names), ``states`` (a text for each item, a digit for
            each revision: 0 wrong, 1 right, 2 wrong again), ``people`` (per cent who are right, or null), ``n_people``,
            ``total``, ``never`` and ``expected``.
        """
        parts = {}
        for related, every in related_numbers(study, LearningOrder, _METRIC).items():
            numbers = dict(list(every.items())[:_MOST_NUMBERS])
            by_run = run_answers(study, related, numbers)
            names = class_names(related.dataset, related.kind.schemas) if by_run else ()
            maps = {
                run: {key: _packed(learning_of(one), names) for key, one in of_run.items()}
                for run, of_run in by_run.items()
            }
            if not maps:
                continue
            kept = _affordable(numbers, maps)
            parts[related.name] = {
                "of": f"{related.kind.name}/{related.dataset}",
                "ways": [number_words(numbers[key]) for key in kept],
                "left": len(every) - len(kept),
                "runs": {run: [of_run.get(key) for key in kept] for run, of_run in maps.items()},
            }
        return parts or None


def _affordable(numbers: Numbers, maps: dict[str, dict[NumberKey, dict[str, Any]]]) -> list[NumberKey]:
    """The first numbers whose maps fit; at least one."""
    letters = sum(
        len(one["items"]) * (len(one["revisions"]) + 16)
        for of_run in maps.values()
        for one in of_run.values()
    )
    return list(numbers)[: max(1, len(numbers) * _MOST_LETTERS // max(letters, 1))]


def learning_of(answers: RunAnswers) -> _Learning:
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
    return _Learning(
        item=answers.item[order],
        label=answers.label[order],
        states=states.T[order],
        people=people[order],
        n_people=len(answers.people),
        revisions=answers.revisions,
        total=right.shape[1],
        never=round(learned["never_learned"].value * right.shape[1]),
        expected=learned.facts["never_learned_expected"][0] * right.shape[1],
    )


def _label(value: Any, names: tuple[str, ...]) -> str:
    if isinstance(value, int | np.integer):
        return names[value] if 0 <= value < len(names) else f"class {value}"
    return str(value)


def _packed(learning: _Learning, names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "revisions": learning.revisions,
        "items": learning.item.tolist(),
        "labels": [_label(value, names) for value in learning.label],
        "states": ["".join(map(str, row)) for row in learning.states],
        "people": [None if np.isnan(share) else round(100 * share) for share in learning.people],
        "n_people": learning.n_people,
        "total": learning.total,
        "never": learning.never,
        "expected": round(learning.expected, 1),
    }
