"""The model of an evaluation, its precision, and the text embeddings of another revision."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.logging import get_logger
from numpy.typing import NDArray
from scipy import stats

from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.benchmarks.vectors import cosine_distance
from hf_clipdyn.errors import ConfigError, EvaluationError, shown
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.hub import checked_repo_id
from hf_clipdyn.models.classifiers import config_of
from hf_clipdyn.models.encoder import Encoder, default_device, read_input
from hf_clipdyn.revisions import Revision, Series

MINIMUM_RANK_CORRELATION = 0.99
"""The least Spearman correlation of all pairs' distances with those in float32."""

_SAMPLE = 64
_log = get_logger(__name__)


class LiveModel:
    """A model whose weights are those of the revision that was loaded last.

    Args:
        config: repository, store, device and dtype.
    """

    def __init__(self, config: EvaluationConfig) -> None:
        self._config = config
        self._encoder: Encoder | None = None
        self._folder: Path | None = None
        self._texts: dict[str, dict[str, NDArray[np.float32]]] = defaultdict(dict)

    def fetch(self, revision: Revision, *, settings_only: bool = False) -> Path:
        """Folder with the revision's files; a plan does not need the weights."""
        with PartialState().main_process_first():
            return self._config.series.fetch(revision, settings_only=settings_only)

    def load(self, folder: Path) -> Encoder:
        """The model with the weights of that folder."""
        if isinstance(self._config.series, GivenModel):
            self._encoder = self._encoder or self._config.series.encoder(self._config.device)
        elif self._encoder is None:
            device = self._config.device or default_device()
            dtype = getattr(torch, self._config.dtype)
            self._encoder = Encoder.from_folder(folder, device=device, dtype=dtype)
        elif folder != self._folder:
            self._encoder.load(folder)
        self._folder = folder
        return self._encoder

    def readout(self, revision: Revision) -> Readout:
        """The revision as benchmarks read it; a lower precision is compared with float32 on the first batch."""
        config, folder = self._config, self.fetch(revision)
        encoder, size, names = self.load(folder), config.batch_size, config.class_names
        compared = partial(compare_with_float32, folder, revision.name, config.device or str(encoder.device))
        check = None if config.dtype == "float32" else compared
        return Readout(encoder, batch_size=size, check=check, name=revision.name, label_map=names)

    def texts_of(self, revision: Revision, texts: Sequence[str]) -> NDArray[np.float32]:
        """Text embeddings of another revision, (n, d), not normalised; the model has its weights again afterwards.

        Both encoders change in training. With the texts of one revision, a trajectory shows the change of the images
        only. What is known of that revision is not embedded again.
        """
        known = self._texts[revision.name]
        missing = list(dict.fromkeys(text for text in texts if text not in known))
        if missing:
            before = self._folder
            known.update(zip(missing, self.load(self.fetch(revision)).embed_texts(missing), strict=True))
            if before is not None:
                self.load(before)
        return np.stack([known[text] for text in texts]) if texts else np.zeros((0, 0), np.float32)


class GivenModel(Series):
    """A model object as a `Series` of one revision; its weights are never written.

    Args:
        repo_id: what the table calls the model.
        model: a model of transformers, in float32; it stays on its device.
        processor: its processor, or the image processor of a vision model.
        revision: what the table calls its state; the commit is the hash of the weights.
        folder: empty; it receives the configuration and the processor.
    """

    def __init__(self, repo_id: str, model: Any, processor: Any, revision: Revision, folder: Path) -> None:
        self.repo_id = checked_repo_id(repo_id, what="The name of the model")
        self.where = str(folder)
        self._revision, self._folder = replace(revision, commit=_weights_hash(model)), folder
        self._model, self._processor = model, processor
        config_of(model).save_pretrained(folder)
        processor.save_pretrained(folder)

    def revisions(self) -> list[Revision]:
        return [self._revision]

    def fetch(self, revision: Revision, *, settings_only: bool = False) -> Path:  # noqa: ARG002 (there is one)
        """Folder with the configuration and the processor, without weights."""
        return self._folder

    def encoder(self, device: str | None) -> Encoder:
        """The model, moved to the device if one is given."""
        _, image_processor = read_input(self._folder)
        return Encoder(
            self._model,
            image_processor,
            getattr(self._processor, "tokenizer", None),
            device=torch.device(device or self._model.device),
            dtype=torch.float32,
        )


def _weights_hash(model: Any) -> str:
    """40 hexadecimal digits, as a commit has, so that a model that was trained on is measured again."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:40]


def check_processor(processor: object) -> None:
    """Raise ConfigError for what transformers did not load, such as a name."""
    if not callable(getattr(processor, "save_pretrained", None)):
        raise ConfigError(
            f"processor is {shown(processor)}: give an object of transformers, as `CLIPProcessor.from_pretrained` "
            "returns."
        )


def compare_with_float32(
    folder: Path, name: str, device: str, pixels: NDArray[np.uint8], projection: NDArray[np.float32]
) -> None:
    """Compare the first batch of a lower precision with float32, and log the deviation.

    If all cosines are close to 1, as in an untrained model, bfloat16 keeps no order at all.

    Args:
        folder, name: of the revision.
        device: of the float32 model.
        pixels: a batch of images, (n, H, W, 3).
        projection: theirs, (n, d).

    Raises:
        EvaluationError: the order of their distances is not that of float32.
    """
    n = min(len(pixels), _SAMPLE)
    reference = Encoder.from_folder(folder, device=device).embed_images(pixels[:n]).projection
    error = float(cosine_distance(reference, projection[:n]).max())
    first, second = np.triu_indices(n, 1)
    exact, rough = (cosine_distance(one[first], one[second]) for one in (reference, projection))
    known = n > 2 and exact.std() > 0 and rough.std() > 0
    correlation = float(stats.spearmanr(exact, rough).statistic) if known else float("nan")
    facts = f"rank correlation {correlation:.4f} of the distances of {n} images with float32"
    if not correlation >= MINIMUM_RANK_CORRELATION:
        raise EvaluationError(
            f"bfloat16 changes the order of the distances in {name} ({facts}, at least {MINIMUM_RANK_CORRELATION} is "
            "needed): use --dtype float32."
        )
    _log.info(
        f"{name}: bfloat16 embeddings are within a cosine distance of {error:.1e} from float32 ({facts})."
    )
