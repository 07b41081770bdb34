"""Decisions among classes, from the kept trials: confusion matrices, and by class which of two cues decided."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from hf_clipdyn.benchmarks.kind import Kind
from hf_clipdyn.metrics.scores import interval, over, ratio
from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.courses import place_words
from hf_clipdyn.report.gallery import Gallery
from hf_clipdyn.report.page.views import class_names, class_title, kind_cells, read_gallery, spread_cells
from hf_clipdyn.report.panel import Floats, Level, Map, Panel, Row, Scale
from hf_clipdyn.report.study import Study

_MOST_CLASSES, _MOST_WAYS, _MOST_RUNS = 24, 2, 3
_MOST_COUNTS = 200_000  # of all matrices of one benchmark


class Decisions(Chart):
    """Confusion matrices of the model and of people, and by class which of two cues decided."""

    title = "Decisions by class"

    @classmethod
    def panels(cls, study: Study) -> Sequence[Panel]:
        """A matrix for each run, way of asking and cue, a frame each revision; people's; and the classes at last."""
        return [panel for kind, cells in kind_cells(study) for panel in _panels(study, kind, cells)]


class _Asked(NamedTuple):
    """Decisions that were asked for in one way.

    Attributes:
        way: how; ``people`` for those of all observers together.
        run: of the model; empty for people.
        stops: of the slider, by revision; none for people.
        sides: what was decided (`_decided`), by revision.
        gallery: of the last revision.
    """

    way: str
    run: str
    stops: tuple[int, ...]
    sides: list[pd.DataFrame]
    gallery: Gallery


def _panels(study: Study, kind: type[Kind[Any]], cells: pd.DataFrame) -> Iterator[Panel]:
    cells = cells[cells["run"].isin(list(dict.fromkeys(cells["run"]))[:_MOST_RUNS])]
    last = [gallery for _, gallery in _galleries(study, kind, cells.drop_duplicates("run", keep="last"))]
    if not last:
        return
    dataset, first = str(cells["dataset"].iloc[0]), last[0]
    classes, cues = _Classes.of(last, class_names(dataset, kind.schemas)), list(_cues(first))
    ways = list(first.answers)[:_MOST_WAYS]
    frames = _MOST_COUNTS // (len(ways) * len(cues) * len(classes.titles) ** 2)
    asked = list(_asked(study, _galleries(study, kind, spread_cells(cells, max(2, frames))), ways))
    several = len(asked) > len(ways)
    people = _by_observer(first)
    if people:
        asked.append(_Asked("people", "", (), [_decided(first, pd.concat(list(people.values())))], first))
    place = place_words(study.planner.words, kind.name, dataset)
    for one, cue in product(asked, cues):
        of_run = {"run": one.run} if several and one.run else {}
        values = np.stack([classes.matrix(side[cue], side[""]) for side in one.sides])
        bar = "share of the images" if one.run else "share of the answers"
        yield Panel(
            title=f"{'answers' if one.run else 'answers of people'} for each {cue}",
            place=", ".join([place, *of_run.values()]),
            form="map",
            cells=Map(values=values, frames=one.stops, bar=bar),
            x=Scale(title="answer", names=(*classes.titles, "any other")),
            y=Scale(title=cue, names=tuple(classes.titles)),
            benchmark=f"{kind.name}/{dataset}",
            choices={"by": cue, "asked": one.way, **of_run},
        )
    for way in [way for way in ways if way in first.choosing][:1] if len(cues) > 1 else []:
        level, rows = study.planner.confidence_level, list[Row]()
        for one in (one for one in asked if one.way == way):
            look = {"series": one.run if several else "last revision"}
            shares = classes.shares(one.gallery, one.sides[-1], level)
            rows += _rows(classes, shares, place=study.planner.group_of[one.run].place, **look)
        rows += _rows_of_people(classes, first, people, level) if people else ()
        yield Panel(
            title=f"decisions for the {cues[0]}, not the {cues[1]}, by class",
            place=place,
            form="rows",
            rows=tuple(rows),
            x=Scale(title="share of the decisions for either", limits=(0.0, 1.0)),
            levels=(Level(title="as often", height=0.5, role="neutral"),),
            benchmark=f"{kind.name}/{dataset}",
            choices={"asked": way},
        )


def _asked(study: Study, read: Sequence[tuple[Any, Gallery]], ways: Sequence[str]) -> Iterator[_Asked]:
    """The decisions of each run in each way."""
    for run in dict.fromkeys(str(cell.run) for cell, _ in read):
        own = [(str(cell.revision), gallery) for cell, gallery in read if cell.run == run]
        stops = tuple(study.planner.stop_of(run, revision) for revision, _ in own)
        for way in ways:
            sides = [_decided(gallery, gallery.answers[way]) for _, gallery in own]
            yield _Asked(way, run, stops, sides, own[-1][1])


def _rows(classes: "_Classes", shares: Floats, **given: Any) -> list[Row]:
    """A row for each class, from its share with the ends of its interval."""
    named = zip(classes.titles, shares.tolist(), strict=True)
    return [Row(label=title, value=value, low=low, high=high, **given) for title, (value, low, high) in named]


def _rows_of_people(
    classes: "_Classes", gallery: Gallery, people: "Mapping[str, pd.Series[Any]]", level: float
) -> Iterator[Row]:
    """By class the mean of the observers' shares with Student's interval over them, and beside it each observer."""
    sides = [_decided(gallery, answers) for answers in people.values()]
    shares = np.stack([classes.shares(gallery, side, level)[:, 0] for side in sides])
    known, n = np.ma.masked_invalid(shares), np.maximum(np.isfinite(shares).sum(axis=0), 2)
    mean = known.mean(axis=0)
    half = special.stdtrit(n - 1, (1 + level) / 2) * known.std(axis=0, ddof=1) / np.sqrt(n)
    ends = [mean, np.ma.maximum(mean - half, 0.0), np.ma.minimum(mean + half, 1.0)]
    means = np.stack([np.ma.filled(end, np.nan) for end in ends], axis=1)
    rows = _rows(classes, means, series="people", place=-1)
    for row, own in zip(rows, shares.T.tolist(), strict=True):
        levels = [
            Level(title=name, height=share, role="human") for name, share in zip(people, own, strict=True)
        ]
        yield replace(row, beside=tuple(level for level in levels if math.isfinite(level.height)))


def _galleries(study: Study, kind: type[Kind[Any]], cells: pd.DataFrame) -> list[tuple[Any, Gallery]]:
    """The cells whose gallery has decisions among classes."""
    read = ((cell, read_gallery(study, kind, cell)) for cell in cells.itertuples(index=False))
    return [
        (cell, gallery)
        for cell, gallery in read
        if gallery and gallery.answer == "class" and "truth" in gallery.facts
    ]


def _cues(gallery: Gallery) -> "dict[str, pd.Series[Any]]":
    """What decisions are counted against, by title."""
    return {gallery.titles[name]: gallery.facts[name] for name in ("truth", "lure") if name in gallery.facts}


def _by_observer(gallery: Gallery) -> "dict[str, pd.Series[Any]]":
    """The decisions of each person, by item."""
    if gallery.observers is None:
        return {}
    observers = gallery.observers.groupby("observer")
    return {str(name): own.set_index("item")["decision"] for name, own in observers}


def _decided(gallery: Gallery, answers: "pd.Series[Any]") -> pd.DataFrame:
    """The cues by title, and the decisions in the column "": of the items that count, those whose two cues differ."""
    cues = {title: cue.reindex(answers.index).to_numpy() for title, cue in _cues(gallery).items()}
    sides = pd.DataFrame(cues | {"": answers.to_numpy()}, answers.index).astype(object)
    return sides if len(cues) < 2 else sides[(sides.iloc[:, 0] != sides.iloc[:, 1]).to_numpy(bool)]


@dataclass(frozen=True, eq=False)
class _Classes:
    """The classes that are shown: as in the trials, and in words."""

    chosen: pd.Index
    titles: list[str]

    @classmethod
    def of(cls, last: Sequence[Gallery], names: Sequence[str]) -> "_Classes":
        """All classes if they are few, else those with most wrong decisions from or to them."""
        cues = [cue.astype(object) for gallery in last for cue in _cues(gallery).values()]
        every = pd.Index(sorted(pd.unique(pd.concat(cues).dropna())))
        if len(every) > _MOST_CLASSES:
            sides = [_decided(gallery, next(iter(gallery.answers.values()))) for gallery in last]
            wrong = pd.concat([side[side.iloc[:, 0] != side[""]].iloc[:, [0, -1]].stack() for side in sides])
            counts = wrong.value_counts().reindex(every, fill_value=0)
            every = pd.Index(sorted(counts.sort_values(ascending=False, kind="stable").index[:_MOST_CLASSES]))
        return cls(every, [class_title(one, names) for one in every])

    def codes(self, values: "pd.Series[Any]") -> NDArray[np.int64]:
        """Positions among the chosen; that of any other answer, or none, is their number."""
        places = self.chosen.get_indexer(pd.Index(values))
        return np.where(places < 0, len(self.chosen), places).astype(np.int64)

    def matrix(self, truth: "pd.Series[Any]", decided: "pd.Series[Any]") -> Floats:
        """By true class, the share of each answer, (classes, classes + 1); NaN without an image."""
        n, (rows, columns) = len(self.chosen), (self.codes(truth), self.codes(decided))
        counts = np.zeros((n + 1, n + 1))
        np.add.at(counts, (rows, columns), 1)
        with np.errstate(invalid="ignore"):
            return np.asarray((counts / counts.sum(axis=1, keepdims=True))[:n])

    def shares(self, gallery: Gallery, sides: pd.DataFrame, level: float) -> Floats:
        """By class of the truth, the share of decisions for it among those for it or the lure, with its interval."""
        truth, lure, answers = (sides.iloc[:, at] for at in range(3))
        codes, hits = self.codes(truth), np.asarray(answers == truth, np.float64)
        decided = hits + np.asarray(answers == lure, np.float64)
        groups = None
        if gallery.clusters is not None:
            drawn = gallery.clusters.reindex(sides.index)
            groups = np.stack([pd.factorize(drawn[name])[0] for name in drawn], axis=1).astype(np.int64)
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
