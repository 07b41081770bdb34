"""Contrasts: an endpoint's means over windows of training, weighted, per run and over seeds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.results.row import Role
from hf_clipdyn.statistics.alignment import Window

__all__ = ["Contrast", "Endpoint", "Estimate", "RunContrast"]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Which number of the table: the columns of a trajectory.

    Attributes:
        levels: the mean over these levels is taken, per revision; () for a number without a level.
    """

    kind: str
    dataset: str
    metric: str
    variant: str = ""
    probe: str = "projection"
    layer: int | None = None
    subset: str = ""
    condition: str = "none"
    levels: tuple[float, ...] = ()
    parameter: float | None = None
    texts: str = "own"
    role: Role = "value"
    reference: str = ""

    @property
    def benchmark(self) -> str:
        """``kind/dataset``."""
        return f"{self.kind}/{self.dataset}"


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """``constant`` + the sum of weight * m(window); positive favours the claim.

    Attributes:
        title: in words.
        endpoint: m, the number whose means over windows are taken.
        weights: by the name of a window.
        smallest_effect: δ, above 0, in units of the endpoint.
    """

    title: str
    endpoint: Endpoint
    constant: float = 0.0
    weights: Mapping[str, float]
    smallest_effect: float

    def __post_init__(self) -> None:
        if not self.smallest_effect > 0:
            raise ConfigError(
                f"smallest_effect of {self.title!r} is {self.smallest_effect}: give one above 0."
            )
        if not self.weights:
            raise ConfigError(f"weights of {self.title!r} name no window: give at least one.")


@dataclass(frozen=True, kw_only=True)
class RunContrast:
    """A contrast in one run.

    Attributes:
        run: name of the run, of one scale, seed and arm.
        value: NaN if undefined, with the cause.
        item_variance: variance of the value over the items; NaN if unknown, with the cause in ``note``.
        n: items.
        n_clusters: clusters of items that the variance comes from.
        cause: of a value that is NaN.
        note: a caution about the value, or why its variance is unknown.
    """

    run: str
    scale: str
    seed: int | None
    arm: str = ""
    value: float
    item_variance: float = math.nan
    n: int = 0
    n_clusters: int = 0
    cause: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A contrast over the seeds of one or several scales.

    Attributes:
        value: mean over the seeds, then over the scales; NaN if undefined, with the cause.
        ci_low, ci_high: Student's interval at ``confidence_level``; NaN if there is none.
        standard_error: its square is s²(seeds) / n + the variance from the items that the seeds share.
        degrees_of_freedom: of Student's t: those of the seeds; with one seed, those of the clusters of items.
        n_seeds: runs that count.
        scales: their scales, in the order of the runs.
        n: items.
        n_clusters: clusters of items.
        cause: of a value or an interval that is NaN.
        notes: cautions: what the interval leaves out.
        runs: the contrast of each run.
    """

    value: float
    ci_low: float = math.nan
    ci_high: float = math.nan
    standard_error: float = math.nan
    degrees_of_freedom: float = math.nan
    confidence_level: float = 0.95
    n_seeds: int = 0
    scales: tuple[str, ...] = ()
    n: int = 0
    n_clusters: int = 0
    cause: str = ""
    notes: tuple[str, ...] = ()
    runs: tuple[RunContrast, ...] = field(default=())
