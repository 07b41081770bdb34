"""What ImageNet and Tiny ImageNet share: class folders called by WordNet numbers, and a list of their words."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property

from hf_clipdyn.data.labels import LabelledBuilder
from hf_clipdyn.data.tables import lines_of

__all__ = ["WordnetBuilder"]

_WNID = re.compile(r"n\d{8}")
_WORD_LISTS = ("words.txt", "LOC_synset_mapping.txt")
_IMAGENET = 1000


class WordnetBuilder(LabelledBuilder):
    """Indices follow the sorted WordNet numbers that are there, names their first word in ``words.txt`` or
    ``LOC_synset_mapping.txt``; without a list the 1,000 of ImageNet are named as torchvision names them, and any
    others by their number.
    """

    @cached_property
    def wnids(self) -> Sequence[str]:
        """The class folders, in lower case, sorted."""
        folders = {part.lower() for file in self.files.images() for part in file.parts[:-1]}
        return sorted(folder for folder in folders if _WNID.fullmatch(folder))

    def class_names(self) -> Sequence[str]:
        return list(self.folder_classes().values())

    def folder_classes(self) -> Mapping[str, str]:
        return self._named

    @cached_property
    def _named(self) -> dict[str, str]:
        words = self._words()
        if words:
            names = [words.get(wnid, wnid) for wnid in self.wnids]
        elif len(self.wnids) == _IMAGENET:
            from torchvision.models import ResNet50_Weights

            names = list(ResNet50_Weights.IMAGENET1K_V1.meta["categories"])
        else:
            names = list(self.wnids)
        count = Counter(names)
        # ImageNet knows two cranes: a name that is not unique bears its number.
        return {
            wnid: name if count[name] == 1 else f"{name} ({wnid})"
            for wnid, name in zip(self.wnids, names, strict=True)
        }

    def _words(self) -> dict[str, str]:
        """First word by WordNet number."""
        found = self.files.named(*_WORD_LISTS)
        if not found:
            return {}
        entries = (line.split(maxsplit=1) for line in lines_of(found[0].path))
        return {entry[0].lower(): entry[1].split(",")[0].strip() for entry in entries if len(entry) == 2}
