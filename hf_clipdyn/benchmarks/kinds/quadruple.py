"""Differences of differences: which of two pairs of images of one photograph differs more?"""

from collections.abc import Iterator
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import (
    NO_INTERVAL,
    Common,
    KindSettings,
    decode,
    digest,
    mean_by_item,
    number,
)
from hf_clipdyn.benchmarks.pair_tables import DISTANCE_COLUMNS, DISTANCES, PROBES, DistanceKind, by_place
from hf_clipdyn.benchmarks.pairs import pair_distances
from hf_clipdyn.benchmarks.pixel_baselines import cached_per_row, pixel_distance
from hf_clipdyn.benchmarks.readout import Readout, Stimuli
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.metrics.bootstrap import Resampling, mean_intervals
from hf_clipdyn.metrics.two_afc import two_afc, two_afc_rows
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import KindTerms, Overview, Reference, Term

__all__ = ["Quadruple"]

_ANSWERED = {"pair_0": "Int64", "pair_1": "Int64", "answers": "Int64", "second_larger": "Int64"}
_PEOPLE = "people"
_SCALE, _LEVEL = "published_scale", "level"
_JOINS = ("metric", "condition")
Floats = NDArray[np.float64]


class Quadruple(DistanceKind[KindSettings]):
    """The share of the answers that named the pair with the larger model distance, by distortion and pooled.

    A tie scores one half. For comparison there are four references: the difference of the levels, the distance of the
    pixels, two people, and the published scale, which was fitted to the same answers.

    Trials: item, reference_id, distortion, level_0, level_1 (of a pair of images). A model's rows also have the probe
    and the value of a distance between these two images. Rows whose probe is ``people`` also have the levels of a
    second pair (pair_0, pair_1), the number of answers, and the number of answers for the second pair.
    """

    name = "quadruple"
    schemas = ("quadruple",)
    terms = KindTerms(
        title="Differences of differences",
        rank=76,
        terms={
            "agreement": Term(
                title="agreement with people",
                meaning="Share of people's answers that named the pair with the larger model distance.",
                limits=(0.0, 1.0),
                better="high",
                perception="low",
                neutral=0.5,
                neutral_title="even",
                overview=Overview(rank=82),
            )
        },
        variants=DISTANCES,
        probes=PROBES,
        references=(
            Reference(role="human", title="two people", joins=_JOINS),
            Reference(role="baseline", name="pixels", title="pixels", joins=_JOINS),
            Reference(role="baseline", name=_LEVEL, title="difference of the levels", joins=_JOINS),
            Reference(role="upper_bound", name=_SCALE, title="published scale", joins=_JOINS),
        ),
    )
    trial_columns: ClassVar = {
        "item": "int64",
        "reference_id": "str",
        "distortion": "str",
        "level_0": "int64",
        "level_1": "int64",
        **_ANSWERED,
        **DISTANCE_COLUMNS,
        "value": "float64",
    }
    clusters = ("reference_id",)

    def __init__(self, source: Source, image_processor: Any, settings: KindSettings, common: Common) -> None:
        pixels = decode(source.dataset, image_processor, common)
        self._show_progress = common.show_progress
        facts = source.dataset.remove_columns("image").to_pandas()
        shown = facts[~pixels.broken]
        self._pairs = _pairs(shown)
        first, second = (self._pairs[name].to_numpy(np.int64) for name in ("row_0", "row_1"))
        self._stimuli = Stimuli(pixels.array, first), Stimuli(pixels.array, second)
        self._answers = _answers(shown, self._pairs)
        self.rows = np.concatenate([first, self._answers.index.to_numpy(np.int64)])
        self._pixels = cached_per_row(
            "distances of pixels",
            [pixels.fingerprint, first.tolist(), second.tolist()],
            np.arange(len(first)),
            lambda pair: (pixel_distance(pixels.array[first[pair]], pixels.array[second[pair]]),),
            common,
        )[:, 0]
        self.left_out = int(pixels.broken.sum())
        self.facts = source.incomplete(len(shown))
        self.fingerprint = digest(self.name, pixels.fingerprint, facts.to_dict("list"))

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Distances of all pairs of levels of a photograph, and what people answered."""
        model = pair_distances(readout, *self._stimuli, show_progress=self._show_progress)
        pairs = self._pairs.assign(dropped_dimensions=0)
        references: dict[str, Floats] = {
            "pixels": self._pixels,
            _LEVEL: pairs["apart"].to_numpy(np.float64),
            _SCALE: pairs["scale"].to_numpy(np.float64),
        }
        blocks = [pairs.iloc[model["pair"]].reset_index(drop=True).assign(**model.drop(columns="pair"))]
        blocks += [
            pairs.assign(probe=name, distance="euclidean" if name == "pixels" else "", value=values)
            for name, values in references.items()
        ]
        blocks.append(self._answers.assign(probe=_PEOPLE, distance="", dropped_dimensions=0))
        return pd.concat(
            [block.reindex(columns=list(self.trial_columns)).astype(self.trial_columns) for block in blocks],
            ignore_index=True,
        )

    @staticmethod
    def score(trials: pd.DataFrame, common: Common) -> list[Number]:
        """Agreement at every place, pooled and by distortion, with intervals over the photographs."""
        answered = trials[trials["probe"] == _PEOPLE]
        numbers = [
            one for columns, part in _by_distortion(answered) for one in _people(part, columns, common)
        ]
        for columns, rows in by_place(trials[trials["probe"] != _PEOPLE]):
            if columns.get("reference") == _SCALE:
                columns |= {"role": "upper_bound"}
            values = rows.set_index(["reference_id", "distortion", "level_0", "level_1"])["value"]
            if values.isna().all():
                continue
            for condition, part in _by_distortion(answered):
                first, second = (
                    _values_of(values, part, names)
                    for names in (("level_0", "level_1"), ("pair_0", "pair_1"))
                )
                # `two_afc` takes the smaller of two distances.
                answers = -first, -second, _shares(part)
                result = two_afc(*answers, groups=part["reference_id"].to_list(), **common.resampling)
                named = columns | condition | {"n_clusters": part["reference_id"].nunique()}
                named["influence"] = mean_by_item(two_afc_rows(*answers)[:, 0], part["item"])
                numbers.append(number(result, "two_afc", metric="agreement", **named))
        return numbers


def _pairs(shown: pd.DataFrame) -> pd.DataFrame:
    """All pairs of levels of a photograph and a distortion: their rows, and the distances that need no model."""
    rows = []
    for (reference, distortion), ladder in shown.groupby(["reference_id", "distortion"], sort=False):
        ladder = ladder.sort_values("level")
        for (row_0, one), (row_1, other) in combinations(ladder.iterrows(), 2):
            apart = other["level"] - one["level"]
            scale = abs(other["scale"] - one["scale"])
            rows.append((reference, distortion, one["level"], other["level"], row_0, row_1, apart, scale))
    columns = ["reference_id", "distortion", "level_0", "level_1", "row_0", "row_1", "apart", "scale"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(item=np.arange(len(table)))


def _answers(shown: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """One row per quadruple whose images are all shown; items go on after those of the pairs."""
    listed = shown.explode("quadruples").dropna(subset="quadruples")
    said = pd.DataFrame(listed["quadruples"].tolist(), index=listed.index)
    table = listed[["reference_id", "distortion"]].assign(
        level_0=listed["level"], level_1=said["other"], **{name: said[name] for name in _ANSWERED}
    )
    known = pd.MultiIndex.from_frame(pairs[["reference_id", "distortion", "level_0", "level_1"]])
    for names in (["level_0", "level_1"], ["pair_0", "pair_1"]):
        table = table[pd.MultiIndex.from_frame(table[["reference_id", "distortion", *names]]).isin(known)]
    return table.assign(item=len(pairs) + np.arange(len(table)))


def _values_of(values: pd.Series, part: pd.DataFrame, names: tuple[str, str]) -> Floats:
    wanted = part[["reference_id", "distortion", *names]].astype(dict.fromkeys(names, "int64"))
    return values.reindex(pd.MultiIndex.from_frame(wanted)).to_numpy(np.float64)


def _shares(part: pd.DataFrame) -> Floats:
    shares: Floats = (part["second_larger"] / part["answers"]).to_numpy(np.float64)
    return shares


def _by_distortion(answered: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    yield {"condition": ""}, answered
    for name, part in answered.groupby("distortion", sort=False):
        yield {"condition": str(name)}, part


def _people(part: pd.DataFrame, columns: dict[str, Any], common: Common) -> Iterator[Number]:
    """How often one person agrees with another."""
    twice = part[part["answers"] > 1]
    if twice.empty:
        return
    answers, second = (twice[name].to_numpy(np.float64) for name in ("answers", "second_larger"))
    first = answers - second
    agreement = (second * (second - 1) + first * (first - 1)) / (answers * (answers - 1))
    groups, names = pd.factorize(twice["reference_id"])
    interval = NO_INTERVAL
    if common.n_resamples:
        resampling = Resampling(**common.resampling)
        interval = mean_intervals(agreement[:, None], groups.astype(np.int64), ["share"], resampling)[
            0
        ].tolist()
    yield Number(
        metric="agreement",
        role="human",
        reference="observers",
        probe="",
        value=float(agreement.mean()),
        ci_low=interval[0],
        ci_high=interval[1],
        n=len(twice),
        n_clusters=len(names),
        **columns,
    )
