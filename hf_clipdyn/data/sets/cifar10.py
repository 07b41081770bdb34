"""CIFAR-10 (Krizhevsky 2009): from the Hub, class folders, or the binary archive."""

from hf_clipdyn.data.cifar import CifarBuilder, metadata_of


class Cifar10(CifarBuilder):
    """60,000 photographs of 32 x 32 pixels in 10 classes; kind ``labels``, splits ``train`` and ``test``."""

    metadata = metadata_of(10)
    classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
