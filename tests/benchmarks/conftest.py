"""Planted models, whose answer to every benchmark is known, and sources built in memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from transformers import CLIPImageProcessor

from hf_clipdyn.benchmarks.base import Common, Kind
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.data.facts import DatasetFacts
from hf_clipdyn.data.schemas import features_of
from hf_clipdyn.models.encoder import ImageFeatures
from hf_clipdyn.results.row import Number, NumberKey

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
        return Source("planted", dataset, "test", DatasetFacts(kind=kind, title="planted", **(known | facts)))

    return build


@dataclass(frozen=True)
class Measured:
    """What a kind found: its numbers by their key, and the trials that they come from."""

    numbers: dict[tuple[Any, ...], Number]
    trials: pd.DataFrame
    benchmark: Kind[Any]

    def pick(self, metric: str, **columns: Any) -> Number:
        """The one number of these columns; a column that is not given has its default."""
        return self.numbers[NumberKey(metric=metric, **columns).key]

    def has(self, metric: str, **columns: Any) -> bool:
        return NumberKey(metric=metric, **columns).key in self.numbers


@pytest.fixture
def measure(tmp_path) -> Callable[..., Measured]:
    """`measure(Noise, source, planted, sigmas=…)`: the numbers of a kind, each of which it must have declared."""
    processor = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})

    def run(kind: type[Kind[Any]], source: Source, encoder: Any, **options: Any) -> Measured:
        own = {one.name for one in fields(kind.settings_class)}
        settings = kind.settings_class(**{name: options[name] for name in own & options.keys()})
        chosen = {"n_resamples": 200, "cache_dir": tmp_path, "show_progress": False}
        common = Common(**chosen | {name: one for name, one in options.items() if name not in own})
        benchmark = kind(source, processor, settings, common)
        trials = benchmark.observe(Readout(encoder, batch_size=7))
        found = kind.score(trials, common)
        numbers = {one.key: one for one in found}
        assert len(numbers) == len(found), "a key names one number"
        assert all(one.note for one in found if np.isnan(one.value)), "a NaN has a cause"
        assert len(benchmark.fingerprint) == 64
        assert list(trials) == list(kind.trial_columns)
        assert trials.dtypes.equals(trials.astype(dict(kind.trial_columns)).dtypes)
        check_declared(kind, found)
        return Measured(numbers, trials, benchmark)

    return run


def check_declared(kind: type[Kind[Any]], numbers: Sequence[Number]) -> None:
    """Whether the kind has words for all that its numbers name."""
    terms = kind.terms
    for one in numbers:
        assert one.metric in terms.terms
        assert one.role == "value" or terms.reference(one.role, one.reference), one
        assert one.variant in ("", *terms.variants)
        own_axis = one.condition in terms.conditions and terms.conditions[one.condition].level
        assert one.level is None or terms.level or own_axis, one
        assert one.parameter is None or terms.parameter, one


def solid(red: float, green: float, blue: float = 0, side: int = SIDE) -> Image.Image:
    """A square of one colour."""
    return Image.fromarray(np.full((side, side, 3), (red, green, blue), np.uint8))


@pytest.fixture
def planted() -> type[Planted]:
    return Planted


@pytest.fixture
def colour() -> Callable[..., Image.Image]:
    return solid
