"""The interval of people's shape bias, for a contrast that subtracts a model's from it."""

import math
from dataclasses import replace

import pandas as pd
from scipy import stats

from hf_clipdyn.benchmarks.influence import influence_on
from hf_clipdyn.benchmarks.kinds.shape_bias import ShapeBias
from hf_clipdyn.benchmarks.shape_scores import HUMAN
from hf_clipdyn.statistics.contrasts import Estimate

__all__ = ["people_variance", "with_people"]


def people_variance(trials: pd.DataFrame) -> tuple[float, int]:
    """Variance of the mean shape bias of people over images and observers, and the number of observers.

    The variance over observers is that of their own values, divided by their number. The one over images comes from the
    mean influence of each image, over all pairs of images that share an exemplar. What is particular to an observer and
    an image is in both parts, so the sum is a little too large.

    Args:
        trials: of a shape_bias benchmark.

    Returns:
        NaN if fewer than two observers answered.
    """
    rows = trials[trials["protocol"] == HUMAN]
    shape = (rows["decision"] == rows["shape"]).astype(float)
    either = shape + (rows["decision"] == rows["texture"]).astype(float)
    kept = rows.assign(shape_decision=shape, either=either)[rows["shape"] != rows["texture"]]
    sums = kept.groupby("observer")[["shape_decision", "either"]].sum()
    own = sums["shape_decision"] / sums["either"].where(sums["either"] > 0)
    own = own.dropna()
    if len(own) < 2:
        return math.nan, len(own)
    kept = kept[kept["observer"].isin(own.index)]
    share = kept["observer"].map(own)
    total = kept["observer"].map(sums["either"])
    influence = (kept["shape_decision"] - share * kept["either"]) / total / len(own)
    of_items = influence.groupby(kept["item"]).sum()
    over_images = influence_on(ShapeBias, kept, of_items).variance
    return float(own.var(ddof=1)) / len(own) + max(over_images, 0.0), len(own)


def with_people(found: Estimate, trials: pd.DataFrame | None) -> Estimate:
    """An estimate whose interval also has the variance of people, over images and observers.

    Both variances are added as if people and model saw different images, which is too wide if the same images are hard
    for both. The degrees of freedom are at most those of the observers.

    Args:
        found: people's published value minus the model's.
        trials: of a cell of the benchmark, with people's answers; None if there are none.
    """
    variance, n = (math.nan, 0) if trials is None else people_variance(trials)
    if math.isnan(variance) or math.isnan(found.standard_error):
        note = (
            "the interval does not include the variation between people: the trials beside the table "
            "lack the answers of two observers"
        )
        return replace(found, notes=(*found.notes, note)) if math.isnan(variance) else found
    degrees = min(found.degrees_of_freedom, n - 1)
    error = math.sqrt(found.standard_error**2 + variance)
    half = float(stats.t.ppf((1 + found.confidence_level) / 2, degrees)) * error
    return replace(
        found,
        standard_error=error,
        degrees_of_freedom=float(degrees),
        ci_low=found.value - half,
        ci_high=found.value + half,
    )
