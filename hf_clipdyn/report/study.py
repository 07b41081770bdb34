"""A study: the tables of results that a report is about, read once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from hf_clipdyn.report.gallery import Gallery
from hf_clipdyn.report.planning import Planner
from hf_clipdyn.results.provenance import Provenance
from hf_clipdyn.results.row import NumberKey
from hf_clipdyn.results.table import Table, load
from hf_clipdyn.results.terms import Vocabulary
from hf_clipdyn.results.trials import KeptTrials
from hf_clipdyn.statistics.claims import Claims, read_claims
from hf_clipdyn.statistics.errors import Errors
from hf_clipdyn.statistics.judge import Judge, Verdict


@dataclass(frozen=True, eq=False)
class Study:
    """One or several tables, and what was found in them; panels are planned once.

    Attributes:
        results: from `load`.
        sources: names of the files.
        claims_file: of the claims that are judged; None for none.
        judge: reads all tables together for the claims, also in the part of one run; None without claims.
    """

    results: Table
    sources: tuple[str, ...] = ()
    claims_file: Path | None = None
    judge: Judge | None = None

    @cached_property
    def claims(self) -> Claims | None:
        """What its verdicts are about; None without a file."""
        return self.judge.claims if self.judge else None

    @cached_property
    def verdicts(self) -> Sequence[Verdict]:
        """What all tables together say about each claim; empty without claims."""
        return self.judge.verdicts if self.judge else ()

    @cached_property
    def trials(self) -> KeptTrials:
        """The trials beside the tables; none for a frame."""
        return KeptTrials(self.results.files)

    @cached_property
    def influences(self) -> Errors:
        """What the items contribute to numbers, kept beside the tables or from those trials."""
        return self.judge.errors if self.judge else Errors(self.results.files, show_progress=False)

    @cached_property
    def galleries(self) -> dict[str, Gallery | None]:
        """Galleries that were read from trials, by cell, for the parts of the page that share them."""
        return {}

    @cached_property
    def answers(self) -> dict[tuple[str, ...], dict[NumberKey, Any]]:
        """Right and wrong answers that were read from trials, by run, kind and data set."""
        return {}

    @cached_property
    def cells(self) -> pd.DataFrame:
        """A row for each cell, with what is constant in it."""
        return self.results.cells

    @cached_property
    def runs(self) -> list[str]:
        """Names of the runs, in the order of the tables."""
        return list(map(str, self.results.courses["run"].unique()))

    @cached_property
    def planner(self) -> Planner:
        """The panels of all benchmarks, planned once."""
        return Planner(self.results)

    @property
    def over_training(self) -> bool:
        """Whether revisions of a run are compared; else the figures have rows."""
        return self.planner.over_training

    @cached_property
    def measured(self) -> list[tuple[str, str]]:
        """Kinds and data sets, in the order of the tables."""
        pairs = self.results.courses[["kind", "dataset"]].drop_duplicates()
        return [(str(kind), str(dataset)) for kind, dataset in pairs.itertuples(index=False)]

    @cached_property
    def synthetic(self) -> dict[str, str]:
        """Titles of the synthetic data sets, and what their numbers do not show."""
        words = self.results.words
        shown = [words.dataset(dataset) for kind, dataset in self.measured if not words.kind(kind).draws]
        return {terms.title: terms.caution for terms in shown if terms.synthetic}

    @cached_property
    def confidence(self) -> str:
        """The confidence levels of the intervals, in words: ``90 % and 95 %``; empty if there are no intervals."""
        values = self.results.rows
        levels = values.loc[values["ci_low"].notna(), "confidence_level"].dropna().unique()
        return " and ".join(f"{100 * level:g} %" for level in sorted(levels))

    @cached_property
    def confidence_of_cell(self) -> "pd.Series[float]":
        """The first confidence level of each cell, by its key; NaN without any."""
        return self.results.rows.groupby("cell", observed=True)["confidence_level"].first()

    def of_run(self, run: str) -> "Study":
        """The part of one run; the study itself if it has no other."""
        part = self.results.where(run=run)
        return self if part is self.results else replace(self, results=part)


def read_study(
    results: "str | Path | Sequence[str | Path] | pd.DataFrame | Study", *, claims: str | Path | None = None
) -> Study:
    """Read tables of results once, for several functions of this package.

    Args:
        results: tables of `clipdyn evaluate`, or a frame of `load_results`. A study is returned unchanged.
        claims: a file of claims; without one nothing is judged.

    Returns:
        The rows of all runs, with their panels and verdicts.

    Raises:
        ConfigError: a file does not exist, or is not a table of results or a file of claims.
        EvaluationError: the tables have no rows.

    Examples:
        >>> from hf_clipdyn.report import read_study
        >>> study = read_study("runs/demo/results.parquet")
        >>> study.runs
        ['local/demo']
    """
    if isinstance(results, pd.DataFrame):
        words = Vocabulary.loads(results.attrs.get("vocabulary", "{}"), "the frame")
        recorded = Provenance.loads(results.attrs.get("provenance", "{}"), "the frame").runs
        study = Study(Table.from_rows(results, words, origins=recorded))
    elif isinstance(results, Study):
        study = results
    else:
        paths = [Path(results)] if isinstance(results, str | Path) else [Path(path) for path in results]
        study = Study(load(paths), tuple(path.name for path in paths))
    if claims is None:
        return study
    judge = Judge(study.results, read_claims(claims), study.influences)
    return replace(study, claims_file=Path(claims), judge=judge)
