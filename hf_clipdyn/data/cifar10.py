"""CIFAR-10 (Krizhevsky 2009): from the Hub, or from class folders."""

from hf_clipdyn.data.facts import DatasetFacts
from hf_clipdyn.data.labels import LabelledBuilder
from hf_clipdyn.data.prompts import CIFAR

__all__ = ["KRIZHEVSKY", "Cifar10"]

KRIZHEVSKY = """@techreport{krizhevsky2009learning,
  title = {Learning Multiple Layers of Features from Tiny Images},
  author = {Krizhevsky, Alex},
  institution = {University of Toronto},
  year = {2009}
}"""


class Cifar10(LabelledBuilder):
    """60,000 photographs of 32 x 32 pixels in 10 classes; kind ``labels``, splits ``train`` and ``test``."""

    facts = DatasetFacts(
        kind="labels",
        title="CIFAR-10",
        rows={"train": 50_000, "test": 10_000},
        licence="none stated",
        licence_id="unknown",
        may_redistribute=False,
        where="www.cs.toronto.edu/~kriz/cifar.html, or uoft-cs/cifar10 on the Hub",
        citation=KRIZHEVSKY,
        mirror="uoft-cs/cifar10",
        templates=CIFAR,
    )
    classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
