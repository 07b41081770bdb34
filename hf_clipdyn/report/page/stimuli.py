"""The stimuli of a report: what each revision answered to them, with small pictures where the licence allows it.

Everything comes from the kept trials, which become galleries (`hf_clipdyn.report.gallery`), without a model. The
pictures come from the data sets on this machine (`hf_clipdyn.report.page.pictures`), and nothing is downloaded for
them.
"""

import base64
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.kind import Kind
from hf_clipdyn.errors import ConfigError, shown
from hf_clipdyn.report.courses import evenly
from hf_clipdyn.report.gallery import Answer, Gallery
from hf_clipdyn.report.page.pictures import Pictures, StimuliChoice, maps_sheet
from hf_clipdyn.report.page.views import kind_cells, read_gallery, spread_cells
from hf_clipdyn.report.study import Study

MOST_BYTES = 4_000_000
"""What all stimuli with their answers may take in the page."""

_MOST_OF_ONE = 900_000  # bytes of one benchmark
_MOST_ITEMS = 240
_FEW_ITEMS = 24  # rather than fewer, other ways of asking are left out
_FOLLOWED = 6  # stimuli of the first screen
_CANDIDATES = 4_000  # stimuli among which those that change are sought


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

        - ``shown``, ``total``: numbers of stimuli; ``why``: why there are no pictures; ``note``; ``pixelated``;
          ``strangers``: runs that saw other stimuli; ``sparse``: whether some revisions are left out.
        - ``answer``, ``names`` (of classes), ``titles`` (of what is shown), ``pictures`` (their titles), ``ways``.
        - ``items``: columns with one entry per stimulus: ``id``, ``pictures`` (places in the sheet), ``truth``,
          ``lure``, ``people`` (positions in ``names``, positions of pictures or values), ``share``, ``group``.
        - ``runs``: for each run ``revisions`` and, by way, the ``answers``, stimulus by stimulus and revision by
          revision; ``maps``: sheets.
    """
    stimuli = stimuli_choice(stimuli)
    candidates = (_album(study, kind, cells) for kind, cells in kind_cells(study))
    albums = [album for album in candidates if album is not None]
    parts: dict[str, Any] = {}
    left = most_bytes - 2
    for at, album in enumerate(albums):
        share = min(_MOST_OF_ONE, left // (len(albums) - at))
        part = _fitting(album, album.pictures(stimuli, data_dirs or {}), share - len(album.name) - 8)
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


def _size(part: Any) -> int:
    """Bytes of a part in the page, where the signs of HTML are written as numbers."""
    text = json.dumps(part, ensure_ascii=False, separators=(",", ":"))
    return len(text.encode()) + 5 * sum(map(text.count, "<>&"))


# --- what the trials say ----------------------------------------------------------------------------------


@dataclass(eq=False)
class _Album:
    """A benchmark's stimuli and what every revision answered.

    Attributes:
        cell, gallery: of the first revision; what does not depend on the revision is taken from here.
        items: those among the ``total`` stimuli that are looked at.
        answers, maps: by run and way, what each of the ``revisions`` has of the items.
        strangers: runs that were shown other stimuli.
        sparse: whether a run has more revisions than are looked at.
    """

    kind: type[Kind[Any]]
    cell: Any
    gallery: Gallery
    revisions: dict[str, list[str]] = field(default_factory=dict)
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

    def pictures(self, stimuli: StimuliChoice, data_dirs: Mapping[str, str | Path]) -> Pictures:
        return Pictures.of(self.gallery, self.items, self.cell, self.kind, stimuli, data_dirs)


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
        album.revisions.setdefault(run, []).append(str(cell.revision))
        for kept, given in ((answers, gallery.answers), (maps, gallery.maps)):
            own = {way: series.reindex(album.items) for way, series in given.items()}
            kept.setdefault(run, []).append(own)
    if album is not None:
        measured = cells.groupby("run", observed=True).size()
        album.sparse = any(len(names) < measured[run] for run, names in album.revisions.items())
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
    part: dict[str, Any] | None = None
    ways, order = list(album.gallery.answers), _in_order_of_interest(album)
    for n_ways in sorted({len(ways), min(4, len(ways)), 1}, reverse=True):
        part = _with_most_items(album, pictures, ways[:n_ways], order, most)
        if part is not None and part["shown"] >= min(_FEW_ITEMS, len(order)):
            break
    return part


def _with_most_items(
    album: _Album, pictures: Pictures, ways: Sequence[str], order: Sequence[int], most: int
) -> dict[str, Any] | None:
    sample = _part(album, pictures, ways, order[:_FEW_ITEMS])
    n = min(_MOST_ITEMS, len(order), int(0.95 * sample["shown"] * most / _size(sample)))
    while n > 0:
        part = _part(album, pictures, ways, order[:n])
        size = _size(part)
        if size <= most:
            return part
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
    codes = pd.factorize(strata, sort=True)[0]
    queues = [
        _taking_turns(members[np.argsort(-change[members], kind="stable")], _evenly(members))
        for members in (np.flatnonzero(codes == code) for code in np.unique(codes))
    ]
    return _taking_turns(*queues)


def _n_unique(frame: pd.DataFrame) -> NDArray[np.int64]:
    """How many values each row has, without missing ones."""
    codes = np.sort(pd.factorize(frame.to_numpy(object).ravel())[0].reshape(frame.shape), axis=1)
    return np.asarray(np.count_nonzero(np.diff(codes, axis=1, prepend=-1), axis=1))


def _evenly(members: NDArray[np.int64]) -> NDArray[np.int64]:
    """The members, reordered so that the first N, for any N, are spread evenly over all."""
    golden = (np.arange(len(members)) * 0.6180339887498949) % 1.0
    return members[np.argsort(golden, kind="stable")]


def _taking_turns(*queues: Iterable[Any]) -> list[int]:
    """One of each queue in turn, without repetitions."""
    turns = zip_longest(*(map(int, queue) for queue in queues))
    return list(dict.fromkeys(at for turn in turns for at in turn if at is not None))


def _part(album: _Album, pictures: Pictures, ways: Sequence[str], chosen: Sequence[int]) -> dict[str, Any]:
    gallery, items = album.gallery, album.items[list(chosen)]
    facts = {name: values.reindex(items) for name, values in gallery.facts.items()}
    facts = {name: values for name, values in facts.items() if values.notna().any()}
    answers = {
        run: [by_way[way].loc[items] if way in by_way else None for way in ways]
        for run, by_way in album.answers.items()
    }
    cues = [facts[name] for name in ("truth", "lure", "people") if name in facts]
    given = [frame for own in answers.values() for frame in own if frame is not None]
    names = _Names.of(
        gallery.answer, [*cues, *(pd.Series(frame.to_numpy(object).ravel()) for frame in given)]
    )
    places, sheet, is_small = pictures.sheet(items)
    encoders: Mapping[str, Any] = {"share": _rounded, "group": _short, "looked": _looked}
    columns = {
        name: encoders.get(name, names.positions)(facts[name]) if name in facts else None
        for name in ("truth", "lure", "people", "share", "group", "looked")
    }
    return {
        "follows": _follows(album, ways[0], items),
        "shown": len(items),
        "total": album.total,
        "why": pictures.why,
        "note": gallery.note,
        "strangers": album.strangers,
        "sparse": album.sparse,
        "answer": gallery.answer,
        "names": names.texts(pictures.classes),
        "titles": {name: gallery.titles[name] for name in ("truth", "lure", "people", "value", "group")},
        "pictures": [picture.title for picture in gallery.pictures],
        "ways": list(ways),
        "items": {
            "id": [int(item) for item in items],
            "pictures": places,
            "peopleMap": columns.pop("looked"),
            **columns,
        },
        "runs": {
            run: {
                "revisions": album.revisions[run],
                "answers": [None if frame is None else names.encoded(frame) for frame in own],
                "maps": [
                    maps_sheet(album.maps[run][way].loc[items]) if way in album.maps[run] else None
                    for way in ways
                ],
            }
            for run, own in answers.items()
        },
        "sheet": sheet,
        "pixelated": is_small,
    }


def _follows(album: _Album, way: str, items: pd.Index) -> dict[str, Any] | None:
    """Stimuli whose answers follow the course of the first run: its usual early answer first, its usual late one then.

    Returns:
        ``run``; ``to``, whether the course is towards the truth; ``items``, places of those that change over most
        cleanly, from different groups first. None without a truth, or if no share changes.
    """
    facts, answer = album.gallery.facts, album.gallery.answer
    run = next((run for run, asked in album.answers.items() if way in asked), "")
    truth = facts.get("people" if answer == "picture" else "truth")
    if answer == "value" or truth is None or not run:
        return None
    answers = album.answers[run][way].loc[items]
    cues = [cue.reindex(items) for cue in (truth, facts.get("lure")) if cue is not None]
    sides = [np.asarray(answers.apply(lambda given, cue=cue: given == cue), bool) for cue in cues]
    right = sides[0]
    wrong = sides[-1] if len(sides) > 1 else ~right
    first, last = (right[:, at].sum() / max(1, (right | wrong)[:, at].sum()) for at in (0, -1))
    towards = bool(last >= first)
    late, early = (right, wrong) if towards else (wrong, right)
    fits = [
        early[:, :place].sum(axis=1) + late[:, place:].sum(axis=1) for place in range(1, answers.shape[1])
    ]
    if not fits:
        return None
    fit = np.where(early[:, 0] & late[:, -1], np.max(fits, axis=0), 0)
    found: dict[str, Any] = {"run": run, "to": towards}
    if not fit.any():  # none follows the course: those that change most
        found["to"], fit = None, _n_unique(answers) - 1
    order = [int(at) for at in np.argsort(-fit, kind="stable") if fit[at] > 0]
    return found | {"items": order[:_FOLLOWED]} if order else None


# --- columns for JSON ---------------------------------------------------------------------------------------------


def _rounded(values: "pd.Series[Any]") -> list[float | None]:
    """Numbers with three decimals; None for what is missing."""
    numbers = values.to_numpy(np.float64, na_value=np.nan)
    return [None if not math.isfinite(number) else round(float(number), 3) for number in numbers]


def _short(values: "pd.Series[Any]") -> list[str]:
    return [str(value)[:100] for value in values]


def _looked(values: "pd.Series[Any]") -> dict[str, Any] | None:
    return maps_sheet(values.to_frame())


@dataclass(eq=False)
class _Names:
    """The classes that are answered, by their position; pictures are positions already, and values are numbers."""

    answer: Answer
    known: pd.Index

    @classmethod
    def of(cls, answer: Answer, answers: "Sequence[pd.Series[Any]]") -> "_Names":
        if answer != "class":
            return cls(answer, pd.Index([]))
        given = pd.unique(pd.concat([values.astype(object) for values in answers]).dropna())
        # Numbers of classes by value, names by the alphabet.
        return cls(answer, pd.Index(sorted(set(map(_key, given)))))

    def texts(self, classes: Sequence[str]) -> list[str]:
        """What the page calls each class."""
        numbered = dict(enumerate(classes))
        return [
            name[:100] if isinstance(name, str) else numbered.get(name, f"class {name}")
            for name in self.known
        ]

    def positions(self, values: "pd.Series[Any]") -> list[Any]:
        """Positions, or values; None for what is missing."""
        if self.answer == "value":
            return _rounded(values)
        if self.answer == "picture":
            return [None if pd.isna(value) else int(value) for value in values]
        keys = pd.Index([None if pd.isna(value) else _key(value) for value in values], dtype=object)
        return [None if place < 0 else int(place) for place in self.known.get_indexer(keys)]

    def encoded(self, frame: pd.DataFrame) -> Any:
        """Answers, stimulus by stimulus and revision by revision: values as a list, positions as base64.

        A position takes ``bytes`` bytes (little-endian); the largest number is a missing answer, the one below a tie.
        """
        if self.answer == "value":
            return _rounded(pd.Series(frame.to_numpy(np.float64, na_value=np.nan).ravel()))
        width = 1 if len(self.known) < 250 else 2
        missing = 256**width - 1
        signs = {None: missing, -1: missing - 1}  # -1 is a tie
        revisions = [self.positions(frame.iloc[:, at]) for at in range(frame.shape[1])]
        codes = np.array([[signs.get(place, place) for place in places] for places in revisions])
        data = codes.T.astype(f"<u{width}").tobytes()
        return {"bytes": width, "data": base64.b64encode(data).decode("ascii")}


def _key(value: Any) -> str | int:
    return value if isinstance(value, str) else int(value)
