"""Tiny ImageNet (Stanford CS231n): 200 classes of ImageNet at 64 x 64 pixels."""

from functools import cached_property

from hf_clipdyn.data.labels import WordnetBuilder
from hf_clipdyn.data.metadata import DatasetMetadata
from hf_clipdyn.data.prompts import IMAGENET
from hf_clipdyn.data.tables import lines_of
from hf_clipdyn.references import reference


class TinyImagenet(WordnetBuilder):
    """100,000 training and 10,000 validation images; kind ``labels``, splits ``train`` and ``valid``.

    ``train/<wnid>/images/*.JPEG``, and ``val/images/*.JPEG`` whose classes ``val/val_annotations.txt`` lists; class
    folders in ``val/`` are read too. The test images have no labels and are left out.
    Class names come from CLIP's prompts for ImageNet; ``words.txt`` names the others.
    """

    metadata = DatasetMetadata(
        kind="labels",
        title="Tiny ImageNet",
        rows={"train": 100_000, "valid": 10_000},
        licence="ImageNet's terms of access: non-commercial research, no redistribution",
        where="cs231n.stanford.edu/tiny-imagenet-200.zip, or zh-plus/tiny-imagenet on the Hub",
        citation=reference("le2015tiny"),
        mirror="zh-plus/tiny-imagenet",
        templates=IMAGENET,
    )
    default_split = "valid"
    validation = "valid"
    unlabelled = ("test",)

    @cached_property
    def wnids(self) -> list[str]:
        return sorted({*super().wnids, *self._listed.values()})

    @cached_property
    def _listed(self) -> dict[str, str]:
        """WordNet number by file name of the validation images."""
        lines = [line for path in self.files.named("val_annotations.txt")[:1] for line in lines_of(path)]
        return {cells[0].lower(): cells[1].lower() for cells in map(str.split, lines)}

    def listed_folder(self, key: str) -> str | None:
        *folders, name = key.lower().split("/")
        return self._listed.get(name) if "val" in folders else None
