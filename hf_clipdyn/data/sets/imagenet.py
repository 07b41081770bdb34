"""ImageNet, the 1,000 classes of ILSVRC 2012 (Russakovsky et al. 2015)."""

from hf_clipdyn.data.labels import WordnetBuilder
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.prompts import IMAGENET


class Imagenet(WordnetBuilder):
    """``val/<wnid>/*.JPEG`` and ``train/<wnid>/*.JPEG``; kind ``labels``, splits ``train`` and ``validation``.

    The 50,000 validation images come in one folder: sort them into class folders first, as is usual. Class
    folders without a split folder above them belong to the validation split. The
    names of the classes are those of CLIP's prompts, also for the mirror.
    """

    metadata = DatasetMetadata(
        kind="labels",
        title="ImageNet",
        rows={"train": 1_281_167, "validation": 50_000},
        licence="ImageNet's terms of access: non-commercial research, no redistribution",
        where="image-net.org, or ILSVRC/imagenet-1k on the Hub (after accepting its terms)",
        citation="""@article{russakovsky2015imagenet,
  title = {{ImageNet} Large Scale Visual Recognition Challenge},
  author = {Russakovsky, Olga and Deng, Jia and Su, Hao and Krause, Jonathan and Satheesh, Sanjeev and Ma, Sean
            and Huang, Zhiheng and Karpathy, Andrej and Khosla, Aditya and Bernstein, Michael and Berg, Alexander C.
            and Fei-Fei, Li},
  journal = {International Journal of Computer Vision},
  volume = {115},
  number = {3},
  pages = {211--252},
  year = {2015}
}""",
        mirror="ILSVRC/imagenet-1k",
        templates=IMAGENET,
    )
    default_split = "validation"
    unlabelled = ("test",)
