"""The one model of an evaluation, and the texts that it embeds with the weights of the run's last revision."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from numpy.typing import NDArray

from hf_clipdyn.models.encoder import Encoder
from hf_clipdyn.models.snapshots import architecture_digest, snapshot_folder
from hf_clipdyn.revisions import Revision

__all__ = ["LastTexts", "LiveModel"]


class LiveModel:
    """A model whose weights are those of the revision that was loaded last.

    Args:
        repo_id: ``owner/name`` of the run.
        store: folder of a local store; None reads the Hub.
        token: for a private repository.
        device: None for the accelerator where there is one.
        dtype: of weights and activations.
    """

    def __init__(
        self, repo_id: str, store: Path | None, token: str | None, device: str | None, dtype: torch.dtype
    ) -> None:
        self._repo_id, self._store, self._token = repo_id, store, token
        self._device, self._dtype = device, dtype
        self._encoder: Encoder | None = None
        self._folder: Path | None = None

    def fetch(self, revision: Revision) -> Path:
        """Folder with the revision's files."""
        with PartialState().main_process_first():
            return snapshot_folder(
                self._repo_id,
                revision.commit,
                cache_dir=self._store,
                local_files_only=self._store is not None,
                token=self._token,
            )

    def load(self, folder: Path) -> Encoder:
        """The model with the weights of that folder."""
        if self._encoder is None:
            device = self._device or _default_device()
            self._encoder = Encoder.from_folder(folder, device=device, dtype=self._dtype)
        elif folder != self._folder:
            self._encoder.load(folder)
        self._folder = folder
        return self._encoder

    @contextmanager
    def borrowed(self, folder: Path) -> Iterator[Encoder]:
        """Within this context the model has the weights of that folder, afterwards those it had before."""
        before = self._folder
        encoder = self.load(folder)
        yield encoder
        if before is not None:
            self.load(before)


def _default_device() -> torch.device:
    """The process's accelerator; not Apple's, since gradients are taken in double precision, which it lacks."""
    device = PartialState().device
    return torch.device("cpu") if device.type == "mps" else device


class LastTexts:
    """Text embeddings of the run's last revision, to ask the earlier ones with.

    The text encoder drifts in training as the image encoder does; with fixed texts, a trajectory shows the drift of
    the images only.

    Args:
        revision: the last one of the whole run, whichever are evaluated.
        live: borrowed for texts that were not asked before; no second model is held.
    """

    def __init__(self, revision: Revision, live: LiveModel) -> None:
        self.revision = revision
        self._live = live
        self._folder: Path | None = None
        self._known: dict[str, NDArray[np.float32]] = {}

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d), not normalised."""
        missing = list(dict.fromkeys(text for text in texts if text not in self._known))
        if missing:
            with self._live.borrowed(self._fetched()) as encoder:
                rows = encoder.embed_texts(missing)
            self._known.update(zip(missing, rows, strict=True))
        return np.stack([self._known[text] for text in texts]) if texts else np.zeros((0, 0), np.float32)

    def fit(self, folder: Path) -> bool:
        """Whether the revision in that folder has the architecture of the last one, hence its space."""
        return architecture_digest(folder) == architecture_digest(self._fetched())

    def _fetched(self) -> Path:
        if self._folder is None:
            self._folder = self._live.fetch(self.revision)
        return self._folder
