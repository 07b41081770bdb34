"""Trajectories of made-up rows."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hf_clipdyn.results.row import Row
from hf_clipdyn.statistics.trajectories import Trajectory


@pytest.fixture
def gather(read: Callable[..., Any]) -> Callable[[Sequence[Row]], tuple[Trajectory, ...]]:
    """The trajectories that a table of these rows gives."""
    return lambda rows: read(rows).trajectories
