"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009): from the Hub, class folders, or the binary archive."""

import io
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hf_clipdyn.data.base import Rows
from hf_clipdyn.data.files import SourceFile
from hf_clipdyn.data.labels import LabelledBuilder
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.prompts import CIFAR
from hf_clipdyn.data.tables import read_records
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.references import reference

SIDE = 32
PIXELS = 3 * SIDE * SIDE


def metadata_of(classes: int) -> DatasetMetadata:
    """The metadata of CIFAR-10 or CIFAR-100."""
    return DatasetMetadata(
        kind="labels",
        title=f"CIFAR-{classes}",
        rows={"train": 50_000, "test": 10_000},
        licence="none stated",
        licence_id="unknown",
        where=f"www.cs.toronto.edu/~kriz/cifar.html (binary version), or uoft-cs/cifar{classes} on the Hub",
        citation=reference("krizhevsky2009learning"),
        mirror=f"uoft-cs/cifar{classes}",
        templates=CIFAR,
    )


class CifarBuilder(LabelledBuilder):
    """Class folders, or ``*.bin``: per image the label bytes, then red, green and blue planes.

    The Python version of the archive consists of pickles, which can run code, so it is not read. Images of the binary
    version are encoded as PNG, which is lossless.

    Attributes:
        label_bytes: number of bytes before the pixels; the last one is the class.
    """

    layout = ("*.jpg|*.jpeg|*.png|*.bmp|*.webp|*.bin",)
    label_bytes: ClassVar[int] = 1

    def _batches(self) -> dict[str, list[SourceFile]]:
        batches: dict[str, list[SourceFile]] = {}
        for file in self.files.files:
            if file.suffix == ".bin":
                split = "test" if file.name.lower().startswith("test") else "train"
                batches.setdefault(split, []).append(file)
        return batches

    def splits(self) -> list[str]:
        return sorted(self._batches()) or super().splits()

    def rows(self, split: str) -> Rows:
        if not self._batches():
            yield from super().rows(split)
        for file in self._batches().get(split, ()):
            for number, record in enumerate(read_records(file.path, self.label_bytes + PIXELS)):
                label = int(record[self.label_bytes - 1])
                if label >= len(self.classes):
                    raise DatasetError(
                        f"{file.path}, image {number}: {label} is not a class of {self.metadata.title}: "
                        "use its official archive."
                    )
                yield {"image": png_of(record[self.label_bytes :]), "label": label}


def png_of(planes: NDArray[np.uint8]) -> dict[str, Any]:
    """The image of a record, (3072,): its red, green and blue plane, for a row of a data set."""
    pixels = planes.reshape(3, SIDE, SIDE).transpose(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(pixels.copy()).save(buffer, "PNG")
    return {"path": None, "bytes": buffer.getvalue()}


class Cifar10(CifarBuilder):
    """60,000 photographs of 32 x 32 pixels in 10 classes; kind ``labels``, splits ``train`` and ``test``.

    Class folders, directly or below ``<split>/``, or the official binary version (``*.bin``). The Python version
    consists of pickles, which can run code, and is not read.
    """

    name = "cifar10"
    metadata = metadata_of(10)
    classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


_CLASSES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
willow_tree wolf woman worm
"""


class Cifar100(CifarBuilder):
    """60,000 photographs of 32 x 32 pixels in 100 classes; kind ``labels``, splits ``train`` and ``test``.

    Class folders, directly or below ``<split>/``, or the official binary version (``*.bin``). The Python version
    consists of pickles, which can run code, and is not read.
    """

    name = "cifar100"
    metadata = metadata_of(100)
    classes = tuple(_CLASSES.split())
    label_bytes = 2  # the coarse class, then the fine one
