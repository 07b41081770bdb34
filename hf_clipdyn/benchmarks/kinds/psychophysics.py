"""Low-level psychophysics: which contrasts look equally strong to a model, and which to human observers?

The stimuli are gratings that are drawn at the model's own input size, without random numbers. For every condition the
contrast is sought at which the distance to the stimulus without the grating reaches a criterion. These contrasts are
compared with those that observers need, in log units (`hf_clipdyn.benchmarks.gratings`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any

from hf_clipdyn.benchmarks.kind import Common, Kind, KindSettings, digest, term, words
from hf_clipdyn.benchmarks.places import DISTANCES, PROBES
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import Axis, Condition, Overview, Reference

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from hf_clipdyn.benchmarks.gratings import Drawing
    from hf_clipdyn.benchmarks.readout import Readout
    from hf_clipdyn.benchmarks.sources import Source
    from hf_clipdyn.metrics.scores import Scale

    Floats = NDArray[np.float64]

_DRAWING = 2  # to be raised if the same items are drawn otherwise
_CURVE = "cosine"  # the distance whose contrasts are reported one by one
_PIXELS = "rmse"
_ORDER = ("is_criterion", "item", "contrast", "exemplar")
_SILENT = "the distance that sets the criterion is 0"
_OUTSIDE = "the contrast lies outside the range that was shown"
_BY_CONDITION = ("metric", "condition", "level", "parameter")


class Psychophysics(Kind[KindSettings]):
    """Contrasts at which the distance reaches a criterion, by condition, and how much they differ from human
    observers'.

    Two experiments: masking by contrast, and contrast sensitivity. A distance is the mean over eight exemplars
    (orientation and phase), which are the clusters. The projection has all numbers; hidden states have only `log_rmse`
    and `alignment`. If the model's pixels are too coarse for a test, the scores of this test are NaN. The baseline
    ``pixels`` is the root-mean-square difference of sRGB codes.

    Trials: item, test, level, criterion (contrast that sets the criterion), is_criterion (whether this stimulus sets
    it), contrast (of the grating), exemplar, human (contrast that observers need), highest_frequency (the highest that
    the pixels show, in cycles per degree), probe (projection, hidden, or the baseline), layer, distance,
    dropped_dimensions, value.
    """

    name = "psychophysics"
    schemas = ()
    clusters = ("exemplar",)
    needs_text = False
    reads_layers = True
    preprocess = "drawn"
    score_version = 2
    terms = words(
        "Low-level psychophysics",
        45,
        term(
            "contrast",
            "contrast of equal response",
            "Contrast at which the distance to the stimulus without the grating reaches the criterion. "
            "Human observers' contrasts are scaled to the criterion.",
            log=True,
        ),
        term(
            "alignment",
            "agreement with human observers' contrasts",
            "1 if the contrasts equal human observers' contrasts, 0 for an observer whose "
            "contrasts do not depend on the condition.",
            better="high",
            perception="low",
            neutral=0.0,
            neutral_title="no effect",
            overview=Overview(rank=65, condition="masking_contrast"),
        ),
        term(
            "log_rmse",
            "error of the contrasts",
            "Root-mean-square difference between the log10 contrasts of the model and of human observers, without "
            "their mean difference.",
            unit="log10 units",
            better="low",
            perception="low",
            mirrors="alignment",
        ),
        draws="drawn gratings",
        parameter=Axis(title="criterion at contrast"),
        conditions={
            "masking_contrast": Condition(
                title="masking by contrast", level=Axis(title="contrast of the mask", log=True)
            ),
            "csf_achromatic": Condition(
                title="contrast sensitivity",
                level=Axis(title="spatial frequency", unit="cycles/degree", log=True),
            ),
        },
        variants=DISTANCES | {_PIXELS: "RMSE of sRGB codes"},
        probes=PROBES,
        references=(
            Reference(role="null", title="flat observer", joins=("metric", "condition")),
            Reference(role="ceiling", title="one observer", joins=("metric", "condition")),
            Reference(role="human", title="human observers", joins=_BY_CONDITION),
            Reference(role="baseline", name="pixels", title="pixels", joins=_BY_CONDITION),
        ),
    )

    @classmethod
    def items(cls) -> Mapping[str, Sequence[Any]]:
        """Criteria and conditions of both tests."""
        from hf_clipdyn.benchmarks.gratings import grating_items

        return {str(name): column.tolist() for name, column in grating_items().items()}

    def __init__(
        self, source: "Source", image_processor: Any, settings: KindSettings, common: Common
    ) -> None:
        import numpy as np

        from hf_clipdyn.benchmarks.gratings import Field, distinct
        from hf_clipdyn.benchmarks.pixel_baselines import cached_per_row
        from hf_clipdyn.benchmarks.readout import Stimuli
        from hf_clipdyn.data.pixels import draw_pixels
        from hf_clipdyn.preprocess import input_size

        del settings
        field = Field(*input_size(image_processor))
        self._judged, pairs = _gratings(source, field.highest_frequency)
        drawings, numbers = distinct([drawing for pair in pairs for drawing in pair])
        shown = digest(_DRAWING, field.height, field.width, [repr(drawing) for drawing in drawings])
        self._show_progress = common.show_progress
        self._ends = numbers.reshape(-1, 2)
        self._sides: list[Stimuli] = []
        self._pixels: Floats = np.empty((0, 1))
        if pairs:
            codes = draw_pixels(
                lambda row: field.draw(drawings[row]),
                len(drawings),
                shown,
                origin=f"gratings {field.height}x{field.width}",
                cache_dir=common.cache_dir,
                disable_tqdm=not common.show_progress,
            )
            self._codes = _Channels(codes)
            self._sides = [Stimuli(self._codes, side) for side in self._ends.T]
            key = [shown, numbers.tolist()]
            self._pixels = cached_per_row("RMSE of gratings", key, np.arange(len(pairs)), self._rmse, common)
        self.facts = {"highest_frequency": round(field.highest_frequency, 2)}
        self.fingerprint = digest(self.name, shown, self._judged.to_dict("list"))

    def _rmse(self, pair: int) -> tuple[float]:
        import numpy as np

        first, second = (self._codes[end].astype(np.float64) for end in self._ends[pair])
        return (float(np.sqrt(np.square(first - second).mean())),)

    def observe(self, readout: "Readout") -> "pd.DataFrame":
        """Distance of every stimulus to the same one without the grating that is tested, at every place."""
        from hf_clipdyn.benchmarks.pairs import pair_distances
        from hf_clipdyn.benchmarks.places import beside_each_distance

        if self._judged.empty:
            named = ("probe", "layer", "distance", "dropped_dimensions", "value")
            return self._judged.assign(**dict.fromkeys(named, 0.0))
        distances = pair_distances(readout, *self._sides, show_progress=self._show_progress)
        return beside_each_distance(self._judged, distances, {("pixels", _PIXELS): self._pixels[:, 0]})

    @classmethod
    def score(cls, trials: "pd.DataFrame", seed: int = 0) -> "Iterator[tuple[Number, Scale]]":
        """Scores of every test at every place, contrasts by condition, human observers and the flat observer."""
        from hf_clipdyn.benchmarks.gratings import TESTS
        from hf_clipdyn.benchmarks.places import by_place

        for name in TESTS:
            yield from _not_shown(name, trials)
        if trials.empty:
            return
        for place, rows in by_place(trials):
            for test, part in rows.groupby("test", sort=False):
                yield from _scores(str(test), _Answers.of(part), place)
        for test, part in trials.drop_duplicates("item").groupby("test", sort=False):
            yield from _references(str(test), part[~part["is_criterion"]])


class _Channels:
    """Grey images (n, height, width, 1), read as images of three channels."""

    def __init__(self, grey: "NDArray[np.float32]") -> None:
        self._grey = grey

    def __len__(self) -> int:
        return len(self._grey)

    def __getitem__(self, rows: Any) -> "NDArray[np.float32]":
        import numpy as np

        found = self._grey[rows]
        return np.broadcast_to(found, (*found.shape[:-1], 3))


def _gratings(source: "Source", limit: float) -> "tuple[pd.DataFrame, list[tuple[Drawing, Drawing]]]":
    """The judgements of all items whose frequencies the pixels show, and without and with the grating of each."""
    import pandas as pd

    from hf_clipdyn.benchmarks.gratings import LOOKS, TESTS, fitting_items

    items: pd.DataFrame = source.dataset.to_pandas()
    rows, pairs = [], []
    for item in fitting_items(items, limit):
        test = TESTS[items["test"][item]]
        level, criterion = items["level"][item], items["criterion"][item]
        contrasts = (criterion,) if items["is_criterion"][item] else test.contrasts
        for contrast, (exemplar, look) in product(contrasts, enumerate(LOOKS)):
            rows.append((item, contrast, exemplar))
            pairs.append(test.pair(level, contrast, look))
    judged = pd.DataFrame(rows, columns=["item", "contrast", "exemplar"]).astype({"item": "int64"})
    described = items.iloc[judged["item"]].reset_index(drop=True)
    return described.assign(**judged, highest_frequency=limit), pairs


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

    conditions: "pd.DataFrame"
    grid: "Floats"
    distances: "Floats"
    criteria: "Mapping[float, Floats]"
    exemplars: "pd.Index"

    @classmethod
    def of(cls, trials: "pd.DataFrame") -> "_Answers":
        """From the trials of one test at one place."""
        import numpy as np
        import pandas as pd

        from hf_clipdyn.metrics.psychophysics import means_without_each

        columns = {name: trials[name].to_numpy() for name in (*_ORDER, "value", "criterion")}
        order = np.lexsort([columns[name] for name in reversed(_ORDER)])
        exemplars = pd.Index(np.unique(columns["exemplar"]), name="exemplar")
        values = columns["value"][order].reshape(-1, len(exemplars))
        means = means_without_each(values)
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

    def contrasts(self, criterion: float) -> "Floats":
        """(samples, conditions): those of equal response; NaN outside the grid.

        Args:
            criterion: contrast that sets the criterion.
        """
        import numpy as np

        from hf_clipdyn.metrics.psychophysics import iso_response_contrast

        contrasts = iso_response_contrast(self.grid, self.distances, self.criteria[criterion][:, None])
        # A condition that is left out of the value is left out of its error, too.
        return np.asarray(np.where(np.isnan(contrasts[0]), np.nan, contrasts))

    @cached_property
    def is_silent(self) -> bool:
        """Whether a criterion is 0: the model does not see the stimulus that sets it."""
        return bool(min(samples[0] for samples in self.criteria.values()) <= 0)


def _scores(name: str, answers: _Answers, place: Mapping[str, Any]) -> "Iterator[tuple[Number, Scale]]":
    """The numbers of one test at one place."""
    from hf_clipdyn.benchmarks.gratings import TESTS
    from hf_clipdyn.metrics.psychophysics import FEWEST_CONDITIONS, agreement

    test, conditions, exemplars = TESTS[name], answers.conditions, answers.exemplars
    columns = {**place, "condition": name, "n_clusters": len(exemplars)}
    criteria = [test.criterion]
    if place["probe"] == "projection":
        criteria += test.other_criteria
    for criterion in criteria:
        found = agreement(answers.contrasts(criterion), conditions["human"])
        n, note = int(found.n[0]), _SILENT if answers.is_silent else ""
        if not note and n < FEWEST_CONDITIONS:
            note = (
                f"only {n} of {len(conditions)} contrasts lie inside the range that was shown, at least "
                f"{FEWEST_CONDITIONS} are needed"
            )
        about = {**columns, "n": n, "note": note}
        if criterion != test.criterion:
            yield _number(
                "log_rmse", found.log_rmse, exemplars, about, parameter=criterion, role="diagnostic"
            )
            continue
        yield _number("log_rmse", found.log_rmse, exemplars, about)
        yield _number("alignment", found.alignment, exemplars, about)
    if place["probe"] == "hidden" or place["variant"] not in (_CURVE, _PIXELS):
        return
    own = answers.contrasts(test.criterion)
    for (level, criterion, _), values in zip(conditions.itertuples(index=False), own.T, strict=True):
        about = {**columns, "n": len(exemplars), "note": _SILENT if answers.is_silent else _OUTSIDE}
        yield _number("contrast", values, exemplars, about, level=level, parameter=criterion)


def _number(
    metric: str, values: "Floats", exemplars: "pd.Index", about: Mapping[str, Any], **others: Any
) -> "tuple[Number, Scale]":
    """A number with its interval, of values over all exemplars and without each of them."""
    import numpy as np
    import pandas as pd

    from hf_clipdyn.metrics.influence import left_out_influence
    from hf_clipdyn.metrics.psychophysics import exemplar_interval

    value, without = float(values[0]), values[1:]
    columns: dict[str, Any] = {**about, **others}
    if not np.isnan(value):
        columns["note"] = ""
    if len(without):
        columns["influence"] = pd.Series(left_out_influence(without), exemplars)
        columns["ci_low"], columns["ci_high"] = exemplar_interval(metric, values)
    return Number(metric=metric, value=value, **columns), "linear"


def _references(name: str, conditions: "pd.DataFrame") -> "Iterator[tuple[Number, Scale]]":
    """The flat observer, human observers and their agreement with each other, for the conditions that are shown."""
    from hf_clipdyn.benchmarks.gratings import observers
    from hf_clipdyn.metrics.psychophysics import flat_log_rmse, one_against_others

    place: dict[str, Any] = {"condition": name, "probe": ""}
    of_all = place | {"n": len(conditions)}
    yield Number(metric="log_rmse", role="null", value=flat_log_rmse(conditions["human"]), **of_all), "none"
    for level, criterion, human in conditions[["level", "criterion", "human"]].itertuples(index=False):
        at = {"level": level, "parameter": criterion}
        yield Number(metric="contrast", role="human", value=human, **at, **place), "none"
    ceiling = dict.fromkeys(("log_rmse", "alignment"), float("nan"))
    note = "the thresholds of single observers are not available"
    if name == "csf_achromatic":
        ceiling, note = one_against_others(observers().loc[list(conditions["level"])].to_numpy()), ""
    for metric, value in ceiling.items():
        yield Number(metric=metric, role="ceiling", value=value, note=note, **of_all), "none"


def _not_shown(name: str, trials: "pd.DataFrame") -> "Iterator[tuple[Number, Scale]]":
    """NaN for a test that needs finer pixels, with that cause; it has no distance and so no variant."""
    from hf_clipdyn.benchmarks.gratings import TESTS
    from hf_clipdyn.metrics.psychophysics import FEWEST_CONDITIONS

    if (trials["test"] == name).any():
        return
    cause = "the model's input has too few pixels for any of the tests"
    if not trials.empty:
        test, limit = TESTS[name], float(trials["highest_frequency"].iloc[0])
        needed = test.frequency(test.criterion_at)
        cause = f"the model's pixels show at most {limit:.1f} cycles per degree: "
        cause += (
            f"{needed:g} are needed"
            if needed > limit
            else f"fewer than {FEWEST_CONDITIONS} of the frequencies are below that limit"
        )
    for metric in ("log_rmse", "alignment"):
        yield Number(metric=metric, condition=name, value=float("nan"), note=cause), "none"
