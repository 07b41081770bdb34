"""What the `evaluate` modules in `metrics/` share; `scripts/push_metrics.py` copies it into each Space."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, TypeVar

import datasets
import evaluate

Metric = TypeVar("Metric", bound=type[evaluate.Metric])

NUMBER = datasets.Value("float64")

RESAMPLING = """
    n_resamples (`int`): number of resamples for an interval, default 1000; 0 skips the intervals.
    confidence_level (`float`): confidence level of the intervals, default 0.95.
    seed (`int`): seed of the resamples, default 0.
""".strip()
"""Help text of the three keywords that all modules have."""


class UndefinedMetricWarning(UserWarning):
    """A value of a metric is NaN, since it is not defined on the given input.

    Attributes:
        names: keys of the result that are NaN.
        cause: why, as a clause ("the predictions are constant").
    """

    def __init__(self, names: Sequence[str], cause: str) -> None:
        self.names = tuple(names)
        self.cause = cause
        super().__init__(f"{', '.join(self.names)} undefined (NaN): {cause}.")


def metric_module(
    function: Callable[..., dict[str, Any]], *, features: Mapping[str, Any], **about: Any
) -> Callable[[Metric], Metric]:
    """Complete a subclass of `evaluate.Metric`, which computes ``function`` with the same keywords.

    It warns of undefined values, with an `UndefinedMetricWarning` for each of the function's ``causes``.

    Args:
        function: the pure function.
        features: type of each input that has a value in every row.
        about: of `evaluate.MetricInfo`: ``description``, ``inputs_description`` (with examples, which `doctest` runs),
            ``citation`` and ``reference_urls``.
    """

    @wraps(function)
    def compute(**inputs: Any) -> dict[str, Any]:
        result = function(**inputs)
        names: dict[str, list[str]] = {}
        result.pop("influences", None)  # arrays, for differences of results
        for name, cause in result.pop("causes", {}).items():
            names.setdefault(cause, []).append(name)
        for cause, undefined in names.items():
            warnings.warn(UndefinedMetricWarning(undefined, cause), stacklevel=3)  # the caller of `compute`
        return result

    def complete(metric: Metric) -> Metric:
        metric.__doc__ = about["description"] + about["inputs_description"]
        metric._info = lambda _: evaluate.MetricInfo(features=datasets.Features(features), **about)
        metric._compute = staticmethod(compute)
        return metric

    return complete
