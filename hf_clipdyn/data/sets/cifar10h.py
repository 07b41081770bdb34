"""CIFAR-10H (Peterson et al. 2019): which class about 51 human observers chose for each test image of CIFAR-10."""

from collections.abc import Sequence

from hf_clipdyn.data.base import DataBuilder, Rows
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.prompts import CIFAR
from hf_clipdyn.data.sets.cifar import PIXELS, Cifar10, png_of
from hf_clipdyn.data.tables import read_csv, read_npy, read_records
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.references import reference

_LIST, _ARRAY, _BATCH = "counts.csv", "cifar10h-counts.npy", "test_batch.bin"


class Cifar10h(DataBuilder):
    """10,000 test images of CIFAR-10 with the answers of human observers; kind ``label_counts``, split ``test``.

    One folder with the counts and the images, or the folder of the counts with ``cifar10/`` beside it. The
    official ``cifar10h-counts.npy`` is in the order of the test batch, so it is read with ``test_batch.bin`` of the
    binary version of CIFAR-10. Its ``cifar10h-probs.npy`` is not needed: shares do not contain the number of
    observers. ``counts.csv`` names image files (``test/cat/0000.jpg``); the folder of an image is its class.
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
    companions = ("cifar10",)

    def class_names(self) -> Sequence[str]:
        return Cifar10.classes

    def rows(self, split: str) -> Rows:
        for row in self._listed() if self.files.named(_LIST) else self._official():
            if min(row["counts"]) < 0 or not any(row["counts"]):
                raise DatasetError("an image has a negative count or no answer.")
            yield row

    def _listed(self) -> Rows:
        for line in read_csv(self.files.file(_LIST), ["file", *Cifar10.classes]):
            image = self.files.image(line["file"])
            if image is not None:
                counts = [line.integer(name) for name in Cifar10.classes]
                yield {"image": image, "label": image.parent.name, "counts": counts}

    def _official(self) -> Rows:
        path = self.files.file(_ARRAY)
        counts, records = read_npy(path), read_records(self.files.file(_BATCH), 1 + PIXELS)
        if counts.shape != (len(records), len(Cifar10.classes)) or counts.dtype.kind not in "iu":
            raise DatasetError(f"{path} does not have ten counts for each image of {_BATCH}.")
        for record, row in zip(records, counts.tolist(), strict=True):
            yield {"image": png_of(record[1:]), "label": int(record[0]), "counts": row}
