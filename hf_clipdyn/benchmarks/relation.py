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

        @staticmethod
        def relate(a, b, common):                # two revisions
            for key, first, second in in_common(a, b):
                same = first.decision == second.decision
                yield related(key, "same", same.mean(), n=len(same), influence=mean_by_item(same, first.item))

        @staticmethod
        def trace(run, common): ...              # a whole run, in the order of training

Relations read what `observe` saved, never a model, so they need neither the data set nor the repository. Their numbers
are in the table beside those of kinds: in the cell of revision ``a``, whose kind is ``<relation>-<kind>``, whose
``other`` is the commit of ``b``, and whose setting ``with`` is the sort of pair. The column ``reference`` of a number
names ``b``; trajectories keep it apart, while ``other`` may differ from point to point.
"""

import math
from abc import ABC
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, TypeVar, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.answers import Answers
from hf_clipdyn.benchmarks.kind import Common
from hf_clipdyn.metrics.bootstrap import student_interval
from hf_clipdyn.results.row import Cell, Number, NumberKey
from hf_clipdyn.results.terms import KindTerms, Reference

Pairs = Literal["previous", "last", "seeds", "people", "all"]
PAIRS: tuple[Pairs, ...] = get_args(Pairs)
"""The sorts of pairs: with the revision before, with the last one, with the other seeds at equal samples (also of other
arms, see `Relation.between_arms`), with each person, with every revision of the run."""

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

KeyedAnswers: TypeAlias = Mapping[NumberKey, Answers]
_PAIR_TITLES = {
    "previous": "previous revision",
    "last": "last revision",
    "seeds": "mean of the other seeds",
    "pairs": "mean of all pairs of seeds",
    "people": "mean of people",
}


class Kept(Protocol):
    """What `Seen.derived` keeps."""

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""


KeptT = TypeVar("KeptT", bound=Kept)


@dataclass(frozen=True, eq=False)
class Seen:
    """What a relation reads of one revision, or of one person who saw the same: saved trials, never a model.

    Attributes:
        cell: of the trials; it has the revision, its commit, samples_seen, seed and data_fingerprint.
        person: name of the person; empty for the model.
    """

    cell: Cell
    read: Callable[[Cell, Sequence[str] | None], pd.DataFrame]
    read_answers: Callable[[Cell], Mapping[str, KeyedAnswers]]
    read_weights: Callable[[Cell], Mapping[str, NDArray[Any]]]
    read_numbers: Callable[[Cell], Sequence[Number]]
    keep: Callable[[Callable[..., "Kept"], Sequence["Seen"]], Any]
    person: str = ""

    def trials(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """The saved trials, read from the disk: all columns, or these."""
        return self.read(self.cell, columns)

    def derived(self, make: Callable[..., KeptT], *others: "Seen") -> KeptT:
        """What a function makes of this revision, or of it and others, kept in memory as long as there is room."""
        kept: KeptT = self.keep(make, [self, *others])
        return kept

    @property
    def numbers(self) -> Sequence[Number]:
        """The numbers that were scored from these trials, without their influences."""
        return self.read_numbers(self.cell)

    @property
    def answers(self) -> KeyedAnswers:
        """The answers that are right or wrong, by the key of their number without its metric (`keyed`)."""
        return self.read_answers(self.cell).get(self.person, {})

    @property
    def people(self) -> list["Seen"]:
        """The people who answered to the same items, sorted by name."""
        return [replace(self, person=name) for name in sorted(self.read_answers(self.cell)) if name]

    @property
    def weights(self) -> Mapping[str, NDArray[Any]]:
        """The tensors of the model, read from the disk; only for a relation that reads `WEIGHTS`."""
        return self.read_weights(self.cell)


class Relation(ABC):
    """Base class of relations. A subclass is a relation; it has no instances.

    Attributes:
        name: of the relation; the cells' kind is ``<name>-<kind>``, or ``<name>`` for weights.
        terms: title, ``question`` and metrics in words. Axes, conditions, variants, subsets and probes are the kind's.
        reads: names of the kinds whose trials it reads; `ANSWERED`, or `WEIGHTS`.
        pairs: sorts of pairs for `relate`.
        score_version: raise it if the same trials now give other numbers; they are then computed again.
        between_arms: metrics that seeds also have with the unequal seeds of the main arm and, in the main arm, with
            those of every other arm; without any, arms are not related.
        symmetric: whether ``relate(a, b)`` equals ``relate(b, a)``, so that it is computed once for two seeds.

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
    symmetric: ClassVar[bool] = True

    @staticmethod
    def relate(a: Seen, b: Seen, common: Common) -> Iterable[Number]:
        """The numbers of a pair, without an interval: it follows from their influence.

        Args:
            a: the revision to which the numbers belong.
            b: the revision, or the person, with which it is related.
            common: settings of the intervals.

        Returns:
            Numbers, each best with its ``influence`` by item (`Number.influence`): differences, means over seeds and
            intervals come from it. A number without one has no error.
        """
        del a, b, common
        return ()

    @staticmethod
    def trace(run: Sequence[Seen], common: Common) -> Iterable[Number]:
        """The numbers of a whole run.

        Args:
            run: its revisions in the order of training; at least two.
            common: settings of the intervals.

        Returns:
            Numbers as those of `relate`, of the last revision or of the one that `Number.at` names.
        """
        del run, common
        return ()

    @staticmethod
    def over_seeds(runs: Sequence[Sequence[Seen]], common: Common) -> Iterable[Number]:
        """The numbers of several runs that differ in their seed alone.

        Args:
            runs: at least two; revision e of all of them has seen equal samples. They belong to the first run.
            common: settings of the intervals.

        Returns:
            As `trace`.
        """
        del runs, common
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
        own = by_person.setdefault(one.key.reference, {})
        key = replace(one.key, metric="", role="value", reference="")
        if one.key.reference:
            key = replace(key, probe="projection")
        own[replace(key, variant=one.key.metric) if key in own else key] = one
    return by_person


def in_common(a: Seen, b: Seen) -> Iterator[tuple[NumberKey, Answers, Answers]]:
    """The answers of two revisions that belong to one number: its key and both of them."""
    others = b.answers
    return ((key, one, others[key]) for key, one in a.answers.items() if key in others)


def related(key: NumberKey, metric: str, value: float, **columns: Any) -> Number:
    """A number of a relation.

    Args:
        key: of the numbers that are related, without a metric.
        metric: of the relation.
        value: NaN if undefined, with its cause as ``note``.
        **columns: further columns and the influence.
    """
    return Number(**vars(key) | {"metric": metric, "value": float(value)} | columns)


def mean_of_seeds(key: NumberKey, metric: str, values: Sequence[float], common: Common) -> Number:
    """The mean of a number of several runs, with Student's interval over them; NaN if it is undefined in one run."""
    known = np.array([one for one in values if not math.isnan(one)])
    n = len(known)
    columns: dict[str, Any] = {"reference": "seeds", "n": n, "n_clusters": n}
    if n < len(values):
        note = f"it is defined in {n} of {len(values)} seeds"
        return related(key, metric, math.nan, note=note, **columns)
    if common.n_resamples:
        error = known.var(ddof=1) / n
        ends = student_interval(known.mean(), error, "linear", common.confidence_level, n - 1)
        columns |= dict(zip(("ci_low", "ci_high"), ends, strict=True))
    return related(key, metric, known.mean(), **columns)


def relation_terms(relation: type[Relation], kind: KindTerms | None) -> KindTerms:
    """The words of the numbers of a relation: its metrics on the axes of the kind that it reads."""
    own = relation.terms
    pairs = (Reference(role="value", name=name, title=title) for name, title in _PAIR_TITLES.items())
    references = (*own.references, *pairs)
    own = replace(own, references=references, question=own.question or own.title)
    if kind is None:
        return replace(own, draws=own.draws or "weights")
    return replace(
        own,
        title=f"{own.title}, {kind.title}",
        of=kind.title,
        level=own.level or kind.level,
        parameter=own.parameter or kind.parameter,
        conditions={**kind.conditions, **own.conditions},
        variants={**{name: one.title for name, one in kind.terms.items()}, **kind.variants, **own.variants},
        subsets={**kind.subsets, **own.subsets},
        probes={**kind.probes, **own.probes},
        draws=own.draws or kind.draws,
        proxy=own.proxy or kind.proxy,
    )
