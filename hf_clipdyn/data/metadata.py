"""Kind, licence, size and origin of a data set, known before its files are opened."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

from hf_clipdyn.errors import DatasetError


class SubsetWarning(UserWarning):
    """A data set has fewer rows than the official one. `load_dataset` warns with it."""


@dataclass(frozen=True)
class DatasetMetadata:
    """Kind, licence, size and origin of a data set, as its builder class declares them.

    Attributes:
        kind: what a row is, one of `hf_clipdyn.data.schemas.KINDS`.
        title: the data set's own name.
        licence: as its source states it, or "none stated".
        where: address or instructions to get it.
        citation: BibTeX.
        rows: official number of rows by split, or by ``config/split`` if configurations differ; only the ``total`` if
            the splits are unknown; empty if the size is not fixed.
        may_redistribute: whether the licence allows others to redistribute the data publicly.
        licence_id: the Hub's identifier of the licence, for cards; ``other`` and ``unknown`` are allowed.
        mirror: data set on the Hub that is read if neither a folder nor a mirror is given.
        templates: prompts for zero-shot classification, each with one ``{}`` for the class name.
        config_kinds: kind by configuration, if it differs from ``kind``.
        pixels_per_degree: pixels of the images per degree of visual angle in the eye-tracking experiment.
        drop_first: whether scoring ignores each subject's first fixation, which is where the eye was before the
            image appeared.
        synthetic: whether this project draws the images; the report then states it.
        caution: what numbers on it do not show, in sentences that the report quotes.
        human_reference: published human values on this data set, by metric.

    Examples:
        >>> from hf_clipdyn.data import dataset_metadata
        >>> metadata = dataset_metadata("cifar10")
        >>> metadata.kind, metadata.rows, metadata.official_rows(None, "test")
        ('labels', {'train': 50000, 'test': 10000}, 10000)
    """

    kind: str
    title: str
    licence: str
    where: str
    citation: str = ""
    rows: Mapping[str, int] = field(default_factory=dict)
    may_redistribute: bool = False
    licence_id: str = "other"
    mirror: str | None = None
    templates: tuple[str, ...] | None = None
    config_kinds: Mapping[str, str] = field(default_factory=dict)
    pixels_per_degree: float | None = None
    drop_first: bool = False
    synthetic: bool = False
    caution: str = ""
    human_reference: Mapping[str, float] = field(default_factory=dict)

    @property
    def description(self) -> str:
        """The title, with a note if the images are synthetic."""
        return f"{self.title} (synthetic)" if self.synthetic else self.title

    def official_rows(self, config: str | None, split: str) -> int | None:
        """Official number of rows of a split (or the ``total``); None if it is unknown or not fixed."""
        return self.rows.get(f"{config}/{split}", self.rows.get(split))

    def kind_of(self, config: str | None) -> str:
        """Kind of the rows of a configuration; None is the default one."""
        return self.config_kinds.get(config or "", self.kind)

    def check_counts(self, config: str | None, counts: Mapping[str, int], where: str) -> None:
        """Compare numbers of rows by split with the official ones, or the ``total`` if it is given.

        Args:
            config: the configuration.
            counts: number of rows by split.
            where: the folder or mirror, for messages.

        Raises:
            DatasetError: there are more rows than the official data set has.

        Warns:
            SubsetWarning: there are fewer.
        """
        for split, count in counts.items():
            official = self.official_rows(config, split)
            if official is None or count == official:
                continue
            part = "" if split == "total" else f" in the split {split!r}"
            if count > official:
                raise DatasetError(
                    f"{where} contains {count:,} rows{part}, but {self.title} has {official:,}: "
                    "give a folder that contains only this data set."
                )
            warnings.warn(
                f"{self.title}: {count:,} of the official {official:,} rows{part} were found in {where}; the images "
                f"of the other {official - count:,} are missing.",
                SubsetWarning,
                stacklevel=4,
            )
