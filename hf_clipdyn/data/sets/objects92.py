"""92 objects (Kriegeskorte et al. 2008): photographs, and how alike human observers, brains and models find them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.data.base import DataBuilder, Rows
from hf_clipdyn.data.images import decode_image
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.tables import read_csv, read_npz
from hf_clipdyn.errors import DatasetError, naming
from hf_clipdyn.references import reference

_GREY = 128
_DIFFERS = 6  # grey levels: a pixel that differs by more in any channel belongs to the object

Matrix = NDArray[np.float64]


class Objects92(DataBuilder):
    """92 photographs on grey and matrices of their dissimilarities; kind ``dissimilarities``, split ``test``.

    ``behaviour`` is one matrix for each of 16 observers, who arranged the pictures by similarity. Other arrays are
    references: ``human_it`` (fMRI, here the mean over subjects and sessions), ``monkey_it``, and those that begin with
    ``model_``. Two references are added: ``categories`` (0 within one of the six categories, 1 between two) and
    ``silhouette`` (Euclidean distance of the outlines: what differs from the grey background).
    """

    metadata = DatasetMetadata(
        kind="dissimilarities",
        title="92 objects",
        rows={"test": 92},
        licence="MIT (repository); none stated for the photographs",
        where="github.com/rsagroup/rsatoolbox (demos/92imageData), as images/, images.csv and rdms.npz",
        citation=reference("kriegeskorte2008matching"),
    )
    layout = ("images/", "images.csv", "rdms.npz")

    def rows(self, split: str) -> Rows:
        lines = read_csv(self.files.file("images.csv"), ["file", "category"])
        folder = self.files.folder("images")
        images = [folder.image(line["file"]) for line in lines]
        categories = np.array([line["category"] for line in lines])
        persons, references = self._matrices(len(lines))
        references["categories"] = (categories[:, None] != categories).astype(np.float64)
        references["silhouette"] = _silhouettes(images)
        named = [("person", persons), ("reference", references)]
        for place, image in enumerate(images):
            if image is None:
                continue
            yield {
                "image": image,
                "image_id": image.stem,
                "category": lines[place]["category"],
                "place": place,
                "dissimilarities": [
                    {"observer": observer, "name": name, "values": matrix[place].tolist()}
                    for observer, matrices in named
                    for name, matrix in matrices.items()
                ],
            }

    def _matrices(self, n: int) -> tuple[dict[str, Matrix], dict[str, Matrix]]:
        """Human observers' matrices and those of the references in the files, by name."""
        path = self.files.file("rdms.npz")
        arrays = read_npz(path, "behaviour")
        with naming(path, DatasetError):
            squares = {name: _squares(array, n) for name, array in sorted(arrays.items())}
        persons = squares.pop("behaviour")
        references = {name: matrices.mean(axis=0) for name, matrices in squares.items()}
        return {f"person_{number:02d}": one for number, one in enumerate(persons, start=1)}, references


def _squares(array: NDArray[Any], n: int) -> Matrix:
    """Matrices, (matrices, n, n), of their upper triangles, (…, n (n - 1) / 2)."""
    upper = np.asarray(array, np.float64).reshape(-1, n * (n - 1) // 2)
    if not np.isfinite(upper).all():
        raise DatasetError("a dissimilarity is not finite.")
    matrices = np.zeros((len(upper), n, n))
    matrices[:, *np.triu_indices(n, 1)] = upper
    return matrices + matrices.transpose(0, 2, 1)


def _silhouettes(images: Sequence[Path | None]) -> Matrix:
    """Euclidean distances of the outlines, NaN beside a missing image."""
    places = [place for place, image in enumerate(images) if image is not None]
    pixels = np.array([np.asarray(decode_image(image), np.int64) for image in images if image is not None])
    masks = (np.abs(pixels - _GREY) > _DIFFERS).any(axis=3).reshape(len(places), -1)
    matrix = np.full((len(images), len(images)), np.nan)
    for place, mask in zip(places, masks, strict=True):
        matrix[place, places] = np.sqrt((mask ^ masks).sum(axis=1))
    return matrix
