"""What is known about a data set before any of its files is opened."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["DatasetFacts"]


@dataclass(frozen=True)
class DatasetFacts:
    """The facts that a loader's class carries.

    Attributes:
        kind: what a row is, one of `hf_clipdyn.data.schemas.KINDS`.
        title: the data set's own name.
        rows: rows of the official data set by split, by ``config/split`` where configurations differ, or their
            ``total`` where the splits' shares are not known; empty where it has no fixed size.
        licence: as its source states it; "none stated" is a fact too.
        may_redistribute: whether that licence lets others pass the data on to the public.
        where: where to get it.
        citation: BibTeX.
        licence_id: the Hub's identifier of the licence, for cards (``other`` and ``unknown`` are such).
        mirror: a data set on the Hub that is read when neither a folder nor a mirror is given.
        templates: prompts for zero-shot classification, each with one ``{}`` for the class name.
        config_kinds: kind by configuration, for those whose rows differ from ``kind``.
        pixels_per_degree: of visual angle, in the images' own pixels, where people looked at them.
        drop_first: whether each subject's first fixation is left out of what is scored: it lies where the eye
            was before the image came.
        synthetic: whether this project draws the images; the report then says so.
        human_reference: metric to the value of people on this data set, from the literature.
    """

    kind: str
    title: str
    rows: Mapping[str, int]
    licence: str
    may_redistribute: bool
    where: str
    citation: str
    licence_id: str = "other"
    mirror: str | None = None
    templates: tuple[str, ...] | None = None
    config_kinds: Mapping[str, str] = field(default_factory=dict)
    pixels_per_degree: float | None = None
    drop_first: bool = False
    synthetic: bool = False
    human_reference: Mapping[str, float] = field(default_factory=dict)

    def official_rows(self, config: str | None, split: str) -> int | None:
        """Rows of a split of the official data set (or its ``total``); None: not known, or of no fixed size."""
        return self.rows.get(f"{config}/{split}", self.rows.get(split))

    def kind_of(self, config: str | None) -> str:
        """Kind of the rows of the configuration ``config`` (None: the default one)."""
        return self.config_kinds.get(config or "", self.kind)
