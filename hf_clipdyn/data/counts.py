"""Compare numbers of rows with the official ones: fewer are a warning, more are an error."""

import warnings
from collections.abc import Mapping

from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.errors import DatasetError

__all__ = ["SubsetWarning", "check_counts"]


class SubsetWarning(UserWarning):
    """Fewer rows than the official data set has."""


def check_counts(
    metadata: DatasetMetadata, config: str | None, counts: Mapping[str, int], where: str
) -> None:
    """Compare numbers of rows by split with the official ones, or the ``total`` if it is given.

    Args:
        metadata: with the official numbers.
        config: the configuration.
        counts: number of rows by split.
        where: the folder or mirror, for messages.

    Raises:
        DatasetError: there are more rows than the official data set has.

    Warns:
        SubsetWarning: there are fewer.
    """
    for split, count in counts.items():
        official = metadata.official_rows(config, split)
        if official is None or count == official:
            continue
        part = "" if split == "total" else f" in the split {split!r}"
        if count > official:
            raise DatasetError(
                f"{where} gives {count:,} rows{part}, but {metadata.title} has {official:,}: "
                "give a folder that contains only this data set."
            )
        warnings.warn(
            f"{metadata.title}: {count:,} of the official {official:,} rows{part} were found in {where}; the images "
            f"of the other {official - count:,} are missing.",
            SubsetWarning,
            stacklevel=4,
        )
