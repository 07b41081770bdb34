"""Revisions or models beside a reference, in words: for the terminal, the page and files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hf_clipdyn.errors import EvaluationError, counted
from hf_clipdyn.files import check_output, write_atomically
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.tables import Table, standard_output
from hf_clipdyn.report.words import interval_words, listed
from hf_clipdyn.results.arrow import schema_of
from hf_clipdyn.results.provenance import PROVENANCE_KEY
from hf_clipdyn.results.row import NUMBER_KEY
from hf_clipdyn.statistics import compare
from hf_clipdyn.statistics.corrections import Correction
from hf_clipdyn.statistics.verdicts import provenance

_ALPHA = 0.05
_TOGETHER = "Together, the intervals contain all true differences of the family with 95 % confidence."
_SELECTED = (
    "Only the numbers that stay significant have an interval: on average, at most "
    "5 % of these intervals miss the true difference."
)
_CORRECTIONS = {
    "bonferroni": ("Bonferroni", _TOGETHER),
    "holm": ("Holm", "Holm's correction has no intervals that agree with it; Bonferroni's has."),
    "bh": ("Benjamini-Hochberg", _SELECTED),
    "by": ("Benjamini-Yekutieli", _SELECTED),
    "none": ("no correction", "Each 95 % interval is for one number alone."),
}
"""By the name of the option the correction's own name, and what its intervals mean."""
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
        correction, family: as they were asked for.
    """

    study: Study
    rows: pd.DataFrame
    correction: Correction
    family: compare.Family

    @property
    def of_family(self) -> pd.DataFrame:
        """The rows of the family; interval and p value have the same correction, so that they cannot disagree."""
        rows = self.rows[self.rows["outside_family"] == ""]
        return rows.assign(ci_low=rows["ci_low_simultaneous"], ci_high=rows["ci_high_simultaneous"])

    def table(self) -> Table:
        """The rows of the family in words."""
        family, planner, (name, _) = self.of_family, self.study.planner, _CORRECTIONS[self.correction]
        rows: list[Any] = list(family.itertuples(index=False))
        columns = family[list(NUMBER_KEY)].astype(object)
        keys: Any = columns.where(columns.notna(), None).to_dict("records")
        references = list(dict.fromkeys(self._name(row.run_a, row.revision_a) for row in rows))
        others = list(dict.fromkeys(self._name(row.run_b, row.revision_b) for row in rows))
        # The words of a number follow from its key; the points are those of another number of the benchmark.
        alike = {(one.run, one.kind, one.dataset, one.texts): one for one in planner.courses}
        cells = []
        for row, key in zip(rows, keys, strict=True):
            like = alike[row.run_b, row.kind, row.dataset, row.texts]
            words = planner.benchmark_words(like), planner.name(like._replace(**key))
            difference = f"{row.difference:+.3f}{interval_words(row, '+.3f')}"
            p_value = "< 0.001" if row.p_adjusted < 0.001 else f"{row.p_adjusted:.3f}"
            numbers = f"{row.value_a:.3f}", f"{row.value_b:.3f}", difference, p_value
            cells.append((self._name(row.run_b, row.revision_b), *words, *numbers))
        headings = "benchmark", "metric", "reference", "value", f"difference ({name})", f"p ({name})"
        title = f"{listed(others)} minus {listed(references)}"
        table = Table(title, ("compared", *headings), tuple(cells))
        return table.without("compared") if len(references) == len(others) == 1 else table

    def sentences(self) -> list[str]:
        """Which family was fixed, its size, what stays significant, what the intervals mean, and what is outside."""
        family = self.of_family
        counted_once = family[family["equal_to"] == ""]
        n_equal, (correction, meaning) = len(family) - len(counted_once), _CORRECTIONS[self.correction]
        before, after = ((counted_once[name] <= _ALPHA).sum() for name in ("p_value", "p_adjusted"))
        outside = self.rows["outside_family"].value_counts().drop("", errors="ignore")
        causes = "; ".join(f"{count:,} {cause}" for cause, count in outside.items())
        sentences = [
            f"Family, fixed before looking: {_FAMILIES[self.family]}: {counted(len(counted_once), 'number')}"
            f"{f', and {n_equal} equal to one of them, not counted again' if n_equal else ''}.",
            f"Significant at {_ALPHA}: {before} before the correction, {after} after it ({correction}).",
            meaning,
        ]
        return sentences + ([f"Outside the family, not corrected: {causes}."] if causes else [])

    def _name(self, run: str, revision: str) -> str:
        """Of a revision in a study of one run, else of a model, with its revision if it has several."""
        if len(self.study.runs) == 1:
            return revision
        cells = self.study.cells
        return f"{run}@{revision}" if cells.loc[cells["run"] == run, "revision"].nunique() > 1 else run


def differences(
    study: Study,
    reference: str | None = None,
    others: Sequence[str] | None = None,
    *,
    benchmarks: Sequence[str] | None = None,
    correction: Correction = "bonferroni",
    family: compare.Family = "main",
) -> Differences:
    """Compare revisions or models of a study with a reference.

    Args:
        study: from `read_study`; the trials are beside its tables.
        reference: a revision, a model or ``model@revision``. Default: the first model.
        others: what is compared with it. Default: all other models.
        benchmarks, correction, family: as of `hf_clipdyn.compare_revisions`; the intervals are of 95 %.

    Raises:
        UnknownNameError: a name is not in the tables.
        EvaluationError: there is nothing to compare, or there are no trials.
    """
    first = reference or study.runs[0]
    compared = others or [run for run in study.runs if run != first]
    if not compared:
        raise EvaluationError(f"There is nothing to compare with {first}: name a second revision or model.")
    rows = compare.differences(
        study.results,
        study.influences,
        first,
        compared,
        benchmarks,
        correction=correction,
        family=family,
    )
    return Differences(study, rows, correction, family)


def print_differences(study: Study, names: Sequence[str], output: Path | None, **options: Any) -> None:
    """Print the differences of ``names`` from the first of them, and write all rows into a file if one is given.

    Args:
        study: from `read_study`.
        names: revisions or models; empty for all models.
        output: a Parquet file.
        options: as of `differences`; None for a default.

    Raises:
        ConfigError: the file exists, and is not a table of differences.
        UnknownNameError, EvaluationError: as of `differences`.
        OSError: the file cannot be written.
    """
    if output is not None:
        columns = {"value_a", "value_b", "p_adjusted"}
        check_output(output, "a table of differences", lambda path: columns <= set(schema_of(path).names))
    reference, *others = names or (None,)
    asked = {name: value for name, value in options.items() if value}
    compared = differences(study, reference, others, **asked)
    if (table := compared.table()).rows:
        table.print(standard_output())
    print("", *(f"- {sentence}" for sentence in compared.sentences()), sep="\n")
    if output is not None:
        facts = {PROVENANCE_KEY: provenance(study.results.origins, None).dumps()}
        content = pa.Table.from_pandas(compared.rows, preserve_index=False).replace_schema_metadata(facts)
        write_atomically(output, lambda staging: pq.write_table(content, staging))
