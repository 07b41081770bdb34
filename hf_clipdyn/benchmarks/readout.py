"""What one revision answers to images and texts, each shown once.

Several benchmarks show the same image, and a pair set shows its reference a hundred times: an image is
known by the hash of its pixels, and goes through the model once per revision.
"""

import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.heads import Head
from hf_clipdyn.errors import EvaluationError
from hf_clipdyn.machine import usable_cores

if TYPE_CHECKING:
    import datasets

    from hf_clipdyn.benchmarks.kind import Common
    from hf_clipdyn.data.pixels import Pixels
    from hf_clipdyn.models.encoder import Encoder, FeaturesOnDevice, ImageFeatures

Part = TypeVar("Part")
Result = TypeVar("Result")
Change = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]
Check = Callable[[NDArray[Any], NDArray[np.float32]], None]
EmbedTexts = Callable[[Sequence[str]], NDArray[np.float32]]


def map_over_processes(parts: Sequence[Part], work: Callable[[Part], Result]) -> list[Result]:
    """The results of all parts in their order, each computed by one process and known to all."""
    from accelerate import PartialState
    from accelerate.utils import gather_object

    state = PartialState()
    own = [work(part) for part in parts[state.process_index :: state.num_processes]]
    if state.num_processes == 1:
        return own
    by_process = gather_object([own])
    return [by_process[part % state.num_processes][part // state.num_processes] for part in range(len(parts))]


class Images(Protocol):
    """(n, H, W, 3) that are read by row: an array, or an object that reads like one.

    uint8 are grey levels; float32 are codes in [0, 1], for what is drawn finer than these.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any: ...


class Stimuli:
    """Images as the model takes them, read from their memory map only when needed.

    Args:
        array: (n, H, W, 3) uint8, or float32 codes in [0, 1].
        rows: which of them are shown; all by default.
        change: alters the pixels of row ``i`` each time it is read; must be deterministic.
        change_key: names what ``change`` does.

    Examples:
        >>> import numpy as np
        >>> from hf_clipdyn.benchmarks.readout import Stimuli
        >>> images = np.zeros((3, 32, 32, 3), np.uint8)
        >>> def brighten(pixels, row):
        ...     return pixels + 10
        ...
        >>> stimuli = Stimuli(images, np.array([0, 2]), change=brighten, change_key="brighter by 10")
        >>> stimuli.read([1]).shape, int(stimuli.read([1]).max())
        ((1, 32, 32, 3), 10)
    """

    def __init__(
        self,
        array: Images,
        rows: NDArray[np.int64] | None = None,
        *,
        change: Change | None = None,
        change_key: str = "",
    ) -> None:
        self._array = array
        self._rows = np.arange(len(array)) if rows is None else rows
        self._change = change
        # A reference occurs in a hundred pairs: it is read once for all of them.
        keys = {row: self._key(row, change_key) for row in dict.fromkeys(self._rows.tolist())}
        self.keys = [keys[row] for row in self._rows.tolist()]

    def __len__(self) -> int:
        return len(self._rows)

    def select(self, places: NDArray[np.intp]) -> "Stimuli":
        """The images at these positions; none is read for it."""
        chosen = copy.copy(self)
        chosen._rows, chosen.keys = self._rows[places], [self.keys[at] for at in places]
        return chosen

    def _key(self, row: int, change_key: str) -> bytes:
        hashed = hashlib.blake2b(self._array[row].tobytes(), digest_size=16)
        if self._change is not None:
            hashed.update(f"{change_key}|{row}".encode())
        return hashed.digest()

    def read(self, indices: Sequence[int]) -> NDArray[Any]:
        """Pixels of the images at these positions, (len(indices), H, W, 3)."""
        rows = self._rows[list(indices)]
        if self._change is None:
            return np.asarray(self._array[rows])
        change = self._change
        # Filters and random numbers release the interpreter's lock; one core alone would keep a GPU waiting.
        with ThreadPoolExecutor(usable_cores()) as pool:
            return np.stack(list(pool.map(lambda row: change(self._array[row], int(row)), rows)))


def decode(
    dataset: "datasets.Dataset",
    image_processor: Any,
    common: "Common",
    column: str = "image",
    *,
    squash: bool = False,
    distort: Change | None = None,
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
        >>> from hf_clipdyn.benchmarks.kind import Common
        >>> from hf_clipdyn.benchmarks.readout import decode
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


class Readout:
    """One revision of a model, as benchmarks read it. `Kind.observe` gets one.

    With several processes each embeds its share of the batches, and all receive all results. The number of processes
    changes neither the batches nor the numbers.

    Args:
        encoder: holds the revision's weights.
        batch_size: images per forward pass.
        check: is called with the pixels and the projections of the first batch; raises if the precision is too low.
        name: name of the revision, for messages.
        label_map: other names of the classes of a classifier's head, see `hf_clipdyn.benchmarks.heads.Head`.

    Raises:
        EvaluationError: from every method that embeds, if an embedding is not finite. Otherwise a model with diverged
            weights would get the score of a model that gives every image the same answer.

    Attributes:
        only_text: whether the texts are those of another revision (`with_texts`). The images were shown before, so only
            numbers that depend on texts are new.

    Examples:
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from hf_clipdyn.benchmarks.readout import Readout, Stimuli
        >>> from hf_clipdyn.models.encoder import Encoder
        >>> encoder = Encoder.from_folder(Path("runs/demo/revisions/epoch-003"), device="cpu")
        >>> readout = Readout(encoder)
        >>> images, texts = readout.images(Stimuli(np.zeros((2, 40, 40, 3), np.uint8))), readout.texts(["a cat"])
        >>> images.shape[0], texts.shape[0], images.shape[1] == texts.shape[1]
        (2, 1, True)
    """

    only_text = False

    def __init__(
        self,
        encoder: "Encoder",
        *,
        batch_size: int = 128,
        check: Check | None = None,
        name: str = "the model",
        label_map: Mapping[str, str] | None = None,
    ) -> None:
        self.encoder = encoder
        self.name = name
        self.batch_size = batch_size
        self._check = check
        self._label_map = label_map
        self._logits: dict[bytes, NDArray[np.float32]] = {}
        self._images: dict[bytes, NDArray[np.float32]] = {}
        self._embed_texts: EmbedTexts | None = None
        self._texts: dict[str, NDArray[np.float32]] = {}

    def with_texts(self, embed: EmbedTexts) -> "Readout":
        """A readout with the same images and their kept embeddings, but with texts of another embedding."""
        other = copy.copy(self)
        other._embed_texts, other._texts = embed, {}
        other.only_text = True
        return other

    @property
    def known(self) -> Mapping[bytes, NDArray[np.float32]]:
        """Projections of the images that were shown, by the key of their image."""
        return self._images

    @cached_property
    def head(self) -> Head | None:
        """The head of a classifier, which answers with its own classes; None for other models."""
        return Head(self.encoder.labels, self._label_map) if self.encoder.labels else None

    def knows(self, classes: Sequence[str]) -> bool:
        """Whether the model can say which of these classes an image shows: by texts or by its head."""
        return self.encoder.reads_text if self.head is None else not self.head.missing(classes)

    def images(self, stimuli: Stimuli) -> NDArray[np.float32]:
        """Projections of the images, (n, d), not normalised."""
        return self._shown(stimuli, self._images)

    def logits(self, stimuli: Stimuli) -> NDArray[np.float32]:
        """Scores of a classifier's head, (n, classes)."""
        return self._shown(stimuli, self._logits)

    def _shown(self, stimuli: Stimuli, kept: Mapping[bytes, NDArray[np.float32]]) -> NDArray[np.float32]:
        """The rows of the images that are kept there; those that are not yet go through the model."""
        from accelerate import PartialState

        from hf_clipdyn.models.encoder import joined

        missing = {key: index for index, key in enumerate(stimuli.keys) if key not in kept}
        indices = sorted(missing.values())
        size, n = self.batch_size, PartialState().num_processes
        batches = [indices[start : start + size] for start in range(0, len(indices), size)]
        shares = [batches[process::n] for process in range(min(n, len(batches)))]

        def answers(share: Sequence[Sequence[int]]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
            # The device is waited for once, after all batches were shown to it.
            features = joined([self._show(stimuli.read(batch)) for batch in share]).fetched()
            return features.projection, features.logits

        for share, each in zip(shares, map_over_processes(shares, answers), strict=True):
            keys = [stimuli.keys[at] for batch in share for at in batch]
            for rows, known in zip(each, (self._images, self._logits), strict=True):
                if rows is not None:
                    _require_finite(rows, "an image", self.name)
                    known.update(zip(keys, rows, strict=True))
        found = [kept[key] for key in stimuli.keys]
        return np.concatenate(found).reshape(len(found), -1)  # `stack` would look at each row twice

    def keep(self, projections: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Keep projections that were computed elsewhere, by the key of their image; the same in every process."""
        if projections:
            _require_finite(np.stack(list(projections.values())), "an image", self.name)
        self._images |= {**projections, **self._images}  # the first one counts

    def features(self, pixels: NDArray[Any]) -> "ImageFeatures":
        """Projection and all hidden states of one batch, (n, H, W, 3); not kept, since they are large."""
        return self._show(pixels, hidden=True).fetched()

    def _show(self, pixels: NDArray[Any], *, hidden: bool = False) -> "FeaturesOnDevice":
        features = self.encoder.show_images(pixels, hidden=hidden)
        if self._check is not None:
            check, self._check = self._check, None
            check(pixels, features.fetched().projection)
        return features

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings of the texts, (n, d), not normalised."""
        missing = list(dict.fromkeys(text for text in texts if text not in self._texts))
        embed = self._embed_texts or self.encoder.embed_texts
        rows = embed(missing)
        if self._embed_texts is None:
            _require_finite(rows, "a text", self.name)
        else:
            _require_finite(
                rows, "a text", "the run's last revision", "Use the texts of each revision, with --texts own"
            )
        self._texts.update(zip(missing, rows, strict=True))
        return np.stack([self._texts[text] for text in texts])


def _require_finite(
    rows: NDArray[np.float32],
    what: str,
    name: str,
    remedy: str = "Choose the other revisions with --revisions",
) -> None:
    if not np.isfinite(rows).all():
        raise EvaluationError(
            f"The embedding of {what} by {name} is not finite: the weights are broken or have diverged. {remedy}."
        )


def corrupted(
    pixels: "Pixels", rows: NDArray[np.int64], change: Change, change_key: str, common: "Common"
) -> Stimuli:
    """Some rows of decoded images, corrupted once for all revisions and kept in the cache of pixels.

    Args:
        pixels: from `decode`.
        rows: those that are shown, at least one.
        change: alters the pixels (H, W, 3) of row ``i``; must be deterministic.
        change_key: names what ``change`` does to these pixels and rows.
        common: its folder of the cache, and whether to show a progress bar.
    """
    from hf_clipdyn.benchmarks.kind import digest
    from hf_clipdyn.data.pixels import draw_pixels

    drawn = draw_pixels(
        lambda place: change(pixels.array[rows[place]], int(rows[place])),
        len(rows),
        digest(pixels.fingerprint, rows.tolist(), change_key),
        origin=f"inputs under {change_key}",
        cache_dir=common.cache_dir,
        disable_tqdm=not common.show_progress,
    )
    return Stimuli(drawn)
