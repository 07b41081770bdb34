"""How a kind of measurement is added: one file in this folder, found automatically.

::

    # hf_clipdyn/benchmarks/brightness.py
    class Brightness(Benchmark):
        kind = "brightness"                      # `brightness/cifar10`, `brightness/…`
        schemas = ("labels",)                    # kinds of data sets that fit, the preferred one first
        suites = {"full": ("cifar10",)}          # the data sets on which each suite runs it

        def __init__(self, source, image_processor, settings): ...   # once: pixels, pairs, prompts
        def observe(self, readout): ...          # once a revision: one row per stimulus, no statistics
        def score(trials, settings): ...         # the numbers, from those rows alone

`observe` and `score` are apart so that intervals, comparisons of revisions and new metrics can be had
from the kept trials, without a forward pass.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import datasets
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from hf_clipdyn.benchmarks.readout import Change, Readout
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.data.pixels import Pixels, decode_pixels, squashing_processor
from hf_clipdyn.errors import ConfigError, EvaluationError, UnknownNameError

__all__ = [
    "Benchmark",
    "Influence",
    "Measurement",
    "Settings",
    "check_columns",
    "chosen_preprocess",
    "cosine_distance",
    "decode",
    "digest",
    "measurement",
    "similarity",
    "unit",
]

SIGMAS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
NOISE_KINDS = ("gaussian", "salt_and_pepper", "blur")
PREPROCESSES = ("processor", "squash", "tiles", "crop")
PROBES = ("attention", "attention_layers", "rollout", "gradient_input", "grad_cam")


@dataclass(frozen=True)
class Settings:
    """What a user may choose.

    What bears on the stimuli or the questions makes another pair of the results (`Benchmark.fingerprint`);
    intervals do not, and are had anew from the trials.

    Attributes:
        sigmas: standard deviations of the Gaussian noise, on pixels in [0, 1]; 0 is always among them.
        noise_stage: ``native``, before the model's processor resizes, or ``input``, after it.
        noise_kinds: of `NOISE_KINDS`; the others stand beside the Gaussian for comparison.
        preprocess: of `PREPROCESSES`, for the kinds of benchmarks that offer it; None for each kind's own.
        probes: of `PROBES`, the maps of the saliency benchmarks; None for their own choice.
        captions: file of captions (``image,caption``) of a saliency set's images, for the gradients of the
            similarity to the image's own caption; None for a neutral text.
        held_out: of a captions set without a test split, the last so many images; None for all.
        n_resamples, confidence_level, seed: of the intervals; the seed also draws the noise.
        cache_dir: where decoded pixels are kept; under ``HF_HOME`` by default.
        show_progress: progress bars while pixels are decoded.
    """

    sigmas: tuple[float, ...] = SIGMAS
    noise_stage: str = "native"
    noise_kinds: tuple[str, ...] = ("gaussian",)
    preprocess: str | None = None
    probes: tuple[str, ...] | None = None
    captions: Path | None = None
    held_out: int | None = None
    n_resamples: int = 1000
    confidence_level: float = 0.95
    seed: int = 0
    cache_dir: Path | None = None
    show_progress: bool = False

    def __post_init__(self) -> None:
        if self.noise_stage not in ("native", "input"):
            raise ConfigError(f"noise_stage is {self.noise_stage!r}: take native or input.")
        if not self.sigmas or any(not 0 <= sigma <= 1 for sigma in self.sigmas):
            raise ConfigError(f"sigmas are {self.sigmas}: give standard deviations between 0 and 1.")
        if self.preprocess is not None and self.preprocess not in PREPROCESSES:
            raise UnknownNameError("preprocess", self.preprocess, PREPROCESSES)
        for what, chosen, known in (
            ("kind of noise", self.noise_kinds, NOISE_KINDS),
            ("probe", self.probes, PROBES),
        ):
            if chosen is not None and not chosen:
                raise ConfigError(f"No {what} is given: take one or several of {', '.join(known)}.")
            for name in chosen or ():
                if name not in known:
                    raise UnknownNameError(what, name, known)
        for what, number in (("n_resamples", self.n_resamples), ("seed", self.seed)):
            if number < 0:
                raise ConfigError(f"{what} is {number}: it must be 0 or more.")
        if self.n_resamples > 10**6:
            raise ConfigError(
                f"n_resamples is {self.n_resamples}: it must be at most 1000000; 1000 are usual."
            )
        if self.held_out is not None and self.held_out < 1:
            raise ConfigError(f"held_out is {self.held_out}: it must be 1 or more.")

    @property
    def resampling(self) -> dict[str, Any]:
        """The keywords that every function of `hf_clipdyn.metrics` takes."""
        return {
            "n_resamples": self.n_resamples,
            "confidence_level": self.confidence_level,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Measurement:
    """One number of one benchmark on one revision: a row of the results without its revision.

    Attributes:
        metric: name, with the prompt set, protocol or distance behind a slash where there are several.
        value: NaN where undefined; ``note`` then names the cause. The note of a number is a caution.
        ci_low, ci_high: its interval, NaN where there is none.
        n, n_groups: items, and clusters of items that the interval resamples.
        group: sigma, sub-set or distortion; "" for all.
        probe, layer: where the number is read out of the model.
        higher_is_better: None where neither end is better.
    """

    metric: str
    value: float
    ci_low: float = float("nan")
    ci_high: float = float("nan")
    n: int = 0
    n_groups: int = 0
    group: str = ""
    probe: str = "projection"
    layer: int | None = None
    higher_is_better: bool | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if np.isnan(self.value) and not self.note:
            object.__setattr__(self, "note", "not defined on these data")


@dataclass(frozen=True)
class Influence:
    """What each stimulus contributes to the error of one number, which is about the sum of these.

    Attributes:
        metric, group, probe, layer: which number; as in `Measurement`.
        values: by item; they sum to about zero.
    """

    metric: str
    values: pd.Series
    group: str = ""
    probe: str = "projection"
    layer: int | None = None


class Benchmark(ABC):
    """One kind of measurement on one data set, ready to be shown to every revision of a model.

    Attributes (of the class):
        kind: name before the slash.
        schemas: kinds of data sets (`hf_clipdyn.data.schemas`) that fit, the preferred one first.
        suites: suite to the data sets on which it runs this kind.
        needs_text: whether the model must have a text tower.
        reads_layers: whether it compares hidden states. It then runs before those that read projections, which it finds
            on the way: an image goes through the model once for both.
        text_drift: whether it asks for classes with texts: it is then also asked with the text embeddings of the
            run's last revision (`Readout.with_texts`), and leaves out of that what needs no text.
        clusters: columns of the trials that name what is drawn at random: one, or several that are crossed.
        clusters_alike: whether these columns share one set of names: an image may be a reference in one row and a
            candidate in another.
        preprocesses: how this kind can make images the model's input (of `PREPROCESSES`), its own way first.
        settings: fields of `Settings` that only some kinds read, and this one does.

    Attributes (of an instance):
        fingerprint: SHA-256 of all that is shown and asked: pixels, labels, prompts, settings.
        preprocess: how images become the model's input.
        left_out: stimuli that cannot be decoded.
    """

    kind: ClassVar[str]
    schemas: ClassVar[tuple[str, ...]]
    suites: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    needs_text: ClassVar[bool] = True
    reads_layers: ClassVar[bool] = False
    text_drift: ClassVar[bool] = False
    clusters: ClassVar[tuple[str, ...]] = ("item",)
    clusters_alike: ClassVar[bool] = False
    preprocesses: ClassVar[tuple[str, ...]] = ("processor",)
    settings: ClassVar[tuple[str, ...]] = ()

    fingerprint: str
    preprocess: str = "processor"
    left_out: int = 0

    @abstractmethod
    def __init__(self, source: Source, image_processor: Any, settings: Settings) -> None:
        """Decode the stimuli and form pairs and prompts; nothing here depends on the weights."""

    @abstractmethod
    def observe(self, readout: Readout) -> pd.DataFrame:
        """What one revision answers: a row per stimulus and condition, with the facts that `score` needs."""

    @staticmethod
    @abstractmethod
    def score(trials: pd.DataFrame, settings: Settings) -> list[Measurement]:
        """The numbers, with the functions of `hf_clipdyn.metrics`."""

    @staticmethod
    def influences(trials: pd.DataFrame) -> Iterable[Influence]:
        """Of numbers whose error is a sum over stimuli, what each stimulus contributes; none by default.

        Two revisions are compared in these by the variance over stimuli that share any of the `clusters`, in the
        others by leaving out one group of clusters after the other and scoring again.
        """
        del trials
        return ()

    @staticmethod
    def score_together(a: pd.DataFrame, b: pd.DataFrame) -> tuple[list[Measurement], list[Measurement]]:
        """Numbers that are fair only where two revisions are compared, of the trials of each; none by default."""
        del a, b
        return [], []


def chosen_preprocess(kind: type[Benchmark], settings: Settings) -> str:
    """The preprocessing that the settings ask for where the kind offers it, else the kind's own."""
    wanted = settings.preprocess
    return wanted if wanted in kind.preprocesses else kind.preprocesses[0]


def decode(
    dataset: datasets.Dataset,
    image_processor: Any,
    settings: Settings,
    column: str = "image",
    *,
    squash: bool = False,
    distort: Change | None = None,
    distort_key: str = "",
) -> Pixels:
    """`decode_pixels` with the cache and the progress bar that the settings ask for.

    Args:
        squash: resize the whole image to the model's input, whatever its aspect ratio, and crop nothing.
    """
    return decode_pixels(
        dataset,
        squashing_processor(image_processor) if squash else image_processor,
        column,
        cache_dir=settings.cache_dir,
        distort=distort,
        distort_key=distort_key,
        disable_tqdm=not settings.show_progress,
    )


def check_columns(kind: str, trials: pd.DataFrame, columns: Iterable[str]) -> None:
    """Refuse trials that lack columns, as those that an earlier version kept.

    Raises:
        EvaluationError: a column is not there.
    """
    missing = [name for name in columns if name not in trials]
    if missing:
        raise EvaluationError(
            f"The trials of this {kind} benchmark lack {', '.join(missing)}, since an earlier version kept them: "
            "evaluate it again with --force."
        )


def measurement(
    result: Mapping[str, Any],
    key: str,
    causes: Mapping[str, str],
    *,
    metric: str | None = None,
    **fields: Any,
) -> Measurement:
    """Row for one key of what a function of `hf_clipdyn.metrics` returned, with its interval.

    Args:
        result: the returned dict.
        key: of the value; ``<key>_ci`` is its interval.
        causes: key to the reason why it is undefined (`undefined_causes`).
        metric: name in the table; the key by default.
        **fields: further fields of the row.
    """
    low, high = result.get(f"{key}_ci") or (float("nan"), float("nan"))
    row: dict[str, Any] = ({"n": result["n"]} if "n" in result else {}) | fields
    return Measurement(metric or key, float(result[key]), low, high, note=causes.get(key, ""), **row)


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
