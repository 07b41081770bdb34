"""The stimuli of a report: what each revision answered to them, with small pictures where the licence allows it.

Everything comes from the kept trials, which the kinds turn into galleries (`hf_clipdyn.report.gallery`), without a
model. The pictures come from the data sets on this machine, and nothing is downloaded for them.
"""

import base64
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import datasets
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from hf_clipdyn.benchmarks.kind import Kind
from hf_clipdyn.benchmarks.sources import local_source
from hf_clipdyn.data.load import find_locally
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.registry import builder_class
from hf_clipdyn.errors import ClipDynError, ConfigError, UnknownNameError, shown
from hf_clipdyn.report.courses import evenly
from hf_clipdyn.report.gallery import Gallery
from hf_clipdyn.report.page.sheets import Sheet, maps_sheet, thumbnail
from hf_clipdyn.report.page.views import gallery_cells, label_names, read_gallery, spread_cells
from hf_clipdyn.report.study import Study

StimuliChoice = Literal["none", "thumbnails"]
"""What a report shows of the stimuli themselves; the answers to them are always shown."""

MOST_BYTES = 4_000_000
"""What all stimuli with their answers may take in the page."""

_MOST_OF_ONE = 900_000  # bytes of one benchmark
_MOST_ITEMS = 240
_FEW_ITEMS = 24  # rather than fewer, other ways of asking are left out
_FOLLOWED = 6  # stimuli of the first screen
_CANDIDATES = 4_000  # stimuli among which those that change are sought

Rows = pd.Index


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
    albums = [
        album for kind, cells in gallery_cells(study) if (album := _album(study, kind, cells)) is not None
    ]
    parts: dict[str, Any] = {}
    left = most_bytes - 2
    for at, album in enumerate(albums):
        share = min(_MOST_OF_ONE, left // (len(albums) - at))
        part = _fitting(album, _Shelf.of(album, stimuli, data_dirs or {}), share - len(album.name) - 8)
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
        gallery: of the first revision; what does not depend on the revision is taken from here.
        items: those among the ``total`` stimuli that are looked at.
        answers: by run and way, (items, revisions).
        maps: by run and way; bytes or None.
        strangers: runs that were shown other stimuli.
        sparse: whether a run has more revisions than are looked at.
    """

    name: str
    dataset: str
    schemas: tuple[str, ...]
    split: str
    gallery: Gallery
    total: int
    items: Rows
    answers: dict[str, dict[str, pd.DataFrame]] = field(default_factory=dict)
    maps: dict[str, dict[str, pd.DataFrame]] = field(default_factory=dict)
    revisions: dict[str, list[str]] = field(default_factory=dict)
    strangers: list[str] = field(default_factory=list)
    sparse: bool = False

    @property
    def ways(self) -> list[str]:
        return list(self.gallery.answers)


def _album(study: Study, kind: type[Kind[Any]], cells: pd.DataFrame) -> _Album | None:
    """All that the trials of one benchmark say; None without trials."""
    album: _Album | None = None
    answered: dict[str, list[tuple[str, Gallery]]] = {}
    for cell in spread_cells(cells).itertuples(index=False):
        gallery = read_gallery(study, kind, cell)
        if gallery is None:
            continue
        if album is None:
            album = _first_of(kind, cell, gallery)
            identity = _identity(album.gallery, album.items)
        if cell.run in album.strangers:
            continue
        if not _identity(gallery, album.items).equals(identity):
            album.strangers.append(str(cell.run))
            continue
        answered.setdefault(str(cell.run), []).append((str(cell.revision), _reduced(gallery, album.items)))
    if album is None:
        return None
    measured = cells.groupby("run", observed=True).size()
    album.sparse = any(len(galleries) < measured[run] for run, galleries in answered.items())
    for run, galleries in answered.items():
        album.revisions[run] = [revision for revision, _ in galleries]
        album.answers[run] = _side_by_side(album.ways, [answers.answers for _, answers in galleries])
        album.maps[run] = _side_by_side(album.gallery.maps, [answers.maps for _, answers in galleries])
    return album


def _side_by_side(
    ways: Iterable[str], revisions: Sequence[Mapping[str, pd.Series]]
) -> dict[str, pd.DataFrame]:
    """For each way that all revisions were asked in, a column for each of them."""
    return {
        way: pd.concat([columns[way] for columns in revisions], axis=1)
        for way in ways
        if all(way in columns for columns in revisions)
    }


def _first_of(kind: type[Kind[Any]], cell: Any, gallery: Gallery) -> _Album:
    first = next(iter(gallery.answers.values()))
    items = first.index
    mapped = [index for maps in gallery.maps.values() if len(index := maps.dropna().index)]
    if mapped:
        items = mapped[0]
    order = items.sort_values()
    chosen = order[evenly(len(order), _CANDIDATES)]
    name, dataset, split = f"{cell.kind}/{cell.dataset}", str(cell.dataset), str(cell.split)
    return _Album(name, dataset, kind.schemas, split, gallery, len(first), chosen)


def _identity(gallery: Gallery, items: Rows) -> pd.DataFrame:
    """Columns by which the stimuli of two revisions are known to be the same."""
    columns = {
        f"row {at}": picture.rows for at, picture in enumerate(gallery.pictures) if picture.rows is not None
    }
    own = pd.DataFrame(columns).reindex(items) if columns else pd.DataFrame(index=items)
    return own if gallery.check is None else own.join(gallery.check.reindex(items))


def _reduced(gallery: Gallery, items: Rows) -> Gallery:
    """Only the answers and maps of these items."""
    return Gallery(
        pictures=(),
        answer=gallery.answer,
        answers={way: answers.reindex(items) for way, answers in gallery.answers.items()},
        maps={way: answers.reindex(items) for way, answers in gallery.maps.items()},
    )


# --- where the pictures come from ----------------------------------------------------------------------------


@dataclass(eq=False)
class _Shelf:
    """The pictures of an album's stimuli, or ``why`` there are none, and the names of its classes by their number.

    ``thumbnails`` are by file; None for an image that cannot be decoded.
    """

    dataset: Any
    why: str
    classes: Sequence[str]
    gallery: Gallery
    thumbnails: dict[str, Image.Image | None] = field(default_factory=dict)
    _columns: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, album: _Album, stimuli: StimuliChoice, data_dirs: Mapping[str, str | Path]) -> "_Shelf":
        """Open the data set, if the pictures may be shown or classes have numbers only."""
        try:
            builder = builder_class(album.dataset)
        except UnknownNameError:
            return cls(None, f"The data set {album.dataset} is not known here.", (), album.gallery)
        metadata, classes = builder.metadata, tuple(getattr(builder, "classes", ()))
        why = forbidden(metadata, stimuli)
        if why and (classes or not _numbered(album.gallery)):
            return cls(None, why, classes, album.gallery)
        given = data_dirs.get(album.dataset)
        folder = find_locally(album.dataset) if given is None else Path(given)
        try:
            source = local_source(album.dataset, album.schemas, folder)
        except ClipDynError:  # its message names a path of this machine, which is not for readers of the page
            broken = f"The images of {metadata.title} on this machine cannot be read."
            return cls(None, why or broken, classes, album.gallery)
        if source is None:
            absent = (
                f"The images of {metadata.title} are not on this machine: name their folder with --data-dir "
                f"{album.dataset}=FOLDER, or set CLIPDYN_DATA."
            )
            return cls(None, why or absent, classes, album.gallery)
        if not why and (source.split != album.split or not _fits(source.dataset, album)):
            why = f"The images of {metadata.title} on this machine are not those that were measured."
        return cls(None if why else source.dataset, why, label_names(source) or classes, album.gallery)

    def row(self, at: int, item: int) -> int:
        """The row of the data set with picture ``at`` of a stimulus."""
        rows = self.gallery.pictures[at].rows
        return item if rows is None else int(rows[item])

    def _column(self, name: str) -> Any:
        """One column of files: reading a row of it reads nothing else, and decodes nothing."""
        if name not in self._columns:
            files = datasets.Image(decode=False)
            self._columns[name] = self.dataset.select_columns([name]).cast_column(name, files)
        return self._columns[name]

    def thumbnail(self, at: int, item: int) -> str | None:
        """Key of a picture in `thumbnails`, the same for one file in any row and column; None if there is none."""
        if self.dataset is None:
            return None
        column = self.gallery.pictures[at].column
        cell = self._column(column)[self.row(at, item)][column]
        key = _file_key(cell)
        if key not in self.thumbnails:
            self.thumbnails[key] = thumbnail(cell)
        return key if self.thumbnails[key] is not None else None


def _numbered(gallery: Gallery) -> bool:
    truth = gallery.truth
    return gallery.answer == "class" and truth is not None and pd.api.types.is_numeric_dtype(truth)


def forbidden(facts: DatasetMetadata, stimuli: StimuliChoice) -> str:
    """Why the images of a data set are not shown; empty if they are."""
    if stimuli == "none":
        return "The report was written without pictures (--stimuli none)."
    if not facts.may_redistribute:
        return f"The licence of {facts.title} ({facts.licence}) does not allow its images to be passed on."
    return ""


def _fits(dataset: Any, album: _Album) -> bool:
    """Whether a data set has what was shown in the rows of the items."""
    gallery = album.gallery
    for at, picture in enumerate(gallery.pictures):
        rows = album.items if picture.rows is None else picture.rows.reindex(album.items)
        numbers = np.asarray(rows, np.int64)
        if picture.column not in dataset.column_names or numbers.min() < 0 or numbers.max() >= len(dataset):
            return False
        if at == 0 and gallery.check is not None:
            names = list(gallery.check.columns)
            if not set(names) <= set(dataset.column_names):
                return False
            there = dataset.select_columns(names).select(numbers).to_pandas()
            then = gallery.check.reindex(album.items)
            if not all(_equal(there[name], then[name]) for name in names):
                return False
    return True


def _equal(there: pd.Series, then: pd.Series) -> bool:
    if pd.api.types.is_float_dtype(there):
        return bool(np.allclose(there.to_numpy(float), then.to_numpy(float), equal_nan=True))
    return there.astype(str).to_list() == then.astype(str).to_list()


def _file_key(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return ""
    return str(cell["path"]) if cell["bytes"] is None else hashlib.sha256(cell["bytes"]).hexdigest()


# --- the part of one benchmark -------------------------------------------------------------------------------


def _fitting(album: _Album, shelf: _Shelf, most: int) -> dict[str, Any] | None:
    """The part of a benchmark with as many stimuli as fit into ``most`` bytes; None if not even one does.

    If many ways of asking leave room for few stimuli, only the first ways are kept.
    """
    part: dict[str, Any] | None = None
    for n_ways in sorted({len(album.ways), min(4, len(album.ways)), 1}, reverse=True):
        part = _with_most_items(album, shelf, album.ways[:n_ways], most)
        if part is not None and part["shown"] >= min(_FEW_ITEMS, len(album.items)):
            break
    return part


def _with_most_items(album: _Album, shelf: _Shelf, ways: Sequence[str], most: int) -> dict[str, Any] | None:
    order = _in_order_of_interest(album)
    sample = _part(album, shelf, ways, order[:_FEW_ITEMS])
    n = min(_MOST_ITEMS, len(order), int(0.95 * sample["shown"] * most / _size(sample)))
    while n > 0:
        part = _part(album, shelf, ways, order[:n])
        size = _size(part)
        if size <= most:
            return part
        n = min(n - 1, int(0.97 * n * most / size))
    return None


def _in_order_of_interest(album: _Album) -> list[int]:
    """Positions of the items: from every class in turn, of each class one that changes, then one drawn evenly."""
    gallery = album.gallery
    way = album.ways[0]
    frames = [by_way[way] for by_way in album.answers.values() if way in by_way]
    if not frames:
        change = np.zeros(len(album.items))
    elif gallery.answer == "value":
        spans = [frame.max(axis=1) - frame.min(axis=1) for frame in frames]
        change = np.nan_to_num(np.max([span.to_numpy(float) for span in spans], axis=0), nan=0.0)
    else:
        change = np.max(list(map(_n_unique, frames)), axis=0) - 1.0
    strata = gallery.groups if gallery.groups is not None else gallery.truth
    codes = (
        np.zeros(len(album.items), np.int64)
        if strata is None
        else pd.factorize(strata.reindex(album.items), sort=True)[0]
    )
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
    lists = [list(map(int, queue)) for queue in queues]
    longest = max(map(len, lists))
    return list(dict.fromkeys(queue_[at] for at in range(longest) for queue_ in lists if at < len(queue_)))


def _part(album: _Album, shelf: _Shelf, ways: Sequence[str], chosen: Sequence[int]) -> dict[str, Any]:
    gallery, items = album.gallery, album.items[list(chosen)]
    frames = [by_way[way].loc[items] for by_way in album.answers.values() for way in ways if way in by_way]
    names = _Names.of(gallery, items, frames)
    sheet = Sheet(shelf.thumbnails)
    places = [
        [sheet.place(shelf.thumbnail(at, int(item))) for at in range(len(gallery.pictures))] for item in items
    ]

    def column(values: pd.Series | None, encode: Callable[[pd.Series], list[Any]]) -> list[Any] | None:
        return None if values is None or values.reindex(items).isna().all() else encode(values.reindex(items))

    looked = gallery.people_map
    columns = {
        "id": [int(item) for item in items],
        "pictures": places,
        "truth": column(gallery.truth, names.positions),
        "lure": column(gallery.lure, names.positions),
        "people": column(gallery.people, names.positions),
        "share": column(gallery.people_share, _rounded),
        "group": column(gallery.groups, lambda values: [str(value)[:100] for value in values]),
        "peopleMap": None if looked is None else maps_sheet(looked.reindex(items).to_frame()),
    }
    runs = {
        run: {
            "revisions": album.revisions[run],
            "answers": [names.encoded(by_way[way].loc[items]) if way in by_way else None for way in ways],
            "maps": [maps_sheet(maps[way].loc[items]) if way in maps else None for way in ways],
        }
        for run, by_way, maps in ((run, by_way, album.maps[run]) for run, by_way in album.answers.items())
    }
    return {
        "follows": _follows(album, ways[0], items),
        "shown": len(items),
        "total": album.total,
        "why": shelf.why,
        "note": gallery.note,
        "strangers": album.strangers,
        "sparse": album.sparse,
        "answer": gallery.answer,
        "names": names.texts(shelf.classes),
        "titles": {
            "truth": gallery.truth_title,
            "lure": gallery.lure_title,
            "people": gallery.people_title,
            "value": gallery.value_title,
            "group": gallery.group_title,
        },
        "pictures": [picture.title for picture in gallery.pictures],
        "ways": list(ways),
        "items": columns,
        "runs": runs,
        "sheet": sheet.packed(),
        "pixelated": sheet.is_small,
    }


def _follows(album: _Album, way: str, items: Rows) -> dict[str, Any] | None:
    """Stimuli whose answers follow the course of the first run: its usual early answer first, its usual late one then.

    Returns:
        ``run``; ``to``, whether the course is towards the truth; ``items``, places of those that change over most
        cleanly, from different groups first. None without a truth, or if no share changes.
    """
    gallery, run = album.gallery, next((run for run, asked in album.answers.items() if way in asked), "")
    truth = gallery.people if gallery.answer == "picture" else gallery.truth
    if gallery.answer == "value" or truth is None or not run:
        return None
    answers = album.answers[run][way].loc[items]
    cues = [cue.reindex(items) for cue in (truth, gallery.lure) if cue is not None]
    sides = [np.asarray(answers.apply(lambda given, cue=cue: given == cue), bool) for cue in cues]
    right = sides[0]
    wrong = sides[-1] if len(sides) > 1 else ~right
    first, last = (right[:, at].sum() / max(1, (right | wrong)[:, at].sum()) for at in (0, -1))
    towards = bool(last >= first)
    late, early = (right, wrong) if towards else (wrong, right)
    n = right.shape[1]
    fits = [early[:, :place].sum(axis=1) + late[:, place:].sum(axis=1) for place in range(1, n)]
    if not fits:
        return None
    fit = np.where(early[:, 0] & late[:, -1], np.max(fits, axis=0), 0)
    found: dict[str, Any] = {"run": run, "to": towards}
    if not fit.any():  # none follows the course: those that change most
        found["to"], fit = None, _n_unique(answers) - 1
    order = [int(at) for at in np.argsort(-fit, kind="stable") if fit[at] > 0]
    return found | {"items": order[:_FOLLOWED]} if order else None


def _rounded(values: pd.Series) -> list[float | None]:
    """Numbers with three decimals; None for what is missing."""
    numbers = values.to_numpy(np.float64, na_value=np.nan)
    return [None if not math.isfinite(number) else round(float(number), 3) for number in numbers]


@dataclass(eq=False)
class _Names:
    """The classes that are answered, by their position; pictures are positions already, and values are numbers."""

    answer: str
    known: Rows

    @classmethod
    def of(cls, gallery: Gallery, items: Rows, frames: Sequence[pd.DataFrame]) -> "_Names":
        if gallery.answer != "class":
            return cls(gallery.answer, pd.Index([]))
        known = (gallery.truth, gallery.lure, gallery.people)
        columns = [values.reindex(items) for values in known if values is not None]
        columns += [frame.iloc[:, at] for frame in frames for at in range(frame.shape[1])]
        answers = pd.unique(pd.concat([values.astype(object) for values in columns]).dropna())
        # Numbers of classes by value, names by the alphabet.
        return cls("class", pd.Index(sorted(set(map(_key, answers)))))

    def texts(self, classes: Sequence[str]) -> list[str]:
        """What the page calls each class."""
        return [
            name[:100]
            if isinstance(name, str)
            else classes[name]
            if 0 <= name < len(classes)
            else f"class {name}"
            for name in self.known
        ]

    def positions(self, values: pd.Series) -> list[Any]:
        """Positions, or values; None for what is missing."""
        if self.answer == "value":
            return _rounded(values)
        if self.answer == "picture":
            return [None if pd.isna(value) else int(value) for value in values]
        keys = pd.Index([None if pd.isna(value) else _key(value) for value in values], dtype=object)
        places = self.known.get_indexer(keys)
        return [None if place < 0 else int(place) for place in places]

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
        codes = np.array(
            [[signs.get(position, position) for position in positions] for positions in revisions]
        )
        data = codes.T.astype(f"<u{width}").tobytes()
        return {"bytes": width, "data": base64.b64encode(data).decode("ascii")}


def _key(value: Any) -> str | int:
    return value if isinstance(value, str) else int(value)
