"""How a kind of measurement is added: one file in `benchmarks/kinds/`, or a plug-in. It loads neither pandas nor torch.

::

    # brightness.py, given with --plugin brightness.py
    class BrightnessSettings(KindSettings):
        gain: float = Field(1.2, gt=0, le=4)     # --brightness_gain
        '''Factor on the pixels.'''

    class Brightness(Kind[BrightnessSettings]):
        name = "brightness"                      # `brightness/cifar10`, `brightness/…`
        settings = BrightnessSettings
        schemas = ("labels",)                    # kinds of data sets that fit, the preferred one first
        terms = words("Brightness", 100, share("accuracy", "accuracy", "Share of right decisions.", better="high"))

        def __init__(self, source, image_processor, settings, common): ...   # once: images, pairs, prompts
        def observe(self, readout): ...          # once a revision: a row per stimulus, no statistics

        @classmethod
        def score(cls, trials, seed=0): ...      # the numbers, from those rows alone
        @classmethod
        def answers(cls, trials): ...            # the answers that are right or wrong, for relations, if it has any

`observe` and `score` are apart so that intervals, comparisons of revisions and new metrics come from the saved trials,
without a forward pass. `score` gives values with influences; the framework makes the intervals from them
(`hf_clipdyn.metrics.scores.interval`). What loads pandas, SciPy or torch is imported inside the methods, since the
settings are options of `clipdyn evaluate`, whose help waits for this file.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Self

from pydantic import AfterValidator, Field
from typing_extensions import TypeVar

from hf_clipdyn.errors import ConfigError, shown
from hf_clipdyn.options import Options
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import KindTerms, Term

if TYPE_CHECKING:
    import pandas as pd

    from hf_clipdyn.benchmarks.answers import Answers
    from hf_clipdyn.benchmarks.readout import Readout
    from hf_clipdyn.benchmarks.sources import Source
    from hf_clipdyn.metrics.scores import Scale, Score


class Common(Options):
    """The settings that all kinds share; the fields are also arguments of `hf_clipdyn.evaluate_revisions`.

    Raises:
        ConfigError: a value is out of its range.

    Examples:
        >>> from hf_clipdyn.benchmarks.kind import Common
        >>> Common(seed=1).confidence_level
        0.95
    """

    confidence_level: float = Field(0.95, gt=0, lt=1)
    """Confidence level of the intervals."""

    seed: int = Field(0, ge=0, lt=2**32)
    """Seed of the noise, and of halves and shuffles."""

    cache_dir: Path | None = None
    """Folder for decoded pixels. Default: a folder under HF_HOME."""

    show_progress: bool = True
    """Show progress bars."""


class KindSettings(Options):
    """The options of one kind, in the file of the kind; each is a flag of `clipdyn evaluate`.

    Attributes:
        gone: settings that left, with the value that the keys of kept cells have.
        only_set: whether the key leaves out what is false or empty.

    Raises:
        ConfigError: a value is out of its range.

    Examples:
        >>> from pydantic import Field
        >>> from hf_clipdyn.benchmarks.kind import KindSettings
        >>> class BrightnessSettings(KindSettings):
        ...     gains: tuple[float, ...] = Field((1.25, 1.5), min_length=1)
        ...
        >>> BrightnessSettings(gains=(2,)).in_key()
        {'gains': (2.0,)}
    """

    gone: ClassVar[Mapping[str, Any]] = {}
    only_set: ClassVar[bool] = False

    def in_key(self) -> dict[str, Any]:
        """The settings that tell a cell from others, for its column ``settings``.

        None is left out, and so are paths: their content counts.
        """
        values = {name: getattr(self, name) for name in type(self).model_fields} | dict(self.gone)
        return {
            name: value
            for name, value in values.items()
            if value is not None and not isinstance(value, Path) and (value or not self.only_set)
        }

    def suited(self, model_config: Any) -> Self:
        """These settings for a model of this configuration, where the defaults ask for what it lacks.

        Raises:
            EvaluationError: such a model would have no defined number; it says why, and what to do.
        """
        del model_config
        return self

    def rows_shown(self, n: int) -> int:
        """How many of the n rows of a data set are shown at most; for the dry run."""
        return n


def _in_one_order(classes: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The classes in one order, so that one choice is one cell."""
    chosen = None if classes is None else tuple(sorted(set(classes)))
    if chosen is not None and len(chosen) < 2:
        raise ConfigError(f"classes has {shown(', '.join(chosen))}: give at least two names.")
    return chosen


ClassNames = Annotated[tuple[str, ...] | None, AfterValidator(_in_one_order)]
"""The type of a setting that names at least two classes; None for all."""

S = TypeVar("S", bound=KindSettings, default=Any)


class Kind(ABC, Generic[S]):
    """A subclass is a kind of measurement; an instance shows one data set to all revisions with one processor.

    The class declares the attributes from ``name`` to ``score_version``. The constructor sets the others.
    ``docs/how-to/add-a-kind.md`` writes a whole kind.

    Attributes:
        name: name of the kind, before the slash in a benchmark's name.
        settings: class of the kind's settings.
        schemas: kinds of data sets (`hf_clipdyn.data.schemas`) that fit, the preferred one first. Empty for a kind
            that draws its own stimuli (`items`); the data set is then called ``procedural``, and the model must be in
            float32, since drawn stimuli may differ by less than bfloat16 keeps.
        terms: title, axes, metrics, conditions and references in words.
        clusters: columns of the trials that name the random units: one, or several that are crossed. Columns in a tuple
            share one set of names: an image may be a reference in one row and a candidate in another.
        needs_text: whether the model must have a text encoder, or a head with the kind's `classes`.
        images: columns of the data set with images; a row of which one cannot be decoded is left out.
        reads_layers: whether it compares hidden states. It then runs before the kinds that read projections, so that an
            image goes through the model once for both.
        observe_version: raise it if the same model would now answer differently; cells are then measured again.
        score_version: raise it if the same trials now give other numbers; ``--rescore`` then recomputes them.
        described: the other columns of the data set, a pandas table.
        shown: rows of the data set whose images can be decoded.
        table: ``described`` of these rows, with their numbers in the column ``item``.
        pixels: of each column of images, all rows.
        stimuli: of each column of images, the rows that are shown.
        fingerprint: SHA-256 of everything that is shown: pixels, labels, prompts, settings (`digest`).
        preprocess: how images become the model's input: ``processor``, ``squash``, ``crop``, or ``drawn`` at the size
            of that input.
        rows: row of the data set for each item of the trials; None if the items are the rows themselves.
        left_out: number of rows that cannot be decoded.
        facts: other constants that affect the numbers, for the column ``settings``. For example ``incomplete``: ``n/N``
            if only n of the N official rows are shown.

    Examples:
        >>> from hf_clipdyn.benchmarks.kinds.jnd import Jnd
        >>> Jnd.schemas, list(Jnd.terms.terms)
        (('same_different',), ['jnd_map', 'dropped_dimensions'])
        >>> Jnd.on("bapps").name
        'jnd/bapps'
    """

    name: ClassVar[str]
    settings: ClassVar[type[KindSettings]] = KindSettings
    schemas: ClassVar[tuple[str, ...]]
    terms: ClassVar[KindTerms]
    clusters: ClassVar[tuple[str | tuple[str, ...], ...]] = ("item",)
    needs_text: ClassVar[bool] = True
    images: ClassVar[tuple[str, ...]] = ("image",)
    reads_layers: ClassVar[bool] = False
    observe_version: ClassVar[int] = 1
    score_version: ClassVar[int] = 1

    fingerprint: str
    preprocess: str = "processor"
    rows: Any = None
    left_out: int = 0
    facts: Mapping[str, Any] = {}

    def __init__(self, source: "Source", image_processor: Any, settings: S, common: Common) -> None:
        """Decode the images; a subclass then forms pairs and prompts. Nothing here depends on the weights."""
        import numpy as np

        from hf_clipdyn.benchmarks.readout import Stimuli, decode

        del settings
        n = len(source.dataset)
        self.pixels = [decode(source.dataset, image_processor, common, name) for name in self.images]
        broken = np.any([np.zeros(n, bool), *(column.broken for column in self.pixels)], axis=0)
        self.shown = np.flatnonzero(~broken)
        self.stimuli = [Stimuli(column.array, self.shown) for column in self.pixels]
        self.described: pd.DataFrame = source.dataset.remove_columns(source.images).to_pandas()
        self.table = self.described.iloc[self.shown].assign(item=self.shown)
        self.left_out = int(broken.sum())
        self.facts = source.incomplete(len(self.shown))

    @abstractmethod
    def observe(self, readout: "Readout") -> "pd.DataFrame":
        """Show the stimuli to one revision.

        Args:
            readout: gives embeddings of images and texts.

        Returns:
            The trials: a row per stimulus and condition, without statistics. The column ``item`` is the number of the
            stimulus.
        """

    @classmethod
    @abstractmethod
    def score(cls, trials: "pd.DataFrame", seed: int = 0) -> "Iterable[tuple[Number, Scale]]":
        """All numbers of the trials, with the functions of `hf_clipdyn.metrics` and without a model.

        Args:
            trials: as `observe` returned them.
            seed: of halves and shuffles.

        Returns:
            Each number with the scale of its interval, made by `number`; also human observers' numbers, role ``human``.
            A number that has ends keeps them. Differences of revisions, contrasts and their intervals come from the
            influences; a value without one has none of these.
        """

    @classmethod
    def answers(cls, trials: "pd.DataFrame") -> "Iterable[Answers]":
        """The answers that are right or wrong, of the model and of human observers; none by default.

        Args:
            trials: as of `score`.

        Returns:
            For each number that is a share of right answers, and for each observer, the answers to its items, from
            `hf_clipdyn.benchmarks.answers.answers_of`.
        """
        del trials
        return ()

    @classmethod
    def classes(cls, source: "Source", settings: KindSettings) -> Sequence[str]:
        """The classes that it asks for on this data set; none by default.

        A classifier whose head has all of them then needs no text encoder. A model with a text encoder can
        be asked with the texts of the run's last revision (``--texts last``).
        """
        del source, settings
        return ()

    @classmethod
    def items(cls) -> Mapping[str, Sequence[Any]]:
        """The stimuli of a kind without ``schemas``, as columns: a row for each item of its trials."""
        raise NotImplementedError

    @classmethod
    def version_with(cls, settings: Mapping[str, Any]) -> int:
        """``observe_version``, or the version of some settings, as the column ``settings`` of a cell has them."""
        del settings
        return cls.observe_version

    @classmethod
    def on(cls, dataset: str, **settings: Any) -> "Benchmark":
        """This kind on a data set: ``Noise.on("cifar100", stage="input")``.

        Args:
            dataset: name of the data set.
            **settings: fields of the kind's settings.

        Raises:
            ConfigError: there is no such setting, or it is out of its range.
        """
        return Benchmark(cls, dataset, cls.settings(**settings))


@dataclass(frozen=True)
class Benchmark:
    """A kind on a data set, with the kind's settings. `Kind.on` makes one.

    Attributes:
        kind: the class of the kind.
        dataset: name of the data set.
        settings: an instance of the kind's ``settings``.

    Examples:
        >>> from hf_clipdyn.benchmarks.kinds.noise import Noise
        >>> Noise.on("cifar100", stage="input").name
        'noise/cifar100'
    """

    kind: type[Kind]
    dataset: str
    settings: KindSettings

    @property
    def name(self) -> str:
        """``kind/dataset``."""
        return f"{self.kind.name}/{self.dataset}"


def number(metric: str, score: "Score", units: Any = None, **columns: Any) -> "tuple[Number, Scale]":
    """A score as a number of the table, with its scale.

    Args:
        metric: key of the kind's terms.
        score: its influence has an entry for each of the units.
        units: what the influence belongs to. The column ``item`` of the rows that were scored: their clusters are
            `Kind.clusters`. An index of another name: the clusters themselves. None: the number has no interval.
        **columns: further columns of the number.

    Examples:
        >>> import pandas as pd
        >>> from hf_clipdyn.benchmarks.kind import number
        >>> from hf_clipdyn.metrics.scores import mean
        >>> found, scale = number("accuracy", mean([1, 0], "count"), pd.Series([4, 7], name="item"), level=0.1)
        >>> found.value, found.n, found.influence.to_dict(), scale
        (0.5, 2, {4: 0.25, 7: -0.25}, 'count')
    """
    import pandas as pd

    known = None
    if score.influence is not None and units is not None:
        index = units if isinstance(units, pd.Index) else pd.Index(units)
        known = pd.Series(score.influence, index=index)
    described: dict[str, Any] = {"n": score.n, "note": score.cause} | columns
    return Number(metric=metric, value=float(score.value), influence=known, **described), score.scale


def digest(*parts: Any) -> str:
    """SHA-256 of values that JSON can write: 64 hexadecimal digits, for `Kind.fingerprint`.

    Examples:
        >>> from hf_clipdyn.benchmarks.kind import digest
        >>> digest("brightness", [1.25, 1.5])[:8]
        '4507281b'
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def words(title: str, rank: int, *metrics: tuple[str, Term], **others: Any) -> KindTerms:
    """The terms of a kind.

    Args:
        title: for headings.
        rank: the order of the kinds.
        *metrics: made by `share` and `term`, in the order in which they are shown.
        **others: of `KindTerms`.

    Examples:
        >>> from hf_clipdyn.benchmarks.kind import share, words
        >>> words("Brightness", 100, share("accuracy", "accuracy", "Share of right decisions.")).title
        'Brightness'
    """
    return KindTerms(title=title, rank=rank, terms=dict(metrics), **others)


def share(name: str, title: str, meaning: str, **others: Any) -> tuple[str, Term]:
    """The words of a number in [0, 1], for `words`; a high one is better by default.

    Examples:
        >>> from hf_clipdyn.benchmarks.kind import share
        >>> share("accuracy", "accuracy", "Share of right decisions.")[1].limits
        (0.0, 1.0)
    """
    return term(name, title, meaning, **{"limits": (0.0, 1.0), "better": "high"} | others)


def term(name: str, title: str, meaning: str, **others: Any) -> tuple[str, Term]:
    """The words of a number, for `words`.

    Examples:
        >>> from hf_clipdyn.benchmarks.kind import term
        >>> term("drop", "drop of accuracy", "Clean minus noisy.", better="low")[0]
        'drop'
    """
    return name, Term(title=title, meaning=meaning, **others)
