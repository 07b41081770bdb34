"""Is one revision better than another? A paired comparison of the saved trials, without a forward pass."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from tqdm.auto import tqdm

from hf_clipdyn.benchmarks.base import Common, Kind, check_columns
from hf_clipdyn.benchmarks.registry import kind_named
from hf_clipdyn.errors import EvaluationError, UnknownNameError
from hf_clipdyn.metrics.shared_images import SharedImages, image_clusters
from hf_clipdyn.progress import draws_bars
from hf_clipdyn.results.cells import CellStore, newest
from hf_clipdyn.results.row import CELL_KEY, NUMBER_KEY, Cell

__all__ = ["compare_revisions"]

_BLOCKS = 100
_SAME = tuple(name for name in CELL_KEY if name not in ("revision", "commit"))
_COLUMNS = [
    *_SAME,
    *NUMBER_KEY,
    *("value_a", "value_b", "difference", "ci_low", "ci_high", "p_value", "n_clusters"),
]

Key = tuple[Any, ...]


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
    """Every metric of revision ``b`` minus that of revision ``a`` of the same run, on the same stimuli.

    The interval is Student's, from the delete-a-group jackknife of the difference over the clusters of the benchmark
    (`Kind.clusters`): what makes a stimulus easy for both revisions cancels. Crossed clusters (shape and texture
    exemplars) have the variance V_first + V_second - V_both (Cameron, Gelbach and Miller 2011). More than 100 clusters
    are merged at random into 100 groups. Means over triplets have the variance over all pairs of triplets that show
    a common image (`SharedImages`). The text-free preference has the variance over all pairs of images that share an
    exemplar; an image also contributes as the mate of others. A kind may give variances of its own
    (`Kind.paired_variances`): matrices of dissimilarities are compared over the same drawn images and people. The
    interval includes neither the noise of another seed nor that of another checkpoint, and there is no correction for
    the number of metrics. Diagnostics are not compared.

    Args:
        results: table of `clipdyn evaluate`, with the trials beside it.
        a, b: names of revisions.
        benchmarks: as ``kind/dataset``; None for all that have trials of both revisions.
        confidence_level: of the intervals.
        seed: for merging clusters into groups.
        show_progress: draw a progress bar if a benchmark takes longer than two seconds.

    Returns:
        One row per number: the columns that name its cell (without revision and commit) and the number, ``value_a``,
        ``value_b``, ``difference`` (b - a), ``ci_low``, ``ci_high``, the two-sided ``p_value`` of no difference (1 if
        no group changes it) and ``n_clusters``. NaN if either value is undefined. Interval and p value are also NaN if
        all groups give the same difference, so that its error cannot be estimated. Noise benchmarks add
        ``drop_when_both_right``, over the images that both revisions classify correctly when clean; it is NaN if either
        clean accuracy is indistinguishable from chance.

    Raises:
        UnknownNameError: the table has no such revision or benchmark, or the plug-in of a kind is not loaded.
        EvaluationError: there are no trials, or none of both revisions on the same stimuli.
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
            f"Beside {results} no benchmark has trials of {a} and {b} on the same stimuli: evaluate both."
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
    whole = _differences(kind, a, b)
    spread = _from_influences(kind, a, b) | dict(kind.paired_variances(a, b, Common(seed=seed)))
    rest = [key for key in whole if key not in spread]
    if a.empty and b.empty:  # nothing could be shown
        spread |= dict.fromkeys(rest, (np.nan, 0))
    elif rest:
        spread |= _from_jackknife(kind, a, b, rest, seed, show_progress)
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


def _differences(kind: type[Kind[Any]], a: pd.DataFrame, b: pd.DataFrame) -> dict[Key, tuple[float, float]]:
    """Both values of each number; diagnostics and flags are not compared."""
    common = Common(n_resamples=0)
    alone = (kind.score(side, common) for side in (a, b))
    together = kind.score_together(a, b)
    first, second = (
        {one.number_key: one.value for one in (*own, *beside) if one.role != "diagnostic"}
        for own, beside in zip(alone, together, strict=True)
    )
    return {key: (value, second[key]) for key, value in first.items() if key in second}


def _from_influences(kind: type[Kind[Any]], a: pd.DataFrame, b: pd.DataFrame) -> dict[Key, tuple[float, int]]:
    """For each number whose error is a sum over stimuli: variance of the difference, number of clusters."""
    first, second = ({one.number_key: one.values for one in kind.influences(side)} for side in (a, b))
    # Numbers of the same stimuli share the work; those of a subset have fewer stimuli.
    alike: dict[bytes, tuple[pd.Index, dict[Key, NDArray[np.float64]]]] = {}
    for key in (key for key in first if key in second):
        difference = second[key].sub(first[key], fill_value=0.0)
        items = difference.index
        of_items = alike.setdefault(np.asarray(items).tobytes(), (items, {}))[1]
        of_items[key] = difference.to_numpy(np.float64)
    if not alike:
        return {}
    units = pd.concat([a, b]).drop_duplicates("item").set_index("item", drop=False)[list(kind.clusters)]
    found: dict[Key, tuple[float, int]] = {}
    for items, differences in alike.values():
        codes, n_groups = _units(units.loc[items], kind.clusters_alike)
        variances = SharedImages(codes).variance(np.stack(list(differences.values()), axis=1))
        found |= {key: (variance, n_groups) for key, variance in zip(differences, variances, strict=True)}
    return found


def _units(table: pd.DataFrame, alike: bool) -> tuple[NDArray[np.int64], int]:
    """The clusters of each stimulus, numbered, (n, k), and the number of clusters for Student's t."""
    if alike:
        codes = pd.factorize(table.to_numpy().reshape(-1))[0].reshape(table.shape)
        clusters, n_groups = image_clusters(codes)
        return (codes if clusters is None else clusters[:, None]), n_groups
    columns = [pd.factorize(table[name])[0] for name in table]
    sizes = [int(codes.max()) + 1 for codes in columns]
    starts = np.cumsum([0, *sizes[:-1]])
    return np.stack([codes + start for codes, start in zip(columns, starts, strict=True)], axis=1), min(sizes)


def _from_jackknife(
    kind: type[Kind[Any]],
    a: pd.DataFrame,
    b: pd.DataFrame,
    keys: Sequence[Key],
    seed: int,
    show_progress: bool,
) -> dict[Key, tuple[float, int]]:
    """Variance of the difference and number of groups: leave out each group in turn and score the rest."""
    ways = [_groups(a, b, [column], seed) for column in kind.clusters]
    if len(ways) == 2:
        ways.append(_groups(a, b, list(kind.clusters), seed))
    numbers = [int(np.concatenate(way).max()) + 1 for way in ways]
    with tqdm(
        total=sum(numbers),
        desc=f"comparing {kind.name}",
        unit="group",
        delay=2,
        leave=False,
        disable=not (show_progress and draws_bars()),
    ) as bar:
        parts = [
            _jackknife_variance(kind, a, b, way, n, keys, bar) for way, n in zip(ways, numbers, strict=True)
        ]
    variance = parts[0]
    if len(parts) == 3:
        variance = parts[0] + parts[1] - parts[2]
        largest = np.max(parts, axis=0)  # conservative if a small sample makes the sum negative
        variance = np.where(variance > 0, variance, largest)
    return {key: (one, min(numbers)) for key, one in zip(keys, variance.tolist(), strict=True)}


def _groups(a: pd.DataFrame, b: pd.DataFrame, columns: list[str], seed: int) -> list[NDArray[np.int64]]:
    """Number of each row's group of clusters, the same for both sides."""
    names = [pd.MultiIndex.from_frame(side[columns]) for side in (a, b)]
    known = names[0].append(names[1]).unique()
    order = np.random.default_rng(seed).permutation(len(known))
    numbers = order % min(len(known), _BLOCKS)
    return [numbers[known.get_indexer(side)] for side in names]


def _jackknife_variance(
    kind: type[Kind[Any]],
    a: pd.DataFrame,
    b: pd.DataFrame,
    groups: Sequence[NDArray[np.int64]],
    n_groups: int,
    keys: Sequence[Key],
    bar: "tqdm[Any]",
) -> NDArray[np.float64]:
    left_out: list[list[Any]] = []
    for group in range(n_groups):
        values = _differences(kind, a[groups[0] != group], b[groups[1] != group])
        pairs = [values.get(key, (np.nan, np.nan)) for key in keys]
        left_out.append([second - first for first, second in pairs])
        bar.update()
    table = np.array(left_out)
    return np.asarray((n_groups - 1) / n_groups * np.square(table - table.mean(axis=0)).sum(axis=0))
