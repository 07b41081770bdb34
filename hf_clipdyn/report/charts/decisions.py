"""Decisions among classes, from the kept trials: confusion matrices, and by class which of two cues decided."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from hf_clipdyn.benchmarks.kind import Kind
from hf_clipdyn.metrics.scores import interval, over, ratio
from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.courses import place_words
from hf_clipdyn.report.gallery import Gallery
from hf_clipdyn.report.page.views import class_names, gallery_cells, read_gallery, spread_cells
from hf_clipdyn.report.panel import Floats, Level, Map, Panel, Row, Scale
from hf_clipdyn.report.study import Study

_MOST_CLASSES, _MOST_WAYS, _MOST_RUNS = 24, 2, 3
_MOST_COUNTS = 200_000  # of all matrices of one benchmark


class Decisions(Chart):
    """Confusion matrices, and by class which of two cues decided."""

    title = "Decisions by class"

    @classmethod
    def panels(cls, study: Study) -> Sequence[Panel]:
        """A matrix for each run, way of asking and cue, a frame each revision; and the classes of the last ones."""
        return [panel for kind, cells in gallery_cells(study) for panel in _panels(study, kind, cells)]


def _panels(study: Study, kind: type[Kind[Any]], cells: pd.DataFrame) -> Iterator[Panel]:
    cells = cells[cells["run"].isin(list(dict.fromkeys(cells["run"]))[:_MOST_RUNS])]
    last = [gallery for _, gallery in _galleries(study, kind, cells.drop_duplicates("run", keep="last"))]
    if not last:
        return
    dataset = str(cells["dataset"].iloc[0])
    classes = _Classes.of(last, class_names(dataset, kind.schemas))
    ways, truths = list(last[0].answers)[:_MOST_WAYS], list(_truths(last[0]))
    frames = _MOST_COUNTS // (len(ways) * len(truths) * len(classes.titles) ** 2)
    place, benchmark = place_words(study.planner.words, kind.name, dataset), f"{kind.name}/{dataset}"
    read = _galleries(study, kind, spread_cells(cells, max(2, frames)))
    by_run = {run: list(own) for run, own in groupby(read, key=lambda one: str(one[0].run))}
    names = tuple(classes.titles)
    for run, own in by_run.items():
        stops = tuple(study.planner.stop_of(run, str(cell.revision)) for cell, _ in own)
        for way in ways:
            for truth in truths:
                counts = [classes.matrix(*_side_by_side(gallery, way, truth)) for _, gallery in own]
                yield Panel(
                    title=f"answers for each {truth}",
                    place=", ".join([place, *([run] if len(by_run) > 1 else [])]),
                    form="map",
                    cells=Map(values=np.stack(counts), frames=stops, bar="share of the images"),
                    x=Scale(title="answer", names=(*names, "any other")),
                    y=Scale(title=truth, names=names),
                    benchmark=benchmark,
                    choices={"by": truth, "asked": way} | ({"run": run} if len(by_run) > 1 else {}),
                )
    for way in [way for way in ways if way in last[0].choosing][:1] if len(truths) > 1 else []:
        yield _categories(study, by_run, way, classes, place=place, benchmark=benchmark)


def _categories(
    study: Study, by_run: Mapping[str, Sequence[Any]], way: str, classes: "_Classes", **given: Any
) -> Panel:
    """By class, the share of decisions for the first cue among those for either, of the last revisions and people."""
    level, planner = study.planner.confidence_level, study.planner
    rows, first = list[Row](), next(iter(by_run.values()))[-1][1]
    for run, own in by_run.items():
        _, gallery = own[-1]
        ends = classes.shares(gallery, _side_by_side(gallery, way, gallery.truth_title)[1], level)
        look: dict[str, Any] = {
            "series": run if len(by_run) > 1 else "last revision",
            "place": planner.group_of[run].place,
        }
        rows += [_row(title, *one, **look) for title, one in zip(classes.titles, ends.tolist(), strict=True)]
    if first.observers is not None and len(first.observers):
        answers = first.observers[first.observers["item"].isin(_in_conflict(first))]
        observers = [
            own.set_index("item")["decision"].astype(object) for _, own in answers.groupby("observer")
        ]
        means = _over_observers(
            np.stack([classes.shares(first, own, level)[:, 0] for own in observers]), level
        )
        rows += [
            _row(title, *one, series="people", place=-1)
            for title, one in zip(classes.titles, means.tolist(), strict=True)
        ]
    title = f"decisions for the {first.truth_title}, not the {first.lure_title}, by class"
    x = Scale(title="share of the decisions for either", limits=(0.0, 1.0))
    half = Level(title="as often", height=0.5, role="neutral")
    return Panel(
        title=title, form="rows", rows=tuple(rows), x=x, levels=(half,), choices={"asked": way}, **given
    )


def _row(label: str, value: float, low: float, high: float, **given: Any) -> Row:
    return Row(label=label, value=value, low=low, high=high, **given)


def _over_observers(shares: Floats, level: float) -> Floats:
    """By class the mean of the observers' shares with Student's interval over them, (classes, 3)."""
    n = np.isfinite(shares).sum(axis=0)
    known = np.ma.masked_invalid(shares)
    mean = known.mean(axis=0).filled(np.nan)
    spread = known.std(axis=0, ddof=1).filled(np.nan) if len(shares) > 1 else np.full(len(mean), np.nan)
    half = special.stdtrit(np.maximum(n - 1, 1), (1 + level) / 2) * spread / np.sqrt(np.maximum(n, 1))
    return np.stack([mean, np.maximum(mean - half, 0.0), np.minimum(mean + half, 1.0)], axis=1)


def _galleries(study: Study, kind: type[Kind[Any]], cells: pd.DataFrame) -> list[tuple[Any, Gallery]]:
    """The cells whose gallery has decisions among classes."""
    read = ((cell, read_gallery(study, kind, cell)) for cell in cells.itertuples(index=False))
    return [
        (cell, gallery)
        for cell, gallery in read
        if gallery is not None and gallery.answer == "class" and gallery.truth is not None and gallery.answers
    ]


def _truths(gallery: Gallery) -> dict[str, pd.Series]:
    """What decisions are counted against, by title."""
    known = {gallery.truth_title: gallery.truth, gallery.lure_title: gallery.lure}
    return {title: series for title, series in known.items() if series is not None}


def _in_conflict(gallery: Gallery) -> pd.Index:
    """The items that count: all, or those whose two cues differ."""
    truth, lure = gallery.truth, gallery.lure
    assert truth is not None, "`_galleries` keeps those with a truth"
    return truth.index if lure is None else truth.index[(truth != lure.reindex(truth.index)).to_numpy(bool)]


def _side_by_side(gallery: Gallery, way: str, truth: str) -> tuple[pd.Series, pd.Series]:
    """The truth and the decisions of the items that count, with object values."""
    answers = gallery.answers[way]
    answers = answers[answers.index.isin(_in_conflict(gallery))].astype(object)
    return _truths(gallery)[truth].reindex(answers.index).astype(object), answers


@dataclass(frozen=True, eq=False)
class _Classes:
    """The classes that are shown: as in the trials, and in words."""

    chosen: pd.Index
    titles: list[str]

    @classmethod
    def of(cls, last: Sequence[Gallery], names: Sequence[str]) -> "_Classes":
        """All classes if they are few, else those with most wrong decisions from or to them."""
        cues = [cue.astype(object) for gallery in last for cue in _truths(gallery).values()]
        every = pd.Index(sorted(pd.unique(pd.concat(cues).dropna())))
        if len(every) > _MOST_CLASSES:
            sides = [_side_by_side(one, next(iter(one.answers)), next(iter(_truths(one)))) for one in last]
            wrong = pd.concat(
                [side[truth != decided] for truth, decided in sides for side in (truth, decided)]
            )
            counts = wrong.value_counts().reindex(every, fill_value=0)
            every = pd.Index(sorted(counts.sort_values(ascending=False, kind="stable").index[:_MOST_CLASSES]))
        numbered = pd.api.types.is_integer_dtype(pd.Series(list(every)))
        titles = [
            (names[value] if 0 <= value < len(names) else f"class {value}") if numbered else str(value)
            for value in every
        ]
        return cls(every, titles)

    def codes(self, values: pd.Series) -> NDArray[np.int64]:
        """Positions among the chosen; that of any other answer, or none, is their number."""
        places = self.chosen.get_indexer(pd.Index(values.astype(object)))
        return np.where(places < 0, len(self.chosen), places).astype(np.int64)

    def matrix(self, truth: pd.Series, decided: pd.Series) -> Floats:
        """By true class, the share of each answer, (classes, classes + 1); NaN without an image."""
        n, (rows, columns) = len(self.chosen), (self.codes(truth), self.codes(decided))
        known = rows < n
        counts = np.bincount(rows[known] * (n + 1) + columns[known], minlength=n * (n + 1)).reshape(n, n + 1)
        totals = counts.sum(axis=1, keepdims=True)
        return np.where(totals > 0, counts / np.maximum(totals, 1), np.nan)

    def shares(self, gallery: Gallery, answers: pd.Series, level: float) -> Floats:
        """By class of the truth, the share of decisions for it among those for it or the lure, with its interval."""
        truth, lure = (cue.reindex(answers.index).astype(object) for cue in _truths(gallery).values())
        codes, hits = self.codes(truth), np.asarray(answers == truth, np.float64)
        decided = hits + np.asarray(answers == lure, np.float64)
        drawn = None if gallery.clusters is None else gallery.clusters.reindex(answers.index)
        ways = [] if drawn is None else [pd.factorize(drawn[name])[0] for name in drawn]
        groups = np.stack(ways, axis=1).astype(np.int64) if ways else None
        found = np.full((len(self.chosen), 3), np.nan)
        for code, row in enumerate(found):
            own = (codes == code) & (decided > 0)
            if own.any():
                score = ratio(hits[own], decided[own], "count")
                # Clustered if there are two clusters of each kind, else over images.
                for clusters in (groups[own], None) if groups is not None else (None,):
                    influence = over(np.asarray(score.influence), clusters)
                    row[:] = score.value, *interval(score.value, influence, score.scale, level)
                    if np.isfinite(row).all():
                        break
        return found
