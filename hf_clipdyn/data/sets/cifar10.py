"""CIFAR-10 (Krizhevsky 2009): from the Hub, class folders, or the binary archive."""

from hf_clipdyn.data.cifar import CITATION, CifarBuilder
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.prompts import CIFAR

__all__ = ["Cifar10"]


class Cifar10(CifarBuilder):
    """60,000 photographs of 32 x 32 pixels in 10 classes; kind ``labels``, splits ``train`` and ``test``."""

    metadata = DatasetMetadata(
        kind="labels",
        title="CIFAR-10",
        rows={"train": 50_000, "test": 10_000},
        licence="none stated",
        licence_id="unknown",
        may_redistribute=False,
        where="www.cs.toronto.edu/~kriz/cifar.html (binary version), or uoft-cs/cifar10 on the Hub",
        citation=CITATION,
        mirror="uoft-cs/cifar10",
        templates=CIFAR,
    )
    classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
