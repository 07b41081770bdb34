"""Decisions among classes: confusion matrices, and by class which of two cues decided.

Everything is an integer count, or an interval in ten thousandths. A benchmark with many classes, ways of asking or
revisions is cut to `_MOST_LETTERS`, and the part says what is left out.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from hf_clipdyn.benchmarks.kind import Kind
from hf_clipdyn.metrics.scores import interval, over, ratio
from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.gallery import Gallery
from hf_clipdyn.report.page.views import class_names, gallery_cells, read_gallery, spread_cells
from hf_clipdyn.report.study import Study

_MOST_CLASSES = 24
_MOST_LETTERS = 500_000  # of all matrices of one benchmark
_LETTERS_OF_A_COUNT = 1.5
_MOST_INTERVALS = 8_000  # of one benchmark; each takes half a millisecond
_IN = 10_000  # ends of intervals are whole numbers of this fraction

Codes = NDArray[np.int64]


class Decisions(Chart):
    """Confusion matrices, and by class which of two cues decided."""

    @classmethod
    def payload(cls, study: Study) -> dict[str, Any] | None:
        """Counts of (true class, decision) by benchmark, run and revision, for JSON.

        Returns:
            None if no benchmark has trials with decisions among classes. Else by benchmark (``kind/dataset``):

            - ``classes``: names; ``of``: number of all classes; ``leftOut``: sentences on what is not there.
            - ``truths``: titles of the columns that a decision is counted against ("shape", "texture"); with two, only
              images in which they differ count.
            - ``ways``: of asking. ``runs``: for each run ``revisions`` (names) and, by way and truth, a text for each
              revision: the counts row by row, with commas between; a class's row has a column for each class and one
              for any other answer; 0 is empty.
            - ``people``: such a text for each truth, over all answers of all observers; null without any.
            - ``categories``: null, or ``ways`` and for each run by way and revision a list for each class: decisions
              for the first truth, for the second, images, and the ends of the interval of their share (null if
              undefined); ``observers``: their names and lists; ``mean``: of the observers' shares by class, with its
              interval and their number.
        """
        parts = {}
        for kind, cells in gallery_cells(study):
            part = _part(study, kind, cells)
            if part is not None:
                parts[f"{kind.name}/{cells['dataset'].iloc[0]}"] = part
        return parts or None


def _part(study: Study, kind: type[Kind[Any]], cells: pd.DataFrame) -> dict[str, Any] | None:
    """The part of one benchmark; None without decisions."""
    known = [gallery for _, gallery in _galleries(study, kind, cells.drop_duplicates("run", keep="last"))]
    if not known:
        return None
    first = known[0]
    counter = _Counter.of(known, cells["dataset"].iloc[0], kind, _confidence_level(study))
    kept, ways = _affordable(cells, first, len(counter.chosen))
    both = [name for name in ways if name in first.choosing] if first.lure is not None else []
    if len(kept) * len(counter.chosen) * len(both) > _MOST_INTERVALS:
        both = both[:1]
    runs: dict[str, Any] = {}
    for run, of_run in kept.groupby("run", sort=False):
        if galleries := _galleries(study, kind, of_run):
            runs[str(run)] = _run(galleries, ways, both, counter)
    observers = _observers(first, counter) if first.observers is not None and len(first.observers) else None
    return {
        "classes": counter.titles,
        "of": counter.total,
        "truths": list(_truths(first)),
        "ways": ways,
        "leftOut": _left_out(counter, len(first.answers) - len(ways), len(kept), len(cells)),
        "runs": runs,
        "people": observers and observers.pop("matrices"),
        "categories": {"ways": both, **(observers or {})} if both else None,
    }


def _affordable(cells: pd.DataFrame, gallery: Gallery, classes: int) -> tuple[pd.DataFrame, list[str]]:
    """The cells and the ways of asking that fit: first fewer ways, then fewer revisions."""
    letters = len(_truths(gallery)) * classes * (classes + 1) * _LETTERS_OF_A_COUNT
    kept = spread_cells(cells)
    ways = max(1, int(_MOST_LETTERS // (letters * len(kept))))
    return spread_cells(kept, int(_MOST_LETTERS // letters)), list(gallery.answers)[:ways]


def _confidence_level(study: Study) -> float:
    known = study.results.rows["confidence_level"].dropna()
    return float(known.iloc[0]) if len(known) else 0.95


def _galleries(study: Study, kind: type[Kind[Any]], cells: pd.DataFrame) -> list[tuple[Any, Gallery]]:
    """The cells whose gallery has decisions among classes."""
    read = ((cell, read_gallery(study, kind, cell)) for cell in cells.itertuples(index=False))
    return [
        (cell, gallery)
        for cell, gallery in read
        if gallery is not None and gallery.answer == "class" and gallery.truth is not None and gallery.answers
    ]


def _left_out(counter: "_Counter", ways: int, kept: int, measured: int) -> list[str]:
    sentences = []
    if len(counter.chosen) < counter.total:
        sentences.append(
            f"Only {len(counter.chosen)} of {counter.total:,} classes are shown: those with the most "
            "confusions at the end of training."
        )
    if ways > 0:
        sentences.append(f"{ways} more variants (prompts, probes) are left out.")
    if kept < measured:
        sentences.append(f"Only {kept:,} of {measured:,} revisions are shown.")
    return sentences


def _truths(gallery: Gallery) -> dict[str, pd.Series]:
    """What decisions are counted against, by title."""
    truths = {gallery.truth_title: gallery.truth}
    if gallery.lure is not None:
        truths[gallery.lure_title] = gallery.lure
    return {title: series for title, series in truths.items() if series is not None}


def _in_conflict(gallery: Gallery) -> pd.Index:
    """The items that count: all, or those whose two cues differ."""
    truth, lure = gallery.truth, gallery.lure
    assert truth is not None
    return truth.index if lure is None else truth.index[(truth != lure.reindex(truth.index)).to_numpy(bool)]


def _side_by_side(gallery: Gallery, way: str, truth: str) -> tuple[pd.Series, pd.Series]:
    """The truth and the decisions of the items that count, with object values."""
    answers = gallery.answers[way]
    answers = answers[answers.index.isin(_in_conflict(gallery))].astype(object)
    return _truths(gallery)[truth].reindex(answers.index).astype(object), answers


@dataclass(frozen=True, eq=False)
class _Counter:
    """Counts decisions among the classes that are shown.

    Attributes:
        chosen: their names or numbers, as in the trials.
        titles: as they are shown.
        total: number of all classes.
        confidence_level: of the intervals.
    """

    chosen: pd.Index
    titles: list[str]
    total: int
    confidence_level: float

    @classmethod
    def of(
        cls, last: Sequence[Gallery], dataset: str, kind: type[Kind[Any]], confidence_level: float
    ) -> "_Counter":
        """All classes if they are few, else those with most wrong decisions from or to them."""
        cues = [cue.astype(object) for gallery in last for cue in _truths(gallery).values()]
        every = pd.Index(sorted(pd.unique(pd.concat(cues).dropna())))
        chosen = every
        if len(every) > _MOST_CLASSES:
            wrong = pd.Series(0, index=every)
            for gallery in last:
                truth, decided = _side_by_side(
                    gallery, next(iter(gallery.answers)), next(iter(_truths(gallery)))
                )
                for side in (truth[truth != decided], decided[truth != decided]):
                    wrong = wrong.add(side.value_counts().reindex(every, fill_value=0))
            most = wrong.sort_values(ascending=False, kind="stable").index[:_MOST_CLASSES]
            chosen = pd.Index(sorted(most))
        numbered = pd.api.types.is_integer_dtype(pd.Series(list(every)))
        names = class_names(dataset, kind.schemas) if numbered else ()
        titles = [
            names[value]
            if numbered and 0 <= value < len(names)
            else f"class {value}"
            if numbered
            else str(value)
            for value in chosen
        ]
        return cls(chosen, titles, max(len(every), len(names)), confidence_level)

    def codes(self, values: pd.Series) -> Codes:
        """Positions among the chosen; that of any other answer, or none, is their number."""
        places = self.chosen.get_indexer(pd.Index(values.astype(object)))
        return np.where(places < 0, len(self.chosen), places).astype(np.int64)

    def matrix(self, truth: pd.Series, decided: pd.Series) -> str:
        """Rows of counts as one text."""
        n = len(self.chosen)
        rows, columns = self.codes(truth), self.codes(decided)
        known = rows < n
        counts = np.bincount(rows[known] * (n + 1) + columns[known], minlength=n * (n + 1))
        return ",".join(str(count) if count else "" for count in counts.tolist())

    def categories(self, gallery: Gallery, answers: pd.Series) -> list[list[int | None]]:
        """For each class of the truth: decisions for it, for the lure, images, and the interval of the share."""
        truth, lure = (cue.reindex(answers.index).astype(object) for cue in _truths(gallery).values())
        codes = self.codes(truth)
        for_truth = np.asarray(answers == truth, np.float64)
        for_lure = np.asarray(answers == lure, np.float64)
        ways = _cluster_codes(gallery, answers.index)
        rows = []
        for code in range(len(self.chosen)):
            own = codes == code
            s, t = for_truth[own], for_lure[own]
            ends = self._interval(s, s + t, [way[own] for way in ways])
            rows.append([int(s.sum()), int(t.sum()), int(own.sum()), *ends])
        return rows

    def _interval(
        self, hits: NDArray[np.float64], decided: NDArray[np.float64], ways: Sequence[Codes]
    ) -> list[int | None]:
        """Clustered if there are two clusters of each kind, else over images."""
        counted = decided > 0
        if not counted.any():
            return [None, None]
        score = ratio(hits[counted], decided[counted], "count")
        for groups in [np.stack([way[counted] for way in ways], axis=1)] * bool(ways) + [None]:
            influence = over(np.asarray(score.influence), groups)
            ends = interval(score.value, influence, score.scale, self.confidence_level)
            if np.isfinite(ends).all():
                return [round(end * _IN) for end in ends]
        return [None, None]


def _cluster_codes(gallery: Gallery, items: pd.Index) -> list[Codes]:
    if gallery.clusters is None:
        return []
    columns = gallery.clusters.reindex(items)
    return [np.asarray(pd.factorize(columns[name])[0], np.int64) for name in columns]


def _run(
    kept: Sequence[tuple[Any, Gallery]], ways: Sequence[str], both: Sequence[str], counter: _Counter
) -> dict[str, Any]:
    """The revisions of one run; a revision that was not asked in one of the ways has null there."""

    def matrices(gallery: Gallery, way: str) -> list[str]:
        return [counter.matrix(*_side_by_side(gallery, way, truth)) for truth in _truths(gallery)]

    def categories(gallery: Gallery, way: str) -> list[list[int | None]]:
        return counter.categories(gallery, _side_by_side(gallery, way, gallery.truth_title)[1])

    def counts(count: Callable[[Gallery, str], Any], asked: Sequence[str]) -> list[list[Any]]:
        return [
            [count(gallery, way) if way in gallery.answers else None for way in asked] for _, gallery in kept
        ]

    run = {"revisions": [str(cell.revision) for cell, _ in kept], "matrices": counts(matrices, ways)}
    return run | ({"categories": counts(categories, both)} if both else {})


def _observers(gallery: Gallery, counter: _Counter) -> dict[str, Any]:
    """The same counts for people: matrices over all answers, and the categories of each observer."""
    assert gallery.observers is not None
    answers = gallery.observers[gallery.observers["item"].isin(_in_conflict(gallery))].reset_index(drop=True)
    matrices = [
        counter.matrix(series.reindex(answers["item"]).reset_index(drop=True), answers["decision"])
        for series in _truths(gallery).values()
    ]
    people: dict[str, Any] = {"matrices": matrices}
    if gallery.lure is None:
        return people
    decided = {
        str(name): own.set_index("item")["decision"].astype(object)
        for name, own in answers.groupby("observer", sort=True)
    }
    observers = [{"name": name, "rows": counter.categories(gallery, own)} for name, own in decided.items()]
    return people | {"observers": observers, "mean": _means(observers, counter)}


def _means(observers: Sequence[Mapping[str, Any]], counter: _Counter) -> list[list[int | None]]:
    """By class the mean of the observers' shares, Student's interval over the observers, and their number."""
    means: list[list[int | None]] = []
    for rows in zip(*(observer["rows"] for observer in observers), strict=True):
        shares = np.array([s / (s + t) for s, t, *_ in rows if s + t])
        n = len(shares)
        if not n:
            means.append([None, None, None, 0])
            continue
        mean, ends = float(shares.mean()), [math.nan, math.nan]
        if n > 1:
            quantile = special.stdtrit(n - 1, (1 + counter.confidence_level) / 2)
            half = float(quantile * shares.std(ddof=1) / np.sqrt(n))
            ends = [max(0.0, mean - half), min(1.0, mean + half)]
        means.append([*(None if math.isnan(end) else round(end * _IN) for end in (mean, *ends)), n])
    return means
