"""The third stage: from the trials to the rows of a cell, without a model."""

import importlib.metadata
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, TypeAlias

import pandas as pd
from accelerate.logging import get_logger

from hf_clipdyn.benchmarks import former
from hf_clipdyn.benchmarks.base import Common, Kind
from hf_clipdyn.benchmarks.registry import vocabulary
from hf_clipdyn.benchmarks.relation import Relation
from hf_clipdyn.benchmarks.units import influences, scored
from hf_clipdyn.errors import ClipDynError, EvaluationError, UnknownNameError, shorten
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.files import from_json
from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.results.influences import Influences
from hf_clipdyn.results.row import NUMBER_KEY, Cell, Number, Row

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


def rows_of(cell: Cell, kind: Measure, numbers: Sequence[Number], common: Common) -> list[Row]:
    """The numbers with the columns of their cell, their confidence level and their direction."""
    return [
        Row(
            **vars(cell),
            **vars(one) | {"influence": None, "at": ""},
            confidence_level=None if math.isnan(one.ci_low) else common.confidence_level,
            higher_is_better=kind.terms.terms[one.metric].higher_is_better,
        )
        for one in numbers
    ]


def given_influences(
    kind: type[Kind[Any]], trials: pd.DataFrame, numbers: Sequence[Number]
) -> Influences | None:
    """The influences on the numbers; None if that takes a jackknife, which the first report does."""
    is_given = not kind.is_earlier() or former.are_given(numbers)
    return influences(kind, trials, numbers) if is_given else None


def rescore(config: EvaluationConfig, store: CellStore) -> list[str]:
    """Score the saved trials of the selected benchmarks and revisions, and write their cells.

    No model, data set or Hub is needed. Numbers whose trials are missing stay as they are, which is logged.

    Returns:
        The keys of the selected cells.

    Raises:
        UnknownNameError: no cell belongs to a revision of that name.
        EvaluationError: no cell is selected, or trials are broken or not those that were measured.
    """
    benchmarks = {(one.kind.name, one.dataset): one for one in config.selected}
    cells = [
        cell
        for cell in store.cells()
        if cell.repo_id == config.series.repo_id
        and (cell.kind, cell.dataset) in benchmarks
        and (config.final_texts or cell.texts == "own")
    ]
    if not cells:
        names = ", ".join(one.name for one in benchmarks.values())
        raise EvaluationError(
            f"{config.output} contains no cells of {config.series.repo_id} on {names}: evaluate first, "
            "without --rescore."
        )
    known = {cell.revision for cell in cells}
    for name in config.revisions or ():
        if name not in known:
            raise UnknownNameError("revision", name, known)
    selected = [cell for cell in cells if config.revisions is None or cell.revision in config.revisions]
    for cell in selected:
        benchmark = benchmarks[cell.kind, cell.dataset]
        trials = store.trials(cell.key)
        version = benchmark.kind.version_with(json.loads(cell.settings))
        if trials is None or cell.observe_version != version:
            cause = "has no trials" if trials is None else "was measured by an earlier version"
            _log.warning(
                f"{cell.revision} on {benchmark.name} {cause}, so its numbers are unchanged: evaluate it "
                "again."
            )
            continue
        where = f"The versions of {cell.revision} on {benchmark.name}"
        earlier = from_json(dict[str, str], cell.versions, where, EvaluationError)
        new = replace(
            cell,
            score_version=benchmark.kind.score_version,
            versions=json.dumps({**earlier, **_installed(_SCORING)}),
        )
        is_as_measured = store.are_as_measured(cell.key)
        cause, numbers = "" if is_as_measured is not False else "their hash is another", []
        try:
            cause = cause or (_damage(benchmark.kind, trials) if is_as_measured is None else "")
            numbers = [] if cause else score(benchmark.kind, trials, config)
        except ClipDynError:
            raise
        except Exception as error:  # a kind may do anything with columns that are not its own
            cause = (
                f"their content is not of this benchmark: {type(error).__name__}: {shorten(str(error), 80)}"
            )
        if is_as_measured is None and not cause and cell.score_version == benchmark.kind.score_version:
            cause = _difference(store.select([cell.key]).to_pylist(), numbers)
        if cause:
            raise EvaluationError(
                f"The trials of {cell.revision} on {benchmark.name} in {config.output} are not those that were "
                f"measured ({cause}): measure again with --force --revisions {cell.revision} --benchmarks "
                f"{benchmark.name}."
            )
        rows = rows_of(new, benchmark.kind, numbers, config)
        kept = given_influences(benchmark.kind, trials, numbers)
        store.write(new, rows, None, vocabulary([benchmark]), influences=kept)
    return [cell.key for cell in selected]


def _damage(kind: type[Kind[Any]], trials: pd.DataFrame) -> str:
    """What is wrong with trials whose hash was not recorded, in words; "" for nothing that can be seen."""
    whole = [name for name, of in kind.trial_columns.items() if of in ("int64", "bool") and name in trials]
    empty = [name for name in whole if trials[name].isna().any()]
    if empty:
        return f"{', '.join(empty)} has empty values"
    lists = [name for name, of in kind.trial_columns.items() if of == "object"]
    rows = trials.drop(columns=lists, errors="ignore")
    return "every row is there twice" if rows.duplicated(keep=False).all() and len(rows) else ""


def _difference(before: Iterable[Mapping[str, Any]], numbers: Iterable[Number]) -> str:
    """Where numbers differ from those of the same scoring in their n or by being undefined; "" for nowhere."""
    rows = {tuple(row[name] for name in NUMBER_KEY): row for row in before}
    for one in numbers:
        row = rows.get(one.number_key)
        if one.role != "value" or row is None:
            continue
        if one.n != row["n"]:
            return f"{one.metric} has n = {one.n} instead of {row['n']}"
        if math.isnan(one.value) and not math.isnan(row["value"]):
            return f"{one.metric} is no longer defined"
    return ""


def versions() -> str:
    """JSON of the versions of the packages that affect observation and scoring."""
    return json.dumps(_installed(_OBSERVING))


@cache
def _installed(packages: tuple[str, ...]) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in packages}
