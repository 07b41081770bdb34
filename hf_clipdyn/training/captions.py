"""The captions of a data set as tokens."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from transformers import CLIPTokenizer

from hf_clipdyn.data.captioned import MAX_CAPTION, has_overlong
from hf_clipdyn.errors import TrainingError

__all__ = ["Captions"]

_AT_ONCE = 2**14  # the tokenizer keeps a few kilobytes a caption while it works


@dataclass(frozen=True)
class Captions:
    """All captions of a data set as tokens.

    Attributes:
        tokens: (captions, context) integers, padded with the end token.
        first: (images + 1,) index of each image's first caption.
        broken: rows of the images with an overlong caption, which is tokenised as an empty one.
    """

    tokens: NDArray[np.integer]
    first: NDArray[np.int64]
    broken: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    @classmethod
    def tokenise(cls, captions: Sequence[Sequence[str]], tokenizer: CLIPTokenizer) -> "Captions":
        """Tokenise the captions of each image; what exceeds the context is cut, the end token kept.

        Raises:
            TrainingError: an image has no caption.
        """
        counts = np.array([len(texts) for texts in captions])
        if (counts == 0).any():
            raise TrainingError(
                f"Image {int(np.argmin(counts))} of the data set has no caption: remove it, or give it one."
            )
        flat = [text if len(text) <= MAX_CAPTION else "" for texts in captions for text in texts]
        dtype = np.uint16 if len(tokenizer) <= 2**16 else np.int32
        parts = [
            tokenizer(
                flat[start : start + _AT_ONCE], padding="max_length", truncation=True, return_tensors="np"
            )["input_ids"].astype(dtype)
            for start in range(0, len(flat), _AT_ONCE)
        ]
        broken = np.flatnonzero([has_overlong(texts) for texts in captions])
        return cls(np.concatenate(parts), np.concatenate([[0], np.cumsum(counts)]), broken)

    @property
    def counts(self) -> NDArray[np.int64]:
        """(images,) number of captions of each image."""
        return np.diff(self.first)
