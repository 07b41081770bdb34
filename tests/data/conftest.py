"""Every test of a loader has its own cache, and subsets are what these tests are made of."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from hub_server.server import HubServer
from huggingface_hub import HfApi
from official_trees.images import image_bytes

from hf_clipdyn import load_dataset


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache of this test's own."""
    return tmp_path / "cache"


@pytest.fixture
def load(cache: Path) -> Callable[..., Any]:
    """`load_dataset` with that cache."""

    def call(path: str, name: str | None = None, **kwargs: Any) -> Any:
        return load_dataset(path, name, cache_dir=cache, **kwargs)

    return call


@pytest.fixture(autouse=True)
def _quiet() -> None:
    datasets.disable_progress_bars()


@pytest.fixture
def mirror(hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., str]:
    """`mirror("me/x", {"img": pictures, …}, features)`: a table in Parquet as a split of a repository; its name."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))

    def upload(
        repo_id: str,
        columns: dict[str, list[Any]],
        features: dict[str, Any] | None = None,
        split: str = "test",
    ) -> str:
        rows = datasets.Dataset.from_dict(columns, features=features and datasets.Features(features))
        rows.to_parquet(tmp_path / "mirror.parquet")
        send({f"data/{split}-0.parquet": tmp_path / "mirror.parquet"}, repo_id)
        return repo_id

    def send(files: dict[str, Path], repo_id: str) -> None:
        HfApi().create_repo(repo_id, repo_type="dataset")
        for name, path in files.items():
            HfApi().upload_file(path_or_fileobj=path, path_in_repo=name, repo_id=repo_id, repo_type="dataset")

    upload.files = send  # type: ignore[attr-defined]
    return upload


@pytest.fixture
def pictures() -> Callable[[int], list[dict[str, Any]]]:
    """`pictures(3)`: the cells of so many different images."""
    return lambda count: [{"bytes": image_bytes(".png", colour=n), "path": None} for n in range(count)]
