"""Every test of a loader has its own cache, and subsets are what these tests are made of."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from official_trees.trees import TREES

from hf_clipdyn import load_dataset


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache of this test's own."""
    return tmp_path / "cache"


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[str], Path]:
    """`tree("osie")`: a small data set of that name in its official layout."""

    def make(name: str) -> Path:
        root = tmp_path / f"{name}-official"
        root.mkdir()
        TREES[name](root)
        return root

    return make


@pytest.fixture
def load(cache: Path) -> Callable[..., Any]:
    """`load_dataset` with that cache."""

    def call(path: str, name: str | None = None, **kwargs: Any) -> Any:
        return load_dataset(path, name, cache_dir=cache, **kwargs)

    return call


@pytest.fixture(autouse=True)
def _quiet() -> None:
    datasets.disable_progress_bars()
