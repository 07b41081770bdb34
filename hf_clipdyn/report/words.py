"""Words for what a table holds, from its vocabulary: titles of metrics, data sets, lines and references."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from hf_clipdyn.report.trajectories import Trajectory
from hf_clipdyn.results.row import NumberKey
from hf_clipdyn.results.terms import Axis, KindTerms, Reference, Term, Vocabulary

__all__ = ["DEFAULT_PROBE", "DETAILS", "Words", "bare", "json_object", "json_words", "listed", "share_words"]

DETAILS = ("texts", "probe", "layer", "subset", "condition", "level", "parameter")
"""Columns that set numbers of one metric apart, in the order in which they are named."""

DEFAULT_PROBE: str = {one.name: one.default for one in fields(NumberKey)}["probe"]  # type: ignore[assignment]
_TEXTS = {"own": "text of each revision", "last": "text of the last revision"}
_CONDITIONS = {"": "all conditions", "none": "untouched images"}


def bare(name: str) -> str:
    """A name without a title, as it is shown."""
    return name.replace("_", " ")


@dataclass(frozen=True)
class Words:
    """What things are called in one report."""

    vocabulary: Vocabulary

    def kind(self, one: Trajectory) -> KindTerms:
        """What its kind declares."""
        return self.vocabulary.kind(one.kind)

    def term(self, one: Trajectory) -> Term:
        """Its metric."""
        return self.vocabulary.term(one.kind, one.metric)

    def metric_rank(self, one: Trajectory) -> int:
        """Place of its metric among those of the kind; what has no term comes last."""
        metrics = list(self.kind(one).terms)
        return metrics.index(one.metric) if one.metric in metrics else len(metrics)

    def is_synthetic(self, one: Trajectory) -> bool:
        """Whether it was measured on images that this project draws."""
        return self.vocabulary.dataset(one.dataset).synthetic

    def human(self, one: Trajectory) -> float | None:
        """The value of people on the same images, from the literature."""
        return self.vocabulary.dataset(one.dataset).human_reference.get(one.metric)

    def dataset(self, one: Trajectory) -> str:
        """The data set; there is usually one synthetic world, and it needs no further name."""
        title = self.vocabulary.dataset(one.dataset).title
        if not self.is_synthetic(one):
            return title
        several = sum(other.synthetic for other in self.vocabulary.datasets.values()) > 1
        return f"synthetic world ({title})" if several else "synthetic world"

    def place(self, one: Trajectory) -> str:
        """The data set in the middle of a sentence."""
        return f"the {self.dataset(one)}" if self.is_synthetic(one) else self.dataset(one)

    def benchmark(self, one: Trajectory) -> str:
        """Kind and data set, as a heading."""
        return f"{self.kind(one).title}: {self.dataset(one)}"

    def metric(self, one: Trajectory) -> str:
        """Title of the metric with its variant: ``shape bias, 80 ImageNet templates``."""
        variant = self.kind(one).variants.get(one.variant, bare(one.variant))
        return ", ".join(filter(None, [self.term(one).title, variant]))

    def probe(self, one: Trajectory) -> str:
        """How the number was read out of the model."""
        return self.kind(one).probes.get(one.probe, bare(one.probe))

    def detail(self, one: Trajectory, columns: Iterable[str]) -> str:
        """The values of these columns of `DETAILS`, in words.

        What is empty is left out; so are the revision's own texts if there is something else to say, since some numbers
        involve no text.
        """
        wanted = set(columns)
        parts = [self._value(one, name) for name in DETAILS if name in wanted]
        said = [part for part in parts if part and part != _TEXTS["own"]]
        return ", ".join(said or filter(None, parts))

    def reference(self, one: Trajectory) -> Reference:
        """The declaration of a reference; without one it joins values with the same key, whatever the probe."""
        found = self.kind(one).reference(one.role, one.reference)
        columns = ("metric", "variant", "subset", "condition", "level", "parameter")
        title = bare(one.reference or one.role)
        return found or Reference(role=one.role, name=one.reference, title=title, joins=columns)

    def _value(self, one: Trajectory, column: str) -> str:
        terms = self.kind(one)
        condition = terms.conditions.get(one.condition)
        if column == "texts":
            return _TEXTS.get(one.texts, one.texts)
        if column == "probe":
            return self.probe(one)
        if column == "layer":
            return "" if one.layer is None else f"layer {one.layer}"
        if column == "subset":
            return terms.subsets.get(one.subset, bare(one.subset))
        if column == "condition":
            return condition.title if condition else _CONDITIONS.get(one.condition, bare(one.condition))
        if column == "level":
            return _axis_words((condition and condition.level) or terms.level, one.level, "level")
        return _axis_words(terms.parameter, one.parameter, "parameter")


def _axis_words(axis: Axis | None, value: float | None, default: str) -> str:
    if value is None:
        return ""
    return f"{axis.title if axis else default} {value:g}{f' {axis.unit}' if axis and axis.unit else ''}"


def json_words(text: str, shared: Mapping[str, Any] | None = None) -> str:
    """``torch 2.6, transformers 5.0``; a text that is no JSON object stays as it is.

    Args:
        text: of a column that holds JSON.
        shared: entries to leave out.
    """
    held = json_object(text)
    if held is None:
        return text
    return ", ".join(
        f"{name} {value}" for name, value in held.items() if not shared or shared.get(name) != value
    )


def json_object(text: str) -> dict[str, Any] | None:
    """The JSON object in a text; None if it holds none."""
    try:
        held = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return held if isinstance(held, dict) else None


def share_words(levels: Iterable[float]) -> str:
    """Confidence levels in words: ``95 %``, ``90 % and 95 %``; empty for none."""
    return " and ".join(f"{100 * level:g} %" for level in sorted({one for one in levels if one == one}))


def listed(names: Sequence[str], most: int = 6) -> str:
    """Names with commas; of many the first and the number of the others."""
    return (
        ", ".join(names) if len(names) <= most else f"{', '.join(names[:most])} and {len(names) - most} more"
    )
