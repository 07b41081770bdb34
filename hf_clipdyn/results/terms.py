"""The words of the results: titles, meanings and axes of metrics, conditions and references.

Kinds declare them, and the table has them in its metadata. Page, cards and sentences are made from them, so a table
from elsewhere keeps its words.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property

from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.files import from_json
from hf_clipdyn.results.row import NUMBER_KEY

VOCABULARY_KEY = b"hf_clipdyn.vocabulary"
"""Key of a `Vocabulary` in the metadata of a Parquet file."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A quantity that the column ``level`` or ``parameter`` holds.

    Attributes:
        title: for axes and legends ("noise level").
        unit: unit of the numbers; empty for none.
        log: drawn on a logarithmic scale. A level of 0 or inf is drawn one step beyond the others.
        descending: a smaller level is a stronger change. The axis then runs from the largest level to the smallest.

    Examples:
        >>> from hf_clipdyn.results.terms import Axis
        >>> Axis(title="noise level", log=True).title
        'noise level'
    """

    title: str
    unit: str = ""
    log: bool = False
    descending: bool = False


@dataclass(frozen=True, kw_only=True)
class Overview:
    """A metric's place in the summary of a report.

    Attributes:
        rank: the order of the panels; among metrics of one rank, the first that has numbers is shown.
        level: the level to show; None if the metric does not depend on it.
        condition: the condition to show; empty for any.

    Examples:
        >>> from hf_clipdyn.results.terms import Overview
        >>> Overview(rank=60, level=0.1).condition
        ''
    """

    rank: int
    level: float | None = None
    condition: str = ""


@dataclass(frozen=True, kw_only=True)
class Term:
    """One metric in words.

    Attributes:
        title: for headings and axes.
        meaning: one sentence.
        unit: unit of the numbers; empty for shares and correlations.
        limits: range of the axis if it is fixed, as two numbers; None follows the data.
        better: ``high`` or ``low``; empty if neither end is better.
        perception: level of the question: ``low``, ``middle`` or ``high``; empty for none of them.
        neutral: value between two poles, drawn as a line.
        neutral_title: title of that line.
        poles: meaning of values below and above ``neutral`` ("texture", "shape").
        rests_on: metric that is reported with this one, since it shows how far this one can be trusted.
        mirrors: metric next to which this one gets no chart, for example its complement.
        log: drawn on a logarithmic scale.
        is_level: whether its values are levels of the row's condition, such as a threshold: they then have that
            condition's axis, and two conditions do not share a chart.
        by_layer: whether layer against revision is its usual chart: figures draw it, and the page shows it first.
        hide_not_interpretable: whether a value that is not interpretable is not drawn at all, instead of as a hollow
            mark; tables have it.
        overview: place in the summary; None for none.

    Examples:
        >>> from hf_clipdyn.results.terms import Term
        >>> Term(title="accuracy", limits=(0, 1), better="high").higher_is_better
        True
    """

    title: str
    meaning: str = ""
    unit: str = ""
    limits: tuple[float, ...] | None = None
    better: str = ""
    perception: str = ""
    neutral: float | None = None
    neutral_title: str = ""
    poles: tuple[str, ...] | None = None
    rests_on: str = ""
    mirrors: str = ""
    log: bool = False
    is_level: bool = False
    by_layer: bool = False
    hide_not_interpretable: bool = False
    overview: Overview | None = None

    def __post_init__(self) -> None:
        if self.limits is not None and (len(self.limits) != 2 or self.limits[0] >= self.limits[1]):
            raise ValueError("the limits of a metric are two numbers, the lower one first")
        if self.poles is not None and (len(self.poles) != 2 or self.neutral is None):
            raise ValueError("a metric with poles names two of them, and a neutral value between")

    @property
    def higher_is_better(self) -> bool | None:
        """`better` as the table's column has it."""
        return {"high": True, "low": False}.get(self.better)


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What can be done to a stimulus.

    Attributes:
        title: for headings ("Gaussian noise").
        level: its own axis; None for the kind's.
        untouched: the level that leaves the image unchanged; None if no such level was shown.

    Examples:
        >>> from hf_clipdyn.results.terms import Condition
        >>> Condition(title="Gaussian noise", untouched=0.0).untouched
        0.0
    """

    title: str
    level: Axis | None = None
    untouched: float | None = None


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A reference for values: a chance level, a bound, a baseline, people.

    Attributes:
        role: role of its rows.
        name: their ``reference``; empty for all rows of the role that no other entry names.
        title: for legends ("chance", "SSIM, full resolution").
        joins: columns of the number's key in which its rows equal the values of the same cell that they refer to.
        drawn: whether figures show it; the tables below them always do.

    Examples:
        >>> from hf_clipdyn.results.terms import Reference
        >>> Reference(role="chance", title="chance").joins
        ('metric',)
    """

    role: str
    name: str = ""
    title: str
    joins: tuple[str, ...] = ("metric",)
    drawn: bool = True

    def __post_init__(self) -> None:
        unknown = set(self.joins) - set(NUMBER_KEY)
        if unknown:
            raise ValueError(f"a reference joins columns of a number's key, not {', '.join(sorted(unknown))}")


@dataclass(frozen=True, kw_only=True)
class KindTerms:
    """What a kind declares about its numbers.

    Attributes:
        title: for headings ("Sensitivity to noise").
        terms: by metric, in the order in which they are shown.
        level, parameter: the first and the second axis; None if there is none.
        conditions, variants, subsets, probes: titles by the values of these columns; a name without a title is
            shown with spaces for underscores.
        references: how each reference joins the values.
        draws: what the kind draws itself, as a title ("drawn gratings"); the words of the data set then do not apply.
        proxy: whether formulas replace human judgements; the page then states it.
        question: on how learning proceeds, in plain words. Kinds with one, as all relations, have a section of the page
            to themselves, a tab for each question.
        of: of a relation, the title of the kind that it reads.
        rank: the order of the kinds.
        task: the Hub's name of the task, for the results in a model card; empty for none.

    Examples:
        >>> from hf_clipdyn.results.terms import Axis, KindTerms, Reference, Term
        >>> terms = KindTerms(
        ...     title="Sensitivity to noise",
        ...     level=Axis(title="noise level"),
        ...     terms={"accuracy": Term(title="accuracy", meaning="Share of correct decisions.", better="high")},
        ...     references=(Reference(role="chance", title="chance"),),
        ... )
        >>> terms.reference("chance", "").title
        'chance'
    """

    title: str
    terms: Mapping[str, Term]
    level: Axis | None = None
    parameter: Axis | None = None
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    variants: Mapping[str, str] = field(default_factory=dict)
    subsets: Mapping[str, str] = field(default_factory=dict)
    probes: Mapping[str, str] = field(default_factory=dict)
    references: tuple[Reference, ...] = ()
    draws: str = ""
    proxy: bool = False
    question: str = ""
    of: str = ""
    rank: int = 100
    task: str = ""

    def main_metrics(self, measured: Sequence[str]) -> list[str]:
        """The metrics that answer a question of the overview, and the metrics that they rest on; else the first one.

        Args:
            measured: metrics with numbers, in their order.
        """
        placed = [name for name in measured if name in self.terms and self.terms[name].overview is not None]
        wanted = {*placed, *(self.terms[name].rests_on for name in placed)}
        return [name for name in measured if name in wanted] or list(measured[:1])

    def reference(self, role: str, name: str) -> Reference | None:
        """The declaration for rows of that role and reference; one with that name comes first."""
        of_role = [one for one in self.references if one.role == role]
        return next((one for wanted in (name, "") for one in of_role if one.name == wanted), None)


@dataclass(frozen=True, kw_only=True)
class DatasetTerms:
    """What the report says about a data set.

    Attributes:
        title: its own name.
        synthetic: whether this project draws it, without photographs.
        caution: what its numbers do not show, in sentences for readers; may be empty.
        human_reference: values of people from the literature, by metric.
    """

    title: str
    synthetic: bool = False
    caution: str = ""
    human_reference: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The words of one table: of its kinds and of its data sets."""

    kinds: Mapping[str, KindTerms] = field(default_factory=dict)
    datasets: Mapping[str, DatasetTerms] = field(default_factory=dict)

    def dumps(self) -> str:
        """As JSON, for the metadata of a Parquet file."""
        return self._json

    @cached_property
    def _json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)  # unsorted: metrics have an order

    @classmethod
    def loads(cls, text: str | bytes, where: str) -> "Vocabulary":
        """Read what `dumps` wrote; EvaluationError if it is something else."""
        return from_json(cls, text, f"The vocabulary of {where}", EvaluationError)

    @classmethod
    def merged(cls, parts: Iterable["Vocabulary"]) -> "Vocabulary":
        """The words of several tables; the later of two declarations of one name counts."""
        several = list(parts)
        return cls(
            kinds={name: one for part in several for name, one in part.kinds.items()},
            datasets={name: one for part in several for name, one in part.datasets.items()},
        )

    def kind(self, name: str) -> KindTerms:
        """The words of a kind; its bare name if the table has none."""
        return self.kinds.get(name) or KindTerms(title=bare(name), terms={})

    def term(self, kind: str, metric: str) -> Term:
        """The words of a metric; its bare name if the table has none."""
        return self.kind(kind).terms.get(metric) or Term(title=bare(metric))

    def dataset(self, name: str) -> DatasetTerms:
        """The words of a data set; its bare name if the table has none."""
        return self.datasets.get(name) or DatasetTerms(title=bare(name))


def bare(name: str) -> str:
    """A name without a title, as it is shown."""
    return name.replace("_", " ")
