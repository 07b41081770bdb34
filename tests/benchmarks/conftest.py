"""Planted models, whose answer to every benchmark is known, and sources built in memory."""

from collections.abc import Callable, Sequence
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image
from transformers import CLIPImageProcessor

from hf_clipdyn.benchmarks.base import Benchmark, Measurement, Settings
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.schemas import features_of
from hf_clipdyn.models.encoder import ImageFeatures

SIDE = 16


class Planted:
    """An encoder that is two functions: pixels (H, W, 3) in [0, 255] to a vector, text to a vector."""

    def __init__(
        self,
        image: Callable[[np.ndarray], Sequence[float]],
        text: Callable[[str], Sequence[float]] | None = None,
    ) -> None:
        self._image, self._text = image, text
        self.reads_text = text is not None
        self.seen = 0

    def embed_images(self, pixels: np.ndarray, **_: Any) -> ImageFeatures:
        self.seen += len(pixels)
        rows = [self._image(one.astype(np.float64)) for one in pixels]
        return ImageFeatures(np.array(rows, np.float32))

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        assert self._text is not None
        return np.array([self._text(text) for text in texts], np.float32)


@pytest.fixture
def source() -> Callable[..., Source]:
    """`source("labels", rows, class_names)`: a data set of that kind."""

    def build(kind: str, rows: list[dict[str, Any]], classes: Sequence[str] = (), **facts: Any) -> Source:
        features = features_of(kind, classes)
        complete = [dict.fromkeys(features) | row for row in rows]
        dataset = datasets.Dataset.from_list(complete, features=features)
        known = {"rows": {}, "licence": "", "may_redistribute": True, "where": "", "citation": ""}
        return Source(
            "planted", dataset, "test", DatasetMetadata(kind=kind, title="planted", **(known | facts))
        )

    return build


@pytest.fixture
def measure(tmp_path) -> Callable[..., dict[tuple[str, ...], Measurement]]:
    """`measure(Noise, source, planted, sigmas=…)`: measurements by (metric, group) and by (probe, metric, group).

    Baselines and linear probes bear the names of the model's own numbers, which come first.
    """
    processor = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})

    def run(
        kind: type[Benchmark], source: Source, encoder: Any, **settings: Any
    ) -> dict[tuple[str, ...], Measurement]:
        chosen = Settings(**({"n_resamples": 200, "cache_dir": tmp_path} | settings))
        benchmark = kind(source, processor, chosen)
        trials = benchmark.observe(Readout(encoder, batch_size=7))
        found = kind.score(trials, chosen)
        keys = [(one.probe, one.layer, one.metric, one.group) for one in found]
        assert len(set(keys)) == len(keys), "a metric and a group name one number"
        assert all(one.note for one in found if np.isnan(one.value)), "a NaN has a cause"
        assert len(benchmark.fingerprint) == 64
        by_name: dict[tuple[str, ...], Measurement] = {}
        for one in found:
            by_name.setdefault((one.probe, one.metric, one.group), one)
            if one.probe != "linear_probe":
                by_name.setdefault((one.metric, one.group), one)
        return by_name

    return run


def solid(red: float, green: float, blue: float = 0, side: int = SIDE) -> Image.Image:
    """A square of one colour."""
    return Image.fromarray(np.full((side, side, 3), (red, green, blue), np.uint8))


@pytest.fixture
def planted() -> type[Planted]:
    return Planted


@pytest.fixture
def colour() -> Callable[..., Image.Image]:
    return solid
