"""The stimuli of a report: what each revision answered to them, with small pictures where the licence allows it.

Everything comes from the kept trials, which become galleries (`hf_clipdyn.report.gallery`), without a model. The
pictures come from the data sets on this machine (`hf_clipdyn.report.page.pictures`), and nothing is downloaded for
them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.kind import Kind
from hf_clipdyn.errors import ConfigError, shown
from hf_clipdyn.report.courses import evenly
from hf_clipdyn.report.gallery import Gallery
from hf_clipdyn.report.page.pictures import Pictures, StimuliChoice, maps_sheet
from hf_clipdyn.report.page.stimuli_words import Shown
from hf_clipdyn.report.page.views import kind_cells, read_gallery, spread_cells
from hf_clipdyn.report.study import Study

MOST_BYTES = 4_000_000
"""What all stimuli with their answers may take in the page."""

_MOST_OF_ONE = 900_000  # bytes of one benchmark
_MOST_ITEMS = 240
_FEW_ITEMS = 24  # rather than fewer, other ways of asking are left out
_FOLLOWED = 6  # stimuli of the first screen
_CANDIDATES = 4_000  # stimuli among which those that change are sought
_GOLDEN = 0.6180339887498949


def payload(
    study: Study,
    *,
    stimuli: StimuliChoice = "thumbnails",
    data_dirs: Mapping[str, str | Path] | None = None,
    most_bytes: int = MOST_BYTES,
) -> dict[str, Any] | None:
    """What the page's browser of stimuli shows, for JSON.

    Returns:
        None if no benchmark has trials with stimuli. Else by benchmark (``kind/dataset``):

        - ``shown``, ``total``: numbers of stimuli; ``why``: why there are no pictures; ``strangers``: runs that saw
          other stimuli; ``follows``: those of the first screen, see `_follows`.
        - what `Shown.described` returns: words, filters, and columns with an entry for each stimulus.
        - ``sheet``: the pictures in one image, see `Pictures.sheet`; ``items`` has also their ``pictures``, places in
          it, and ``peopleMap``.
        - ``runs``: for each run ``revisions``, their ``stops`` of the slider and, by way, the ``answers``, stimulus by
          stimulus and revision by revision, see `Shown.encoded`; ``maps``: see `maps_sheet`.
    """
    stimuli = stimuli_choice(stimuli)
    candidates = (_album(study, kind, cells) for kind, cells in kind_cells(study))
    albums = [album for album in candidates if album is not None]
    parts: dict[str, Any] = {}
    left = most_bytes - 2
    for at, album in enumerate(albums):
        share = min(_MOST_OF_ONE, left // (len(albums) - at))
        pictures = Pictures.of(album.gallery, album.items, album.cell, album.kind, stimuli, data_dirs or {})
        part = _fitting(album, pictures, share - len(album.name) - 8)
        if part is not None:
            parts[album.name] = part
            left -= _size({album.name: part})
    return parts or None


def stimuli_choice(given: str) -> StimuliChoice:
    """A choice that a user gave, or a ConfigError."""
    known: tuple[StimuliChoice, ...] = get_args(StimuliChoice)
    if given in known:
        return given
    raise ConfigError(f"stimuli is {shown(given)}: choose one of {', '.join(known)}.")


def changed(
    study: Study, benchmarks: Sequence[Mapping[str, Any]], parts: Mapping[str, Any]
) -> dict[str, str] | None:
    """The stimuli of the first screen: of which benchmark, and in words; one with two cues comes first."""
    known = [each for each in benchmarks if parts.get(each["name"], {}).get("follows")]
    if not known or not study.over_training:
        return None
    first = max(known, key=lambda each: parts[each["name"]]["follows"]["cues"])
    follows = parts[first["name"]]["follows"]
    where = f"{first['title']}, {follows['run']}" if len(study.runs) > 1 else first["title"]
    return {
        "name": first["name"],
        "words": f"{follows['words']} ({where}), each with its answer at every revision.",
    }


def _size(part: Any) -> int:
    """Bytes of a part in the page, where the signs of HTML are written as numbers."""
    text = json.dumps(part, separators=(",", ":"))
    return len(text) + 5 * sum(map(text.count, "<>&"))


# --- what the trials say ----------------------------------------------------------------------------------


@dataclass(eq=False)
class _Album:
    """A benchmark's stimuli and what every revision answered.

    Attributes:
        cell, gallery: of the first revision; what does not depend on the revision is taken from here.
        items: those among the ``total`` stimuli that are looked at.
        stops: of the slider, by run and revision.
        answers, maps: by run and way, what each revision has of the items.
        strangers: runs that were shown other stimuli.
        sparse: whether a run has more revisions than are looked at.
    """

    kind: type[Kind[Any]]
    cell: Any
    gallery: Gallery
    stops: dict[str, dict[str, int]] = field(default_factory=dict)
    answers: dict[str, dict[str, pd.DataFrame]] = field(default_factory=dict)
    maps: dict[str, dict[str, pd.DataFrame]] = field(default_factory=dict)
    strangers: list[str] = field(default_factory=list)
    sparse: bool = False

    def __post_init__(self) -> None:
        self.name = f"{self.cell.kind}/{self.cell.dataset}"
        items = next(iter(self.gallery.answers.values())).index
        self.total = len(items)
        mapped = (maps.dropna().index for maps in self.gallery.maps.values())
        order = next((index for index in mapped if len(index)), items).sort_values()
        self.items = order[evenly(len(order), _CANDIDATES)]
        self.identity = self.gallery.identity(self.items)


def _album(study: Study, kind: type[Kind[Any]], cells: pd.DataFrame) -> _Album | None:
    """All that the trials of one benchmark say; None without trials."""
    album: _Album | None = None
    answers: dict[str, list[Mapping[str, pd.Series[Any]]]] = {}
    maps: dict[str, list[Mapping[str, pd.Series[Any]]]] = {}
    for cell in spread_cells(cells).itertuples(index=False):
        gallery = read_gallery(study, kind, cell)
        if gallery is None:
            continue
        album, run = album or _Album(kind, cell, gallery), str(cell.run)
        if run in album.strangers:
            continue
        if not gallery.identity(album.items).equals(album.identity):
            album.strangers.append(run)
            continue
        revision = str(cell.revision)
        album.stops.setdefault(run, {})[revision] = study.planner.stop_of(run, revision)
        for kept, given in ((answers, gallery.answers), (maps, gallery.maps)):
            own = {way: series.reindex(album.items) for way, series in given.items()}
            kept.setdefault(run, []).append(own)
    if album is not None:
        measured = cells.groupby("run", observed=True).size()
        album.sparse = any(len(names) < measured[run] for run, names in album.stops.items())
        album.answers = {run: _side_by_side(given) for run, given in answers.items()}
        album.maps = {run: _side_by_side(given) for run, given in maps.items()}
    return album


def _side_by_side(revisions: "Sequence[Mapping[str, pd.Series[Any]]]") -> dict[str, pd.DataFrame]:
    """For each way that all revisions were asked in, a column for each of them."""
    ways = [way for way in revisions[0] if all(way in given for given in revisions)]
    return {way: pd.concat([given[way] for given in revisions], axis=1) for way in ways}


# --- the part of one benchmark -------------------------------------------------------------------------------


def _fitting(album: _Album, pictures: Pictures, most: int) -> dict[str, Any] | None:
    """The part of a benchmark with as many stimuli as fit into ``most`` bytes; None if not even one does.

    If many ways of asking leave room for few stimuli, only the first ways are kept.
    """
    ways, order = list(album.gallery.answers), _in_order_of_interest(album)
    for n_ways in sorted({len(ways), min(4, len(ways)), 1}, reverse=True):
        n = min(_MOST_ITEMS, len(order))
        while n > 0:
            part = _part(album, pictures, ways[:n_ways], order[:n])
            size = _size(part)
            if size <= most and (n_ways == 1 or n >= min(_FEW_ITEMS, len(order))):
                return part
            if size <= most:
                break
            n = min(n - 1, int(0.97 * n * most / size))
    return None


def _in_order_of_interest(album: _Album) -> list[int]:
    """Positions of the items: from every class in turn, of each class one that changes, then one drawn evenly."""
    way = next(iter(album.gallery.answers))
    frames = [by_way[way] for by_way in album.answers.values() if way in by_way]
    if not frames:
        change = np.zeros(len(album.items))
    elif album.gallery.answer == "value":
        spans = [frame.max(axis=1) - frame.min(axis=1) for frame in frames]
        change = np.nan_to_num(np.max([span.to_numpy(float) for span in spans], axis=0), nan=0.0)
    else:
        change = np.max(list(map(_n_unique, frames)), axis=0) - 1.0
    facts, alike = album.gallery.facts, pd.Series(0, album.items)
    strata = facts.get("group", facts.get("truth", alike)).reindex(album.items)
    codes = pd.Series(pd.factorize(strata, sort=True)[0])
    spread = (
        codes.groupby(codes).cumcount() * _GOLDEN
    ) % 1.0  # the first N, for any N, are spread evenly over all
    most, even = (own.groupby(codes).rank("first") for own in (-pd.Series(change), spread))
    turn = (2 * most).clip(upper=2 * even + 1).groupby(codes).rank("first")
    return [int(at) for at in np.lexsort((codes, turn))]


def _n_unique(frame: pd.DataFrame) -> NDArray[np.int64]:
    """How many values each row has, without missing ones."""
    codes = np.sort(pd.factorize(frame.to_numpy(object).ravel())[0].reshape(frame.shape), axis=1)
    return np.asarray(np.count_nonzero(np.diff(codes, axis=1, prepend=-1), axis=1))


def _part(album: _Album, pictures: Pictures, ways: Sequence[str], chosen: Sequence[int]) -> dict[str, Any]:
    items = album.items[list(chosen)]
    known, (places, sheet) = Shown(album.gallery, items, pictures.classes), pictures.sheet(items)
    runs: dict[str, Any] = {}
    for run, by_way in album.answers.items():
        maps = [album.maps[run].get(way) for way in ways]
        runs[run] = {
            "revisions": list(album.stops[run]),
            "stops": list(album.stops[run].values()),
            "answers": [known.encoded(by_way[way].loc[items]) if way in by_way else None for way in ways],
            "maps": [None if own is None else maps_sheet(own.loc[items]) for own in maps],
        }
    looked = known.facts.get("looked")
    part = {
        "shown": len(items),
        "total": album.total,
        "why": pictures.why,
        "runs": runs,
        "sheet": sheet,
        "strangers": album.strangers,
        "sparse": album.sparse,
        "ways": list(ways),
        "follows": _follows(album, ways[0], items),
        "items": {
            "id": [int(item) for item in items],
            "pictures": places,
            "peopleMap": None if looked is None else maps_sheet(looked.to_frame()),
        },
    }
    return known.described(part)


def _follows(album: _Album, way: str, items: pd.Index) -> dict[str, Any] | None:
    """Stimuli whose answers follow the course of the first run: its usual early answer first, its usual late one then.

    Returns:
        ``run``; the course in ``words``; ``cues``, the number of answers that compete; ``items``, places of those that
        change over most cleanly, from different groups first. None without a truth, or if no share changes.
    """
    facts, answer, titles = album.gallery.facts, album.gallery.answer, album.gallery.titles
    run = next((run for run, asked in album.answers.items() if way in asked), "")
    truth = facts.get("people" if answer == "picture" else "truth")
    if answer == "value" or truth is None or not run:
        return None
    answers = album.answers[run][way].loc[items]
    cues = [cue.reindex(items) for cue in (truth, facts.get("lure")) if cue is not None]
    sides = [np.asarray(answers.apply(lambda given, cue=cue: given == cue), bool) for cue in cues]
    right = sides[0]
    wrong = sides[-1] if len(sides) > 1 else ~right
    names = [titles["lure"], titles["truth"]] if len(sides) > 1 else ["wrong", "right"]
    names = ["unlike observers", "as observers"] if answer == "picture" else names
    first, last = (right[:, at].sum() / max(1, (right | wrong)[:, at].sum()) for at in (0, -1))
    late, early = (right, wrong) if last >= first else (wrong, right)
    before, after = names if last >= first else names[::-1]
    places = range(1, answers.shape[1])
    fits = [early[:, :place].sum(axis=1) + late[:, place:].sum(axis=1) for place in places]
    if not fits:
        return None
    fit = np.where(early[:, 0] & late[:, -1], np.max(fits, axis=0), 0)
    words = f"Images that follow the course, {before} before and {after} after"
    if not fit.any():  # none follows the course: those that change most
        words, fit = "Images whose answer changed most", _n_unique(answers) - 1
    order = [int(at) for at in np.argsort(-fit, kind="stable") if fit[at] > 0]
    return {"run": run, "words": words, "cues": len(cues), "items": order[:_FOLLOWED]} if order else None
