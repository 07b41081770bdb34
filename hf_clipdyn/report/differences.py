"""Revisions or models beside a reference, in words: for the terminal, the page and files."""

from collections.abc import Sequence
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


def differences(
    study: Study,
    names: Sequence[str] = (),
    *,
    benchmarks: Sequence[str] | None = None,
    correction: Correction = "bonferroni",
    family: compare.Family = "main",
) -> pd.DataFrame:
    """Paired differences of revisions or models from the first of them, corrected for their number.

    Args:
        study: from `read_study`; the trials are beside its tables.
        names: revisions, models or ``model@revision``; one alone is compared with all other models. Default: all
            models.
        benchmarks, correction, family: as of `hf_clipdyn.compare_revisions`; the intervals are of 95 %.

    Returns:
        The frame of `hf_clipdyn.compare_revisions`; rows of the family have no ``outside_family``.

    Raises:
        UnknownNameError: a name is not in the tables.
        EvaluationError: there is nothing to compare, or there are no trials.
    """
    first, *others = names or study.runs
    compared = others or [run for run in study.runs if run != first]
    if not compared:
        raise EvaluationError(f"There is nothing to compare with {first}: name a second revision or model.")
    asked: Any = {"correction": correction, "family": family}
    return compare.differences(study.results, study.influences, first, compared, benchmarks, **asked)


def difference_table(study: Study, rows: pd.DataFrame, correction: Correction) -> Table:
    """The rows of the family in words; interval and p value have the same correction, so that they cannot disagree."""
    family, planner, (name, _) = rows[rows["outside_family"] == ""], study.planner, _CORRECTIONS[correction]
    family = family.assign(ci_low=family["ci_low_simultaneous"], ci_high=family["ci_high_simultaneous"])
    columns = family[list(NUMBER_KEY)].astype(object)
    keys: Any = columns.where(columns.notna(), None).to_dict("records")
    # Any number of the benchmark serves: the words follow from the key that replaces its own.
    alike = {(one.run, one.kind, one.dataset, one.texts): one for one in planner.courses}
    cells, references = [], dict[str, None]()
    row: Any
    for row, key in zip(family.itertuples(index=False), keys, strict=True):
        references[_name(study, row.run_a, row.revision_a)] = None
        like = alike[row.run_b, row.kind, row.dataset, row.texts]
        words = planner.benchmark_words(like), planner.name(like._replace(**key))
        difference = f"{row.difference:+.3f}{interval_words(row, '+.3f')}"
        p_value = "< 0.001" if row.p_adjusted < 0.001 else f"{row.p_adjusted:.3f}"
        numbers = f"{row.value_a:.3f}", f"{row.value_b:.3f}", difference, p_value
        cells.append((_name(study, row.run_b, row.revision_b), *words, *numbers))
    others = list(dict.fromkeys(cell[0] for cell in cells))
    headings = "benchmark", "metric", "reference", "value", f"difference ({name})", f"p ({name})"
    title = f"{listed(others)} minus {listed(list(references))}"
    table = Table(title, ("compared", *headings), tuple(cells))
    return table.without("compared") if len(references) == len(others) == 1 else table


def difference_sentences(rows: pd.DataFrame, correction: Correction, family: compare.Family) -> list[str]:
    """Which family was fixed, its size, what stays significant, what the intervals mean, and what is outside."""
    inside, (name, meaning) = rows[rows["outside_family"] == ""], _CORRECTIONS[correction]
    once = inside[inside["equal_to"] == ""]
    n_equal, outside = len(inside) - len(once), rows["outside_family"].value_counts()
    before, after = ((once[p_value] <= _ALPHA).sum() for p_value in ("p_value", "p_adjusted"))
    causes = "; ".join(f"{count:,} {cause}" for cause, count in outside.items() if cause)
    sentences = [
        f"Family, fixed before looking: {_FAMILIES[family]}: {counted(len(once), 'number')}"
        f"{f', and {n_equal} equal to one of them, not counted again' if n_equal else ''}.",
        f"Significant at {_ALPHA}: {before} before the correction, {after} after it ({name}).",
        meaning,
    ]
    return sentences + ([f"Outside the family, not corrected: {causes}."] if causes else [])


def _name(study: Study, run: str, revision: str) -> str:
    """Of a revision in a study of one run, else of a model, with its revision if it has several."""
    if len(study.runs) == 1:
        return revision
    cells = study.cells
    return f"{run}@{revision}" if cells.loc[cells["run"] == run, "revision"].nunique() > 1 else run


def print_differences(
    study: Study,
    names: Sequence[str],
    output: Path | None,
    *,
    benchmarks: Sequence[str] = (),
    correction: Correction = "bonferroni",
    family: compare.Family = "main",
) -> None:
    """Print the differences of ``names`` from the first of them, and write all rows into a file if one is given.

    Args:
        study, names, correction, family: as of `differences`.
        output: a Parquet file.
        benchmarks: only these; default: all.

    Raises:
        ConfigError: the file exists, and is not a table of differences.
        UnknownNameError, EvaluationError: as of `differences`.
        OSError: the file cannot be written.
    """
    if output is not None:
        columns = {"value_a", "value_b", "p_adjusted"}
        check_output(output, "a table of differences", lambda path: columns <= set(schema_of(path).names))
    rows = differences(study, names, benchmarks=benchmarks or None, correction=correction, family=family)
    if (table := difference_table(study, rows, correction)).rows:
        table.print(standard_output())
    sentences = difference_sentences(rows, correction, family)
    print("", *(f"- {sentence}" for sentence in sentences), sep="\n")
    if output is not None:
        facts = {PROVENANCE_KEY: provenance(study.results.origins, None).dumps()}
        content = pa.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata(facts)
        write_atomically(output, lambda staging: pq.write_table(content, staging))
