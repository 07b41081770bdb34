"""Is one revision better than another? A paired comparison of the saved trials, without a forward pass."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from scipy import special

from hf_clipdyn.benchmarks.base import Kind
from hf_clipdyn.benchmarks.influence import Key, influences
from hf_clipdyn.benchmarks.registry import kind_named
from hf_clipdyn.errors import EvaluationError, UnknownNameError
from hf_clipdyn.metrics.estimate import Influence, weighted_sum
from hf_clipdyn.results.cells import CellStore, newest
from hf_clipdyn.results.row import CELL_KEY, NUMBER_KEY, Cell
from hf_clipdyn.statistics.influences import NO_TRIALS, KeptInfluences

__all__ = ["compare_revisions"]

_Numbers: TypeAlias = dict[Key, tuple[float, Influence | None]]
"""Values with their influences."""
_SAME = tuple(name for name in CELL_KEY if name not in ("revision", "commit"))
_COLUMNS = [
    *_SAME,
    *NUMBER_KEY,
    *("value_a", "value_b", "difference", "ci_low", "ci_high", "p_value", "n_clusters"),
]


def compare_revisions(
    results: str | Path,
    a: str,
    b: str,
    benchmarks: Sequence[str] | None = None,
    *,
    confidence_level: float = 0.95,
    seed: int = 0,
    show_progress: bool = True,
) -> pd.DataFrame:
    """Compare two revisions of a run: every metric of ``b`` minus that of ``a``, on the same stimuli.

    Values are those of the table. The interval is Student's, over the clusters of the benchmark (`Kind.clusters`). Its
    variance is that of the difference of the influences (`hf_clipdyn.metrics.estimate`), which is paired: a stimulus
    that is easy for both revisions adds nothing.

    - Numbers that are not smooth have the influence of a jackknife, which merges more than 100 clusters at random into
      100 groups.
    - Means over triplets have the variance over all pairs of triplets that show a common image.
    - The text-free preference has the variance over all pairs of images that share an exemplar; an image also
      contributes as the mate of others.
    - Alignments of dissimilarities have the variance over images and people, which are crossed.
    - The interval contains neither the noise of another seed nor that of another checkpoint. It is not corrected for
      the number of metrics.
    - Diagnostics are not compared.

    Args:
        results: table of `clipdyn evaluate`, with the trials beside it.
        a, b: names of revisions.
        benchmarks: as ``kind/dataset``; None for all that have trials of both revisions.
        confidence_level: of the intervals.
        seed: has no effect: comparisons no longer draw random numbers.
        show_progress: draw a progress bar if a benchmark takes longer than two seconds.

    Returns:
        One row per number: the columns that name the number and its cell (without revision and commit), ``value_a``,
        ``value_b``, ``difference`` (b - a), ``ci_low``, ``ci_high``, ``p_value`` and ``n_clusters`` (0 for a number
        that does not depend on the model). The p value is two-sided, for no difference; it is 1 if the difference is 0
        without any error. All are NaN if either value is undefined. Interval and p value are NaN if no item changes
        the difference, so that its error cannot be estimated. Noise benchmarks add ``drop_when_both_right``: the drop
        on the images that both revisions classify correctly when clean. It is NaN if either clean accuracy is
        indistinguishable from chance.

    Raises:
        UnknownNameError: the table has no such revision or benchmark, or the plug-in of a kind is not loaded.
        EvaluationError: there are no trials of both revisions on the same stimuli.

    Examples:
        >>> from hf_clipdyn import compare_revisions
        >>> found = compare_revisions("runs/demo/results.parquet", "epoch-000", "epoch-003", ["zero_shot/procedural"])
        >>> found[found["texts"] == "own"]["metric"].tolist()
        ['top1', 'top5', 'top1', 'top5']
        >>> bool((found["difference"] == found["value_b"] - found["value_a"]).all())
        True
    """
    del seed
    store = CellStore(results)
    held: dict[Key, dict[str, Cell]] = {}
    for cell in newest(store.cells()):
        held.setdefault(tuple(getattr(cell, name) for name in _SAME), {})[cell.revision] = cell
    _check_names(held.values(), (a, b), benchmarks)
    kept, frames = KeptInfluences([Path(results)], show_progress=show_progress), []
    for same, by_revision in held.items():
        if a not in by_revision or b not in by_revision or not _is_wanted(by_revision[a], benchmarks):
            continue
        kind = kind_named(by_revision[a].kind)
        cells = [by_revision[name] for name in (a, b)]
        known = [kept.of_cell(kind.name, cell.key) for cell in cells]
        if NO_TRIALS in known:
            continue
        sides = [_read(store, cell, one) for cell, one in zip(cells, known, strict=True)]
        rows = _compare(sides, _together(kind, store, cells), confidence_level)
        frames.append(rows.assign(**dict(zip(_SAME, same, strict=True))))
    if not frames:
        raise EvaluationError(
            f"No benchmark has trials of {a} and {b} on the same stimuli beside {results}: evaluate both."
        )
    return pd.concat(frames, ignore_index=True)[_COLUMNS]


def _is_wanted(cell: Cell, benchmarks: Sequence[str] | None) -> bool:
    return benchmarks is None or f"{cell.kind}/{cell.dataset}" in benchmarks


def _check_names(
    held: Iterable[Mapping[str, Cell]], revisions: Sequence[str], benchmarks: Sequence[str] | None
) -> None:
    """Refuse names of benchmarks and revisions that were not measured."""
    cells = [cell for by_revision in held for cell in by_revision.values()]
    names = {f"{cell.kind}/{cell.dataset}" for cell in cells}
    for name in benchmarks or ():
        if name not in names:
            raise UnknownNameError("benchmark in the results", name, names)
    known = {cell.revision for cell in cells if _is_wanted(cell, benchmarks)}
    for revision in revisions:
        if known and revision not in known:
            raise UnknownNameError("revision in the results", revision, known)


def _read(store: CellStore, cell: Cell, known: Mapping[Key, Influence] | str) -> _Numbers:
    """The numbers of a cell in the table, with their influences; `EvaluationError` if these are unknown."""
    if isinstance(known, str):
        raise EvaluationError(known)
    rows = store.select([cell.key]).to_pylist()
    by_key = {tuple(row[name] for name in NUMBER_KEY): row for row in rows if row["role"] != "diagnostic"}
    return {key: (row["value"], known.get(key)) for key, row in by_key.items()}


def _together(kind: type[Kind[Any]], store: CellStore, cells: Sequence[Cell]) -> list[_Numbers]:
    """The numbers that are only meaningful in the comparison of two revisions; none without trials."""
    first, second = (store.trials(cell.key) for cell in cells)
    if first is None or second is None or kind.score_together is Kind.score_together:
        return []
    found = []
    for trials, numbers in zip((first, second), kind.score_together(first, second), strict=True):
        known = influences(kind, trials, numbers)
        found.append({one.number_key: (one.value, known.get(one.number_key)) for one in numbers})
    return found


def _compare(
    sides: Sequence[_Numbers], together: Sequence[_Numbers], confidence_level: float
) -> pd.DataFrame:
    """The differences of the numbers that both have, each with the error of its influence."""
    found = {
        key: (one, pair[1][key])
        for pair in filter(None, (sides, together))
        for key, one in pair[0].items()
        if key in pair[1]
    }
    values = np.array([(a[0], b[0]) for a, b in found.values()], np.float64).reshape(-1, 2)
    difference = values[:, 1] - values[:, 0]
    # What does not depend on the model, such as a ceiling, is the same for both revisions and has no influence.
    changes = [weighted_sum([a[1], b[1]], [-1, 1]) if a[1] and b[1] else None for a, b in found.values()]
    variance = np.array([0.0 if one is None else one.variance for one in changes])
    n_clusters = np.array([0 if one is None else one.n_clusters for one in changes])
    error = np.sqrt(variance)
    # If no item changes the difference, its error cannot be estimated.
    error[(error == 0) & (difference != 0)] = np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        quantile = special.stdtrit(n_clusters - 1, (1 + confidence_level) / 2)
        p_value = 2 * special.stdtr(n_clusters - 1, -np.abs(difference) / error)
        half = np.where(error == 0, 0.0, quantile * error)
    p_value = np.where((error == 0) & (difference == 0), 1.0, p_value)
    rows = pd.DataFrame(list(found), columns=list(NUMBER_KEY)).astype(
        {"layer": "Int64", "level": "float64", "parameter": "float64"}
    )
    return rows.assign(
        value_a=values[:, 0],
        value_b=values[:, 1],
        difference=difference,
        ci_low=difference - half,
        ci_high=difference + half,
        p_value=p_value,
        n_clusters=n_clusters,
    )
