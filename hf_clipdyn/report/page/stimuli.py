"""The stimuli of a report: what each revision answered to them, with small pictures where the licence allows it.

Everything comes from the kept trials, which become galleries (`hf_clipdyn.report.gallery`), without a model. The
pictures come from the data sets on this machine (`hf_clipdyn.report.page.pictures`), and nothing is downloaded for
them.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.kind import Kind
from hf_clipdyn.errors import check_known
from hf_clipdyn.report.courses import evenly
from hf_clipdyn.report.gallery import Gallery
from hf_clipdyn.report.page.pictures import Pictures, StimuliChoice, maps_sheet
from hf_clipdyn.report.page.stimuli_words import Words, rounded
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

        - ``shown``, ``total``: numbers of stimuli; ``why``: why there are no pictures; ``note``: of the `Gallery`;
          ``strangers``: runs that saw other stimuli; ``sparse``: whether only some revisions are here; ``group``: the
          title of what stimuli are filtered by.
        - ``runs``: for each run ``revisions``, their ``stops`` of the slider and, by way, the ``answers``, stimulus by
          stimulus and revision by revision, see `Words.encoded`; ``maps``: see `maps_sheet`.
        - ``said``: the answers in words; ``heading``: what is before a revision's answer; ``pictures``: their titles;
          ``sheet``: the pictures in one image, see `Pictures.sheet`.
        - ``filters``, see `Words.filters`; ``choices``: key, label and options of each select.
        - ``follows``: the stimuli of the first screen, see `_follows`.
        - ``items``: columns with an entry for each stimulus: ``id``; ``pictures``, places in the sheet; ``peopleMap``;
          ``stratum``, its group; ``facts``, lines of words; and, for filters and orders, ``agreed``, whether people are
          right, ``people`` and ``share``; None for what is unknown.
    """
    check_known("choice of stimuli", [stimuli], get_args(StimuliChoice))
    albums = [album for kind, cells in kind_cells(study) if (album := _album(study, kind, cells))]
    parts: dict[str, Any] = {}
    left = most_bytes - 2
    for at, album in enumerate(albums):
        share = min(_MOST_OF_ONE, left // (len(albums) - at))
        pictures = Pictures.of(album.gallery, album.items, album.cell, stimuli, data_dirs or {})
        part = _fitting(album, pictures, share - len(album.name) - 8)
        if part is not None:
            parts[album.name] = part
            left -= _size({album.name: part})
    return parts or None


def followed(study: Study, parts: Mapping[str, Any]) -> str:
    """The benchmark whose stimuli are on the first screen, one with two cues before others; empty without any."""
    follows = {name: parts.get(name, {}).get("follows") for name in study.planner.benchmarks}
    known = {name: own["cues"] for name, own in follows.items() if own and study.over_training}
    return max(known, key=lambda name: known[name], default="")


def _size(part: Any) -> int:
    """Bytes of a part, before the page compresses it."""
    return len(json.dumps(part, separators=(",", ":")))


# --- what the trials say ----------------------------------------------------------------------------------


@dataclass(eq=False)
class _Album:
    """A benchmark's stimuli and what every revision answered.

    Attributes:
        cell, gallery: of the first revision; what does not depend on the revision is taken from here.
        items: those among the ``total`` stimuli that are looked at.
        sparse: whether there are more revisions than are looked at.
        stops: of the slider, by run and revision.
        strangers: runs that were shown other stimuli.
        answers, maps: by run and way, what each revision has of the items.
    """

    cell: Any
    gallery: Gallery
    sparse: bool
    stops: dict[str, dict[str, int]] = field(default_factory=dict)
    strangers: list[str] = field(default_factory=list)
    answers: dict[tuple[str, str], pd.DataFrame] = field(default_factory=dict)
    maps: dict[tuple[str, str], pd.DataFrame] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name = f"{self.cell.kind}/{self.cell.dataset}"
        items = next(iter(self.gallery.answers.values())).index
        self.total = len(items)
        mapped = (maps.dropna().index for maps in self.gallery.maps.values())
        order = next((index for index in mapped if len(index)), items).sort_values()
        self.items = order[evenly(len(order), _CANDIDATES)]


def _album(study: Study, kind: type[Kind[Any]], cells: pd.DataFrame) -> _Album | None:
    """All that the trials of one benchmark say; None without trials."""
    album: _Album | None = None
    answers, maps = defaultdict[Any, dict[str, Any]](dict), defaultdict[Any, dict[str, Any]](dict)
    looked_at = spread_cells(cells)
    for cell in looked_at.itertuples(index=False):
        gallery, run, revision = read_gallery(study, kind, cell), str(cell.run), str(cell.revision)
        if gallery is None:
            continue
        album = album or _Album(cell, gallery, sparse=len(looked_at) < len(cells))
        seen, first = (one.identity.reindex(album.items) for one in (gallery, album.gallery))
        if run not in album.strangers and not seen.equals(first):
            album.strangers.append(run)
        if run in album.strangers:
            continue
        album.stops.setdefault(run, {})[revision] = study.planner.stop_of(run, revision)
        for kept, by_way in ((answers, gallery.answers), (maps, gallery.maps)):
            for way, series in by_way.items():
                kept[run, way][revision] = series.reindex(album.items)
    if album is not None:
        for run, stops in album.stops.items():
            for way in album.gallery.answers:
                album.answers[run, way] = pd.DataFrame(answers[run, way], album.items, list(stops))
            for way in album.gallery.maps:
                album.maps[run, way] = pd.DataFrame(maps[run, way], album.items, list(stops))
    return album


# --- the part of one benchmark -------------------------------------------------------------------------------


def _fitting(album: _Album, pictures: Pictures, most: int) -> dict[str, Any] | None:
    """The part of a benchmark with as many stimuli as fit into ``most`` bytes; None if not even one does.

    If many ways of asking leave room for few stimuli, only the first ways are kept.
    """
    ways, order = list(album.gallery.answers), _in_order_of_interest(album)
    for n_ways in sorted({len(ways), min(4, len(ways)), 1}, reverse=True):
        n, fewest = min(_MOST_ITEMS, len(order)), 1 if n_ways == 1 else min(_FEW_ITEMS, len(order))
        while n >= fewest:
            part = _part(album, pictures, ways[:n_ways], album.items[order[:n]])
            size = _size(part)
            if size <= most:
                return part
            n = min(n - 1, int(0.97 * n * most / size))
    return None


def _in_order_of_interest(album: _Album) -> NDArray[np.int64]:
    """Positions of the items: from every class in turn, of each class one that changes, then one drawn evenly."""
    gallery, way = album.gallery, next(iter(album.gallery.answers))
    frames = [album.answers[run, way] for run in album.stops]
    if gallery.answer == "value":
        values = [frame.astype("float64") for frame in frames]
        change = np.max([(frame.max(axis=1) - frame.min(axis=1)).fillna(0) for frame in values], axis=0)
    else:
        change = np.max([_n_unique(frame) for frame in frames], axis=0)
    strata = gallery.facts.get("group", gallery.facts.get("truth", pd.Series(0, album.items)))
    codes = pd.Series(pd.factorize(strata.reindex(album.items), sort=True)[0])
    # The first N, for any N, are spread evenly over all.
    spread = (codes.groupby(codes).cumcount() * _GOLDEN) % 1.0
    most, even = (own.groupby(codes).rank("first") for own in (-pd.Series(change), spread))
    turn = (2 * most).clip(upper=2 * even + 1).groupby(codes).rank("first")
    return np.lexsort((codes, turn))


def _n_unique(frame: pd.DataFrame) -> NDArray[np.int64]:
    """How many values each row has, without missing ones."""
    codes = np.sort(pd.factorize(frame.to_numpy(object).ravel())[0].reshape(frame.shape), axis=1)
    return np.asarray(np.count_nonzero(np.diff(codes, axis=1, prepend=-1), axis=1))


def _part(album: _Album, pictures: Pictures, ways: Sequence[str], items: pd.Index) -> dict[str, Any]:
    gallery, value = album.gallery, album.gallery.titles["value"]
    words, facts = Words(gallery, items, pictures.classes), gallery.facts.loc[items]
    places, sheet = pictures.sheet(items)
    runs = {
        run: {
            "revisions": list(stops),
            "stops": list(stops.values()),
            "answers": [words.encoded(album.answers[run, way].loc[items]) for way in ways],
            "maps": [maps_sheet(album.maps[run, way].loc[items]) for way in ways if gallery.maps],
        }
        for run, stops in album.stops.items()
    }
    group = next((name for name in ("group", "truth") if name in facts), "")
    strata = facts[group] if group else pd.Series(dtype=object)
    groups = strata.dropna().sort_values().map(words.name).unique()
    filters, title = list(words.filters()), gallery.titles.get(group, "")
    agreed = facts["people"].eq(facts["truth"]) if {"people", "truth"} <= set(facts) else None
    return {
        "shown": len(items),
        "total": album.total,
        "why": pictures.why,
        "note": gallery.note,
        "strangers": album.strangers,
        "sparse": album.sparse,
        "group": title,
        "runs": runs,
        "said": [dict(zip(("words", "sign", "kind"), said, strict=True)) for said in words.said],
        "heading": f"{value[:1].upper()}{value[1:]}, " if value else "",
        "pictures": [picture.title for picture in gallery.pictures],
        "sheet": sheet,
        "filters": {name: asked for name, _, asked in filters},
        "choices": [
            ("filter", "Show", {name: shown for name, shown, _ in filters}),
            ("run", "Run", list(runs)),
            ("way", "Measured by", dict(enumerate(ways))),
            ("group", title.capitalize(), {"": "all"} | {name: name for name in groups if len(groups) > 1}),
            ("sort", "Order", words.orders(title)),
        ],
        "follows": _follows(album, ways[0], items),
        "items": {
            "id": items.tolist(),
            "pictures": places,
            "peopleMap": maps_sheet(facts.reindex(columns=["looked"])),
            "stratum": strata.map(words.name).tolist(),
            "facts": [list(words.lines(known)) for known in facts.to_dict("records")],
            "agreed": None if agreed is None else agreed.fillna(False).tolist(),
            "share": rounded(facts["share"]) if "share" in facts else None,
            "people": rounded(facts["people"]) if value and "people" in facts else None,
        },
    }


def _follows(album: _Album, way: str, items: pd.Index) -> dict[str, Any] | None:
    """Stimuli whose answers follow the course of the first run: its usual early answer first, its usual late one then.

    Returns:
        ``run``; the course in ``words``; ``cues``, the number of answers that compete; ``items``, places of those that
        change over most cleanly, from different groups first. None without a right answer, or if no share changes.
    """
    gallery, run = album.gallery, next(iter(album.stops))
    if not gallery.right:
        return None
    answers = album.answers[run, way].loc[items]
    cues = [cue for cue in (gallery.right, "lure") if cue in gallery.facts]
    right, *lured = (answers.eq(gallery.facts.loc[items, cue], axis=0).to_numpy(bool) for cue in cues)
    wrong = lured[0] if lured else ~right
    names = [gallery.verdicts["lure" if lured else "other"], gallery.verdicts["truth"]]
    first, last = (right[:, at].sum() / max(1, (right | wrong)[:, at].sum()) for at in (0, -1))
    if last < first:  # the course goes the other way
        right, wrong, names = wrong, right, names[::-1]
    fits = [wrong[:, :at].sum(axis=1) + right[:, at:].sum(axis=1) for at in range(1, answers.shape[1])]
    if not fits:
        return None
    fit = np.where(wrong[:, 0] & right[:, -1], np.max(fits, axis=0), 0)
    words = f"Images that follow the course, {names[0]} before and {names[1]} after"
    if not fit.any():  # none follows the course: those that change most
        words, fit = "Images whose answer changed most", _n_unique(answers) - 1
    order = [int(at) for at in np.argsort(-fit, kind="stable") if fit[at] > 0]
    return {"run": run, "words": words, "cues": len(cues), "items": order[:_FOLLOWED]} if order else None
