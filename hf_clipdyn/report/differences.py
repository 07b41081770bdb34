"""Revisions or models beside a reference, in words: for the terminal, the page and files."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hf_clipdyn.errors import EvaluationError, counted, printable, render_table
from hf_clipdyn.files import check_output, write_atomically
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.tables import Table
from hf_clipdyn.report.words import interval_words, listed, metric_words
from hf_clipdyn.results.arrow import schema_of
from hf_clipdyn.results.provenance import PROVENANCE_KEY
from hf_clipdyn.results.row import NUMBER_KEY
from hf_clipdyn.statistics import compare
from hf_clipdyn.statistics.corrections import Correction
from hf_clipdyn.statistics.trajectories import rows_of
from hf_clipdyn.statistics.verdicts import provenance

_CORRECTIONS = {
    "bonferroni": "Bonferroni",
    "holm": "Holm",
    "bh": "Benjamini-Hochberg",
    "by": "Benjamini-Yekutieli",
    "none": "no correction",
}
_FAMILIES = {
    "main": "main metrics of all benchmarks compared, default variants, whole data, each model's own texts",
    "all": "all values of the models that have a p value",
}


@dataclass(frozen=True, eq=False)
class Differences:
    """Paired differences from a reference, with intervals and a correction for their number.

    Attributes:
        study: that they are from.
        rows: as `hf_clipdyn.compare_revisions` returns them; those of the family have no ``outside_family``.
        correction, family, confidence_level: as they were asked for.
    """

    study: Study
    rows: pd.DataFrame
    correction: Correction
    family: compare.Family
    confidence_level: float

    @property
    def of_family(self) -> pd.DataFrame:
        """The rows of the family."""
        return self.rows[self.rows["outside_family"] == ""]

    def table(self) -> Table:
        """The rows of the family in words."""
        shown = self.of_family.assign(
            ci_low=self.rows["ci_low_simultaneous"], ci_high=self.rows["ci_high_simultaneous"]
        )
        of_family = rows_of(shown)
        sides = [
            (self._name(one.run_a, one.revision_a), self._name(one.run_b, one.revision_b))
            for one in of_family
        ]
        pairs = list(dict.fromkeys(sides))
        # The words of a number follow from its key; the points are those of another number of the benchmark.
        alike = {(one.run, *one.benchmark, one.texts): one for one in self.study.trajectories}
        numbers = [
            replace(alike[one.run_b, one.kind, one.dataset, one.texts], **_number_key(one))
            for one in of_family
        ]
        # The interval and the p value beside it have the same correction, so that they cannot contradict each other.
        name = _CORRECTIONS[self.correction]
        columns: dict[str, list[str]] = {
            "compared": [second for _, second in sides],
            "benchmark": [number.benchmark_title for number in numbers],
            "metric": [metric_words(number) for number in numbers],
            "reference": [f"{one.value_a:.3f}" for one in of_family],
            "value": [f"{one.value_b:.3f}" for one in of_family],
            f"difference ({name})": [
                f"{one.difference:+.3f}{interval_words(one, '+.3f')}" for one in of_family
            ],
            f"p ({name})": [_p_words(one.p_adjusted) for one in of_family],
        }
        if len(pairs) == 1:
            del columns["compared"]
        others = listed(list(dict.fromkeys(second for _, second in pairs)))
        caption = f"{others} minus {listed(list(dict.fromkeys(first for first, _ in pairs)))}"
        return Table(caption, tuple(columns), tuple(zip(*columns.values(), strict=True)))

    def sentences(self) -> list[str]:
        """Which family was fixed, its size, what stays significant, what the intervals mean, and what is outside."""
        counted_once = self.of_family[self.of_family["equal_to"] == ""]
        n_equal, alpha = len(self.of_family) - len(counted_once), 1 - self.confidence_level
        before, after = ((counted_once[name] <= alpha).sum() for name in ("p_value", "p_adjusted"))
        outside = self.rows["outside_family"].value_counts().drop("", errors="ignore")
        causes = "; ".join(f"{count:,} {cause}" for cause, count in outside.items())
        sentences = [
            f"Family, fixed before looking: {_FAMILIES[self.family]}: {counted(len(counted_once), 'number')}"
            f"{f', and {n_equal} equal to one of them, not counted again' if n_equal else ''}.",
            f"Significant at {alpha:.3g}: {before} before the correction, {after} after it "
            f"({_CORRECTIONS[self.correction]}).",
            _interval_meaning(self.correction, self.confidence_level),
        ]
        return sentences + ([f"Outside the family, not corrected: {causes}."] if causes else [])

    def render(self) -> str:
        """Table and sentences for a terminal."""
        table = self.table()
        rows = [
            {name: " ".join(printable(cell).split()) for name, cell in zip(table.headings, row, strict=True)}
            for row in table.rows
        ]
        shown = [printable(table.caption), render_table(rows), ""] if rows else []
        return "\n".join([*shown, *(f"- {sentence}" for sentence in self.sentences())])

    def write(self, output: Path) -> None:
        """Write all rows as Parquet.

        Args:
            output: the file.

        Raises:
            OSError: the file cannot be written.
        """
        content = pa.Table.from_pandas(self.rows, preserve_index=False)
        facts = provenance(self.study.results, None).dumps()
        content = content.replace_schema_metadata({PROVENANCE_KEY: facts})
        write_atomically(output, lambda staging: pq.write_table(content, staging))

    @cached_property
    def _n_revisions(self) -> "pd.Series[int]":
        return self.study.cells.groupby("run")["revision"].nunique()

    def _name(self, run: str, revision: str) -> str:
        """Of a revision in a study of one run, else of a model, with its revision if it has several."""
        if len(self.study.runs) == 1:
            return revision
        return f"{run}@{revision}" if self._n_revisions[run] > 1 else run


def differences(
    study: Study,
    reference: str | None = None,
    others: Sequence[str] | None = None,
    *,
    benchmarks: Sequence[str] | None = None,
    correction: Correction = "bonferroni",
    family: compare.Family = "main",
    confidence_level: float = 0.95,
) -> Differences:
    """Compare revisions or models of a study with a reference.

    Args:
        study: from `read_study`; the trials are beside its tables.
        reference: a revision, a model or ``model@revision``. Default: the first model.
        others: what is compared with it. Default: all other models.
        benchmarks, correction, family, confidence_level: as of `hf_clipdyn.compare_revisions`.

    Raises:
        UnknownNameError: a name is not in the tables.
        EvaluationError: there is nothing to compare, or there are no trials.
    """
    first = study.runs[0] if reference is None else reference
    compared = [run for run in study.runs if run != first] if others is None else others
    if not compared:
        raise EvaluationError(f"There is nothing to compare with {first}: name a second revision or model.")
    rows = compare.differences(
        *(study.results, study.influences, first, compared, benchmarks),
        correction=correction,
        family=family,
        confidence_level=confidence_level,
    )
    return Differences(study, rows, correction, family, confidence_level)


def check_differences(output: Path) -> None:
    """Raise ConfigError if a table of differences at ``output`` would replace another file."""
    columns = {"value_a", "value_b", "p_adjusted"}
    check_output(output, "a table of differences", lambda path: columns <= set(schema_of(path).names))


def _number_key(row: Any) -> dict[str, Any]:
    return {name: None if pd.isna(value := getattr(row, name)) else value for name in NUMBER_KEY}


def _p_words(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _interval_meaning(correction: Correction, level: float) -> str:
    if correction == "holm":
        return "Holm's correction has no intervals that agree with it: that of Bonferroni has."
    if correction == "bonferroni":
        return f"Together, the intervals contain all true differences of the family with {100 * level:g} % confidence."
    if correction == "none":
        return f"Each {100 * level:g} % interval is that of one number alone."
    return (
        "Only the numbers that stay significant have an interval: on average, at most "
        f"{100 * (1 - level):.3g} % of these intervals miss the true difference."
    )
