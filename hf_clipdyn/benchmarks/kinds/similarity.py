"""Perceptual similarity: does the distance choose as people do, and does it see what they see?"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.base import (
    Common,
    Influence,
    Kind,
    KindSettings,
    check_columns,
    decode,
    digest,
    number,
)
from hf_clipdyn.benchmarks.pair_tables import (
    DISTANCE_COLUMNS,
    DISTANCES,
    DROPPED_DIMENSIONS,
    PROBES,
    by_place,
    by_subset,
    dropped_dimensions,
    pair_trials,
)
from hf_clipdyn.benchmarks.pixel_baselines import cached_per_row, pixel_distance
from hf_clipdyn.benchmarks.readout import Readout, Stimuli
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.metrics.shared_images import image_clusters
from hf_clipdyn.metrics.two_afc import TWO_AFC_VALUES, two_afc, two_afc_rows
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import Axis, KindTerms, Overview, Reference, Term

__all__ = ["Similarity"]

_MANY_VOTES = 6
_IMAGES = ("reference", "image_0", "image_1")
_JOINS = ("metric", "subset", "level")


class Similarity(Kind[KindSettings]):
    """Two-alternative forced choice, per sub-set and pooled, with the human reference and the ceiling.

    If rows rest on different numbers of judgements, those with six or more (NIGHTS' benchmark) are scored by
    themselves too: their level is 6. The baseline ``pixels`` is the choice of the Euclidean distance between the
    pixels that the model sees.

    Trials: item, reference, image_0 and image_1 (numbers of the images shown, by their pixels; one number for one
    image, whatever its column), judgement (share that preferred image_1), votes, subset, probe (projection, hidden,
    or the baseline), layer, distance, value_0 and value_1 (of the reference to each candidate), dropped_dimensions.
    """

    name = "similarity"
    schemas = ("triplet",)
    terms = KindTerms(
        title="Perceptual similarity",
        rank=70,
        terms={
            "two_afc": Term(
                title="2AFC agreement",
                meaning="How often the distance chooses the candidate that people chose, weighted by their votes.",
                limits=(0.0, 1.0),
                better="high",
                perception="middle",
                neutral=0.5,
                neutral_title="even",
                overview=Overview(rank=80),
            ),
            "dropped_dimensions": DROPPED_DIMENSIONS,
        },
        level=Axis(title="least number of judgements"),
        variants=DISTANCES,
        probes=PROBES,
        references=(
            Reference(role="human", name="observers", title="humans", joins=_JOINS),
            Reference(role="ceiling", title="ceiling", joins=_JOINS),
            Reference(role="baseline", name="pixels", title="pixels", joins=_JOINS),
        ),
    )
    trial_columns: ClassVar = {
        "item": "int64",
        **dict.fromkeys(_IMAGES, "int64"),
        "judgement": "float64",
        "votes": "int64",
        "subset": "str",
        **DISTANCE_COLUMNS,
        "value_0": "float64",
        "value_1": "float64",
    }
    needs_text = False
    reads_layers = True
    clusters = _IMAGES
    clusters_alike = True

    def __init__(self, source: Source, image_processor: Any, settings: KindSettings, common: Common) -> None:
        self._show_progress = common.show_progress
        judged = source.dataset.select_columns(["judgement", "votes", "subset"]).to_pandas()
        pixels = {name: decode(source.dataset, image_processor, common, name) for name in _IMAGES}
        broken = np.any([one.broken for one in pixels.values()], axis=0)
        rows = np.flatnonzero(~broken)
        reference, *candidates = (one.array for one in pixels.values())
        # One list of pairs, so that the normaliser of the distance is pooled over both candidates.
        twice = np.concatenate([rows, rows])
        self._references = Stimuli(reference, twice)
        self._candidates = Stimuli(_Stacked(*candidates), np.concatenate([rows, rows + len(broken)]))
        n = len(rows)
        keys = (self._references.keys[:n], self._candidates.keys[:n], self._candidates.keys[n:])
        images = pd.factorize(np.concatenate([np.array(one, dtype=object) for one in keys]))[0]
        self._judged = (
            judged.iloc[rows]
            .reset_index(drop=True)
            .assign(item=rows, **dict(zip(_IMAGES, images.reshape(3, n), strict=True)))
        )
        fingerprints = [one.fingerprint for one in pixels.values()]
        self._pixel_distances = cached_per_row(
            "distances of pixels",
            fingerprints,
            rows,
            lambda row: tuple(pixel_distance(reference[row], candidate[row]) for candidate in candidates),
            common,
        )
        self.left_out = int(broken.sum())
        self.facts = source.incomplete(n)
        self.fingerprint = digest(self.name, fingerprints, judged.to_dict("list"))

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Distances of the reference to both candidates, at every place."""
        from hf_clipdyn.benchmarks.pairs import pair_distances

        distances = pair_distances(
            readout, self._references, self._candidates, show_progress=self._show_progress
        )
        n = len(self._judged)
        is_first = distances["pair"] < n
        model = distances[is_first].reset_index(drop=True).rename(columns={"value": "value_0"})
        model["value_1"] = distances.loc[~is_first, "value"].to_numpy()
        pixels = pd.DataFrame(self._pixel_distances, columns=["value_0", "value_1"])
        pixels = pixels.assign(pair=np.arange(n), probe="pixels", distance="euclidean")
        return pair_trials(self._judged, [model, pixels], self.trial_columns)

    @staticmethod
    def score(trials: pd.DataFrame, common: Common) -> list[Number]:
        """2AFC of every place, pooled and per sub-set; people and the ceiling once."""
        found = [_choice(part, common) for part in _parts(trials)]
        for columns, rows in by_place(trials):
            found += dropped_dimensions(rows, columns)
        return found

    @staticmethod
    def influences(trials: pd.DataFrame) -> Iterator[Influence]:
        """All numbers are means over the triplets."""
        for part in _parts(trials):
            rows = part.rows
            scores = two_afc_rows(
                *(rows[name].to_numpy(np.float64) for name in ("value_0", "value_1", "judgement"))
            )[:, TWO_AFC_VALUES.index(part.key)]
            values = pd.Series((scores - scores.mean()) / len(scores), index=rows["item"])
            yield Influence(metric="two_afc", values=values, **part.columns)


class _Stacked:
    """Two memory maps of equal shape as one array of rows, without a copy."""

    def __init__(self, first: np.ndarray, second: np.ndarray) -> None:
        self._parts = (first, second)

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __getitem__(self, rows: Any) -> np.ndarray:
        split = len(self._parts[0])
        if np.ndim(rows) == 0:
            return np.asarray(self._parts[int(rows) // split][int(rows) % split])
        return np.stack([self[row] for row in rows])


@dataclass(frozen=True)
class _Part:
    """The trials behind one number: its key in the result of `two_afc`, and its columns in the table."""

    key: str
    columns: dict[str, Any]
    rows: pd.DataFrame


def _parts(trials: pd.DataFrame) -> Iterator[_Part]:
    check_columns(Similarity, trials, _IMAGES)
    for columns, rows in by_place(trials):
        for selected, part in _selections(rows):
            yield _Part("two_afc", columns | selected, part)
    for selected, part in _selections(trials.drop_duplicates("item")):
        for key, reference in (("human", "observers"), ("ceiling", "")):
            yield _Part(key, {"probe": "", "role": key, "reference": reference, **selected}, part)


def _selections(rows: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    certain = rows["votes"] >= _MANY_VOTES
    levels: dict[float | None, pd.DataFrame] = {None: rows}
    if 0 < certain.sum() < len(rows):
        levels[float(_MANY_VOTES)] = rows[certain]
    for level, part in levels.items():
        for subset, inside in by_subset(part, rows):
            yield {"level": level, "subset": subset}, inside


def _choice(part: _Part, common: Common) -> Number:
    rows = part.rows
    images = rows[list(_IMAGES)].to_numpy(np.int64)
    result = two_afc(rows["value_0"], rows["value_1"], rows["judgement"], images=images, **common.resampling)
    n_clusters = image_clusters(images)[1]
    return number(result, part.key, metric="two_afc", n_clusters=n_clusters, **part.columns)
