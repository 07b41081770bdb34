"""How a relation between revisions is added: one file in `benchmarks/relations/`, or in a module of your own.

::

    class Agreement(Relation):
        name = "agreement"                       # --relations agreement
        terms = KindTerms(
            title="Agreement",
            question="Which answers stay the same?",    # the tab of the page
            terms={"same": Term(title="same answer", limits=(0, 1))},
        )
        reads = ANSWERED                         # names of kinds; here, all kinds with right answers
        pairs = ("previous", "last", "seeds")

        @classmethod
        def relate(cls, a, b, seed):             # two revisions
            for key, first, second in in_common(a, b):
                same = mean(first.decision == second.decision, "count")
                yield related(key, "same", same, first.item)

        @classmethod
        def trace(cls, run, seed): ...           # a whole run, in the order of training

Relations read what `observe` saved, never a model, so they need neither the data set nor the repository. Their numbers
are in the table beside those of kinds: in the cell of revision ``a``, whose kind is ``<relation>-<kind>``, whose
``other`` is the commit of ``b``, and whose setting ``with`` is the sort of pair. The column ``reference`` of a number
names ``b``; trajectories keep it apart, while ``other`` may differ from point to point. Intervals are made from the
influences, as for kinds.
"""

import math
from abc import ABC
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.answers import Answers
from hf_clipdyn.metrics.scores import Scale, Score
from hf_clipdyn.results.row import Cell, Number, NumberKey
from hf_clipdyn.results.terms import KindTerms, Reference

if TYPE_CHECKING:
    from hf_clipdyn.evaluation.saved_runs import SavedRuns

Pairs = Literal["previous", "last", "seeds", "people"]
PAIRS: tuple[Pairs, ...] = get_args(Pairs)
"""The sorts of pairs: with the revision before, with the last one, with the other seeds at equal samples (also of other
arms, see `Relation.between_arms`), with each person."""

SORT = "with"
"""The setting of a relation's cells that holds the sort of pair; ``run`` and ``runs`` for numbers of whole runs."""

WITHIN_ARM = "seeds"
"""The reference of a number that is a mean over the pairs of a run with the other seeds of its arm."""

ANSWERED = ("answers",)
"""`Relation.reads` of a relation that reads every kind with right answers."""
WEIGHTS = ("weights",)
"""`Relation.reads` of a relation that reads weights and no trials."""

NUMBER_JOINS = (
    "metric",
    "probe",
    "layer",
    "variant",
    "subset",
    "condition",
    "level",
    "parameter",
    "reference",
)
"""`Reference.joins` of a reference that each number has for itself."""

Scored: TypeAlias = tuple[Number, Scale]
"""A number, perhaps with its influence, and the scale of its interval."""
KeyedAnswers: TypeAlias = Mapping[NumberKey, Answers]
_PAIR_TITLES = {
    "previous": "previous revision",
    "last": "last revision",
    "seeds": "mean of the other seeds",
    "pairs": "mean of all pairs of seeds",
    "people": "mean of human observers",
}


@dataclass(frozen=True, eq=False)
class Seen:
    """What a relation reads of one revision, or of one person who saw the same: saved trials, never a model.

    Attributes:
        cell: of the trials; it has the revision, its commit, samples_seen, seed and data_fingerprint.
        saved: where they are.
        person: name of the person; empty for the model.
    """

    cell: Cell
    saved: "SavedRuns"
    person: str = ""

    def trials(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """The saved trials, read from the disk: all columns, or these."""
        return self.saved.trials(self.cell, None if columns is None else tuple(columns))

    @property
    def numbers(self) -> Sequence[Number]:
        """The numbers that were scored from these trials, without their influences."""
        return self.saved.numbers(self.cell)

    @property
    def answers(self) -> KeyedAnswers:
        """The answers that are right or wrong, by the key of their number without its metric (`keyed`)."""
        return self.saved.answers(self.cell).get(self.person, {})

    @cached_property
    def people(self) -> list["Seen"]:
        """The people who answered to the same items, sorted by name."""
        return [replace(self, person=name) for name in sorted(self.saved.answers(self.cell)) if name]

    @property
    def weights(self) -> Mapping[str, NDArray[Any]]:
        """The tensors of the model, read from the disk; only for a relation that reads `WEIGHTS`."""
        return self.saved.weights(self.cell)


class Relation(ABC):
    """Base class of relations. A subclass is a relation; it has no instances.

    Attributes:
        name: of the relation; the cells' kind is ``<name>-<kind>``, or ``<name>`` for weights.
        terms: title, ``question`` and metrics in words. Axes, conditions, variants, subsets and probes are the kind's.
        reads: names of the kinds whose trials it reads; `ANSWERED`, or `WEIGHTS`.
        pairs: sorts of pairs for `relate`, which must not depend on the order of the two.
        score_version: raise it if the same trials now give other numbers; they are then computed again.
        between_arms: metrics that seeds also have with the unequal seeds of the main arm and, in the main arm, with
            those of every other arm; without any, arms are not related.

    Examples:
        >>> from hf_clipdyn.benchmarks.registry import relations
        >>> relations()["error_consistency"].pairs
        ('previous', 'last', 'seeds', 'people')
    """

    name: ClassVar[str]
    terms: ClassVar[KindTerms]
    reads: ClassVar[tuple[str, ...]]
    pairs: ClassVar[tuple[Pairs, ...]] = ()
    score_version: ClassVar[int] = 1
    between_arms: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def relate(cls, a: Seen, b: Seen, seed: int) -> Iterable[Scored]:
        """The numbers of a pair.

        Args:
            a: the revision to which the numbers belong.
            b: the revision, or the person, with which it is related.
            seed: of what is drawn at random, if anything is.

        Returns:
            Numbers, made by `related`. One without an influence has no error.
        """
        del a, b, seed
        return ()

    @classmethod
    def trace(cls, run: Sequence[Seen], seed: int) -> Iterable[Scored]:
        """The numbers of a whole run.

        Args:
            run: its revisions in the order of training; at least two.
            seed: as of `relate`.

        Returns:
            Numbers as those of `relate`, of the last revision or of the one that `Number.at` names.
        """
        del run, seed
        return ()

    @classmethod
    def over_seeds(cls, runs: Sequence[Sequence[Seen]], seed: int) -> Iterable[Scored]:
        """The numbers of several runs that differ in their seed alone.

        Args:
            runs: at least two; revision e of all of them has seen equal samples. They belong to the first run.
            seed: as of `relate`.

        Returns:
            As `trace`.
        """
        del runs, seed
        return ()


def with_arm(arm: str) -> str:
    """The reference of a number that is a mean over the pairs of a run with the unequal seeds of another arm."""
    return f"arm {arm or 'main'}"


def keyed(answers: Iterable[Answers]) -> dict[str, dict[NumberKey, Answers]]:
    """Answers by the person who gave them ("" for the model), then by the key of their number without its metric.

    If two numbers differ in the metric alone, as the probes for shape and for texture do, it becomes the variant of the
    second. A person's key is that of the projection, so that it meets the model's.
    """
    by_person: dict[str, dict[NumberKey, Answers]] = {}
    for one in answers:
        mine = by_person.setdefault(one.key.reference, {})
        key = replace(one.key, metric="", role="value", reference="")
        if one.key.reference:
            key = replace(key, probe="projection")
        mine[replace(key, variant=one.key.metric) if key in mine else key] = one
    return by_person


def in_common(a: Seen, b: Seen) -> Iterator[tuple[NumberKey, Answers, Answers]]:
    """The answers of two revisions that belong to one number: its key and both of them."""
    others = b.answers
    return ((key, one, others[key]) for key, one in a.answers.items() if key in others)


def related(
    key: NumberKey,
    metric: str,
    score: Score | float,
    units: "NDArray[Any] | pd.Index | None" = None,
    **columns: Any,
) -> Scored:
    """A number of a relation.

    Args:
        key: of the numbers that are related, without a metric.
        metric: of the relation.
        score: its value, influence and scale; a plain value has no error.
        units: names of what the influence belongs to: items, or an index with another name.
        **columns: further columns.
    """
    if not isinstance(score, Score):
        score = Score(float(score))
    influence = None
    if score.influence is not None and units is not None and not math.isnan(score.value):
        index = units if isinstance(units, pd.Index) else pd.Index(units, name="item")
        influence = pd.Series(score.influence, index)
    counted = {"n": score.n, "note": score.cause, "influence": influence}
    return Number(**vars(key) | {"metric": metric, "value": score.value} | counted | columns), score.scale


def mean_of_seeds(key: NumberKey, metric: str, values: Sequence[float]) -> Scored:
    """The mean of a number of several runs, whose error is that of the seeds; NaN if it is undefined in one run."""
    numbers = np.array(values, np.float64)
    known, n = int((~np.isnan(numbers)).sum()), len(numbers)
    cause = "" if known == n else f"it is defined in {known} of {n} seeds"
    score = Score(float(numbers.mean()), (numbers - numbers.mean()) / n, "linear", known, cause)
    return related(key, metric, score, pd.RangeIndex(n, name="seed"), reference="seeds")


def named(found: Iterable[Scored], reference: str) -> list[Scored]:
    """The numbers with the name of the other revision."""
    return [(replace(number, reference=number.reference or reference), scale) for number, scale in found]


def mean_of_others(each: Sequence[Sequence[Scored]], reference: str) -> list[Scored]:
    """The mean of each number over several others, where it is defined; influences are averaged where units agree."""
    by_key: dict[tuple[Any, ...], list[Scored]] = defaultdict(list)
    for number, scale in chain(*each):
        by_key[number.number_key].append((number, scale))
    means: list[Scored] = []
    made: dict[tuple[int, ...], pd.Series[Any] | None] = {}  # two forms of kappa share their influences
    for alike in by_key.values():
        numbers = [number for number, _ in alike if not math.isnan(number.value)]
        if not numbers:
            means += alike[:1]
            continue
        influences = [number.influence for number in numbers]
        shared = tuple(map(id, influences))
        if shared not in made:
            made[shared] = mean_influence(influences)
        cautions = [number.note for number in numbers if number.note]
        notes = [f"the mean of {len(numbers)} of {len(each)}"] * (len(numbers) < len(each))
        notes += [f"in {len(cautions)} of {len(numbers)}, {one}" for one in cautions[:1]]
        value, note = float(np.mean([number.value for number in numbers])), "; ".join(notes)
        mean = replace(numbers[0], value=value, note=note, influence=made[shared])
        scale = next((scale for _, scale in alike if scale == "none"), alike[0][1])
        means.append((mean, scale))
    return named(means, reference)


def mean_influence(influences: Sequence["pd.Series[Any] | None"]) -> "pd.Series[Any] | None":
    """The mean; None if one is unknown, or they have other units or another order of these."""
    known = [influence for influence in influences if influence is not None]
    index = known[0].index if known else None
    if len(known) < len(influences) or not all(
        influence.index is index or influence.index.equals(index) for influence in known
    ):
        return None
    return pd.Series(np.mean([influence.to_numpy() for influence in known], axis=0), index=index)


def relation_terms(relation: type[Relation], kind: KindTerms | None) -> KindTerms:
    """The words of the numbers of a relation: its metrics on the axes of the kind that it reads."""
    terms = relation.terms
    pairs = (Reference(role="value", name=name, title=title) for name, title in _PAIR_TITLES.items())
    references = (*terms.references, *pairs)
    terms = replace(terms, references=references, question=terms.question or terms.title)
    if kind is None:
        return replace(terms, draws=terms.draws or "weights")
    return replace(
        terms,
        title=f"{terms.title}, {kind.title}",
        of=kind.title,
        level=terms.level or kind.level,
        parameter=terms.parameter or kind.parameter,
        conditions={**kind.conditions, **terms.conditions},
        variants={
            **{name: term.title for name, term in kind.terms.items()},
            **kind.variants,
            **terms.variants,
        },
        subsets={**kind.subsets, **terms.subsets},
        probes={**kind.probes, **terms.probes},
        draws=terms.draws or kind.draws,
        proxy=terms.proxy or kind.proxy,
    )
