"""The third stage: from the trials to the rows of a cell, without a model."""

import importlib.metadata
import json
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any, TypeAlias

import pandas as pd
from accelerate.logging import get_logger

from hf_clipdyn.benchmarks.kind import Benchmark, Common, Kind
from hf_clipdyn.benchmarks.registry import vocabulary
from hf_clipdyn.benchmarks.relation import Relation
from hf_clipdyn.benchmarks.units import influences, scored
from hf_clipdyn.errors import EvaluationError, check_known, naming
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.files import from_json
from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.results.row import Cell, Number, Row
from hf_clipdyn.results.terms import KindTerms

Measure: TypeAlias = type[Kind[Any]] | type[Relation]
_log = get_logger(__name__)
_SCORING = ("hf-clipdyn", "numpy", "scipy")
_OBSERVING = (*_SCORING, "torch", "transformers", "datasets")


def score(kind: type[Kind[Any]], trials: pd.DataFrame, common: Common) -> list[Number]:
    """The numbers of a cell with their intervals; each must have its own name, which the kind declares."""
    numbers = scored(kind, trials, common)
    check_names(kind, numbers)
    return numbers


def check_names(kind: Measure, numbers: Sequence[Number]) -> None:
    """Each number of a cell must have its own name, which the kind or the relation declares."""
    twice = [key for key, count in Counter(one.number_key for one in numbers).items() if count > 1]
    assert not twice, f"{kind.name} has two numbers with the same name: {twice}"
    unknown = {one.metric for one in numbers} - set(kind.terms.terms)
    assert not unknown, f"{kind.name} has no terms for {', '.join(sorted(unknown))}"


def rows_of(cell: Cell, terms: KindTerms, numbers: Sequence[Number], level: float) -> list[Row]:
    """The numbers with the columns of their cell, their confidence level and their direction."""
    return [
        Row(
            **vars(cell),
            **vars(one) | {"influence": None, "at": ""},
            confidence_level=None if math.isnan(one.ci_low) else level,
            higher_is_better=terms.terms[one.metric].higher_is_better,
        )
        for one in numbers
    ]


def rescore(config: EvaluationConfig, store: CellStore) -> list[str]:
    """Score the saved trials of the selected benchmarks and revisions, and write their cells.

    No model, data set or Hub is needed. A cell without trials keeps its numbers, intervals and influences; the log says
    how many there are.

    Returns:
        The keys of the selected cells.

    Raises:
        UnknownNameError: no cell belongs to a revision of that name.
        EvaluationError: no cell is selected, or trials are broken or not those that were measured.
    """
    benchmarks = {(one.kind.name, one.dataset): one for one in config.selected}
    repo_id = config.series.repo_id
    of_run = (cell for cell in store.cells() if cell.repo_id == repo_id)
    cells = [cell for cell in of_run if (cell.kind, cell.dataset) in benchmarks]
    if not cells:
        names = ", ".join(one.name for one in benchmarks.values())
        raise EvaluationError(
            f"{config.output} contains no cells of {repo_id} on {names}: evaluate first, without --rescore."
        )
    check_known("revision", config.revisions or (), {cell.revision for cell in cells})
    selected = [cell for cell in cells if config.revisions is None or cell.revision in config.revisions]
    unchanged: dict[str, list[Cell]] = defaultdict(list)
    for cell in selected:
        benchmark, trials = benchmarks[cell.kind, cell.dataset], store.trials(cell.key)
        if trials is None:
            unchanged["Without trials"].append(cell)
        elif cell.observe_version != benchmark.kind.version_with(json.loads(cell.settings)):
            unchanged["With trials of an earlier version"].append(cell)
        else:
            _rescore(cell, benchmark, trials, config, store)
    for cause, left in unchanged.items():
        on = ", ".join(sorted({f"{cell.kind}/{cell.dataset}" for cell in left}))
        _log.warning(
            f"{cause}: {len(left):,} of {len(selected):,} cells of {repo_id}, on {on}. Their numbers and intervals are "
            "unchanged; --force measures them again."
        )
    return [cell.key for cell in selected]


def _rescore(
    cell: Cell, benchmark: Benchmark, trials: pd.DataFrame, config: EvaluationConfig, store: CellStore
) -> None:
    kind, where = benchmark.kind, f"{cell.revision} on {benchmark.name}"
    earlier = from_json(dict[str, str], cell.versions, f"The versions of {where}", EvaluationError)
    if store.are_as_measured(cell.key) is False:
        raise EvaluationError(
            f"The trials of {where} in {config.output} are not those that were measured (their hash is another): "
            f"measure again with --force --revisions {cell.revision} --benchmarks {benchmark.name}."
        )
    with naming(f"The trials of {where} in {config.output}", EvaluationError):
        numbers = score(kind, trials, config)
    now = json.dumps(earlier | _installed(_SCORING))
    new = replace(cell, score_version=kind.score_version, versions=now)
    rows = rows_of(new, kind.terms, numbers, config.confidence_level)
    known = influences(kind, trials, numbers)
    store.write(new, rows, None, vocabulary([benchmark]), influences=known)


def versions() -> str:
    """JSON of the versions of the packages that affect observation and scoring."""
    return json.dumps(_installed(_OBSERVING))


@cache
def _installed(packages: tuple[str, ...]) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in packages}
