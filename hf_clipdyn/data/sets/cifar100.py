"""CIFAR-100 (Krizhevsky 2009): from the Hub, class folders, or the binary archive."""

from hf_clipdyn.data.cifar import CifarBuilder, metadata_of

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

    metadata = metadata_of(100)
    classes = tuple(_CLASSES.split())
    label_bytes = 2  # the coarse class, then the fine one
