"""Planted models, whose answer to every benchmark is known, and sources built in memory."""

from collections.abc import Callable, Sequence
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image
from shown import Shown
from transformers import CLIPImageProcessor

from hf_clipdyn.benchmarks.kind import Common, Kind
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.benchmarks.units import scored
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.schemas import features_of
from hf_clipdyn.models.encoder import ImageFeatures
from hf_clipdyn.results.row import Number, NumberKey

SIDE = 16


class Planted(Shown):
    """An encoder that is two functions: pixels (H, W, 3) in [0, 255] to a vector, text to a vector."""

    def __init__(
        self,
        image: Callable[[np.ndarray], Sequence[float]],
        text: Callable[[str], Sequence[float]] | None = None,
    ) -> None:
        self._image, self._text = image, text
        self.reads_text = text is not None
        self.seen = 0
        self.labels: tuple[str, ...] = ()

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


class Numbers(list[Number]):
    """What `score` returned."""

    def __call__(self, metric: str, **columns: Any) -> Number:
        """The one number with this key; a column that is not given has its default."""
        wanted = NumberKey(metric=metric, **columns).number_key
        (found,) = [one for one in self if one.number_key == wanted]
        return found

    def __contains__(self, metric: object) -> bool:
        return metric in {one.metric for one in self}


def check_numbers(kind: type[Kind[Any]], numbers: Sequence[Number]) -> None:
    """Every number has a key of its own and a cause if it is NaN, and the kind's terms declare all its words."""
    terms = kind.terms
    keys = [one.number_key for one in numbers]
    assert len(set(keys)) == len(keys), "a key names one number"
    values = [one for one in numbers if one.role == "value"]
    scales = []
    for one in numbers:
        known = None if one.influence is None else one.influence.values
        assert known is None or not np.size(known) or abs(np.sum(known)) < 1e-9, (
            f"influences of {one} are centred"
        )
        assert one.note or not np.isnan(one.value), f"{one} is NaN for a cause"
        assert one.metric in terms.terms, f"{one.metric} has a term"
        if terms.conditions:
            assert one.condition in {"", "none", *terms.conditions}, f"{one.condition} is declared"
        own = terms.conditions.get(one.condition)
        assert one.level is None or terms.level or (own and own.level), f"the level of {one} has an axis"
        assert one.parameter is None or terms.parameter, f"the parameter of {one} has an axis"
        if one.role in ("value", "diagnostic"):
            assert not one.reference, f"{one} is no reference"
            continue
        reference = terms.reference(one.role, one.reference)
        assert reference is not None, f"{one.role} {one.reference!r} is declared"
        scale = tuple(getattr(one, column) for column in reference.joins)
        joined = {tuple(getattr(value, column) for column in reference.joins) for value in values}
        assert scale in joined, f"{one} joins a value on {reference.joins}"
        scales.append((one.role, one.reference, one.variant, scale))
    assert len(set(scales)) == len(scales), "no value has two references of one role, name and variant"


@pytest.fixture
def prepared(tmp_path) -> Callable[..., Kind[Any]]:
    """`prepared(Noise, source, side=16, seed=1, sigmas=…)`: the kind, ready for models that see such squares."""

    def build(kind: type[Kind[Any]], source: Source, side: int = SIDE, **options: Any) -> Kind[Any]:
        square = {"height": side, "width": side}
        processor = CLIPImageProcessor(size={"shortest_edge": side}, crop_size=square)
        given = {"cache_dir": tmp_path, "show_progress": False} | options
        common = Common(**{name: given.pop(name) for name in Common.model_fields if name in given})
        return kind(source, processor, kind.settings(**given), common)

    return build


@pytest.fixture
def measure(prepared) -> Callable[..., Numbers]:
    """`measure(Noise, source, planted, sigmas=…)`: the numbers, checked against what the kind declares."""

    def run(kind: type[Kind[Any]], source: Source, encoder: Any, side: int = SIDE, **options: Any) -> Numbers:
        benchmark = prepared(kind, source, side, **options)
        trials = benchmark.observe(Readout(encoder, batch_size=7))
        ways = [[way] if isinstance(way, str) else way for way in kind.clusters]
        assert {"item", *(name for way in ways for name in way)} <= set(trials)
        common = Common(**{name: options[name] for name in Common.model_fields if name in options})
        found = Numbers(scored(kind, trials, common))
        check_numbers(kind, found)
        assert len(benchmark.fingerprint) == 64
        return found

    return run


def solid(red: float, green: float, blue: float = 0, side: int = SIDE) -> Image.Image:
    """A square of one colour."""
    return Image.fromarray(np.full((side, side, 3), (red, green, blue), np.uint8))


def red(pixels: np.ndarray) -> list[float]:
    """A direction that turns by a right angle from no red to all red."""
    turn = pixels[..., 0].mean() / 255 * np.pi / 2
    return [np.cos(turn), np.sin(turn)]


@pytest.fixture
def planted() -> type[Planted]:
    return Planted


@pytest.fixture
def sees_red() -> Planted:
    """An encoder of nothing but how red an image is."""
    return Planted(red)


@pytest.fixture
def colour() -> Callable[..., Image.Image]:
    return solid


CUES = ("bear", "bird", "boat", "bottle")
STEP = 60
"""Red or green of a cue: its number times this."""


@pytest.fixture
def conflict_rows() -> list[dict[str, Any]]:
    """Four shapes, told by red, by three other textures, by green, two exemplars each, which blue tells apart."""
    return [
        {
            "image": solid(s * STEP, t * STEP, 20 * i + 60 * j),
            "image_id": f"{shape}{i}-{texture}{j}",
            "shape": shape,
            "texture": texture,
            "shape_exemplar": f"{shape}{i}",
            "texture_exemplar": f"{texture}{j}",
        }
        for s, shape in enumerate(CUES)
        for t, texture in enumerate(CUES)
        for i, j in ((1, 1), (1, 2), (2, 1), (2, 2))
        if s != t
    ]
