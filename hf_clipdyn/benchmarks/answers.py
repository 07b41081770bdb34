"""Answers that are right or wrong, one to each item: what relations and item-level measures read of trials.

A kind says in `Kind.answers` how its trials contain them. `stack` joins the answers of a run to arrays (revisions,
items), `stack_runs` those of a study to arrays (runs, revisions, items); items are matched by their names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.results.row import NumberKey


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers behind one number of one revision, or those of one person to the same items.

    Attributes:
        key: of the number that is the share of right answers, as `Kind.score` names it. Of a person, the role is
            ``human`` and ``reference`` is the observer.
        item: names of the items, shape (n,), ascending and each once.
        decision: what was answered, (n,).
        label: the right answer, (n,).
        cluster: names of the random units that each item belongs to, (n, ways), in the columns of `Kind.clusters`.
        fingerprint: of what was shown (`Cell.data_fingerprint`); empty if unknown.
        counts: how many people gave each answer, (n, answers), if labels are numbers from 0; None if unknown.
        scores: how much each item looks like each class, such as cosines, (n, classes), if labels are numbers from 0;
            None if unknown.
        logit_scale: factor on the scores before the softmax.
    """

    key: NumberKey
    item: NDArray[Any]
    decision: NDArray[Any]
    label: NDArray[Any]
    cluster: NDArray[Any]
    fingerprint: str = ""
    counts: NDArray[np.int64] | None = None
    scores: NDArray[np.float64] | None = None
    logit_scale: float = 1.0

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Whether each answer is the label, (n,)."""
        return np.asarray(self.decision == self.label, np.bool_)


@dataclass(frozen=True, eq=False)
class AnswerTable:
    """Answers to the items that all of them contain.

    Attributes:
        item, label: shape (items,).
        cluster: (items, ways).
        decision, right: (revisions, items), or (runs, revisions, items).
    """

    item: NDArray[Any]
    label: NDArray[Any]
    cluster: NDArray[Any]
    decision: NDArray[Any]
    right: NDArray[np.bool_]

    @cached_property
    def index(self) -> pd.Index:
        """Of influences by item."""
        index: pd.Index = pd.Index(self.item, name="item")
        return index


def answers_of(
    trials: pd.DataFrame,
    key: NumberKey,
    *,
    decision: str = "decision",
    label: str = "label",
    clusters: Sequence[str] = ("item",),
) -> Answers:
    """The answers in these rows of the trials; rows without a decision are left out.

    Args:
        trials: at most one row for each item.
        key: of their share of right answers.
        decision, label: columns of the answer and of the right answer.
        clusters: columns that name the random units: `Kind.clusters`.

    Examples:
        >>> import pandas as pd
        >>> from hf_clipdyn.benchmarks.answers import answers_of
        >>> from hf_clipdyn.results.row import NumberKey
        >>> trials = pd.DataFrame({"item": [7, 4], "label": [0, 1], "decision": [0, 0]})
        >>> answers = answers_of(trials, NumberKey(metric="top1"))
        >>> answers.item.tolist(), answers.right.tolist()
        ([4, 7], [False, True])
    """
    known = trials[decision].notna()
    rows = trials if known.all() else trials[known]
    item = _array(rows["item"])
    if not (item[1:] > item[:-1]).all():
        rows = rows.sort_values("item", kind="stable").drop_duplicates("item", keep="last")
        item = _array(rows["item"])
    answer, truth = (_array(rows[name]) for name in (decision, label))
    return Answers(key, item, answer, truth, np.stack([_array(rows[name]) for name in clusters], axis=1))


def _array(column: "pd.Series[Any]") -> NDArray[Any]:
    return column.to_numpy(np.int64 if pd.api.types.is_integer_dtype(column.dtype) else object)


def stack(answers: Sequence[Answers]) -> AnswerTable:
    """The answers of one run as arrays (revisions, items), with the items that all revisions answered.

    Args:
        answers: to one number, of each revision.

    Raises:
        EvaluationError: nothing is given, they were shown different stimuli, or have no item in common.

    Examples:
        >>> import pandas as pd
        >>> from hf_clipdyn.benchmarks.answers import answers_of, stack
        >>> from hf_clipdyn.results.row import NumberKey
        >>> trials = pd.DataFrame({"item": [4, 7], "label": [0, 1], "decision": [0, 0]})
        >>> first, second = (answers_of(rows, NumberKey(metric="top1")) for rows in (trials, trials[:1]))
        >>> stack([first, second]).right.tolist()
        [[True], [True]]
    """
    if not answers:
        raise EvaluationError("No answers were given: at least one revision is needed.")
    if len({given.fingerprint for given in answers}) > 1:
        raise EvaluationError(
            f"The answers of {answers[0].key.metric} are to different stimuli (their data fingerprints differ): "
            "relate only revisions that were shown the same."
        )
    first = answers[0]
    # Revisions of one run share their items.
    if len(first.item) and all(given.item is first.item for given in answers):
        decision = np.stack([given.decision for given in answers])
        known = all(given.label is first.label for given in answers)
        right = np.stack([given.right for given in answers]) if known else decision == first.label
        return AnswerTable(first.item, first.label, first.cluster, decision, np.asarray(right, np.bool_))
    item = reduce(np.intersect1d, [given.item for given in answers])
    if not len(item):
        raise EvaluationError(
            f"The answers of {first.key.metric} have no item in common: evaluate the revisions on the same data."
        )
    places = [np.searchsorted(given.item, item) for given in answers]
    decision = np.stack([given.decision[at] for given, at in zip(answers, places, strict=True)])
    label = first.label[places[0]]
    return AnswerTable(
        item, label, first.cluster[places[0]], decision, np.asarray(decision == label, np.bool_)
    )


def stack_runs(runs: Sequence[Sequence[Answers]]) -> AnswerTable:
    """The answers of several runs as arrays (runs, revisions, items).

    Args:
        runs: to one number, of each revision of each run; revision e of all runs has seen equal samples.

    Raises:
        EvaluationError: as `stack`; or the runs have different numbers of revisions.
    """
    lengths = {len(run) for run in runs}
    if len(lengths) != 1:
        raise EvaluationError(
            f"The runs have {', '.join(map(str, sorted(lengths)))} revisions: give as many of each, at equal samples."
        )
    table = stack([one for run in runs for one in run])
    shape = (len(runs), lengths.pop(), len(table.item))
    decision, right = table.decision.reshape(shape), table.right.reshape(shape)
    return AnswerTable(table.item, table.label, table.cluster, decision, right)


def right_of(answers: Sequence[Answers], item: NDArray[Any]) -> NDArray[np.float64]:
    """Whether each of several people is right on these items, (people, items): 1 or 0; NaN without an answer.

    Args:
        answers: of each person.
        item: names of the items, ascending.
    """
    table = np.full((len(answers), len(item)), np.nan)
    for row, person in zip(table, answers, strict=True):
        places = np.searchsorted(item, person.item)
        known = places < len(item)
        known[known] = item[places[known]] == person.item[known]
        row[places[known]] = person.right[known]
    return table
