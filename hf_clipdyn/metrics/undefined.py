"""How a metric says that a value is not defined on the given input.

The value is NaN, never a silent 0, and an `UndefinedMetricWarning` names the cause; `undefined_causes`
collects the causes for a caller that stores them.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

__all__ = ["UndefinedMetricWarning", "undefined", "undefined_causes"]


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


def undefined(names: str | Sequence[str], cause: str) -> float:
    """Warn that ``names`` are undefined because of ``cause``, and return the NaN that stands for them."""
    names = (names,) if isinstance(names, str) else names
    warnings.warn(UndefinedMetricWarning(names, cause), stacklevel=3)
    return float("nan")


@contextmanager
def undefined_causes() -> Iterator[dict[str, str]]:
    """Collect, instead of showing them, why values were undefined: result key -> cause.

    The mapping is filled when the block ends; warnings of any other kind are passed on then.

    Example:
        >>> from hf_clipdyn.metrics.iqa_correlation import iqa_correlation
        >>> with undefined_causes() as causes:
        ...     result = iqa_correlation([1, 1, 1], [1, 2, 3], n_resamples=0)
        >>> causes["srcc"]
        'the predictions are constant'
    """
    causes: dict[str, str] = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UndefinedMetricWarning)
        yield causes
    for warning in caught:
        if isinstance(warning.message, UndefinedMetricWarning):
            causes.update(dict.fromkeys(warning.message.names, warning.message.cause))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
