"""CIFAR-100 (Krizhevsky 2009): from the Hub, class folders, or the binary archive."""

from hf_clipdyn.data.cifar import CITATION, CifarBuilder
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.prompts import CIFAR

__all__ = ["Cifar100"]

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
    """60,000 photographs of 32 x 32 pixels in 100 classes; kind ``labels``, splits ``train`` and ``test``."""

    metadata = DatasetMetadata(
        kind="labels",
        title="CIFAR-100",
        rows={"train": 50_000, "test": 10_000},
        licence="none stated",
        licence_id="unknown",
        may_redistribute=False,
        where="www.cs.toronto.edu/~kriz/cifar.html (binary version), or uoft-cs/cifar100 on the Hub",
        citation=CITATION,
        mirror="uoft-cs/cifar100",
        templates=CIFAR,
    )
    classes = tuple(_CLASSES.split())
    label_bytes = 2  # the coarse class, then the fine one
