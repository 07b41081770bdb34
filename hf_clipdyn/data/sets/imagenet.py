"""ImageNet, the 1,000 classes of ILSVRC 2012 (Russakovsky et al. 2015)."""

from hf_clipdyn.data.labels import WordnetBuilder
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.prompts import IMAGENET
from hf_clipdyn.references import reference


class Imagenet(WordnetBuilder):
    """``val/<wnid>/*.JPEG`` and ``train/<wnid>/*.JPEG``; kind ``labels``, splits ``train`` and ``validation``.

    The 50,000 validation images come in one folder: sort them into class folders first, as is usual. Class
    folders without a split folder above them belong to the validation split. Class
    names come from CLIP's prompts, also for the mirror.
    """

    metadata = DatasetMetadata(
        kind="labels",
        title="ImageNet",
        rows={"train": 1_281_167, "validation": 50_000},
        licence="ImageNet's terms of access: non-commercial research, no redistribution",
        where="image-net.org, or ILSVRC/imagenet-1k on the Hub (after accepting its terms)",
        citation=reference("russakovsky2015imagenet"),
        mirror="ILSVRC/imagenet-1k",
        templates=IMAGENET,
    )
    default_split = "validation"
    unlabelled = ("test",)
