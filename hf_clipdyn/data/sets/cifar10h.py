"""CIFAR-10H (Peterson et al. 2019): which class about 51 people chose for each test image of CIFAR-10."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hf_clipdyn.data.base import DataBuilder, Rows
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.prompts import CIFAR
from hf_clipdyn.data.sets.cifar import PIXELS, Cifar10, png_of
from hf_clipdyn.data.tables import check_new, integer_of, read_csv, read_npy, read_records
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.references import reference

_LIST, _ARRAY, _BATCH = "counts.csv", "cifar10h-counts.npy", "test_batch.bin"


class Cifar10h(DataBuilder):
    """10,000 test images of CIFAR-10 with the answers of people; kind ``label_counts``, split ``test``.

    One folder with the counts and the images, or the folder of the counts with ``cifar10/`` beside it. The
    official ``cifar10h-counts.npy`` is in the order of the test batch, so it is read with ``test_batch.bin`` of the
    binary version of CIFAR-10. Its ``cifar10h-probs.npy`` is not needed: shares alone do not tell how many people
    answered. ``counts.csv`` names image files (``test/cat/0000.jpg``); the folder of an image is its class.
    """

    metadata = DatasetMetadata(
        kind="label_counts",
        title="CIFAR-10H",
        rows={"test": 10_000},
        licence="CC BY-NC-SA 4.0",
        licence_id="cc-by-nc-sa-4.0",
        where="github.com/jcpeterson/cifar-10h (data/), with the binary version of CIFAR-10",
        citation=reference("peterson2019human"),
        templates=CIFAR,
    )
    layout = (f"{_LIST}|{_ARRAY}",)
    companion = "/cifar10"

    def class_names(self) -> Sequence[str]:
        return Cifar10.classes

    def rows(self, split: str) -> Rows:
        if self.files.named(_LIST):
            yield from self._listed()
        else:
            yield from self._official()

    def _listed(self) -> Rows:
        path = self.files.file(_LIST).path
        seen: dict[str, str] = {}
        for where, line in read_csv(path, ["file", *Cifar10.classes]):
            check_new(seen, line["file"], where)
            counts = [integer_of(line[name], where) for name in Cifar10.classes]
            _check(np.array([counts]), where)
            image = self.files.image(line["file"])
            if image is None:
                continue
            label = image.parts[-2] if len(image.parts) > 1 else ""
            if label not in Cifar10.classes:
                raise DatasetError(
                    f"{where}: {line['file']} is not in the folder of a class: use the official file."
                )
            yield {"image": self.image(image), "label": label, "counts": counts}

    def _official(self) -> Rows:
        array = self.files.file(_ARRAY).path
        counts = read_npy(array)
        if counts.ndim != 2 or counts.shape[1] != len(Cifar10.classes) or counts.dtype.kind not in "iu":
            raise DatasetError(
                f"{array} has the shape {counts.shape} and the type {counts.dtype}: it must have ten counts for each "
                "image; use the official file."
            )
        _check(counts, array)
        batch = self.files.file(_BATCH).path
        records = read_records(batch, 1 + PIXELS)
        if len(records) != len(counts):
            raise DatasetError(
                f"{array} has {len(counts):,} rows and {batch} {len(records):,} images: use the official files."
            )
        for number, (record, row) in enumerate(zip(records, counts.tolist(), strict=True)):
            if record[0] >= len(Cifar10.classes):
                raise DatasetError(
                    f"{batch}, image {number}: {record[0]} is not a class: use the official archive."
                )
            yield {"image": png_of(record[1:]), "label": int(record[0]), "counts": row}


def _check(counts: NDArray[np.int64], where: str) -> None:
    if (counts < 0).any() or (counts.sum(axis=1) == 0).any():
        raise DatasetError(f"{where}: an image has a negative count or no answer: use the official file.")
