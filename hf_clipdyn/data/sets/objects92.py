"""92 objects (Kriegeskorte et al. 2008): photographs, and how alike people, brains and models find them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.data.base import DataBuilder, Rows
from hf_clipdyn.data.files import SourceFile
from hf_clipdyn.data.images import decode_image
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.tables import check_new, read_csv, read_npz
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.references import reference

_GREY = 128
_DIFFERS = 6  # grey levels: a pixel that differs by more in any channel belongs to the object

Matrix = NDArray[np.float64]


class Objects92(DataBuilder):
    """92 photographs on grey and matrices of their dissimilarities; kind ``dissimilarities``, split ``test``.

    ``behaviour`` is one matrix for each of 16 people, who arranged the pictures by similarity. Other arrays are
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
        path = self.files.file("images.csv").path
        lines = read_csv(path, ["file", "category"])
        folder = self.files.folder("images")
        seen: dict[str, str] = {}
        for where, line in lines:
            check_new(seen, line["file"], where)
        images = [folder.image(line["file"]) for _, line in lines]
        categories = [line["category"] for _, line in lines]
        for file in images:
            if file is not None:
                self.image(file)
        persons, references = self._matrices(len(lines))
        references |= {"categories": _between(categories), "silhouette": _silhouettes(images)}
        named = [("person", persons), ("reference", references)]
        for place, (image, category) in enumerate(zip(images, categories, strict=True)):
            if image is None:
                continue
            yield {
                "image": image.path,
                "image_id": image.stem,
                "category": category,
                "place": place,
                "dissimilarities": [
                    {"observer": observer, "name": name, "values": matrix[place].tolist()}
                    for observer, matrices in named
                    for name, matrix in matrices.items()
                ],
            }

    def _matrices(self, n: int) -> tuple[dict[str, Matrix], dict[str, Matrix]]:
        """People's matrices and those of the references in the files, by name."""
        path = self.files.file("rdms.npz").path
        arrays = read_npz(path, "behaviour")
        upper = {name: _vectors(array, n, f"{path}, {name}") for name, array in arrays.items()}
        persons = upper.pop("behaviour")
        return (
            {f"person_{number:02d}": _square(row, n) for number, row in enumerate(persons, start=1)},
            {name: _square(rows.mean(axis=0), n) for name, rows in sorted(upper.items())},
        )


def _vectors(array: NDArray[Any], n: int, where: str) -> Matrix:
    """Upper triangles, (matrices, n (n - 1) / 2)."""
    pairs = n * (n - 1) // 2
    if array.dtype.kind not in "fiu" or not array.ndim or array.shape[-1] != pairs or not array.size:
        raise DatasetError(
            f"{where} has the shape {array.shape}: for {n} images it must have {pairs:,} numbers in a row."
        )
    vectors = array.reshape(-1, pairs).astype(np.float64)
    if not np.isfinite(vectors).all():
        raise DatasetError(f"{where} contains a number that is not finite: use the official file.")
    return vectors


def _square(vector: Matrix, n: int) -> Matrix:
    matrix = np.zeros((n, n))
    matrix[np.triu_indices(n, 1)] = vector
    return matrix + matrix.T


def _between(categories: Sequence[str]) -> Matrix:
    names = np.array(categories)
    return np.asarray(names[:, None] != names[None], np.float64)


def _silhouettes(images: Sequence[SourceFile | None]) -> Matrix:
    """Distances of the outlines, NaN beside a missing image."""
    masks = {place: _outline(image) for place, image in enumerate(images) if image is not None}
    matrix = np.full((len(images), len(images)), np.nan)
    for place, other, distance in _distances(masks):
        matrix[place, other] = distance
    return matrix


def _outline(image: SourceFile) -> NDArray[np.bool_]:
    pixels = np.asarray(decode_image(image.path).convert("RGB"), np.int64)
    return np.asarray((np.abs(pixels - _GREY) > _DIFFERS).any(axis=2))


def _distances(masks: Mapping[int, NDArray[np.bool_]]) -> Iterator[tuple[int, int, float]]:
    for place, mask in masks.items():
        for other, another in masks.items():
            if mask.shape != another.shape:
                raise DatasetError("The photographs differ in size: use the official files.")
            yield place, other, float(np.sqrt((mask ^ another).sum()))
