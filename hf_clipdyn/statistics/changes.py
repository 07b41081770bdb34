"""How much a number changed between two revisions of a run, on the same items."""

from typing import Any

from hf_clipdyn.statistics.contrasts import Estimate, RunContrast, combine
from hf_clipdyn.statistics.item_errors import weighted_error
from hf_clipdyn.statistics.kept_errors import ItemErrors
from hf_clipdyn.statistics.trajectories import Trajectory

__all__ = ["paired_change"]


def paired_change(
    one: Trajectory, first: Any, last: Any, item_errors: ItemErrors, confidence_level: float = 0.95
) -> Estimate:
    """The value at ``last`` minus that at ``first``; what makes an item easy for both revisions cancels.

    Args:
        one: a number of one run.
        first, last: two of its points (rows).
        item_errors: from the trials; without them there is no interval.
        confidence_level: of the interval, over the items.
    """
    cells = (last.cell, first.cell)
    errors = item_errors.of(one.kind, {cell: {one.number_key} for cell in cells})
    error = weighted_error([errors[cell, one.number_key] for cell in cells], [1, -1])
    change = RunContrast(
        run=one.run,
        scale=one.scale,
        seed=one.seed,
        arm=one.arm,
        value=last.value - first.value,
        item_variance=error.variance,
        n=max(first.n, last.n),
        n_clusters=error.n_clusters,
        errors=error,
    )
    return combine([change], confidence_level)
