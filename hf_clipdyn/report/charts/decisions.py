"""Decisions among classes, from the kept trials: confusion matrices, and by class which of two cues decided."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.kind import Kind
from hf_clipdyn.metrics.scores import interval, mean, over
from hf_clipdyn.report.charts import Chart
from hf_clipdyn.report.gallery import Gallery
from hf_clipdyn.report.lines import CONFIDENCE, mean_and_half
from hf_clipdyn.report.page.views import class_names, class_title, kind_cells, read_gallery, spread_cells
from hf_clipdyn.report.panel import Floats, Level, Map, Panel, Row, Scale
from hf_clipdyn.report.study import Study

_MOST_CLASSES, _MOST_WAYS, _MOST_RUNS = 24, 2, 3
_MOST_COUNTS = 200_000  # of all matrices of one benchmark
_PEOPLE = "human observers"


class Decisions(Chart):
    """Confusion matrices of the model and of people, and by class which of two cues decided."""

    title = "Decisions by class"

    @classmethod
    def panels(cls, study: Study) -> Sequence[Panel]:
        """A matrix for each run, way of asking and cue, a frame each revision; people's; and the classes at last."""
        return [panel for kind, cells in kind_cells(study) for panel in _panels(study, kind, cells)]


def _panels(study: Study, kind: type[Kind[Any]], cells: pd.DataFrame) -> Iterator[Panel]:
    cells = cells[cells["run"].isin(cells["run"].unique()[:_MOST_RUNS])]
    last = [gallery for _, gallery in _galleries(study, kind, cells.drop_duplicates("run", keep="last"))]
    if not last:
        return
    first, dataset, people = last[0], str(cells["dataset"].iloc[0]), _by_observer(last[0])
    classes, names = _classes(last), class_names(dataset, kind.schemas)
    titles = tuple(class_title(key, names) for key in classes)
    cues, ways = list(_cues(first)), list(first.answers)[:_MOST_WAYS]
    most = _MOST_COUNTS // (len(ways) * len(cues) * len(classes) ** 2)
    decided = defaultdict[tuple[str, str], dict[int, pd.DataFrame]](dict)  # by run and way, at each stop
    clusters = dict[str, pd.DataFrame | None]()
    for cell, gallery in _galleries(study, kind, spread_cells(cells, max(2, most))):
        clusters[cell.run] = gallery.clusters
        for way in ways:
            stop = study.planner.stop_of(cell.run, cell.revision)
            decided[cell.run, way][stop] = _decided(gallery, gallery.answers[way])
    if people:
        decided["", _PEOPLE] = {-1: _decided(first, pd.concat(list(people.values())))}
    several, place = len(clusters) > 1, study.planner.place_words(kind.name, dataset)
    about: Any = {"benchmark": f"{kind.name}/{dataset}"}
    for ((run, way), at), cue in product(decided.items(), cues):
        values = np.stack([_matrix(classes, decisions[cue], decisions[""]) for decisions in at.values()])
        of_run = {"run": run} if several and run else {}
        bar = f"share of the {'images' if run else 'answers'}"
        yield Panel(
            title=f"{'answers' if run else 'answers of human observers'} for each {cue}",
            place=", ".join([place, *of_run.values()]),
            form="map",
            cells=Map(values=values, frames=tuple(at) if run else (), bar=bar),
            x=Scale(title="answer", names=(*titles, "any other")),
            y=Scale(title=cue, names=titles),
            choices={"by": cue, "asked": way, **of_run},
            **about,
        )
    chosen = [way for way in ways if way in first.choosing and len(cues) > 1]
    if chosen:
        rows = list[Row]()
        level = next(iter(study.results.rows["confidence_level"].dropna()), CONFIDENCE)
        for run, drawn in clusters.items():
            shares = _shares(classes, [*decided[run, chosen[0]].values()][-1], drawn, level)
            series, group = run if several else "last revision", study.planner.group_of[run]
            rows += _rows(titles, shares, {}, series=series, place=group.place)
        if people:
            of_person = {name: _decided(first, answers) for name, answers in people.items()}
            own = {
                name: _shares(classes, decisions, None, level)[:, 0] for name, decisions in of_person.items()
            }
            middle, half = mean_and_half(np.stack(list(own.values())), level)
            ends = np.stack([middle, np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)], axis=1)
            rows += _rows(titles, ends, own, series=_PEOPLE, place=-1)
        yield Panel(
            title=f"decisions for the {cues[0]}, not the {cues[1]}, by class",
            place=place,
            form="rows",
            rows=tuple(rows),
            x=Scale(title="share of the decisions for either", limits=(0.0, 1.0)),
            levels=(Level(title="as often", height=0.5, role="neutral"),),
            choices={"asked": chosen[0]},
            **about,
        )


def _galleries(study: Study, kind: type[Kind[Any]], cells: pd.DataFrame) -> list[tuple[Any, Gallery]]:
    """The cells whose gallery has decisions among classes."""
    read = [(cell, read_gallery(study, kind, cell)) for cell in cells.itertuples(index=False)]
    return [(cell, one) for cell, one in read if one and one.answer == "class" and "truth" in one.facts]


def _cues(gallery: Gallery) -> "dict[str, pd.Series[Any]]":
    """What decisions are counted against, by title."""
    return {gallery.titles[name]: gallery.facts[name] for name in ("truth", "lure") if name in gallery.facts}


def _by_observer(gallery: Gallery) -> "dict[str, pd.Series[Any]]":
    """The decisions of each person, by item."""
    observers: Any = () if gallery.observers is None else gallery.observers.groupby("observer")
    return {str(name): own.set_index("item")["decision"] for name, own in observers}


def _decided(gallery: Gallery, answers: "pd.Series[Any]") -> pd.DataFrame:
    """The cues by title, and the decisions in the column "": of the items that count, those whose two cues differ."""
    cues = {title: cue.reindex(answers.index).to_numpy() for title, cue in _cues(gallery).items()}
    sides = pd.DataFrame(cues | {"": answers.to_numpy()}, answers.index).astype(object)
    return sides if len(cues) < 2 else sides[(sides.iloc[:, 0] != sides.iloc[:, 1]).to_numpy(bool)]


def _classes(last: Sequence[Gallery]) -> pd.Index:
    """All classes if they are few, else those with most wrong decisions from or to them."""
    cues = [cue.astype(object) for gallery in last for cue in _cues(gallery).values()]
    every: pd.Index = pd.Index(sorted(pd.unique(pd.concat(cues).dropna())))
    if len(every) > _MOST_CLASSES:
        sides = [_decided(gallery, next(iter(gallery.answers.values()))) for gallery in last]
        wrong = pd.concat([side[side.iloc[:, 0] != side[""]].iloc[:, [0, -1]].stack() for side in sides])
        counts = wrong.value_counts().reindex(every, fill_value=0)
        every = pd.Index(sorted(counts.sort_values(ascending=False, kind="stable").index[:_MOST_CLASSES]))
    return every


def _matrix(classes: pd.Index, truth: "pd.Series[Any]", decided: "pd.Series[Any]") -> Floats:
    """By true class, the share of each answer and of all others, (classes, classes + 1); NaN without an image."""
    counts = np.zeros((len(classes) + 1, len(classes) + 1))
    np.add.at(counts, tuple(classes.get_indexer(pd.Index(values)) for values in (truth, decided)), 1)
    with np.errstate(invalid="ignore"):
        return np.asarray((counts / counts.sum(axis=1, keepdims=True))[:-1])


def _shares(classes: pd.Index, decided: pd.DataFrame, clusters: pd.DataFrame | None, level: float) -> Floats:
    """By class of the truth, the share of decisions for it among those for it or the lure, and its interval."""
    truth, lure, answers = (decided.iloc[:, at] for at in range(3))
    right, either = answers == truth, (answers == truth) | (answers == lure)
    drawn = None if clusters is None else clusters.reindex(decided.index)
    shares = np.full((len(classes), 3), np.nan)
    for name, row in zip(classes, shares, strict=True):
        own = ((truth == name) & either).to_numpy(bool)
        if own.any():
            score = mean(right[own], "count")
            for groups in (None if drawn is None else drawn[own].to_numpy(str), None):
                influence = over(np.asarray(score.influence), groups)
                row[:] = score.value, *interval(score.value, influence, score.scale, level)
                if np.isfinite(row).all():  # with fewer than two clusters, count images instead
                    break
    return shares


def _rows(
    titles: Sequence[str], shares: Floats, observers: Mapping[str, Floats], **given: Any
) -> Iterator[Row]:
    """A row for each class, from its share with the ends of its interval; beside it the share of each observer."""
    for at, (title, (value, low, high)) in enumerate(zip(titles, shares.tolist(), strict=True)):
        known = {name: float(own[at]) for name, own in observers.items() if math.isfinite(own[at])}
        beside = tuple(Level(title=name, height=share, role="human") for name, share in known.items())
        yield Row(label=title, value=value, low=low, high=high, beside=beside, **given)
