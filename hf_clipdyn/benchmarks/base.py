"""What kinds of the interface of 0.3 use, until they have that of `hf_clipdyn.benchmarks.kind`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from hf_clipdyn.benchmarks.kind import Benchmark, Common, Kind, KindSettings, S, digest
from hf_clipdyn.benchmarks.readout import Stimuli, decode
from hf_clipdyn.benchmarks.vectors import cosine_distance, similarity, unit
from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.metrics.influence import mean_influence
from hf_clipdyn.metrics.scores import NO_INTERVAL
from hf_clipdyn.results.row import Number

if TYPE_CHECKING:
    from hf_clipdyn.benchmarks.sources import Source

__all__ = [
    "NO_INTERVAL",
    "Benchmark",
    "Common",
    "ImageKind",
    "Kind",
    "KindSettings",
    "S",
    "by_item",
    "check_columns",
    "cosine_distance",
    "decode",
    "digest",
    "mean_by_item",
    "number",
    "similarity",
    "unit",
]


class ImageKind(Kind[S]):
    """Base of kinds that show each image of the data set. The constructor decodes them, for that of the kind.

    Attributes:
        pixels: of all images.
        shown: rows whose image can be decoded; the others are ``left_out``.
        stimuli: their images.
    """

    def __init__(self, source: "Source", image_processor: Any, settings: S, common: Common) -> None:
        del settings
        self.pixels = decode(source.dataset, image_processor, common)
        self.shown = np.flatnonzero(~self.pixels.broken)
        self.stimuli = Stimuli(self.pixels.array, self.shown)
        self.left_out = int(self.pixels.broken.sum())


def check_columns(kind: type[Kind[Any]], trials: pd.DataFrame, columns: Iterable[str]) -> None:
    """Check that trials have the columns that are read; trials of an earlier version may lack some.

    Raises:
        EvaluationError: a column is missing.

    Examples:
        >>> import pandas as pd
        >>> from hf_clipdyn.benchmarks.base import check_columns
        >>> from hf_clipdyn.benchmarks.kinds.zero_shot import ZeroShot
        >>> check_columns(ZeroShot, pd.DataFrame({"item": [0]}), ["item"])
    """
    missing = [name for name in columns if name not in trials]
    if missing:
        raise EvaluationError(
            f"The trials of this {kind.name} benchmark lack the columns {', '.join(missing)}: an earlier "
            "version wrote them. Evaluate the benchmark again with --force."
        )


def number(result: Mapping[str, Any], key: str, *, metric: str | None = None, **columns: Any) -> Number:
    """One value that a function of `hf_clipdyn.metrics` returned, with its interval, as a `Number` of the table.

    Args:
        result: the returned dict; its ``causes`` say why a value is undefined.
        key: of the value; ``<key>_ci`` is its interval.
        metric: name in the table; the key by default.
        **columns: further columns of the number.

    Examples:
        >>> from hf_clipdyn.benchmarks.base import number
        >>> result = {"top1": 0.5, "top1_ci": [0.4, 0.6], "n": 100, "causes": {}}
        >>> found = number(result, "top1", condition="gaussian", level=0.1, n=100)
        >>> found.metric, found.value, found.ci_low, found.ci_high
        ('top1', 0.5, 0.4, 0.6)
    """
    low, high = result.get(f"{key}_ci") or NO_INTERVAL
    given = ({"n": result["n"]} if "n" in result else {}) | columns
    return Number(
        metric=metric or key,
        value=float(result[key]),
        ci_low=float(low),
        ci_high=float(high),
        note=result.get("causes", {}).get(key, ""),
        **given,
    )


def by_item(
    contributions: ArrayLike, items: "pd.Series[Any] | pd.Index | Sequence[Any] | NDArray[Any]"
) -> "pd.Series[float]":
    """The influence on a number by item.

    Args:
        contributions: shape (n,); they sum to about zero.
        items: the items of the trials, shape (n,); an index of that name is shared by all numbers that have it.

    Examples:
        >>> from hf_clipdyn.benchmarks.base import by_item
        >>> by_item([0.1, -0.1], [4, 7]).to_dict()
        {4: 0.1, 7: -0.1}
    """
    shared = isinstance(items, pd.Index) and items.name == "item"
    index = cast("pd.Index", items) if shared else pd.Index(items, name="item")
    return pd.Series(np.asarray(contributions, np.float64), index=index)


def mean_by_item(
    values: ArrayLike, items: "pd.Series[Any] | pd.Index | Sequence[Any] | NDArray[Any]"
) -> "pd.Series[float]":
    """The influence on a mean by item; NaN entries are left out of the mean.

    Args:
        values: whose mean is the number, shape (n,).
        items: the items of the trials, shape (n,).

    Examples:
        >>> from hf_clipdyn.benchmarks.base import mean_by_item
        >>> mean_by_item([1, 0], [4, 7]).to_dict()
        {4: 0.25, 7: -0.25}
    """
    return by_item(mean_influence(values), items)
