"""What the framework reads of a kind until all kinds have the interface of `hf_clipdyn.benchmarks.kind`.

This file goes with the last kind of the interface of 0.3, whose `score` takes the configuration and gives numbers with
their own intervals.
"""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar


class Earlier:
    """Defaults of attributes that kinds of 0.3 declare; see the explanations there."""

    trial_columns: ClassVar[Mapping[str, str]] = {}
    later_columns: ClassVar[tuple[str, ...]] = ()
    needs_float32: ClassVar[bool] = False
    text_drift: ClassVar[bool] = False
    most_rows: ClassVar[int | None] = None
    clusters_alike: ClassVar[bool] = False
    answers_from: ClassVar[tuple[str, ...]] = ()
    shares_trials: ClassVar[bool] = True
    views: ClassVar[tuple[Any, ...]] = ()
    drawn: int = 0

    observe_version: ClassVar[int]
    score: ClassVar[Any]

    @classmethod
    def version_with(cls, settings: Mapping[str, Any]) -> int:
        """The version of the observation with these settings, as the column ``settings`` of a cell has them."""
        del settings
        return cls.observe_version

    @classmethod
    def count_drawn(cls, source: Any, image_processor: Any) -> int:
        """Number of images that a revision would be shown of what is drawn; 0 if it is shown those of the data set."""
        del source, image_processor
        return 0

    @classmethod
    def fitted(cls, settings: Any, model_config: Any) -> Any:
        """The settings for a model of this configuration, where the defaults ask for what it lacks."""
        del model_config
        return settings

    @classmethod
    def unfit(cls, settings: Any, model_config: Any) -> tuple[str, str] | None:
        """Why a model of this configuration would have no defined number, and what to do; None if it has some."""
        del settings, model_config
        return None

    @classmethod
    def numbers_of_people(cls, trials: Any) -> Iterable[Any]:
        """The mean of people's own values; none by default."""
        del trials
        return ()

    @staticmethod
    def score_together(a: Any, b: Any) -> tuple[list[Any], list[Any]]:
        """Numbers of two revisions that are only meaningful in their comparison; none by default."""
        del a, b
        return [], []

    @classmethod
    def is_earlier(cls) -> bool:
        """Whether `score` has the interface of 0.3."""
        return "common" in inspect.signature(cls.score).parameters
