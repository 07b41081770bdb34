"""Is one revision better than another? Paired comparisons from what items contribute, without a forward pass."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from hf_clipdyn.benchmarks.noise_scores import drop_when_both_right
from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.benchmarks.units import Key, UnitsOf
from hf_clipdyn.errors import ConfigError, EvaluationError, UnknownNameError, check_known
from hf_clipdyn.metrics.influence import Influence, weighted_sum
from hf_clipdyn.results.row import CELL_KEY, NUMBER_KEY
from hf_clipdyn.results.table import Table, load
from hf_clipdyn.results.terms import Vocabulary
from hf_clipdyn.statistics.corrections import CORRECTIONS, Correction, adjusted, error_rates
from hf_clipdyn.statistics.errors import NO_TRIALS, Errors

Family = Literal["main", "all"]
FAMILIES: tuple[Family, ...] = get_args(Family)
"""Which rows a correction counts together; the default first."""

_Numbers: TypeAlias = dict[Key, tuple[float, Influence | None]]
"""Values with their influences."""
_State: TypeAlias = tuple[str, str]
"""A run and its revision."""
_SAME = [name for name in CELL_KEY if name not in ("revision", "commit", "other")]
# The fingerprint contains the pixels at the model's resolution. Influences say whether the items are the same.
_SAME_FOR_TWO_RUNS = [name for name in _SAME if name not in ("repo_id", "data_fingerprint")]
_SIGNED, _GRID = 1 / np.pi, 1e6 * np.pi
"""Where the sign of contributions is looked at, and how they are rounded: numbers that no share of items is."""
_STATES = ("run_a", "revision_a", "run_b", "revision_b")
_COLUMNS = [
    *_SAME,
    *NUMBER_KEY,
    *_STATES,
    *("value_a", "value_b", "difference", "ci_low", "ci_high", "p_value", "n_clusters"),
    *("p_adjusted", "ci_low_simultaneous", "ci_high_simultaneous", "correction", "family_size"),
    *("equal_to", "outside_family"),
]


def compare_revisions(
    results: str | Path | Sequence[str | Path],
    a: str,
    b: str | Sequence[str],
    benchmarks: Sequence[str] | None = None,
    *,
    correction: Correction = "bonferroni",
    family: Family = "main",
    confidence_level: float = 0.95,
    show_progress: bool = True,
) -> pd.DataFrame:
    """Compare revisions or models with a reference: the difference b - a of every metric, on the same stimuli.

    Values come from the table. The interval is Student's, over the clusters of the benchmark (`Kind.clusters`). Its
    variance follows from the difference of the influences (`hf_clipdyn.metrics.influence`), which is paired: a stimulus
    that is easy for both revisions adds nothing.

    - Numbers that are not smooth have the influence of a jackknife, which merges more than 100 clusters at random into
      100 groups.
    - Means over triplets have the variance over all pairs of triplets that show a common image.
    - The text-free preference has the variance over all pairs of images that share an exemplar; an image also
      contributes as the mate of others.
    - Alignments of dissimilarities have the variance over images and observers, which are crossed.
    - The interval contains neither the noise of another seed nor the noise of another checkpoint.
    - Two models are compared on the same items with the same settings; each sees them at its own resolution.
    - Diagnostics are not compared.

    The more numbers are compared, the more of them differ by chance. The rows of one **family** are therefore corrected
    together (`hf_clipdyn.statistics.corrections`). The rule that chooses them does not depend on results: values of the
    main metrics, in the default variant, over the whole data, with the model's own texts, of all benchmarks and all
    ``b``. Layers do not count, nor levels, except the one that the overview of a report shows.

    Args:
        results: tables of `clipdyn evaluate`, with the trials next to them.
        a: the reference: a revision, a model (``owner/name``, its last revision) or ``owner/name@revision``.
        b: what is compared with it, one or several. A revision without a model is one of the run of ``a``.
        benchmarks: as ``kind/dataset``; None for all that have trials of both.
        correction: ``bonferroni`` for statements; ``holm``, which finds more and has no intervals; ``bh``
            (Benjamini-Hochberg) for exploration; ``by`` (Benjamini-Yekutieli); ``none``.
        family: ``main`` for the rule above, ``all`` for all values that have a p value.
        confidence_level: of the intervals; its complement is the error rate of the family.
        show_progress: draw a progress bar if a benchmark takes longer than two seconds.

    Returns:
        One row per number: the columns that name the number and its cell (of ``b``, without revision and commit),
        ``run_a``, ``revision_a``, ``run_b``, ``revision_b``, ``value_a``, ``value_b``, ``difference`` (b - a),
        ``ci_low``, ``ci_high``, ``p_value`` and ``n_clusters`` (0 for a number that does not depend on the model). The
        p value is two-sided, for no difference; it is 1 if the difference is 0 without any error. All are NaN if either
        value is undefined. Interval and p value are NaN if no item changes the difference, so that its error cannot be
        estimated.

        For the rows of the family, ``p_adjusted``, ``correction``, ``family_size``, and ``ci_low_simultaneous`` and
        ``ci_high_simultaneous``: intervals that are together right at the confidence level. They exclude 0 exactly if
        ``p_adjusted`` is below the error rate. For ``bh`` and ``by``, only the rows that they select have these
        intervals; for ``holm``, none. For other rows these columns are empty, and ``outside_family`` names the cause.
        Differences to which every item contributes the same, or the opposite, are one number, such as the differences
        of shape and of texture bias: ``family_size`` counts it once, and ``equal_to`` of the others names it.

    Raises:
        UnknownNameError: the tables have no such revision, model or benchmark, there is no such correction or family,
            or the plug-in of a kind is not loaded.
        EvaluationError: there are no trials of both on the same stimuli, or something is compared with itself.

    Examples:
        >>> from hf_clipdyn import compare_revisions
        >>> table = compare_revisions("runs/demo/results.parquet", "epoch-000", "epoch-003", ["zero_shot/procedural"])
        >>> table["metric"].tolist()
        ['top1', 'top1', 'top5', 'top5']
        >>> bool((table["difference"] == table["value_b"] - table["value_a"]).all())
        True
        >>> table[table["outside_family"] == ""][["metric", "correction", "family_size"]].values.tolist()
        [['top1', 'bonferroni', 1]]
    """
    try:
        table = load(results)
    except ConfigError as error:
        raise EvaluationError(f"{_no_trials(a, b)}: {error}") from error
    options: Any = {"correction": correction, "family": family, "confidence_level": confidence_level}
    return differences(table, Errors(table.files, show_progress=show_progress), a, b, benchmarks, **options)


def differences(
    table: Table,
    errors: Errors,
    a: str,
    b: str | Sequence[str],
    benchmarks: Sequence[str] | None = None,
    *,
    correction: Correction = "bonferroni",
    family: Family = "main",
    confidence_level: float = 0.95,
) -> pd.DataFrame:
    """`compare_revisions` of a table that was read already.

    Args:
        table: of results.
        errors: what items contribute, beside it.
        a, b, benchmarks, correction, family, confidence_level: as there.
    """
    for what, name, names in (("correction", correction, CORRECTIONS), ("family", family, FAMILIES)):
        check_known(what, [name], names)
    rows = table.rows[table.rows["role"] != "diagnostic"]
    cells = _of_benchmarks(rows.drop_duplicates("cell").astype({"cell": str}), benchmarks)
    places = rows.groupby("cell", observed=True).indices
    compared = list[dict[str, Any]]()
    for first, second in _pairs(cells, a, [b] if isinstance(b, str) else list(dict.fromkeys(b))):
        states = dict(zip(_STATES, (*first, *second), strict=True))
        for cell in _cells(cells, first, second):
            pair = cell.cell_a, cell.cell_b
            known = [errors.of_cell(cell.kind, key) for key in pair]
            causes = [one for one in known if isinstance(one, str)]
            # A relation compares revisions itself, and nobody can score a kind that left: only if they are asked for.
            if NO_TRIALS in causes or (causes and benchmarks is None and cell.kind not in kinds()):
                continue
            if causes:
                raise EvaluationError(causes[0])
            sides = [_numbers(rows.iloc[places[key]], one) for key, one in zip(pair, known, strict=True)]
            if cell.kind == "noise":
                sides = _with_common_images(sides, list(map(errors.trials.of, pair)))
            named = {name: getattr(cell, name) for name in _SAME} | states
            compared += [named | number for number in _compared(*sides)]
    if not compared:
        raise EvaluationError(f"{_no_trials(a, b)}: evaluate both.")
    found = _with_errors(pd.DataFrame(compared), confidence_level)
    found["outside_family"] = _outside_family(found, table.words, family)
    return _corrected(found, correction, confidence_level)[_COLUMNS]


def _no_trials(a: str, b: str | Sequence[str]) -> str:
    others = b if isinstance(b, str) else ", ".join(dict.fromkeys(b))
    return f"No benchmark has trials of {a} and {others} on the same stimuli next to the tables"


def _of_benchmarks(cells: pd.DataFrame, benchmarks: Sequence[str] | None) -> pd.DataFrame:
    """The cells of these benchmarks; `UnknownNameError` if one was not measured."""
    names = cells["kind"].astype(str) + "/" + cells["dataset"].astype(str)
    check_known("benchmark in the results", benchmarks or (), names.unique())
    return cells if benchmarks is None else cells[names.isin(list(benchmarks))]


def _pairs(cells: pd.DataFrame, a: str, others: Sequence[str]) -> Iterator[tuple[_State, _State]]:
    """What is compared with what; a revision that is named alone is compared within each run."""
    ordered = cells.drop_duplicates(["run", "revision"]).sort_values("order", kind="stable")
    runs: dict[str, list[str]] = {str(run): [] for run in cells["run"].unique()}
    for run, revision in zip(ordered["run"], ordered["revision"], strict=True):
        runs[run].append(revision)
    revisions = {revision for of_run in runs.values() for revision in of_run}

    def named(name: str) -> _State:
        run, at, revision = (name, "", "") if name in runs else name.rpartition("@")
        if run not in runs or (at and revision not in runs[run]):
            known = [*revisions, *(runs if len(runs) > 1 else ())]
            raise UnknownNameError("revision in the results", name, known)
        return run, revision or runs[run][-1]

    firsts = [(run, a) for run in runs if a in runs[run]] or [named(a)]
    seconds = {name: None if name in revisions else named(name) for name in others}
    for first in firsts:
        for name, state in seconds.items():
            second = state or (first[0], name)
            if second == first:
                raise EvaluationError(f"{name} would be compared with itself: name another one.")
            yield first, second


def _cells(cells: pd.DataFrame, first: _State, second: _State) -> Iterator[Any]:
    """The cells of two states that show the same stimuli in the same way, as rows with ``cell_a`` and ``cell_b``."""
    same = _SAME if first[0] == second[0] else _SAME_FOR_TWO_RUNS
    chosen = (cells[(cells["run"] == run) & (cells["revision"] == at)] for run, at in (first, second))
    a, b = (own.drop_duplicates(same, keep="last") for own in chosen)
    return b[[*_SAME, "cell"]].merge(a[[*same, "cell"]], on=same, suffixes=("_b", "_a")).itertuples()


def _numbers(rows: pd.DataFrame, known: Any) -> _Numbers:
    """The numbers of a cell with their influences."""
    columns = rows[list(NUMBER_KEY)].astype({"layer": "Int64"}).astype(object)
    keys = columns.where(columns.notna(), None).itertuples(index=False, name=None)
    return {key: (value, known.get(key)) for key, value in zip(keys, rows["value"], strict=True)}


def _with_common_images(sides: list[_Numbers], trials: Sequence[pd.DataFrame | None]) -> list[_Numbers]:
    """The numbers of noise with the drops over the images that both are right about when clean."""
    first, second = trials
    if first is None or second is None:
        return sides
    dropped = drop_when_both_right(first, second)
    for side, numbers, shown in zip(sides, dropped, (first, second), strict=True):
        units = UnitsOf(kinds()["noise"], shown)
        side |= {one.number_key: (one.value, units.influence(one.influence)) for one in numbers}
    return sides


def _compared(first: _Numbers, second: _Numbers) -> Iterator[dict[str, Any]]:
    """The numbers that both sides have: their keys, both values, and what each item contributes to the difference."""
    for key in (key for key in first if key in second):
        (value_a, of_a), (value_b, of_b) = first[key], second[key]
        # What does not depend on the model, such as a ceiling, is the same for both revisions and has no influence.
        change = weighted_sum([of_a, of_b], [-1, 1]) if of_a and of_b else None
        number = dict(zip(NUMBER_KEY, key, strict=True))
        yield number | {"value_a": value_a, "value_b": value_b, "change": change}


def _with_errors(found: pd.DataFrame, confidence_level: float) -> pd.DataFrame:
    """The differences with their intervals and p values, and the cause of a missing one."""
    found = found.astype({"layer": "Int64", "level": float, "parameter": float})
    difference = found["value_b"] - found["value_a"]
    changes = found["change"].tolist()
    error = np.sqrt([0.0 if one is None else one.variance for one in changes])
    # If no item changes the difference, its error cannot be estimated.
    error[(error == 0) & (difference != 0)] = np.nan
    n_clusters = np.array([0 if one is None else one.n_clusters for one in changes])
    with np.errstate(invalid="ignore", divide="ignore"):
        p_value = 2 * special.stdtr(n_clusters - 1, -np.abs(difference) / error)
    half = _half_width(error, n_clusters, (1 + confidence_level) / 2)
    undefined = difference.isna()
    causes = [(one and one.cause) or "no item changes the difference" for one in changes]
    return found.assign(
        difference=difference,
        ci_low=difference - half,
        ci_high=difference + half,
        p_value=np.where((error == 0) & (difference == 0), 1.0, p_value),
        n_clusters=n_clusters,
        error=error,
        cause=np.where(undefined, "the number is not defined", causes),
    )


def _half_width(error: NDArray[np.float64], n_clusters: Any, probability: Any) -> NDArray[np.float64]:
    """Of Student's interval up to that quantile: 0 without any error, NaN without a probability."""
    with np.errstate(invalid="ignore"):
        quantile = special.stdtrit(n_clusters - 1, probability)
        return np.asarray(np.where(error == 0, 0.0 * probability, quantile * error))


def _distinct(found: pd.DataFrame) -> NDArray[np.int64]:
    """The number of each difference: one for those to which each item contributes the same, or the opposite.

    Such as those of shape and of texture bias, of an accuracy that two benchmarks have, and of one under two names of
    what is shown. Their p values are one as well. Contributions that are all 0 are not the same.
    """
    keys: list[Any] = []
    states = found[["dataset", *_STATES]].itertuples(index=False, name=None)
    for state, difference, change in zip(states, found["difference"], found["change"], strict=True):
        if change is None or change.units is None or not change.values.any():
            keys.append(len(keys))
            continue
        values = change.values / np.abs(change.values).max()
        values = values * np.sign(values[np.abs(values) > _SIGNED][0])
        # Two ways to compute one number differ in their last digits, and few contributions lie between two of these.
        rounded = np.round(values * _GRID).astype(np.int64).tobytes()
        keys.append((*state, change.units.names, round(abs(difference), 9), rounded))
    return pd.factorize(pd.Series(keys, dtype=object))[0]


def _outside_family(table: pd.DataFrame, words: Vocabulary, family: Family) -> "pd.Series[str]":
    """Why each row is not in the family; empty if it is. Nothing here looks at a value or a p value, but for NaN."""
    rules: dict[str, Any] = {"not a value of the model": table["role"] != "value"}
    if family == "main":
        rules |= {
            "texts of the last revision": table["texts"] != "own",
            "not a main metric": ~_of_metrics(table, words),
            "not the default variant": table["variant"] != _default_variants(table),
            "a part of the data": table["subset"] != "",
            "one of several layers or levels": table[["layer", "parameter"]].notna().any(axis=1)
            | (table["level"].notna() & ~_at_main_level(table, words)),
        }
    outside = table["cause"].where(table["p_value"].isna(), "")
    for cause, applies in reversed(rules.items()):
        outside = outside.mask(applies, cause)
    return outside


def _of_metrics(table: pd.DataFrame, words: Vocabulary) -> "pd.Series[bool]":
    """Whether each row is of a main metric of its benchmark."""
    is_main = pd.Series(False, table.index)
    for (kind, _), rows in table[table["role"] == "value"].groupby(["kind", "dataset"]):
        main = words.kind(str(kind)).main_metrics(rows["metric"].unique().tolist())
        is_main[rows.index] = rows["metric"].isin(main)
    return is_main


def _default_variants(table: pd.DataFrame) -> "pd.Series[str]":
    """The default variant of each row's metric: the empty one, or the first; distances list the usual one first."""
    numbers = table.assign(is_named=table["variant"] != "").sort_values("is_named", kind="stable")
    of_metric = numbers.groupby(["kind", "dataset", "metric", "condition", "role"], sort=False, observed=True)
    return of_metric["variant"].transform("first").reindex(table.index)


def _at_main_level(table: pd.DataFrame, words: Vocabulary) -> "pd.Series[bool]":
    """Whether each row is at the level and the condition that the overview shows of its metric."""
    places = [words.term(*names).overview for names in zip(table["kind"], table["metric"], strict=True)]
    shown = zip(places, table["level"], table["condition"], strict=True)
    is_shown = [place is not None and [place.level, place.condition] == where for place, *where in shown]
    return pd.Series(is_shown, table.index, bool)


def _corrected(table: pd.DataFrame, correction: Correction, confidence_level: float) -> pd.DataFrame:
    """The table with the columns of the correction, which are empty outside the family."""
    family = table[table["outside_family"] == ""]
    # Differences that are one number are corrected once; the later ones have what the first one gets.
    of_first = _distinct(family)
    is_first = ~pd.Series(of_first, dtype=int).duplicated().to_numpy()
    counted = family[is_first]
    p_adjusted = adjusted(counted["p_value"], correction)
    rates = error_rates(p_adjusted, correction, 1 - confidence_level)[of_first]
    half = _half_width(family["error"].to_numpy(), family["n_clusters"].to_numpy(), 1 - rates / 2)
    names = np.array([_number_words(row) for row in counted.itertuples()], object)
    columns = {
        "p_adjusted": p_adjusted[of_first],
        "ci_low_simultaneous": family["difference"] - half,
        "ci_high_simultaneous": family["difference"] + half,
        "correction": correction,
        "family_size": len(counted),
        "equal_to": np.where(is_first, "", names[of_first]),
    }
    corrected = table.join(pd.DataFrame(columns, family.index))
    return corrected.fillna({"correction": "", "equal_to": ""}).astype({"family_size": "Int64"})


def _number_words(row: Any) -> str:
    """The number of a row: its benchmark, metric and what else distinguishes it there."""
    condition = "" if row.condition == "none" else row.condition
    words = [f"{row.kind}/{row.dataset}", row.metric, row.variant, row.probe, row.subset, condition]
    places = {name: getattr(row, name) for name in ("level", "layer", "parameter")}
    words += [f"{name} {value:g}" for name, value in places.items() if pd.notna(value)]
    return " ".join(filter(None, words))
