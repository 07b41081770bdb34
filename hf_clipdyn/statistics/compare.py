"""Is one revision better than another? A paired comparison of the saved trials, without a forward pass."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from hf_clipdyn.benchmarks.base import Common, Kind, check_columns
from hf_clipdyn.benchmarks.registry import kind_named
from hf_clipdyn.errors import EvaluationError, UnknownNameError
from hf_clipdyn.results.cells import CellStore, newest
from hf_clipdyn.results.row import CELL_KEY, NUMBER_KEY, Cell, Number
from hf_clipdyn.statistics.item_errors import Key, item_errors, left_out_errors, weighted_error

__all__ = ["compare_revisions"]

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

    The interval is Student's, over the clusters of the benchmark (`Kind.clusters`). Its variance is that of
    `hf_clipdyn.statistics.item_errors`, which is paired: a stimulus that is easy for both revisions adds nothing.

    - A jackknife merges more than 100 clusters at random into 100 groups.
    - Means over triplets have the variance over all pairs of triplets that show a common image.
    - The text-free preference has the variance over all pairs of images that share an exemplar; an image also
      contributes as the mate of others.
    - A kind may compute its own variances (`Kind.paired_variances`): matrices of dissimilarities are compared over the
      same drawn images and people.
    - The interval contains neither the noise of another seed nor that of another checkpoint. It is not corrected for
      the number of metrics.
    - Diagnostics are not compared.

    Args:
        results: table of `clipdyn evaluate`, with the trials beside it.
        a, b: names of revisions.
        benchmarks: as ``kind/dataset``; None for all that have trials of both revisions.
        confidence_level: of the intervals.
        seed: seed of the merging of clusters.
        show_progress: draw a progress bar if a benchmark takes longer than two seconds.

    Returns:
        One row per number: the columns that name the number and its cell (without revision and commit), ``value_a``,
        ``value_b``, ``difference`` (b - a), ``ci_low``, ``ci_high``, ``p_value`` and ``n_clusters``. The p value is
        two-sided, for no difference; it is 1 if the difference is 0 without any error. All are NaN if either value is
        undefined. Interval and p value are NaN if all groups give the same difference, so that its error cannot be
        estimated. Noise benchmarks add ``drop_when_both_right``: the drop on the images that both revisions classify
        correctly when clean. It is NaN if either clean accuracy is indistinguishable from chance.

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
    store = CellStore(results)
    held: dict[Key, dict[str, Cell]] = {}
    for cell in newest(store.cells()):
        held.setdefault(tuple(getattr(cell, name) for name in _SAME), {})[cell.revision] = cell
    _check_names(held.values(), (a, b), benchmarks)
    frames = []
    for same, by_revision in held.items():
        if a not in by_revision or b not in by_revision or not _is_wanted(by_revision[a], benchmarks):
            continue
        first, second = (store.trials(by_revision[name].key) for name in (a, b))
        if first is None or second is None:
            continue
        kind = kind_named(by_revision[a].kind)
        rows = _compare(kind, first, second, confidence_level, seed, show_progress)
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


def _compare(
    kind: type[Kind[Any]],
    a: pd.DataFrame,
    b: pd.DataFrame,
    confidence_level: float,
    seed: int,
    show_progress: bool,
) -> pd.DataFrame:
    for side in (a, b):
        check_columns(kind, side, (name for name in kind.trial_columns if name not in kind.later_columns))
    alone, together = _values(kind, a, b)
    how: Any = {"seed": seed, "show_progress": show_progress}
    spread = dict(kind.paired_variances(a, b, Common(seed=seed)))
    rest = [key for key in alone if key not in spread and key not in together]
    errors = [item_errors(kind, side, rest, **how) if rest else {} for side in (a, b)]
    paired = {key: weighted_error([first[key] for first in errors], [-1, 1]) for key in rest}
    if together and not a.empty:
        paired |= left_out_errors(kind, [a, b], partial(_gained_together, kind), list(together), **how)
    spread |= {key: (one.variance, one.n_clusters) for key, one in paired.items()}
    whole = alone | together
    values = np.array(list(whole.values())).reshape(-1, 2)
    difference = values[:, 1] - values[:, 0]
    variance, n_groups = (np.array(column) for column in zip(*(spread[key] for key in whole), strict=True))
    error = np.sqrt(variance)
    # If no group changes the difference, its error cannot be estimated.
    error[(error == 0) & (difference != 0)] = np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        quantile = stats.t.ppf((1 + confidence_level) / 2, n_groups - 1)
        p_value = 2 * stats.t.sf(np.abs(difference) / error, n_groups - 1)
    p_value = np.where((error == 0) & (difference == 0), 1.0, p_value)
    rows = pd.DataFrame(list(whole), columns=list(NUMBER_KEY)).astype(
        {"layer": "Int64", "level": "float64", "parameter": "float64"}
    )
    return rows.assign(
        value_a=values[:, 0],
        value_b=values[:, 1],
        difference=difference,
        ci_low=difference - quantile * error,
        ci_high=difference + quantile * error,
        p_value=p_value,
        n_clusters=n_groups,
    )


def _values(
    kind: type[Kind[Any]], a: pd.DataFrame, b: pd.DataFrame
) -> tuple[dict[Key, tuple[float, float]], dict[Key, tuple[float, float]]]:
    """Both values of each number of the revisions alone, and of each that is fair only in a comparison of two."""
    common = Common(n_resamples=0)
    alone = kind.score(a, common), kind.score(b, common)
    return _both(*alone), _both(*kind.score_together(a, b))


def _both(first: Iterable[Number], second: Iterable[Number]) -> dict[Key, tuple[float, float]]:
    """The values of numbers that both have; diagnostics are not compared."""
    values = [
        {one.number_key: one.value for one in side if one.role != "diagnostic"} for side in (first, second)
    ]
    return {key: (value, values[1][key]) for key, value in values[0].items() if key in values[1]}


def _gained_together(kind: type[Kind[Any]], tables: Sequence[pd.DataFrame]) -> dict[Key, float]:
    found = _both(*kind.score_together(tables[0], tables[1]))
    return {key: second - first for key, (first, second) in found.items()}
