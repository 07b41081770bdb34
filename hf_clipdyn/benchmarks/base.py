"""How a kind of measurement is added: one file in `benchmarks/kinds/`, or in a package or module of your own.

::

    # brightness.py, given with --plugin brightness.py
    @dataclass(frozen=True)
    class BrightnessSettings(KindSettings):
        gain: float = option(1.2, "Factor on the pixels.", within="(0, 4]")   # --brightness-gain

    class Brightness(Kind[BrightnessSettings]):
        name = "brightness"                      # `brightness/cifar10`, `brightness/…`
        settings_class = BrightnessSettings
        schemas = ("labels",)                    # kinds of data sets that fit, the preferred one first
        terms = KindTerms(title="Brightness", terms={"accuracy": Term(title="accuracy", better="high")})
        trial_columns = {"item": "int64", "label": "int64", "decision": "int64"}

        def __init__(self, source, image_processor, settings, common): ...   # once: pixels, pairs, prompts
        def observe(self, readout): ...          # once a revision: one row per stimulus, no statistics
        def score(trials, common): ...           # the numbers, from those rows alone

        gallery_columns = ("item", "label", "decision")
        def gallery(cls, trials, settings): ...  # pictures and answers for the report's browser, if it has any

Declarations load no torch: what needs it is imported inside the methods. `observe` and `score` are apart so that
intervals, comparisons of revisions and new metrics come from the saved trials, without a forward pass.
"""

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import datasets
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from hf_clipdyn.benchmarks.gallery import Gallery
from hf_clipdyn.benchmarks.response_curves import ResponseCurve
from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.options import check_options, option
from hf_clipdyn.results.row import Number, NumberKey
from hf_clipdyn.results.terms import KindTerms

if TYPE_CHECKING:
    from hf_clipdyn.benchmarks.readout import Change, Readout
    from hf_clipdyn.benchmarks.sources import Source
    from hf_clipdyn.data.pixels import Pixels

__all__ = [
    "NO_INTERVAL",
    "Benchmark",
    "Common",
    "Influence",
    "Kind",
    "KindSettings",
    "check_columns",
    "cosine_distance",
    "decode",
    "digest",
    "number",
    "similarity",
    "unit",
]

NO_INTERVAL: Sequence[float] = (math.nan, math.nan)
"""The ends of the interval of a number that has none."""


@dataclass(frozen=True, kw_only=True)
class Common:
    """What a user may choose for every kind."""

    n_resamples: int = option(
        1000, "Number of bootstrap resamples; 0 for no intervals.", within="[0, 1000000]"
    )
    confidence_level: float = option(0.95, "Confidence level of the intervals.", within="(0, 1)")
    seed: int = option(0, "Seed of the noise and of the intervals.", within="[0, 4294967295]")
    cache_dir: Path | None = option(None, "Folder for decoded pixels. Default: a folder under HF_HOME.")
    show_progress: bool = option(True, "Show progress bars.")

    def __post_init__(self) -> None:
        check_options(self)

    @property
    def resampling(self) -> dict[str, Any]:
        """The keywords that every function of `hf_clipdyn.metrics` takes."""
        return {
            "n_resamples": self.n_resamples,
            "confidence_level": self.confidence_level,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class KindSettings:
    """What a user may choose for one kind; a kind with settings derives its own class, of `option` fields."""

    def __post_init__(self) -> None:
        check_options(self)

    def as_json(self) -> dict[str, Any]:
        """The settings that are not None, for the column ``settings``; paths are left out, their content counts."""
        held = asdict(self)
        return {name: one for name, one in held.items() if one is not None and not isinstance(one, Path)}


@dataclass(frozen=True, kw_only=True)
class Influence(NumberKey):
    """What each stimulus contributes to the error of one number; the error is about the sum of these.

    Attributes:
        values: by item; they sum to about zero.
    """

    values: pd.Series


S = TypeVar("S", bound=KindSettings)


class Kind(ABC, Generic[S]):
    """One kind of measurement; an instance is ready to show one data set to every revision of a model.

    Attributes (of the class):
        name: before the slash of a benchmark's name.
        settings_class: of the kind's own settings.
        schemas: kinds of data sets (`hf_clipdyn.data.schemas`) that fit, the preferred one first; empty for a kind that
            draws what it shows (`items`), whose data set is called ``procedural``.
        terms: title, axes, metrics, conditions and references in words.
        trial_columns: pandas' type of each column of the trials; `observe` returns exactly these.
        later_columns: those among them that trials of earlier versions lack; `score` does without them.
        observe_version: to be raised if the same model would answer otherwise; cells are then measured again.
        score_version: to be raised if the same trials would give other numbers; ``--rescore`` then renews them.
        needs_text: whether the model must have a text tower.
        needs_float32: whether it compares images that differ by less than bfloat16 can tell apart.
        reads_layers: whether it compares hidden states. It then runs before the kinds that read projections: an image
            goes through the model once for both.
        text_drift: whether it asks for classes with texts. It is then asked a second time, with the text embeddings of
            the run's last revision (`Readout.with_texts`), and leaves out what needs no text.
        clusters: columns of the trials that name what is drawn at random: one, or several that are crossed.
        clusters_alike: whether these columns share one set of names: an image may be a reference in one row and a
            candidate in another.
        gallery_columns: columns of the trials that `gallery` reads; empty for a kind without a browser of stimuli.
        response_columns: columns of the trials that `response_curves` reads; empty for a kind without such curves.
        response_metric: metric whose values are the strengths of equal response on these curves.

    Attributes (of an instance):
        fingerprint: SHA-256 of all that is shown and asked: pixels, labels, prompts, settings.
        preprocess: how images become the model's input: ``processor``, ``squash``, ``tiles``, ``crop``, or ``drawn`` at
            the size of that input.
        left_out: stimuli that cannot be decoded.
        facts: what else is constant for the cell and affects it, for the column ``settings``; for example
            ``incomplete``, ``n/N`` where only n of N official rows are shown.
    """

    name: ClassVar[str]
    settings_class: ClassVar[type[KindSettings]] = KindSettings
    schemas: ClassVar[tuple[str, ...]]
    terms: ClassVar[KindTerms]
    trial_columns: ClassVar[Mapping[str, str]]
    later_columns: ClassVar[tuple[str, ...]] = ()
    observe_version: ClassVar[int] = 1
    score_version: ClassVar[int] = 1
    needs_text: ClassVar[bool] = True
    needs_float32: ClassVar[bool] = False
    reads_layers: ClassVar[bool] = False
    text_drift: ClassVar[bool] = False
    clusters: ClassVar[tuple[str, ...]] = ("item",)
    clusters_alike: ClassVar[bool] = False
    gallery_columns: ClassVar[tuple[str, ...]] = ()
    response_columns: ClassVar[tuple[str, ...]] = ()
    response_metric: ClassVar[str] = ""

    fingerprint: str
    preprocess: str = "processor"
    left_out: int = 0
    facts: Mapping[str, Any] = {}

    @abstractmethod
    def __init__(self, source: "Source", image_processor: Any, settings: S, common: Common) -> None:
        """Decode the stimuli and form pairs and prompts; nothing here depends on the weights."""

    @abstractmethod
    def observe(self, readout: "Readout") -> pd.DataFrame:
        """What one revision answers: a row per stimulus and condition, with the facts that `score` needs."""

    @classmethod
    def items(cls) -> Mapping[str, Sequence[Any]]:
        """What a kind without `schemas` shows, as columns: a row for each item of its trials."""
        raise NotImplementedError

    @staticmethod
    @abstractmethod
    def score(trials: pd.DataFrame, common: Common) -> list[Number]:
        """The numbers, with the functions of `hf_clipdyn.metrics`."""

    @staticmethod
    def influences(trials: pd.DataFrame) -> Iterable[Influence]:
        """What each stimulus contributes to a number whose error is a sum over stimuli; none by default.

        Two revisions are compared in these numbers by the variance over stimuli that share any of the `clusters`. In
        all other numbers one group of clusters after the other is left out, and the rest is scored again.
        """
        del trials
        return ()

    @classmethod
    def rows_behind(cls, trials: pd.DataFrame, number: NumberKey) -> pd.DataFrame:
        """The trials that a number rests on: `score` gives the same number for them alone; by default all trials.

        Where `score` is slow, a jackknife of one number then need not score all others.
        """
        del number
        return trials

    @staticmethod
    def paired_variances(
        a: pd.DataFrame, b: pd.DataFrame, common: Common
    ) -> Mapping[tuple[Any, ...], tuple[float, int]]:
        """Variances of the differences b - a, for a kind whose intervals have a construction of their own.

        Returns:
            By the key of a number: the variance, and the number of clusters that it comes from. None by default.
        """
        del a, b, common
        return {}

    @staticmethod
    def score_together(a: pd.DataFrame, b: pd.DataFrame) -> tuple[list[Number], list[Number]]:
        """Numbers of each revision that are fair only in a comparison of two; none by default."""
        del a, b
        return [], []

    @classmethod
    def gallery(cls, trials: pd.DataFrame, settings: Mapping[str, Any]) -> Gallery | None:
        """What a browser of stimuli shows of one revision, without a model; nothing by default.

        Args:
            trials: only the `gallery_columns`; of these, `later_columns` may be missing.
            settings: of the cell, from the table's column ``settings``.
        """
        del trials, settings
        return None

    @classmethod
    def response_curves(cls, trials: pd.DataFrame) -> Sequence[ResponseCurve]:
        """How one revision's response grows with the strength of a stimulus; nothing by default.

        Args:
            trials: only the `response_columns`.
        """
        del trials
        return ()

    @classmethod
    def on(cls, dataset: str, **settings: Any) -> "Benchmark":
        """This kind on a data set, as ``Noise.on("cifar100", stage="input")``.

        Raises:
            TypeError: the kind has no such setting.
            ConfigError: a setting is out of its range.
        """
        return Benchmark(cls, dataset, cls.settings_class(**settings))


@dataclass(frozen=True)
class Benchmark:
    """A kind on a data set, with the kind's settings."""

    kind: type[Kind[Any]]
    dataset: str
    settings: KindSettings

    @property
    def name(self) -> str:
        """``kind/dataset``."""
        return f"{self.kind.name}/{self.dataset}"


def decode(
    dataset: datasets.Dataset,
    image_processor: Any,
    common: Common,
    column: str = "image",
    *,
    squash: bool = False,
    distort: "Change | None" = None,
    distort_key: str = "",
) -> "Pixels":
    """`decode_pixels` with the cache and the progress bar that the user asks for.

    Args:
        squash: resize the whole image to the model's input without regard to its aspect ratio, and crop nothing.
    """
    from hf_clipdyn.data.pixels import decode_pixels
    from hf_clipdyn.preprocess import squashing_processor

    return decode_pixels(
        dataset,
        squashing_processor(image_processor) if squash else image_processor,
        column,
        cache_dir=common.cache_dir,
        distort=distort,
        distort_key=distort_key,
        disable_tqdm=not common.show_progress,
    )


def check_columns(kind: type[Kind[Any]], trials: pd.DataFrame, columns: Iterable[str]) -> None:
    """Refuse trials that lack columns, as those of an earlier version.

    Raises:
        EvaluationError: a column is missing.
    """
    missing = [name for name in columns if name not in trials]
    if missing:
        raise EvaluationError(
            f"The trials of this {kind.name} benchmark lack the columns {', '.join(missing)}: an earlier "
            "version wrote them. Evaluate the benchmark again with --force."
        )


def number(result: Mapping[str, Any], key: str, *, metric: str | None = None, **columns: Any) -> Number:
    """One key of what a function of `hf_clipdyn.metrics` returned, with its interval.

    Args:
        result: the returned dict; its ``causes`` say why a value is undefined.
        key: of the value; ``<key>_ci`` is its interval.
        metric: name in the table; the key by default.
        **columns: further columns of the number.
    """
    low, high = result.get(f"{key}_ci") or NO_INTERVAL
    given = ({"n": result["n"]} if "n" in result else {}) | columns
    return Number(
        metric=metric or key,
        value=float(result[key]),
        ci_low=float(low),
        ci_high=float(high),
        note=result.get("causes", {}).get(key, ""),
        **given,
    )


def digest(*parts: Any) -> str:
    """SHA-256 of values that JSON can write."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def unit(vectors: ArrayLike) -> NDArray[np.float64]:
    """Vectors (…, d) scaled to length 1, in float64; a zero vector stays zero."""
    rows = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    result: NDArray[np.float64] = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return result


def similarity(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Cosines of every pair, (n, d) and (m, d) to (n, m), rounded to 12 digits.

    What is equal must tie, and a matrix product adds up equal rows in different orders.
    """
    return np.round(unit(first) @ unit(second).T, 12)


def cosine_distance(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Half the squared distance of the unit vectors, in [0, 2]: 1 - cos without its cancellation.

    In an untrained model all cosines are within 1e-7 of 1, where 1 - cos keeps no digit.

    Args:
        first, second: (…, d), broadcast against each other.
    """
    difference = unit(first) - unit(second)
    return np.asarray(0.5 * np.square(difference).sum(axis=-1))
