"""Low-level psychophysics: which contrasts look equally strong to a model, and which to people?

The stimuli are gratings that are drawn at the model's own input size, without random numbers. For every condition the
contrast is sought at which the distance to the stimulus without the grating reaches a criterion. These contrasts are
compared with those that people need, in log units (`hf_clipdyn.benchmarks.grating_tests`).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import Common, Kind, KindSettings, digest
from hf_clipdyn.benchmarks.gallery import CurvesView, ResponseCurve
from hf_clipdyn.benchmarks.grating_tests import TESTS, fitting_items, grating_items, observers
from hf_clipdyn.benchmarks.gratings import Drawing, Field, distinct
from hf_clipdyn.benchmarks.pair_tables import (
    DISTANCE_COLUMNS,
    DISTANCES,
    PROBES,
    by_place,
    pair_trials,
)
from hf_clipdyn.benchmarks.pairs import pair_distances
from hf_clipdyn.benchmarks.pixel_baselines import cached_per_row
from hf_clipdyn.benchmarks.readout import Readout, Stimuli
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.data.pixels import draw_pixels
from hf_clipdyn.metrics.bootstrap import student_interval
from hf_clipdyn.metrics.influence import left_out_influence
from hf_clipdyn.metrics.psychophysics import (
    FEWEST_CONDITIONS,
    FLAT_SD,
    agreement,
    flat_log_rmse,
    iso_response_contrast,
    log_slope,
)
from hf_clipdyn.preprocess import input_size
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import Axis, Condition, KindTerms, Overview, Reference, Term

_DRAWING = 1  # to be raised if the same items are drawn otherwise
_SLOPE_FROM = 0.019  # contrast of a mask
_CURVE = "cosine"  # the distance whose contrasts are reported one by one
_PIXELS = "rmse"
_ORDER = ["is_criterion", "item", "contrast", "exemplar"]
_DRAWN_FROM = (*_ORDER, "test", "level", "criterion", "human", "probe", "layer", "distance", "value")
_FREQUENCY = Axis(title="spatial frequency", unit="cycles/degree", log=True)
Floats = NDArray[np.float64]


class _Codes:
    """Drawn images of one channel and of three, read as one array of three channels."""

    def __init__(self, parts: Sequence[NDArray[np.float32]], places: Sequence[tuple[int, int]]) -> None:
        self._parts, self._places = parts, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, rows: Any) -> NDArray[np.float32]:
        if np.ndim(rows):
            return np.stack([self[row] for row in rows])
        part, row = self._places[int(rows)]
        image = self._parts[part][row]
        return np.broadcast_to(image, (*image.shape[:2], 3))


def _drawn(field: Field, drawings: Sequence[Drawing], key: str, common: Common) -> _Codes:
    """The drawings from the cache of pixels, or drawn now."""
    directions = list(dict.fromkeys(one.direction for one in drawings))
    groups = [[one for one in drawings if one.direction == direction] for direction in directions]
    parts = [
        draw_pixels(
            lambda row, group=group: field.draw(group[row]),  # type: ignore[misc]
            len(group),
            f"{key} {direction}",
            origin=f"gratings {direction.replace('_', '-')} {field.height}x{field.width}",
            cache_dir=common.cache_dir,
            disable_tqdm=not common.show_progress,
        )
        for direction, group in zip(directions, groups, strict=True)
    ]
    counts = [0] * len(directions)
    places = []
    for one in drawings:
        part = directions.index(one.direction)
        places.append((part, counts[part]))
        counts[part] += 1
    return _Codes(parts, places)


class Psychophysics(Kind[KindSettings]):
    """Contrasts at which the distance reaches a criterion, by condition, and how much they differ from people's.

    Six experiments: masking by contrast, contrast sensitivity (achromatic and red-green), masking by orientation and by
    spatial frequency, and contrast matching. A distance is the mean over eight exemplars (orientation and phase), which
    are the clusters. The projection has all scores; hidden states have only `log_rmse` and `alignment`. If the
    model's pixels are too coarse for a test, the scores of this test are NaN. The baseline ``pixels`` is the
    root-mean-square difference of sRGB codes.

    Trials: item, test, level, criterion (contrast that sets the criterion), is_criterion (whether this stimulus sets
    it), contrast (of the grating), exemplar, human (contrast that people need), highest_frequency (the highest that
    the pixels show, in cycles per degree), probe (projection, hidden, or the baseline), layer, distance, value,
    dropped_dimensions.
    """

    name = "psychophysics"
    schemas = ()
    terms = KindTerms(
        title="Low-level psychophysics",
        rank=45,
        draws="drawn gratings",
        parameter=Axis(title="criterion at contrast"),
        conditions={
            "masking_contrast": Condition(
                title="masking by contrast", level=Axis(title="contrast of the mask", log=True)
            ),
            "csf_achromatic": Condition(title="contrast sensitivity", level=_FREQUENCY),
            "masking_orientation": Condition(
                title="masking by orientation", level=Axis(title="turn of the mask", unit="degrees")
            ),
            "masking_frequency": Condition(
                title="masking by spatial frequency",
                level=Axis(title="spatial frequency of the mask", unit="cycles/degree", log=True),
            ),
            "contrast_matching": Condition(title="contrast matching", level=_FREQUENCY),
            "csf_red_green": Condition(title="contrast sensitivity, red-green", level=_FREQUENCY),
        },
        terms={
            "contrast": Term(
                title="contrast of equal response",
                meaning="Contrast at which the distance to the stimulus without the grating reaches the criterion. "
                "People's contrasts are scaled to the criterion.",
                log=True,
            ),
            "alignment": Term(
                title="agreement with people's contrasts",
                meaning="1 if the contrasts equal those that people need, 0 for an observer whose "
                "contrasts do not depend on the condition.",
                better="high",
                perception="low",
                neutral=0.0,
                neutral_title="no effect",
                overview=Overview(rank=65, condition="masking_contrast"),
            ),
            "log_rmse": Term(
                title="error of the contrasts",
                meaning="Root-mean-square difference between the log10 contrasts of the model and of "
                "people. If the criterion is arbitrary, the mean difference is removed first.",
                unit="log10 units",
                better="low",
                perception="low",
                mirrors="alignment",
            ),
            "slope": Term(
                title="slope of masking",
                meaning="Slope of log threshold against log mask contrast, for mask contrasts of 0.019 "
                "and above; 0 without masking.",
                perception="low",
                neutral=0.0,
                neutral_title="no masking",
            ),
            "pearson": Term(
                title="correlation of log contrasts",
                meaning="Pearson's correlation with people's log contrasts. Even a tiny effect of the "
                "right sign can give 1. NaN if the model's contrasts are flat.",
                limits=(-1.0, 1.0),
                mirrors="alignment",
            ),
        },
        variants=DISTANCES | {_PIXELS: "RMSE of sRGB codes"},
        probes=PROBES,
        references=(
            Reference(role="null", title="flat observer", joins=("metric", "condition")),
            Reference(role="ceiling", title="one person", joins=("metric", "condition")),
            Reference(role="human", title="people", joins=("metric", "condition", "level", "parameter")),
            Reference(
                role="baseline",
                name="pixels",
                title="pixels",
                joins=("metric", "condition", "level", "parameter"),
            ),
        ),
    )
    trial_columns: ClassVar = {
        "item": "int64",
        "test": "str",
        "level": "float64",
        "criterion": "float64",
        "is_criterion": "bool",
        "contrast": "float64",
        "exemplar": "int64",
        "human": "float64",
        "highest_frequency": "float64",
        **DISTANCE_COLUMNS,
        "value": "float64",
    }
    needs_text = False
    needs_float32 = True
    reads_layers = True
    preprocess = "drawn"
    clusters = ("exemplar",)

    @classmethod
    def items(cls) -> Mapping[str, Sequence[Any]]:
        """Criteria and conditions of all tests."""
        return {str(name): column.tolist() for name, column in grating_items().items()}

    @classmethod
    def count_drawn(cls, source: Source, image_processor: Any) -> int:
        """Number of different gratings; none is drawn here."""
        _, pairs = _gratings(source, Field(*input_size(image_processor)).highest_frequency)
        return len(distinct([one for pair in pairs for one in pair])[0])

    def __init__(self, source: Source, image_processor: Any, settings: KindSettings, common: Common) -> None:
        field = Field(*input_size(image_processor))
        limit = field.highest_frequency
        judged, pairs = _gratings(source, limit)
        self._judged = judged.assign(highest_frequency=limit)
        drawings, numbers = distinct([one for pair in pairs for one in pair])
        shown = digest(_DRAWING, field.height, field.width, [repr(one) for one in drawings])
        self._show_progress = common.show_progress
        self.drawn = len(drawings)
        self._ends = numbers.reshape(-1, 2)
        self._codes = _drawn(field, drawings, shown, common)
        self._sides = [Stimuli(self._codes, side) for side in self._ends.T]
        self._pixels: Floats = np.empty((0, 1))
        if pairs:
            self._pixels = cached_per_row(
                "RMSE of gratings", [shown, numbers.tolist()], np.arange(len(pairs)), self._rmse, common
            )
        self.facts = {"highest_frequency": round(limit, 2)}
        self.fingerprint = digest(self.name, shown, self._judged.to_dict("list"))

    def _rmse(self, pair: int) -> tuple[float]:
        first, second = (self._codes[end].astype(np.float64) for end in self._ends[pair])
        return (float(np.sqrt(np.square(first - second).mean())),)

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Distance of every stimulus to the same one without the grating that is tested, at every place."""
        if self._judged.empty:
            return pd.DataFrame(columns=list(self.trial_columns)).astype(self.trial_columns)
        distances = pair_distances(readout, *self._sides, show_progress=self._show_progress)
        pixels = pd.DataFrame({"value": self._pixels[:, 0]})
        baseline = pixels.assign(pair=pixels.index, probe="pixels", distance=_PIXELS)
        return pair_trials(self._judged, [distances, baseline], self.trial_columns)

    @staticmethod
    def score(trials: pd.DataFrame, common: Common) -> list[Number]:
        """Scores of every test at every place, contrasts by condition, people and the flat observer."""
        numbers = [one for name in TESTS for one in _not_shown(name, trials)]
        for columns, rows in by_place(trials):
            for name, part in rows.groupby("test", sort=False):
                numbers += _scores(str(name), _Answers.of(part), columns, common)
        for name, part in trials.drop_duplicates("item").groupby("test", sort=False):
            numbers += _references(str(name), part[~part["is_criterion"]])
        return numbers

    @staticmethod
    def response_curves(trials: pd.DataFrame) -> list[ResponseCurve]:
        """Distances by contrast over the criterion's, of the projection's cosine and of the pixels."""
        curves: list[ResponseCurve] = []
        for columns, rows in by_place(trials):
            is_model = columns["probe"] == "projection" and columns["variant"] == _CURVE
            if not (is_model or columns["variant"] == _PIXELS):
                continue
            for name, part in rows.groupby("test", sort=False):
                curves += _Answers.of(part).curves(str(name), columns.get("reference", ""))
        return curves

    views = (CurvesView(_DRAWN_FROM, response_curves, metric="contrast"),)

    @staticmethod
    def score_together(a: pd.DataFrame, b: pd.DataFrame) -> tuple[list[Number], list[Number]]:
        """The scores of both over the conditions whose contrasts lie inside the grid for both."""
        common = Common(n_resamples=0)
        of_sides: tuple[list[Number], list[Number]] = ([], [])
        for (columns, first), (_, second) in zip(by_place(a), by_place(b), strict=True):
            for name, part in first.groupby("test", sort=False):
                sides = [_Answers.of(one) for one in (part, second[second["test"] == name])]
                contrasts = [one.contrasts() for one in sides]
                outside = np.isnan([own[0] for own in contrasts]).any(axis=0)
                for numbers, side, own in zip(of_sides, sides, contrasts, strict=True):
                    own[:, outside] = np.nan
                    numbers += _scores(str(name), side, columns, common, own)
        return of_sides


def _gratings(source: Source, limit: float) -> tuple[pd.DataFrame, list[tuple[Drawing, Drawing]]]:
    """The judgements of all items whose frequencies the pixels show, and with and without the grating of each."""
    items: pd.DataFrame = source.dataset.to_pandas()
    rows, pairs = [], []
    for item in fitting_items(items, limit):
        test = TESTS[items["test"][item]]
        level, criterion = items["level"][item], items["criterion"][item]
        contrasts = (criterion,) if items["is_criterion"][item] else test.contrasts
        for contrast, (exemplar, look) in product(contrasts, enumerate(test.exemplars)):
            rows.append((item, contrast, exemplar))
            pairs.append(test.pair(level, contrast, look, limit))
    judged = pd.DataFrame(rows, columns=["item", "contrast", "exemplar"])
    return items.iloc[judged["item"]].reset_index(drop=True).assign(**judged), pairs


@dataclass(frozen=True)
class _Answers:
    """What a model answers in one test, over all exemplars and without each of them.

    Attributes:
        conditions: level, criterion and human of each condition.
        grid: contrasts.
        distances: (samples, conditions, contrasts), the first sample over all exemplars.
        criteria: by contrast, the distance that it sets as the criterion, (samples,).
        exemplars: their names.
    """

    conditions: pd.DataFrame
    grid: Floats
    distances: Floats
    criteria: Mapping[float, Floats]
    exemplars: NDArray[np.int64]

    @classmethod
    def of(cls, trials: pd.DataFrame) -> "_Answers":
        """From the trials of one test at one place."""
        columns = {name: trials[name].to_numpy() for name in (*_ORDER, "value", "criterion")}
        order = np.lexsort([columns[name] for name in reversed(_ORDER)])
        exemplars = np.unique(columns["exemplar"])
        means = _samples(columns["value"][order].reshape(-1, len(exemplars)))
        stimuli = order[:: len(exemplars)]
        is_criterion = columns["is_criterion"][stimuli]
        shown = stimuli[~is_criterion]
        grid = pd.unique(columns["contrast"][shown])
        criteria = columns["criterion"][stimuli[is_criterion]]
        return cls(
            conditions=trials[["level", "criterion", "human"]].iloc[shown[:: len(grid)]],
            grid=grid,
            distances=means[:, ~is_criterion].reshape(len(means), -1, len(grid)),
            criteria=dict(zip(criteria, means[:, is_criterion].T, strict=True)),
            exemplars=exemplars,
        )

    def contrasts(self, criterion: float | None = None) -> Floats:
        """(samples, conditions): those of equal response; NaN outside the grid.

        Args:
            criterion: contrast that sets the criterion; None for that of each condition.
        """
        wanted = self.conditions["criterion"] if criterion is None else [criterion] * len(self.conditions)
        d0 = np.stack([self.criteria[one] for one in wanted], axis=1)
        contrasts = iso_response_contrast(self.grid, self.distances, d0)
        # A condition that is left out of the value is left out of its error, too.
        return np.asarray(np.where(np.isnan(contrasts[0]), np.nan, contrasts))

    def curves(self, test: str, reference: str) -> Iterator[ResponseCurve]:
        """Distances over that of the criterion; none where that is 0."""
        for (level, criterion, human), distances in zip(
            self.conditions.itertuples(index=False), self.distances[0], strict=True
        ):
            d0 = self.criteria[criterion][0]
            if d0 > 0:
                yield ResponseCurve(
                    condition=test,
                    level=float(level),
                    parameter=float(criterion),
                    contrasts=tuple(map(float, self.grid)),
                    responses=tuple(map(float, distances / d0)),
                    human=float(human),
                    reference=reference,
                )

    @property
    def is_silent(self) -> bool:
        """Whether a criterion is 0: the model does not see the stimulus that sets it."""
        return bool(min(one[0] for one in self.criteria.values()) <= 0)


def _samples(values: Floats) -> Floats:
    """(rows, exemplars) to (samples, rows): the mean over all exemplars, then without each of them."""
    mean: Floats = values.mean(axis=1)[None]
    if values.shape[1] < 2:
        return mean
    others = (values.sum(axis=1) - values.T) / (values.shape[1] - 1)
    return np.asarray(np.concatenate([mean, others]))


def _scores(
    name: str, answers: _Answers, columns: Mapping[str, Any], common: Common, contrasts: Floats | None = None
) -> list[Number]:
    """The numbers of one test at one place.

    Args:
        contrasts: of equal response; by default all that lie inside the grid.
    """
    test, conditions = TESTS[name], answers.conditions
    own = answers.contrasts() if contrasts is None else contrasts
    place = {**columns, "condition": name, "n_clusters": len(answers.exemplars)}
    people, flat = conditions["human"].to_numpy(), conditions["criterion"].to_numpy()

    def numbered(key: str, values: Floats, n: int, cause: str, **others: Any) -> Number:
        return _number(key, values, answers.exemplars, common, n=n, note=cause, **{**place, **others})

    def agreements(own: Floats, keys: Iterable[str], **others: Any) -> Iterator[Number]:
        result = agreement(own, people, flat, free_offset=test.free_offset)
        n = int(result.n[0])
        causes = defaultdict(lambda: _cause(answers, n), pearson=_cause(answers, n) or _FLAT)
        yield from (numbered(key, getattr(result, key), n, causes[key], **others) for key in keys)

    is_hidden = columns["probe"] == "hidden"
    numbers = [
        *agreements(own, ["log_rmse", "alignment"] if is_hidden else ["log_rmse", "alignment", "pearson"])
    ]
    if is_hidden:
        return numbers
    if name == "masking_contrast":
        masked = (conditions["level"] > _SLOPE_FROM).to_numpy()
        slopes, n = log_slope(conditions["level"][masked], own[:, masked]), int(masked.sum())
        counted = n - int(np.isnan(own[0, masked]).sum())
        numbers.append(numbered("slope", slopes, counted, _cause(answers, counted, n)))
    if columns["probe"] == "projection" and contrasts is None:
        for criterion in test.other_criteria:
            others = {"parameter": criterion, "role": "diagnostic"}
            numbers += agreements(answers.contrasts(criterion), ["log_rmse"], **others)
    if columns["variant"] in (_CURVE, _PIXELS):
        for (level, criterion, _), values in zip(conditions.itertuples(index=False), own.T, strict=True):
            at = {"level": level, "parameter": criterion}
            numbers.append(
                numbered("contrast", values, len(answers.exemplars), _cause(answers, 0) or _OUTSIDE, **at)
            )
    return numbers


_OUTSIDE = "the contrast lies outside the range that was shown"
_FLAT = f"flat: the model's contrasts vary by less than {FLAT_SD} log10 units"


def _cause(answers: _Answers, n: int, of: int | None = None) -> str:
    """Why a score over n conditions is undefined; empty if it is defined."""
    if answers.is_silent:
        return "the distance that sets the criterion is 0"
    if n >= FEWEST_CONDITIONS:
        return ""
    whole = len(answers.conditions) if of is None else of
    return (
        f"only {n} of {whole} contrasts lie inside the range that was shown, at least "
        f"{FEWEST_CONDITIONS} are needed"
    )


def _number(
    key: str, values: Floats, exemplars: NDArray[np.int64], common: Common, *, note: str, **columns: Any
) -> Number:
    """A number with its interval; the first of its values counts, the others lack one exemplar each."""
    on_logs, n = key == "contrast", len(exemplars)
    samples = np.log10(values) if on_logs else values
    ends = [np.nan, np.nan]
    if n > 1:
        of_exemplars = pd.Index(exemplars, name="exemplar")
        columns |= {"influence": pd.Series(left_out_influence(values[1:]), index=of_exemplars)}
    if common.n_resamples and n > 1 and not np.isnan(samples).any():
        variance = float(np.square(left_out_influence(samples[1:])).sum()) * n / (n - 1)
        ends = student_interval(samples[0], variance, "linear", common.confidence_level, n - 1)
        ends = [float(10**end) if on_logs else float(end) for end in ends]
    value = float(values[0])
    return Number(
        metric=key,
        value=value,
        ci_low=ends[0],
        ci_high=ends[1],
        note=note if np.isnan(value) else "",
        **columns,
    )


def _references(name: str, conditions: pd.DataFrame) -> list[Number]:
    """The flat observer, people and the agreement of people with each other, for the conditions that are shown."""
    test = TESTS[name]
    people, flat = conditions["human"].to_numpy(), conditions["criterion"].to_numpy()
    place: dict[str, Any] = {"condition": name, "probe": ""}
    error = flat_log_rmse(people, flat, free_offset=test.free_offset)
    numbers = [Number(metric="log_rmse", role="null", value=error, n=len(conditions), **place)]
    for level, criterion, human in conditions[["level", "criterion", "human"]].itertuples(index=False):
        at = {"level": level, "parameter": criterion}
        numbers.append(Number(metric="contrast", role="human", value=human, **at, **place))
    if name == "masking_contrast":
        masked = conditions[conditions["level"] > _SLOPE_FROM]
        slope = float(log_slope(masked["level"], masked["human"]))
        numbers.append(Number(metric="slope", role="human", value=slope, n=len(masked), **place))
    ceiling = {"log_rmse": np.nan, "alignment": np.nan}
    note = "the thresholds of single observers are not available"
    if name == "csf_achromatic":
        ceiling, note = _observer_ceiling(conditions["level"]), ""
    for key, value in ceiling.items():
        numbers.append(Number(metric=key, role="ceiling", value=value, note=note, n=len(conditions), **place))
    return numbers


def _observer_ceiling(frequencies: Iterable[float]) -> dict[str, float]:
    """Scores of one of the 16 observers of ModelFest against the mean of the others, averaged over them."""
    from scipy.stats import gmean

    table = observers().loc[list(frequencies)]
    agreements = []
    for observer in table:
        others = gmean(table.drop(columns=observer), axis=1)
        agreements.append(agreement(table[observer], others, np.ones(len(table)), free_offset=True))
    return {
        key: float(np.mean([getattr(one, key) for one in agreements])) for key in ("log_rmse", "alignment")
    }


def _not_shown(name: str, trials: pd.DataFrame) -> Iterator[Number]:
    """NaN for a test that needs finer pixels, with that cause; it has no distance and so no variant."""
    if (trials["test"] == name).any():
        return
    if trials.empty:
        cause = "the model's input has too few pixels for any of the tests"
    else:
        test, limit = TESTS[name], float(trials["highest_frequency"].iloc[0])
        needed = test.frequency(test.criterion_at, limit)
        cause = f"the model's pixels show at most {limit:.1f} cycles per degree: "
        cause += (
            f"{needed:g} are needed"
            if needed > limit
            else f"fewer than {FEWEST_CONDITIONS} of the frequencies are below that limit"
        )
    for metric in ("log_rmse", "alignment"):
        yield Number(metric=metric, condition=name, value=np.nan, note=cause)
