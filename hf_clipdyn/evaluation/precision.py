"""How far a lower precision is from float32, on the images that are measured."""

from pathlib import Path

import numpy as np
import torch
from accelerate.logging import get_logger
from numpy.typing import NDArray
from scipy import stats

from hf_clipdyn.benchmarks.base import cosine_distance
from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.models.encoder import Encoder

MINIMUM_RANK_CORRELATION = 0.99
"""The least Spearman correlation of all pairs' distances with those in float32."""

_SAMPLE = 64
_log = get_logger(__name__)


class PrecisionCheck:
    """Compares the first batch with float32, and raises if the order of the distances changes.

    If all cosines are close to 1, as in an untrained model, bfloat16 keeps no order at all.

    Args:
        folder: snapshot of the revision.
        name: name of the revision, for the message.
        device: device of the float32 model.
    """

    def __init__(self, folder: Path, name: str, device: str | torch.device) -> None:
        self._folder, self._name, self._device = folder, name, device

    def __call__(self, pixels: NDArray[np.uint8], projection: NDArray[np.float32]) -> None:
        """Check a batch of (n, H, W, 3) images and their (n, d) projections, and log the deviation.

        Raises:
            EvaluationError: the order of their distances is not that of float32.
        """
        n = min(len(pixels), _SAMPLE)
        reference = Encoder.from_folder(self._folder, device=self._device).embed_images(pixels[:n]).projection
        error = float(cosine_distance(reference, projection[:n]).max())
        first, second = np.triu_indices(n, 1)
        exact = cosine_distance(reference[first], reference[second])
        rough = cosine_distance(projection[first], projection[second])
        known = n > 2 and exact.std() > 0 and rough.std() > 0
        correlation = float(stats.spearmanr(exact, rough).statistic) if known else float("nan")
        facts = f"rank correlation {correlation:.4f} of the distances of {n} images with float32"
        if not correlation >= MINIMUM_RANK_CORRELATION:
            raise EvaluationError(
                f"bfloat16 changes the order of the distances in {self._name} ({facts}, at least "
                f"{MINIMUM_RANK_CORRELATION} is needed): use --dtype float32."
            )
        _log.info(
            f"{self._name}: bfloat16 embeddings are within a cosine distance of {error:.1e} from "
            f"float32 ({facts})."
        )
