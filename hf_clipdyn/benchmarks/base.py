"""How a kind of measurement is added: one file in `benchmarks/kinds/`, or in a package or module of your own.

::

    # brightness.py, given with --plugin brightness.py
    class BrightnessSettings(KindSettings):
        gain: float = Field(1.2, gt=0, le=4)     # --brightness-gain
        '''Factor on the pixels.'''

    class Brightness(Kind[BrightnessSettings]):
        name = "brightness"                      # `brightness/cifar10`, `brightness/…`
        settings_class = BrightnessSettings
        schemas = ("labels",)                    # kinds of data sets that fit, the preferred one first
        terms = KindTerms(title="Brightness", terms={"accuracy": Term(title="accuracy", better="high")})
        trial_columns = {"item": "int64", "label": "int64", "decision": "int64"}

        def __init__(self, source, image_processor, settings, common): ...   # once: pixels, pairs, prompts
        def observe(self, readout): ...          # once a revision: one row per stimulus, no statistics
        def score(trials, common): ...           # the numbers, from those rows alone

        def answers(cls, trials): ...            # the answers that are right or wrong, for relations, if it has any
        def gallery(trials): ...                 # pictures and answers for the report's browser, if it has any
        views = (GalleryView(("item", "label", "decision"), gallery),)

Declarations load no torch: what needs it is imported inside the methods. `observe` and `score` are apart so that
intervals, comparisons of revisions and new metrics come from the saved trials, without a forward pass.

`ImageKind` decodes images; `classes` and `pair_tables` have bases of kinds that ask for classes or compare pairs.
"""

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

import datasets
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from hf_clipdyn.benchmarks.answers import Answers
from hf_clipdyn.benchmarks.gallery import View
from hf_clipdyn.benchmarks.readout import Stimuli
from hf_clipdyn.benchmarks.settings import Benchmark, Common, KindSettings
from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.metrics.influence import mean_influence
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import KindTerms

if TYPE_CHECKING:
    from hf_clipdyn.benchmarks.readout import Change, Readout
    from hf_clipdyn.benchmarks.sources import Source
    from hf_clipdyn.data.pixels import Pixels

__all__ = [
    "BY_IMAGE",
    "BY_PERSON",
    "NO_INTERVAL",
    "Benchmark",
    "Common",
    "ImageKind",
    "Kind",
    "KindSettings",
    "by_item",
    "check_columns",
    "cosine_distance",
    "decode",
    "digest",
    "mean_by_item",
    "number",
    "similarity",
    "unit",
]

NO_INTERVAL: Sequence[float] = (math.nan, math.nan)
"""The ends of the interval of a number that has none."""
BY_IMAGE, BY_PERSON = "people by image", "people by person"
"""What `Kind.numbers_of_people` gives the influences of."""


S = TypeVar("S", bound=KindSettings)


class Kind(ABC, Generic[S]):
    """Base class of the kinds of benchmarks. A subclass is a kind; an instance shows one data set to all revisions.

    The class declares the attributes from ``name`` to ``views``. The constructor sets the others.
    ``docs/how-to/add-a-kind.md`` writes a whole kind.

    Attributes:
        name: name of the kind, before the slash in a benchmark's name.
        settings_class: class of the kind's settings.
        schemas: kinds of data sets (`hf_clipdyn.data.schemas`) that fit, the preferred one first. Empty for a kind
            that draws its own stimuli (`items`); the data set is then called ``procedural``.
        terms: title, axes, metrics, conditions and references in words.
        trial_columns: pandas type of each column of the trials; `observe` returns exactly these columns.
        later_columns: the columns that trials of earlier versions lack; `score` works without them.
        observe_version: raise it if the same model would now answer differently; cells are then measured again. Where
            this concerns some settings only, `version_with` says so.
        score_version: raise it if the same trials now give other numbers; ``--rescore`` then recomputes them.
        needs_text: whether the model must have a text encoder, or a head with the kind's `classes`.
        needs_float32: whether bfloat16 is too coarse for the differences between its images.
        reads_layers: whether it compares hidden states. It then runs before the kinds that read projections, so that an
            image goes through the model once for both.
        text_drift: whether it names classes by texts. It then runs a second time, with the text embeddings of the run's
            last revision (`Readout.with_texts`), and leaves out what needs no text.
        most_rows: rows that it draws from a larger data set; None if it shows all.
        clusters: columns of the trials that name the random units: one column, or several that are crossed.
        clusters_alike: whether these columns share one set of names: an image may be a reference in one row and a
            candidate in another.
        answers_from: columns of the trials that `answers` reads; empty for a kind without right answers.
        shares_trials: whether the trials are pushed with the results, if the data set's licence lets one.
        views: what the report's page shows of the trials (`hf_clipdyn.benchmarks.gallery`): a browser of stimuli,
            response curves.
        fingerprint: SHA-256 of everything that is shown and asked: pixels, labels, prompts, settings.
        preprocess: how images become the model's input: ``processor``, ``squash``, ``tiles``, ``crop``, or ``drawn`` at
            the size of that input.
        rows: row of the data set for each item of the trials; None if the items are the rows themselves.
        left_out: number of stimuli that cannot be decoded.
        drawn: number of images that are drawn for a revision; 0 if it is shown those of the data set.
        facts: other constants that affect the numbers, for the column ``settings``. For example ``incomplete``: ``n/N``
            if only n of the N official rows are shown.

    Examples:
        >>> from hf_clipdyn.benchmarks.kinds.zero_shot import ZeroShot
        >>> ZeroShot.schemas, list(ZeroShot.terms.terms)
        (('labels',), ['top1', 'top5'])
        >>> ZeroShot.on("cifar10").name
        'zero_shot/cifar10'
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
    most_rows: ClassVar[int | None] = None
    clusters: ClassVar[tuple[str, ...]] = ("item",)
    clusters_alike: ClassVar[bool] = False
    answers_from: ClassVar[tuple[str, ...]] = ()
    shares_trials: ClassVar[bool] = True
    views: ClassVar[tuple[View[Any], ...]] = ()

    fingerprint: str
    preprocess: str = "processor"
    rows: NDArray[np.int64] | None = None
    left_out: int = 0
    drawn: int = 0
    facts: Mapping[str, Any] = {}

    @abstractmethod
    def __init__(self, source: "Source", image_processor: Any, settings: S, common: Common) -> None:
        """Decode the stimuli and form pairs and prompts; nothing here depends on the weights."""

    @abstractmethod
    def observe(self, readout: "Readout") -> pd.DataFrame:
        """Show the stimuli to one revision.

        Args:
            readout: gives embeddings of images and texts.

        Returns:
            The trials: a row per stimulus and condition, with the columns of ``trial_columns`` and no statistics.
        """

    @classmethod
    def classes(cls, source: "Source", settings: KindSettings) -> Sequence[str]:
        """The classes that it asks for on this data set; none by default.

        A classifier whose head has all of them then needs no text encoder.
        """
        del source, settings
        return ()

    @classmethod
    def version_with(cls, settings: Mapping[str, Any]) -> int:
        """The version of the observation with these settings, as the column ``settings`` of a cell has them."""
        del settings
        return cls.observe_version

    @classmethod
    def count_drawn(cls, source: "Source", image_processor: Any) -> int:
        """Number of images that a revision would be shown of what is drawn; 0 if it is shown those of the data set."""
        del source, image_processor
        return 0

    @classmethod
    def items(cls) -> Mapping[str, Sequence[Any]]:
        """The stimuli of a kind without ``schemas``, as columns: a row for each item of its trials."""
        raise NotImplementedError

    @staticmethod
    @abstractmethod
    def score(trials: pd.DataFrame, common: Common) -> list[Number]:
        """Compute all numbers from the trials, with the functions of `hf_clipdyn.metrics` and without a model.

        Args:
            trials: as `observe` returned them.
            common: settings of the intervals; ``common.resampling`` has the keywords of the metrics.

        Returns:
            The numbers, each value best with its ``influence``: what each item contributes to it (`mean_by_item`,
            `by_item`), or what each cluster does, a Series whose index names the clusters. Differences of revisions,
            contrasts and their intervals come from it. A value without one has that of a jackknife, for which this
            function runs up to 100 times.
        """

    @classmethod
    def fitted(cls, settings: S, model_config: Any) -> S:
        """The settings for a model of this configuration, where the defaults ask for what it lacks."""
        del model_config
        return settings

    @classmethod
    def unfit(cls, settings: S, model_config: Any) -> tuple[str, str] | None:
        """Why a model of this configuration would have no defined number, and what to do; None if it has some."""
        del settings, model_config
        return None

    @classmethod
    def answers(cls, trials: pd.DataFrame) -> Iterable[Answers]:
        """The answers that are right or wrong, of the model and of people; none by default.

        Args:
            trials: at least their columns ``answers_from``.

        Returns:
            For each number that is a share of right answers, and for each person, the answers to its items, made by
            `hf_clipdyn.benchmarks.answers.answers_of`.
        """
        del trials
        return ()

    @classmethod
    def numbers_of_people(cls, trials: pd.DataFrame) -> Iterable[Number]:
        """The mean of people's own values, for contrasts with people; none by default.

        Args:
            trials: as of `score`.

        Returns:
            It twice, with the references `BY_IMAGE` and `BY_PERSON` and with what each image or person contributes.
        """
        del trials
        return ()

    @staticmethod
    def score_together(a: pd.DataFrame, b: pd.DataFrame) -> tuple[list[Number], list[Number]]:
        """Numbers of two revisions, with influences, that are only meaningful in their comparison; none by default."""
        del a, b
        return [], []

    @classmethod
    def on(cls, dataset: str, **settings: Any) -> "Benchmark":
        """This kind on a data set: ``Noise.on("cifar100", stage="input")``.

        Args:
            dataset: name of the data set.
            **settings: fields of ``settings_class``.

        Raises:
            TypeError: the kind has no such setting.
            ConfigError: a setting is out of its range.
        """
        return Benchmark(cls, dataset, cls.settings_class(**settings))


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
    """The images of a data set as the model takes them, decoded once and kept in a memory map.

    Args:
        dataset: rows with a column of images.
        image_processor: the model's; it gives the size, the resizing and the crop.
        common: its ``cache_dir`` and ``show_progress`` are used.
        column: name of the column.
        squash: resize the whole image to the model's input, whatever its aspect ratio, and crop nothing.
        distort: changes the pixels of row i before they are resized; must be deterministic.
        distort_key: names what ``distort`` does, for the cache.

    Returns:
        `hf_clipdyn.data.pixels.Pixels`: ``array`` of shape (n, H, W, 3), uint8; ``broken`` of shape (n,), True for an
        image that cannot be decoded; ``fingerprint``, a hash of all pixels.

    Examples:
        >>> import datasets
        >>> from PIL import Image
        >>> from hf_clipdyn.benchmarks.base import Common, decode
        >>> from hf_clipdyn.models.sizes import clip_image_processor, model_size
        >>> images = datasets.Dataset.from_dict({"image": [Image.new("RGB", (60, 40))]})
        >>> pixels = decode(images, clip_image_processor(model_size("tiny")), Common(show_progress=False))
        >>> pixels.array.shape, pixels.broken.tolist()
        ((1, 40, 40, 3), [False])
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


class ImageKind(Kind[S]):
    """Base of kinds that show each image of the data set. The constructor decodes them, for that of the kind.

    Attributes:
        pixels: of all images.
        shown: rows whose image can be decoded; the others are ``left_out``.
        stimuli: their images.
    """

    def __init__(self, source: "Source", image_processor: Any, settings: S, common: Common) -> None:
        del settings
        self.pixels = decode(source.dataset, image_processor, common)
        self.shown = np.flatnonzero(~self.pixels.broken)
        self.stimuli = Stimuli(self.pixels.array, self.shown)
        self.left_out = int(self.pixels.broken.sum())


def check_columns(kind: type[Kind[Any]], trials: pd.DataFrame, columns: Iterable[str]) -> None:
    """Check that trials have the columns that are read; trials of an earlier version may lack some.

    Raises:
        EvaluationError: a column is missing.

    Examples:
        >>> import pandas as pd
        >>> from hf_clipdyn.benchmarks.base import check_columns
        >>> from hf_clipdyn.benchmarks.kinds.zero_shot import ZeroShot
        >>> check_columns(ZeroShot, pd.DataFrame({"item": [0]}), ["item"])
    """
    missing = [name for name in columns if name not in trials]
    if missing:
        raise EvaluationError(
            f"The trials of this {kind.name} benchmark lack the columns {', '.join(missing)}: an earlier "
            "version wrote them. Evaluate the benchmark again with --force."
        )


def number(result: Mapping[str, Any], key: str, *, metric: str | None = None, **columns: Any) -> Number:
    """One value that a function of `hf_clipdyn.metrics` returned, with its interval, as a `Number` of the table.

    Args:
        result: the returned dict; its ``causes`` say why a value is undefined.
        key: of the value; ``<key>_ci`` is its interval.
        metric: name in the table; the key by default.
        **columns: further columns of the number.

    Examples:
        >>> from hf_clipdyn.benchmarks.base import number
        >>> result = {"top1": 0.5, "top1_ci": [0.4, 0.6], "n": 100, "causes": {}}
        >>> found = number(result, "top1", condition="gaussian", level=0.1, n=100)
        >>> found.metric, found.value, found.ci_low, found.ci_high
        ('top1', 0.5, 0.4, 0.6)
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


def by_item(
    contributions: ArrayLike, items: "pd.Series[Any] | pd.Index | Sequence[Any] | NDArray[Any]"
) -> "pd.Series[float]":
    """The influence on a number by item.

    Args:
        contributions: shape (n,); they sum to about zero.
        items: the items of the trials, shape (n,); an index of that name is shared by all numbers that have it.

    Examples:
        >>> from hf_clipdyn.benchmarks.base import by_item
        >>> by_item([0.1, -0.1], [4, 7]).to_dict()
        {4: 0.1, 7: -0.1}
    """
    shared = isinstance(items, pd.Index) and items.name == "item"
    index = cast("pd.Index", items) if shared else pd.Index(items, name="item")
    return pd.Series(np.asarray(contributions, np.float64), index=index)


def mean_by_item(
    values: ArrayLike, items: "pd.Series[Any] | pd.Index | Sequence[Any] | NDArray[Any]"
) -> "pd.Series[float]":
    """The influence on a mean by item; NaN entries are left out of the mean.

    Args:
        values: whose mean is the number, shape (n,).
        items: the items of the trials, shape (n,).

    Examples:
        >>> from hf_clipdyn.benchmarks.base import mean_by_item
        >>> mean_by_item([1, 0], [4, 7]).to_dict()
        {4: 0.25, 7: -0.25}
    """
    return by_item(mean_influence(values), items)


def digest(*parts: Any) -> str:
    """SHA-256 of values that JSON can write: 64 hexadecimal digits, for `Kind.fingerprint`.

    Examples:
        >>> from hf_clipdyn.benchmarks.base import digest
        >>> digest("brightness", [1.25, 1.5])[:8]
        '4507281b'
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def unit(vectors: ArrayLike) -> NDArray[np.float64]:
    """Vectors (…, d) scaled to length 1, in float64; a zero vector stays zero.

    Examples:
        >>> from hf_clipdyn.benchmarks.base import unit
        >>> unit([[3.0, 4.0], [0.0, 0.0]]).tolist()
        [[0.6, 0.8], [0.0, 0.0]]
    """
    rows = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    result: NDArray[np.float64] = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return result


def similarity(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Cosines of every pair, (n, d) and (m, d) to (n, m), rounded to 12 digits.

    What is equal must tie, and a matrix product adds up equal rows in different orders.

    Examples:
        >>> from hf_clipdyn.benchmarks.base import similarity
        >>> similarity([[1.0, 0.0], [1.0, 1.0]], [[0.0, 2.0]]).round(4).tolist()
        [[0.0], [0.7071]]
    """
    return np.round(unit(first) @ unit(second).T, 12)


def cosine_distance(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Half the squared distance of the unit vectors, in [0, 2]: 1 - cos without its cancellation.

    In an untrained model all cosines are within 1e-7 of 1, where 1 - cos keeps no digit.

    Args:
        first, second: (…, d), broadcast against each other.

    Returns:
        Shape (…).

    Examples:
        >>> from hf_clipdyn.benchmarks.base import cosine_distance
        >>> cosine_distance([[1.0, 0.0], [1.0, 1.0]], [[0.0, 2.0], [3.0, 3.0]]).round(6).tolist()
        [1.0, 0.0]
    """
    difference = unit(first) - unit(second)
    return np.asarray(0.5 * np.square(difference).sum(axis=-1))
